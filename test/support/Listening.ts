import { Effect, type Scope } from "effect"
import { type AddressInfo, createServer, type Server } from "node:net"

/** Lets a server listen on 127.0.0.1 until the scope closes, when its connections end, too: the port. */
export const listening = (
  server: Server & { readonly closeAllConnections?: () => void }
): Effect.Effect<number, never, Scope.Scope> =>
  Effect.acquireRelease(
    Effect.callback<number>((resume) => {
      server.listen(0, "127.0.0.1", () => {
        // oxlint-disable-next-line typescript/no-unsafe-type-assertion -- it listens on TCP
        resume(Effect.succeed((server.address() as AddressInfo).port))
      })
    }),
    () =>
      Effect.callback<void>((resume) => {
        server.close(() => resume(Effect.void))
        server.closeAllConnections?.()
      })
  )

/** Counts who connects, and answers nobody. */
export const trap = Effect.gen(function*() {
  let connections = 0
  const port = yield* listening(createServer((socket) => {
    connections++
    socket.destroy()
  }))
  return { port, url: `http://127.0.0.1:${port}`, connections: () => connections }
})
