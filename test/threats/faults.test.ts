import { assert, describe, it } from "@effect/vitest"
import { Cause, Clock, Context, Effect, Fiber, Layer, Logger, Redacted, Scheduler } from "effect"
import { TestClock } from "effect/testing"
import { readFileSync } from "node:fs"
import { request } from "node:http"
import { getCACertificates, setDefaultCACertificates } from "node:tls"
import { setFlagsFromString } from "node:v8"
import { runInNewContext } from "node:vm"
import type { OktaOptions } from "../../src/config/OktaConfig.ts"
import { type Answer, type Fault, type FaultyOkta, make, type Started, until } from "../support/FaultyOkta.ts"
import { assertRefused, GuardedServer } from "../support/GuardedServer.ts"

/** A server guarded with the keys of such an Okta. */
const serve = (okta: FaultyOkta, settings: Partial<OktaOptions> = {}) =>
  Effect.map(
    Layer.build(Layer.provide(GuardedServer.layer({ issuer: okta.issuer, ...settings }), okta.client)),
    (context) => Context.get(context, GuardedServer)
  )

/** What becomes of a token: `accepted`, or the name of the error; time passes while it takes some. */
const verdict = (okta: FaultyOkta, { verify }: Started, token = okta.token()) =>
  Effect.map(
    okta.timed(Effect.match(verify(token), { onSuccess: () => "accepted", onFailure: (error) => error._tag })),
    ({ value }) => value
  )

/** Collects what is logged. */
const recorder = () => {
  const lines: Array<string> = []
  const layer = Logger.layer([Logger.make(({ cause, logLevel, message }) => {
    const texts = [message].flat().map((part) => part instanceof Error ? part.message : String(part))
    lines.push(`${logLevel}: ${texts.join(" ")}${cause.reasons.length === 0 ? "" : ` ${Cause.pretty(cause)}`}`)
  })])
  return { lines, layer, warnings: () => lines.filter((line) => line.startsWith("Warn: The ")) }
}

const html: Answer = { status: 200, headers: { "content-type": "text/html" }, body: "<!doctype html>Maintenance" }
const noKeys: Answer = { status: 200, body: "{\"keys\":[]}" }

describe("Faults", () => {
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
      yield* okta.leave
      for (let minute = 0; minute < 60; minute++) {
        assert.strictEqual((yield* server.ask({ token: remembered })).status, 200)
        assert.strictEqual((yield* server.ask({ token: Redacted.value(okta.token()) })).status, 200)
        const { value: answer } = yield* okta.timed(server.ask({ token: unknown }))
        assertRefused(answer, "temporarily_unavailable")
        yield* okta.pass("1 minute", "2 seconds")
      }
      // It is noticed when the unknown key is looked for, a minute at most after Okta went.
      const about = (what: string) => warnings().filter((line) => line.startsWith(`Warn: The ${what}`)).length
      assert.isAtLeast(about("key set"), 30)
      assert.isAtMost(about("key set"), 62)
      assert.match(warnings().at(-1) ?? "", /the one of 1h.* ago is used.*ECONNREFUSED/)
      yield* okta.comeBack
      yield* okta.pass("31 seconds")
      assertRefused(yield* server.ask({ token: unknown }), "invalid_token")
      assert.strictEqual((yield* server.ask({ token: remembered })).status, 200)
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

  for (
    const [name, fault] of [
      ["F4: Okta accepts and never answers", "silent"],
      ["F5: headers, then a trickle", "trickle"],
      ["F5: headers and half a body, then nothing", { status: 200, body: "{\"keys\":", unfinished: true }]
    ] satisfies ReadonlyArray<readonly [string, Fault]>
  ) {
    it.effect(`${name}: a cold request gets its 503 within 3.1 seconds`, () =>
      Effect.gen(function*() {
        for (const documents of [["metadata", "keys"], ["keys"]] as const) {
          const okta = yield* make()
          okta.break(fault, documents)
          const server = yield* serve(okta)
          const { elapsed, value } = yield* okta.timed(server.ask({ token: Redacted.value(okta.token()) }))
          assertRefused(value, "temporarily_unavailable")
          assert.isAtMost(elapsed, 3100)
          // Who comes next in the pause does not wait at all.
          const next = yield* server.ask({ token: Redacted.value(okta.token()) })
          assertRefused(next, "temporarily_unavailable")
        }
      }))

    it.effect(`${name}: warm requests never wait`, () =>
      Effect.gen(function*() {
        const okta = yield* make()
        const { verify } = yield* okta.start()
        yield* verify(okta.token())
        okta.break(fault)
        for (let minute = 0; minute < 10; minute++) {
          // Time stands still while they run: if they waited for any, the test would not end.
          yield* Effect.forEach(Array.from({ length: 20 }), (_, n) => verify(okta.token({ claims: { jti: `${n}` } })), {
            concurrency: "unbounded"
          })
          yield* okta.pass("1 minute", "500 millis")
        }
        assert.isAbove(okta.requests.keys, 5)
      }))
  }

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

  for (
    const [name, fault, reason] of [
      ["F8: a page of HTML", html, /not JSON/],
      ["F8: invalid JSON", { status: 200, body: "{\"keys\":[" }, /not JSON/],
      ["F8: JSON of another kind", { status: 200, body: "{\"errorCode\":\"E0000009\"}" }, /not a JWK Set/],
      ["F9: 200 with no keys in it", noKeys, /holds no usable key/],
      ["F9: 200 with no usable key in it", {
        status: 200,
        body: JSON.stringify({ keys: [{ kty: "oct", kid: "a", k: "AA" }] })
      }, /holds no usable key/],
      ["F11: a redirect", { status: 302, headers: { location: "/" } }, /redirects/]
    ] satisfies ReadonlyArray<readonly [string, Answer, RegExp]>
  ) {
    it.effect(`${name}: a failure that is warned of, and the last good keys stay`, () => {
      const { layer, warnings } = recorder()
      return Effect.gen(function*() {
        const okta = yield* make()
        const started = yield* okta.start()
        assert.strictEqual(yield* verdict(okta, started), "accepted")
        okta.break(fault, ["keys"])
        const unknown = okta.token({ key: okta.generate() })
        for (let minute = 0; minute < 8; minute++) {
          assert.strictEqual(yield* verdict(okta, started), "accepted")
          assert.strictEqual(yield* verdict(okta, started, unknown), "KeysUnavailable")
          yield* okta.pass("1 minute")
        }
        assert.match(warnings()[0] ?? "", reason)
        okta.mend()
        yield* okta.pass("31 seconds")
        assert.strictEqual(yield* verdict(okta, started, unknown), "UnknownKey")
      }).pipe(Effect.provide(layer))
    })
  }

  it.effect("F10: a body of 200 MB: abandoned at the cap, memory grows by less than 32 MB", () =>
    Effect.gen(function*() {
      const okta = yield* make()
      const { jwks, verify } = yield* okta.start()
      yield* verify(okta.token())
      okta.break("flood")
      const collect = garbageCollector()
      collect()
      const used = () => {
        const { external, heapUsed } = process.memoryUsage()
        return external + heapUsed
      }
      const before = used()
      let most = before
      okta.onFlood = () => {
        most = Math.max(most, used())
      }
      for (let round = 0; round < 10; round++) {
        assert.match((yield* Effect.flip(jwks.reload)).message, /more than 256 KiB/)
        yield* okta.pass("31 seconds")
      }
      assert.isAbove(most, before)
      assert.isBelow(most - before, 32 * 1024 * 1024)
      assert.isBelow(okta.flooded, 20 * 10 * 1024 * 1024)
      yield* verify(okta.token())
    }))

  for (
    const [name, certificate, reason] of [
      ["expired", "expired", /certificate has expired/],
      ["for another host", "wrong-host", /altnames|does not match/],
      ["self-signed", "self-signed", /self-signed certificate/]
    ] as const
  ) {
    it.effect(`F13: a certificate that is ${name}: a failure, and nothing is asked over it`, () =>
      Effect.gen(function*() {
        yield* trustTestAuthority
        const okta = yield* make({ tls: tls(certificate) })
        const { discovery } = yield* okta.start()
        const { value: error } = yield* okta.timed(Effect.flip(discovery.metadata))
        assert.match(error.message, reason)
        assert.deepStrictEqual(okta.log, [])
      }))
  }

  it.effect("F13: a certificate in order: no failure", () =>
    Effect.gen(function*() {
      yield* trustTestAuthority
      const okta = yield* make({ tls: tls("good") })
      const { verify } = yield* okta.start()
      yield* verify(okta.token())
    }))

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

  it.live("F24: the event loop stalls for 2 seconds: neither what was under way nor what comes after fails", () =>
    Effect.gen(function*() {
      const okta = yield* make()
      okta.break("silent")
      const { verify } = yield* okta.start()
      const cold = yield* Effect.forkChild(verify(okta.token()))
      yield* until("the metadata were asked for", () => okta.waiting() === 1)
      okta.mend()
      okta.release()
      stall(2000)
      yield* Fiber.join(cold)
      const underWay = yield* Effect.forkChild(
        Effect.forEach(Array.from({ length: 50 }), (_, n) => verify(okta.token({ claims: { jti: `${n}` } })), {
          concurrency: "unbounded"
        })
      )
      yield* Effect.yieldNow
      stall(2000)
      yield* Fiber.join(underWay)
      okta.rotate()
      yield* verify(okta.token())
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

  it.effect("F27: 10,000 requests at the moment of expiry: one refresh, and nobody waits", () =>
    Effect.gen(function*() {
      const okta = yield* make()
      const { verify } = yield* okta.start()
      const tokens = Array.from({ length: 200 }, (_, index) => okta.token({ claims: { jti: `${index}` } }))
      yield* Effect.forEach(tokens.slice(100), verify)
      okta.break("silent", ["keys"])
      yield* TestClock.adjust("5 minutes")
      // Time stands still and Okta is silent, so whoever waited would wait for ever.
      for (let round = 0; round < 50; round++) {
        yield* Effect.forEach(tokens, verify, { concurrency: "unbounded" })
      }
      yield* okta.settled
      assert.deepStrictEqual([okta.requests.keys, okta.waiting()], [2, 1])
      okta.mend()
      okta.release()
      yield* okta.settled
      yield* Effect.forEach(tokens, verify, { concurrency: "unbounded" })
      assert.strictEqual(okta.requests.keys, 2)
    }))
})

const garbageCollector = (): () => void => {
  setFlagsFromString("--expose-gc")
  const collect: unknown = runInNewContext("gc")
  assert(typeof collect === "function")
  return () => void collect()
}

const pem = (name: string) => readFileSync(new URL(`../support/certificates/${name}.pem`, import.meta.url), "utf8")

/** The authority signed `good`, `expired` and `wrong-host`; every certificate belongs to the one key. */
const tls = (certificate: string) => ({ key: pem("key"), cert: pem(certificate) })

/** Without it, every certificate would be refused for its signer. */
const trustTestAuthority = Effect.acquireRelease(
  Effect.sync(() => {
    const before = getCACertificates("default")
    setDefaultCACertificates([...before, pem("authority")])
    return before
  }),
  (before) => Effect.sync(() => setDefaultCACertificates(before))
)

/** The test's clock, whose wall time and monotonic time can each be put ahead or back, in milliseconds. */
const jumpingClock = TestClock.testClockWith((test) => {
  const ahead = { wall: 0, monotonic: 0 }
  const nanos = (millis: number) => BigInt(millis) * 1_000_000n
  const currentTimeMillisUnsafe = () => test.currentTimeMillisUnsafe() + ahead.wall
  const currentTimeNanosUnsafe = () => test.currentTimeNanosUnsafe() + nanos(ahead.wall)
  const monotonicTimeNanosUnsafe = () => test.monotonicTimeNanosUnsafe() + nanos(ahead.monotonic)
  const clock: TestClock.TestClock = {
    ...test,
    currentTimeMillisUnsafe,
    currentTimeNanosUnsafe,
    monotonicTimeNanosUnsafe,
    currentTimeMillis: Effect.sync(currentTimeMillisUnsafe),
    currentTimeNanos: Effect.sync(currentTimeNanosUnsafe),
    monotonicTimeNanos: Effect.sync(monotonicTimeNanosUnsafe)
  }
  return Effect.succeed({ ahead, clock })
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
