import { Clock, Context, Effect, Layer, Option, Redacted, Schema } from "effect"
import type { InvalidConfiguration } from "../config/InvalidConfiguration.ts"
import type { OktaConfig } from "../config/OktaConfig.ts"
import * as Outage from "../observe/Outage.ts"
import { traced } from "../observe/Span.ts"
import { callOf, timed } from "../observe/Telemetry.ts"
import * as ClientCredentials from "../provider/ClientCredentials.ts"
import type { Discovery } from "../provider/Discovery.ts"
import type { Jwks } from "../provider/Jwks.ts"
import * as OktaForms from "../provider/OktaForms.ts"
import { type OktaRefused, OktaUnavailable, refusal, unavailable } from "../provider/OktaForms.ts"
import type { OktaHttp } from "../provider/OktaHttp.ts"
import type { User } from "../token/Principal.ts"
import type { Signature } from "../token/Signature.ts"
import type { VerificationUnavailable } from "../token/TokenError.ts"
import * as IdJag from "./IdJag.ts"
import * as IdToken from "./IdToken.ts"
import * as OktaAudience from "./OktaAudience.ts"
import { type ProxySettings, proxySettings } from "./ProxySettings.ts"

export { OktaRefused, OktaUnavailable } from "../provider/OktaForms.ts"
export { OktaTokenRefused } from "./IdToken.ts"

/** What Okta gave us for a person who has signed in. */
export interface OktaSession {
  /** Who it is, as the ID token says; scopes are for the access token. */
  readonly user: User
  readonly tokens: {
    readonly accessToken: Redacted.Redacted<string>
    readonly refreshToken?: Redacted.Redacted<string>
    readonly idToken: Redacted.Redacted<string>
    /** When the access token ends, in seconds since 1970. */
    readonly expiresAt: number
    /** What the access token allows, where Okta says so. */
    readonly scopes?: ReadonlyArray<string>
  }
  /** When the person signed in, in seconds since 1970. */
  readonly authTime?: number
  /** The session at Okta (`sid`), where the ID token names it. */
  readonly sessionId?: string
}

/** A person to be sent to Okta (RFC 6749 section 4.1.1, OpenID Connect Core section 3.1.2.1). */
export interface SignIn {
  readonly state: string
  readonly nonce: string
  /** Of our own PKCE at Okta, by S256. */
  readonly codeChallenge: string
  readonly prompt?: string | undefined
  readonly acrValues?: string | undefined
  /** In seconds. */
  readonly maxAge?: number | undefined
  /** What is asked for; by default what the settings say. */
  readonly scopes?: ReadonlyArray<string> | undefined
}

/** What belongs to the code that Okta sent back. */
export interface Exchange {
  readonly code: Redacted.Redacted<string>
  readonly codeVerifier: Redacted.Redacted<string>
  readonly nonce: string
}

/** A person to be signed out at Okta (OpenID Connect RP-Initiated Logout section 2). */
export interface SignOut {
  readonly idTokenHint?: Redacted.Redacted<string> | undefined
  readonly postLogoutRedirectUri?: string | undefined
  readonly state?: string | undefined
}

/** Where Okta sends people back to. */
export const redirectUriOf = ({ serverUrl }: Pick<ProxySettings, "serverUrl">): string => `${serverUrl}/oauth/callback`

/** The scopes that are asked of Okta. */
export const scopesOf = ({ scopes }: Pick<ProxySettings, "scopes">): ReadonlyArray<string> => [
  ...new Set(["openid", ...scopes])
]

const TokenAnswer = Schema.Struct({
  access_token: Schema.NonEmptyString,
  token_type: Schema.String.check(Schema.isPattern(/^bearer$/i)),
  expires_in: Schema.Finite.check(Schema.isGreaterThanOrEqualTo(1)),
  id_token: Schema.optionalKey(Schema.NonEmptyString),
  refresh_token: Schema.optionalKey(Schema.NonEmptyString),
  scope: Schema.optionalKey(Schema.String)
})

const decodeTokens = Schema.decodeUnknownOption(TokenAnswer)

/**
 * This server as a client of Okta's.
 *
 * **Details**
 *
 * Every form is sent once, within 3 seconds, by `client_secret_basic` or `private_key_jwt`, and none while an endpoint has
 * asked us to wait. What Okta says about a person is believed only by an ID token that was verified. An Okta that does not answer is
 * told of here, and not where a request fails for it.
 *
 * @see https://openid.net/specs/openid-connect-core-1_0.html#CodeFlowAuth
 */
export class OktaClient extends Context.Service<OktaClient, {
  /** Where the person signs in. */
  readonly authorizationUrl: (signIn: SignIn) => Effect.Effect<string, OktaUnavailable>
  /** Who signed in, for the code that came back. */
  readonly exchange: (
    exchange: Exchange
  ) => Effect.Effect<OktaSession, OktaRefused | OktaUnavailable | IdToken.OktaTokenRefused>
  /**
   * Who it is now. Okta may replace the refresh token by another, or leave it out where it stays. One that replaces it is handed
   * over at once: whatever becomes of the rest of the answer, Okta knows only that one from then on.
   */
  readonly refresh: <E extends Outage.Trouble>(
    refreshToken: Redacted.Redacted<string>,
    replaced: (by: Redacted.Redacted<string>) => Effect.Effect<void, E>
  ) => Effect.Effect<OktaSession, OktaRefused | OktaUnavailable | IdToken.OktaTokenRefused | E>
  /** What Okta says about a person in an ID-JAG, which a client brought. Okta is asked for nothing but its keys. */
  readonly idJag: (
    assertion: Redacted.Redacted<string>
  ) => Effect.Effect<IdJag.IdJag, OktaUnavailable | IdToken.OktaTokenRefused>
  /** Ends a token at Okta (RFC 7009), and with a refresh token all that came of it. */
  readonly revoke: (token: Redacted.Redacted<string>) => Effect.Effect<void, OktaUnavailable>
  /** Where the person signs out, if Okta has such a place. */
  readonly endSessionUrl: (signOut: SignOut) => Effect.Effect<Option.Option<string>, OktaUnavailable>
}>()("effect-okta/proxy/OktaClient") {
  static readonly layer: Layer.Layer<
    OktaClient,
    InvalidConfiguration,
    OktaConfig | OktaHttp | Discovery | Jwks | Signature
  > = Layer.effect(
    OktaClient,
    Effect.gen(function*() {
      const settings = yield* proxySettings
      const { clientId } = settings
      const { endpoint, metadata, post } = yield* OktaForms.make(yield* ClientCredentials.make(settings))
      const verify = yield* IdToken.verifier
      const verifyIdJag = yield* IdJag.verifier
      const checkAudience = yield* OktaAudience.make
      const redirectUri = redirectUriOf(settings)
      const scope = scopesOf(settings).join(" ")
      const watching = {
        addresses: watched("Okta, to which people are sent,"),
        tokens: watched("Okta, which is asked for tokens,")
      }

      const revoke = Effect.fnUntraced(function*(token: Redacted.Redacted<string>) {
        const url = yield* endpoint("revocation_endpoint")
        const answer = yield* post(url, { token: Redacted.value(token) })
        if (answer.status !== 200) return yield* unavailable(`it answered ${answer.status} to a revocation`)
      }, (self) => observed("revoke", self))

      /** What Okta's tokens prove; what cannot be said now is an outage. */
      const prove = (tokens: typeof TokenAnswer.Type, nonce: string | undefined) =>
        verify(tokens.id_token, { accessToken: tokens.access_token, nonce }).pipe(
          Effect.tap(() => checkAudience(Redacted.make(tokens.access_token))),
          Effect.mapError(asOutage)
        )

      /** Tokens for a grant. Those of a new one, of which nobody else knows, are ended when nothing comes of them. */
      const session = Effect.fnUntraced(function*<E extends Outage.Trouble = never>(
        fields: { readonly [name: string]: string },
        { nonce, replaced }: {
          readonly nonce?: string
          readonly replaced?: (refreshToken: Redacted.Redacted<string>) => Effect.Effect<void, E>
        }
      ) {
        const url = yield* endpoint("token_endpoint")
        const answer = yield* post(url, fields)
        const tokens = answer.status === 200 ? decodeTokens(answer.json) : Option.none()
        if (Option.isNone(tokens)) return yield* refusal(url, answer)
        const { access_token, expires_in, id_token, refresh_token, scope } = tokens.value
        const grantedAt = Math.floor((yield* Clock.currentTimeMillis) / 1000)
        if (replaced !== undefined && refresh_token !== undefined && refresh_token !== fields["refresh_token"]) {
          yield* replaced(Redacted.make(refresh_token))
        }
        const { sessionId, ...user } = yield* Effect.onError(
          prove(tokens.value, nonce),
          () => nonce === undefined ? Effect.void : Effect.ignore(revoke(Redacted.make(refresh_token ?? access_token)))
        )
        return {
          user,
          tokens: {
            accessToken: Redacted.make(access_token),
            ...(refresh_token === undefined ? undefined : { refreshToken: Redacted.make(refresh_token) }),
            idToken: Redacted.make(id_token ?? ""),
            expiresAt: grantedAt + Math.floor(expires_in),
            ...(scope === undefined ? undefined : { scopes: scope.split(" ").filter(Boolean) })
          },
          ...(user.authTime === undefined ? undefined : { authTime: user.authTime }),
          ...(sessionId === undefined ? undefined : { sessionId })
        }
      })

      return OktaClient.of({
        authorizationUrl: ({ acrValues, codeChallenge, maxAge, nonce, prompt, scopes, state }) =>
          Effect.map(watching.addresses(endpoint("authorization_endpoint")), (url) =>
            withQuery(url, {
              response_type: "code",
              client_id: clientId,
              redirect_uri: redirectUri,
              scope: scopes?.join(" ") ?? scope,
              state,
              nonce,
              code_challenge: codeChallenge,
              code_challenge_method: "S256",
              prompt,
              acr_values: acrValues,
              max_age: maxAge === undefined ? undefined : String(maxAge)
            })),
        exchange: ({ code, codeVerifier, nonce }) =>
          watching.tokens(observed(
            "exchange",
            session({
              grant_type: "authorization_code",
              code: Redacted.value(code),
              redirect_uri: redirectUri,
              code_verifier: Redacted.value(codeVerifier)
            }, { nonce })
          )),
        refresh: (refreshToken, replaced) =>
          watching.tokens(observed(
            "refresh",
            session({ grant_type: "refresh_token", refresh_token: Redacted.value(refreshToken) }, { replaced })
          )),
        idJag: (assertion) => Effect.mapError(verifyIdJag(assertion), asOutage),
        revoke,
        endSessionUrl: ({ idTokenHint, postLogoutRedirectUri, state }) =>
          Effect.map(
            watching.addresses(metadata),
            ({ end_session_endpoint: url }) =>
              Option.map(Option.fromUndefinedOr(url), (url) =>
                withQuery(url, {
                  id_token_hint: idTokenHint === undefined ? undefined : Redacted.value(idTokenHint),
                  client_id: idTokenHint === undefined ? clientId : undefined,
                  post_logout_redirect_uri: postLogoutRedirectUri,
                  state
                }))
          )
      })
    })
  )
}

/** Measures what Okta is asked, and gives it a span. */
const observed = <A, E>(operation: "exchange" | "refresh" | "revoke", effect: Effect.Effect<A, E>) =>
  traced(timed(effect, callOf(operation)), `okta.upstream.${operation}`)

/** Watches whether Okta answers, whatever it says; a reason that nobody has been told yet is told at once. */
const watched = (name: string) => {
  const watching = Outage.make(name, { reasonOf: Outage.byMessage })
  return <A, E extends Outage.Trouble, R>(asked: Effect.Effect<A, E, R>) =>
    watching(asked, (error) => error instanceof OktaUnavailable)
}

const asOutage = (
  error: IdToken.OktaTokenRefused | VerificationUnavailable
): OktaUnavailable | IdToken.OktaTokenRefused =>
  error._tag === "OktaTokenRefused" ? error : unavailable(error.message, error.retryAfter)

const withQuery = (url: string, parameters: { readonly [name: string]: string | undefined }): string => {
  const made = new URL(url)
  for (const [name, value] of Object.entries(parameters)) {
    if (value !== undefined) made.searchParams.set(name, value)
  }
  return made.href
}
