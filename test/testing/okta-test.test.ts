import { assert, describe, it, layer } from "@effect/vitest"
import { Effect, Fiber, Layer, Redacted } from "effect"
import { Jwks, OktaAuth, TokenVerifier, type VerifierOptions } from "effect-okta"
import { type Defect, OktaTest, type OktaTestOptions, type Outage, type TokenOptions } from "effect-okta/testing"
import { HttpClient } from "effect/http"
import { TestClock } from "effect/testing"
import { decodeJwt, decodeProtectedHeader } from "jose"
import { algorithms } from "../../src/config/Algorithm.ts"
import { defects } from "../support/defects.ts"

const okta = (options: OktaTestOptions & VerifierOptions = {}) =>
  OktaAuth.layer({
    issuer: options.issuer ?? OktaTest.issuer,
    audience: options.audience ?? OktaTest.audience,
    algorithms: options.algorithm,
    accept: options.accept
  }).pipe(Layer.provideMerge(OktaTest.layer(options)))

const verify = (token: Redacted.Redacted<string>) => TokenVerifier.use(({ verify }) => verify(token))

const mint = (options?: TokenOptions) => OktaTest.use(({ token }) => token(options))

const outcome = (options?: TokenOptions) =>
  Effect.flatMap(
    mint(options),
    (token) => Effect.match(verify(token), { onFailure: ({ _tag }) => _tag, onSuccess: () => "accepted" })
  )

const errors: { readonly [D in Defect]: string } = {
  expired: "TokenExpired",
  "not-yet-valid": "TokenNotYetValid",
  "wrong-issuer": "InvalidIssuer",
  "wrong-audience": "InvalidAudience",
  "no-subject": "InvalidClaim",
  "unknown-key": "UnknownKey",
  "bad-signature": "InvalidSignature",
  unsigned: "UnsupportedAlgorithm",
  "id-token": "WrongTokenType",
  malformed: "MalformedToken"
}

layer(okta())("an Okta in memory", (it) => {
  it.effect("issues tokens as Okta does", () =>
    Effect.gen(function*() {
      const { audience, issuer } = yield* OktaTest
      const token = Redacted.value(yield* mint())
      assert.deepStrictEqual(decodeProtectedHeader(token), { alg: "RS256", kid: "key-1" })
      const { jti, ...claims } = decodeJwt(token)
      assert.match(String(jti), /^AT\.\d+$/)
      assert.deepStrictEqual(claims, {
        ver: 1,
        iss: "https://test.okta.com/oauth2/default",
        aud: "api://default",
        iat: 0,
        exp: 3600,
        cid: "0oa1client",
        uid: "00u1ada",
        scp: ["openid", "profile", "email"],
        auth_time: 0,
        sub: "ada@example.com"
      })
      assert.deepStrictEqual([issuer, audience], [OktaTest.issuer, OktaTest.audience])
      const again = decodeJwt(Redacted.value(yield* mint()))
      assert.notStrictEqual(again.jti, jti)
    }))

  it.effect("their verification tells who is calling", () =>
    Effect.gen(function*() {
      const { principal } = yield* verify(yield* mint({ scopes: ["files:read"], claims: { groups: ["Admins"] } }))
      assert.deepStrictEqual(principal, {
        _tag: "User",
        subject: "ada@example.com",
        uid: "00u1ada",
        username: "ada@example.com",
        groups: ["Admins"],
        scopes: ["files:read"],
        clientId: "0oa1client",
        amr: [],
        authTime: 0
      })
      const service = yield* verify(yield* mint({ claims: { uid: undefined, sub: "0oa1client" } }))
      assert.strictEqual(service.principal._tag, "Service")
    }))

  for (const [defect, error] of Object.entries(errors)) {
    it.effect(`the defect ${defect} is refused with ${error}`, () =>
      Effect.gen(function*() {
        const token = yield* mint({ defect: known(defect) })
        assert.strictEqual((yield* Effect.flip(verify(token)))._tag, error)
      }))
  }

  it.effect("any claim and header member can be put in or taken away", () =>
    Effect.gen(function*() {
      assert.strictEqual(yield* outcome({ claims: { exp: undefined } }), "InvalidClaim")
      assert.strictEqual(yield* outcome({ claims: { aud: ["api://other", OktaTest.audience] } }), "accepted")
      assert.strictEqual(yield* outcome({ claims: { nonce: "x" } }), "WrongTokenType")
      assert.strictEqual(yield* outcome({ header: { kid: undefined } }), "MalformedToken")
      assert.strictEqual(yield* outcome({ header: { kid: "other" } }), "UnknownKey")
      assert.strictEqual(yield* outcome({ header: { typ: "at+jwt" } }), "accepted")
      assert.strictEqual(yield* outcome({ header: { typ: "dpop+jwt" } }), "WrongTokenType")
      assert.strictEqual(
        yield* outcome({ defect: "expired", claims: { exp: 10 } }),
        "accepted",
        "a claim wins over a defect"
      )
    }))

  it.effect("its HttpClient knows no other place", () =>
    Effect.gen(function*() {
      const missing = yield* HttpClient.get("https://test.okta.com/oauth2/default/v1/authorize")
      assert.strictEqual(missing.status, 404)
      const elsewhere = yield* Effect.flip(HttpClient.get("https://example.com/"))
      assert.strictEqual(elsewhere.reason._tag, "TransportError")
    }))
})

const known = (name: string): Defect => {
  const defect = defects.find((one) => one === name)
  return defect ?? assert.fail(`no defect ${name}`)
}

describe("an Okta in memory", () => {
  it.effect("takes its times from the clock", () =>
    Effect.gen(function*() {
      yield* TestClock.setTime(1_700_000_000_999)
      yield* Effect.gen(function*() {
        const token = yield* mint()
        assert.strictEqual(decodeJwt(Redacted.value(token)).iat, 1_700_000_000)
        yield* verify(token)
        yield* TestClock.adjust("61 minutes")
        assert.strictEqual((yield* Effect.flip(verify(token)))._tag, "TokenExpired")
        assert.strictEqual(yield* outcome(), "accepted")
      }).pipe(Effect.provide(okta()))
    }))

  for (const algorithm of algorithms) {
    it.effect(`signs with ${algorithm}`, () =>
      Effect.gen(function*() {
        const token = yield* mint()
        assert.strictEqual(decodeProtectedHeader(Redacted.value(token)).alg, algorithm)
        yield* verify(token)
        assert.strictEqual(yield* outcome({ defect: "bad-signature" }), "InvalidSignature")
        assert.strictEqual(yield* outcome({ defect: "unsigned" }), "UnsupportedAlgorithm")
      }).pipe(Effect.provide(okta({ algorithm }))))
  }

  const issuers = [
    "https://acme.okta.com",
    "https://acme.okta.com/oauth2/aus1Ab2C",
    "https://login.acme.example/oauth2/default",
    "http://localhost:8080"
  ]
  for (const issuer of issuers) {
    it.effect(`is ${issuer}, org server or custom`, () =>
      Effect.gen(function*() {
        const test = yield* OktaTest
        assert.deepStrictEqual([test.issuer, test.audience], [issuer, "api://acme"])
        const { claims } = yield* verify(yield* mint())
        assert.deepStrictEqual([claims.iss, claims.aud], [issuer, "api://acme"])
        const metadata = yield* HttpClient.get(`${issuer}/.well-known/openid-configuration`)
        const path = issuer.includes("/oauth2/") ? "/v1/keys" : "/oauth2/v1/keys"
        assert.deepStrictEqual(yield* metadata.json, { issuer, jwks_uri: issuer + path })
        assert.strictEqual(yield* outcome({ defect: "wrong-issuer" }), "InvalidIssuer")
      }).pipe(Effect.provide(okta({ issuer, audience: "api://acme" }))))
  }

  it.effect("issues what is accepted as an ID token too", () =>
    Effect.gen(function*() {
      const claims = { cid: undefined, scp: undefined, uid: undefined, sub: "00u1ada" }
      assert.strictEqual(yield* outcome({ defect: "id-token", claims }), "accepted")
    }).pipe(Effect.provide(okta({ accept: "id-token" }))))

  it.effect("rotates its keys: old and new tokens are good until the old key is withdrawn", () =>
    Effect.gen(function*() {
      const { rotateKeys, withdrawOldKeys } = yield* OktaTest
      const old = yield* mint()
      yield* verify(old)
      yield* rotateKeys
      const next = yield* mint()
      assert.strictEqual(decodeProtectedHeader(Redacted.value(next)).kid, "key-2")
      yield* verify(next)
      yield* verify(old)
      yield* withdrawOldKeys
      yield* Jwks.use(({ reload }) => reload)
      yield* verify(next)
      assert.strictEqual((yield* Effect.flip(verify(old)))._tag, "UnknownKey")
    }).pipe(Effect.provide(okta())))

  it.effect("counts how often it was asked", () =>
    Effect.gen(function*() {
      const { requests } = yield* OktaTest
      yield* verify(yield* mint())
      yield* verify(yield* mint())
      assert.deepStrictEqual(yield* requests, { metadata: 1, keys: 1 })
      yield* Jwks.use(({ reload }) => reload)
      assert.deepStrictEqual(yield* requests, { metadata: 1, keys: 2 })
    }).pipe(Effect.provide(okta())))

  const outages: ReadonlyArray<readonly [Outage, reason: string]> = [
    ["unreachable", "could not be reached (connect ECONNREFUSED)"],
    ["silent", "gave no complete answer within 3s"],
    ["error", "answered 500"],
    ["rate-limited", "answered 429"],
    ["garbage", "answered with something that is not JSON"]
  ]
  for (const [outage, reason] of outages) {
    it.effect(`${outage} from the start: nothing can be said about any token, until it is over`, () =>
      Effect.gen(function*() {
        const { restore } = yield* OktaTest
        const token = yield* mint()
        const asking = yield* Effect.forkChild(Effect.flip(verify(token)))
        yield* TestClock.adjust("10 seconds")
        const error = yield* Fiber.join(asking)
        assert.include(["DiscoveryFailed", "KeysUnavailable"], error._tag)
        if (outage !== "silent") assert.include(error.message, reason)
        yield* restore
        yield* TestClock.adjust("1 minute")
        assert.strictEqual(yield* outcome(), "accepted")
      }).pipe(Effect.provide(okta({ outage }))))

    it.effect(`${outage} later on: known keys go on, and new ones are not called unknown`, () =>
      Effect.gen(function*() {
        const { fail, restore, rotateKeys } = yield* OktaTest
        yield* verify(yield* mint())
        yield* fail(outage)
        assert.strictEqual(yield* outcome(), "accepted")
        yield* rotateKeys
        const token = yield* mint()
        const asking = yield* Effect.forkChild(Effect.flip(verify(token)))
        yield* TestClock.adjust("10 seconds")
        assert.strictEqual((yield* Fiber.join(asking))._tag, "KeysUnavailable")
        yield* restore
        yield* TestClock.adjust("1 minute")
        yield* verify(token)
      }).pipe(Effect.provide(okta())))
  }
})
