import { Effect, type Scope } from "effect"
import { HttpServerError } from "effect/http"
import { createServer } from "node:http"
import type { Answer } from "./StandInProvider.ts"

/** A server that listens, and answers as soon as it is told how. */
export interface Listening {
  readonly origin: string
  readonly port: number
  readonly open: (answer: Answer) => void
}

/** Listens on 127.0.0.1 until the scope closes. What is to answer may need to know the origin, so it comes later. */
export const listen = Effect.fnUntraced(
  function*(port: number): Effect.fn.Return<Listening, HttpServerError.ServeError, Scope.Scope> {
    const server = createServer()
    yield* Effect.acquireRelease(
      Effect.callback<void, HttpServerError.ServeError>((resume) => {
        server.once("error", (cause) => resume(Effect.fail(new HttpServerError.ServeError({ cause }))))
        server.listen(port, "127.0.0.1", () => resume(Effect.void))
      }),
      () =>
        Effect.callback<void>((resume) => {
          server.close(() => resume(Effect.void))
          server.closeAllConnections()
        })
    )
    const address = server.address()
    if (address === null || typeof address === "string") return yield* Effect.die(new Error("no TCP address"))
    return {
      origin: `http://127.0.0.1:${address.port}`,
      port: address.port,
      open: (answer) =>
        void server.on("request", (request, response) => {
          Promise.resolve(answer(request, response)).catch((error: unknown) => {
            process.emitWarning(error instanceof Error ? error : String(error))
            response.destroy()
          })
        })
    }
  }
)
