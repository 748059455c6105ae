import { Clock, Context, Duration, Effect, Exit, Layer, Metric, Result, Schema } from "effect"
import { issuerKind } from "../config/IssuerUrl.ts"
import { OktaConfig } from "../config/OktaConfig.ts"
import { KeysRotated } from "../observe/AuditEvent.ts"
import { AuditLog, record } from "../observe/AuditLog.ts"
import { traced } from "../observe/Span.ts"
import * as Telemetry from "../observe/Telemetry.ts"
import { Discovery, DiscoveryFailed } from "./Discovery.ts"
import * as FreshValue from "./FreshValue.ts"
import { type KeySet, readKeySet, type VerificationKey } from "./JsonWebKey.ts"
import { OktaHttp, requestDeadline } from "./OktaHttp.ts"
import { quoted } from "./Quoted.ts"

/**
 * The issuer's keys could not be had, so that nothing can be said about a token.
 *
 * @see https://developer.okta.com/docs/concepts/key-rotation/
 */
export class KeysUnavailable extends Schema.TaggedError<KeysUnavailable>()("KeysUnavailable", {
  /** The configured issuer. */
  issuer: Schema.String,
  /** What went wrong, and at which address. */
  reason: Schema.String,
  /** Time until Okta is asked again, in milliseconds. */
  retryAfter: Schema.optionalKey(Schema.Number)
}) {
  override get message() {
    return `The keys of ${this.issuer} are not available: ${this.reason}. Tokens can be verified again as soon as Okta ` +
      `answers; check that this server can reach it.`
  }
}

/**
 * The token names a key that the issuer does not publish.
 *
 * @see https://www.rfc-editor.org/rfc/rfc7515.html#section-4.1.4
 */
export class UnknownKey extends Schema.TaggedError<UnknownKey>()("UnknownKey", {
  /** The configured issuer. */
  issuer: Schema.String,
  /** The key that the token names, its first 100 characters. */
  kid: Schema.String,
  /** The keys that the issuer publishes. */
  known: Schema.Array(Schema.String),
  /** Who the token says issued it; nothing proves that. */
  claimedIssuer: Schema.optionalKey(Schema.String),
  /** Whether only this server's own tokens are accepted, in proxy mode. */
  ownToken: Schema.optionalKey(Schema.Boolean)
}) {
  override get message() {
    if (this.ownToken === true) return ofOwnTokens(this)
    const origin = this.claimedIssuer === undefined || this.claimedIssuer === this.issuer
      ? "It comes from another authorization server, or its key has been withdrawn: sign in again."
      : `It says that it comes from ${quoted(this.claimedIssuer)}: sign in at the configured issuer, or ` +
        "configure the other one."
    const orgServer = [this.issuer, this.claimedIssuer].some(mayBeOrgServer)
      ? " The access tokens of an Okta org server, whose issuer has no path, cannot be verified by anybody but Okta: use " +
        "a custom authorization server, such as the one under /oauth2/default."
      : ""
    return `The token is signed with the key ${
      quoted(this.kid)
    }, which ${this.issuer} does not publish. ${origin}${orgServer}`
  }
}

/** Why a token is signed with none of this server's own keys, where only those count. */
const ofOwnTokens = ({ claimedIssuer, issuer, kid }: UnknownKey): string => {
  const reason = claimedIssuer === undefined || claimedIssuer === issuer
    ? "The key was taken out of signingKeys, or made up before a restart. The client has to refresh its tokens, or have " +
      "the person sign in again; keep a key in signingKeys for an hour after another has taken its place."
    : `It says that it comes from ${
      quoted(claimedIssuer)
    }, but in proxy mode clients hold tokens of this server's own: ` +
      `get one at ${issuer}.`
  return `The token is signed with the key ${quoted(kid)}, which is none of this server's. ${reason}`
}

const mayBeOrgServer = (issuer: string | undefined) =>
  issuer !== undefined && URL.canParse(issuer) && issuerKind(issuer) === "org"

const maxBytes = 256 * 1024
const lifetime = { default: 5 * 60_000, shortest: 60_000, longest: 60 * 60_000 }
const refetchInterval = 10_000

interface FetchedKeys extends KeySet {
  readonly lifetime: number
  readonly clockSkew: number | undefined
}

/**
 * The issuer's public keys, kept fresh.
 *
 * **Details**
 *
 * A set is used for 5 minutes, or for what Okta's `Cache-Control` says between 1 minute and 1 hour, and then replaced in
 * the background. While Okta is unavailable the last good set serves for up to 24 hours. A key that a healthy answer
 * lacks is gone at once.
 *
 * @see https://www.rfc-editor.org/rfc/rfc7517.html#section-5
 * @example
 * ```ts
 * import { Jwks } from "effect-okta"
 *
 * export const keysWereReplaced = Jwks.use(({ reload }) => reload)
 * ```
 */
export class Jwks extends Context.Service<Jwks, {
  /**
   * The key for a `kid`. An unknown one causes at most one fetch in 10 seconds, shared by all who wait; nobody waits
   * longer than 3 seconds. Fails with `UnknownKey` when the issuer does not publish it, and with `KeysUnavailable` or
   * `DiscoveryFailed` while Okta cannot be asked.
   */
  readonly key: (kid: string) => Effect.Effect<VerificationKey, UnknownKey | KeysUnavailable | DiscoveryFailed>
  /** The key for a `kid`, when it is held already. */
  readonly peek: (kid: string) => VerificationKey | undefined
  /** Whether a key once given is still one of the issuer's. */
  readonly holds: (key: VerificationKey) => boolean
  /** Waits until keys are held, at most 3 seconds, and then fails with `KeysUnavailable` or `DiscoveryFailed`. */
  readonly ready: Effect.Effect<void, KeysUnavailable | DiscoveryFailed>
  /** Whether keys are held now. */
  readonly usable: Effect.Effect<boolean>
  /**
   * Fetches the keys now, for operators; fails with `KeysUnavailable` or `DiscoveryFailed`, at once in the pause after
   * a failed fetch.
   */
  readonly reload: Effect.Effect<void, KeysUnavailable | DiscoveryFailed>
  /** Okta's clock minus ours, in milliseconds, as of the last fetch. */
  readonly clockSkew: () => number | undefined
}>()("effect-okta/provider/Jwks") {
  /** Fetches in the background for as long as the layer lives; is built while Okta is away, too. */
  static readonly layer: Layer.Layer<Jwks, never, OktaConfig | Discovery | OktaHttp> = Layer.effect(
    Jwks,
    Effect.gen(function*() {
      const { issuer } = yield* OktaConfig
      const discovery = yield* Discovery
      const http = yield* OktaHttp
      const clock = yield* Clock.Clock
      const now = () => Number(clock.monotonicTimeNanosUnsafe()) / 1e6

      const unavailable = (reason: string, retryAfter?: number) =>
        new KeysUnavailable({ issuer, reason, ...(retryAfter === undefined ? {} : { retryAfter }) })

      let current: FetchedKeys | undefined
      let refetchedAt = -Infinity
      let kids: ReadonlySet<string> | undefined

      const audit = yield* AuditLog

      const noteRotation = Effect.fnUntraced(function*(keys: KeySet["keys"]) {
        const before = kids
        kids = new Set(keys.keys())
        const added = [...kids.difference(before ?? kids)]
        const removed = [...before?.difference(kids) ?? []]
        if (added.length + removed.length === 0) return
        const short = (kid: string) => kid.slice(0, 100)
        yield* record(
          audit,
          (at) => new KeysRotated({ at, issuer, added: added.map(short), removed: removed.map(short) })
        )
      })

      const fetchFrom = Effect.fnUntraced(function*(uri: string) {
        const document = yield* http.getJson(uri, { maxBytes }).pipe(
          Effect.catchTag("FetchFailed", (error) => Effect.fail(unavailable(error.reason, error.retryAfter)))
        )
        const set = yield* Effect.fromResult(
          Result.mapError(readKeySet(document.json), (problem) => unavailable(`${uri} ${problem}`))
        )
        if (set.skipped.length > 0) yield* Effect.logDebug(`Some keys of ${issuer} are not used`, set.skipped)
        yield* noteRotation(set.keys)
        return {
          keys: sameObjects(set.keys, current?.keys),
          skipped: set.skipped,
          lifetime: Math.min(Math.max(document.maxAge ?? lifetime.default, lifetime.shortest), lifetime.longest),
          clockSkew: document.clockSkew
        }
      })

      const fetch: Effect.Effect<FetchedKeys, KeysUnavailable | DiscoveryFailed> = Effect.flatMap(
        discovery.metadata,
        ({ jwks_uri }) =>
          fetchFrom(jwks_uri).pipe(
            Effect.onExit((exit) =>
              Telemetry.count(Telemetry.keyFetches.of({ issuer, outcome: exit._tag.toLowerCase() }))
            ),
            (self) => Telemetry.timed(self, Telemetry.callOf("keys")),
            (self) => traced(self, "okta.keys", { root: true, attributes: { "okta.issuer": issuer } })
          )
      ).pipe(
        Effect.onExit((exit) =>
          Metric.update(
            Telemetry.keySetLastGood.of({ issuer }),
            Exit.isFailure(exit) && current !== undefined ? 1 : 0
          )
        )
      )

      const ageOfSet = Telemetry.keySetAge.of({ issuer })
      const keySet = yield* FreshValue.make<FetchedKeys, KeysUnavailable | DiscoveryFailed>({
        name: `key set of ${issuer}`,
        fetch,
        lifetime: (set) => set.lifetime,
        retryAfter: (error) => error.retryAfter,
        withRetryAfter: (error, retryAfter) =>
          error._tag === "DiscoveryFailed"
            ? new DiscoveryFailed({ issuer, reason: error.reason, retryAfter })
            : unavailable(error.reason, retryAfter),
        record: (age) => Metric.update(ageOfSet, Math.round(age / 1000)),
        inherited: (error) => error._tag === "DiscoveryFailed",
        failed: unavailable,
        onChange: (set) => {
          current = set
        }
      })
      const find = (kid: string, set: FetchedKeys) => {
        const key = set.keys.get(kid)
        return key === undefined
          ? Effect.fail(
            new UnknownKey({
              issuer,
              kid: kid.slice(0, 100),
              known: Array.from(set.keys.keys(), (known) => known.slice(0, 100))
            })
          )
          : Effect.succeed(key)
      }

      const key = (kid: string) =>
        Effect.suspend(() => {
          const held = keySet.peek()
          if (held?.keys.has(kid) === true) return find(kid, held)
          const askedAt = now()
          if (keySet.fetching()) {
            return Effect.flatMap(
              held === undefined ? keySet.getFor((set) => set.keys.has(kid)) : keySet.refresh,
              (set) => set.keys.has(kid) ? find(kid, set) : missed(kid, set, askedAt)
            )
          }
          // The failed fetch of a set that was put aside leaves one that cannot tell which keys are unknown.
          if (held === undefined) {
            return Effect.flatMap(keySet.getFor((set) => set.keys.has(kid)), (set) => find(kid, set))
          }
          // While Okta is away nobody can say that a key is unknown.
          if (keySet.failure() === undefined && askedAt - refetchedAt < refetchInterval) return find(kid, held)
          refetchedAt = askedAt
          return Effect.flatMap(keySet.refresh, (set) => find(kid, set))
        })

      /** The fetch that was joined may have read the set before the key was published: one that began later has not. */
      const missed = (kid: string, joined: FetchedKeys, askedAt: number) =>
        Effect.suspend(() => {
          const set = keySet.peek() ?? joined
          if (set.keys.has(kid)) return find(kid, set)
          if (!keySet.fetching()) {
            if (now() - refetchedAt < refetchInterval) return find(kid, set)
            refetchedAt = now()
          }
          const left = Math.max(0, Duration.toMillis(FreshValue.longestWait) - (now() - askedAt))
          return keySet.refresh.pipe(
            Effect.timeoutOrElse({
              duration: left,
              orElse: () => Effect.fail(unavailable(`nothing came within ${Duration.format(requestDeadline)}`))
            }),
            Effect.flatMap((set) => find(kid, set))
          )
        })

      return Jwks.of({
        key,
        peek: (kid) => {
          keySet.touch()
          return current?.keys.get(kid)
        },
        holds: (key) => {
          keySet.touch()
          return current?.keys.get(key.kid) === key
        },
        ready: Effect.asVoid(keySet.get),
        usable: Effect.sync(keySet.held),
        reload: Effect.asVoid(keySet.reload),
        clockSkew: () => current?.clockSkew
      })
    })
  )
}

/** Keeps the identity of keys that have not changed, by which remembered verdicts know that theirs is still held. */
const sameObjects = (
  keys: ReadonlyMap<string, VerificationKey>,
  previous: ReadonlyMap<string, VerificationKey> | undefined
): ReadonlyMap<string, VerificationKey> =>
  new Map(Array.from(keys, ([kid, key]) => {
    const old = previous?.get(kid)
    const same = old !== undefined && old.key.equals(key.key) && old.algorithms.join() === key.algorithms.join()
    return [kid, same ? old : key]
  }))
