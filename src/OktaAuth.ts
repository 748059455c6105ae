/**
 * Okta in front of the routes of an Effect application: provide one layer, guard the routes, serve the metadata.
 */
import { Effect, Layer, type Redacted } from "effect"
import { Headers, type HttpClient, type HttpRouter, UrlParams } from "effect/http"
import * as Environment from "./config/Environment.ts"
import { InvalidConfiguration } from "./config/InvalidConfiguration.ts"
import { issuerKind } from "./config/IssuerUrl.ts"
import { OktaConfig, type OktaOptions, type SeveralIssuersOptions } from "./config/OktaConfig.ts"
import * as AuditLog from "./observe/AuditLog.ts"
import { Discovery, type DiscoveryFailed } from "./provider/Discovery.ts"
import { Jwks, type KeysUnavailable } from "./provider/Jwks.ts"
import { OktaHttp } from "./provider/OktaHttp.ts"
import { Endpoints } from "./proxy/Endpoints.ts"
import { Grants } from "./proxy/Grants.ts"
import * as ProofGuards from "./proxy/ProofGuards.ts"
import * as StoreChoice from "./proxy/StoreChoice.ts"
import { UpstreamTokens } from "./proxy/UpstreamTokens.ts"
import { protectedPaths } from "./resource/Guard.ts"
import * as Health from "./resource/Health.ts"
import type { Policy } from "./resource/Policy.ts"
import * as ResourceMetadata from "./resource/ResourceMetadata.ts"
import * as ObservedStore from "./store/ObservedStore.ts"
import type { Store, StoreUnavailable } from "./store/Store.ts"
import { isOffered } from "./token/DpopProof.ts"
import * as DpopProofs from "./token/DpopProofs.ts"
import * as IntrospectingVerifier from "./token/IntrospectingVerifier.ts"
import type { User } from "./token/Principal.ts"
import * as ProofReplays from "./token/ProofReplays.ts"
import * as SeveralIssuers from "./token/SeveralIssuers.ts"
import { Signature } from "./token/Signature.ts"
import { TokenVerifier, type VerifierOptions } from "./token/TokenVerifier.ts"

export { Endpoints } from "./proxy/Endpoints.ts"
export { guard } from "./resource/Guard.ts"
export { mcpGuard, mcpVisibility, type VisibilityOptions } from "./resource/McpGuard.ts"

/** How the layer starts, beyond the settings. */
export interface StartOptions extends VerifierOptions {
  /**
   * Wait for Okta's keys, 3 seconds at most, and fail with `DiscoveryFailed` or `KeysUnavailable` without them (false).
   * Otherwise the layer is built at once and heals itself.
   */
  readonly failFast?: boolean | undefined
  /**
   * Proxy mode: where sign-ins are kept; by default in the memory of this process, so that a restart signs everybody out. Both
   * modes: where it is kept which DPoP proofs were used, by which several servers know of each other's.
   * A layer that provides `RateLimiterStore` of `effect/persistence` too, as `RedisStore` does, counts requests there. One
   * that cannot be opened is `InvalidConfiguration`.
   */
  readonly store?: Layer.Layer<Store, StoreUnavailable> | undefined
  /** Proxy mode: who may come in at all, of those whom Okta lets in (everybody). Asked again with each renewal. */
  readonly admit?: Policy<User> | undefined
  /**
   * Native mode: ask Okta about the tokens that are shown, so that a revoked one is refused within a minute, or those of an org
   * server are accepted (Okta is not asked).
   */
  readonly introspection?: IntrospectingVerifier.IntrospectionOptions | undefined
  /** Takes audit events: sign-ins, tokens, grants that end, keys that change. By default each is a line of the log. */
  readonly audit?: AuditLog.AuditSink | undefined
}

/** The start that cannot fail for Okta's sake. */
interface LazyStart extends StartOptions {
  readonly failFast?: false | undefined
}

/** What the layer provides. */
export type Services =
  | OktaConfig
  | Discovery
  | Jwks
  | TokenVerifier
  | Endpoints
  | Health.Readiness
  | UpstreamTokens
  | Grants

/** Why the layer cannot be built; the last two only with `failFast`. */
export type StartError = InvalidConfiguration | DiscoveryFailed | KeysUnavailable

const from = (
  config: Layer.Layer<OktaConfig, InvalidConfiguration>,
  store: StoreChoice.Choice,
  unusedStore: Effect.Effect<void>,
  asking: Effect.Effect<IntrospectingVerifier.IntrospectionOptions | undefined>,
  { accept, admit, audit, cacheSize, failFast }: StartOptions
): Layer.Layer<Services, StartError, HttpClient.HttpClient> => {
  const started = Layer.effectDiscard(Effect.gen(function*() {
    if (failFast === true) yield* (yield* Jwks).ready
  }))
  const okta = Jwks.layer.pipe(Layer.provideMerge(Discovery.layer))
  const mode = Layer.unwrap(Effect.gen(function*() {
    const settings = yield* OktaConfig
    const introspection = yield* asking
    if (settings.mode === "proxy") {
      // Loaded here, so that only those who use it wait for it.
      const ProxyMode = yield* Effect.promise(() => import("./proxy/ProxyMode.ts"))
      return ProxyMode.layer({ admit, cacheSize }).pipe(
        Layer.provide(kept(store)),
        Layer.provideMerge(started),
        Layer.provideMerge(okta)
      )
    }
    const options = { accept, cacheSize }
    const plain = settings.issuers === undefined
      ? TokenVerifier.layerWith(options).pipe(Layer.provideMerge(okta))
      : SeveralIssuers.layer(settings, settings.issuers, options)
    const verifier = introspection === undefined
      ? plain
      : Layer.provideMerge(IntrospectingVerifier.layer(introspection, options), plain)
    const usesStore = isOffered(settings)
    const proofs = usesStore ? DpopProofs.layer.pipe(Layer.provide(replays(store))) : Layer.empty
    const unused = usesStore ? Effect.void : unusedStore
    const warnings = introspection?.mode === "only" ? unused : Effect.andThen(unused, warnOfOrgServer(options))
    return Layer.mergeAll(native(), proofs, Layer.effectDiscard(warnings)).pipe(
      Layer.provideMerge(started),
      Layer.provideMerge(verifier)
    )
  }))
  return apart(mode.pipe(
    Layer.provide(OktaHttp.layer),
    Layer.provide(Signature.layer),
    Layer.provide(audit === undefined ? Layer.empty : AuditLog.layer(audit)),
    Layer.provideMerge(config)
  ))
}

/**
 * One layer, shared by all that it is provided to, of parts that are shared with nothing else: those of another server in the
 * same app are the same values, and would be taken for these.
 */
const apart = <A, E, R>(parts: Layer.Layer<A, E, R>): Layer.Layer<A, E, R> =>
  Layer.fromBuildMemo((memoMap, scope) => Layer.buildWithMemoMap(Layer.fresh(parts), memoMap, scope))

/** Which DPoP proofs were used. */
const replays = (store: StoreChoice.Choice) =>
  Layer.unwrap(Effect.map(store, (chosen) =>
    chosen === undefined
      ? ProofReplays.layerMemory()
      : ProofGuards.replays.pipe(Layer.provide(ObservedStore.layer), Layer.provide(chosen))))

/** All that is kept. */
const kept = (store: StoreChoice.Choice) =>
  ProofGuards.replays.pipe(Layer.provideMerge(ObservedStore.layer), Layer.provideMerge(StoreChoice.orMemory(store)))

/** Okta's tokens are verified here, and Okta is where clients sign in. */
const native = () =>
  Layer.mergeAll(
    Layer.succeed(Endpoints, { routes: Layer.empty, reloadSigningKeys: () => Effect.fail(noSigningKeys) }),
    Health.Readiness.layer(),
    UpstreamTokens.none,
    Grants.none,
    redactedNames
  )

const noSigningKeys = new InvalidConfiguration({
  problems: [{ field: "signingKeys", message: "is a setting of proxy mode. In native mode this server signs nothing." }]
})

/** What a client sends in the query, where it is not looked at, and its proofs are not to be found in a span either. */
const redactedNames = Layer.mergeAll(
  Layer.effect(
    UrlParams.CurrentRedactedNames,
    Effect.map(UrlParams.CurrentRedactedNames, (names) => [...names, "access_token"])
  ),
  Layer.effect(
    Headers.CurrentRedactedNames,
    Effect.map(Headers.CurrentRedactedNames, (names) => [...names, "dpop"])
  )
)

const warnOfOrgServer = Effect.fnUntraced(function*({ accept }: VerifierOptions) {
  const settings = yield* OktaConfig
  const issuers = settings.mode === "native" && settings.issuers || [{ issuer: settings.issuer, accept: undefined }]
  for (const { accept: own = accept, issuer } of issuers) {
    if (own === "id-token" || issuerKind(issuer) === "custom") continue
    yield* Effect.logWarning(
      `${issuer} is an Okta org server: nobody but Okta can verify its access tokens, so all will be refused. ` +
        "Use a custom authorization server, such as the one under /oauth2/default, or proxy mode."
    )
  }
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
  options: (OktaOptions | SeveralIssuersOptions) & LazyStart
): Layer.Layer<Services, InvalidConfiguration, HttpClient.HttpClient>
/** The same with `failFast`: fails with `DiscoveryFailed` or `KeysUnavailable` too. */
export function layer(
  options: (OktaOptions | SeveralIssuersOptions) & StartOptions
): Layer.Layer<Services, StartError, HttpClient.HttpClient>
export function layer(
  { admit, audit, failFast, introspection, store, ...options }: (OktaOptions | SeveralIssuersOptions) & StartOptions
) {
  const unused = StoreChoice.warnOfUnused(store, { environment: false })
  const all = { ...options, admit, introspection }
  return from(OktaConfig.layer(all), StoreChoice.inCode(store), unused, Effect.succeed(introspection), {
    ...options,
    admit,
    audit,
    failFast
  })
}

/**
 * Everything that is needed to guard routes, from the environment: `OKTA_ISSUER`, `OKTA_AUDIENCE`, `SERVER_URL` and
 * `REQUIRED_SCOPES`, and for proxy mode `OKTA_CLIENT_ID`, `OKTA_CLIENT_SECRET`, `ENCRYPTION_SECRET`, `SIGNING_KEYS` and
 * one of `SQLITE_FILE` and `REDIS_URL`. Fails with `InvalidConfiguration`.
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
  options?: (Partial<OktaOptions> | SeveralIssuersOptions) & LazyStart
): Layer.Layer<Services, InvalidConfiguration, HttpClient.HttpClient>
/** The same with `failFast`: fails with `DiscoveryFailed` or `KeysUnavailable` too. */
export function layerConfig(
  options: (Partial<OktaOptions> | SeveralIssuersOptions) & StartOptions
): Layer.Layer<Services, StartError, HttpClient.HttpClient>
export function layerConfig(
  { admit, audit, failFast, introspection, store, ...options }:
    & (Partial<OktaOptions> | SeveralIssuersOptions)
    & StartOptions = {}
) {
  const unused = StoreChoice.warnOfUnused(store, { environment: true })
  const config = StoreChoice.checked(Environment.layerConfig({ ...options, introspection, admit }))
  return from(config, StoreChoice.inEnvironment(store), unused, Environment.introspection(introspection), {
    ...options,
    admit,
    audit,
    failFast
  })
}

/**
 * What clients look for besides your own routes: the resource metadata, the challenge on the protected paths for any
 * method, and in proxy mode the endpoints of the authorization server.
 *
 * **Details**
 *
 * Without a `serverUrl` there is no metadata, and a warning at the start says so.
 *
 * **Gotchas**
 *
 * A router serves those of one `OktaAuth`: where an app has several, give each a server of its own.
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
export const routes: Layer.Layer<never, never, HttpRouter.HttpRouter | OktaConfig | TokenVerifier | Endpoints> = Layer
  .mergeAll(
    ResourceMetadata.routes,
    protectedPaths,
    Layer.unwrap(Effect.map(Endpoints, ({ routes }) => routes))
  )

/**
 * Puts another ring of signing keys in place of the one in use, without a restart, and gives every `kid` of it, the one that
 * signs first. A wrong ring changes nothing and fails with `InvalidConfiguration`, and so does any in native mode.
 *
 * **Details**
 *
 * Tokens of a key that stays in the ring stay good, wherever in it the key stands. `effect-okta keys` makes rings.
 *
 * @example
 * ```ts
 * import { OktaAuth } from "effect-okta"
 * import { Effect, FileSystem, Redacted } from "effect"
 *
 * export const reload = Effect.gen(function*() {
 *   const files = yield* FileSystem.FileSystem
 *   const ring = yield* files.readFileString("/var/run/secrets/signing-keys.json")
 *   return yield* OktaAuth.reloadSigningKeys(Redacted.make(ring))
 * })
 * ```
 */
export const reloadSigningKeys = (
  signingKeys: Redacted.Redacted<string>
): Effect.Effect<ReadonlyArray<string>, InvalidConfiguration, Endpoints> =>
  Effect.flatMap(Endpoints, (endpoints) => endpoints.reloadSigningKeys(signingKeys))

/**
 * `/healthz`, which answers 200 while the process lives, and `/readyz`, which answers 200 while Okta's keys are held and in
 * proxy mode the store can be reached, and otherwise 503. Neither needs a token.
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
export const health: Layer.Layer<never, never, HttpRouter.HttpRouter | Health.Readiness> = Health.routes
