import { assert, describe, it } from "@effect/vitest"
import { Context, Effect, Layer, Redacted } from "effect"
import { TestClock } from "effect/testing"
import { connect } from "node:net"
import { make, until } from "../support/FaultyOkta.ts"
import { GuardedServer } from "../support/GuardedServer.ts"

const people = 1000
const crowd = 10_000
const connections = 100

/** The statuses and subjects of answers that come one after the other. */
const answersIn = (text: string) =>
  [...text.matchAll(/HTTP\/1\.1 (\d+) .*?"subject":"([^"]+)"/gs)].map(([, status, subject]) => `${status} ${subject}`)

/** Sends requests over one connection without waiting for their answers, which end with the connection. */
const pipelined = (port: number, tokens: ReadonlyArray<string>): Effect.Effect<ReadonlyArray<string>> =>
  Effect.callback((resume) => {
    const chunks: Array<Buffer> = []
    const socket = connect(port, "127.0.0.1")
    socket.on("data", (chunk) => chunks.push(chunk))
    socket.on("error", (error) => resume(Effect.die(error)))
    socket.on("close", () => resume(Effect.sync(() => answersIn(Buffer.concat(chunks).toString("latin1")))))
    tokens.forEach((token, nth) => {
      const last = nth === tokens.length - 1 ? "connection: close\r\n" : ""
      socket.write(`GET /mcp HTTP/1.1\r\nhost: mcp.example.com\r\n${last}authorization: Bearer ${token}\r\n\r\n`)
    })
  })

describe("Faults: the laboratory, a crowd", () => {
  it.effect(
    "#87 F27 10,000 requests at once by HTTP, cold, warm and stale: one fetch of each document, and all are served",
    () =>
      Effect.gen(function*() {
        const okta = yield* make()
        okta.break("silent")
        let came = 0
        const onRequest = () => void came++
        const { port } = Context.get(
          yield* Layer.build(
            Layer.provide(GuardedServer.layer({ issuer: okta.issuer }, { onRequest }), okta.client)
          ),
          GuardedServer
        )
        const subjects = Array.from({ length: people }, (_, nth) => `user-${nth}@example.com`)
        const tokens = subjects.map((sub) => Redacted.value(okta.token({ claims: { sub } })))
        /** Each connection has other people's requests, as often as there are enough of them. */
        const share = crowd / connections
        const places = Array.from({ length: connections }, (_, nth) => nth * share % people)
        /** Everybody at once; `meanwhile` comes when all requests have arrived, and none of the test's time passes. */
        const ask = Effect.fnUntraced(function*(meanwhile: Effect.Effect<void>) {
          came = 0
          const asking = Effect.forEach(
            places,
            (from) => pipelined(port, tokens.slice(from, from + share)),
            { concurrency: "unbounded" }
          )
          const allCame = until(`${crowd} requests came`, () => came === crowd)
          const [answers] = yield* Effect.all([asking, Effect.andThen(allCame, meanwhile)], { concurrency: 2 })
          const wanted = places.map((from) => subjects.slice(from, from + share).map((subject) => `200 ${subject}`))
          assert.deepStrictEqual(answers, wanted)
        })

        // Cold: Okta answers when all of them wait for it.
        yield* ask(
          Effect.gen(function*() {
            assert.deepStrictEqual([okta.requests, okta.waiting()], [{ metadata: 1, oauth: 0, keys: 0 }, 1])
            okta.release()
            yield* until("the keys were asked for", () => okta.requests.keys === 1 && okta.waiting() === 1)
            okta.mend()
            okta.release()
          })
        )
        assert.deepStrictEqual(okta.requests, { metadata: 1, oauth: 0, keys: 1 })

        // Warm: nobody asks Okta.
        yield* ask(Effect.void)
        assert.deepStrictEqual(okta.requests, { metadata: 1, oauth: 0, keys: 1 })

        // Stale: the keys were due this moment, and do not come; time stands still, so whoever waited would wait for ever.
        okta.break("silent", ["keys"])
        yield* TestClock.adjust("5 minutes")
        yield* ask(Effect.void)
        assert.deepStrictEqual([okta.requests, okta.waiting()], [{ metadata: 1, oauth: 0, keys: 2 }, 1])
        okta.mend()
        okta.release()
        yield* okta.settled
        yield* ask(Effect.void)
        assert.deepStrictEqual(okta.requests, { metadata: 1, oauth: 0, keys: 2 })
      }),
    120_000
  )
})
