import { assert, layer } from "@effect/vitest"
import { Clock, Effect, Layer, Redacted } from "effect"
import { TestClock } from "effect/testing"
import { OktaTest, type TokenOptions } from "../../src/testing/OktaTest.ts"
import type { TokenError } from "../../src/token/TokenError.ts"
import {
  assertAccepted,
  assertRefused,
  assertTokenRefused,
  GuardedServer,
  startedAt
} from "../support/GuardedServer.ts"
import { goodClaims, RawIssuer } from "../support/RawIssuer.ts"

type Claims = { readonly [claim: string]: unknown }

const mint = Effect.fnUntraced(function*(options?: TokenOptions) {
  const okta = yield* OktaTest
  return Redacted.value(yield* okta.token(options))
})

const seconds = Effect.map(Clock.currentTimeMillis, (millis) => Math.floor(millis / 1000))

/** Tokens with such claims are refused on both sides, and a good one is accepted afterwards. */
const assertClaimsRefused = Effect.fnUntraced(function*(cases: ReadonlyArray<Claims>, reason: TokenError["_tag"]) {
  assert.isAbove(cases.length, 0)
  for (const claims of cases) yield* assertTokenRefused(yield* mint({ claims }), reason)
  yield* assertAccepted(yield* mint())
})

/** The error is of the claim that is at fault. */
const assertClaimNamed = Effect.fnUntraced(function*(claim: string, values: ReadonlyArray<unknown>) {
  for (const value of values) {
    const error = yield* assertTokenRefused(yield* mint({ claims: { [claim]: value } }), "InvalidClaim")
    assert.propertyVal(error, "claim", claim)
  }
  yield* assertAccepted(yield* mint())
})

/** The token is good, and is not enough for `/files`. */
const assertInsufficient = Effect.fnUntraced(function*(
  claims: Claims,
  scope = "files:read files:write"
) {
  const server = yield* GuardedServer
  const handled = server.handled()
  const token = yield* mint({ claims })
  assertRefused(yield* server.ask({ path: "/files", token }), "insufficient_scope", { resource: "/files", scope })
  assert.strictEqual(server.handled(), handled)
  return (yield* server.verify(token)).principal.scopes
})

layer(GuardedServer.layer().pipe(Layer.provideMerge(OktaTest.layer())))("C. Claims", (it) => {
  it.effect("#35 exp missing: 401", () => assertClaimNamed("exp", [undefined]))

  it.effect("#38 exp string, array, object, null, true: 401", () =>
    Effect.gen(function*() {
      const later = startedAt + 3600
      yield* assertClaimNamed("exp", [
        String(later),
        [later],
        { exp: later },
        null,
        true,
        false,
        "",
        "never",
        later + 0.5
      ])
    }))

  it.effect("#39 exp 0 or -1: 401", () =>
    assertClaimsRefused([{ exp: 0 }, { exp: -1 }, { exp: 0, iat: 0 }, { exp: -1, iat: -2 }], "TokenExpired"))

  it.effect("#42 iat 1 h in the future: 401", () =>
    assertClaimsRefused([
      { iat: startedAt + 3600, exp: startedAt + 7200 },
      { iat: startedAt + 3600 },
      { iat: startedAt + 31 }
    ], "TokenNotYetValid"))

  it.effect("#43 iat missing or a string: 401", () =>
    assertClaimNamed("iat", [undefined, String(startedAt), null, [startedAt], startedAt - 0.5, true]))

  it.effect("nbf of another type: 401", () =>
    assertClaimNamed("nbf", [String(startedAt), null, [startedAt], startedAt - 0.5, false]))

  it.effect("a token valid for longer than 24 hours: 401", () =>
    Effect.gen(function*() {
      yield* assertAccepted(yield* mint({ claims: { exp: startedAt + 24 * 3600 } }))
      for (
        const claims of [{ exp: startedAt + 24 * 3600 + 1 }, { exp: 2 ** 53 - 1 }, { iat: 0 }, { iat: -(2 ** 53 - 1) }]
      ) {
        const error = yield* assertTokenRefused(yield* mint({ claims }), "InvalidClaim")
        assert.propertyVal(error, "claim", "exp")
      }
    }))

  it.effect("#44 aud missing, null, object, [[AUD]]: 401", () =>
    Effect.gen(function*() {
      yield* assertClaimsRefused([{ aud: undefined }, { aud: [] }, { aud: "" }, { aud: [""] }], "InvalidAudience")
      const { audience } = OktaTest
      yield* assertClaimNamed("aud", [
        null,
        {},
        { 0: audience },
        [[audience]],
        [audience, 1],
        [audience, null],
        1,
        true
      ])
      yield* assertAccepted(yield* mint({ claims: { aud: [audience] } }))
      yield* assertAccepted(yield* mint({ claims: { aud: ["api://other", audience] } }))
    }))

  it.effect("#46 aud prefix, upper-case, trailing slash: 401, byte equality", () =>
    assertClaimsRefused(
      [
        "api://defaul",
        "api://default2",
        "API://DEFAULT",
        "api://Default",
        "api://default/",
        "api://",
        "api://default#x"
      ]
        .flatMap((aud) => [{ aud }, { aud: [aud] }]),
      "InvalidAudience"
    ))

  it.effect("#47 token for another MCP server of the same Okta: 401", () =>
    Effect.gen(function*() {
      const { audience } = OktaTest
      yield* assertClaimsRefused([
        { aud: "https://other-mcp.example.com" },
        { aud: ["https://other-mcp.example.com", "api://third"] },
        { aud: `https://other-mcp.example.com ${audience}` },
        { aud: `${audience},https://other-mcp.example.com` },
        { aud: "https://mcp.example.com" }
      ], "InvalidAudience")
    }))

  it.effect("#48 iss missing, array, upper-case, with a slash, other: 401", () =>
    Effect.gen(function*() {
      const { issuer } = OktaTest
      yield* assertClaimsRefused(
        [
          undefined,
          null,
          [issuer],
          { issuer },
          1,
          true,
          "",
          issuer.toUpperCase(),
          issuer.replace("test", "Test"),
          `${issuer}/`,
          `${issuer} `,
          `${issuer}?x`,
          issuer.replace("https", "http"),
          issuer.replace("com", "com:443"),
          issuer.replace("com", "com."),
          `${issuer}/../default`,
          issuer.slice(0, -1),
          "https://evil.example/oauth2/default",
          "https://test.okta.com.evil.example/oauth2/default",
          "https://test.okta.com@evil.example/oauth2/default"
        ].map((iss) => ({ iss })),
        "InvalidIssuer"
      )
    }))

  it.effect("#49 token of the org server at a custom server's resource: 401", () =>
    assertClaimsRefused([
      { iss: "https://test.okta.com" },
      { iss: "https://test.okta.com", aud: "https://test.okta.com" },
      { iss: "https://test.okta.com/oauth2" },
      { iss: "https://test.okta.com/oauth2/aus1other" }
    ], "InvalidIssuer"))

  it.effect("#50 sub missing, object, empty: 401", () =>
    assertClaimNamed("sub", [undefined, {}, "", null, ["ada@example.com"], 1, true]))

  it.effect("cid, client_id, uid and jti of another type: 401", () =>
    Effect.gen(function*() {
      for (const claim of ["cid", "client_id", "uid", "jti"]) {
        yield* assertClaimNamed(claim, [1, null, ["x"], {}, false])
      }
    }))

  it.effect("claims that an administrator shapes count only as what they must be", () =>
    Effect.gen(function*() {
      const seen = yield* assertAccepted(
        yield* mint({
          claims: { groups: "admins", email: ["a@b"], amr: { pwd: 1 }, acr: 2, auth_time: "now", preferred_username: 7 }
        })
      )
      assert.deepStrictEqual(seen, {
        _tag: "User",
        subject: "ada@example.com",
        uid: "00u1ada",
        username: "ada@example.com",
        groups: [],
        scopes: ["openid", "profile", "email"],
        clientId: "0oa1client",
        amr: []
      })
    }))

  it.effect("#52 need files:read, token has files:read-metadata: 403", () =>
    Effect.gen(function*() {
      const close = [
        ["files:read-metadata", "files:write"],
        ["files:rea", "files:write"],
        ["FILES:READ", "files:write"],
        ["xfiles:read", "files:write"],
        ["file*", "files:write"],
        ["files*", "files:write"],
        ["files:r*", "files:write"],
        ["files:*:*", "files:write"],
        [":*", "files:write"],
        ["**:*", "files:write"],
        ["*:*", "files:write"],
        ["*"],
        ["files"],
        ["files:read files:write"],
        ["files:read,files:write"]
      ]
      for (const scp of close) assert.deepStrictEqual(yield* assertInsufficient({ scp }), scp)
      yield* assertAccepted(yield* mint({ scopes: ["files:read", "files:write"] }), "/files")
      yield* assertAccepted(yield* mint({ scopes: ["files:*"] }), "/files")
    }))

  it.effect("#53 need two scopes, token has one: 403 with everything that is needed", () =>
    Effect.gen(function*() {
      for (const scp of [["files:read"], ["files:write"], ["files:write", "files:write"], []]) {
        assert.deepStrictEqual(yield* assertInsufficient({ scp }), scp)
      }
      yield* assertAccepted(yield* mint({ scopes: ["files:write", "openid", "files:read"] }), "/files")
    }))

  it.effect("#54 scope with a double space, tab, NBSP, newline: split only at 0x20", () =>
    Effect.gen(function*() {
      const good = ["files:read files:write", "files:write  files:read", " files:read files:write "]
      for (const scope of good) {
        yield* assertAccepted(yield* mint({ claims: { scp: undefined, scope } }), "/files")
      }
      for (const separator of ["\t", "\u00a0", "\n", "\r\n", "\u2003", "\u3000", "+", "%20", ",", "\u0000"]) {
        const scope = `files:read${separator}files:write`
        assert.deepStrictEqual(yield* assertInsufficient({ scp: undefined, scope }), [scope])
      }
    }))

  it.effect("#54 scp and scope of another type: no scopes, never a crash", () =>
    Effect.gen(function*() {
      const all = "files:read files:write"
      const none: ReadonlyArray<Claims> = [
        { scp: all },
        { scp: { 0: "files:read", 1: "files:write" } },
        { scp: ["files:read", "files:write", 1] },
        { scp: [["files:read", "files:write"]] },
        { scp: null, scope: all },
        { scp: 1, scope: all },
        { scp: undefined, scope: ["files:read", "files:write"] },
        { scp: undefined, scope: { toString: all } },
        { scp: undefined, scope: null },
        { scp: undefined, scope: "" },
        { scp: undefined, scope: "   " },
        { scp: undefined }
      ]
      for (const claims of none) assert.deepStrictEqual(yield* assertInsufficient(claims), [])
    }))

  it.effect("#57 two tokens, same aud and sub, different jti and scopes, through the cache: each gets its own claims", () =>
    Effect.gen(function*() {
      const server = yield* GuardedServer
      const tokens = [
        { jti: "AT.1", scp: ["files:read", "files:write"], groups: ["admins"] },
        { jti: "AT.2", scp: ["openid"], groups: [] },
        { jti: "AT.3", scp: ["files:read"], groups: ["staff"] }
      ]
      const minted = yield* Effect.forEach(
        tokens,
        (claims) => Effect.map(mint({ claims }), (token) => ({ claims, token }))
      )
      assert.strictEqual(new Set(minted.map(({ token }) => token)).size, 3)
      const rounds = [...minted, ...minted, ...minted.toReversed(), ...minted]
      yield* Effect.forEach(rounds, ({ claims, token }) =>
        Effect.gen(function*() {
          const verified = yield* server.verify(token)
          assert.strictEqual(verified.claims.jti, claims.jti)
          const whoami = yield* server.ask({ token })
          assert.deepInclude(JSON.parse(whoami.body), { scopes: claims.scp, groups: claims.groups })
          const files = yield* server.ask({ path: "/files", token })
          assert.strictEqual(files.status, claims.jti === "AT.1" ? 200 : 403)
        }), { concurrency: 4 })
    }))
})

layer(GuardedServer.layer().pipe(Layer.provideMerge(RawIssuer.layer)))(
  "C. Claims, numbers as they are written",
  (it) => {
    it.effect.each(
      [
        ["exp", "1e999"],
        ["exp", "-1e999"],
        ["exp", "9007199254740993"],
        ["exp", "1e308"],
        ["iat", "-1e999"],
        ["nbf", "-1e999"]
      ] as const
    )("#38 %s %s: 401", ([claim, text]) =>
      Effect.gen(function*() {
        const issuer = yield* RawIssuer
        const payload = JSON.stringify(goodClaims({ [claim]: 0 })).replace(`"${claim}":0`, `"${claim}":${text}`)
        assert.include(payload, text)
        const error = yield* assertTokenRefused(issuer.token({ payload }), "InvalidClaim")
        assert.propertyVal(error, "claim", claim)
        yield* assertAccepted(issuer.token())
      }))

    it.effect("#38 NaN, 0x and leading zeros are no numbers: 401", () =>
      Effect.gen(function*() {
        const issuer = yield* RawIssuer
        for (
          const text of [
            "NaN",
            "Infinity",
            "0x7fffffff",
            `0${startedAt + 60}`,
            `+${startedAt + 60}`,
            `${startedAt + 60}n`
          ]
        ) {
          const payload = JSON.stringify(goodClaims({ exp: 0 })).replace(`"exp":0`, `"exp":${text}`)
          yield* assertTokenRefused(issuer.token({ payload }), "MalformedToken")
        }
        yield* assertAccepted(issuer.token())
      }))
  }
)

layer(GuardedServer.layer().pipe(Layer.provideMerge(OktaTest.layer())))("C. Claims, as time goes by", (it) => {
  it.effect("#40 exp at the boundary of the tolerance: refused at exp + 30 s, not 1 ms before", () =>
    Effect.gen(function*() {
      const now = yield* seconds
      const token = yield* mint({ claims: { exp: now + 60 } })
      yield* TestClock.setTime((now + 60 + 30) * 1000 - 1)
      yield* assertAccepted(token)
      yield* TestClock.adjust(1)
      yield* assertTokenRefused(token, "TokenExpired")
      yield* assertTokenRefused(yield* mint({ claims: { exp: now + 60, iat: now } }), "TokenExpired")
      yield* assertAccepted(yield* mint())
    }))

  it.effect.each(["nbf", "iat"])(
    "#40 %s at the boundary of the tolerance: accepted 30 s before it, not 31 s",
    (claim) =>
      Effect.gen(function*() {
        const now = yield* seconds
        yield* assertAccepted(yield* mint({ claims: { [claim]: now + 30, exp: now + 3600 } }))
        const token = yield* mint({ claims: { [claim]: now + 31, exp: now + 3600 } })
        const error = yield* assertTokenRefused(token, "TokenNotYetValid")
        assert.propertyVal(error, "claim", claim)
        yield* TestClock.setTime((now + 1) * 1000 - 1)
        yield* assertTokenRefused(token, "TokenNotYetValid")
        yield* TestClock.adjust(1)
        yield* assertAccepted(token)
      })
  )

  it.effect("#42 iat 1 h in the future: 401 until it has come", () =>
    Effect.gen(function*() {
      const now = yield* seconds
      const token = yield* mint({ claims: { iat: now + 3600, exp: now + 7200 } })
      yield* assertTokenRefused(token, "TokenNotYetValid")
      yield* TestClock.adjust("1 hour")
      yield* assertAccepted(token)
    }))

  it.effect("#56 token expires while its verdict is cached: 401 at exp and the tolerance", () =>
    Effect.gen(function*() {
      const now = yield* seconds
      const token = yield* mint({ claims: { exp: now + 120 } })
      yield* assertAccepted(token)
      yield* TestClock.adjust("119 seconds")
      yield* assertAccepted(token)
      yield* TestClock.adjust("31 seconds")
      yield* assertTokenRefused(token, "TokenExpired")
      yield* assertTokenRefused(token, "TokenExpired")
      yield* assertAccepted(yield* mint())
    }))
})

layer(
  GuardedServer.layer({ clockTolerance: 0, maxTokenLifetime: "1 hour" }).pipe(Layer.provideMerge(OktaTest.layer()))
)("C. Claims, no tolerance", (it) => {
  it.effect("#40, #56 exp exactly, its verdict cached: refused at exp, not 1 ms before", () =>
    Effect.gen(function*() {
      const now = yield* seconds
      const token = yield* mint({ claims: { exp: now + 60 } })
      yield* assertAccepted(token)
      yield* TestClock.setTime((now + 60) * 1000 - 1)
      yield* assertAccepted(token)
      yield* TestClock.adjust(1)
      yield* assertTokenRefused(token, "TokenExpired")
      const next = now + 60
      yield* assertAccepted(yield* mint({ claims: { iat: next, exp: next + 3600 } }))
      yield* assertTokenRefused(yield* mint({ claims: { iat: next, exp: next + 3601 } }), "InvalidClaim")
      yield* assertTokenRefused(yield* mint({ claims: { iat: next + 1, exp: next + 60 } }), "TokenNotYetValid")
    }))
})

layer(
  GuardedServer.layer({ audience: ["api://default", "https://mcp.example.com"], requiredScopes: "openid" }).pipe(
    Layer.provideMerge(OktaTest.layer())
  )
)("C. Claims, two audiences, a scope that is always required", (it) => {
  it.effect("#47 either audience, no third: 401", () =>
    Effect.gen(function*() {
      const server = yield* GuardedServer
      for (const aud of ["api://default", "https://mcp.example.com"]) {
        yield* assertAccepted(yield* mint({ claims: { aud } }))
      }
      const token = yield* mint({ claims: { aud: "https://mcp.example.com/" } })
      assertRefused(yield* server.ask({ token }), "invalid_token", { scope: "openid" })
      assert.strictEqual((yield* Effect.flip(server.verify(token)))._tag, "InvalidAudience")
    }))

  it.effect("#53 need three scopes: 403 names all of them", () =>
    assertInsufficient({ scp: ["files:read", "files:write"] }, "openid files:read files:write"))
})

layer(GuardedServer.layer({ allowedClients: ["0oa1client", "0oa2client"] }).pipe(Layer.provideMerge(OktaTest.layer())))(
  "C. Claims, some clients allowed",
  (it) => {
    it.effect("#58 cid or client_id not on the list: 401", () =>
      Effect.gen(function*() {
        yield* assertClaimsRefused([
          { cid: "0oa3client" },
          { cid: "0OA1CLIENT" },
          { cid: "0oa1clien" },
          { cid: "" },
          { cid: "0oa1client,0oa2client" },
          { cid: undefined },
          { cid: undefined, client_id: "0oa3client" },
          { cid: "0oa3client", client_id: "0oa1client" },
          { cid: undefined, azp: "0oa1client" },
          { cid: undefined, uid: undefined, sub: "0oa1client" }
        ], "ClientNotAllowed")
        yield* assertAccepted(yield* mint({ claims: { cid: "0oa2client" } }))
        yield* assertAccepted(yield* mint({ claims: { cid: undefined, client_id: "0oa1client" } }))
      }))
  }
)

const orgServer = "https://test.okta.com"

layer(GuardedServer.layer({ issuer: orgServer }).pipe(Layer.provideMerge(OktaTest.layer({ issuer: orgServer }))))(
  "C. Claims, the org server as issuer",
  (it) => {
    it.effect("#49 token of a custom server at an org server's resource: 401", () =>
      assertClaimsRefused([
        { iss: `${orgServer}/oauth2/default` },
        { iss: `${orgServer}/oauth2` },
        { iss: `${orgServer}/` },
        { iss: "https://test-admin.okta.com" }
      ], "InvalidIssuer"))
  }
)
