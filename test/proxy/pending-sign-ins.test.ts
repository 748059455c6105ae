import { assert, describe, it } from "@effect/vitest"
import { Context, Duration, Effect, Layer } from "effect"
import { RateLimiter } from "effect/persistence"
import { TestClock } from "effect/testing"
import * as PendingSignIns from "../../src/proxy/PendingSignIns.ts"
import * as RedisStore from "../../src/store/RedisStore.ts"
import * as RedisServer from "../support/RedisServer.ts"
import { now } from "./ProxyTest.ts"

const window = Duration.minutes(10)

const countersIn = Effect.fnUntraced(function*(limit: number, layer: Layer.Layer<RateLimiter.RateLimiterStore>) {
  const store = Context.get(yield* Layer.build(Layer.fresh(layer)), RateLimiter.RateLimiterStore)
  return yield* PendingSignIns.make(store, { key: "limit:sign-ins", limit, window })
})

/** Pauses between attempts, in seconds, again and again. */
const patterns: ReadonlyArray<readonly [name: string, pauses: (nth: number) => number]> = [
  ["all at once", () => 0],
  ["all at once, whenever it may be possible again", (nth) => nth % 40 === 0 ? 300 : 0],
  // What the limiter's own window lets through twice: one at a time, as it ends, and then all at once.
  ["as slowly as they end, and then all at once", (nth) => nth % 60 < 20 ? 30 : 0],
  ["a little slower than they end", () => 31],
  ["a little faster than they end", () => 29],
  ["at random", (nth) => (nth * 7919) % 61]
]

describe("people on their way through Okta", () => {
  it.effect.each(patterns)(
    "are never more than the limit within any 10 minutes: %s",
    ([, pauses]) =>
      Effect.gen(function*() {
        const limit = 20
        yield* TestClock.setTime(now * 1000)
        const { begin } = yield* countersIn(limit, RateLimiter.layerStoreMemory)
        const begun: Array<number> = []
        let refused = 0
        for (let nth = 1, time = now; nth <= 600; nth++) {
          const wait = yield* begin
          if (wait === undefined) begun.push(time)
          else {
            refused++
            assert.isAbove(begun.filter((at) => at > time - 900).length, limit - 1, "refused for no reason")
            assert.isAtMost(wait, 900_000)
            assert.isAbove(wait, 0)
          }
          const pause = pauses(nth)
          time += pause
          yield* TestClock.adjust(Duration.seconds(pause))
        }
        for (const at of begun) {
          assert.isAtMost(begun.filter((other) => other >= at && other < at + 600).length, limit)
        }
        assert.isAtLeast(begun.length, limit)
        assert.strictEqual(begun.length + refused, 600)
      })
  )

  it.effect("who are too many may come when they were told to", () =>
    Effect.gen(function*() {
      yield* TestClock.setTime(now * 1000)
      const { begin } = yield* countersIn(3, RateLimiter.layerStoreMemory)
      for (let round = 0; round < 20; round++) {
        for (let nth = 0; nth < 3; nth++) assert.isUndefined(yield* begin)
        const wait = yield* begin
        assert(wait !== undefined)
        yield* TestClock.adjust(Duration.millis(wait - 1))
        assert.strictEqual(yield* begin, 1)
        yield* TestClock.adjust(Duration.millis(1))
      }
    }))

  it.live("are counted for all servers together in Redis, and no count lasts", () =>
    Effect.gen(function*() {
      const redis = yield* RedisServer.make()
      const counters = yield* Effect.all(
        [1, 2, 3].map(() => countersIn(20, Layer.orDie(RedisStore.layer({ url: redis.url }))))
      )
      // Until the connections are there.
      yield* Effect.forEach(counters, ({ begin }) => Effect.retry(begin, { times: 1000 }))
      const all = yield* Effect.forEach(
        Array.from({ length: 99 }, (_, nth) => counters[nth % 3]?.begin ?? assert.fail("none")),
        (begin) => begin,
        { concurrency: "unbounded" }
      )
      const begun = all.filter((wait) => wait === undefined).length + counters.length
      // A new half of the window may have begun meanwhile, and then they are the same.
      assert.strictEqual(begun, 20)
      const keys = yield* redis.run("KEYS", "*sign-ins*")
      assert(Array.isArray(keys))
      for (const key of keys) {
        assert.isAtMost(Number(yield* redis.run("PTTL", String(key))), 900_000)
      }
    }), 20_000)

  it.live("are limited anew once Redis has lost what was counted", () =>
    Effect.gen(function*() {
      const redis = yield* RedisServer.make()
      const { begin } = yield* countersIn(20, Layer.orDie(RedisStore.layer({ url: redis.url })))
      for (let round = 0; round < 3; round++) {
        yield* Effect.retry(begin, { times: 1000 })
        yield* redis.run("FLUSHALL")
        const all = yield* Effect.replicateEffect(begin, 30)
        const begun = all.filter((wait) => wait === undefined).length
        assert.isAtLeast(begun, 20)
        // A new half of the window may begin meanwhile.
        assert.isAtMost(begun, 21)
      }
    }), 20_000)
})
