import { assert, describe, it } from "@effect/vitest"
import { Effect, Schema } from "effect"
import { TestClock } from "effect/testing"
import { TokenError, type TokenRefused } from "../../src/token/TokenError.ts"
import { audience, inTest as runInTest, issuer, makeKey, now, verifierLayer, verify } from "./TestIssuer.ts"

const key = makeKey("ES256", "key-1")
const stranger = makeKey("ES256", "key-1")
const unpublished = makeKey("ES256", "key-2")
const other = "https://other.okta.com/oauth2/default"

const inTest = <A, E, R>(effect: Effect.Effect<A, E, R>) => runInTest(effect, {}, [key.published])

const tokenFor = (claims: object) => key.token(claims)
const longSecret = "x".repeat(9000)
const long = `other.example/${"x".repeat(300)}`

type Case = readonly [what: string, token: string, tag: TokenRefused["_tag"], fields: object, message: string]

const asIssued = "Send the access token exactly as Okta issued it."
const look = "Look at the claims of the authorization server in Okta under Security, API."
const accessToken = "Send the `access_token` of Okta's token answer, not the `id_token`."

const malformed = (what: string, token: string, reason: string): Case => [
  what,
  token,
  "MalformedToken",
  { reason },
  `The token cannot be read: ${reason}. ${asIssued}`
]

const algorithm = (what: string, alg: unknown, actual: string): Case => [
  what,
  key.token({}, { alg }),
  "UnsupportedAlgorithm",
  { expected: ["ES256"], actual },
  `The token's algorithm is ${actual}, but only "ES256" is accepted. Okta signs with RS256; name other algorithms in the ` +
  "setting `algorithms`."
]

const type = (typ: unknown): Case => [
  `the type ${JSON.stringify(typ)}`,
  key.token({}, { typ }),
  "WrongTokenType",
  { expected: "an access token", actual: `of the type ${JSON.stringify(typ)}` },
  `The token is of the type ${JSON.stringify(typ)}, but an access token is needed. ${accessToken}`
]

const claim = (what: string, claims: object, claim: string, problem: string): Case => [
  what,
  tokenFor(claims),
  "InvalidClaim",
  { claim, problem },
  `The token's claim "${claim}" ${problem}. ${look}`
]

const wrongIssuer = (what: string, iss: unknown, actual: string): Case => [
  what,
  tokenFor({ iss }),
  "InvalidIssuer",
  { expected: [issuer], actual },
  `The token's issuer is ${
    JSON.stringify(actual)
  }, but this server trusts "${issuer}". Sign in at that issuer, or set ` +
  "OKTA_ISSUER to the token's, byte for byte."
]

const wrongAudience = (what: string, aud: unknown, actual: ReadonlyArray<string>, told: string): Case => [
  what,
  tokenFor({ aud }),
  "InvalidAudience",
  { expected: [audience], actual },
  `The token's audience is ${told}, but this server accepts "${audience}". Set the audience of the Okta authorization ` +
  "server to one of these, or set OKTA_AUDIENCE to the token's."
]

const idToken = (name: string): Case => [
  `the ID token's claim ${name}`,
  tokenFor({ [name]: "x" }),
  "WrongTokenType",
  { expected: "an access token", actual: `an ID token (it has the claim ${name})` },
  `The token is an ID token (it has the claim ${name}), but an access token is needed. ${accessToken}`
]

const cases: ReadonlyArray<Case> = [
  malformed("a token that is too long", key.token({ secret: longSecret }), "it is longer than 8192 characters"),
  malformed("no token", "token", "it does not have three parts separated by dots"),
  malformed("padding", `${key.token()}=`, "a part is not canonical base64url"),
  malformed("a header that is no object", key.signText("[]", "{}"), "its header is not a JSON object"),
  malformed("no kid", key.token({}, { kid: undefined }), "its header names no key (kid)"),
  malformed("an empty kid", key.token({}, { kid: "" }), "its header names no key (kid)"),
  malformed("a kid of another type", key.token({}, { kid: ["key-1"] }), "its header names no key (kid)"),
  ...["crit", "b64", "jwk", "jku", "x5u", "x5c"].map((member) =>
    malformed(`the header member ${member}`, key.token({}, { [member]: null }), `its header has the member ${member}`)
  ),
  ...["x5t", "x5t#S256"].map((member) =>
    malformed(`the header member ${member}`, key.token({}, { [member]: "x" }), "its header has a member x5t")
  ),
  ...["null", "[]", "\"text\"", "1", "", "{\"iss\":1,\"iss\":2}", "{\"a\":\"\\ud800\"}"].map((payload) =>
    malformed(
      `the payload ${JSON.stringify(payload)}`,
      key.signText("{\"alg\":\"ES256\",\"kid\":\"key-1\"}", payload === "" ? " " : payload),
      "its payload is not a JSON object of distinct members"
    )
  ),

  algorithm("no algorithm", undefined, "absent"),
  algorithm("no signature", "none", "\"none\""),
  algorithm("a symmetric algorithm", "HS256", "\"HS256\""),
  algorithm("an algorithm that is not asked for", "RS256", "\"RS256\""),
  algorithm("an algorithm in another case", "es256", "\"es256\""),
  algorithm("an algorithm of another type", ["ES256"], "[\"ES256\"]"),

  type("dpop+jwt"),
  type("logout+jwt"),
  type("JWT "),
  type(""),
  type(null),
  type(["JWT"]),

  [
    "a key that is not published",
    unpublished.token(),
    "UnknownKey",
    { issuer, kid: "key-2", known: ["key-1"], claimedIssuer: issuer },
    `The token is signed with the key "key-2", which ${issuer} does not publish. It comes from another authorization ` +
    "server, or its key has been withdrawn: sign in again."
  ],
  [
    "a key of another issuer",
    unpublished.token({ iss: other }),
    "UnknownKey",
    { issuer, kid: "key-2", known: ["key-1"], claimedIssuer: other },
    `The token is signed with the key "key-2", which ${issuer} does not publish. It says that it comes from "${other}": ` +
    "sign in at the configured issuer, or configure the other one."
  ],
  ...[5, undefined, ["x"]].map((iss): Case => [
    `a key that is not published, of the issuer ${JSON.stringify(iss)}`,
    unpublished.token({ iss }),
    "UnknownKey",
    { issuer, kid: "key-2", known: ["key-1"] },
    `The token is signed with the key "key-2", which ${issuer} does not publish. It comes from another authorization ` +
    "server, or its key has been withdrawn: sign in again."
  ]),
  [
    "a key that is not published, of an issuer with a long name",
    unpublished.token({ iss: `https://${long}` }),
    "UnknownKey",
    { issuer, kid: "key-2", known: ["key-1"], claimedIssuer: `https://${long}`.slice(0, 200) },
    `The token is signed with the key "key-2", which ${issuer} does not publish. It says that it comes from ` +
    `"${`https://${long}`.slice(0, 200)}": sign in at the configured issuer, or configure the other one.`
  ],
  [
    "a key of Okta's org server, which is not published at all",
    unpublished.token({ iss: "https://test.okta.com" }),
    "UnknownKey",
    { issuer, kid: "key-2", known: ["key-1"], claimedIssuer: "https://test.okta.com" },
    `The token is signed with the key "key-2", which ${issuer} does not publish. It says that it comes from ` +
    "\"https://test.okta.com\": sign in at the configured issuer, or configure the other one. The access tokens of an " +
    "Okta org server, whose issuer has no path, cannot be verified by anybody but Okta: use a custom authorization " +
    "server, such as the one under /oauth2/default."
  ],
  [
    "somebody else's signature",
    stranger.token(),
    "InvalidSignature",
    { kid: "key-1", algorithm: "ES256" },
    "The token's signature does not fit the key \"key-1\" (ES256). The token was changed on its way or made by somebody " +
    "else: sign in again."
  ],

  wrongIssuer("another issuer", other, other),
  wrongIssuer("a slash behind the issuer", `${issuer}/`, `${issuer}/`),
  wrongIssuer("the issuer in upper case", issuer.toUpperCase(), issuer.toUpperCase()),
  wrongIssuer("no issuer", undefined, "absent"),
  wrongIssuer("the issuer in a list", [issuer], `["${issuer}"]`),

  wrongAudience("another audience", "api://other", ["api://other"], "\"api://other\""),
  wrongAudience("an audience in another case", "API://default", ["API://default"], "\"API://default\""),
  wrongAudience("the beginning of the audience", "api://def", ["api://def"], "\"api://def\""),
  wrongAudience("other audiences", ["api://a", "api://b"], ["api://a", "api://b"], "\"api://a\" or \"api://b\""),
  wrongAudience("an empty list of audiences", [], [], "nothing"),
  wrongAudience("no audience", undefined, [], "nothing"),
  claim("an audience of another type", { aud: 5 }, "aud", "is 5, but must be string | array"),
  claim(
    "an audience in a list of another type",
    { aud: [audience, 5] },
    "aud",
    `is ["${audience}",5], but must be string`
  ),
  claim("an audience in a list in a list", { aud: [[audience]] }, "aud", `is [["${audience}"]], but must be string`),

  claim("no subject", { sub: undefined }, "sub", "is missing"),
  claim("an empty subject", { sub: "" }, "sub", "is \"\", but must be a value with a length of at least 1"),
  claim("a subject of another type", { sub: { a: 1 } }, "sub", "is {\"a\":1}, but must be string"),
  claim("no expiry", { exp: undefined }, "exp", "is missing"),
  claim("an expiry as text", { exp: String(now + 60) }, "exp", `is "${now + 60}", but must be number`),
  claim("an expiry of null", { exp: null }, "exp", "is null, but must be number"),
  claim("a fraction of an expiry", { exp: now + 0.5 }, "exp", `is ${now + 0.5}, but must be an integer`),
  claim("no time of issue", { iat: undefined }, "iat", "is missing"),
  claim("a time of issue as text", { iat: "now" }, "iat", "is \"now\", but must be number"),
  claim("a beginning as text", { nbf: "now" }, "nbf", "is \"now\", but must be number"),
  claim("a client of another type", { cid: 5 }, "cid", "is 5, but must be string"),
  claim(
    "a lifetime of more than a day",
    { exp: now + 86_401 },
    "exp",
    "is 86401 seconds after \"iat\", but `maxTokenLifetime` is 86400 seconds"
  ),

  [
    "an expired token",
    tokenFor({ iat: now - 3600, exp: now - 30 }),
    "TokenExpired",
    { expiredAt: now - 30, now },
    "The token expired 30 seconds ago. Refresh it or sign in again."
  ],
  [
    "a token that expired at the beginning of time",
    tokenFor({ iat: -1, exp: 0 }),
    "TokenExpired",
    { expiredAt: 0, now },
    `The token expired ${now} seconds ago. Refresh it or sign in again.`
  ],
  [
    "a token that is not valid yet",
    tokenFor({ nbf: now + 31 }),
    "TokenNotYetValid",
    { claim: "nbf", validFrom: now + 31, now },
    "The token is valid only 31 seconds from now (nbf). Compare this server's clock with Okta's."
  ],
  [
    "a token of the future",
    tokenFor({ iat: now + 31 }),
    "TokenNotYetValid",
    { claim: "iat", validFrom: now + 31, now },
    "The token is valid only 31 seconds from now (iat). Compare this server's clock with Okta's."
  ],

  idToken("nonce"),
  idToken("at_hash"),
  idToken("c_hash")
]

const isTokenError = Schema.is(TokenError)

describe("a token is refused, with an error that says why and what to do, for", () => {
  for (const [what, token, tag, fields, message] of cases) {
    it.effect(`${what}: ${tag}`, () =>
      inTest(Effect.gen(function*() {
        const error = yield* Effect.flip(verify(token))
        assert.isTrue(isTokenError(error))
        assert.strictEqual(error._tag, tag)
        const { _tag, ...others } = { ...error }
        assert.deepStrictEqual<object>(JSON.parse(JSON.stringify(others)), fields)
        assert.strictEqual(error.message, message)
        if (token.length > 100) assert.notInclude(JSON.stringify(error) + String(error.stack), token)
      })))
  }

  it.effect("a payload whose expiry is beyond all numbers", () =>
    inTest(Effect.gen(function*() {
      const payload = JSON.stringify({ iss: issuer, aud: audience, sub: "ada", iat: now })
      const token = key.signText("{\"alg\":\"ES256\",\"kid\":\"key-1\"}", `${payload.slice(0, -1)},"exp":1e999}`)
      const error = yield* Effect.flip(verify(token))
      assert.strictEqual(error._tag, "InvalidClaim")
    })))

  it.effect("a wrong clock, which the error says", () =>
    Effect.gen(function*() {
      yield* TestClock.setTime(now * 1000)
      const messages = (clockSkew: number, claims: object) =>
        Effect.provide(
          Effect.map(Effect.flip(verify(key.token(claims))), ({ message }) => message),
          verifierLayer({ keys: [key.published], clockSkew }, { settings: { algorithms: "ES256" } })
        )
      assert.strictEqual(
        yield* messages(-600, { iat: now - 4200, exp: now - 600 }),
        "The token expired 600 seconds ago. Refresh it or sign in again. Okta's clock is 600 seconds behind this " +
          "server's: set this server's clock, or raise clockTolerance."
      )
      assert.strictEqual(
        yield* messages(45, { iat: now + 45 }),
        "The token is valid only 45 seconds from now (iat). Compare this server's clock with Okta's. Okta's clock is 45 " +
          "seconds ahead of this server's: set this server's clock, or raise clockTolerance."
      )
    }))
})
