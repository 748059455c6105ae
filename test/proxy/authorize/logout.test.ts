import { assert, describe, it } from "@effect/vitest"
import { Context, Effect, Layer } from "effect"
import { TestClock } from "effect/testing"
import * as MemoryStore from "../../../src/store/MemoryStore.ts"
import { Store, StoreUnavailable } from "../../../src/store/Store.ts"
import { answering } from "../../support/NativeScene.ts"
import * as Scene from "../../support/ProxyScene.ts"

const out = "https://client.example.com/signed-out"

/** Asks to sign out, and presses the button. */
const press = Effect.fnUntraced(function*(agent: Scene.UserAgent, path: string, headers: Scene.Asked["headers"] = {}) {
  const page = yield* agent.ask(path)
  assert.strictEqual(page.status, 200, page.body)
  return yield* agent.ask("/oauth/logout", { body: new URLSearchParams(Scene.fieldsOf(page)), headers })
})

const signedIn = Effect.fnUntraced(function*(options: Scene.SceneOptions = {}) {
  const scene = yield* Scene.make({ ...options, client: { post_logout_redirect_uris: [out] } })
  const agent = scene.browser()
  const code = yield* scene.code({}, agent)
  const tokens = Scene.tokensOf(yield* scene.one.token(scene.redemption(code)))
  const query = new URLSearchParams({ client_id: scene.clientId, post_logout_redirect_uri: out, state: "client state" })
  return { scene, agent, tokens, path: `/oauth/logout?${query.toString()}` }
})

/** Where Okta sends a person back to whom it was given this address. */
const wayBack = (toOkta: URL) =>
  `/oauth/logout/done?${new URLSearchParams({ state: toOkta.searchParams.get("state") ?? "" })}`

/** Another browser, which is on its way back from Okta as well. */
const signedOutOf = Effect.fnUntraced(function*(scene: Scene.ProxyScene) {
  const agent = scene.browser()
  yield* scene.code({}, agent)
  const query = new URLSearchParams({ client_id: scene.clientId, post_logout_redirect_uri: out })
  const { location } = yield* press(agent, `/oauth/logout?${query.toString()}`)
  assert.strictEqual(location.origin, scene.okta.origin)
  return { agent, done: wayBack(location) }
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

      const back = yield* agent.ask(wayBack(location))
      assert.strictEqual(back.location.href, `${out}?state=client+state`)
    }))

  it.effect("here alone where Okta lists no endpoint for it, and comes back to the client", () =>
    Effect.gen(function*() {
      const { path, scene } = yield* signedIn()
      const { issuer } = scene.okta
      const listed = Effect.promise(() => fetch(`${issuer}/.well-known/openid-configuration`).then((all) => all.text()))
      const metadata = (yield* listed).replace(/"end_session_endpoint":"[^"]*",?/, "")
      assert.notInclude(metadata, "end_session_endpoint")
      yield* scene.okta.respond("discovery", answering(200, metadata))
      const agent = scene.browser(yield* scene.start())
      yield* scene.code({}, agent)
      assert.strictEqual((yield* press(agent, path)).location.href, `${out}?state=client+state`)
    }))

  it.effect("and comes back once, in the browser that signed out", () =>
    Effect.gen(function*() {
      const { agent, path, scene } = yield* signedIn()
      const { location } = yield* press(agent, path)
      const done = wayBack(location)
      const cookie = agent.cookies.get("__Host-effect-okta-sign-out")
      assert.sameMembers(
        cookie?.attributes.map((attribute) => attribute.toLowerCase()) ?? [],
        ["max-age=600", "path=/", "httponly", "secure", "samesite=lax"]
      )
      // Whoever else holds the address is sent nowhere, and uses nothing up.
      const others = scene.browser()
      yield* others.ask("/oauth/logout")
      const next = yield* signedOutOf(scene)
      for (const stranger of [scene.browser(), others, next.agent]) Scene.assertLocal(yield* stranger.ask(done), 400)
      assert.strictEqual((yield* agent.ask(done)).location.href, `${out}?state=client+state`)
      assert.strictEqual(agent.cookies.get("__Host-effect-okta-sign-out")?.value, "")
      assert.strictEqual((yield* agent.ask(done)).status, 400)
      if (cookie !== undefined) agent.cookies.set("__Host-effect-okta-sign-out", cookie)
      assert.strictEqual((yield* agent.ask(done)).status, 400)
      assert.strictEqual((yield* next.agent.ask(next.done)).location.href, out)
    }))

  it.effect("and does not come back after 10 minutes", () =>
    Effect.gen(function*() {
      const { agent, path } = yield* signedIn()
      const { location } = yield* press(agent, path)
      const done = wayBack(location)
      yield* TestClock.adjust("10 minutes")
      Scene.assertLocal(yield* agent.ask(done), 400)
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

describe("a request to sign out", () => {
  const queried = `${out}?tenant=1`
  const arrange = Effect.map(
    Scene.make({ client: { post_logout_redirect_uris: [out, queried] } }),
    (scene) => {
      const asked = (changes: Scene.Changes = {}) =>
        Scene.formOf({ client_id: scene.clientId, post_logout_redirect_uri: out, state: "a&b", ...changes })
      return { scene, asked, address: (changes: Scene.Changes = {}) => `/oauth/logout?${asked(changes)}` }
    }
  )

  it.effect("has each parameter once, and a state that is not too long", () =>
    Effect.gen(function*() {
      const { address, scene } = yield* arrange
      const ask = (path: string) => scene.browser().ask(path)
      for (const more of [`client_id=${scene.clientId}`, "post_logout_redirect_uri=x", "state=x"]) {
        const answer = yield* ask(`${address()}&${more}`)
        Scene.assertLocal(answer, 400)
        assert.include(answer.body, "more than once")
      }
      const state = "s".repeat(2048)
      Scene.assertLocal(yield* ask(address({ state: `${state}s` })), 400)
      for (const good of [address({ state }), `${address()}&other=1&other=2`, "/oauth/logout?client_id=nobody"]) {
        assert.strictEqual((yield* ask(good)).status, 200)
      }
    }))

  it.effect("by POST from a browser that is not known is led to the same by GET, and brings what counts", () =>
    Effect.gen(function*() {
      const { asked, scene } = yield* arrange
      const agent = scene.browser()
      const { headers, location, status } = yield* agent.ask("/oauth/logout", {
        body: new URLSearchParams(`${asked()}&other=x`)
      })
      assert.strictEqual(status, 303)
      assert.isFalse(headers.has("set-cookie"))
      assert.strictEqual(location.href, `${Scene.serverUrl}/oauth/logout?${asked()}`)
      yield* agent.ask(location)
      const page = yield* agent.ask("/oauth/logout", { body: asked() })
      assert.strictEqual(page.status, 200)
      assert.include(page.body, "<title>Sign out?</title>")
      assert.include(page.body, `<form method="post" action="${Scene.serverUrl}/oauth/logout">`)
    }))

  it.effect("leads back to the address as it was registered, with the state if there is one", () =>
    Effect.gen(function*() {
      const { address, scene } = yield* arrange
      const cases: ReadonlyArray<readonly [changes: Scene.Changes, expected: string]> = [
        [{}, `${out}?state=a%26b`],
        [{ state: undefined }, out],
        [{ post_logout_redirect_uri: queried }, `${queried}&state=a%26b`],
        [{ post_logout_redirect_uri: queried, state: undefined }, queried]
      ]
      for (const [changes, expected] of cases) {
        const { location, status } = yield* press(scene.browser(), address(changes))
        assert.deepStrictEqual([status, location.href], [303, expected])
      }
    }))

  it.effect("is not read where it is no form, or too long", () =>
    Effect.gen(function*() {
      const { asked, scene } = yield* arrange
      const ask = (body: string, type = "application/x-www-form-urlencoded") =>
        scene.browser().ask("/oauth/logout", { body, headers: { "content-type": type } })
      Scene.assertLocal(yield* ask("{}", "application/json"), 400)
      Scene.assertLocal(yield* ask(`${asked()}&x=`.padEnd(65_537, "x")), 413)
    }))
})

describe("a sign-out", () => {
  it.effect("tells what ended with it, and tells Okta of the person by what lasted until then", () =>
    Effect.gen(function*() {
      const { agent, scene, tokens } = yield* signedIn()
      const second = Scene.tokensOf(yield* scene.one.token(scene.redemption(yield* scene.code({}, agent))))
      yield* scene.one.revoke({ client_id: scene.clientId, token: second.refreshToken })
      scene.watch.events.length = 0
      const { location, status } = yield* press(agent, "/oauth/logout")
      assert.strictEqual(status, 303)
      assert.isTrue(location.searchParams.has("id_token_hint"))
      // Nobody comes back whom no client awaits.
      assert.isFalse(agent.cookies.has("__Host-effect-okta-sign-out"))
      const [revoked, signedOut] = scene.watch.events
      assert(revoked?._tag === "GrantRevoked" && signedOut?._tag === "SignedOut")
      assert.strictEqual(revoked.why, "signed-out")
      assert.deepStrictEqual(signedOut.grants, [revoked.grant])
      assert.lengthOf(scene.watch.events, 2)
      assert.strictEqual((yield* scene.one.call(tokens.accessToken)).status, 401)
    }))

  it.effect("that Okta ends without saying of which it was is over", () =>
    Effect.gen(function*() {
      const scene = yield* Scene.make()
      const { body, status } = yield* scene.browser().ask("/oauth/logout/done")
      assert.strictEqual(status, 200)
      assert.include(body, "You are signed out")
    }))

  it.effect("#20 is not begun with what leads back from it, nor the reverse, whatever cookies a browser makes up", () =>
    Effect.gen(function*() {
      const { agent, path } = yield* signedIn()
      const page = yield* agent.ask(path)
      const known = agent.cookies.get("__Host-effect-okta")
      const { request = "" } = Scene.fieldsOf(page)
      const { location } = yield* agent.ask("/oauth/logout", { body: new URLSearchParams({ request }) })
      const sent = agent.cookies.get("__Host-effect-okta-sign-out")
      assert(known !== undefined && sent !== undefined)
      agent.cookies.set("__Host-effect-okta", sent)
      agent.cookies.set("__Host-effect-okta-sign-out", known)
      const state = location.searchParams.get("state") ?? ""
      Scene.assertLocal(yield* agent.ask("/oauth/logout", { body: new URLSearchParams({ request: state }) }), 400)
      Scene.assertLocal(yield* agent.ask(`/oauth/logout/done?${new URLSearchParams({ state: request })}`), 400)
    }))
})

describe("when something is away, a sign-out", () => {
  /** A store of which an operation can be made to fail. */
  const fallible = Effect.gen(function*() {
    // The time of the scene, so that the store does not live through all that was before.
    yield* TestClock.setTime(Scene.now * 1000)
    const store = Context.get(yield* Layer.build(Layer.fresh(MemoryStore.layer)), Store)
    const state = { fails: (_operation: StoreUnavailable["operation"], _key: string) => false }
    const or = <A>(operation: StoreUnavailable["operation"], key: string, then: Effect.Effect<A, StoreUnavailable>) =>
      Effect.suspend(() =>
        state.fails(operation, key) ? Effect.fail(new StoreUnavailable({ operation, reason: "it is broken" })) : then
      )
    const service = Store.of({
      ...store,
      get: (key) => or("get", key, store.get(key)),
      take: (key) => or("take", key, store.take(key)),
      putIfAbsent: (key, ...rest) => or("putIfAbsent", key, store.putIfAbsent(key, ...rest)),
      compareAndSet: (key, ...rest) => or("compareAndSet", key, store.compareAndSet(key, ...rest))
    })
    return { state, layer: Layer.succeed(Store, service) }
  })

  it.effect("that stopped halfway is finished by one press, and is then as any other", () =>
    Effect.gen(function*() {
      const { layer, state } = yield* fallible
      const { agent, path, scene, tokens } = yield* signedIn({ settings: { store: layer } })
      const others = yield* Effect.forEach([1, 2], () =>
        Effect.map(
          Effect.flatMap(scene.code({}, agent), (code) => scene.one.token(scene.redemption(code))),
          Scene.tokensOf
        ))
      const all = [tokens, ...others]
      const alive = Effect.map(
        Effect.forEach(all, ({ accessToken }) => scene.one.call(accessToken)),
        (answers) => answers.map(({ status }) => status)
      )
      let taken = 0
      state.fails = (operation) => operation === "take" && ++taken > 1
      const page = yield* press(agent, path)
      Scene.assertLocal(page, 503, "temporarily_unavailable")
      assert.deepStrictEqual(yield* alive, [401, 200, 200])

      state.fails = () => false
      const { location, status } = yield* agent.ask("/oauth/logout", {
        body: new URLSearchParams(Scene.fieldsOf(page))
      })
      assert.strictEqual(status, 303)
      assert.strictEqual(location.origin, scene.okta.origin)
      assert.isNotNull(location.searchParams.get("id_token_hint"))
      assert.deepStrictEqual(yield* alive, [401, 401, 401])
    }))

  it.effect("ends all grants though they cannot be forgotten", () =>
    Effect.gen(function*() {
      const { layer, state } = yield* fallible
      const { agent, path, scene, tokens } = yield* signedIn({ settings: { store: layer } })
      state.fails = (operation, key) => operation === "compareAndSet" && key.startsWith("session:")
      assert.strictEqual((yield* press(agent, path)).location.origin, scene.okta.origin)
      assert.strictEqual((yield* scene.one.call(tokens.accessToken)).status, 401)
      state.fails = () => false
      assert.strictEqual((yield* press(agent, path)).location.href, `${out}?state=client+state`)
    }))

  it.effect("that has been to Okta waits for the store, and then leads on", () =>
    Effect.gen(function*() {
      const { layer, state } = yield* fallible
      const { agent, path } = yield* signedIn({ settings: { store: layer } })
      const { location } = yield* press(agent, path)
      const done = wayBack(location)
      state.fails = () => true
      assert.strictEqual((yield* agent.ask(done)).status, 503)
      state.fails = () => false
      assert.strictEqual((yield* agent.ask(done)).location.href, `${out}?state=client+state`)
    }))

  it.effect("tells the person that Okta could not be asked, and leads on to the client", () =>
    Effect.gen(function*() {
      const { agent, path, scene, tokens } = yield* signedIn()
      const page = yield* agent.ask(path)
      yield* scene.okta.outage("refuse")
      // It has never heard where people sign out of Okta.
      const fresh = yield* scene.start()
      const cold = scene.browser(fresh)
      for (const [name, cookie] of agent.cookies) cold.cookies.set(name, cookie)
      const told = yield* Scene.asTimePasses(
        cold.ask("/oauth/logout", { body: new URLSearchParams(Scene.fieldsOf(page)) })
      )
      assert.strictEqual(told.status, 200, told.body)
      assert.include(told.body, "not of Okta")
      assert.include(told.body, `href="${out}?state=client+state"`)
      assert.strictEqual((yield* fresh.call(tokens.accessToken)).status, 401)
    }))

  it.effect("is limited for each address", () =>
    Effect.gen(function*() {
      const { agent, path, scene } = yield* signedIn({ settings: { requestsPerMinute: 20 } })
      const answers = yield* Effect.replicateEffect(agent.ask(path), 21)
      assert.deepStrictEqual(answers.map(({ status }) => status), [...Array(20).fill(200), 429])
      assert.include(answers.at(-1)?.body, "href=\"\">Try again</a>")
      const limited = scene.watch.metrics.filter(({ id }) => id === "okta_rate_limited")
      assert.deepStrictEqual(limited.map(({ attributes }) => attributes?.["endpoint"]), ["logout"])
    }))
})
