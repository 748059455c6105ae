import { Effect, type Layer, Redacted } from "effect"
import { HttpRouter, type HttpServerRequest, HttpServerResponse } from "effect/http"
import type { InvalidConfiguration } from "../../config/InvalidConfiguration.ts"
import type { OktaConfig } from "../../config/OktaConfig.ts"
import { traced } from "../../observe/Span.ts"
import { count, outcomeOf, tokenRequests } from "../../observe/Telemetry.ts"
import { proofOf } from "../../resource/BearerCredentials.ts"
import type { DpopError } from "../../token/DpopError.ts"
import { isOffered } from "../../token/DpopProof.ts"
import { DpopProofs } from "../../token/DpopProofs.ts"
import * as Audit from "../Audit.ts"
import { type Client, mayRefresh } from "../client/Client.ts"
import { ClientAuthentication } from "../client/ClientAuthentication.ts"
import { answering, pathsOf } from "../Endpoint.ts"
import * as FormRequest from "../FormRequest.ts"
import { type ProxySettings, proxySettings } from "../ProxySettings.ts"
import { RateLimits } from "../RateLimits.ts"
import { Grants, type Tokens } from "./Grant.ts"
import { GrantTypeNotAllowed, UnsupportedGrantType } from "./GrantError.ts"
import { jwtBearer, offered, type OfferedGrant } from "./GrantTypes.ts"
import { TokenIssuer } from "./IssuedToken.ts"
import * as ServiceToken from "./ServiceToken.ts"
import * as TokenAnswer from "./TokenAnswer.ts"

const tokenPath = "/oauth/token"

/** The answer to a client that gets tokens (RFC 6749 section 5.1): ours, never Okta's. */
const granted = ({ accessToken, expiresIn, refreshToken, scopes, type }: Tokens) =>
  HttpServerResponse.jsonUnsafe({
    access_token: Redacted.value(accessToken),
    token_type: type,
    expires_in: expiresIn,
    ...(refreshToken === undefined ? undefined : { refresh_token: Redacted.value(refreshToken) }),
    scope: scopes.join(" ")
  }, { headers: TokenAnswer.headers })

const scopesIn = (form: FormRequest.Form) => form.get("scope")?.split(" ").filter((scope) => scope !== "")

/** Gives a client what it asks for by one grant, bound to its key if it has proven to hold one. */
type Give = (
  client: Client,
  form: FormRequest.Form,
  dpopKey: string | undefined
) => Effect.Effect<Tokens, TokenAnswer.TokenRefusal>

/** A grant as metrics name it. */
const labelOf = (grantType: OfferedGrant): string => grantType === jwtBearer ? "jwt_bearer" : grantType

const make = Effect.fnUntraced(function*(settings: ProxySettings) {
  const clients = yield* ClientAuthentication
  const grants = yield* Grants
  const limits = yield* RateLimits
  const proofs = yield* DpopProofs

  const serve = ServiceToken.issuance(settings, { audit: yield* Audit.make, issuer: yield* TokenIssuer })

  /** The key that tokens are to be bound to, of which the client sends a proof (RFC 9449 section 5). */
  const keyOf = (
    { metadata }: Client,
    request: HttpServerRequest.HttpServerRequest
  ): Effect.Effect<string | undefined, DpopError> =>
    isOffered(settings) && (
        request.headers["dpop"] !== undefined || settings.dpop === "require" ||
        metadata.dpop_bound_access_tokens === true
      )
      ? proofs.check(proofOf(request), { method: request.method, url: `${settings.serverUrl}${tokenPath}` }, settings)
      : Effect.undefined

  const redeem = Effect.fnUntraced(function*(client: Client, form: FormRequest.Form, dpopKey: string | undefined) {
    return yield* grants.redeem(client, {
      code: Redacted.make(yield* form.require("code")),
      redirectUri: yield* form.require("redirect_uri"),
      codeVerifier: Redacted.make(yield* form.require("code_verifier")),
      resource: form.get("resource"),
      dpopKey
    })
  }, (self) => traced(self, "okta.token.redeem"))

  const refresh = Effect.fnUntraced(function*(client: Client, form: FormRequest.Form, dpopKey: string | undefined) {
    if (!mayRefresh(client)) return yield* new GrantTypeNotAllowed({ grantType: "refresh_token" })
    return yield* grants.refresh(client, {
      refreshToken: Redacted.make(yield* form.require("refresh_token")),
      scopes: scopesIn(form),
      resource: form.get("resource"),
      dpopKey
    })
  }, (self) => traced(self, "okta.token.refresh"))

  const assert = Effect.fnUntraced(function*(client: Client, form: FormRequest.Form, dpopKey: string | undefined) {
    return yield* grants.redeemIdJag(client, {
      assertion: Redacted.make(yield* form.require("assertion")),
      scopes: scopesIn(form),
      resource: form.get("resource"),
      dpopKey
    })
  }, (self) => traced(self, "okta.token.id_jag"))

  const gives: { readonly [grant in OfferedGrant]: Give } = {
    authorization_code: redeem,
    refresh_token: refresh,
    client_credentials: (client, form, dpopKey) =>
      traced(serve(client, { scopes: scopesIn(form), resource: form.get("resource"), dpopKey }), "okta.token.service"),
    [jwtBearer]: assert
  }
  const offers = offered(settings)

  const give = Effect.fnUntraced(function*(
    grant: Give,
    request: HttpServerRequest.HttpServerRequest,
    form: FormRequest.Form
  ): Effect.fn.Return<HttpServerResponse.HttpServerResponse, TokenAnswer.TokenRefusal> {
    const client = yield* clients.authenticate(request, form)
    yield* limits.client("token", client.clientId)
    return granted(yield* grant(client, form, yield* keyOf(client, request)))
  })

  return Effect.fnUntraced(
    function*(request: HttpServerRequest.HttpServerRequest) {
      yield* limits.request("token", request)
      const form = yield* FormRequest.read(request)
      const grantType = yield* form.require("grant_type")
      const grant = offers.find((offer) => offer === grantType)
      const given: ReturnType<typeof give> = grant === undefined
        ? Effect.fail(new UnsupportedGrantType({ grantType }))
        : give(gives[grant], request, form)
      return yield* Effect.onExit(
        given,
        (exit) =>
          count(
            tokenRequests.of({ grant_type: grant === undefined ? "other" : labelOf(grant), outcome: outcomeOf(exit) })
          )
      )
    },
    Effect.catch(TokenAnswer.refuse)
  )
})

/**
 * Gives tokens at `/oauth/token`: for codes and refresh tokens, for ID-JAGs, and to services.
 *
 * @see https://www.rfc-editor.org/rfc/rfc6749.html#section-3.2
 */
export const routes: Layer.Layer<
  never,
  InvalidConfiguration,
  HttpRouter.HttpRouter | OktaConfig | ClientAuthentication | Grants | RateLimits | TokenIssuer
> = HttpRouter.use((router) =>
  Effect.gen(function*() {
    const settings = yield* proxySettings
    const answer = yield* make(settings)
    for (const path of pathsOf(settings, tokenPath)) yield* answering(router, path, { POST: answer })
  })
)
