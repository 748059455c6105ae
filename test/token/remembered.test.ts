import { assert, describe, it } from "@effect/vitest"
import { Deferred, Effect, Exit, Fiber } from "effect"
import { TestClock } from "effect/testing"
import * as Remembered from "../../src/token/Remembered.ts"

/** A memory, and questions that are counted. */
const arrange = Effect.fnUntraced(function*(capacity = 10, partOf?: (key: string) => string) {
  const remembered = yield* Remembered.make<number, string>(capacity, partOf)
  let asked = 0
  const answer = (keepFor: number) => Effect.sync(() => ({ value: ++asked, keepFor }))
  return { ...remembered, answer, ask: (key: string, keepFor = 1000) => remembered.get(key, answer(keepFor)) }
})

describe("an answer that is remembered", () => {
  it.effect("is given again until its time is over, counted from when it was asked for", () =>
    Effect.gen(function*() {
      const { answer, ask, get } = yield* arrange()
      assert.deepStrictEqual([yield* ask("a"), yield* ask("a"), yield* ask("b")], [1, 1, 2])
      yield* TestClock.adjust("999 millis")
      assert.strictEqual(yield* ask("a"), 1)
      yield* TestClock.adjust("1 millis")
      assert.strictEqual(yield* ask("a"), 3)

      const slow = yield* Effect.forkChild(get("slow", Effect.delay(answer(1000), "600 millis")))
      yield* TestClock.adjust("600 millis")
      assert.strictEqual(yield* Fiber.join(slow), 4)
      yield* TestClock.adjust("399 millis")
      assert.strictEqual(yield* ask("slow"), 4)
      yield* TestClock.adjust("1 millis")
      assert.strictEqual(yield* ask("slow"), 5)
    }))

  it.effect("is not kept where it must not be, nor is a failure", () =>
    Effect.gen(function*() {
      const { ask, get } = yield* arrange()
      assert.deepStrictEqual([yield* ask("a", 0), yield* ask("a", -1), yield* ask("a", 1), yield* ask("a")], [
        1,
        2,
        3,
        3
      ])
      for (let times = 0; times < 2; times++) {
        assert.strictEqual(yield* Effect.flip(get("b", Effect.fail("away"))), "away")
      }
      assert.strictEqual(yield* ask("b"), 4)
    }))

  it.effect("that must not be kept takes no other's place", () =>
    Effect.gen(function*() {
      const { ask } = yield* arrange(1)
      assert.deepStrictEqual([yield* ask("a"), yield* ask("b", 0), yield* ask("c", -1), yield* ask("a")], [1, 2, 3, 1])
    }))

  it.effect("is one of so many, found by the part that the keys are told apart by", () =>
    Effect.gen(function*() {
      const { ask } = yield* arrange(2, (key) => key.slice(0, 1))
      assert.deepStrictEqual([yield* ask("a"), yield* ask("b"), yield* ask("a"), yield* ask("c")], [1, 2, 1, 3])
      assert.deepStrictEqual([yield* ask("a"), yield* ask("b")], [1, 4])
      assert.strictEqual(yield* ask("bb"), 5)
    }))

  it.effect("is asked for once at a time, whoever of those who wait goes away", () =>
    Effect.gen(function*() {
      const { get } = yield* arrange()
      const gate = yield* Deferred.make<void>()
      let asked = 0
      const ask = get(
        "a",
        Effect.andThen(
          Effect.sync(() => void asked++),
          Effect.as(Deferred.await(gate), { value: 7, keepFor: 1000 })
        )
      )
      const gone = yield* Effect.forkChild(ask, { startImmediately: true })
      const waiting = yield* Effect.forEach([1, 2, 3], () => Effect.forkChild(ask, { startImmediately: true }))
      yield* Fiber.interrupt(gone)
      yield* Fiber.interrupt(waiting[0] ?? gone)
      yield* Deferred.succeed(gate, undefined)
      const exits = yield* Effect.forEach(waiting.slice(1), Fiber.await)
      assert.deepStrictEqual(exits, [Exit.succeed(7), Exit.succeed(7)])
      assert.strictEqual(yield* ask, 7)
      assert.strictEqual(asked, 1)
    }))

  it.effect("that is forgotten is asked for anew, also while it is under way", () =>
    Effect.gen(function*() {
      const { answer, ask, forget, get } = yield* arrange()
      assert.strictEqual(yield* ask("a"), 1)
      forget("a")
      assert.strictEqual(yield* ask("a"), 2)
      forget("never known")

      const gate = yield* Deferred.make<void>()
      const old = yield* Effect.forkChild(get("b", Effect.andThen(Deferred.await(gate), answer(1000))), {
        startImmediately: true
      })
      forget("b")
      assert.strictEqual(yield* ask("b"), 3)
      yield* Deferred.succeed(gate, undefined)
      assert.strictEqual(yield* Fiber.join(old), 4)
      // The one that was forgotten did not take the place of the one that came after it.
      assert.strictEqual(yield* ask("b"), 3)
    }))
})
