import { Context, Effect, Layer, Result, Schema } from "effect"
import { HttpServerRequest, HttpServerResponse } from "effect/http"
import * as HttpApiMiddleware from "effect/http-api/HttpApiMiddleware"
import * as HttpApiSecurity from "effect/http-api/HttpApiSecurity"
import * as OpenApi from "effect/http-api/OpenApi"
import type { OktaConfig } from "../config/OktaConfig.ts"
import { CurrentPrincipal } from "../token/Principal.ts"
import type { TokenVerifier } from "../token/TokenVerifier.ts"
import * as Authentication from "./Authentication.ts"
import type { InvalidPolicy, Policy } from "./Policy.ts"
import type { Rule } from "./Rule.ts"

const refusal = <const Codes extends ReadonlyArray<string>>(status: number, identifier: string, codes: Codes) =>
  Schema.Struct({
    error: Schema.Literals(codes),
    error_description: Schema.String
  }).annotate({ httpApiStatus: status, identifier })

/** 400: credentials are given, but not clearly one token. */
export const InvalidRequestAnswer = refusal(400, "OktaInvalidRequest", ["invalid_request"])

/** 401: no token, one that is not accepted, or one of too weak or too old a sign-in. */
export const UnauthorizedAnswer = Schema.Struct({
  error: Schema.optionalKey(
    Schema.Literals(["invalid_token", "invalid_dpop_proof", "use_dpop_nonce", "insufficient_user_authentication"])
  ),
  error_description: Schema.String
}).annotate({ httpApiStatus: 401, identifier: "OktaUnauthorized" })

/** 403: the token lacks scopes, the caller may not do this, or the request comes from where it may not. */
export const ForbiddenAnswer = refusal(403, "OktaForbidden", ["insufficient_scope", "access_denied"])

/** 503: whether the token is good cannot be told at the moment. */
export const UnavailableAnswer = refusal(503, "OktaUnavailable", ["temporarily_unavailable"])

/**
 * The policy of one endpoint, or of all endpoints of a group that have none of their own, as an annotation.
 *
 * @example
 * ```ts
 * import { EndpointPolicy, OktaSecurity } from "effect-okta"
 * import { HttpApiEndpoint, HttpApiGroup } from "effect/http-api"
 *
 * export const Files = HttpApiGroup.make("files").add(
 *   HttpApiEndpoint.get("list", "/files"),
 *   HttpApiEndpoint.delete("clear", "/files").annotate(EndpointPolicy, { scopes: ["files:write"] })
 * ).annotate(EndpointPolicy, { scopes: ["files:read"] }).middleware(OktaSecurity)
 * ```
 */
export class EndpointPolicy extends Context.Service<EndpointPolicy, Policy>()("effect-okta/resource/EndpointPolicy") {}

/**
 * The guard as `HttpApi` security: the scheme shows in OpenAPI, and handlers read `CurrentPrincipal`.
 *
 * **Details**
 *
 * Annotate an endpoint or a group with `EndpointPolicy` to demand more of its callers. Refused requests are answered with 400,
 * 401, 403 or 503.
 *
 * **Gotchas**
 *
 * An endpoint whose policy is not in order answers 500, and the log says why at its first request.
 *
 * @see https://www.rfc-editor.org/rfc/rfc6750.html
 * @example
 * ```ts
 * import { EndpointPolicy, OktaSecurity } from "effect-okta"
 * import { Schema } from "effect"
 * import { HttpApi, HttpApiEndpoint, HttpApiGroup } from "effect/http-api"
 *
 * export const Api = HttpApi.make("api").add(
 *   HttpApiGroup.make("files").add(
 *     HttpApiEndpoint.get("list", "/files", { success: Schema.Array(Schema.String) })
 *       .annotate(EndpointPolicy, { scopes: ["files:read"] })
 *   ).middleware(OktaSecurity)
 * )
 * ```
 */
export class OktaSecurity extends HttpApiMiddleware.Service<OktaSecurity, { provides: CurrentPrincipal }>()(
  "effect-okta/resource/OktaSecurity",
  {
    security: { okta: HttpApiSecurity.bearer.pipe(HttpApiSecurity.annotate(OpenApi.Format, "JWT")) },
    error: [InvalidRequestAnswer, UnauthorizedAnswer, ForbiddenAnswer, UnavailableAnswer]
  }
) {
  /** To be provided after the groups, since they need it too. Each place gets one by the `OktaAuth` that is provided there. */
  static readonly layer: Layer.Layer<OktaSecurity, never, OktaConfig | TokenVerifier> = Layer.fresh(Layer.effect(
    OktaSecurity,
    Effect.gen(function*() {
      const { authenticate, ruleOf } = yield* Authentication.make
      const none: Policy = {}
      const known = new WeakMap<Policy, Result.Result<Rule, InvalidPolicy>>()
      /** What an annotation says is known only once a request is there; it is read once. */
      const ruleAt = Effect.fnUntraced(function*(policy: Policy, endpoint: string) {
        const before = known.get(policy)
        if (before !== undefined) return before
        const rule = yield* Effect.result(ruleOf(policy))
        known.set(policy, rule)
        if (Result.isFailure(rule)) {
          yield* Effect.logError(`The endpoint ${endpoint} answers 500: ${rule.failure.message}`)
        }
        return rule
      })
      return OktaSecurity.of({
        okta: (httpEffect, { endpoint, group }) =>
          Effect.gen(function*() {
            const request = yield* HttpServerRequest.HttpServerRequest
            const policy = Context.getOrUndefined(endpoint.annotations, EndpointPolicy) ??
              Context.getOrUndefined(group.annotations, EndpointPolicy) ?? none
            const rule = yield* ruleAt(policy, `${group.identifier}.${endpoint.identifier}`)
            if (Result.isFailure(rule)) return HttpServerResponse.empty({ status: 500 })
            return yield* authenticate(
              request,
              rule.success,
              (principal) => Effect.provideService(httpEffect, CurrentPrincipal, principal)
            )
          })
      })
    })
  ))
}
