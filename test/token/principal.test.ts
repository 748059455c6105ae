import { assert, describe, it } from "@effect/vitest"
import { Effect, Result, Schema } from "effect"
import { TestClock } from "effect/testing"
import * as fc from "fast-check"
import {
  type AccessTokenClaims,
  isAccessTokenClaims,
  principalOf,
  scopesOf
} from "../../src/token/AccessTokenClaims.ts"
import { Principal } from "../../src/token/Principal.ts"
import { goodClaims, makeKey, now, verifierLayer, verify } from "./TestIssuer.ts"

const claimsOf = (claims: object): AccessTokenClaims => {
  const all: { readonly [claim: string]: unknown } = Object.fromEntries(
    Object.entries({ ...goodClaims, ...claims }).filter(([, value]) => value !== undefined)
  )
  return isAccessTokenClaims(all) ? all : assert.fail("not the claims of an access token")
}

const principal = (claims: object = {}) => principalOf(claimsOf(claims))

const ada = {
  _tag: "User",
  subject: "ada@example.com",
  uid: "00u1ada",
  username: "ada@example.com",
  groups: [],
  scopes: ["openid", "profile"],
  clientId: "0oa1client",
  amr: []
}

const { clientId: _, ...adaByNoClient } = ada

describe("a principal", () => {
  it("tells its issuer where it is asked to", () => {
    const claims = claimsOf({})
    assert.deepStrictEqual<object>(principalOf(claims, true), { ...ada, issuer: claims.iss })
  })

  const cases: ReadonlyArray<readonly [what: string, claims: object, expected: object]> = [
    ["a person, as in Okta's plain access token", {}, ada],
    ["a person in whose name somebody acts", { act: { sub: "0oa5", act: { sub: "0oa6" } } }, {
      ...ada,
      actor: { subject: "0oa5" }
    }],
    ["a person, whatever else act may be", { act: { sub: 5 } }, ada],
    ["a person, whatever else act may be", { act: "0oa5" }, ada],
    ["a person, whatever else act may be", { act: [null] }, ada],
    ["a person with everything that can be configured", {
      preferred_username: "ada",
      email: "ada@lovelace.example",
      email_verified: false,
      groups: ["Everyone", "Admins"],
      acr: "urn:okta:loa:2fa:any",
      amr: ["pwd", "mfa"],
      auth_time: now - 60,
      sid: "s1"
    }, {
      ...ada,
      username: "ada",
      email: "ada@lovelace.example",
      emailVerified: false,
      groups: ["Everyone", "Admins"],
      acr: "urn:okta:loa:2fa:any",
      amr: ["pwd", "mfa"],
      authTime: now - 60,
      sessionId: "s1"
    }],
    ["a person without a client", { cid: undefined }, adaByNoClient],
    ["a person without Okta's uid, in an RFC 9068 token", { uid: undefined, cid: undefined, client_id: "app" }, {
      _tag: "User",
      subject: "ada@example.com",
      username: "ada@example.com",
      groups: [],
      scopes: ["openid", "profile"],
      clientId: "app",
      amr: []
    }],
    ["a person whose login is the client's id, known by the uid", { sub: "0oa1client" }, {
      ...ada,
      subject: "0oa1client",
      username: "0oa1client"
    }],
    ["a service, by Okta's client-credentials token", { uid: undefined, sub: "0oa1client", scp: ["jobs:run"] }, {
      _tag: "Service",
      subject: "0oa1client",
      clientId: "0oa1client",
      scopes: ["jobs:run"]
    }],
    ["a service, by an RFC 9068 token", {
      uid: undefined,
      cid: undefined,
      client_id: "job",
      sub: "job",
      scp: undefined,
      scope: "jobs:run jobs:stop"
    }, { _tag: "Service", subject: "job", clientId: "job", scopes: ["jobs:run", "jobs:stop"] }],
    ["cid before client_id", { cid: "0oa1client", client_id: "other" }, ada],
    ["claims of the administrator's that are of other types than expected count for nothing", {
      preferred_username: 5,
      email: ["ada@example.com"],
      groups: "Everyone",
      acr: 2,
      amr: { mfa: true },
      auth_time: "yesterday"
    }, ada],
    ["lists of mixed types too", { groups: ["Everyone", 5], amr: [null], auth_time: 1.5 }, ada],
    ["an authentication at the beginning of time", { auth_time: 0 }, { ...ada, authTime: 0 }]
  ]
  for (const [what, claims, expected] of cases) {
    it(what, () => {
      assert.deepStrictEqual<object>(principal(claims), expected)
      assert.isTrue(Schema.is(Principal)(principal(claims)))
    })
  }

  it("has the scopes of scp or scope, and of nothing else", () => {
    const scopes: ReadonlyArray<readonly [claims: object, expected: ReadonlyArray<string>]> = [
      [{ scp: ["a", "b"] }, ["a", "b"]],
      [{ scp: ["a b"] }, ["a b"]],
      [{ scp: [] }, []],
      [{ scp: [], scope: "a" }, []],
      [{ scp: ["a"], scope: "b" }, ["a"]],
      [{ scp: undefined, scope: "a b" }, ["a", "b"]],
      [{ scp: undefined, scope: "a" }, ["a"]],
      [{ scp: undefined, scope: "" }, []],
      [{ scp: undefined, scope: " " }, []],
      [{ scp: undefined, scope: " a  b " }, ["a", "b"]],
      [{ scp: undefined, scope: "a\tb" }, ["a\tb"]],
      [{ scp: undefined, scope: "a\nb c" }, ["a\nb", "c"]],
      [{ scp: undefined, scope: "a\u00a0b" }, ["a\u00a0b"]],
      [{ scp: undefined, scope: "A a" }, ["A", "a"]],
      [{ scp: undefined, scope: ["a"] }, []],
      [{ scp: undefined, scope: { a: true } }, []],
      [{ scp: undefined, scope: 5 }, []],
      [{ scp: undefined }, []],
      [{ scp: "a b" }, []],
      [{ scp: "a", scope: "b" }, []],
      [{ scp: null, scope: "a" }, []],
      [{ scp: ["a", 5] }, []],
      [{ scp: [["a"]] }, []],
      [{ scp: { 0: "a", length: 1 } }, []]
    ]
    for (const [claims, expected] of scopes) {
      assert.deepStrictEqual(scopesOf(claimsOf(claims)), expected, JSON.stringify(claims))
    }
  })

  it("is of its own type whatever the claims hold", () => {
    const anyClaims = fc.dictionary(
      fc.constantFrom(
        "scp",
        "scope",
        "groups",
        "email",
        "preferred_username",
        "acr",
        "amr",
        "auth_time",
        "__proto__",
        "constructor",
        "length"
      ),
      fc.jsonValue(),
      { noNullPrototype: false }
    )
    fc.assert(fc.property(anyClaims, fc.boolean(), (claims, service) => {
      const identity = service ? { uid: undefined, sub: "0oa1client" } : {}
      const found = principal({ ...claims, ...identity })
      assert.isTrue(Result.isSuccess(Schema.decodeUnknownResult(Principal)(found)))
      assert.strictEqual(found._tag, service ? "Service" : "User")
    }))
  })

  it("read back, is one by all of its members, and by nothing else in their place", () => {
    const isPrincipal = Schema.is(Principal)
    const whole = [
      principalOf(
        claimsOf({ act: { sub: "0oa5" }, email: "a@b", email_verified: true, acr: "a", auth_time: 1, sid: "s" }),
        true
      ),
      principalOf(claimsOf({ uid: undefined, sub: "0oa1client" }), true)
    ]
    const optional = ["uid", "email", "emailVerified", "acr", "authTime", "sessionId", "actor", "issuer"]
    for (const one of whole) {
      for (const member of Object.keys(one)) {
        const { [member]: _, ...others }: Readonly<Record<string, unknown>> = { ...one }
        const mayLack = optional.includes(member) || member === "clientId" && one._tag === "User"
        assert.strictEqual(isPrincipal(others), mayLack, `${one._tag} without ${member}`)
        for (const value of [null, [5], { subject: 5 }]) {
          assert.isFalse(isPrincipal({ ...one, [member]: value }), `${one._tag} with another ${member}`)
        }
      }
    }
  })

  it.effect("comes out of the whole pipeline, and nothing of the token's text with it", () =>
    Effect.gen(function*() {
      yield* TestClock.setTime(now * 1000)
      const key = makeKey("RS256")
      const ask = (claims: object) =>
        Effect.provide(
          Effect.map(verify(key.token(claims)), ({ principal }) => principal),
          verifierLayer({ keys: [key.published] })
        )
      assert.deepStrictEqual<object>(yield* ask({}), ada)
      assert.deepStrictEqual<object>(yield* ask({ uid: undefined, sub: "0oa1client" }), {
        _tag: "Service",
        subject: "0oa1client",
        clientId: "0oa1client",
        scopes: ["openid", "profile"]
      })
    }))
})
