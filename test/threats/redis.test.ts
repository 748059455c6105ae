import { assert, describe, it } from "@effect/vitest"
import { ConfigProvider, Effect, Fiber, type Layer, Redacted } from "effect"
import { TestClock } from "effect/testing"
import * as OktaAuth from "../../src/OktaAuth.ts"
import { Readiness } from "../../src/resource/Health.ts"
import * as RedisStore from "../../src/store/RedisStore.ts"
import type { Store, StoreUnavailable } from "../../src/store/Store.ts"
import { OktaTest } from "../../src/testing/OktaTest.ts"
import { TokenVerifier } from "../../src/token/TokenVerifier.ts"
import * as Scene from "../support/ProxyScene.ts"
import * as Redis from "../support/RedisServer.ts"
import * as Relay from "../support/Relay.ts"

const storeAt = (port: number): Layer.Layer<Store, StoreUnavailable> =>
  RedisStore.layer({ url: Redacted.make(`redis://127.0.0.1:${port}`) })

const registration = {
  headers: { "content-type": "application/json" },
  body: JSON.stringify({ redirect_uris: [Scene.redirectUri], token_endpoint_auth_method: "none" })
}

/** A page that says that it does not go on at the moment, and when it may. */
const assertAway = (answer: Scene.Answer) => {
  Scene.assertLocal(answer, 503, "temporarily_unavailable")
  assert.match(answer.headers.get("retry-after") ?? "", /^[1-9]\d*$/)
}

/** Every door at which the store is needed is closed for the time being. */
const assertClosed = Effect.fnUntraced(function*(scene: Scene.ProxyScene, one: Scene.Server, refreshToken: string) {
  assertAway(yield* scene.browser(one).ask(scene.authorizeUrl()))
  Scene.assertRefused(yield* one.token(scene.refreshment(refreshToken)), 503, "temporarily_unavailable")
  const registered = yield* one.ask("/oauth/register", registration)
  assert.deepStrictEqual([registered.status, Scene.membersOf(registered)["error"]], [503, "temporarily_unavailable"])
  const ready = yield* one.ask("/readyz")
  assert.deepStrictEqual([ready.status, Scene.membersOf(ready)["missing"]], [503, ["store"]])
  assert.strictEqual((yield* one.ask("/healthz")).status, 200)
})

/** The moment at which a server says that it is ready. */
const ready = (server: Scene.Server) =>
  Effect.repeat(Effect.map(server.ask("/readyz"), ({ status }) => status), { until: (status) => status === 200 })

/** Lets the test's time run in small steps until something has come to its end, but no longer than a second. */
const withinASecond = Effect.fnUntraced(function*<A, E>(effect: Effect.Effect<A, E>) {
  const fiber = yield* Effect.forkChild(effect)
  for (let step = 0; step < 200 && fiber.pollUnsafe() === undefined; step++) {
    yield* Effect.promise(() => new Promise((resolve) => setTimeout(resolve, 1)))
    yield* TestClock.adjust("5 millis")
  }
  assert.isDefined(fiber.pollUnsafe(), "nobody waits longer than that for Redis")
  return yield* Fiber.join(fiber)
})

describe.skipIf(Redis.isMissing)("Faults: Redis", () => {
  it.effect(
    "F18 down at the start, and during: 503 where it is needed, own access tokens go on, no memory in its place",
    () =>
      Effect.gen(function*() {
        const redis = yield* Redis.make({ appendonly: "yes", appendfsync: "always" })
        const scene = yield* Scene.make({ store: storeAt(redis.port) })
        const { accessToken, refreshToken } = yield* scene.signIn()
        const agent = scene.browser()
        const page = yield* agent.ask(scene.authorizeUrl())
        yield* redis.kill

        const second = yield* scene.start()
        for (const one of [scene.one, second]) {
          yield* assertClosed(scene, one, refreshToken)
          assertAway(yield* Scene.decide(agent, page, "allow"))
          assert.strictEqual((yield* one.call(accessToken)).status, 200)
        }
        yield* redis.start
        yield* Effect.forEach([scene.one, second], ready)
        // The person presses the button again, and nobody has lost anything.
        assert.strictEqual((yield* Scene.decide(agent, page, "allow")).location.origin, scene.okta.origin)
        Scene.tokensOf(yield* second.token(scene.refreshment(refreshToken)))
        Scene.tokensOf(yield* second.token(scene.redemption(yield* scene.code({}, scene.browser(second)))))
      }),
    30_000
  )

  it.effect("F18 native mode needs no store: it starts, and accepts tokens, without asking for one", () =>
    Effect.gen(function*() {
      const okta = yield* OktaTest
      const { verify } = yield* TokenVerifier
      const { principal } = yield* verify(yield* okta.token())
      assert.strictEqual(principal.subject, "ada@example.com")
      const { missing } = yield* Readiness
      assert.deepStrictEqual(yield* missing, [])
    }).pipe(
      Effect.provide(OktaAuth.layerConfig()),
      Effect.provide(OktaTest.layer()),
      Effect.provide(ConfigProvider.layer(ConfigProvider.fromUnknown({
        OKTA_ISSUER: OktaTest.issuer,
        OKTA_AUDIENCE: OktaTest.audience,
        REDIS_URL: "redis://127.0.0.1:1"
      })))
    ))

  it.effect(
    "F19 slow: 503 after half a second, the refresh token stays good, and access tokens go on",
    () =>
      Effect.gen(function*() {
        const redis = yield* Redis.make()
        const relay = yield* Relay.make(redis.port)
        const scene = yield* Scene.make({ store: storeAt(relay.port) })
        const { accessToken, refreshToken } = yield* scene.signIn()
        relay.hold()
        const answer = yield* withinASecond(scene.one.token(scene.refreshment(refreshToken)))
        Scene.assertRefused(answer, 503, "temporarily_unavailable")
        assert.strictEqual((yield* withinASecond(scene.one.call(accessToken))).status, 200)
        relay.flow()
        yield* ready(scene.one)
        Scene.tokensOf(yield* scene.one.token(scene.refreshment(refreshToken)))
      }),
    30_000
  )

  it.effect(
    "F19 an answer is lost at any command of a redemption: consumed where it may be, and never good twice",
    () =>
      Effect.gen(function*() {
        const redis = yield* Redis.make()
        const relay = yield* Relay.make(redis.port)
        const scene = yield* Scene.make({ store: storeAt(relay.port) })
        const ends = new Set<string>()
        for (let command = 1; command < 12; command++) {
          const form = scene.redemption(yield* scene.code())
          relay.lose(command)
          const first = yield* scene.one.token(form)
          relay.lose(Infinity)
          yield* ready(scene.one)
          const second = yield* scene.one.token(form)
          const [before, after] = [first.status, second.status]
          ends.add(`${before} ${after}`)
          if (before === 200) {
            Scene.assertRefused(second, 400, "invalid_grant")
            assert.strictEqual((yield* scene.one.call(String(Scene.membersOf(first)["access_token"]))).status, 401)
            continue
          }
          Scene.assertRefused(first, 503, "temporarily_unavailable")
          if (after !== 200) Scene.assertRefused(second, 400, "invalid_grant")
          Scene.assertRefused(yield* scene.one.token(form), 400, "invalid_grant")
        }
        // Before the code is used up it can be tried again; once that may have been done, it cannot; and then there are no more commands.
        assert.sameMembers([...ends], ["503 200", "503 400", "200 400"])
      }),
    60_000
  )

  it.effect(
    "F20 full: registration and sign-in are 503, nothing is corrupt, and all is well when there is room",
    () =>
      Effect.gen(function*() {
        const redis = yield* Redis.make()
        const scene = yield* Scene.make({ store: storeAt(redis.port) })
        const { accessToken, refreshToken } = yield* scene.signIn()
        const agent = scene.browser()
        const page = yield* agent.ask(scene.authorizeUrl())
        const code = yield* scene.code()
        yield* redis.run("CONFIG", "SET", "maxmemory", "1")
        assertAway(yield* scene.browser().ask(scene.authorizeUrl()))
        assertAway(yield* Scene.decide(agent, page, "allow"))
        const registered = yield* scene.one.ask("/oauth/register", registration)
        assert.strictEqual(registered.status, 503)
        Scene.assertRefused(yield* scene.one.token(scene.redemption(code)), 503, "temporarily_unavailable")
        Scene.assertRefused(yield* scene.one.token(scene.refreshment(refreshToken)), 503, "temporarily_unavailable")
        assert.strictEqual((yield* scene.one.call(accessToken)).status, 200)
        assert.include(scene.watch.text, "raise its maxmemory")

        yield* redis.run("CONFIG", "SET", "maxmemory", "0")
        assert.strictEqual((yield* Scene.decide(agent, page, "allow")).location.origin, scene.okta.origin)
        Scene.tokensOf(yield* scene.one.token(scene.redemption(code)))
        Scene.tokensOf(yield* scene.one.token(scene.refreshment(refreshToken)))
        assert.strictEqual((yield* scene.one.call(accessToken)).status, 200)
      }),
    30_000
  )
})
