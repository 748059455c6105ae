import { assert, layer } from "@effect/vitest"
import { Effect, Layer } from "effect"
import { HttpRouter, HttpServerResponse } from "effect/http"
import * as OktaAuth from "../../src/OktaAuth.ts"
import { OktaTest } from "../../src/testing/OktaTest.ts"
import { TestServer } from "../resource/TestServer.ts"
import { dpopMetadata } from "../support/Proofs.ts"

const wellKnown = "/.well-known/oauth-protected-resource"
const origin = "https://evil.example"

const ok = Effect.succeed(HttpServerResponse.text("ok"))
const app = Layer.merge(
  OktaAuth.routes,
  HttpRouter.add("*", "/mcp", ok).pipe(Layer.provide(OktaAuth.guard().layer))
)

const settings = { serverUrl: "https://mcp.example.com", protectedPaths: "/mcp" }

layer(TestServer.layer(app, settings))("K. Metadata", (it) => {
  it.effect("#189 the document has the members of what is there, and no others", () =>
    Effect.gen(function*() {
      const { ask } = yield* TestServer
      for (const [path, resource] of [["", "https://mcp.example.com"], ["/mcp", "https://mcp.example.com/mcp"]]) {
        assert.deepStrictEqual(JSON.parse((yield* ask(`${wellKnown}${path}`)).body), {
          resource,
          authorization_servers: [OktaTest.issuer],
          bearer_methods_supported: ["header"],
          ...dpopMetadata
        })
      }
    }))

  it.effect("#191 any origin may read metadata and challenges, without credentials; a handler's answer none", () =>
    Effect.gen(function*() {
      const { ask } = yield* TestServer
      const headers = { origin, cookie: "session=1" }
      const preflight = { ...headers, "access-control-request-method": "POST" }
      const answers = [
        [200, yield* ask(`${wellKnown}/mcp`, { headers })],
        [204, yield* ask(`${wellKnown}/mcp`, { method: "OPTIONS", headers: preflight })],
        [401, yield* ask("/mcp", { headers })],
        [401, yield* ask("/mcp", { headers, token: { defect: "expired" } })],
        [400, yield* ask("/mcp", { headers: { ...headers, authorization: "Bearer" } })],
        [204, yield* ask("/mcp", { method: "OPTIONS", headers: preflight })]
      ] as const
      for (const [status, answer] of answers) {
        assert.strictEqual(answer.status, status)
        assert.strictEqual(answer.headers["access-control-allow-origin"], "*")
        assert.notProperty(answer.headers, "access-control-allow-credentials")
        assert.notProperty(answer.headers, "set-cookie")
      }
      const handled = yield* ask("/mcp", { headers, token: {} })
      assert.strictEqual(handled.status, 200)
      assert.deepStrictEqual(Object.keys(handled.headers).filter((name) => name.startsWith("access-control-")), [])
    }))
})
