import { Clock, Duration, Effect, Layer, Option, Redacted, Schema } from "effect"
import { below, type InvalidConfiguration } from "../config/InvalidConfiguration.ts"
import { OktaConfig } from "../config/OktaConfig.ts"
import * as Outage from "../observe/Outage.ts"
import { count, outcomeOf, verifications } from "../observe/Telemetry.ts"
import type { CredentialsOptions } from "../provider/ClientCredentials.ts"
import type { Discovery } from "../provider/Discovery.ts"
import type { OktaHttp } from "../provider/OktaHttp.ts"
import { principalOf } from "./AccessTokenClaims.ts"
import * as ClaimsCheck from "./ClaimsCheck.ts"
import * as CompactJws from "./CompactJws.ts"
import * as Remembered from "./Remembered.ts"
import * as SubjectToken from "./SubjectToken.ts"
import { IntrospectionUnavailable, MalformedToken, type TokenError, WrongTokenType } from "./TokenError.ts"
import { type ActiveToken, TokenIntrospection } from "./TokenIntrospection.ts"
import { defaultCacheSize, frozen, TokenVerifier, type VerifiedToken, type VerifierOptions } from "./TokenVerifier.ts"

/** How Okta is asked about the tokens that are shown to this server. */
export interface IntrospectionOptions extends CredentialsOptions {
  /**
   * `recheck`: of a token that was verified here Okta is asked as well, once a minute, so that one that was revoked is
   * refused a minute later at most. `only`: Okta is asked in place of a verification here, which makes tokens acceptable that
   * nobody but Okta can verify, those of an org server.
   */
  readonly mode: "recheck" | "only"
}

/** For how long Okta's word about a token is good. */
const goodFor = Duration.toMillis("1 minute")

/** Text that can be a bearer token (RFC 6750 section 2.1). */
const isBearerToken = /^[A-Za-z0-9\-._~+/]+=*$/

const verifierOf = (verifyText: TokenVerifier["Service"]["verifyText"]) =>
  TokenVerifier.of({ verifyText, verify: (token) => verifyText(Redacted.value(token)) })

/**
 * Asks Okta as well about tokens that the verifier below has found good.
 *
 * **Details**
 *
 * What Okta's answer says about issuer, audience, client and times is held against the same rules as the token's claims.
 */
export const recheck = (
  { cacheSize = defaultCacheSize }: Pick<VerifierOptions, "cacheSize"> = {}
): Layer.Layer<TokenVerifier, never, OktaConfig | TokenVerifier | TokenIntrospection> =>
  Layer.effect(
    TokenVerifier,
    Effect.gen(function*() {
      const rules = ClaimsCheck.rulesOf(yield* OktaConfig, "access-token")
      const { introspect } = yield* TokenIntrospection
      const { verifyText } = yield* TokenVerifier
      const remembered = yield* Remembered.make<void, TokenError>(cacheSize)

      const ask = Effect.fnUntraced(
        function*(token: string, { claims }: VerifiedToken): Effect.fn.Return<Remembered.Answer<void>, TokenError> {
          const { active: _, client_id, jti, ...answer } = yield* introspect(Redacted.make(token))
          if (jti !== undefined && claims.jti !== undefined && jti !== claims.jti) return yield* ofAnother(rules.issuer)
          const now = (yield* Clock.currentTimeMillis) / 1000
          const said = ClaimsCheck.check(
            { ...claims, ...answer, ...(client_id === undefined ? undefined : { cid: client_id }) },
            rules,
            now
          )
          return said instanceof Error ? yield* said : { value: undefined, keepFor: goodFor }
        },
        watched(rules.issuer)
      )
      return verifierOf((token) =>
        Effect.tap(verifyText(token), (verified) => remembered.get(token, ask(token, verified)))
      )
    })
  )

/** Leaves it to Okta alone whether a token is good, and holds what Okta says of it against the settings. */
export const only = (
  { cacheSize = defaultCacheSize }: Pick<VerifierOptions, "cacheSize"> = {}
): Layer.Layer<TokenVerifier, never, OktaConfig | TokenIntrospection> =>
  Layer.effect(
    TokenVerifier,
    Effect.gen(function*() {
      const { issuer, maxTokenLength, ...settings } = yield* OktaConfig
      const rules = ClaimsCheck.rulesOf({ issuer, maxTokenLength, ...settings }, "access-token")
      const { introspect } = yield* TokenIntrospection
      const remembered = yield* Remembered.make<VerifiedToken, TokenError>(cacheSize)

      const ask = Effect.fnUntraced(
        function*(token: string): Effect.fn.Return<Remembered.Answer<VerifiedToken>, TokenError> {
          const answer = yield* introspect(Redacted.make(token))
          const type = answer.token_type?.toLowerCase()
          // What Okta says the same way about refresh tokens and ID tokens is no permission to call anybody.
          if (type !== "bearer" && type !== "dpop" || answer.scope === undefined) {
            return yield* new WrongTokenType({
              expected: "an access token",
              actual: "of another kind (Okta names no token_type Bearer or DPoP, or no scope)"
            })
          }
          const cnf = answer["cnf"] ?? bindingIn(token)
          if (type === "dpop" && cnf === undefined) return yield* ofUnknownKey(issuer)
          const now = yield* Clock.currentTimeMillis
          const claims = ClaimsCheck.check({ ...claimsOf(answer, issuer), cnf }, rules, now / 1000)
          if (claims instanceof Error) return yield* claims
          const principal = SubjectToken.remember(principalOf(claims), token)
          return {
            value: frozen({ claims, principal }),
            keepFor: Math.min(goodFor, claims.exp * 1000 - now)
          }
        },
        watched(issuer)
      )

      const counted = <A>(self: Effect.Effect<A, TokenError>) =>
        Effect.onExit(
          self,
          (exit) =>
            count(verifications.of({ issuer, token: "introspected", outcome: outcomeOf(exit), remembered: "false" }))
        )
      return verifierOf((token) => {
        if (token.length > maxTokenLength) {
          return counted(Effect.fail(new MalformedToken({ reason: `it is longer than ${maxTokenLength} characters` })))
        }
        return isBearerToken.test(token)
          ? remembered.get(token, counted(ask(token)))
          : counted(Effect.fail(new MalformedToken({ reason: "it has characters that no token has" })))
      })
    })
  )

/** Warns when Okta cannot be asked. */
const watched = (issuer: string) => {
  const watching = Outage.make(`${issuer}, which is asked about tokens,`)
  return <A>(asked: Effect.Effect<A, TokenError>) => watching(asked, ({ _tag }) => _tag === "IntrospectionUnavailable")
}

/** Okta's answer in the words of an access token. Whose endpoint answers is known where it does not say so. */
const claimsOf = (said: ActiveToken, issuer: string) => {
  const { active: _, token_type: _1, client_id, username, ...answer } = said
  return {
    iss: issuer,
    ...answer,
    ...(client_id === undefined ? undefined : { cid: client_id }),
    ...(username === undefined ? undefined : { preferred_username: username })
  }
}

const payloadOf = Schema.decodeUnknownOption(Schema.fromJsonString(Schema.Record(Schema.String, Schema.Unknown)))

/** To which key a token says that it is bound: Okta may leave it out of the answer, but vouches for the whole token. */
const bindingIn = (token: string): unknown => {
  const jws = CompactJws.read(token)
  return typeof jws === "string" ? undefined : Option.getOrUndefined(payloadOf(jws.payload.toString()))?.["cnf"]
}

const ofUnknownKey = (issuer: string) =>
  new IntrospectionUnavailable({ issuer, reason: "it says that the token is bound to a key, and not to which" })

const ofAnother = (issuer: string) =>
  new IntrospectionUnavailable({
    issuer,
    reason: "it answered about another token than the one that it was asked about"
  })

/** The verifier below with what the option `introspection` asks for. */
export const layer = (
  introspection: IntrospectionOptions,
  options: Pick<VerifierOptions, "cacheSize">
): Layer.Layer<TokenVerifier, InvalidConfiguration, OktaConfig | OktaHttp | Discovery | TokenVerifier> =>
  Layer.provide(
    introspection.mode === "only" ? only(options) : recheck(options),
    // What is wrong with the credentials is told by their place in the settings.
    Layer.catchTag(TokenIntrospection.layer(introspection), "InvalidConfiguration", (error) =>
      Layer.effect(TokenIntrospection, below(error, "introspection")))
  )
