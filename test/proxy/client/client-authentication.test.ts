import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import { TestClock } from "effect/testing"
import { SignJWT } from "jose"
import { createPrivateKey, createPublicKey } from "node:crypto"
import { basic } from "../../support/Credentials.ts"
import { ec } from "../grant/KeyRing.ts"
import { assertRefused, tokenServers } from "../grant/TokenServer.ts"
import { now, serverUrl } from "../ProxyTest.ts"

describe("a client with a secret (RFC 6749 section 2.3.1)", () => {
  const confidential = Effect.gen(function*() {
    const servers = yield* tokenServers()
    const { client_id, client_secret = "" } = yield* servers.register({
      token_endpoint_auth_method: "client_secret_basic"
    })
    const { client_id: _, ...form } = servers.redemption(client_id, yield* servers.approve(client_id))
    return { ...servers, id: client_id, secret: client_secret, form }
  })

  it.effect("sends it in the header or in the body", () =>
    Effect.gen(function*() {
      const { form, id, one, refreshment, secret } = yield* confidential
      const { body, status } = yield* one.token(form, basic(id, secret))
      assert.strictEqual(status, 200)
      const refresh = { ...refreshment(id, body["refresh_token"]), client_secret: secret }
      assert.strictEqual((yield* one.token(refresh)).status, 200)
      assert.strictEqual((yield* one.revoke({ token: "x" }, basic(id, secret))).status, 200)
    }))

  it.effect("that has none cannot use one", () =>
    Effect.gen(function*() {
      const { approve, one, redemption, register } = yield* tokenServers()
      const { client_id } = yield* register()
      const form = redemption(client_id, yield* approve(client_id))
      assertRefused(yield* one.token({ ...form, client_secret: "x" }), 401, "invalid_client")
      assertRefused(yield* one.token(form, basic(client_id, "")), 401, "invalid_client")
      assert.strictEqual((yield* one.token(form)).status, 200)
    }))
})

describe("a client with a key (private_key_jwt, RFC 7523 section 2.2)", () => {
  const key = ec()
  const privateKey = createPrivateKey({ key: { ...key }, format: "jwk" })
  const publicKey = { ...createPublicKey(privateKey).export({ format: "jwk" }), kid: "k", alg: "ES256" }

  const keyed = Effect.fnUntraced(function*(store: "memory" | "sqlite" = "memory") {
    const servers = yield* tokenServers({ store })
    const { client_id } = yield* servers.register({
      token_endpoint_auth_method: "private_key_jwt",
      jwks: { keys: [publicKey] }
    })
    let count = 0
    const assertion = (claims: { readonly [claim: string]: unknown } = {}, header = {}, signing = privateKey) =>
      Effect.promise(() =>
        new SignJWT({
          iss: client_id,
          sub: client_id,
          aud: serverUrl,
          exp: now + 60,
          iat: now,
          jti: `jti-${count++}`,
          ...claims
        }).setProtectedHeader({ alg: "ES256", kid: "k", ...header }).sign(signing)
      )
    const { client_id: _, ...code } = servers.redemption(client_id, yield* servers.approve(client_id))
    const withAssertion = (form: { readonly [name: string]: string }, client_assertion: string) => ({
      ...form,
      client_assertion,
      client_assertion_type: "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
    })
    return { ...servers, id: client_id, assertion, code, withAssertion }
  })

  it.effect("is known by an assertion, which names it", () =>
    Effect.gen(function*() {
      const { assertion, code, id, one, refreshment, withAssertion } = yield* keyed()
      const { body, status } = yield* one.token(withAssertion(code, yield* assertion()))
      assert.strictEqual(status, 200)
      const aud = `${serverUrl}/oauth/token`
      const form = withAssertion(
        refreshment(id, body["refresh_token"]),
        yield* assertion({ aud: [aud] }, { kid: undefined })
      )
      assert.strictEqual((yield* one.token(form)).status, 200)
    }))

  it.effect("is refused with any other", () =>
    Effect.gen(function*() {
      const { assertion, code, id, one, withAssertion } = yield* keyed()
      const good = yield* assertion()
      const bad = [
        yield* assertion({ iss: "another" }),
        yield* assertion({ sub: "another" }),
        yield* assertion({ aud: "https://evil.example" }),
        yield* assertion({ aud: [serverUrl, "https://evil.example"] }),
        yield* assertion({ aud: `${serverUrl}/` }),
        yield* assertion({ exp: now - 31 }),
        yield* assertion({ exp: now + 7200 }),
        yield* assertion({ exp: undefined }),
        yield* assertion({ jti: undefined }),
        yield* assertion({ jti: "" }),
        yield* assertion({ jti: 7 }),
        yield* assertion({ nbf: now + 60 }),
        yield* assertion({}, { kid: "another" }),
        yield* assertion({}, {}, createPrivateKey({ key: { ...ec() }, format: "jwk" })),
        `${good.split(".").slice(0, 2).join(".")}.`,
        "a.b.c",
        "x".repeat(9000)
      ]
      for (const wrong of bad) {
        assertRefused(yield* one.token({ ...withAssertion(code, wrong), client_id: id }), 401, "invalid_client")
      }
      const type = { client_assertion_type: "urn:ietf:params:oauth:client-assertion-type:saml2-bearer" }
      assertRefused(yield* one.token({ ...withAssertion(code, good), ...type }), 400, "invalid_request")
      assertRefused(yield* one.token({ ...code, client_assertion: good }), 400, "invalid_request")
      assertRefused(yield* one.token({ ...code, client_id: id }), 401, "invalid_client")
      assertRefused(yield* one.token({ ...code, client_id: id, client_secret: "x" }), 401, "invalid_client")
      assert.strictEqual((yield* one.token(withAssertion(code, good))).status, 200)
    }))

  it.effect("is not known by an assertion again as long as its time could be thought not to be over", () =>
    Effect.gen(function*() {
      const { assertion, one, withAssertion } = yield* keyed()
      const form = withAssertion({ token: "x" }, yield* assertion())
      assert.strictEqual((yield* one.revoke(form)).status, 200)
      yield* TestClock.adjust("89 seconds")
      assertRefused(yield* one.revoke(form), 401, "invalid_client")
      yield* TestClock.adjust("2 seconds")
      assertRefused(yield* one.revoke(form), 401, "invalid_client")
    }))

  it.effect("is told 503 while the store is away", () =>
    Effect.gen(function*() {
      const { assertion, code, one, withAssertion } = yield* keyed()
      const form = withAssertion(code, yield* assertion())
      one.store.down = true
      assertRefused(yield* one.token(form), 503, "temporarily_unavailable")
      one.store.down = false
      assert.strictEqual((yield* one.token(form)).status, 200)
    }))
})
