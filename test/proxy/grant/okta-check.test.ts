import { assert, describe, it } from "@effect/vitest"
import { Duration, Effect, Fiber, Layer, Option, Redacted } from "effect"
import { TestClock } from "effect/testing"
import { Admission, AdmissionUnknown, type Admit, NotAdmitted } from "../../../src/proxy/Admission.ts"
import { OktaTokenRefused } from "../../../src/proxy/IdToken.ts"
import { OktaRefused } from "../../../src/proxy/OktaClient.ts"
import { Watch } from "../../support/Watch.ts"
import { now } from "../ProxyTest.ts"
import { assertRefused, claimsOf, isAlive, type Setup, tokenServers } from "./TokenServer.ts"

type Scene = Effect.Success<ReturnType<typeof tokenServers>>

/** A client whose grant, of which Okta has said this, Okta is to be asked about, at either of two servers. */
const arrange = Effect.fnUntraced(function*(setup: Setup = {}, said: Partial<Scene["okta"]> = {}) {
  const scene = yield* tokenServers(setup)
  Object.assign(scene.okta, said)
  const { accessToken, clientId, refreshToken } = yield* scene.signIn
  const id = String(claimsOf(accessToken)["sid"])
  const key = [...scene.one.store.written.keys()].findLast((key) => key.startsWith("grant:")) ?? ""
  yield* TestClock.adjust("1 hour")
  return {
    ...scene,
    clientId,
    refreshToken,
    id,
    key,
    refresh: (token: unknown = refreshToken, server = scene.one) => server.token(scene.refreshment(clientId, token)),
    alive: isAlive(scene.one.grants, accessToken),
    kept: Effect.map(scene.one.grants.get(id), Option.getOrThrow),
    /** Puts another record in place of the grant, as another server would. */
    put: (value: object) =>
      Effect.flatMap(
        scene.one.sealed.seal("grant", JSON.stringify({ id, value })),
        (text) => scene.raw.put(key, text, Duration.hours(24))
      )
  }
})

/** What a grant holds of Okta's tokens. */
const upstream = (grants: Scene["one"]["grants"], id: string) =>
  Effect.map(
    grants.oktaTokens(id),
    Option.map(({ accessToken, refreshToken }) => [
      Redacted.value(accessToken),
      refreshToken === undefined ? undefined : Redacted.value(refreshToken)
    ])
  )

describe("Okta's no", () => {
  const final = [
    "invalid_grant",
    "access_denied",
    "login_required",
    "interaction_required",
    "consent_required",
    "insufficient_authentication_context"
  ]
  it.effect.each(final)(
    "is final where the person may not come in, or only by signing in again: %s",
    (error) =>
      Effect.gen(function*() {
        const watch = new Watch()
        const { alive, okta, refresh } = yield* arrange({ watch })
        okta.answer = new OktaRefused({ error })
        assertRefused(yield* refresh(), 400, "invalid_grant")
        assert.deepInclude(watch.events.at(-1), { _tag: "GrantRevoked", why: "okta-refused", subject: "00u1ada" })
        assert.deepStrictEqual(okta.revoked, ["okta-refresh-0"])
        assert.isFalse(yield* alive)
      })
  )

  const unclear = [
    new OktaRefused({ error: "invalid_client" }),
    new OktaRefused({ error: "invalid_scope" }),
    new OktaRefused({ error: "" }),
    new OktaTokenRefused({ token: "ID token", reason: "its nose is too long" })
  ]
  it.effect.each(unclear)(
    "is no verdict where it is about this server, and told as an error in the log: %s",
    (answer) =>
      Effect.gen(function*() {
        const { alive, logged, okta, refresh } = yield* arrange()
        okta.answer = answer
        logged.length = 0
        assertRefused(yield* refresh(), 503, "temporarily_unavailable")
        const line = logged.find((line) => line.includes("level=ERROR")) ?? ""
        assert.include(line, answer._tag === "OktaRefused" ? answer.error : "its nose is too long")
        assert.isTrue(yield* alive)
        okta.answer = "yes"
        assert.strictEqual((yield* refresh()).status, 200)
      })
  )
})

describe("Okta's word about a grant", () => {
  it.effect("takes the place of what was known, and leaves what it does not speak of", () =>
    Effect.gen(function*() {
      const signIn = { acr: "low", amr: ["pwd"], authTime: now - 60 }
      const { id, kept, okta, one, refresh } = yield* arrange({}, { scopes: ["openid"], sessionId: "first", signIn })
      okta.email = "lovelace@example.com"
      okta.signIn = { amr: [] }
      okta.scopes = undefined
      okta.sessionId = undefined
      okta.offline = false
      const { body } = yield* refresh()
      const grant = yield* kept
      assert.deepInclude(grant, { checkedAt: now + 3600, usedAt: now + 3600, oktaSession: "first" })
      assert.deepInclude(grant.user, { email: "lovelace@example.com", ...signIn })
      assert.deepStrictEqual(grant.okta?.scopes, ["openid"])
      assert.deepStrictEqual(yield* upstream(one.grants, id), Option.some(["okta-access-1", "okta-refresh-0"]))
      okta.sessionId = "second"
      okta.scopes = ["profile"]
      okta.offline = true
      okta.signIn = { acr: "high", amr: ["otp"], authTime: now }
      yield* TestClock.adjust("1 hour")
      yield* refresh(body["refresh_token"])
      const next = yield* kept
      assert.strictEqual(next.oktaSession, "second")
      assert.deepStrictEqual(next.okta?.scopes, ["profile"])
      assert.deepInclude(next.user, { acr: "high", amr: ["otp"], authTime: now })
      assert.deepStrictEqual(okta.refreshed, ["okta-refresh-0", "okta-refresh-0"])
      assert.deepStrictEqual(yield* upstream(one.grants, id), Option.some(["okta-access-2", "okta-refresh-2"]))
    }))

  it.effect("is written beside the names by which the grant is found, which are as they were", () =>
    Effect.gen(function*() {
      const { one, refresh } = yield* arrange()
      one.store.written.clear()
      assert.strictEqual((yield* refresh()).status, 200)
      const kinds = new Set([...one.store.written.keys()].map((key) => key.split(":", 1)[0]))
      assert.sameMembers([...kinds], ["asking", "grant"])
    }))

  it.effect("is kept beside what another server writes at the same moment", () =>
    Effect.gen(function*() {
      const { kept, one, put, refresh } = yield* arrange()
      const before = yield* kept
      let others = 2
      one.store.before = (operation) =>
        operation === "compareAndSet" && others-- > 0
          ? Effect.orDie(put({ ...before, clientName: `Changed ${others}` }))
          : Effect.void
      const { status } = yield* refresh()
      assert.strictEqual(status, 200)
      assert.deepInclude(yield* kept, { clientName: "Changed 0", checkedAt: now + 3600, generation: 2 })
    }))

  it.effect("about somebody else ends the grant, and what Okta gave for it", () =>
    Effect.gen(function*() {
      const watch = new Watch()
      const { alive, okta, refresh } = yield* arrange({ watch })
      okta.subject = "00u2eve"
      assertRefused(yield* refresh(), 400, "invalid_grant")
      assert.deepInclude(watch.events.at(-1), { _tag: "GrantRevoked", why: "other-person", subject: "00u1ada" })
      assert.deepStrictEqual(okta.revoked, ["okta-refresh-1"])
      assert.isFalse(yield* alive)
    }))

  it.effect("that comes when the grant has been ended is taken back at Okta", () =>
    Effect.gen(function*() {
      for (const rotates of [true, false]) {
        const { id, okta, other, refresh } = yield* arrange()
        okta.rotates = rotates
        yield* okta.gate.take(1)
        const waiting = yield* Effect.forkChild(refresh())
        yield* okta.waiting
        yield* other.grants.end(id, "revoked")
        yield* okta.gate.release(1)
        assertRefused(yield* Fiber.join(waiting), 400, "invalid_grant")
        const given = rotates ? "okta-refresh-1" : "okta-refresh-0"
        assert.deepStrictEqual([okta.revoked[0], okta.revoked.at(-1)], ["okta-refresh-0", given])
        assert.isAtLeast(okta.revoked.length, 2)
      }
    }))

  it.effect("is kept though nobody can be told of it by name; the names follow with the next", () =>
    Effect.gen(function*() {
      const { kept, okta, one, refresh } = yield* arrange()
      okta.email = "lovelace@example.com"
      one.store.down = (operation, key) => operation !== "get" && key.startsWith("grants:")
      const { body, status } = yield* refresh()
      assert.strictEqual(status, 200)
      assert.notProperty(yield* kept, "indexedAt")
      one.store.down = false
      const listed = Effect.map(one.grants.list({ kind: "email", value: "lovelace@example.com" }), ({ size }) => size)
      assert.strictEqual(yield* listed, 0)
      yield* TestClock.adjust("1 hour")
      yield* refresh(body["refresh_token"])
      assert.strictEqual(yield* listed, 1)
      assert.strictEqual((yield* kept).indexedAt, now + 7200)
    }))

  it.effect("cannot be asked for without a refresh token of Okta's that can be read, which ends the grant", () =>
    Effect.gen(function*() {
      const watch = new Watch()
      const { alive, id, kept, okta, one, put, refresh } = yield* arrange({ watch })
      const before = yield* kept
      yield* put({ ...before, okta: { ...before.okta, refreshToken: "unreadable" } })
      assertRefused(yield* refresh(), 400, "invalid_grant")
      assert.deepInclude(watch.events.at(-1), { _tag: "GrantRevoked", why: "not-renewable" })
      assert.deepStrictEqual([okta.refreshed, okta.revoked], [[], []])
      assert.isFalse(yield* alive)
      const { refreshToken: _, ...others } = before.okta ?? { refreshToken: "" }
      yield* put({ ...before, okta: others })
      assert.deepStrictEqual(yield* one.grants.oktaTokens(id), Option.none())
      assert.deepInclude(watch.events.at(-1), { _tag: "GrantRevoked", why: "not-renewable" })
      assert.deepStrictEqual([okta.refreshed, okta.revoked], [[], ["okta-access-0"]])
    }))

  it.effect("is asked for by one server at a time, though the others cannot be told that it is done", () =>
    Effect.gen(function*() {
      const { key, okta, one, raw, refresh } = yield* arrange()
      one.store.down = "remove"
      assert.strictEqual((yield* refresh()).status, 200)
      assert.deepStrictEqual(okta.refreshed, ["okta-refresh-0"])
      assert.isTrue(Option.isSome(yield* raw.get(`asking:${key}`)))
      one.store.down = false
      const next = yield* arrange()
      yield* next.refresh()
      assert.isTrue(Option.isNone(yield* next.raw.get(`asking:${next.key}`)))
    }))

  it.effect("that another server asks for, and for too long, is 503 after a while", () =>
    Effect.gen(function*() {
      const { key, okta, one, raw, refresh } = yield* arrange()
      yield* raw.put(`asking:${key}`, "asking", Duration.minutes(1))
      let looked = 0
      one.store.before = (operation) => Effect.sync(() => void (operation === "putIfAbsent" && looked++))
      const waiting = yield* Effect.forkChild(refresh())
      while (waiting.pollUnsafe() === undefined) {
        yield* Effect.promise(() => new Promise((resolve) => setImmediate(resolve)))
        yield* TestClock.adjust("10 millis")
      }
      const answer = yield* Fiber.join(waiting)
      assertRefused(answer, 503, "temporarily_unavailable")
      assert.strictEqual(answer.headers["retry-after"], "1")
      assert.deepStrictEqual(okta.refreshed, [])
      // Ten times a second, for 5 seconds.
      assert.strictEqual(looked, 50)
    }))

  it.effect("that another server got just before its turn is not asked for again", () =>
    Effect.gen(function*() {
      const { okta, one, other, refresh, refreshToken } = yield* arrange()
      let others: unknown
      one.store.before = (operation, key) =>
        operation === "putIfAbsent" && key.startsWith("asking:")
          ? Effect.map(refresh(refreshToken, other), ({ body }) => void (others = body["refresh_token"]))
          : Effect.void
      const { body, status } = yield* refresh()
      assert.deepStrictEqual([status, body["refresh_token"]], [200, others])
      assert.deepStrictEqual(okta.refreshed, ["okta-refresh-0"])
    }))

  for (const rotates of [true, false]) {
    it.effect(`${rotates ? "with" : "without"} a new refresh token is kept at the fourth attempt, and at no later one`, () =>
      Effect.gen(function*() {
        for (const [failures, status] of [[3, 200], [4, 503]] as const) {
          const { okta, one, refresh } = yield* arrange()
          okta.rotates = rotates
          one.store.down = "compareAndSet"
          one.store.failures = failures
          assert.strictEqual((yield* refresh()).status, status)
        }
      }))
  }
})

describe("who may come in, asked at a renewal", () => {
  const deciding = Effect.fnUntraced(function*() {
    const state = { answer: Effect.void as ReturnType<Admit>, asked: [] as Array<unknown> }
    const admit: Admit = ({ clientId, scopes, subject }) => {
      state.asked.push([subject, clientId, scopes])
      return state.answer
    }
    const watch = new Watch()
    return { state, watch, ...yield* arrange({ watch, environment: Layer.succeed(Admission, admit) }) }
  })

  it.effect("ends the grant, here and at Okta, of whoever may not, and tells of it", () =>
    Effect.gen(function*() {
      const { alive, clientId, okta, refresh, state, watch } = yield* deciding()
      state.answer = Effect.fail(new NotAdmitted({ reason: "It lacks the group Staff." }))
      assertRefused(yield* refresh(), 400, "invalid_grant")
      assert.deepStrictEqual(state.asked, [["00u1ada", clientId, ["files:read", "files:write"]]])
      const [refused, revoked] = watch.events.slice(-2)
      assert(refused?._tag === "AdmissionRefused" && revoked?._tag === "GrantRevoked")
      assert.deepInclude(refused, { subject: "00u1ada", reason: "It lacks the group Staff." })
      assert.deepInclude(revoked, { why: "not-admitted", clientId: refused.clientId })
      assert.strictEqual(revoked.grant, refused.grant)
      assert.match(revoked.grant, /^[\w-]{16}$/)
      assert.deepStrictEqual([...new Set(okta.revoked)], ["okta-refresh-1"])
      assert.isFalse(yield* alive)
    }))

  it.effect("ends what Okta gave without a new refresh token, too", () =>
    Effect.gen(function*() {
      const { okta, refresh, state } = yield* deciding()
      state.answer = Effect.fail(new NotAdmitted({ reason: "It lacks the group Staff." }))
      okta.offline = false
      assertRefused(yield* refresh(), 400, "invalid_grant")
      assert.deepStrictEqual(okta.revoked, ["okta-refresh-0", "okta-access-1"])
    }))

  it.effect("is 503 while nobody knows, and asked again before any token is given; what Okta gave is kept", () =>
    Effect.gen(function*() {
      const { alive, okta, refresh, state } = yield* deciding()
      state.answer = Effect.fail(new AdmissionUnknown({}))
      assertRefused(yield* refresh(), 503, "temporarily_unavailable")
      assert.isTrue(yield* alive)
      state.answer = Effect.void
      assert.strictEqual((yield* refresh()).status, 200)
      assert.deepStrictEqual(okta.refreshed, ["okta-refresh-0", "okta-refresh-1"])
    }))

  it.effect("is noted as unknown at the fourth attempt, and at no later one", () =>
    Effect.gen(function*() {
      for (const [failures, checkedAt] of [[3, 0], [4, now]] as const) {
        const { kept, okta, one, refresh, state } = yield* deciding()
        okta.rotates = false
        state.answer = Effect.fail(new AdmissionUnknown({}))
        one.store.down = "compareAndSet"
        one.store.failures = failures
        assertRefused(yield* refresh(), 503, "temporarily_unavailable")
        assert.strictEqual((yield* kept).checkedAt, checkedAt)
      }
    }))
})

describe("the end of a grant", () => {
  it.effect("is told of with its reason, and before it what came a second time", () =>
    Effect.gen(function*() {
      for (
        const [why, replay] of [
          ["code-replayed", "authorization code"],
          ["refresh-token-replayed", "refresh token"],
          ["revoked", undefined],
          ["code-misused", undefined]
        ] as const
      ) {
        const watch = new Watch()
        const { id, one } = yield* arrange({ watch })
        watch.events.length = 0
        assert.isTrue(yield* Effect.provide(one.grants.end(id, why), watch.layer))
        const told = watch.events.map((event) => event._tag === "ReplayDetected" ? event.what : event._tag)
        assert.deepStrictEqual(told, replay === undefined ? ["GrantRevoked"] : [replay, "GrantRevoked"])
        assert.deepInclude(watch.events.at(-1), { why, subject: "00u1ada" })
        assert.isFalse(yield* one.grants.end(id, why))
        assert.lengthOf(watch.events.filter(({ _tag }) => _tag === "GrantRevoked"), 1)
        assert.strictEqual(watch.events.at(-1)?._tag, replay === undefined ? "GrantRevoked" : "ReplayDetected")
        assert.notInclude(watch.text, "could not be noted")
      }
    }))

  it.effect("takes back at Okta what was given: the refresh token, or else the access token, if it can be read", () =>
    Effect.gen(function*() {
      const { id, kept, okta, one, put } = yield* arrange()
      const before = yield* kept
      const { refreshToken: _, ...others } = before.okta ?? { refreshToken: "" }
      for (
        const [okta, name] of [
          [before.okta, "with a refresh token"],
          [others, "without one"],
          [{ ...before.okta, refreshToken: "unreadable" }, "unreadable"],
          [undefined, "without Okta"]
        ] as const
      ) {
        yield* put({ ...before, okta })
        assert.isTrue(yield* one.grants.end(id, "revoked"), name)
      }
      assert.deepStrictEqual(okta.revoked, ["okta-refresh-0", "okta-access-0"])
    }))

  it.effect("is an end here, though Okta cannot be told, of which the log warns", () =>
    Effect.gen(function*() {
      const { alive, clientId, logged, okta, one, refreshToken } = yield* arrange()
      okta.answer = "away"
      logged.length = 0
      assert.strictEqual((yield* one.revoke({ client_id: clientId, token: refreshToken })).status, 200)
      assert.isFalse(yield* alive)
      assert.isTrue(logged.some((line) => line.includes("level=WARN") && line.includes("it is away")))
    }))
})
