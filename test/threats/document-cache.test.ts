import { assert, describe, it } from "@effect/vitest"
import { Deferred, Effect, Exit, Fiber, Result } from "effect"
import { TestClock } from "effect/testing"
import * as DocumentCache from "../../src/proxy/client/DocumentCache.ts"
import { DocumentFetch, DocumentUnavailable, type FetchedDocument } from "../../src/proxy/client/DocumentFetch.ts"
import * as DocumentTurns from "../../src/proxy/client/DocumentTurns.ts"

const distinct = 100_000

const url = (nth: number) => `https://host-${nth % 1000}.example/${nth}`

/** A web on which every document is there, unless it is away, and nothing takes any time. */
const web = () => {
  const state = { asked: 0, away: false }
  const fetch = DocumentFetch.of({
    getJson: (url) =>
      Effect.suspend(() => {
        state.asked++
        return state.away
          ? Effect.fail(new DocumentUnavailable({ url, reason: "it is away" }))
          : Effect.succeed({ json: { url }, maxAge: undefined })
      })
  })
  return { state, fetch }
}

describe("J. Documents that are kept", () => {
  it.effect(
    "#182 100,000 distinct ones, keys or metadata: the latest thousand are kept, be their servers there or away",
    () =>
      Effect.gen(function*() {
        const { fetch, state } = web()
        const get = yield* DocumentCache.make({
          fetch,
          turns: (_, fetching) => fetching,
          read: (_, json) => Result.succeed(json)
        })
        for (let nth = 0; nth < distinct; nth++) yield* get(url(nth))
        assert.strictEqual(state.asked, distinct)

        const latest = Array.from({ length: 1000 }, (_, index) => url(distinct - 1000 + index))
        yield* Effect.forEach(latest, get)
        assert.strictEqual(state.asked, distinct)

        // Past their time, and their servers away: the last good ones serve, of which there are no more either.
        state.away = true
        yield* TestClock.adjust("10 minutes")
        for (const each of latest) assert.deepStrictEqual(yield* get(each), { url: each })
        for (let nth = 0; nth < distinct - 1000; nth += 97) {
          assert.strictEqual((yield* Effect.flip(get(url(nth))))._tag, "DocumentUnavailable")
        }
      }),
    30_000
  )
})

describe("J. Documents that are being fetched", () => {
  /** A web whose hosts do not answer before they are told to, but for the quick one. */
  const slowWeb = Effect.gen(function*() {
    const state = { asked: [] as Array<string> }
    const answer = yield* Deferred.make<FetchedDocument>()
    const fetch = DocumentFetch.of({
      getJson: (url) =>
        Effect.suspend(() => {
          state.asked.push(url)
          return url.startsWith("https://quick.example/")
            ? Effect.succeed({ json: url, maxAge: undefined })
            : Deferred.await(answer)
        })
    })
    const get = yield* DocumentCache.make({
      fetch,
      turns: yield* DocumentTurns.make,
      read: (_, json) => Result.succeed(json)
    })
    const begin = (url: string) => Effect.forkChild(Effect.exit(get(url)), { startImmediately: true })
    return { state, get, begin, answer: Deferred.succeed(answer, { json: "late", maxAge: undefined }) }
  })

  it.effect("#184 one host that is slow holds a few places, and is in nobody else's way", () =>
    Effect.gen(function*() {
      const { begin, get, state } = yield* slowWeb
      for (let nth = 0; nth < 50; nth++) yield* begin(`https://slow.example/${nth}`)
      assert.lengthOf(state.asked, 4)
      for (let nth = 0; nth < 100; nth++) yield* get(`https://quick.example/${nth}`)
      assert.lengthOf(state.asked, 104)
    }))

  it.effect("#184 whoever waits for a turn gets it, or is told after 10 seconds; what was hurried is not remembered", () =>
    Effect.gen(function*() {
      const { answer, begin, get, state } = yield* slowWeb
      for (let nth = 0; nth < 16; nth++) yield* begin(`https://slow-${nth % 4}.example/${nth}`)
      assert.lengthOf(state.asked, 16)
      yield* TestClock.adjust("5 seconds")
      const quick = yield* begin("https://quick.example/c")
      const hurried = yield* begin("https://slow-0.example/hurried")
      yield* TestClock.adjust("4999 millis")
      assert.isUndefined(quick.pollUnsafe())
      // The slow ones are given up.
      yield* TestClock.adjust("1 millis")
      assert.isTrue(Exit.isSuccess(yield* Fiber.join(quick)))
      yield* TestClock.adjust("4999 millis")
      assert.isUndefined(hurried.pollUnsafe())
      yield* TestClock.adjust("1 millis")
      assert.include(String(yield* Fiber.join(hurried)), "within 10 seconds")

      yield* answer
      assert.strictEqual(yield* get("https://slow-0.example/hurried"), "late")
      assert.strictEqual((yield* Effect.flip(get("https://slow-0.example/0")))._tag, "DocumentUnavailable")
    }))
})
