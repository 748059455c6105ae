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
