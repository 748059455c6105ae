import { Context, type Effect, type Layer, type Redacted } from "effect"
import type { HttpRouter } from "effect/http"
import type { InvalidConfiguration } from "../config/InvalidConfiguration.ts"

/**
 * What `routes` serves besides the resource metadata: in proxy mode the authorization server, else nothing.
 *
 * @example
 * ```ts
 * import { OktaAuth } from "effect-okta"
 * import { Effect, Layer } from "effect"
 *
 * // The authorization server by itself, for an app that serves its resource metadata elsewhere.
 * export const AuthorizationServer = Layer.unwrap(Effect.map(OktaAuth.Endpoints, ({ routes }) => routes))
 * ```
 */
export class Endpoints extends Context.Service<Endpoints, {
  readonly routes: Layer.Layer<never, never, HttpRouter.HttpRouter>
  /** See `reloadSigningKeys`. */
  readonly reloadSigningKeys: (
    signingKeys: Redacted.Redacted<string>
  ) => Effect.Effect<ReadonlyArray<string>, InvalidConfiguration>
}>()("effect-okta/Endpoints") {}
