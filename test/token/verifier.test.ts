import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import { TestClock } from "effect/testing"
import {
  audience,
  inTest as runInTest,
  issuer,
  makeKey,
  now,
  verifierLayer,
  type VerifierSetup,
  verify
} from "./TestIssuer.ts"

const key = makeKey("ES256", "key-1")
const other = "https://other.okta.com/oauth2/default"

const inTest = <A, E, R>(effect: Effect.Effect<A, E, R>, setup: VerifierSetup = {}) =>
  runInTest(effect, setup, [key.published])

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
