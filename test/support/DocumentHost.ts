import { Effect, Layer, type Scope } from "effect"
import type { RequestListener } from "node:http"
import { createServer } from "node:https"
import { DocumentNetwork } from "../../src/proxy/client/DocumentFetch.ts"
import { pem } from "./Certificates.ts"
import { listening } from "./Listening.ts"

/** The host for which the certificate is. */
export const host = "other.example"

/** A network in which every name leads to this machine, and a certificate of the tests is as good as any. */
export const loopback = Layer.succeed(DocumentNetwork, {
  resolve: () => Effect.succeed([{ address: "127.0.0.1", family: 4 }]),
  isAllowed: () => true,
  authorities: pem("authority")
})

/** A server on the web of the tests; gives its origin. */
export const serve = (listener: RequestListener): Effect.Effect<string, never, Scope.Scope> =>
  Effect.map(
    listening(createServer({ key: pem("key"), cert: pem("wrong-host") }, listener)),
    (port) => `https://${host}:${port}`
  )

/** A server that has a document with these members at whatever URL is asked for, as the client's own. */
export const documents = (
  metadata: Readonly<Record<string, unknown>>,
  headers: Readonly<Record<string, string>> = {}
): Effect.Effect<string, never, Scope.Scope> =>
  serve((request, response) => {
    response.writeHead(200, { "content-type": "application/json", ...headers }).end(
      JSON.stringify({ client_id: `https://${request.headers.host}${request.url}`, ...metadata })
    )
  })
