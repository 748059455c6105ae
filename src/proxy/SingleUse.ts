import { Duration, Effect, Option } from "effect"
import type { StoreUnavailable } from "../store/Store.ts"
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

/**
 * Tells whether something is used for the first time, of all servers of the deployment, whichever secret each of them hashes
 * with. `kind` tells such things apart in the store.
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
      for (const key of yield* keysOf(use)) if (!(yield* store.putIfAbsent(key, "used", ttl))) return false
      return true
    }),
    isUsed: Effect.fnUntraced(function*(use) {
      for (const key of yield* keysOf(use)) if (Option.isSome(yield* store.get(key))) return true
      return false
    })
  }
}
