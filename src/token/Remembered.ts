import { Clock, Deferred, Effect, Exit, type Scope } from "effect"
import * as VerdictCache from "./VerdictCache.ts"

/** What was answered to a question. */
export interface Answer<A> {
  readonly value: A
  /** For how long it may be given again, in milliseconds from when the question was asked. */
  readonly keepFor: number
}

/** Answers that are known, and questions under way. */
export interface Remembered<A, E> {
  /** Gives the answer that is known for a key, or asks. */
  readonly get: (key: string, ask: Effect.Effect<Answer<A>, E>) => Effect.Effect<A, E>
  /** Forgets the answer that is known for a key, and does not keep one that is under way: whoever comes from now on asks anew. */
  readonly forget: (key: string) => void
}

/**
 * Remembers at most `capacity` answers, by the entire key and the monotonic clock, and asks for one key once at a time.
 * Failures are not remembered. Who waits may go away: an answer that is under way is awaited and kept. Keys are tokens, or are
 * looked up by another part than the end of a token.
 */
export const make = Effect.fnUntraced(function*<A, E>(
  capacity: number,
  partOf?: (key: string) => string
): Effect.fn.Return<Remembered<A, E>, never, Scope.Scope> {
  const scope = yield* Effect.scope
  const clock = yield* Clock.Clock
  const now = () => Number(clock.monotonicTimeNanosUnsafe()) / 1e6
  const known = VerdictCache.make<{ readonly value: A }>(capacity, partOf)
  const underway = new Map<string, Deferred.Deferred<A, E>>()

  const askOnce = (key: string, ask: Effect.Effect<Answer<A>, E>) =>
    Effect.uninterruptibleMask((restore) => {
      const same = underway.get(key)
      if (same !== undefined) return restore(Deferred.await(same))
      const deferred = Deferred.makeUnsafe<A, E>()
      underway.set(key, deferred)
      const begun = now()
      return ask.pipe(
        Effect.onExit((exit) =>
          Effect.sync(() => {
            if (underway.get(key) === deferred) {
              underway.delete(key)
              if (Exit.isSuccess(exit) && exit.value.keepFor > 0) {
                known.set(key, { value: exit.value.value }, begun + exit.value.keepFor, now())
              }
            }
            Deferred.doneUnsafe(deferred, Exit.map(exit, ({ value }) => value))
          })
        ),
        Effect.forkIn(scope),
        Effect.andThen(restore(Deferred.await(deferred)))
      )
    })

  return {
    get: (key, ask) =>
      Effect.suspend(() => {
        const before = known.get(key, now())
        return before === undefined ? askOnce(key, ask) : Effect.succeed(before.value)
      }),
    forget: (key) => {
      known.delete(key)
      underway.delete(key)
    }
  }
})
