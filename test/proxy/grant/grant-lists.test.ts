import { assert, describe, it } from "@effect/vitest"
import { Context, Duration, Effect, Layer, Option } from "effect"
import { TestClock } from "effect/testing"
import * as GrantIndex from "../../../src/proxy/grant/GrantIndex.ts"
import { Sealed } from "../../../src/proxy/Sealed.ts"
import * as SealedRecords from "../../../src/proxy/SealedRecords.ts"
import * as MemoryStore from "../../../src/store/MemoryStore.ts"
import { Store } from "../../../src/store/Store.ts"
import { configLayer, now } from "../ProxyTest.ts"

const of = (subject: string): GrantIndex.Named => ({
  clientId: "agent",
  user: { _tag: "User", subject, username: `${subject}@example.com`, groups: [], scopes: [], amr: [] }
})
const ada = of("ada")
const person = { kind: "person", value: "ada" } as const
const agent = { kind: "client", value: "agent" } as const
const hour = Duration.hours(1)

/** An index of lists of three, and everything that is written to its store. */
const arrange = Effect.gen(function*() {
  yield* TestClock.setTime(now * 1000)
  const memory = Context.get(yield* Layer.build(Layer.fresh(MemoryStore.layer)), Store)
  const sealed = Context.get(yield* Layer.build(Layer.provide(Sealed.layer, configLayer())), Sealed)
  const writes: Array<string> = []
  const state = { before: (_key: string): Effect.Effect<unknown> => Effect.void }
  const noted = <A, E>(key: string, write: Effect.Effect<A, E>) =>
    Effect.suspend(() => {
      writes.push(key)
      return Effect.andThen(state.before(key), write)
    })
  const store = Store.of({
    ...memory,
    putIfAbsent: (key, value, ttl) => noted(key, memory.putIfAbsent(key, value, ttl)),
    compareAndSet: (key, expected, value, ttl) => noted(key, memory.compareAndSet(key, expected, value, ttl))
  })
  const other = GrantIndex.make({ sealed, store: memory }, 3)
  const index = GrantIndex.make({ sealed, store }, 3)
  const records = SealedRecords.make("grants", "grants", GrantIndex.List, { sealed, store: memory })
  /** What the list of a person holds. */
  const held = Effect.map(
    records.find("person 0 ada"),
    Option.map(({ value }) => value.grants.map(({ at, id, until }) => [id, at - now, (until ?? Infinity) - now]))
  )
  return { index, other, state, writes, held }
})

describe("a list of grants", () => {
  it.effect("holds each once, with when it was noted and until when, under each of its names", () =>
    Effect.gen(function*() {
      const { held, index } = yield* arrange
      yield* index.add("one", ada, hour)
      yield* TestClock.adjust("10 seconds")
      yield* index.add("two", ada, hour)
      yield* index.add("three", of("bob"), hour)
      assert.deepStrictEqual(yield* held, Option.some([["one", 0, 3600], ["two", 10, 3610]]))
      for (const name of GrantIndex.namesOf(ada).slice(0, 2)) {
        assert.deepStrictEqual(yield* index.list(name), ["one", "two"])
      }
      assert.sameMembers([...yield* index.list(agent)], ["one", "two", "three"])
      assert.deepStrictEqual(yield* index.list({ ...person, value: "carl" }), [])
    }))

  it.effect("is not written where nothing of it changes by more than a minute", () =>
    Effect.gen(function*() {
      const { held, index, writes } = yield* arrange
      const written = (effect: Effect.Effect<void, unknown>) =>
        Effect.gen(function*() {
          writes.length = 0
          yield* effect
          return writes.length
        })
      assert.strictEqual(yield* written(index.add("one", ada, hour)), 3)
      assert.strictEqual(yield* written(index.add("one", ada, hour)), 0)
      yield* TestClock.adjust("59 seconds")
      assert.strictEqual(yield* written(index.add("one", ada, hour)), 0)
      yield* TestClock.adjust("1 second")
      assert.strictEqual(yield* written(index.add("one", ada, hour)), 3)
      assert.deepStrictEqual(yield* held, Option.some([["one", 60, 3660]]))
      assert.strictEqual(yield* written(index.add("one", ada, Duration.minutes(5))), 0)
      assert.strictEqual(yield* written(index.remove("two", ada)), 0)
      assert.strictEqual(yield* written(index.remove("one", of("bob"))), 1)
      assert.strictEqual(yield* written(index.remove("one", ada)), 2)
      assert.strictEqual(yield* written(index.remove("one", ada)), 0)
    }))

  it.effect("leaves out what has ended, and is gone with the last of it", () =>
    Effect.gen(function*() {
      const { held, index } = yield* arrange
      yield* index.add("short", ada, Duration.minutes(5))
      yield* index.add("long", ada, hour)
      yield* TestClock.adjust("299 seconds")
      assert.deepStrictEqual(yield* index.list(person), ["short", "long"])
      yield* TestClock.adjust("1 second")
      assert.deepStrictEqual(yield* index.list(person), ["long"])
      assert.lengthOf(Option.getOrElse(yield* held, () => []), 2)
      yield* index.add("new", ada, Duration.minutes(5))
      assert.deepStrictEqual(yield* held, Option.some([["long", 0, 3600], ["new", 300, 600]]))
      yield* TestClock.adjust("3299 seconds")
      assert.isTrue(Option.isSome(yield* held))
      yield* TestClock.adjust("1 second")
      assert.deepStrictEqual(yield* held, Option.none())
    }))

  it.effect("that is emptied is forgotten", () =>
    Effect.gen(function*() {
      const { held, index } = yield* arrange
      yield* index.add("one", ada, hour)
      yield* index.remove("one", ada)
      assert.deepStrictEqual(yield* index.list(person), [])
      yield* TestClock.adjust("1 second")
      assert.deepStrictEqual(yield* held, Option.none())
    }))

  it.effect("holds so many of those that last longest, and of those that end together the latest", () =>
    Effect.gen(function*() {
      const { index } = yield* arrange
      for (const [id, minutes] of [["a", 30], ["b", 50], ["c", 10], ["d", 30], ["e", 5], ["f", 30]] as const) {
        yield* index.add(id, ada, Duration.minutes(minutes))
      }
      assert.sameMembers([...yield* index.list(person)], ["b", "d", "f"])
      // A client has room for many more: each grant has its place in one of several lists.
      assert.isAbove((yield* index.list(agent)).length, 3)
    }))

  it.effect("is written again when somebody else has written it meanwhile, but not for ever", () =>
    Effect.gen(function*() {
      const { index, other, state } = yield* arrange
      yield* index.add("one", ada, hour)
      let others = 0
      const meanwhile = (most: number) => (): Effect.Effect<unknown> =>
        Effect.suspend(() =>
          others < most ? Effect.orDie(other.add(`other-${others++}`, ada, Duration.hours(2))) : Effect.void
        )
      state.before = meanwhile(2)
      yield* index.add("two", ada, Duration.hours(3))
      assert.sameMembers([...yield* index.list(person)], ["other-0", "other-1", "two"])
      state.before = meanwhile(Infinity)
      const failed = yield* Effect.flip(index.add("three", ada, Duration.hours(3)))
      assert.deepInclude(failed, { _tag: "StoreUnavailable", operation: "compareAndSet" })
      assert.isAtLeast(others, 20)
      state.before = () => Effect.void
      yield* index.add("three", ada, Duration.hours(3))
      assert.include(yield* index.list(person), "three")
    }))
})
