import { assert } from "@effect/vitest"
import { type Duration, Effect, Redacted, type Scope } from "effect"
import { DatabaseSync } from "node:sqlite"
import { pass } from "../store/RedisReplicas.ts"
import { newFile } from "../store/StoreFile.ts"
import * as RedisServer from "./RedisServer.ts"
import * as Relay from "./Relay.ts"

/** Where servers that are killed keep what they know, and how a test sees them at work on it. */
export interface CrashStore {
  /** By which a server finds it. */
  readonly environment: Readonly<Record<string, string>>
  /** Runs `onStep` with every step of a server's from now on, until the scope closes; some are only seen by `poll`. */
  readonly watch: (onStep: () => void) => Effect.Effect<{ readonly poll: () => void }, never, Scope.Scope>
  /** Lets time pass for what it keeps. */
  readonly pass: (duration: Duration.Duration) => Effect.Effect<void>
  /** Finds nothing damaged. */
  readonly check: Effect.Effect<void>
}

const reading = (file: string) =>
  Effect.acquireRelease(
    Effect.sync(() => new DatabaseSync(file, { readOnly: true })),
    (database) => Effect.sync(() => database.close())
  )

/** A SQLite file: a step is a write to it. */
export const sqlite: Effect.Effect<CrashStore, never, Scope.Scope> = Effect.map(newFile, (file) => ({
  environment: { SQLITE_FILE: file },
  watch: Effect.fnUntraced(function*(onStep) {
    const version = (yield* reading(file)).prepare("PRAGMA data_version")
    const read = () => Number(Object.values({ ...version.get() })[0])
    let last = read()
    return {
      poll: () => {
        const now = read()
        if (now !== last) onStep()
        last = now
      }
    }
  }),
  // Servers bring their own time.
  pass: () => Effect.void,
  check: Effect.scoped(
    Effect.map(
      reading(file),
      (database) =>
        assert.deepStrictEqual({ ...database.prepare("PRAGMA integrity_check").get() }, { integrity_check: "ok" })
    )
  )
}))

/** A Redis: a step is an answer of its. */
export const redis: Effect.Effect<CrashStore, never, Scope.Scope> = Effect.gen(function*() {
  const server = yield* RedisServer.make()
  const relay = yield* Relay.make(server.port)
  return {
    environment: {
      REDIS_URL: Redacted.value(server.url).replace(String(server.port), String(relay.port))
    },
    watch: (onStep) =>
      Effect.acquireRelease(
        Effect.sync(() => {
          relay.onAnswer = onStep
          return { poll: () => {} }
        }),
        () => Effect.sync(() => void (relay.onAnswer = () => {}))
      ),
    pass: (duration) => pass(server, duration),
    check: Effect.map(server.run("PING"), (answer) => assert.strictEqual(answer, "PONG"))
  }
})
