import { assert, describe, it } from "@effect/vitest"
import { Effect, Redacted } from "effect"
import { TestClock } from "effect/testing"
import { importJWK, SignJWT } from "jose"
import type { OktaOptions } from "../../../src/config/OktaConfig.ts"
import { basic, tokenProof } from "../../support/Credentials.ts"
import { ProofKey } from "../../support/Proofs.ts"
import { Watch } from "../../support/Watch.ts"
import { now, serverUrl } from "../ProxyTest.ts"
import { ec, ring } from "./KeyRing.ts"
import { assertRefused, assertUncached, claimsOf, isAlive, type Setup, tokenServers } from "./TokenServer.ts"

const secret = "s".repeat(32)
const job = { clientId: "job", clientSecrets: [Redacted.make(secret)], serviceScopes: ["files:read", "files:write"] }
const idle = { clientId: "idle", clientSecrets: [Redacted.make(secret)], serviceScopes: [] }
const clients: NonNullable<OktaOptions["clients"]> = [
  job,
  idle,
  { clientId: "api", clientSecrets: [Redacted.make(secret)], mayIntrospect: true },
  { clientId: "deaf", clientSecrets: [Redacted.make(secret)], redirectUris: ["https://x.example.com/"] }
]
const as = (clientId: string) => basic(clientId, secret)
const inactive = { active: false }

const key = { ...ec(), kid: "mine", alg: "ES256" }
const stranger = { ...ec(), kid: "theirs", alg: "ES256" }

const arrange = Effect.fnUntraced(function*({ settings, ...setup }: Setup = {}) {
  const scene = yield* tokenServers({ settings: { clients, signingKeys: ring(key), ...settings }, ...setup })
  const tell = (token: unknown, server = scene.one) =>
    Effect.map(server.introspect({ token: String(token) }, as("api")), ({ body }) => body)
  const serve = (clientId: string) =>
    Effect.map(scene.one.token({ grant_type: "client_credentials" }, as(clientId)), ({ body }) => body["access_token"])
  return { ...scene, tell, serve }
})

/** Signs what is said as an access token, and with it what is otherwise. */
const signed = (claims: object, header: object = {}, by: object = key) =>
  Effect.promise(async () =>
    new SignJWT({ ...claims }).setProtectedHeader({ alg: "ES256", typ: "at+jwt", kid: "mine", ...header }).sign(
      await importJWK({ ...by }, "ES256")
    )
  )

describe("introspection", () => {
  it.effect("tells all that an access token says, and of a refresh token what it is for", () =>
    Effect.gen(function*() {
      const { one, refreshment, signIn, tell } = yield* arrange()
      const { accessToken, clientId, refreshToken } = yield* signIn
      const { preferred_username: username, ...claims } = claimsOf(accessToken)
      const answer = yield* one.introspect({ token: accessToken }, as("api"))
      assertUncached(answer)
      assert.strictEqual(username, "ada@example.com")
      assert.deepStrictEqual(answer.body, { active: true, token_type: "Bearer", username, ...claims })
      const ofRefreshToken = {
        active: true,
        scope: "files:read files:write",
        client_id: clientId,
        username: "ada@example.com",
        sub: "00u1ada",
        aud: serverUrl,
        iss: serverUrl
      }
      assert.deepStrictEqual(yield* tell(refreshToken), ofRefreshToken)
      const second = (yield* one.token(refreshment(clientId, refreshToken))).body["refresh_token"]
      for (const good of [refreshToken, second]) assert.deepStrictEqual(yield* tell(good), ofRefreshToken)
      const third = (yield* one.token(refreshment(clientId, second))).body["refresh_token"]
      assert.deepStrictEqual(yield* tell(refreshToken), inactive)
      assert.deepStrictEqual(yield* tell(third), ofRefreshToken)
      yield* one.revoke({ client_id: clientId, token: String(third) })
      for (const ended of [accessToken, second, third]) assert.deepStrictEqual(yield* tell(ended), inactive)
    }))

  it.effect("tells that a token is bound to a key, and to which", () =>
    Effect.gen(function*() {
      const { one, tell } = yield* arrange()
      const holder = new ProofKey()
      const { body } = yield* one.token({ grant_type: "client_credentials" }, { ...as("job"), ...tokenProof(holder) })
      assert.deepInclude(yield* tell(body["access_token"]), {
        active: true,
        token_type: "DPoP",
        cnf: { jkt: holder.thumbprint }
      })
    }))

  it.effect("is for clients that may, with a token, so many times a minute", () =>
    Effect.gen(function*() {
      const watch = new Watch()
      const { one } = yield* arrange({ watch, settings: { requestsPerMinute: 4 } })
      assertRefused(yield* one.introspect({ token: "x" }, as("deaf")), 403, "unauthorized_client")
      assertRefused(yield* one.introspect({ token: "x" }), 401, "invalid_client")
      assertRefused(yield* one.introspect({}, as("api")), 400, "invalid_request")
      assert.deepStrictEqual((yield* one.introspect({ token: "x" }, as("api"))).body, inactive)
      for (const path of ["introspect", "revoke"] as const) {
        const late = yield* one[path]({ token: "x" }, as("api"))
        assert.deepStrictEqual([late.status, late.body["error"]], [429, "temporarily_unavailable"])
      }
      const limited = watch.metrics.filter(({ id }) => id === "okta_rate_limited")
      assert.deepStrictEqual(limited.map(({ attributes }) => attributes?.["endpoint"]), ["token"])
    }))

  it.effect("is 503 while the store is away, and not there where nobody may ask", () =>
    Effect.gen(function*() {
      const { one, other, signIn } = yield* arrange({ settingsOfOther: { clients: [job] } })
      const { accessToken } = yield* signIn
      const path = "/oauth/introspect"
      const at = (server: typeof one, method: string) =>
        Effect.map(server.ask(path, { method }), ({ status }) => status)
      assert.strictEqual(yield* at(one, "GET"), 405)
      assert.strictEqual(yield* at(one, "OPTIONS"), 204)
      assert.strictEqual(yield* at(other, "OPTIONS"), 404)
      one.store.down = true
      assertRefused(yield* one.introspect({ token: accessToken }, as("api")), 503, "temporarily_unavailable")
    }))

  it.effect("knows a service's token for as long as the service is listed with all that it allows", () =>
    Effect.gen(function*() {
      const lists = [[job], [{ ...job, serviceScopes: ["files:write"] }], []]
      const said: Array<unknown> = []
      for (const left of lists) {
        const { other, serve, tell } = yield* arrange({ settingsOfOther: { clients: [...clients.slice(1), ...left] } })
        const token = yield* serve("job")
        assert.deepStrictEqual(yield* tell(token), { active: true, token_type: "Bearer", ...claimsOf(token) })
        said.push((yield* tell(token, other))["active"])
        const scopeless = yield* serve("idle")
        assert.notProperty(claimsOf(scopeless), "scope")
        assert.deepInclude(yield* tell(scopeless), { active: true, sub: "idle" })
      }
      assert.deepStrictEqual(said, [true, false, false])
    }))
})

describe("an access token of this server's", () => {
  it.effect("is by a key of the ring, of its type, from this server and of this time, whoever else signs what", () =>
    Effect.gen(function*() {
      const { serve, signIn, tell } = yield* arrange()
      const { accessToken } = yield* signIn
      for (const claims of [claimsOf(accessToken), claimsOf(yield* serve("job"))]) {
        assert.deepInclude(yield* tell(yield* signed(claims)), { active: true })
        const others = [
          yield* signed(claims, {}, stranger),
          yield* signed(claims, { kid: "theirs" }, stranger),
          yield* signed(claims, { kid: undefined }),
          yield* signed(claims, { typ: "JWT" }),
          yield* signed(claims, { typ: undefined }),
          yield* signed({ ...claims, iss: "https://other.example.com" }),
          yield* signed({ ...claims, iss: undefined }),
          yield* signed({ ...claims, exp: now }),
          yield* signed({ ...claims, iat: undefined }),
          yield* signed({ ...claims, exp: undefined }),
          yield* signed({ ...claims, nbf: now + 60 }),
          yield* signed({ ...claims, scope: 7 }),
          yield* signed({ ...claims, sid: 7 }),
          yield* signed({ ...claims, client_id: 7 }),
          yield* signed({ ...claims, client_id: undefined }),
          `${yield* signed(claims)}x`
        ]
        for (const [index, token] of others.entries()) {
          assert.deepStrictEqual(yield* tell(token), inactive, `the one at ${index}`)
        }
      }
      yield* TestClock.adjust("59 minutes")
      assert.deepInclude(yield* tell(accessToken), { active: true })
      yield* TestClock.adjust("1 minute")
      assert.deepStrictEqual(yield* tell(accessToken), inactive)
    }))

  it.effect("ends with revokedBefore, to the second, and so does its refresh token", () =>
    Effect.gen(function*() {
      for (const [seconds, active] of [[0, true], [1, false]] as const) {
        const { other, serve, signIn, tell } = yield* arrange({
          settingsOfOther: { revokedBefore: new Date((now + seconds) * 1000) }
        })
        const { accessToken, refreshToken } = yield* signIn
        for (const token of [accessToken, refreshToken, yield* serve("job")]) {
          assert.strictEqual((yield* tell(token, other))["active"], active)
        }
      }
    }))
})

describe("a revocation", () => {
  it.effect("by another client does nothing, and looks the same", () =>
    Effect.gen(function*() {
      const { okta, one, register, signIn } = yield* arrange()
      const { accessToken, refreshToken } = yield* signIn
      const { client_id } = yield* register({ client_name: "Other" })
      for (const token of [accessToken, refreshToken, "x"]) {
        const answer = yield* one.revoke({ client_id, token })
        assert.deepStrictEqual([answer.status, answer.text], [200, ""])
        assertUncached(answer)
      }
      assert.isTrue(yield* isAlive(one.grants, accessToken))
      assert.deepStrictEqual(okta.revoked, [])
    }))

  it.effect("tells its reason to whoever follows what happens", () =>
    Effect.gen(function*() {
      const watch = new Watch()
      const { one, signIn } = yield* arrange({ watch })
      const { clientId, refreshToken } = yield* signIn
      yield* one.revoke({ client_id: clientId, token: refreshToken })
      assert.deepInclude(watch.events.at(-1), { _tag: "GrantRevoked", why: "revoked" })
    }))

  it.effect("of a service's token is refused to the service, and does nothing for others", () =>
    Effect.gen(function*() {
      const { one, serve, tell } = yield* arrange()
      const token = yield* serve("job")
      assertRefused(yield* one.revoke({ token: String(token) }, as("job")), 400, "unsupported_token_type")
      const answer = yield* one.revoke({ token: String(token) }, as("api"))
      assert.deepStrictEqual([answer.status, answer.text], [200, ""])
      assert.deepInclude(yield* tell(token), { active: true })
    }))
})
