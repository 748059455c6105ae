import { assert, describe, it } from "@effect/vitest"
import { Cause, Effect, Exit, Layer, Redacted } from "effect"
import { TestClock } from "effect/testing"
import type { OktaOptions } from "../../../src/config/OktaConfig.ts"
import { OktaConfig } from "../../../src/config/OktaConfig.ts"
import { serviceClient } from "../../../src/demo/StandInDirectory.ts"
import type { AuditEvent } from "../../../src/observe/AuditEvent.ts"
import { ClientRegistry } from "../../../src/proxy/client/ClientRegistry.ts"
import { Registration } from "../../../src/proxy/client/Registration.ts"
import { Sealed } from "../../../src/proxy/Sealed.ts"
import { exchange, serve } from "../../cli/Serving.ts"
import { basic } from "../../support/Credentials.ts"
import { authenticated, publicKey, secretOfOther } from "../../support/IdJagScene.ts"
import { OktaStandIn } from "../../support/OktaStandIn.ts"
import { assertRefused, type Changes, claimsOf, make, membersOf, now, serverUrl } from "../../support/ProxyScene.ts"
import { build, configLayer } from "../ProxyTest.ts"

const mcp = `${serverUrl}/mcp`
const secret = "m".repeat(32)

const clients: NonNullable<OktaOptions["clients"]> = [
  { clientId: "job", keys: [publicKey], serviceScopes: ["mcp:read", "mcp:write"] },
  { clientId: "other", clientSecrets: [Redacted.make(secretOfOther)], serviceScopes: ["mcp:read"] },
  {
    clientId: "web",
    clientSecrets: [Redacted.make(secretOfOther)],
    redirectUris: ["https://web.example.com/callback"]
  },
  { clientId: "files", clientSecrets: [Redacted.make(secret)], mayIntrospect: true }
]

const arrange = Effect.fnUntraced(function*(settings: Parameters<typeof make>[0] = {}) {
  const scene = yield* make({ ...settings, settings: { clients, ...settings.settings } })
  const ask = (changes: Changes = {}, server = scene.one) =>
    Effect.flatMap(
      authenticated("job"),
      (proof) => server.token({ grant_type: "client_credentials", resource: mcp, ...proof, ...changes })
    )
  return { ...scene, ask }
})

describe("a service that asks for a token of its own (client_credentials)", () => {
  it.effect("gets one for itself, with the scopes that are listed for it and no refresh token", () =>
    Effect.gen(function*() {
      const events: Array<AuditEvent> = []
      const { ask, one } = yield* arrange({
        settings: { audit: (event) => Effect.sync(() => void events.push(event)) }
      })
      const answer = yield* ask()
      assert.strictEqual(answer.status, 200, answer.body)
      const { access_token, ...rest } = membersOf(answer)
      assert.deepStrictEqual(rest, { token_type: "Bearer", expires_in: 3600, scope: "mcp:read mcp:write" })
      assert.deepInclude(claimsOf(String(access_token)), {
        iss: serverUrl,
        aud: mcp,
        sub: "job",
        client_id: "job",
        exp: now + 3600
      })
      assert.deepStrictEqual(membersOf(yield* one.call(String(access_token))), {
        _tag: "Service",
        subject: "job",
        clientId: "job",
        scopes: ["mcp:read", "mcp:write"]
      })
      yield* Effect.yieldNow
      const issued = events.find(({ _tag }) => _tag === "ServiceTokenIssued")
      assert.deepInclude(issued, { clientId: "job", scopes: ["mcp:read", "mcp:write"], resource: mcp })
      yield* TestClock.adjust("61 minutes")
      assert.strictEqual((yield* one.call(String(access_token))).status, 401)
    }))

  it.effect("gets fewer scopes when it asks for fewer, and never one that is not listed for it", () =>
    Effect.gen(function*() {
      const { ask } = yield* arrange()
      assert.strictEqual(membersOf(yield* ask({ scope: "mcp:read" }))["scope"], "mcp:read")
      assert.strictEqual(membersOf(yield* ask({ scope: "mcp:read openid unheard:of" }))["scope"], "mcp:read")
      assertRefused(yield* ask({ scope: "unheard:of" }), 400, "invalid_scope")
      assertRefused(yield* ask({ scope: "offline_access" }), 400, "invalid_scope")
    }))

  it.effect("gets it for one of this server's resources, by default for the server as a whole", () =>
    Effect.gen(function*() {
      const { ask } = yield* arrange()
      for (const resource of [undefined, serverUrl, `${serverUrl}/`]) {
        const { access_token } = membersOf(yield* ask({ resource }))
        assert.strictEqual(claimsOf(String(access_token))["aud"], serverUrl)
      }
      for (const resource of ["https://other.example.com/mcp", `${mcp}/more`, `${mcp}#x`, "x"]) {
        assertRefused(yield* ask({ resource }), 400, "invalid_target")
      }
    }))

  it.effect("is one that the owner has listed, and proves that it is: nobody else", () =>
    Effect.gen(function*() {
      const { ask, clientId, clientSecret, one, register } = yield* arrange({
        client: { token_endpoint_auth_method: "client_secret_basic" }
      })
      const form = { grant_type: "client_credentials" }
      assert.strictEqual((yield* one.token(form, basic("other", secretOfOther))).status, 200)
      assertRefused(yield* one.token(form, basic("other", secret)), 401, "invalid_client")
      assertRefused(yield* one.token(form), 401, "invalid_client")
      assertRefused(yield* one.token({ ...form, client_id: "job" }), 401, "invalid_client")
      // Whose own clients sign people in, or introspect, or have registered themselves.
      assertRefused(yield* one.token(form, basic("web", secretOfOther)), 400, "unauthorized_client")
      assertRefused(yield* one.token(form, basic("files", secret)), 400, "unauthorized_client")
      assertRefused(yield* one.token(form, basic(clientId, clientSecret)), 400, "unauthorized_client")
      const registeredPublic = yield* register()
      assertRefused(yield* one.token({ ...form, client_id: registeredPublic.clientId }), 400, "unauthorized_client")
      const used = yield* authenticated("job")
      assert.strictEqual((yield* ask(used)).status, 200)
      assertRefused(yield* ask(used), 401, "invalid_client")
    }))

  it.effect("is told of the grant only where some client may use it", () =>
    Effect.gen(function*() {
      const { one, start } = yield* arrange()
      const grants = (server = one) =>
        Effect.map(server.ask("/.well-known/oauth-authorization-server"), (answer) =>
          membersOf(answer)["grant_types_supported"])
      assert.deepStrictEqual(yield* grants(), ["authorization_code", "refresh_token", "client_credentials"])
      const without = yield* start({ clients: clients.slice(2) })
      assert.deepStrictEqual(yield* grants(without), ["authorization_code", "refresh_token"])
      assertRefused(
        yield* without.token({ grant_type: "client_credentials" }, basic("web", secretOfOther)),
        400,
        "unsupported_grant_type"
      )
    }))

  it.effect("loses its token with its place in the list, by revokedBefore, and not by itself", () =>
    Effect.gen(function*() {
      const { ask, one, start } = yield* arrange()
      const token = String(membersOf(yield* ask())["access_token"])
      const introspect = (server = one) =>
        Effect.map(server.post("/oauth/introspect", { token }, basic("files", secret)), membersOf)
      assert.deepInclude(yield* introspect(), { active: true, sub: "job", scope: "mcp:read mcp:write" })

      assertRefused(yield* one.revoke({ token, ...yield* authenticated("job") }), 400, "unsupported_token_type")
      assert.strictEqual((yield* one.revoke({ token }, basic("other", secretOfOther))).status, 200)
      assert.strictEqual((yield* one.call(token)).status, 200)

      const [job, ...others] = clients
      const fewer = { clientId: "job", keys: [publicKey], serviceScopes: ["mcp:read"] }
      for (const left of [others, [{ ...fewer, serviceScopes: [] }, ...others], [fewer, ...others]]) {
        const server = yield* start({ clients: left })
        assert.strictEqual((yield* server.call(token)).status, 401)
        assert.deepStrictEqual(yield* introspect(server), { active: false })
      }
      assert.strictEqual(
        (yield* (yield* start({ clients: [...others, ...(job ? [job] : [])] })).call(token)).status,
        200
      )
      const later = yield* start({ revokedBefore: new Date((now + 1) * 1000) })
      assert.strictEqual((yield* later.call(token)).status, 401)
      assert.deepStrictEqual(yield* introspect(later), { active: false })
    }))

  it.effect("needs no store", () =>
    Effect.gen(function*() {
      const { one, writes } = yield* arrange()
      const before = writes.length
      const answer = yield* one.token({ grant_type: "client_credentials" }, basic("other", secretOfOther))
      assert.strictEqual(answer.status, 200)
      assert.strictEqual(writes.length, before)
    }))
})

describe("settings of services", () => {
  const problemsOf = (settings: Partial<OktaOptions>) =>
    Effect.map(
      build(
        Layer.provide(
          ClientRegistry.layer,
          Layer.provideMerge(Registration.layer, Layer.provideMerge(Sealed.layer, configLayer(settings)))
        )
      ),
      ({ problems }) => problems.map(({ field, message }) => `${field} ${message}`)
    )

  it.effect("a service without secrets and keys, which anybody could be, is a mistake", () =>
    Effect.gen(function*() {
      assert.deepStrictEqual(yield* problemsOf({ clients: [{ clientId: "job", serviceScopes: [] }] }), [
        "clients has serviceScopes without clientSecrets or keys, so that anybody could have them. Give one of them."
      ])
      assert.deepStrictEqual(yield* problemsOf({ clients: clients.slice(0, 2) }), [])
      assert.lengthOf(yield* problemsOf({ clients: [{ clientId: "agent", keys: [publicKey] }] }), 1)
      assert.deepStrictEqual(
        yield* problemsOf({ clients: [{ clientId: "agent", keys: [publicKey] }], enterpriseManaged: true }),
        []
      )
      // Without either it could not bring ID-JAGs.
      assert.lengthOf(yield* problemsOf({ clients: [{ clientId: "agent" }], enterpriseManaged: true }), 1)
    }))

  it.effect("passThrough, by which only Okta's tokens are accepted, goes with neither services nor ID-JAGs", () =>
    Effect.gen(function*() {
      const exit = yield* Effect.exit(Effect.provide(
        OktaConfig,
        configLayer({
          issuer: "https://acme.okta.com/oauth2/default",
          audience: "api://default",
          passThrough: true,
          enterpriseManaged: "only",
          clients
        })
      ))
      const message = Exit.isFailure(exit) ? Cause.pretty(exit.cause) : ""
      assert.include(message, "enterpriseManaged cannot be had with passThrough")
      assert.include(message, "clients have serviceScopes")
    }))
})

describe("a service in native mode", () => {
  it.effect("shows Okta's own client-credentials token, and is a Service", () =>
    Effect.gen(function*() {
      const okta = yield* OktaStandIn.make()
      const url = yield* serve(okta)
      const { accessToken } = yield* okta.clientCredentials()
      const { body, status } = yield* exchange(url, {
        method: "POST",
        headers: { "content-type": "application/json", authorization: `Bearer ${accessToken}` },
        body: JSON.stringify({ jsonrpc: "2.0", id: 1, method: "tools/call", params: { name: "whoami", arguments: {} } })
      })
      assert.strictEqual(status, 200)
      assert.deepStrictEqual(JSON.parse(body.toString()).result.structuredContent, {
        _tag: "Service",
        subject: serviceClient.clientId,
        clientId: serviceClient.clientId,
        scopes: ["mcp:read", "mcp:write"]
      })
    }))
})
