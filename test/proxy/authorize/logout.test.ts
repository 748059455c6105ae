import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import { TestClock } from "effect/testing"
import * as Scene from "../../support/ProxyScene.ts"

const out = "https://client.example.com/signed-out"

/** Asks to sign out, and presses the button. */
const press = Effect.fnUntraced(function*(agent: Scene.UserAgent, path: string, headers: Scene.Asked["headers"] = {}) {
  const page = yield* agent.ask(path)
  assert.strictEqual(page.status, 200, page.body)
  return yield* agent.ask("/oauth/logout", { body: new URLSearchParams(Scene.fieldsOf(page)), headers })
})

const signedIn = Effect.fnUntraced(function*() {
  const scene = yield* Scene.make({ client: { post_logout_redirect_uris: [out] } })
  const agent = scene.browser()
  const code = yield* scene.code({}, agent)
  const tokens = Scene.tokensOf(yield* scene.one.token(scene.redemption(code)))
  const query = new URLSearchParams({ client_id: scene.clientId, post_logout_redirect_uri: out, state: "client state" })
  return { scene, agent, tokens, path: `/oauth/logout?${query.toString()}` }
})

describe("a person signs out (OpenID Connect RP-Initiated Logout)", () => {
  it.effect("here, then at Okta, and comes back to the client", () =>
    Effect.gen(function*() {
      const { agent, path, scene, tokens } = yield* signedIn()
      const { location, status } = yield* press(agent, path)
      assert.strictEqual(status, 303)
      assert.strictEqual(location.origin, scene.okta.origin)
      assert.isNotNull(location.searchParams.get("id_token_hint"))
      assert.strictEqual(location.searchParams.get("post_logout_redirect_uri"), `${Scene.serverUrl}/oauth/logout/done`)
      Scene.assertRefused(yield* scene.one.token(scene.refreshment(tokens.refreshToken)), 400, "invalid_grant")
      assert.strictEqual((yield* scene.one.call(tokens.accessToken)).status, 401)
      assert.strictEqual(agent.cookies.get("__Host-effect-okta")?.value, "")

      const state = location.searchParams.get("state") ?? ""
      const back = yield* agent.ask(`/oauth/logout/done?${new URLSearchParams({ state }).toString()}`)
      assert.strictEqual(back.location.href, `${out}?state=client+state`)
    }))

  it.effect("of this browser only", () =>
    Effect.gen(function*() {
      const { path, scene, tokens } = yield* signedIn()
      const { location } = yield* press(scene.browser(), path)
      // Nobody has signed in there, so that Okta knows nobody to sign out.
      assert.strictEqual(location.href, `${out}?state=client+state`)
      assert.strictEqual((yield* scene.one.call(tokens.accessToken)).status, 200)
    }))

  it.effect("without a client that wants to know of it", () =>
    Effect.gen(function*() {
      const { agent, scene } = yield* signedIn()
      const { location } = yield* press(agent, "/oauth/logout")
      assert.strictEqual(location.origin, scene.okta.origin)
      assert.isNull(location.searchParams.get("post_logout_redirect_uri"))
      const again = yield* press(agent, "/oauth/logout")
      assert.deepStrictEqual([again.status, again.body.includes("You are signed out")], [200, true])
    }))

  it.effect("not by a link, nor by another site's form, nor in another browser, nor later", () =>
    Effect.gen(function*() {
      const { agent, path, scene, tokens } = yield* signedIn()
      const page = yield* agent.ask(path)
      const body = new URLSearchParams(Scene.fieldsOf(page))
      const answers = [
        yield* agent.ask("/oauth/logout", { body, headers: { "sec-fetch-site": "cross-site" } }),
        yield* scene.browser().ask("/oauth/logout", { body }),
        yield* agent.ask("/oauth/logout", { body: new URLSearchParams({ request: "x" }) })
      ]
      yield* TestClock.adjust("10 minutes")
      answers.push(yield* agent.ask("/oauth/logout", { body }))
      for (const answer of answers) Scene.assertLocal(answer, 400)
      assert.strictEqual((yield* scene.one.call(tokens.accessToken)).status, 200)
    }))

  it.effect("and is sent to no place that the client has not registered", () =>
    Effect.gen(function*() {
      const { agent, scene } = yield* signedIn()
      const { clientId: other } = yield* scene.register()
      const cases: ReadonlyArray<Readonly<Record<string, string>>> = [
        { client_id: scene.clientId, post_logout_redirect_uri: "https://evil.example/" },
        { client_id: scene.clientId, post_logout_redirect_uri: Scene.redirectUri },
        { client_id: other, post_logout_redirect_uri: out },
        { client_id: "nobody", post_logout_redirect_uri: out },
        { post_logout_redirect_uri: out }
      ]
      for (const query of cases) {
        Scene.assertLocal(yield* agent.ask(`/oauth/logout?${new URLSearchParams(query).toString()}`), 400)
      }
      // A client that has registered no such URIs has its others.
      const query = new URLSearchParams({ client_id: other, post_logout_redirect_uri: Scene.redirectUri })
      assert.strictEqual((yield* agent.ask(`/oauth/logout?${query.toString()}`)).status, 200)
    }))
})
