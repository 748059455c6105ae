import { assert, describe, it } from "@effect/vitest"
import { Context, DateTime, Duration, Effect, Layer } from "effect"
import { FetchHttpClient } from "effect/http"
import { TestClock } from "effect/testing"
import { ada, bob, uidOf, webClient } from "../../src/demo/StandInDirectory.ts"
import * as OktaAuth from "../../src/OktaAuth.ts"
import { clientHandle } from "../../src/proxy/Audit.ts"
import { Grants, type GrantsOf } from "../../src/proxy/Grants.ts"
import * as MemoryStore from "../../src/store/MemoryStore.ts"
import { Store, StoreUnavailable } from "../../src/store/Store.ts"
import * as Scene from "../support/ProxyScene.ts"

/** The service, as one more replica has it. */
const grantsOf = (scene: Scene.ProxyScene) =>
  Effect.map(Layer.build(scene.auth()), (context) => Context.get(context, Grants)).pipe(Effect.orDie)

/** A person signs in through a client. */
const signIn = Effect.fnUntraced(function*(scene: Scene.ProxyScene, login: string, clientId = scene.clientId) {
  const browser = scene.browser()
  const changes = { client_id: clientId }
  const { location } = yield* scene.allow(browser, changes)
  const back = yield* browser.ask(yield* Effect.orDie(scene.okta.authorize(location, { login })))
  const code = back.location.searchParams.get("code") ?? ""
  return { clientId, ...Scene.tokensOf(yield* scene.one.token(scene.redemption(code, changes))) }
})

type SignedIn = Effect.Success<ReturnType<typeof signIn>>

/** Whether the tokens of a sign-in are good, at each of several servers. */
const alive = Effect.fnUntraced(function*({ accessToken }: SignedIn, servers: ReadonlyArray<Scene.Server>) {
  return yield* Effect.forEach(
    servers,
    (server) => Effect.map(server.call(accessToken), ({ status }) => status === 200)
  )
})

const assertEnded = Effect.fnUntraced(function*(
  scene: Scene.ProxyScene,
  signedIn: SignedIn,
  servers: ReadonlyArray<Scene.Server>
) {
  for (const server of servers) {
    assert.strictEqual((yield* server.call(signedIn.accessToken)).status, 401)
    const form = scene.refreshment(signedIn.refreshToken, { client_id: signedIn.clientId })
    Scene.assertRefused(yield* server.token(form), 400, "invalid_grant")
  }
})

const adas: GrantsOf = { person: uidOf(ada) }

describe("Grants", () => {
  it.effect("tells what a person has granted, and to whom a client was allowed", () =>
    Effect.gen(function*() {
      const scene = yield* Scene.make()
      const grants = yield* grantsOf(scene)
      assert.deepStrictEqual(yield* grants.list(adas), [])
      yield* signIn(scene, ada.login)
      yield* TestClock.adjust("1 minute")
      const { clientId } = yield* scene.register({ client_name: "Other" })
      const later = yield* signIn(scene, ada.login, clientId)
      yield* signIn(scene, bob.login)
      yield* TestClock.adjust("50 minutes")
      yield* scene.one.token(scene.refreshment(later.refreshToken, { client_id: clientId }))

      const listed = yield* grants.list(adas)
      const [second, first] = listed
      assert.deepStrictEqual(listed.map(({ clientName }) => clientName), ["Other", "Example Assistant"])
      assert.deepInclude(first, {
        subject: uidOf(ada),
        username: ada.login,
        email: ada.login,
        clientId: clientHandle(scene.clientId),
        redirectHost: "client.example.com",
        scopes: ["mcp:read", "openid"],
        resource: `${Scene.serverUrl}/mcp`
      })
      const moment = (seconds: number) => DateTime.formatIso(DateTime.makeUnsafe((Scene.now + seconds) * 1000))
      assert(second?.usedAt !== undefined && first?.usedAt !== undefined)
      assert.deepStrictEqual(
        [first.createdAt, first.usedAt, second.createdAt, second.usedAt].map(DateTime.formatIso),
        [moment(0), moment(0), moment(60), moment(3060)]
      )
      for (const person of [ada.login, ada.login.toUpperCase()]) {
        assert.deepStrictEqual(yield* grants.list({ person }), listed)
      }
      for (const client of [scene.clientId, clientHandle(scene.clientId)]) {
        const people = (yield* grants.list({ client })).map(({ username }) => username)
        assert.sameMembers(people, [ada.login, bob.login])
      }
      assert.deepStrictEqual(yield* grants.list({ person: "00unobody" }), [])
    }))

  it.effect("F23 ends one on every server, and nothing else", () =>
    Effect.gen(function*() {
      const scene = yield* Scene.make()
      const servers = [scene.one, yield* scene.start()]
      const grants = yield* grantsOf(scene)
      const one = yield* signIn(scene, ada.login)
      const [listed] = yield* grants.list(adas)
      const other = yield* signIn(scene, ada.login)
      const bobs = yield* signIn(scene, bob.login)
      assert(listed !== undefined)
      // Somebody else's grant, and a made-up one.
      assert.isFalse(yield* grants.end(listed.grant, { person: bob.login }))
      assert.isFalse(yield* grants.end("0123456789abcdef", adas))
      assert.deepStrictEqual(yield* alive(one, servers), [true, true])

      const revocations = yield* scene.okta.requests("revoke")
      assert.isTrue(yield* Effect.provide(grants.end(listed.grant, adas), scene.watch.layer))
      yield* assertEnded(scene, one, servers)
      assert.strictEqual(yield* scene.okta.requests("revoke"), revocations + 1)
      for (const left of [other, bobs]) assert.deepStrictEqual(yield* alive(left, servers), [true, true])
      assert.lengthOf(yield* grants.list(adas), 1)
      assert.isFalse(yield* grants.end(listed.grant, adas))
      assert.include(scene.watch.text, "by-operator")
    }))

  for (const [of, name] of [[adas, "a person"], [{ person: ada.login }, "an email address"]] as const) {
    it.effect(`F23 ends all of ${name} on every server, also those that the list has lost`, () =>
      Effect.gen(function*() {
        const scene = yield* Scene.make()
        const servers = [scene.one, yield* scene.start()]
        const grants = yield* grantsOf(scene)
        const lost = yield* signIn(scene, ada.login)
        const lists = [...scene.values].filter((key) => key.startsWith("grants:"))
        assert.isNotEmpty(lists)
        yield* Effect.forEach(lists, scene.memory.remove)
        const listed = yield* signIn(scene, ada.login)
        const bobs = yield* signIn(scene, bob.login)
        const pending = yield* scene.code()
        yield* TestClock.adjust("1 second")

        assert.strictEqual(yield* grants.endAll(of), 2)
        for (const ended of [lost, listed]) yield* assertEnded(scene, ended, servers)
        Scene.assertRefused(yield* scene.one.token(scene.redemption(pending)), 400, "invalid_grant")
        assert.deepStrictEqual(yield* alive(bobs, servers), [true, true])
        assert.deepStrictEqual(yield* grants.list(of), [])

        yield* TestClock.adjust("1 second")
        const again = yield* signIn(scene, ada.login)
        assert.deepStrictEqual(yield* alive(again, servers), [true, true])
        assert.lengthOf(yield* grants.list(of), 1)
      }))
  }

  it.effect("ends all of a client, and leaves the same people's other clients", () =>
    Effect.gen(function*() {
      const scene = yield* Scene.make()
      const grants = yield* grantsOf(scene)
      const { clientId } = yield* scene.register({ client_name: "Other" })
      const bad = [yield* signIn(scene, ada.login), yield* signIn(scene, bob.login)]
      const good = yield* signIn(scene, ada.login, clientId)
      assert.strictEqual(yield* grants.endAll({ client: clientHandle(scene.clientId) }), 2)
      for (const ended of bad) yield* assertEnded(scene, ended, [scene.one])
      assert.deepStrictEqual(yield* alive(good, [scene.one]), [true])
    }))

  it.effect("lists a grant for as long as it is used, and then no more", () =>
    Effect.gen(function*() {
      const scene = yield* Scene.make({
        okta: {
          clients: [{ ...webClient, redirectUris: [`${Scene.serverUrl}/oauth/callback`], refreshTokens: "rotating" }]
        }
      })
      const grants = yield* grantsOf(scene)
      let { refreshToken } = yield* signIn(scene, ada.login)
      for (let week = 0; week < 12; week++) {
        yield* TestClock.adjust("6 days")
        refreshToken = Scene.tokensOf(yield* scene.one.token(scene.refreshment(refreshToken))).refreshToken
        assert.lengthOf(yield* grants.list(adas), 1, `week ${week}`)
      }
      yield* TestClock.adjust("31 days")
      assert.deepStrictEqual(yield* grants.list(adas), [])
    }))

  it.effect("F18 there is no grant that could not be noted, and none that could not be ended", () =>
    Effect.gen(function*() {
      yield* TestClock.setTime(Scene.now * 1000)
      const memory = Context.get(yield* Layer.build(Layer.fresh(MemoryStore.layer)), Store)
      let fails = (_operation: string, _key: string) => false
      const or = <A>(operation: StoreUnavailable["operation"], key: string, then: Effect.Effect<A, StoreUnavailable>) =>
        Effect.suspend(() =>
          fails(operation, key) ? Effect.fail(new StoreUnavailable({ operation, reason: "it is broken" })) : then
        )
      const store = Layer.succeed(Store, {
        ...memory,
        take: (key) => or("take", key, memory.take(key)),
        put: (key, value, ttl) => or("put", key, memory.put(key, value, ttl)),
        putIfAbsent: (key, value, ttl) => or("putIfAbsent", key, memory.putIfAbsent(key, value, ttl))
      })
      const scene = yield* Scene.make({ store })
      const grants = yield* grantsOf(scene)

      fails = (operation, key) => operation === "putIfAbsent" && key.startsWith("grants:")
      const agent = scene.browser()
      Scene.assertSentBack(yield* agent.ask(yield* scene.comeBack(agent)), "temporarily_unavailable")
      fails = () => false
      assert.deepStrictEqual(yield* grants.list({ person: ada.login }), [])

      const signedIn = yield* signIn(scene, ada.login)
      yield* TestClock.adjust("1 second")
      fails = (operation, key) => operation === "put" && key.startsWith("ended:")
      assert.strictEqual((yield* Effect.flip(grants.endAll(adas)))._tag, "StoreUnavailable")
      assert.deepStrictEqual(yield* alive(signedIn, [scene.one]), [true])
      // What cannot be tidied up has ended all the same, and is tidied up by the next try.
      fails = (operation, key) => operation === "take" && key.startsWith("grant:")
      assert.strictEqual((yield* Effect.flip(grants.endAll(adas)))._tag, "StoreUnavailable")
      yield* TestClock.adjust("2 seconds")
      yield* assertEnded(scene, signedIn, [scene.one])
      fails = () => false
      assert.strictEqual(yield* grants.endAll(adas), 1)
      assert.strictEqual(yield* grants.endAll(adas), 0)
    }))

  it.effect("F29 a damaged list or mark is as none, with an alarm", () =>
    Effect.gen(function*() {
      const scene = yield* Scene.make()
      const grants = yield* grantsOf(scene)
      const signedIn = yield* signIn(scene, ada.login)
      yield* grants.endAll({ person: bob.login })
      const keys = [...scene.values].filter((key) => /^(?:grants|ended):/.test(key))
      assert.isTrue(keys.some((key) => key.startsWith("ended:")))
      for (const key of keys) yield* scene.memory.put(key, "damaged", Duration.hours(1))
      assert.deepStrictEqual(yield* grants.list(adas), [])
      assert.deepStrictEqual(yield* alive(signedIn, [scene.one]), [true])
      for (const login of [ada.login, bob.login]) {
        assert.deepStrictEqual(yield* alive(yield* signIn(scene, login), [scene.one]), [true])
        assert.lengthOf(yield* grants.list({ person: login }), 1)
      }
      for (const kind of ["grants", "ended"]) assert.include(scene.watch.text, `of the kind "${kind}"`)
    }))

  it.effect("many sign-ins of one person at once are all listed", () =>
    Effect.gen(function*() {
      const scene = yield* Scene.make()
      const grants = yield* grantsOf(scene)
      yield* Effect.forEach(Array(12), () => signIn(scene, ada.login), { concurrency: "unbounded" })
      assert.lengthOf(yield* grants.list(adas), 12)
      assert.strictEqual(yield* grants.endAll(adas), 12)
    }))

  it.effect("in native mode there are none, which is told", () =>
    Effect.gen(function*() {
      const native = OktaAuth.layer({ issuer: "https://acme.okta.com/oauth2/default", audience: "api://default" })
      const context = yield* Effect.orDie(Layer.build(Layer.provide(native, FetchHttpClient.layer)))
      const grants = Context.get(context, Grants)
      for (const effect of [Effect.asVoid(grants.list(adas)), Effect.asVoid(grants.endAll(adas))]) {
        assert.strictEqual((yield* Effect.flip(effect))._tag, "NoGrants")
      }
      assert.strictEqual((yield* Effect.flip(grants.end("x", adas)))._tag, "NoGrants")
    }))
})
