import { Clock, Duration, Effect, Layer, Option, Predicate } from "effect"
import type { DatabaseSync } from "node:sqlite"
import * as SqliteFile from "./SqliteFile.ts"
import { limited, Store, type StoreUnavailable } from "./Store.ts"

/** Where the store's file is. */
export interface SqliteStoreOptions {
  /** Path of the file, on a local disk, in a folder that exists. It is made when there is none, for its owner only. */
  readonly file: string
}

const sweepInterval = Duration.minutes(10)
const sweepBatch = 500

const prepare = (database: DatabaseSync) => ({
  put: database.prepare(`INSERT INTO entries (key, value, expires) VALUES (?, ?, ?)
    ON CONFLICT (key) DO UPDATE SET value = excluded.value, expires = excluded.expires`),
  get: database.prepare("SELECT value FROM entries WHERE key = ? AND expires > ?"),
  take: database.prepare("DELETE FROM entries WHERE key = ? AND expires > ? RETURNING value"),
  putIfAbsent: database.prepare(`INSERT INTO entries (key, value, expires) VALUES (?, ?, ?)
    ON CONFLICT (key) DO UPDATE SET value = excluded.value, expires = excluded.expires WHERE entries.expires <= ?`),
  compareAndSet: database.prepare(`UPDATE entries SET value = ?, expires = ?
    WHERE key = ? AND value = ? AND expires > ?`),
  remove: database.prepare("DELETE FROM entries WHERE key = ?"),
  sweep: database.prepare(
    `DELETE FROM entries WHERE rowid IN (SELECT rowid FROM entries WHERE expires <= ? LIMIT ${sweepBatch})`
  )
})

const valueOf = (row: Readonly<Record<string, unknown>> | undefined) =>
  Option.filter(Option.fromUndefinedOr(row?.["value"]), Predicate.isString)

/**
 * A store in a SQLite file, which survives the end of the process, `kill -9` and a loss of power included, and may be
 * shared by several processes of one machine.
 *
 * **Gotchas**
 *
 * SQLite works within the call: a write waits for the disk, and at most 500 milliseconds for another process, after which
 * it fails with `StoreUnavailable`. Node 22 and the earlier releases of Node 24 print an `ExperimentalWarning` when this
 * layer is built, because they load SQLite then; `node --disable-warning=ExperimentalWarning` turns it off.
 *
 * @example
 * ```ts
 * import { OktaAuth, SqliteStore } from "effect-okta"
 *
 * export const Okta = OktaAuth.layerConfig({ store: SqliteStore.layer({ file: "sessions.sqlite" }) })
 * ```
 */
export const layer = ({ file }: SqliteStoreOptions): Layer.Layer<Store, StoreUnavailable> =>
  Layer.effect(
    Store,
    Effect.gen(function*() {
      const clock = yield* Clock.Clock
      const now = () => clock.currentTimeMillisUnsafe()
      const after = (ttl: Duration.Duration) => now() + Duration.toMillis(ttl)
      const { run } = yield* SqliteFile.open(file, prepare)

      // In batches, between which others come to their turn.
      yield* run("sweep", ({ sweep }) => sweep.run(now()).changes).pipe(
        Effect.tap(Effect.yieldNow),
        Effect.repeat({ while: (changes) => changes === sweepBatch }),
        Effect.catch((error) => Effect.logWarning("Expired entries could not be removed", error)),
        Effect.andThen(Effect.sleep(sweepInterval)),
        Effect.forever,
        Effect.forkScoped
      )

      return limited({
        put: (key, value, ttl) => run("put", ({ put }) => void put.run(key, value, after(ttl))),
        get: (key) => run("get", ({ get }) => valueOf(get.get(key, now()))),
        // To its end with `all`: `get` would give the value even where its removal then cannot be written.
        take: (key) => run("take", ({ take }) => valueOf(take.all(key, now())[0])),
        putIfAbsent: (key, value, ttl) =>
          run("putIfAbsent", ({ putIfAbsent }) => putIfAbsent.run(key, value, after(ttl), now()).changes === 1),
        compareAndSet: (key, expected, value, ttl) =>
          run(
            "compareAndSet",
            ({ compareAndSet }) => compareAndSet.run(value, after(ttl), key, expected, now()).changes === 1
          ),
        remove: (key) => run("remove", ({ remove }) => void remove.run(key))
      })
    })
  )
