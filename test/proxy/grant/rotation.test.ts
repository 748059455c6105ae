import { assert, describe, it } from "@effect/vitest"
import { Duration, Effect, Option } from "effect"
import { TestClock } from "effect/testing"
import { standing } from "../../../src/proxy/grant/RefreshToken.ts"
import { tokenProof } from "../../support/Credentials.ts"
import { ProofKey } from "../../support/Proofs.ts"
import { Watch } from "../../support/Watch.ts"
import { now, serverUrl } from "../ProxyTest.ts"
import { assertRefused, claimsOf, isAlive, tokenServers } from "./TokenServer.ts"

const key = new ProofKey()
const generationOf = (refreshToken: unknown) => Number(String(refreshToken).split(".")[1])

it("a refresh token stands to the current one by its number (RFC 9700 section 4.14.2)", () => {
  assert.deepStrictEqual([1, 5, 6, 7, 8, 70].map((presented) => standing(presented, 7)), [
    "replayed",
    "replayed",
    "predecessor",
    "current",
    "unknown",
    "unknown"
  ])
})

describe("a refresh token", () => {
  it.effect("has any number of successors, each of them once", () =>
    Effect.gen(function*() {
      const { one, refreshment, signIn } = yield* tokenServers()
      const { accessToken, clientId, refreshToken } = yield* signIn
      const seen = new Set([refreshToken])
      let current: unknown = refreshToken
      for (let number = 2; number <= 12; number++) {
        yield* TestClock.adjust("1 second")
        const { body } = yield* one.token(refreshment(clientId, current))
        assert.strictEqual(generationOf(body["refresh_token"]), number)
        current = body["refresh_token"]
        seen.add(String(current))
      }
      assert.strictEqual(seen.size, 12)
      const kept = Option.getOrThrow(yield* one.grants.get(String(claimsOf(accessToken)["sid"])))
      assert.deepInclude(kept, { generation: 12, usedAt: now + 11, checkedAt: now })
    }))

  it.effect("with anything before or after it is none, and nothing is looked up for it", () =>
    Effect.gen(function*() {
      const { one, refreshment, signIn } = yield* tokenServers()
      const { clientId, refreshToken } = yield* signIn
      const [grantId = "", generation = "", mac = ""] = refreshToken.split(".")
      one.store.down = true
      const damaged = [
        "",
        ".",
        "..",
        `x${refreshToken}`,
        `${refreshToken}x`,
        `x.${refreshToken}`,
        `${refreshToken}.x`,
        `${refreshToken}\n`,
        `${grantId}.${generation}.${mac.slice(1)}`,
        `${grantId.slice(1)}.${generation}.${mac}`,
        `${grantId}.0${generation}.${mac}`,
        `${grantId}.${generation}000000000.${mac}`,
        `${grantId}..${mac}`,
        `${grantId}.${generation}.`,
        `${grantId}.x.${mac}`,
        `${"!".repeat(22)}.${generation}.${mac}`,
        `${grantId}.${generation}.${"!".repeat(43)}`,
        `${grantId}x${generation}x${mac}`
      ]
      for (const text of damaged) {
        assertRefused(
          yield* one.token(refreshment(clientId, text)),
          400,
          text === "" ? "invalid_request" : "invalid_grant"
        )
      }
      assertRefused(yield* one.token(refreshment(clientId, refreshToken)), 503, "temporarily_unavailable")
    }))

  it.effect("is given its successor again by a server that cannot write, and by one that is asked by its client alone", () =>
    Effect.gen(function*() {
      const { one, other, refreshment, register, signIn } = yield* tokenServers()
      const { clientId, refreshToken } = yield* signIn
      const { client_id: stranger } = yield* register({ client_name: "Other" })
      const { body } = yield* one.token(refreshment(clientId, refreshToken))
      other.store.down = "compareAndSet"
      const again = yield* other.token(refreshment(clientId, refreshToken))
      assert.deepStrictEqual([again.status, again.body["refresh_token"]], [200, body["refresh_token"]])
      assertRefused(yield* one.token(refreshment(stranger, refreshToken)), 400, "invalid_grant")
      assertRefused(yield* one.token(refreshment(stranger, body["refresh_token"])), 400, "invalid_grant")
      const next = yield* one.token(refreshment(clientId, body["refresh_token"]))
      // Old enough to end the grant, if it were its own.
      assertRefused(yield* one.token(refreshment(stranger, refreshToken)), 400, "invalid_grant")
      assert.isTrue(yield* isAlive(one.grants, next.body["access_token"]))
    }))

  it.effect("that comes again after its successor ends the grant, and events say why", () =>
    Effect.gen(function*() {
      const watch = new Watch()
      const { okta, one, refreshment, signIn } = yield* tokenServers({ watch })
      const { accessToken, clientId, refreshToken } = yield* signIn
      const { body } = yield* one.token(refreshment(clientId, refreshToken))
      const { body: last } = yield* one.token(refreshment(clientId, body["refresh_token"]))
      assertRefused(yield* one.token(refreshment(clientId, refreshToken)), 400, "invalid_grant")
      const [replay, ended] = watch.events.slice(-2)
      assert.deepInclude(replay, { _tag: "ReplayDetected", what: "refresh token" })
      assert.deepInclude(ended, { _tag: "GrantRevoked", why: "refresh-token-replayed" })
      assert.deepStrictEqual(okta.revoked, ["okta-refresh-0"])
      assert.isFalse(yield* isAlive(one.grants, accessToken))
      assertRefused(yield* one.token(refreshment(clientId, last["refresh_token"])), 400, "invalid_grant")
    }))

  it.effect("that is newer than the grant, since the store was put back, is refused, and the grant goes on", () =>
    Effect.gen(function*() {
      const { one, raw, refreshment, signIn } = yield* tokenServers()
      const { clientId, refreshToken } = yield* signIn
      const [kept = ["", ""]] = [...one.store.written].filter(([key]) => key.startsWith("grant:"))
      const second = (yield* one.token(refreshment(clientId, refreshToken))).body["refresh_token"]
      const third = (yield* one.token(refreshment(clientId, second))).body["refresh_token"]
      yield* raw.put(kept[0], kept[1], Duration.days(1))
      for (const token of [second, third]) {
        assertRefused(yield* one.token(refreshment(clientId, token)), 400, "invalid_grant")
      }
      assert.strictEqual((yield* one.token(refreshment(clientId, refreshToken))).status, 200)
    }))

  it.effect("gets nothing when its grant ends at the same moment", () =>
    Effect.gen(function*() {
      const { one, other, refreshment, signIn } = yield* tokenServers()
      const { accessToken, clientId, refreshToken } = yield* signIn
      const id = String(claimsOf(accessToken)["sid"])
      one.store.before = (operation) =>
        operation === "compareAndSet" ? Effect.orDie(other.grants.end(id, "revoked")) : Effect.void
      assertRefused(yield* one.token(refreshment(clientId, refreshToken)), 400, "invalid_grant")
      assert.isTrue(Option.isNone(yield* one.grants.get(id)))
    }))

  it.effect("gets nothing for what it was not granted, whole or in part, and stays good", () =>
    Effect.gen(function*() {
      const { one, refreshment, signIn } = yield* tokenServers()
      const { clientId, refreshToken } = yield* signIn
      const form = refreshment(clientId, refreshToken)
      for (const scope of ["files:read files:delete", "files:delete files:read", "files:delete", "files:rea"]) {
        assertRefused(yield* one.token({ ...form, scope }), 400, "invalid_scope")
      }
      for (const resource of [`${serverUrl}/mcp`, `${serverUrl}/x`]) {
        assertRefused(yield* one.token({ ...form, resource }), 400, "invalid_target")
      }
      const some = yield* one.token({ ...form, scope: " files:write  files:write ", resource: serverUrl })
      assert.strictEqual(some.body["scope"], "files:write")
      const all = yield* one.token({ ...refreshment(clientId, some.body["refresh_token"]), scope: " " })
      assert.strictEqual(all.body["scope"], "files:read files:write")
      assert.strictEqual(claimsOf(all.body["access_token"])["scope"], "files:read files:write")
      const unasked = yield* one.token(refreshment(clientId, all.body["refresh_token"]))
      assert.strictEqual(claimsOf(unasked.body["access_token"])["scope"], "files:read files:write")
    }))

  it.effect("bound to a key is good with a proof by it only; one that is not is good with any, or none", () =>
    Effect.gen(function*() {
      const { approve, one, redemption, refreshment, register, signIn } = yield* tokenServers()
      const { client_id: clientId } = yield* register()
      const bound = yield* one.token(redemption(clientId, yield* approve(clientId)), tokenProof(key))
      const form = refreshment(clientId, bound.body["refresh_token"])
      for (const headers of [{}, tokenProof(new ProofKey())]) {
        assertRefused(yield* one.token(form, headers), 400, "invalid_grant")
      }
      const renewed = yield* one.token(form, tokenProof(key))
      assert.strictEqual(renewed.body["token_type"], "DPoP")
      const free = yield* signIn
      const proven = yield* one.token(refreshment(free.clientId, free.refreshToken), tokenProof(key))
      assert.strictEqual(proven.body["token_type"], "DPoP")
      assert.deepStrictEqual(claimsOf(proven.body["access_token"])["cnf"], { jkt: key.thumbprint })
      const plain = yield* one.token(refreshment(free.clientId, proven.body["refresh_token"]))
      assert.strictEqual(plain.body["token_type"], "Bearer")
    }))

  it.effect("of which Okta says nothing that lasts makes it ask once, and is refused", () =>
    Effect.gen(function*() {
      const { okta, one, refreshment, signIn } = yield* tokenServers()
      const { clientId, refreshToken } = yield* signIn
      yield* TestClock.adjust("1 hour")
      okta.lifetime = 0
      assertRefused(yield* one.token(refreshment(clientId, refreshToken)), 400, "invalid_grant")
      assert.deepStrictEqual(okta.refreshed, ["okta-refresh-0"])
    }))
})
