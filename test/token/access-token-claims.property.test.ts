import { assert, describe, it } from "@effect/vitest"
import { Schema } from "effect"
import * as fc from "fast-check"
import { isAccessTokenClaims, RequiredClaims } from "../../src/token/AccessTokenClaims.ts"

const bySchema = Schema.is(RequiredClaims)

const good = {
  iss: "https://acme.okta.com/oauth2/default",
  aud: "api://default",
  sub: "ada@example.com",
  exp: 1_800_000_000,
  iat: 1_799_996_400,
  nbf: 1_799_996_400,
  jti: "AT.1",
  cid: "0oa1client",
  client_id: "0oa1client",
  uid: "00u1ada"
}

const odd = fc.oneof(
  fc.jsonValue(),
  fc.constantFrom<unknown>("", 0, -0, -1, 1.5, Infinity, 2 ** 53, -(2 ** 53), NaN, true, null, {}, [], [""], ["a", 1], [
    [
      "a"
    ]
  ]),
  fc.array(fc.oneof(fc.string(), fc.integer()))
)

describe("the required claims", () => {
  it("are told by the plain words exactly as by the schema", () => {
    let accepted = 0
    fc.assert(
      fc.property(
        fc.dictionary(fc.constantFrom(...Object.keys(good), "scp"), odd, { maxKeys: 3 }),
        fc.subarray(Object.keys(good), { maxLength: 2 }),
        (changes, missing) => {
          const claims = Object.fromEntries(
            Object.entries({ ...good, ...changes }).filter(([claim]) => !missing.includes(claim))
          )
          const expected = bySchema(claims)
          if (expected) accepted++
          assert.strictEqual(isAccessTokenClaims(claims), expected, JSON.stringify(claims))
        }
      ),
      { numRuns: 20_000 }
    )
    assert.isAbove(accepted, 1000)
  })
})
