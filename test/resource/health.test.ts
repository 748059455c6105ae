import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import { OktaAuth } from "effect-okta"
import { TestClock } from "effect/testing"
import type { Outage } from "../../src/testing/OktaTest.ts"
import { ownHeaders, serve } from "./TestServer.ts"

const headers = { "cache-control": "no-store", "content-type": "application/json" }

describe("health", () => {
  it.effect("is live and ready, without a token", () =>
    Effect.gen(function*() {
      const { ask } = yield* serve(OktaAuth.health)
      const live = yield* ask("/healthz")
      assert.deepStrictEqual([live.status, ownHeaders(live), live.body], [200, headers, "{\"status\":\"ok\"}"])
      const ready = yield* ask("/readyz")
      assert.deepStrictEqual([ready.status, ownHeaders(ready), ready.body], [200, headers, "{\"status\":\"ready\"}"])
      const head = yield* ask("/readyz", { method: "HEAD" })
      assert.deepStrictEqual([head.status, head.body], [200, ""])
    }))

  for (const outage of ["unreachable", "silent", "error", "rate-limited", "garbage"] satisfies ReadonlyArray<Outage>) {
    it.effect(`is live but not ready while no keys could be had (${outage}), and ready again by itself`, () =>
      Effect.gen(function*() {
        const { ask, okta } = yield* serve(OktaAuth.health, {}, { outage })
        assert.strictEqual((yield* ask("/healthz")).status, 200)
        const notReady = yield* ask("/readyz")
        assert.deepStrictEqual([notReady.status, ownHeaders(notReady), notReady.body], [
          503,
          headers,
          "{\"status\":\"not ready\",\"missing\":[\"keys\"]}"
        ])
        yield* TestClock.adjust("2 minutes")
        assert.strictEqual((yield* ask("/readyz")).status, 503)
        yield* okta.restore
        yield* TestClock.adjust("1 minute")
        assert.strictEqual((yield* ask("/readyz")).status, 200)
      }))
  }

  it.effect("stays ready on the last good keys for as long as they may be used", () =>
    Effect.gen(function*() {
      const { ask, okta } = yield* serve(OktaAuth.health)
      assert.strictEqual((yield* ask("/readyz")).status, 200)
      yield* okta.fail("unreachable")
      yield* TestClock.adjust("1 hour")
      assert.strictEqual((yield* ask("/readyz")).status, 200)
    }))
})
