import { assert, describe, it } from "@effect/vitest"
import { Effect, Layer } from "effect"
import { exportJWK, generateKeyPair, SignJWT } from "jose"
import { generateKeyPairSync } from "node:crypto"
import type { ClientOptions } from "../../src/config/OktaConfig.ts"
import { ClientRegistry } from "../../src/proxy/client/ClientRegistry.ts"
import { Registration } from "../../src/proxy/client/Registration.ts"
import { Sealed } from "../../src/proxy/Sealed.ts"
import { basic } from "../support/Credentials.ts"
import * as Scene from "../support/ProxyScene.ts"
import { build, configLayer, secret } from "./ProxyTest.ts"

const backend = "app-backend"
const redirectUris = [Scene.redirectUri]
const publicJwk = generateKeyPairSync("ec", { namedCurve: "P-256" }).publicKey.export({ format: "jwk" })
/** A client's tokens, whose person is not asked for consent. */
const signIn = Effect.fnUntraced(
  function*(scene: Scene.ProxyScene, client_id: string, headers: Scene.Asked["headers"]) {
    const browser = scene.browser()
    const toOkta = yield* browser.ask(scene.authorizeUrl({ client_id }))
    assert.deepStrictEqual([toOkta.status, toOkta.location.origin], [302, scene.okta.origin])
    const { location } = yield* browser.ask(yield* Effect.orDie(scene.okta.authorize(toOkta.location)))
    const form = scene.redemption(location.searchParams.get("code") ?? "", { client_id: undefined })
    return yield* scene.one.token(form, headers)
  }
)

describe("a configured client", () => {
  it.effect("with a secret signs a person in without consent, and refreshes; each of its secrets is good, no other", () =>
    Effect.gen(function*() {
      const clients: ReadonlyArray<ClientOptions> = [
        { clientId: backend, redirectUris, clientSecrets: [secret("1"), secret("2")] }
      ]
      const scene = yield* Scene.make({ settings: { clients } })
      const { refreshToken } = Scene.tokensOf(yield* signIn(scene, backend, basic(backend, "1".repeat(32))))
      const form = scene.refreshment(refreshToken, { client_id: undefined })
      Scene.assertRefused(yield* scene.one.token(form, basic(backend, "3".repeat(32))), 401, "invalid_client")
      Scene.assertRefused(yield* scene.one.token({ ...form, client_id: backend }), 401, "invalid_client")
      const post = { ...form, client_id: backend, client_secret: "2".repeat(32) }
      Scene.tokensOf(yield* scene.one.token(post))
    }))

  it.effect("with a key", () =>
    Effect.gen(function*() {
      const { privateKey, publicKey } = yield* Effect.promise(() => generateKeyPair("ES256"))
      const keys = [{ ...(yield* Effect.promise(() => exportJWK(publicKey))), kid: "k" }]
      const scene = yield* Scene.make({ settings: { clients: [{ clientId: backend, redirectUris, keys }] } })
      const client_assertion = yield* Effect.promise(() =>
        new SignJWT({ jti: "1" }).setProtectedHeader({ alg: "ES256", kid: "k" }).setIssuer(backend).setSubject(backend)
          .setAudience(Scene.serverUrl).setIssuedAt(Scene.now).setExpirationTime(Scene.now + 60).sign(privateKey)
      )
      const browser = scene.browser()
      const toOkta = yield* browser.ask(scene.authorizeUrl({ client_id: backend }))
      const { location } = yield* browser.ask(yield* Effect.orDie(scene.okta.authorize(toOkta.location)))
      Scene.tokensOf(
        yield* scene.one.token({
          ...scene.redemption(location.searchParams.get("code") ?? "", { client_id: undefined }),
          client_assertion,
          client_assertion_type: "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
        })
      )
    }))

  const wrong: ReadonlyArray<readonly [what: string, clients: ReadonlyArray<ClientOptions>, message: string]> = [
    ["there twice", [{ clientId: "a", redirectUris }, { clientId: "a", redirectUris }], "is there more than once."],
    [
      "without redirect URIs",
      [{ clientId: "a" }],
      "has no redirectUris, so that it can do nothing. Give at least one."
    ],
    [
      "with a secret and keys",
      [{ clientId: "a", redirectUris, clientSecrets: [secret("1")], keys: [{ ...publicJwk }] }],
      "has clientSecrets and keys. Give one of them, or none for a public client."
    ],
    [
      "that everybody could introspect as",
      [{ clientId: "a", mayIntrospect: true }],
      "may introspect without clientSecrets or keys, so that anybody could. Give one of them."
    ],
    [
      "with a key that is none",
      [{ clientId: "a", redirectUris, keys: [{ kty: "EC", crv: "P-256", x: "x", y: "y" }] }],
      "has a mistake in its keys: key 1 has parameters that are no key."
    ],
    [
      "with a key for another use",
      [{ clientId: "a", redirectUris, keys: [{ kty: "RSA", n: "x", e: "AQAB", use: "enc" }] }],
      "has a mistake in its keys: key 1 is for use \"enc\"."
    ],
    [
      "with a script",
      [{ clientId: "a", redirectUris: ["javascript:alert(1)"] }],
      "has a redirect URI that has a scheme that is never allowed."
    ]
  ]
  for (const [what, clients, message] of wrong) {
    it.effect(`${what} is a mistake in the settings`, () =>
      Effect.gen(function*() {
        const layer = ClientRegistry.layer.pipe(
          Layer.provide(Registration.layer),
          Layer.provide(Sealed.layer),
          Layer.provide(configLayer({ clients }))
        )
        assert.deepStrictEqual((yield* build(layer)).problems, [{ field: "clients", value: "a", message }])
      }))
  }
})

describe("an assertion of a client's, by its key", () => {
  const endpoints = [
    ["/oauth/token", "token"],
    ["/oauth/introspect", "introspection"],
    ["/oauth/revoke", "revocation"]
  ] as const

  it.effect.each(["RS256", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA", "Ed25519"])(
    "of %s is taken at each endpoint, for that endpoint, and named in the metadata",
    (alg) =>
      Effect.gen(function*() {
        const { privateKey, publicKey } = yield* Effect.promise(() => generateKeyPair(alg))
        const keys = [yield* Effect.promise(() => exportJWK(publicKey))]
        const clients = [{ clientId: backend, redirectUris, keys, mayIntrospect: true }]
        const scene = yield* Scene.make({ settings: { clients } })
        const metadata = Scene.membersOf(yield* scene.one.ask("/.well-known/oauth-authorization-server"))
        for (const [endpoint, name] of endpoints) {
          const client_assertion = yield* Effect.promise(() =>
            new SignJWT({ jti: endpoint }).setProtectedHeader({ alg }).setIssuer(backend).setSubject(backend)
              .setAudience(Scene.serverUrl + endpoint).setExpirationTime(Scene.now + 60).sign(privateKey)
          )
          const answer = yield* scene.one.post(endpoint, {
            grant_type: "refresh_token",
            refresh_token: "unknown",
            token: "unknown",
            client_assertion,
            client_assertion_type: "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
          })
          assert.strictEqual(answer.status, endpoint === "/oauth/token" ? 400 : 200, answer.body)
          assert.include(metadata[`${name}_endpoint_auth_signing_alg_values_supported`], alg)
        }
      })
  )
})

describe("introspection (RFC 7662)", () => {
  const api = "api"
  const clients: ReadonlyArray<ClientOptions> = [
    { clientId: api, clientSecrets: [secret("1")], mayIntrospect: true },
    { clientId: backend, redirectUris, clientSecrets: [secret("2")] }
  ]
  const asApi = basic(api, "1".repeat(32))

  it.effect("tells a resource server of ours what a token is good for, and nothing of one that is not", () =>
    Effect.gen(function*() {
      const scene = yield* Scene.make({ settings: { clients } })
      const introspect = (token: string) => scene.one.post("/oauth/introspect", { token }, asApi)
      const { accessToken, refreshToken } = yield* scene.signIn()
      const claims = Scene.claimsOf(accessToken)
      const answer = yield* introspect(accessToken)
      Scene.assertUncached(answer)
      const { preferred_username: username, ...others } = claims
      assert.deepStrictEqual(Scene.membersOf(answer), { active: true, token_type: "Bearer", username, ...others })
      const { active, client_id, sub } = Scene.membersOf(yield* introspect(refreshToken))
      assert.deepStrictEqual([active, client_id, sub], [true, scene.clientId, claims["sub"]])
      assert.deepStrictEqual(Scene.membersOf(yield* introspect("x.y.z")), { active: false })
      yield* scene.one.revoke({ client_id: scene.clientId, token: refreshToken })
      for (const token of [accessToken, refreshToken]) {
        assert.deepStrictEqual(Scene.membersOf(yield* introspect(token)), { active: false })
      }
      const { introspection_endpoint } = Scene.membersOf(
        yield* scene.one.ask("/.well-known/oauth-authorization-server")
      )
      assert.strictEqual(introspection_endpoint, `${Scene.serverUrl}/oauth/introspect`)
    }))

  it.effect("is for nobody else, and not there where nobody may ask", () =>
    Effect.gen(function*() {
      const scene = yield* Scene.make({ settings: { clients } })
      const ask = (headers: Scene.Asked["headers"]) => scene.one.post("/oauth/introspect", { token: "x" }, headers)
      Scene.assertRefused(yield* ask(basic(backend, "2".repeat(32))), 403, "unauthorized_client")
      Scene.assertRefused(yield* ask(basic(api, "2".repeat(32))), 401, "invalid_client")
      Scene.assertRefused(yield* ask({}), 401, "invalid_client")
      const without = yield* Scene.make()
      assert.strictEqual((yield* without.one.post("/oauth/introspect", { token: "x" })).status, 404)
      const metadata = Scene.membersOf(yield* without.one.ask("/.well-known/oauth-authorization-server"))
      assert.notProperty(metadata, "introspection_endpoint")
    }))
})

describe("what was issued before a time", () => {
  it.effect("has ended with revokedBefore: access tokens, grants and codes; what comes afterwards is good", () =>
    Effect.gen(function*() {
      const scene = yield* Scene.make()
      const { accessToken, refreshToken } = yield* scene.signIn()
      const code = yield* scene.code()
      const after = yield* scene.start({ revokedBefore: new Date((Scene.now + 60) * 1000) })
      assert.strictEqual((yield* after.call(accessToken)).status, 401)
      Scene.assertRefused(yield* after.token(scene.refreshment(refreshToken)), 400, "invalid_grant")
      Scene.assertRefused(yield* after.token(scene.redemption(code)), 400, "invalid_grant")
      assert.strictEqual((yield* scene.one.call(accessToken)).status, 200)
      const later = yield* scene.start({ revokedBefore: new Date(Scene.now * 1000) })
      assert.strictEqual((yield* later.call(accessToken)).status, 200)
    }))
})
