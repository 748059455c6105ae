import { assert, describe, it } from "@effect/vitest"
import { Effect, Layer, Option, Redacted } from "effect"
import { TestClock } from "effect/testing"
import type { OktaOptions } from "../../../src/config/OktaConfig.ts"
import { Admission, AdmissionUnknown, type Admit, NotAdmitted } from "../../../src/proxy/Admission.ts"
import { jwtBearer } from "../../../src/proxy/grant/GrantTypes.ts"
import type { IdJag } from "../../../src/proxy/IdJag.ts"
import { OktaTokenRefused } from "../../../src/proxy/IdToken.ts"
import { basic, tokenProof } from "../../support/Credentials.ts"
import { ProofKey } from "../../support/Proofs.ts"
import { Watch } from "../../support/Watch.ts"
import { ada, now, serverUrl } from "../ProxyTest.ts"
import { assertRefused, claimsOf, isAlive, type Setup, tokenServers } from "./TokenServer.ts"

const key = new ProofKey()

const secret = "s".repeat(32)
const mcp = `${serverUrl}/mcp`
const clients: NonNullable<OktaOptions["clients"]> = [
  { clientId: "agent", clientSecrets: [Redacted.make(secret)], name: "An agent" },
  { clientId: "nameless", clientSecrets: [Redacted.make(secret)] },
  { clientId: "desktop", redirectUris: ["http://127.0.0.1/callback"] }
]
const as = (clientId: string) => basic(clientId, secret)

const said: IdJag = {
  user: ada,
  clientId: "agent",
  resource: mcp,
  scopes: ["files:read", "files:write"],
  issuer: "https://acme.okta.com",
  jti: "1",
  issuedAt: now - 5,
  expiresAt: now + 295,
  oktaSession: undefined,
  boundTo: "unbound"
}

const arrange = Effect.fnUntraced(function*({ settings, ...setup }: Setup = {}) {
  const scene = yield* tokenServers({
    settings: {
      clients,
      enterpriseManaged: true,
      scopesSupported: ["files:read", "files:write"],
      requiredScopes: ["files:read"],
      ...settings
    },
    ...setup
  })
  let count = 0
  /** Brings an ID-JAG that says what is changed; a new one unless told otherwise. */
  const bring = (
    change: Partial<IdJag> | OktaTokenRefused | undefined = {},
    form: { readonly [name: string]: string } = {},
    headers: { readonly [name: string]: string } = as("agent"),
    server = scene.one
  ) =>
    Effect.suspend(() => {
      scene.okta.idJag = change === undefined || change instanceof OktaTokenRefused
        ? change
        : { ...said, jti: `jti-${count++}`, ...change }
      return server.token({ grant_type: jwtBearer, assertion: "x", ...form }, headers)
    })
  const kept = Effect.map(
    scene.one.grants.list({ kind: "person", value: "00u1ada" }),
    (grants) => [...grants.values()]
  )
  return { ...scene, bring, kept }
})

describe("an ID-JAG", () => {
  it.effect("makes a grant as old as Okta's word, of an hour, with one access token", () =>
    Effect.gen(function*() {
      const watch = new Watch()
      const { bring, kept, okta, one } = yield* arrange({ watch })
      const { body, status } = yield* bring({ oktaSession: "session" })
      const { access_token, ...rest } = body
      assert.deepStrictEqual([status, rest], [200, {
        token_type: "Bearer",
        expires_in: 3600,
        scope: "files:read files:write"
      }])
      assert.deepInclude(claimsOf(access_token), { sub: "00u1ada", client_id: "agent", aud: mcp })
      const [grant] = yield* kept
      assert.deepStrictEqual(grant, {
        clientId: "agent",
        clientName: "An agent",
        oktaSession: "session",
        user: said.user,
        scopes: ["files:read", "files:write"],
        resource: mcp,
        generation: 1,
        createdAt: now - 5,
        checkedAt: now,
        usedAt: now,
        indexedAt: now
      })
      assert.deepInclude(watch.events.at(-1), {
        _tag: "TokensIssued",
        clientId: "agent",
        subject: "00u1ada",
        scopes: ["files:read", "files:write"],
        resource: mcp
      })
      yield* TestClock.adjust("59 minutes")
      assert.isTrue(yield* isAlive(one.grants, access_token))
      yield* TestClock.adjust("1 minute")
      assert.isFalse(yield* isAlive(one.grants, access_token))
      assert.deepStrictEqual(okta.refreshed, [])
    }))

  it.effect("from a clock that is ahead makes a grant of now; what it does not say is left out", () =>
    Effect.gen(function*() {
      const { bring, kept, one } = yield* arrange()
      const { body } = yield* bring({ issuedAt: now + 20, clientId: "nameless" }, {}, as("nameless"))
      const [grant] = yield* kept
      assert.strictEqual(grant?.createdAt, now)
      for (const name of ["oktaSession", "okta", "dpopKey"]) assert.notProperty(grant, name)
      assert.deepStrictEqual(yield* one.grants.oktaTokens(String(claimsOf(body["access_token"])["sid"])), Option.none())
    }))

  it.effect("gives what Okta allows and this server knows, or fewer where the client asks for fewer", () =>
    Effect.gen(function*() {
      const { bring, logged } = yield* arrange()
      const cases: ReadonlyArray<readonly [ReadonlyArray<string> | undefined, string, string]> = [
        [["files:read", "files:write"], "files:write", "files:write"],
        [["files:read"], "files:read files:write", "files:read"],
        [["files:write", "unheard:of", "offline_access", "files:write"], "", "files:write"],
        [["openid", "files:read"], "", "openid files:read"],
        [undefined, "", "files:read"]
      ]
      for (const [scopes, scope, given] of cases) {
        assert.strictEqual((yield* bring({ scopes }, { scope })).body["scope"], given)
      }
      for (const scopes of [["unheard:of"], ["offline_access"], []]) {
        assertRefused(yield* bring({ scopes }), 400, "invalid_grant")
      }
      assertRefused(yield* bring({ scopes: ["files:write"] }, { scope: "files:read" }), 400, "invalid_scope")
      assert.match(logged.at(-1) ?? "", /asked for the scopes \\*"files:read\\*", but was granted \\*"files:write/)
      assertRefused(yield* bring({ scopes: undefined }, { scope: "files:write" }), 400, "invalid_scope")
    }))

  it.effect("gives a token without scopes at a server that has none, and refuses where it has but one kind", () =>
    Effect.gen(function*() {
      for (
        const [settings, status] of [
          [{ scopesSupported: [], requiredScopes: [] }, 200],
          [{ scopesSupported: ["files:read"], requiredScopes: [] }, 400],
          [{ scopesSupported: [], requiredScopes: ["files:read"] }, 400]
        ] as const
      ) {
        const { bring } = yield* arrange({ settings })
        const answer = yield* bring({ scopes: ["unheard:of"] })
        assert.deepStrictEqual([answer.status, answer.body["scope"]], [status, status === 200 ? "" : undefined])
        assert.strictEqual((yield* bring({ scopes: undefined })).status, 200)
      }
    }))

  it.effect("is for the resource that Okta named, and of which the client speaks if it does", () =>
    Effect.gen(function*() {
      const { bring } = yield* arrange()
      for (const resource of [serverUrl, `${serverUrl}/`]) {
        const { body } = yield* bring({ resource }, { resource })
        assert.strictEqual(claimsOf(body["access_token"])["aud"], serverUrl)
      }
      assert.strictEqual((yield* bring({}, { resource: mcp })).status, 200)
      assertRefused(yield* bring({}, { resource: serverUrl }), 400, "invalid_target")
      for (const resource of [`${serverUrl}/other`, "https://other.example.com"]) {
        assertRefused(yield* bring({ resource }), 400, "invalid_grant")
      }
    }))

  it.effect("is for the client that it names, which has a secret or key and did not register itself", () =>
    Effect.gen(function*() {
      const { bring, register } = yield* arrange()
      assertRefused(yield* bring({ clientId: "nameless" }), 400, "invalid_grant")
      assertRefused(yield* bring({ clientId: "desktop" }, { client_id: "desktop" }, {}), 400, "unauthorized_client")
      const { client_id = "", client_secret = "" } = yield* register({
        token_endpoint_auth_method: "client_secret_post"
      })
      const form = { client_id, client_secret: String(client_secret) }
      assertRefused(yield* bring({ clientId: client_id }, form, {}), 400, "unauthorized_client")
      assertRefused(yield* bring({}, {}, {}), 401, "invalid_client")
    }))

  it.effect("bound to a key is good with a proof by it, and bound by what this server does not know never", () =>
    Effect.gen(function*() {
      const { bring } = yield* arrange()
      const boundTo = { thumbprint: key.thumbprint }
      for (const headers of [as("agent"), { ...as("agent"), ...tokenProof(new ProofKey()) }]) {
        assertRefused(yield* bring({ boundTo }, {}, headers), 400, "invalid_grant")
      }
      for (const change of [{ boundTo }, {}]) {
        const { body } = yield* bring(change, {}, { ...as("agent"), ...tokenProof(key) })
        assert.strictEqual(body["token_type"], "DPoP")
        assert.deepStrictEqual(claimsOf(body["access_token"])["cnf"], { jkt: key.thumbprint })
      }
      for (const headers of [as("agent"), { ...as("agent"), ...tokenProof(key) }]) {
        assertRefused(yield* bring({ boundTo: "unknown" }, {}, headers), 400, "invalid_grant")
      }
    }))

  it.effect("is good once, on every server, until its time and the tolerance are over; the second leaves the first its grant", () =>
    Effect.gen(function*() {
      const watch = new Watch()
      const { bring, kept, one, other } = yield* arrange({ watch })
      const first = yield* bring({ jti: "x" })
      assert.strictEqual(first.status, 200)
      for (const server of [one, other]) {
        assertRefused(yield* bring({ jti: "x" }, {}, as("agent"), server), 400, "invalid_grant")
        assert.deepInclude(watch.events.at(-1), { _tag: "ReplayDetected", what: "ID-JAG", clientId: "agent" })
        assert.lengthOf(yield* kept, 1)
      }
      yield* TestClock.adjust("324 seconds")
      assertRefused(yield* bring({ jti: "x" }), 400, "invalid_grant")
      assert.isTrue(yield* isAlive(one.grants, first.body["access_token"]))
      assert.strictEqual((yield* bring({ jti: "x", issuer: "https://other.okta.com" })).status, 200)
      yield* TestClock.adjust("2 seconds")
      assert.strictEqual((yield* bring({ jti: "x" })).status, 200)
    }))

  it.effect("of before its person's or client's end, or revokedBefore, brings nothing back, and is not used up by that", () =>
    Effect.gen(function*() {
      const { bring, kept, one, other } = yield* arrange({
        settingsOfOther: { revokedBefore: new Date((now - 4) * 1000) }
      })
      assertRefused(yield* bring({ jti: "x" }, {}, as("agent"), other), 400, "invalid_grant")
      assert.deepStrictEqual(yield* kept, [])
      assert.strictEqual((yield* bring({ jti: "x" })).status, 200)
      yield* TestClock.adjust("1 minute")
      for (const name of [{ kind: "person", value: "00u1ada" }, { kind: "client", value: "agent" }] as const) {
        yield* one.grants.endAll(name, "by-operator")
        assertRefused(yield* bring(), 400, "invalid_grant")
        assert.deepStrictEqual(yield* kept, [])
        yield* TestClock.adjust("1 minute")
        assert.strictEqual((yield* bring({ issuedAt: now + 1000 })).status, 200)
      }
    }))

  it.effect("that Okta's keys do not prove is invalid_grant, and one that nobody can tell about 503", () =>
    Effect.gen(function*() {
      const { bring, logged } = yield* arrange()
      assertRefused(
        yield* bring(new OktaTokenRefused({ token: "ID-JAG", reason: "its nose is too long" })),
        400,
        "invalid_grant"
      )
      assert.include(logged.join(), "its nose is too long")
      const { one } = yield* arrange()
      assertRefused(
        yield* one.token({ grant_type: jwtBearer, assertion: "x" }, as("agent")),
        503,
        "temporarily_unavailable"
      )
    }))

  it.effect("about somebody who may not come in is refused and told of; when nobody knows, it is 503 and stays good", () =>
    Effect.gen(function*() {
      let answer: Effect.Effect<void, NotAdmitted | AdmissionUnknown> = Effect.void
      const asked: Array<unknown> = []
      const admit: Admit = (person) => {
        asked.push([person.subject, person.clientId, person.scopes])
        return answer
      }
      const watch = new Watch()
      const { bring, kept } = yield* arrange({ watch, environment: Layer.succeed(Admission, admit) })
      answer = Effect.fail(new NotAdmitted({ reason: "It lacks the group Staff." }))
      assertRefused(yield* bring({ jti: "x" }, { scope: "files:read" }), 400, "invalid_grant")
      assert.deepStrictEqual(asked, [["00u1ada", "agent", ["files:read"]]])
      assert.deepInclude(watch.events.at(-1), {
        _tag: "AdmissionRefused",
        clientId: "agent",
        subject: "00u1ada",
        scopes: ["files:read"],
        reason: "It lacks the group Staff."
      })
      answer = Effect.fail(new AdmissionUnknown({}))
      assertRefused(yield* bring({ jti: "x" }), 503, "temporarily_unavailable")
      assert.match(watch.lines.join("\n"), /so that nobody can be let in\.(?!\.)/)
      assert.deepStrictEqual(yield* kept, [])
      answer = Effect.void
      assert.strictEqual((yield* bring({ jti: "x" })).status, 200)
    }))
})
