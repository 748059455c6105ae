import { createServer, type Server } from "node:http"

/**
 * Node's server, which keeps nobody waiting at either end of its life.
 *
 * **Details**
 *
 * Whoever comes after it listens and before the app is there is asked to come back; Node by itself would never answer. Once it
 * has stopped listening, each connection ends with the answer that is under way on it; Node by itself would go on for as long
 * as a client sends requests, until they are cut off.
 */
export const make = (): Server => {
  const server = createServer()
  server.prependListener("request", ({ socket }, response) => {
    if (!server.listening) response.shouldKeepAlive = false
    response.once("finish", () => {
      if (!server.listening) socket.end()
    })
    if (server.listenerCount("request") === 1) {
      response.writeHead(503, { "retry-after": "1", "cache-control": "no-store", connection: "close" }).end()
    }
  })
  return server
}
