import { Clock, Context, Effect, Exit, Layer, Redacted } from "effect"
import { type Native, OktaConfig, type TrustedIssuer } from "../config/OktaConfig.ts"
import { settingsOf } from "../config/TrustedIssuers.ts"
import { count, outcomeOf, verifications } from "../observe/Telemetry.ts"
import { Discovery } from "../provider/Discovery.ts"
import { Jwks } from "../provider/Jwks.ts"
import type { OktaHttp } from "../provider/OktaHttp.ts"
import { claimedIssuer } from "./ClaimsCheck.ts"
import * as CompactJws from "./CompactJws.ts"
import type { Signature } from "./Signature.ts"
import * as StrictJson from "./StrictJson.ts"
import { InvalidIssuer, MalformedToken, type TokenRefused } from "./TokenError.ts"
import { defaultCacheSize, longestVerdict, TokenVerifier, type VerifierOptions } from "./TokenVerifier.ts"
import * as VerdictCache from "./VerdictCache.ts"

/** Tokens that are not even looked at by any issuer's rules. */
const ofNobody = (outcome: string) =>
  verifications.of({ issuer: "none", token: "unknown", outcome, remembered: "false" })

/** What there is of one issuer. */
type Parts = Context.Context<TokenVerifier | Jwks | Discovery>

/** The parts of one issuer, by the same layers as if it were the only one. */
const partsOf = (
  settings: typeof Native.Type,
  issuer: TrustedIssuer,
  { accept, cacheSize }: VerifierOptions
): Layer.Layer<TokenVerifier | Jwks | Discovery, never, OktaHttp | Signature> =>
  Layer.fresh(
    TokenVerifier.layerWith({ accept: issuer.accept ?? accept, cacheSize }).pipe(
      Layer.provideMerge(Jwks.layer),
      Layer.provideMerge(Discovery.layer),
      Layer.provide(Layer.succeed(OktaConfig, settingsOf(settings, issuer)))
    )
  )

/**
 * Verifies the tokens of several issuers, each with its own keys, audience, algorithms and clients. The token's `iss` picks
 * one, and no other is asked anything.
 *
 * **Details**
 *
 * `Discovery` and the keys of `Jwks` are those of the first issuer. `Jwks.reload` and `Jwks.ready` concern all of them;
 * `Jwks.usable` holds while any has keys, so that one Okta's outage does not take a server away from the others' people.
 */
export const layer = (
  settings: typeof Native.Type,
  issuers: ReadonlyArray<TrustedIssuer>,
  options: VerifierOptions
): Layer.Layer<TokenVerifier | Jwks | Discovery, never, OktaHttp | Signature> =>
  Layer.effectContext(Effect.gen(function*() {
    const clock = yield* Clock.Clock
    const size = options.cacheSize ?? defaultCacheSize
    const each = { ...options, cacheSize: Math.ceil(size / issuers.length) }
    const byIssuer = new Map<string, Parts>()
    for (const issuer of issuers) byIssuer.set(issuer.issuer, yield* Layer.build(partsOf(settings, issuer, each)))
    const [first = yield* Effect.die("no issuer is trusted")] = byIssuer.values()
    const all = [...byIssuer.values()].map((parts) => Context.get(parts, Jwks))

    const verifierOf = (token: string): TokenVerifier["Service"] | TokenRefused => {
      if (token.length > settings.maxTokenLength) {
        return new MalformedToken({ reason: `it is longer than ${settings.maxTokenLength} characters` })
      }
      const jws = CompactJws.read(token)
      if (typeof jws === "string") return new MalformedToken({ reason: jws })
      const payload = StrictJson.parse(jws.payload)
      if (!CompactJws.isJsonObject(payload)) {
        return new MalformedToken({ reason: "its payload is not a JSON object of distinct members" })
      }
      const { iss } = payload
      const parts = typeof iss === "string" ? byIssuer.get(iss) : undefined
      return parts === undefined
        ? new InvalidIssuer({ expected: [...byIssuer.keys()], actual: claimedIssuer(payload) })
        : Context.get(parts, TokenVerifier)
    }

    // Which issuer a token names never changes, so that it is read once.
    const known = VerdictCache.make<TokenVerifier["Service"]>(size)
    const verifyText: TokenVerifier["Service"]["verifyText"] = (token) =>
      Effect.suspend(() => {
        const now = clock.currentTimeMillisUnsafe()
        const before = known.get(token, now)
        if (before !== undefined) return before.verifyText(token)
        const found = verifierOf(token)
        return found instanceof Error
          ? Effect.onExit(Effect.fail(found), (exit) => count(ofNobody(outcomeOf(exit))))
          : Effect.tap(found.verifyText(token), () =>
            Effect.sync(() => known.set(token, found, now + longestVerdict, now)))
      })

    const atOnce = <A, E>(effects: ReadonlyArray<Effect.Effect<A, E>>) =>
      Effect.flatMap(
        Effect.forEach(effects, Effect.exit, { concurrency: "unbounded" }),
        (exits) => Effect.asVoid(Exit.asVoidAll(exits))
      )
    return first.pipe(
      Context.add(TokenVerifier, { verifyText, verify: (token) => verifyText(Redacted.value(token)) }),
      Context.add(Jwks, {
        ...Context.get(first, Jwks),
        ready: atOnce(all.map(({ ready }) => ready)),
        reload: atOnce(all.map(({ reload }) => reload)),
        usable: Effect.map(Effect.all(all.map(({ usable }) => usable)), (held) => held.includes(true))
      })
    )
  }))
