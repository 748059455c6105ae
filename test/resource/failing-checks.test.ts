import { assert, describe, it } from "@effect/vitest"
import { Effect, Layer } from "effect"
import { HttpRouter, HttpServerResponse } from "effect/http"
import { TestClock } from "effect/testing"
import * as OktaAuth from "../../src/OktaAuth.ts"
import type { Check } from "../../src/resource/Policy.ts"
import { serve } from "./TestServer.ts"

/** Routes behind a check each, which fails as it is told to. */
const start = Effect.gen(function*() {
  const troubles: { mayRead?: unknown; mayWrite?: unknown; unnamed?: unknown } = {}
  const answer = (what: keyof typeof troubles) =>
    Effect.suspend(() => troubles[what] === undefined ? Effect.succeed(true) : Effect.fail(troubles[what]))
  const mayRead: Check = () => answer("mayRead")
  const mayWrite: Check = () => answer("mayWrite")
  const route = (path: `/${string}`, check: Check) =>
    HttpRouter.add("GET", path, Effect.succeed(HttpServerResponse.text("ok"))).pipe(
      Layer.provide(OktaAuth.guard({ check }).layer)
    )
  const { ask, logged } = yield* serve(Layer.mergeAll(
    route("/mayRead", mayRead),
    route("/mayWrite", mayWrite),
    route("/unnamed", () => answer("unnamed"))
  ))
  return {
    troubles,
    /** Several requests, which all get the same answer. */
    ask: Effect.fnUntraced(function*(what: keyof typeof troubles) {
      const answers = yield* Effect.replicateEffect(ask(`/${what}`, { token: {} }), 5)
      const statuses = new Set(answers.map(({ status }) => status))
      assert.lengthOf([...statuses], 1)
      return [...statuses][0]
    }),
    errors: () => logged.filter((line) => line.includes("level=ERROR")),
    returns: () => logged.filter((line) => line.includes("available again"))
  }
})

describe("a policy's check that fails", () => {
  it.effect("is told at once, once a minute as long as it does, and when it answers again", () =>
    Effect.gen(function*() {
      const { ask, errors, returns, troubles } = yield* start
      troubles.mayRead = new Error("the directory is away")
      for (let minute = 1; minute <= 3; minute++) {
        assert.strictEqual(yield* ask("mayRead"), 503)
        yield* TestClock.adjust("30 seconds")
        assert.strictEqual(yield* ask("mayRead"), 503)
        assert.lengthOf(errors(), minute)
        assert.include(errors().at(-1), "The check mayRead of a policy has failed")
        assert.include(errors().at(-1), "the directory is away")
        yield* TestClock.adjust("30 seconds")
      }
      troubles.mayRead = undefined
      assert.strictEqual(yield* ask("mayRead"), 200)
      assert.lengthOf(returns(), 1)
      assert.include(returns()[0], "The check mayRead of a policy is available again")
      assert.lengthOf(errors(), 3)
    }))

  it.effect("is told though another has just failed, or the same one for another reason", () =>
    Effect.gen(function*() {
      const { ask, errors, troubles } = yield* start
      const expect = Effect.fnUntraced(
        function*(what: keyof typeof troubles, trouble: unknown, ...words: Array<string>) {
          troubles[what] = trouble
          const before = errors().length
          assert.strictEqual(yield* ask(what), 503)
          assert.lengthOf(errors(), before + (words.length === 0 ? 0 : 1))
          for (const word of words) assert.include(errors().at(-1), word)
        }
      )
      yield* expect("mayRead", "away", "The check mayRead of a policy has failed", "away")
      yield* expect("mayWrite", "away", "The check mayWrite of a policy has failed", "away")
      yield* expect("unnamed", "away", "The check of a policy has failed", "away")
      yield* expect("mayRead", { code: "ECONNRESET" }, "mayRead", "ECONNRESET")
      yield* expect("mayRead", Object.create(null), "mayRead")
      yield* expect("mayRead", "away")
      // A reason that is another one each time cannot fill the log.
      for (let nth = 0; nth < 50; nth++) {
        troubles.mayWrite = new Error(`away, request ${nth}`)
        yield* ask("mayWrite")
      }
      assert.isAtMost(errors().length, 15)
    }))
})
