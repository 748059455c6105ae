import { assert, describe, it } from "@effect/vitest"
import { Effect, Exit, Layer, Schema, Scope } from "effect"
import { EndpointPolicy, OktaAuth, OktaSecurity } from "effect-okta"
import { HttpRouter, HttpServerResponse } from "effect/http"
import { HttpApi, HttpApiBuilder, HttpApiEndpoint, HttpApiGroup } from "effect/http-api"
import { serve } from "./TestServer.ts"

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
})
