import { assert, describe, it } from "@effect/vitest"
import { Context, Duration, Effect, Layer, Option } from "effect"
import { TestClock } from "effect/testing"
import { createHash } from "node:crypto"
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
  /** Who notes as many as is usual, and how much is written for it: keys, and values with those that they replace. */
  const sizes: Array<number> = []
  const usual = GrantIndex.make({
    sealed,
    store: Store.of({
      ...memory,
      putIfAbsent: (key, value, ttl) => {
        sizes.push(key.length + value.length)
        return memory.putIfAbsent(key, value, ttl)
      },
      compareAndSet: (key, expected, value, ttl) => {
        sizes.push(key.length + expected.length + value.length)
        return memory.compareAndSet(key, expected, value, ttl)
      }
    })
  })
  return { index, other, records, state, usual, sizes, writes, held }
})

/** Ids of grants which a client has in one and the same of its lists. */
const neighbours = (count: number) =>
  Array.from({ length: count * 100 }, (_, nth) => `grant-${nth}`).filter((id) =>
    (createHash("sha256").update(id).digest()[0] ?? 0) % 64 === 5
  ).slice(0, count)

describe("a list of grants", () => {
  it.effect("below that of a client is bounded as well: those stay that end last", () =>
    Effect.gen(function*() {
      const { index } = yield* arrange
      const together = neighbours(400).filter((id) => (createHash("sha256").update(id).digest()[1] ?? 0) % 32 === 7)
        .slice(0, 5)
      const above = neighbours(3).filter((id) => !together.includes(id))
      assert.deepStrictEqual([above.length, together.length], [3, 5])
      for (const id of above) yield* index.add(id, ada, Duration.hours(9))
      for (const [nth, id] of together.entries()) yield* index.add(id, ada, Duration.hours(nth + 1))
      assert.sameMembers([...yield* index.list(agent)], [...above, ...together.slice(2)])
    }))

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

describe("the lists of a client with a great many grants", () => {
  it.effect("have all of them, of which one that comes on top costs little to note", () =>
    Effect.gen(function*() {
      const { sizes, usual } = yield* arrange
      const ids = neighbours(400)
      assert.lengthOf(ids, 400)
      for (const id of ids) yield* usual.add(id, of(id), GrantIndex.longest, [agent])
      assert.sameMembers([...yield* usual.list(agent)], ids)
      // Once that there are more below is noted, the list above is not written any more.
      assert.isAtMost(sizes.length, 401)
      assert.isBelow(Math.max(...sizes), 12_000)
      assert.isBelow(sizes.slice(-100).reduce((sum, size) => sum + size) / 100, 4000)
    }))

  it.effect("are of use as long as any of the grants, and let go of each", () =>
    Effect.gen(function*() {
      const { index, writes } = yield* arrange
      const [first = "", second = "", third = "", ...more] = neighbours(8)
      for (const id of [first, second, third]) yield* index.add(id, of(id), hour, [agent])
      for (const id of more) yield* index.add(id, of(id), Duration.days(50), [agent])
      assert.sameMembers([...yield* index.list(agent)], [first, second, third, ...more])
      const [gone = "", kept = "", ...others] = more
      yield* index.remove(gone, of(gone))
      yield* index.remove(first, of(first))
      assert.sameMembers([...yield* index.list(agent)], [second, third, kept, ...others])
      // What has a place below, and then one above as well, is there once, and gone from both.
      yield* index.add(kept, of(kept), Duration.days(50), [agent])
      assert.sameMembers([...yield* index.list(agent)], [second, third, kept, ...others])
      yield* index.remove(kept, of(kept))
      assert.sameMembers([...yield* index.list(agent)], [second, third, ...others])
      // Nothing is left above by then.
      yield* TestClock.adjust(hour)
      assert.sameMembers([...yield* index.list(agent)], others)
      yield* TestClock.adjust(Duration.days(49))
      assert.sameMembers([...yield* index.list(agent)], others)
      yield* TestClock.adjust(Duration.days(1))
      assert.deepStrictEqual(yield* index.list(agent), [])
      writes.length = 0
      yield* index.remove(gone, of(gone))
      assert.deepStrictEqual(writes, [])
    }))

  it.effect("have what an earlier version has put into one of them, and what one that knows no others leaves out", () =>
    Effect.gen(function*() {
      const { records, sizes, usual } = yield* arrange
      const [late = "", later = "", ...ids] = neighbours(500)
      const until = now + Duration.toSeconds(GrantIndex.longest)
      const part = "client 5 agent"
      const grants = ids.map((id) => ({ id, at: now, until }))
      yield* records.add(part, { grants }, GrantIndex.longest)
      const note = (id: string) => usual.add(id, of(id), GrantIndex.longest, [agent])
      yield* note(late)
      assert.sameMembers([...yield* usual.list(agent)], [late, ...ids])
      sizes.length = 0
      yield* note(later)
      assert.isBelow(Math.max(...sizes), 1000)
      yield* records.add(part, { grants }, GrantIndex.longest)
      assert.sameMembers([...yield* usual.list(agent)], ids)
      yield* note(later)
      assert.sameMembers([...yield* usual.list(agent)], [late, later, ...ids])
    }))
})
