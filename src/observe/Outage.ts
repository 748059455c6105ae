import { Clock, Effect } from "effect"

/** How often it is said of an outage that it goes on, in milliseconds. */
const warningInterval = 60_000

/** How much is told as soon as it is noticed, with no minute between: reasons of one outage, and outages. */
const mostAtOnce = 10

/** Why something is away. */
export interface Trouble {
  readonly message: string
  readonly cause?: unknown
}

/** Watches what is asked of something that may be away. */
export type Watching = <A, E extends Trouble, R>(
  asked: Effect.Effect<A, E, R>,
  /** Whether nothing was learned; any other failure is an answer, unless it says nothing either way (`undefined`). */
  isAway: (error: E) => boolean | undefined,
  /** What is asked, where one thing may fail while others go on: it is back when the last that has failed is. */
  what?: string
) => Effect.Effect<A, E, R>

/** How an outage is told. */
export interface OutageOptions {
  /** How the log is told of it (as a warning). */
  readonly warn?: (trouble: Trouble) => Effect.Effect<void>
  /** What makes it another trouble than the one before, which is told at once as well (nothing does). */
  readonly reasonOf?: (trouble: Trouble) => string
}

/** The whole message, where each is worth telling. */
export const byMessage = ({ message }: Trouble): string => message

/**
 * Warns that something is away when it is noticed, and once a minute as long as it is, however many ask for it; and says when it is
 * back.
 */
export const make = (
  name: string,
  { reasonOf = () => "", warn = ({ message }) => Effect.logWarning(message) }: OutageOptions = {}
): Watching => {
  let away = false
  let warnedAt = -Infinity
  let atOnce = 0
  let missed: string | undefined
  const told = new Set<string>()

  const gone = (trouble: Trouble, what: string | undefined) =>
    Clock.clockWith((clock) => {
      missed = what
      const now = Number(clock.monotonicTimeNanosUnsafe()) / 1e6
      const isDue = now - warnedAt >= warningInterval
      if (isDue) atOnce = 0
      const reason = reasonOf(trouble)
      const isNew = !told.has(reason) && told.size < mostAtOnce && atOnce < mostAtOnce
      if (!isDue && !isNew) return Effect.void
      if (isNew) told.add(reason)
      atOnce++
      away = true
      warnedAt = now
      return warn(trouble)
    })

  const back = (what: string | undefined) =>
    Effect.suspend(() => {
      if (!away || what !== missed) return Effect.void
      away = false
      told.clear()
      return Effect.logInfo(`${name} is available again`)
    })

  return (asked, isAway, what) =>
    asked.pipe(
      Effect.tap(back(what)),
      Effect.tapError((error) => {
        const isGone = isAway(error)
        return isGone === undefined ? Effect.void : isGone ? gone(error, what) : back(what)
      })
    )
}
