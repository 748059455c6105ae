import { assert, describe, it } from "@effect/vitest"
import { Context, DateTime, Effect, Layer } from "effect"
import { TestClock } from "effect/testing"
import { ada, uidOf, webClient } from "../../../src/demo/StandInDirectory.ts"
import { sendJson } from "../../../src/demo/StandInProvider.ts"
import type { AuditEvent } from "../../../src/observe/AuditEvent.ts"
import { jwtBearer } from "../../../src/proxy/grant/GrantTypes.ts"
import { Grants } from "../../../src/proxy/Grants.ts"
import * as MemoryStore from "../../../src/store/MemoryStore.ts"
import { Store } from "../../../src/store/Store.ts"
import * as HeaderPolicy from "../../../src/token/HeaderPolicy.ts"
import { basic } from "../../support/Credentials.ts"
import * as DocumentHost from "../../support/DocumentHost.ts"
import { authenticated, idJagScene, proofOf, publicKey, secretOfOther, typ } from "../../support/IdJagScene.ts"
import { OktaStandIn } from "../../support/OktaStandIn.ts"
import {
  assertRefused,
  assertSentBack,
  callbackUrl,
  claimsOf,
  membersOf,
  now,
  redirectUri,
  serverUrl,
  timed
} from "../../support/ProxyScene.ts"
import { assertHidden, partsOf } from "../../support/Watch.ts"
import { fallible } from "./TokenServer.ts"

const mcp = `${serverUrl}/mcp`

describe("a client that brings Okta's word for a person (ID-JAG)", () => {
  it.effect("gets an access token for that person, with no page and no refresh token", () =>
    Effect.gen(function*() {
      const { bring, idJag, one } = yield* idJagScene()
      const answer = yield* bring(
        yield* idJag({ sub: uidOf(ada), groups: ["Engineering"], amr: ["mfa"], auth_time: now - 60, acr: "high" })
      )
      assert.strictEqual(answer.status, 200, answer.body)
      assert.strictEqual(answer.headers.get("cache-control"), "no-store")
      const { access_token, ...rest } = membersOf(answer)
      assert.deepStrictEqual(rest, { token_type: "Bearer", expires_in: 3600, scope: "mcp:read mcp:write" })
      assert.deepInclude(claimsOf(String(access_token)), {
        iss: serverUrl,
        aud: mcp,
        sub: uidOf(ada),
        client_id: "agent",
        exp: now + 3600
      })
      const { sessionId, ...principal } = membersOf(yield* one.call(String(access_token)))
      assert.isString(sessionId)
      assert.deepStrictEqual(principal, {
        _tag: "User",
        subject: uidOf(ada),
        uid: uidOf(ada),
        username: uidOf(ada),
        email: "ada@example.com",
        groups: ["Engineering"],
        scopes: ["mcp:read", "mcp:write"],
        clientId: "agent",
        acr: "high",
        amr: ["mfa"],
        authTime: now - 60
      })
    }))

  it.effect("gets fewer scopes when it asks for fewer, and never one that is not known", () =>
    Effect.gen(function*() {
      const { bring, idJag } = yield* idJagScene()
      const cases = [
        ["mcp:read mcp:write", "mcp:read", "mcp:read"],
        ["mcp:read", "mcp:read mcp:write", "mcp:read"],
        ["mcp:write unheard:of offline_access mcp:write", undefined, "mcp:write"],
        // Where Okta says nothing of scopes, what every route demands.
        [undefined, undefined, "mcp:read"]
      ] as const
      for (const [allowed, asked, given] of cases) {
        const answer = yield* bring(yield* idJag({ scope: allowed }), { scope: asked })
        assert.strictEqual(membersOf(answer)["scope"], given, answer.body)
      }
      assertRefused(yield* bring(yield* idJag({ scope: "mcp:write" }), { scope: "mcp:read" }), 400, "invalid_scope")
      assertRefused(yield* bring(yield* idJag({ scope: "unheard:of" })), 400, "invalid_grant")
      assertRefused(yield* bring(yield* idJag({ scope: "" })), 400, "invalid_grant")
    }))

  it.effect("gets it for the resource that Okta named, and no other", () =>
    Effect.gen(function*() {
      const { bring, idJag } = yield* idJagScene()
      for (const resource of [serverUrl, `${serverUrl}/`]) {
        const { access_token } = membersOf(yield* bring(yield* idJag({ resource }), { resource }))
        assert.strictEqual(claimsOf(String(access_token))["aud"], serverUrl)
      }
      assert.strictEqual((yield* bring(yield* idJag(), { resource: mcp })).status, 200)
      assertRefused(yield* bring(yield* idJag(), { resource: serverUrl }), 400, "invalid_target")
    }))

  it.effect("may be any that has a secret or key and is known without having registered itself", () =>
    Effect.gen(function*() {
      const { clientId, clientSecret, idJag, one, start } = yield* idJagScene({
        client: { token_endpoint_auth_method: "client_secret_basic" },
        environment: DocumentHost.loopback
      })
      const bring = (assertion: string, headers = {}, server = one, more = {}) =>
        server.token({ grant_type: jwtBearer, assertion, ...more }, headers)
      const ofOther = yield* idJag({ client_id: "other" })
      assert.strictEqual((yield* bring(ofOther, basic("other", secretOfOther))).status, 200)

      assertRefused(
        yield* bring(yield* idJag({ client_id: "public" }), {}, one, { client_id: "public" }),
        400,
        "unauthorized_client"
      )
      const registered = yield* idJag({ client_id: clientId })
      assertRefused(yield* bring(registered, basic(clientId, clientSecret)), 400, "unauthorized_client")
      assertRefused(yield* bring(yield* idJag(), basic("other", "x".repeat(32))), 401, "invalid_client")
      assertRefused(yield* bring(yield* idJag(), {}, one, { client_id: "agent" }), 401, "invalid_client")
      assertRefused(yield* bring(yield* idJag()), 401, "invalid_client")

      const registration = yield* one.ask("/oauth/register", {
        headers: { "content-type": "application/json" },
        body: JSON.stringify({ redirect_uris: [redirectUri], grant_types: ["authorization_code", jwtBearer] })
      })
      assert.strictEqual(registration.status, 400)
      assert.deepInclude(membersOf(registration), { error: "invalid_client_metadata" })

      // By a document at the URL that is its id: one that nobody is sent to needs no redirect URIs.
      const server = yield* start({ clientMetadataDocuments: true })
      const origin = yield* DocumentHost.documents({
        client_name: "An agent",
        redirect_uris: [],
        grant_types: [jwtBearer],
        token_endpoint_auth_method: "private_key_jwt",
        jwks: { keys: [publicKey] }
      })
      const id = `${origin}/agent.json`
      const known = yield* bring(yield* idJag({ client_id: id }), {}, server, yield* authenticated(id))
      assert.strictEqual(known.status, 200, known.body)
      const publicOrigin = yield* DocumentHost.documents({ client_name: "A desktop", redirect_uris: [redirectUri] })
      const publicId = `${publicOrigin}/desktop.json`
      assertRefused(
        yield* bring(yield* idJag({ client_id: publicId }), {}, server, { client_id: publicId }),
        400,
        "unauthorized_client"
      )
    }))

  it.effect("is told of the grant in the metadata, if it is to be had", () =>
    Effect.gen(function*() {
      const { idJag, one, start } = yield* idJagScene()
      const metadata = (server = one) => Effect.map(server.ask("/.well-known/oauth-authorization-server"), membersOf)
      assert.deepInclude(yield* metadata(), {
        grant_types_supported: ["authorization_code", "refresh_token", jwtBearer],
        authorization_grant_profiles_supported: ["urn:ietf:params:oauth:grant-profile:id-jag"]
      })
      const without = yield* start({ enterpriseManaged: false, clients: [] })
      const told = yield* metadata(without)
      assert.deepStrictEqual(told["grant_types_supported"], ["authorization_code", "refresh_token"])
      assert.notProperty(told, "authorization_grant_profiles_supported")
      assertRefused(
        yield* without.token({ grant_type: jwtBearer, assertion: yield* idJag(), client_id: "agent" }),
        400,
        "unsupported_grant_type"
      )
    }))
})

describe("an ID-JAG that is not in order", () => {
  it.effect("is refused, whatever is missing, wrong or of the wrong type", () =>
    Effect.gen(function*() {
      const { bring, idJag } = yield* idJagScene()
      const mistyped = [null, 0, 7, true, [], ["agent"], {}, ""]
      const texts = ["iss", "sub", "client_id", "resource", "jti"]
      const bad: ReadonlyArray<readonly [string, Readonly<Record<string, unknown>>]> = [
        ...[...texts, "aud", "iat", "exp"].flatMap((claim) =>
          [undefined, ...mistyped].filter((value) => claim !== "exp" && claim !== "iat" || typeof value !== "number")
            .map((value) => [`${claim} ${JSON.stringify(value)}`, { [claim]: value }] as const)
        ),
        ...[null, 0, true, ["mcp:read"], {}].map((scope) => [`scope ${JSON.stringify(scope)}`, { scope }] as const),
        ["other issuer", { iss: "https://evil.okta.com" }],
        ["issuer with a slash", { iss: "https://acme.okta.com/" }],
        ["other audience", { aud: "https://other.example.com" }],
        ["audience with a slash", { aud: `${serverUrl}/` }],
        ["audience of one in a list", { aud: [serverUrl] }],
        ["two audiences", { aud: [serverUrl, "https://other.example.com"] }],
        ["its resource as audience", { aud: mcp }],
        ["other client", { client_id: "other" }],
        ["client in capitals", { client_id: "AGENT" }],
        ["bound to a key that nobody proves", { cnf: { jkt: "x".repeat(43) } }],
        ["bound by other means", { cnf: { "x5t#S256": "x".repeat(43) } }],
        ["other resource", { resource: "https://other.example.com/mcp" }],
        ["resource below", { resource: `${mcp}/more` }],
        ["resource with a fragment", { resource: `${mcp}#x` }],
        ["two resources", { resource: [mcp, serverUrl] }],
        ["expired", { iat: now - 331, exp: now - 31 }],
        ["expired, at the very end of the tolerance", { iat: now - 330, exp: now - 30 }],
        ["from the future", { iat: now + 31, exp: now + 300 }],
        ["not yet", { nbf: now + 31 }],
        ["good for too long", { iat: now, exp: now + 301 }],
        ["fraction", { exp: now + 0.5 }],
        ["text for a time", { exp: String(now + 60) }]
      ]
      for (const [what, claims] of bad) {
        const answer = yield* bring(yield* idJag(claims))
        assert.strictEqual(answer.status, 400, `${what}: ${answer.body}`)
        assertRefused(answer, 400, "invalid_grant")
      }
      for (
        const claims of [{}, { iat: now - 299, exp: now + 1 }, { iat: now - 329, exp: now - 29 }, { iat: now + 30 }]
      ) {
        const answer = yield* bring(yield* idJag(claims))
        assert.strictEqual(answer.status, 200, answer.body)
      }
    }))

  it.effect("is refused by its header: every typ but the one, other algorithms, keys of its own", () =>
    Effect.gen(function*() {
      const { bring, idJag } = yield* idJagScene()
      const headers = [
        { typ: undefined },
        ...["JWT", "at+jwt", "application/oauth-id-jag+jwt", "OAUTH-ID-JAG+JWT", `${typ} `, "logout+jwt", ""].map((
          typ
        ) => ({ typ })),
        { typ: [typ] },
        { alg: "none" },
        { alg: "HS256" },
        { alg: "RS512" },
        { kid: undefined },
        { kid: "nobody's" },
        { crit: ["x"] },
        { jku: "https://evil.example.com/keys" },
        { jwk: publicKey }
      ]
      for (const header of headers) {
        assertRefused(yield* bring(yield* idJag({}, header)), 400, "invalid_grant")
      }
      const good = yield* idJag()
      for (
        const text of [good.slice(0, -1), `${good}A`, good.replace(/\.[^.]*$/, "."), "x", "a.b.c", `${good}.${good}`]
      ) {
        assertRefused(yield* bring(text), 400, "invalid_grant")
      }
      assertRefused(yield* bring(yield* idJag("{}")), 400, "invalid_grant")
      assertRefused(yield* bring(yield* idJag("[1]")), 400, "invalid_grant")
      assertRefused(yield* bring(""), 400, "invalid_request")
      assert.strictEqual((yield* bring(good)).status, 200)
    }))

  it.effect("is refused when another issuer signed it, be it in the name of this one", () =>
    Effect.gen(function*() {
      const { bring, okta } = yield* idJagScene()
      const other = yield* OktaStandIn.make()
      for (const iss of [okta.issuer, other.issuer]) {
        for (const kid of [yield* okta.signingKey, yield* other.signingKey]) {
          const forged = yield* other.mint(
            {
              iss,
              sub: "00u1ada",
              aud: serverUrl,
              client_id: "agent",
              resource: mcp,
              jti: "forged",
              iat: now,
              exp: now + 60,
              cid: undefined,
              scp: undefined
            },
            { typ, kid }
          )
          assertRefused(yield* bring(forged), 400, "invalid_grant")
        }
      }
    }))

  it.effect("is refused to another client, and stays good for its own; no log, span or metric has it", () =>
    Effect.gen(function*() {
      const { bring, idJag, one, watch } = yield* idJagScene()
      const assertion = yield* idJag()
      assertRefused(
        yield* one.token({ grant_type: jwtBearer, assertion }, basic("other", secretOfOther)),
        400,
        "invalid_grant"
      )
      const answer = yield* bring(assertion)
      assert.strictEqual(answer.status, 200)
      assertRefused(yield* bring(assertion), 400, "invalid_grant")
      assert.include(watch.text, "was issued for another client")
      assert.include(watch.text, "has been used before")
      assertHidden(watch.text, [...partsOf(assertion), ...partsOf(String(membersOf(answer)["access_token"]))])
    }))
})

describe("an ID-JAG is good once", () => {
  it.effect("on every server of the deployment, however many come with it at the same time", () =>
    Effect.gen(function*() {
      const events: Array<AuditEvent> = []
      const { bring, idJag, one, start } = yield* idJagScene({
        settings: { audit: (event) => Effect.sync(() => void events.push(event)) }
      })
      const replica = yield* start()
      const first = yield* idJag()
      assert.strictEqual((yield* bring(first)).status, 200)
      assertRefused(yield* bring(first), 400, "invalid_grant")
      assertRefused(yield* bring(first, {}, replica), 400, "invalid_grant")

      const contested = yield* idJag()
      const answers = yield* Effect.all(
        Array.from({ length: 20 }, (_, index) => bring(contested, {}, index % 2 === 0 ? one : replica)),
        { concurrency: "unbounded" }
      )
      assert.deepStrictEqual(answers.map(({ status }) => status).sort(), [
        200,
        ...Array.from({ length: 19 }, () => 400)
      ])

      // The same id is another one's own business where somebody else issued it; here it is the same issuer.
      const id = "IDAAG.the-same"
      assert.strictEqual((yield* bring(yield* idJag({ jti: id }))).status, 200)
      assertRefused(yield* bring(yield* idJag({ jti: id, sub: "00u2bob" })), 400, "invalid_grant")

      yield* Effect.yieldNow
      const replays = events.flatMap((event) => event._tag === "ReplayDetected" ? [event] : [])
      assert.strictEqual(replays.length, 22)
      assert.deepInclude(replays[0], { what: "ID-JAG", clientId: "agent" })
      assert.strictEqual(events.filter(({ _tag }) => _tag === "TokensIssued").length, 3)
    }))

  it.effect("until its time is over, with the tolerance that it is accepted for", () =>
    Effect.gen(function*() {
      const { bring, idJag } = yield* idJagScene()
      const assertion = yield* idJag()
      assert.strictEqual((yield* bring(assertion)).status, 200)
      for (const seconds of [299, 15, 14]) {
        yield* TestClock.adjust(`${seconds} seconds`)
        assertRefused(yield* bring(assertion), 400, "invalid_grant")
      }
    }))
})

describe("one kind of token is not taken for another", () => {
  it.effect("an ID-JAG is no bearer token, code, refresh token or client assertion", () =>
    Effect.gen(function*() {
      const { bring, idJag, one, redemption, refreshment } = yield* idJagScene()
      const assertion = yield* idJag()
      const asAccessToken = yield* one.call(assertion)
      assert.strictEqual(asAccessToken.status, 401)
      assert.include(asAccessToken.headers.get("www-authenticate"), "invalid_token")
      assertRefused(yield* one.token(refreshment(assertion)), 400, "invalid_grant")
      assertRefused(yield* one.token(redemption(assertion)), 400, "invalid_grant")
      // With the very claims that a client assertion has.
      const client_assertion = yield* idJag({ iss: "agent", sub: "agent" })
      assertRefused(yield* bring(yield* idJag(), { client_assertion }), 401, "invalid_client")
      assert.strictEqual((yield* bring(assertion)).status, 200)
    }))

  it.effect("an ID-JAG is no ID token, though it has the very claims of one", () =>
    Effect.gen(function*() {
      const scene = yield* idJagScene()
      const outcome = Effect.fnUntraced(function*(header: Readonly<Record<string, unknown>>) {
        const browser = scene.browser()
        const toOkta = yield* scene.allow(browser)
        const nonce = toOkta.location.searchParams.get("nonce")
        const id_token = yield* scene.idJag({ aud: webClient.clientId, client_id: undefined, nonce }, header)
        yield* scene.okta.respond("token", (_, response) =>
          sendJson(response, 200, {
            access_token: "an access token",
            token_type: "Bearer",
            expires_in: 3600,
            id_token
          }))
        return yield* browser.ask(callbackUrl(toOkta, { code: "code" }))
      })
      assertSentBack(yield* outcome({}), "server_error")
      const good = yield* outcome({ typ: undefined })
      assert.isTrue(good.location.searchParams.has("code"), good.location.href)
    }))

  it.effect("access tokens, ID tokens and client assertions are no ID-JAGs", () =>
    Effect.gen(function*() {
      const { bring, clientId, idJag, okta, oktaAnswers, signIn } = yield* idJagScene()
      const { accessToken, refreshToken } = yield* signIn()
      const { access_token, id_token } = JSON.parse(oktaAnswers.at(-1) ?? "{}")
      const own = yield* bring(yield* idJag())
      for (
        const text of [
          accessToken,
          refreshToken,
          String(access_token),
          String(id_token),
          String(membersOf(own)["access_token"]),
          yield* proofOf("agent"),
          yield* okta.mint({ aud: serverUrl, client_id: "agent" }),
          clientId
        ]
      ) {
        assert.isAbove(text.length, 20)
        assertRefused(yield* bring(text), 400, "invalid_grant")
      }
    }))

  it("by the header alone, whatever the claims", () => {
    const kinds = ["access-token", "id-token", "id-jag"] as const
    const accepted = (typ: unknown) =>
      kinds.filter((kind) =>
        !(HeaderPolicy.check(
          { alg: "RS256", kid: "k", ...(typ === undefined ? {} : { typ }) },
          ["RS256"],
          kind
        ) instanceof
          Error)
      )
    assert.deepStrictEqual(accepted(typ), ["id-jag"])
    assert.deepStrictEqual(accepted("JWT"), ["access-token", "id-token"])
    assert.deepStrictEqual(accepted(undefined), ["access-token", "id-token"])
    assert.deepStrictEqual(accepted("at+jwt"), ["access-token"])
  })
})

describe("what is away", () => {
  it.effect("Okta's keys: 503, never invalid_grant, and the ID-JAG stays good", () =>
    Effect.gen(function*() {
      const { bring, idJag, okta, start } = yield* idJagScene()
      const assertion = yield* idJag()
      yield* okta.outage("refuse")
      const away = yield* timed(bring(assertion, {}, yield* start()))
      assertRefused(away.value, 503, "temporarily_unavailable")
      yield* okta.lift
      // A server that starts once Okta is back, on the same store.
      const answer = yield* bring(assertion, {}, yield* start())
      assert.strictEqual(answer.status, 200, answer.body)
    }))

  it.effect("the store: 503, and the ID-JAG stays good", () =>
    Effect.gen(function*() {
      yield* TestClock.setTime(now * 1000)
      const { service, state } = fallible(Context.get(yield* Layer.build(Layer.fresh(MemoryStore.layer)), Store))
      const { idJag, one } = yield* idJagScene({ store: Layer.succeed(Store, service) })
      const assertion = yield* idJag({ client_id: "other" })
      const bring = one.token({ grant_type: jwtBearer, assertion }, basic("other", secretOfOther))
      for (const operation of ["put", "putIfAbsent"] as const) {
        state.down = operation
        assertRefused(yield* bring, 503, "temporarily_unavailable")
      }
      state.down = false
      const answer = yield* bring
      assert.strictEqual(answer.status, 200, answer.body)
      // Access tokens go on while the store is away.
      state.down = true
      assert.strictEqual((yield* one.call(String(membersOf(answer)["access_token"]))).status, 200)
      assertRefused(yield* bring, 503, "temporarily_unavailable")
    }))

  it.effect("a key that Okta has withdrawn: invalid_grant", () =>
    Effect.gen(function*() {
      const { bring, idJag, okta, start } = yield* idJagScene()
      const assertion = yield* idJag()
      const old = yield* okta.signingKey
      yield* okta.rotateKeys
      yield* okta.withdrawKey(old)
      assertRefused(yield* bring(assertion, {}, yield* start()), 400, "invalid_grant")
    }))

  it.effect("admit: who is refused gets invalid_grant, and who cannot be decided about 503", () =>
    Effect.gen(function*() {
      const events: Array<AuditEvent> = []
      let isAway = true
      const { bring, idJag, one } = yield* idJagScene({
        settings: {
          admit: { groups: "Engineering", check: () => isAway ? Effect.fail("away") : Effect.succeed(true) },
          audit: (event) => Effect.sync(() => void events.push(event))
        }
      })
      assertRefused(yield* bring(yield* idJag({ groups: ["Sales"] })), 400, "invalid_grant")
      const assertion = yield* idJag({ groups: ["Engineering"] })
      assertRefused(yield* bring(assertion), 503, "temporarily_unavailable")
      isAway = false
      const answer = yield* bring(assertion)
      assert.strictEqual(answer.status, 200, answer.body)
      assert.deepInclude(membersOf(yield* one.call(String(membersOf(answer)["access_token"]))), {
        groups: ["Engineering"]
      })
      yield* Effect.yieldNow
      const refused = events.find(({ _tag }) => _tag === "AdmissionRefused")
      assert.deepInclude(refused, { clientId: "agent", subject: "00u1ada", scopes: ["mcp:read", "mcp:write"] })
    }))
})

describe("the grant of an ID-JAG", () => {
  it.effect("is listed among those of its person, and ends with them; what Okta said before does not come back", () =>
    Effect.gen(function*() {
      const scene = yield* idJagScene()
      const { bring, idJag, one } = scene
      const grants = Context.get(yield* Effect.orDie(Layer.build(scene.auth())), Grants)
      const token = String(membersOf(yield* bring(yield* idJag()))["access_token"])
      const unused = yield* idJag()
      const [listed] = yield* grants.list({ person: "00u1ada" })
      assert.deepInclude(listed, { clientId: "agent", resource: mcp, scopes: ["mcp:read", "mcp:write"] })
      yield* TestClock.adjust("2 seconds")
      yield* grants.endAll({ person: "00u1ada" })
      assert.strictEqual((yield* one.call(token)).status, 401)
      assertRefused(yield* bring(unused), 400, "invalid_grant")
      assert.deepStrictEqual(yield* grants.list({ person: "00u1ada" }), [])
      yield* TestClock.adjust("2 seconds")
      assert.strictEqual((yield* bring(yield* idJag())).status, 200)
    }))

  it.effect("ends by revocation, on every server", () =>
    Effect.gen(function*() {
      const { bring, idJag, one, start } = yield* idJagScene()
      const replica = yield* start()
      const token = String(membersOf(yield* bring(yield* idJag({ resource: serverUrl })))["access_token"])
      const upstream = yield* one.ask("/upstream", { headers: { authorization: `Bearer ${token}` } })
      assert.deepStrictEqual(membersOf(upstream), { _tag: "NoUpstreamTokens" })
      assert.strictEqual((yield* replica.call(token)).status, 200)
      // Somebody else's wish changes nothing.
      assert.strictEqual((yield* one.revoke({ token }, basic("other", secretOfOther))).status, 200)
      assert.strictEqual((yield* replica.call(token)).status, 200)
      assert.strictEqual((yield* one.revoke({ token, ...yield* authenticated("agent") })).status, 200)
      for (const server of [one, replica]) assert.strictEqual((yield* server.call(token)).status, 401)
    }))

  it.effect("ends with its access token, after an hour", () =>
    Effect.gen(function*() {
      const { bring, idJag, one } = yield* idJagScene()
      const token = String(membersOf(yield* bring(yield* idJag({ resource: serverUrl })))["access_token"])
      yield* TestClock.adjust("59 minutes")
      assert.strictEqual((yield* one.call(token)).status, 200)
      const upstream = yield* one.ask("/upstream", { headers: { authorization: `Bearer ${token}` } })
      assert.deepStrictEqual(membersOf(upstream), { _tag: "NoUpstreamTokens" })
      assert.strictEqual((yield* one.call(token)).status, 200)
      yield* TestClock.adjust("2 minutes")
      assert.strictEqual((yield* one.call(token)).status, 401)
    }))

  it.effect("ends by revokedBefore, by which older ID-JAGs are refused as well", () =>
    Effect.gen(function*() {
      const { bring, idJag, start } = yield* idJagScene()
      const token = String(membersOf(yield* bring(yield* idJag()))["access_token"])
      const unused = yield* idJag()
      yield* TestClock.adjust("10 seconds")
      const time = DateTime.formatIso(DateTime.makeUnsafe((now + 5) * 1000))
      const server = yield* start({ revokedBefore: time })
      assert.strictEqual((yield* server.call(token)).status, 401)
      assertRefused(yield* bring(unused, {}, server), 400, "invalid_grant")
      assert.strictEqual((yield* bring(yield* idJag(), {}, server)).status, 200)
    }))
})

describe("enterpriseManaged: \"only\"", () => {
  it.effect("nobody comes in otherwise, and every way in says so", () =>
    Effect.gen(function*() {
      const { authorizeUrl, bring, browser, code, idJag, redemption, refreshment, signIn, start } = yield* idJagScene()
      const { refreshToken } = yield* signIn()
      const unredeemed = yield* code()
      const only = yield* start({ enterpriseManaged: "only" })
      const metadata = membersOf(yield* only.ask("/.well-known/oauth-authorization-server"))
      assert.deepInclude(metadata, {
        grant_types_supported: [jwtBearer],
        response_types_supported: [],
        scopes_supported: ["mcp:read", "mcp:write"],
        token_endpoint_auth_methods_supported: ["client_secret_basic", "client_secret_post", "private_key_jwt"]
      })
      for (const field of ["registration_endpoint", "code_challenge_methods_supported", "response_modes_supported"]) {
        assert.notProperty(metadata, field)
      }
      for (const url of [authorizeUrl(), "/oauth/callback?code=x&state=y", "/oauth/consent"]) {
        const page = yield* browser(only).ask(url)
        assert.strictEqual(page.status, 403)
        assert.include(page.body, "Nobody signs in here")
        assert.include(page.headers.get("content-security-policy"), "frame-ancestors 'none'")
        assert.isFalse(page.headers.has("set-cookie"))
      }
      const registration = yield* only.ask("/oauth/register", {
        headers: { "content-type": "application/json" },
        body: JSON.stringify({ redirect_uris: [redirectUri] })
      })
      assertRefused(registration, 403, "access_denied")
      assertRefused(yield* only.token(redemption(unredeemed)), 400, "unsupported_grant_type")
      assertRefused(yield* only.token(refreshment(refreshToken)), 400, "unsupported_grant_type")
      assert.strictEqual((yield* bring(yield* idJag(), {}, only)).status, 200)
    }))
})
