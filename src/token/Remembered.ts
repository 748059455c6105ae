import { Clock, Deferred, Effect, type Scope } from "effect"
import * as VerdictCache from "./VerdictCache.ts"

/** What Okta answered to a question about a token. */
export interface Answer<A> {
  readonly value: A
  /** For how long it may be given again, in milliseconds from when the question was asked. */
  readonly keepFor: number
}

/** Gives the answer that is known for a key, or asks. */
export type Remembered<A, E> = (key: string, ask: Effect.Effect<Answer<A>, E>) => Effect.Effect<A, E>

/**
 * Remembers at most `capacity` answers of Okta's, by the entire key and the monotonic clock, and asks for one key once at a
 * time. Failures are not remembered. Who waits may go away: an answer that is under way is awaited and kept.
 */
export const make = Effect.fnUntraced(function*<A, E>(
  capacity: number
): Effect.fn.Return<Remembered<A, E>, never, Scope.Scope> {
  const scope = yield* Effect.scope
  const clock = yield* Clock.Clock
  const now = () => Number(clock.monotonicTimeNanosUnsafe()) / 1e6
  const known = VerdictCache.make<{ readonly value: A }>(capacity)
  const underway = new Map<string, Deferred.Deferred<A, E>>()

  const askOnce = (key: string, ask: Effect.Effect<Answer<A>, E>) =>
    Effect.uninterruptibleMask((restore) => {
      const same = underway.get(key)
      if (same !== undefined) return restore(Deferred.await(same))
      const deferred = Deferred.makeUnsafe<A, E>()
      underway.set(key, deferred)
      const begun = now()
      return ask.pipe(
        Effect.map(({ keepFor, value }) => {
          if (keepFor > 0) known.set(key, { value }, begun + keepFor)
          return value
        }),
        Effect.onExit((exit) =>
          Effect.sync(() => {
            underway.delete(key)
            Deferred.doneUnsafe(deferred, exit)
          })
        ),
        Effect.forkIn(scope),
        Effect.andThen(restore(Deferred.await(deferred)))
      )
    })

  return (key, ask) =>
    Effect.suspend(() => {
      const before = known.get(key, now())
      return before === undefined ? askOnce(key, ask) : Effect.succeed(before.value)
    })
})
