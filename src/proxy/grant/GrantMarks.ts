import { Clock, Duration, Effect, Option, Schema } from "effect"
import type { Scope } from "effect"
import type { StoreUnavailable } from "../../store/Store.ts"
import * as Remembered from "../../token/Remembered.ts"
import * as SealedRecords from "../SealedRecords.ts"
import type { Name } from "./GrantIndex.ts"

/** A mark outlives every grant that it ends: one that is never found again ends by itself after 30 days. */
const lifetime = Duration.days(31)

/** For how long what is known of a mark may be told again: how much later another server's mark is seen here. */
const knownFor = Duration.toMillis("2 seconds")

/** Of how many names it is known at most: each request has three or four. */
const mostKnown = 20_000

/** Marks under names: all grants of a name that were created until then have ended. */
export interface GrantMarks {
  /** Ends every grant of a name that was created until now, whether anybody knows of it or not. */
  readonly end: (name: Name) => Effect.Effect<void, StoreUnavailable>
  /** When the grants of a name were last ended, in seconds since 1970; never is `-Infinity`. */
  readonly at: (name: Name) => Effect.Effect<number, StoreUnavailable>
  /** The same, as it was 2 seconds ago at the most; what was ended by this server is known at once. */
  readonly lately: (name: Name) => Effect.Effect<number, StoreUnavailable>
}

const decode = Schema.decodeOption(
  Schema.fromJsonString(Schema.Tuple([Schema.String, Schema.String, Schema.Number]))
)

const textOf = ({ kind, value }: Name): string => `${kind} ${value}`

/**
 * Marks in the store, by which all grants of somebody end on every server.
 *
 * **Details**
 *
 * Every request has to know that there is none for its grant. So that is remembered, for a time that nobody minds when somebody
 * else is to be signed out; where a grant is begun or renewed, the store is asked.
 */
export const make = Effect.fnUntraced(function*(
  { sealed, store }: SealedRecords.Keeping,
  most = mostKnown
): Effect.fn.Return<GrantMarks, never, Scope.Scope> {
  // The end of an email address is that of many.
  const known = yield* Remembered.make<number, StoreUnavailable>(most, (name) => name)

  const keysOf = (name: Name) =>
    Effect.map(sealed.hashes("store-key", textOf(name)), (hashes) => hashes.map((hash) => `ended:${hash}`))

  const at = Effect.fnUntraced(function*(name: Name) {
    let latest = -Infinity
    for (const key of yield* keysOf(name)) {
      const text = yield* store.get(key)
      if (Option.isNone(text)) continue
      const mark = Option.flatMap(yield* sealed.open("mark", text.value), decode)
      if (Option.isNone(mark) || mark.value[0] !== name.kind || mark.value[1] !== name.value) {
        yield* SealedRecords.warnOfForeign("ended")
      } else latest = Math.max(latest, mark.value[2])
    }
    return latest
  })

  const write = Effect.fnUntraced(function*(name: Name) {
    const now = (yield* Clock.currentTimeMillis) / 1000
    const text = yield* sealed.seal("mark", JSON.stringify([name.kind, name.value, now]))
    // Under the name by each secret, so that every replica finds it, whichever is the first of its secrets.
    for (const key of yield* keysOf(name)) yield* store.put(key, text, lifetime)
  })

  return {
    // A write of which nobody knows whether it was done may have been.
    end: (name) => Effect.ensuring(write(name), Effect.sync(() => known.forget(textOf(name)))),
    at,
    lately: (name) => known.get(textOf(name), Effect.map(at(name), (value) => ({ value, keepFor: knownFor })))
  }
})
