import { NodeServices } from "@effect/platform-node"
import { assert, describe, it } from "@effect/vitest"
import { Duration, Effect, Exit, Option, Scope } from "effect"
import { TestClock } from "effect/testing"
import { readdirSync, statSync } from "node:fs"
import { DatabaseSync } from "node:sqlite"
import { run } from "../support/Program.ts"
import { newFile, newFolder, open, using } from "./StoreFile.ts"

const hour = Duration.hours(1)

describe("The file of a SQLite store", () => {
  it.effect("can be read by nobody but its owner, nor can what SQLite puts beside it", () =>
    Effect.gen(function*() {
      const path = yield* newFolder
      const store = yield* open(`${path}/a file #1?mode=memory%41.sqlite`)
      yield* store.put("k", "v", hour)
      const files = readdirSync(path)
      assert.strictEqual(files.length, 3, files.join())
      for (const file of files) assert.strictEqual(statSync(`${path}/${file}`).mode & 0o777, 0o600, file)
    }))

  it.effect("F23 serves a server that is started again", () =>
    Effect.gen(function*() {
      const file = yield* newFile
      yield* using(file, (store) => Effect.all([store.put("k", "v", hour), store.put("gone", "v", hour)]))
      yield* using(file, (store) => store.take("gone"))
      yield* TestClock.adjust("59 minutes")
      const both = using(file, (store) => Effect.all([store.get("k"), store.get("gone")]))
      assert.deepStrictEqual(yield* both, [Option.some("v"), Option.none()])
      yield* TestClock.adjust("1 minute")
      assert.deepStrictEqual(yield* both, [Option.none(), Option.none()])
    }))

  it.effect("is freed of what has expired", () =>
    Effect.gen(function*() {
      const file = yield* newFile
      const store = yield* open(file)
      for (let index = 0; index < 20; index++) yield* store.put(`${index}`, "v", Duration.minutes(index))
      const count = () => {
        const database = new DatabaseSync(file)
        const row = database.prepare("SELECT count(*) AS entries FROM entries").get()
        database.close()
        return row?.["entries"]
      }
      assert.strictEqual(count(), 20)
      yield* TestClock.adjust("10 minutes")
      assert.strictEqual(count(), 9)
      yield* TestClock.adjust("1 hour")
      assert.strictEqual(count(), 0)
    }))

  it.effect("is closed with the scope, after which the store fails", () =>
    Effect.gen(function*() {
      const path = yield* newFolder
      const scope = yield* Scope.make()
      const store = yield* Scope.provide(open(`${path}/store.sqlite`), scope)
      yield* store.put("k", "v", hour)
      yield* Scope.close(scope, Exit.void)
      assert.strictEqual((yield* Effect.flip(store.get("k")))._tag, "StoreUnavailable")
      assert.deepStrictEqual(readdirSync(path), ["store.sqlite"])
    }))

  it.live("loads SQLite for those only who use it", () =>
    Effect.gen(function*() {
      const script =
        `await import("./src/store/SqliteStore.ts"); console.log(process.moduleLoadList.join().includes("sqlite"))`
      const { output } = yield* Effect.provide(run(["node", "--eval", script]), NodeServices.layer)
      assert.strictEqual(output.trim(), "false")
    }))
})
