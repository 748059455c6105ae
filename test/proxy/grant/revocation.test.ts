import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import { assertRefused, assertUncached, isAlive, tokenServers } from "./TokenServer.ts"

describe("a revocation (RFC 7009)", () => {
  it.effect("ends the grant here and at Okta, by its refresh token or an access token", () =>
    Effect.gen(function*() {
      for (const which of ["refreshToken", "accessToken"] as const) {
        const { okta, one, other, refreshment, signIn } = yield* tokenServers()
        const { accessToken, clientId, refreshToken } = yield* signIn
        const token = { accessToken, refreshToken }[which]
        const answer = yield* one.revoke({ client_id: clientId, token, token_type_hint: "refresh_token" })
        assert.deepStrictEqual([answer.status, answer.text], [200, ""])
        assertUncached(answer)
        assertRefused(yield* other.token(refreshment(clientId, refreshToken)), 400, "invalid_grant")
        assert.isFalse(yield* isAlive(one.grants, accessToken))
        assert.deepStrictEqual(okta.revoked, ["okta-refresh-0"])
        assert.strictEqual((yield* one.revoke({ client_id: clientId, token })).status, 200)
        assert.lengthOf(okta.revoked, 1)
      }
    }))

  it.effect("by a refresh token that was replaced ends the grant as well", () =>
    Effect.gen(function*() {
      const { one, refreshment, signIn } = yield* tokenServers()
      const { accessToken, clientId, refreshToken } = yield* signIn
      yield* one.token(refreshment(clientId, refreshToken))
      yield* one.revoke({ client_id: clientId, token: refreshToken })
      assert.isFalse(yield* isAlive(one.grants, accessToken))
    }))

  it.effect("works while Okta is away, and is 503 while the store is", () =>
    Effect.gen(function*() {
      const { okta, one, signIn } = yield* tokenServers()
      const { accessToken, clientId, refreshToken } = yield* signIn
      one.store.down = true
      const form = { client_id: clientId, token: refreshToken }
      assertRefused(yield* one.revoke(form), 503, "temporarily_unavailable")
      one.store.down = false
      assert.isTrue(yield* isAlive(one.grants, accessToken))
      okta.answer = "away"
      assert.strictEqual((yield* one.revoke(form)).status, 200)
      assert.isFalse(yield* isAlive(one.grants, accessToken))
    }))

  it.effect("needs a token and a client", () =>
    Effect.gen(function*() {
      const { one, signIn } = yield* tokenServers()
      const { clientId, refreshToken } = yield* signIn
      assertRefused(yield* one.revoke({ client_id: clientId }), 400, "invalid_request")
      assertRefused(yield* one.revoke({ token: refreshToken }), 401, "invalid_client")
      assertRefused(yield* one.revoke({ client_id: "nobody", token: refreshToken }), 401, "invalid_client")
    }))
})
