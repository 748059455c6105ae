import { assert, describe, it } from "@effect/vitest"
import { ConfigProvider, Effect, Layer } from "effect"
import * as StoreChoice from "../../src/proxy/StoreChoice.ts"
import * as MemoryStore from "../../src/store/MemoryStore.ts"
import { StoreUnavailable } from "../../src/store/Store.ts"
import { Store } from "../../src/store/Store.ts"
import { newFile } from "../store/StoreFile.ts"
import { build } from "./ProxyTest.ts"

const environment = (variables: Readonly<Record<string, string>>, store?: Layer.Layer<Store, StoreUnavailable>) =>
  StoreChoice.environment(store).pipe(Layer.provide(ConfigProvider.layer(ConfigProvider.fromUnknown(variables))))

const broken = Layer.effect(Store, Effect.fail(new StoreUnavailable({ operation: "open", reason: "it is away" })))

describe("the store of proxy mode", () => {
  it.effect("is memory, with a warning, when nothing is said", () =>
    Effect.gen(function*() {
      for (const layer of [StoreChoice.given(undefined), environment({}), environment({ SQLITE_FILE: " " })]) {
        const { failure, warnings } = yield* build(layer)
        assert.isUndefined(failure)
        assert.lengthOf(warnings, 1)
        assert.include(warnings[0], "a restart signs everybody out")
      }
    }))

  it.effect("is the file, or the one given in code, without a warning", () =>
    Effect.gen(function*() {
      const file = environment({ SQLITE_FILE: yield* newFile }, broken)
      for (const layer of [file, environment({}, MemoryStore.layer), StoreChoice.given(MemoryStore.layer)]) {
        assert.deepInclude(yield* build(layer), { failure: undefined, warnings: [] })
      }
    }))

  it.effect("that cannot be opened is a mistake in the settings", () =>
    Effect.gen(function*() {
      const file = yield* build(environment({ SQLITE_FILE: "/does/not/exist/store.sqlite" }))
      assert.deepStrictEqual(file.problems.map(({ field }) => field), ["SQLITE_FILE"])
      for (const layer of [StoreChoice.given(broken), environment({}, broken)]) {
        const { problems } = yield* build(layer)
        assert.deepStrictEqual(problems, [{ field: "store", message: "is a store that cannot be opened: it is away." }])
      }
    }))
})
