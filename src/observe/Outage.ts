import { Clock, Effect } from "effect"

/** How often it is said of an outage that it goes on, in milliseconds. */
const warningInterval = 60_000

/** Watches what is asked of something that may be away. */
export type Watching = <A, E extends { readonly message: string }, R>(
  asked: Effect.Effect<A, E, R>,
  /** Whether nothing was learned; any other failure is an answer. */
  isAway: (error: E) => boolean
) => Effect.Effect<A, E, R>

/**
 * Warns that something is away when it is noticed, and once a minute as long as it is, however many ask for it; and says when it is
 * back.
 */
export const make = (name: string): Watching => {
  let away = false
  let warnedAt = -Infinity

  const gone = (message: string) =>
    Clock.clockWith((clock) => {
      const now = Number(clock.monotonicTimeNanosUnsafe()) / 1e6
      if (now - warnedAt < warningInterval) return Effect.void
      away = true
      warnedAt = now
      return Effect.logWarning(message)
    })

  const back = Effect.suspend(() => {
    if (!away) return Effect.void
    away = false
    return Effect.logInfo(`${name} is available again`)
  })

  return (asked, isAway) =>
    asked.pipe(
      Effect.tap(back),
      Effect.tapError((error) => isAway(error) ? gone(error.message) : back)
    )
}
