import { NodeHttpServer } from "@effect/platform-node"
import { Layer, Logger, ManagedRuntime } from "effect"
import { FetchHttpClient, HttpRouter, HttpServerResponse } from "effect/http"
import { createServer } from "node:http"
import { OktaAuth } from "../../dist/index.js"
import { audience } from "./issuer.ts"
import { serve } from "./server.ts"

const hello = HttpServerResponse.json({ hello: "world" })

const Routes = Layer.merge(
  HttpRouter.add("GET", "/open", hello),
  HttpRouter.add("GET", "/guarded", hello).pipe(
    Layer.provide(OktaAuth.guard({ scopes: ["files:read"] }).layer)
  )
)

await serve((issuer) => {
  const server = createServer()
  const App = HttpRouter.serve(Routes, { disableLogger: true, disableListenLog: true }).pipe(
    Layer.provide(OktaAuth.layer({
      issuer,
      audience,
      serverUrl: "https://mcp.example.com",
      // The proofs are made before all rounds begin.
      dpopProofLifetime: "10 minutes",
      failFast: true
    })),
    Layer.provide([
      FetchHttpClient.layer,
      NodeHttpServer.layer(() => server, { port: 0, host: "127.0.0.1" }),
      Logger.layer([])
    ])
  )
  return ManagedRuntime.make(App).context().then(() => server)
})
