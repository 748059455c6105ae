import { assert, describe, it } from "@effect/vitest"
import { Effect, type Layer } from "effect"
import { SignJWT } from "jose"
import { createPrivateKey, createPublicKey } from "node:crypto"
import type { OktaOptions } from "../../src/config/OktaConfig.ts"
import * as RedisStore from "../../src/store/RedisStore.ts"
import type { Store, StoreUnavailable } from "../../src/store/Store.ts"
import { ec, ring } from "../proxy/grant/KeyRing.ts"
import { secret } from "../proxy/ProxyTest.ts"
import {
  assertLocal,
  assertRefused,
  decide,
  make,
  membersOf,
  now,
  type ProxyScene,
  type Server,
  serverUrl,
  tokensOf
} from "../support/ProxyScene.ts"
import * as Redis from "../support/RedisServer.ts"
import * as RoundRobin from "../support/RoundRobin.ts"

const storeOf = ({ url }: Redis.RedisServer): Layer.Layer<Store, StoreUnavailable> => RedisStore.layer({ url })

/** A whole session, of which every step may be another server's: from the registration to the end of the grant. */
const session = Effect.fnUntraced(function*(scene: ProxyScene, server: Server) {
  const { clientId } = yield* scene.register({}, server)
  const browser = scene.browser(server)
  const page = yield* browser.ask(scene.authorizeUrl({ client_id: clientId }))
  const { location } = yield* decide(browser, page, "allow")
  assert.strictEqual(location.origin, scene.okta.origin)
  const back = yield* Effect.orDie(scene.okta.authorize(location))
  const answer = yield* browser.ask(back)
  const code = answer.location.searchParams.get("code") ?? ""
  const redemption = scene.redemption(code, { client_id: clientId })
  const first = tokensOf(yield* server.token(redemption))
  assert.strictEqual((yield* server.call(first.accessToken)).status, 200)
  const refreshment = (token: string) => scene.refreshment(token, { client_id: clientId })
  const second = tokensOf(yield* server.token(refreshment(first.refreshToken)))
  assert.strictEqual((yield* server.call(second.accessToken)).status, 200)
  assert.strictEqual((yield* server.revoke({ client_id: clientId, token: second.refreshToken })).status, 200)
  for (let nth = 0; nth < 3; nth++) {
    assert.strictEqual((yield* server.call(second.accessToken)).status, 401)
    assertRefused(yield* server.token(refreshment(second.refreshToken)), 400, "invalid_grant")
    assertRefused(yield* server.token(redemption), 400, "invalid_grant")
    assertLocal(yield* browser.ask(back), 400)
  }
})

/** The moment at which a server says that it is ready. */
const ready = (server: Server) =>
  Effect.repeat(Effect.map(server.ask("/readyz"), ({ status }) => status), { until: (status) => status === 200 })

describe.skipIf(Redis.isMissing)("Several replicas on one Redis", () => {
  it.effect("F23 every step of a flow on another replica, behind a balancer", () =>
    Effect.gen(function*() {
      const scene = yield* make({ store: storeOf(yield* Redis.make()) })
      const replicas = [scene.one, yield* scene.start(), yield* scene.start()]
      const robin = yield* RoundRobin.make(replicas.map(({ actual }) => actual))
      const reached = new Map<string, Set<number>>()
      for (const count of [3, 2, 3, 2]) {
        robin.servers = replicas.slice(0, count).map(({ actual }) => actual)
        for (let nth = 0; nth < 3; nth++) {
          yield* session(scene, scene.at(robin.url))
          // So that the same step is another replica's in the next session.
          yield* scene.at(robin.url).ask("/healthz")
        }
      }
      for (const [server, path] of robin.served) reached.set(path, (reached.get(path) ?? new Set()).add(server))
      for (const path of ["register", "authorize", "consent", "callback", "token", "revoke"]) {
        assert.strictEqual(reached.get(`/oauth/${path}`)?.size, 3, path)
      }
    }), 30_000)

  it.effect(
    "F23 keys and secrets are replaced on one replica after the other, and nobody signs in again",
    () =>
      Effect.gen(function*() {
        const [oldKey, newKey] = [{ ...ec(), kid: "old" }, { ...ec(), kid: "new" }]
        const stages: ReadonlyArray<Partial<OktaOptions>> = [
          { signingKeys: ring(oldKey), encryptionSecret: secret("a") },
          { signingKeys: ring(oldKey, newKey), encryptionSecret: [secret("a"), secret("b")] },
          { signingKeys: ring(newKey, oldKey), encryptionSecret: [secret("b"), secret("a")] }
        ]
        const scene = yield* make({ store: storeOf(yield* Redis.make()), settings: stages[0] ?? {} })
        const replicas = [scene.one, yield* scene.start()]
        const robin = yield* RoundRobin.make(replicas.map(({ actual }) => actual))
        const server = scene.at(robin.url)
        let { accessToken, refreshToken } = yield* scene.signIn()
        let steps = 0
        for (const stage of stages.slice(1)) {
          for (const index of replicas.keys()) {
            const browser = scene.browser(server)
            const page = yield* browser.ask(scene.authorizeUrl())
            const back = yield* scene.comeBack(browser)
            const code = yield* scene.code({}, scene.browser(server))
            yield* replicas[index]?.stop ?? Effect.void
            replicas[index] = yield* scene.start(stage)
            robin.servers = replicas.map(({ actual }) => actual)
            // What was begun before goes on, on either replica, and what began long before as well.
            for (let nth = 0; nth < 2; nth++) {
              assert.strictEqual((yield* server.call(accessToken)).status, 200)
              const next = tokensOf(yield* server.token(scene.refreshment(refreshToken)))
              accessToken = next.accessToken
              refreshToken = next.refreshToken
            }
            tokensOf(yield* server.token(scene.redemption(code)))
            assert.isTrue((yield* browser.ask(back)).location.searchParams.has("code"))
            assert.strictEqual((yield* decide(browser, page, "allow")).location.origin, scene.okta.origin)
            yield* session(scene, server)
            steps++
          }
        }
        assert.strictEqual(steps, 4)
      }),
    30_000
  )

  it.effect("#183 F23 an assertion that one replica has taken is refused by the other", () =>
    Effect.gen(function*() {
      const privateKey = createPrivateKey({ key: { ...ec() }, format: "jwk" })
      const scene = yield* make({ store: storeOf(yield* Redis.make()) })
      const replicas = [scene.one, yield* scene.start()] as const
      const { clientId } = yield* scene.register({
        token_endpoint_auth_method: "private_key_jwt",
        jwks: { keys: [{ ...createPublicKey(privateKey).export({ format: "jwk" }), kid: "k", alg: "ES256" }] }
      })
      for (const [first, second] of [replicas, [replicas[1], replicas[0]] as const]) {
        const client_assertion = yield* Effect.promise(() =>
          new SignJWT({ iss: clientId, sub: clientId, aud: serverUrl, exp: now + 60, jti: crypto.randomUUID() })
            .setProtectedHeader({ alg: "ES256", kid: "k" }).sign(privateKey)
        )
        const client_assertion_type = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
        const form = { client_id: clientId, token: "x", client_assertion, client_assertion_type }
        assert.strictEqual((yield* first.revoke(form)).status, 200)
        for (const server of [second, first]) {
          const answer = yield* server.revoke(form)
          assert.deepStrictEqual([answer.status, membersOf(answer)["error"]], [401, "invalid_client"])
        }
      }
    }))

  it.effect(
    "F23 a replica, and then Redis, are started again in the middle of everything",
    () =>
      Effect.gen(function*() {
        const redis = yield* Redis.make({ appendonly: "yes", appendfsync: "always" })
        const scene = yield* make({ store: storeOf(redis) })
        const replicas = [scene.one, yield* scene.start()]
        const robin = yield* RoundRobin.make(replicas.map(({ actual }) => actual))
        const server = scene.at(robin.url)
        const begin = Effect.gen(function*() {
          const browser = scene.browser(server)
          const page = yield* browser.ask(scene.authorizeUrl())
          const back = yield* scene.comeBack(browser)
          return { browser, page, back, code: yield* scene.code({}, scene.browser(server)) }
        })
        const goOn = Effect.fnUntraced(function*({ back, browser, code, page }: Effect.Success<typeof begin>) {
          const { accessToken, refreshToken } = tokensOf(yield* server.token(scene.redemption(code)))
          assert.strictEqual((yield* server.call(accessToken)).status, 200)
          assertRefused(yield* server.token(scene.redemption(code)), 400, "invalid_grant")
          assertRefused(yield* server.token(scene.refreshment(refreshToken)), 400, "invalid_grant")
          assert.isTrue((yield* browser.ask(back)).location.searchParams.has("code"))
          assertLocal(yield* browser.ask(back), 400)
          assert.strictEqual((yield* decide(browser, page, "allow")).location.origin, scene.okta.origin)
        })
        const { refreshToken } = yield* scene.signIn()

        const before = yield* begin
        yield* replicas[0]?.stop ?? Effect.void
        replicas[0] = yield* scene.start()
        robin.servers = replicas.map(({ actual }) => actual)
        yield* goOn(before)

        const later = yield* begin
        yield* redis.kill
        assertRefused(yield* server.token(scene.redemption(later.code)), 503, "temporarily_unavailable")
        assertRefused(yield* server.token(scene.refreshment(refreshToken)), 503, "temporarily_unavailable")
        yield* redis.start
        yield* Effect.forEach(replicas, ready)
        yield* goOn(later)
        tokensOf(yield* server.token(scene.refreshment(refreshToken)))
      }),
    30_000
  )

  it.effect("#168 F18 requests are counted for all replicas together; nothing is unlimited while Redis is away", () =>
    Effect.gen(function*() {
      const redis = yield* Redis.make()
      const scene = yield* make({ store: storeOf(redis), settings: { requestsPerMinute: 6 } })
      const replicas = [scene.one, yield* scene.start()]
      const ask = (nth: number) =>
        (replicas[nth % 2] ?? scene.one).ask("/oauth/register", {
          headers: { "content-type": "application/json" },
          body: "{\"redirect_uris\":[\"https://client.example.com/callback\"]}"
        })
      // The scene's own registration was the first.
      const statuses: Array<number> = []
      for (let nth = 0; nth < 7; nth++) statuses.push((yield* ask(nth)).status)
      assert.deepStrictEqual(statuses, [201, 201, 201, 201, 201, 429, 429])
      const places = String(yield* redis.run("KEYS", "effect-okta:limit:*")).split(",")
      assert.lengthOf(places, 1)
      assert.isAtMost(Number(yield* redis.run("PTTL", places[0] ?? "")), 60_000)
      yield* redis.kill
      for (const nth of [0, 1]) {
        const answer = yield* ask(nth)
        assert.deepStrictEqual([answer.status, membersOf(answer)["error"]], [503, "temporarily_unavailable"])
      }
      assert.include(scene.watch.text, "nothing listens there")
    }))
})
