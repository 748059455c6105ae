import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import { TestClock } from "effect/testing"
import * as DocumentCache from "../../src/proxy/client/DocumentCache.ts"
import { DocumentFetch, DocumentUnavailable } from "../../src/proxy/client/DocumentFetch.ts"

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
        const get = yield* DocumentCache.make(fetch)
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
