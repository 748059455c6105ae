import { assert, describe, it } from "@effect/vitest"
import { Effect, Fiber, Option, Redacted } from "effect"
import { TestClock } from "effect/testing"
import { now, secret } from "../ProxyTest.ts"
import { assertRefused, assertUncached, claimsOf, isAlive, tokenServers } from "./TokenServer.ts"

const hour = 3600

/** Lets sockets come to their turn. */
const turn = Effect.promise(() => new Promise((resolve) => setImmediate(resolve)))

/** Lets time pass for as long as servers wait for each other. */
const settled = <A, E>(effect: Effect.Effect<A, E>) =>
  Effect.gen(function*() {
    const fiber = yield* Effect.forkChild(effect)
    while (fiber.pollUnsafe() === undefined) {
      yield* turn
      yield* TestClock.adjust("1 millis")
    }
    return yield* Fiber.join(fiber)
  })

describe("a refresh token (RFC 6749 section 6)", () => {
  it.effect("is replaced by another, and Okta is not asked before an access token's time is up", () =>
    Effect.gen(function*() {
      const { okta, one, other, refreshment, signIn } = yield* tokenServers()
      const { clientId, refreshToken } = yield* signIn
      let current = refreshToken
      for (let count = 0; count < 5; count++) {
        yield* TestClock.adjust("10 minutes")
        const answer = yield* (count % 2 === 0 ? one : other).token(refreshment(clientId, current))
        assert.strictEqual(answer.status, 200)
        assertUncached(answer)
        assert.notInclude(answer.text, "okta-")
        assert.notStrictEqual(answer.body["refresh_token"], current)
        assert.strictEqual(claimsOf(answer.body["access_token"])["exp"], now + hour)
        current = String(answer.body["refresh_token"])
      }
      assert.deepStrictEqual(okta.refreshed, [])
      yield* TestClock.adjust("10 minutes")
      const { body } = yield* one.token(refreshment(clientId, current))
      assert.deepStrictEqual(okta.refreshed, ["okta-refresh-0"])
      assert.strictEqual(body["expires_in"], hour)
      yield* TestClock.adjust("1 hour")
      yield* other.token(refreshment(clientId, body["refresh_token"]))
      assert.deepStrictEqual(okta.refreshed, ["okta-refresh-0", "okta-refresh-1"])
    }))

  it.effect("outlives an idle month but a day, not more", () =>
    Effect.gen(function*() {
      const { one, refreshment, signIn } = yield* tokenServers()
      const { clientId, refreshToken } = yield* signIn
      yield* TestClock.adjust("29 days")
      const { body, status } = yield* one.token(refreshment(clientId, refreshToken))
      assert.strictEqual(status, 200)
      yield* TestClock.adjust("30 days")
      assertRefused(yield* one.token(refreshment(clientId, body["refresh_token"])), 400, "invalid_grant")
    }))

  it.effect("whose answer was lost gives the same successor, until that was used", () =>
    Effect.gen(function*() {
      const { one, other, refreshment, signIn } = yield* tokenServers({ store: "sqlite" })
      const { clientId, refreshToken } = yield* signIn
      const { body } = yield* one.token(refreshment(clientId, refreshToken))
      yield* TestClock.adjust("10 minutes")
      const again = yield* other.token(refreshment(clientId, refreshToken))
      assert.strictEqual(again.status, 200)
      assert.strictEqual(again.body["refresh_token"], body["refresh_token"])
      assert.strictEqual((yield* one.token(refreshment(clientId, body["refresh_token"]))).status, 200)
      assertRefused(yield* one.token(refreshment(clientId, refreshToken)), 400, "invalid_grant")
    }))

  it.effect("that is forged or damaged is refused, and nothing happens to the grant", () =>
    Effect.gen(function*() {
      const { one, refreshment, signIn } = yield* tokenServers()
      const { accessToken, clientId, refreshToken } = yield* signIn
      const [grantId, , mac] = refreshToken.split(".")
      const forged = [
        `${grantId}.2.${mac}`,
        `${grantId}.0.${mac}`,
        `${grantId}.01.${mac}`,
        `${grantId}.1.${"A".repeat(43)}`,
        `${grantId}.1`,
        `${refreshToken} `,
        `${refreshToken}=`,
        accessToken,
        "x".repeat(5000)
      ]
      for (const token of forged) {
        assertRefused(yield* one.token(refreshment(clientId, token)), 400, "invalid_grant")
      }
      assert.strictEqual((yield* one.token(refreshment(clientId, refreshToken))).status, 200)
    }))
})

describe("a refresh token, after encryptionSecret was replaced,", () => {
  it.effect("is as good as before, and so is its family", () =>
    Effect.gen(function*() {
      const { okta, one, other, refreshment, signIn } = yield* tokenServers({
        settings: { encryptionSecret: [secret("a"), secret("b")] },
        settingsOfOther: { encryptionSecret: [secret("b"), secret("a")] }
      })
      const { accessToken, clientId, refreshToken } = yield* signIn
      yield* TestClock.adjust("1 hour")
      const second = yield* other.token(refreshment(clientId, refreshToken))
      assert.deepStrictEqual(okta.refreshed, ["okta-refresh-0"])
      const third = yield* one.token(refreshment(clientId, second.body["refresh_token"]))
      assert.strictEqual(third.status, 200)
      assertRefused(yield* other.token(refreshment(clientId, refreshToken)), 400, "invalid_grant")
      assert.isFalse(yield* isAlive(one.grants, accessToken))
      assert.deepStrictEqual(okta.revoked, ["okta-refresh-1"])
    }))
})

describe("Okta's tokens of a grant", () => {
  it.effect("are given to this server's own code, renewed when their time is up, until the grant ends", () =>
    Effect.gen(function*() {
      const { okta, one, other, signIn } = yield* tokenServers()
      const { accessToken, refreshToken } = yield* signIn
      const id = String(claimsOf(accessToken)["sid"])
      const current = ({ grants }: typeof one) =>
        Effect.map(grants.oktaTokens(id), Option.map((tokens) => Redacted.value(tokens.accessToken)))
      assert.deepStrictEqual(yield* current(one), Option.some("okta-access-0"))
      yield* TestClock.adjust("1 hour")
      assert.deepStrictEqual(yield* current(other), Option.some("okta-access-1"))
      assert.deepStrictEqual(yield* current(one), Option.some("okta-access-1"))
      okta.answer = "away"
      yield* TestClock.adjust("1 hour")
      assert.strictEqual((yield* Effect.flip(current(one)))._tag, "OktaUnavailable")
      assert.isTrue(yield* one.grants.end(id, "revoked"))
      assert.isFalse(yield* one.grants.end(id, "revoked"))
      assert.deepStrictEqual(yield* current(one), Option.none())
      assert.isString(refreshToken)
    }))

  it.effect("are kept though the store fails for a moment", () =>
    Effect.gen(function*() {
      const { okta, one, refreshment, signIn } = yield* tokenServers()
      const { clientId, refreshToken } = yield* signIn
      yield* TestClock.adjust("1 hour")
      one.store.failures = 2
      one.store.down = "compareAndSet"
      const { body, status } = yield* one.token(refreshment(clientId, refreshToken))
      assert.strictEqual(status, 200)
      yield* TestClock.adjust("1 hour")
      yield* one.token(refreshment(clientId, body["refresh_token"]))
      assert.deepStrictEqual(okta.refreshed, ["okta-refresh-0", "okta-refresh-1"])
    }))

  it.effect("are renewed by one server, while the others wait for it", () =>
    Effect.gen(function*() {
      const { okta, one, other, refreshment, signIn } = yield* tokenServers()
      okta.once = true
      const { clientId, refreshToken } = yield* signIn
      yield* TestClock.adjust("1 hour")
      yield* okta.gate.take(1)
      const first = yield* Effect.forkChild(one.token(refreshment(clientId, refreshToken)))
      yield* okta.waiting
      const tired = yield* settled(other.token(refreshment(clientId, refreshToken)))
      assertRefused(tired, 503, "temporarily_unavailable")
      const { reads } = other.store
      const patient = yield* Effect.forkChild(other.token(refreshment(clientId, refreshToken)))
      while (other.store.reads < reads + 2) yield* turn
      yield* okta.gate.release(1)
      const answers = yield* settled(Fiber.joinAll([first, patient]))
      assert.deepStrictEqual(answers.map(({ status }) => status), [200, 200])
      assert.strictEqual(answers[0]?.body["refresh_token"], answers[1]?.body["refresh_token"])
      assert.deepStrictEqual(okta.refreshed, ["okta-refresh-0"])
    }))
})

describe("Okta, asked when a refresh token is used", () => {
  it.effect("is not needed while its last word is good", () =>
    Effect.gen(function*() {
      const { okta, one, refreshment, signIn } = yield* tokenServers()
      const { clientId, refreshToken } = yield* signIn
      okta.answer = "away"
      yield* TestClock.adjust("30 minutes")
      const { body, status } = yield* one.token(refreshment(clientId, refreshToken))
      assert.deepStrictEqual([status, body["expires_in"]], [200, hour / 2])
    }))

  it.effect("bounds access tokens by its own", () =>
    Effect.gen(function*() {
      const { okta, one, refreshment, signIn } = yield* tokenServers()
      okta.lifetime = 300
      const { accessToken, clientId, refreshToken } = yield* signIn
      assert.strictEqual(claimsOf(accessToken)["exp"], now + 300)
      okta.lifetime = 24 * hour
      yield* TestClock.adjust("5 minutes")
      const { body } = yield* one.token(refreshment(clientId, refreshToken))
      assert.strictEqual(body["expires_in"], hour)
    }))

  it.effect("tells how the person signed in, or leaves it as it was", () =>
    Effect.gen(function*() {
      const { okta, one, refreshment, signIn } = yield* tokenServers()
      okta.signIn = { acr: "strong", amr: ["pwd", "otp"], authTime: now }
      const { accessToken, clientId, refreshToken } = yield* signIn
      const said = { acr: "strong", amr: ["pwd", "otp"], auth_time: now }
      assert.deepInclude(claimsOf(accessToken), said)
      okta.signIn = { amr: [] }
      yield* TestClock.adjust("1 hour")
      const silent = yield* one.token(refreshment(clientId, refreshToken))
      assert.deepInclude(claimsOf(silent.body["access_token"]), said)
      okta.signIn = { acr: "weak", amr: ["pwd"], authTime: now + 60 }
      yield* TestClock.adjust("1 hour")
      const other = yield* one.token(refreshment(clientId, silent.body["refresh_token"]))
      assert.deepInclude(claimsOf(other.body["access_token"]), { acr: "weak", amr: ["pwd"], auth_time: now + 60 })
    }))

  it.effect("who is another person all of a sudden ends the grant", () =>
    Effect.gen(function*() {
      const { okta, one, refreshment, signIn } = yield* tokenServers()
      const { clientId, refreshToken } = yield* signIn
      yield* TestClock.adjust("1 hour")
      okta.subject = "00u2eve"
      assertRefused(yield* one.token(refreshment(clientId, refreshToken)), 400, "invalid_grant")
    }))

  it.effect("is asked once for all who wait, and its answer kept when the first of them has gone away", () =>
    Effect.gen(function*() {
      const { okta, one, refreshment, signIn } = yield* tokenServers()
      const { clientId, refreshToken } = yield* signIn
      yield* TestClock.adjust("1 hour")
      yield* okta.gate.take(1)
      const refresh = one.token(refreshment(clientId, refreshToken))
      const gone = yield* Effect.forkChild(refresh)
      yield* okta.waiting
      const { reads } = one.store
      const others = yield* Effect.forEach(Array.from({ length: 20 }), () => Effect.forkChild(refresh))
      while (one.store.reads < reads + 20) yield* turn
      yield* Fiber.interrupt(gone)
      yield* turn
      yield* okta.gate.release(1)
      const answers = yield* Fiber.joinAll(others)
      assert.deepStrictEqual([...new Set(answers.map(({ status }) => status))], [200])
      assert.lengthOf([...new Set(answers.map(({ body }) => body["refresh_token"]))], 1)
      assert.deepStrictEqual(okta.refreshed, ["okta-refresh-0"])
      yield* TestClock.adjust("1 hour")
      assert.strictEqual((yield* one.token(refreshment(clientId, answers[0]?.body["refresh_token"]))).status, 200)
      assert.deepStrictEqual(okta.refreshed, ["okta-refresh-0", "okta-refresh-1"])
    }))

  it.effect("keeps its answer when all who waited have gone away", () =>
    Effect.gen(function*() {
      const { okta, one, refreshment, signIn } = yield* tokenServers()
      const { accessToken, clientId, refreshToken } = yield* signIn
      yield* TestClock.adjust("1 hour")
      yield* okta.gate.take(1)
      const gone = yield* Effect.forkChild(one.token(refreshment(clientId, refreshToken)))
      yield* okta.waiting
      yield* Fiber.interrupt(gone)
      yield* turn
      yield* okta.gate.release(1)
      const id = String(claimsOf(accessToken)["sid"])
      const checked = Effect.map(one.grants.get(id), Option.exists(({ checkedAt }) => checkedAt === now + hour))
      while (!(yield* checked)) yield* turn
      assert.strictEqual((yield* one.token(refreshment(clientId, refreshToken))).status, 200)
      assert.deepStrictEqual(okta.refreshed, ["okta-refresh-0"])
    }))

  it.effect("who gave no refresh token makes the client do without, and the grant end with its access token", () =>
    Effect.gen(function*() {
      const { approve, okta, one, redemption, register } = yield* tokenServers()
      okta.offline = false
      const { client_id } = yield* register()
      const { body } = yield* one.token(redemption(client_id, yield* approve(client_id)))
      assert.notProperty(body, "refresh_token")
      yield* TestClock.adjust("59 minutes")
      assert.isTrue(yield* isAlive(one.grants, body["access_token"]))
      yield* TestClock.adjust("1 minute")
      assert.isFalse(yield* isAlive(one.grants, body["access_token"]))
    }))

  it.effect("is not asked while the store is away, and the refresh token stays good", () =>
    Effect.gen(function*() {
      const { okta, one, refreshment, signIn } = yield* tokenServers()
      const { clientId, refreshToken } = yield* signIn
      for (const down of [true, "get", "compareAndSet"] as const) {
        one.store.down = down
        assertRefused(yield* one.token(refreshment(clientId, refreshToken)), 503, "temporarily_unavailable")
      }
      one.store.down = false
      assert.deepStrictEqual(okta.refreshed, [])
      assert.strictEqual((yield* one.token(refreshment(clientId, refreshToken))).status, 200)
    }))
})
