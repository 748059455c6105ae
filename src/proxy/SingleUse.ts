import { Duration, Effect } from "effect"
import type { StoreUnavailable } from "../store/Store.ts"
import type { Keeping } from "./SealedRecords.ts"

/** What is good once: an id that somebody gave it, and that somebody's own. */
export interface Use {
  readonly issuer: string
  readonly jti: string
  /** In seconds from now, after which it is not good in any case. */
  readonly endsIn: number
}

/**
 * Tells whether something is used for the first time, of all servers of the deployment, whichever secret each of them hashes
 * with. `kind` tells such things apart in the store.
 */
export const make = (kind: string, { sealed, store }: Keeping) =>
  Effect.fnUntraced(function*({ endsIn, issuer, jti }: Use): Effect.fn.Return<boolean, StoreUnavailable> {
    const ttl = Duration.seconds(Math.max(1, endsIn))
    const names = yield* sealed.hashes("store-key", JSON.stringify([issuer, jti]))
    for (const name of [...names].sort()) {
      if (!(yield* store.putIfAbsent(`${kind}:${name}`, "used", ttl))) return false
    }
    return true
  })
