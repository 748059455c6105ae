import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import { secret } from "../ProxyTest.ts"
import * as Scene from "./Scene.ts"
import type { Answer } from "./UserAgent.ts"

/** A page of this server's that says what is wrong, and sends nobody anywhere. */
const assertLocal = (answer: Answer, status: number, code = "invalid_request") => {
  assert.strictEqual(answer.status, status, answer.body)
  assert.isFalse(answer.headers.has("location"))
  assert.include(answer.headers.get("content-type"), "text/html")
  assert.include(answer.body, `<code>${code}</code>`)
  assert.isFalse(answer.headers.has("set-cookie"))
}

/** An error at the client's redirect URI. */
const assertSentBack = ({ body, location, status }: Answer, error: string, state = "client state") => {
  assert.include([302, 303], status, body)
  assert.isTrue(location.href.startsWith(Scene.redirectUri), location.href)
  assert.strictEqual(location.searchParams.get("error"), error, location.href)
  assert.strictEqual(location.searchParams.get("state"), state)
  assert.strictEqual(location.searchParams.get("iss"), Scene.serverUrl)
  assert.isFalse(location.searchParams.has("code"))
}

describe("an authorization request before its redirect URI is proven gets a page", () => {
  it.effect("91: an unknown client", () =>
    Effect.gen(function*() {
      const scene = yield* Scene.make()
      const other = yield* Scene.make({ settings: { encryptionSecret: secret("b") } })
      for (const client_id of ["unknown", `${scene.clientId}x`, other.clientId, "x".repeat(5000), "<script>"]) {
        assertLocal(yield* scene.browser().ask(scene.authorizeUrl({ client_id })), 400, "invalid_client")
      }
      assertLocal(yield* scene.browser().ask(scene.authorizeUrl({ client_id: undefined })), 400)
      assertLocal(yield* scene.browser().ask(scene.authorizeUrl({ client_id: "" })), 400)
    }))

  it.effect("92: a redirect URI that is not registered", () =>
    Effect.gen(function*() {
      const scene = yield* Scene.make()
      for (
        const redirect_uri of [
          undefined,
          "https://evil.example.com/",
          Scene.redirectUri.toUpperCase(),
          `${Scene.redirectUri}/`,
          `${Scene.redirectUri}&more=1`,
          Scene.redirectUri.split("?")[0]
        ]
      ) {
        assertLocal(yield* scene.browser().ask(scene.authorizeUrl({ redirect_uri })), 400)
      }
    }))

  it.effect("94: of a loopback redirect URI the port may differ, and nothing else", () =>
    Effect.gen(function*() {
      const scene = yield* Scene.make({ client: { redirect_uris: ["http://127.0.0.1:1234/callback"] } })
      const ask = (redirect_uri: string) => scene.browser().ask(scene.authorizeUrl({ redirect_uri }))
      assert.strictEqual((yield* ask("http://127.0.0.1:40000/callback")).status, 200)
      for (const redirect_uri of ["http://localhost:1234/callback", "http://127.0.0.1:1234/other"]) {
        assertLocal(yield* ask(redirect_uri), 400)
      }
    }))

  it.effect("96: a redirect URI that a browser would run or read", () =>
    Effect.gen(function*() {
      const scene = yield* Scene.make()
      for (
        const redirect_uri of [
          "javascript:alert(1)",
          " java\nscript:alert(1)",
          "data:text/html,<script>alert(1)</script>",
          "vbscript:x",
          "file:///etc/passwd",
          "blob:https://evil.example.com/1"
        ]
      ) {
        const answer = yield* scene.browser().ask(scene.authorizeUrl({ redirect_uri }))
        assertLocal(answer, 400)
        assert.notInclude(answer.body, "alert")
      }
    }))

  it.effect("98: a repeated client_id, redirect_uri or state", () =>
    Effect.gen(function*() {
      const scene = yield* Scene.make()
      for (const name of ["client_id", "redirect_uri", "state"]) {
        const url = scene.authorizeUrl()
        url.searchParams.append(name, "another")
        assertLocal(yield* scene.browser().ask(url), 400)
        const twice = scene.authorizeUrl()
        twice.searchParams.append(name, twice.searchParams.get(name) ?? "")
        assertLocal(yield* scene.browser().ask("/oauth/authorize", { body: twice.searchParams }), 400)
      }
    }))

  it.effect("104: a state of 100 kB", () =>
    Effect.gen(function*() {
      const scene = yield* Scene.make()
      const ask = (state: string) =>
        scene.browser().ask("/oauth/authorize", { body: scene.authorizeUrl({ state }).searchParams })
      assertLocal(yield* ask("s".repeat(100_000)), 413)
      assertLocal(yield* ask("s".repeat(3000)), 400)
      assert.strictEqual((yield* ask("s".repeat(2048))).status, 200)
    }))

  it.effect("109: a body of 10 MB", () =>
    Effect.gen(function*() {
      const scene = yield* Scene.make()
      const answer = yield* scene.browser().ask("/oauth/authorize", {
        body: "x".repeat(10_000_000),
        headers: { "content-type": "application/x-www-form-urlencoded" }
      })
      assertLocal(answer, 413)
    }))

  it.effect("a body that is no form, and other methods", () =>
    Effect.gen(function*() {
      const scene = yield* Scene.make()
      const browser = scene.browser()
      assertLocal(yield* browser.ask("/oauth/authorize", { body: "{}" }), 400)
      const answer = yield* browser.ask(scene.authorizeUrl(), { method: "PUT" })
      assertLocal(answer, 405)
      assert.strictEqual(answer.headers.get("allow"), "GET, HEAD, POST")
    }))
})

describe("an authorization request with something else wrong goes back to the client", () => {
  const cases: ReadonlyArray<readonly [string, Readonly<Record<string, string | undefined>>, string]> = [
    ["99: no response_type", { response_type: undefined }, "unsupported_response_type"],
    ["99: response_type token", { response_type: "token" }, "unsupported_response_type"],
    ["99: response_type code token", { response_type: "code token" }, "unsupported_response_type"],
    ["100: no code_challenge", { code_challenge: undefined }, "invalid_request"],
    ["100: a code_challenge that is too short", { code_challenge: "a".repeat(42) }, "invalid_request"],
    ["100: a code_challenge that is no base64url", { code_challenge: "+".repeat(43) }, "invalid_request"],
    ["101: code_challenge_method plain", { code_challenge_method: "plain" }, "invalid_request"],
    ["101: no code_challenge_method", { code_challenge_method: undefined }, "invalid_request"],
    ["101: code_challenge_method S512", { code_challenge_method: "S512" }, "invalid_request"],
    ["105: another server's resource", { resource: "https://other.example.com/mcp" }, "invalid_target"],
    ["105: a resource that is not protected", { resource: `${Scene.serverUrl}/other` }, "invalid_target"],
    ["105: a resource with a fragment", { resource: `${Scene.serverUrl}/mcp#frag` }, "invalid_target"],
    ["106: an unknown scope", { scope: "mcp:read mcp:admin" }, "invalid_scope"],
    ["106: a scope with control characters", { scope: "mcp:read\r\nmcp:write" }, "invalid_scope"],
    ["106: a scope with a tab", { scope: "mcp:read\tmcp:write" }, "invalid_scope"],
    ["108: prompt=none", { prompt: "none" }, "consent_required"],
    ["a request object", { request: "e30.e30." }, "request_not_supported"],
    ["a request by reference", { request_uri: "https://client.example.com/r" }, "request_uri_not_supported"],
    ["another response_mode", { response_mode: "fragment" }, "invalid_request"]
  ]
  for (const [name, changes, error] of cases) {
    it.effect(name, () =>
      Effect.gen(function*() {
        const scene = yield* Scene.make()
        const url = scene.authorizeUrl(changes)
        assertSentBack(yield* scene.browser().ask(url), error)
        const posted = yield* scene.browser().ask("/oauth/authorize", { body: url.searchParams })
        assertSentBack(posted, error)
        assert.strictEqual(posted.status, 303)
        assert.deepStrictEqual(scene.stored, [])
      }))
  }

  it.effect("105: two resources", () =>
    Effect.gen(function*() {
      const scene = yield* Scene.make()
      const url = scene.authorizeUrl()
      url.searchParams.append("resource", Scene.serverUrl)
      assertSentBack(yield* scene.browser().ask(url), "invalid_target")
    }))

  it.effect("98: any other parameter twice", () =>
    Effect.gen(function*() {
      const scene = yield* Scene.make()
      const url = scene.authorizeUrl()
      url.searchParams.append("scope", "mcp:write")
      assertSentBack(yield* scene.browser().ask(url), "invalid_request")
    }))

  it.effect("104: a state of any characters comes back as it was", () =>
    Effect.gen(function*() {
      const scene = yield* Scene.make()
      for (const state of ["a\r\nset-cookie: x=1", "🔑 & = % +", "<script>", "\u0000"]) {
        const answer = yield* scene.browser().ask(scene.authorizeUrl({ state, prompt: "none" }))
        assertSentBack(answer, "consent_required", state)
        assert.isFalse(answer.headers.has("set-cookie"))
      }
    }))
})

describe("what a request may leave out", () => {
  it.effect("105, 106: no resource means this server, no scope the required ones", () =>
    Effect.gen(function*() {
      const scene = yield* Scene.make()
      const page = yield* scene.browser().ask(scene.authorizeUrl({ resource: undefined, scope: undefined }))
      assert.strictEqual(page.status, 200)
      assert.include(page.body, "<strong><bdi>mcp.example.com</bdi></strong>")
      assert.include(page.body, "<code>mcp:read</code>")
      assert.notInclude(page.body, "mcp:write")
    }))

  it.effect("a slash that a URL parser adds to this server's address", () =>
    Effect.gen(function*() {
      const scene = yield* Scene.make()
      assert.strictEqual(
        (yield* scene.browser().ask(scene.authorizeUrl({ resource: `${Scene.serverUrl}/` }))).status,
        200
      )
      const other = yield* scene.browser().ask(scene.authorizeUrl({ resource: `${Scene.serverUrl}/mcp/` }))
      assertSentBack(other, "invalid_target")
    }))

  it.effect("a state", () =>
    Effect.gen(function*() {
      const scene = yield* Scene.make()
      const { location } = yield* scene.browser().ask(scene.authorizeUrl({ state: undefined, prompt: "none" }))
      assert.isFalse(location.searchParams.has("state"))
    }))
})

it.effect("a server with a base path answers below it, and where that was removed on the way", () =>
  Effect.gen(function*() {
    const scene = yield* Scene.make({ settings: { serverUrl: `${Scene.serverUrl}/base` } })
    const { search } = scene.authorizeUrl()
    for (const path of ["/base/oauth/authorize", "/oauth/authorize"]) {
      const page = yield* scene.browser().ask(scene.actual + path + search)
      assert.strictEqual(page.status, 200, page.body)
      assert.include(page.body, `action="${Scene.serverUrl}/base/oauth/consent"`)
    }
  }))
