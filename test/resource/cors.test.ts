import { assert, layer } from "@effect/vitest"
import { Effect, Layer } from "effect"
import { CurrentPrincipal, OktaAuth } from "effect-okta"
import { HttpRouter, HttpServerResponse } from "effect/http"
import { ownHeaders, TestServer } from "./TestServer.ts"

let handled = 0
const handler = Effect.map(CurrentPrincipal, () => {
  handled++
  return HttpServerResponse.text("ok")
})

const app = Layer.mergeAll(
  HttpRouter.add("*", "/mcp", handler).pipe(Layer.provide(OktaAuth.guard({ scopes: ["mcp:use"] }).layer)),
  HttpRouter.add("POST", "/files", handler).pipe(Layer.provide(OktaAuth.guard().layer)),
  OktaAuth.routes
)

const origin = "https://inspector.example"

layer(TestServer.layer(app, { serverUrl: "https://mcp.example.com", protectedPaths: ["/mcp", "/files"] }))(
  "a page of another origin",
  (it) => {
    const preflight = { origin, "access-control-request-method": "POST" }

    for (const path of ["/mcp", "/files", "/mcp/session"]) {
      it.effect(`${path}: its preflight passes without a token, and reaches no handler`, () =>
        Effect.gen(function*() {
          const { ask } = yield* TestServer
          const answer = yield* ask(path, {
            method: "OPTIONS",
            headers: {
              ...preflight,
              "access-control-request-headers": "authorization,content-type,mcp-protocol-version"
            }
          })
          assert.strictEqual(answer.status, 204)
          assert.strictEqual(answer.body, "")
          assert.deepStrictEqual(ownHeaders(answer), {
            "access-control-allow-origin": "*",
            "access-control-expose-headers": "WWW-Authenticate, DPoP-Nonce, Retry-After",
            "access-control-allow-methods": "GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS",
            "access-control-allow-headers": "authorization,content-type,mcp-protocol-version",
            "access-control-max-age": "600",
            vary: "access-control-request-headers"
          })
          assert.strictEqual(handled, 0)
        }))
    }

    it.effect("a preflight that asks for no header, or for what is none, may send the usual ones", () =>
      Effect.gen(function*() {
        const { ask } = yield* TestServer
        for (const asked of [undefined, "", "a b", "x;y", "\"", ",", "authorization,"]) {
          const headers = asked === undefined ? preflight : { ...preflight, "access-control-request-headers": asked }
          const answer = yield* ask("/mcp", { method: "OPTIONS", headers })
          assert.strictEqual(answer.headers["access-control-allow-headers"], "authorization, content-type, dpop", asked)
        }
      }))

    it.effect("OPTIONS that is no preflight is guarded like any method", () =>
      Effect.gen(function*() {
        const { ask } = yield* TestServer
        for (const headers of [{}, { origin }, { "access-control-request-method": "POST" }]) {
          assert.strictEqual((yield* ask("/mcp", { method: "OPTIONS", headers })).status, 401)
        }
        assert.strictEqual((yield* ask("/mcp", { method: "GET", headers: preflight })).status, 401)
      }))

    it.effect("reads every refusal, and the headers that say how to go on", () =>
      Effect.gen(function*() {
        const { ask, okta } = yield* TestServer
        const headers = { origin }
        const refusals = [
          yield* ask("/mcp", { headers }),
          yield* ask("/mcp", { headers: { ...headers, authorization: "Bearer x" } }),
          yield* ask("/mcp", { headers: { ...headers, authorization: "Bearer a b" } }),
          yield* ask("/mcp", { headers, token: { scopes: [] } })
        ]
        assert.deepStrictEqual(refusals.map(({ status }) => status), [401, 401, 400, 403])
        for (const refusal of refusals) {
          assert.strictEqual(refusal.headers["access-control-allow-origin"], "*")
          assert.strictEqual(
            refusal.headers["access-control-expose-headers"],
            "WWW-Authenticate, DPoP-Nonce, Retry-After"
          )
          assert.isDefined(refusal.headers["www-authenticate"])
        }
        assert.strictEqual(okta.issuer, "https://test.okta.com/oauth2/default")
      }))

    it.effect("reads the metadata, by a preflight of its own too", () =>
      Effect.gen(function*() {
        const { ask } = yield* TestServer
        const place = "/.well-known/oauth-protected-resource/mcp"
        const answer = yield* ask(place, { headers: { origin } })
        assert.strictEqual(answer.headers["access-control-allow-origin"], "*")
        const allowed = yield* ask(place, {
          method: "OPTIONS",
          headers: {
            origin,
            "access-control-request-method": "GET",
            "access-control-request-headers": "mcp-protocol-version"
          }
        })
        assert.strictEqual(allowed.status, 204)
        assert.strictEqual(allowed.headers["access-control-allow-headers"], "*")
        assert.strictEqual(allowed.headers["access-control-allow-methods"], "GET, HEAD, OPTIONS")
      }))

    it.effect("may call with a token, from any origin unless the settings say otherwise", () =>
      Effect.gen(function*() {
        const { ask } = yield* TestServer
        const answer = yield* ask("/mcp", { headers: { origin }, token: { scopes: ["mcp:use"] } })
        assert.strictEqual(answer.status, 200)
      }))
  }
)
