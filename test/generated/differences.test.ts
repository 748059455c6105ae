import { assert, describe, it } from "@effect/vitest"
import type { TokenError } from "../../src/token/TokenError.ts"
import { isAccepted } from "../token/Asking.ts"
import { audience, goodClaims, now } from "../token/TestIssuer.ts"
import * as Differential from "./Differential.ts"

const es256 = Differential.keyOf("ES256")
const header = { alg: "ES256", kid: "ES256" }
const claims = JSON.stringify(goodClaims)

const [first = "", second = "", third = ""] = es256.token().split(".")
const signed = (payload: string | Uint8Array, members: object = header) =>
  es256.signText(JSON.stringify(members), payload)

/** The same bytes with a stray bit at the end: a signature of 64 bytes leaves four of its last character's bits unused. */
const alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
const stray = third.slice(0, -1) + alphabet.charAt(alphabet.indexOf(third.slice(-1)) + 1)

const nested = (depth: number): string => "[".repeat(depth) + "]".repeat(depth)

type Accepting = "both" | "jose" | "aws-jwt-verify"

/** What is refused here and accepted by others: what it is, how it is refused, and who accepts it. */
const stricter: ReadonlyArray<readonly [what: string, token: string, refusal: TokenError["_tag"], Accepting]> = [
  ["stray bits at the end of a part", `${first}.${second}.${stray}`, "MalformedToken", "both"],
  ["padding behind a part", `${first}.${second}.${third}==`, "MalformedToken", "both"],
  ["a token longer than 8 KiB", es256.token({ pad: "x".repeat(8192) }), "MalformedToken", "both"],
  ["a header that brings its own key", es256.token({}, { jwk: es256.published }), "MalformedToken", "both"],
  ["a header that says where keys are", es256.token({}, { jku: "https://evil.example/" }), "MalformedToken", "both"],
  ["a header with certificates", es256.token({}, { x5c: ["MIIB"] }), "MalformedToken", "both"],
  ["a header with a certificate's hash", es256.token({}, { "x5t#S256": "x" }), "MalformedToken", "both"],
  ["a critical extension", es256.token({}, { crit: ["exp"], exp: 1 }), "MalformedToken", "aws-jwt-verify"],
  ["another type of token", es256.token({}, { typ: "dpop+jwt" }), "WrongTokenType", "both"],
  ["no key named", es256.token({}, { kid: undefined }), "MalformedToken", "jose"],
  ["an ID token", es256.token({ nonce: "n" }), "WrongTokenType", "both"],
  ["a member twice", signed(claims.replace("{", "{\"sub\":\"eve@example.com\",")), "MalformedToken", "both"],
  [
    "a header member twice",
    es256.signText("{\"alg\":\"none\",\"alg\":\"ES256\",\"kid\":\"ES256\"}", claims),
    "MalformedToken",
    "both"
  ],
  ["a byte order mark", signed(`\ufeff${claims}`), "MalformedToken", "jose"],
  [
    "bytes that are no UTF-8",
    signed(Buffer.from(claims.replace("ada@", "ad\u00e1@"), "latin1")),
    "MalformedToken",
    "aws-jwt-verify"
  ],
  ["half a character", signed(claims.replace("ada@", "ad\\ud800@")), "MalformedToken", "both"],
  ["claims nested 33 deep", signed(claims.replace("{", `{"deep":${nested(32)},`)), "MalformedToken", "both"],
  ["no time of issue", es256.token({ iat: undefined }), "InvalidClaim", "aws-jwt-verify"],
  ["no end", es256.token({ exp: undefined }), "InvalidClaim", "aws-jwt-verify"],
  ["nobody", es256.token({ sub: undefined }), "InvalidClaim", "aws-jwt-verify"],
  ["an empty subject", es256.token({ sub: "" }), "InvalidClaim", "both"],
  ["a subject that is no text", es256.token({ sub: 7 }), "InvalidClaim", "jose"],
  ["an end that is no whole number", es256.token({ exp: now + 60.5 }), "InvalidClaim", "both"],
  ["an audience of texts and others", es256.token({ aud: [audience, 5] }), "InvalidClaim", "jose"],
  ["an id that is no text", es256.token({ jti: 7 }), "InvalidClaim", "jose"],
  ["a client that is no text", es256.token({ cid: 7 }), "InvalidClaim", "both"],
  ["a time of issue yet to come", es256.token({ iat: now + 60, exp: now + 120 }), "TokenNotYetValid", "both"],
  ["a lifetime of more than a day", es256.token({ exp: now + 86_401 }), "InvalidClaim", "both"],
  [
    "an end that is as long ago as the tolerance",
    es256.token({ iat: now - 90, exp: now - 30 }),
    "TokenExpired",
    "aws-jwt-verify"
  ]
]

describe("differences from jose and aws-jwt-verify", () => {
  for (const [what, token, refusal, accepting] of stricter) {
    it.effect(`${what} is refused here and accepted by ${accepting}`, () =>
      Differential.ask(async (ask) => {
        const verdict = await ask(token)
        assert.strictEqual(isAccepted(verdict) ? "accepted" : verdict._tag, refusal)
        const others = [
          ...await Differential.joseAccepts(token) ? ["jose"] : [],
          ...Differential.awsAccepts(token) ? ["aws-jwt-verify"] : []
        ]
        assert.deepStrictEqual(others, accepting === "both" ? ["jose", "aws-jwt-verify"] : [accepting])
      }))
  }

  it.effect("a scope that is no text is no scope here, and refused by aws-jwt-verify", () =>
    Differential.ask(async (ask) => {
      const token = es256.token({ scp: undefined, scope: 7 })
      const verdict = await ask(token)
      assert(isAccepted(verdict))
      assert.deepStrictEqual(verdict.principal.scopes, [])
      assert.isTrue(await Differential.joseAccepts(token))
      assert.isFalse(Differential.awsAccepts(token))
    }))

  it.effect("a good token of every algorithm is accepted by all who know it", () =>
    Differential.ask(async (ask) => {
      for (const { algorithm, token } of Differential.keys) {
        assert.isTrue(isAccepted(await ask(token())), algorithm)
        assert.isTrue(await Differential.joseAccepts(token()), algorithm)
        assert.strictEqual(Differential.awsAccepts(token()), !Differential.isUnknownToAws(algorithm), algorithm)
      }
    }))
})

it("a stray bit makes another text of the same signature", () => {
  assert.notStrictEqual(stray, third)
  assert.isTrue(Buffer.from(stray, "base64url").equals(Buffer.from(third, "base64url")))
})
