import { assert, describe, it, layer } from "@effect/vitest"
import { Effect } from "effect"
import { createHash } from "node:crypto"
import { secret } from "../proxy/ProxyTest.ts"
import * as DocumentHost from "../support/DocumentHost.ts"
import {
  assertLocal,
  assertSentBack,
  decide,
  fieldsOf,
  make,
  type ProxyScene,
  redirectUri,
  Scene,
  serverUrl,
  type UserAgent
} from "../support/ProxyScene.ts"

const cookie = "__Host-effect-okta"

layer(Scene.layer())("G. Consent: the page", (it) => {
  it.effect("#116 cannot be framed, runs no script, is kept nowhere, and nor is any other page", () =>
    Effect.gen(function*() {
      const scene = yield* Scene
      const browser = scene.browser()
      const pages = [
        [200, yield* browser.ask(scene.authorizeUrl())],
        [400, yield* browser.ask(scene.authorizeUrl({ client_id: "x" }))],
        [400, yield* browser.ask("/oauth/callback")],
        [400, yield* browser.ask("/oauth/consent", { body: new URLSearchParams() })],
        [405, yield* browser.ask("/oauth/consent")],
        [200, yield* browser.ask("/oauth/logout")],
        [400, yield* browser.ask("/oauth/logout?post_logout_redirect_uri=https://evil.example")]
      ] as const
      for (const [status, { body, headers, status: actual }] of pages) {
        assert.strictEqual(actual, status)
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
        assert.notMatch(body, /<script|<img|<link|\son\w+=|style="/i)
      }
    }))

  it.effect("#117 shows markup from outside as the text it is, in every place", () =>
    Effect.gen(function*() {
      const attack = "\"'><script>alert(1)</script>&amp;"
      const uri = "https://client.example.com/cb?x=%3Cscript%3E&'=1"
      const scene = yield* make({ settings: { resourceName: "<b>Tools</b>", scopesSupported: ["<script>", "'-->"] } })
      const { clientId: client_id } = yield* scene.register({
        client_name: attack,
        client_uri: "https://client.example.com/<script>",
        redirect_uris: [uri]
      })
      const { body, status } = yield* scene.browser().ask(
        scene.authorizeUrl({ client_id, redirect_uri: uri, state: attack, scope: "<script> '-->" })
      )
      assert.strictEqual(status, 200)
      assert.notInclude(body, "<script")
      assert.notInclude(body, "<b>")
      assert.notInclude(body, "'-->")
      assert.include(body, "&quot;&#39;&gt;&lt;script&gt;alert(1)&lt;/script&gt;&amp;amp;")
      const refused = yield* scene.browser().ask(scene.authorizeUrl({ client_id: attack, redirect_uri: attack }))
      assert.strictEqual(refused.status, 400)
      assert.notInclude(refused.body, "script")
    }))

  it.effect("#117 cannot be turned around or cleared by a client's name", () =>
    Effect.gen(function*() {
      const scene = yield* Scene
      const { clientId: client_id } = yield* scene.register({ client_name: "Goo\u200bd\ufeff \u2060app" })
      const { body } = yield* scene.browser().ask(scene.authorizeUrl({ client_id }))
      assert.include(body, "<bdi>Good app</bdi>")
      for (const client_name of ["Good \u202eknaB", "Good\u2066", "Good\u001b[2J", "Good\u0000", "Good\nBank"]) {
        const { status } = yield* scene.one.ask("/oauth/register", {
          headers: { "content-type": "application/json" },
          body: JSON.stringify({ client_name, redirect_uris: [redirectUri] })
        })
        assert.strictEqual(status, 400, JSON.stringify(client_name))
      }
    }))

  it.effect("#118 shows no picture of the client's", () =>
    Effect.gen(function*() {
      const scene = yield* Scene
      const { clientId: client_id } = yield* scene.register({ logo_uri: "https://tracker.example.com/logo.png" })
      const { body, status } = yield* scene.browser().ask(scene.authorizeUrl({ client_id }))
      assert.strictEqual(status, 200)
      assert.notInclude(body, "tracker.example.com")
    }))
})

layer(Scene.layer())("G. Consent: the cookie", (it) => {
  it.effect("#114 counts by its own name only, which no other host can set", () =>
    Effect.gen(function*() {
      const scene = yield* Scene
      const browser = scene.browser()
      const page = yield* browser.ask(scene.authorizeUrl())
      assert.deepStrictEqual([...browser.cookies.keys()], [cookie])
      const kept = browser.cookies.get(cookie)
      assert(kept !== undefined)
      assert.includeMembers([...kept.attributes], ["Path=/", "HttpOnly", "Secure", "SameSite=Lax"])
      assert.isFalse(kept.attributes.some((attribute) => attribute.startsWith("Domain")))
      for (const name of ["effect-okta", "__Secure-effect-okta", "__host-effect-okta", `${cookie}2`]) {
        browser.cookies.clear()
        browser.cookies.set(name, kept)
        assert.strictEqual((yield* decide(browser, page, "allow")).status, 403, name)
      }
    }))

  it.effect("#115 that was tampered with is as none", () =>
    Effect.gen(function*() {
      const scene = yield* Scene
      const browser = scene.browser()
      const page = yield* browser.ask(scene.authorizeUrl())
      const kept = browser.cookies.get(cookie)
      assert(kept !== undefined)
      const [id = "", signature = ""] = kept.value.split(".")
      const other = yield* make({ settings: { encryptionSecret: secret("b") } })
      const stranger = other.browser()
      yield* stranger.ask(other.authorizeUrl())
      const values = [
        `${id}.${id}`,
        `${signature}.${signature}`,
        id,
        "",
        `${kept.value}x`,
        `${kept.value}.x`,
        kept.value.toLowerCase(),
        stranger.cookies.get(cookie)?.value ?? ""
      ]
      for (const value of values) {
        browser.cookies.set(cookie, { ...kept, value })
        assert.strictEqual((yield* decide(browser, page, "allow")).status, 403, value)
      }
      browser.cookies.set(cookie, { ...kept, value: `${id}.${id}` })
      yield* browser.ask(scene.authorizeUrl())
      assert.notInclude(browser.cookies.get(cookie)?.value, id)
    }))
})

layer(Scene.layer())("G. Consent: the person's answer", (it) => {
  it.effect("#111 a sign-in at Okta that another browser began comes to nothing: no code, and Okta is not asked", () =>
    Effect.gen(function*() {
      const scene = yield* Scene
      const asked = yield* scene.okta.requests("token")
      const withoutCookie = scene.browser()
      const withCookie = scene.browser()
      yield* withCookie.ask(scene.authorizeUrl())
      for (const victim of [withCookie, withoutCookie]) {
        const attacker = scene.browser()
        const { location } = yield* scene.allow(attacker)
        const writes = scene.writes.length
        const back = yield* Effect.orDie(scene.okta.authorize(location))
        const answer = yield* victim.ask(back)
        assertLocal(answer, 403, "access_denied")
        // Nor has the attacker anything of it.
        assertLocal(yield* attacker.ask(back), 400)
        assert.deepStrictEqual(scene.writes.slice(writes), ["take flow", "take flow", "take visit"])
      }
      assert.strictEqual(yield* scene.okta.requests("token"), asked)
    }))

  it.effect("#112 counts only from the browser that was asked, whoever sends it", () =>
    Effect.gen(function*() {
      const scene = yield* Scene
      const page = yield* scene.browser().ask(scene.authorizeUrl())
      const writes = scene.writes.length
      const victim = scene.browser()
      assert.strictEqual((yield* decide(victim, page, "allow")).status, 403)
      const own = yield* victim.ask(scene.authorizeUrl())
      const answer = yield* decide(victim, page, "allow")
      assert.strictEqual(answer.status, 403)
      assert.isFalse(answer.headers.has("location"))
      assert.deepStrictEqual(scene.writes.slice(writes), [])
      for (const site of ["cross-site", "same-site"]) {
        assert.strictEqual((yield* decide(victim, own, "allow", { "sec-fetch-site": site })).status, 403)
      }
      assert.strictEqual((yield* decide(victim, own, "allow", { "sec-fetch-site": "same-origin" })).status, 303)
    }))

  it.effect("#113 is for one redirect URI, and one client", () =>
    Effect.gen(function*() {
      const scene = yield* Scene
      const other = "https://client.example.com/other"
      const { clientId: client_id } = yield* scene.register({ redirect_uris: [redirectUri, other] })
      const browser = scene.browser()
      yield* scene.allow(browser, { client_id })
      for (const changes of [{ client_id, redirect_uri: other }, {}]) {
        const page = yield* browser.ask(scene.authorizeUrl(changes))
        assert.strictEqual(page.status, 200)
        assert.isDefined(fieldsOf(page)["request"])
      }
    }))

  it.effect("#121 no goes back to the client, and is not remembered", () =>
    Effect.gen(function*() {
      const scene = yield* Scene
      const browser = scene.browser()
      const writes = scene.writes.length
      const answer = yield* decide(browser, yield* browser.ask(scene.authorizeUrl()), "deny")
      assertSentBack(answer, "access_denied")
      assert.strictEqual(answer.location.searchParams.get("tenant"), "1")
      assert.strictEqual(scene.writes.length, writes)
      assert.strictEqual((yield* scene.allow(browser)).status, 303)
    }))

  it.effect("#123 of an older tab counts as well, each for its own request", () =>
    Effect.gen(function*() {
      const scene = yield* Scene
      const browser = scene.browser()
      const older = yield* browser.ask(scene.authorizeUrl({ state: "older" }))
      const newer = yield* browser.ask(scene.authorizeUrl({ state: "newer" }))
      for (const [page, state] of [[newer, "newer"], [older, "older"]] as const) {
        const { location } = yield* decide(browser, page, "allow")
        const answer = yield* browser.ask(yield* Effect.orDie(scene.okta.authorize(location)))
        assert.strictEqual(answer.location.searchParams.get("state"), state)
        assert.isTrue(answer.location.searchParams.has("code"))
      }
    }))

  it.effect("#124 is asked for again each time, wherever the person comes from", () =>
    Effect.gen(function*() {
      const scene = yield* Scene
      const browser = scene.browser()
      yield* scene.code({}, browser)
      for (const site of ["cross-site", "same-site", "same-origin", "none"]) {
        const again = yield* browser.ask(scene.authorizeUrl(), {
          headers: { "sec-fetch-site": site, "sec-fetch-mode": "navigate" }
        })
        assert.strictEqual(again.status, 200)
        assert.isDefined(fieldsOf(again)["request"])
      }
    }))
})

layer(Scene.layer({ settings: { rememberConsent: true } }))("G. Consent: remembered", (it) => {
  const own = { headers: { "sec-fetch-site": "none" } }

  /** Whether the person is asked once more. */
  const isAsked = Effect.fnUntraced(function*(
    browser: UserAgent,
    changes: Parameters<ProxyScene["authorizeUrl"]>[0],
    asked: Parameters<UserAgent["ask"]>[1] = own
  ) {
    const scene = yield* Scene
    const answer = yield* browser.ask(scene.authorizeUrl(changes), asked)
    if (answer.status === 200) {
      assert.isDefined(fieldsOf(answer)["request"])
      return true
    }
    assert.strictEqual(answer.location.origin, scene.okta.origin, answer.body)
    return false
  })

  it.effect("#113 covers no other redirect URI, client, resource, scope or browser", () =>
    Effect.gen(function*() {
      const scene = yield* Scene
      const other = "https://client.example.com/other"
      const { clientId: client_id } = yield* scene.register({ redirect_uris: [redirectUri, other] })
      const browser = scene.browser()
      assert.isTrue(yield* isAsked(browser, { client_id }))
      yield* scene.code({ client_id }, browser)
      assert.isFalse(yield* isAsked(browser, { client_id }))
      assert.isFalse(yield* isAsked(browser, { client_id, scope: "mcp:read" }))
      assert.isTrue(yield* isAsked(browser, { client_id, redirect_uri: other }))
      assert.isTrue(yield* isAsked(browser, { client_id, resource: serverUrl }))
      assert.isTrue(yield* isAsked(browser, { client_id, scope: "mcp:read openid mcp:write" }))
      assert.isTrue(yield* isAsked(browser, { client_id, prompt: "consent" }))
      assert.isTrue(yield* isAsked(browser, {}))
      assert.isTrue(yield* isAsked(scene.browser(), { client_id }))
    }))

  it.effect("#108 lets nobody through without being seen: prompt=none is refused also where it counts", () =>
    Effect.gen(function*() {
      const scene = yield* Scene
      const browser = scene.browser()
      const changes = { prompt: "none" }
      assertSentBack(yield* browser.ask(scene.authorizeUrl(changes), own), "consent_required")
      yield* scene.code({}, browser)
      assert.isFalse(yield* isAsked(browser, {}))
      for (const site of ["none", "same-origin", "cross-site", "same-site", "x"]) {
        const asked = yield* browser.ask(scene.authorizeUrl(changes), { headers: { "sec-fetch-site": site } })
        assertSentBack(asked, "consent_required")
      }
      assertSentBack(yield* browser.ask(scene.authorizeUrl(changes)), "consent_required")
      assertSentBack(yield* scene.browser().ask(scene.authorizeUrl(changes), own), "consent_required")
    }))

  it.effect("#114 #115 counts by the browser's own cookie only", () =>
    Effect.gen(function*() {
      const scene = yield* Scene
      const browser = scene.browser()
      yield* scene.code({}, browser)
      const kept = browser.cookies.get(cookie)
      assert(kept !== undefined)
      assert.isFalse(yield* isAsked(browser, {}))
      for (const [name, value] of [["effect-okta", kept.value], [cookie, `${kept.value}x`], [cookie, ""]] as const) {
        const thief = scene.browser()
        thief.cookies.set(name, { ...kept, value })
        assert.isTrue(yield* isAsked(thief, {}), name)
      }
    }))

  it.effect("#121 a no is not remembered", () =>
    Effect.gen(function*() {
      const scene = yield* Scene
      const browser = scene.browser()
      yield* decide(browser, yield* browser.ask(scene.authorizeUrl()), "deny")
      assert.isTrue(yield* isAsked(browser, {}))
      yield* scene.code({}, browser)
      assert.isFalse(yield* isAsked(browser, {}))
    }))

  it.effect("#124 does not count where another site has opened the page, or nobody says who has", () =>
    Effect.gen(function*() {
      const scene = yield* Scene
      const browser = scene.browser()
      yield* scene.code({}, browser)
      for (const site of ["cross-site", "same-site", "x"]) {
        assert.isTrue(yield* isAsked(browser, {}, { headers: { "sec-fetch-site": site } }), site)
      }
      assert.isTrue(yield* isAsked(browser, {}, {}))
      assert.isFalse(yield* isAsked(browser, {}))
    }))
})

describe("G. Consent for a client that is known by a metadata document", () => {
  const loopback = "http://127.0.0.1:7777/callback"
  const web = "https://client.example.com/callback"

  it.effect("#120 on the person's own computer only: the host of the document is shown, and a warning", () =>
    Effect.gen(function*() {
      const scene = yield* make({ settings: { clientMetadataDocuments: true }, environment: DocumentHost.loopback })
      const cases = [
        [[loopback], loopback, true],
        [["http://localhost/callback", loopback], "http://127.0.0.1:1234/callback", true],
        [[loopback, web], loopback, false],
        [[web], web, false]
      ] as const
      for (const [redirectUris, redirect_uri, isWarned] of cases) {
        const origin = yield* DocumentHost.documents({
          client_name: "A desktop application",
          redirect_uris: redirectUris
        })
        const page = yield* scene.browser().ask(
          scene.authorizeUrl({ client_id: `${origin}/client.json`, redirect_uri })
        )
        assert.strictEqual(page.status, 200, page.body)
        assert.include(page.body, `<bdi class="host">${new URL(redirect_uri).host}</bdi>`)
        assert.include(page.body, `described at <strong><bdi>${new URL(origin).host}</bdi></strong>`)
        assert.strictEqual(page.body.includes("own computer"), redirect_uri !== web)
        assert.strictEqual(page.body.includes("pass itself off"), isWarned, redirectUris.join())
      }
      const registered = yield* scene.register({ redirect_uris: [loopback] })
      const page = yield* scene.browser().ask(
        scene.authorizeUrl({ client_id: registered.clientId, redirect_uri: loopback })
      )
      assert.include(page.body, "own computer")
      assert.notInclude(page.body, "described at")
    }))
})
