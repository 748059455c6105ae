import { NodeHttpServer } from "@effect/platform-node"
import { assert, layer } from "@effect/vitest"
import { Effect, Layer, type Redacted } from "effect"
import { CurrentPrincipal, OktaAuth } from "effect-okta"
import { OktaTest } from "effect-okta/testing"
import { HttpClient, HttpClientRequest, HttpRouter, HttpServerResponse } from "effect/http"

const App = HttpRouter.add(
  "GET",
  "/whoami",
  Effect.map(CurrentPrincipal, ({ subject }) => HttpServerResponse.text(subject))
).pipe(Layer.provide(OktaAuth.guard().layer))

const Served = HttpRouter.serve(App, { disableListenLog: true, disableLogger: true }).pipe(
  Layer.provideMerge(OktaTest.layerAuth()),
  Layer.provideMerge(NodeHttpServer.layerTest)
)

layer(Served)("OktaTest.layerAuth", (it) => {
  it.effect("guards an app under test, and leaves the test its own HttpClient", () =>
    Effect.gen(function*() {
      const okta = yield* OktaTest
      const client = yield* HttpClient.HttpClient
      const call = (token: Redacted.Redacted<string>) =>
        client.execute(HttpClientRequest.get("/whoami").pipe(HttpClientRequest.bearerToken(token)))

      const accepted = yield* call(yield* okta.token())
      assert.strictEqual(yield* accepted.text, "ada@example.com")
      const service = yield* okta.token({ claims: { sub: "0oa1client", uid: undefined } })
      assert.strictEqual(yield* (yield* call(service)).text, "0oa1client")
      assert.strictEqual((yield* call(yield* okta.token({ defect: "expired" }))).status, 401)
    }))
})
