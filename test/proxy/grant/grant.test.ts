import { assert, describe, it } from "@effect/vitest"
import { Duration, Effect, Logger, Option, Redacted } from "effect"
import { TestClock } from "effect/testing"
import type { OktaOptions } from "../../../src/config/OktaConfig.ts"
import * as GrantIndex from "../../../src/proxy/grant/GrantIndex.ts"
import { type Grant } from "../../../src/proxy/grant/GrantRecord.ts"
import { basic, tokenProof } from "../../support/Credentials.ts"
import { ProofKey } from "../../support/Proofs.ts"
import { Watch } from "../../support/Watch.ts"
import { now, serverUrl } from "../ProxyTest.ts"
import { assertRefused, claimsOf, isAlive, tokenServers } from "./TokenServer.ts"

const key = new ProofKey()
const idOf = (accessToken: unknown) => String(claimsOf(accessToken)["sid"])

const secret = "s".repeat(32)
const clients: NonNullable<OktaOptions["clients"]> = [
  { clientId: "web", clientSecrets: [Redacted.make(secret)], redirectUris: ["https://web.example.com/callback"] }
]
const asWeb = basic("web", secret)

const passThrough = {
  issuer: "https://acme.okta.com/oauth2/default",
  audience: "api://default",
  passThrough: true
}

describe("a grant", () => {
  it.effect("is kept with who gave it, to whom, for what and where from; what nobody said is left out", () =>
    Effect.gen(function*() {
      const { approve, okta, one } = yield* tokenServers()
      const list = (value: string) => Effect.map(one.grants.list({ kind: "person", value }), (all) => [...all.values()])
      yield* approve("client")
      const [bare] = yield* list("00u1ada")
      const { okta: sealed, user, ...kept } = bare ?? ({} as Partial<Grant>)
      assert.deepStrictEqual(kept, {
        clientId: "client",
        scopes: ["files:read", "files:write"],
        resource: serverUrl,
        generation: 1,
        createdAt: now,
        checkedAt: now,
        indexedAt: now,
        redirectHost: "127.0.0.1:3333"
      })
      assert.deepInclude(user, { subject: "00u1ada", email: "ada@example.com", groups: ["Everyone"] })
      assert.notInclude(JSON.stringify(sealed), "okta-")

      okta.subject = "00u2bob"
      okta.sessionId = "session"
      yield* approve("client", {
        clientName: "A client",
        redirectUri: "cursor://x/callback",
        resource: `${serverUrl}/mcp`
      })
      const [full] = yield* list("00u2bob")
      assert.deepInclude(full, {
        clientName: "A client",
        redirectHost: "cursor:",
        oktaSession: "session",
        resource: `${serverUrl}/mcp`
      })
    }))

  it.effect("whose code nobody redeems is gone after five minutes", () =>
    Effect.gen(function*() {
      const { approve, one } = yield* tokenServers()
      const count = Effect.map(one.grants.list({ kind: "person", value: "00u1ada" }), ({ size }) => size)
      yield* approve("client")
      yield* TestClock.adjust("299 seconds")
      assert.strictEqual(yield* count, 1)
      yield* TestClock.adjust("1 second")
      assert.strictEqual(yield* count, 0)
    }))

  it.effect("is bound to the key of a client that has no other, and says when it was used", () =>
    Effect.gen(function*() {
      const { approve, one, redemption, refreshment, register } = yield* tokenServers({ settings: { clients } })
      const kept = (accessToken: unknown) => Effect.map(one.grants.get(idOf(accessToken)), Option.getOrThrow)
      const { client_id } = yield* register()
      const code = yield* approve(client_id)
      yield* TestClock.adjust("10 seconds")
      const { body } = yield* one.token(redemption(client_id, code), tokenProof(key))
      assert.deepInclude(yield* kept(body["access_token"]), {
        dpopKey: key.thumbprint,
        createdAt: now,
        usedAt: now + 10
      })

      const { client_id: _, ...form } = redemption("web", yield* approve("web"))
      const ofWeb = yield* one.token(form, { ...asWeb, ...tokenProof(key) })
      assert.strictEqual(ofWeb.body["token_type"], "DPoP")
      assert.notProperty(yield* kept(ofWeb.body["access_token"]), "dpopKey")
      yield* TestClock.adjust("10 seconds")
      const { client_id: __, ...again } = refreshment("web", ofWeb.body["refresh_token"])
      const renewed = yield* one.token(again, asWeb)
      assert.strictEqual(renewed.body["token_type"], "Bearer")
      assert.deepInclude(yield* kept(renewed.body["access_token"]), { generation: 2, usedAt: now + 20 })

      const bound = redemption(client_id, yield* approve(client_id, { dpopKey: key.thumbprint }))
      assertRefused(yield* one.token(bound), 400, "invalid_grant")
      const plain = yield* one.token(redemption(client_id, yield* approve(client_id)))
      assert.notProperty(yield* kept(plain.body["access_token"]), "dpopKey")
    }))

  it.effect("of which Okta cannot be asked again has no refresh token, and ends with its only access token", () =>
    Effect.gen(function*() {
      const { approve, okta, one, redemption, register } = yield* tokenServers()
      const { client_id } = yield* register()
      okta.offline = false
      okta.lifetime = 600
      const { body } = yield* one.token(redemption(client_id, yield* approve(client_id)))
      assert.notProperty(body, "refresh_token")
      assert.strictEqual(body["expires_in"], 600)
      yield* TestClock.adjust("599 seconds")
      assert.isTrue(yield* isAlive(one.grants, body["access_token"]))
      yield* TestClock.adjust("1 second")
      assert.isFalse(yield* isAlive(one.grants, body["access_token"]))
    }))

  it.effect("of which nothing is left when its code is redeemed gives nothing, and the log says why", () =>
    Effect.gen(function*() {
      const { approve, logged, okta, one, redemption, register } = yield* tokenServers()
      const { client_id } = yield* register()
      okta.lifetime = 30
      const late = yield* approve(client_id)
      yield* TestClock.adjust("30 seconds")
      assertRefused(yield* one.token(redemption(client_id, late)), 400, "invalid_grant")
      assert.include(logged.at(-1), "What Okta granted ended 0 seconds ago")
      const code = yield* approve(client_id)
      for (const id of (yield* one.grants.list({ kind: "person", value: "00u1ada" })).keys()) {
        yield* one.grants.end(id, "by-operator")
      }
      assertRefused(yield* one.token(redemption(client_id, code)), 400, "invalid_grant")
      assert.include(logged.at(-1), "the grant has ended")
    }))

  it.effect("is told of when tokens are given, with what they are for", () =>
    Effect.gen(function*() {
      const watch = new Watch()
      const { approve, one, redemption, refreshment, register } = yield* tokenServers({ watch })
      const { client_id } = yield* register()
      const { body } = yield* one.token(
        redemption(client_id, yield* approve(client_id, { resource: `${serverUrl}/mcp` }))
      )
      assert.deepInclude(body, { token_type: "Bearer", expires_in: 3600, scope: "files:read files:write" })
      const issued = watch.events.at(-1)
      assert(issued?._tag === "TokensIssued")
      const { grant } = issued
      assert.match(grant, /^[\w-]{16}$/)
      const told = { grant, subject: "00u1ada", resource: `${serverUrl}/mcp` }
      assert.deepInclude(issued, { ...told, scopes: ["files:read", "files:write"] })
      const form = refreshment(client_id, body["refresh_token"])
      for (const [scope, scopes] of [["files:read", ["files:read"]], [" ", issued.scopes]] as const) {
        yield* one.token({ ...form, scope })
        assert.deepInclude(watch.events.at(-1), { _tag: "TokensRefreshed", ...told, scopes })
      }
    }))
})

describe("passThrough", () => {
  it.effect("gives Okta's token, for as long as it lasts and for what it allows, and a refresh token of this server's", () =>
    Effect.gen(function*() {
      const { approve, okta, one, redemption, refreshment, register } = yield* tokenServers({ settings: passThrough })
      const { client_id } = yield* register()
      const redeem = Effect.flatMap(approve(client_id), (code) => one.token(redemption(client_id, code)))
      const { body } = yield* redeem
      const { refresh_token, ...rest } = body
      assert.deepStrictEqual(rest, {
        access_token: "okta-access-0",
        token_type: "Bearer",
        expires_in: 3600,
        scope: "files:read files:write"
      })
      okta.scopes = ["openid", "mcp"]
      assert.strictEqual((yield* redeem).body["scope"], "openid mcp")
      yield* TestClock.adjust("1 hour")
      okta.lifetime = 600
      const renewed = yield* one.token({ ...refreshment(client_id, refresh_token), scope: "files:read" })
      assert.deepInclude(renewed.body, { access_token: "okta-access-1", expires_in: 600, scope: "openid mcp" })
      assert.match(String(renewed.body["refresh_token"]), /^[\w-]{22}\.2\./)
    }))

  it.effect("gives nothing when Okta's token has ended, or cannot be read any more", () =>
    Effect.gen(function*() {
      const { approve, logged, okta, one, raw, redemption, register } = yield* tokenServers({ settings: passThrough })
      const { client_id } = yield* register()
      okta.lifetime = 30
      const [early, late] = [yield* approve(client_id), yield* approve(client_id)]
      yield* TestClock.adjust("29 seconds")
      assert.strictEqual((yield* one.token(redemption(client_id, early))).body["expires_in"], 1)
      yield* TestClock.adjust("1 second")
      assertRefused(yield* one.token(redemption(client_id, late)), 400, "invalid_grant")

      okta.lifetime = 3600
      for (const [subject, change] of [["00u2bob", { accessToken: "unreadable" }], ["00u3eve", undefined]] as const) {
        okta.subject = subject
        const code = yield* approve(client_id)
        const key = [...one.store.written.keys()].findLast((key) => key.startsWith("grant:")) ?? ""
        const [[id, grant] = ["", undefined]] = yield* one.grants.list({ kind: "person", value: subject })
        const value = { ...grant, okta: change && { ...grant?.okta, ...change } }
        yield* raw.put(key, yield* one.sealed.seal("grant", JSON.stringify({ id, value })), Duration.hours(1))
        logged.length = 0
        assertRefused(yield* one.token(redemption(client_id, code)), 400, "invalid_grant")
        assert.strictEqual(logged.join().includes("level=WARN"), change !== undefined)
        assert.deepStrictEqual(yield* one.grants.oktaTokens(id), Option.none())
      }
    }))
})

describe("Okta's tokens of a grant", () => {
  it.effect("are those that Okta gave, for as long as they can be read", () =>
    Effect.gen(function*() {
      const { okta, one, raw, signIn } = yield* tokenServers()
      okta.scopes = ["openid"]
      const { accessToken } = yield* signIn
      const id = idOf(accessToken)
      const warnings: Array<string> = []
      const logger = Logger.layer([Logger.make<unknown, void>(({ message }) => void warnings.push(String(message)))])
      const shown = Effect.map(
        Effect.provide(one.grants.oktaTokens(id), logger),
        Option.map(({ accessToken, expiresAt, idToken, refreshToken }) => [
          Redacted.value(accessToken),
          Redacted.value(idToken),
          refreshToken === undefined ? undefined : Redacted.value(refreshToken),
          expiresAt
        ])
      )
      const given = ["okta-access-0", "okta-id-0", "okta-refresh-0", now + 3600]
      assert.deepStrictEqual(yield* shown, Option.some(given))
      assert.deepStrictEqual(warnings, [])
      const kept = Option.getOrThrow(yield* one.grants.get(id))
      assert.deepStrictEqual(kept.okta?.scopes, ["openid"])
      const key = [...one.store.written.keys()].findLast((key) => key.startsWith("grant:")) ?? ""
      for (
        const [name, expected] of [
          ["accessToken", Option.none()],
          ["idToken", Option.none()],
          ["refreshToken", Option.some([given[0], given[1], undefined, given[3]])]
        ] as const
      ) {
        const value = { ...kept, okta: { ...kept.okta, [name]: "unreadable" } }
        yield* raw.put(key, yield* one.sealed.seal("grant", JSON.stringify({ id, value })), Duration.hours(1))
        warnings.length = 0
        assert.deepStrictEqual(yield* shown, expected)
        assert.lengthOf(warnings, 1, name)
      }
      warnings.length = 0
      const { refreshToken: _, ...others } = kept.okta ?? { refreshToken: "" }
      yield* raw.put(
        key,
        yield* one.sealed.seal("grant", JSON.stringify({ id, value: { ...kept, okta: others } })),
        Duration.hours(1)
      )
      assert.deepStrictEqual(yield* shown, Option.some([given[0], given[1], undefined, given[3]]))
      assert.deepStrictEqual(warnings, [])
      yield* raw.put(key, yield* one.sealed.seal("grant", JSON.stringify({ id, value: {} })), Duration.hours(1))
      assert.deepStrictEqual(yield* shown, Option.none())
      assert.isFalse(yield* isAlive(one.grants, accessToken))
    }))
})

describe("the grants of somebody", () => {
  it.effect("are ended all at once, with the number of those that there were", () =>
    Effect.gen(function*() {
      const watch = new Watch()
      const { okta, one, other, signIn } = yield* tokenServers({ watch })
      const ada = { kind: "person", value: "00u1ada" } as const
      assert.strictEqual(yield* one.grants.endAll(ada, "by-operator"), undefined)
      assert.strictEqual(yield* one.grants.endAll({ kind: "person", value: "nobody" }, "by-operator"), undefined)
      yield* TestClock.adjust("1 minute")
      const [first, second] = [yield* signIn, yield* signIn]
      okta.subject = "00u2bob"
      const bobs = yield* signIn
      assert.strictEqual((yield* other.grants.list(ada)).size, 2)
      yield* TestClock.adjust("1 minute")
      watch.events.length = 0
      assert.strictEqual(yield* other.grants.endAll(ada, "universal-logout"), 2)
      assert.strictEqual(yield* other.grants.endedAt(ada), now + 120)
      for (const event of watch.events) assert.deepInclude(event, { _tag: "GrantRevoked", why: "universal-logout" })
      assert.lengthOf(watch.events, 2)
      for (const { accessToken } of [first, second]) assert.isFalse(yield* isAlive(other.grants, accessToken))
      assert.isTrue(yield* isAlive(other.grants, bobs.accessToken))
      assert.strictEqual((yield* other.grants.list(ada)).size, 0)
      assert.strictEqual(yield* other.grants.endAll(ada, "universal-logout"), 0)
      assert.deepStrictEqual(okta.revoked, ["okta-refresh-0", "okta-refresh-0"])
    }))

  it.effect("that end by themselves meanwhile are not counted, and nobody else's are ended with them", () =>
    Effect.gen(function*() {
      const { one, other, signIn } = yield* tokenServers()
      const [first, second] = [yield* signIn, yield* signIn]
      yield* TestClock.adjust("1 minute")
      let isFirst = true
      one.store.before = (operation) => {
        if (operation !== "take" || !isFirst) return Effect.void
        isFirst = false
        return Effect.orDie(other.grants.end(idOf(first.accessToken), "revoked"))
      }
      assert.strictEqual(yield* one.grants.endAll({ kind: "person", value: "00u1ada" }, "by-operator"), 1)
      assert.lengthOf([...one.store.written.keys()].filter((key) => key.startsWith("ended:")), 1)
      for (const { accessToken } of [first, second]) assert.isFalse(yield* isAlive(one.grants, accessToken))
    }))

  it.effect("to one client are ended without those of the same person to another", () =>
    Effect.gen(function*() {
      const { approve, one, redemption, register, signIn } = yield* tokenServers()
      const { accessToken, clientId } = yield* signIn
      const { client_id } = yield* register({ client_name: "Other" })
      const { body } = yield* one.token(redemption(client_id, yield* approve(client_id)))
      yield* TestClock.adjust("1 minute")
      assert.strictEqual(yield* one.grants.endAll(GrantIndex.client(clientId), "by-operator"), 1)
      assert.isFalse(yield* isAlive(one.grants, accessToken))
      assert.isTrue(yield* isAlive(one.grants, body["access_token"]))
    }))

  it.effect("by an email address are those of whoever has it now", () =>
    Effect.gen(function*() {
      const { okta, one, refreshment, signIn } = yield* tokenServers()
      const { accessToken, clientId, refreshToken } = yield* signIn
      const of = (value: string) => ({ kind: "email", value } as const)
      assert.deepStrictEqual([...(yield* one.grants.list(of("ada@example.com"))).keys()], [idOf(accessToken)])
      okta.email = "lovelace@example.com"
      yield* TestClock.adjust("1 hour")
      assert.strictEqual((yield* one.token(refreshment(clientId, refreshToken))).status, 200)
      assert.strictEqual((yield* one.grants.list(of("ada@example.com"))).size, 0)
      assert.deepStrictEqual([...(yield* one.grants.list(of("lovelace@example.com"))).keys()], [idOf(accessToken)])
      yield* TestClock.adjust("1 minute")
      assert.strictEqual(yield* one.grants.endAll(of("ada@example.com"), "by-operator"), 0)
      yield* TestClock.adjust("10 seconds")
      assert.isTrue(yield* isAlive(one.grants, accessToken))
      // One of the same person's that still has another address, and one of somebody else's.
      okta.email = "countess@example.com"
      const second = yield* signIn
      okta.subject = "00u2bob"
      const bobs = yield* signIn
      yield* TestClock.adjust("1 second")
      assert.strictEqual(yield* one.grants.endAll(of("lovelace@example.com"), "by-operator"), 2)
      for (const ended of [accessToken, second.accessToken]) assert.isFalse(yield* isAlive(one.grants, ended))
      assert.isTrue(yield* isAlive(one.grants, bobs.accessToken))
      assert.strictEqual(yield* one.grants.endedAt({ kind: "person", value: "00u1ada" }), now + 3671)
      assert.strictEqual(yield* one.grants.endedAt({ kind: "person", value: "00u2bob" }), -Infinity)
    }))
})
