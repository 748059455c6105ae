import { Clock, Context, Effect, Layer, Option, Redacted, Schema } from "effect"
import type { HttpClient } from "effect/http"
import { createHash } from "node:crypto"
import { InvalidConfiguration } from "../config/InvalidConfiguration.ts"
import { OktaConfig, type Settings } from "../config/OktaConfig.ts"
import { traced } from "../observe/Span.ts"
import { callOf, timed } from "../observe/Telemetry.ts"
import * as ClientCredentials from "../provider/ClientCredentials.ts"
import { Discovery } from "../provider/Discovery.ts"
import * as OktaForms from "../provider/OktaForms.ts"
import { OktaHttp } from "../provider/OktaHttp.ts"
import { NoUpstreamTokens, UpstreamTokens } from "../proxy/UpstreamTokens.ts"
import type { StoreUnavailable } from "../store/Store.ts"
import { CurrentPrincipal, type Principal } from "../token/Principal.ts"
import * as Remembered from "../token/Remembered.ts"
import * as SubjectToken from "../token/SubjectToken.ts"

/**
 * Okta gives no token for the other API (RFC 8693 section 2.2.2).
 *
 * @example
 * ```ts
 * import { TokenExchange } from "effect-okta"
 * import { Effect } from "effect"
 *
 * // No token, where Okta says that there is none; an outage goes on as one.
 * export const billing = Effect.gen(function*() {
 *   const { get } = yield* TokenExchange
 *   return yield* Effect.asSome(get({ audience: "api://billing", scopes: "invoices:read" }))
 * }).pipe(Effect.catchTag("ExchangeRefused", () => Effect.succeedNone))
 * ```
 */
export class ExchangeRefused extends Schema.TaggedError<ExchangeRefused>()("ExchangeRefused", {
  /** Okta's code, such as `invalid_scope`. */
  error: Schema.String,
  /** Okta's words: for logs, not for people. */
  description: Schema.optionalKey(Schema.String),
  /** The audience that was asked for. */
  audience: Schema.String
}) {
  override get message() {
    const { audience, description, error } = this
    const described = description === undefined ? "" : ` (${OktaForms.printable(description)})`
    return `Okta gives no token for ${OktaForms.printable(audience)} in the caller's name: it answered ` +
      `${OktaForms.printable(error)}${described}.${hints[error] ?? ""}`
  }
}

const hints: { readonly [error: string]: string } = {
  access_denied: " Allow the application, the person and the scopes in an access policy of the authorization server.",
  invalid_client: " Compare clientId and clientSecret with the application in Okta.",
  invalid_grant: " The caller's token has ended, or is of an authorization server that this one does not trust.",
  invalid_scope: " Compare the scopes with those of the authorization server, and allow them in its access policy.",
  invalid_target: " Compare the audience with that of the authorization server.",
  unauthorized_client: " Allow the application the grant type Token Exchange, in Okta."
}

/** Which application exchanges tokens, and where. */
export interface ExchangeOptions extends ClientCredentials.CredentialsOptions {
  /** The authorization server of the other API, where it is not that of the settings; of several issuers, the first. */
  readonly issuer?: string | undefined
  /**
   * Those of several issuers that are the organization which exchanges by another host, such as its custom domain (none): the tokens of
   * their callers are sent to it too.
   */
  readonly sameOrganization?: string | ReadonlyArray<string> | undefined
  /** How many tokens are kept (10 000). */
  readonly cacheSize?: number | undefined
}

/** Which token is wanted. */
export interface WantedToken {
  /** The audience of the other API. */
  readonly audience: string
  /** What the token is to allow there. */
  readonly scopes: string | ReadonlyArray<string>
}

/** A token for another API, in the name of who is calling. */
export interface ExchangedToken {
  readonly accessToken: Redacted.Redacted<string>
  /** When it ends, in seconds since 1970. */
  readonly expiresAt: number
  /** What it allows. */
  readonly scopes: ReadonlyArray<string>
}

/** Why there is no token. */
export type ExchangeError = ExchangeRefused | NoUpstreamTokens | OktaForms.OktaUnavailable | StoreUnavailable

const accessTokenType = "urn:ietf:params:oauth:token-type:access_token"

const Answer = Schema.Struct({
  access_token: Schema.NonEmptyString,
  issued_token_type: Schema.optionalKey(Schema.Literal(accessTokenType)),
  token_type: Schema.String.check(Schema.isPattern(/^bearer$/i)),
  expires_in: Schema.Finite.check(Schema.isGreaterThan(0)),
  scope: Schema.optionalKey(Schema.String)
})

const decode = Schema.decodeUnknownOption(Answer)

/** For how long before its end a token is not given any more, in milliseconds; of a short one, a quarter of its time. */
const margin = 60_000

/**
 * Tokens for other APIs in the name of who is calling, from Okta, for the caller's own.
 *
 * **Details**
 *
 * A token is kept for the caller's token, audience and scopes until a minute before its end, and asked for once at a time.
 * `ExchangeRefused` when Okta says no, `OktaUnavailable` when it says nothing, `NoUpstreamTokens` where nobody has signed in, and in
 * proxy mode `StoreUnavailable`. The caller's own token goes to Okta only, and with `issuers` only to the organization that issued
 * it, which is told by its host: callers of another have `NoUpstreamTokens`.
 *
 * **Gotchas**
 *
 * `CurrentPrincipal` has to be the very one that the guard, or `TokenVerifier`, has given.
 *
 * @see https://www.rfc-editor.org/rfc/rfc8693.html#section-2
 * @see https://developer.okta.com/docs/guides/set-up-token-exchange/main/
 * @example
 * ```ts
 * import { TokenExchange } from "effect-okta"
 * import { Effect } from "effect"
 * import { HttpClient, HttpClientRequest } from "effect/http"
 *
 * export const invoices = Effect.gen(function*() {
 *   const { get } = yield* TokenExchange
 *   const { accessToken } = yield* get({ audience: "api://billing", scopes: "invoices:read" })
 *   const request = HttpClientRequest.get("https://billing.example.com/invoices")
 *   return yield* HttpClient.execute(HttpClientRequest.bearerToken(request, accessToken))
 * })
 * ```
 */
export class TokenExchange extends Context.Service<TokenExchange, {
  /** A token for another API in the name of the current principal. */
  readonly get: (wanted: WantedToken) => Effect.Effect<ExchangedToken, ExchangeError, CurrentPrincipal>
}>()("effect-okta/behalf/TokenExchange") {
  /**
   * By an application in Okta with the grant type Token Exchange. To be provided with what `OktaAuth.layer` provides; fails with
   * `InvalidConfiguration`.
   */
  static readonly layer = (
    { cacheSize = 10_000, issuer, sameOrganization = [], ...application }: ExchangeOptions
  ): Layer.Layer<
    TokenExchange,
    InvalidConfiguration,
    OktaConfig | Discovery | UpstreamTokens | HttpClient.HttpClient
  > =>
    Layer.effect(
      TokenExchange,
      Effect.gen(function*() {
        const settings = yield* OktaConfig
        const upstream = yield* UpstreamTokens
        const others = yield* knownIn(
          settings,
          typeof sameOrganization === "string" ? [sameOrganization] : sameOrganization
        )
        const { endpoint, post } = yield* OktaForms.make(yield* ClientCredentials.make(application))
        const remembered = yield* Remembered.make<ExchangedToken, ExchangeRefused | OktaForms.OktaUnavailable>(
          cacheSize
        )

        /** Okta's token of who is calling: what the client has shown, or what this server keeps for the person. */
        const subjectToken = settings.mode === "proxy" && !settings.passThrough
          ? Effect.map(upstream.get, ({ accessToken }) => accessToken)
          : Effect.flatMap(CurrentPrincipal, shownBy(issuer ?? settings.issuer, others))

        const exchange = Effect.fnUntraced(function*(
          subject: Redacted.Redacted<string>,
          audience: string,
          scopes: ReadonlyArray<string>
        ): Effect.fn.Return<Remembered.Answer<ExchangedToken>, ExchangeRefused | OktaForms.OktaUnavailable> {
          const url = yield* endpoint("token_endpoint")
          const answer = yield* post(url, {
            grant_type: "urn:ietf:params:oauth:grant-type:token-exchange",
            subject_token: Redacted.value(subject),
            subject_token_type: accessTokenType,
            audience,
            ...(scopes.length === 0 ? undefined : { scope: scopes.join(" ") })
          })
          const token = answer.status === 200 ? decode(answer.json) : Option.none()
          if (Option.isNone(token)) {
            const refusal = OktaForms.refusal(url, answer)
            if (refusal._tag === "OktaUnavailable") return yield* refusal
            const { description, error } = refusal
            return yield* new ExchangeRefused({
              error,
              audience,
              ...(description === undefined ? undefined : { description })
            })
          }
          const { access_token, expires_in, scope } = token.value
          if (access_token === Redacted.value(subject)) {
            return yield* OktaForms.unavailable(`${url} answered with the caller's own token`)
          }
          const now = (yield* Clock.currentTimeMillis) / 1000
          const value = {
            accessToken: Redacted.make(access_token),
            expiresAt: Math.floor(now + expires_in),
            scopes: scope === undefined ? scopes : scope.split(" ").filter(Boolean)
          }
          return { value, keepFor: expires_in * 1000 - Math.min(margin, expires_in * 250) }
        })

        return TokenExchange.of({
          get: Effect.fnUntraced(function*({ audience, scopes }) {
            const subject = yield* subjectToken
            const wanted = [...new Set(typeof scopes === "string" ? [scopes] : scopes)].sort()
            const asked = Effect.suspend(() =>
              traced(timed(exchange(subject, audience, wanted), callOf("onBehalf")), "okta.upstream.onBehalf")
            )
            return yield* remembered.get(keyOf([audience, Redacted.value(subject), ...wanted]), asked)
          })
        })
      })
    ).pipe(
      Layer.provide(issuer === undefined ? Layer.empty : discoveryOf(issuer)),
      Layer.provide(OktaHttp.layer)
    )
}

/** Issuers whose tokens are accepted here; any other is a mistake, by which nobody's token would ever be sent. */
const knownIn = (settings: Settings, issuers: ReadonlyArray<string>) => {
  const known = settings.mode === "native" && settings.issuers?.map(({ issuer }) => issuer) || [settings.issuer]
  const problems = issuers.filter((issuer) => !known.includes(issuer)).map((value) => ({
    field: "sameOrganization",
    value,
    message: `is none of the issuers of this server. Give those that are: ${known.join(", ")}.`
  }))
  return problems.length === 0 ? Effect.succeed(issuers) : Effect.fail(new InvalidConfiguration({ problems }))
}

/** The token that proved a principal, for an authorization server of the organization that issued it, and for no other. */
const shownBy = (exchangeIssuer: string, sameOrganization: ReadonlyArray<string>) => {
  const origins = new Set([exchangeIssuer, ...sameOrganization].map((issuer) => new URL(issuer).origin))
  return (principal: Principal) => {
    const token = SubjectToken.of(principal)
    if (token === undefined) {
      return new NoUpstreamTokens({ reason: "the principal is none that a token was verified for, or a copy of one" })
    }
    return principal.issuer === undefined || origins.has(new URL(principal.issuer).origin)
      ? Effect.succeed(token)
      : new NoUpstreamTokens({
        reason:
          `the caller's token is of ${principal.issuer}, and ${exchangeIssuer}, which exchanges tokens, is of another ` +
          "organization and must not see it. If they are one organization, say so in sameOrganization"
      })
  }
}

/** The metadata of another authorization server. */
const discoveryOf = (issuer: string) =>
  Layer.fresh(Discovery.layer).pipe(
    // Nothing is verified by these settings, so that the audience is of no account.
    Layer.provide(OktaConfig.layer({ issuer, audience: issuer }))
  )

/** As long for every token, so that the memory holds no token twice. */
const keyOf = (parts: ReadonlyArray<string>) => createHash("sha256").update(JSON.stringify(parts)).digest("base64url")
