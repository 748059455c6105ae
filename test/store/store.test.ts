import { assert, describe, it } from "@effect/vitest"
import { Context, Duration, Effect, Layer, Option } from "effect"
import { TestClock } from "effect/testing"
import * as MemoryStore from "../../src/store/MemoryStore.ts"
import { Store } from "../../src/store/Store.ts"
import { contract } from "./contract.ts"
import { newFile, open } from "./StoreFile.ts"

const minute = Duration.minutes(1)

const build = (layer: Layer.Layer<Store>) => Effect.map(Layer.build(Layer.fresh(layer)), Context.get(Store))

contract({
  name: "in memory",
  replicas: Effect.map(build(MemoryStore.layer), (store) => [store, store] as const),
  pass: TestClock.adjust
})

contract({
  name: "in a SQLite file",
  replicas: Effect.flatMap(newFile, (file) => Effect.all([open(file), open(file)])),
  pass: TestClock.adjust
})

describe("The bound of the store in memory", () => {
  const three = build(MemoryStore.layerOptions({ maxEntries: 3 }))

  it.effect("#110 fails what is one too many, and never drops what is still good", () =>
    Effect.gen(function*() {
      const store = yield* three
      for (const key of ["a", "b", "c"]) yield* store.put(key, key, minute)
      const put = yield* Effect.flip(store.put("d", "d", minute))
      const absent = yield* Effect.flip(store.putIfAbsent("d", "d", minute))
      assert.deepStrictEqual([put.operation, absent.operation], ["put", "putIfAbsent"])
      assert.include(put.message, "maxEntries")
      for (const key of ["a", "b", "c"]) assert.deepStrictEqual(yield* store.get(key), Option.some(key))
      assert.deepStrictEqual(yield* store.get("d"), Option.none())
    }))

  it.effect("leaves the entries there are in use", () =>
    Effect.gen(function*() {
      const store = yield* three
      for (const key of ["a", "b", "c"]) yield* store.put(key, key, minute)
      yield* store.put("a", "again", minute)
      assert.isTrue(yield* store.compareAndSet("b", "b", "next", minute))
      assert.isFalse(yield* store.putIfAbsent("c", "next", minute))
      yield* store.take("a")
      yield* store.put("d", "d", minute)
      yield* store.remove("d")
      assert.isTrue(yield* store.putIfAbsent("e", "e", minute))
    }))

  it.effect("counts no entry that has expired", () =>
    Effect.gen(function*() {
      const store = yield* three
      yield* store.put("a", "a", Duration.seconds(1))
      yield* store.put("b", "b", Duration.seconds(2))
      yield* store.put("c", "c", minute)
      yield* Effect.flip(store.put("d", "d", minute))
      yield* TestClock.adjust("1 second")
      yield* store.put("d", "d", minute)
      yield* Effect.flip(store.put("e", "e", minute))
      yield* TestClock.adjust("1 second")
      assert.isTrue(yield* store.putIfAbsent("e", "e", minute))
      yield* TestClock.adjust("1 hour")
      for (const key of ["f", "g", "h"]) yield* store.put(key, key, minute)
    }))
})
