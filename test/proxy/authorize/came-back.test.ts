import { NodeHttpServerRequest } from "@effect/platform-node"
import { assert, describe, it, layer } from "@effect/vitest"
import { Context, Deferred, Effect, Fiber, Layer } from "effect"
import type { AuditEvent } from "effect-okta"
import { HttpServerRequest } from "effect/http"
import { webClient } from "../../../src/demo/StandInDirectory.ts"
import { sendJson } from "../../../src/demo/StandInProvider.ts"
import { AuditLog } from "../../../src/observe/AuditLog.ts"
import * as MemoryStore from "../../../src/store/MemoryStore.ts"
import { Store, StoreUnavailable } from "../../../src/store/Store.ts"
import * as Scene from "../../support/ProxyScene.ts"

/** A test's way to the callback, and back from there. */
type Step = (scene: Scene.ProxyScene, agent: Scene.UserAgent) => Effect.Effect<Scene.Answer>

/** Back from Okta with an answer that Okta did not give. */
const answeredWith = (parameters: Readonly<Record<string, string>>): Step =>
  Effect.fnUntraced(function*(scene, agent) {
    return yield* agent.ask(Scene.callbackUrl(yield* scene.allow(agent), parameters))
  })

/** What Okta says at its token endpoint. */
const exchangedFor = (status: number, body: object): Step =>
  Effect.fnUntraced(function*(scene, agent) {
    const toOkta = yield* scene.allow(agent)
    yield* scene.okta.respond("token", (_, response) => sendJson(response, status, body))
    return yield* Effect.ensuring(agent.ask(Scene.callbackUrl(toOkta, { code: "code" })), scene.okta.lift)
  })

const cases: ReadonlyArray<
  readonly [how: string, step: Step, told: string | number, reason: string, asked: number, isClientKnown?: false]
> = [
  ["without a state", (_, agent) => agent.ask("/oauth/callback?code=x"), 400, "UnknownState", 0, false],
  [
    "with a state that cannot be one, which is not looked up",
    Effect.fnUntraced(function*(scene, agent) {
      const writes = scene.writes.length
      const answer = yield* agent.ask("/oauth/callback?state=x")
      assert.lengthOf(scene.writes, writes)
      return answer
    }),
    400,
    "UnknownState",
    0,
    false
  ],
  [
    "with a state that is not known",
    (_, agent) => agent.ask(`/oauth/callback?state=${"x".repeat(43)}`),
    400,
    "UnknownState",
    0,
    false
  ],
  [
    "with two codes, of which the state is then used by nobody",
    Effect.fnUntraced(function*(scene, agent) {
      const back = yield* scene.comeBack(agent)
      const twice = new URL(back)
      twice.searchParams.append("code", "y")
      const answer = yield* agent.ask(twice)
      const writes = scene.writes.length
      assert.isTrue((yield* agent.ask(back)).location.searchParams.has("code"))
      assert.strictEqual(scene.writes[writes], "take flow")
      return answer
    }),
    400,
    "UnknownState",
    1,
    false
  ],
  [
    "in another browser",
    Effect.fnUntraced(function*(scene, agent) {
      return yield* scene.browser().ask(yield* scene.comeBack(agent))
    }),
    403,
    "OtherBrowser",
    0
  ],
  ["from another issuer", answeredWith({ code: "x", iss: "https://evil.example.com" }), 400, "OtherIssuer", 0],
  ["with neither a code nor an error", answeredWith({}), "server_error", "OktaRefused", 0],
  ["with an empty code", answeredWith({ code: "" }), "server_error", "OktaRefused", 0],
  ["with an error and a code", answeredWith({ code: "x", error: "access_denied" }), "access_denied", "OktaRefused", 0],
  ["with a code that Okta refuses", exchangedFor(400, { error: "invalid_grant" }), "server_error", "OktaRefused", 1],
  [
    "with an ID token that is none",
    exchangedFor(200, { token_type: "Bearer", expires_in: 3600, access_token: "opaque", id_token: "e30.e30.e30" }),
    "server_error",
    "OktaTokenRefused",
    1
  ],
  ["where Okta has a fault", exchangedFor(500, {}), "temporarily_unavailable", "OktaUnavailable", 1]
]

layer(Scene.Scene.layer())("a sign-in that comes back and comes to nothing", (it) => {
  it.effect.each(cases)("%s: the person or the client is told, and so is the owner, by event, metric and span", ([
    ,
    step,
    told,
    reason,
    asked,
    isClientKnown = true
  ]) =>
    Effect.gen(function*() {
      const scene = yield* Scene.Scene
      const { watch } = scene
      const registered = watch.events.find((event) => event._tag === "ClientRegistered")
      const counted = () =>
        watch.metrics.reduce(
          (sum, { attributes, id, state }) =>
            id === "okta_sign_ins" && attributes?.["outcome"] === reason && "count" in state
              ? sum + Number(state.count)
              : sum,
          0
        )
      const [events, spans, lines, before] = [watch.events.length, watch.spans.length, watch.lines.length, counted()]
      const requests = yield* scene.okta.requests("token")
      const answer = yield* step(scene, scene.browser())
      if (typeof told === "number") Scene.assertLocal(answer, told, told === 403 ? "access_denied" : "invalid_request")
      else {
        Scene.assertSentBack(answer, told)
        // An outage is told where Okta is asked.
        const words = reason === "OktaUnavailable"
          ? /level=WARN .*Okta is not available/
          : /level=WARN .*A sign-in at Okta came to nothing/
        assert.match(watch.lines.slice(lines).join("\n"), words)
      }
      const refusals = watch.events.slice(events).filter((event) => event._tag === "SignInRefused")
      assert.deepStrictEqual(
        refusals.map(({ address, clientId, reason }) => ({ address, clientId, reason })),
        [{ address: "127.0.0.1", clientId: isClientKnown ? registered?.clientId : undefined, reason }]
      )
      assert.strictEqual(counted(), before + 1)
      assert.strictEqual(yield* scene.okta.requests("token"), requests + asked)
      const errors = watch.spans.slice(spans).filter(({ name }) => name === "okta.callback").map(({ attributes }) =>
        attributes.get("okta.error")
      )
      assert.include(errors, reason)
    }))
})

layer(Scene.Scene.layer())("a client that wants the person to have signed in strongly, or lately", (it) => {
  const cases: ReadonlyArray<
    readonly [wanted: Scene.Changes, claims: Readonly<Record<string, unknown>>, isEnough: boolean]
  > = [
    [{}, {}, true],
    [{}, { auth_time: 0, acr: "weak" }, true],
    [{ acr_values: "strong" }, { acr: "strong" }, true],
    [{ acr_values: "stronger  strong" }, { acr: "strong" }, true],
    [{ acr_values: "stronger  strong" }, { acr: "" }, false],
    [{ acr_values: "strong" }, { acr: "stronger" }, false],
    [{ acr_values: "strong" }, {}, false],
    [{ acr_values: "stronger strong:ifpossible" }, {}, true],
    [{ acr_values: "strong:ifpossibly" }, { acr: "weak" }, false],
    [{ max_age: "20" }, { auth_time: Scene.now - 50 }, true],
    [{ max_age: "20" }, { auth_time: Scene.now - 51 }, false],
    [{ max_age: "0" }, { auth_time: Scene.now - 30 }, true],
    [{ max_age: "0" }, { auth_time: Scene.now - 31 }, false],
    [{ max_age: "0" }, {}, false],
    [{ prompt: "login" }, { auth_time: Scene.now - 30 }, true],
    [{ prompt: "login" }, { auth_time: Scene.now - 31 }, false],
    [{ prompt: "login", max_age: "9999" }, { auth_time: Scene.now - 31 }, false],
    [{ prompt: "consent", max_age: "9999" }, { auth_time: Scene.now - 31 }, true]
  ]
  it.effect.each(cases)("%j, of whom Okta says %j: %s", ([wanted, claims, isEnough]) =>
    Effect.gen(function*() {
      const scene = yield* Scene.Scene
      const agent = scene.browser()
      const revoked = yield* scene.okta.requests("revoke")
      const toOkta = yield* scene.allow(agent, wanted)
      const nonce = toOkta.location.searchParams.get("nonce")
      const idToken = { cid: undefined, scp: undefined, aud: webClient.clientId, sub: "00u1", nonce }
      const id_token = yield* scene.okta.mint({ ...idToken, auth_time: undefined, acr: undefined, ...claims })
      yield* scene.okta.respond("token", (_, response) =>
        sendJson(response, 200, { token_type: "Bearer", expires_in: 3600, access_token: "opaque", id_token }))
      const answer = yield* Effect.ensuring(agent.ask(Scene.callbackUrl(toOkta, { code: "code" })), scene.okta.lift)
      if (isEnough) {
        assert.isTrue(answer.location.searchParams.has("code"), answer.location.href)
      } else Scene.assertSentBack(answer, "unmet_authentication_requirements")
      // What has no refresh token is ended by its access token.
      assert.strictEqual(yield* scene.okta.requests("revoke"), isEnough ? revoked : revoked + 1)
      if (!isEnough) {
        assert.strictEqual(new URLSearchParams(scene.oktaForms.at(-1)).get("token"), "opaque")
      }
    }))
})

it.effect("a sign-in comes back from Okta, which may say who it is, to whatever it was begun for", () =>
  Effect.gen(function*() {
    const scene = yield* Scene.make()
    const agent = scene.browser()
    const back = yield* scene.comeBack(agent)
    back.searchParams.set("iss", scene.okta.issuer)
    assert.isTrue((yield* agent.ask(back)).location.searchParams.has("code"))
    const { location } = yield* agent.ask("/oauth/connections")
    const page = yield* agent.ask(yield* Effect.orDie(scene.okta.authorize(location)))
    assert.strictEqual(page.location.href, `${Scene.serverUrl}/oauth/connections`)
  }))

describe("a person whom this server does not let in", () => {
  it.effect("is told so, with the way back; the owner reads the reason, and nothing of the sign-in is left at Okta", () =>
    Effect.gen(function*() {
      const scene = yield* Scene.make({ settings: { admit: { groups: "Admins of something" } } })
      const browser = scene.browser()
      const answer = yield* browser.ask(yield* scene.comeBack(browser))
      assert.strictEqual(answer.status, 403)
      const [, href = ""] = /<a href="([^"]+)">Go back/.exec(answer.body) ?? []
      const url = new URL(href.replaceAll("&amp;", "&"))
      assert.strictEqual(answer.headers.get("refresh"), `20; url=${url.href}`)
      assert.isTrue(url.href.startsWith(Scene.redirectUri))
      assert.strictEqual(url.searchParams.get("error"), "access_denied")
      const [, , refused, signIn, ...more] = scene.watch.events
      assert.deepInclude(refused, { _tag: "AdmissionRefused", address: "127.0.0.1", scopes: ["mcp:read", "openid"] })
      assert.deepInclude(signIn, { _tag: "SignInRefused", reason: "NotAdmitted" })
      assert.deepStrictEqual(more, [])
      assert.strictEqual(yield* scene.okta.requests("revoke"), 1)
      const { refresh_token } = JSON.parse(scene.oktaAnswers[0] ?? "")
      assert.strictEqual(new URLSearchParams(scene.oktaForms.at(-1)).get("token"), refresh_token)
    }))

  it.effect("is looked at as tokens will speak of them", () =>
    Effect.gen(function*() {
      const seen: Array<unknown> = []
      const scene = yield* Scene.make({
        settings: { admit: { check: (user) => Effect.sync(() => seen.push(user) > 0) } }
      })
      yield* scene.code()
      assert.lengthOf(seen, 1)
      const [user] = seen
      assert.deepInclude(user, { clientId: scene.clientId, scopes: ["mcp:read", "openid"], email: "ada@example.com" })
    }))
})

it.effect("what Okta says in its own words is for the owner of the server", () =>
  Effect.gen(function*() {
    const scene = yield* Scene.make()
    const step = answeredWith({ error: "access_denied", error_description: "Ada is on the list" })
    const answer = yield* step(scene, scene.browser())
    assert.notInclude(answer.location.href, "Ada")
    assert.include(scene.watch.lines.join("\n"), "Ada is on the list")
  }))

/** Waits until whoever made the request that is being handled has gone. */
const connectionLost = Effect.withFiber(({ context }) => {
  const request = Context.getUnsafe(context, HttpServerRequest.HttpServerRequest)
  const response = NodeHttpServerRequest.toServerResponse(request)
  return Effect.callback<void>((resume) => void response.once("close", () => resume(Effect.void)))
})

/** Waits until Okta is asked to end what it gave. */
const endedAtOkta = Effect.fnUntraced(function*({ okta }: Scene.ProxyScene) {
  const ended = yield* Deferred.make<void>()
  yield* okta.respond("revoke", (_, response) => {
    Deferred.doneUnsafe(ended, Effect.void)
    response.writeHead(200).end()
  })
  return Deferred.await(ended)
})

describe("a person who leaves while the callback is at work", () => {
  it.effect("before everything is kept: what Okta gave is ended there", () =>
    Effect.gen(function*() {
      const entered = yield* Deferred.make<void>()
      const store = Scene.storeWriting((key) =>
        key.startsWith("session:")
          ? Effect.andThen(Deferred.succeed(entered, undefined), Effect.never)
          : undefined
      )
      const scene = yield* Scene.make({ store })
      const ended = yield* endedAtOkta(scene)
      const agent = scene.browser()
      const back = yield* scene.comeBack(agent)
      const asking = yield* Effect.forkChild(agent.ask(back))
      yield* Deferred.await(entered)
      yield* Fiber.interrupt(asking)
      yield* ended
      assert.isFalse(scene.watch.events.some(({ _tag }) => _tag === "SignedIn"))
      Scene.assertLocal(yield* agent.ask(back), 400)
    }), 5000)

  it.effect("or a store that fails then: the grant is ended, here and at Okta", () =>
    Effect.gen(function*() {
      const revoked = yield* Deferred.make<AuditEvent>()
      const environment = Layer.succeed(
        AuditLog,
        (event: AuditEvent) => event._tag === "GrantRevoked" ? Deferred.succeed(revoked, event) : Effect.void
      )
      const store = Scene.storeWriting((key) =>
        key.startsWith("session:")
          ? Effect.fail(new StoreUnavailable({ operation: "put", reason: "it is broken" }))
          : undefined
      )
      const scene = yield* Scene.make({ environment, store })
      const ended = yield* endedAtOkta(scene)
      const agent = scene.browser()
      const answer = yield* agent.ask(yield* scene.comeBack(agent))
      assert.strictEqual(answer.location.searchParams.get("error"), "temporarily_unavailable")
      // That the store is away is told where it is asked.
      assert.match(scene.watch.lines.join("\n"), /level=DEBUG .*A sign-in at Okta came to nothing/)
      assert.deepInclude(yield* Deferred.await(revoked), { why: "abandoned" })
      yield* ended
      assert.strictEqual(yield* scene.okta.requests("revoke"), 1)
    }), 5000)

  it.effect("or a store that is away from then on: what Okta gave is ended there", () =>
    Effect.gen(function*() {
      const failed = (operation: StoreUnavailable["operation"]) =>
        Effect.fail(new StoreUnavailable({ operation, reason: "it is broken" }))
      let away = false
      const store = Layer.effect(
        Store,
        Effect.map(Store, (store) =>
          Store.of({
            ...store,
            putIfAbsent: (key, value, ttl) => {
              away ||= key.startsWith("session:")
              return away ? failed("putIfAbsent") : store.putIfAbsent(key, value, ttl)
            },
            take: (key) => away ? failed("take") : store.take(key)
          }))
      ).pipe(Layer.provide(MemoryStore.layer))
      const scene = yield* Scene.make({ store })
      const ended = yield* endedAtOkta(scene)
      const agent = scene.browser()
      const answer = yield* agent.ask(yield* scene.comeBack(agent))
      assert.strictEqual(answer.location.searchParams.get("error"), "temporarily_unavailable")
      yield* ended
    }), 5000)

  it.effect("before the code is on its way: the grant is ended, here and at Okta", () =>
    Effect.gen(function*() {
      const signedIn = yield* Deferred.make<string>()
      const revoked = yield* Deferred.make<AuditEvent>()
      const environment = Layer.succeed(AuditLog, (event: AuditEvent) => {
        if (event._tag === "GrantRevoked") return Deferred.succeed(revoked, event)
        return event._tag === "SignedIn"
          ? Effect.andThen(Deferred.succeed(signedIn, event.grant), connectionLost)
          : Effect.void
      })
      const scene = yield* Scene.make({ environment })
      const ended = yield* endedAtOkta(scene)
      const agent = scene.browser()
      const back = yield* scene.comeBack(agent)
      const asking = yield* Effect.forkChild(agent.ask(back))
      const grant = yield* Deferred.await(signedIn)
      yield* Fiber.interrupt(asking)
      assert.deepInclude(yield* Deferred.await(revoked), { grant, why: "abandoned" })
      yield* ended
      Scene.assertLocal(yield* agent.ask(back), 400)
    }), 5000)

  it.effect("is no reason to end a grant whose code has arrived", () =>
    Effect.gen(function*() {
      const scene = yield* Scene.make()
      yield* scene.signIn()
      assert.isFalse(scene.watch.events.some(({ _tag }) => _tag === "GrantRevoked"))
      assert.strictEqual(yield* scene.okta.requests("revoke"), 0)
      const ended = scene.watch.metrics.filter(({ id }) => id === "okta_sign_ins").map(({ attributes }) =>
        attributes?.["outcome"]
      )
      assert.sameMembers(ended, ["begun", "success"])
    }))
})
