import { Effect, type Layer, Result } from "effect"
import { HttpRouter, HttpServerResponse } from "effect/http"
import { OktaConfig, type Settings } from "../config/OktaConfig.ts"
import { basePathOf, routePath } from "../config/PublicUrl.ts"
import { isOffered, proofAlgorithms } from "../token/DpopProof.ts"
import { metadataCors } from "./Cors.ts"
import { isRepeated, severalHosts } from "./HeaderLines.ts"

const wellKnown = "/.well-known/oauth-protected-resource"

/** A resource as clients know it: the server as a whole, or one of its protected paths. */
export interface ProtectedResource {
  /** Below the server's base path; empty for the server as a whole. */
  readonly path: string
  /** Its identifier (RFC 9728 section 1.2). */
  readonly resource: string
  /** Where its metadata is (RFC 9728 section 3.1). */
  readonly metadataUrl: string
}

/** The resources of a server, the one with the longest path first; none without a `serverUrl`. */
export const protectedResources = ({ protectedPaths, serverUrl }: Settings): ReadonlyArray<ProtectedResource> => {
  if (serverUrl === undefined) return []
  const { origin } = new URL(serverUrl)
  const basePath = basePathOf(serverUrl)
  return [...new Set([...protectedPaths, ""])]
    .sort((one, other) => other.length - one.length)
    .map((path) => ({
      path,
      resource: serverUrl + path,
      metadataUrl: origin + wellKnown + basePath + path
    }))
}

/** Whether a path is one that is protected, or lies below it; in any case, as the router takes it. */
export const isUnder = (path: string, protectedPath: string): boolean =>
  path.slice(0, protectedPath.length).toLowerCase() === protectedPath.toLowerCase() &&
  (path.length === protectedPath.length || path[protectedPath.length] === "/")

/** The path of a request as the router reads it, so that no other spelling of it is decided otherwise. */
export const requestPath = (url: string): string => {
  // Absolute where the platform's own request is a `Request`.
  const path = url.replace(/^https?:\/\/[^/?#]*/i, "").split(/[?;#]/, 1)[0] || "/"
  return decoded(path).replace(/\/{2,}/g, "/")
}

const decoded = (path: string): string => Result.getOrElse(Result.try(() => decodeURI(path)), () => path)

/** A path below the server's base path, whether or not that was removed on the way here. */
const belowBase = (serverUrl: string | undefined, path: string): string => {
  const basePath = serverUrl === undefined ? "" : decoded(basePathOf(serverUrl))
  return basePath !== "" && isUnder(path, basePath) ? path.slice(basePath.length) : path
}

/** The public URL of a request without its query, by nothing that the request says of its host. */
export const publicUrl = (serverUrl: string, url: string): string => {
  const path = url.replace(/^https?:\/\/[^/?#]*/i, "").split(/[?#]/, 1)[0] || "/"
  const basePath = basePathOf(serverUrl)
  return basePath !== "" && isUnder(path, basePath) ? new URL(serverUrl).origin + path : serverUrl + path
}

/** The resource to which a path belongs: that of a protected path, or else the server as a whole. */
export const resourceOf = (
  resources: ReadonlyArray<ProtectedResource>,
  path: string
): ProtectedResource | undefined => {
  const below = belowBase(resources.at(-1)?.resource, path)
  return resources.find((resource) => isUnder(below, decoded(resource.path))) ?? resources.at(-1)
}

/** Whether a path is one of the protected ones, or lies below one. */
export const isProtected = ({ protectedPaths, serverUrl }: Settings, path: string): boolean => {
  const below = belowBase(serverUrl, path)
  return protectedPaths.some((protectedPath) => isUnder(below, decoded(protectedPath)))
}

/**
 * The metadata of a protected resource.
 *
 * @see https://www.rfc-editor.org/rfc/rfc9728.html#section-2
 */
export const document = (settings: Settings, { resource }: ProtectedResource) => {
  const scopes = (settings.scopesSupported.length > 0 ? settings.scopesSupported : settings.requiredScopes)
    .filter((scope) => scope !== "offline_access")
  return {
    resource,
    authorization_servers: settings.mode === "proxy"
      ? [settings.serverUrl]
      : settings.issuers?.map(({ issuer }) => issuer) ?? [settings.issuer],
    ...(scopes.length > 0 ? { scopes_supported: scopes } : undefined),
    bearer_methods_supported: ["header"],
    ...(isOffered(settings)
      ? {
        dpop_signing_alg_values_supported: proofAlgorithms,
        dpop_bound_access_tokens_required: settings.dpop === "require"
      }
      : undefined),
    ...(settings.resourceName === undefined ? undefined : { resource_name: settings.resourceName })
  }
}

const warned = new WeakSet<Settings>()

/** Warns of settings without a `serverUrl`, once however many parts of a server notice. */
export const warnWithoutServerUrl = (settings: Settings): Effect.Effect<void> =>
  Effect.suspend(() => {
    if (settings.serverUrl !== undefined || warned.has(settings)) return Effect.void
    warned.add(settings)
    return Effect.logWarning(
      "serverUrl (SERVER_URL) is not set: clients are not told where to sign in, and no resource metadata is served"
    )
  })

/** Serves the metadata of every resource of this server at each place where clients look for it. */
export const routes: Layer.Layer<never, never, HttpRouter.HttpRouter | OktaConfig> = HttpRouter.use((router) =>
  Effect.gen(function*() {
    const settings = yield* OktaConfig
    const resources = protectedResources(settings)
    const whole = resources.at(-1)
    if (whole === undefined) return yield* warnWithoutServerUrl(settings)
    const places = new Map<string, ProtectedResource>([[wellKnown, whole]])
    for (const resource of resources) places.set(new URL(resource.metadataUrl).pathname, resource)
    for (const [path, resource] of places) {
      const answer = HttpServerResponse.jsonUnsafe(document(settings, resource), {
        headers: { ...metadataCors, "cache-control": "public, max-age=300" }
      })
      yield* router.add(
        "*",
        routePath(path),
        ({ method, source }) =>
          Effect.succeed(
            isRepeated(source, "host")
              ? severalHosts
              : method === "GET" || method === "HEAD"
              ? answer
              : method === "OPTIONS"
              ? options
              : refused
          )
      )
    }
  })
)

const options = HttpServerResponse.empty({ status: 204, headers: metadataCors })

const refused = HttpServerResponse.empty({ status: 405, headers: { ...metadataCors, allow: "GET, HEAD, OPTIONS" } })
