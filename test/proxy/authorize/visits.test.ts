import { assert, describe, it, layer } from "@effect/vitest"
import { Effect } from "effect"
import { TestClock } from "effect/testing"
import { webClient } from "../../../src/demo/StandInDirectory.ts"
import { sendJson } from "../../../src/demo/StandInProvider.ts"
import { StoreUnavailable } from "../../../src/store/Store.ts"
import * as Scene from "../../support/ProxyScene.ts"

const path = "/oauth/connections"
const cookie = "__Host-effect-okta-connections"

/** Back from Okta, where the person went for the page. */
const comeBack = Effect.fnUntraced(function*(
  scene: Scene.ProxyScene,
  agent: Scene.UserAgent,
  parameters: Readonly<Record<string, string>>,
  by: Scene.UserAgent = agent
) {
  const toOkta = yield* agent.ask(path)
  assert.deepStrictEqual([toOkta.status, toOkta.location.origin], [302, scene.okta.origin])
  return yield* by.ask(Scene.callbackUrl(toOkta, parameters))
})

/** Back from Okta, which answers the code with an ID token of these claims. */
const signedIn = Effect.fnUntraced(function*(
  scene: Scene.ProxyScene,
  agent: Scene.UserAgent,
  claims: Readonly<Record<string, unknown>> = {},
  tokens: object = {}
) {
  const toOkta = yield* agent.ask(path)
  const nonce = toOkta.location.searchParams.get("nonce")
  const idToken = { cid: undefined, scp: undefined, aud: webClient.clientId, sub: "00u1", nonce }
  const id_token = yield* scene.okta.mint({ ...idToken, ...claims })
  yield* scene.okta.respond(
    "token",
    (_, response) =>
      sendJson(response, 200, { token_type: "Bearer", expires_in: 3600, access_token: "opaque", id_token, ...tokens })
  )
  return yield* Effect.ensuring(agent.ask(Scene.callbackUrl(toOkta, { code: "code" })), scene.okta.lift)
})

layer(Scene.Scene.layer())("a person who signs in for the page of connected clients", (it) => {
  it.effect("goes through Okta with what a sign-in needs, and no more", () =>
    Effect.gen(function*() {
      const scene = yield* Scene.Scene
      const [one, other] = [yield* scene.browser().ask(path), yield* scene.browser().ask(path)]
      const asked = one.location.searchParams
      assert.strictEqual(asked.get("scope"), "openid profile email")
      assert.strictEqual(asked.get("code_challenge_method"), "S256")
      assert.strictEqual(asked.get("redirect_uri"), `${Scene.serverUrl}/oauth/callback`)
      for (const name of ["state", "nonce", "code_challenge"]) {
        assert.match(asked.get(name) ?? "", /^[\w-]{43}$/)
        assert.notStrictEqual(asked.get(name), other.location.searchParams.get(name))
      }
      assert.notStrictEqual(asked.get("state"), asked.get("nonce"))
      assert.include(one.headers.get("set-cookie"), "__Host-effect-okta=")
    }))

  it.effect("is known for 10 minutes in that browser, and nothing of the sign-in is left at Okta", () =>
    Effect.gen(function*() {
      const scene = yield* Scene.Scene
      const agent = scene.browser()
      const revoked = yield* scene.okta.requests("revoke")
      const { location, status } = yield* signedIn(scene, agent, { preferred_username: "ada@example.com" })
      assert.deepStrictEqual([status, location.href], [302, Scene.serverUrl + path])
      assert.sameMembers([...agent.cookies.get(cookie)?.attributes ?? []], [
        "Max-Age=600",
        "Path=/",
        "HttpOnly",
        "Secure",
        "SameSite=Lax"
      ])
      assert.strictEqual(yield* scene.okta.requests("revoke"), revoked + 1)
      assert.strictEqual(new URLSearchParams(scene.oktaForms.at(-1)).get("token"), "opaque")
      assert.include((yield* agent.ask(path)).body, "ada@example.com")
      // A refresh token that Okta gives all the same is what is ended.
      yield* signedIn(scene, scene.browser(), {}, { refresh_token: "refresh" })
      assert.strictEqual(new URLSearchParams(scene.oktaForms.at(-1)).get("token"), "refresh")
    }))

  const refused: ReadonlyArray<readonly [how: string, parameters: Readonly<Record<string, string>>]> = [
    ["Okta's no", { error: "access_denied" }],
    ["no code", {}],
    ["an empty code", { code: "" }],
    ["another issuer's answer", { code: "x", iss: "https://evil.example.com" }],
    ["another issuer's answer without a code", { iss: "https://evil.example.com" }]
  ]
  it.effect.each(refused)("is not let in by %s, and Okta is not asked", ([, parameters]) =>
    Effect.gen(function*() {
      const scene = yield* Scene.Scene
      const agent = scene.browser()
      const asked = yield* scene.okta.requests("token")
      const answer = yield* comeBack(scene, agent, parameters)
      Scene.assertLocal(answer, 400, "access_denied")
      assert.include(answer.body, `href="${Scene.serverUrl}${path}">Try again</a>`)
      assert.isFalse(answer.headers.has("retry-after"))
      assert.strictEqual(yield* scene.okta.requests("token"), asked)
    }))

  it.effect("is not let in by what another browser began, whatever comes with it, nor by that twice", () =>
    Effect.gen(function*() {
      const scene = yield* Scene.Scene
      const asked = yield* scene.okta.requests("token")
      for (const parameters of [{ code: "x" }, { error: "access_denied" }, { code: "x", iss: "x" }]) {
        const victim = scene.browser()
        yield* victim.ask(path)
        Scene.assertLocal(yield* comeBack(scene, scene.browser(), parameters, victim), 403, "access_denied")
        Scene.assertLocal(yield* comeBack(scene, scene.browser(), parameters, scene.browser()), 403, "access_denied")
      }
      assert.strictEqual(yield* scene.okta.requests("token"), asked)
      const agent = scene.browser()
      const toOkta = yield* agent.ask(path)
      const back = Scene.callbackUrl(toOkta, { error: "access_denied" })
      Scene.assertLocal(yield* agent.ask(back), 400, "access_denied")
      Scene.assertLocal(yield* agent.ask(back), 400, "invalid_request")
    }))

  it.effect("is let in by the right issuer's answer", () =>
    Effect.gen(function*() {
      const scene = yield* Scene.Scene
      const agent = scene.browser()
      const { location } = yield* agent.ask(path)
      const back = yield* Effect.orDie(scene.okta.authorize(location))
      back.searchParams.set("iss", scene.okta.issuer)
      assert.strictEqual((yield* agent.ask(back)).location.href, Scene.serverUrl + path)
    }))

  it.effect("is not let in by an ID token that is not good, and the owner reads why", () =>
    Effect.gen(function*() {
      const scene = yield* Scene.Scene
      for (const claims of [{ nonce: "another" }, { aud: "another" }, { exp: Scene.now - 3600 }]) {
        const agent = scene.browser()
        Scene.assertLocal(yield* signedIn(scene, agent, claims), 400, "server_error")
        assert.isFalse(agent.cookies.has(cookie))
      }
      assert.include(scene.watch.lines.join("\n"), "A sign-in at Okta came to nothing.")
    }))

  it.effect("is asked to come back where Okta has a fault", () =>
    Effect.gen(function*() {
      const scene = yield* Scene.Scene
      yield* scene.okta.respond("token", (_, response) => void response.writeHead(500).end())
      const away = yield* comeBack(scene, scene.browser(), { code: "x" })
      yield* scene.okta.lift
      Scene.assertLocal(away, 503, "temporarily_unavailable")
      assert.strictEqual(away.headers.get("retry-after"), "5")
      assert.include(away.body, `href="${Scene.serverUrl}${path}">Try again</a>`)
    }))
})

describe("a visit", () => {
  it.effect("is over after 10 minutes, whatever the browser keeps, and a sign-in for one takes no longer either", () =>
    Effect.gen(function*() {
      const scene = yield* Scene.make()
      const agent = scene.browser()
      yield* signedIn(scene, agent)
      const toOkta = yield* scene.browser().ask(path)
      yield* TestClock.adjust("599999 millis")
      assert.strictEqual((yield* agent.ask(path)).status, 200)
      yield* TestClock.adjust("1 milli")
      assert.strictEqual((yield* agent.ask(path)).status, 302)
      Scene.assertLocal(yield* agent.ask(Scene.callbackUrl(toOkta, { code: "x" })), 400, "invalid_request")
    }))

  it.effect("that cannot be kept does not begin: the person is asked to come back", () =>
    Effect.gen(function*() {
      let broken = ""
      const store = Scene.storeWriting((key) =>
        broken !== "" && key.startsWith(broken)
          ? Effect.fail(new StoreUnavailable({ operation: "put", reason: "it is full" }))
          : undefined
      )
      const scene = yield* Scene.make({ store })
      const agent = scene.browser()
      broken = "visit:"
      Scene.assertLocal(yield* agent.ask(path), 503, "temporarily_unavailable")
      broken = "visit-hint:"
      Scene.assertLocal(yield* signedIn(scene, agent), 503, "temporarily_unavailable")
      assert.isFalse(agent.cookies.has(cookie))
    }))
})
