import { NodeHttpServer } from "@effect/platform-node"
import { assert, describe, it } from "@effect/vitest"
import { Context, Effect, Exit, Fiber, Layer, Redacted } from "effect"
import {
  HttpClient,
  HttpClientRequest,
  HttpRouter,
  HttpServer,
  HttpServerRequest,
  HttpServerResponse
} from "effect/http"
import { TestClock } from "effect/testing"
import fc from "fast-check"
import { createServer } from "node:http"
import { type ExchangeOptions, TokenExchange } from "../../src/behalf/TokenExchange.ts"
import { type Client, nativeClient, webClient } from "../../src/demo/StandInDirectory.ts"
import * as OktaAuth from "../../src/OktaAuth.ts"
import { CurrentPrincipal } from "../../src/token/Principal.ts"
import { type Answer, answering, make, type Options, undecided } from "../support/NativeScene.ts"
import { OktaStandIn } from "../support/OktaStandIn.ts"
import * as ProxyScene from "../support/ProxyScene.ts"
import { assertHidden } from "../support/Watch.ts"

const audience = "api://billing"

const exchanger = {
  clientId: "0oa5exchangesTokens7",
  type: "service",
  clientSecret: "exchanger-secret-of-forty-characters-000",
  onBehalf: { [audience]: ["invoices:read", "invoices:write"], "api://other": ["invoices:read"] }
} as const satisfies Client

const credentials = { clientId: exchanger.clientId, clientSecret: Redacted.make<string>(exchanger.clientSecret) }

const redirectUri = "http://127.0.0.1:45678/callback"

/** Asks the second API what it knows of who is calling. */
const invoices = (billing: string) =>
  Effect.gen(function*() {
    const { searchParams } = new URL((yield* HttpServerRequest.HttpServerRequest).url, "http://localhost")
    const { get } = yield* TokenExchange
    const principal = yield* CurrentPrincipal
    const { accessToken, expiresAt, scopes } = yield* get({
      audience: searchParams.get("audience") ?? audience,
      scopes: searchParams.get("scope")?.split(" ") ?? "invoices:read"
    }).pipe(
      Effect.provideService(CurrentPrincipal, searchParams.has("copy") ? { ...principal } : principal)
    )
    const request = HttpClientRequest.get(`${billing}/whoami`).pipe(HttpClientRequest.bearerToken(accessToken))
    const answer = yield* HttpClient.execute(request)
    return HttpServerResponse.jsonUnsafe({ expiresAt, scopes, status: answer.status, caller: yield* answer.json })
  }).pipe(
    Effect.tapError((error) => Effect.logError(error)),
    Effect.catch((error) =>
      Effect.succeed(HttpServerResponse.jsonUnsafe(
        { _tag: error._tag, ..."error" in error ? { error: error.error } : {} },
        { status: 500 }
      ))
    )
  )

const app = (billing: string, options: Partial<ExchangeOptions> = {}) =>
  Layer.unwrap(
    Effect.map(Effect.context<TokenExchange | HttpClient.HttpClient>(), (services) =>
      HttpRouter.add("GET", "/invoices", Effect.provideContext(invoices(billing), services)).pipe(
        Layer.provide(OktaAuth.guard().layer)
      ))
  ).pipe(
    Layer.provide(TokenExchange.layer({ ...credentials, ...options })),
    Layer.orDie
  )

const arrange = Effect.fnUntraced(function*(options: Partial<ExchangeOptions> = {}) {
  const scene = yield* make({ clients: [nativeClient, exchanger] })
  const billing = yield* scene.serve({ audience })
  const server = yield* scene.serve({}, app(billing.url, options))
  const signIn = (login?: string) =>
    Effect.map(
      scene.okta.signIn({ redirectUri, ...login === undefined ? {} : { login } }),
      ({ accessToken }) => accessToken
    )
  const token = yield* signIn()
  /** How often Okta was asked for a token since the person signed in. */
  const before = yield* scene.okta.requests("token")
  const asked = Effect.map(scene.okta.requests("token"), (now) => now - before)
  return { ...scene, billing, server, token, signIn, asked }
})

const caller = { _tag: "User", subject: "ada@example.com", clientId: exchanger.clientId, scopes: ["invoices:read"] }

describe("a handler that calls another API", () => {
  it.effect("does so in the person's name, and the other API sees who acts for whom", () =>
    Effect.gen(function*() {
      const { asked, billing, server, token, watch } = yield* arrange()
      const { body, status } = yield* server.ask(token, "/invoices")
      assert.strictEqual(status, 200)
      assert.deepNestedInclude(body, { status: 200, scopes: ["invoices:read"], "caller.subject": caller.subject })
      assert.deepNestedInclude(body, {
        "caller.clientId": exchanger.clientId,
        "caller.actor": { subject: exchanger.clientId },
        "caller.scopes": ["invoices:read"]
      })
      assert.strictEqual(yield* asked, 1)
      // The caller's own token is of no use there.
      assert.strictEqual((yield* billing.ask(token)).status, 401)
      assert.isTrue(watch.spans.some(({ name }) => name === "okta.upstream.onBehalf"))
      assertHidden(watch.text, [token, ...token.split(".").slice(1), exchanger.clientSecret])
    }))

  it.effect("gets the same token again until shortly before its end, for the same caller, audience and scopes", () =>
    Effect.gen(function*() {
      const { asked, server, signIn, token } = yield* arrange()
      const ask = (path = "/invoices", as = token) => server.ask(as, path)
      for (let turn = 0; turn < 3; turn++) assert.strictEqual((yield* ask()).status, 200)
      assert.strictEqual(yield* asked, 1)
      yield* ask("/invoices?scope=invoices:read%20invoices:write")
      yield* ask("/invoices?scope=invoices:write%20invoices:read%20invoices:write")
      assert.strictEqual(yield* asked, 2)
      assert.deepNestedInclude((yield* ask("/invoices?audience=api://other")).body, { status: 401 })
      assert.strictEqual(yield* asked, 3)
      const other = yield* signIn("bob@example.com")
      assert.deepNestedInclude((yield* ask("/invoices", other)).body, { "caller.subject": "bob@example.com" })
      assert.strictEqual(yield* asked, 5)
      yield* TestClock.adjust("30 minutes")
      const later = yield* signIn()
      yield* ask("/invoices", later)
      assert.strictEqual(yield* asked, 7)
      yield* TestClock.adjust("58 minutes")
      yield* ask("/invoices", later)
      assert.strictEqual(yield* asked, 7)
      yield* TestClock.adjust("1 minute")
      yield* ask("/invoices", later)
      assert.strictEqual(yield* asked, 8)
    }))

  it.effect("asks Okta once for many requests at a time, also when one of them goes away", () =>
    Effect.gen(function*() {
      const { asked, okta, server, token } = yield* arrange()
      let answer = () => {}
      yield* okta.respond("token", (_, __, usual) => new Promise((done) => answer = () => done(usual())))
      const first = yield* Effect.forkChild(server.ask(token, "/invoices"))
      while ((yield* asked) === 0) yield* Effect.promise(() => new Promise(setImmediate))
      const many = yield* Effect.forkChild(
        Effect.all(Array.from({ length: 10 }, () => server.ask(token, "/invoices")), { concurrency: "unbounded" })
      )
      yield* Fiber.interrupt(first)
      answer()
      assert.deepStrictEqual(
        (yield* Fiber.join(many)).map(({ status }) => status),
        Array.from({ length: 10 }, () => 200)
      )
      assert.strictEqual(yield* asked, 1)
    }))

  it.effect("in proxy mode does so by Okta's token of the person, which neither client nor handler sees", () =>
    Effect.gen(function*() {
      const billing = yield* Effect.map(make(), ({ serve }) => serve)
      const scene = yield* ProxyScene.make({
        okta: {
          clients: [{ ...webClient, redirectUris: [`${ProxyScene.serverUrl}/oauth/callback`] }, exchanger]
        }
      })
      const second = yield* billing({ issuer: scene.okta.issuer, audience })
      const served = HttpRouter.serve(app(second.url), { disableListenLog: true, disableLogger: true })
      const context = yield* Layer.build(served.pipe(
        Layer.provide(scene.auth()),
        Layer.provide(scene.client),
        Layer.provideMerge(NodeHttpServer.layer(() => createServer(), { port: 0, host: "127.0.0.1" })),
        Layer.provide(scene.watch.layer)
      ))
      const { address } = Context.get(context, HttpServer.HttpServer)
      assert(address._tag === "InetAddressV4")
      const server = scene.at(`http://127.0.0.1:${address.port}`)
      const { accessToken, refreshToken } = yield* scene.signIn({ resource: undefined })
      const ask = (token: string) => server.ask("/invoices", { headers: { authorization: `Bearer ${token}` } })
      const { body, status } = yield* ask(accessToken)
      assert.strictEqual(status, 200, body)
      assert.deepNestedInclude(JSON.parse(body), {
        status: 200,
        "caller.subject": "ada@example.com",
        "caller.actor": { subject: exchanger.clientId }
      })
      const exchanged = scene.oktaForms.filter((form) => form.includes("token-exchange"))
      assert.lengthOf(exchanged, 1)
      assert.notInclude(exchanged[0], accessToken)
      const ofOkta = scene.oktaAnswers.flatMap((text) => [...text.matchAll(/"(?:access|refresh|id)_token":"([^"]+)"/g)])
        .map(([, token = ""]) => token)
      assert.isAtLeast(ofOkta.length, 4)
      assertHidden(scene.watch.text + body, [...ofOkta, exchanger.clientSecret])
      // The end of the grant is the end of it.
      yield* scene.one.revoke({ client_id: scene.clientId, token: refreshToken })
      assert.strictEqual((yield* ask(accessToken)).status, 401)
    }))
})

const told = ({ body, status }: Answer) => ({ status, body })

describe("Okta's refusal to exchange a token", () => {
  const refusals: ReadonlyArray<readonly [name: string, path: string, error: string]> = [
    ["of an unknown audience", "/invoices?audience=api://unknown", "invalid_target"],
    ["of a scope that is not allowed", "/invoices?scope=everything", "invalid_scope"]
  ]
  it.effect.each(refusals)(
    "%s is an error of its own, and not remembered",
    ([, path, error]) =>
      Effect.gen(function*() {
        const { asked, server, token, watch } = yield* arrange()
        for (let turn = 1; turn <= 2; turn++) {
          assert.deepStrictEqual(told(yield* server.ask(token, path)), {
            status: 500,
            body: { _tag: "ExchangeRefused", error }
          })
          assert.strictEqual(yield* asked, turn)
        }
        assert.include(watch.text, error)
        assertHidden(watch.text, [token])
      })
  )

  it.effect("of a token that was revoked, and of an application that is not known", () =>
    Effect.gen(function*() {
      const { okta, server, token } = yield* arrange()
      yield* Effect.promise(() =>
        fetch(`${okta.issuer}/v1/revoke`, {
          method: "POST",
          body: new URLSearchParams({ token, client_id: nativeClient.clientId })
        })
      )
      assert.deepInclude((yield* server.ask(token, "/invoices")).body, {
        _tag: "ExchangeRefused",
        error: "invalid_grant"
      })
      const wrong = yield* arrange({ clientSecret: Redacted.make("wrong") })
      const { body } = yield* wrong.server.ask(wrong.token, "/invoices")
      assert.deepInclude(body, { _tag: "ExchangeRefused", error: "invalid_client" })
      assert.include(wrong.watch.text, "Compare clientId and clientSecret")
    }))
})

describe("faults of Okta at an exchange", () => {
  it.effect.each(undecided)(
    "OktaUnavailable while it %s, and nothing of it is kept",
    ([, handler]) =>
      Effect.gen(function*() {
        const { okta, server, token } = yield* arrange()
        yield* okta.respond("token", handler)
        const away = yield* ProxyScene.asTimePasses(server.ask(token, "/invoices"))
        assert.deepStrictEqual(told(away), { status: 500, body: { _tag: "OktaUnavailable" } })
        yield* okta.lift
        yield* TestClock.adjust("7 seconds")
        assert.strictEqual((yield* server.ask(token, "/invoices")).status, 200)
      })
  )

  it.effect("OktaUnavailable for an answer that is no token for another API, above all the caller's own token", () =>
    Effect.gen(function*() {
      const { okta, server, token } = yield* arrange()
      const good = { access_token: "another", token_type: "Bearer", expires_in: 3600 }
      const lies = [
        { ...good, access_token: token },
        { ...good, token_type: "N_A" },
        { ...good, issued_token_type: "urn:ietf:params:oauth:token-type:id-jag" },
        { ...good, expires_in: 0 },
        { ...good, expires_in: "3600" },
        { ...good, access_token: "" },
        { ...good, scope: ["invoices:read"] }
      ]
      const madeUp = fc.sample(fc.oneof(fc.json(), fc.string()), 40)
      for (const body of [...lies.map((lie) => JSON.stringify(lie)), ...madeUp]) {
        yield* okta.respond("token", answering(200, body))
        assert.deepStrictEqual(told(yield* server.ask(token, "/invoices")), {
          status: 500,
          body: { _tag: "OktaUnavailable" }
        }, body)
      }
    }))

  it.effect("asks the authorization server of the other API, where that is another", () =>
    Effect.gen(function*() {
      const other = yield* OktaStandIn.make({ clients: [exchanger] })
      const { asked, server, token } = yield* arrange({ issuer: other.issuer })
      const { body } = yield* server.ask(token, "/invoices")
      assert.deepStrictEqual(body, { _tag: "ExchangeRefused", error: "invalid_grant" })
      assert.deepStrictEqual([yield* other.requests("token"), yield* asked], [1, 0])
      const exit = yield* Effect.exit(arrange({ issuer: "https://acme-admin.okta.com" }))
      assert.include(String(exit), "Admin Console")
    }))

  const foreign: ReadonlyArray<readonly [name: string, exchangeAt: "first" | "second"]> = [
    ["that of the first of the issuers", "first"],
    ["that is named in the options", "second"]
  ]
  it.effect.each(foreign)(
    "with several issuers sends nobody's token to another organization than its own: %s",
    ([, exchangeAt]) =>
      Effect.gen(function*() {
        const { okta: first, serve, watch } = yield* make({ clients: [nativeClient, exchanger] })
        const second = yield* OktaStandIn.make({ clients: [nativeClient, exchanger] })
        const billing = yield* serve({ issuers: [first, second].map(({ issuer }) => ({ issuer, audience })) })
        const server = yield* serve(
          { issuers: [first, second].map(({ audience, issuer }) => ({ issuer, audience })) },
          app(billing.url, exchangeAt === "first" ? {} : { issuer: second.issuer })
        )
        const [home, abroad] = exchangeAt === "first" ? [first, second] : [second, first]
        const { accessToken: own } = yield* home.signIn({ redirectUri })
        const { accessToken: foreign } = yield* abroad.signIn({ redirectUri })
        assert.deepNestedInclude((yield* server.ask(own, "/invoices")).body, {
          "caller.subject": "ada@example.com",
          "caller.issuer": home.issuer
        })
        const before = yield* Effect.all([home.requests("token"), abroad.requests("token")])
        assert.deepStrictEqual(told(yield* server.ask(foreign, "/invoices")), {
          status: 500,
          body: { _tag: "NoUpstreamTokens" }
        })
        assert.deepStrictEqual(yield* Effect.all([home.requests("token"), abroad.requests("token")]), before)
        for (const { issuer } of [home, abroad]) assert.include(watch.text, issuer)
        assertHidden(watch.text, [own, foreign])
      })
  )

  it.effect("with several issuers sends a caller's token to an organization that is said to be its own, by another host", () =>
    Effect.gen(function*() {
      const { okta: home, serve } = yield* make({ clients: [nativeClient, exchanger] })
      const [custom, abroad] = yield* Effect.replicateEffect(OktaStandIn.make({ clients: [nativeClient] }), 2)
      assert(custom !== undefined && abroad !== undefined)
      const issuers = [home, custom, abroad].map(({ audience, issuer }) => ({ issuer, audience }))
      const server = yield* serve({ issuers }, app("http://127.0.0.1:1", { sameOrganization: custom.issuer }))
      const { accessToken: own } = yield* custom.signIn({ redirectUri })
      const { accessToken: foreign } = yield* abroad.signIn({ redirectUri })
      const before = yield* home.requests("token")
      // It is Okta's affair whether it takes them.
      assert.deepStrictEqual((yield* server.ask(own, "/invoices")).body, {
        _tag: "ExchangeRefused",
        error: "invalid_grant"
      })
      assert.strictEqual(yield* home.requests("token"), before + 1)
      assert.deepStrictEqual((yield* server.ask(foreign, "/invoices")).body, { _tag: "NoUpstreamTokens" })
      assert.strictEqual(yield* home.requests("token"), before + 1)
    }))

  it.effect("says it where what is said to be the same organization is no issuer of the settings", () =>
    Effect.gen(function*() {
      const { okta, serve } = yield* make({ clients: [exchanger] })
      const issuers = [okta.issuer, "https://login.acme.com"].map((issuer) => ({ issuer, audience }))
      const start = (options: Options, sameOrganization: string | ReadonlyArray<string>) =>
        Effect.exit(serve(options, app("http://127.0.0.1:1", { sameOrganization })))
      const wrong = ["https://login.acme.com/", "https://evil.example.com"]
      const exit = String(yield* start({ issuers }, ["https://login.acme.com", ...wrong]))
      for (const issuer of wrong) assert.include(exit, `sameOrganization (${issuer}) is none of the issuers`)
      assert.notInclude(exit, "(https://login.acme.com)")
      assert.include(String(yield* start({}, "https://login.acme.com")), "is none of the issuers")
      assert.isTrue(Exit.isSuccess(yield* start({}, okta.issuer)))
    }))

  it.effect("a principal that is a copy has no token to exchange", () =>
    Effect.gen(function*() {
      const { asked, server, token } = yield* arrange()
      const { body } = yield* server.ask(token, "/invoices?copy")
      assert.deepStrictEqual(body, { _tag: "NoUpstreamTokens" })
      assert.strictEqual(yield* asked, 0)
    }))
})
