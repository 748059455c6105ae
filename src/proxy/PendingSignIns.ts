import { Clock, Duration, Effect, type Scope } from "effect"
import type { RateLimiter } from "effect/persistence"
import * as Remembered from "../token/Remembered.ts"

/** Counts what begins, so that no more is under way at one time than may be. */
export interface Pending {
  /**
   * Counts one more; where that would be too many it counts nothing, and gives the time until the first of the others no longer
   * count, in milliseconds.
   */
  readonly begin: Effect.Effect<number | undefined, RateLimiter.RateLimiterError>
}

/** How many halves of windows have a place of their own: what was counted in one has ended long before it is used again. */
const places = 8

/** For how long it is taken as known, in milliseconds, what was counted in a half that has ended: other servers' clocks may be behind. */
const knownFor = 1000

/**
 * Lets no more than `limit` begin within any window, however they are spread over it.
 *
 * **Details**
 *
 * The limiter's own window is shorter where it is not used up, and a bucket fills again while all that was in it is under way: both let
 * nearly twice as many through. So each half of a window is counted by itself, and this one and the two before it count together:
 * whoever began within the last window is among them.
 */
export const make = Effect.fnUntraced(function*(
  store: RateLimiter.RateLimiterStore["Service"],
  { key, limit, window }: { readonly key: string; readonly limit: number; readonly window: Duration.Duration }
): Effect.fn.Return<Pending, never, Scope.Scope> {
  const half = Duration.toMillis(window) / 2
  const ended = yield* Remembered.make<number, RateLimiter.RateLimiterError>(places, (half) => half)

  const take = (at: number, tokens: number, options: { readonly limit?: number; readonly lasting?: number }) =>
    Effect.map(
      store.fixedWindow({
        key: `${key}:${at % places}`,
        tokens,
        refillRate: Duration.millis(options.lasting ?? 0),
        limit: options.limit
      }),
      ([count]) => count
    )

  const countedIn = (at: number) =>
    ended.get(String(at), Effect.map(take(at, 0, {}), (value) => ({ value, keepFor: knownFor })))

  return {
    begin: Effect.gen(function*() {
      const now = yield* Clock.currentTimeMillis
      const current = Math.floor(now / half)
      const [earliest, before] = yield* Effect.all([countedIn(current - 2), countedIn(current - 1)], { concurrency: 2 })
      const left = limit - earliest - before
      if (left > 0) {
        // The first one says for how long the place counts; the others leave that as it is.
        if ((yield* take(current, 1, { limit: 1, lasting: 3 * half })) === 1) return undefined
        if ((yield* take(current, 1, { limit: left })) <= left) return undefined
      }
      const halves = earliest > 0 ? 1 : before > 0 ? 2 : 3
      return (current + halves) * half - now
    })
  }
})
