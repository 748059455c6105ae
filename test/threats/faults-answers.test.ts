import { assert, describe, it } from "@effect/vitest"
import { Effect, Redacted } from "effect"
import { tls, trustTestAuthority } from "../support/Certificates.ts"
import { recorder, serve, verdict } from "../support/FaultScene.ts"
import { type Answer, type Fault, make } from "../support/FaultyOkta.ts"
import { collect } from "../support/Garbage.ts"
import { assertRefused } from "../support/GuardedServer.ts"

const html: Answer = { status: 200, headers: { "content-type": "text/html" }, body: "<!doctype html>Maintenance" }
const noKeys: Answer = { status: 200, body: "{\"keys\":[]}" }

describe("Faults: Answers that are none", () => {
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
    it.effect(`F13: a certificate that is ${name}, cold: a failure, and nothing is asked over it`, () =>
      Effect.gen(function*() {
        yield* trustTestAuthority
        const okta = yield* make({ tls: tls(certificate) })
        const { discovery } = yield* okta.start()
        const { value: error } = yield* okta.timed(Effect.flip(discovery.metadata))
        assert.match(error.message, reason)
        assert.deepStrictEqual(okta.log, [])
      }))
  }

  for (const certificate of ["expired", "wrong-host", "self-signed"]) {
    it.effect(`F13: a certificate that is ${certificate} from now on, warm and stale: the keys held go on, and no others come in`, () =>
      Effect.gen(function*() {
        yield* trustTestAuthority
        const okta = yield* make({ tls: tls("good") })
        const server = yield* serve(okta)
        const known = Redacted.value(okta.token())
        assert.strictEqual((yield* server.ask({ token: known })).status, 200)
        okta.recertify(tls(certificate))
        const { log } = okta
        const asked = log.length
        okta.rotate()
        const fresh = Redacted.value(okta.token())
        // Fresh, then due to be fetched anew.
        for (let round = 0; round < 2; round++) {
          assert.strictEqual((yield* server.ask({ token: known })).status, 200)
          assertRefused((yield* okta.timed(server.ask({ token: fresh }))).value, "temporarily_unavailable")
          yield* okta.pass("6 minutes", "10 seconds")
        }
        assert.strictEqual(log.length, asked)
        okta.recertify(tls("good"))
        yield* okta.pass("31 seconds")
        assert.strictEqual((yield* server.ask({ token: fresh })).status, 200)
      }))
  }

  it.effect("F13: a certificate in order: no failure", () =>
    Effect.gen(function*() {
      yield* trustTestAuthority
      const okta = yield* make({ tls: tls("good") })
      const { verify } = yield* okta.start()
      yield* verify(okta.token())
    }))
})
