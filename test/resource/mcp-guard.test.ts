import { assert, layer } from "@effect/vitest"
import { Client } from "@modelcontextprotocol/sdk/client/index.js"
import { StreamableHTTPClientTransport } from "@modelcontextprotocol/sdk/client/streamableHttp.js"
import { Effect, Layer, Redacted, Schema } from "effect"
import { CurrentPrincipal, OktaAuth, Principal } from "effect-okta"
import { McpProtocol, McpServer, Tool, Toolkit } from "effect/ai"
import type { TokenOptions } from "../../src/testing/OktaTest.ts"
import { dpopChallenge } from "../support/Proofs.ts"
import { TestServer } from "./TestServer.ts"

const Whoami = Tool.make("whoami", {
  description: "Tells who is calling",
  success: Principal,
  dependencies: [CurrentPrincipal]
})
const Shout = Tool.make("shout", {
  description: "Says it louder, by name",
  parameters: Schema.Struct({ text: Schema.String }),
  success: Schema.String,
  dependencies: [CurrentPrincipal]
})
const Tools = Toolkit.make(Whoami, Shout)

let called = 0

const tools = McpServer.toolkit(Tools).pipe(
  Layer.provide(Tools.toLayer({
    whoami: () => CurrentPrincipal.use(Effect.succeed),
    shout: ({ text }) =>
      CurrentPrincipal.use(({ subject }) =>
        Effect.sync(() => {
          called++
          return `${subject}: ${text.toUpperCase()}`
        })
      )
  }))
)

const app = Layer.mergeAll(
  McpServer.layerHttp({
    name: "tools",
    version: "1.0.0",
    path: "/mcp",
    protocols: [McpProtocol.v2026_07_28, McpProtocol.v2025_11_25, McpProtocol.v2025_06_18],
    registrations: tools
  }).pipe(Layer.provide(OktaAuth.guard({ scopes: ["mcp:use"] }).layer), Layer.orDie),
  OktaAuth.routes
)

const settings = { serverUrl: "https://mcp.example.com", protectedPaths: "/mcp" }

/** A client of the widely used kind, with a token in hand. */
const connect = Effect.fnUntraced(function*(options: TokenOptions = {}) {
  const { okta, url } = yield* TestServer
  const token = yield* okta.token({ scopes: ["mcp:use"], ...options })
  const transport = new StreamableHTTPClientTransport(new URL(`${url}/mcp`), {
    requestInit: { headers: { authorization: `Bearer ${Redacted.value(token)}` } }
  })
  const client = new Client({ name: "test", version: "1.0.0" })
  yield* Effect.acquireRelease(
    Effect.promise(() => client.connect(transport)),
    () => Effect.promise(() => client.close())
  )
  return (name: string, args: { readonly [name: string]: unknown } = {}) =>
    Effect.map(
      Effect.promise(() => client.callTool({ name, arguments: { ...args } })),
      ({ structuredContent, content }) => structuredContent ?? content
    )
})

const initialize = JSON.stringify({
  jsonrpc: "2.0",
  id: 1,
  method: "initialize",
  params: { protocolVersion: "2025-06-18", capabilities: {}, clientInfo: { name: "test", version: "1.0.0" } }
})
const json = { "content-type": "application/json", accept: "application/json, text/event-stream" }

layer(TestServer.layer(app, settings))("an McpServer behind the guard", (it) => {
  it.effect("its tools know who is calling: a person", () =>
    Effect.gen(function*() {
      const call = yield* connect({ claims: { groups: ["Everyone"], email: "ada@lovelace.example" } })
      assert.deepStrictEqual(yield* call("whoami"), {
        _tag: "User",
        subject: "ada@example.com",
        uid: "00u1ada",
        username: "ada@example.com",
        email: "ada@lovelace.example",
        groups: ["Everyone"],
        scopes: ["mcp:use"],
        clientId: "0oa1client",
        amr: [],
        authTime: 1768478400
      })
      assert.deepStrictEqual<unknown>(yield* call("shout", { text: "hello" }), [
        { type: "text", text: "ada@example.com: HELLO" }
      ])
    }))

  it.effect("or a service", () =>
    Effect.gen(function*() {
      const call = yield* connect({ claims: { uid: undefined, sub: "0oa1client" } })
      assert.deepStrictEqual(yield* call("whoami"), {
        _tag: "Service",
        subject: "0oa1client",
        clientId: "0oa1client",
        scopes: ["mcp:use"]
      })
    }))

  it.effect("each call its own caller, however many there are at once", () =>
    Effect.gen(function*() {
      const names = Array.from({ length: 12 }, (_, n) => `user-${n}@example.com`)
      const calls = yield* Effect.forEach(names, (sub) => connect({ claims: { sub } }), { concurrency: 4 })
      const seen = yield* Effect.forEach(
        [...calls, ...calls, ...calls],
        (call) => call("whoami"),
        { concurrency: "unbounded" }
      )
      assert.deepStrictEqual(
        seen.map((principal) => Schema.is(Principal)(principal) ? principal.subject : undefined),
        [...names, ...names, ...names]
      )
    }))

  it.effect("without a token every method is told where to sign in", () =>
    Effect.gen(function*() {
      const { ask } = yield* TestServer
      const challenge =
        "Bearer resource_metadata=\"https://mcp.example.com/.well-known/oauth-protected-resource/mcp\", " +
        `scope="mcp:use"${dpopChallenge}`
      for (const method of ["GET", "POST", "DELETE", "HEAD", "PUT", "PATCH", "OPTIONS"]) {
        const body = method === "POST"
          ? { body: initialize, headers: json }
          : { headers: { accept: "text/event-stream" } }
        const answer = yield* ask("/mcp", { method, ...body })
        assert.deepStrictEqual([answer.status, answer.headers["www-authenticate"]], [401, challenge], method)
      }
      const metadata = yield* ask("/.well-known/oauth-protected-resource/mcp")
      assert.strictEqual(JSON.parse(metadata.body).resource, "https://mcp.example.com/mcp")
    }))

  it.effect("a session opened with a token is no way in without one", () =>
    Effect.gen(function*() {
      const { ask } = yield* TestServer
      const opened = yield* ask("/mcp", {
        method: "POST",
        headers: json,
        body: initialize,
        token: { scopes: ["mcp:use"] }
      })
      assert.strictEqual(opened.status, 200, opened.body)
      const session = opened.headers["mcp-session-id"]
      const headers = {
        ...json,
        "mcp-protocol-version": "2025-06-18",
        ...(session === undefined ? {} : { "mcp-session-id": session })
      }
      const call = JSON.stringify({
        jsonrpc: "2.0",
        id: 2,
        method: "tools/call",
        params: { name: "shout", arguments: { text: "x" } }
      })
      const before = called
      assert.strictEqual((yield* ask("/mcp", { method: "POST", headers, body: call })).status, 401)
      const poor = yield* ask("/mcp", { method: "POST", headers, body: call, token: { scopes: [] } })
      assert.strictEqual(poor.status, 403)
      const expired = yield* ask("/mcp", { method: "POST", headers, body: call, token: { defect: "expired" } })
      assert.strictEqual(expired.status, 401)
      assert.strictEqual(called, before)
      const good = yield* ask("/mcp", { method: "POST", headers, body: call, token: { scopes: ["mcp:use"] } })
      assert.strictEqual(good.status, 200)
      assert.include(good.body, "ada@example.com: X")
      assert.strictEqual(called, before + 1)
    }))
})
