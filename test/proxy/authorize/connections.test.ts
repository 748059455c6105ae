import { assert, describe, it } from "@effect/vitest"
import { Context, Effect, Layer } from "effect"
import { TestClock } from "effect/testing"
import { ada, bob, type Person } from "../../../src/demo/StandInDirectory.ts"
import * as MemoryStore from "../../../src/store/MemoryStore.ts"
import { Store, StoreUnavailable } from "../../../src/store/Store.ts"
import * as Leaving from "../../support/Leaving.ts"
import * as Scene from "../../support/ProxyScene.ts"
import { assertHidden } from "../../support/Watch.ts"

const path = "/oauth/connections"

/** A client gets tokens in a person's name. */
const connect = Effect.fnUntraced(function*(scene: Scene.ProxyScene, { login }: Person, clientId = scene.clientId) {
  const agent = scene.browser()
  const changes = { client_id: clientId }
  const { location } = yield* scene.allow(agent, changes)
  const back = yield* agent.ask(yield* Effect.orDie(scene.okta.authorize(location, { login })))
  const code = back.location.searchParams.get("code") ?? ""
  return Scene.tokensOf(yield* scene.one.token(scene.redemption(code, changes)))
})

/** A person signs in for the page; where Okta sends the browser back to. */
const comeBack = Effect.fnUntraced(function*(scene: Scene.ProxyScene, agent: Scene.UserAgent, { login }: Person) {
  const { location, status } = yield* agent.ask(path)
  assert.strictEqual(status, 302)
  assert.strictEqual(location.origin, scene.okta.origin)
  return yield* Effect.orDie(scene.okta.authorize(location, { login }))
})

const visit = Effect.fnUntraced(function*(scene: Scene.ProxyScene, person: Person, server = scene.one) {
  const agent = scene.browser(server)
  const { location } = yield* agent.ask(yield* comeBack(scene, agent, person))
  assert.strictEqual(location.href, Scene.serverUrl + path)
  return agent
})

/** The forms of a page: the hidden fields of each. */
const formsOf = ({ body }: Scene.Answer) =>
  [...body.matchAll(/<form[^>]*>(.*?)<\/form>/gs)].map(([, content = ""]): Record<string, string> =>
    Object.fromEntries(
      [...content.matchAll(/<input type="hidden" name="([^"]*)" value="([^"]*)">/g)].map((
        [, name = "", value = ""]
      ) => [
        name,
        value
      ])
    )
  )

const send = (agent: Scene.UserAgent, form: Readonly<Record<string, string>>, headers: Scene.Asked["headers"] = {}) =>
  agent.ask(path, { body: new URLSearchParams(form), headers })

const status = (scene: Scene.ProxyScene, { accessToken }: Scene.Tokens) =>
  Effect.map(scene.one.call(accessToken), ({ status }) => status)

describe("the page of connected clients", () => {
  it.effect("shows a person what can act in the person's name, and nobody else's", () =>
    Effect.gen(function*() {
      const scene = yield* Scene.make()
      const { clientId } = yield* scene.register({ client_name: "<script>alert(1)</script>" })
      yield* connect(scene, ada)
      yield* connect(scene, ada, clientId)
      yield* connect(scene, bob)
      const agent = yield* visit(scene, ada)
      const page = yield* agent.ask(path)
      assert.strictEqual(page.status, 200)
      assert.match(page.headers.get("content-security-policy") ?? "", /^default-src 'none'; style-src 'sha256-[^']+'; /)
      assert.strictEqual(page.headers.get("cache-control"), "no-store")
      assert.strictEqual(page.headers.get("x-frame-options"), "DENY")
      for (
        const text of ["ada@example.com", "Example Assistant", "client.example.com", "mcp:read", "know who you are"]
      ) {
        assert.include(page.body, text)
      }
      assert.include(page.body, "<bdi>&lt;script&gt;alert(1)&lt;/script&gt;</bdi>")
      assert.notInclude(page.body, "<script")
      assert.include(page.body, "14 November 2023")
      assert.lengthOf(formsOf(page), 3)
      const cookie = agent.cookies.get("__Host-effect-okta-connections")
      assert.sameMembers(
        cookie?.attributes.map((attribute) => attribute.replace(/=.*/, "").toLowerCase()) ?? [],
        ["max-age", "path", "httponly", "secure", "samesite"]
      )
      // Nothing is left of that sign-in at Okta, and it asked for no refresh token.
      assert.isAtLeast(yield* scene.okta.requests("revoke"), 1)

      const nobody = yield* visit(yield* Scene.make(), ada)
      const empty = yield* nobody.ask(path)
      assert.include(empty.body, "No application can act for you")
      assert.lengthOf(formsOf(empty), 0)
    }))

  it.effect("F23 disconnects one, once it was asked about, on every server", () =>
    Effect.gen(function*() {
      const scene = yield* Scene.make()
      const other = yield* scene.start()
      const { clientId } = yield* scene.register({ client_name: "Other" })
      const kept = yield* connect(scene, ada, clientId)
      yield* TestClock.adjust("1 second")
      const tokens = yield* connect(scene, ada)
      const agent = yield* visit(scene, ada, other)
      const [form = {}] = formsOf(yield* agent.ask(path))
      const question = yield* send(agent, form)
      assert.include(question.body, "Disconnect <bdi>Example Assistant</bdi>?")
      assert.strictEqual(yield* status(scene, tokens), 200)
      const done = yield* send(agent, { ...formsOf(question)[0], confirmed: "yes" })
      assert.include(done.body, "<strong><bdi>Example Assistant</bdi></strong> cannot act for you any more")
      assert.strictEqual(yield* status(scene, tokens), 401)
      assert.strictEqual(yield* status(scene, kept), 200)
      const ends = scene.watch.events.flatMap((event) => event._tag === "GrantRevoked" ? [event.why] : [])
      assert.deepStrictEqual(ends, ["disconnected"])
      // Pressed once more, it is done all the same.
      const again = yield* send(agent, { ...formsOf(question)[0], confirmed: "yes" })
      assert.include(again.body, "<strong><bdi>The application</bdi></strong> cannot act for you any more")
      assert.lengthOf(formsOf(yield* agent.ask(path)), 1)
    }))

  it.effect("disconnects one that gives no name, which is told of as that", () =>
    Effect.gen(function*() {
      const scene = yield* Scene.make()
      const { clientId } = yield* scene.register({ client_name: undefined })
      const tokens = yield* connect(scene, ada, clientId)
      const agent = yield* visit(scene, ada)
      const [form = {}] = formsOf(yield* agent.ask(path))
      const done = yield* send(agent, { ...form, confirmed: "yes" })
      assert.include(done.body, "<strong><bdi>The application</bdi></strong> cannot act for you any more")
      assert.strictEqual(yield* status(scene, tokens), 401)
    }))

  it.effect("disconnects all, and with them whoever else looks at the page", () =>
    Effect.gen(function*() {
      const scene = yield* Scene.make()
      const adas = [yield* connect(scene, ada), yield* connect(scene, ada)]
      const bobs = yield* connect(scene, bob)
      const agent = yield* visit(scene, ada)
      const elsewhere = yield* visit(scene, ada)
      yield* TestClock.adjust("1 second")
      const all = formsOf(yield* agent.ask(path)).find((form) => form["all"] === "yes") ?? {}
      const question = yield* send(agent, all)
      assert.include(question.body, "Disconnect all applications?")
      assert.include((yield* send(agent, { ...formsOf(question)[0], confirmed: "yes" })).body, "No application")
      for (const tokens of adas) assert.strictEqual(yield* status(scene, tokens), 401)
      const ends = scene.watch.events.flatMap((event) => event._tag === "GrantRevoked" ? [event.why] : [])
      assert.deepStrictEqual(ends, ["disconnected", "disconnected"])
      assert.strictEqual(yield* status(scene, bobs), 200)
      assert.strictEqual((yield* elsewhere.ask(path)).status, 302)
    }))
})

describe("nobody disconnects in another's name", () => {
  it.effect("#112 #126 by a forged form, another browser, another person's grant, or a form of another visit", () =>
    Effect.gen(function*() {
      const scene = yield* Scene.make()
      const tokens = yield* connect(scene, ada)
      const bobs = yield* connect(scene, bob)
      const agent = yield* visit(scene, ada)
      const attacker = yield* visit(scene, bob)
      const [form = {}] = formsOf(yield* agent.ask(path))
      const [foreign = {}] = formsOf(yield* attacker.ask(path))
      const confirmed = { confirmed: "yes" }
      const refused = [
        yield* send(agent, { ...form, ...confirmed, form: "" }),
        yield* send(agent, { ...form, ...confirmed, form: "x".repeat(43) }),
        yield* send(agent, { ...form, ...confirmed, form: foreign["form"] ?? "" }),
        yield* send(agent, { ...form, ...confirmed }, { "sec-fetch-site": "cross-site" }),
        yield* send(scene.browser(), { ...form, ...confirmed }),
        yield* send(attacker, { ...form, ...confirmed }),
        yield* send(agent, { ...confirmed, all: "yes" })
      ]
      for (const answer of refused) Scene.assertLocal(answer, 403, "access_denied")
      // A form of the attacker's own, with the name of somebody else's grant.
      assert.strictEqual((yield* send(attacker, { ...foreign, grant: form["grant"] ?? "", ...confirmed })).status, 200)
      assert.deepStrictEqual([yield* status(scene, tokens), yield* status(scene, bobs)], [200, 200])
      // The cookie by which the browser is known says nothing of who sits there.
      const cookies = new Map([...agent.cookies].filter(([name]) => !name.endsWith("connections")))
      const half = scene.browser()
      for (const [name, cookie] of cookies) half.cookies.set(name, cookie)
      assert.strictEqual((yield* half.ask(path)).status, 302)
      for (const value of ["x", [...agent.cookies.values()][0]?.value ?? ""]) {
        half.cookies.set("__Host-effect-okta-connections", { value, attributes: [] })
        assert.strictEqual((yield* half.ask(path)).status, 302)
      }
    }))

  it.effect("#125 #126 #128 by a sign-in that was begun elsewhere, used before, or too late", () =>
    Effect.gen(function*() {
      const scene = yield* Scene.make()
      const agent = scene.browser()
      const back = yield* comeBack(scene, agent, ada)
      const victim = scene.browser()
      yield* comeBack(scene, victim, bob)
      Scene.assertLocal(yield* victim.ask(back), 403, "access_denied")
      Scene.assertLocal(yield* agent.ask(back), 400)
      const late = yield* comeBack(scene, agent, ada)
      yield* TestClock.adjust("10 minutes")
      Scene.assertLocal(yield* agent.ask(late), 400)
      for (const changes of [{ error: "access_denied", code: "" }, { iss: "https://other.okta.com" }, { code: "x" }]) {
        const url = yield* comeBack(scene, agent, ada)
        for (const [name, value] of Object.entries(changes)) url.searchParams.set(name, value)
        assert.strictEqual((yield* agent.ask(url)).status, 400)
      }
      assert.strictEqual((yield* agent.ask(path)).status, 302)
    }))

  it.effect("#128 or by a sign-in for the page where a client's belongs, or the reverse", () =>
    Effect.gen(function*() {
      const scene = yield* Scene.make()
      const agent = scene.browser()
      const { location } = yield* agent.ask(yield* scene.comeBack(agent))
      assert.isTrue(location.searchParams.has("code"))
      assert.isFalse(agent.cookies.has("__Host-effect-okta-connections"))
      const answer = yield* agent.ask(yield* comeBack(scene, agent, ada))
      assert.strictEqual(answer.location.href, Scene.serverUrl + path)
    }))

  it.effect("after 10 minutes, or when Okta has signed the person out", () =>
    Effect.gen(function*() {
      const scene = yield* Scene.make()
      yield* connect(scene, ada)
      const early = yield* visit(scene, ada)
      const [form = {}] = formsOf(yield* early.ask(path))
      yield* TestClock.adjust("10 minutes")
      Scene.assertLocal(yield* send(early, { ...form, confirmed: "yes" }), 403, "access_denied")
      const agent = yield* visit(scene, ada)
      yield* TestClock.adjust("1 second")
      const body = { sub_id: { format: "email", email: ada.login } }
      assert.strictEqual((yield* Leaving.revokeAll(scene.one, yield* Leaving.revocationToken(scene), body)).status, 204)
      assert.strictEqual((yield* agent.ask(path)).status, 302)
    }))

  it.effect("when whoever has the person's address was signed out at that very moment, though nothing was connected", () =>
    Effect.gen(function*() {
      const scene = yield* Scene.make()
      const agent = yield* visit(scene, ada)
      assert.strictEqual((yield* agent.ask(path)).status, 200)
      const body = { sub_id: { format: "email", email: ada.login } }
      yield* Leaving.revokeAll(scene.one, yield* Leaving.revocationToken(scene), body)
      assert.strictEqual((yield* agent.ask(path)).status, 302)
    }))

  it.effect("by what is no form, or too long, or too often", () =>
    Effect.gen(function*() {
      const scene = yield* Scene.make({ settings: { requestsPerMinute: 3 } })
      const agent = scene.browser()
      const typed = (type: string) => ({ "content-type": type })
      Scene.assertLocal(yield* agent.ask(path, { body: "{}", headers: typed("application/json") }), 400)
      const headers = typed("application/x-www-form-urlencoded")
      Scene.assertLocal(yield* agent.ask(path, { body: "form=".padEnd(65_537, "x"), headers }), 413)
      for (const status of [302, 302, 302]) assert.strictEqual((yield* scene.browser().ask(path)).status, status)
      for (
        const [asked, again] of [[{}, "href=\"\">Try again"], [{ body: "form=x", headers }, "value=\"x\""]] as const
      ) {
        const late = yield* agent.ask(path, asked)
        Scene.assertLocal(late, 429, "temporarily_unavailable")
        assert.include(late.body, again)
      }
      const limited = scene.watch.metrics.filter(({ id }) => id === "okta_rate_limited")
      assert.deepStrictEqual(limited.map(({ attributes }) => attributes?.["endpoint"]), ["authorize"])
    }))

  it.effect("when the person signs out in the same browser", () =>
    Effect.gen(function*() {
      const scene = yield* Scene.make()
      yield* connect(scene, ada)
      const agent = yield* visit(scene, ada)
      assert.strictEqual((yield* agent.ask(path)).status, 200)
      const question = yield* agent.ask("/oauth/logout")
      yield* agent.ask("/oauth/logout", { body: new URLSearchParams(Scene.fieldsOf(question)) })
      assert.strictEqual((yield* agent.ask(path)).status, 302)
    }))
})

describe("a person who has looked at the page and granted nothing", () => {
  it.effect("is signed out of Okta as well", () =>
    Effect.gen(function*() {
      const scene = yield* Scene.make()
      const agent = yield* visit(scene, ada)
      const page = yield* agent.ask("/oauth/logout")
      const body = new URLSearchParams(Scene.fieldsOf(page))
      const { location, status } = yield* agent.ask("/oauth/logout", { body })
      assert.strictEqual(status, 303)
      assert.strictEqual(location.origin, scene.okta.origin)
      const hint = location.searchParams.get("id_token_hint") ?? ""
      assert.strictEqual(Scene.claimsOf(hint)["email"], "ada@example.com")
      // In the store it is sealed, and nothing of it is left with the browser.
      assertHidden([...scene.values, scene.watch.text].join("\n"), [hint])
      assert.strictEqual(agent.cookies.get("__Host-effect-okta-connections")?.value, "")
      assert.strictEqual((yield* agent.ask(path)).location.origin, scene.okta.origin)
    }))

  it.effect("is signed out of Okta also after all was disconnected", () =>
    Effect.gen(function*() {
      const scene = yield* Scene.make()
      yield* connect(scene, ada)
      const agent = yield* visit(scene, ada)
      const form = formsOf(yield* agent.ask(path)).at(-1) ?? {}
      yield* send(agent, { ...form, confirmed: "yes" })
      const page = yield* agent.ask("/oauth/logout")
      const { location } = yield* agent.ask("/oauth/logout", { body: new URLSearchParams(Scene.fieldsOf(page)) })
      assert.strictEqual(location.origin, scene.okta.origin)
    }))
})

describe("when something is away", () => {
  it.effect("F1 Okta: the person is told so", () =>
    Effect.gen(function*() {
      const scene = yield* Scene.make()
      yield* scene.okta.outage("refuse")
      const cold = yield* scene.start()
      Scene.assertLocal(yield* Scene.asTimePasses(scene.browser(cold).ask(path)), 503, "temporarily_unavailable")
    }))

  it.effect("F18 the store: the person is told so, and can press again", () =>
    Effect.gen(function*() {
      yield* TestClock.setTime(Scene.now * 1000)
      const memory = Context.get(yield* Layer.build(Layer.fresh(MemoryStore.layer)), Store)
      let away = false
      const get = (key: string) =>
        Effect.suspend(() =>
          away ? Effect.fail(new StoreUnavailable({ operation: "get", reason: "it is away" })) : memory.get(key)
        )
      const scene = yield* Scene.make({ store: Layer.succeed(Store, { ...memory, get }) })
      const tokens = yield* connect(scene, ada)
      const agent = yield* visit(scene, ada)
      const [form = {}] = formsOf(yield* agent.ask(path))
      away = true
      Scene.assertLocal(yield* agent.ask(path), 503, "temporarily_unavailable")
      const trouble = yield* send(agent, { ...form, confirmed: "yes" })
      Scene.assertLocal(trouble, 503, "temporarily_unavailable")
      away = false
      assert.strictEqual((yield* send(agent, Scene.fieldsOf(trouble))).status, 200)
      assert.strictEqual(yield* status(scene, tokens), 401)
    }))
})
