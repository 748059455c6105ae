import { assert, describe, it } from "@effect/vitest"
import { Duration, Effect, Layer } from "effect"
import { TestClock } from "effect/testing"
import * as MemoryStore from "../../src/store/MemoryStore.ts"
import { Store, StoreUnavailable } from "../../src/store/Store.ts"
import * as Scene from "../support/ProxyScene.ts"

const json = { "content-type": "application/json" }

const registration = (redirectUri = Scene.redirectUri) =>
  JSON.stringify({ redirect_uris: [redirectUri], token_endpoint_auth_method: "none" })

/** A store in memory that can be taken away, or be full. */
const fallible = () => {
  const state = { away: false, full: false }
  const unless = <A>(
    isAway: () => boolean,
    operation: StoreUnavailable["operation"],
    effect: Effect.Effect<A, StoreUnavailable>
  ) =>
    Effect.suspend(() => isAway() ? Effect.fail(new StoreUnavailable({ operation, reason: "it is broken" })) : effect)
  const away = () => state.away
  const noRoom = () => state.away || state.full
  const layer = Layer.effect(
    Store,
    Effect.map(Store, (store) =>
      Store.of({
        put: (...given) => unless(noRoom, "put", store.put(...given)),
        get: (key) => unless(away, "get", store.get(key)),
        take: (key) => unless(away, "take", store.take(key)),
        putIfAbsent: (...given) => unless(noRoom, "putIfAbsent", store.putIfAbsent(...given)),
        compareAndSet: (...given) => unless(away, "compareAndSet", store.compareAndSet(...given)),
        remove: (key) => unless(away, "remove", store.remove(key))
      }))
  ).pipe(Layer.provide(MemoryStore.layer))
  return { state, layer }
}

/** A page that says that it does not go on at the moment, and when it may. */
const assertAway = (answer: Scene.Answer, status: number) => {
  Scene.assertLocal(answer, status, "temporarily_unavailable")
  assert.match(answer.headers.get("retry-after") ?? "", /^[1-9]\d*$/)
}

describe("limits", () => {
  for (const path of ["/oauth/authorize", "/oauth/consent", "/oauth/token", "/oauth/revoke", "/oauth/register"]) {
    it.effect(`#109, #164: a body of 10 MB at ${path} is not read`, () =>
      Effect.gen(function*() {
        const { one } = yield* Scene.make()
        const body = path === "/oauth/register"
          ? `{"client_name":"${"x".repeat(10_000_000)}"}`
          : `a=${"x".repeat(10_000_000)}`
        const type = path === "/oauth/register" ? "application/json" : "application/x-www-form-urlencoded"
        const { status } = yield* one.ask(path, { headers: { "content-type": type }, body })
        assert.strictEqual(status, 413)
      }))
  }

  it.effect("#110: no more people are sent to Okta at one time than are allowed, and others go on", () =>
    Effect.gen(function*() {
      const scene = yield* Scene.make({ settings: { maxPendingSignIns: 3 } })
      const { refreshToken } = yield* scene.signIn()
      for (let pending = 1; pending < 3; pending++) {
        assert.strictEqual((yield* scene.allow(scene.browser())).location.origin, scene.okta.origin)
      }
      const before = scene.writes.length
      let wait = 0
      for (let more = 0; more < 20; more++) {
        const answer = yield* scene.allow(scene.browser())
        assertAway(answer, 429)
        wait = Number(answer.headers.get("retry-after"))
      }
      assert.strictEqual(scene.writes.length, before)
      Scene.tokensOf(yield* scene.one.token(scene.refreshment(refreshToken)))
      assert.isAtLeast(wait, 600)
      assert.isAtMost(wait, 900)
      yield* TestClock.adjust(Duration.seconds(wait))
      assert.strictEqual((yield* scene.allow(scene.browser())).location.origin, scene.okta.origin)
    }))

  it.effect("#168: a flood of registrations is told to wait, and keeps nothing", () =>
    Effect.gen(function*() {
      const { one, writes } = yield* Scene.make({ settings: { requestsPerMinute: 5 } })
      const before = writes.length
      const statuses: Array<number> = []
      for (let nth = 0; nth < 20; nth++) {
        const answer = yield* one.ask("/oauth/register", { headers: json, body: registration() })
        statuses.push(answer.status)
        if (answer.status === 429) {
          assert.strictEqual(Scene.membersOf(answer)["error"], "temporarily_unavailable")
          assert.match(answer.headers.get("retry-after") ?? "", /^[1-9]\d*$/)
        }
      }
      // One was made by the scene.
      assert.deepStrictEqual([statuses.filter((status) => status === 201).length, new Set(statuses)], [
        4,
        new Set([201, 429])
      ])
      assert.strictEqual(writes.length, before)
      yield* TestClock.adjust("1 minute")
      assert.strictEqual((yield* one.ask("/oauth/register", { headers: json, body: registration() })).status, 201)
    }))

  it.effect("a flood at the token endpoint is told to wait in a way that costs no client its tokens", () =>
    Effect.gen(function*() {
      const scene = yield* Scene.make({ settings: { requestsPerMinute: 5 } })
      const { refreshToken } = yield* scene.signIn()
      for (let nth = 0; nth < 10; nth++) yield* scene.one.token(scene.refreshment("guess"))
      const answer = yield* scene.one.token(scene.refreshment(refreshToken))
      assert.deepStrictEqual([answer.status, Scene.membersOf(answer)["error"]], [429, "temporarily_unavailable"])
      assert.match(answer.headers.get("retry-after") ?? "", /^[1-9]\d*$/)
      yield* TestClock.adjust("1 minute")
      Scene.tokensOf(yield* scene.one.token(scene.refreshment(refreshToken)))
    }))

  it.effect("people behind trusted proxies are counted each by themselves, by what the last of those says", () =>
    Effect.gen(function*() {
      const { one } = yield* Scene.make({ settings: { requestsPerMinute: 3, trustedProxies: 2 } })
      const from = (forwarded: string) =>
        Effect.map(
          one.ask("/oauth/register", { headers: { ...json, "x-forwarded-for": forwarded }, body: registration() }),
          ({ status }) => status
        )
      for (let nth = 0; nth < 3; nth++) assert.strictEqual(yield* from("6.6.6.6, 203.0.113.1, 10.0.0.1"), 201)
      assert.strictEqual(yield* from("1.2.3.4, 203.0.113.1, 10.0.0.1"), 429)
      assert.strictEqual(yield* from("6.6.6.6, 203.0.113.2, 10.0.0.1"), 201)
      for (let nth = 0; nth < 3; nth++) assert.strictEqual(yield* from(`2001:db8:1:2::${nth}, 10.0.0.1`), 201)
      assert.strictEqual(yield* from("2001:db8:1:2:ffff::, 10.0.0.1"), 429)
      assert.strictEqual(yield* from("2001:db8:1:3::, 10.0.0.1"), 201)
    }))

  it.effect("X-Forwarded-For is not believed by itself, and a warning says what that costs, once", () =>
    Effect.gen(function*() {
      const { one, watch } = yield* Scene.make({ settings: { requestsPerMinute: 3 } })
      for (let nth = 0; nth < 2; nth++) {
        yield* one.ask("/oauth/register", {
          headers: { ...json, "x-forwarded-for": `203.0.113.${nth}` },
          body: registration()
        })
      }
      const last = yield* one.ask("/oauth/register", {
        headers: { ...json, "x-forwarded-for": "203.0.113.9" },
        body: registration()
      })
      assert.strictEqual(last.status, 429)
      assert.lengthOf(watch.lines.filter((line) => line.startsWith("{") && line.includes("trustedProxies is 0")), 1)
    }))
})

describe("the store", () => {
  it.effect("F18: away, everything that needs it is 503, and access tokens go on", () =>
    Effect.gen(function*() {
      const { layer, state } = fallible()
      const scene = yield* Scene.make({ settings: { store: layer } })
      const { accessToken, refreshToken } = yield* scene.signIn()
      const shown = yield* scene.browser().ask(scene.authorizeUrl())
      const agent = scene.browser()
      const page = yield* agent.ask(scene.authorizeUrl())
      assert.strictEqual(shown.status, 200)
      state.away = true
      assertAway(yield* scene.browser().ask(scene.authorizeUrl()), 503)
      assertAway(yield* Scene.decide(agent, page, "allow"), 503)
      Scene.assertRefused(yield* scene.one.token(scene.refreshment(refreshToken)), 503, "temporarily_unavailable")
      const registered = yield* scene.one.ask("/oauth/register", { headers: json, body: registration() })
      assert.deepStrictEqual([registered.status, Scene.membersOf(registered)["error"]], [
        503,
        "temporarily_unavailable"
      ])
      assert.strictEqual((yield* scene.one.call(accessToken)).status, 200)
      const ready = yield* scene.one.ask("/readyz")
      assert.deepStrictEqual([ready.status, Scene.membersOf(ready)["missing"]], [503, ["store"]])
      state.away = false
      assert.strictEqual((yield* scene.one.ask("/readyz")).status, 200)
      // The person loads the page again, and nobody has lost anything.
      assert.strictEqual((yield* Scene.decide(agent, page, "allow")).location.origin, scene.okta.origin)
      Scene.tokensOf(yield* scene.one.token(scene.refreshment(refreshToken)))
    }))

  it.effect("F20: full, nobody new comes in, and everybody else goes on", () =>
    Effect.gen(function*() {
      const { layer, state } = fallible()
      const scene = yield* Scene.make({ settings: { store: layer } })
      const { refreshToken } = yield* scene.signIn()
      const agent = scene.browser()
      const page = yield* agent.ask(scene.authorizeUrl())
      state.full = true
      assertAway(yield* Scene.decide(agent, page, "allow"), 503)
      Scene.tokensOf(yield* scene.one.token(scene.refreshment(refreshToken)))
      state.full = false
      assert.strictEqual((yield* Scene.decide(agent, page, "allow")).location.origin, scene.okta.origin)
    }))
})
