import { assert, describe, it } from "@effect/vitest"
import { Effect, Redacted } from "effect"
import { TestClock } from "effect/testing"
import { OktaTest } from "../../src/testing/OktaTest.ts"
import { TokenVerifier } from "../../src/token/TokenVerifier.ts"
import { now } from "../support/ProxyScene.ts"
import { spansOf, valueOf, Watch } from "../support/Watch.ts"

describe("Telemetry of the verifier", () => {
  it.effect("a token that was good, and no longer is when it comes again, counts as that", () =>
    Effect.gen(function*() {
      const watch = new Watch()
      yield* TestClock.setTime(now * 1000)
      yield* Effect.gen(function*() {
        const { verify } = yield* TokenVerifier
        const token = yield* (yield* OktaTest).token()
        yield* verify(token)
        // The clock was wrong, and is set right.
        yield* TestClock.setTime((now - 3600) * 1000)
        assert.strictEqual((yield* Effect.flip(verify(token)))._tag, "TokenNotYetValid")
      }).pipe(Effect.provide(OktaTest.layerAuth()), Effect.provide(watch.layer))
      const counted = (labels: { readonly [label: string]: string }) =>
        valueOf(watch, "okta_token_verifications", labels)
      assert.deepStrictEqual([
        counted({ outcome: "success" }),
        counted({ outcome: "TokenNotYetValid", remembered: "true" }),
        counted({})
      ], [1, 1, 2])
    }))

  it.effect("each token is counted, by its kind and by whether it was seen before", () =>
    Effect.gen(function*() {
      const watch = new Watch()
      yield* Effect.gen(function*() {
        const { verify } = yield* TokenVerifier
        const token = yield* (yield* OktaTest).token()
        for (const [first, again] of [[1, 0], [1, 1], [1, 2]] as const) {
          yield* verify(token)
          for (const [remembered, expected] of [["false", first], ["true", again]] as const) {
            const labels = { issuer: OktaTest.issuer, token: "access_token", outcome: "success", remembered }
            assert.strictEqual(valueOf(watch, "okta_token_verifications", labels), expected)
          }
        }
      }).pipe(Effect.provide(OktaTest.layerAuth()), Effect.provide(watch.layer))
    }))

  it.effect("without a tracer there are no spans; with one the span of a token seen before is like any other", () =>
    Effect.gen(function*() {
      const watch = new Watch()
      yield* Effect.gen(function*() {
        const { verify } = yield* TokenVerifier
        const token = yield* (yield* OktaTest).token()
        yield* verify(token)
        yield* verify(token)
        yield* verify(token).pipe(Effect.withTracerEnabled(false))
        assert.lengthOf(spansOf(watch, "okta.verify"), 2)
        const [first, second] = spansOf(watch, "okta.verify").map(({ attributes }) => attributes)
        assert.deepStrictEqual(first, second)
        assert.sameMembers(Object.keys(first ?? {}), ["okta.issuer", "okta.kid", "okta.outcome"])
      }).pipe(Effect.provide(OktaTest.layerAuth()), Effect.provide(watch.layer))
    }))

  it.effect("of a key the span tells the name, 100 characters of it, and nothing of a token longer than 16 KiB", () =>
    Effect.gen(function*() {
      const watch = new Watch()
      yield* Effect.gen(function*() {
        const { verify } = yield* TokenVerifier
        /** Of so many characters in all. */
        const token = (header: object, size: number) => {
          const first = Buffer.from(JSON.stringify(header)).toString("base64url")
          const rest = size - first.length - 4
          // A part of one character more than a multiple of four encodes nothing.
          return [first, ...rest % 4 === 1 ? ["AAA", "A".repeat(rest - 1)] : ["AA", "A".repeat(rest)]].join(".")
        }
        for (
          const text of [
            token({ kid: "k".repeat(101) }, 1000),
            token({ kid: "a" }, 16 * 1024),
            token({ kid: "a" }, 16 * 1024 + 1),
            token({ kid: 5 }, 1000)
          ]
        ) {
          yield* Effect.flip(verify(Redacted.make(text)))
        }
      }).pipe(Effect.provide(OktaTest.layerAuth()), Effect.provide(watch.layer))
      assert.deepStrictEqual(spansOf(watch, "okta.verify").map(({ attributes }) => attributes["okta.kid"]), [
        "k".repeat(100),
        "a",
        undefined,
        undefined
      ])
    }))
})
