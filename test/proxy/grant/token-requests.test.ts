import { assert, describe, it } from "@effect/vitest"
import { Effect, Redacted } from "effect"
import type { OktaOptions } from "../../../src/config/OktaConfig.ts"
import { jwtBearer, offered } from "../../../src/proxy/grant/GrantTypes.ts"
import { proxySettings } from "../../../src/proxy/ProxySettings.ts"
import { basic, tokenProof } from "../../support/Credentials.ts"
import { type Otherwise, ProofKey } from "../../support/Proofs.ts"
import { Watch } from "../../support/Watch.ts"
import { configLayer, serverUrl } from "../ProxyTest.ts"
import { assertRefused, assertUncached, claimsOf, tokenServers } from "./TokenServer.ts"

const key = new ProofKey()

const secret = "s".repeat(32)
const clients: NonNullable<OktaOptions["clients"]> = [
  { clientId: "job", clientSecrets: [Redacted.make(secret)], serviceScopes: ["files:read", "files:write"] },
  { clientId: "web", clientSecrets: [Redacted.make(secret)], redirectUris: ["https://web.example.com/callback"] }
]
const as = (clientId: string) => basic(clientId, secret)
const service = { grant_type: "client_credentials" }

const countOf = (watch: Watch, name: string, labels: { readonly [label: string]: string }) =>
  watch.metrics.filter(({ attributes, id }) =>
    id === name && Object.entries(labels).every(([label, value]) => attributes?.[label] === value)
  ).reduce((sum, { state }) => sum + Number("count" in state ? state.count : 0), 0)

describe("the token endpoint", () => {
  it.effect("counts requests by grant and outcome, and gives each grant a span of its own", () =>
    Effect.gen(function*() {
      const watch = new Watch()
      const { one, refreshment, signIn } = yield* tokenServers({
        watch,
        settings: { clients, enterpriseManaged: true }
      })
      const { clientId, refreshToken } = yield* signIn
      yield* one.token(refreshment(clientId, refreshToken))
      yield* one.token(refreshment(clientId, "x"))
      yield* one.token(service, as("job"))
      yield* one.token(service, as("web"))
      yield* one.token({ grant_type: jwtBearer, client_id: clientId, assertion: "x" })
      yield* one.token({ grant_type: "password", client_id: clientId })
      const counted = [
        ["authorization_code", "success"],
        ["refresh_token", "success"],
        ["refresh_token", "InvalidGrant"],
        ["client_credentials", "success"],
        ["client_credentials", "GrantTypeNotAllowed"],
        ["jwt_bearer", "GrantTypeNotAllowed"],
        ["other", "UnsupportedGrantType"]
      ] as const
      for (const [grant_type, outcome] of counted) {
        assert.strictEqual(
          countOf(watch, "okta_token_requests", { grant_type, outcome }),
          1,
          `${grant_type} ${outcome}`
        )
      }
      assert.strictEqual(countOf(watch, "okta_token_requests", {}), counted.length)
      const spans = watch.spans.map(({ name }) => name).filter((name) => name.startsWith("okta.token."))
      assert.deepStrictEqual(spans, [
        "okta.token.redeem",
        "okta.token.refresh",
        "okta.token.refresh",
        "okta.token.service",
        "okta.token.service",
        "okta.token.id_jag"
      ])
    }))

  it.effect("answers a service with its token and nothing else, for as many scopes as it asks for", () =>
    Effect.gen(function*() {
      const watch = new Watch()
      const { one } = yield* tokenServers({ watch, settings: { clients } })
      for (
        const [asked, scope] of [
          [undefined, "files:read files:write"],
          ["", "files:read files:write"],
          ["files:write", "files:write"],
          [" files:write  files:read", "files:read files:write"]
        ] as const
      ) {
        const answer = yield* one.token({ ...service, scope: asked }, as("job"))
        assertUncached(answer)
        const { body, status } = answer
        const { access_token, ...rest } = body
        assert.deepStrictEqual([status, rest], [200, { token_type: "Bearer", expires_in: 3600, scope }])
        assert.deepInclude(claimsOf(access_token), { sub: "job", client_id: "job", aud: serverUrl, scope })
        const scopes = scope.split(" ")
        assert.deepInclude(watch.events.at(-1), { _tag: "ServiceTokenIssued", clientId: "job", scopes })
      }
      const mcp = yield* one.token({ ...service, resource: `${serverUrl}/mcp` }, as("job"))
      assert.strictEqual(claimsOf(mcp.body["access_token"])["aud"], `${serverUrl}/mcp`)
      assert.deepInclude(watch.events.at(-1), { resource: `${serverUrl}/mcp` })
      assertRefused(yield* one.token({ ...service, resource: `${serverUrl}/other` }, as("job")), 400, "invalid_target")
      assertRefused(yield* one.token({ ...service, scope: "files:delete" }, as("job")), 400, "invalid_scope")
      assert.match(
        watch.lines.join("\n"),
        /asked for the scopes \\*"files:delete\\*", but was granted \\*"files:read files:write/
      )
      assert.match(
        watch.lines.join("\n"),
        /a token for \\*"\S+\/other\\*", but was granted one for \S+\/mcp or \S+\.com\./
      )
      assertRefused(yield* one.token(service, as("web")), 400, "unauthorized_client")
      assert.include(watch.lines.join("\n"), "the grant client_credentials, for which it is not registered")
      const bound = yield* one.token(service, { ...as("job"), ...tokenProof(key) })
      assert.strictEqual(bound.body["token_type"], "DPoP")
      assert.deepStrictEqual(claimsOf(bound.body["access_token"])["cnf"], { jkt: key.thumbprint })
    }))

  it.effect("wants each parameter of a grant, in the form", () =>
    Effect.gen(function*() {
      const { one, register } = yield* tokenServers({ settings: { enterpriseManaged: true } })
      const { client_id } = yield* register()
      const needed: Readonly<Record<string, ReadonlyArray<string>>> = {
        authorization_code: ["code", "redirect_uri", "code_verifier"],
        refresh_token: ["refresh_token"],
        [jwtBearer]: ["assertion"]
      }
      for (const [grant_type, names] of Object.entries(needed)) {
        const form = Object.fromEntries(names.map((name) => [name, "x"]))
        for (const name of names) {
          const { body, status } = yield* one.token({ grant_type, client_id, ...form, [name]: undefined })
          assert.deepStrictEqual([status, body["error"]], [400, "invalid_request"], `${grant_type} ${name}`)
        }
      }
      assertRefused(yield* one.token({ client_id }), 400, "invalid_request")
      for (const grant_type of ["client_credentials", "Authorization_Code", "__proto__", "undefined"]) {
        assertRefused(yield* one.token({ grant_type, client_id }), 400, "unsupported_grant_type")
      }
    }))

  it.effect("gives only what the settings offer", () =>
    Effect.gen(function*() {
      const offers = (settings: Partial<OktaOptions>) =>
        Effect.gen(function*() {
          const { one, register } = yield* tokenServers({ settings })
          const { client_id } = yield* register()
          const types = ["authorization_code", "refresh_token", "client_credentials", jwtBearer]
          const answers = yield* Effect.forEach(types, (grant_type) => one.token({ grant_type, client_id }))
          const isGiven = answers.map(({ body }) => body["error"] !== "unsupported_grant_type")
          // What clients are told is the same.
          const told = offered(yield* Effect.provide(proxySettings, configLayer(settings)))
          assert.deepStrictEqual(types.filter((_, nth) => isGiven[nth]), [...told])
          return isGiven
        })
      assert.deepStrictEqual(yield* offers({}), [true, true, false, false])
      assert.deepStrictEqual(yield* offers({ clients: clients.slice(1) }), [true, true, false, false])
      assert.deepStrictEqual(yield* offers({ clients, enterpriseManaged: true }), [true, true, true, true])
      assert.deepStrictEqual(yield* offers({ enterpriseManaged: "only" }), [false, false, false, true])
    }))

  it.effect("takes so many requests of one client, wherever they come from, and so many of one address", () =>
    Effect.gen(function*() {
      const watch = new Watch()
      const settings = { requestsPerMinute: 3, trustedProxies: 1 }
      const { one, refreshment, register } = yield* tokenServers({ watch, settings })
      const { client_id: first } = yield* register()
      const { client_id: second } = yield* register({ client_name: "Other" })
      const ask = (clientId: string, address: string) =>
        Effect.map(one.token(refreshment(clientId, "x"), { "x-forwarded-for": address }), ({ status }) => status)
      const statuses = yield* Effect.forEach(
        ["192.0.2.1", "192.0.2.2", "192.0.2.3", "192.0.2.4"],
        (address) => ask(first, address)
      )
      assert.deepStrictEqual(statuses, [400, 400, 400, 429])
      assert.strictEqual(yield* ask(second, "192.0.2.4"), 400)
      assert.strictEqual(yield* ask(second, "192.0.2.4"), 400)
      assert.strictEqual(yield* ask("nobody", "192.0.2.4"), 429)
      assert.strictEqual(yield* ask("nobody", "192.0.2.5"), 401)
      for (const by of ["client", "address"]) {
        assert.strictEqual(countOf(watch, "okta_rate_limited", { endpoint: "token", by }), 1)
      }
    }))
})

describe("a proof at the token endpoint (RFC 9449 section 5)", () => {
  it.effect("is for this request of this server's, and leaves the code good where it is not", () =>
    Effect.gen(function*() {
      const { approve, one, redemption, register } = yield* tokenServers()
      const { client_id } = yield* register()
      const form = redemption(client_id, yield* approve(client_id))
      const wrong: ReadonlyArray<Otherwise> = [
        { claims: { htm: "GET" } },
        { claims: { htu: serverUrl } },
        { claims: { htu: `${serverUrl}/mcp` } },
        { claims: { htu: "https://other.example.com/oauth/token" } }
      ]
      for (const otherwise of wrong) {
        assertRefused(yield* one.token(form, tokenProof(key, otherwise)), 400, "invalid_dpop_proof")
      }
      assertRefused(yield* one.token(form, { dpop: "" }), 400, "invalid_dpop_proof")
      const { body } = yield* one.token(form, tokenProof(key))
      assert.strictEqual(body["token_type"], "DPoP")
    }))

  it.effect("is needed where the settings say so, or the client has said so of itself", () =>
    Effect.gen(function*() {
      const { approve, one, other, redemption, register } = yield* tokenServers({
        settingsOfOther: { dpop: "require" }
      })
      const { client_id: free } = yield* register({ dpop_bound_access_tokens: false })
      const { client_id: bound } = yield* register({ dpop_bound_access_tokens: true })
      const ofFree = redemption(free, yield* approve(free))
      const ofBound = redemption(bound, yield* approve(bound))
      assertRefused(yield* one.token(ofBound), 400, "invalid_dpop_proof")
      assertRefused(yield* other.token(ofFree), 400, "invalid_dpop_proof")
      assert.strictEqual((yield* one.token(ofFree)).body["token_type"], "Bearer")
      assert.strictEqual((yield* one.token(ofBound, tokenProof(key))).body["token_type"], "DPoP")
    }))

  it.effect("means nothing where the settings turn it off", () =>
    Effect.gen(function*() {
      const { approve, one, redemption, register } = yield* tokenServers({ settings: { dpop: "off" } })
      const { client_id } = yield* register()
      const { body } = yield* one.token(redemption(client_id, yield* approve(client_id)), { dpop: "x" })
      assert.strictEqual(body["token_type"], "Bearer")
      assert.notProperty(claimsOf(body["access_token"]), "cnf")
    }))
})
