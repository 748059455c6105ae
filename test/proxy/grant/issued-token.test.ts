import { assert, describe, it } from "@effect/vitest"
import { Effect, Layer, Logger, Redacted } from "effect"
import { TestClock } from "effect/testing"
import * as fc from "fast-check"
import { createLocalJWKSet, decodeJwt, decodeProtectedHeader, jwtVerify } from "jose"
import { algorithms } from "../../../src/config/Algorithm.ts"
import { OktaConfig, type OktaOptions } from "../../../src/config/OktaConfig.ts"
import { type Issuance, TokenIssuer, tokenType } from "../../../src/proxy/grant/IssuedToken.ts"
import { SigningKeys } from "../../../src/proxy/grant/SigningKeys.ts"
import { purposes, Sealed } from "../../../src/proxy/Sealed.ts"
import type { Principal, User } from "../../../src/token/Principal.ts"
import { Signature } from "../../../src/token/Signature.ts"
import { TokenVerifier } from "../../../src/token/TokenVerifier.ts"
import { configLayer, now, serverUrl } from "../ProxyTest.ts"
import { ec, ed25519, ring, rsa } from "./KeyRing.ts"

const mcp = `${serverUrl}/mcp`

const ada: User = {
  _tag: "User",
  subject: "00u1ada",
  uid: "00u1ada",
  username: "ada@example.com",
  email: "ada@example.com",
  groups: ["Everyone", "Admins"],
  scopes: ["files:read", "files:write"],
  clientId: "client-1",
  acr: "urn:okta:loa:2fa:any",
  amr: ["pwd", "mfa"],
  authTime: now - 60
}

const nobody: User = { _tag: "User", subject: "x", username: "x", groups: [], scopes: [], amr: [] }

const one = { ...ec(), kid: "one" }
const two = { ...ec(), kid: "two" }

/** What the server trusts: itself, with any algorithm that its own keys are for. */
const ownTokens = Layer.effect(
  OktaConfig,
  Effect.map(OktaConfig, (settings) => ({ ...settings, issuer: serverUrl, audience: [serverUrl, mcp], algorithms }))
)

const layerOf = (settings: Partial<OktaOptions> = {}) =>
  TokenVerifier.layer.pipe(
    Layer.provide(ownTokens),
    Layer.provide(SigningKeys.jwks),
    Layer.provide(Signature.layer),
    Layer.provideMerge(TokenIssuer.layer),
    Layer.provideMerge(SigningKeys.layer),
    Layer.provideMerge(Sealed.layer),
    Layer.provide(configLayer({ signingKeys: ring(one), ...settings }))
  )

const inTest = <A, E>(
  effect: Effect.Effect<A, E, TokenIssuer | TokenVerifier | SigningKeys | Sealed>,
  settings?: Partial<OktaOptions>
) => Effect.andThen(TestClock.setTime(now * 1000), effect).pipe(Effect.provide(layerOf(settings)))

const issue = (issuance: Partial<Issuance> = {}) =>
  Effect.flatMap(TokenIssuer, (issuer) => issuer.issue({ principal: ada, resource: mcp, ...issuance }))

const verify = (token: Redacted.Redacted<string>) => Effect.flatMap(TokenVerifier, (verifier) => verifier.verify(token))

describe("an access token of ours", () => {
  it.effect("says what RFC 9068 asks for, and who the person is", () =>
    inTest(Effect.gen(function*() {
      const { expiresAt, issuedAt, jti, token } = yield* issue({
        principal: { ...ada, emailVerified: true, sessionId: "grant-1" }
      })
      assert.deepStrictEqual([issuedAt, expiresAt], [now, now + 3600])
      assert.deepStrictEqual({ ...decodeProtectedHeader(Redacted.value(token)) }, {
        alg: "ES256",
        typ: "at+jwt",
        kid: "one"
      })
      assert.deepStrictEqual({ ...decodeJwt(Redacted.value(token)) }, {
        iss: serverUrl,
        aud: mcp,
        iat: now,
        exp: now + 3600,
        jti,
        sub: "00u1ada",
        client_id: "client-1",
        scope: "files:read files:write",
        sid: "grant-1",
        uid: "00u1ada",
        preferred_username: "ada@example.com",
        email: "ada@example.com",
        email_verified: true,
        groups: ["Everyone", "Admins"],
        acr: "urn:okta:loa:2fa:any",
        amr: ["pwd", "mfa"],
        auth_time: now - 60
      })
      assert.match(jti, /^[\w-]{22}$/)
      const next = yield* issue()
      assert.notStrictEqual(next.jti, jti)
      assert.notInclude(JSON.stringify(next), Redacted.value(next.token))
    })))

  for (
    const jwk of [
      ec(),
      ec("P-384"),
      ec("P-521"),
      rsa(),
      { ...rsa(), alg: "PS256" },
      { ...rsa(), alg: "PS384" },
      { ...rsa(), alg: "PS512" },
      ed25519(),
      { ...ed25519(), alg: "Ed25519" }
    ]
  ) {
    it.effect(`is verified here and by jose: ${String(jwk["alg"] ?? jwk.crv ?? jwk.kty)}`, () =>
      inTest(
        Effect.gen(function*() {
          const { token } = yield* issue()
          assert.deepStrictEqual((yield* verify(token)).principal, ada)
          const published = yield* Effect.flatMap(SigningKeys, (keys) => keys.published)
          const { payload } = yield* Effect.promise(() =>
            jwtVerify(
              Redacted.value(token),
              createLocalJWKSet({ keys: published.keys.map((key) => ({ ...key })) }),
              { issuer: serverUrl, audience: mcp, typ: "at+jwt", currentDate: new Date(now * 1000) }
            )
          )
          assert.strictEqual(payload.sub, "00u1ada")
        }),
        { signingKeys: ring(jwk) }
      ))
  }

  it.effect("gives back the same principal, whoever it is", () =>
    inTest(Effect.gen(function*() {
      const text = fc.string({ unit: "grapheme", minLength: 1, maxLength: 12 })
      const scopes = fc.array(fc.string({ unit: fc.constantFrom(..."abc:/.-_"), minLength: 1, maxLength: 6 }), {
        maxLength: 4
      })
      const user = fc.record({
        _tag: fc.constant("User" as const),
        subject: text,
        username: text,
        groups: fc.array(text, { maxLength: 4 }),
        scopes,
        amr: fc.array(text, { maxLength: 3 }),
        uid: text,
        clientId: text,
        email: text,
        acr: text,
        authTime: fc.nat()
      }, { requiredKeys: ["_tag", "subject", "username", "groups", "scopes", "amr"], noNullPrototype: true })
        .filter(({ clientId, subject, uid }) => uid !== undefined || clientId !== subject)
      const service = fc.tuple(text, scopes)
        .map(([clientId, scopes]) => ({ _tag: "Service" as const, subject: clientId, clientId, scopes }))
      const run = Effect.runPromiseWith(yield* Effect.context<TokenIssuer | TokenVerifier>())
      yield* Effect.promise(() =>
        fc.assert(
          fc.asyncProperty(fc.oneof(user, service), async (principal: Principal) => {
            const { token } = await run(issue({ principal }))
            assert.deepStrictEqual((await run(verify(token))).principal, principal)
          }),
          { numRuns: 200 }
        )
      )
    })))

  it.effect("never makes a service of a person who is called like a client", () =>
    inTest(Effect.gen(function*() {
      const principal: User = { ...nobody, subject: "client-1", clientId: "client-1" }
      const { token } = yield* issue({ principal })
      assert.deepStrictEqual((yield* verify(token)).principal, { ...principal, username: "x", uid: "client-1" })
    })))

  it.effect("says nothing of what is not known, and is bound to a key only where there is one", () =>
    inTest(Effect.gen(function*() {
      const always = ["aud", "exp", "iat", "iss", "jti", "sub"]
      const service = { _tag: "Service", subject: "job", clientId: "job", scopes: [] } as const
      const claims = (issuance: Partial<Issuance>) =>
        Effect.map(issue(issuance), ({ token }) => ({ ...decodeJwt(Redacted.value(token)) }))
      assert.sameMembers(Object.keys(yield* claims({ principal: nobody })), [...always, "preferred_username"])
      assert.sameMembers(Object.keys(yield* claims({ principal: service })), [...always, "client_id"])
      assert.deepStrictEqual((yield* claims({ dpopKey: "thumbprint" }))["cnf"], { jkt: "thumbprint" })
      assert.deepStrictEqual([tokenType(undefined), tokenType("thumbprint")], ["Bearer", "DPoP"])
    })))

  it.effect("is for the resource it was asked for (#47)", () =>
    inTest(Effect.gen(function*() {
      for (const resource of [serverUrl, mcp]) {
        assert.strictEqual((yield* verify((yield* issue({ resource })).token)).claims.aud, resource)
      }
      const error = yield* Effect.flip(verify((yield* issue({ resource: `${serverUrl}/other` })).token))
      assert.strictEqual(error._tag, "InvalidAudience")
    })))

  it.effect("that would be refused for its size is warned of", () =>
    Effect.gen(function*() {
      const warnings: Array<string> = []
      const logger = Logger.make<unknown, void>(({ message }) => void warnings.push(String(message)))
      const groups = Array.from({ length: 400 }, (_, index) => `A rather long name of a group, number ${index}`)
      const { token } = yield* inTest(issue({ principal: { ...ada, groups } })).pipe(
        Effect.provide(Logger.layer([logger]))
      )
      assert.lengthOf(warnings, 1)
      assert.match(warnings[0] ?? "", /of \d{5} characters was issued.*maxTokenLength.*fewer groups/)
      assert.notInclude(warnings[0] ?? "", Redacted.value(token).slice(0, 20))

      warnings.length = 0
      const { length } = Redacted.value((yield* inTest(issue())).token)
      for (const [maxTokenLength, count] of [[length, 0], [length - 1, 1]] as const) {
        yield* inTest(issue(), { maxTokenLength }).pipe(Effect.provide(Logger.layer([logger])))
        assert.lengthOf(warnings, count)
      }
    }))
})

describe("the life of an access token of ours", () => {
  for (
    const [what, notAfter, lifetime] of [
      ["an hour", undefined, 3600],
      ["an hour of a longer grant", now + 7200, 3600],
      ["what is left of a grant", now + 90, 90],
      ["what is left of a grant, in whole seconds", now + 90.9, 90],
      ["a second", now + 1, 1]
    ] as const
  ) {
    it.effect(`is ${what}`, () =>
      inTest(Effect.gen(function*() {
        const { expiresAt, token } = yield* issue({ notAfter })
        assert.strictEqual(expiresAt, now + lifetime)
        assert.strictEqual((yield* verify(token)).claims.exp, expiresAt)
        yield* TestClock.setTime((expiresAt + 30) * 1000)
        assert.strictEqual((yield* Effect.flip(verify(token)))._tag, "TokenExpired")
      })))
  }

  it.effect("does not begin when the grant has ended", () =>
    inTest(Effect.gen(function*() {
      for (const notAfter of [now, now - 1, now + 0.5, 0]) {
        const error = yield* Effect.flip(issue({ notAfter }))
        assert.strictEqual(error._tag, "GrantExpired")
      }
      assert.match((yield* Effect.flip(issue({ notAfter: now - 60 }))).message, /ended 60 seconds ago/)
    })))
})

describe("the keys of access tokens of ours", () => {
  it.effect("overlap while they rotate, and those taken away end their tokens (#77)", () =>
    inTest(Effect.gen(function*() {
      const keys = yield* SigningKeys
      const old = (yield* issue()).token
      yield* verify(old)
      yield* keys.reload(ring(two, one))
      const next = (yield* issue()).token
      assert.strictEqual(decodeProtectedHeader(Redacted.value(next)).kid, "two")
      yield* verify(old)
      yield* verify(next)
      yield* keys.reload(ring(two))
      assert.strictEqual((yield* Effect.flip(verify(old)))._tag, "UnknownKey")
      yield* verify(next)
    })))

  it.effect("of another server do not fit", () =>
    Effect.gen(function*() {
      const foreign = yield* inTest(issue(), { signingKeys: ring({ ...two, kid: "one" }) })
      const error = yield* inTest(Effect.flip(verify(foreign.token)))
      assert.strictEqual(error._tag, "InvalidSignature")
    }))
})

describe("what is no access token of ours (#19, #20)", () => {
  for (const purpose of purposes) {
    it.effect(`a text sealed as ${purpose}`, () =>
      inTest(Effect.gen(function*() {
        const { token } = yield* issue()
        const sealed = yield* Effect.flatMap(Sealed, (sealed) => sealed.seal(purpose, Redacted.value(token)))
        const error = yield* Effect.flip(verify(Redacted.make(sealed)))
        assert.strictEqual(error._tag, "MalformedToken")
      })))
  }
})
