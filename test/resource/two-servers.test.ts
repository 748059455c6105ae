import { NodeHttpServer, type NodeServices } from "@effect/platform-node"
import { assert, describe, it } from "@effect/vitest"
import { Context, Effect, Layer, Redacted, Schema } from "effect"
import {
  type Etag,
  FetchHttpClient,
  type HttpClient,
  type HttpPlatform,
  HttpRouter,
  HttpServer,
  HttpServerResponse
} from "effect/http"
import { HttpApi, HttpApiBuilder, HttpApiEndpoint, HttpApiGroup } from "effect/http-api"
import { TestClock } from "effect/testing"
import * as OktaAuth from "../../src/OktaAuth.ts"
import { OktaSecurity } from "../../src/resource/ApiSecurity.ts"
import * as MemoryStore from "../../src/store/MemoryStore.ts"
import { Store } from "../../src/store/Store.ts"
import { CurrentPrincipal } from "../../src/token/Principal.ts"
import { ec, ring } from "../proxy/grant/KeyRing.ts"
import { secret } from "../proxy/ProxyTest.ts"
import { now } from "../support/NativeScene.ts"
import { OktaStandIn } from "../support/OktaStandIn.ts"
import { patientServer } from "../support/PatientServer.ts"

const options = { disableListenLog: true, disableLogger: true }

const socket = NodeHttpServer.layer(patientServer, { port: 0, host: "127.0.0.1" })

const urlOf = ({ address }: HttpServer.HttpServer["Service"]) => {
  assert(address._tag === "InetAddressV4")
  return `http://127.0.0.1:${address.port}`
}

const get = (url: string, token = "") =>
  Effect.promise(async (signal) => {
    const response = await fetch(url, { signal, headers: token === "" ? {} : { authorization: `Bearer ${token}` } })
    return { status: response.status, body: await response.text() }
  })

type Auth = ReturnType<typeof OktaAuth.layer>

/** Tells who is calling. */
type Routes = Layer.Layer<
  never,
  OktaAuth.StartError,
  HttpClient.HttpClient | HttpRouter.HttpRouter | HttpPlatform.HttpPlatform | Etag.Generator | NodeServices.NodeServices
>

const guarded = (path: `/${string}`, auth: Auth): Routes =>
  HttpRouter.add(
    "GET",
    path,
    Effect.map(CurrentPrincipal, ({ subject }) => HttpServerResponse.text(subject))
  ).pipe(Layer.provide(OktaAuth.guard().layer), Layer.provide(auth))

/** The same by an HttpApi. */
const secured = (path: `/${string}`, auth: Auth): Routes => {
  const endpoint = HttpApiEndpoint.get("whoami", path, { success: Schema.String })
  const api = HttpApi.make(path).add(HttpApiGroup.make("people").add(endpoint).middleware(OktaSecurity))
  const whoami = HttpApiBuilder.group(
    api,
    "people",
    (handlers) => handlers.handle("whoami", () => Effect.map(CurrentPrincipal, ({ subject }) => subject))
  )
  return HttpApiBuilder.layer(api).pipe(
    Layer.provide(whoami),
    Layer.provide(OktaSecurity.layer),
    Layer.provide(auth)
  )
}

/** Routes of one app, and the address at which it answers. */
const serve = Effect.fnUntraced(function*(first: Routes, second: Routes) {
  const app = HttpRouter.serve(Layer.merge(first, second), options)
  const context = yield* Layer.build(app.pipe(Layer.provide(FetchHttpClient.layer), Layer.provideMerge(socket)))
  return urlOf(Context.get(context, HttpServer.HttpServer))
})

const native = ({ audience, issuer }: OktaStandIn["Service"]) => OktaAuth.layer({ issuer, audience })

describe("two layers of OktaAuth in one app", () => {
  it.effect.each([["routes", guarded], ["HttpApis", secured]] as const)(
    "each verify by the keys of their own issuer, and by no other, before %s",
    ([, before]) =>
      Effect.gen(function*() {
        yield* TestClock.setTime(now * 1000)
        const first = yield* OktaStandIn.make({ audience: "api://first" })
        const second = yield* OktaStandIn.make({ audience: "api://second" })
        const url = yield* serve(before("/first", native(first)), before("/second", native(second)))
        const own = [["/first", first], ["/second", second]] as const
        for (const [path, okta] of own) {
          const { status } = yield* get(url + path, yield* okta.mint())
          assert.strictEqual(status, 200, path)
        }
        for (const [[path, okta], [, other]] of [own, [own[1], own[0]]] as const) {
          const claims = { iss: okta.issuer, aud: okta.audience }
          for (const kid of [yield* other.signingKey, yield* okta.signingKey]) {
            const { status } = yield* get(url + path, yield* other.mint(claims, { kid }))
            assert.strictEqual(status, 401, path)
          }
        }
      })
  )

  it.effect("are one where one is given to several routes", () =>
    Effect.gen(function*() {
      yield* TestClock.setTime(now * 1000)
      const okta = yield* OktaStandIn.make()
      const auth = native(okta)
      const url = yield* serve(guarded("/first", auth), guarded("/second", auth))
      const token = yield* okta.mint()
      for (const path of ["/first", "/second"]) assert.strictEqual((yield* get(url + path, token)).status, 200)
      assert.deepStrictEqual(yield* Effect.all([okta.requests("discovery"), okta.requests("keys")]), [1, 1])
    }))

  it.effect("each issue tokens of their own in proxy mode, by their own settings, keys and store", () =>
    Effect.gen(function*() {
      yield* TestClock.setTime(now * 1000)
      const { issuer } = yield* OktaStandIn.make()
      const asked: Array<string> = []
      class First extends Context.Service<First, HttpServer.HttpServer["Service"]>()("test/First") {}
      class Second extends Context.Service<Second, HttpServer.HttpServer["Service"]>()("test/Second") {}
      const server = <I>(tag: Context.Key<I, HttpServer.HttpServer["Service"]>, name: "first" | "second") => {
        const store = Layer.effect(
          Store,
          Effect.map(Store, (store) => ({
            ...store,
            get: (key) => Effect.andThen(Effect.sync(() => asked.push(name)), store.get(key))
          }))
        ).pipe(Layer.provide(Layer.fresh(MemoryStore.layer)))
        const auth = OktaAuth.layer({
          issuer,
          serverUrl: `https://${name}.example.com`,
          clientId: "client",
          clientSecret: Redacted.make("a secret at Okta"),
          encryptionSecret: secret(name.slice(0, 1)),
          signingKeys: ring({ ...ec(), kid: name }),
          store
        })
        return Layer.effect(tag, HttpServer.HttpServer).pipe(
          Layer.provide(HttpRouter.serve(Layer.mergeAll(OktaAuth.routes, OktaAuth.health), options)),
          Layer.provide(auth),
          Layer.provide(Layer.fresh(socket))
        )
      }
      const context = yield* Layer.build(
        Layer.mergeAll(server(First, "first"), server(Second, "second")).pipe(Layer.provide(FetchHttpClient.layer))
      )
      const each = [["first", Context.get(context, First)], ["second", Context.get(context, Second)]] as const
      for (const [name, http] of each) {
        const url = urlOf(http)
        const metadata = yield* get(`${url}/.well-known/oauth-authorization-server`)
        assert.include(metadata.body, `"issuer":"https://${name}.example.com"`)
        assert.include((yield* get(`${url}/.well-known/jwks.json`)).body, `"kid":"${name}"`)
        asked.length = 0
        yield* get(`${url}/readyz`)
        assert.deepStrictEqual([...new Set(asked)], [name])
      }
    }))
})
