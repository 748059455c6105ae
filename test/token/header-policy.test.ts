import { assert, describe, it } from "@effect/vitest"
import type { Algorithm } from "../../src/config/Algorithm.ts"
import * as HeaderPolicy from "../../src/token/HeaderPolicy.ts"

const accepted: ReadonlyArray<Algorithm> = ["RS256", "ES256"]
const good = { alg: "RS256", kid: "one" }
const proof = { alg: "ES256", typ: "dpop+jwt", jwk: { kty: "EC" } }

const types = [
  undefined,
  "JWT",
  "jwt",
  "at+jwt",
  "AT+JWT",
  "application/at+jwt",
  "Application/At+Jwt",
  "application/jwt",
  "oauth-id-jag+jwt",
  "OAUTH-ID-JAG+JWT",
  "application/oauth-id-jag+jwt",
  "global-token-revocation+jwt",
  "application/Global-Token-Revocation+JWT",
  "logout+jwt",
  "application/LOGOUT+jwt",
  "dpop+jwt",
  "xjwt",
  "jwtx",
  "xat+jwt",
  "at+jwtx",
  "at jwt",
  "xoauth-id-jag+jwt",
  "oauth-id-jag+jwtx",
  "xglobal-token-revocation+jwt",
  "global-token-revocation+jwtx",
  "xlogout+jwt",
  "logout+jwtx",
  "",
  null,
  1,
  true,
  ["jwt"],
  { typ: "jwt" }
]

/** What `typ` may be, for each kind of token. */
const fitting: { readonly [kind in HeaderPolicy.TokenKind]: ReadonlyArray<unknown> } = {
  "access-token": [undefined, "JWT", "jwt", "at+jwt", "AT+JWT", "application/at+jwt", "Application/At+Jwt"],
  "id-token": [undefined, "JWT", "jwt"],
  "id-jag": ["oauth-id-jag+jwt"],
  "global-token-revocation": ["global-token-revocation+jwt", "application/Global-Token-Revocation+JWT"],
  "logout-token": [undefined, "logout+jwt", "application/LOGOUT+jwt"]
}

const named: { readonly [kind in HeaderPolicy.TokenKind]: string } = {
  "access-token": "an access token",
  "id-token": "an ID token",
  "id-jag": "an ID-JAG",
  "global-token-revocation": "a token for global token revocation",
  "logout-token": "a logout token"
}

const kinds = ["access-token", "id-token", "id-jag", "global-token-revocation", "logout-token"] as const

describe("the header of a token", () => {
  for (const kind of kinds) {
    it(`of the kind ${kind} has a type that fits, and no other`, () => {
      for (const typ of types) {
        const header = typ === undefined ? good : { ...good, typ }
        const verdict = HeaderPolicy.check(header, accepted, kind)
        if (fitting[kind].includes(typ)) {
          assert.deepStrictEqual<object>(verdict, { algorithm: "RS256", kid: "one" }, JSON.stringify(typ))
        } else {
          assert("_tag" in verdict && verdict._tag === "WrongTokenType", JSON.stringify(typ))
          assert.strictEqual(verdict.expected, named[kind])
          assert.strictEqual(verdict.actual, `of the type ${typ === undefined ? "absent" : JSON.stringify(typ)}`)
        }
      }
      assert.strictEqual(HeaderPolicy.expected(kind), named[kind])
    })
  }

  it("has an algorithm that is accepted, however it is written", () => {
    for (
      const alg of [
        undefined,
        null,
        "none",
        "None",
        "HS256",
        "rs256",
        "RS512",
        "",
        1,
        ["RS256"],
        { alg: "RS256" },
        "toString"
      ]
    ) {
      const verdict = HeaderPolicy.check({ ...good, alg }, accepted, "access-token")
      assert("_tag" in verdict && verdict._tag === "UnsupportedAlgorithm", JSON.stringify(alg))
      assert.deepStrictEqual([...verdict.expected], [...accepted])
      assert.strictEqual(verdict.actual, alg === undefined ? "absent" : JSON.stringify(alg))
    }
    for (const alg of accepted) {
      assert.deepStrictEqual<object>(HeaderPolicy.check({ ...good, alg }, accepted, "access-token"), {
        algorithm: alg,
        kid: "one"
      })
    }
  })

  it("names its key", () => {
    for (const kid of [undefined, "", null, 1, ["one"], { kid: "one" }]) {
      const verdict = HeaderPolicy.check({ ...good, kid }, accepted, "access-token")
      assert("_tag" in verdict && verdict._tag === "MalformedToken", JSON.stringify(kid))
      assert.include(verdict.message, "names no key (kid)")
    }
  })

  it("brings no key and no rule of its own, whatever its value", () => {
    for (const member of ["crit", "b64", "jwk", "jku", "x5u", "x5c", "x5t", "x5t#S256", "x5t#x"]) {
      for (const value of [undefined, null, false, "", "x", [], {}]) {
        const verdict = HeaderPolicy.check({ ...good, [member]: value }, accepted, "access-token")
        assert("_tag" in verdict && verdict._tag === "MalformedToken", member)
        assert.include(verdict.message, member.startsWith("x5t") ? "a member x5t" : `the member ${member}`)
        if (member === "jwk") continue
        const refusal = HeaderPolicy.checkProof({ ...proof, [member]: value }, accepted)
        assert.strictEqual(refusal, `has the header member ${member.startsWith("x5t") ? "x5t" : member}`)
      }
    }
    const more = { ...good, cty: "x", x5: "x", "a-x5t": "x", JKU: "x" }
    assert.deepStrictEqual<object>(HeaderPolicy.check(more, accepted, "access-token"), {
      algorithm: "RS256",
      kid: "one"
    })
  })
})

describe("the header of a DPoP proof", () => {
  it("has its type, to the letter, an accepted algorithm and a key", () => {
    assert.deepStrictEqual<unknown>(HeaderPolicy.checkProof(proof, accepted), { algorithm: "ES256", jwk: proof.jwk })
    for (const typ of types.filter((typ) => typ !== "dpop+jwt")) {
      assert.strictEqual(
        HeaderPolicy.checkProof({ ...proof, typ }, accepted),
        `is of the type ${typ === undefined ? "absent" : JSON.stringify(typ)}, and not dpop+jwt`
      )
    }
    for (const alg of [undefined, "none", "HS256", "RS512", 1]) {
      assert.strictEqual(
        HeaderPolicy.checkProof({ ...proof, alg }, accepted),
        `is signed by the algorithm ${alg === undefined ? "absent" : JSON.stringify(alg)}`
      )
    }
    const { jwk: _, ...without } = proof
    assert.strictEqual(HeaderPolicy.checkProof(without, accepted), "has no key (jwk) in its header")
    assert.strictEqual(
      HeaderPolicy.checkProof({ ...proof, jwk: undefined }, accepted),
      "has no key (jwk) in its header"
    )
  })
})

it("a value from outside is shown escaped, and its beginning only", () => {
  assert.deepStrictEqual(
    [undefined, null, "a\n\u001b", { a: [1] }, "x".repeat(300)].map(HeaderPolicy.shown),
    ["absent", "null", "\"a\\n\\u001b\"", "{\"a\":[1]}", `"${"x".repeat(199)}`]
  )
})
