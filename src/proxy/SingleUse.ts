import { Duration, Effect, Option } from "effect"
import { sparingly } from "../observe/Sparingly.ts"
import { StoreUnavailable } from "../store/Store.ts"
import type { Keeping } from "./SealedRecords.ts"

/** What is good once: an id that somebody gave it, and that somebody's own. */
export interface Use {
  readonly issuer: string
  readonly jti: string
  /** In seconds from now, after which it is not good in any case. */
  readonly endsIn: number
}

/** What keeps account of uses, for all servers of the deployment. */
export interface SingleUse {
  /** Whether this is the first use, which it counts as from now on. */
  readonly isFirst: (use: Use) => Effect.Effect<boolean, StoreUnavailable>
  /** Whether it was used before. */
  readonly isUsed: (use: Omit<Use, "endsIn">) => Effect.Effect<boolean, StoreUnavailable>
}

const used = "used"

/** A use that has got to this name, of several, and may have got no further. */
const begun = "begun"

const undecided = new StoreUnavailable({
  operation: "putIfAbsent",
  reason:
    "another server has begun to note a use, by a secret that this one does not have, and nobody knows whether it did"
})

/** The store is there, so that nobody else says it. */
const unfinished = Effect.andThen(sparingly("Error", "unfinished use", undecided.message), Effect.fail(undecided))

/**
 * Tells whether something is used for the first time, of all servers of the deployment, whichever secret each of them hashes
 * with. `kind` tells such things apart in the store.
 *
 * **Details**
 *
 * With several secrets a use has several names, noted in an order that all servers share. The last decides: when the store fails
 * before it, nothing was used, and the next attempt goes past what is only begun.
 */
export const make = (kind: string, { sealed, store }: Keeping): SingleUse => {
  const keysOf = ({ issuer, jti }: Omit<Use, "endsIn">) =>
    Effect.map(
      sealed.hashes("store-key", JSON.stringify([issuer, jti])),
      (names) => [...names].sort().map((name) => `${kind}:${name}`)
    )
  return {
    isFirst: Effect.fnUntraced(function*(use) {
      const ttl = Duration.seconds(Math.max(1, use.endsIn))
      const keys = yield* keysOf(use)
      const last = keys.length - 1
      for (const [index, key] of keys.entries()) {
        if (yield* store.putIfAbsent(key, index === last ? used : begun, ttl)) continue
        const there = yield* store.get(key)
        if (Option.isNone(there) || there.value !== begun) return false
        if (index === last) return yield* unfinished
      }
      // Those who know fewer secrets may take this for unfinished, and refuse it all the same.
      for (const key of keys.slice(0, last)) yield* Effect.ignore(store.put(key, used, ttl))
      return true
    }),
    isUsed: Effect.fnUntraced(function*(use) {
      for (const key of yield* keysOf(use)) if (Option.contains(yield* store.get(key), used)) return true
      return false
    })
  }
}
