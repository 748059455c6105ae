import { assert, describe, it } from "@effect/vitest"
import { Duration, Effect, Option, type Scope } from "effect"
import * as fc from "fast-check"
import type { Store, StoreUnavailable } from "../../src/store/Store.ts"
import { model, perform, step } from "./StoreModel.ts"

/** A store to be held to the contract. */
export interface Subject {
  readonly name: string
  /** Two ways into one new and empty store, as two servers have them, or the same twice where only one can. */
  readonly replicas: Effect.Effect<readonly [Store["Service"], Store["Service"]], StoreUnavailable, Scope.Scope>
  /** Lets time pass for the store of these replicas. */
  readonly pass: (duration: Duration.Duration) => Effect.Effect<void>
  /** The shortest time that the tests let pass, where real time runs on meanwhile: a millisecond by default. */
  readonly tick?: Duration.Duration
  /** How long, in milliseconds, the longest of the tests may take. */
  readonly timeout?: number
}

const minute = Duration.minutes(1)
const none = Option.none<string>()

/** The suite that every store passes. */
export const contract = ({ name, pass, replicas, tick = Duration.millis(1), timeout = 15_000 }: Subject) =>
  describe(`A store ${name}`, () => {
    it.effect("does as the contract says, whatever the order and whichever the replica", () =>
      Effect.gen(function*() {
        const stores = yield* replicas
        const sequences = fc.sample(fc.array(step, { minLength: 5, maxLength: 30 }), 40)
        for (const [index, steps] of sequences.entries()) {
          const expected = model()
          for (const [at, step] of steps.entries()) {
            const store = stores[step.replica] ?? stores[0]
            assert.deepStrictEqual(
              yield* perform(store, pass, `${index}:`, tick, step),
              expected(step),
              JSON.stringify(steps.slice(0, at + 1))
            )
          }
        }
      }), timeout)

    it.effect("keeps an entry until its time has come, to the moment, for every operation", () =>
      Effect.gen(function*() {
        const [store] = yield* replicas
        for (const key of ["get", "take", "absent", "set", "renewed"]) yield* store.put(key, "v", minute)
        yield* pass(Duration.subtract(minute, tick))
        assert.deepStrictEqual(yield* store.get("get"), Option.some("v"))
        assert.isFalse(yield* store.putIfAbsent("absent", "w", minute))
        assert.isFalse(yield* store.compareAndSet("set", "w", "x", minute))
        assert.isTrue(yield* store.compareAndSet("renewed", "v", "w", minute))
        yield* pass(tick)
        assert.deepStrictEqual(yield* store.get("get"), none)
        assert.deepStrictEqual(yield* store.take("take"), none)
        assert.isTrue(yield* store.putIfAbsent("absent", "w", minute))
        assert.isFalse(yield* store.compareAndSet("set", "v", "x", minute))
        assert.deepStrictEqual(yield* store.get("renewed"), Option.some("w"))
      }))

    it.effect("takes any time to live", () =>
      Effect.gen(function*() {
        const [store] = yield* replicas
        for (const ttl of [Duration.zero, Duration.millis(-5), Duration.negativeInfinity, Duration.micros(1n)]) {
          yield* store.put("short", "v", ttl)
          yield* pass(tick)
          assert.deepStrictEqual(yield* store.get("short"), none)
        }
        yield* store.put("long", "v", Duration.infinity)
        yield* store.put("odd", "v", Duration.sum(tick, Duration.micros(500n)))
        yield* pass(Duration.millis(1))
        assert.deepStrictEqual(yield* store.get("odd"), Option.some("v"))
        yield* pass(Duration.days(30))
        assert.deepStrictEqual(yield* store.get("long"), Option.some("v"))
      }))

    it.effect("gives back every text as it came, and confuses no two keys", () =>
      Effect.gen(function*() {
        const [store, other] = yield* replicas
        const keys = ["a", "A", "a:", "a*", "a%", "a_", "a'", "\"a\"", "0", "00", "1e0", "__proto__", "k".repeat(256)]
        const texts = fc.sample(
          fc.string({ unit: "binary", maxLength: 300 }).filter((text) => !text.includes("\0")),
          50
        )
        for (
          const value of [
            "",
            " ",
            "\ufeffé\u0301\r\n'",
            "0",
            "1e999",
            "v".repeat(256 * 1024),
            "é".repeat(256 * 1024),
            ...texts
          ]
        ) {
          yield* store.put("text", value, minute)
          assert.deepStrictEqual(yield* other.get("text"), Option.some(value))
          assert.isTrue(yield* other.compareAndSet("text", value, "next", minute))
        }
        yield* Effect.forEach(keys, (key) => store.put(key, `of ${key}`, minute))
        for (const key of keys) assert.deepStrictEqual(yield* other.take(key), Option.some(`of ${key}`))
      }))

    it.effect("refuses what is too long or no text, and says so without repeating it", () =>
      Effect.gen(function*() {
        const [store] = yield* replicas
        yield* store.put("k", "v", minute)
        const secret = "s".repeat(256 * 1024)
        const values = [`${secret}s`, "sss\0", "sss\ud800", "\udc00sss"]
        const keys = ["", "sss s", "sss\n", "sss\0", "sssé", secret]
        const attempts = [
          ...values.flatMap((value) => [
            store.put("k", value, minute),
            store.putIfAbsent("new", value, minute),
            store.compareAndSet("k", "v", value, minute),
            store.compareAndSet("k", value, "w", minute)
          ]),
          ...keys.flatMap((key) => [
            store.put(key, "v", minute),
            store.get(key),
            store.take(key),
            store.putIfAbsent(key, "v", minute),
            store.compareAndSet(key, "v", "w", minute),
            store.remove(key)
          ])
        ]
        for (const attempt of attempts) {
          const error = yield* Effect.flip<unknown, StoreUnavailable, never>(attempt)
          assert.strictEqual(error._tag, "StoreUnavailable")
          assert.notInclude(error.message, "sss")
        }
        assert.deepStrictEqual(yield* store.get("k"), Option.some("v"))
        assert.deepStrictEqual(yield* store.get("new"), none)
      }))

    it.effect("#138 lets exactly one of 50 at once succeed, round after round, on two replicas", () =>
      Effect.gen(function*() {
        const stores = yield* replicas
        const compete = (
          attempt: (store: Store["Service"], index: number) => Effect.Effect<boolean, StoreUnavailable>
        ) =>
          Effect.forEach(
            Array.from({ length: 50 }, (_, index) => index),
            (index) => attempt(stores[index % 2] ?? stores[0], index),
            { concurrency: "unbounded" }
          ).pipe(Effect.map((results) => results.filter(Boolean).length))
        for (let round = 0; round < 100; round++) {
          const key = `code:${round}`
          assert.strictEqual(yield* compete((store, index) => store.putIfAbsent(key, `${index}`, minute)), 1)
          const first = Option.getOrElse(yield* stores[0].get(key), () => "")
          const set = yield* compete((store, index) => store.compareAndSet(key, first, `next ${index}`, minute))
          assert.strictEqual(set, 1)
          assert.strictEqual(yield* compete((store) => Effect.map(store.take(key), Option.isSome)), 1)
        }
      }))
  })
