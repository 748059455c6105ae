import { assert, describe, it } from "@effect/vitest"
import { Clock, Effect, Fiber, Redacted, Scheduler } from "effect"
import { TestClock } from "effect/testing"
import { request } from "node:http"
import { jumpingClock, recorder, serve, verdict } from "../support/FaultScene.ts"
import { make, until } from "../support/FaultyOkta.ts"
import { assertRefused } from "../support/GuardedServer.ts"

describe("Faults: Keys, clocks and clients", () => {
  it.effect("F14: a new key: the first token by it causes one fetch and is accepted", () =>
    Effect.gen(function*() {
      const okta = yield* make()
      const server = yield* serve(okta)
      assert.strictEqual((yield* server.ask({ token: Redacted.value(okta.token()) })).status, 200)
      for (let rotation = 1; rotation <= 3; rotation++) {
        yield* TestClock.adjust("10 seconds")
        okta.rotate()
        assert.strictEqual((yield* server.ask({ token: Redacted.value(okta.token()) })).status, 200)
        assert.strictEqual(okta.requests.keys, rotation + 1)
      }
    }))

  it.effect("F15: a key withdrawn: refused within the soft lifetime, remembered or not; at once after a reload", () =>
    Effect.gen(function*() {
      const okta = yield* make()
      const { jwks, verify } = yield* okta.start()
      const tokens = Array.from({ length: 20 }, (_, index) => okta.token({ claims: { jti: `${index}` } }))
      yield* Effect.forEach(tokens, verify)
      okta.rotate()
      okta.withdraw("key-1")
      yield* jwks.reload
      for (const token of [...tokens, okta.token({ key: { ...okta.key, kid: "key-1" } })]) {
        assert.strictEqual((yield* Effect.flip(verify(token)))._tag, "UnknownKey")
      }
      yield* verify(okta.token())
    }))

  it.effect("F16: clocks 5 seconds apart: fine", () =>
    Effect.gen(function*() {
      for (const skew of [5000, -5000]) {
        const okta = yield* make()
        okta.skew = skew
        const server = yield* serve(okta)
        assert.strictEqual((yield* server.ask({ token: Redacted.value(okta.token()) })).status, 200)
      }
    }))

  it.effect("F16: clocks 60 seconds apart: fine by setting", () =>
    Effect.gen(function*() {
      const okta = yield* make()
      okta.skew = 60_000
      const strict = yield* serve(okta)
      const tolerant = yield* serve(okta, { clockTolerance: "61 seconds" })
      const token = Redacted.value(okta.token())
      assertRefused(yield* strict.ask({ token }), "invalid_token")
      assert.strictEqual((yield* tolerant.ask({ token })).status, 200)
    }))

  for (
    const [what, skew, claims, log] of [
      ["ahead", 3_600_000, {}, /valid only 3600 seconds from now.*Okta's clock is 3600 seconds ahead of this server's/],
      ["behind", -3_600_000, { exp: "in 10 minutes" }, /expired 3000 seconds ago.*Okta's clock is 3600 seconds behind/]
    ] as const
  ) {
    it.effect(`F16: Okta's clock an hour ${what}: refused, with a log line that names the skew`, () => {
      const { layer, lines } = recorder()
      return Effect.gen(function*() {
        const okta = yield* make()
        okta.skew = skew
        const server = yield* serve(okta)
        const now = (yield* Clock.currentTimeMillis) + skew
        const exp = "exp" in claims ? { exp: now / 1000 + 600 } : {}
        assertRefused(yield* server.ask({ token: Redacted.value(okta.token({ claims: exp })) }), "invalid_token")
        assert.isTrue(lines.some((line) => log.test(line)), lines.join("\n"))
      }).pipe(Effect.provide(layer))
    })
  }

  for (const [what, jump] of [["a day ahead", 86_400_000], ["a day back", -86_400_000]] as const) {
    it.effect(`F17: the wall clock jumps ${what}: nothing is fetched sooner or later for it`, () =>
      Effect.gen(function*() {
        const { ahead, clock } = yield* jumpingClock
        yield* Effect.gen(function*() {
          yield* TestClock.setTime(1_800_000_000_000)
          const okta = yield* make()
          const started = yield* okta.start()
          yield* started.jwks.ready
          yield* okta.pass("100 seconds", "10 seconds")
          ahead.wall = jump
          assert.strictEqual(yield* verdict(okta, started), "accepted")
          yield* okta.pass("199 seconds", "10 seconds")
          assert.strictEqual(okta.requests.keys, 1)
          yield* okta.pass("1 second")
          assert.strictEqual(okta.requests.keys, 2)
          // Nor does the pause after a failure depend on it, nor the interval for unknown keys.
          const unknown = okta.token({ key: okta.generate() })
          assert.strictEqual(yield* verdict(okta, started, unknown), "UnknownKey")
          ahead.wall = 0
          assert.strictEqual(yield* verdict(okta, started, unknown), "UnknownKey")
          assert.strictEqual(okta.requests.keys, 3)
          okta.break({ status: 404 }, ["keys"])
          yield* okta.pass("10 seconds")
          assert.strictEqual(yield* verdict(okta, started, unknown), "KeysUnavailable")
          ahead.wall = jump
          assert.strictEqual(yield* verdict(okta, started, unknown), "KeysUnavailable")
          assert.strictEqual(okta.requests.keys, 4)
        }).pipe(Effect.provideService(Clock.Clock, clock))
      }))
  }

  it.live("F24: the event loop stalls for 2 seconds, cold, warm and stale: nothing fails, under way or afterwards", () =>
    Effect.gen(function*() {
      const live = yield* Clock.Clock
      let ahead = 0n
      const clock: Clock.Clock = {
        currentTimeMillisUnsafe: () => live.currentTimeMillisUnsafe(),
        currentTimeMillis: live.currentTimeMillis,
        currentTimeNanosUnsafe: () => live.currentTimeNanosUnsafe(),
        currentTimeNanos: live.currentTimeNanos,
        monotonicTimeNanosUnsafe: () => live.monotonicTimeNanosUnsafe() + ahead,
        monotonicTimeNanos: Effect.sync(() => live.monotonicTimeNanosUnsafe() + ahead),
        sleep: (duration) => live.sleep(duration)
      }
      yield* Effect.gen(function*() {
        const okta = yield* make()
        okta.break("silent")
        const { jwks, verify } = yield* okta.start()
        const many = (what: string) =>
          Effect.forEach(
            Array.from({ length: 50 }),
            (_, n) => verify(okta.token({ claims: { jti: `${what} ${n}` } })),
            {
              concurrency: "unbounded"
            }
          )
        const cold = yield* Effect.forkChild(verify(okta.token()))
        yield* until("the metadata were asked for", () => okta.waiting() === 1)
        okta.mend()
        okta.release()
        stall(2000)
        yield* Fiber.join(cold)

        const warm = yield* Effect.forkChild(many("warm"))
        yield* Effect.yieldNow
        stall(2000)
        yield* Fiber.join(warm)

        // Past their age, and others on the way.
        ahead = 6n * 60n * 1_000_000_000n
        okta.break("silent", ["keys"])
        const stale = yield* Effect.forkChild(many("stale"))
        okta.rotate()
        const fresh = yield* Effect.forkChild(verify(okta.token()))
        yield* until("the keys were asked for", () => okta.waiting() === 1)
        okta.mend()
        okta.release()
        stall(2000)
        yield* Fiber.join(stale)
        yield* Fiber.join(fresh)
        yield* jwks.ready
        yield* verify(okta.token())
      }).pipe(Effect.provideService(Clock.Clock, clock))
    }))

  it.effect("F25: clients that go away in the middle of a cold start: the fetch goes on, and the next are served", () =>
    Effect.gen(function*() {
      const okta = yield* make()
      okta.break("silent")
      const server = yield* serve(okta)
      const token = Redacted.value(okta.token())
      yield* until("the metadata were asked for", () => okta.waiting() === 1)
      for (let client = 0; client < 20; client++) yield* askAndGo(server.port, token)
      okta.mend()
      okta.release()
      assert.strictEqual((yield* server.ask({ token })).status, 200)
      assert.strictEqual(server.handled(), 1)
      assert.deepStrictEqual(okta.requests, { metadata: 1, oauth: 0, keys: 1 })
    }))

  it.effect("F25: whoever goes away at any moment of a verification leaves nothing behind that the next waits for", () =>
    Effect.gen(function*() {
      const okta = yield* make()
      const { verify } = yield* okta.start()
      yield* verify(okta.token())
      for (let operations = 2; operations < 60; operations++) {
        const token = okta.token({ claims: { jti: `${operations}` } })
        const fiber = yield* Effect.forkChild(
          Effect.provideService(verify(token), Scheduler.MaxOpsBeforeYield, operations)
        )
        yield* Effect.yieldNow
        yield* Fiber.interrupt(fiber)
        const { claims } = yield* verify(token)
        assert.strictEqual(claims["jti"], `${operations}`)
      }
    }))

  it.effect("F27: 10,000 requests at the moment of expiry: one refresh, and nobody waits", () =>
    Effect.gen(function*() {
      const okta = yield* make()
      const { verify } = yield* okta.start()
      const tokens = Array.from({ length: 200 }, (_, index) => okta.token({ claims: { jti: `${index}` } }))
      yield* Effect.forEach(tokens.slice(100), verify)
      okta.break("silent", ["keys"])
      yield* TestClock.adjust("5 minutes")
      // Time stands still and Okta is silent, so whoever waited would wait for ever.
      const requests = Array.from({ length: 50 }, () => tokens).flat()
      assert.lengthOf(requests, 10_000)
      yield* Effect.forEach(requests, verify, { concurrency: "unbounded" })
      yield* okta.settled
      assert.deepStrictEqual([okta.requests.keys, okta.waiting()], [2, 1])
      okta.mend()
      okta.release()
      yield* okta.settled
      yield* Effect.forEach(tokens, verify, { concurrency: "unbounded" })
      assert.strictEqual(okta.requests.keys, 2)
    }))
})

/** Holds up the event loop. */
const stall = (millis: number) => {
  Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, millis)
}

/** Sends a request and goes away before there is an answer. */
const askAndGo = (port: number, token: string): Effect.Effect<void> =>
  Effect.callback((resume) => {
    const asking = request({
      host: "127.0.0.1",
      port,
      path: "/mcp",
      agent: false,
      headers: { authorization: `Bearer ${token}` }
    })
    asking.on("error", () => {})
    asking.on("close", () => resume(Effect.void))
    asking.on("finish", () => setImmediate(() => asking.destroy()))
    asking.end()
  })
