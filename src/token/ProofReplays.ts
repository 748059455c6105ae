import { type Clock, Context, Effect, Layer } from "effect"
import { DpopProofsUnavailable } from "./DpopError.ts"

/** Remembers which proofs have been used. */
export interface Replays {
  /** Whether this is the first time that a proof is used, which is known by a name and good for some more seconds. */
  readonly isFirst: (name: string, seconds: number) => Effect.Effect<boolean, DpopProofsUnavailable>
}

/** How many proofs are remembered in memory: several thousand a second, for as long as each is good. */
const mostRemembered = 500_000

/** In the memory of this process, of which the log warns once: another process would take the same proof again. */
export const inMemory = (most = mostRemembered): Replays => {
  // In the order in which they came, which is nearly that in which they end.
  const used = new Map<string, number>()
  let warned = false
  const warn = Effect.suspend(() => {
    if (warned) return Effect.void
    warned = true
    return Effect.logWarning(
      "DPoP proofs are remembered in the memory of this process, so that each may be used once at every other server, and " +
        "again after a restart. Give a store that the servers share, such as Redis in REDIS_URL."
    )
  })
  return {
    isFirst: (name, seconds) =>
      Effect.andThen(
        warn,
        Effect.clockWith((clock: Clock.Clock) => {
          const now = clock.currentTimeMillisUnsafe()
          for (const [oldest, ends] of used) {
            if (ends > now) break
            used.delete(oldest)
          }
          const ends = used.get(name)
          if (ends !== undefined && ends > now) return Effect.succeed(false)
          if (used.size >= most) {
            const reason = `${most} are remembered, as many as may be. Give a store, such as Redis in REDIS_URL`
            return Effect.fail(new DpopProofsUnavailable({ reason }))
          }
          used.delete(name)
          used.set(name, now + seconds * 1000)
          return Effect.succeed(true)
        })
      )
  }
}

/** Which proofs have been used: by default what this process remembers. */
export const ProofReplays = Context.Reference<Replays>("effect-okta/token/ProofReplays", {
  defaultValue: () => inMemory()
})

/** A memory of its own, in this process; of half a million proofs unless told otherwise. */
export const layerMemory = (most?: number): Layer.Layer<never> => Layer.sync(ProofReplays, () => inMemory(most))
