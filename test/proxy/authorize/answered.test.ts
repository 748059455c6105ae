import { assert, describe, it, layer } from "@effect/vitest"
import { Effect, Layer } from "effect"
import { TestClock } from "effect/testing"
import * as MemoryStore from "../../../src/store/MemoryStore.ts"
import { Store, StoreUnavailable } from "../../../src/store/Store.ts"
import * as DocumentHost from "../../support/DocumentHost.ts"
import * as Scene from "../../support/ProxyScene.ts"

/** The events since then, without those of other kinds. */
const decisions = ({ watch }: Scene.ProxyScene, since: number) =>
  watch.events.slice(since).filter(({ _tag }) => _tag.startsWith("Consent"))

const errorsOf = ({ watch }: Scene.ProxyScene, name: string) =>
  watch.spans.filter((span) => span.name === name).map(({ attributes }) => attributes.get("okta.error"))

layer(Scene.Scene.layer())("a person's answer to the question of consent", (it) => {
  it.effect("is noted: who asked, for what, and where the person will be sent", () =>
    Effect.gen(function*() {
      const scene = yield* Scene.Scene
      const registered = scene.watch.events.find((event) => event._tag === "ClientRegistered")
      for (const [decision, _tag] of [["allow", "ConsentGiven"], ["deny", "ConsentDenied"]] as const) {
        const since = scene.watch.events.length
        const agent = scene.browser()
        const answer = yield* Scene.decide(agent, yield* agent.ask(scene.authorizeUrl()), decision)
        assert.strictEqual(answer.status, 303)
        const [event, ...more] = decisions(scene, since)
        assert.deepInclude<Readonly<Record<string, unknown>>>({ ...event }, {
          _tag,
          address: "127.0.0.1",
          clientId: registered?.clientId,
          redirectHost: "client.example.com",
          scopes: ["mcp:read", "openid"]
        })
        assert.deepStrictEqual(more, [])
      }
    }))

  const sites: ReadonlyArray<readonly [site: string | undefined, isTaken: boolean]> = [
    [undefined, true],
    ["none", true],
    ["same-origin", true],
    ["same-site", false],
    ["cross-site", false],
    ["", false],
    ["NONE", false]
  ]
  it.effect.each(sites)("of a page of which the browser says %s: %s", ([site, isTaken]) =>
    Effect.gen(function*() {
      const scene = yield* Scene.Scene
      const since = scene.watch.events.length
      const agent = scene.browser()
      const page = yield* agent.ask(scene.authorizeUrl())
      const answer = yield* Scene.decide(agent, page, "allow", site === undefined ? {} : { "sec-fetch-site": site })
      if (isTaken) assert.strictEqual(answer.location.origin, scene.okta.origin)
      else Scene.assertLocal(answer, 403, "access_denied")
      assert.lengthOf(decisions(scene, since), isTaken ? 1 : 0)
    }))

  it.effect("that is neither yes nor no, or none of ours, is not taken, and the span says why", () =>
    Effect.gen(function*() {
      const scene = yield* Scene.Scene
      const since = scene.watch.events.length
      const agent = scene.browser()
      const { request = "" } = Scene.fieldsOf(yield* agent.ask(scene.authorizeUrl()))
      const send = (fields: string | Record<string, string>, headers = {}) =>
        agent.ask("/oauth/consent", {
          body: typeof fields === "string" ? fields : new URLSearchParams(fields),
          headers
        })
      for (
        const fields of [{ request }, { request, decision: "" }, { request, decision: "Allow" }, { decision: "allow" }]
      ) {
        Scene.assertLocal(yield* send(fields), 400)
      }
      Scene.assertLocal(yield* send("{}", { "content-type": "application/json" }), 400)
      Scene.assertLocal(
        yield* send(`request=${request}&decision=allow&decision=deny`, {
          "content-type": "application/x-www-form-urlencoded"
        }),
        400
      )
      Scene.assertLocal(yield* send({ request, decision: "x".repeat(200_000) }), 413)
      assert.includeMembers(errorsOf(scene, "okta.consent"), ["MalformedRequest", "BodyTooLarge"])
      assert.lengthOf(decisions(scene, since), 0)
    }))
})

describe("a person's answer to the question of consent", () => {
  it.effect("is asked for again where too many answer", () =>
    Effect.gen(function*() {
      const scene = yield* Scene.make({ settings: { requestsPerMinute: 2 } })
      const agent = scene.browser()
      const page = yield* agent.ask(scene.authorizeUrl())
      yield* Scene.decide(agent, page, "allow")
      const late = yield* Scene.decide(agent, page, "allow")
      Scene.assertLocal(late, 429, "temporarily_unavailable")
      assert.include(late.body, ">Try again</button>")
      assert.include(errorsOf(scene, "okta.consent"), "TooManyRequests")
      yield* TestClock.adjust("1 minute")
      const again = yield* agent.ask("/oauth/consent", { body: new URLSearchParams(Scene.fieldsOf(late)) })
      assert.strictEqual(again.location.origin, scene.okta.origin)
    }))

  it.effect("is not asked for again in the same browser, where the owner lets it be remembered", () =>
    Effect.gen(function*() {
      const scene = yield* Scene.make({ settings: { rememberConsent: true } })
      const agent = scene.browser()
      yield* scene.allow(agent)
      const again = yield* agent.ask(scene.authorizeUrl(), { headers: { "sec-fetch-site": "none" } })
      assert.strictEqual(again.location.origin, scene.okta.origin)
    }))

  it.effect("is asked for again where it cannot be kept, and given once all the same", () =>
    Effect.gen(function*() {
      let away = true
      const store = Layer.effect(
        Store,
        Effect.map(Store, (store) =>
          Store.of({
            ...store,
            put: (...given) =>
              away ? Effect.fail(new StoreUnavailable({ operation: "put", reason: "it is away" })) : store.put(...given)
          }))
      ).pipe(Layer.provide(MemoryStore.layer))
      const scene = yield* Scene.make({ store })
      const agent = scene.browser()
      const late = yield* Scene.decide(agent, yield* agent.ask(scene.authorizeUrl()), "allow")
      Scene.assertLocal(late, 503, "temporarily_unavailable")
      away = false
      const again = yield* agent.ask("/oauth/consent", { body: new URLSearchParams(Scene.fieldsOf(late)) })
      assert.strictEqual(again.location.origin, scene.okta.origin)
    }))

  it.effect("is for the client as it is by then: one that is gone, or was moved, gets nothing", () =>
    Effect.gen(function*() {
      let redirect_uris: ReadonlyArray<string> = [Scene.redirectUri]
      let status = 200
      const origin = yield* DocumentHost.serve((request, response) => {
        response.writeHead(status, { "content-type": "application/json", "cache-control": "no-store" }).end(
          JSON.stringify({ client_id: `https://${request.headers.host}${request.url}`, redirect_uris })
        )
      })
      const scene = yield* Scene.make({
        settings: { clientMetadataDocuments: true },
        environment: DocumentHost.loopback
      })
      const agent = scene.browser()
      const ask = (name: string) => agent.ask(scene.authorizeUrl({ client_id: `${origin}/${name}` }))
      const [moved, gone, there] = [yield* ask("moved"), yield* ask("gone"), yield* ask("there")]
      assert.strictEqual((yield* Scene.decide(agent, there, "allow")).location.origin, scene.okta.origin)
      redirect_uris = ["https://client.example.com/elsewhere"]
      Scene.assertLocal(yield* Scene.decide(agent, moved, "allow"), 400)
      Scene.assertLocal(yield* Scene.decide(agent, moved, "deny"), 400)
      status = 404
      Scene.assertLocal(yield* Scene.decide(agent, gone, "allow"), 400)
    }))
})
