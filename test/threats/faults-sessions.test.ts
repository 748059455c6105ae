import { assert, describe, it, layer } from "@effect/vitest"
import { Context, Duration, Effect, Fiber, Layer, Redacted, type Scope } from "effect"
import { TestClock } from "effect/testing"
import { DatabaseSync } from "node:sqlite"
import { bob, uidOf, webClient } from "../../src/demo/StandInDirectory.ts"
import * as RedisStore from "../../src/store/RedisStore.ts"
import { pass as passInRedis } from "../store/RedisReplicas.ts"
import {
  assertLocal,
  assertRefused,
  assertSentBack,
  asTimePasses,
  claimsOf,
  fieldsOf,
  make,
  type ProxyScene,
  Scene,
  type Server,
  serverUrl,
  tokensOf
} from "../support/ProxyScene.ts"
import { isMissing, make as makeRedis, type RedisServer } from "../support/RedisServer.ts"
import type { Handler } from "../support/StandInDoor.ts"

/** Lets sockets come to their turn. */
const turn = Effect.promise(() => new Promise((resolve) => setImmediate(resolve)))

/** A web application whose refresh tokens at Okta are good once. */
const once = { ...webClient, refreshTokens: "rotating", redirectUris: [`${serverUrl}/oauth/callback`] } as const

describe("Faults: two replicas on one SQLite file", () => {
  it.effect("F23 any step of a flow on either", () =>
    Effect.gen(function*() {
      const scene = yield* make({ store: "sqlite" })
      const replicas = [scene.one, yield* scene.start()] as const
      for (let choice = 0; choice < 128; choice += 3) {
        let step = 0
        const next = (): Server => (choice >> step++) % 2 === 0 ? replicas[0] : replicas[1]
        const browser = scene.browser()
        const at = (url: URL, { actual }: Server) => actual + url.pathname + url.search
        const page = yield* browser.ask(at(scene.authorizeUrl(), next()))
        const { body, location } = yield* browser.ask(`${next().actual}/oauth/consent`, {
          body: new URLSearchParams({ ...fieldsOf(page), decision: "allow" })
        })
        assert.strictEqual(location.origin, scene.okta.origin, body)
        const back = yield* Effect.orDie(scene.okta.authorize(location))
        const answer = yield* browser.ask(at(back, next()))
        const form = scene.redemption(answer.location.searchParams.get("code") ?? "")
        const first = tokensOf(yield* next().token(form))
        const second = tokensOf(yield* next().token(scene.refreshment(first.refreshToken)))
        assert.strictEqual((yield* next().call(second.accessToken)).status, 200)
        const { status } = yield* next().revoke({ client_id: scene.clientId, token: second.refreshToken })
        assert.strictEqual(status, 200)
        for (const replica of replicas) {
          assert.strictEqual((yield* replica.call(second.accessToken)).status, 401)
          assertRefused(yield* replica.token(scene.refreshment(second.refreshToken)), 400, "invalid_grant")
          assertRefused(yield* replica.token(form), 400, "invalid_grant")
          assertLocal(yield* browser.ask(at(back, replica)), 400)
        }
      }
    }), 30_000)
})

/** Okta, which answers when it is told to. */
const slowly = Effect.fnUntraced(function*({ okta }: ProxyScene) {
  const asked = Promise.withResolvers<void>()
  const told = Promise.withResolvers<void>()
  const done = Promise.withResolvers<void>()
  const handler: Handler = async (_, response, usual) => {
    response.once("close", () => done.resolve())
    asked.resolve()
    await told.promise
    // Whoever asked may have gone away.
    if (!response.destroyed) await usual()
  }
  yield* okta.respond("token", handler)
  return {
    asked: Effect.promise(() => asked.promise),
    answer: Effect.andThen(Effect.sync(() => told.resolve()), Effect.promise(() => done.promise))
  }
})

for (const store of ["memory", "sqlite"] as const) {
  layer(Scene.layer({ store, okta: { clients: [once], refreshGrace: 0 } }))(
    `Faults: the client goes away, with the store in ${store}`,
    (it) => {
      it.effect("F25 while Okta is asked at a refresh: the answer is kept, and the same refresh token goes on", () =>
        Effect.gen(function*() {
          const scene = yield* Scene
          const { refreshToken } = yield* scene.signIn()
          const form = scene.refreshment(refreshToken)
          yield* TestClock.adjust("61 minutes")
          const okta = yield* slowly(scene)
          const requests = yield* scene.okta.requests("token")
          const gone = yield* Effect.forkChild(scene.one.token(form))
          yield* okta.asked
          yield* Fiber.interrupt(gone)
          for (let turns = 0; turns < 20; turns++) yield* turn
          yield* okta.answer
          yield* scene.okta.lift
          const second = tokensOf(yield* asTimePasses(scene.one.token(form)))
          assert.strictEqual(yield* scene.okta.requests("token"), requests + 1)
          assert.strictEqual((yield* scene.one.call(second.accessToken)).status, 200)
          // Okta's refresh token is good once: had its successor been lost, this would be the end.
          yield* TestClock.adjust("61 minutes")
          tokensOf(yield* scene.one.token(scene.refreshment(second.refreshToken)))
        }))

      it.effect("F25 at any moment of a redemption: once at most, and what nobody got is good for nothing", () =>
        Effect.gen(function*() {
          const scene = yield* Scene
          const outcomes = new Set<number>()
          for (let round = 0; round < 40; round++) {
            const form = scene.redemption(yield* scene.code())
            const gone = yield* Effect.forkChild(scene.one.token(form))
            for (let turns = 0; turns < round; turns++) yield* turn
            const wasAnswered = gone.pollUnsafe() !== undefined
            yield* Fiber.interrupt(gone)
            const again = yield* scene.one.token(form)
            if (wasAnswered || again.status !== 200) assertRefused(again, 400, "invalid_grant")
            outcomes.add(again.status)
            assertRefused(yield* scene.one.token(form), 400, "invalid_grant")
          }
          assert.sameMembers([...outcomes], [200, 400])
        }))

      it.effect("F25 during the callback: the state is used up, no code is left over, and the next sign-in works", () =>
        Effect.gen(function*() {
          const scene = yield* Scene
          const browser = scene.browser()
          const back = yield* scene.comeBack(browser)
          const okta = yield* slowly(scene)
          const gone = yield* Effect.forkChild(browser.ask(back))
          yield* okta.asked
          yield* Fiber.interrupt(gone)
          for (let turns = 0; turns < 20; turns++) yield* turn
          yield* okta.answer
          yield* scene.okta.lift
          assertLocal(yield* browser.ask(back), 400)
          assert.isString(yield* scene.code({}, browser))
        }))
    }
  )
}

/** What a store holds, to be read and spoiled. */
interface Records {
  readonly keys: (kind: string) => Effect.Effect<ReadonlyArray<string>>
  readonly value: (key: string) => Effect.Effect<string>
  readonly write: (key: string, value: string | Uint8Array) => Effect.Effect<void>
  /** Lets time pass for the servers and for the store. */
  readonly pass: (duration: Duration.Duration) => Effect.Effect<void>
}

/** The rows of the file, the latest last. */
const rows = Effect.fnUntraced(function*(file: string): Effect.fn.Return<Records, never, Scope.Scope> {
  const database = yield* Effect.acquireRelease(
    Effect.sync(() => new DatabaseSync(file)),
    (database) => Effect.sync(() => database.close())
  )
  const all = () =>
    database.prepare("SELECT key, value FROM entries ORDER BY rowid").all().map((row) => ({
      key: String(row["key"]),
      value: String(row["value"])
    }))
  const put = database.prepare("UPDATE entries SET value = CAST(? AS TEXT) WHERE key = ?")
  return {
    keys: (kind) => Effect.sync(() => all().map(({ key }) => key).filter((key) => key.startsWith(`${kind}:`))),
    value: (key) => Effect.sync(() => all().find((row) => row.key === key)?.value ?? ""),
    write: (key, value) => Effect.sync(() => void put.run(Buffer.from(value), key)),
    pass: TestClock.adjust
  }
})

/** The entries in Redis, in the order in which they will end. */
const entries = (redis: RedisServer): Records => ({
  keys: (kind) =>
    Effect.map(
      redis.run("EVAL", inOrder, "0", `effect-okta:${kind}:*`),
      (keys) => String(keys).split(",").filter(Boolean)
    ),
  value: (key) => Effect.map(redis.run("GET", key), String),
  write: (key, value) => Effect.asVoid(redis.run("SET", key, Buffer.from(value), "KEEPTTL")),
  pass: (duration) => Effect.andThen(TestClock.adjust(duration), passInRedis(redis, duration))
})

const inOrder = `
local keys = redis.call("KEYS", ARGV[1])
table.sort(keys, function(a, b) return redis.call("PEXPIRETIME", a) < redis.call("PEXPIRETIME", b) end)
return keys`

/** What can become of a value. */
const damages: ReadonlyArray<readonly [string, (value: string, foreign: string) => string | Uint8Array]> = [
  ["emptied", () => ""],
  ["cut short", (value) => value.slice(0, -1)],
  ["cut in half", (value) => value.slice(0, value.length / 2)],
  ["one bit flipped at its beginning", (value) => flipped(value, 0)],
  ["one bit flipped in the middle", (value) => flipped(value, value.length / 2)],
  ["one bit flipped at its end", (value) => flipped(value, value.length - 1)],
  ["no text", () => Uint8Array.of(0xff, 0xfe, 0xc0)],
  ["a text with a zero in it", (value) => `${value.slice(0, 10)}\0${value.slice(10)}`],
  ["a JSON of somebody's", () => "{\"clientId\":\"x\",\"user\":{\"subject\":\"admin\"}}"],
  ["another one's of the same kind", (_, foreign) => foreign]
]

const flipped = (value: string, at: number): Uint8Array => {
  const bytes = Buffer.from(value)
  const index = Math.floor(at)
  bytes[index] = (bytes[index] ?? 0) ^ 0x04
  return bytes
}

/** A scene, and a way to what its store holds. */
class Spoiled extends Context.Service<Spoiled, Records>()("test/threats/Spoiled") {}

const settings = { rememberConsent: true }

const onFile = Layer.effect(Spoiled, Effect.flatMap(Scene, ({ file }) => rows(file))).pipe(
  Layer.provideMerge(Scene.layer({ store: "sqlite", settings }))
)

const onRedis = Layer.unwrap(Effect.map(makeRedis(), (redis) =>
  Layer.merge(
    Layer.succeed(Spoiled, entries(redis)),
    Scene.layer({ store: RedisStore.layer({ url: redis.url }), settings })
  )))

for (const [name, scenes] of [["a file", onFile], ...(isMissing ? [] : [["Redis", onRedis] as const])] as const) {
  layer(scenes)(
    `Faults: a store in ${name} with damaged or foreign records`,
    (it) => {
      it.effect.each(damages)(
        "F29 %s: as absent, with an alarm, and never 500",
        ([, damage]) =>
          Effect.gen(function*() {
            const scene = yield* Scene
            const file = yield* Spoiled
            /** Does something that makes a record, and damages that. */
            const damaged = Effect.fnUntraced(function*<A>(kind: string, making: Effect.Effect<A>, other?: string) {
              yield* making
              const foreign = other ?? (yield* file.keys(kind)).at(-1) ?? ""
              const before = new Set(yield* file.keys(kind))
              const made = yield* making
              const key = (yield* file.keys(kind)).find((key) => !before.has(key)) ?? ""
              assert.notStrictEqual(key, "", kind)
              yield* file.write(key, damage(yield* file.value(key), yield* file.value(foreign)))
              scene.watch.lines.length = 0
              return made
            })
            const assertAlarm = (what: string) => {
              const alarms = scene.watch.lines.filter((line) => /level=WARN.*counts as absent/.test(line))
              assert.isAbove(alarms.length, 0, what)
            }

            const browser = scene.browser()
            assertLocal(yield* browser.ask(yield* damaged("flow", scene.comeBack(browser))), 400)
            assertAlarm("flow")

            const code = yield* damaged("code", scene.code())
            assertRefused(yield* scene.one.token(scene.redemption(code)), 400, "invalid_grant")
            assertAlarm("code")

            const orphan = yield* damaged("grant", scene.code())
            assertRefused(yield* scene.one.token(scene.redemption(orphan)), 400, "invalid_grant")
            assertAlarm("grant")

            const tokens = yield* damaged("grant", scene.signIn())
            assert.strictEqual((yield* scene.one.call(tokens.accessToken)).status, 401)
            assertRefused(yield* scene.one.token(scene.refreshment(tokens.refreshToken)), 400, "invalid_grant")
            const revocation = { client_id: scene.clientId, token: tokens.refreshToken }
            assert.strictEqual((yield* scene.one.revoke(revocation)).status, 200)
            assertAlarm("grant")

            // What is known of a code that was used is looked up once the code's own record is gone.
            const redeemed = Effect.tap(scene.code(), (code) => scene.one.token(scene.redemption(code)))
            assertRefused(
              yield* scene.one.token(scene.redemption(yield* damaged("used", redeemed))),
              400,
              "invalid_grant"
            )
            const bystander = yield* scene.signIn()
            const late = yield* damaged("used", redeemed, (yield* file.keys("used")).at(-1))
            yield* file.pass(Duration.minutes(2))
            assertRefused(yield* scene.one.token(scene.redemption(late)), 400, "invalid_grant")
            assertAlarm("used")
            tokensOf(yield* scene.one.token(scene.refreshment(bystander.refreshToken)))

            const signedIn = Effect.suspend(() => {
              const agent = scene.browser()
              return Effect.as(scene.code({}, agent), agent)
            })
            const forgotten = yield* damaged("consent", signedIn)
            const own = { headers: { "sec-fetch-site": "none" } }
            assert.strictEqual((yield* forgotten.ask(scene.authorizeUrl(), own)).status, 200)
            assertAlarm("consent")
            const leaving = yield* damaged("session", signedIn)
            const question = yield* leaving.ask("/oauth/logout")
            const signedOut = yield* leaving.ask("/oauth/logout", { body: new URLSearchParams(fieldsOf(question)) })
            assert.strictEqual(signedOut.status, 200, signedOut.body)
            assertAlarm("session")

            const { accessToken } = yield* scene.signIn()
            assert.strictEqual((yield* scene.one.call(accessToken)).status, 200)
          })
      )

      it.effect("#90 records moved from one person to another make nobody anybody else", () =>
        Effect.gen(function*() {
          const scene = yield* Scene
          const file = yield* Spoiled
          const before = new Set(yield* file.keys("grant"))
          const mine = yield* scene.signIn()
          const [my = ""] = (yield* file.keys("grant")).filter((key) => !before.has(key))
          const browser = scene.browser()
          const { location } = yield* scene.allow(browser)
          const back = yield* Effect.orDie(scene.okta.authorize(location, { login: bob.login }))
          const answer = yield* browser.ask(back)
          const theirs = tokensOf(
            yield* scene.one.token(scene.redemption(answer.location.searchParams.get("code") ?? ""))
          )
          const [their = ""] = (yield* file.keys("grant")).filter((key) => !before.has(key) && key !== my)
          assert.strictEqual(claimsOf(theirs.accessToken)["sub"], uidOf(bob))
          const [mySession, theirSession] = [yield* file.value(my), yield* file.value(their)]
          yield* file.write(my, theirSession)
          yield* file.write(their, mySession)
          for (const { accessToken, refreshToken } of [mine, theirs]) {
            assert.strictEqual((yield* scene.one.call(accessToken)).status, 401)
            assertRefused(yield* scene.one.token(scene.refreshment(refreshToken)), 400, "invalid_grant")
          }
          yield* file.write(my, mySession)
          yield* file.write(their, theirSession)
          for (const { refreshToken } of [mine, theirs]) {
            tokensOf(yield* scene.one.token(scene.refreshment(refreshToken)))
          }
        }))
    }
  )
}

describe("Faults: Okta's client secret is rotated", () => {
  it.effect("F30 two overlap, and nothing of ours is derived from them", () =>
    Effect.gen(function*() {
      const secondSecret = "the-second-secret-of-this-web-application-1"
      const scene = yield* make({ store: "sqlite", secondSecret })
      const browser = scene.browser()
      const [first, second] = [yield* scene.signIn(), yield* scene.signIn()]
      const back = yield* scene.comeBack(browser)
      const page = yield* browser.ask(scene.authorizeUrl())
      const code = yield* scene.code()
      const { clientId, clientSecret } = yield* scene.register({ token_endpoint_auth_method: "client_secret_post" })
      yield* scene.one.stop

      const server = yield* scene.start({ clientSecret: Redacted.make(secondSecret) })
      const at = (url: URL) => server.actual + url.pathname + url.search
      assert.strictEqual((yield* server.call(first.accessToken)).status, 200)
      tokensOf(yield* server.token(scene.redemption(code)))
      assert.isTrue((yield* browser.ask(at(back))).location.searchParams.has("code"))
      const { location } = yield* browser.ask(`${server.actual}/oauth/consent`, {
        body: new URLSearchParams({ ...fieldsOf(page), decision: "allow" })
      })
      assert.strictEqual(location.origin, scene.okta.origin)
      const revoked = yield* server.revoke({ client_id: clientId, client_secret: clientSecret, token: "x" })
      assert.strictEqual(revoked.status, 200)
      yield* TestClock.adjust("61 minutes")
      const { refreshToken } = tokensOf(yield* server.token(scene.refreshment(first.refreshToken)))

      // One that Okta does not know: nobody is signed out for that, and the owner reads what to do.
      const wrong = yield* scene.start({ clientSecret: Redacted.make("a secret that Okta does not know") })
      assertRefused(yield* wrong.token(scene.refreshment(second.refreshToken)), 503, "temporarily_unavailable")
      const other = scene.browser(wrong)
      assertSentBack(yield* other.ask(yield* scene.comeBack(other)), "server_error")
      assert.include(scene.watch.text, "OKTA_CLIENT_SECRET")
      yield* wrong.stop
      tokensOf(yield* server.token(scene.refreshment(second.refreshToken)))
      tokensOf(yield* server.token(scene.refreshment(refreshToken)))
    }))
})
