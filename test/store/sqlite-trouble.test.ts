import { assert, describe, it } from "@effect/vitest"
import { Duration, Effect, Option } from "effect"
import { mkdirSync, readFileSync, statSync, symlinkSync, truncateSync, writeFileSync } from "node:fs"
import { DatabaseSync } from "node:sqlite"
import { newFile, newFolder, open, using } from "./StoreFile.ts"

const hour = Duration.hours(1)

const sql = (file: string, text: string) => {
  const database = new DatabaseSync(file)
  database.exec(text)
  database.close()
}

describe("Trouble with the file of a SQLite store", () => {
  it.live("F19 fails after a moment while another process keeps it locked, and can be read", () =>
    Effect.gen(function*() {
      const file = yield* newFile
      const store = yield* open(file)
      yield* store.put("k", "v", hour)
      const other = new DatabaseSync(file)
      other.exec("BEGIN IMMEDIATE")
      const error = yield* Effect.flip(store.take("k"))
      assert.strictEqual(error.operation, "take")
      assert.include(error.message, "another process kept it locked")
      assert.deepStrictEqual(yield* store.get("k"), Option.some("v"))
      other.exec("COMMIT")
      other.close()
      assert.deepStrictEqual(yield* store.take("k"), Option.some("v"))
    }))

  it.effect("fails to open when it is another's, damaged or no file, says what to do, and leaves it as it is", () =>
    Effect.gen(function*() {
      const path = yield* newFolder
      const database = (name: string, text: string) => sql(`${path}/${name}`, text)
      writeFileSync(`${path}/notes.txt`, "Not a database at all. ".repeat(500))
      database("theirs", "CREATE TABLE entries (key TEXT, value TEXT, expires INTEGER)")
      database("marked", "PRAGMA application_id = 7")
      database("newer", `PRAGMA application_id = ${0x6f6b7461}; PRAGMA user_version = 2`)
      database("other-table", `PRAGMA application_id = ${0x6f6b7461}; PRAGMA user_version = 1; CREATE TABLE a (b)`)
      mkdirSync(`${path}/folder`)
      symlinkSync(`${path}/nowhere`, `${path}/link`)
      for (
        const [name, expected] of [
          ["notes.txt", "not a SQLite database"],
          ["theirs", "belongs to another program"],
          ["marked", "belongs to another program"],
          ["newer", "version 2"],
          ["other-table", "no such table"],
          ["folder", "must name a file"],
          ["link", "must name a file"],
          ["missing/store.sqlite", "no such file or directory"],
          ["nul\0", "null bytes"]
        ] as const
      ) {
        const isFile = statSync(`${path}/${name.replace("\0", "")}`, { throwIfNoEntry: false })?.isFile() === true
        const before = isFile && readFileSync(`${path}/${name}`)
        const error = yield* Effect.flip(using(`${path}/${name}`, Effect.succeed))
        assert.strictEqual(error.operation, "open", name)
        assert.include(error.message, expected)
        if (before !== false && name !== "other-table") assert.deepStrictEqual(readFileSync(`${path}/${name}`), before)
      }
    }))

  it.effect("F29 gives typed failures only when it was damaged", () =>
    Effect.gen(function*() {
      const file = yield* newFile
      const keys = Array.from({ length: 200 }, (_, index) => `${index}`)
      yield* using(file, (store) => Effect.forEach(keys, (key) => store.put(key, "v".repeat(500), hour)))
      const whole = readFileSync(file)
      const damages = Array.from({ length: whole.length / 4096 }, (_, page) => () =>
        writeFileSync(file, Buffer.from(whole).fill(0xa5, page * 4096 + 103, page * 4096 + 900)))
      const failures = new Set<string>()
      for (
        const damage of [...damages, () =>
          truncateSync(file, 9000), () => truncateSync(file, 100)]
      ) {
        damage()
        yield* using(file, (store) =>
          Effect.forEach(keys, (key) =>
            Effect.andThen(store.get(key), Number(key) % 25 === 0 ? store.take(key) : Effect.void)))
          .pipe(
            Effect.catchTag("StoreUnavailable", (error) =>
              Effect.sync(() =>
                failures.add(error.message)
              ))
          )
      }
      assert.include([...failures].join(), "the file is damaged")
    }))
})
