import { assert, layer } from "@effect/vitest"
import { Effect, Layer } from "effect"
import { McpProtocol, McpServer } from "effect/ai"
import * as OktaAuth from "../../src/OktaAuth.ts"
import { OktaTest } from "../../src/testing/OktaTest.ts"
import { assertAccepted, assertRefused, GuardedServer } from "../support/GuardedServer.ts"
import { assertAnswer, assertRawAnswer, mint, text } from "../support/Refusals.ts"

layer(GuardedServer.layer().pipe(Layer.provideMerge(OktaTest.layer())))("D. Paths and methods", (it) => {
  it.effect("#72 other spellings of a guarded path: the same decision as the router's", () =>
    Effect.gen(function*() {
      const server = yield* GuardedServer
      const token = yield* mint()
      const routed = ["/mcp", "//mcp", "/MCP", "/mcp/", "/mcp//", "/%6dcp", "/mc%70?x", "/mcp;x", "///mCp//?a=b"]
      for (const path of routed) {
        yield* assertAnswer({ path }, "no credentials")
        yield* assertAnswer({ path, token: "x" }, "invalid_token")
        const handled = server.handled()
        assert.strictEqual((yield* server.ask({ path, token })).status, 200, path)
        assert.strictEqual(server.handled(), handled + 1)
      }
      const elsewhere = [
        "/mcp%2Fx",
        "/mcp/x",
        "/mcp/../x",
        "/x/../mcp",
        "/./mcp",
        "/mcpx",
        "/mcp%00",
        "/mcp%",
        "/mcp\\x",
        "/%2e%2e/mcp"
      ]
      const handled = server.handled()
      for (const path of elsewhere) {
        for (const credentials of [{ token: undefined }, { token: "x" }, { token }]) {
          const { status } = yield* server.ask(
            credentials.token === undefined ? { path } : { path, token: credentials.token }
          )
          assert.include(credentials.token === token ? [404] : [401, 404], status, path)
        }
      }
      assert.strictEqual(server.handled(), handled)
      // What lies under a protected path and is no route looks like the path itself to whoever has no token.
      for (
        const path of ["/mcp/x", "/mcp/../x", "/MCP/x", "//mcp/x", "/mcp//x", "/%6dcp/x", "/mcp/%zz", "/files/a/b?c"]
      ) {
        const resource = path.startsWith("/files") ? "/files" : "/mcp"
        yield* assertAnswer({ path }, "no credentials", { resource })
        yield* assertAnswer({ path, token: "x" }, "invalid_token", { resource })
        assert.strictEqual((yield* server.ask({ path, token })).status, 404, path)
      }
      const absolute = yield* server.raw(text(["Host: mcp"], { target: "http://mcp/%6dcp" }))
      assertRefused(absolute, "no credentials")
    }))

  it.effect("#73 OPTIONS reaches no handler", () =>
    Effect.gen(function*() {
      const server = yield* GuardedServer
      const token = yield* mint()
      const handled = server.handled()
      const preflight = { origin: "https://app.example.com", "access-control-request-method": "POST" }
      for (const path of ["/mcp", "/files", "/any", "/mcp/x"]) {
        const answer = yield* server.ask({
          method: "OPTIONS",
          path,
          headers: { ...preflight, "access-control-request-headers": "authorization, mcp-protocol-version" }
        })
        assert.strictEqual(answer.status, 204, path)
        assert.strictEqual(answer.headers["access-control-allow-origin"], "*")
        assert.strictEqual(answer.headers["access-control-allow-headers"], "authorization, mcp-protocol-version")
        assert.notProperty(answer.headers, "access-control-allow-credentials")
      }
      yield* assertAnswer({ method: "OPTIONS" }, "no credentials")
      yield* assertAnswer({ method: "OPTIONS", path: "/any" }, "no credentials", { resource: "" })
      yield* assertAnswer({ method: "OPTIONS", path: "/any", token: "x" }, "invalid_token", { resource: "" })
      yield* assertAnswer({ method: "OPTIONS", headers: { origin: "https://app.example.com" } }, "no credentials")
      // A preflight never carries credentials: with a method that is none, it is a request like any other.
      yield* assertAnswer({ method: "POST", headers: preflight }, "no credentials")
      assert.strictEqual(server.handled(), handled)
      yield* assertAccepted(token)
    }))

  it.effect("#73 HEAD is guarded", () =>
    Effect.gen(function*() {
      const server = yield* GuardedServer
      const token = yield* mint()
      yield* assertAnswer({ method: "HEAD" }, "no credentials", { head: true })
      yield* assertAnswer({ method: "HEAD", token: "x" }, "invalid_token", { head: true })
      yield* assertAnswer({ method: "HEAD", path: "/files", token }, "insufficient_scope", {
        resource: "/files",
        scope: "files:read files:write",
        head: true
      })
      const answer = yield* server.ask({ method: "HEAD", token })
      assert.deepStrictEqual([answer.status, answer.body], [200, ""])
    }))

  it.effect("#73 a method that no route takes: 401 without a token, no handler with one", () =>
    Effect.gen(function*() {
      const server = yield* GuardedServer
      const token = yield* mint()
      for (const method of ["PUT", "PATCH", "DELETE", "TRACE", "QUERY", "PURGE", "PROPFIND", "M-SEARCH"]) {
        yield* assertAnswer({ method }, "no credentials")
        yield* assertAnswer({ method, token: "x" }, "invalid_token")
        const handled = server.handled()
        const answer = yield* server.ask({ method, token })
        assert.strictEqual(answer.status, 404, method)
        assert.strictEqual(server.handled(), handled)
        yield* assertAnswer({ method, path: "/any" }, "no credentials", { resource: "" })
      }
      assert.strictEqual((yield* server.raw(text(["Host: mcp"], { method: "FROBNICATE" }))).status, 400)
      assert.strictEqual((yield* server.raw(text(["Host: mcp"], { method: "get" }))).status, 400)
      const overridden = { "x-http-method-override": "GET", "x-method-override": "GET" }
      yield* assertAnswer({ method: "DELETE", headers: overridden }, "no credentials")
      assert.strictEqual((yield* server.ask({ method: "DELETE", headers: overridden, token })).status, 404)
    }))

  it.effect("#73 an unknown method on the metadata: 405 with Allow", () =>
    Effect.gen(function*() {
      const server = yield* GuardedServer
      for (const path of ["/.well-known/oauth-protected-resource", "/.well-known/oauth-protected-resource/mcp"]) {
        for (const method of ["POST", "PUT", "PATCH", "DELETE", "QUERY", "TRACE", "PURGE", "PROPFIND"]) {
          const answer = yield* server.ask({ method, path })
          assert.deepStrictEqual(
            [answer.status, answer.headers["allow"], answer.body],
            [405, "GET, HEAD, OPTIONS", ""],
            method
          )
        }
        assert.strictEqual((yield* server.ask({ method: "HEAD", path })).status, 200)
        assert.strictEqual((yield* server.ask({ method: "OPTIONS", path })).status, 204)
      }
    }))

  it.effect("#73 a protocol upgrade is guarded", () =>
    Effect.gen(function*() {
      const upgrade = [
        "Host: mcp",
        "Upgrade: websocket",
        "Sec-WebSocket-Version: 13",
        "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ=="
      ]
      const request = (lines: ReadonlyArray<string>) =>
        text([...upgrade, ...lines]).replace("Connection: close", "Connection: Upgrade")
      yield* assertRawAnswer(request([]), "no credentials")
      yield* assertRawAnswer(request(["Authorization: Bearer x"]), "invalid_token")
    }))
})

const mcpServer = McpServer.layerHttp({
  name: "tools",
  version: "1.0.0",
  path: "/tools",
  protocols: [McpProtocol.v2025_06_18],
  registrations: Layer.empty
}).pipe(Layer.provide(OktaAuth.guard().layer), Layer.orDie)

layer(
  GuardedServer.layer({ protectedPaths: "/tools" }, { routes: mcpServer }).pipe(Layer.provideMerge(OktaTest.layer()))
)("D. Methods of an McpServer behind the guard", (it) => {
  it.effect("#73 a method that it does not take: 401 without a token, 405 with Allow with one", () =>
    Effect.gen(function*() {
      const server = yield* GuardedServer
      const token = yield* mint()
      for (const method of ["GET", "HEAD", "PUT", "PATCH", "DELETE", "OPTIONS"]) {
        const head = method === "HEAD"
        yield* assertAnswer({ method, path: "/tools" }, "no credentials", { resource: "/tools", head })
        yield* assertAnswer({ method, path: "/tools", token: "x" }, "invalid_token", { resource: "/tools", head })
        const answer = yield* server.ask({ method, path: "/tools", token })
        assert.deepStrictEqual([answer.status, answer.headers["allow"]], [405, "POST"], method)
      }
    }))
})
