import { assert, describe, it } from "@effect/vitest"
import { Context, Effect, Layer } from "effect"
import { TestClock } from "effect/testing"
import { ada, bob, uidOf, webClient } from "../../src/demo/StandInDirectory.ts"
import * as MemoryStore from "../../src/store/MemoryStore.ts"
import * as RedisStore from "../../src/store/RedisStore.ts"
import { Store, StoreUnavailable } from "../../src/store/Store.ts"
import * as Leaving from "../support/Leaving.ts"
import * as Scene from "../support/ProxyScene.ts"
import * as Redis from "../support/RedisServer.ts"

const { signIn } = Leaving

const statuses = (servers: ReadonlyArray<Scene.Server>, { accessToken }: Scene.Tokens) =>
  Effect.forEach(servers, (server) => Effect.map(server.call(accessToken), ({ status }) => status))

/** Every ID token that Okta gave. */
const idTokens = (scene: Scene.ProxyScene): ReadonlyArray<string> =>
  scene.oktaAnswers.flatMap((text) => {
    const { id_token } = Object(text === "" ? {} : JSON.parse(text))
    return typeof id_token === "string" ? [id_token] : []
  })

/** The `sid` in the last of them. */
const lastSession = (scene: Scene.ProxyScene): string => String(Scene.claimsOf(idTokens(scene).at(-1) ?? "")["sid"])

type Way = (scene: Scene.ProxyScene, server: Scene.Server) => Effect.Effect<number>

const revoking = (body: unknown): Way => (scene, server) =>
  Effect.gen(function*() {
    return (yield* Leaving.revokeAll(server, yield* Leaving.revocationToken(scene), body)).status
  })

const loggingOut = (claims: Leaving.Members, header?: Leaving.Members): Way => (scene, server) =>
  Effect.gen(function*() {
    const answer = yield* Leaving.logOut(server, yield* Leaving.logoutToken(scene, claims, header))
    assert.strictEqual(answer.headers.get("cache-control"), "no-store")
    return answer.status
  })

/** How a server hears that somebody has left, and how it answers Okta. */
const ways: ReadonlyArray<readonly [name: string, answer: number, way: Way]> = [
  [
    "Universal Logout by Okta's id",
    204,
    (scene, server) =>
      revoking({ sub_id: { format: "iss_sub", iss: scene.okta.issuer, sub: uidOf(ada) } })(scene, server)
  ],
  [
    "Universal Logout by the organization's issuer",
    204,
    (scene, server) =>
      revoking({ sub_id: { format: "iss_sub", iss: scene.okta.origin, sub: uidOf(ada) } })(scene, server)
  ],
  ["Universal Logout by email address", 204, revoking({ sub_id: { format: "email", email: "ADA@example.com" } })],
  ["Universal Logout as the guide has it", 204, revoking({ subject: { format: "email", email: ada.login } })],
  ["back-channel logout of the person", 200, loggingOut({ sub: uidOf(ada) })],
  ["back-channel logout without typ", 200, loggingOut({ sub: uidOf(ada) }, { typ: undefined })],
  ["back-channel logout of a session of which Okta never spoke", 200, loggingOut({ sub: uidOf(ada), sid: "102x" })]
]

describe("a person who was deprovisioned loses every grant", () => {
  for (const [name, status, way] of ways) {
    it.effect(`F23 on two replicas at once: ${name}`, () =>
      Effect.gen(function*() {
        const people = [ada, bob]
        const store = Redis.isMissing ? "sqlite" : RedisStore.layer({ url: (yield* Redis.make()).url })
        const scene = yield* Scene.make({ store, okta: { people } })
        const servers = [scene.one, yield* scene.start()] as const
        const adas = [yield* signIn(scene, ada), yield* signIn(scene, ada)]
        const bobs = yield* signIn(scene, bob)
        yield* TestClock.adjust("1 second")
        people.shift()
        assert.strictEqual(yield* way(scene, servers[1]), status)
        for (const tokens of adas) {
          assert.deepStrictEqual(yield* statuses(servers, tokens), [401, 401])
          for (const server of servers) {
            Scene.assertRefused(yield* server.token(scene.refreshment(tokens.refreshToken)), 400, "invalid_grant")
          }
        }
        assert.deepStrictEqual(yield* statuses(servers, bobs), [200, 200])
        assert.include(scene.watch.text, name.startsWith("Universal") ? "universal-logout" : "backchannel-logout")
      }), 30_000)
  }

  it.effect("F23 by the next refresh, where Okta tells nothing", () =>
    Effect.gen(function*() {
      const people = [ada, bob]
      const scene = yield* Scene.make({ store: "sqlite", okta: { people } })
      const servers = [scene.one, yield* scene.start()]
      const tokens = yield* signIn(scene, ada)
      people.shift()
      yield* TestClock.adjust("55 minutes")
      Scene.assertRefused(yield* scene.one.token(scene.refreshment(tokens.refreshToken)), 400, "invalid_grant")
      assert.deepStrictEqual(yield* statuses(servers, tokens), [401, 401])
    }))
})

describe("back-channel logout", () => {
  it.effect("of one session ends what came of that, and nothing else of the person's", () =>
    Effect.gen(function*() {
      const scene = yield* Scene.make({ okta: { sessionIds: true } })
      const first = yield* signIn(scene, ada)
      const sid = lastSession(scene)
      const second = yield* signIn(scene, ada)
      assert.notStrictEqual(sid, lastSession(scene))
      yield* TestClock.adjust("1 second")
      assert.strictEqual(yield* loggingOut({ sid })(scene, scene.one), 200)
      assert.deepStrictEqual(yield* statuses([scene.one], first), [401])
      assert.deepStrictEqual(yield* statuses([scene.one], second), [200])
      assert.strictEqual(yield* loggingOut({ sub: uidOf(ada), sid: lastSession(scene) })(scene, scene.one), 200)
      assert.deepStrictEqual(yield* statuses([scene.one], second), [401])
      // Nobody there any more, or nobody ever: it is done all the same.
      assert.strictEqual(yield* loggingOut({ sub: "00unobody" })(scene, scene.one), 200)
    }))
})

describe("Universal Logout", () => {
  it.effect("is signed by the organization too, whose keys are fetched when it first asks", () =>
    Effect.gen(function*() {
      const scene = yield* Scene.make()
      const { issuer, origin } = scene.okta
      const tokens = yield* signIn(scene, ada)
      yield* TestClock.adjust("1 second")
      let asked = 0
      const answer = Effect.fnUntraced(function*() {
        const token = yield* Leaving.revocationToken(scene, { iss: origin })
        return yield* Scene.asTimePasses(
          Leaving.revokeAll(scene.one, token, { sub_id: { format: "email", email: ada.login } })
        )
      })
      // It has no metadata yet.
      assert.strictEqual((yield* answer()).status, 503)
      assert.deepStrictEqual(yield* statuses([scene.one], tokens), [200])
      yield* scene.okta.respond("other", (_, response) => {
        asked++
        response.writeHead(200, { "content-type": "application/json" }).end(JSON.stringify({
          issuer: origin,
          authorization_endpoint: `${issuer}/v1/authorize`,
          token_endpoint: `${issuer}/v1/token`,
          jwks_uri: `${issuer}/v1/keys`
        }))
      })
      // It heals itself, after a pause of 30 seconds at most.
      let status = 503
      for (let tries = 0; tries < 20 && status === 503; tries++) {
        yield* TestClock.adjust("3 seconds")
        status = (yield* answer()).status
      }
      assert.strictEqual(status, 204, scene.watch.lines.slice(-5).join("\n"))
      assert.isAbove(asked, 0)
      assert.deepStrictEqual(yield* statuses([scene.one], tokens), [401])
    }))

  it.effect("of somebody unknown is 404, of somebody known is done again", () =>
    Effect.gen(function*() {
      const scene = yield* Scene.make()
      const ask = Effect.fnUntraced(function*(sub_id: object) {
        return (yield* Leaving.revokeAll(scene.one, yield* Leaving.revocationToken(scene), { sub_id })).status
      })
      yield* signIn(scene, ada)
      assert.strictEqual(yield* ask({ format: "email", email: "nobody@example.com" }), 404)
      assert.strictEqual(yield* ask({ format: "iss_sub", iss: scene.okta.issuer, sub: "00unobody" }), 404)
      assert.strictEqual(yield* ask({ format: "iss_sub", iss: "https://other.okta.com", sub: uidOf(ada) }), 404)
      assert.strictEqual(yield* ask({ format: "email", email: ada.login }), 204)
      assert.strictEqual(yield* ask({ format: "email", email: ada.login }), 204)
    }))

  it.effect("takes no body that is not in order", () =>
    Effect.gen(function*() {
      const scene = yield* Scene.make()
      const tokens = yield* signIn(scene, ada)
      const email = { format: "email", email: ada.login }
      const bodies = [
        "",
        "null",
        "[]",
        "{}",
        JSON.stringify(email),
        { sub_id: null },
        { sub_id: ada.login },
        { sub_id: [email] },
        { sub_id: { format: "email" } },
        { sub_id: { format: "email", email: "" } },
        { sub_id: { format: "email", email: [ada.login] } },
        { sub_id: { ...email, format: "EMAIL" } },
        { sub_id: { format: "opaque", id: uidOf(ada) } },
        { sub_id: { format: "iss_sub", sub: uidOf(ada) } },
        { sub_id: email, subject: email },
        `{"sub_id":{"format":"email","email":"${ada.login}"},"sub_id":{"format":"email","email":"${bob.login}"}}`,
        `{"sub_id":${JSON.stringify(email)}`
      ]
      for (const body of bodies) {
        const answer = yield* Leaving.revokeAll(scene.one, yield* Leaving.revocationToken(scene), body)
        assert.strictEqual(answer.status, 400, JSON.stringify(body))
      }
      const token = yield* Leaving.revocationToken(scene)
      const huge = { sub_id: email, more: "x".repeat(20_000) }
      assert.strictEqual((yield* Leaving.revokeAll(scene.one, token, huge)).status, 413)
      const form = { headers: { authorization: `Bearer ${yield* Leaving.revocationToken(scene)}` }, body: formBody }
      assert.strictEqual((yield* scene.one.ask("/oauth/global-token-revocation", form)).status, 400)
      assert.deepStrictEqual(yield* statuses([scene.one], tokens), [200])
    }))
})

const formBody = new URLSearchParams({ sub_id: ada.login })

/** What is wrong with a token, of either kind. */
const wrong: ReadonlyArray<readonly [what: string, claims: Leaving.Members, header?: Leaving.Members]> = [
  ...["iss", "aud", "iat", "exp", "jti"].flatMap((claim) => [
    [`no ${claim}`, { [claim]: undefined }] as const,
    [`${claim} null`, { [claim]: null }] as const,
    [`${claim} an object`, { [claim]: {} }] as const,
    [`${claim} true`, { [claim]: true }] as const
  ]),
  ["another issuer", { iss: "https://other.okta.com" }],
  ["the issuer with a slash", { iss: "https://acme.okta.com/oauth2/default/" }],
  ["another audience", { aud: "https://other.example.com/oauth/global-token-revocation" }],
  ["this server as audience", { aud: Scene.serverUrl }],
  ["two audiences", { aud: [Leaving.endpoint, webClient.clientId] }],
  ["no audience", { aud: [] }],
  ["jti empty", { jti: "" }],
  ["iat a text", { iat: String(Scene.now) }],
  ["exp a text", { exp: String(Scene.now + 60) }],
  ["exp a fraction", { exp: Scene.now + 60.5 }],
  ["exp beyond numbers", { exp: 1e300 }],
  ["expired", { exp: Scene.now - 31 }],
  ["made later", { iat: Scene.now + 31, exp: Scene.now + 331 }],
  ["made too long ago, and good for a year", { iat: Scene.now - 631, exp: Scene.now + 31_536_000 }],
  ["not yet valid", { nbf: Scene.now + 31 }],
  ["nbf a text", { nbf: "0" }],
  ["of another type", {}, { typ: "JWT" }],
  ["an access token by its type", {}, { typ: "at+jwt" }],
  ["a security event by its type", {}, { typ: "secevent+jwt" }],
  ["a type that is none", {}, { typ: 1 }],
  ["without algorithm", {}, { alg: undefined }],
  ["by no algorithm", {}, { alg: "none" }],
  ["by a secret", {}, { alg: "HS256" }],
  ["by another algorithm", {}, { alg: "ES256" }],
  ["with its own key", {}, { jwk: {} }],
  ["with extensions", {}, { crit: ["x"] }],
  ["without kid", {}, { kid: undefined }],
  ["by an unknown key", {}, { kid: "unknown" }]
]

const wrongRevocation: typeof wrong = [
  ...wrong,
  ["without typ", {}, { typ: undefined }],
  ["a logout token by its type", {}, { typ: "logout+jwt" }],
  ["for the client", { aud: webClient.clientId }]
]

const wrongLogout: typeof wrong = [
  ...wrong,
  ["global token revocation by its type", {}, { typ: "global-token-revocation+jwt" }],
  ["for the other endpoint", { aud: Leaving.endpoint }],
  ["with a nonce", { nonce: "n" }],
  ["without events", { events: undefined }],
  ["events a list", { events: [Leaving.event] }],
  ["another event", { events: { "https://schemas.openid.net/secevent/caep/event-type/session-revoked": {} } }],
  ["the event a text", { events: { [Leaving.event]: "" } }],
  ["nobody", { sub: undefined }],
  ["sub a number", { sub: 1 }],
  ["sub empty", { sub: "" }],
  ["sid a list", { sid: ["x"] }]
]

describe("nothing but Okta's own signed word signs anybody out", () => {
  it.effect("#18 a token for global token revocation with anything wrong: 401", () =>
    Effect.gen(function*() {
      const scene = yield* Scene.make()
      const tokens = yield* signIn(scene, ada)
      const body = { sub_id: { format: "email", email: ada.login } }
      for (const [what, claims, header] of wrongRevocation) {
        const answer = yield* Leaving.revokeAll(
          scene.one,
          yield* Leaving.revocationToken(scene, claims, header),
          body
        )
        assert.strictEqual(answer.status, 401, what)
        assert.strictEqual(answer.headers.get("www-authenticate"), "Bearer error=\"invalid_token\"", what)
      }
      const none = yield* Leaving.revokeAll(scene.one, undefined, body)
      assert.deepStrictEqual([none.status, none.headers.get("www-authenticate")], [401, "Bearer"])
      const good = yield* Leaving.revocationToken(scene)
      const others = [tokens.accessToken, yield* scene.okta.mint(), yield* Leaving.logoutToken(scene), "x", `${good}x`]
      for (const other of [...others, ...idTokens(scene)]) {
        assert.strictEqual((yield* Leaving.revokeAll(scene.one, other, body)).status, 401)
      }
      assert.deepStrictEqual(yield* statuses([scene.one], tokens), [200])
    }))

  it.effect("#18 a logout token with anything wrong: 400", () =>
    Effect.gen(function*() {
      const scene = yield* Scene.make()
      const tokens = yield* signIn(scene, ada)
      for (const [what, claims, header] of wrongLogout) {
        const token = yield* Leaving.logoutToken(scene, { sub: uidOf(ada), ...claims }, header)
        const answer = yield* Leaving.logOut(scene.one, token)
        assert.deepStrictEqual([answer.status, Scene.membersOf(answer)["error"]], [400, "invalid_request"], what)
      }
      const good = yield* Leaving.logoutToken(scene, { sub: uidOf(ada) })
      const others = [tokens.accessToken, yield* scene.okta.mint(), yield* Leaving.revocationToken(scene), `${good}x`]
      for (const other of [...others, ...idTokens(scene)]) {
        assert.strictEqual((yield* Leaving.logOut(scene.one, other)).status, 400)
      }
      const repeated = new URLSearchParams([["logout_token", good], ["logout_token", good]])
      assert.strictEqual((yield* scene.one.post("/oauth/backchannel-logout", repeated)).status, 400)
      assert.strictEqual((yield* scene.one.post("/oauth/backchannel-logout", {})).status, 400)
      assert.strictEqual((yield* scene.one.ask("/oauth/backchannel-logout")).status, 405)
      assert.strictEqual((yield* scene.one.ask("/oauth/global-token-revocation")).status, 405)
      assert.deepStrictEqual(yield* statuses([scene.one], tokens), [200])
    }))

  it.effect("#183 F23 neither is good a second time, at another replica, after somebody signed in again", () =>
    Effect.gen(function*() {
      const scene = yield* Scene.make()
      const other = yield* scene.start()
      yield* signIn(scene, ada)
      const body = { sub_id: { format: "email", email: ada.login } }
      const revocation = yield* Leaving.revocationToken(scene)
      const logout = yield* Leaving.logoutToken(scene, { sub: uidOf(ada) })
      assert.strictEqual((yield* Leaving.revokeAll(scene.one, revocation, body)).status, 204)
      assert.strictEqual((yield* Leaving.logOut(scene.one, logout)).status, 200)
      yield* TestClock.adjust("1 second")
      const again = yield* signIn(scene, ada)
      yield* TestClock.adjust("1 second")
      for (const server of [other, scene.one]) {
        assert.strictEqual((yield* Leaving.revokeAll(server, revocation, body)).status, 401)
        assert.strictEqual((yield* Leaving.logOut(server, logout)).status, 400)
      }
      // At the last moment of its time it has still been used.
      yield* TestClock.adjust("327 seconds")
      assert.strictEqual((yield* Leaving.revokeAll(other, revocation, body)).status, 401)
      assert.deepStrictEqual(yield* statuses([scene.one], again), [200])
      assert.include(scene.watch.text, "logout token")
    }))

  it.effect("#18 #20 neither is an access token, with or without a type", () =>
    Effect.gen(function*() {
      for (const settings of [{}, { passThrough: true, audience: webClient.clientId }]) {
        const scene = yield* Scene.make({ settings })
        for (const typ of ["logout+jwt", "global-token-revocation+jwt", undefined, "at+jwt"]) {
          const claims = { sub: uidOf(ada), aud: webClient.clientId, cid: "x", uid: "y", scp: ["mcp:read"] }
          const token = yield* Leaving.logoutToken(scene, claims, { typ })
          assert.strictEqual((yield* scene.one.call(token)).status, 401)
        }
        const revocation = yield* Leaving.revocationToken(scene, { aud: webClient.clientId, scp: ["mcp:read"] })
        assert.strictEqual((yield* scene.one.call(revocation)).status, 401)
      }
    }))
})

describe("while it cannot be done, Okta is told to come back", () => {
  const body = { sub_id: { format: "email", email: ada.login } }

  it.effect("F18 the store is away: 503", () =>
    Effect.gen(function*() {
      yield* TestClock.setTime(Scene.now * 1000)
      const memory = Context.get(yield* Layer.build(Layer.fresh(MemoryStore.layer)), Store)
      let away = (_key: string) => false
      const or = <A>(operation: StoreUnavailable["operation"], key: string, then: Effect.Effect<A, StoreUnavailable>) =>
        Effect.suspend(() => away(key) ? Effect.fail(new StoreUnavailable({ operation, reason: "it is away" })) : then)
      const store = Layer.succeed(Store, {
        ...memory,
        get: (key) => or("get", key, memory.get(key)),
        put: (key, value, ttl) => or("put", key, memory.put(key, value, ttl)),
        putIfAbsent: (key, value, ttl) => or("putIfAbsent", key, memory.putIfAbsent(key, value, ttl))
      })
      const scene = yield* Scene.make({ store })
      const tokens = yield* signIn(scene, ada)
      yield* TestClock.adjust("1 second")
      const undone: Array<string> = []
      for (const prefix of ["", "statement:", "ended:", "grants:"]) {
        away = (key) => key.startsWith(prefix)
        const revocation = yield* Leaving.revocationToken(scene)
        const answers = [
          yield* Leaving.revokeAll(scene.one, revocation, body),
          yield* Leaving.logOut(scene.one, yield* Leaving.logoutToken(scene, { sub: uidOf(ada) }))
        ]
        undone.push(revocation)
        for (const answer of answers) Scene.assertRefused(answer, 503, "temporarily_unavailable")
        away = () => false
        // The mark is the first that is written, and is enough.
        assert.deepStrictEqual(yield* statuses([scene.one], tokens), [prefix === "grants:" ? 401 : 200], prefix)
      }
      // What could not be done is done when Okta sends the same again, and then no more.
      for (const revocation of undone) {
        assert.strictEqual((yield* Leaving.revokeAll(scene.one, revocation, body)).status, 204)
        assert.strictEqual((yield* Leaving.revokeAll(scene.one, revocation, body)).status, 401)
      }
    }))

  it.effect("F1 Okta's keys have never been fetched: 503", () =>
    Effect.gen(function*() {
      const scene = yield* Scene.make()
      const tokens = yield* signIn(scene, ada)
      yield* scene.okta.outage("refuse")
      const cold = yield* scene.start()
      const answers = yield* Scene.asTimePasses(Effect.gen(function*() {
        return [
          yield* Leaving.revokeAll(cold, yield* Leaving.revocationToken(scene), body),
          yield* Leaving.logOut(cold, yield* Leaving.logoutToken(scene, { sub: uidOf(ada) }))
        ]
      }))
      for (const answer of answers) Scene.assertRefused(answer, 503, "temporarily_unavailable")
      assert.deepStrictEqual(yield* statuses([cold], tokens), [200])
    }))
})
