import { Context, Duration, Effect, Layer, Schema } from "effect"
import type { HttpServerRequest } from "effect/http"
import * as RateLimiter from "effect/persistence/RateLimiter"
import { isIPv6 } from "node:net"
import type { InvalidConfiguration } from "../config/InvalidConfiguration.ts"
import type { OktaConfig } from "../config/OktaConfig.ts"
import { sparingly } from "../observe/Sparingly.ts"
import { count as counted, rateLimited } from "../observe/Telemetry.ts"
import { StoreOutage } from "../store/ObservedStore.ts"
import { StoreUnavailable } from "../store/Store.ts"
import { lifetime as pendingFor } from "./authorize/Flow.ts"
import { addressOf } from "./ClientAddress.ts"
import * as PendingSignIns from "./PendingSignIns.ts"
import { proxySettings } from "./ProxySettings.ts"
import { Sealed } from "./Sealed.ts"

/** Too many have asked for the same thing (RFC 6585 section 4). */
export class TooManyRequests extends Schema.TaggedError<TooManyRequests>()("TooManyRequests", {
  /** Of whom, or of what, there were too many. */
  what: Schema.String,
  /** When to try again, in milliseconds. */
  retryAfter: Schema.Number
}) {
  override get message() {
    return `There are too many ${this.what}. If that is meant to be, raise requestsPerMinute or maxPendingSignIns; behind ` +
      "reverse proxies set trustedProxies."
  }
}

/** Where requests are counted, each by itself. */
export type Endpoint = "authorize" | "token" | "register" | "logout"

/**
 * How much of the world comes in at one time.
 *
 * **Details**
 *
 * Addresses and clients are counted in a fixed number of places, by a keyed hash, so that whoever has many of them fills no memory; an
 * IPv6 address counts with its whole network (/64).
 */
export class RateLimits extends Context.Service<RateLimits, {
  /** Counts a request by where it comes from. */
  readonly request: (
    endpoint: Endpoint,
    request: HttpServerRequest.HttpServerRequest
  ) => Effect.Effect<void, TooManyRequests | StoreUnavailable>
  /** Counts a request of a client's. */
  readonly client: (endpoint: Endpoint, clientId: string) => Effect.Effect<void, TooManyRequests | StoreUnavailable>
  /** Counts a person who is sent to Okta. */
  readonly signIn: Effect.Effect<void, TooManyRequests | StoreUnavailable>
}>()("effect-okta/proxy/RateLimits") {
  static readonly layer: Layer.Layer<
    RateLimits,
    InvalidConfiguration,
    OktaConfig | Sealed | RateLimiter.RateLimiterStore
  > = Layer.effect(
    RateLimits,
    Effect.gen(function*() {
      const { maxPendingSignIns, requestsPerMinute, trustedProxies } = yield* proxySettings
      const sealed = yield* Sealed
      const limiter = yield* RateLimiter.RateLimiter
      const watching = yield* StoreOutage
      let warned = trustedProxies > 0

      const pending = yield* PendingSignIns.make(yield* RateLimiter.RateLimiterStore, {
        key: "limit:sign-ins",
        limit: maxPendingSignIns,
        window: pendingFor
      })

      const watched = <A>(counting: Effect.Effect<A, TooManyRequests | StoreUnavailable>) =>
        watching(counting, ({ _tag }) => _tag === "StoreUnavailable", "count")

      const count = (key: string, what: string) =>
        limiter.consume({
          key,
          limit: requestsPerMinute,
          window: "1 minute",
          algorithm: "fixed-window",
          onExceeded: "fail"
        })
          .pipe(Effect.asVoid, Effect.mapError(asTrouble(what)), watched)

      /** One of 16,384 places. */
      const placeOf = (text: string) =>
        Effect.map(
          sealed.hash("store-key", `limit/${text}`),
          (hash) => Buffer.from(hash, "base64url").readUInt16BE() & 0x3fff
        )

      const countIn = Effect.fnUntraced(function*(kind: string, text: string, what: string) {
        const key = `limit:${kind}:${yield* placeOf(`${kind}/${text}`)}`
        yield* count(key, what)
      })

      const warnOfProxy = Effect.suspend(() => {
        if (warned) return Effect.void
        warned = true
        return Effect.logWarning(
          "Requests come through a reverse proxy (X-Forwarded-For), but trustedProxies is 0: all people behind it are " +
            "counted and limited as one. Set trustedProxies (TRUSTED_PROXIES) to the number of reverse proxies in front of this server."
        )
      })

      return RateLimits.of({
        request: Effect.fnUntraced(function*(endpoint, request) {
          if (request.headers["x-forwarded-for"] !== undefined) yield* warnOfProxy
          const place = placeInNetwork(addressOf(request, trustedProxies))
          yield* countIn(`${endpoint}/address`, place, "requests from one address").pipe(noted(endpoint, "address"))
        }),
        client: (endpoint, clientId) =>
          countIn(`${endpoint}/client`, clientId, "requests of one client").pipe(noted(endpoint, "client")),
        signIn: pending.begin.pipe(
          Effect.mapError(asTrouble(onTheirWay)),
          watched,
          Effect.filterOrFail(
            (retryAfter) => retryAfter === undefined,
            (retryAfter = 0) => new TooManyRequests({ what: onTheirWay, retryAfter })
          ),
          Effect.asVoid,
          noted("authorize", "sign-ins")
        )
      })
    })
  ).pipe(Layer.provide(RateLimiter.layer))
}

const onTheirWay = "people on their way through Okta"

const asTrouble = (what: string) => ({ reason }: RateLimiter.RateLimiterError): TooManyRequests | StoreUnavailable =>
  reason._tag === "RateLimitExceeded"
    ? new TooManyRequests({ what, retryAfter: Duration.toMillis(reason.retryAfter) })
    : reason.cause instanceof StoreUnavailable
    ? reason.cause
    : new StoreUnavailable({ operation: "count", reason: reason.message })

/** Counts who was one too many, and tells it here, not where each is answered. */
const noted =
  (endpoint: Endpoint, by: "address" | "client" | "sign-ins") =>
  (self: Effect.Effect<void, TooManyRequests | StoreUnavailable>) =>
    Effect.tapErrorTag(self, "TooManyRequests", ({ message }) =>
      Effect.andThen(
        counted(rateLimited.of({ endpoint, by })),
        sparingly("Warn", `limit ${endpoint} ${by}`, message, 1)
      ))

/** What an address is counted as. */
const placeInNetwork = (address: string): string => isIPv6(address) ? networkOf(address) : address

/** The first 64 bits of an IPv6 address, which one subscriber has for itself. */
const networkOf = (address: string): string => {
  const [before = "", after] = (address.split("%")[0] ?? "").toLowerCase().split("::")
  const head = before.split(":").filter(Boolean)
  const tail = (after ?? "").split(":").filter(Boolean)
  const zeros = after === undefined ? 0 : Math.max(0, 8 - head.length - tail.length)
  return [...head, ...Array.from({ length: zeros }, () => "0"), ...tail].slice(0, 4)
    .map((group) => group.replace(/^0+(?=.)/, "")).join(":")
}
