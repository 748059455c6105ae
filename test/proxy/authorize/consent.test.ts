import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import { TestClock } from "effect/testing"
import { get } from "node:http"
import * as Scene from "./Scene.ts"
import { fieldsOf } from "./UserAgent.ts"

const cookie = "__Host-effect-okta"

describe("the consent page", () => {
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
})

describe("whether the answer is remembered", () => {
  it.effect("is said where it is, and for how long", () =>
    Effect.gen(function*() {
      const said = "not asked again in this browser for 30 days"
      const remembering = yield* Scene.make({ settings: { rememberConsent: true } })
      assert.include((yield* remembering.browser().ask(remembering.authorizeUrl())).body, said)
      const forgetting = yield* Scene.make()
      assert.notInclude((yield* forgetting.browser().ask(forgetting.authorizeUrl())).body, "not asked again")
    }))
})

describe("a page that says that something is away has a way to try again", () => {
  it.effect("the same form, after the person's answer", () =>
    Effect.gen(function*() {
      const scene = yield* Scene.make()
      const browser = scene.browser()
      const asked = yield* browser.ask(scene.authorizeUrl())
      scene.breakStore(true)
      const away = yield* Scene.decide(browser, asked, "allow")
      assert.strictEqual(away.status, 503)
      assert.include(away.body, ">Try again</button>")
      scene.breakStore(false)
      const { location } = yield* browser.ask("/oauth/consent", { body: new URLSearchParams(fieldsOf(away)) })
      assert.strictEqual(location.origin, scene.okta.origin)
    }))

  it.effect("the same address, on the way back from Okta, of which nothing is repeated", () =>
    Effect.gen(function*() {
      const scene = yield* Scene.make()
      const browser = scene.browser()
      const back = yield* scene.signIn((yield* scene.allow(browser)).location)
      scene.breakStore(true, "take")
      const away = yield* browser.ask(back)
      assert.strictEqual(away.status, 503)
      assert.include(away.body, "href=\"\">Try again</a>")
      assert.notInclude(away.body, back.searchParams.get("code") ?? "")
      scene.breakStore(false)
      assert.isTrue((yield* browser.ask(back)).location.searchParams.has("code"))
    }))

  it.effect("and the same address where too many ask", () =>
    Effect.gen(function*() {
      const scene = yield* Scene.make({ settings: { requestsPerMinute: 1 } })
      const browser = scene.browser()
      yield* browser.ask(scene.authorizeUrl())
      const { body, status } = yield* browser.ask(scene.authorizeUrl())
      assert.strictEqual(status, 429)
      assert.include(body, "href=\"\">Try again</a>")
      const posted = yield* browser.ask("/oauth/authorize", {
        body: scene.authorizeUrl({ state: "\u202Ex" }).searchParams
      })
      const href = /href="([^"]+)">Try again/.exec(posted.body)?.[1]?.replaceAll("&amp;", "&") ?? ""
      assert.strictEqual(new URL(href).searchParams.get("state"), "\u202Ex")
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
        "Max-Age=2592000",
        "Path=/",
        "HttpOnly",
        "Secure",
        "SameSite=Lax"
      ])
    }))
})

describe("the person's answer", () => {
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
