import { Effect, Predicate, Schedule, type Scope } from "effect"
import { writeFileSync } from "node:fs"
import type { DatabaseSync } from "node:sqlite"
import { pathToFileURL } from "node:url"
import { StoreUnavailable } from "./Store.ts"

/** Marks a file as a store of this library: "okta" in ASCII. */
const applicationId = 0x6f6b7461
const schemaVersion = 1

const schema = `
  BEGIN IMMEDIATE;
  CREATE TABLE IF NOT EXISTS entries (key TEXT PRIMARY KEY, value TEXT NOT NULL, expires INTEGER NOT NULL) STRICT;
  CREATE INDEX IF NOT EXISTS entries_expires ON entries (expires);
  PRAGMA application_id = ${applicationId};
  PRAGMA user_version = ${schemaVersion};
  COMMIT;`

const busy = 5

/** What SQLite's primary result codes ask of whoever runs the server (https://sqlite.org/rescode.html). */
const mends: Readonly<Record<number, string>> = {
  [busy]: "another process kept it locked for more than 500 ms",
  8: "let this process write the file and its folder",
  11: "the file is damaged: restore it, or move it away and everybody signs in again",
  13: "make room on the disk",
  14: "the path must name a file, in a folder that exists and that this process may write",
  26: "the file is not a SQLite database: give another path"
}

const primaryCode = (error: unknown) =>
  Predicate.hasProperty(error, "errcode") && typeof error.errcode === "number" ? error.errcode & 0xff : 0

const unavailable = (operation: StoreUnavailable["operation"], file: string) => (error: unknown) => {
  const mend = mends[primaryCode(error)]
  const message = Predicate.isError(error) ? error.message : String(error)
  return new StoreUnavailable({ operation, reason: `${file}: ${message}${mend === undefined ? "" : ` (${mend})`}` })
}

const attempt = <A>(run: () => A) => Effect.try({ try: run, catch: (error) => error })

/** Makes the file, readable by its owner only: SQLite would make it readable by all. */
const create = (file: string) =>
  // One that exists is not even opened: closing it again would take away the locks that this process may have on it
  // (https://sqlite.org/howtocorrupt.html section 2.2).
  Effect.catchIf(
    attempt(() => writeFileSync(file, "", { flag: "wx", mode: 0o600 })),
    (error) => Predicate.hasProperty(error, "code") && error.code === "EEXIST",
    () => Effect.void
  )

/** Sets up a connection, and the file when it is new; gives the problem when the file is not for us. */
const setUp = (database: DatabaseSync): string | undefined => {
  database.exec("PRAGMA busy_timeout = 500")
  const { id, tables, version } = database.prepare(`SELECT id.application_id AS id, version.user_version AS version,
    (SELECT count(*) FROM sqlite_schema) AS tables FROM pragma_application_id AS id, pragma_user_version AS version`)
    .get() ?? {}
  const isNew = id === 0 && version === 0 && tables === 0
  if (!isNew && id !== applicationId) return "the file belongs to another program: give another path"
  if (!isNew && version !== schemaVersion) {
    return `the file has version ${version}, but this release reads version ${schemaVersion}: use the release that wrote ` +
      `it, or move the file away and everybody signs in again`
  }
  const journal = database.prepare("PRAGMA journal_mode = WAL").get()?.["journal_mode"]
  if (journal !== "wal") return "its file system cannot be shared between processes: use a local disk"
  // What was acknowledged survives a loss of power too, so that nothing that was taken comes back.
  database.exec("PRAGMA synchronous = FULL")
  if (isNew) database.exec(schema)
  return undefined
}

const connect = Effect.fnUntraced(function*(file: string): Effect.fn.Return<DatabaseSync, unknown, Scope.Scope> {
  // Loaded here, so that only those who use a file load SQLite: some releases of Node warn when it is.
  const { DatabaseSync } = yield* Effect.tryPromise({ try: () => import("node:sqlite"), catch: (error) => error })
  yield* create(file)
  const url = pathToFileURL(file)
  url.searchParams.set("mode", "rw")
  const database = yield* Effect.acquireRelease(
    attempt(() => new DatabaseSync(url)),
    (database) => Effect.sync(() => database.close())
  )
  // Of processes that start on one new file, some hear at once that it is locked, without the busy timeout.
  const problem = yield* Effect.retry(attempt(() => setUp(database)), {
    while: (error) => primaryCode(error) === busy,
    schedule: Schedule.spaced("20 millis"),
    times: 25
  })
  return problem === undefined ? database : yield* Effect.fail(problem)
})

/** A file of entries, open until its scope closes. */
export interface SqliteFile<Statements> {
  /** Runs statements, all within this call: whoever else has the file is waited for, 500 milliseconds at most. */
  readonly run: <A>(
    operation: StoreUnavailable["operation"],
    use: (statements: Statements) => A
  ) => Effect.Effect<A, StoreUnavailable>
}

/**
 * Opens a file, made when there is none, with statements prepared for its table `entries (key, value, expires)`.
 *
 * Fails on a file of another program, or of another version of the table, and leaves that as it is.
 */
export const open = Effect.fnUntraced(function*<Statements>(
  file: string,
  prepare: (database: DatabaseSync) => Statements
): Effect.fn.Return<SqliteFile<Statements>, StoreUnavailable, Scope.Scope> {
  const statements = yield* connect(file).pipe(
    Effect.flatMap((database) => attempt(() => prepare(database))),
    Effect.mapError(unavailable("open", file))
  )
  return {
    run: (operation, use) => Effect.mapError(attempt(() => use(statements)), unavailable(operation, file))
  }
})
