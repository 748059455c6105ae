import { assert, describe, it } from "@effect/vitest"
import { Effect, Layer } from "effect"
import { RateLimiter } from "effect/persistence"
import { TestClock } from "effect/testing"
import { StoreUnavailable } from "../../src/store/Store.ts"
import { recorder } from "../support/FaultScene.ts"
import { make, now } from "../support/ProxyScene.ts"
import * as TroubledStore from "../support/TroubledStore.ts"

const cause = new StoreUnavailable({ operation: "count", reason: "nothing listens there" })

/** Counts as long as the store is there. */
const limitsIn = (isAway: () => boolean) =>
  Layer.effect(
    RateLimiter.RateLimiterStore,
    Effect.map(RateLimiter.RateLimiterStore, (limits) => ({
      ...limits,
      fixedWindow: (options) =>
        Effect.suspend(() =>
          isAway()
            ? Effect.fail(
              new RateLimiter.RateLimiterError({
                reason: new RateLimiter.RateLimitStoreError({ message: "Redis has failed", cause })
              })
            )
            : limits.fixedWindow(options)
        )
    }))
  ).pipe(Layer.provide(RateLimiter.layerStoreMemory))

/** A server with a client that is signed in, what it logs, and a store that can be spoilt. */
const start = Effect.fnUntraced(function*(limits: "in the store" | "in memory") {
  yield* TestClock.setTime(now * 1000)
  const store = yield* TroubledStore.make("a SQLite file")
  let isAway = false
  const { layer, lines } = recorder()
  const scene = yield* make({
    store: limits === "in the store" ? Layer.merge(store.layer, limitsIn(() => isAway)) : store.layer,
    environment: layer
  })
  const { one } = scene
  const { accessToken, refreshToken } = yield* scene.signIn()
  lines.length = 0
  return {
    scene,
    isReady: Effect.map(one.ask("/readyz"), ({ status }) => status === 200),
    call: Effect.map(one.call(accessToken), ({ status }) => status),
    leave: Effect.andThen(store.leave ?? Effect.void, Effect.sync(() => void (isAway = true))),
    fill: store.fill ?? Effect.void,
    mend: Effect.andThen(store.mend, Effect.sync(() => void (isAway = false))),
    /** Everybody who needs the store asks for something. */
    crowd: Effect.all([
      scene.browser().ask(scene.authorizeUrl()),
      one.ask("/oauth/register", {
        headers: { "content-type": "application/json" },
        body: JSON.stringify({ redirect_uris: ["https://client.example.com/"], token_endpoint_auth_method: "none" })
      }),
      one.token(scene.refreshment(refreshToken)),
      one.revoke({ client_id: scene.clientId, token: refreshToken }),
      one.ask("/oauth/connections")
    ], { concurrency: "unbounded" }).pipe(Effect.map((answers) => answers.map(({ status }) => status))),
    /** What is logged at this level, but for each answer, and for what goes by the clock. */
    logged: (level: "Error" | "Warn" | "Info") =>
      lines.filter((line) => line.startsWith(`${level}: `) && !/Sent HTTP response|"sweep"/.test(line))
  }
})

const back = "Info: The store is available again"

describe("a store that is away", () => {
  for (const limits of ["in memory", "in the store"] as const) {
    it.effect(
      `is told at once, once a minute, and when it is back, with the limits ${limits}`,
      () =>
        Effect.gen(function*() {
          const { call, crowd, isReady, leave, logged, mend } = yield* start(limits)
          yield* leave
          const minutes = 30
          for (let minute = 0; minute < minutes; minute++) {
            for (let times = 0; times < 4; times++) {
              assert.deepStrictEqual(yield* crowd, [503, 503, 503, 503, 503])
              assert.strictEqual(yield* call, 200)
              assert.isFalse(yield* isReady)
              assert.strictEqual(logged("Error").length, minute + 1)
              yield* TestClock.adjust("15 seconds")
            }
          }
          for (const line of logged("Error")) {
            assert.match(
              line,
              /^Error: The store failed at "\w+": (?:nothing listens there|.*no such table: entries)\.$/
            )
          }
          assert.deepStrictEqual([logged("Warn"), logged("Info")], [[], []])
          yield* mend
          assert.isTrue(yield* isReady)
          yield* crowd
          assert.deepStrictEqual(logged("Info").filter((line) => line === back), [back])
          assert.deepStrictEqual([logged("Error").length, logged("Warn").length], [minutes, 0])
        }),
      30_000
    )
  }

  it.effect("is told at once when it is away again, ten times at most where it comes and goes", () =>
    Effect.gen(function*() {
      const { isReady, leave, logged, mend } = yield* start("in memory")
      const away = Effect.andThen(leave, isReady)
      const there = Effect.andThen(mend, isReady)
      const told = () => [logged("Error").length, logged("Info").filter((line) => line === back).length]
      for (let times = 1; times <= 30; times++) {
        assert.isFalse(yield* away)
        assert.isTrue(yield* there)
        assert.deepStrictEqual(told(), [Math.min(times, 10), Math.min(times, 10)])
        yield* TestClock.adjust("1 second")
      }
      yield* TestClock.adjust("1 minute")
      assert.isFalse(yield* away)
      assert.deepStrictEqual(told(), [11, 10])
      assert.isTrue(yield* there)
      assert.deepStrictEqual(told(), [11, 11])
    }))

  it.effect("is not told to be back by what a full one still does", () =>
    Effect.gen(function*() {
      const { call, fill, isReady, logged, mend, scene } = yield* start("in memory")
      const begin = Effect.map(scene.allow(scene.browser()), ({ status }) => status)
      yield* fill
      for (let minute = 0; minute < 5; minute++) {
        for (let times = 0; times < 4; times++) {
          assert.deepStrictEqual([yield* begin, yield* call, yield* isReady], [503, 200, true])
          yield* TestClock.adjust("15 seconds")
        }
        assert.strictEqual(logged("Error").length, minute + 1)
        assert.match(logged("Error")[minute] ?? "", /^Error: The store failed at "put": .*disk is full/)
      }
      assert.notInclude(logged("Info"), back)
      yield* mend
      assert.strictEqual(yield* begin, 303)
      assert.deepStrictEqual(logged("Info").filter((line) => line === back), [back])
    }))
})
