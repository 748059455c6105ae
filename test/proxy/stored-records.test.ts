import { assert, it } from "@effect/vitest"
import { Context, Duration, Effect, Layer, Option, Schema } from "effect"
import { TestClock } from "effect/testing"
import { ada } from "../../src/demo/StandInDirectory.ts"
import { type Purpose, Sealed } from "../../src/proxy/Sealed.ts"
import * as MemoryStore from "../../src/store/MemoryStore.ts"
import { Store } from "../../src/store/Store.ts"
import * as Leaving from "../support/Leaving.ts"
import * as Scene from "../support/ProxyScene.ts"
import { configLayer } from "./ProxyTest.ts"

/** What each kind of record is sealed for; one that is not sealed says nothing. */
const kinds: { readonly [kind: string]: Purpose | undefined } = {
  consent: "consent",
  flow: "flow",
  session: "session",
  code: "code",
  used: "code",
  grant: "grant",
  grants: "grants",
  ended: "mark",
  visit: "visit",
  "visit-hint": "visit",
  "signed-out": undefined,
  statement: undefined
}

const Members = Schema.fromJsonString(Schema.Record(Schema.String, Schema.Unknown))

const out = "https://client.example.com/signed-out"

/** A scene that tells what was written to its store, and reads and makes what its server seals. */
const arrange = Effect.gen(function*() {
  // The time of the scene, so that the store does not live through all that was before.
  yield* TestClock.setTime(Scene.now * 1000)
  const written = new Map<string, string>()
  const note = (key: string, value: string) => Effect.sync(() => void written.set(key, value))
  const memory = Context.get(yield* Layer.build(Layer.fresh(MemoryStore.layer)), Store)
  const store = Layer.succeed(
    Store,
    Store.of({
      ...memory,
      put: (key, value, ttl) => Effect.andThen(note(key, value), memory.put(key, value, ttl)),
      putIfAbsent: (key, value, ttl) => Effect.andThen(note(key, value), memory.putIfAbsent(key, value, ttl))
    })
  )
  const scene = yield* Scene.make({
    store,
    settings: { rememberConsent: true },
    client: { post_logout_redirect_uris: [out] }
  })
  const query = new URLSearchParams({ client_id: scene.clientId, post_logout_redirect_uri: out })
  const sealed = Context.get(yield* Layer.build(Layer.provide(Sealed.layer, configLayer())), Sealed)
  return { memory, scene, sealed, written, logout: `/oauth/logout?${query}` }
})

it.effect("F23 what is stored is named and sealed as other releases expect it, so that they find it", () =>
  Effect.gen(function*() {
    const { logout, scene, sealed, written } = yield* arrange
    const agent = scene.browser()
    yield* scene.one.token(scene.redemption(yield* scene.code({}, agent)))
    const toOkta = yield* agent.ask("/oauth/connections")
    yield* agent.ask(yield* Effect.orDie(scene.okta.authorize(toOkta.location)))
    const page = yield* agent.ask(logout)
    const { location } = yield* agent.ask("/oauth/logout", { body: new URLSearchParams(Scene.fieldsOf(page)) })
    const state = location.searchParams.get("state") ?? ""
    yield* agent.ask(`/oauth/logout/done?${new URLSearchParams({ state })}`)
    const body = { sub_id: { format: "email", email: ada.login } }
    yield* Leaving.revokeAll(scene.one, yield* Leaving.revocationToken(scene), body)

    const seen = new Set<string>()
    for (const [key, value] of written) {
      const [kind = ""] = key.split(":", 1)
      seen.add(kind)
      const purpose = kinds[kind]
      if (purpose !== undefined) assert.isTrue(Option.isSome(yield* sealed.open(purpose, value)), kind)
    }
    assert.sameMembers([...seen], Object.keys(kinds))
  }))

it.effect("F29 what another release has stored or sealed in another shape is as none", () =>
  Effect.gen(function*() {
    const { logout, memory, scene, sealed, written } = yield* arrange
    const membersOf = (text: string) => Schema.decodeUnknownSync(Members)(text)
    const read = (purpose: Purpose, text: string) =>
      Effect.map(sealed.open(purpose, text), (opened) => membersOf(Option.getOrThrow(opened)))
    const make = (purpose: Purpose, value: object) =>
      sealed.seal(purpose, JSON.stringify(value), (Scene.now + 600) * 1000)
    /** Puts records without their members in place of all of a kind. */
    const spoil = Effect.fnUntraced(function*(kind: string, purpose: Purpose, value = {}) {
      for (const [key, text] of [...written].filter(([key]) => key.startsWith(`${kind}:`))) {
        const { id } = yield* read(purpose, text)
        yield* memory.put(key, yield* sealed.seal(purpose, JSON.stringify({ id, value })), Duration.hours(1))
      }
    })
    const agent = scene.browser()
    const press = Effect.fnUntraced(function*() {
      const body = new URLSearchParams(Scene.fieldsOf(yield* agent.ask(logout)))
      return yield* agent.ask("/oauth/logout", { body })
    })

    const back = yield* scene.comeBack(agent)
    yield* spoil("flow", "flow")
    Scene.assertLocal(yield* agent.ask(back), 400)

    yield* scene.code({}, agent)
    yield* spoil("consent", "consent", { givenAt: Scene.now })
    const own = { headers: { "sec-fetch-site": "none" } }
    const asked = yield* agent.ask(scene.authorizeUrl({ prompt: "login" }), own)
    assert.strictEqual(asked.status, 200)
    const { request: pending = "" } = Scene.fieldsOf(asked)
    const { browser, request } = yield* read("request", pending)
    for (const other of [{ request }, { browser, request: {} }]) {
      const body = new URLSearchParams({ request: yield* make("request", other), decision: "allow" })
      Scene.assertLocal(yield* agent.ask("/oauth/consent", { body }), 400)
    }

    const toOkta = yield* agent.ask("/oauth/connections")
    yield* spoil("visit", "visit")
    Scene.assertLocal(yield* agent.ask(yield* Effect.orDie(scene.okta.authorize(toOkta.location))), 400)
    const again = yield* agent.ask("/oauth/connections")
    yield* agent.ask(yield* Effect.orDie(scene.okta.authorize(again.location)))
    const name = "__Host-effect-okta-connections"
    const visit = agent.cookies.get(name)
    assert(visit !== undefined)
    const given = yield* read("visit-cookie", visit.value)
    for (const [other, status] of [[{}, 302], [{ ...given, names: [{}] }, 302], [given, 200]] as const) {
      agent.cookies.set(name, { ...visit, value: yield* make("visit-cookie", other) })
      assert.strictEqual((yield* agent.ask("/oauth/connections")).status, status)
    }
    agent.cookies.set(name, visit)

    const shown = Effect.map(
      agent.ask("/oauth/connections"),
      ({ body, status }) => [status, body.includes("Example Assistant")]
    )
    for (const list of [{}, { grants: [{}] }]) {
      yield* scene.code({}, agent)
      assert.deepStrictEqual(yield* shown, [200, true])
      yield* spoil("grants", "grants", list)
      assert.deepStrictEqual(yield* shown, [200, false])
    }

    const { request: leaving = "" } = Scene.fieldsOf(yield* agent.ask(logout))
    for (const other of [{ step: "asked" }, { ...yield* read("logout", leaving), back: {} }]) {
      const body = new URLSearchParams({ request: yield* make("logout", other) })
      Scene.assertLocal(yield* agent.ask("/oauth/logout", { body }), 400)
    }
    // Nothing tells Okta who is to be signed out.
    yield* spoil("session", "session")
    yield* spoil("visit-hint", "visit")
    assert.strictEqual((yield* press()).location.href, out)
  }))
