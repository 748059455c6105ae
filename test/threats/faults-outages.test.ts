import { assert, describe, it } from "@effect/vitest"
import { Clock, Effect, Metric, Redacted } from "effect"
import { TestClock } from "effect/testing"
import { keySetAge, keySetLastGood } from "../../src/observe/Telemetry.ts"
import { jumpingClock, recorder, serve, verdict } from "../support/FaultScene.ts"
import { make } from "../support/FaultyOkta.ts"
import { assertRefused } from "../support/GuardedServer.ts"

describe("Faults: Okta away", () => {
  it.effect("F1: Okta down at start: the server starts, 401 without a token, 503 with one, and heals itself", () =>
    Effect.gen(function*() {
      const okta = yield* make()
      yield* okta.leave
      const server = yield* serve(okta)
      const token = Redacted.value(okta.token())
      for (let minute = 0; minute < 5; minute++) {
        assertRefused(yield* server.ask(), "no credentials")
        const { value: answer } = yield* okta.timed(server.ask({ token }))
        assertRefused(answer, "temporarily_unavailable")
        yield* okta.pass("1 minute")
      }
      yield* okta.comeBack
      yield* okta.pass("31 seconds")
      assert.strictEqual((yield* server.ask({ token })).status, 200)
      assert.deepStrictEqual(okta.requests, { metadata: 1, oauth: 0, keys: 1 })
    }))

  it.effect("F1: many servers do not come back to Okta at one moment", () =>
    Effect.gen(function*() {
      const okta = yield* make()
      okta.break("silent")
      const times = new Set<number>()
      const clock = yield* Clock.Clock
      okta.fetch = () => {
        times.add(clock.currentTimeMillisUnsafe())
        return Promise.reject(new TypeError("fetch failed"))
      }
      for (let server = 0; server < 20; server++) yield* okta.start()
      yield* okta.pass("20 seconds", "100 millis")
      // Each has come back 3 to 5 times.
      assert.isAbove(times.size, 60)
    }))

  it.effect("F2: Okta down while the keys are fresh: every token by a known key is accepted, without a word", () => {
    const { layer, lines } = recorder()
    return Effect.gen(function*() {
      const okta = yield* make()
      const started = yield* okta.start({ serverUrl: "https://mcp.example.com" })
      yield* started.jwks.ready
      yield* okta.leave
      for (let second = 0; second < 299; second++) {
        yield* started.verify(okta.token({ claims: { jti: `${second}` } }))
        yield* TestClock.adjust("1 second")
      }
      assert.deepStrictEqual(lines, [])
      yield* okta.comeBack
    }).pipe(Effect.provide(layer))
  })

  it.effect("F3: Okta away for an hour: no known token refused, no unknown one called invalid, a warning a minute", () => {
    const { layer, warnings } = recorder()
    return Effect.gen(function*() {
      const okta = yield* make()
      const server = yield* serve(okta)
      const remembered = Redacted.value(okta.token())
      const unknown = Redacted.value(okta.token({ key: okta.generate() }))
      assert.strictEqual((yield* server.ask({ token: remembered })).status, 200)
      const { issuer } = okta
      const isLastGood = Effect.map(Metric.value(keySetLastGood.of({ issuer })), ({ value }) => value)
      yield* okta.leave
      let quiet = 0
      for (let minute = 0; minute < 60; minute++) {
        const warned = warnings().length
        assert.strictEqual((yield* server.ask({ token: remembered })).status, 200)
        assert.strictEqual((yield* server.ask({ token: Redacted.value(okta.token()) })).status, 200)
        const { value: answer } = yield* okta.timed(server.ask({ token: unknown }))
        assertRefused(answer, "temporarily_unavailable")
        yield* okta.pass("1 minute", "2 seconds")
        // A warning is due after a minute, and comes with the next try, which may be half a minute later.
        quiet = warnings().length > warned ? 0 : quiet + 1
        assert.isBelow(quiet, 2)
        assert.strictEqual(yield* isLastGood, 1)
      }
      assert.isAtLeast((yield* Metric.value(keySetAge.of({ issuer }))).value, 59 * 60)
      // It is noticed when the unknown key is looked for, a minute at most after Okta went.
      const about = (what: string) => warnings().filter((line) => line.startsWith(`Warn: The ${what}`)).length
      assert.isAtLeast(about("key set"), 30)
      assert.isAtMost(about("key set"), 62)
      assert.match(warnings().at(-1) ?? "", /the one of (?:59m|1h).* ago is used/)
      yield* okta.comeBack
      yield* okta.pass("31 seconds")
      assertRefused(yield* server.ask({ token: unknown }), "invalid_token")
      assert.strictEqual((yield* server.ask({ token: remembered })).status, 200)
      assert.strictEqual(yield* isLastGood, 0)
    }).pipe(Effect.provide(layer))
  })

  it.effect("F3: Okta away for more than 24 hours: 503, and well again when it is back", () =>
    Effect.gen(function*() {
      const { ahead, clock } = yield* jumpingClock
      yield* Effect.gen(function*() {
        const okta = yield* make()
        const server = yield* serve(okta)
        const token = Redacted.value(okta.token())
        const ask = okta.timed(server.ask({ token }))
        assert.strictEqual((yield* ask).value.status, 200)
        yield* okta.leave
        yield* okta.pass("10 minutes", "10 seconds")
        ahead.monotonic = 23.5 * 3_600_000
        yield* okta.pass("19 minutes", "10 seconds")
        assert.strictEqual((yield* ask).value.status, 200)
        yield* okta.pass("2 minutes", "2 seconds")
        assertRefused((yield* ask).value, "temporarily_unavailable")
        yield* okta.comeBack
        yield* okta.pass("62 seconds")
        assert.strictEqual((yield* ask).value.status, 200)
      }).pipe(Effect.provideService(Clock.Clock, clock))
    }))

  for (const status of [500, 502, 503]) {
    it.effect(`F6: ${status}: rounds of 3 tries at most, at least 1 second and at most 30 between them`, () =>
      Effect.gen(function*() {
        const okta = yield* make()
        const { verify } = yield* okta.start()
        yield* verify(okta.token())
        okta.break({ status }, ["keys"])
        const unknown = okta.token({ key: okta.generate() })
        const times: Array<number> = []
        for (let time = 0; time < 240_000; time += 100) {
          const { keys } = okta.requests
          // Somebody asks all the time.
          yield* Effect.forkChild(verify(unknown))
          yield* okta.pass("100 millis")
          for (let tries = keys; tries < okta.requests.keys; tries++) times.push(time)
        }
        const rounds: Array<Array<number>> = []
        for (const time of times) {
          const last = rounds.at(-1)
          if (last !== undefined && time - (last.at(-1) ?? 0) < 900) last.push(time)
          else rounds.push([time])
        }
        assert.isAtLeast(rounds.length, 8)
        // The last one may not have come to its end.
        rounds.slice(0, -1).forEach((tries, index) => {
          assert.strictEqual(tries.length, 3)
          assert.isAtMost((tries[2] ?? 0) - (tries[0] ?? 0), 5000)
          const next = rounds[index + 1]?.[0]
          if (next !== undefined) assert.isAtMost(next - (tries[2] ?? 0), 30_100)
        })
      }))
  }

  it.effect("F7: 429 with Retry-After: not asked before that, and the keys held go on", () =>
    Effect.gen(function*() {
      const okta = yield* make()
      const started = yield* okta.start()
      const unknown = okta.token({ key: okta.generate() })
      assert.strictEqual(yield* verdict(okta, started), "accepted")
      okta.break({ status: 429, headers: { "retry-after": "45" } }, ["keys"])
      assert.strictEqual(yield* verdict(okta, started, unknown), "KeysUnavailable")
      const { keys } = okta.requests
      for (let second = 0; second < 44; second++) {
        yield* okta.pass("1 second")
        assert.strictEqual(yield* verdict(okta, started, unknown), "KeysUnavailable")
        assert.strictEqual(yield* verdict(okta, started), "accepted")
      }
      assert.strictEqual(okta.requests.keys, keys)
      okta.mend()
      yield* okta.pass("2 seconds")
      assert.strictEqual(okta.requests.keys, keys + 1)
    }))

  it.effect("F7: 429 on a cold start: 503 that tells the client how long, and a minute at most", () =>
    Effect.gen(function*() {
      const okta = yield* make()
      okta.break({ status: 429, headers: { "retry-after": "86400" } })
      const server = yield* serve(okta)
      const token = Redacted.value(okta.token())
      assertRefused(yield* server.ask({ token }), "temporarily_unavailable", { retryAfter: "60" })
      okta.mend()
      yield* okta.pass("59 seconds")
      assert.deepStrictEqual(okta.requests, { metadata: 1, oauth: 0, keys: 0 })
      yield* okta.pass("3 seconds")
      assert.strictEqual((yield* server.ask({ token })).status, 200)
    }))

  it.effect("F26: DNS fails: as when Okta is away; it flaps: the next try finds Okta", () =>
    Effect.gen(function*() {
      const okta = yield* make()
      const { fetch } = okta
      let calls = 0
      const unresolved = (): Promise<Response> => {
        const cause = Object.assign(new Error("getaddrinfo ENOTFOUND acme.okta.com"), { code: "ENOTFOUND" })
        return Promise.reject(new TypeError("fetch failed", { cause }))
      }
      okta.fetch = () => {
        calls++
        return unresolved()
      }
      const started = yield* okta.start()
      const { value: error } = yield* okta.timed(Effect.flip(started.verify(okta.token())))
      assert.strictEqual(error._tag, "DiscoveryFailed")
      assert.match(error.message, /could not be reached \(getaddrinfo ENOTFOUND acme.okta.com\)/)
      assert.strictEqual(calls, 3)
      // Every other look-up succeeds.
      okta.fetch = (input, init) => calls++ % 2 === 0 ? unresolved() : fetch(input, init)
      yield* okta.pass("5 seconds", "100 millis")
      assert.strictEqual(yield* verdict(okta, started), "accepted")
      okta.fetch = unresolved
      yield* okta.pass("1 hour", "10 seconds")
      assert.strictEqual(yield* verdict(okta, started), "accepted")
    }))
})
