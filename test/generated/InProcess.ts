import { NodeHttpServer } from "@effect/platform-node"
import { Effect, Layer, Logger, Result, type Scope } from "effect"
import { HttpEffect, HttpRouter, type HttpServerRequest, HttpServerResponse } from "effect/http"
import * as OktaAuth from "../../src/OktaAuth.ts"
import { CurrentPrincipal } from "../../src/token/Principal.ts"

/** A request as it is sent. */
export interface Sent {
  readonly method?: string
  readonly path: string
  readonly headers?: Readonly<Record<string, string>>
  readonly body?: string | Uint8Array<ArrayBuffer>
}

/** An answer, all of it. */
export interface Got {
  readonly status: number
  readonly headers: Headers
  readonly body: string
}

/** Sends a request without a socket; `undefined` where a browser would not let it be sent. */
export type Send = (sent: Sent) => Promise<Got | undefined>

const whoami = Effect.map(CurrentPrincipal, (principal) => HttpServerResponse.jsonUnsafe(principal))

const app = Layer.mergeAll(
  OktaAuth.routes,
  OktaAuth.health,
  Layer.mergeAll(
    HttpRouter.add("GET", "/mcp", whoami),
    HttpRouter.add("POST", "/mcp", whoami),
    HttpRouter.add("*", "/any", whoami)
  ).pipe(Layer.provide(OktaAuth.guard().layer)),
  HttpRouter.add("GET", "/files", whoami).pipe(
    Layer.provide(OktaAuth.guard({ scopes: ["files:read", "files:write"] }).layer)
  )
)

/** What routes of a test may need. */
type Provided = HttpRouter.HttpRouter | OktaAuth.Services | Layer.Success<typeof NodeHttpServer.layerHttpServices>

/** Serves everything that there is, guarded routes and further ones, under an origin. Nothing is logged: there would be too much of it. */
export const serve = <E, R>(
  auth: Layer.Layer<OktaAuth.Services, E, R>,
  origin: string,
  further: Layer.Layer<never, never, Provided> = Layer.empty
) =>
  Effect.gen(function*() {
    const context = yield* Layer.build(Layer.mergeAll(auth, NodeHttpServer.layerHttpServices, Logger.layer([])))
    const http = yield* Effect.provide(HttpRouter.toHttpEffect(Layer.merge(app, further)), context)
    const services = yield* Effect.provide(Effect.context<never>(), context)
    const handle = HttpEffect.toWebHandlerWith<never, HttpServerRequest.HttpServerRequest | Scope.Scope>(services)(http)
    const send: Send = async ({ body, path, ...init }) => {
      const request = Result.try(() => new Request(origin + path, { ...init, ...(body === undefined ? {} : { body }) }))
      if (Result.isFailure(request)) return undefined
      const response = await handle(request.success)
      return { status: response.status, headers: response.headers, body: await response.text() }
    }
    return send
  }).pipe(Effect.orDie)
