import { assert, describe, it } from "@effect/vitest"
import { Effect, Fiber, Layer, Redacted } from "effect"
import { TestClock } from "effect/testing"
import { createHmac, createSecretKey, generateKeyPairSync } from "node:crypto"
import { serve } from "../support/FaultScene.ts"
import { make, type Started } from "../support/FaultyOkta.ts"
import { assertRefused } from "../support/GuardedServer.ts"

/** What becomes of a token: `accepted`, or the name of the error. */
const verdict = ({ verify }: Started, token: Redacted.Redacted<string>) =>
  Effect.match(verify(token), { onSuccess: () => "accepted", onFailure: (error) => error._tag })

/** A token whose header names another key; its signature is never looked at. */
const withKid = (token: string, kid: string) =>
  token.replace(/^[^.]+/, Buffer.from(JSON.stringify({ alg: "RS256", kid })).toString("base64url"))

describe("E. Key set and discovery", () => {
  it.effect("#75 2,000 unknown kids are refused, with one fetch, and a known key goes on", () =>
    Effect.gen(function*() {
      const okta = yield* make()
      const server = yield* serve(okta)
      const good = Redacted.value(okta.token())
      assert.strictEqual((yield* server.ask({ token: good })).status, 200)
      yield* Effect.forEach(
        Array.from({ length: 2000 }, (_, index) => index),
        Effect.fnUntraced(function*(index) {
          const unknown = withKid(good, `unknown-${index}`)
          if (index % 20 === 0) {
            assertRefused(yield* server.ask({ token: unknown }), "invalid_token")
            assert.strictEqual((yield* server.ask({ token: good })).status, 200)
          } else assert.strictEqual((yield* Effect.flip(server.verify(unknown)))._tag, "UnknownKey")
        }),
        { concurrency: 32 }
      )
      assert.strictEqual(okta.requests.keys, 2)
      yield* okta.pass("10 seconds")
      for (const kid of ["a", "b", "c"]) yield* server.ask({ token: withKid(good, kid) })
      assert.strictEqual(okta.requests.keys, 3)
    }))

  it.effect("#76 under 1,000 unknown kids a second a new key is accepted within 10 seconds, an old one all the time", () =>
    Effect.gen(function*() {
      const okta = yield* make()
      const started = yield* okta.start()
      const old = okta.token()
      assert.strictEqual(yield* verdict(started, old), "accepted")
      const rotation = 13_300
      let accepted: number | undefined
      for (let time = 0; time < 60_000; time += 100) {
        if (time === rotation) okta.rotate()
        for (let index = 0; index < 100; index++) {
          const unknown = Redacted.make(withKid(Redacted.value(old), `unknown-${time}-${index}`))
          assert.strictEqual(yield* verdict(started, unknown), "UnknownKey")
        }
        assert.strictEqual(yield* verdict(started, old), "accepted")
        if (time >= rotation) {
          const becomes = yield* verdict(started, okta.token({ claims: { jti: `${time}` } }))
          if (becomes === "accepted") accepted ??= time
          else assert.deepStrictEqual([becomes, accepted], ["UnknownKey", undefined])
        }
        yield* TestClock.adjust("100 millis")
      }
      assert.isAtMost((accepted ?? Infinity) - rotation, 10_000)
      // One at the start, and one in each 10 seconds.
      assert.isAtMost(okta.requests.keys, 7)
    }))

  it.effect("#77 a key that is withdrawn is refused within 5 minutes, its remembered tokens too", () =>
    Effect.gen(function*() {
      const okta = yield* make()
      const started = yield* okta.start()
      const remembered = okta.token()
      const fresh = okta.token({ claims: { jti: "never seen" } })
      assert.strictEqual(yield* verdict(started, remembered), "accepted")
      okta.rotate()
      okta.withdraw("key-1")
      yield* okta.pass("299 seconds", "1 minute")
      assert.strictEqual(yield* verdict(started, remembered), "accepted")
      yield* okta.pass("1 second")
      assert.strictEqual(yield* verdict(started, remembered), "UnknownKey")
      assert.strictEqual(yield* verdict(started, fresh), "UnknownKey")
      assert.strictEqual(yield* verdict(started, okta.token()), "accepted")
    }))

  it.effect("#80 a symmetric or a private key in the set is not used, and the others are", () =>
    Effect.gen(function*() {
      const okta = yield* make()
      const secret = createSecretKey(Buffer.alloc(32, 7))
      const { privateKey } = generateKeyPairSync("rsa", { modulusLength: 2048 })
      okta.published.push(
        { ...secret.export({ format: "jwk" }), kid: "symmetric", alg: "HS256" },
        { ...privateKey.export({ format: "jwk" }), kid: "private", alg: "RS256" },
        { ...privateKey.export({ format: "jwk" }), kid: "wrong", alg: "HS256" }
      )
      const started = yield* okta.start()
      const [header, payload] = Redacted.value(okta.token({ kid: "symmetric", header: { alg: "HS256" } })).split(".")
      const mac = createHmac("sha256", secret).update(`${header}.${payload}`).digest("base64url")
      assert.strictEqual(yield* verdict(started, Redacted.make(`${header}.${payload}.${mac}`)), "UnsupportedAlgorithm")
      for (const kid of ["symmetric", "private", "wrong"]) {
        const key = { kid, privateKey, jwk: {} }
        assert.strictEqual(yield* verdict(started, okta.token({ key })), "UnknownKey")
      }
      assert.strictEqual(yield* verdict(started, okta.token()), "accepted")
    }))

  for (
    const [what, metadata] of [
      ["#82 metadata of another issuer", { issuer: "https://evil.example" }],
      ["#82 metadata of the issuer in another writing", { issuer: "HTTP://127.0.0.1" }],
      ["#83 keys by http from another host", { jwks_uri: "http://keys.example/keys" }],
      ["#83 keys by http from an address in the cloud's own network", { jwks_uri: "http://169.254.169.254/latest" }],
      ["#83 keys in a file", { jwks_uri: "file:///etc/passwd" }]
    ] as const
  ) {
    it.effect(`${what} let nobody in, and are not asked for anything: 503`, () =>
      Effect.gen(function*() {
        const okta = yield* make()
        okta.metadata = { ...okta.metadata, ...metadata }
        let asked = 0
        const { fetch } = okta
        okta.fetch = (input, init) => {
          asked++
          return fetch(input, init)
        }
        const server = yield* serve(okta)
        assertRefused(yield* server.ask({ token: Redacted.value(okta.token()) }), "temporarily_unavailable")
        assert.deepStrictEqual([asked, okta.requests.metadata], [1, 1])
        // Whoever does not want to start without Okta does not start.
        const start = Effect.exit(Layer.build(okta.layer({ failFast: true })))
        assert.include(String(yield* start), "DiscoveryFailed")
      }))
  }

  it.effect("#83 keys on another origin are not asked for", () =>
    Effect.gen(function*() {
      const evil = yield* make()
      const okta = yield* make()
      okta.metadata = { ...okta.metadata, jwks_uri: evil.metadata["jwks_uri"] }
      const server = yield* serve(okta)
      assertRefused(yield* server.ask({ token: Redacted.value(evil.token()) }), "temporarily_unavailable")
      assert.deepStrictEqual(evil.log, [])
    }))

  for (const status of [301, 302, 303, 307, 308]) {
    it.effect(`#84 ${status} in place of the keys is not followed`, () =>
      Effect.gen(function*() {
        const evil = yield* make()
        const okta = yield* make()
        const location = String(evil.metadata["jwks_uri"])
        okta.break({ status, headers: { location } }, ["keys"])
        const server = yield* serve(okta)
        assertRefused(yield* server.ask({ token: Redacted.value(evil.token()) }), "temporarily_unavailable")
        assert.deepStrictEqual(evil.log, [])
      }))
  }

  it.effect("#84 a redirect in place of the metadata is not followed", () =>
    Effect.gen(function*() {
      const evil = yield* make()
      const okta = yield* make()
      okta.break({ status: 302, headers: { location: `${evil.issuer}/.well-known/openid-configuration` } })
      const server = yield* serve(okta)
      assertRefused(yield* server.ask({ token: Redacted.value(okta.token()) }), "temporarily_unavailable")
      assert.deepStrictEqual(evil.log, [])
    }))

  for (const document of ["metadata", "keys"] as const) {
    it.effect(`#86 ${document} of 200 MB are abandoned at the cap`, () =>
      Effect.gen(function*() {
        const okta = yield* make()
        okta.break("flood", [document, "oauth"])
        const server = yield* serve(okta)
        assertRefused(yield* server.ask({ token: Redacted.value(okta.token()) }), "temporarily_unavailable")
        // What was written and never read stays in the buffers of two sockets.
        assert.isBelow(okta.flooded, 40 * 1024 * 1024)
      }))
  }

  it.effect("#87 10,000 concurrent requests on a cold start cause one fetch of each document and no error", () =>
    Effect.gen(function*() {
      const okta = yield* make()
      okta.break("silent")
      const { verify } = yield* okta.start()
      const users = Array.from({ length: 1000 }, (_, index) => `user-${index}`)
      const tokens = users.map((sub) => okta.token({ claims: { sub } }))
      const requests = Array.from({ length: 10 }, () => tokens).flat()
      const verdicts = yield* Effect.forkChild(Effect.forEach(requests, verify, { concurrency: "unbounded" }))
      for (const document of ["metadata", "keys"] as const) {
        yield* okta.settled
        assert.deepStrictEqual([okta.requests[document], okta.waiting()], [1, 1])
        okta.release()
      }
      const subjects = (yield* Fiber.join(verdicts)).map(({ claims }) => claims.sub)
      assert.deepStrictEqual(subjects, Array.from({ length: 10 }, () => users).flat())
      assert.deepStrictEqual(okta.requests, { metadata: 1, oauth: 0, keys: 1 })
    }))

  for (
    const [cacheControl, lifetime] of [["max-age=60", 60], ["no-cache", 60], ["max-age=1", 60], [
      "max-age=600",
      600
    ]] as const
  ) {
    it.effect(`#88 a key withdrawn under Cache-Control: ${cacheControl} is refused within ${lifetime} seconds`, () =>
      Effect.gen(function*() {
        const okta = yield* make()
        okta.cacheControl = cacheControl
        const started = yield* okta.start()
        const token = okta.token()
        assert.strictEqual(yield* verdict(started, token), "accepted")
        okta.rotate()
        okta.withdraw("key-1")
        yield* okta.pass(`${lifetime - 1} seconds`, "30 seconds")
        assert.strictEqual(yield* verdict(started, token), "accepted")
        yield* okta.pass("1 second")
        assert.strictEqual(yield* verdict(started, token), "UnknownKey")
      }))
  }
})
