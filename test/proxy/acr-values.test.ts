import { assert, describe, it } from "@effect/vitest"
import { Effect, Layer, Schema } from "effect"
import { EndpointPolicy, OktaAuth, OktaSecurity, Policy, Store, ToolPolicy } from "effect-okta"
import { Tool, Toolkit } from "effect/ai"
import { HttpRouter, HttpServerResponse } from "effect/http"
import { HttpApi, HttpApiBuilder, HttpApiEndpoint, HttpApiGroup } from "effect/http-api"
import { type Send, serve } from "../generated/InProcess.ts"
import { make, type ProxyScene, serverUrl } from "../support/ProxyScene.ts"

const Metadata = Schema.fromJsonString(Schema.Record(Schema.String, Schema.Unknown))

/** What each of the two documents says of ways to sign in, the same in both; `undefined` where it says nothing. */
const advertised = Effect.fnUntraced(function*(send: Send) {
  const [one, other] = yield* Effect.promise(() =>
    Promise.all(["oauth-authorization-server", "openid-configuration"].map(async (name) => {
      const got = await send({ path: `/.well-known/${name}` })
      assert.strictEqual(got?.status, 200)
      return Schema.decodeUnknownSync(Metadata)(got?.body)
    }))
  )
  assert.deepStrictEqual(one?.["acr_values_supported"], other?.["acr_values_supported"])
  assert.strictEqual(one !== undefined && "acr_values_supported" in one, one?.["acr_values_supported"] !== undefined)
  return one?.["acr_values_supported"]
})

const route = (policy: Policy) =>
  HttpRouter.add("GET", "/more", HttpServerResponse.text("done")).pipe(Layer.provide(OktaAuth.guard(policy).layer))

const start = (
  { auth, memory }: ProxyScene,
  settings: Parameters<ProxyScene["auth"]>[0],
  further?: Parameters<typeof serve>[2]
) => serve(auth({ store: Layer.succeed(Store, memory), ...settings }), serverUrl, further)

const Tools = Toolkit.make(
  Tool.make("balance"),
  Tool.make("transfer").annotate(ToolPolicy, { acr: "urn:okta:loa:2fa:any", maxAge: "15 minutes" })
)

const Api = HttpApi.make("api").add(
  HttpApiGroup.make("money").add(
    HttpApiEndpoint.get("wire", "/wire", { success: Schema.String }).annotate(EndpointPolicy, { acr: "phrh" })
  ).middleware(OktaSecurity)
)

const api = HttpApiBuilder.layer(Api).pipe(
  Layer.provide(
    HttpApiBuilder.group(Api, "money", (handlers) => handlers.handle("wire", () => Effect.succeed("done")))
  ),
  Layer.provide(OktaSecurity.layer)
)

describe("acr_values_supported", () => {
  it.effect("is absent where no policy asks for a way to sign in", () =>
    Effect.gen(function*() {
      const scene = yield* make()
      assert.isUndefined(yield* advertised(yield* start(scene, {})))
      assert.isUndefined(
        yield* advertised(yield* start(scene, {}, route({ scopes: "mcp:write", maxAge: "5 minutes" })))
      )
    }))

  it.effect("has what policies of routes, tools and admit ask for, alternatives among them, each once and in order", () =>
    Effect.gen(function*() {
      const scene = yield* make()
      const further = Layer.merge(
        route(Policy.any([{ groups: "Admins", acr: ["phr", "urn:okta:loa:2fa:any"] }, { all: [{ acr: "aal3" }] }])),
        HttpRouter.add("POST", "/tools", HttpServerResponse.text("done")).pipe(
          Layer.provide(OktaAuth.mcpGuard({ policy: { acr: "urn:okta:loa:1fa:pwd" }, tools: Tools }).layer)
        )
      )
      const send = yield* start(scene, { admit: { acr: "urn:okta:loa:1fa:any" } }, further)
      assert.deepStrictEqual(yield* advertised(send), [
        "aal3",
        "phr",
        "urn:okta:loa:1fa:any",
        "urn:okta:loa:1fa:pwd",
        "urn:okta:loa:2fa:any"
      ])
    }))

  it.effect("has what an annotated endpoint asks for once somebody was told of it", () =>
    Effect.gen(function*() {
      const scene = yield* make()
      const send = yield* start(scene, {}, api)
      const { accessToken } = yield* scene.signIn({ resource: serverUrl })
      const got = yield* Effect.promise(() =>
        send({ path: "/wire", headers: { authorization: `Bearer ${accessToken}` } })
      )
      assert.include(got?.headers.get("www-authenticate"), "acr_values=\"phrh\"")
      assert.deepStrictEqual(yield* advertised(send), ["phrh"])
    }))

  it.effect("is of one server: another in the same program says what its own policies ask for", () =>
    Effect.gen(function*() {
      const scene = yield* make()
      assert.deepStrictEqual(yield* advertised(yield* start(scene, {}, route({ acr: "phr" }))), ["phr"])
      assert.deepStrictEqual(yield* advertised(yield* start(scene, {}, route({ acr: "phrh" }))), ["phrh"])
      assert.isUndefined(yield* advertised(yield* start(scene, {})))
    }))

  it.effect("is absent where nobody signs in here", () =>
    Effect.gen(function*() {
      const scene = yield* make()
      const send = yield* start(scene, { enterpriseManaged: "only" }, route({ acr: "phr" }))
      assert.isUndefined(yield* advertised(send))
    }))
})
