import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import { once } from "node:events"
import { Agent, type IncomingMessage, request, type ServerResponse } from "node:http"
import type { AddressInfo } from "node:net"
import { text } from "node:stream/consumers"
import * as NodeServer from "../../src/cli/NodeServer.ts"

const listening = Effect.acquireRelease(
  Effect.promise(async () => {
    const server = NodeServer.make()
    await once(server.listen(0, "127.0.0.1"), "listening")
    // oxlint-disable-next-line typescript/no-unsafe-type-assertion -- it listens on TCP
    return { server, url: `http://127.0.0.1:${(server.address() as AddressInfo).port}` }
  }),
  ({ server }) => Effect.sync(() => server.closeAllConnections())
)

const get = (url: string, agent: Agent) =>
  new Promise<IncomingMessage>((resolve, reject) => request(url, { agent }, resolve).on("error", reject).end())

describe("the server of the command line", () => {
  it.effect("asks who comes before its app to come back", () =>
    Effect.gen(function*() {
      const { server, url } = yield* listening
      const early = yield* Effect.promise(() => fetch(url))
      assert.deepStrictEqual([early.status, early.headers.get("retry-after")], [503, "1"])
      server.on("request", (_: IncomingMessage, response: ServerResponse) => void response.end("here"))
      assert.strictEqual(yield* Effect.promise(() => fetch(url).then((response) => response.text())), "here")
    }))

  it.effect("ends with the answers under way, on connections that would be kept alive too", () =>
    Effect.gen(function*() {
      const { server, url } = yield* listening
      const arrived = Promise.withResolvers<ServerResponse>()
      server.on("request", (_: IncomingMessage, response: ServerResponse) => arrived.resolve(response))
      const agent = new Agent({ keepAlive: true })
      const answer = get(url, agent)
      yield* Effect.promise(async () => {
        const response = await arrived.promise
        const closed = once(server.close(), "close")
        response.end("finished")
        assert.strictEqual(await text(await answer), "finished")
        await closed
      })
    }))
})
