import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import { TestClock } from "effect/testing"
import { createHash } from "node:crypto"
import { get } from "node:http"
import * as Scene from "./Scene.ts"
import { fieldsOf } from "./UserAgent.ts"

const cookie = "__Host-effect-okta"

describe("the consent page", () => {
  it.effect("116: cannot be framed, runs no script, is kept nowhere", () =>
    Effect.gen(function*() {
      const scene = yield* Scene.make()
      const { body, headers } = yield* scene.browser().ask(scene.authorizeUrl())
      const style = /<style>([^]*)<\/style>/.exec(body)?.[1] ?? ""
      const hash = createHash("sha256").update(style).digest("base64")
      assert.strictEqual(
        headers.get("content-security-policy"),
        `default-src 'none'; style-src 'sha256-${hash}'; base-uri 'none'; frame-ancestors 'none'`
      )
      assert.strictEqual(headers.get("x-frame-options"), "DENY")
      assert.strictEqual(headers.get("cache-control"), "no-store")
      assert.strictEqual(headers.get("referrer-policy"), "no-referrer")
      assert.strictEqual(headers.get("x-content-type-options"), "nosniff")
      assert.isFalse(headers.has("access-control-allow-origin"))
      assert.notMatch(body, /<script|<img|<link|<a |\son\w+=|style="/i)
    }))

  it.effect("names the client, where the person will be sent, and what it will be able to do", () =>
    Effect.gen(function*() {
      const scene = yield* Scene.make()
      const { body } = yield* scene.browser().ask(scene.authorizeUrl({ scope: "mcp:read email" }))
      assert.include(body, "<html lang=\"en\">")
      assert.match(body, /<h1>[^]*<bdi class="host">client\.example\.com<\/bdi><\/h1>/)
      assert.isBelow(body.indexOf("client.example.com</bdi>"), body.indexOf("Example Assistant</bdi>"))
      assert.include(body, "mcp.example.com/mcp")
      assert.include(body, "see your email address")
      assert.include(body, "<code>mcp:read</code>")
      assert.include(body, Scene.redirectUri)
      assert.notInclude(body, "own computer")
    }))

  it.effect("says of a loopback address that it is the person's own computer", () =>
    Effect.gen(function*() {
      const scene = yield* Scene.make({ client: { redirect_uris: ["http://localhost/callback"] } })
      const { body } = yield* scene.browser().ask(
        scene.authorizeUrl({ redirect_uri: "http://localhost:3000/callback" })
      )
      assert.include(body, "<bdi class=\"host\">localhost:3000</bdi>")
      assert.include(body, "own computer")
    }))

  it.effect("says of a private-use scheme that it opens an application", () =>
    Effect.gen(function*() {
      const uri = "cursor://anysphere.cursor-retrieval/oauth"
      const scene = yield* Scene.make({ settings: { redirectUris: uri }, client: { redirect_uris: [uri] } })
      const browser = scene.browser()
      const page = yield* browser.ask(scene.authorizeUrl({ redirect_uri: uri }))
      assert.include(page.body, "cursor://anysphere.cursor-retrieval")
      assert.include(page.body, "opens an application")
      const { location } = yield* Scene.decide(browser, page, "deny")
      assert.isTrue(location.href.startsWith(`${uri}?error=access_denied&`), location.href)
    }))

  it.effect("117: shows markup from outside as the text it is", () =>
    Effect.gen(function*() {
      const attack = "\"'><script>alert(1)</script>&amp;"
      const scene = yield* Scene.make({
        client: { client_name: attack, client_uri: "https://client.example.com/<script>" },
        settings: { resourceName: "<b>Tools</b>", scopesSupported: ["<script>"] }
      })
      const { body, status } = yield* scene.browser().ask(scene.authorizeUrl({ state: attack, scope: "<script>" }))
      assert.strictEqual(status, 200)
      assert.notInclude(body, "<script")
      assert.notInclude(body, "<b>")
      assert.include(body, "&quot;&#39;&gt;&lt;script&gt;alert(1)&lt;/script&gt;&amp;amp;")
    }))

  it.effect("118: shows no picture of the client's", () =>
    Effect.gen(function*() {
      const scene = yield* Scene.make({ client: { logo_uri: "https://tracker.example.com/logo.png" } })
      const { body } = yield* scene.browser().ask(scene.authorizeUrl())
      assert.notInclude(body, "tracker.example.com")
    }))

  it.effect("124: is shown again each time, wherever the person comes from", () =>
    Effect.gen(function*() {
      const scene = yield* Scene.make()
      const browser = scene.browser()
      const { location } = yield* scene.allow(browser)
      yield* browser.ask(yield* scene.signIn(location))
      const again = yield* browser.ask(scene.authorizeUrl(), { headers: { "sec-fetch-site": "cross-site" } })
      assert.strictEqual(again.status, 200)
      assert.isDefined(fieldsOf(again)["request"])
    }))
})

describe("the cookie", () => {
  it.effect("is the host's own, and no script's", () =>
    Effect.gen(function*() {
      const scene = yield* Scene.make()
      const browser = scene.browser()
      yield* browser.ask(scene.authorizeUrl())
      assert.deepStrictEqual([...browser.cookies.keys()], [cookie])
      assert.sameMembers([...browser.cookies.get(cookie)?.attributes ?? []], [
        "Max-Age=3600",
        "Path=/",
        "HttpOnly",
        "Secure",
        "SameSite=Lax"
      ])
    }))

  it.effect("114: counts by its own name only", () =>
    Effect.gen(function*() {
      const scene = yield* Scene.make()
      const browser = scene.browser()
      const page = yield* browser.ask(scene.authorizeUrl())
      const kept = browser.cookies.get(cookie)
      browser.cookies.clear()
      browser.cookies.set("effect-okta", kept!)
      assert.strictEqual((yield* Scene.decide(browser, page, "allow")).status, 403)
    }))

  it.effect("115: that was tampered with is as none", () =>
    Effect.gen(function*() {
      const scene = yield* Scene.make()
      const browser = scene.browser()
      const page = yield* browser.ask(scene.authorizeUrl())
      const kept = browser.cookies.get(cookie)!
      const [id = "", signature = ""] = kept.value.split(".")
      for (const value of [`${id}.${id}`, `${signature}.${signature}`, id, "", `${kept.value}x`]) {
        browser.cookies.set(cookie, { ...kept, value })
        assert.strictEqual((yield* Scene.decide(browser, page, "allow")).status, 403, value)
      }
      browser.cookies.set(cookie, { ...kept, value: `${id}.${id}` })
      yield* browser.ask(scene.authorizeUrl())
      assert.notInclude(browser.cookies.get(cookie)?.value, id)
    }))
})

describe("the person's answer", () => {
  it.effect("112: counts only from the browser that was asked", () =>
    Effect.gen(function*() {
      const scene = yield* Scene.make()
      const page = yield* scene.browser().ask(scene.authorizeUrl())
      const victim = scene.browser()
      assert.strictEqual((yield* Scene.decide(victim, page, "allow")).status, 403)
      yield* victim.ask(scene.authorizeUrl())
      const answer = yield* Scene.decide(victim, page, "allow")
      assert.strictEqual(answer.status, 403)
      assert.isFalse(answer.headers.has("location"))
      assert.deepStrictEqual(scene.stored, [])
    }))

  it.effect("112: does not count when a browser says that another site's form sent it", () =>
    Effect.gen(function*() {
      const scene = yield* Scene.make()
      const browser = scene.browser()
      const page = yield* browser.ask(scene.authorizeUrl())
      for (const site of ["cross-site", "same-site"]) {
        const answer = yield* browser.ask("/oauth/consent", {
          headers: { "sec-fetch-site": site },
          body: new URLSearchParams({ ...fieldsOf(page), decision: "allow" })
        })
        assert.strictEqual(answer.status, 403)
      }
    }))

  it.effect("113: is for one redirect URI", () =>
    Effect.gen(function*() {
      const other = "https://client.example.com/other"
      const scene = yield* Scene.make({ client: { redirect_uris: [Scene.redirectUri, other] } })
      const browser = scene.browser()
      yield* scene.allow(browser)
      const page = yield* browser.ask(scene.authorizeUrl({ redirect_uri: other }))
      assert.strictEqual(page.status, 200)
      assert.include(page.body, other)
    }))

  it.effect("121: no goes back to the client, and is not remembered", () =>
    Effect.gen(function*() {
      const scene = yield* Scene.make()
      const browser = scene.browser()
      const page = yield* browser.ask(scene.authorizeUrl())
      const { location, status } = yield* Scene.decide(browser, page, "deny")
      assert.strictEqual(status, 303)
      assert.deepStrictEqual(Object.fromEntries(location.searchParams), {
        tenant: "1",
        error: "access_denied",
        error_description: "The person did not allow it.",
        state: "client state",
        iss: Scene.serverUrl
      })
      assert.deepStrictEqual(scene.stored, [])
      assert.strictEqual((yield* scene.allow(browser)).status, 303)
    }))

  it.effect("123: of an older tab counts as well", () =>
    Effect.gen(function*() {
      const scene = yield* Scene.make()
      const browser = scene.browser()
      const older = yield* browser.ask(scene.authorizeUrl({ state: "older" }))
      const newer = yield* browser.ask(scene.authorizeUrl({ state: "newer" }))
      for (const [page, state] of [[newer, "newer"], [older, "older"]] as const) {
        const { location } = yield* Scene.decide(browser, page, "allow")
        const answer = yield* browser.ask(yield* scene.signIn(location))
        assert.strictEqual(answer.location.searchParams.get("state"), state)
      }
    }))

  it.effect("comes too late after 10 minutes", () =>
    Effect.gen(function*() {
      const scene = yield* Scene.make()
      const browser = scene.browser()
      const page = yield* browser.ask(scene.authorizeUrl())
      yield* TestClock.adjust("599 seconds")
      assert.strictEqual((yield* Scene.decide(browser, page, "allow")).status, 303)
      yield* TestClock.adjust("1 second")
      assert.strictEqual((yield* Scene.decide(browser, page, "allow")).status, 400)
    }))

  it.effect("is a form of ours with one of two decisions", () =>
    Effect.gen(function*() {
      const scene = yield* Scene.make()
      const browser = scene.browser()
      const { request = "" } = fieldsOf(yield* browser.ask(scene.authorizeUrl()))
      const send = (fields: Readonly<Record<string, string>>) =>
        Effect.map(browser.ask("/oauth/consent", { body: new URLSearchParams(fields) }), ({ status }) => status)
      assert.strictEqual(yield* send({}), 400)
      assert.strictEqual(yield* send({ request }), 400)
      assert.strictEqual(yield* send({ request, decision: "perhaps" }), 400)
      assert.strictEqual(yield* send({ request: `${request}x`, decision: "allow" }), 400)
      assert.strictEqual(yield* send({ request: scene.clientId, decision: "allow" }), 400)
      assert.strictEqual(yield* send({ request: "x".repeat(100_000), decision: "allow" }), 413)
      assert.strictEqual((yield* browser.ask("/oauth/consent")).status, 405)
      assert.deepStrictEqual(scene.stored, [])
    }))

  it.effect("goes back to the client when Okta cannot be found", () =>
    Effect.gen(function*() {
      const scene = yield* Scene.make({ outage: true })
      const { location, status } = yield* Scene.asTimePasses(scene.allow(scene.browser()))
      assert.strictEqual(status, 303)
      assert.strictEqual(location.searchParams.get("error"), "temporarily_unavailable")
      assert.deepStrictEqual(scene.stored, [])
    }))

  it.effect("110: is not kept when as much is kept as may be", () =>
    Effect.gen(function*() {
      const scene = yield* Scene.make({ maxEntries: 3 })
      const browser = scene.browser()
      for (let pending = 0; pending < 3; pending++) {
        assert.strictEqual((yield* scene.allow(browser)).location.origin, scene.okta.origin)
      }
      const { location } = yield* scene.allow(browser)
      assert.strictEqual(location.searchParams.get("error"), "temporarily_unavailable")
      yield* TestClock.adjust("10 minutes")
      assert.strictEqual((yield* scene.allow(browser)).location.origin, scene.okta.origin)
    }))

  it.effect("F18, F20: goes back to the client when the store is away", () =>
    Effect.gen(function*() {
      const scene = yield* Scene.make()
      scene.breakStore(true)
      const { location, status } = yield* scene.allow(scene.browser())
      assert.strictEqual(status, 303)
      assert.strictEqual(location.searchParams.get("error"), "temporarily_unavailable")
      assert.strictEqual(location.searchParams.get("state"), "client state")
    }))
})

describe("on a loopback server", () => {
  const settings = { serverUrl: "http://127.0.0.1:8080" }

  it.effect("the cookie has a plain name", () =>
    Effect.gen(function*() {
      const scene = yield* Scene.make({ settings })
      const browser = scene.browser()
      const page = yield* browser.ask(scene.authorizeUrl())
      assert.deepStrictEqual([...browser.cookies.keys()], ["effect-okta"])
      assert.isFalse(browser.cookies.get("effect-okta")?.attributes.includes("Secure"))
      assert.strictEqual((yield* Scene.decide(browser, page, "allow")).status, 303)
    }))

  it.effect("a page that comes by a strange host name is refused", () =>
    Effect.gen(function*() {
      const scene = yield* Scene.make({ settings })
      const { pathname, search } = scene.authorizeUrl()
      const status = yield* Effect.callback<number | undefined>((resume) => {
        const request = get(scene.actual + pathname + search, { headers: { host: "evil.example.com" } })
        request.once("response", (response) => {
          response.resume()
          resume(Effect.succeed(response.statusCode))
        })
      })
      assert.strictEqual(status, 403)
    }))
})
