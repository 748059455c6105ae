import { assert, describe, it } from "@effect/vitest"
import { Effect, Fiber } from "effect"
import { secret, serverUrl } from "../ProxyTest.ts"
import { assertRefused, claimsOf, tokenServers } from "./TokenServer.ts"

describe("a code at the token endpoint (RFC 6749 section 4.1.3)", () => {
  it.effect("gets a token for the protected path that was approved", () =>
    Effect.gen(function*() {
      const { approve, one, redemption, register } = yield* tokenServers()
      const { client_id } = yield* register()
      const resource = `${serverUrl}/mcp`
      const code = yield* approve(client_id, { resource })
      const { body } = yield* one.token({ ...redemption(client_id, code), resource })
      assert.strictEqual(claimsOf(body["access_token"])["aud"], resource)
    }))

  it.effect("gets no refresh token where the client does not use them", () =>
    Effect.gen(function*() {
      const { approve, logged, one, redemption, refreshment, register } = yield* tokenServers()
      const { client_id } = yield* register({ grant_types: ["authorization_code"] })
      const answer = yield* one.token(redemption(client_id, yield* approve(client_id)))
      assert.strictEqual(answer.status, 200)
      assert.notProperty(answer.body, "refresh_token")
      assertRefused(yield* one.token(refreshment(client_id, "x")), 400, "unauthorized_client")
      assert.include(logged.join(), "the grant refresh_token, for which it is not registered")
    }))

  it.effect("names the server as a whole with a slash at its end, or without", () =>
    Effect.gen(function*() {
      const { approve, one, redemption, refreshment, register } = yield* tokenServers()
      const { client_id: clientId } = yield* register()
      const code = yield* approve(clientId)
      const { body, status } = yield* one.token({ ...redemption(clientId, code), resource: `${serverUrl}/` })
      assert.strictEqual(status, 200)
      const refreshed = yield* one.token({
        ...refreshment(clientId, body["refresh_token"]),
        resource: `${serverUrl}/`
      })
      assert.strictEqual(refreshed.status, 200)
      assert.strictEqual(claimsOf(refreshed.body["access_token"])["aud"], serverUrl)
    }))

  it.effect("that is none is refused, whatever it looks like", () =>
    Effect.gen(function*() {
      const { one, redemption, register } = yield* tokenServers()
      const { client_id } = yield* register()
      for (const code of ["x", "a".repeat(43), "é\u0000", "a".repeat(10_000)]) {
        assertRefused(yield* one.token(redemption(client_id, code)), 400, "invalid_grant")
      }
    }))

  it.effect("gets tokens after encryptionSecret was replaced, also twice refused", () =>
    Effect.gen(function*() {
      const { approve, one, other, redemption, register } = yield* tokenServers({
        settings: { encryptionSecret: [secret("a"), secret("b")] },
        settingsOfOther: { encryptionSecret: [secret("b"), secret("a")] }
      })
      const { client_id } = yield* register()
      const form = redemption(client_id, yield* approve(client_id))
      assert.strictEqual((yield* other.token(form)).status, 200)
      assertRefused(yield* one.token(form), 400, "invalid_grant")
    }))
})

describe("a request to the token endpoint (RFC 6749 section 3.2)", () => {
  it.effect("may have 64 KiB, not more", () =>
    Effect.gen(function*() {
      const { one } = yield* tokenServers()
      const headers = { "content-type": "application/x-www-form-urlencoded" }
      const body = `grant_type=${"x".repeat(64 * 1024)}`
      assertRefused(yield* one.ask("/oauth/token", { headers, body }), 413, "invalid_request")
      const chunked = { ...headers, "transfer-encoding": "chunked" }
      assertRefused(yield* one.ask("/oauth/token", { headers: chunked, body }), 413, "invalid_request")
      const most = { headers, body: body.slice(0, 64 * 1024) }
      assertRefused(yield* one.ask("/oauth/token", most), 400, "unsupported_grant_type")
    }))

  it.effect("is 503 while the store is away, and the code stays good", () =>
    Effect.gen(function*() {
      const { approve, one, other, redemption, register } = yield* tokenServers()
      const { client_id } = yield* register()
      const form = redemption(client_id, yield* approve(client_id))
      for (const down of [true, "get", "compareAndSet", "putIfAbsent"] as const) {
        one.store.down = down
        assertRefused(yield* one.token(form), 503, "temporarily_unavailable")
      }
      assert.strictEqual((yield* other.token(form)).status, 200)
    }))

  it.effect("whose answer nobody gets leaves no token that is good for anything", () =>
    Effect.gen(function*() {
      const { approve, okta, one, redemption, register } = yield* tokenServers()
      const { client_id } = yield* register()
      const form = redemption(client_id, yield* approve(client_id))
      const gone = yield* Effect.forkChild(one.token(form))
      const isUsed = () => [...one.store.written.keys()].some((key) => key.startsWith("used:"))
      while (!isUsed()) yield* Effect.promise(() => new Promise((resolve) => setImmediate(resolve)))
      yield* Fiber.interrupt(gone)
      assertRefused(yield* one.token(form), 400, "invalid_grant")
      assert.deepStrictEqual(okta.revoked, ["okta-refresh-0"])
    }))
})
