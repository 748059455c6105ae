import { Effect, type Layer } from "effect"
import { HttpRouter, HttpServerResponse } from "effect/http"
import { OktaConfig, type Settings } from "../config/OktaConfig.ts"
import { metadataCors } from "./Cors.ts"

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
  const basePath = serverUrl.slice(origin.length)
  return [...new Set([...protectedPaths, ""])]
    .sort((one, other) => other.length - one.length)
    .map((path) => ({
      path,
      resource: serverUrl + path,
      metadataUrl: origin + wellKnown + basePath + path
    }))
}

/** Whether a path is one that is protected, or lies below it. */
export const isUnder = (path: string, protectedPath: string): boolean =>
  path.startsWith(protectedPath) && (path.length === protectedPath.length || path[protectedPath.length] === "/")

/** The resource to which a path belongs, whether or not the base path was removed on the way here. */
export const resourceOf = (
  resources: ReadonlyArray<ProtectedResource>,
  path: string
): ProtectedResource | undefined => {
  const whole = resources.at(-1)
  if (whole === undefined) return undefined
  const basePath = whole.resource.slice(new URL(whole.resource).origin.length)
  const below = basePath !== "" && isUnder(path, basePath) ? path.slice(basePath.length) : path
  return resources.find((resource) => isUnder(below, resource.path))
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
    authorization_servers: [settings.mode === "native" ? settings.issuer : settings.serverUrl],
    ...(scopes.length > 0 ? { scopes_supported: scopes } : undefined),
    bearer_methods_supported: ["header"],
    ...(settings.resourceName === undefined ? undefined : { resource_name: settings.resourceName })
  }
}

/** Serves the metadata of every resource of this server at each place where clients look for it. */
export const routes: Layer.Layer<never, never, HttpRouter.HttpRouter | OktaConfig> = HttpRouter.use((router) =>
  Effect.gen(function*() {
    const settings = yield* OktaConfig
    const resources = protectedResources(settings)
    const whole = resources.at(-1)
    if (whole === undefined) return
    const places = new Map<string, ProtectedResource>([[wellKnown, whole]])
    for (const resource of resources) places.set(new URL(resource.metadataUrl).pathname, resource)
    for (const [path, resource] of places) {
      const answer = HttpServerResponse.jsonUnsafe(document(settings, resource), {
        headers: { ...metadataCors, "cache-control": "public, max-age=300" }
      })
      const refused = HttpServerResponse.empty({
        status: 405,
        headers: { ...metadataCors, allow: "GET, HEAD, OPTIONS" }
      })
      yield* router.add("GET", literal(path), answer)
      yield* router.add("OPTIONS", literal(path), HttpServerResponse.empty({ status: 204, headers: metadataCors }))
      for (const method of ["POST", "PUT", "PATCH", "DELETE", "QUERY"] as const) {
        yield* router.add(method, literal(path), refused)
      }
    }
  })
)

/** A path as the router takes it, in which a colon would begin a parameter. */
const literal = (path: string): HttpRouter.PathInput => `/${path.slice(1).replaceAll(":", "::")}`
