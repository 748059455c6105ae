import { Clock, Context, Deferred, Duration, Effect, Exit, Layer, Redacted } from "effect"
import { escaped } from "../config/EscapedText.ts"
import { OktaConfig } from "../config/OktaConfig.ts"
import { isTraced, traced } from "../observe/Span.ts"
import { count, outcomeOf, tally, verifications } from "../observe/Telemetry.ts"
import type { VerificationKey } from "../provider/JsonWebKey.ts"
import { Jwks, UnknownKey } from "../provider/Jwks.ts"
import { type AccessTokenClaims, principalOf } from "./AccessTokenClaims.ts"
import * as ClaimsCheck from "./ClaimsCheck.ts"
import * as CompactJws from "./CompactJws.ts"
import * as HeaderPolicy from "./HeaderPolicy.ts"
import type { Principal } from "./Principal.ts"
import { Signature } from "./Signature.ts"
import * as StrictJson from "./StrictJson.ts"
import * as SubjectToken from "./SubjectToken.ts"
import { InvalidSignature, MalformedToken, type TokenError, UnsupportedAlgorithm } from "./TokenError.ts"
import * as VerdictCache from "./VerdictCache.ts"

/** What a token proved. The token itself is not kept. */
export interface VerifiedToken {
  /** All that the token says. */
  readonly claims: AccessTokenClaims
  /** Whom it speaks for. */
  readonly principal: Principal
}

/** How tokens are verified, beyond the settings. */
export interface VerifierOptions {
  /**
   * Which kind of token is accepted (`access-token`). With `id-token` the audience is the client id; an ID token says who
   * somebody is and is meant for the client, so accept it only where client and server are one application.
   */
  readonly accept?: "access-token" | "id-token" | undefined
  /** How many verified tokens are remembered (10 000). */
  readonly cacheSize?: number | undefined
}

/** The same for any kind of token, one that no guard accepts included. */
export interface AnyVerifierOptions extends Pick<VerifierOptions, "cacheSize"> {
  /** Which kind of token is accepted (`access-token`). */
  readonly accept?: HeaderPolicy.TokenKind | undefined
}

/** How many verified tokens are remembered, unless options say. */
export const defaultCacheSize = 10_000

/** The longest time for which a verified token is remembered, in milliseconds. */
export const longestVerdict = Duration.toMillis("5 minutes")

/** A longer token is not read for the sake of a span. */
const longestShown = 16 * 1024

interface Verdict {
  readonly key: VerificationKey
  /** Absent until the token comes again. */
  accepted?: Effect.Effect<VerifiedToken>
}

/** A signature that is being verified, and others may wait for. */
interface Underway {
  readonly token: string
  readonly valid: Deferred.Deferred<boolean>
}

/**
 * Verifies access tokens: form, header, signature and claims, in this order.
 *
 * **Details**
 *
 * A verified token is remembered until its own `exp`, 5 minutes at most, and only while its key is one of the issuer's.
 * Failures are not remembered. Concurrent verifications of one token do the work once.
 *
 * @see https://www.rfc-editor.org/rfc/rfc9068.html#section-4
 * @see https://www.rfc-editor.org/rfc/rfc8725.html
 * @example
 * ```ts
 * import { TokenVerifier } from "effect-okta"
 * import { Effect, Redacted } from "effect"
 *
 * export const senderOf = Effect.fnUntraced(
 *   function*(token: string) {
 *     const verifier = yield* TokenVerifier
 *     const { principal } = yield* verifier.verify(Redacted.make(token))
 *     return principal.subject
 *   },
 *   Effect.catchTag("TokenExpired", () => Effect.succeed("somebody whose token has expired"))
 * )
 * ```
 */
export class TokenVerifier extends Context.Service<TokenVerifier, {
  /**
   * What the token proves. Fails with one of `TokenRefused` (`TokenExpired`, `InvalidAudience` and so on) when the token
   * is at fault, and with `DiscoveryFailed` or `KeysUnavailable` when that cannot be told because Okta is away, after 3
   * seconds at most.
   */
  readonly verify: (token: Redacted.Redacted<string>) => Effect.Effect<VerifiedToken, TokenError>
  /** The same for a token that was read from a request just now, and would be wrapped only to be unwrapped here. */
  readonly verifyText: (token: string) => Effect.Effect<VerifiedToken, TokenError>
}>()("effect-okta/token/TokenVerifier") {
  /** Verifies the tokens of the configured issuer, as the options say. */
  static readonly layerWith = (
    options: AnyVerifierOptions = {}
  ): Layer.Layer<TokenVerifier, never, OktaConfig | Jwks | Signature> =>
    Layer.effect(
      TokenVerifier,
      Effect.gen(function*() {
        const config = yield* OktaConfig
        const jwks = yield* Jwks
        const signature = yield* Signature
        const clock = yield* Clock.Clock

        // Where there is but one issuer nobody has to be told which.
        const isOneOfSeveral = config.mode === "native" && config.issuers !== undefined
        const kind = options.accept ?? "access-token"
        const rules = ClaimsCheck.rulesOf(config, kind)
        const verdicts = VerdictCache.make<Verdict>(options.cacheSize ?? defaultCacheSize)
        const underway = new Map<string, Underway>()

        const principalIn = (claims: AccessTokenClaims, token: string) =>
          SubjectToken.remember(principalOf(claims, isOneOfSeveral), token)

        const decide = (
          token: string,
          jws: CompactJws.CompactJws,
          header: HeaderPolicy.SignatureHeader,
          key: VerificationKey,
          valid: boolean
        ): Effect.Effect<VerifiedToken, TokenError> => {
          if (!valid) return Effect.fail(new InvalidSignature(header))
          const now = clock.currentTimeMillisUnsafe()
          const claims = ClaimsCheck.check(StrictJson.parse(jws.payload), rules, now / 1000, jwks.clockSkew())
          if (claims instanceof Error) return Effect.fail(claims)
          verdicts.set(token, { key }, Math.min(claims.exp * 1000, now + longestVerdict), now)
          return Effect.succeed({ claims, principal: principalIn(claims, token) })
        }

        // Whoever verified the token first may change what it got. What is given to all the others is read once more.
        const recall = (token: string, verdict: Verdict): Effect.Effect<VerifiedToken, TokenError> => {
          const payload = Buffer.from(token.slice(token.indexOf(".") + 1, token.lastIndexOf(".")), "base64url")
          const now = clock.currentTimeMillisUnsafe() / 1000
          const claims = ClaimsCheck.check(StrictJson.parse(payload), rules, now, jwks.clockSkew())
          if (claims instanceof Error) return Effect.fail(claims)
          return verdict.accepted = Effect.succeed(frozen({ claims, principal: principalIn(claims, token) }))
        }

        const verifyWith = (
          token: string,
          jws: CompactJws.CompactJws,
          header: HeaderPolicy.SignatureHeader,
          key: VerificationKey
        ): Effect.Effect<VerifiedToken, TokenError> => {
          if (!key.algorithms.includes(header.algorithm)) {
            return Effect.fail(new UnsupportedAlgorithm({ expected: key.algorithms, actual: header.algorithm }))
          }
          const valid = signature.verifyNow(header.algorithm, key.key, jws.signingInput, jws.signature)
          if (valid !== undefined) return decide(token, jws, header, key, valid)

          const tail = VerdictCache.tailOf(token)
          const same = underway.get(tail)
          if (same !== undefined && same.token === token) {
            return Effect.flatMap(Deferred.await(same.valid), (valid) => decide(token, jws, header, key, valid))
          }
          // Others wait for this, so the caller's own end must not end it, once it is known to be under way.
          return Effect.uninterruptible(Effect.suspend(() => {
            const answer = Deferred.makeUnsafe<boolean>()
            underway.set(tail, { token, valid: answer })
            return Effect.flatMap(
              signature.verify(header.algorithm, key.key, jws.signingInput, jws.signature),
              (valid) => {
                underway.delete(tail)
                Deferred.doneUnsafe(answer, Effect.succeed(valid))
                return decide(token, jws, header, key, valid)
              }
            )
          }))
        }

        const prove = (token: string): Effect.Effect<VerifiedToken, TokenError> => {
          if (token.length > config.maxTokenLength) {
            return Effect.fail(
              new MalformedToken({ reason: `it is longer than ${config.maxTokenLength} characters` })
            )
          }
          const jws = CompactJws.read(token)
          if (typeof jws === "string") return Effect.fail(new MalformedToken({ reason: jws }))
          const header = HeaderPolicy.check(jws.header, config.algorithms, kind)
          if (header instanceof Error) return Effect.fail(header)
          const key = jwks.peek(header.kid)
          return key !== undefined
            ? verifyWith(token, jws, header, key)
            : jwks.key(header.kid).pipe(
              Effect.mapError((error) => error._tag === "UnknownKey" ? withClaimedIssuer(error, jws) : error),
              Effect.flatMap((key) => verifyWith(token, jws, header, key))
            )
        }

        const series = (remembered: boolean, outcome: string) =>
          verifications.of({
            issuer: config.issuer,
            token: kind.replace("-", "_"),
            outcome,
            remembered: String(remembered)
          })
        const seenBefore = yield* tally(series(true, "success"))
        const countedAgain = (exit: Exit.Exit<VerifiedToken, TokenError>) =>
          Exit.isSuccess(exit)
            ? Effect.sync(() => seenBefore.count++)
            : count(series(true, outcomeOf(exit)))
        const counted = (exit: Exit.Exit<VerifiedToken, TokenError>) => count(series(false, outcomeOf(exit)))

        const decided = (token: string): Effect.Effect<VerifiedToken, TokenError> => {
          const verdict = verdicts.get(token, clock.currentTimeMillisUnsafe())
          if (verdict !== undefined) {
            if (jwks.holds(verdict.key)) {
              if (verdict.accepted === undefined) return Effect.onExit(recall(token, verdict), countedAgain)
              seenBefore.count++
              return verdict.accepted
            }
            verdicts.delete(token)
          }
          return Effect.onExit(prove(token), counted)
        }

        const verifyText = (token: string): Effect.Effect<VerifiedToken, TokenError> =>
          Effect.withFiber((fiber) =>
            isTraced(fiber)
              ? traced(
                Effect.suspend(() => decided(token)),
                "okta.verify",
                { attributes: attributesOf(token, config.issuer) }
              )
              : decided(token)
          )

        return TokenVerifier.of({ verifyText, verify: (token) => verifyText(Redacted.value(token)) })
      })
    )

  /** Verifies the access tokens of the configured issuer. */
  static readonly layer: Layer.Layer<TokenVerifier, never, OktaConfig | Jwks | Signature> = TokenVerifier.layerWith()
}

/** What a span may tell of a token, nothing in it verified. */
const attributesOf = (token: string, issuer: string) => {
  const jws = token.length > longestShown ? undefined : CompactJws.read(token)
  const kid = typeof jws === "object" ? jws.header["kid"] : undefined
  return {
    "okta.issuer": issuer,
    ...(typeof kid === "string" ? { "okta.kid": escaped(kid.slice(0, 100)) } : undefined)
  }
}

/** A remembered verdict is given to many requests, none of which may change it for the others. */
export const frozen = <A>(value: A): A => {
  if (typeof value !== "object" || value === null) return value
  Object.values(value).forEach(frozen)
  return Object.freeze(value)
}

/** Says where a token with an unknown key claims to come from, the usual reason for it. */
const withClaimedIssuer = (error: UnknownKey, jws: CompactJws.CompactJws): UnknownKey => {
  const payload = StrictJson.parse(jws.payload)
  const issuer = CompactJws.isJsonObject(payload) ? payload["iss"] : undefined
  return typeof issuer === "string"
    ? new UnknownKey({ ...error, claimedIssuer: issuer.slice(0, 200) })
    : error
}
