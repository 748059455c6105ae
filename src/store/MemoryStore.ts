import { Clock, Duration, Effect, Layer, Option } from "effect"
import { limited, Memory, Store, StoreUnavailable } from "./Store.ts"

/** How much the store in memory may hold. */
export interface MemoryStoreOptions {
  /**
   * Most entries held at once; default 30 000, so that sign-ins which nobody finishes leave room for those that somebody does
   * (`maxPendingSignIns`).
   */
  readonly maxEntries?: number
}

interface Entry {
  readonly value: string
  /** In milliseconds since 1970; from this moment on it has expired. */
  readonly expires: number
}

const sweepInterval = Duration.minutes(10)

/**
 * A store in the memory of this process, for one server whose users may be asked to sign in again after a restart.
 *
 * **Details**
 *
 * Its entries are bounded by count. Where no entry has expired and one more would be too many, the write fails with
 * `StoreUnavailable`: an entry that is still good is never dropped to make room.
 *
 * **Gotchas**
 *
 * Each call makes a layer of its own, with a memory of its own: call it once and share the layer. Servers of one app that are given
 * the same layer share one memory.
 *
 * @example
 * ```ts
 * import { MemoryStore } from "effect-okta"
 *
 * export const Sessions = MemoryStore.layerOptions({ maxEntries: 1000 })
 * ```
 */
export const layerOptions = (options: MemoryStoreOptions = {}): Layer.Layer<Store> =>
  Layer.effect(
    Store,
    Effect.gen(function*() {
      const maxEntries = options.maxEntries ?? 30_000
      const clock = yield* Clock.Clock
      const now = () => clock.currentTimeMillisUnsafe()

      const entries = new Map<string, Entry>()
      // No entry expires before this, so that a full store is searched for expired ones only when there may be some.
      let earliest = Infinity

      const sweep = () => {
        const time = now()
        earliest = Infinity
        for (const [key, { expires }] of entries) {
          if (expires <= time) entries.delete(key)
          else earliest = Math.min(earliest, expires)
        }
      }

      const live = (key: string) => {
        const entry = entries.get(key)
        if (entry === undefined || now() < entry.expires) return entry
        entries.delete(key)
        return undefined
      }

      const hasRoom = (key: string) => {
        if (entries.size >= maxEntries && !entries.has(key) && earliest <= now()) sweep()
        return entries.size < maxEntries || entries.has(key)
      }

      const set = (operation: StoreUnavailable["operation"], key: string, value: string, ttl: Duration.Duration) => {
        if (!hasRoom(key)) {
          const reason = `it holds ${maxEntries} entries, as many as it may; raise maxEntries or use another store`
          return Effect.fail(new StoreUnavailable({ operation, reason }))
        }
        const expires = now() + Duration.toMillis(ttl)
        earliest = Math.min(earliest, expires)
        entries.set(key, { value, expires })
        return Effect.succeed(true)
      }

      yield* Effect.sync(sweep).pipe(Effect.delay(sweepInterval), Effect.forever, Effect.forkScoped)

      return limited({
        put: (key, value, ttl) => Effect.asVoid(Effect.suspend(() => set("put", key, value, ttl))),
        get: (key) => Effect.sync(() => Option.fromUndefinedOr(live(key)?.value)),
        take: (key) =>
          Effect.sync(() => {
            const entry = live(key)
            entries.delete(key)
            return Option.fromUndefinedOr(entry?.value)
          }),
        putIfAbsent: (key, value, ttl) =>
          Effect.suspend(() => live(key) === undefined ? set("putIfAbsent", key, value, ttl) : Effect.succeed(false)),
        compareAndSet: (key, expected, value, ttl) =>
          Effect.suspend(() =>
            live(key)?.value === expected ? set("compareAndSet", key, value, ttl) : Effect.succeed(false)
          ),
        remove: (key) => Effect.sync(() => void entries.delete(key))
      })
    })
  ).pipe(Layer.merge(Layer.sync(Memory, () => ({}))))

/**
 * A store in the memory of this process, of at most 30 000 entries.
 *
 * @example
 * ```ts
 * import { MemoryStore, OktaAuth } from "effect-okta"
 *
 * // The same as without `store`, and said.
 * export const Okta = OktaAuth.layerConfig({ store: MemoryStore.layer })
 * ```
 */
export const layer: Layer.Layer<Store> = layerOptions()
