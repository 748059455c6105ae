/** Fetches a document from the web of the tests, as a program of its own: `node FetchDocument.ts URL`. */
import { Effect, Layer } from "effect"
import { DocumentFetch } from "../../src/proxy/client/DocumentFetch.ts"
import { loopback } from "./DocumentHost.ts"

const fetched = Effect.flatMap(DocumentFetch, ({ getJson }) => getJson(process.argv[2] ?? "")).pipe(
  Effect.provide(Layer.provide(DocumentFetch.layer, loopback))
)
console.log(JSON.stringify((await Effect.runPromise(fetched)).json))
