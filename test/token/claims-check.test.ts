import { assert, describe, it } from "@effect/vitest"
import * as ClaimsCheck from "../../src/token/ClaimsCheck.ts"
import * as HeaderPolicy from "../../src/token/HeaderPolicy.ts"
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

  it("are quoted in part: 200 characters of each, of audiences the first 10", () => {
    assert.strictEqual(refusal({ iss: long })["actual"], long.slice(0, 200))
    assert.strictEqual(refusal({ iss: [long] })["actual"], `["${long.slice(0, 198)}`)
    assert.deepStrictEqual(refusal({ aud: long })["actual"], [long.slice(0, 200)])
    assert.deepStrictEqual(
      refusal({ aud: Array.from({ length: 12 }, () => long) })["actual"],
      Array.from({ length: 10 }, () => long.slice(0, 200))
    )
  })

  it("of a token without a client are refused where clients are listed", () => {
    const { clientId, ...error } = refusal({ cid: undefined }, { allowedClients: ["0oa1client"] })
    assert.strictEqual(error["_tag"], "ClientNotAllowed")
    assert.isUndefined(clientId)
  })
})

describe("headers", () => {
  const check = (typ: string, kind: "access-token" | "id-token") =>
    HeaderPolicy.check({ alg: "ES256", kid: "a", typ }, ["ES256"], kind)

  it("have the whole type of what is wanted, in whatever case", () => {
    const types = ["JWT", "jwt", "at+jwt", "application/at+jwt", "jwt+x", "xjwt", "at+jwtx", "application/jwt"]
    const accepted = (kind: "access-token" | "id-token") => types.filter((typ) => !(check(typ, kind) instanceof Error))
    assert.deepStrictEqual(accepted("access-token"), ["JWT", "jwt", "at+jwt", "application/at+jwt"])
    assert.deepStrictEqual(accepted("id-token"), ["JWT", "jwt"])
  })

  it("are quoted in part, and their kind in words", () => {
    const checked = HeaderPolicy.check({ alg: long }, ["ES256"], "id-token")
    assert.strictEqual(fieldsOf(checked)["actual"], `"${long.slice(0, 199)}`)
    assert.deepStrictEqual([HeaderPolicy.expected("access-token"), HeaderPolicy.expected("id-token")], [
      "an access token",
      "an ID token"
    ])
  })
})
