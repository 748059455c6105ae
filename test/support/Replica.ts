// One of several servers of a deployment, in a process of its own: started by `ReplicaProcess.ts` with its settings in the
// environment, it says over the channel of `fork` where it listens.
import { NodeHttpServer } from "@effect/platform-node"
import { Effect, Layer, Logger, Redacted, Schema } from "effect"
import { FetchHttpClient, HttpRouter, HttpServer, HttpServerResponse } from "effect/http"
import { createServer } from "node:http"
import * as OktaAuth from "../../src/OktaAuth.ts"
import * as RedisStore from "../../src/store/RedisStore.ts"
import * as SqliteStore from "../../src/store/SqliteStore.ts"
import { CurrentPrincipal } from "../../src/token/Principal.ts"

/** What a replica is told. */
export const Settings = Schema.Struct({
  issuer: Schema.String,
  serverUrl: Schema.String,
  clientId: Schema.String,
  clientSecret: Schema.String,
  encryptionSecret: Schema.Array(Schema.String),
  signingKeys: Schema.String,
  /** One of the two. */
  redis: Schema.optional(Schema.String),
  file: Schema.optional(Schema.String)
})

const whoami = HttpRouter.add(
  "*",
  "/mcp",
  Effect.map(CurrentPrincipal, ({ subject }) => HttpServerResponse.jsonUnsafe({ subject }))
).pipe(Layer.provide(OktaAuth.guard().layer))

const server = Effect.gen(function*() {
  const { clientSecret, encryptionSecret, file = "", redis, signingKeys, ...settings } = yield* Schema
    .decodeUnknownEffect(Schema.fromJsonString(Settings))(process.env["REPLICA"])
  const okta = OktaAuth.layer({
    ...settings,
    clientSecret: Redacted.make(clientSecret),
    encryptionSecret: encryptionSecret.map((secret) => Redacted.make(secret)),
    signingKeys: Redacted.make(signingKeys),
    protectedPaths: ["/mcp"],
    clientMetadataDocuments: false,
    requestsPerMinute: 1_000_000,
    maxPendingSignIns: 1_000_000,
    store: redis === undefined ? SqliteStore.layer({ file }) : RedisStore.layer({ url: Redacted.make(redis) })
  })
  const said = Effect.map(
    HttpServer.HttpServer,
    ({ address }) => process.send?.(address._tag === "InetAddressV4" ? address.port : "no address")
  )
  return Layer.effectDiscard(said).pipe(
    Layer.provideMerge(
      HttpRouter.serve(Layer.mergeAll(whoami, OktaAuth.routes, OktaAuth.health), {
        disableListenLog: true,
        disableLogger: true
      })
    ),
    Layer.provide(NodeHttpServer.layer(createServer, { port: 0, host: "127.0.0.1" })),
    Layer.provide(okta),
    Layer.provide(FetchHttpClient.layer)
  )
}).pipe(Layer.unwrap, Layer.provide(Logger.layer([])))

if (import.meta.main) {
  for (const end of ["disconnect", "SIGTERM"]) process.once(end, () => process.exit())
  Effect.runPromise(Layer.launch(server)).catch((error: unknown) => {
    console.error(error)
    process.exit(1)
  })
}
