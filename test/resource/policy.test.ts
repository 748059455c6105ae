import { assert, describe, it } from "@effect/vitest"
import { Effect, Exit, Layer, Schema, Scope } from "effect"
import { EndpointPolicy, OktaAuth, OktaSecurity, Policy } from "effect-okta"
import { HttpRouter, HttpServerResponse } from "effect/http"
import { HttpApi, HttpApiBuilder, HttpApiEndpoint, HttpApiGroup } from "effect/http-api"
import { dpopChallenge } from "../support/Proofs.ts"
import { timed } from "../support/ProxyScene.ts"
import { type AppServices, now, serve } from "./TestServer.ts"

const ok = Effect.succeed(HttpServerResponse.text("ok"))

const Group = HttpApiGroup.make("files").add(
  HttpApiEndpoint.get("wrong", "/wrong", { success: Schema.String })
    .annotate(EndpointPolicy, { scopes: "files:read files:write" }),
  HttpApiEndpoint.get("one", "/one", { success: Schema.String }).annotate(EndpointPolicy, { scopes: "files:read" })
).middleware(OktaSecurity)
const Api = HttpApi.make("api").add(Group)
const api = HttpApiBuilder.layer(Api).pipe(
  Layer.provide(
    HttpApiBuilder.group(
      Api,
      "files",
      (handlers) => handlers.handle("wrong", () => Effect.succeed("no")).handle("one", () => Effect.succeed("yes"))
    )
  ),
  Layer.provide(OktaSecurity.layer)
)

/** The same as a guard, as the one endpoint of an `HttpApi`. */
const endpointWith = (policy: Policy) => {
  const api = HttpApi.make("api").add(
    HttpApiGroup.make("group").add(HttpApiEndpoint.get("only", "/", { success: Schema.String }))
      .annotate(EndpointPolicy, policy).middleware(OktaSecurity)
  )
  return HttpApiBuilder.layer(api).pipe(
    Layer.provide(
      HttpApiBuilder.group(api, "group", (handlers) => handlers.handle("only", () => Effect.succeed("ok")))
    ),
    Layer.provide(OktaSecurity.layer)
  )
}

describe("a policy", () => {
  it.effect("of one scope needs no list", () =>
    Effect.gen(function*() {
      const guarded = HttpRouter.add("GET", "/guarded", ok).pipe(
        Layer.provide(OktaAuth.guard({ scopes: "files:read" }).layer)
      )
      const { ask } = yield* serve(Layer.merge(guarded, api))
      for (const path of ["/guarded", "/one"]) {
        assert.strictEqual((yield* ask(path, { token: { scopes: ["files:read"] } })).status, 200, path)
        const refused = yield* ask(path, { token: { scopes: ["f", "files"] } })
        assert.strictEqual(refused.status, 403, path)
        assert.include(refused.headers["www-authenticate"], "scope=\"files:read\"")
      }
    }))

  it.effect("of what is no scope stops a guard when its layer is built", () =>
    Effect.gen(function*() {
      const guarded = HttpRouter.add("GET", "/guarded", ok).pipe(
        Layer.provide(OktaAuth.guard({ scopes: "files:read\u202e" }).layer)
      )
      const scope = yield* Scope.make()
      const exit = yield* Effect.exit(Scope.provide(serve(guarded), scope))
      yield* Scope.close(scope, exit)
      assert.isTrue(Exit.isFailure(exit) && String(exit.cause).includes("\\u{202e}"))
    }))

  it.effect("of what is no scope makes its endpoint answer 500, and is logged once", () =>
    Effect.gen(function*() {
      const { ask, logged } = yield* serve(api)
      for (let i = 0; i < 3; i++) {
        assert.strictEqual((yield* ask("/wrong")).status, 500)
        assert.strictEqual((yield* ask("/wrong", { token: { scopes: ["files:read"] } })).status, 500)
      }
      const lines = logged.filter((line) => line.includes("files.wrong"))
      assert.lengthOf(lines, 1)
      assert.include(lines[0], "level=ERROR")
      assert.include(lines[0], "is not a scope")
      assert.lengthOf(logged.filter((line) => line.includes("level=ERROR")), 1)
      assert.strictEqual((yield* ask("/one")).status, 401)
    }))

  const strong = "urn:okta:loa:2fa:any"
  const metadata = "resource_metadata=\"https://api.example.com/.well-known/oauth-protected-resource\""
  const cases: ReadonlyArray<
    readonly [what: string, policy: Policy, status: number, error: string, challenge?: string]
  > = [
    ["for a group, with no challenge to go and ask for more", { groups: "Admins", scopes: "a" }, 403, "access_denied"],
    ["for a client", { clients: "0oa9" }, 403, "access_denied"],
    ["by a check", { check: () => Effect.succeed(false) }, 403, "access_denied"],
    ["while a check fails", { check: () => Effect.fail("away") }, 503, "temporarily_unavailable"],
    [
      "for scopes, with everything at once",
      Policy.all([{ scopes: ["a", "b"] }, { anyOfScopes: ["c", "d"] }]),
      403,
      "insufficient_scope",
      "Bearer error=\"insufficient_scope\", error_description=\"The access token does not allow this operation.\", " +
      `${metadata}, scope="mcp:use a b c"`
    ],
    [
      "for a sign-in that is too weak and too old, with everything at once",
      { acr: [strong, "phr"], maxAge: "1 minute", scopes: "a" },
      401,
      "insufficient_user_authentication",
      "Bearer error=\"insufficient_user_authentication\", " +
      "error_description=\"This operation needs a stronger or more recent sign-in.\", " +
      `${metadata}, scope="mcp:use a", acr_values="${strong} phr", max_age="60"${dpopChallenge}`
    ]
  ]
  const ways: ReadonlyArray<readonly [way: string, app: (policy: Policy) => Layer.Layer<never, never, AppServices>]> = [
    ["guard", (policy) => HttpRouter.add("GET", "/", ok).pipe(Layer.provide(OktaAuth.guard(policy).layer))],
    ["endpoint", endpointWith]
  ]
  for (const [what, policy, status, error, challenge] of cases) {
    for (const [way, app] of ways) {
      it.effect(`of a ${way} refuses ${what}`, () =>
        Effect.gen(function*() {
          const { ask, logged } = yield* serve(app(policy), {
            serverUrl: "https://api.example.com",
            requiredScopes: "mcp:use"
          })
          const answer = yield* ask("/", { token: { scopes: ["mcp:use"], claims: { auth_time: now - 3600 } } })
          assert.strictEqual(answer.status, status)
          assert.strictEqual(JSON.parse(answer.body).error, error)
          assert.strictEqual(answer.headers["www-authenticate"], challenge)
          assert.strictEqual(answer.headers["cache-control"], "no-store")
          assert.strictEqual(answer.headers["retry-after"], status === 503 ? "5" : undefined)
          assert.notInclude(answer.body, "Admins")
          assert.strictEqual(logged.some((line) => line.includes("The check of a policy has failed")), status === 503)
        }))
    }
  }

  for (const [way, app] of ways) {
    it.effect(`of a ${way} whose check never ends answers 503 after 10 seconds, and says so in the log`, () =>
      Effect.gen(function*() {
        const { ask, logged } = yield* serve(app({ check: () => Effect.never }))
        const { value: answer, elapsed } = yield* timed(ask("/", { token: {} }))
        assert.strictEqual(answer.status, 503)
        assert.strictEqual(JSON.parse(answer.body).error, "temporarily_unavailable")
        assert.strictEqual(answer.headers["retry-after"], "5")
        assert.isAtLeast(elapsed, 10_000)
        assert.isAtMost(elapsed, 12_000)
        assert.isTrue(
          logged.some((line) => line.includes("The check of a policy has failed") && line.includes("10 seconds"))
        )
      }))
  }

  it.effect("lets in whoever signed in so, though Okta's clock is behind ours by less than the tolerance", () =>
    Effect.gen(function*() {
      const app = HttpRouter.add("GET", "/", ok).pipe(
        Layer.provide(OktaAuth.guard({ acr: strong, maxAge: "1 minute" }).layer)
      )
      const { ask } = yield* serve(app)
      const statusAfter = (age: number) =>
        Effect.map(ask("/", { token: { claims: { acr: strong, auth_time: now - age } } }), ({ status }) => status)
      assert.strictEqual(yield* statusAfter(90), 200)
      assert.strictEqual(yield* statusAfter(91), 401)
    }))

  it.effect("honours the hierarchy of the settings", () =>
    Effect.gen(function*() {
      const app = HttpRouter.add("GET", "/", ok).pipe(Layer.provide(OktaAuth.guard({ scopes: "files:read" }).layer))
      const { ask } = yield* serve(app, { scopeHierarchy: { admin: ["files:*"] }, requiredScopes: "files:write" })
      for (const [scope, status] of [["admin", 200], ["files:*", 200], ["files:write", 403], ["files", 403]] as const) {
        assert.strictEqual((yield* ask("/", { token: { scopes: [scope] } })).status, status, scope)
      }
    }))
})
