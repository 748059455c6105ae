import { assert, layer } from "@effect/vitest"
import { Effect, Layer } from "effect"
import { purposes, Sealed } from "../../src/proxy/Sealed.ts"
import { ec, ring } from "../proxy/grant/KeyRing.ts"
import { configLayer } from "../proxy/ProxyTest.ts"
import {
  assertLocal,
  assertRefused,
  codeVerifier,
  decide,
  fieldsOf,
  Scene,
  serverUrl,
  tokensOf
} from "../support/ProxyScene.ts"

/** One of everything that this server gives away. */
const collected = Effect.gen(function*() {
  const scene = yield* Scene
  const browser = scene.browser()
  const page = yield* browser.ask(scene.authorizeUrl())
  const { location } = yield* decide(browser, page, "allow")
  const back = yield* Effect.orDie(scene.okta.authorize(location))
  const answer = yield* browser.ask(back)
  const code = answer.location.searchParams.get("code") ?? ""
  const unused = yield* scene.code()
  const tokens = tokensOf(yield* scene.one.token(scene.redemption(code)))
  const { clientId, clientSecret } = yield* scene.register({ token_endpoint_auth_method: "client_secret_basic" })
  return {
    "a refresh token": tokens.refreshToken,
    "an access token": tokens.accessToken,
    "a code": unused,
    "a code that was used": code,
    "a state at Okta": (yield* scene.allow(browser)).location.searchParams.get("state") ?? "",
    "a nonce at Okta": location.searchParams.get("nonce") ?? "",
    "a consent form": fieldsOf(page)["request"] ?? "",
    "a sign-out form": fieldsOf(yield* browser.ask("/oauth/logout"))["request"] ?? "",
    "a cookie": [...browser.cookies.values()][0]?.value ?? "",
    "a client's id": clientId,
    "a client's secret": clientSecret,
    "a code verifier": codeVerifier
  }
})

layer(Scene.layer())("A. What is made for one purpose, shown for another", (it) => {
  it.effect("#19 a refresh token of ours as a bearer token: 401", () =>
    Effect.gen(function*() {
      const scene = yield* Scene
      const { accessToken, refreshToken } = yield* scene.signIn()
      const refused = yield* scene.one.call(refreshToken)
      assert.strictEqual(refused.status, 401)
      assert.include(refused.headers.get("www-authenticate"), "error=\"invalid_token\"")
      assert.strictEqual((yield* scene.one.call(accessToken)).status, 200)
    }))

  it.effect("#20 anything but an access token as a bearer token: 401", () =>
    Effect.gen(function*() {
      const scene = yield* Scene
      const things = yield* collected
      for (const [what, text] of Object.entries(things)) {
        assert.isAtLeast(text.length, 20, what)
        const { status } = yield* scene.one.call(text)
        assert.strictEqual(status, what === "an access token" ? 200 : 401, what)
      }
    }))

  it.effect("#20 Okta's own tokens as a bearer token: 401", () =>
    Effect.gen(function*() {
      const scene = yield* Scene
      yield* scene.signIn()
      const minted = yield* scene.okta.mint({ aud: `${serverUrl}/mcp` })
      const tokens = scene.oktaAnswers.flatMap((text) => Object.values<unknown>(JSON.parse(text)))
        .filter((value) => typeof value === "string" && value.length > 40)
      assert.isAtLeast(tokens.length, 2)
      for (const token of [minted, ...tokens]) assert.strictEqual((yield* scene.one.call(String(token))).status, 401)
    }))

  it.effect("#20 anything but a code or refresh token at the token endpoint: invalid_grant, and nothing ends", () =>
    Effect.gen(function*() {
      const scene = yield* Scene
      const { accessToken, refreshToken } = yield* scene.signIn()
      const things = Object.entries({ ...yield* collected, "an access token": accessToken })
      for (const [what, text] of things) {
        if (!what.startsWith("a code")) {
          assertRefused(yield* scene.one.token(scene.redemption(text)), 400, "invalid_grant")
        }
        if (what !== "a refresh token") {
          assertRefused(yield* scene.one.token(scene.refreshment(text)), 400, "invalid_grant")
        }
      }
      assert.strictEqual((yield* scene.one.token(scene.refreshment(refreshToken))).status, 200)
    }))

  it.effect("#20 anything but its own as consent form, cookie, state or client: refused", () =>
    Effect.gen(function*() {
      const scene = yield* Scene
      const things = Object.entries(yield* collected)
      const browser = scene.browser()
      const page = yield* browser.ask(scene.authorizeUrl())
      const [[name = "", cookie] = []] = [...browser.cookies]
      assert(cookie !== undefined)
      const asked = yield* scene.okta.requests("token")
      for (const [what, text] of things) {
        if (what !== "a consent form") {
          assertLocal(
            yield* browser.ask("/oauth/consent", { body: new URLSearchParams({ request: text, decision: "allow" }) }),
            400
          )
        }
        if (what !== "a sign-out form") {
          assertLocal(yield* browser.ask("/oauth/logout", { body: new URLSearchParams({ request: text }) }), 400)
        }
        if (what !== "a cookie") {
          const other = scene.browser()
          other.cookies.set(name, { ...cookie, value: text })
          assertLocal(yield* decide(other, page, "allow"), 403, "access_denied")
        }
        if (what !== "a state at Okta") {
          assertLocal(yield* browser.ask(`/oauth/callback?${new URLSearchParams({ state: text, code: "x" })}`), 400)
        }
        if (what !== "a client's id") {
          assertLocal(yield* scene.browser().ask(scene.authorizeUrl({ client_id: text })), 400, "invalid_client")
          assertRefused(
            yield* scene.one.token({ grant_type: "refresh_token", client_id: text, refresh_token: "x" }),
            401,
            "invalid_client"
          )
        }
      }
      assert.strictEqual(yield* scene.okta.requests("token"), asked)
    }))
})

layer(Layer.provide(Sealed.layer, configLayer({ signingKeys: ring(ec()) })))("A. Keys by purpose", (it) => {
  it.effect("#20 a text sealed or hashed for one purpose means nothing for any other", () =>
    Effect.gen(function*() {
      const sealed = yield* Sealed
      const hashes = new Set<string>()
      for (const purpose of purposes) {
        const text = yield* sealed.seal(purpose, "value")
        const hash = yield* sealed.hash(purpose, "value")
        hashes.add(hash)
        for (const other of purposes) {
          assert.strictEqual((yield* sealed.open(other, text))._tag, other === purpose ? "Some" : "None")
          assert.strictEqual(yield* sealed.confirms(other, "value", hash), other === purpose)
        }
      }
      assert.strictEqual(hashes.size, purposes.length)
    }))
})
