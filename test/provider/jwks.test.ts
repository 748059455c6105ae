import { assert, describe, it } from "@effect/vitest"
import { Effect, Fiber, Metric } from "effect"
import { TestClock } from "effect/testing"
import { discoveryFetches, keyFetches, keySetAge, keySetLastGood } from "../../src/observe/Telemetry.ts"
import { Jwks } from "../../src/provider/Jwks.ts"
import { OktaTest } from "../../src/testing/OktaTest.ts"
import { TokenVerifier } from "../../src/token/TokenVerifier.ts"
import { type FaultyOkta, make, until } from "../support/FaultyOkta.ts"

const fetches = (issuer: string, outcome: string) =>
  Effect.map(Metric.value(keyFetches.of({ issuer, outcome })), ({ count }) => Number(count))

/** How many seconds pass until the keys are fetched again. */
const secondsUntilFetch = Effect.fnUntraced(function*(okta: FaultyOkta) {
  const { keys } = okta.requests
  for (let seconds = 0; seconds <= 4000; seconds++) {
    if (okta.requests.keys > keys) return seconds
    yield* TestClock.adjust("1 second")
    // Settling takes longer, and matters only when something is on its way.
    if ([60, 120, 300, 600, 3600].includes(seconds + 1)) yield* okta.settled
  }
  return undefined
})

describe("The lifetime of a key set", () => {
  for (
    const [cacheControl, lifetime] of [
      [undefined, 300],
      ["private", 300],
      ["max-age=60", 60],
      ["max-age=600, public", 600],
      ["max-age=10", 60],
      ["max-age=0", 60],
      ["no-cache", 60],
      ["no-store, max-age=900", 60],
      ["max-age=3600", 3600],
      ["max-age=31536000", 3600]
    ] as const
  ) {
    it.effect(`is ${lifetime} seconds with Cache-Control: ${cacheControl ?? "(none)"}`, () =>
      Effect.gen(function*() {
        const okta = yield* make()
        okta.cacheControl = cacheControl
        const { jwks } = yield* okta.start()
        yield* jwks.ready
        assert.strictEqual(yield* secondsUntilFetch(okta), lifetime)
      }))
  }
})

describe("A key", () => {
  it.effect("that is known is given at once", () =>
    Effect.gen(function*() {
      const okta = yield* make()
      const { jwks } = yield* okta.start()
      const key = yield* jwks.key("key-1")
      assert.strictEqual(key.kid, "key-1")
      assert.strictEqual(jwks.peek("key-1"), key)
      assert.isUndefined(jwks.peek("constructor"))
    }))

  it.effect("that has not changed is the same through every refresh, so that verdicts last", () =>
    Effect.gen(function*() {
      const okta = yield* make()
      const { jwks } = yield* okta.start()
      const key = yield* jwks.key("key-1")
      okta.rotate()
      yield* jwks.reload
      assert.strictEqual(yield* jwks.key("key-1"), key)
      assert.isTrue(jwks.holds(key))
    }))

  it.effect("that another has taken the kid of is held no longer", () =>
    Effect.gen(function*() {
      const okta = yield* make()
      const { jwks, verify } = yield* okta.start()
      const key = yield* jwks.key("key-1")
      const token = okta.token()
      yield* verify(token)
      okta.published = [{ ...okta.generate().jwk, kid: "key-1" }]
      yield* jwks.reload
      assert.isFalse(jwks.holds(key))
      assert.strictEqual((yield* Effect.flip(verify(token)))._tag, "InvalidSignature")
    }))

  it.effect("that is not published is told with those that are", () =>
    Effect.gen(function*() {
      const okta = yield* make()
      const { verify } = yield* okta.start()
      const error = yield* Effect.flip(verify(okta.token({ key: okta.generate(), kid: "other" })))
      assert(error._tag === "UnknownKey")
      assert.deepStrictEqual([error.kid, error.known], ["other", ["key-1"]])
    }))

  it.effect("with a name of 8,000 characters is told in short", () =>
    Effect.gen(function*() {
      const okta = yield* make()
      const { jwks } = yield* okta.start()
      const error = yield* Effect.flip(jwks.key("k".repeat(8000)))
      assert.isBelow(error.message.length, 500)
    }))

  it.effect("that just appeared is found by all who wait for it, in one fetch", () =>
    Effect.gen(function*() {
      const okta = yield* make()
      const { jwks, verify } = yield* okta.start()
      yield* jwks.ready
      okta.rotate()
      const tokens = Array.from({ length: 50 }, (_, index) => okta.token({ claims: { jti: `${index}` } }))
      yield* Effect.forEach(tokens, verify, { concurrency: "unbounded" })
      assert.strictEqual(okta.requests.keys, 2)
    }))

  it.effect("that is published in the middle of a fetch that misses it is found by one more", () =>
    Effect.gen(function*() {
      const okta = yield* make()
      const { jwks, verify } = yield* okta.start()
      yield* jwks.ready
      const stale = JSON.stringify({ keys: [...okta.published] })
      okta.break("silent", ["keys"])
      yield* TestClock.adjust("5 minutes")
      yield* until("the keys were asked for", () => okta.waiting() === 1)
      okta.rotate()
      const tokens = Array.from({ length: 50 }, (_, index) => okta.token({ claims: { jti: `${index}` } }))
      const verdicts = yield* Effect.forkChild(Effect.forEach(tokens, verify, { concurrency: "unbounded" }))
      yield* Effect.yieldNow
      okta.mend()
      okta.release({ status: 200, body: stale })
      yield* Fiber.join(verdicts)
      assert.strictEqual(okta.requests.keys, 3)
    }))

  it.effect("that nobody published, asked for in the middle of a fetch, causes one more and no third", () =>
    Effect.gen(function*() {
      const okta = yield* make()
      const { verify } = yield* okta.start()
      const unknown = okta.token({ key: okta.generate(), kid: "other" })
      const errors = yield* Effect.forEach(Array.from({ length: 50 }), () => Effect.flip(verify(unknown)), {
        concurrency: "unbounded"
      })
      assert.deepStrictEqual(new Set(errors.map(({ _tag }) => _tag)), new Set(["UnknownKey"]))
      yield* Effect.flip(verify(unknown))
      assert.strictEqual(okta.requests.keys, 2)
    }))

  it.effect("asked for in a fetch that is slow, and missed, is waited for no longer than 3.05 seconds in all", () =>
    Effect.gen(function*() {
      const okta = yield* make()
      const { jwks, verify } = yield* okta.start()
      yield* jwks.ready
      okta.break("silent", ["keys"])
      yield* TestClock.adjust("5 minutes")
      yield* until("the keys were asked for", () => okta.waiting() === 1)
      const error = yield* Effect.forkChild(Effect.flip(verify(okta.token({ key: okta.generate(), kid: "other" }))))
      yield* TestClock.adjust("2500 millis")
      okta.release()
      yield* until("the keys were asked for again", () => okta.requests.keys === 3)
      yield* TestClock.adjust("550 millis")
      assert.strictEqual((yield* Fiber.join(error))._tag, "KeysUnavailable")
    }))
})

describe("After idle hours", () => {
  it.effect("a key that is not held is not called unknown while Okta is away, and a held one is good", () =>
    Effect.gen(function*() {
      const okta = yield* OktaTest
      const { verify } = yield* TokenVerifier
      yield* verify(yield* okta.token())
      yield* TestClock.adjust("3 hours")
      yield* okta.fail("rate-limited")
      const old = yield* okta.token()
      yield* okta.rotateKeys
      const next = yield* okta.token()
      assert.strictEqual((yield* Effect.flip(verify(next)))._tag, "KeysUnavailable")
      yield* verify(old)
      assert.strictEqual((yield* Effect.flip(verify(next)))._tag, "KeysUnavailable")
    }).pipe(Effect.provide(OktaTest.layerAuth())))

  it.effect("a silent Okta is waited for 3.05 seconds at most, and the old keys serve", () =>
    Effect.gen(function*() {
      const okta = yield* OktaTest
      const { verify } = yield* TokenVerifier
      yield* verify(yield* okta.token())
      yield* TestClock.adjust("3 hours")
      yield* okta.fail("silent")
      const old = yield* okta.token()
      const waiting = yield* Effect.forkChild(verify(old))
      yield* TestClock.adjust("2900 millis")
      assert.isUndefined(waiting.pollUnsafe())
      yield* TestClock.adjust("150 millis")
      assert.strictEqual((yield* Fiber.join(waiting)).claims.sub, "ada@example.com")
    }).pipe(Effect.provide(OktaTest.layerAuth())))

  it.effect("of an outage the age of the set is more than 24 hours, and not none", () =>
    Effect.gen(function*() {
      const issuer = "https://outage.okta.com/oauth2/default"
      yield* Effect.gen(function*() {
        const okta = yield* OktaTest
        yield* (yield* Jwks).ready
        yield* okta.fail("rate-limited")
        for (let minute = 0; minute < 25 * 6; minute++) {
          ;(yield* Jwks).peek("key-1")
          yield* TestClock.adjust("10 minutes")
        }
        assert.isFalse(yield* (yield* Jwks).usable)
        const { value } = yield* Metric.value(keySetAge.of({ issuer }))
        assert.isAtLeast(Number(value), 24.9 * 3600)
      }).pipe(Effect.provide(OktaTest.layerAuth({ issuer })))
    }))
})

describe("The keys' address", () => {
  it.effect("may be another origin when the settings say so", () =>
    Effect.gen(function*() {
      const keyServer = yield* make()
      const okta = yield* make()
      okta.metadata = { ...okta.metadata, jwks_uri: keyServer.metadata["jwks_uri"] }
      const { verify } = yield* okta.start({ foreignEndpoints: true })
      yield* verify(okta.token())
      assert.deepStrictEqual([okta.requests.keys, keyServer.requests.keys], [0, 1])
    }))

  it.effect("is followed when it changes", () =>
    Effect.gen(function*() {
      const keyServer = yield* make()
      const okta = yield* make()
      const { discovery, jwks } = yield* okta.start({ foreignEndpoints: true })
      yield* jwks.ready
      okta.metadata = { ...okta.metadata, jwks_uri: keyServer.metadata["jwks_uri"] }
      yield* discovery.reload
      yield* jwks.reload
      assert.strictEqual(keyServer.requests.keys, 1)
    }))
})

describe("A reload", () => {
  it.effect("fails when Okta does, and leaves what is held", () =>
    Effect.gen(function*() {
      const okta = yield* make()
      const { jwks, verify } = yield* okta.start()
      yield* jwks.ready
      okta.break({ status: 404 }, ["keys"])
      assert.strictEqual((yield* Effect.flip(jwks.reload))._tag, "KeysUnavailable")
      yield* verify(okta.token())
    }))

  it.effect("in the middle of a fetch does not trust what that fetch brings", () =>
    Effect.gen(function*() {
      const okta = yield* make()
      const { jwks, verify } = yield* okta.start()
      yield* jwks.ready
      okta.rotate()
      okta.break("silent", ["keys"])
      yield* TestClock.adjust("5 minutes")
      yield* until("the keys were asked for", () => okta.waiting() === 1)
      const reload = yield* Effect.forkChild(jwks.reload)
      yield* Effect.yieldNow
      okta.release()
      okta.withdraw("key-1")
      okta.mend()
      yield* Fiber.join(reload)
      assert.isUndefined(jwks.peek("key-1"))
      yield* verify(okta.token())
    }))
})

it.effect("Whether tokens can be verified is known", () =>
  Effect.gen(function*() {
    const okta = yield* make()
    okta.break({ status: 404 })
    const { jwks } = yield* okta.start()
    assert.strictEqual((yield* Effect.flip(jwks.ready))._tag, "DiscoveryFailed")
    assert.isFalse(yield* jwks.usable)
    okta.mend()
    yield* okta.pass("32 seconds")
    yield* jwks.ready
    assert.isTrue(yield* jwks.usable)
  }))

it.effect("Fetches, failures and the age of the set are counted", () =>
  Effect.gen(function*() {
    const okta = yield* make()
    const [succeeded, failed] = [yield* fetches(okta.issuer, "success"), yield* fetches(okta.issuer, "failure")]
    okta.break({ status: 404 }, ["metadata", "oauth"])
    const { jwks } = yield* okta.start()
    yield* okta.pass("30 seconds")
    // It was the metadata that could not be fetched.
    assert.deepStrictEqual([yield* fetches(okta.issuer, "success"), yield* fetches(okta.issuer, "failure")], [
      succeeded,
      failed
    ])
    const lastGood = Effect.map(Metric.value(keySetLastGood.of({ issuer: okta.issuer })), ({ value }) => value)
    // Without keys there are no last good ones.
    assert.strictEqual(yield* lastGood, 0)
    const ofMetadata = yield* Metric.value(discoveryFetches.of({ issuer: okta.issuer, outcome: "failure" }))
    assert.isAtLeast(ofMetadata.count, 1)
    okta.mend()
    yield* okta.pass("31 seconds")
    yield* jwks.ready
    assert.strictEqual(yield* lastGood, 0)
    assert.deepStrictEqual([yield* fetches(okta.issuer, "success"), yield* fetches(okta.issuer, "failure")], [
      succeeded + 1,
      failed
    ])
    okta.break({ status: 404 }, ["keys"])
    yield* Effect.flip(jwks.reload)
    assert.strictEqual(yield* fetches(okta.issuer, "failure"), failed + 1)
    assert.strictEqual(yield* lastGood, 1)
    yield* okta.pass("3 minutes", "10 seconds")
    const age = Effect.map(
      Metric.value(keySetAge.of({ issuer: okta.issuer })),
      ({ value }) => Number(value)
    )
    assert.isAtLeast(yield* age, 120)
    assert.isAtMost(yield* age, 260)
    okta.mend()
    yield* okta.pass("31 seconds")
    assert.strictEqual(yield* age, 0)
    assert.strictEqual(yield* lastGood, 0)
    yield* okta.pass("302 seconds")
    assert.isAtLeast(yield* age, 300)
    assert.isAtMost(yield* age, 302)
  }))
