/** One replica: what an app in proxy mode is, and beside it one in native mode; it writes down how it is every second. */
import { NodeHttpServer, NodeRuntime } from "@effect/platform-node"
import { Cause, Effect, Exit, Layer, Redacted, References, Runtime } from "effect"
import { FetchHttpClient, HttpRouter, HttpServerResponse } from "effect/http"
import { appendFileSync } from "node:fs"
import { monitorEventLoopDelay } from "node:perf_hooks"
import * as NodeServer from "../../src/cli/NodeServer.ts"
import * as OktaAuth from "../../src/OktaAuth.ts"
import * as RedisStore from "../../src/store/RedisStore.ts"
import { CurrentPrincipal } from "../../src/token/Principal.ts"
import { collect } from "../support/Garbage.ts"

/** What a replica is told, as JSON in `SOAK_REPLICA`. */
export interface Replica {
  readonly issuer: string
  readonly audience: string
  readonly serverUrl: string
  readonly clientId: string
  readonly clientSecret: string
  readonly encryptionSecret: string
  readonly signingKeys: string
  readonly redisUrl: string
  readonly ports: { readonly proxy: number; readonly native: number }
  /** The file of its samples, one JSON text a line. */
  readonly samples: string
}

/** How a replica is: times in milliseconds, sizes in MB. */
export interface Sample {
  readonly at: number
  readonly heap: number
  /** Whether all that nobody needs had just been collected. */
  readonly collected: boolean
  readonly resident: number
  readonly delayP99: number
  readonly delayMax: number
}

if (import.meta.main) {
  const replica: Replica = JSON.parse(process.env["SOAK_REPLICA"] ?? "{}")

  const whoami = HttpRouter.add(
    "*",
    "/mcp",
    Effect.map(CurrentPrincipal, (principal) => HttpServerResponse.jsonUnsafe(principal))
  ).pipe(Layer.provide(OktaAuth.guard().layer))

  const serving = (auth: ReturnType<typeof OktaAuth.layer>, port: number) =>
    HttpRouter.serve(Layer.mergeAll(whoami, OktaAuth.routes, OktaAuth.health), {
      disableLogger: true,
      disableListenLog: true
    }).pipe(
      Layer.provide(auth),
      Layer.provide(FetchHttpClient.layer),
      Layer.provide(NodeHttpServer.layer(NodeServer.make, { port, host: "127.0.0.1" })),
      Layer.provide(Layer.succeed(References.MinimumLogLevel, "Error")),
      Layer.launch
    )

  const { audience, clientId, issuer, ports, serverUrl } = replica
  const servers = [
    serving(
      OktaAuth.layer({
        issuer,
        serverUrl,
        clientId,
        clientSecret: Redacted.make(replica.clientSecret),
        encryptionSecret: Redacted.make(replica.encryptionSecret),
        signingKeys: Redacted.make(replica.signingKeys),
        scopesSupported: ["mcp:read"],
        protectedPaths: ["/mcp"],
        requestsPerMinute: 1_000_000,
        clientMetadataDocuments: false,
        store: RedisStore.layer({ url: Redacted.make(replica.redisUrl) })
      }),
      ports.proxy
    ),
    serving(OktaAuth.layer({ issuer, audience, serverUrl, protectedPaths: ["/mcp"] }), ports.native)
  ]

  const delay = monitorEventLoopDelay({ resolution: 10 })
  delay.enable()
  let seconds = 0
  setInterval(() => {
    const collected = ++seconds % 30 === 0
    if (collected) collect()
    const { heapUsed, rss } = process.memoryUsage()
    const sample: Sample = {
      at: Date.now(),
      heap: heapUsed / 1e6,
      collected,
      resident: rss / 1e6,
      delayP99: delay.percentile(99) / 1e6,
      delayMax: delay.max / 1e6
    }
    appendFileSync(replica.samples, `${JSON.stringify(sample)}\n`)
    delay.reset()
  }, 1000).unref()

  // Each by itself, since layers that are built together share what they have in common.
  const teardown: Runtime.Teardown = (exit, onExit) =>
    Exit.isFailure(exit) && Cause.hasInterruptsOnly(exit.cause) ? onExit(0) : Runtime.defaultTeardown(exit, onExit)
  Effect.all(servers, { concurrency: "unbounded", discard: true }).pipe(NodeRuntime.runMain({ teardown }))
}
