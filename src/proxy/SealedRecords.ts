import { Effect, Option, Schema } from "effect"
import type { Duration } from "effect"
import { sparingly } from "../observe/Sparingly.ts"
import { type Store, StoreUnavailable } from "../store/Store.ts"
import type { Purpose, Sealed } from "./Sealed.ts"

/** A record as the store holds it at the moment. */
export interface Found<A> {
  /** Its name in the store, the same for everybody who finds it. */
  readonly key: string
  /** What is written there, to be compared when it is replaced. */
  readonly text: string
  readonly value: A
}

/**
 * Writes, and again as long as others were faster, so many times at most; `write` gives whether it was done. Only they are a
 * reason to try again: a store that does not answer takes half a second to say so.
 */
export const unlessOutrun = (
  write: Effect.Effect<boolean, StoreUnavailable>,
  tries: number
): Effect.Effect<void, StoreUnavailable> =>
  Effect.flatMap(
    Effect.repeat(write, { until: (done) => done, times: tries - 1 }),
    (done) => done ? Effect.void : Effect.andThen(sparingly("Error", "outrun", outrun.message), Effect.fail(outrun))
  )

const outrun = new StoreUnavailable({ operation: "compareAndSet", reason: "another writer was always faster" })

/** What records are kept in. */
export interface Keeping {
  readonly store: Store["Service"]
  readonly sealed: Sealed["Service"]
}

/** Records of one kind, found by an id that the store does not learn. */
export interface SealedRecords<A> {
  /** Keeps a record under a new id. */
  readonly add: (id: string, value: A, ttl: Duration.Duration) => Effect.Effect<void, StoreUnavailable>
  /** Keeps a record unless somebody else has put one there meanwhile; whether it did. */
  readonly addNew: (id: string, value: A, ttl: Duration.Duration) => Effect.Effect<boolean, StoreUnavailable>
  /** The record, if there is one. */
  readonly find: (id: string) => Effect.Effect<Option.Option<Found<A>>, StoreUnavailable>
  /** Puts a value in place of exactly the one found; none when it is no longer there. */
  readonly replace: (
    id: string,
    found: Found<A>,
    value: A,
    ttl: Duration.Duration
  ) => Effect.Effect<Option.Option<Found<A>>, StoreUnavailable>
  /** The record, which is gone from then on: of all who take it, one gets it. */
  readonly take: (id: string) => Effect.Effect<Option.Option<A>, StoreUnavailable>
}

/** Tells the owner of a record that counts as absent. */
export const warnOfForeign = (kind: string): Effect.Effect<void> =>
  sparingly(
    "Warn",
    `foreign ${kind}`,
    `The store holds a record of the kind "${kind}" that this server did not write or cannot read; it counts as ` +
      "absent. Look for another writer, or for an encryptionSecret that was taken away too early."
  )

/**
 * Keeps records of one kind in the store: under the hash of their id, sealed for one purpose.
 *
 * **Details**
 *
 * A record says which id it belongs to, so that one that was moved within the store is as absent as one that was written by
 * somebody else or is damaged: each of them with a warning.
 */
export const make = <A, E>(
  kind: string,
  purpose: Purpose,
  schema: Schema.Codec<A, E>,
  { sealed, store }: Keeping
): SealedRecords<A> => {
  const Entry = Schema.fromJsonString(Schema.Struct({ id: Schema.String, value: schema }))
  const decode = Schema.decodeOption(Entry)
  const encode = Schema.encodeEffect(Entry)

  const keyOf = (hash: string) => `${kind}:${hash}`
  const keys = (id: string) => Effect.map(sealed.hashes("store-key", id), (hashes) => hashes.map(keyOf))

  const write = (id: string, value: A) =>
    Effect.flatMap(Effect.orDie(encode({ id, value })), (text) => sealed.seal(purpose, text))

  const read = Effect.fnUntraced(function*(id: string, text: string) {
    const entry = Option.filter(Option.flatMap(yield* sealed.open(purpose, text), decode), (entry) => entry.id === id)
    if (Option.isNone(entry)) yield* warnOfForeign(kind)
    return Option.map(entry, ({ value }) => value)
  })

  return {
    add: Effect.fnUntraced(function*(id, value, ttl) {
      yield* store.put(keyOf(yield* sealed.hash("store-key", id)), yield* write(id, value), ttl)
    }),
    addNew: Effect.fnUntraced(function*(id, value, ttl) {
      const key = keyOf(yield* sealed.hash("store-key", id))
      const text = yield* write(id, value)
      if (yield* store.putIfAbsent(key, text, ttl)) return true
      // What nobody can read would stand in the way until its end.
      const there = yield* store.get(key)
      return Option.isSome(there) && Option.isNone(yield* read(id, there.value)) &&
        (yield* store.compareAndSet(key, there.value, text, ttl))
    }),
    find: Effect.fnUntraced(function*(id) {
      for (const key of yield* keys(id)) {
        const text = yield* store.get(key)
        if (Option.isNone(text)) continue
        const value = yield* read(id, text.value)
        if (Option.isSome(value)) return Option.some({ key, text: text.value, value: value.value })
      }
      return Option.none()
    }),
    replace: Effect.fnUntraced(function*(id, { key, text }, value, ttl) {
      const next = yield* write(id, value)
      return (yield* store.compareAndSet(key, text, next, ttl))
        ? Option.some({ key, text: next, value })
        : Option.none()
    }),
    take: Effect.fnUntraced(function*(id) {
      for (const key of yield* keys(id)) {
        const text = yield* store.take(key)
        if (Option.isNone(text)) continue
        const value = yield* read(id, text.value)
        if (Option.isSome(value)) return value
      }
      return Option.none()
    })
  }
}
