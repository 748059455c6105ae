import { assert, describe, it, layer } from "@effect/vitest"
import { Effect, Layer } from "effect"
import { TestClock } from "effect/testing"
import * as MemoryStore from "../../../src/store/MemoryStore.ts"
import { Store, StoreUnavailable } from "../../../src/store/Store.ts"
import { loopbackUrl, secret } from "../../proxy/ProxyTest.ts"
import * as DocumentHost from "../../support/DocumentHost.ts"
import { raw } from "../../support/GuardedServer.ts"
import * as Scene from "../../support/ProxyScene.ts"
import { text } from "../../support/Refusals.ts"

const cookie = "__Host-effect-okta"

/** What spans of a name say of how it ended. */
const errorsOf = ({ watch }: Scene.ProxyScene, name = "okta.authorize") =>
  watch.spans.filter((span) => span.name === name).map(({ attributes }) => attributes.get("okta.error"))

/** By whom or what there were too many, and how often. */
const limited = ({ watch }: Scene.ProxyScene) =>
  Object.fromEntries(
    watch.metrics.flatMap(({ attributes, id, state }) =>
      id === "okta_rate_limited" && "count" in state
        ? [[`${attributes?.["endpoint"]} by ${attributes?.["by"]}`, Number(state.count)]]
        : []
    )
  )

const configured = {
  clientId: "configured",
  clientSecrets: [secret("c")],
  redirectUris: [Scene.redirectUri]
}

layer(Scene.Scene.layer({ settings: { clients: [configured] } }))("an authorization request", (it) => {
  it.effect("of a client that the owner has configured goes straight to Okta, in the browser that it came from", () =>
    Effect.gen(function*() {
      const scene = yield* Scene.Scene
      const agent = scene.browser()
      const url = scene.authorizeUrl({ client_id: "configured" })
      const { headers, location, status } = yield* agent.ask(url)
      assert.strictEqual(status, 302)
      assert.strictEqual(location.origin, scene.okta.origin)
      assert.include(headers.get("set-cookie"), cookie)
      const back = yield* agent.ask(yield* Effect.orDie(scene.okta.authorize(location)))
      assert.isTrue(back.location.searchParams.has("code"), back.body)
      // In a browser that is known by now, by POST as well.
      const posted = yield* agent.ask("/oauth/authorize", { body: url.searchParams })
      assert.strictEqual(posted.status, 303)
      assert.strictEqual(posted.location.origin, scene.okta.origin)
    }))

  it.effect("by POST from a browser that is not known is led to the same by GET, and brings what counts", () =>
    Effect.gen(function*() {
      const scene = yield* Scene.Scene
      const url = scene.authorizeUrl({ unknown: "x", state: "ü &=+" })
      const { headers, location, status } = yield* scene.browser().ask("/oauth/authorize", { body: url.searchParams })
      assert.strictEqual(status, 303)
      assert.isFalse(headers.has("set-cookie"))
      url.searchParams.delete("unknown")
      assert.deepStrictEqual([location.origin, location.pathname], [url.origin, url.pathname])
      assert.deepStrictEqual([...location.searchParams].sort(), [...url.searchParams].sort())
    }))

  it.effect("by HEAD is answered as by GET, without the page", () =>
    Effect.gen(function*() {
      const scene = yield* Scene.Scene
      const { body, headers, status } = yield* scene.browser().ask(scene.authorizeUrl(), { method: "HEAD" })
      assert.deepStrictEqual([status, body], [200, ""])
      assert.include(headers.get("content-type"), "text/html")
      Scene.assertSentBack(
        yield* scene.browser().ask(scene.authorizeUrl({ response_type: "x" }), { method: "HEAD" }),
        "unsupported_response_type"
      )
    }))

  it.effect("that is not in order says why in its span", () =>
    Effect.gen(function*() {
      const scene = yield* Scene.Scene
      yield* scene.browser().ask(scene.authorizeUrl({ client_id: "x" }))
      yield* scene.browser().ask(scene.authorizeUrl({ scope: "x" }))
      assert.includeMembers(errorsOf(scene), ["UnprovenRequest", "AuthorizationRefused"])
      const told = "invalid_scope: A scope is not known to this server. It is \"x\"; name in scopesSupported what"
      assert.isTrue(scene.watch.lines.some((line) => line.includes(told)))
    }))

  const forms: ReadonlyArray<readonly [what: string, type: string, status: number]> = [
    ["a form", "application/x-www-form-urlencoded", 303],
    ["a form in upper case", "Application/X-WWW-Form-URLEncoded", 303],
    ["a form with a charset", "application/x-www-form-urlencoded; charset=utf-8", 303],
    ["a form with a space before the charset", "application/x-www-form-urlencoded ;charset=utf-8", 303],
    ["JSON", "application/json", 400],
    ["another kind of form", "application/x-www-form-urlencoded2", 400],
    ["something that only ends so", "text/application/x-www-form-urlencoded", 400]
  ]
  it.effect.each(forms)("whose body is %s", ([, type, status]) =>
    Effect.gen(function*() {
      const scene = yield* Scene.Scene
      const body = scene.authorizeUrl().searchParams.toString()
      const answer = yield* scene.browser().ask("/oauth/authorize", { body, headers: { "content-type": type } })
      if (status === 400) Scene.assertLocal(answer, 400)
      else assert.strictEqual(answer.status, status, answer.body)
    }))

  it.effect("may have a body of 64 KiB, and no more", () =>
    Effect.gen(function*() {
      const scene = yield* Scene.Scene
      const body = `${scene.authorizeUrl().searchParams}&x=`
      const headers = { "content-type": "application/x-www-form-urlencoded" }
      const ask = (length: number) =>
        scene.browser().ask("/oauth/authorize", { body: body.padEnd(length, "x"), headers })
      assert.strictEqual((yield* ask(65_536)).status, 303)
      Scene.assertLocal(yield* ask(65_537), 413)
    }))

  it.effect("may name a parameter without a value, as if it were not there", () =>
    Effect.gen(function*() {
      const scene = yield* Scene.Scene
      const url = scene.authorizeUrl()
      for (const name of ["prompt", "state", "request", "resource", "client_id"]) url.searchParams.append(name, "")
      assert.strictEqual((yield* scene.browser().ask(url)).status, 200)
      const none = yield* scene.browser().ask("/oauth/authorize")
      Scene.assertLocal(none, 400)
    }))
})

it.effect("a page is shown at this server's own name, and by the methods that it has", () =>
  Effect.gen(function*() {
    const local = yield* Scene.make({ settings: { serverUrl: loopbackUrl } })
    const at = (scene: Scene.ProxyScene, method: string, ...hosts: ReadonlyArray<string>) =>
      raw(
        Number(new URL(scene.one.actual).port),
        text(hosts.map((host) => `Host: ${host}`), { method, target: "/oauth/authorize" })
      )
    const scene = yield* Scene.make()
    const cases = [
      [yield* at(local, "GET", "evil.example"), 403, "not a loopback address"],
      [yield* at(local, "GET", "127.0.0.1:8080"), 400, "client_id is missing"],
      [yield* at(scene, "GET", "evil.example"), 400, "client_id is missing"],
      [yield* at(scene, "GET", "mcp.example.com", "mcp.example.com"), 400, "more than one Host header"],
      [yield* at(scene, "PUT", "mcp.example.com"), 405, "The method must be GET, HEAD, POST."]
    ] as const
    for (const [{ body, headers, status }, expected, words] of cases) {
      assert.strictEqual(status, expected, words)
      for (const part of ["<code>invalid_request</code>", words]) assert.include(body, part)
      assert.strictEqual(headers["x-frame-options"], "DENY")
      assert.strictEqual(headers["allow"], expected === 405 ? "GET, HEAD, POST" : undefined)
    }
  }))

describe("the question of consent", () => {
  it.effect("can be answered for 10 minutes", () =>
    Effect.gen(function*() {
      const scene = yield* Scene.make()
      const agent = scene.browser()
      const page = yield* agent.ask(scene.authorizeUrl())
      yield* TestClock.adjust("599999 millis")
      assert.strictEqual((yield* Scene.decide(agent, page, "allow")).location.origin, scene.okta.origin)
      yield* TestClock.adjust("1 milli")
      Scene.assertLocal(yield* Scene.decide(agent, page, "allow"), 400)
    }))

  it.effect("is put to nobody whose answer could not be kept", () =>
    Effect.gen(function*() {
      let away = false
      const store = Layer.effect(
        Store,
        Effect.map(Store, (store) =>
          Store.of({
            ...store,
            get: (key) =>
              away ? Effect.fail(new StoreUnavailable({ operation: "get", reason: "it is away" })) : store.get(key)
          }))
      ).pipe(Layer.provide(MemoryStore.layer))
      const scene = yield* Scene.make({ store })
      away = true
      const late = yield* scene.browser().ask(scene.authorizeUrl())
      Scene.assertLocal(late, 503, "temporarily_unavailable")
      assert.include(late.body, "href=\"\">Try again</a>")
      assert.include(errorsOf(scene), "StoreUnavailable")
      away = false
      assert.strictEqual((yield* scene.browser().ask(scene.authorizeUrl())).status, 200)
    }))
})

describe("too many authorization requests", () => {
  it.effect("from one address are told to wait, and counted as that", () =>
    Effect.gen(function*() {
      const scene = yield* Scene.make({ settings: { requestsPerMinute: 2 } })
      for (const status of [200, 200, 429]) {
        assert.strictEqual((yield* scene.browser().ask(scene.authorizeUrl())).status, status)
      }
      assert.deepStrictEqual(limited(scene), { "authorize by address": 1 })
      assert.include(errorsOf(scene), "TooManyRequests")
      yield* TestClock.adjust("1 minute")
      assert.strictEqual((yield* scene.browser().ask(scene.authorizeUrl())).status, 200)
    }))

  it.effect("of one client from many addresses are told to wait, and those of others go on", () =>
    Effect.gen(function*() {
      const scene = yield* Scene.make({ settings: { requestsPerMinute: 2, trustedProxies: 1 } })
      const { clientId: client_id } = yield* scene.register()
      let last = 0
      const ask = (changes: Scene.Changes = {}) =>
        scene.browser().ask(scene.authorizeUrl(changes), { headers: { "x-forwarded-for": `203.0.113.${++last}` } })
      for (const status of [200, 200, 429, 429]) assert.strictEqual((yield* ask()).status, status)
      assert.strictEqual((yield* ask({ client_id })).status, 200)
      assert.deepStrictEqual(limited(scene), { "authorize by client": 2 })
    }))

  it.effect("a client whose document cannot be had now is asked to come back", () =>
    Effect.gen(function*() {
      const scene = yield* Scene.make({
        settings: { clientMetadataDocuments: true },
        environment: DocumentHost.loopback
      })
      const origin = yield* DocumentHost.serve((_, response) => void response.writeHead(503).end())
      const url = scene.authorizeUrl({ client_id: `${origin}/c` })
      const away = yield* scene.browser().ask(url)
      Scene.assertLocal(away, 503, "temporarily_unavailable")
      assert.strictEqual(away.headers.get("retry-after"), "10")
      assert.include(away.body, "href=\"\">Try again</a>")
      const posted = yield* scene.browser().ask("/oauth/authorize", { body: url.searchParams })
      assert.include(posted.body, `href="${Scene.serverUrl}/oauth/authorize?response_type=code&amp;`)
      assert.include(errorsOf(scene), "DocumentUnavailable")
    }))
})
