import { Cache, Duration, Effect, Exit, Option, Semaphore } from "effect"
import type { DocumentFetch, DocumentRefused, DocumentUnavailable, FetchedDocument } from "./DocumentFetch.ts"

/** Fetches documents, and keeps them for as long as their servers allow, between a moment and a day. */
export type DocumentCache = (url: string) => Effect.Effect<unknown, DocumentRefused | DocumentUnavailable>

/** How many documents are kept, and how many are fetched at one time, whoever asks for them. */
const capacity = 1000
const concurrency = 16

const longest = Duration.days(1)

/** For how long a document is kept whose server does not say. */
const usual = Duration.minutes(5)

/** For how long it is remembered that there is none. */
const failed = Duration.minutes(1)

const lifetime = (exit: Exit.Exit<FetchedDocument, unknown>): Duration.Duration =>
  Exit.isFailure(exit)
    ? failed
    : exit.value.maxAge === undefined
    ? usual
    : Duration.min(Duration.seconds(exit.value.maxAge), longest)

/**
 * Documents from a cache of bounded size.
 *
 * **Details**
 *
 * Each is fetched once at a time, however many wait for it. While its server is away the last good one serves for up to a day, so
 * that a client is not unknown for the sake of an outage; one whose server says that it is gone, or that it must not be kept, does not.
 */
export const make = Effect.fnUntraced(function*(
  fetch: DocumentFetch["Service"]
): Effect.fn.Return<DocumentCache> {
  const turns = yield* Semaphore.make(concurrency)
  const good = yield* Cache.make<string, FetchedDocument>({
    capacity,
    lookup: () => Effect.never,
    timeToLive: longest
  })
  const fresh = yield* Cache.makeWith(
    (url: string) =>
      turns.withPermit(fetch.getJson(url)).pipe(
        Effect.tap((document) => document.maxAge === 0 ? Cache.invalidate(good, url) : Cache.set(good, url, document)),
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
      Effect.map(({ json }) => json)
    )
})
