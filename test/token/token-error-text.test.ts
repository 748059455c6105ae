import { assert, describe, it } from "@effect/vitest"
import { Schema } from "effect"
import { InvalidPolicy } from "../../src/resource/Policy.ts"
import { AccessDenied, InsufficientAuthentication, InsufficientScope } from "../../src/resource/PolicyRefusal.ts"
import { ForbiddenOrigin } from "../../src/resource/RequestOrigin.ts"
import * as Errors from "../../src/token/TokenError.ts"

it("messages quote what a token says so that it can be logged as it stands", () => {
  for (const text of ["\u009b2J", "\u202eevil", "a\u2028b", "a\u2029b", "\u007f", "\u001b[2J", "a\r\nb", "\u{e0041}"]) {
    const errors = [
      new Errors.MalformedToken({ reason: text }),
      new Errors.UnsupportedAlgorithm({ expected: [text], actual: text }),
      new Errors.WrongTokenType({ expected: text, actual: text }),
      new Errors.InvalidSignature({ kid: text, algorithm: text }),
      new Errors.InvalidIssuer({ expected: [text], actual: text }),
      new Errors.InvalidAudience({ expected: [text], actual: [text] }),
      new Errors.InvalidClaim({ claim: text, problem: text }),
      new Errors.ClientNotAllowed({ allowed: [text], clientId: text }),
      new InsufficientScope({ required: [text], missing: [text], granted: [] }),
      new InsufficientAuthentication({ acrValues: [text], required: [], acr: text }),
      new AccessDenied({ reason: text }),
      new InvalidPolicy({ field: text, value: text, problem: text }),
      new ForbiddenOrigin({ header: "origin", actual: text })
    ]
    for (const { _tag, message } of errors) {
      assert.notMatch(message, /[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]/u, _tag)
      assert.match(message, /\\/, _tag)
    }
  }
})

const issuer = "https://acme.okta.com/oauth2/default"
const away = { issuer, reason: "it answered 500." }
const sendRight = (right: string, wrong: string) =>
  `Send the \`${right}\` of Okta's token answer, not the \`${wrong}\`.`

type Case = readonly [tag: Errors.TokenError["_tag"], error: Errors.TokenError, end: string]

const wrongType = (expected: string, end: string): Case => [
  "WrongTokenType",
  new Errors.WrongTokenType({ expected, actual: "a text" }),
  `but ${expected} is needed.${end}`
]
const lateBy = (seconds: number, end: string, clockSkew?: number): Case => [
  "TokenExpired",
  new Errors.TokenExpired({ expiredAt: 1000, now: 1000 + seconds, ...(clockSkew === undefined ? {} : { clockSkew }) }),
  end
]

const refused: ReadonlyArray<Case> = [
  [
    "MalformedToken",
    new Errors.MalformedToken({ reason: "it is empty" }),
    "cannot be read: it is empty. Send the access " +
    "token exactly as Okta issued it."
  ],
  [
    "UnsupportedAlgorithm",
    new Errors.UnsupportedAlgorithm({ expected: ["RS256", "ES256"], actual: "absent" }),
    "is absent, but only \"RS256\" or \"ES256\" is accepted. Okta signs with RS256; name other algorithms in the setting " +
    "`algorithms`."
  ],
  [
    "UnknownKey",
    new Errors.UnknownKey({ issuer, kid: "a", known: [] }),
    "or its key has been withdrawn: sign in again."
  ],
  [
    "InvalidSignature",
    new Errors.InvalidSignature({ kid: "a", algorithm: "RS256" }),
    "made by somebody else: sign in again."
  ],
  [
    "InvalidIssuer",
    new Errors.InvalidIssuer({ expected: [issuer], actual: "x" }),
    "Sign in at that issuer, or set OKTA_ISSUER to the token's, byte for byte."
  ],
  [
    "InvalidIssuer",
    new Errors.InvalidIssuer({ expected: [issuer, "b"], actual: "x" }),
    `trusts "${issuer}" or "b". Sign in at one of them, or add the token's to the option issuers, byte for byte.`
  ],
  [
    "InvalidIssuer",
    new Errors.InvalidIssuer({ expected: [issuer], actual: "x", ownToken: true }),
    "another server with the same signingKeys. The client has to have the person sign in again."
  ],
  [
    "InvalidAudience",
    new Errors.InvalidAudience({ expected: ["a", "b"], actual: [] }),
    "is nothing, but this server accepts \"a\" or \"b\". Set the audience of the Okta authorization server to one of these, " +
    "or set OKTA_AUDIENCE to the token's."
  ],
  [
    "InvalidAudience",
    new Errors.InvalidAudience({ expected: ["a"], actual: ["c"], ownToken: true }),
    "is \"c\", but this server accepts \"a\". The client has to name the resource that it wants to use when it signs a person " +
    "in (RFC 8707)."
  ],
  lateBy(1.9, "expired 1 second ago. Refresh it or sign in again."),
  lateBy(2, "expired 2 seconds ago. Refresh it or sign in again.", 1999),
  lateBy(
    0.5,
    "expired 0 seconds ago. Refresh it or sign in again. Okta's clock is 2 seconds ahead of this server's: set this " +
      "server's clock, or raise clockTolerance.",
    2000
  ),
  [
    "TokenNotYetValid",
    new Errors.TokenNotYetValid({ claim: "nbf", validFrom: 2, now: 1.5 }),
    "only 1 second from now (nbf). Compare this server's clock with Okta's."
  ],
  [
    "TokenNotYetValid",
    new Errors.TokenNotYetValid({ claim: "iat", validFrom: 61, now: 1, clockSkew: -60_000 }),
    "only 60 seconds from now (iat). Compare this server's clock with Okta's. Okta's clock is 60 seconds behind this " +
    "server's: set this server's clock, or raise clockTolerance."
  ],
  [
    "InvalidClaim",
    new Errors.InvalidClaim({ claim: "sub", problem: "is missing" }),
    "\"sub\" is missing. Look at the claims of the authorization server in Okta under Security, API."
  ],
  [
    "InvalidClaim",
    new Errors.InvalidClaim({ claim: "sid", problem: "names a grant that has ended", ownToken: true }),
    "has ended. The client has to refresh its tokens, or have the person sign in again."
  ],
  wrongType("an access token", ` ${sendRight("access_token", "id_token")}`),
  wrongType("an ID token", ` ${sendRight("id_token", "access_token")}`),
  wrongType("an ID-JAG", ""),
  [
    "ClientNotAllowed",
    new Errors.ClientNotAllowed({ allowed: ["a", "b"], clientId: "c" }),
    "issued to \"c\", but only \"a\" or \"b\" may call this server. Add the client to `allowedClients`."
  ],
  [
    "ClientNotAllowed",
    new Errors.ClientNotAllowed({ allowed: ["a"] }),
    "issued to no client, but only \"a\" may call this server. Add the client to `allowedClients`."
  ],
  [
    "TokenInactive",
    new Errors.TokenInactive({ issuer }),
    `${issuer} says that the token is not active: it was revoked, has ended, or was never one of this authorization ` +
    "server's. The client has to refresh it, or have the person sign in again."
  ]
]

const undecided: ReadonlyArray<Case> = [
  ["DiscoveryFailed", new Errors.DiscoveryFailed(away), "and that this server can reach it."],
  ["KeysUnavailable", new Errors.KeysUnavailable(away), "check that this server can reach it."],
  [
    "IntrospectionUnavailable",
    new Errors.IntrospectionUnavailable({ ...away, retryAfter: 1000 }),
    "about a token: it answered 500. Check the credentials of the option introspection, and that this server can reach Okta."
  ]
]

const isError = Schema.is(Errors.TokenError)
const isRefused = Schema.is(Errors.TokenRefused)
const isUndecided = Schema.is(Errors.VerificationUnavailable)

describe("an error says what is wrong and what to do", () => {
  for (const [tag, error, end] of [...refused, ...undecided]) {
    it(`${tag}: ${end}`, () => {
      assert.strictEqual(error._tag, tag)
      assert.isTrue(error.message.endsWith(end), error.message)
    })
  }
})

describe("an error is of a family", () => {
  const written = Schema.fromJsonString(Errors.TokenError)

  for (
    const [which, cases, final] of [["the token is at fault", refused, true], [
      "nothing is decided",
      undecided,
      false
    ]] as const
  ) {
    it(which, () => {
      for (const [tag, error] of cases) {
        assert.deepStrictEqual([isError(error), isRefused(error), isUndecided(error)], [true, final, !final], tag)
      }
    })
  }

  it("written down and read, and is the same", () => {
    for (const [tag, error] of [...refused, ...undecided]) {
      const read = Schema.decodeSync(written)(Schema.encodeSync(written)(error))
      assert.deepStrictEqual({ ...read }, { ...error }, tag)
      assert.strictEqual(read.message, error.message)
    }
  })
})
