import { Effect, type Scope } from "effect"
import { Agent, createServer, request } from "node:http"
import { listening } from "./Listening.ts"

/** A plain balancer: every request goes to the server after the one before. */
export interface RoundRobin {
  readonly url: string
  /** The servers in their order; may be changed at any time. */
  servers: ReadonlyArray<string>
  /** Which server got each request, as an index, and what was asked of it. */
  readonly served: Array<readonly [server: number, path: string]>
}

/** Balances on 127.0.0.1 until the scope closes. */
export const make = Effect.fnUntraced(function*(
  servers: ReadonlyArray<string> = []
): Effect.fn.Return<RoundRobin, never, Scope.Scope> {
  const agent = new Agent({ keepAlive: true })
  let turn = 0
  const server = createServer((incoming, answer) => {
    const index = turn++ % robin.servers.length
    const { headers, method, url = "/" } = incoming
    robin.served.push([index, url.split("?")[0] ?? ""])
    const onward = request(new URL(url, robin.servers[index]), { agent, method, headers }, (response) => {
      answer.writeHead(response.statusCode ?? 502, response.rawHeaders)
      response.pipe(answer)
    })
    onward.on("error", () => answer.headersSent ? answer.destroy() : answer.writeHead(502).end())
    incoming.pipe(onward)
  })
  const port = yield* Effect.acquireRelease(listening(server), () => Effect.sync(() => agent.destroy()))
  const robin: RoundRobin = { url: `http://127.0.0.1:${port}`, servers, served: [] }
  return robin
})
