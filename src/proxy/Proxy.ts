import { Context, Duration, Effect, Layer, Option } from "effect"
import type { HttpRouter } from "effect/http"
import { algorithms } from "../config/Algorithm.ts"
import type { InvalidConfiguration } from "../config/InvalidConfiguration.ts"
import { OktaConfig } from "../config/OktaConfig.ts"
import type { Discovery } from "../provider/Discovery.ts"
import type { Jwks } from "../provider/Jwks.ts"
import type { OktaHttp } from "../provider/OktaHttp.ts"
import { protectedResources } from "../resource/ResourceMetadata.ts"
import type { Store } from "../store/Store.ts"
import type { Signature } from "../token/Signature.ts"
import { InvalidClaim } from "../token/TokenError.ts"
import { TokenVerifier, type VerifiedToken, type VerifierOptions } from "../token/TokenVerifier.ts"
import * as AuthorizationServerMetadata from "./AuthorizationServerMetadata.ts"
import * as Authorize from "./authorize/Authorize.ts"
import * as Callback from "./authorize/Callback.ts"
import * as Consent from "./authorize/Consent.ts"
import { ClientAuthentication } from "./client/ClientAuthentication.ts"
import { ClientRegistry } from "./client/ClientRegistry.ts"
import { Registration } from "./client/Registration.ts"
import * as RegistrationEndpoint from "./client/RegistrationEndpoint.ts"
import { Grants } from "./grant/Grant.ts"
import { longestLifetime, TokenIssuer } from "./grant/IssuedToken.ts"
import * as Revocation from "./grant/Revocation.ts"
import { SigningKeys } from "./grant/SigningKeys.ts"
import * as TokenEndpoint from "./grant/TokenEndpoint.ts"
import { OktaClient } from "./OktaClient.ts"
import { proxySettings } from "./ProxySettings.ts"
import { Sealed } from "./Sealed.ts"

/** What the authorization server is made of. */
export type Services =
  | ClientAuthentication
  | ClientRegistry
  | Grants
  | OktaClient
  | Registration
  | Sealed
  | SigningKeys
  | TokenIssuer

/** Everything that the endpoints stand on. */
export const services: Layer.Layer<
  Services,
  InvalidConfiguration,
  OktaConfig | Store | OktaHttp | Discovery | Jwks | Signature
> = Layer.mergeAll(Grants.layer, ClientAuthentication.layer).pipe(
  Layer.provideMerge(Layer.mergeAll(OktaClient.layer, TokenIssuer.layer, ClientRegistry.layer)),
  Layer.provideMerge(Registration.layer),
  Layer.provideMerge(Layer.mergeAll(Sealed.layer, SigningKeys.layer))
)

/** The endpoints of the authorization server: metadata and keys, registration, sign-in, tokens, revocation. */
export const routes: Layer.Layer<
  never,
  InvalidConfiguration,
  HttpRouter.HttpRouter | OktaConfig | Store | Services
> = Layer.mergeAll(
  AuthorizationServerMetadata.routes,
  RegistrationEndpoint.routes,
  Authorize.routes,
  Consent.routes,
  Callback.routes,
  TokenEndpoint.routes,
  Revocation.routes
)

/**
 * Verifies the tokens that this server issued, and nothing else: by its own keys, for its own resources, while the grant
 * lasts. When the store cannot tell, a token lives until its own end.
 */
export const verifier = (
  options: Pick<VerifierOptions, "cacheSize"> = {}
): Layer.Layer<TokenVerifier, InvalidConfiguration, OktaConfig | SigningKeys | Signature | Grants> =>
  Layer.effect(
    TokenVerifier,
    Effect.gen(function*() {
      const { allowedClients: _, ...settings } = yield* proxySettings
      const grants = yield* Grants
      const ownTokens = {
        ...settings,
        issuer: settings.serverUrl,
        audience: protectedResources(settings).map(({ resource }) => resource),
        algorithms,
        maxTokenLifetime: Duration.seconds(longestLifetime)
      }
      const own = Context.get(
        yield* Layer.build(
          TokenVerifier.layerWith({ cacheSize: options.cacheSize }).pipe(
            Layer.provide(SigningKeys.jwks),
            Layer.provide(Layer.succeed(OktaConfig, ownTokens))
          )
        ),
        TokenVerifier
      )

      const whileGranted = (verified: VerifiedToken) => {
        const { sid } = verified.claims
        return typeof sid !== "string" ? Effect.succeed(verified) : grants.get(sid).pipe(
          Effect.catchTag("StoreUnavailable", () => Effect.succeed(Option.some(undefined))),
          Effect.flatMap((grant) =>
            Option.isSome(grant)
              ? Effect.succeed(verified)
              : Effect.fail(new InvalidClaim({ claim: "sid", problem: "names a grant that has ended" }))
          )
        )
      }

      return TokenVerifier.of({
        verify: (token) => Effect.flatMap(own.verify(token), whileGranted),
        verifyText: (token) => Effect.flatMap(own.verifyText(token), whileGranted)
      })
    })
  )
