import { Cache, Cause, Duration, Effect, Exit, Option, Result } from "effect"
import { type DocumentFetch, DocumentRefused, DocumentUnavailable } from "./DocumentFetch.ts"
import type { DocumentTurns } from "./DocumentTurns.ts"

/** What documents say, kept for as long as their servers allow, between a moment and a day. */
export type DocumentCache<A> = (url: string) => Effect.Effect<A, DocumentRefused | DocumentUnavailable>

/** What a document says, and for how long it is good. */
interface Kept<A> {
  readonly value: A
  readonly maxAge: number | undefined
}

/** How many documents are kept. */
const capacity = 1000

const longest = Duration.days(1)

/** For how long a document is kept whose server does not say. */
const usual = Duration.minutes(5)

/** For how long it is remembered that there is none, or none in order. */
const failed = Duration.minutes(1)

const isHurried = (cause: Cause.Cause<unknown>): boolean => {
  const error = Cause.squash(cause)
  return error instanceof DocumentUnavailable && error.hurried === true
}

const lifetime = (exit: Exit.Exit<Kept<unknown>, unknown>): Duration.Duration =>
  Exit.isFailure(exit)
    ? isHurried(exit.cause) ? Duration.zero : failed
    : exit.value.maxAge === undefined
    ? usual
    : Duration.min(Duration.seconds(exit.value.maxAge), longest)

/**
 * Documents from a cache of bounded size, as `read` reads them, which says what is not in order.
 *
 * **Details**
 *
 * Each is fetched once at a time, however many wait for it. While its server is away the last good one serves for up to a day, so
 * that a client is not unknown for the sake of an outage; one whose server says that it is gone, or that it must not be kept, does not.
 */
export const make = Effect.fnUntraced(function*<A>(
  { fetch, read, turns }: {
    readonly fetch: DocumentFetch["Service"]
    readonly turns: DocumentTurns
    readonly read: (url: string, json: unknown) => Result.Result<A, string>
  }
): Effect.fn.Return<DocumentCache<A>> {
  const good = yield* Cache.make<string, Kept<A>>({
    capacity,
    lookup: () => Effect.never,
    timeToLive: longest
  })

  const lookup = (url: string) =>
    Effect.flatMap(turns(url, fetch.getJson(url)), ({ json, maxAge }) =>
      Result.match(read(url, json), {
        onFailure: (reason) => Effect.fail(new DocumentRefused({ url, reason })),
        onSuccess: (value): Effect.Effect<Kept<A>> => Effect.succeed({ value, maxAge })
      }))

  const fresh = yield* Cache.makeWith(
    (url: string) =>
      lookup(url).pipe(
        Effect.tap((kept) => kept.maxAge === 0 ? Cache.invalidate(good, url) : Cache.set(good, url, kept)),
        Effect.tapError((error) => error._tag === "DocumentRefused" ? Cache.invalidate(good, url) : Effect.void)
      ),
    { capacity, timeToLive: lifetime }
  )

  return (url) =>
    Cache.get(fresh, url).pipe(
      Effect.catchTag("DocumentUnavailable", (error) =>
        Effect.flatMap(
          Cache.getOption(good, url),
          Option.match({ onNone: () => Effect.fail(error), onSome: Effect.succeed })
        )),
      Effect.map(({ value }) => value)
    )
})
