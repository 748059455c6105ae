import { Context, Duration, Effect, Layer, Option } from "effect"
import type { HttpRouter } from "effect/http"
import type { RateLimiter } from "effect/persistence"
import { algorithms } from "../config/Algorithm.ts"
import type { InvalidConfiguration } from "../config/InvalidConfiguration.ts"
import { OktaConfig } from "../config/OktaConfig.ts"
import type { Discovery } from "../provider/Discovery.ts"
import type { Jwks } from "../provider/Jwks.ts"
import type { OktaHttp } from "../provider/OktaHttp.ts"
import { protectedResources } from "../resource/ResourceMetadata.ts"
import type { Store } from "../store/Store.ts"
import type { Signature } from "../token/Signature.ts"
import { InvalidAudience, InvalidClaim, InvalidIssuer, type TokenError } from "../token/TokenError.ts"
import { TokenVerifier, type VerifiedToken, type VerifierOptions } from "../token/TokenVerifier.ts"
import * as AuthorizationServerMetadata from "./AuthorizationServerMetadata.ts"
import * as Authorize from "./authorize/Authorize.ts"
import * as Callback from "./authorize/Callback.ts"
import * as Closed from "./authorize/Closed.ts"
import * as Connections from "./authorize/Connections.ts"
import * as Consent from "./authorize/Consent.ts"
import * as Logout from "./authorize/Logout.ts"
import { ClientAuthentication } from "./client/ClientAuthentication.ts"
import { ClientRegistry } from "./client/ClientRegistry.ts"
import { Registration } from "./client/Registration.ts"
import * as RegistrationEndpoint from "./client/RegistrationEndpoint.ts"
import { Grants } from "./grant/Grant.ts"
import * as Introspection from "./grant/Introspection.ts"
import { longestLifetime, TokenIssuer } from "./grant/IssuedToken.ts"
import * as Revocation from "./grant/Revocation.ts"
import * as ServiceToken from "./grant/ServiceToken.ts"
import { SigningKeys } from "./grant/SigningKeys.ts"
import * as TokenEndpoint from "./grant/TokenEndpoint.ts"
import * as BackchannelLogout from "./leaving/BackchannelLogout.ts"
import { OktaStatements } from "./leaving/OktaStatements.ts"
import * as UniversalLogout from "./leaving/UniversalLogout.ts"
import { OktaClient } from "./OktaClient.ts"
import { isInteractive, type ProxySettings, proxySettings } from "./ProxySettings.ts"
import { RateLimits } from "./RateLimits.ts"
import { Sealed } from "./Sealed.ts"

/** What the authorization server is made of. */
export type Services =
  | ClientAuthentication
  | ClientRegistry
  | Grants
  | OktaClient
  | OktaStatements
  | RateLimits
  | Registration
  | Sealed
  | SigningKeys
  | TokenIssuer

/** Everything that the endpoints stand on. */
export const services: Layer.Layer<
  Services,
  InvalidConfiguration,
  OktaConfig | Store | RateLimiter.RateLimiterStore | OktaHttp | Discovery | Jwks | Signature
> = Layer.mergeAll(Grants.layer, ClientAuthentication.layer, OktaStatements.layer).pipe(
  Layer.provideMerge(Layer.mergeAll(OktaClient.layer, TokenIssuer.layer, ClientRegistry.layer, RateLimits.layer)),
  Layer.provideMerge(Registration.layer),
  Layer.provideMerge(Layer.mergeAll(Sealed.layer, SigningKeys.layer))
)

/** Where people sign in, or are told that nobody does. */
const signIn = Layer.unwrap(
  Effect.map(
    proxySettings,
    (settings) =>
      isInteractive(settings)
        ? Layer.mergeAll(Authorize.routes, Consent.routes, Callback.routes, Connections.routes)
        : Closed.routes
  )
)

/** The endpoints of the authorization server: metadata and keys, registration, sign-in, tokens, revocation. */
export const routes: Layer.Layer<
  never,
  InvalidConfiguration,
  HttpRouter.HttpRouter | OktaConfig | Store | Services
> = Layer.mergeAll(
  AuthorizationServerMetadata.routes,
  RegistrationEndpoint.routes,
  signIn,
  Logout.routes,
  TokenEndpoint.routes,
  Revocation.routes,
  Introspection.routes,
  UniversalLogout.routes,
  BackchannelLogout.routes
)

/** Verifies the tokens that clients hold: this server's own, or with `passThrough` those of Okta. */
export const verifier = (
  options: Pick<VerifierOptions, "cacheSize"> = {}
): Layer.Layer<TokenVerifier, InvalidConfiguration, OktaConfig | Jwks | SigningKeys | Signature | Grants> =>
  Layer.unwrap(
    Effect.map(
      proxySettings,
      ({ passThrough }): ReturnType<typeof verifier> => passThrough ? oktaTokens(options) : ownTokens(options)
    )
  )

/** Verifies tokens of Okta's, of which those issued before `revokedBefore` have ended as well. */
const oktaTokens = (
  options: Pick<VerifierOptions, "cacheSize">
): Layer.Layer<TokenVerifier, InvalidConfiguration, OktaConfig | Jwks | Signature> =>
  Layer.effect(
    TokenVerifier,
    Effect.gen(function*() {
      const { revokedBefore = 0 } = yield* proxySettings
      const { verify, verifyText } = yield* TokenVerifier
      const check = (verified: Effect.Effect<VerifiedToken, TokenError>) =>
        Effect.filterOrFail(verified, ({ claims }) => claims.iat >= revokedBefore, () => revoked)
      return TokenVerifier.of({
        verify: (token) => check(verify(token)),
        verifyText: (token) => check(verifyText(token))
      })
    })
  ).pipe(Layer.provide(TokenVerifier.layerWith(options)))

/** The settings by which this server's own tokens are verified. */
export const ownTrust = (settings: ProxySettings): ProxySettings => {
  const { allowedClients: _, ...others } = settings
  return {
    ...others,
    issuer: settings.serverUrl,
    audience: protectedResources(settings).map(({ resource }) => resource),
    algorithms,
    maxTokenLifetime: Duration.seconds(longestLifetime)
  }
}

/**
 * Verifies the tokens that this server issued, and nothing else: by its own keys, for its own resources, while the grant
 * lasts. When the store cannot tell, a token lives until its own end.
 */
const ownTokens = (
  options: Pick<VerifierOptions, "cacheSize">
): Layer.Layer<TokenVerifier, InvalidConfiguration, OktaConfig | SigningKeys | Signature | Grants> =>
  Layer.effect(
    TokenVerifier,
    Effect.gen(function*() {
      const settings = yield* proxySettings
      const { revokedBefore = 0 } = settings
      const grants = yield* Grants
      const own = Context.get(
        yield* Layer.build(
          TokenVerifier.layerWith({ cacheSize: options.cacheSize }).pipe(
            Layer.provide(SigningKeys.jwks),
            Layer.provide(Layer.succeed(OktaConfig, ownTrust(settings)))
          )
        ),
        TokenVerifier
      )

      const whileGranted = (verified: VerifiedToken) => {
        const { claims: { iat, sid }, principal } = verified
        if (iat < revokedBefore) return Effect.fail(revoked)
        if (principal._tag === "Service") {
          return ServiceToken.isStillListed(settings, principal) ? Effect.succeed(verified) : Effect.fail(unlisted)
        }
        return typeof sid !== "string" ? Effect.succeed(verified) : grants.get(sid).pipe(
          Effect.catchTag("StoreUnavailable", () => Effect.succeed(Option.some(undefined))),
          Effect.flatMap((grant) =>
            Option.isSome(grant)
              ? Effect.succeed(verified)
              : Effect.fail(new InvalidClaim({ claim: "sid", problem: "names a grant that has ended", ownToken: true }))
          )
        )
      }

      const check = (verified: Effect.Effect<VerifiedToken, TokenError>) =>
        Effect.flatMap(
          Effect.catchTags(verified, {
            InvalidAudience: (error) => Effect.fail(new InvalidAudience({ ...error, ownToken: true })),
            InvalidIssuer: (error) => Effect.fail(new InvalidIssuer({ ...error, ownToken: true }))
          }),
          whileGranted
        )
      return TokenVerifier.of({
        verify: (token) => check(own.verify(token)),
        verifyText: (token) => check(own.verifyText(token))
      })
    })
  )

/** What is wrong with the token of a service that the owner of this server does not list any more. */
const unlisted = new InvalidClaim({
  ownToken: true,
  claim: "client_id",
  problem: "names a service that is not among the option clients, or no longer with all of these scopes"
})

/** What is wrong with a token of this server's that was issued before `revokedBefore`. */
export const revoked = new InvalidClaim({
  ownToken: true,
  claim: "iat",
  problem: "is before the time of revokedBefore, which ends all tokens"
})
