import { assert, describe, it } from "@effect/vitest"
import { Duration, Effect, Redacted } from "effect"
import { TestClock } from "effect/testing"
import { inClaims, inHeader } from "../../../src/cli/doctor/TokenFaults.ts"
import type { ClaimRules } from "../../../src/token/ClaimsCheck.ts"
import { type FaultyOkta, type LabToken, make } from "../../support/FaultyOkta.ts"
import { partsOf } from "../../support/Watch.ts"
import { assertFine, assertSays, doctor, type Environment } from "./Patient.ts"
import { encryptionSecret, issue, signingKeys } from "./ProxyPatient.ts"

const now = 1_800_000_000

/** The whole token, and its signature, are nowhere in what is printed. */
const assertHidden = (checks: unknown, token: string) => {
  const printed = JSON.stringify(checks)
  const parts = [token, ...partsOf(token)]
  assert.isAbove(parts.length, 1)
  for (const part of parts) assert.notInclude(printed, part)
}

const explained = Effect.fnUntraced(function*(
  tokenOf: (okta: FaultyOkta) => string,
  environment: Environment = {}
) {
  yield* TestClock.setTime(now * 1000)
  const okta = yield* make()
  const token = tokenOf(okta)
  const checks = yield* doctor({
    client: okta.client,
    environment: { OKTA_ISSUER: okta.issuer, OKTA_AUDIENCE: "api://default", ...environment },
    token
  })
  assertHidden(checks, token)
  return checks
})

const lab = (token: LabToken = {}) => (okta: FaultyOkta) => Redacted.value(okta.token(token))

describe("effect-okta doctor --token", () => {
  it.effect("a good token, claim by claim", () =>
    Effect.gen(function*() {
      const checks = yield* explained(lab({ claims: { groups: ["Everyone"], ver: 1 } }), { REQUIRED_SCOPES: "profile" })
      assertFine(checks)
      assertSays(checks, "token", "ok", "good, of ada@example.com", "Its scopes: profile.")
      assertSays(checks, "token.header.alg", "ok", "RS256")
      assertSays(checks, "token.signature", "ok", "fits")
      assertSays(checks, "token.aud", "ok", "aud (whom it is for): \"api://default\"")
      assertSays(checks, "token.exp", "ok", "2027-01-16 08:00:00 UTC, in 1d")
      assertSays(checks, "token.iat", "ok", "2027-01-15 08:00:00 UTC, now")
      assertSays(checks, "token.groups", "ok", "[\"Everyone\"]")
      assertSays(checks, "token.ver", "skipped", "Not looked at.")
      assertSays(checks, "token.scopes", "ok", "all of them")
    }))

  it.effect("the token of a service", () =>
    Effect.gen(function*() {
      const checks = yield* explained(lab({ claims: { uid: undefined, sub: "0oa1client" } }))
      assertSays(checks, "token", "ok", "good, of the service 0oa1client")
    }))

  for (
    const [what, token, at, ...sentences] of [
      [
        "expired",
        { claims: { iat: now - 7200, exp: now - 3600 } },
        "exp",
        "The token expired 3600 seconds ago.",
        "1h ago"
      ],
      [
        "another audience",
        { claims: { aud: "api://other" } },
        "aud",
        "The token's audience is \"api://other\"",
        "set OKTA_AUDIENCE"
      ],
      ["the ID token", { claims: { aud: "api://default", nonce: "n" } }, "nonce", "The token is an ID token"],
      [
        "another issuer",
        { claims: { iss: "https://acme.okta.com" } },
        "iss",
        "The token's issuer is \"https://acme.okta.com\""
      ],
      ["no subject", { claims: { sub: undefined } }, "sub", "The token's claim \"sub\" is missing."],
      ["not valid yet", { claims: { iat: now + 600 } }, "iat", "The token is valid only 600 seconds from now (iat)."],
      ["too long a life", { claims: { exp: now + 30 * 24 * 3600 } }, "exp", "`maxTokenLifetime` is 86400 seconds"]
    ] satisfies ReadonlyArray<readonly [string, LabToken, claim: string, ...sentences: Array<string>]>
  ) {
    it.effect(what, () =>
      Effect.gen(function*() {
        const checks = yield* explained(lab(token))
        assertSays(checks, `token.${at}`, "failed", ...sentences)
        assertSays(checks, "token.signature", "ok", "fits")
        const others = checks.filter(({ check, outcome }) => check.startsWith("token.") && outcome === "failed")
        assert.deepStrictEqual(others.map(({ check }) => check), [`token.${at}`])
        assertSays(checks, "token", "failed", sentences[0] ?? "")
      }))
  }

  it.effect("scopes that are missing", () =>
    Effect.gen(function*() {
      const checks = yield* explained(lab(), { REQUIRED_SCOPES: "profile files:read" })
      assertSays(
        checks,
        "token.scopes",
        "failed",
        "The token lacks the scopes \"files:read\".",
        "The client has to ask for them when signing in."
      )
      assertSays(checks, "token", "ok", "good")
    }))

  it.effect("several faults are all told", () =>
    Effect.gen(function*() {
      const checks = yield* explained(
        lab({
          claims: { aud: "api://other", exp: now - 60, iat: now - 120, at_hash: "x" },
          header: { typ: "dpop+jwt" }
        })
      )
      for (const at of ["aud", "exp", "at_hash", "header.typ"]) {
        assert.isTrue(checks.some(({ check, outcome }) => check === `token.${at}` && outcome === "failed"), at)
      }
      assertSays(checks, "token.iss", "ok", "/oauth2/default")
      assertSays(checks, "token.signature", "skipped", "The token is refused before that.")
    }))

  it.effect("a signature that does not fit", () =>
    Effect.gen(function*() {
      const checks = yield* explained((okta) => {
        const [header, , signature] = lab()(okta).split(".")
        const [, payload] = lab({ claims: { sub: "eve@example.com" } })(okta).split(".")
        return [header, payload, signature].join(".")
      })
      assertSays(checks, "token.signature", "failed", "The token was changed on its way or made by somebody else")
      assertSays(checks, "token.sub", "ok", "eve@example.com")
    }))

  it.effect("the key of another server", () =>
    Effect.gen(function*() {
      const checks = yield* explained((okta) =>
        lab({ key: okta.generate(), claims: { iss: "https://acme.okta.com" } })(okta)
      )
      assertSays(
        checks,
        "token.signature",
        "failed",
        "UnknownKey",
        "It says that it comes from \"https://acme.okta.com\""
      )
      assertSays(checks, "token.iss", "failed", "The token's issuer is \"https://acme.okta.com\"")
    }))

  it.effect("an algorithm that is not accepted", () =>
    Effect.gen(function*() {
      const checks = yield* explained(lab({ header: { alg: "none" } }))
      assertSays(checks, "token.header.alg", "failed", "The token's algorithm is \"none\"")
    }))

  it.effect("a token that brings its own key", () =>
    Effect.gen(function*() {
      const checks = yield* explained(lab({ header: { jwk: { kty: "RSA" }, "x5t#S256": "x" } }))
      assertSays(checks, "token.header.jwk", "failed", "its header has the member jwk")
      assertSays(checks, "token.header.x5t#S256", "failed", "its header has a member x5t")
      assertSays(checks, "token.header.kid", "ok", "key-")
    }))

  it.effect("no token at all, but an opaque text", () =>
    Effect.gen(function*() {
      const checks = yield* explained(() => "canary-refresh-token-of-somebody")
      assertSays(
        checks,
        "token",
        "failed",
        "it does not have three parts separated by dots",
        "Send the access token exactly"
      )
      assert.notInclude(JSON.stringify(checks), "canary")
    }))

  it.effect("Okta is away", () =>
    Effect.gen(function*() {
      const okta = yield* make()
      okta.break({ status: 404 }, ["keys"])
      const checks = yield* doctor({
        client: okta.client,
        environment: { OKTA_ISSUER: okta.issuer, OKTA_AUDIENCE: "api://default" },
        token: Redacted.value(okta.token())
      })
      assertSays(checks, "token", "failed", "KeysUnavailable")
      assertSays(
        checks,
        "token.signature",
        "failed",
        "are not available",
        "Tokens can be verified again as soon as Okta answers"
      )
      assertSays(checks, "token.aud", "ok", "api://default")
    }))
})

describe("effect-okta doctor --token, in proxy mode", () => {
  const serverUrl = "http://127.0.0.1:8080"

  const issued = Effect.fnUntraced(function*(
    resource: string,
    environment: Environment = {},
    change: (token: string, okta: FaultyOkta) => string = (token) => token
  ) {
    yield* TestClock.setTime(now * 1000)
    const okta = yield* make()
    const token = yield* issue({ issuer: okta.issuer, serverUrl }, resource)
    const text = change(token, okta)
    const checks = yield* doctor({
      client: okta.client,
      environment: {
        OKTA_ISSUER: okta.issuer,
        OKTA_CLIENT_ID: "0oa1client",
        OKTA_CLIENT_SECRET: "the secret of the client at Okta",
        SERVER_URL: serverUrl,
        SIGNING_KEYS: signingKeys,
        ENCRYPTION_SECRET: encryptionSecret,
        ...environment
      },
      token: text
    })
    assertHidden(checks, text)
    return checks
  })

  it.effect("a token of this server's own", () =>
    Effect.gen(function*() {
      const checks = yield* issued(`${serverUrl}/mcp`)
      assertSays(checks, "token", "ok", "good, of ada@example.com")
      assertSays(checks, "token.iss", "ok", serverUrl)
      assertSays(checks, "token.signature", "ok", "fits")
    }))

  it.effect("one for another resource", () =>
    Effect.gen(function*() {
      assertSays(
        yield* issued(`${serverUrl}/other`),
        "token.aud",
        "failed",
        `The token's audience is "${serverUrl}/other"`,
        "The client has to name the resource"
      )
    }))

  it.effect("one from before revokedBefore", () =>
    Effect.gen(function*() {
      assertSays(
        yield* issued(serverUrl, { REVOKED_BEFORE: "2030-01-01T00:00:00Z" }),
        "token.iat",
        "failed",
        "is before the time of revokedBefore"
      )
    }))

  it.effect("one of Okta's", () =>
    Effect.gen(function*() {
      const checks = yield* issued(serverUrl, {}, (_, okta) => Redacted.value(okta.token()))
      for (const at of ["token.iss", "token.aud", "token.signature"]) {
        assertSays(
          checks,
          at,
          "failed",
          "In proxy mode clients show tokens of this server's own, and this one is Okta's: let the client sign in at this server."
        )
      }
    }))
})

describe("All faults of a token", () => {
  const rules: ClaimRules = {
    issuer: "https://acme.okta.com/oauth2/default",
    audience: ["api://default"],
    clockTolerance: 0,
    maxTokenLifetime: Duration.toSeconds("24 hours"),
    allowedClients: ["0oa1client"],
    kind: "access-token"
  }
  const good = {
    iss: rules.issuer,
    aud: "api://default",
    sub: "ada@example.com",
    iat: now - 60,
    exp: now + 60,
    cid: "0oa1client"
  }
  const defects: Readonly<Record<string, unknown>> = {
    iss: "https://acme.okta.com",
    aud: ["api://other"],
    sub: "",
    exp: now - 1,
    iat: now + 600,
    nbf: now + 60,
    cid: "0oa2other",
    uid: 7,
    nonce: "n",
    c_hash: "h"
  }
  const names = Object.keys(defects)

  it("are found, whichever come together", () => {
    for (let set = 0; set < 2 ** names.length; set++) {
      const chosen = names.filter((_, index) => (set >> index) % 2 === 1)
      const claims = { ...good, ...Object.fromEntries(chosen.map((name) => [name, defects[name]])) }
      assert.deepStrictEqual([...inClaims(claims, rules, now, undefined).keys()].sort(), [...chosen].sort())
    }
  })

  it("of its times, also where two come from one", () => {
    for (
      const [iat, exp, ...faults] of [
        [now + 600, now + 600 + 30 * 86_400, "exp", "iat"],
        [now - 40 * 86_400, now + 60, "exp"],
        [now - 40 * 86_400, now - 60, "exp"],
        [now + 600, "soon", "exp", "iat"],
        ["today", now - 60, "exp", "iat"],
        [undefined, undefined, "exp", "iat"],
        [now - 60, now + 60]
      ] as const
    ) {
      const found = inClaims({ ...good, iat, exp, cid: "0oa2other" }, rules, now, undefined)
      assert.deepStrictEqual([...found.keys()].sort(), ["cid", ...faults], `${iat} ${exp}`)
    }
  })

  it("of a header", () => {
    const header = { alg: "HS256", typ: "logout+jwt", jku: "x", crit: ["b64"], x5t: "x" }
    assert.deepStrictEqual([...inHeader(header, ["RS256"]).keys()].sort(), ["alg", "crit", "jku", "kid", "typ", "x5t"])
    assert.strictEqual(inHeader({ alg: "RS256", kid: "one", typ: "at+jwt" }, ["RS256"]).size, 0)
  })
})
