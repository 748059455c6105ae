import { Effect, type Scope } from "effect"
import { createServer } from "node:http"

/** A page to be sent back to, on a port of the client's own, that keeps where it was called. */
export const listen: Effect.Effect<
  { readonly redirectUrl: string; readonly called: Array<URL> },
  never,
  Scope.Scope
> = Effect.acquireRelease(
  Effect.callback<{ readonly redirectUrl: string; readonly called: Array<URL>; readonly close: () => void }>(
    (resume) => {
      const called: Array<URL> = []
      const server = createServer((request, response) => {
        const url = new URL(String(request.url), `http://${request.headers.host ?? "127.0.0.1"}`)
        if (url.pathname === "/callback") called.push(url)
        response.writeHead(200, { "content-type": "text/html" }).end(
          "<title>Back</title><h1>Back at the application</h1>"
        )
      })
      server.listen(0, "127.0.0.1", () => {
        const address = server.address()
        const port = typeof address === "object" && address !== null ? address.port : 0
        const close = () => {
          server.close()
          server.closeAllConnections()
        }
        resume(Effect.succeed({ redirectUrl: `http://127.0.0.1:${port}/callback`, called, close }))
      })
    }
  ),
  ({ close }) => Effect.sync(close)
)
