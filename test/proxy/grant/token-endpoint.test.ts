import { assert, describe, it } from "@effect/vitest"
import { Duration, Effect, Fiber } from "effect"
import { TestClock } from "effect/testing"
import { now, secret, serverUrl } from "../ProxyTest.ts"
import {
  assertRefused,
  assertUncached,
  claimsOf,
  type Form,
  isAlive,
  redirectUri,
  tokenServers,
  verifier
} from "./TokenServer.ts"

const together = { concurrency: "unbounded" } as const
const canary = "https://evil.example/\"><script>"

describe("a code at the token endpoint (RFC 6749 section 4.1.3)", () => {
  it.effect("#160 #163 gets tokens of ours and nothing else", () =>
    Effect.gen(function*() {
      const { approve, logged, one, redemption, register } = yield* tokenServers()
      const { client_id } = yield* register()
      const code = yield* approve(client_id)
      const answer = yield* one.token(redemption(client_id, code))
      assert.strictEqual(answer.status, 200)
      assertUncached(answer)
      const { access_token, refresh_token, ...rest } = answer.body
      assert.deepStrictEqual(rest, { token_type: "Bearer", expires_in: 3600, scope: "files:read files:write" })
      const { aud, client_id: client, email_verified, exp, iat, iss, scope, sub } = claimsOf(access_token)
      assert.deepStrictEqual({ iss, aud, sub, client, scope, exp, iat, email_verified }, {
        iss: serverUrl,
        aud: serverUrl,
        sub: "00u1ada",
        client: client_id,
        scope: "files:read files:write",
        exp: now + 3600,
        iat: now,
        email_verified: true
      })
      assert.isTrue(yield* isAlive(one.grants, access_token))
      for (const text of [answer.text, ...logged, ...one.store.written.keys(), ...one.store.written.values()]) {
        assert.notMatch(text, /okta-(?:access|id|refresh)-/)
      }
      for (const text of [...logged, ...one.store.written.keys(), ...one.store.written.values()]) {
        assert.notInclude(text, code)
        assert.notInclude(text, String(refresh_token))
        assert.notInclude(text, String(access_token))
      }
    }))

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
      const { approve, one, redemption, refreshment, register } = yield* tokenServers()
      const { client_id } = yield* register({ grant_types: ["authorization_code"] })
      const answer = yield* one.token(redemption(client_id, yield* approve(client_id)))
      assert.strictEqual(answer.status, 200)
      assert.notProperty(answer.body, "refresh_token")
      assertRefused(yield* one.token(refreshment(client_id, "x")), 400, "unauthorized_client")
    }))

  it.effect("#137 used twice is refused, and ends the grant, also when its time is over", () =>
    Effect.gen(function*() {
      const { approve, okta, one, other, redemption, refreshment, register } = yield* tokenServers()
      const { client_id } = yield* register()
      for (const seconds of [0, 3600]) {
        const form = redemption(client_id, yield* approve(client_id))
        const { body } = yield* one.token(form)
        yield* TestClock.adjust(seconds * 1000)
        assertRefused(yield* other.token(form), 400, "invalid_grant")
        assertRefused(yield* one.token(refreshment(client_id, body["refresh_token"])), 400, "invalid_grant")
        assert.isFalse(yield* isAlive(one.grants, body["access_token"]))
      }
      assert.deepStrictEqual(okta.revoked, ["okta-refresh-0", "okta-refresh-0"])
    }))

  for (const store of ["memory", "sqlite"] as const) {
    it.effect(`#138 redeemed by 50 at once on two servers succeeds once (${store})`, () =>
      Effect.gen(function*() {
        const { approve, one, other, redemption, register } = yield* tokenServers({ store })
        const { client_id } = yield* register()
        for (let round = 0; round < 6; round++) {
          const form = redemption(client_id, yield* approve(client_id))
          const answers = yield* Effect.forEach(
            Array.from({ length: 50 }, (_, index) => round > 2 || index % 2 === 0 ? one : other),
            ({ token }) => token(form),
            together
          )
          const granted = answers.filter(({ status }) => status === 200)
          assert.lengthOf(granted, 1)
          for (const answer of answers) if (answer.status !== 200) assertRefused(answer, 400, "invalid_grant")
        }
      }))
  }

  it.effect("#139 #143 with a wrong verifier or redirect URI is refused, and used up", () =>
    Effect.gen(function*() {
      const { approve, okta, one, redemption, register } = yield* tokenServers()
      const { client_id } = yield* register()
      const wrongs = [
        { code_verifier: "w".repeat(43) },
        { code_verifier: "short" },
        { code_verifier: `${verifier}!` },
        { redirect_uri: `${redirectUri}/` },
        { redirect_uri: "http://127.0.0.1:3334/callback" }
      ]
      for (const [index, wrong] of wrongs.entries()) {
        const form = redemption(client_id, yield* approve(client_id))
        assertRefused(yield* one.token({ ...form, ...wrong }), 400, "invalid_grant")
        assert.lengthOf(okta.revoked, index + 1)
        assertRefused(yield* one.token(form), 400, "invalid_grant")
      }
      assert.lengthOf(okta.revoked, wrongs.length)
    }))

  it.effect("#142 of another client is refused, and nothing happens to the grant", () =>
    Effect.gen(function*() {
      const { approve, one, redemption, refreshment, register } = yield* tokenServers()
      const { client_id } = yield* register()
      const other = (yield* register({ client_name: "Other" })).client_id
      const code = yield* approve(client_id)
      assertRefused(yield* one.token(redemption(other, code)), 400, "invalid_grant")
      const { body, status } = yield* one.token(redemption(client_id, code))
      assert.strictEqual(status, 200)
      assertRefused(yield* one.token(redemption(other, code)), 400, "invalid_grant")
      yield* TestClock.adjust("2 minutes")
      assertRefused(yield* one.token(redemption(other, code)), 400, "invalid_grant")
      assert.strictEqual((yield* one.token(refreshment(client_id, body["refresh_token"]))).status, 200)
    }))

  it.effect("#144 older than a minute is refused", () =>
    Effect.gen(function*() {
      const { approve, one, redemption, register } = yield* tokenServers()
      const { client_id } = yield* register()
      const form = redemption(client_id, yield* approve(client_id))
      yield* TestClock.adjust("60 seconds")
      assertRefused(yield* one.token(form), 400, "invalid_grant")
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

  it.effect("#157 for another resource is refused, and stays good", () =>
    Effect.gen(function*() {
      const { approve, one, redemption, register } = yield* tokenServers()
      const { client_id } = yield* register()
      const form = redemption(client_id, yield* approve(client_id))
      for (const resource of [`${serverUrl}/mcp`, `${serverUrl}//`, canary]) {
        const answer = yield* one.token({ ...form, resource })
        assertRefused(answer, 400, "invalid_target")
        assert.notInclude(answer.text, "evil")
      }
      assert.strictEqual((yield* one.token({ ...form, resource: serverUrl })).status, 200)
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
  it.effect("#147 must be a form with each parameter once", () =>
    Effect.gen(function*() {
      const { approve, one, redemption, register } = yield* tokenServers()
      const { client_id } = yield* register()
      const form = redemption(client_id, yield* approve(client_id))
      for (const name of Object.keys(form)) {
        const repeated: Form = [...Object.entries(form), [name, form[name] ?? ""]]
        assertRefused(yield* one.token(repeated), 400, "invalid_request")
      }
      for (const name of ["grant_type", "code", "redirect_uri", "code_verifier"]) {
        assertRefused(yield* one.token({ ...form, [name]: undefined }), 400, "invalid_request")
        assertRefused(yield* one.token({ ...form, [name]: "" }), 400, "invalid_request")
      }
      assertRefused(yield* one.token({ ...form, client_id: undefined }), 401, "invalid_client")
      for (const type of ["application/json", "multipart/form-data; boundary=x", "text/plain", ""]) {
        assertRefused(yield* one.token(form, { "content-type": type }), 400, "invalid_request")
      }
      assertRefused(yield* one.token(form, { "content-encoding": "gzip" }), 400, "invalid_request")
      const query = `/oauth/token?${new URLSearchParams(form)}`
      const headers = { "content-type": "application/x-www-form-urlencoded" }
      assertRefused(yield* one.ask(query, { headers }), 400, "invalid_request")
      const type = "Application/x-www-form-urlencoded;charset=UTF-8"
      assert.strictEqual((yield* one.token(form, { "content-type": type })).status, 200)
    }))

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

  it.effect("#149 must be a POST, and a preflight passes without credentials", () =>
    Effect.gen(function*() {
      const { one } = yield* tokenServers()
      for (const path of ["/oauth/token", "/oauth/revoke"]) {
        for (const method of ["GET", "HEAD", "PUT", "DELETE", "PATCH"]) {
          const { headers, status } = yield* one.ask(path, { method })
          assert.deepStrictEqual([status, headers["allow"]], [405, "POST, OPTIONS"])
        }
        const { headers, status } = yield* one.ask(path, {
          method: "OPTIONS",
          headers: { origin: "https://app.example.com", "access-control-request-method": "POST" }
        })
        assert.strictEqual(status, 204)
        assert.strictEqual(headers["access-control-allow-origin"], "*")
        assert.isUndefined(headers["access-control-allow-credentials"])
      }
    }))

  it.effect("#158 of another grant type is refused", () =>
    Effect.gen(function*() {
      const { one, register } = yield* tokenServers()
      const { client_id } = yield* register()
      for (const grant_type of ["password", "client_credentials", "implicit", "Authorization_Code", canary]) {
        const answer = yield* one.token({ grant_type, client_id, username: "ada", password: "p" })
        assertRefused(answer, 400, "unsupported_grant_type")
        assert.notInclude(answer.text, "evil")
      }
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

  it.effect("F21 F25 whose answer nobody gets leaves no token that is good for anything", () =>
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

  it.effect("F29 that finds damaged or foreign records finds none, and an alarm is raised", () =>
    Effect.gen(function*() {
      const { approve, logged, one, redemption, register, raw } = yield* tokenServers()
      const { client_id } = yield* register()
      for (const kind of ["code:", "grant:"]) {
        const foreign = yield* approve(client_id)
        const another = [...one.store.written].find(([key]) => key.startsWith(kind))?.[1] ?? ""
        for (const damaged of ["", "x", "{}", another, another.replace(/.$/, (last) => last === "A" ? "B" : "A")]) {
          one.store.written.clear()
          const code = yield* approve(client_id)
          for (const key of one.store.written.keys()) {
            if (key.startsWith(kind)) yield* raw.put(key, damaged, Duration.hours(1))
          }
          logged.length = 0
          assertRefused(yield* one.token(redemption(client_id, code)), 400, "invalid_grant")
          assert.isTrue(logged.some((line) => line.includes("level=WARN") && line.includes("counts as absent")))
        }
        assert.strictEqual((yield* one.token(redemption(client_id, foreign))).status, 200)
      }
    }))
})
