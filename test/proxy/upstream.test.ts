import { assert, describe, it } from "@effect/vitest"
import { Effect, Redacted } from "effect"
import { TestClock } from "effect/testing"
import { decodeProtectedHeader } from "jose"
import * as Scene from "../support/ProxyScene.ts"
import { assertHidden } from "../support/Watch.ts"
import { ec, ring } from "./grant/KeyRing.ts"

const bearer = (token: string) => ({ headers: { authorization: `Bearer ${token}` } })

describe("Okta's tokens, for handlers", () => {
  it.effect("are those that Okta gave for the person, renewed when their time is up, and none after the end", () =>
    Effect.gen(function*() {
      const { one, oktaAnswers, refreshment, signIn } = yield* Scene.make()
      // For the server as a whole, not only for /mcp.
      const { accessToken, refreshToken } = yield* signIn({ resource: undefined })
      const upstream = (token: string) => Effect.map(one.ask("/upstream", bearer(token)), Scene.membersOf)
      const first = (yield* upstream(accessToken))["accessToken"]
      assert.include(oktaAnswers[0], String(first))
      yield* TestClock.adjust("1 hour")
      const renewed = Scene.tokensOf(yield* one.token(refreshment(refreshToken)))
      const second = (yield* upstream(renewed.accessToken))["accessToken"]
      assert.notStrictEqual(second, first)
      assert.include(oktaAnswers.at(-1), String(second))
    }))
})

describe("passThrough", () => {
  const settings = {
    passThrough: true,
    audience: "api://default",
    scopes: ["openid", "profile", "email", "offline_access", "mcp:read"]
  }

  it.effect("hands Okta's access token to the client, which the guard then takes; the refresh token stays ours", () =>
    Effect.gen(function*() {
      const scene = yield* Scene.make({ settings })
      const { accessToken, refreshToken } = yield* scene.signIn()
      const { aud, cid, iss } = Scene.claimsOf(accessToken)
      assert.deepStrictEqual([iss, aud, typeof cid], [scene.okta.issuer, "api://default", "string"])
      assert.strictEqual((yield* scene.one.call(accessToken)).status, 200)
      assert.deepStrictEqual(Scene.membersOf(yield* scene.one.ask("/upstream", bearer(accessToken))), {
        _tag: "NoUpstreamTokens"
      })
      yield* TestClock.adjust("61 minutes")
      assert.strictEqual((yield* scene.one.call(accessToken)).status, 401)
      const renewed = Scene.tokensOf(yield* scene.one.token(scene.refreshment(refreshToken)))
      assert.strictEqual((yield* scene.one.call(renewed.accessToken)).status, 200)
      assert.notStrictEqual(renewed.accessToken, accessToken)
    }))

  it.effect("says what Okta's token allows, whatever the client asked of this server, and shows it to nobody else", () =>
    Effect.gen(function*() {
      const scene = yield* Scene.make({ settings })
      const granted = "openid profile email offline_access mcp:read"
      const answer = yield* scene.one.token(scene.redemption(yield* scene.code({ scope: "mcp:read" })))
      assert.strictEqual(Scene.membersOf(answer)["scope"], granted)
      const first = Scene.tokensOf(answer)
      yield* TestClock.adjust("61 minutes")
      const renewed = yield* scene.one.token(scene.refreshment(first.refreshToken, { scope: "mcp:read" }))
      assert.strictEqual(Scene.membersOf(renewed)["scope"], granted)
      const second = Scene.tokensOf(renewed)
      assert.strictEqual((yield* scene.one.call(second.accessToken)).status, 200)
      yield* scene.one.call(`${second.accessToken}x`)
      // #192
      const ofOkta = scene.oktaAnswers.flatMap((text) => [...text.matchAll(/"(?:access|refresh|id)_token":"([^"]+)"/g)])
        .map(([, token = ""]) => token)
      assert.isAtLeast(ofOkta.length, 5)
      assertHidden(scene.watch.text, [first.accessToken, second.accessToken, ...ofOkta])
    }))

  it.effect("Okta's tokens end with revokedBefore", () =>
    Effect.gen(function*() {
      const scene = yield* Scene.make({ settings })
      const { accessToken } = yield* scene.signIn()
      const later = yield* scene.start({ revokedBefore: new Date(Scene.now * 1000) })
      assert.strictEqual((yield* later.call(accessToken)).status, 200)
      const after = yield* scene.start({ revokedBefore: new Date((Scene.now + 1) * 1000) })
      assert.strictEqual((yield* after.call(accessToken)).status, 401)
      assert.include(scene.watch.lines.join("\n"), "revokedBefore")
    }))

  it.effect("lets nobody in with a token for another audience", () =>
    Effect.gen(function*() {
      const scene = yield* Scene.make({ settings: { ...settings, audience: "api://other" } })
      const browser = scene.browser()
      Scene.assertSentBack(yield* browser.ask(yield* scene.comeBack(browser)), "server_error")
      assert.include(scene.watch.lines.join("\n"), "but this server accepts \\\"api://other\\\"")
    }))
})

describe("the audience of Okta's access token, where it is given", () => {
  for (
    const [what, audience, kind, isLetIn] of [
      ["is compared at a custom server", "api://other", "custom", false],
      ["is that of the custom server", "api://default", "custom", true],
      ["does not matter at an org server", "api://other", "org", true]
    ] as const
  ) {
    it.effect(what, () =>
      Effect.gen(function*() {
        const scene = yield* Scene.make({ settings: { audience }, okta: { kind } })
        const browser = scene.browser()
        const { location } = yield* browser.ask(yield* scene.comeBack(browser))
        assert.strictEqual(location.searchParams.has("code"), isLetIn, location.href)
      }))
  }
})

it.effect("who may call, and how long their tokens may be, is not asked of Okta's access token without passThrough", () =>
  Effect.gen(function*() {
    const settings = { audience: "api://default", allowedClients: ["0oaSomebodyElse"], maxTokenLength: 900 }
    const scene = yield* Scene.make({ settings, okta: { claims: () => ({ groups: Array(100).fill("Engineering") }) } })
    const agent = scene.browser()
    const { location } = yield* agent.ask(yield* scene.comeBack(agent))
    assert.isTrue(location.searchParams.has("code"), location.href)

    const passing = yield* Scene.make({ settings: { ...settings, maxTokenLength: 8192, passThrough: true } })
    const other = passing.browser()
    Scene.assertSentBack(yield* other.ask(yield* passing.comeBack(other)), "server_error")
  }))

describe("the key ring", () => {
  it.effect("is replaced without a restart: old tokens are good as long as their key is in it", () =>
    Effect.gen(function*() {
      const { one, refreshment, signIn, watch } = yield* Scene.make()
      const first = { ...ec(), kid: "first" }
      const second = { ...ec(), kid: "second" }
      const reload = (...keys: ReadonlyArray<object>) => one.ask("/reload", { body: Redacted.value(ring(...keys)) })
      assert.deepStrictEqual(Scene.membersOf(yield* reload(first)), { kids: ["first"] })
      const { accessToken, refreshToken } = yield* signIn()
      assert.strictEqual(decodeProtectedHeader(accessToken).kid, "first")
      yield* reload(second, first)
      assert.strictEqual((yield* one.call(accessToken)).status, 200)
      const renewed = Scene.tokensOf(yield* one.token(refreshment(refreshToken)))
      assert.strictEqual(decodeProtectedHeader(renewed.accessToken).kid, "second")
      assert.include((yield* one.ask("/.well-known/jwks.json")).body, "\"first\"")
      yield* reload(second)
      assert.strictEqual((yield* one.call(accessToken)).status, 401)
      assert.include(watch.lines.join("\n"), "The key was taken out of signingKeys")
      assert.strictEqual((yield* one.call(renewed.accessToken)).status, 200)
      const wrong = yield* one.ask("/reload", { body: "{\"keys\":[]}" })
      assert.strictEqual(wrong.status, 400)
      assert.strictEqual((yield* one.call(renewed.accessToken)).status, 200)
    }))
})

describe("a token that this server does not take is explained in its own words", () => {
  it.effect("one of Okta's", () =>
    Effect.gen(function*() {
      const { okta, one, watch } = yield* Scene.make()
      const { accessToken } = yield* Effect.orDie(okta.signIn({ redirectUri: `${Scene.serverUrl}/oauth/callback` }))
      assert.strictEqual((yield* one.call(accessToken)).status, 401)
      const said = watch.lines.join("\n")
      assert.include(
        said,
        "in proxy mode clients hold tokens of this server's own: get one at https://mcp.example.com."
      )
      assert.notInclude(said, "org server")
    }))

  it.effect("one of before a change of serverUrl", () =>
    Effect.gen(function*() {
      const { one: _, signIn, start, watch } = yield* Scene.make()
      const { accessToken } = yield* signIn()
      const moved = yield* start({ serverUrl: "https://new.example.com" })
      assert.strictEqual((yield* moved.call(accessToken)).status, 401)
      const said = watch.lines.join("\n")
      assert.include(said, "It is of before serverUrl was changed")
      assert.notInclude(said, "OKTA_ISSUER")
    }))
})
