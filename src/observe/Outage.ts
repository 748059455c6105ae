import { Clock, Effect } from "effect"

/** How often it is said of an outage that it goes on, in milliseconds. */
const warningInterval = 60_000

/** Watches what is asked of something that may be away. */
export type Watching = <A, E extends { readonly message: string }, R>(
  asked: Effect.Effect<A, E, R>,
  /** Whether nothing was learned; any other failure is an answer. */
  isAway: (error: E) => boolean,
  /** What is asked, where one thing may fail while others go on: it is back when the last that has failed is. */
  what?: string
) => Effect.Effect<A, E, R>

/**
 * Warns that something is away when it is noticed, and once a minute as long as it is, however many ask for it; and says when it is
 * back.
 */
export const make = (
  name: string,
  warn: (message: string) => Effect.Effect<void> = Effect.logWarning
): Watching => {
  let away = false
  let warnedAt = -Infinity
  let missed: string | undefined

  const gone = (message: string, what: string | undefined) =>
    Clock.clockWith((clock) => {
      missed = what
      const now = Number(clock.monotonicTimeNanosUnsafe()) / 1e6
      if (now - warnedAt < warningInterval) return Effect.void
      away = true
      warnedAt = now
      return warn(message)
    })

  const back = (what: string | undefined) =>
    Effect.suspend(() => {
      if (!away || what !== missed) return Effect.void
      away = false
      return Effect.logInfo(`${name} is available again`)
    })

  return (asked, isAway, what) =>
    asked.pipe(
      Effect.tap(back(what)),
      Effect.tapError((error) => isAway(error) ? gone(error.message, what) : back(what))
    )
}
