import { Context, Effect, type Layer } from "effect"
import { HttpRouter, HttpServerError, HttpServerRequest } from "effect/http"
import { OktaConfig } from "../config/OktaConfig.ts"
import { CurrentPrincipal } from "../token/Principal.ts"
import type { TokenVerifier } from "../token/TokenVerifier.ts"
import * as Authentication from "./Authentication.ts"
import type { Policy } from "./Policy.ts"
import { isProtected, requestPath } from "./ResourceMetadata.ts"

/** Middleware that lets in only requests with a valid token, and tells their handlers who is calling. */
export type Guard = HttpRouter.Middleware<{
  provides: CurrentPrincipal
  handles: never
  error: never
  requires: never
  layerError: never
  layerRequires: OktaConfig | TokenVerifier
}>

/**
 * Guards the routes to which its layer is provided. The policy comes on top of `requiredScopes`.
 *
 * **Details**
 *
 * Refused requests are answered with 400, 401, 403 or 503 in place of the handler's answer. A policy that is not in order stops
 * the layer with a defect that says what is wrong.
 *
 * **Gotchas**
 *
 * Methods that have no route, and the preflights of browsers, are answered only below `protectedPaths`. Where an app has several
 * `OktaAuth`, make a guard for each: one guard knows one of them, wherever it is provided.
 *
 * @see https://www.rfc-editor.org/rfc/rfc6750.html
 * @example
 * ```ts
 * import { CurrentPrincipal, OktaAuth } from "effect-okta"
 * import { Effect, Layer } from "effect"
 * import { HttpRouter, HttpServerResponse } from "effect/http"
 *
 * export const Whoami = HttpRouter.add(
 *   "GET",
 *   "/whoami",
 *   Effect.flatMap(CurrentPrincipal, (principal) => HttpServerResponse.json(principal))
 * ).pipe(Layer.provide(OktaAuth.guard({ scopes: ["profile"] }).layer))
 * ```
 */
export const guard = (policy?: Policy): Guard =>
  HttpRouter.middleware<{ provides: CurrentPrincipal }>()(
    Effect.gen(function*() {
      const { authenticate, ruleOf } = yield* Authentication.make
      const rule = yield* Effect.orDie(ruleOf(policy))
      return (httpEffect) =>
        Effect.withFiber((fiber) =>
          authenticate(
            Context.getUnsafe(fiber.context, HttpServerRequest.HttpServerRequest),
            rule,
            (principal) => Effect.provideService(httpEffect, CurrentPrincipal, principal)
          )
        )
    })
  )

/**
 * Answers for the protected paths what no route answers: a request with another method gets the challenge that clients
 * look for, and a browser's preflight passes.
 */
export const protectedPaths: Layer.Layer<never, never, HttpRouter.HttpRouter | OktaConfig | TokenVerifier> = HttpRouter
  .middleware(
    Effect.gen(function*() {
      const settings = yield* OktaConfig
      const { authenticate, ruleOf } = yield* Authentication.make
      const rule = yield* Effect.orDie(ruleOf())
      return (httpEffect) =>
        Effect.catch(
          httpEffect,
          (error) =>
            Effect.flatMap(HttpServerRequest.HttpServerRequest, (request) =>
              isRouteNotFound(error) && isProtected(settings, requestPath(request.originalUrl))
                ? authenticate(request, rule, () =>
                  Effect.fail(error))
                : Effect.fail(error))
        )
    }),
    { global: true }
  )

const isRouteNotFound = (error: unknown): boolean =>
  HttpServerError.isHttpServerError(error) && error.reason._tag === "RouteNotFound"
