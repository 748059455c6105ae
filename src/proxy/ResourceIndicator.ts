import { protectedResources } from "../resource/ResourceMetadata.ts"
import type { ProxySettings } from "./ProxySettings.ts"

/** The resource of this server's that is named, if it is one; without a name it is the server as a whole. */
export const resourceNamed = (settings: ProxySettings, asked = settings.serverUrl): string | undefined =>
  protectedResources(settings).find(({ resource }) => isNamed(resource, asked))?.resource

/**
 * Whether a client names this resource (RFC 8707 section 2). Where that has no path, a URL parser adds a slash to it, which
 * means the same (RFC 3986 section 6.2.3).
 */
export const isNamed = (resource: string, asked: string): boolean =>
  asked === resource || asked === new URL(resource).href
