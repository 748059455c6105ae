import { assert, describe, expectTypeOf, it, layer } from "@effect/vitest"
import { Effect, Layer, Redacted, Result, Schema } from "effect"
import { CurrentPrincipal, EndpointPolicy, OktaAuth, OktaSecurity } from "effect-okta"
import { FetchHttpClient, HttpClient, HttpClientRequest } from "effect/http"
import { HttpApi, HttpApiBuilder, HttpApiClient, HttpApiEndpoint, HttpApiGroup, OpenApi } from "effect/http-api"
import type { TokenOptions } from "../../src/testing/OktaTest.ts"
import { dpopChallenge } from "../support/Proofs.ts"
import { ownHeaders, serve, TestServer } from "./TestServer.ts"

class NoSuchFile
  extends Schema.TaggedError<NoSuchFile>()("NoSuchFile", { name: Schema.String }, { httpApiStatus: 404 })
{}

const Files = HttpApiGroup.make("files")
  .add(
    HttpApiEndpoint.get("whoami", "/whoami", { success: Schema.String }),
    HttpApiEndpoint.get("read", "/files/:name", {
      params: { name: Schema.String },
      success: Schema.String,
      error: NoSuchFile
    }).annotate(EndpointPolicy, { scopes: ["files:read"] })
  )
  .middleware(OktaSecurity)

const Jobs = HttpApiGroup.make("jobs")
  .add(
    HttpApiEndpoint.post("run", "/jobs", { payload: Schema.Struct({ name: Schema.String }), success: Schema.String }),
    HttpApiEndpoint.delete("stop", "/jobs", { success: Schema.String })
      .annotate(EndpointPolicy, { scopes: ["jobs:stop", "jobs:admin"] })
  )
  .annotate(EndpointPolicy, { scopes: ["jobs:run"] })
  .middleware(OktaSecurity)

const Open = HttpApiGroup.make("open").add(HttpApiEndpoint.get("status", "/status", { success: Schema.String }))

const Api = HttpApi.make("api").add(Files).add(Jobs).add(Open)

const caller = Effect.map(
  CurrentPrincipal,
  (principal) => principal._tag === "User" ? principal.username : `service ${principal.clientId}`
)

let ran = 0

const handlers = Layer.mergeAll(
  HttpApiBuilder.group(Api, "files", (handlers) =>
    handlers
      .handle("whoami", () => caller)
      .handle("read", ({ params }) =>
        params.name === "none"
          ? Effect.fail(new NoSuchFile({ name: params.name }))
          : Effect.map(caller, (who) => `${params.name} for ${who}`))),
  HttpApiBuilder.group(Api, "jobs", (handlers) =>
    handlers
      .handle("run", ({ payload }) =>
        Effect.sync(() => {
          ran++
          return `${payload.name} runs`
        }))
      .handle("stop", () => Effect.succeed("stopped"))),
  HttpApiBuilder.group(Api, "open", (handlers) => handlers.handle("status", () => Effect.succeed("fine")))
)

const app = HttpApiBuilder.layer(Api, { openapiPath: "/openapi.json" }).pipe(
  Layer.provide(handlers),
  Layer.provide(OktaSecurity.layer),
  Layer.merge(OktaAuth.routes)
)

const settings = { serverUrl: "https://api.example.com", requiredScopes: "api:use" }

/** The client that the api's own definition gives, sending a token or none. */
const clientWith = Effect.fnUntraced(function*(token?: TokenOptions) {
  const { okta, url } = yield* TestServer
  const bearer = token === undefined ? undefined : yield* okta.token({ scopes: ["api:use"], ...token })
  return yield* HttpApiClient.make(Api, {
    baseUrl: url,
    transformClient: HttpClient.mapRequest((request) =>
      bearer === undefined ? request : HttpClientRequest.bearerToken(request, Redacted.value(bearer))
    )
  }).pipe(Effect.provide(FetchHttpClient.layer))
})

layer(TestServer.layer(app, settings))("an HttpApi behind OktaSecurity", (it) => {
  it.effect("tells its handlers who is calling", () =>
    Effect.gen(function*() {
      const person = yield* clientWith({})
      assert.strictEqual(yield* person.files.whoami(), "ada@example.com")
      const service = yield* clientWith({ claims: { uid: undefined, sub: "0oa1client" } })
      assert.strictEqual(yield* service.files.whoami(), "service 0oa1client")
      const open = yield* clientWith()
      assert.strictEqual(yield* open.open.status(), "fine")
    }))

  it.effect("gives its typed client 401 without a token, and with a bad one, as values", () =>
    Effect.gen(function*() {
      const nobody = yield* clientWith()
      const missing = yield* Effect.result(nobody.files.whoami())
      assert.deepStrictEqual(
        Result.isFailure(missing) && missing.failure,
        { error_description: "Send an access token as a bearer token." }
      )
      const late = yield* clientWith({ defect: "expired" })
      const expired = yield* Effect.result(late.files.whoami())
      assert.deepStrictEqual(Result.isFailure(expired) && expired.failure, {
        error: "invalid_token",
        error_description: "The access token is expired, malformed or not for this server."
      })
    }))

  it.effect("gives its typed client 403 where the endpoint, or else its group, asks for more", () =>
    Effect.gen(function*() {
      const insufficient = {
        error: "insufficient_scope",
        error_description: "The access token does not allow this operation."
      }
      const failureOf = <A, E, R>(call: Effect.Effect<A, E, R>) =>
        Effect.map(Effect.result(call), (result) => Result.isFailure(result) ? result.failure : undefined)

      const plain = yield* clientWith({})
      assert.deepStrictEqual<unknown>(yield* failureOf(plain.files.read({ params: { name: "a" } })), insufficient)
      assert.deepStrictEqual<unknown>(yield* failureOf(plain.jobs.run({ payload: { name: "a" } })), insufficient)
      const stranger = yield* clientWith({ scopes: ["files:read", "jobs:run"] })
      assert.deepStrictEqual<unknown>(yield* failureOf(stranger.files.read({ params: { name: "a" } })), insufficient)
      const runner = yield* clientWith({ scopes: ["api:use", "jobs:run"] })
      assert.deepStrictEqual<unknown>(yield* failureOf(runner.jobs.stop()), insufficient, "the endpoint's own policy")
      assert.strictEqual(ran, 0)
      assert.strictEqual(yield* runner.jobs.run({ payload: { name: "a" } }), "a runs")
      const admin = yield* clientWith({ scopes: ["api:use", "jobs:stop", "jobs:admin"] })
      assert.strictEqual(yield* admin.jobs.stop(), "stopped")
      const reader = yield* clientWith({ scopes: ["api:use", "files:read"] })
      assert.strictEqual(yield* reader.files.read({ params: { name: "a" } }), "a for ada@example.com")
      assert.deepStrictEqual(
        yield* failureOf(reader.files.read({ params: { name: "none" } })),
        new NoSuchFile({ name: "none" }),
        "an error of the endpoint's own"
      )
    }))

  it.effect("answers on the wire as the guard does, challenge and all", () =>
    Effect.gen(function*() {
      const { ask } = yield* TestServer
      const metadata = "resource_metadata=\"https://api.example.com/.well-known/oauth-protected-resource\""
      const missing = yield* ask("/files/a")
      assert.deepStrictEqual([missing.status, ownHeaders(missing)], [401, {
        "access-control-allow-origin": "*",
        "access-control-expose-headers": "WWW-Authenticate, DPoP-Nonce, Retry-After",
        "cache-control": "no-store",
        "content-type": "application/json",
        "www-authenticate": `Bearer ${metadata}, scope="api:use files:read"${dpopChallenge}`
      }])
      const insufficient = yield* ask("/jobs", { method: "DELETE", token: { scopes: ["api:use"] } })
      assert.strictEqual(insufficient.status, 403)
      assert.strictEqual(
        insufficient.headers["www-authenticate"],
        "Bearer error=\"insufficient_scope\", error_description=\"The access token does not allow this operation.\", " +
          `${metadata}, scope="api:use jobs:stop jobs:admin"`
      )
      const twice = yield* ask("/whoami", { headers: { authorization: "Bearer a b" } })
      assert.deepStrictEqual([twice.status, JSON.parse(twice.body).error], [400, "invalid_request"])
    }))

  it.effect("asks for the token before it reads what was sent", () =>
    Effect.gen(function*() {
      const { ask } = yield* TestServer
      const json = { "content-type": "application/json" }
      assert.strictEqual((yield* ask("/jobs", { method: "POST", headers: json, body: "{" })).status, 401)
      const scopes = ["api:use", "jobs:run"]
      assert.strictEqual(
        (yield* ask("/jobs", { method: "POST", headers: json, body: "{}", token: { scopes } })).status,
        400
      )
    }))

  it.effect("shows its scheme, and what it answers, in OpenAPI", () =>
    Effect.gen(function*() {
      const { ask } = yield* TestServer
      const served: unknown = JSON.parse((yield* ask("/openapi.json")).body)
      const spec = OpenApi.fromApi(Api)
      assert.deepStrictEqual(served, JSON.parse(JSON.stringify(spec)))
      assert.deepStrictEqual<unknown>(spec.components.securitySchemes, {
        okta: { type: "http", scheme: "Bearer", bearerFormat: "JWT" }
      })
      for (const [path, method] of [["/whoami", "get"], ["/files/{name}", "get"], ["/jobs", "post"]] as const) {
        const operation = spec.paths[path]?.[method]
        assert.deepStrictEqual(operation?.security, [{ okta: [] }], path)
        for (const status of [400, 401, 403, 503]) assert.isDefined(operation?.responses[status], `${path} ${status}`)
      }
      assert.deepStrictEqual(spec.paths["/status"]?.get?.security, [])
      assert.deepStrictEqual(Object.keys(spec.paths["/status"]?.get?.responses ?? {}), ["200"])
    }))
})

describe("an HttpApi behind OktaSecurity", () => {
  it.effect("gives its typed client 503 while nothing can be said about tokens", () =>
    Effect.gen(function*() {
      const server = yield* serve(app, settings, { outage: "rate-limited" })
      const client = yield* Effect.provideService(clientWith({}), TestServer, server)
      const unavailable = yield* Effect.result(client.files.whoami())
      assert.deepStrictEqual(Result.isFailure(unavailable) && unavailable.failure, {
        error: "temporarily_unavailable",
        error_description: "The access token cannot be checked at the moment."
      })
      yield* server.okta.restore
    }))

  it("types the refusals in its client", () => {
    const call = clientWith().pipe(Effect.flatMap(({ files }) => files.whoami()))
    type Failure = Effect.Error<typeof call>
    type Refusal = Extract<Failure, { readonly error_description: string }>
    expectTypeOf<Refusal>().toEqualTypeOf<
      | { readonly error: "invalid_request"; readonly error_description: string }
      | {
        readonly error?: "invalid_token" | "invalid_dpop_proof" | "use_dpop_nonce" | "insufficient_user_authentication"
        readonly error_description: string
      }
      | { readonly error: "insufficient_scope" | "access_denied"; readonly error_description: string }
      | { readonly error: "temporarily_unavailable"; readonly error_description: string }
    >()
    expectTypeOf<Failure>().not.toBeAny()
  })
})
