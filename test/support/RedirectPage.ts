import { Effect, type Scope } from "effect"
import { createServer } from "node:http"
import { listening } from "./Listening.ts"

/** A page to be sent back to, on a port of the client's own, that keeps where it was called. */
export const listen: Effect.Effect<
  { readonly redirectUrl: string; readonly called: Array<URL> },
  never,
  Scope.Scope
> = Effect.suspend(() => {
  const called: Array<URL> = []
  const server = createServer((request, response) => {
    const url = new URL(String(request.url), `http://${request.headers.host ?? "127.0.0.1"}`)
    if (url.pathname === "/callback") called.push(url)
    response.writeHead(200, { "content-type": "text/html" }).end("<title>Back</title><h1>Back at the application</h1>")
  })
  return Effect.map(listening(server), (port) => ({ redirectUrl: `http://127.0.0.1:${port}/callback`, called }))
})
