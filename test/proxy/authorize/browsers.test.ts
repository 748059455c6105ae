import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import { secret } from "../../proxy/ProxyTest.ts"
import * as Scene from "../../support/ProxyScene.ts"

/** The same browser, before another server. */
const moved = (scene: Scene.ProxyScene, agent: Scene.UserAgent, server: Scene.Server): Scene.UserAgent => {
  const same = scene.browser(server)
  for (const [name, cookie] of agent.cookies) same.cookies.set(name, cookie)
  return same
}

describe("when encryptionSecret is replaced", () => {
  it.effect("a consent stays remembered, and a person can sign out of what came before", () =>
    Effect.gen(function*() {
      const scene = yield* Scene.make({ settings: { rememberConsent: true } })
      let agent = scene.browser()
      const tokens = Scene.tokensOf(yield* scene.one.token(scene.redemption(yield* scene.code({}, agent))))
      let server = scene.one
      for (const encryptionSecret of [[secret("a"), secret("b")], [secret("b"), secret("a")]]) {
        server = yield* scene.start({ encryptionSecret })
        agent = moved(scene, agent, server)
        const asked = yield* agent.ask(scene.authorizeUrl(), { headers: { "sec-fetch-site": "none" } })
        assert.strictEqual(asked.status, 302, asked.body)
        assert.strictEqual(asked.location.origin, scene.okta.origin)
      }
      assert.strictEqual((yield* server.call(tokens.accessToken)).status, 200)
      const page = yield* agent.ask("/oauth/logout")
      yield* agent.ask("/oauth/logout", { body: new URLSearchParams(Scene.fieldsOf(page)) })
      assert.strictEqual((yield* server.call(tokens.accessToken)).status, 401)
    }))

  it.effect("a sign-in under way comes to its end", () =>
    Effect.gen(function*() {
      const scene = yield* Scene.make()
      const agent = scene.browser()
      const page = yield* agent.ask(scene.authorizeUrl())
      const server = yield* scene.start({ encryptionSecret: [secret("b"), secret("a")] })
      const same = moved(scene, agent, server)
      const { location } = yield* Scene.decide(same, page, "allow")
      const back = yield* same.ask(yield* Effect.orDie(scene.okta.authorize(location)))
      assert.isTrue(back.location.searchParams.has("code"), back.body)
    }))
})

describe("another site's form, which brings no cookie", () => {
  const foreign = { "sec-fetch-site": "cross-site" }

  /** As a browser does that keeps a Lax cookie back from such a form, but not from where its answer leads. */
  const post = Effect.fnUntraced(
    function*(scene: Scene.ProxyScene, agent: Scene.UserAgent, path: string, body: URLSearchParams) {
      const sent = yield* scene.browser().ask(path, { body, headers: foreign })
      assert.strictEqual(sent.status, 303, sent.body)
      assert.isFalse(sent.headers.has("set-cookie"))
      return yield* agent.ask(sent.location, { headers: foreign })
    }
  )

  it.effect("to authorize leaves the browser as it is, with its sign-in under way and its grants", () =>
    Effect.gen(function*() {
      const scene = yield* Scene.make()
      const agent = scene.browser()
      const tokens = Scene.tokensOf(yield* scene.one.token(scene.redemption(yield* scene.code({}, agent))))
      const underway = yield* scene.comeBack(agent)

      const { searchParams } = scene.authorizeUrl({ state: "posted ü&=", unknown: "x".repeat(20_000) })
      const page = yield* post(scene, agent, "/oauth/authorize", searchParams)
      assert.strictEqual(page.status, 200, page.body)
      const toOkta = yield* Scene.decide(agent, page, "allow")
      const posted = yield* agent.ask(yield* Effect.orDie(scene.okta.authorize(toOkta.location)))
      assert.strictEqual(posted.location.searchParams.get("state"), "posted ü&=")

      assert.isTrue((yield* agent.ask(underway)).location.searchParams.has("code"))
      const out = yield* agent.ask("/oauth/logout")
      yield* agent.ask("/oauth/logout", { body: new URLSearchParams(Scene.fieldsOf(out)) })
      assert.strictEqual((yield* scene.one.call(tokens.accessToken)).status, 401)
    }))

  it.effect("to authorize is answered at once where it is wrong, or the browser is known", () =>
    Effect.gen(function*() {
      const scene = yield* Scene.make()
      const agent = scene.browser()
      const ask = (changes: Scene.Changes) =>
        agent.ask("/oauth/authorize", { body: scene.authorizeUrl(changes).searchParams })
      Scene.assertLocal(yield* ask({ client_id: "nobody" }), 400, "invalid_client")
      Scene.assertSentBack(yield* ask({ response_type: "token" }), "unsupported_response_type")
      yield* agent.ask(scene.authorizeUrl())
      const page = yield* ask({})
      assert.strictEqual(page.status, 200)
      assert.strictEqual((yield* Scene.decide(agent, page, "allow")).status, 303)
    }))

  it.effect("to logout asks the person in the browser that it came from", () =>
    Effect.gen(function*() {
      const scene = yield* Scene.make()
      const agent = scene.browser()
      const tokens = Scene.tokensOf(yield* scene.one.token(scene.redemption(yield* scene.code({}, agent))))
      const body = new URLSearchParams({
        client_id: scene.clientId,
        post_logout_redirect_uri: Scene.redirectUri,
        state: "s",
        id_token_hint: "x"
      })
      const page = yield* post(scene, agent, "/oauth/logout", body)
      assert.strictEqual(page.status, 200, page.body)
      assert.strictEqual((yield* scene.one.call(tokens.accessToken)).status, 200)
      const out = yield* agent.ask("/oauth/logout", { body: new URLSearchParams(Scene.fieldsOf(page)) })
      assert.strictEqual(out.location.origin, scene.okta.origin)
      assert.strictEqual((yield* scene.one.call(tokens.accessToken)).status, 401)
      Scene.assertLocal(
        yield* scene.one.post("/oauth/logout", {
          post_logout_redirect_uri: "https://evil.example/",
          client_id: scene.clientId
        }),
        400
      )
    }))
})
