import { assert, it } from "@effect/vitest"
import { Context, Effect, Layer, Option } from "effect"
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

it.effect("F23 what is stored is named and sealed as other releases expect it, so that they find it", () =>
  Effect.gen(function*() {
    const written = new Map<string, string>()
    const note = (key: string, value: string) => Effect.sync(() => void written.set(key, value))
    const store = Layer.effect(
      Store,
      Effect.map(Store, (store) =>
        Store.of({
          ...store,
          put: (key, value, ttl) => Effect.andThen(note(key, value), store.put(key, value, ttl)),
          putIfAbsent: (key, value, ttl) => Effect.andThen(note(key, value), store.putIfAbsent(key, value, ttl))
        }))
    ).pipe(Layer.provide(MemoryStore.layer))
    const out = "https://client.example.com/signed-out"
    const scene = yield* Scene.make({
      store,
      settings: { rememberConsent: true },
      client: { post_logout_redirect_uris: [out] }
    })
    const agent = scene.browser()
    yield* scene.one.token(scene.redemption(yield* scene.code({}, agent)))
    const toOkta = yield* agent.ask("/oauth/connections")
    yield* agent.ask(yield* Effect.orDie(scene.okta.authorize(toOkta.location)))
    const query = new URLSearchParams({ client_id: scene.clientId, post_logout_redirect_uri: out })
    const page = yield* agent.ask(`/oauth/logout?${query}`)
    const { location } = yield* agent.ask("/oauth/logout", { body: new URLSearchParams(Scene.fieldsOf(page)) })
    const state = location.searchParams.get("state") ?? ""
    yield* agent.ask(`/oauth/logout/done?${new URLSearchParams({ state })}`)
    const body = { sub_id: { format: "email", email: ada.login } }
    yield* Leaving.revokeAll(scene.one, yield* Leaving.revocationToken(scene), body)

    const sealed = Context.get(yield* Layer.build(Layer.provide(Sealed.layer, configLayer())), Sealed)
    const seen = new Set<string>()
    for (const [key, value] of written) {
      const [kind = ""] = key.split(":", 1)
      seen.add(kind)
      const purpose = kinds[kind]
      if (purpose !== undefined) assert.isTrue(Option.isSome(yield* sealed.open(purpose, value)), kind)
    }
    assert.sameMembers([...seen], Object.keys(kinds))
  }))
