import { NodeServices } from "@effect/platform-node"
import { assert, describe, it } from "@effect/vitest"
import { Duration, Effect, Option, Schema } from "effect"
import { type ChildProcess, fork } from "node:child_process"
import { once } from "node:events"
import { DatabaseSync } from "node:sqlite"
import { fileURLToPath } from "node:url"
import { run } from "../support/Program.ts"
import { newFile, open } from "./StoreFile.ts"

const program = fileURLToPath(new URL("SqliteProcess.ts", import.meta.url))
const hour = Duration.hours(1)
const rounds = 200

/** A process with a task, killed with the scope. */
const start = (task: string, file: string) =>
  Effect.acquireRelease(
    Effect.sync(() => fork(program, [task, file], { execArgv: ["--disable-warning=ExperimentalWarning"] })),
    (child) => Effect.sync(() => child.kill("SIGKILL"))
  )

const heard = (child: ChildProcess) =>
  Effect.map(Effect.promise(() => once(child, "message")), ([message]): unknown => message)

const tell = (child: ChildProcess, message: Array<string>) => {
  const answer = heard(child)
  child.send(message)
  return answer
}

describe("A SQLite file in several processes", () => {
  it.live(
    "#138 lets exactly one of 50 at once succeed, round after round, of two processes",
    () =>
      Effect.gen(function*() {
        const file = yield* newFile
        const children = [yield* start("race", file), yield* start("race", file)]
        yield* Effect.forEach(children, heard, { concurrency: 2 })
        const store = yield* open(file)
        const winners = new Set<unknown>()
        for (let round = 0; round < rounds; round++) {
          const prepared = { take: `take:${round}`, compareAndSet: `compareAndSet:${round}` }
          for (const key of Object.values(prepared)) yield* store.put(key, "free", hour)
          for (const [operation, key] of Object.entries({ putIfAbsent: `putIfAbsent:${round}`, ...prepared })) {
            // Neither is always the first to be told.
            const told = round % 2 === 0 ? children : children.toReversed()
            const wins = yield* Effect.forEach(told, (child) => tell(child, [operation, key]), { concurrency: 2 })
            assert.sameMembers([...wins], [0, 1], `${operation} in round ${round}`)
            winners.add(told[wins.indexOf(1)])
          }
        }
        assert.strictEqual(winners.size, 2, "both processes win at times")
      }),
    60_000
  )

  it.live(
    "F21 F22 keeps every write it has acknowledged, and is not damaged, when killed in the midst of writing",
    () =>
      Effect.gen(function*() {
        const file = yield* newFile
        let acknowledged = 0
        for (const length of [1, 7, 20, 33, 50]) {
          yield* Effect.scoped(Effect.gen(function*() {
            const child = yield* start("count", file)
            const target = acknowledged + length
            child.on("message", (count) => {
              acknowledged = Number(count)
              if (acknowledged === target) child.kill("SIGKILL")
            })
            const [code, signal] = yield* Effect.promise(() => once(child, "close"))
            assert.deepStrictEqual([code, signal], [null, "SIGKILL"])
          }))
          yield* Effect.scoped(Effect.gen(function*() {
            const store = yield* open(file)
            const counter = Number(Option.getOrThrow(yield* store.get("counter")))
            assert.isAtLeast(counter, acknowledged)
            for (let number = 1; number <= counter; number++) {
              const kept = number % 2 === 1 ? Option.none() : Option.some(`${number}`.repeat(4000))
              assert.deepStrictEqual(yield* store.get(`entry:${number}`), kept)
            }
          }))
          const database = new DatabaseSync(file)
          assert.deepStrictEqual({ ...database.prepare("PRAGMA integrity_check").get() }, { integrity_check: "ok" })
          database.close()
        }
      }),
    60_000
  )

  it.live("F20 gives no entry away that it cannot remove, on a full disk", () =>
    Effect.gen(function*() {
      const file = yield* newFile
      const keys = Array.from({ length: 60 }, (_, index) => `entry:${index}`)
      yield* Effect.scoped(Effect.gen(function*() {
        const store = yield* open(file)
        yield* Effect.forEach(keys, (key) => store.put(key, "v".repeat(3000), hour), { discard: true })
      }))
      // No file may grow beyond so many blocks.
      const { output, status } = yield* Effect.provide(
        run(["sh", "-c", `ulimit -f 256; exec node --disable-warning=ExperimentalWarning ${program} drain ${file}`]),
        NodeServices.layer
      )
      assert.strictEqual(status, 0, output)
      const Results = Schema.Array(Schema.Tuple([Schema.String, Schema.Union([Schema.Boolean, Schema.String])]))
      const results = new Map(yield* Schema.decodeUnknownEffect(Schema.fromJsonString(Results))(output.trim()))
      assert.sameMembers([...new Set(results.values())], [true, "failed"])
      const store = yield* open(file)
      for (const key of keys) assert.strictEqual(Option.isNone(yield* store.get(key)), results.get(key) === true, key)
    }), 60_000)
})
