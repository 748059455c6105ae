import { assert, layer } from "@effect/vitest"
import { Effect } from "effect"
import { secret } from "../proxy/ProxyTest.ts"
import {
  type Answer,
  assertLocal,
  assertSentBack,
  type Changes,
  make,
  redirectUri,
  Scene,
  serverUrl
} from "../support/ProxyScene.ts"

/** By POST; a request in order is led on to the same by GET, where a browser has its cookie. */
const post = Effect.fnUntraced(function*(url: URL) {
  const browser = (yield* Scene).browser()
  const answer = yield* browser.ask("/oauth/authorize", { body: url.searchParams })
  return answer.status === 303 && answer.location.href.startsWith(`${serverUrl}/oauth/authorize?`)
    ? yield* browser.ask(answer.location)
    : answer
})

/** A request by GET and by POST, in a new browser each time; nothing is kept of it. */
const ask = Effect.fnUntraced(function*(request: Changes | ((url: URL) => void)) {
  const scene = yield* Scene
  const url = scene.authorizeUrl(typeof request === "function" ? {} : request)
  if (typeof request === "function") request(url)
  const kept = scene.writes.length
  const answers: ReadonlyArray<Answer> = [
    yield* scene.browser().ask(url),
    yield* post(url)
  ]
  assert.strictEqual(scene.writes.length, kept)
  return answers
})

const twice = (name: string, value: string) => (url: URL) => url.searchParams.append(name, value)

layer(Scene.layer())("F. /authorize: a page, and never a redirect, before the redirect URI is proven", (it) => {
  const cases: ReadonlyArray<readonly [string, Parameters<typeof ask>[0], code?: string]> = [
    ["#91 no client_id", { client_id: undefined }],
    ["#91 an empty client_id", { client_id: "" }],
    ["#91 an unknown client_id", { client_id: "unknown" }, "invalid_client"],
    ["#91 a client_id of 5000 characters", { client_id: "x".repeat(5000) }, "invalid_client"],
    ["#91 a client_id of markup", { client_id: "<script>" }, "invalid_client"],
    ["#91 a client_id of another kind of URL", { client_id: "http://127.0.0.1/client" }, "invalid_client"],
    ["#92 no redirect_uri", { redirect_uri: undefined }],
    ["#92 a stranger's redirect_uri", { redirect_uri: "https://evil.example.com/" }],
    ["#92 a redirect_uri in upper case", { redirect_uri: redirectUri.toUpperCase() }],
    ["#92 a redirect_uri with a slash added", { redirect_uri: `${redirectUri}/` }],
    ["#92 a redirect_uri with a parameter added", { redirect_uri: `${redirectUri}&more=1` }],
    ["#92 a redirect_uri without its query", { redirect_uri: redirectUri.split("?")[0] }],
    ["#92 a redirect_uri with a user", { redirect_uri: redirectUri.replace("//", "//evil.example.com@") }],
    ["#92 a redirect_uri with a fragment", { redirect_uri: `${redirectUri}#x` }],
    ["#92 a redirect_uri spelled otherwise", { redirect_uri: redirectUri.replace("callback", "%63allback") }],
    ["#96 javascript:", { redirect_uri: "javascript:alert(1)" }],
    ["#96 javascript: with white space", { redirect_uri: " java\nscript:alert(1)" }],
    ["#96 data:", { redirect_uri: "data:text/html,<script>alert(1)</script>" }],
    ["#96 vbscript:", { redirect_uri: "vbscript:alert" }],
    ["#96 file:", { redirect_uri: "file:///etc/passwd" }],
    ["#96 blob:", { redirect_uri: "blob:https://evil.example.com/1" }],
    ["#98 client_id twice", twice("client_id", "another")],
    ["#98 redirect_uri twice", twice("redirect_uri", redirectUri)],
    ["#98 redirect_uri and another", twice("redirect_uri", "https://evil.example.com/")],
    ["#98 state twice", twice("state", "another")],
    ["#104 a state of 3000 characters", { state: "s".repeat(3000) }]
  ]
  it.effect.each(cases)("%s", ([, request, code]) =>
    Effect.gen(function*() {
      for (const answer of yield* ask(request)) {
        assertLocal(answer, 400, code)
        assert.notInclude(answer.body, "alert")
        assert.notInclude(answer.body, "evil")
      }
    }))

  it.effect("#91 another server's client", () =>
    Effect.gen(function*() {
      const other = yield* make({ settings: { encryptionSecret: secret("b") } })
      const { clientId } = yield* Scene
      for (const client_id of [other.clientId, `${clientId}x`, clientId.slice(0, -1)]) {
        for (const answer of yield* ask({ client_id })) assertLocal(answer, 400, "invalid_client")
      }
    }))

  it.effect("#94 of a loopback redirect URI the port may differ, and nothing else", () =>
    Effect.gen(function*() {
      const scene = yield* Scene
      const registered = ["http://127.0.0.1:1234/callback", "http://localhost/cb"]
      const { clientId: client_id } = yield* scene.register({ redirect_uris: registered })
      for (
        const redirect_uri of [
          ...registered,
          "http://127.0.0.1:40000/callback",
          "http://127.0.0.1/callback",
          "http://localhost:9/cb"
        ]
      ) {
        for (const { body, status } of yield* ask({ client_id, redirect_uri })) assert.strictEqual(status, 200, body)
      }
      for (
        const redirect_uri of [
          "http://localhost:1234/callback",
          "http://127.0.0.1:1234/cb",
          "http://127.0.0.1:1234/callback/",
          "http://127.0.0.1:1234/callback?x",
          "http://[::1]:1234/callback",
          "http://127.0.0.2:1234/callback",
          "https://127.0.0.1:1234/callback",
          "http://127.0.0.1.evil.example.com:1234/callback",
          "http://127.0.0.1:1234@evil.example.com/callback",
          "http://127.0.0.1:99999/callback",
          "http://127.1:1234/callback",
          "http://2130706433:1234/callback"
        ]
      ) {
        for (const answer of yield* ask({ client_id, redirect_uri })) assertLocal(answer, 400)
      }
    }))

  it.effect("#104 a state of 100 kB, and the longest that is taken", () =>
    Effect.gen(function*() {
      const scene = yield* Scene
      const send = (state: string) => post(scene.authorizeUrl({ state }))
      assertLocal(yield* send("s".repeat(100_000)), 413)
      // Node itself refuses a line so long.
      const byGet = yield* scene.browser().ask(scene.authorizeUrl({ state: "s".repeat(100_000) }))
      assert.deepStrictEqual([byGet.status, byGet.body], [431, ""])
      assertLocal(yield* scene.browser().ask(scene.authorizeUrl({ state: "s".repeat(14_000) })), 400)
      const longest = "s".repeat(2048)
      assert.strictEqual((yield* send(longest)).status, 200)
      const { location } = yield* scene.browser().ask(scene.authorizeUrl({ state: longest, prompt: "none" }))
      assert.strictEqual(location.searchParams.get("state"), longest)
    }))
})

layer(Scene.layer())("F. /authorize: an error at the client, afterwards", (it) => {
  const cases: ReadonlyArray<readonly [string, Parameters<typeof ask>[0], error: string]> = [
    ["#98 another parameter twice", twice("scope", "mcp:write"), "invalid_request"],
    ["#98 code_challenge twice", twice("code_challenge", "a".repeat(43)), "invalid_request"],
    ["#99 no response_type", { response_type: undefined }, "unsupported_response_type"],
    ["#99 response_type token", { response_type: "token" }, "unsupported_response_type"],
    ["#99 response_type code token", { response_type: "code token" }, "unsupported_response_type"],
    ["#99 response_type CODE", { response_type: "CODE" }, "unsupported_response_type"],
    ["#100 no code_challenge", { code_challenge: undefined }, "invalid_request"],
    ["#100 an empty code_challenge", { code_challenge: "" }, "invalid_request"],
    ["#100 a code_challenge that is too short", { code_challenge: "a".repeat(42) }, "invalid_request"],
    ["#100 a code_challenge that is too long", { code_challenge: "a".repeat(44) }, "invalid_request"],
    ["#100 a code_challenge that is no base64url", { code_challenge: "+".repeat(43) }, "invalid_request"],
    ["#101 code_challenge_method plain", { code_challenge_method: "plain" }, "invalid_request"],
    ["#101 no code_challenge_method", { code_challenge_method: undefined }, "invalid_request"],
    ["#101 code_challenge_method S512", { code_challenge_method: "S512" }, "invalid_request"],
    ["#101 code_challenge_method s256", { code_challenge_method: "s256" }, "invalid_request"],
    ["#105 another server's resource", { resource: "https://other.example.com/mcp" }, "invalid_target"],
    ["#105 a resource that is not protected", { resource: `${serverUrl}/other` }, "invalid_target"],
    ["#105 a resource with a fragment", { resource: `${serverUrl}/mcp#frag` }, "invalid_target"],
    ["#105 a resource with a slash added", { resource: `${serverUrl}/mcp/` }, "invalid_target"],
    ["#105 a resource in upper case", { resource: `${serverUrl}/MCP` }, "invalid_target"],
    ["#105 two resources", twice("resource", serverUrl), "invalid_target"],
    ["#105 the same resource twice", twice("resource", `${serverUrl}/mcp`), "invalid_target"],
    ["#106 an unknown scope", { scope: "mcp:read mcp:admin" }, "invalid_scope"],
    ["#106 a scope with control characters", { scope: "mcp:read\r\nmcp:write" }, "invalid_scope"],
    ["#106 a scope with a tab", { scope: "mcp:read\tmcp:write" }, "invalid_scope"],
    ["#106 a scope in upper case", { scope: "MCP:READ" }, "invalid_scope"],
    ["#106 a scope of an object's own names", { scope: "__proto__ constructor" }, "invalid_scope"],
    ["a request object", { request: "e30.e30." }, "request_not_supported"],
    ["a request by reference", { request_uri: "https://client.example.com/r" }, "request_uri_not_supported"],
    ["another response_mode", { response_mode: "fragment" }, "invalid_request"],
    ["#108 prompt=none without consent", { prompt: "none" }, "consent_required"]
  ]
  it.effect.each(cases)("%s", ([, request, error]) =>
    Effect.gen(function*() {
      const [got, posted] = yield* ask(request)
      assert(got !== undefined && posted !== undefined)
      assertSentBack(got, error)
      assertSentBack(posted, error)
      assert.deepStrictEqual([got.status, posted.status], [302, 303])
    }))

  it.effect("#104 a state of any characters comes back as it was, and breaks nothing", () =>
    Effect.gen(function*() {
      for (const state of ["a\r\nset-cookie: x=1", "🔑 & = % +", "<script>", "\u0000", "é\u202e", "%0d%0a"]) {
        for (const answer of yield* ask({ state, prompt: "none" })) {
          assertSentBack(answer, "consent_required", { state })
          assert.isFalse(answer.headers.has("set-cookie"))
        }
      }
    }))

  it.effect("#105 #106 no resource means this server, and no scope the required ones", () =>
    Effect.gen(function*() {
      for (const { body, status } of yield* ask({ resource: undefined, scope: undefined })) {
        assert.strictEqual(status, 200)
        assert.include(body, "<strong><bdi>mcp.example.com</bdi></strong>")
        assert.include(body, "<code>mcp:read</code>")
        assert.notInclude(body, "mcp:write")
      }
    }))
})
