import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import { OktaConfig } from "../../src/config/OktaConfig.ts"
import * as ClaimsCheck from "../../src/token/ClaimsCheck.ts"
import * as HeaderPolicy from "../../src/token/HeaderPolicy.ts"
import { configLayer } from "../proxy/ProxyTest.ts"
import { audience, goodClaims, issuer, now } from "./TestIssuer.ts"

const rules: ClaimsCheck.ClaimRules = {
  issuer,
  audience: [audience],
  clockTolerance: 30,
  maxTokenLifetime: 86_400,
  allowedClients: undefined,
  kind: "access-token"
}
const { cid: _, scp: _1, uid: _2, ...person } = goodClaims
const long = "x".repeat(300)

/** The fields of an error. */
const fieldsOf = (checked: unknown): Readonly<Record<string, unknown>> =>
  checked instanceof Error ? { ...checked } : assert.fail("accepted")

const refusal = (claims: object, changes: Partial<ClaimsCheck.ClaimRules> = {}) =>
  fieldsOf(ClaimsCheck.check({ ...goodClaims, ...claims }, { ...rules, ...changes }, now))

describe("claims", () => {
  it("of an ID token are accepted where one is wanted, and of no access token there", () => {
    assert.deepStrictEqual<unknown>(ClaimsCheck.check(person, { ...rules, kind: "id-token" }, now), person)
    for (const claim of ["cid", "scp"]) {
      const claims = { ...person, [claim]: goodClaims[claim === "cid" ? "cid" : "scp"] }
      const checked = ClaimsCheck.check(claims, { ...rules, kind: "id-token" }, now)
      assert.deepInclude(fieldsOf(checked), {
        _tag: "WrongTokenType",
        expected: "an ID token",
        actual: `an access token (it has the claim ${claim})`
      })
    }
  })

  it("of a security event are those of no access token", () => {
    const { _tag, actual } = refusal({ events: {} })
    assert.deepStrictEqual([_tag, actual], ["WrongTokenType", "a security event (it has the claim events)"])
  })

  it("are quoted in part: 200 characters of each, of audiences the first 10", () => {
    assert.strictEqual(refusal({ iss: long })["actual"], long.slice(0, 200))
    assert.strictEqual(refusal({ iss: [long] })["actual"], `["${long.slice(0, 198)}`)
    assert.deepStrictEqual(refusal({ aud: long })["actual"], [long.slice(0, 200)])
    assert.deepStrictEqual(
      refusal({ aud: Array.from({ length: 12 }, () => long) })["actual"],
      Array.from({ length: 10 }, () => long.slice(0, 200))
    )
  })

  it.effect("are for nobody where the settings name no audience", () =>
    Effect.gen(function*() {
      const settings = yield* Effect.provide(OktaConfig, configLayer())
      const claims = { ...goodClaims, iss: settings.issuer }
      const { _tag, expected } = fieldsOf(ClaimsCheck.check(claims, ClaimsCheck.rulesOf(settings, "access-token"), now))
      assert.deepStrictEqual([_tag, expected], ["InvalidAudience", []])
    }))

  it("of a token without a client are refused where clients are listed", () => {
    const { clientId, ...error } = refusal({ cid: undefined }, { allowedClients: ["0oa1client"] })
    assert.strictEqual(error["_tag"], "ClientNotAllowed")
    assert.isUndefined(clientId)
  })
})

describe("headers", () => {
  /** Which of these types a kind of token may be of; `undefined` is none at all. */
  const accepted = (kind: HeaderPolicy.TokenKind) =>
    types.filter((typ) => {
      const header = { alg: "ES256", kid: "a", ...(typ === undefined ? undefined : { typ }) }
      return !(HeaderPolicy.check(header, ["ES256"], kind) instanceof Error)
    })
  const names = ["JWT", "at+jwt", "oauth-id-jag+jwt", "global-token-revocation+jwt", "logout+jwt"]
  const types = [
    undefined,
    "jwt",
    "OAuth-ID-JAG+jwt",
    ...names.flatMap((name) => [name, `application/${name}`, `x${name}`, `${name}x`, `text/${name}`])
  ]

  const kinds: ReadonlyArray<readonly [HeaderPolicy.TokenKind, ReadonlyArray<string | undefined>]> = [
    ["access-token", [undefined, "jwt", "JWT", "at+jwt", "application/at+jwt"]],
    ["id-token", [undefined, "jwt", "JWT"]],
    ["id-jag", ["oauth-id-jag+jwt"]],
    ["global-token-revocation", ["global-token-revocation+jwt", "application/global-token-revocation+jwt"]],
    ["logout-token", [undefined, "logout+jwt", "application/logout+jwt"]]
  ]
  for (const [kind, expected] of kinds) {
    it(`of the kind ${kind} have its whole type and no other`, () => assert.deepStrictEqual(accepted(kind), expected))
  }

  it("are quoted in part, and their kind in words", () => {
    const checked = HeaderPolicy.check({ alg: long }, ["ES256"], "id-token")
    assert.strictEqual(fieldsOf(checked)["actual"], `"${long.slice(0, 199)}`)
    assert.deepStrictEqual(kinds.map(([kind]) => HeaderPolicy.expected(kind)), [
      "an access token",
      "an ID token",
      "an ID-JAG",
      "a token for global token revocation",
      "a logout token"
    ])
  })

  const jwk = { kty: "EC" }
  const proofs: ReadonlyArray<readonly [what: string, header: Record<string, unknown>, expected: unknown]> = [
    ["all that is needed", {}, { algorithm: "ES256", jwk }],
    ["another type", { typ: "jwt" }, "is of the type \"jwt\", and not dpop+jwt"],
    ["no type", { typ: undefined }, "is of the type absent, and not dpop+jwt"],
    ["an algorithm that is not accepted", { alg: "RS256" }, "is signed by the algorithm \"RS256\""],
    ["an algorithm that is none", { alg: "none" }, "is signed by the algorithm \"none\""],
    ["a key elsewhere", { jku: "https://evil.example" }, "has the header member jku"],
    ["a certificate's hash", { "x5t#S256": "x" }, "has the header member x5t"],
    ["no key", { jwk: undefined }, "has no key (jwk) in its header"]
  ]
  for (const [what, header, expected] of proofs) {
    it(`of a proof of possession with ${what}`, () => {
      const whole = { typ: "dpop+jwt", alg: "ES256", jwk, ...header }
      assert.deepStrictEqual<unknown>(HeaderPolicy.checkProof(whole, ["ES256"]), expected)
    })
  }
})
