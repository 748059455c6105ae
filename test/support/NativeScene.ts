import { NodeHttpServer } from "@effect/platform-node"
import { assert } from "@effect/vitest"
import { Context, Effect, Layer } from "effect"
import { FetchHttpClient, type HttpClient, HttpRouter, HttpServer, HttpServerResponse } from "effect/http"
import { TestClock } from "effect/testing"
import type { OktaOptions, SeveralIssuersOptions } from "../../src/config/OktaConfig.ts"
import * as OktaAuth from "../../src/OktaAuth.ts"
import { CurrentPrincipal } from "../../src/token/Principal.ts"
import { OktaStandIn, type Options as OktaShape } from "./OktaStandIn.ts"
import { patientServer } from "./PatientServer.ts"
import type { Handler } from "./StandInDoor.ts"
import { Watch } from "./Watch.ts"

/** When the tests take place, in seconds since 1970. */
export const now = Date.UTC(2026, 0, 15, 12) / 1000

export interface Answer {
  readonly status: number
  readonly headers: Headers
  readonly body: unknown
}

export type Options = (Partial<OktaOptions> | SeveralIssuersOptions) & OktaAuth.StartOptions

/** What an app may need beside its own layers. */
export type AppServices = OktaAuth.Services | HttpClient.HttpClient | HttpRouter.HttpRouter

const whoami = HttpRouter.add(
  "GET",
  "/whoami",
  Effect.map(CurrentPrincipal, (principal) => HttpServerResponse.jsonUnsafe(principal))
).pipe(Layer.provide(OktaAuth.guard().layer))

/** Okta, and apps in native mode that it guards; everything ends with the scope. */
export const make = Effect.fnUntraced(function*(shape: OktaShape = {}) {
  yield* TestClock.setTime(now * 1000)
  const okta = yield* OktaStandIn.make(shape)
  const watch = new Watch()

  /** Serves an app, or one that only tells who is calling. */
  const serve = Effect.fnUntraced(
    function*(options: Options = {}, app: Layer.Layer<never, never, AppServices> = Layer.empty) {
      const served = HttpRouter.serve(Layer.mergeAll(whoami, app, OktaAuth.routes), {
        disableListenLog: true,
        disableLogger: true
      })
      const context = yield* Layer.build(served.pipe(
        Layer.provide(OktaAuth.layer(
          options.issuers === undefined ? { issuer: okta.issuer, audience: okta.audience, ...options } : options
        )),
        Layer.provide(FetchHttpClient.layer),
        Layer.provideMerge(NodeHttpServer.layer(patientServer, { port: 0, host: "127.0.0.1" })),
        Layer.provide(watch.layer)
      ))
      const { address } = Context.get(context, HttpServer.HttpServer)
      assert(address._tag === "InetAddressV4")
      const url = `http://127.0.0.1:${address.port}`
      return {
        url,
        ask: (token: string, path = "/whoami") =>
          Effect.promise(async (signal): Promise<Answer> => {
            const response = await fetch(url + path, { signal, headers: { authorization: `Bearer ${token}` } })
            return { status: response.status, headers: response.headers, body: await response.json() }
          })
      }
    }
  )
  return { okta, watch, serve }
})

/** Answers in Okta's place. */
export const answering =
  (status: number, body: string, headers: Readonly<Record<string, string>> = {}): Handler => (_, response) =>
    void response.writeHead(status, { "content-type": "application/json", ...headers }).end(body)

/** Answers of an endpoint of Okta's with which nothing is decided. */
export const undecided: ReadonlyArray<readonly [name: string, handler: Handler]> = [
  ["hangs up", (_, response) => void response.destroy()],
  ["never answers", () => {}],
  ["begins to answer", (_, response) => void response.writeHead(200, { "content-length": "1000" }).write("{")],
  ["answers 500", answering(500, "{\"errorCode\":\"E0000009\"}")],
  ["answers 500 as if the token were at fault", answering(500, "{\"error\":\"invalid_grant\"}")],
  ["answers 429", answering(429, "{\"errorCode\":\"E0000047\"}", { "retry-after": "7" })],
  ["answers 400 in Okta's own form", answering(400, "{\"errorCode\":\"E0000003\"}")],
  ["redirects", answering(307, "", { location: "/oauth2/default/v1/authorize" })],
  ["answers nothing", answering(200, "")],
  ["answers an HTML page", answering(200, "<html></html>", { "content-type": "text/html" })],
  ["answers a list", answering(200, "[true]")],
  ["answers too much", answering(200, JSON.stringify({ active: true, much: "x".repeat(100_000) }))]
]
