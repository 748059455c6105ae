import { Clock, Effect } from "effect"

/** What was logged of one kind, within the minute that began at some time. */
interface Minute {
  readonly beganAt: number
  logged: number
  withheld: number
}

const minute = 60_000

/** By the clock that the minutes are of, so that all servers of a process share them. */
const minutes = new WeakMap<Clock.Clock, Map<string, Minute>>()

const minuteOf = (clock: Clock.Clock, kind: string) => {
  const kinds = minutes.get(clock) ?? new Map<string, Minute>()
  minutes.set(clock, kinds)
  const now = Number(clock.monotonicTimeNanosUnsafe()) / 1e6
  const last = kinds.get(kind)
  if (last !== undefined && now - last.beganAt < minute) return { current: last, withheld: 0 }
  const current = { beganAt: now, logged: 0, withheld: 0 }
  kinds.set(kind, current)
  return { current, withheld: last?.withheld ?? 0 }
}

/**
 * Logs what may come as often as others want: of one kind so many lines a minute (10), and what comes on top at the level `Debug`. The
 * next minute's first line tells how many those were, in its annotation `withheld`. A kind is never a text from outside.
 */
export const sparingly = (
  level: "Info" | "Warn" | "Error",
  kind: string,
  message: string,
  most = 10
): Effect.Effect<void> =>
  Clock.clockWith((clock) => {
    const { current, withheld } = minuteOf(clock, kind)
    if (current.logged >= most) {
      current.withheld++
      return Effect.logDebug(message)
    }
    current.logged++
    const line = Effect.logWithLevel(level)(message)
    return withheld === 0 ? line : Effect.annotateLogs(line, { withheld })
  })
