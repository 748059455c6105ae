import { assert, describe, it } from "@effect/vitest"
import { Effect, Schema } from "effect"
import { TestClock } from "effect/testing"
import { algorithms } from "../../src/config/Algorithm.ts"
import { TokenError, type TokenRefused } from "../../src/token/TokenError.ts"
import { audience, issuer, makeKey, now, verifierLayer, type VerifierSetup, verify } from "./TestIssuer.ts"

const key = makeKey("ES256", "key-1")
const stranger = makeKey("ES256", "key-1")
const unpublished = makeKey("ES256", "key-2")
const other = "https://other.okta.com/oauth2/default"

const inTest = <A, E, R>(
  effect: Effect.Effect<A, E, R>,
  setup: VerifierSetup = {},
  keys: ReadonlyArray<object> = [key.published]
) =>
  Effect.andThen(
    TestClock.setTime(now * 1000),
    Effect.provide(effect, verifierLayer({ keys }, { ...setup, settings: { algorithms: "ES256", ...setup.settings } }))
  )

const tokenFor = (claims: object) => key.token(claims)
const longSecret = "x".repeat(9000)

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
  { expected: issuer, actual },
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

describe("a token is accepted", () => {
  const good: ReadonlyArray<readonly [what: string, token: string]> = [
    ["as Okta issues it", key.token()],
    ...["JWT", "jwt", "at+jwt", "AT+JWT", "application/at+jwt"].map((typ) =>
      [`of the type ${typ}`, key.token({}, { typ })] as const
    ),
    ["for several audiences, ours among them", key.token({ aud: ["api://other", audience] })],
    ["a moment before its end, and the tolerance", key.token({ iat: now - 3600, exp: now - 29 })],
    ["at its beginning, less the tolerance", key.token({ nbf: now + 30, iat: now + 30 })],
    ["with the longest lifetime", key.token({ exp: now + 86_400 })],
    [
      "with claims of the administrator's",
      key.token({ "https://acme.com/role": { admin: [true] }, groups: "everyone" })
    ],
    [
      "with a claim named __proto__",
      key.signText(
        "{\"alg\":\"ES256\",\"kid\":\"key-1\"}",
        JSON.stringify({ iss: issuer, aud: audience, sub: "ada", iat: now, exp: now + 60 }).replace(
          "{",
          "{\"__proto__\":{},"
        )
      )
    ]
  ]
  for (const [what, token] of good) {
    it.effect(what, () => inTest(Effect.asVoid(verify(token))))
  }

  it.effect("and its claims given, without the token itself", () =>
    inTest(Effect.gen(function*() {
      const verified = yield* verify(key.token({ role: "admin" }))
      assert.deepStrictEqual(Object.keys(verified).sort(), ["claims", "principal"])
      assert.strictEqual(verified.claims.sub, "ada@example.com")
      assert.strictEqual(verified.claims["role"], "admin")
      assert.notInclude(JSON.stringify(verified), key.token().split(".")[2] ?? "")
    })))
})

describe("the settings of the verifier", () => {
  const outcome = (token: string) =>
    Effect.match(verify(token), { onFailure: ({ _tag }) => _tag, onSuccess: () => "accepted" })
  const outcomes = (tokens: ReadonlyArray<string>) => Effect.forEach(tokens, outcome)

  it.effect("several audiences: one of them is enough", () =>
    inTest(
      Effect.gen(function*() {
        const tokens = ["api://a", "api://b", ["api://b", "api://c"], "api://c", ["api://c"]].map((aud) =>
          key.token({ aud })
        )
        assert.deepStrictEqual(yield* outcomes(tokens), [
          "accepted",
          "accepted",
          "accepted",
          "InvalidAudience",
          "InvalidAudience"
        ])
      }),
      { settings: { audience: ["api://a", "api://b"] } }
    ))

  it.effect("the client id as audience", () =>
    inTest(
      Effect.gen(function*() {
        assert.deepStrictEqual(yield* outcomes([key.token({ aud: "0oa1client" }), key.token()]), [
          "accepted",
          "InvalidAudience"
        ])
      }),
      { settings: { audience: "0oa1client" } }
    ))

  it.effect("allowedClients: by cid, or client_id of RFC 9068 tokens", () =>
    inTest(
      Effect.gen(function*() {
        const tokens = [
          key.token(),
          key.token({ cid: undefined, client_id: "0oa2client" }),
          key.token({ cid: "0oa3client" }),
          key.token({ cid: "0oa1clientX" }),
          key.token({ cid: undefined })
        ]
        assert.deepStrictEqual(yield* outcomes(tokens), [
          "accepted",
          "accepted",
          "ClientNotAllowed",
          "ClientNotAllowed",
          "ClientNotAllowed"
        ])
        const errors = yield* Effect.forEach(tokens.slice(2), (token) => Effect.flip(verify(token)))
        assert.deepStrictEqual(errors.map(({ message }) => message), [
          "The token was issued to \"0oa3client\", but only \"0oa1client\" or \"0oa2client\" may call this server. Add the " +
          "client to `allowedClients`.",
          "The token was issued to \"0oa1clientX\", but only \"0oa1client\" or \"0oa2client\" may call this server. Add the " +
          "client to `allowedClients`.",
          "The token was issued to no client, but only \"0oa1client\" or \"0oa2client\" may call this server. Add the client " +
          "to `allowedClients`."
        ])
      }),
      { settings: { allowedClients: ["0oa1client", "0oa2client"] } }
    ))

  it.effect("maxTokenLifetime: from iat to exp, to the second", () =>
    inTest(
      Effect.gen(function*() {
        const tokens = [[now, now + 600], [now, now + 601], [now - 500, now + 101], [now - 500, now + 100]].map(
          ([iat, exp]) => key.token({ iat, exp })
        )
        assert.deepStrictEqual(yield* outcomes(tokens), ["accepted", "InvalidClaim", "InvalidClaim", "accepted"])
      }),
      { settings: { maxTokenLifetime: "10 minutes" } }
    ))

  it.effect("maxTokenLength: to the character", () =>
    inTest(
      Effect.gen(function*() {
        const token = key.token()
        const longer = key.token({ jti: "AT.1234" })
        assert.isAtMost(token.length, 500)
        assert.isAbove(longer.length, token.length)
        const exact = token.length
        yield* Effect.gen(function*() {
          assert.deepStrictEqual(yield* outcomes([token, longer]), ["accepted", "MalformedToken"])
        }).pipe(Effect.provide(
          verifierLayer({ keys: [key.published] }, { settings: { algorithms: "ES256", maxTokenLength: exact } })
        ))
      })
    ))

  it.effect("clockTolerance: exact at its boundaries, for each time", () =>
    inTest(
      Effect.gen(function*() {
        const tokens = [
          { iat: now - 60, exp: now - 5 },
          { iat: now - 60, exp: now - 4 },
          { nbf: now + 5 },
          { nbf: now + 6 },
          { iat: now + 5 },
          { iat: now + 6 }
        ].map((claims) => key.token(claims))
        assert.deepStrictEqual(yield* outcomes(tokens), [
          "TokenExpired",
          "accepted",
          "accepted",
          "TokenNotYetValid",
          "accepted",
          "TokenNotYetValid"
        ])
      }),
      { settings: { clockTolerance: "5 seconds" } }
    ))

  it.effect("no clockTolerance at all", () =>
    inTest(
      Effect.gen(function*() {
        const tokens = [{ iat: now - 60, exp: now }, { exp: now + 1 }, { nbf: now, iat: now }, { nbf: now + 1 }]
          .map((claims) => key.token(claims))
        assert.deepStrictEqual(yield* outcomes(tokens), ["TokenExpired", "accepted", "accepted", "TokenNotYetValid"])
        yield* TestClock.setTime(now * 1000 + 999)
        assert.strictEqual(yield* outcome(key.token({ exp: now + 1 })), "accepted")
        yield* TestClock.setTime(now * 1000 + 1000)
        assert.strictEqual(yield* outcome(key.token({ exp: now + 1 })), "TokenExpired")
      }),
      { settings: { clockTolerance: 0 } }
    ))

  describe("accept: \"id-token\"", () => {
    const idToken = (claims: object = {}, header: object = {}) =>
      key.token({
        aud: "0oa1client",
        sub: "00u1ada",
        cid: undefined,
        uid: undefined,
        scp: undefined,
        nonce: "n-0S6_WzA2Mj",
        at_hash: "77QmUPtjPfzWtF2AnpK9RQ",
        preferred_username: "ada@example.com",
        email: "ada@example.com",
        amr: ["pwd", "mfa"],
        ...claims
      }, header)

    it.effect("accepts an ID token meant for the client, and says who it is about", () =>
      inTest(
        Effect.gen(function*() {
          const { principal } = yield* verify(idToken())
          assert.deepStrictEqual(principal, {
            _tag: "User",
            subject: "00u1ada",
            username: "ada@example.com",
            email: "ada@example.com",
            groups: [],
            scopes: [],
            amr: ["pwd", "mfa"]
          })
        }),
        { accept: "id-token", settings: { audience: "0oa1client" } }
      ))

    it.effect("refuses another client's, other types, and what is wrong with any token", () =>
      inTest(
        Effect.gen(function*() {
          const tokens = [
            idToken({ aud: "0oa2client" }),
            idToken({}, { typ: "at+jwt" }),
            idToken({}, { typ: "JWT" }),
            idToken({ exp: now - 60, iat: now - 600 }),
            idToken({ iss: other })
          ]
          assert.deepStrictEqual(yield* outcomes(tokens), [
            "InvalidAudience",
            "WrongTokenType",
            "accepted",
            "TokenExpired",
            "InvalidIssuer"
          ])
        }),
        { accept: "id-token", settings: { audience: "0oa1client" } }
      ))

    it.effect("is not the default: the same token is refused", () =>
      inTest(
        Effect.gen(function*() {
          assert.deepStrictEqual(yield* outcomes([idToken()]), ["WrongTokenType"])
        }),
        { settings: { audience: "0oa1client" } }
      ))
  })
})

describe("algorithms", () => {
  const keys = algorithms.map((algorithm) => makeKey(algorithm))
  const published = keys.map(({ published }) => published)

  for (const key of keys) {
    it.effect(`${key.algorithm} is accepted when it is asked for, and only then`, () =>
      Effect.gen(function*() {
        yield* inTest(Effect.asVoid(verify(key.token())), { settings: { algorithms: [key.algorithm] } }, published)
        const rest = algorithms.filter((algorithm) => algorithm !== key.algorithm)
        const error = yield* inTest(Effect.flip(verify(key.token())), { settings: { algorithms: rest } }, published)
        assert.strictEqual(error._tag, "UnsupportedAlgorithm")
      }))

    it.effect(`${key.algorithm}: its key takes no token that names another algorithm`, () =>
      inTest(
        Effect.gen(function*() {
          for (const alg of algorithms.filter((algorithm) => algorithm !== key.algorithm)) {
            const error = yield* Effect.flip(verify(key.token({}, { alg })))
            assert.strictEqual(error._tag, "UnsupportedAlgorithm", alg)
          }
        }),
        { settings: { algorithms } },
        published
      ))
  }

  const anyRsa = makeKey("RS256", "any")
  const { alg: _, ...forAnyAlgorithm } = anyRsa.published

  it.effect("a key published for no particular algorithm fits those of its kind", () =>
    inTest(
      Effect.gen(function*() {
        yield* verify(anyRsa.token())
        const relabelled = yield* Effect.flip(verify(anyRsa.token({}, { alg: "PS256" })))
        assert.strictEqual(relabelled._tag, "InvalidSignature")
        const foreign = yield* Effect.flip(verify(anyRsa.token({}, { alg: "ES256" })))
        assert.strictEqual(foreign._tag, "UnsupportedAlgorithm")
      }),
      { settings: { algorithms } },
      [forAnyAlgorithm]
    ))

  it.effect("RS256 alone is accepted unless the settings say otherwise", () =>
    inTest(
      Effect.gen(function*() {
        for (const key of keys) {
          const tag = yield* Effect.match(verify(key.token()), {
            onFailure: ({ _tag }) => _tag,
            onSuccess: () => "accepted"
          })
          assert.strictEqual(tag, key.algorithm === "RS256" ? "accepted" : "UnsupportedAlgorithm", key.algorithm)
        }
      }),
      { settings: { algorithms: undefined } },
      published
    ))
})
