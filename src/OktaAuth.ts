/**
 * Okta in front of the routes of an Effect application: provide one layer, guard the routes, serve the metadata.
 */
import { Effect, Layer } from "effect"
import { type HttpClient, type HttpRouter, UrlParams } from "effect/http"
import * as Environment from "./config/Environment.ts"
import { InvalidConfiguration } from "./config/InvalidConfiguration.ts"
import { issuerKind } from "./config/IssuerUrl.ts"
import { OktaConfig, type OktaOptions } from "./config/OktaConfig.ts"
import { Discovery, type DiscoveryFailed } from "./provider/Discovery.ts"
import { Jwks, type KeysUnavailable } from "./provider/Jwks.ts"
import { OktaHttp } from "./provider/OktaHttp.ts"
import { protectedPaths } from "./resource/Guard.ts"
import * as Health from "./resource/Health.ts"
import * as ResourceMetadata from "./resource/ResourceMetadata.ts"
import { Signature } from "./token/Signature.ts"
import { TokenVerifier, type VerifierOptions } from "./token/TokenVerifier.ts"

export { guard } from "./resource/Guard.ts"

/** How the layer starts, beyond the settings. */
export interface StartOptions extends VerifierOptions {
  /**
   * Wait for Okta's keys, 3 seconds at most, and fail with `DiscoveryFailed` or `KeysUnavailable` without them (false).
   * Otherwise the layer is built at once and heals itself.
   */
  readonly failFast?: boolean | undefined
}

/** The start that cannot fail for Okta's sake. */
interface LazyStart extends StartOptions {
  readonly failFast?: false | undefined
}

/** What the layer provides. */
export type Services = OktaConfig | Discovery | Jwks | TokenVerifier

/** Why the layer cannot be built; the last two only with `failFast`. */
export type StartError = InvalidConfiguration | DiscoveryFailed | KeysUnavailable

const from = (
  config: Layer.Layer<OktaConfig, InvalidConfiguration>,
  { accept, cacheSize, failFast }: StartOptions
): Layer.Layer<Services, StartError, HttpClient.HttpClient> => {
  const verifier = TokenVerifier.layerWith({ accept, cacheSize }).pipe(
    Layer.provideMerge(Layer.effectDiscard(start({ accept, failFast }))),
    Layer.provideMerge(Jwks.layer),
    Layer.provideMerge(Discovery.layer),
    Layer.provide(OktaHttp.layer),
    Layer.provide(Signature.layer)
  )
  return Layer.merge(Layer.provideMerge(verifier, config), redactedNames)
}

/** A client that sends its token in the query, where it is not looked at, is not to find it in a span either. */
const redactedNames = Layer.effect(
  UrlParams.CurrentRedactedNames,
  Effect.map(UrlParams.CurrentRedactedNames, (names) => [...names, "access_token"])
)

const start = Effect.fnUntraced(function*({ accept, failFast }: StartOptions) {
  const settings = yield* OktaConfig
  if (settings.mode === "proxy") {
    return yield* new InvalidConfiguration({
      problems: [{ field: "mode", value: "proxy", message: "is not available yet. Leave out the client credentials." }]
    })
  }
  if (accept !== "id-token" && issuerKind(settings.issuer) === "org") {
    yield* Effect.logWarning(
      `${settings.issuer} is an Okta org server: nobody but Okta can verify its access tokens, so all will be refused. ` +
        "Use a custom authorization server, such as the one under /oauth2/default."
    )
  }
  if (failFast === true) yield* (yield* Jwks).ready
})

/**
 * Everything that is needed to guard routes, from options in code. Fails with `InvalidConfiguration`.
 *
 * **Details**
 *
 * The layer is built though Okta be down, and heals itself; with `failFast` it fails instead. It needs an `HttpClient`,
 * such as `FetchHttpClient.layer`, for Okta's metadata and keys.
 *
 * @example
 * ```ts
 * import { OktaAuth } from "effect-okta"
 * import { Layer } from "effect"
 * import { FetchHttpClient } from "effect/http"
 *
 * export const Okta = OktaAuth.layer({
 *   issuer: "https://acme.okta.com/oauth2/default",
 *   audience: "api://default",
 *   serverUrl: "https://mcp.example.com",
 *   protectedPaths: ["/mcp"]
 * }).pipe(Layer.provide(FetchHttpClient.layer))
 * ```
 */
export function layer(
  options: OktaOptions & LazyStart
): Layer.Layer<Services, InvalidConfiguration, HttpClient.HttpClient>
/** The same with `failFast`: fails with `DiscoveryFailed` or `KeysUnavailable` too. */
export function layer(options: OktaOptions & StartOptions): Layer.Layer<Services, StartError, HttpClient.HttpClient>
export function layer({ failFast, ...options }: OktaOptions & StartOptions) {
  return from(OktaConfig.layer(options), { ...options, failFast })
}

/**
 * Everything that is needed to guard routes, from the environment: `OKTA_ISSUER`, `OKTA_AUDIENCE`, `SERVER_URL` and
 * `REQUIRED_SCOPES`. Fails with `InvalidConfiguration`.
 *
 * **Details**
 *
 * Options in code stand in for what has no variable, and for variables that are not set. All else is as with `layer`.
 *
 * @example
 * ```ts
 * import { OktaAuth } from "effect-okta"
 * import { Layer } from "effect"
 * import { FetchHttpClient } from "effect/http"
 *
 * export const Okta = OktaAuth.layerConfig({ protectedPaths: "/mcp" }).pipe(Layer.provide(FetchHttpClient.layer))
 * ```
 */
export function layerConfig(
  options?: Partial<OktaOptions> & LazyStart
): Layer.Layer<Services, InvalidConfiguration, HttpClient.HttpClient>
/** The same with `failFast`: fails with `DiscoveryFailed` or `KeysUnavailable` too. */
export function layerConfig(
  options: Partial<OktaOptions> & StartOptions
): Layer.Layer<Services, StartError, HttpClient.HttpClient>
export function layerConfig({ failFast, ...options }: Partial<OktaOptions> & StartOptions = {}) {
  return from(Environment.layerConfig(options), { ...options, failFast })
}

/**
 * What clients look for besides your own routes: the resource metadata, and the challenge on the protected paths for
 * any method.
 *
 * **Details**
 *
 * Without a `serverUrl` there is no metadata, and a warning at the start says so.
 *
 * @see https://www.rfc-editor.org/rfc/rfc9728.html
 * @example
 * ```ts
 * import { OktaAuth } from "effect-okta"
 * import { Layer } from "effect"
 * import { HttpRouter, HttpServerResponse } from "effect/http"
 *
 * const Mine = HttpRouter.add("GET", "/hello", HttpServerResponse.text("Hello")).pipe(
 *   Layer.provide(OktaAuth.guard().layer)
 * )
 *
 * export const Server = HttpRouter.serve(Layer.merge(Mine, OktaAuth.routes))
 * ```
 */
export const routes: Layer.Layer<never, never, HttpRouter.HttpRouter | OktaConfig | TokenVerifier> = Layer.mergeAll(
  ResourceMetadata.routes,
  protectedPaths
)

/**
 * `/healthz`, which answers 200 while the process lives, and `/readyz`, which answers 200 while Okta's keys are held
 * and otherwise 503. Neither needs a token.
 *
 * @example
 * ```ts
 * import { OktaAuth } from "effect-okta"
 * import { Layer } from "effect"
 * import { HttpRouter } from "effect/http"
 *
 * export const Server = HttpRouter.serve(Layer.merge(OktaAuth.routes, OktaAuth.health))
 * ```
 */
export const health: Layer.Layer<never, never, HttpRouter.HttpRouter | Jwks> = Health.routes
