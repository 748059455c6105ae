import { assert, describe, it, layer } from "@effect/vitest"
import { Client } from "@modelcontextprotocol/sdk/client/index.js"
import { StreamableHTTPClientTransport } from "@modelcontextprotocol/sdk/client/streamableHttp.js"
import { Effect, Exit, Layer, Redacted, Schema, Scope, Stream } from "effect"
import { type McpPolicies, OktaAuth, ToolPolicy } from "effect-okta"
import { McpProtocol, McpServer, Tool, Toolkit } from "effect/ai"
import { HttpRouter, HttpServerRequest, HttpServerResponse } from "effect/http"
import type { TokenOptions } from "../../src/testing/OktaTest.ts"
import { dpopChallenge } from "../support/Proofs.ts"
import { type AppServices, type Asked, serve, TestServer } from "./TestServer.ts"

const tool = (name: string) => Tool.make(name, { success: Schema.String })

let directory: Effect.Effect<boolean, string> = Effect.succeed(true)

const Tools = Toolkit.make(
  tool("list"),
  tool("delete").annotate(ToolPolicy, { scopes: ["files:read", "files:delete"] }),
  tool("purge").annotate(ToolPolicy, { groups: "Admins" }),
  tool("pay").annotate(ToolPolicy, { acr: "urn:okta:loa:2fa:any" }),
  tool("page").annotate(ToolPolicy, { check: () => directory })
)

const policies = {
  policy: { scopes: "mcp:use" },
  tools: Tools,
  prompts: { secret: { groups: "Admins" } },
  resources: { "docs://readme": {}, "*": { scopes: "docs:all" } }
} satisfies McpPolicies

const called: Array<string> = []
const run = (name: string) => () => Effect.sync(() => `${name}: ${called.push(name)}`)

const registrations = Layer.mergeAll(
  McpServer.toolkit(Tools).pipe(
    Layer.provide(Tools.toLayer({
      list: run("list"),
      delete: run("delete"),
      purge: run("purge"),
      pay: run("pay"),
      page: run("page")
    }))
  ),
  McpServer.prompt({ name: "secret", content: () => Effect.succeed("a secret") }),
  McpServer.prompt({ name: "open", content: () => Effect.succeed("no secret") }),
  McpServer.resource({ uri: "docs://readme", name: "readme", content: Effect.succeed("read me") }),
  McpServer.resource({ uri: "docs://plans", name: "plans", content: Effect.succeed("plans") })
)

const endpoint = <R>(registrations: Layer.Layer<never, never, R>) =>
  McpServer.layerHttp({
    name: "tools",
    version: "1.0.0",
    path: "/mcp",
    protocols: [McpProtocol.v2026_07_28, McpProtocol.v2025_11_25, McpProtocol.v2025_03_26],
    registrations
  })

const app = endpoint(registrations).pipe(Layer.provide(OktaAuth.mcpGuard(policies).layer), Layer.orDie)

const token = (options: TokenOptions = {}): TokenOptions => ({ scopes: ["mcp:use"], ...options })

/** A client of the widely used kind, with a token in hand. */
const connect = Effect.fnUntraced(function*(options?: TokenOptions) {
  const { okta, url } = yield* TestServer
  const bearer = yield* okta.token(token(options))
  const client = new Client({ name: "test", version: "1.0.0" })
  const transport = new StreamableHTTPClientTransport(new URL(`${url}/mcp`), {
    requestInit: { headers: { authorization: `Bearer ${Redacted.value(bearer)}` } }
  })
  yield* Effect.acquireRelease(
    Effect.promise(() => client.connect(transport)),
    () => Effect.promise(() => client.close())
  )
  return client
})

const rpc = (method: string, params: unknown) => JSON.stringify({ jsonrpc: "2.0", id: 7, method, params })

const stateless = {
  "io.modelcontextprotocol/protocolVersion": "2026-07-28",
  "io.modelcontextprotocol/clientCapabilities": {}
}

/** One message, outside of a session. */
const post = (method: string, params: Readonly<Record<string, unknown>>, options?: TokenOptions): Asked => ({
  method: "POST",
  headers: {
    "content-type": "application/json",
    accept: "application/json, text/event-stream",
    "mcp-protocol-version": "2026-07-28",
    "mcp-method": method,
    ...typeof params["name"] === "string" ? { "mcp-name": params["name"] } : {},
    ...typeof params["uri"] === "string" ? { "mcp-name": params["uri"] } : {}
  },
  body: rpc(method, { ...params, _meta: stateless }),
  token: token(options)
})

layer(
  TestServer.layer(app, { serverUrl: "https://mcp.example.com", protectedPaths: "/mcp", requiredScopes: "openid" })
)(
  "an MCP endpoint with policies",
  (it) => {
    const having = (...scopes: ReadonlyArray<string>): TokenOptions => ({ scopes: ["openid", "mcp:use", ...scopes] })
    const admin = { ...having(), claims: { groups: ["Admins"] } }

    const allowed: ReadonlyArray<readonly [what: string, asked: Asked]> = [
      ["a tool without a policy", post("tools/call", { name: "list" }, having())],
      ["a tool, with its scopes", post("tools/call", { name: "delete" }, having("files:*"))],
      ["a tool, in its group", post("tools/call", { name: "purge" }, admin)],
      ["a prompt, in its group", post("prompts/get", { name: "secret" }, admin)],
      ["a prompt without a policy", post("prompts/get", { name: "open" }, having())],
      ["a resource whose policy is empty", post("resources/read", { uri: "docs://readme" }, having())],
      [
        "another resource, with the scope of the others",
        post("resources/read", { uri: "docs://plans" }, having("docs:all"))
      ]
    ]
    it.effect.each(allowed)("lets through %s", ([, asked]) =>
      Effect.gen(function*() {
        const { ask } = yield* TestServer
        const answer = yield* ask("/mcp", asked)
        assert.strictEqual(answer.status, 200, answer.body)
        const message = JSON.parse(answer.body.replace(/^.*?data: /s, ""))
        assert.strictEqual(message.id, 7)
        assert.isDefined(message.result, answer.body)
        assert.notInclude(answer.body, "isError\":true")
      }))

    const metadata = "resource_metadata=\"https://mcp.example.com/.well-known/oauth-protected-resource/mcp\""
    const refused: ReadonlyArray<
      readonly [what: string, asked: Asked, status: number, error: string, wanted?: string]
    > = [
      [
        "a tool for want of scopes, naming those of settings, endpoint and tool",
        post("tools/call", { name: "delete" }, { scopes: ["files:read"] }),
        403,
        "insufficient_scope",
        `${metadata}, scope="openid mcp:use files:read files:delete"`
      ],
      ["a tool for want of a group", post("tools/call", { name: "purge" }, having("files:*")), 403, "access_denied"],
      [
        "a tool for too weak a sign-in",
        post("tools/call", { name: "pay" }, having()),
        401,
        "insufficient_user_authentication",
        "acr_values=\"urn:okta:loa:2fa:any\""
      ],
      ["a prompt for want of a group", post("prompts/get", { name: "secret" }, having()), 403, "access_denied"],
      [
        "a resource for want of a scope",
        post("resources/read", { uri: "docs://plans" }, having()),
        403,
        "insufficient_scope"
      ],
      [
        "a resource in another spelling",
        post("resources/read", { uri: "docs://readm%65" }, having()),
        403,
        "insufficient_scope"
      ],
      [
        "a message for want of the endpoint's scope",
        post("tools/list", {}, { scopes: ["openid"] }),
        403,
        "insufficient_scope"
      ]
    ]
    it.effect.each(refused)("refuses %s", ([, asked, status, error, wanted]) =>
      Effect.gen(function*() {
        const { ask } = yield* TestServer
        const before = called.length
        const answer = yield* ask("/mcp", asked)
        assert.strictEqual(answer.status, status, answer.body)
        assert.strictEqual(JSON.parse(answer.body).error, error)
        const challenge = answer.headers["www-authenticate"]
        if (error === "access_denied") assert.isUndefined(challenge)
        else assert.include(challenge, wanted ?? "scope=")
        assert.strictEqual(called.length, before)
      }))

    it.effect("is unavailable for a tool while its check fails, and for nothing else", () =>
      Effect.gen(function*() {
        const { ask } = yield* TestServer
        directory = Effect.fail("away")
        const answer = yield* ask("/mcp", post("tools/call", { name: "page" }, having()))
        assert.deepStrictEqual([answer.status, answer.headers["retry-after"]], [503, "5"])
        assert.strictEqual((yield* ask("/mcp", post("tools/call", { name: "list" }, having()))).status, 200)
        directory = Effect.succeed(true)
        assert.strictEqual((yield* ask("/mcp", post("tools/call", { name: "page" }, having()))).status, 200)
      }))

    it.effect("asks for a token before it looks at a body", () =>
      Effect.gen(function*() {
        const { ask } = yield* TestServer
        const { token: _, ...asked } = post("tools/call", { name: "delete" })
        for (const body of [asked.body ?? "", "no JSON"]) {
          const answer = yield* ask("/mcp", { ...asked, body })
          assert.strictEqual(answer.status, 401)
          assert.strictEqual(
            answer.headers["www-authenticate"],
            `Bearer ${metadata}, scope="openid mcp:use"${dpopChallenge}`
          )
        }
      }))

    it.effect("checks every call of a batch, in a session of a revision that has batches", () =>
      Effect.gen(function*() {
        const { ask } = yield* TestServer
        const headers = { "content-type": "application/json", accept: "application/json, text/event-stream" }
        const opened = yield* ask("/mcp", {
          method: "POST",
          headers,
          token: having(),
          body: rpc("initialize", {
            protocolVersion: "2025-03-26",
            capabilities: {},
            clientInfo: { name: "test", version: "1.0.0" }
          })
        })
        const session = { ...headers, "mcp-session-id": opened.headers["mcp-session-id"] ?? "" }
        const message = (id: number, name: string) => ({ jsonrpc: "2.0", id, method: "tools/call", params: { name } })
        const batch = (names: ReadonlyArray<string>, ...scopes: ReadonlyArray<string>) =>
          ask("/mcp", {
            method: "POST",
            headers: session,
            token: having(...scopes),
            body: JSON.stringify(names.map((name, index) => message(index + 1, name)))
          })
        const good = yield* batch(["list", "delete", "list"], "files:*")
        assert.strictEqual(good.status, 200, good.body)
        for (const id of [1, 2, 3]) assert.include(good.body, `"id":${id}`)
        const before = called.length
        const bad = yield* batch(["list", "delete", "list"], "files:read")
        assert.strictEqual(bad.status, 403)
        assert.include(bad.headers["www-authenticate"], "scope=\"openid mcp:use files:read files:delete\"")
        assert.strictEqual((yield* batch(["list", "purge"], "files:*")).status, 403)
        assert.strictEqual(called.length, before)
      }))

    it.effect("answers by itself what could be read in two ways", () =>
      Effect.gen(function*() {
        const { ask } = yield* TestServer
        const asked = post("tools/call", { name: "list" }, having())
        const before = called.length
        const twice = (asked.body ?? "").replace(`"name":"list"`, `"name":"list","name":"delete"`)
        for (const [body, code] of [[twice, -32700], ["{", -32700], ["\"x\"", -32600]] as const) {
          const answer = yield* ask("/mcp", { ...asked, body })
          assert.strictEqual(answer.status, 400)
          assert.deepInclude(JSON.parse(answer.body), { jsonrpc: "2.0", id: null })
          assert.strictEqual(JSON.parse(answer.body).error.code, code)
        }
        const other = { ...asked, headers: { ...asked.headers, "mcp-name": "delete" } }
        assert.strictEqual((yield* ask("/mcp", other)).status, 400)
        const long = yield* ask("/mcp", { ...asked, body: `{"x":"${"x".repeat(4 * 1024 * 1024)}"}` })
        assert.strictEqual(long.status, 413)
        assert.strictEqual(called.length, before)
      }))
  }
)

describe("tools that a policy hides", () => {
  const visible = (options?: OktaAuth.VisibilityOptions) =>
    endpoint(
      registrations.pipe(Layer.provide(McpServer.visibility(OktaAuth.mcpVisibility(policies, options)).layer))
    ).pipe(Layer.provide(OktaAuth.guard().layer), Layer.orDie)

  const listed = Effect.fnUntraced(function*(options?: TokenOptions) {
    const client = yield* connect(options)
    const { tools } = yield* Effect.promise(() => client.listTools())
    const { prompts } = yield* Effect.promise(() => client.listPrompts())
    const { resources } = yield* Effect.promise(() => client.listResources())
    return [...tools, ...prompts, ...resources].map(({ name }) => name)
  })

  layer(TestServer.layer(visible()))("by what they are", (it) => {
    it.effect("are those that no other token would open", () =>
      Effect.gen(function*() {
        assert.sameMembers(yield* listed(), ["list", "delete", "pay", "page", "open", "readme", "plans"])
        const admin = { claims: { groups: ["Admins"] } }
        assert.sameMembers(
          yield* listed(admin),
          ["list", "delete", "purge", "pay", "page", "secret", "open", "readme", "plans"]
        )
      }))

    it.effect("cannot be called either, nor can those that are only listed", () =>
      Effect.gen(function*() {
        const client = yield* connect()
        const before = called.length
        for (const name of ["purge", "delete", "pay"]) {
          const outcome = yield* Effect.promise(() => client.callTool({ name }).then(() => "called", String))
          assert.match(outcome, /not found/i, name)
        }
        directory = Effect.fail("away")
        const away = yield* Effect.promise(() => client.callTool({ name: "page" }).then(() => "called", String))
        assert.include(away, "cannot be told")
        directory = Effect.succeed(true)
        assert.strictEqual(called.length, before)
        yield* Effect.promise(() => client.callTool({ name: "page" }))
        assert.strictEqual(called.length, before + 1)
      }))
  })

  layer(TestServer.layer(visible({ hideReachable: true })))("by what may be done now", (it) => {
    it.effect("are all others", () =>
      Effect.gen(function*() {
        assert.sameMembers(yield* listed(), ["list", "page", "open", "readme"])
        assert.includeMembers([...yield* listed({ scopes: ["files:*"] })], ["delete"])
      }))
  })
})

describe("the guard of an MCP endpoint", () => {
  const guarded = (handler: (request: HttpServerRequest.HttpServerRequest) => Effect.Effect<string, unknown>) =>
    HttpRouter.add(
      "POST",
      "/mcp",
      Effect.orDie(
        Effect.map(
          Effect.flatMap(HttpServerRequest.HttpServerRequest, handler),
          (text) => HttpServerResponse.text(text)
        )
      )
    ).pipe(Layer.provide(OktaAuth.mcpGuard({ tools: { delete: { scopes: "x" } } }).layer))

  const ways: ReadonlyArray<
    readonly [way: string, handler: (request: HttpServerRequest.HttpServerRequest) => Effect.Effect<string, unknown>]
  > = [
    ["text", ({ text }) => text],
    ["stream", ({ stream }) => Stream.mkString(Stream.decodeText(stream))],
    ["bytes", ({ arrayBuffer }) => Effect.map(arrayBuffer, (bytes) => Buffer.from(bytes).toString())],
    ["JSON", ({ json }) => Effect.map(json, (value) => JSON.stringify(value))],
    ["text, twice", ({ text }) => Effect.andThen(text, text)],
    ["text of a request with another URL", (request) => request.modify({ url: "/other" }).text]
  ]
  it.effect.each(ways)("hands the body on as %s", ([, handler]) =>
    Effect.gen(function*() {
      const { ask } = yield* serve(guarded(handler))
      const body = JSON.stringify({ jsonrpc: "2.0", method: "tools/call", params: { name: "list", text: "ä" } })
      const answer = yield* ask("/mcp", { method: "POST", body, token: {} })
      assert.deepStrictEqual([answer.status, answer.body], [200, body])
    }))

  it.effect("does not look at bodies when no part has a policy", () =>
    Effect.gen(function*() {
      const app = HttpRouter.add("POST", "/mcp", HttpServerResponse.text("reached")).pipe(
        Layer.provide(OktaAuth.mcpGuard({ policy: { scopes: "a" }, tools: Toolkit.make(tool("x")) }).layer)
      )
      const { ask } = yield* serve(app)
      const asked = { method: "POST", body: "no JSON" }
      assert.strictEqual((yield* ask("/mcp", { ...asked, token: { scopes: ["a"] } })).body, "reached")
      assert.strictEqual((yield* ask("/mcp", { ...asked, token: { scopes: ["b"] } })).status, 403)
    }))

  const wrong: ReadonlyArray<readonly [policies: McpPolicies, message: string]> = [
    [{ policy: { groups: [] } }, "In a policy, groups is [], which nobody can meet"],
    [{ tools: { "delete": { groups: [] } } }, "tools[\"delete\"].groups is [], which nobody can meet"],
    [{ tools: Toolkit.make(tool("x").annotate(ToolPolicy, { scopes: "a b" })) }, "tools[\"x\"].scopes"],
    [{ resources: { "docs://{name}": {} } }, "is a template"]
  ]
  it.effect.each(wrong)(
    "does not start with a policy that is not in order (%#)",
    ([policies, message]) =>
      Effect.gen(function*() {
        const app: Layer.Layer<never, never, AppServices> = HttpRouter.add("POST", "/mcp", HttpServerResponse.empty())
          .pipe(
            Layer.provide(OktaAuth.mcpGuard(policies).layer)
          )
        const scope = yield* Scope.make()
        const exit = yield* Effect.exit(Scope.provide(serve(app), scope))
        yield* Scope.close(scope, exit)
        assert.isTrue(Exit.isFailure(exit) && String(exit.cause).includes(message), String(exit))
      })
  )
})
