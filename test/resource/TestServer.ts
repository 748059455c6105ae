import { NodeHttpServer, type NodeServices } from "@effect/platform-node"
import { assert } from "@effect/vitest"
import { Context, Effect, Layer, Logger, Redacted, References, type Scope } from "effect"
import { type Etag, type HttpClient, type HttpPlatform, HttpRouter, HttpServer } from "effect/http"
import { TestClock } from "effect/testing"
import type { OktaOptions } from "../../src/config/OktaConfig.ts"
import * as OktaAuth from "../../src/OktaAuth.ts"
import { OktaTest, type OktaTestOptions, type TokenOptions } from "../../src/testing/OktaTest.ts"
import { patientServer } from "../support/PatientServer.ts"

/** When the tests take place, in seconds since 1970. */
export const now = Date.UTC(2026, 0, 15, 12) / 1000

/** An HTTP answer as it came over the wire. */
export interface Answer {
  readonly status: number
  readonly headers: { readonly [name: string]: string }
  readonly body: string
}

export interface Asked {
  readonly method?: string
  readonly headers?: { readonly [name: string]: string }
  readonly body?: string
  /** A token of the Okta in memory. */
  readonly token?: TokenOptions
}

/** A server on a loopback socket, and the Okta that guards it. */
export class TestServer extends Context.Service<TestServer, {
  readonly url: string
  readonly okta: OktaTest["Service"]
  readonly ask: (path: string, asked?: Asked) => Effect.Effect<Answer>
  /** What was logged, at every level. */
  readonly logged: ReadonlyArray<string>
}>()("test/resource/TestServer") {
  /** One server for several tests, each of which leaves it as it was. */
  static readonly layer = <R extends AppServices>(
    app: Layer.Layer<never, never, R>,
    settings: Partial<OktaOptions> = {}
  ): Layer.Layer<TestServer> => Layer.effect(TestServer, serve(app, settings))
}

/** What an app may need. */
export type AppServices =
  | OktaAuth.Services
  | OktaTest
  | HttpClient.HttpClient
  | HttpRouter.HttpRouter
  | HttpPlatform.HttpPlatform
  | Etag.Generator
  | NodeServices.NodeServices

/** Serves an app as its author would, until the scope ends. The test's clock is set first: keys are kept by it. */
export const serve = <R extends AppServices>(
  app: Layer.Layer<never, never, R>,
  settings: Partial<OktaOptions> = {},
  options: OktaTestOptions = {}
): Effect.Effect<TestServer["Service"], never, Scope.Scope> =>
  Effect.gen(function*() {
    yield* TestClock.setTime(now * 1000)
    const logged: Array<string> = []
    const log = Layer.merge(
      Logger.layer([Logger.map(Logger.formatSimple, (line) => void logged.push(line))]),
      Layer.succeed(References.MinimumLogLevel, "All")
    )
    const { audience = OktaTest.audience, issuer = OktaTest.issuer } = options
    const auth = OktaAuth.layer({ issuer, audience, ...settings }).pipe(
      Layer.provideMerge(OktaTest.layer(options)),
      Layer.provide(log)
    )
    const context = yield* Layer.build(
      HttpRouter.serve<never, never, AppServices, never, never>(app, {
        disableListenLog: true,
        disableLogger: true
      }).pipe(
        Layer.provideMerge(auth),
        Layer.provideMerge(NodeHttpServer.layer(patientServer, { port: 0, host: "127.0.0.1" })),
        Layer.provide(log)
      )
    )
    const { address } = Context.get(context, HttpServer.HttpServer)
    assert(address._tag === "InetAddressV4")
    const url = `http://127.0.0.1:${address.port}`
    const okta = Context.get(context, OktaTest)
    return TestServer.of({
      url,
      okta,
      logged,
      ask: Effect.fnUntraced(function*(path, { body, headers, method = "GET", token } = {}) {
        const authorization = token === undefined
          ? undefined
          : { authorization: `Bearer ${Redacted.value(yield* okta.token(token))}` }
        return yield* Effect.promise(async (signal) => {
          const response = await fetch(url + path, {
            method,
            headers: { ...authorization, ...headers },
            redirect: "manual",
            signal,
            ...(body === undefined ? undefined : { body })
          })
          return {
            status: response.status,
            headers: Object.fromEntries(response.headers),
            body: await response.text()
          }
        })
      })
    })
  }).pipe(Effect.orDie)

/** The headers that we answer for, without those of Node's. */
export const ownHeaders = ({ headers }: Answer): { readonly [name: string]: string } => {
  const { connection: _, date: _1, "keep-alive": _2, "content-length": _3, "transfer-encoding": _4, ...own } = headers
  return own
}
