import { assert, describe, it, layer } from "@effect/vitest"
import { Effect } from "effect"
import { TestClock } from "effect/testing"
import { webClient } from "../../src/demo/StandInDirectory.ts"
import { sendJson } from "../../src/demo/StandInProvider.ts"
import {
  assertLocal,
  assertSentBack,
  asTimePasses,
  callbackUrl,
  make,
  now,
  type ProxyScene,
  Scene,
  type UserAgent
} from "../support/ProxyScene.ts"

describe("H. /callback", () => {
  it.effect("#125 a state that is missing, unknown, garbage or expired: a page, and Okta is not asked", () =>
    Effect.gen(function*() {
      const scene = yield* make()
      const browser = scene.browser()
      const back = yield* scene.comeBack(browser)
      const state = back.searchParams.get("state") ?? ""
      const garbage = ["", "x", "x".repeat(43), "\u0000".repeat(43), "🔑", `${state}x`, state.slice(1), `${state}=`]
      for (const wrong of [...garbage, state.toLowerCase(), "x".repeat(10_000), scene.clientId, "../flow"]) {
        const url = new URL(back)
        url.searchParams.set("state", wrong)
        assertLocal(yield* browser.ask(url), 400)
      }
      for (const name of ["state", "code", "iss"]) {
        const twice = new URL(back)
        twice.searchParams.append(name, back.searchParams.get(name) ?? "x")
        twice.searchParams.append(name, "y")
        assertLocal(yield* browser.ask(twice), 400)
      }
      assertLocal(yield* browser.ask("/oauth/callback"), 400)
      yield* TestClock.adjust("10 minutes")
      assertLocal(yield* browser.ask(back), 400)
      assert.strictEqual(yield* scene.okta.requests("token"), 0)
    }))

  for (const store of ["memory", "sqlite"] as const) {
    it.effect(`#126 a state is good once, also when it comes many times at once to two servers (${store})`, () =>
      Effect.gen(function*() {
        const scene = yield* make({ store })
        const other = yield* scene.start()
        const browser = scene.browser()
        const back = yield* scene.comeBack(browser)
        const answers = yield* Effect.forEach(
          Array.from({ length: 50 }, (_, index) => index % 2 === 0 ? scene.one : other),
          ({ actual }) => browser.ask(actual + back.pathname + back.search),
          { concurrency: "unbounded" }
        )
        assert.lengthOf(answers.filter(({ location, status }) => status === 302 && location.search.includes("code")), 1)
        for (const answer of answers) if (answer.status !== 302) assertLocal(answer, 400)
        assert.strictEqual(yield* scene.okta.requests("token"), 1)
        assertLocal(yield* browser.ask(back), 400)
      }))
  }
})

layer(Scene.layer())("H. /callback", (it) => {
  it.effect("#128 the attacker's code in the victim's browser, though it has a cookie of its own", () =>
    Effect.gen(function*() {
      const scene = yield* Scene
      const victim = scene.browser()
      const own = yield* scene.allow(victim)
      const attackers = yield* scene.comeBack(scene.browser())
      const asked = yield* scene.okta.requests("token")
      assertLocal(yield* victim.ask(attackers), 403, "access_denied")
      // And where it has none.
      assertLocal(yield* scene.browser().ask(yield* scene.comeBack(scene.browser())), 403, "access_denied")
      assert.strictEqual(yield* scene.okta.requests("token"), asked)
      // With the victim's own state Okta is asked, and refuses: the code belongs to another verifier.
      const mixed = callbackUrl(own, { code: attackers.searchParams.get("code") ?? "" })
      assertSentBack(yield* victim.ask(mixed), "server_error")
    }))

  it.effect("#129 Okta's errors go on to the client, in words of ours", () =>
    Effect.gen(function*() {
      const scene = yield* Scene
      const asked = yield* scene.okta.requests("token")
      const cases = [
        ["access_denied", "access_denied"],
        ["temporarily_unavailable", "temporarily_unavailable"],
        ["server_error", "server_error"],
        ["invalid_scope", "server_error"],
        ["unauthorized_client", "server_error"],
        ["<script>", "server_error"],
        ["a\r\nb", "server_error"]
      ] as const
      for (const [error, expected] of cases) {
        const browser = scene.browser()
        const toOkta = yield* scene.allow(browser)
        const said = { error, error_description: "Ada is on the list\r\n\u001b[2J", error_uri: "https://evil.example" }
        const answer = yield* browser.ask(callbackUrl(toOkta, said))
        assertSentBack(answer, expected)
        assert.notInclude(answer.location.href, "Ada")
        assert.notInclude(answer.location.href, "evil")
      }
      assert.strictEqual(yield* scene.okta.requests("token"), asked)
      // The owner of the server can read them, and his terminal is left in peace.
      assert.include(scene.watch.text, "Ada is on the list")
      assert.notInclude(scene.watch.text, "\u001b[2J")
    }))

  it.effect("#130 another issuer's answer", () =>
    Effect.gen(function*() {
      const scene = yield* Scene
      const asked = yield* scene.okta.requests("token")
      for (const iss of ["https://evil.example.com", `${scene.okta.issuer}/`, scene.okta.issuer.toUpperCase(), "x"]) {
        const browser = scene.browser()
        const wrong = yield* scene.comeBack(browser)
        wrong.searchParams.set("iss", iss)
        assertLocal(yield* browser.ask(wrong), 400)
      }
      assert.strictEqual(yield* scene.okta.requests("token"), asked)
      const browser = scene.browser()
      const right = yield* scene.comeBack(browser)
      right.searchParams.set("iss", scene.okta.issuer)
      assert.isTrue((yield* browser.ask(right)).location.searchParams.has("code"))
    }))

  it.effect("#132 nothing of an answer is repeated on a page", () =>
    Effect.gen(function*() {
      const scene = yield* Scene
      const attack = new URLSearchParams({
        error: "<script>",
        error_description: "<script>alert(1)</script>",
        error_uri: "javascript:alert(1)",
        iss: "<script>alert(1)</script>"
      })
      const browser = scene.browser()
      const { location } = yield* scene.allow(browser)
      for (const state of ["x", "<script>alert(1)</script>", location.searchParams.get("state") ?? ""]) {
        attack.set("state", state)
        const answer = yield* browser.ask(`/oauth/callback?${attack}`)
        assertLocal(answer, 400)
        assert.notInclude(answer.body, "<script")
        assert.notInclude(answer.body, "alert")
      }
    }))

  it.effect("#136 POST /callback, and every other method", () =>
    Effect.gen(function*() {
      const scene = yield* Scene
      const browser = scene.browser()
      const back = yield* scene.comeBack(browser)
      for (const method of ["POST", "PUT", "DELETE", "PATCH", "HEAD", "OPTIONS"]) {
        const answer = yield* browser.ask(back, { method })
        assert.strictEqual(answer.status, 405, method)
        assert.strictEqual(answer.headers.get("allow"), "GET")
      }
      assert.strictEqual((yield* browser.ask(back)).status, 302)
    }))
})

/** The callback, where Okta's token endpoint gives an ID token with these claims. */
const answered = Effect.fnUntraced(function*(
  scene: ProxyScene,
  browser: UserAgent,
  claims: Readonly<Record<string, unknown>>,
  answer: Readonly<Record<string, unknown>> = {}
) {
  const toOkta = yield* scene.allow(browser)
  const id_token = yield* scene.okta.mint({
    cid: undefined,
    scp: undefined,
    aud: webClient.clientId,
    sub: "00u1",
    nonce: toOkta.location.searchParams.get("nonce"),
    ...claims
  })
  const body = { token_type: "Bearer", expires_in: 3600, access_token: "opaque", id_token, ...answer }
  yield* scene.okta.respond("token", (_, response) => sendJson(response, 200, body))
  return yield* browser.ask(callbackUrl(toOkta, { code: "code" }))
})

layer(Scene.layer())("H. /callback: Okta's answer to the code", (it) => {
  const cases: ReadonlyArray<readonly [string, claims: Readonly<Record<string, unknown>>, answer?: object]> = [
    ["another nonce", { nonce: "another" }],
    ["no nonce", { nonce: undefined }],
    ["another audience", { aud: "another" }],
    ["an audience too many", { aud: [webClient.clientId, "another"] }],
    ["no audience", { aud: undefined }],
    ["another issuer", { iss: "https://evil.example.com" }],
    ["somebody else's azp", { azp: "another" }],
    ["another access token's at_hash", { at_hash: "another" }],
    ["an end in the past", { exp: now - 3600 }],
    ["no end", { exp: undefined }],
    ["a beginning in the future", { iat: now + 3600, exp: now + 7200 }],
    ["no subject", { sub: undefined }],
    ["no ID token", {}, { id_token: undefined }],
    ["an ID token that is none", {}, { id_token: "e30.e30.e30" }],
    ["an ID token without signature", {}, { id_token: "eyJhbGciOiJub25lIn0.e30." }]
  ]
  it.effect.each(cases)(
    "#133 an ID token with %s: no session, and nothing kept",
    ([, claims, answer]) =>
      Effect.gen(function*() {
        const scene = yield* Scene
        const kept = () => scene.writes.filter((write) => !write.endsWith(" flow")).length
        const before = kept()
        assertSentBack(yield* answered(scene, scene.browser(), claims, { ...answer }), "server_error")
        assert.strictEqual(kept(), before)
        const good = yield* answered(scene, scene.browser(), {})
        assert.isTrue(good.location.searchParams.has("code"), good.location.href)
      })
  )
})

layer(Scene.layer())("H. /callback: Okta's trouble", (it) => {
  it.effect("#135 a server error, an error page, nonsense, a refused connection or no answer", () =>
    Effect.gen(function*() {
      const scene = yield* Scene
      const browser = scene.browser()
      const comesToNothing = Effect.fnUntraced(function*() {
        const before = yield* scene.okta.requests("token")
        const toOkta = yield* scene.allow(browser)
        const answer = yield* asTimePasses(browser.ask(callbackUrl(toOkta, { code: "code" })))
        assertSentBack(answer, "temporarily_unavailable")
        assert.strictEqual(yield* scene.okta.requests("token"), before + 1)
      })
      for (const status of [500, 502, 503, 429, 302, 404]) {
        yield* scene.okta.respond("token", (_, response) => void response.writeHead(status).end("<html>"))
        yield* comesToNothing()
      }
      assertSentBack(yield* answered(scene, browser, {}, { access_token: 1 }), "temporarily_unavailable")
      assertSentBack(yield* answered(scene, browser, {}, { token_type: "mac" }), "temporarily_unavailable")
      assertSentBack(yield* answered(scene, browser, {}, { expires_in: "soon" }), "temporarily_unavailable")
      for (const outage of ["refuse", "hang", "error"] as const) {
        yield* scene.okta.lift
        yield* scene.okta.outage(outage)
        yield* comesToNothing()
      }
      yield* scene.okta.lift
      assert.isTrue((yield* answered(scene, browser, {})).location.searchParams.has("code"))
    }))
})
