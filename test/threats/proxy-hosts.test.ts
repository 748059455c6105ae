import { assert, layer } from "@effect/vitest"
import { Effect, Redacted } from "effect"
import { forged } from "../support/Forged.ts"
import { raw } from "../support/GuardedServer.ts"
import {
  type Answer,
  assertRefused,
  assertSentBack,
  decide,
  type ProxyScene,
  redirectUri,
  Scene,
  serverUrl
} from "../support/ProxyScene.ts"
import { text } from "../support/Refusals.ts"

const documents = [
  "/.well-known/oauth-authorization-server",
  "/.well-known/openid-configuration",
  "/.well-known/oauth-protected-resource",
  "/.well-known/oauth-protected-resource/mcp",
  "/.well-known/jwks.json"
]

const endpoints = ["authorize", "consent", "callback", "token", "register", "revoke", "introspect", "logout"]
  .map((name) => `/oauth/${name}`)

/** Asks by the attacker's name, with all that besides. */
const byName = (scene: ProxyScene, host: string, target: string, method = "GET") =>
  raw(
    Number(new URL(scene.one.actual).port),
    text([`Host: ${host}`, ...Object.entries(forged).map(([name, value]) => `${name}: ${value}`)], { method, target })
  )

/** Everything of an answer that says where something is. */
const said = ({ body, headers, status }: Answer) => {
  const { date: _, ...others } = Object.fromEntries(headers)
  return { status, body, others }
}

const post = (scene: ProxyScene, path: string) =>
  scene.one.ask(path, { headers: forged, body: new URLSearchParams({ grant_type: "x", token: "x" }) })

/** Without somebody who may ask about tokens there is no such endpoint. */
const clients = [{
  clientId: "resource-server",
  clientSecrets: [Redacted.make("a secret of a resource server of ours")],
  redirectUris: [],
  mayIntrospect: true
}]

layer(Scene.layer({ settings: { clients } }))("D. Proxy mode, reached by other names", (it) => {
  it.effect("#66 no Host, two Host lines: 400 at every endpoint", () =>
    Effect.gen(function*() {
      const scene = yield* Scene
      const port = Number(new URL(scene.one.actual).port)
      const writes = scene.writes.length
      for (const target of [...documents, ...endpoints]) {
        assert.strictEqual((yield* raw(port, text([], { target }))).status, 400, target)
        for (const method of ["GET", "POST", "OPTIONS"]) {
          for (const hosts of [["mcp.example.com", "evil.example"], ["evil.example", "mcp.example.com"], ["", "x"]]) {
            const answer = yield* raw(port, text(hosts.map((host) => `Host: ${host}`), { method, target }))
            assert.strictEqual(answer.status, 400, `${method} ${target}`)
            assert.isUndefined(answer.headers["location"])
            assert.isUndefined(answer.headers["set-cookie"])
          }
        }
      }
      assert.strictEqual(scene.writes.length, writes)
    }))

  it.effect("#67 #68 Host and X-Forwarded-* of an attacker: every URL is the configured one", () =>
    Effect.gen(function*() {
      const scene = yield* Scene
      for (const path of documents) {
        const honest = yield* scene.one.ask(path)
        assert.strictEqual(honest.status, 200)
        assert.deepStrictEqual(said(yield* scene.one.ask(path, { headers: forged })), said(honest))
        const named = yield* byName(scene, "evil.example", path)
        assert.deepStrictEqual([named.status, named.body], [200, honest.body])
      }
      const { pathname, search } = scene.authorizeUrl()
      for (const target of ["/mcp", ...endpoints, pathname + search]) {
        for (const method of ["GET", "POST", "OPTIONS"]) {
          const answer = yield* byName(scene, "evil.example", target, method)
          assert.isBelow(answer.status, 500)
          assert.notInclude(JSON.stringify(answer), "evil.example", `${method} ${target}`)
        }
      }
      const challenge = yield* scene.one.ask("/mcp", { headers: forged })
      assert.include(challenge.headers.get("www-authenticate"), `resource_metadata="${serverUrl}/.well-known/`)

      // A whole sign-in on the way of which somebody puts these in.
      const browser = scene.browser()
      const page = yield* browser.ask(scene.authorizeUrl(), { headers: forged })
      const toOkta = yield* decide(browser, page, "allow", forged)
      assert.strictEqual(toOkta.location.searchParams.get("redirect_uri"), `${serverUrl}/oauth/callback`)
      const back = yield* Effect.orDie(scene.okta.authorize(toOkta.location))
      const answer = yield* browser.ask(back, { headers: forged })
      assert.isTrue(answer.location.href.startsWith(redirectUri), answer.location.href)
      assert.strictEqual(answer.location.searchParams.get("iss"), serverUrl)
      const { body } = yield* scene.one.token(
        scene.redemption(answer.location.searchParams.get("code") ?? ""),
        forged
      )
      const denied = yield* browser.ask(scene.authorizeUrl({ prompt: "none" }), { headers: forged })
      assertSentBack(denied, "consent_required")
      const answers = [page, toOkta, answer, denied, challenge]
      for (const path of ["/oauth/token", "/oauth/revoke", "/oauth/register", "/oauth/logout", "/oauth/consent"]) {
        answers.push(yield* post(scene, path))
      }
      for (const { body, headers } of answers) {
        assert.notInclude(`${body}\n${[...headers].join("\n")}`, "evil.example")
        assert.notMatch([...headers].join("\n"), /domain=/i)
      }
      assert.notInclude(body, "evil.example")
      assertRefused(yield* post(scene, "/oauth/token"), 400, "unsupported_grant_type")
    }))
})

layer(Scene.layer({ settings: { serverUrl: "http://localhost:8080" } }))("D. Proxy mode on localhost", (it) => {
  it.effect("#71 Host of another name at a page: 403, and no cookie", () =>
    Effect.gen(function*() {
      const scene = yield* Scene
      const { pathname, search } = scene.authorizeUrl()
      const pages = [pathname + search, "/oauth/consent", "/oauth/callback?state=x&code=x", "/oauth/logout"]
      for (const host of ["evil.com", "localhost.evil.com", "127.0.0.1.nip.io", "10.0.0.1", "[::]", ""]) {
        for (const page of pages) {
          for (const method of ["GET", "POST", "HEAD"]) {
            const { headers, status } = yield* byName(scene, host, page, method)
            assert.deepStrictEqual([status, headers["set-cookie"], headers["location"]], [403, undefined, undefined])
          }
        }
      }
      for (const host of ["localhost:8080", "127.0.0.1:1", "[::1]:8080"]) {
        assert.strictEqual((yield* byName(scene, host, pathname + search)).status, 200, host)
      }
    }))
})
