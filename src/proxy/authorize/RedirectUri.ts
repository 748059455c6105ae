/**
 * Redirect URIs: which ones a client may register, and whether the one in a request is among them.
 *
 * They are compared as the texts they are and never repaired (RFC 9700 section 2.1); parsing serves to inspect them only.
 */

/** The longest redirect URI, in characters. */
export const longest = 2000

/** Every character that a URI may have, reserved or not (RFC 3986 section 2). */
const characters = /^[A-Za-z0-9\-._~:/?#[\]@!$&'()*+,;=%]*$/

/** Scheme, authority, path and query (RFC 3986 appendix B). */
const parts = /^([A-Za-z][A-Za-z0-9+.-]*):(?:\/\/([^/?]*))?([^?]*)(?:\?.*)?$/

/** Schemes by which a browser runs or reads what is in the URI, or that are no application's own. */
const neverAllowed = new Set([
  "javascript",
  "vbscript",
  "data",
  "blob",
  "file",
  "filesystem",
  "about",
  "view-source",
  "ftp",
  "ws",
  "wss"
])

const loopbackHosts = new Set(["127.0.0.1", "[::1]", "localhost"])

/**
 * What is wrong with a redirect URI that a client wants to register, in words that follow its name, or `undefined`.
 * `listed` holds the URIs that the owner of this server has allowed besides: those with a private-use scheme (RFC 8252
 * section 7.1) are good only when they are among them.
 */
export const problem = (
  uri: string,
  { listed }: { readonly listed: ReadonlyArray<string> }
): string | undefined => {
  if (uri.length > longest) return `is longer than ${longest} characters`
  if (/[\s\p{Cc}]/u.test(uri)) return "contains white space or control characters"
  if (uri.includes("\\")) return "contains a backslash"
  if (!characters.test(uri)) return "contains characters that a URI cannot hold. Percent-encode them"
  if (/%(?![0-9A-Fa-f]{2})/.test(uri)) return "contains a percent sign that encodes nothing"
  if (/%(?:[01][0-9A-Fa-f]|7[Ff])/.test(uri)) return "contains encoded control characters"
  if (uri.includes("#")) return "has a fragment"
  if (uri.includes("*")) return "contains a wildcard. Register every URI that is used"
  const [, scheme, authority, path] = parts.exec(uri) ?? []
  if (scheme === undefined || path === undefined) return "is not an absolute URI"
  if (neverAllowed.has(scheme.toLowerCase())) return "has a scheme that is never allowed"
  if (scheme !== scheme.toLowerCase()) return "has a scheme in upper case"
  if (authority?.includes("@") === true) return "contains a user name or password"
  if (scheme !== "https" && scheme !== "http") {
    return listed.includes(uri)
      ? undefined
      : "has a private-use scheme that this server does not know. Its owner can list the URI in redirectUris"
  }
  return webProblem(scheme, authority ?? "", path)
}

const webProblem = (scheme: string, authority: string, path: string): string | undefined => {
  const [, host, port] = /^([a-z0-9._-]+|\[[0-9a-f:.]+\])(?::([1-9][0-9]{0,4}))?$/.exec(authority) ?? []
  if (host === undefined || Number(port ?? 0) > 65_535) {
    return "has no proper host and port. Write the host in lower case"
  }
  const inspected = `${scheme}://${host}${path}`
  if (!URL.canParse(inspected)) return "is not a URL"
  const { hostname, pathname } = new URL(inspected)
  // A number in any other form than four decimal ones is an address that people do not recognise.
  if (hostname !== host || /^\.|\.\.|\.$/.test(host)) return `has a host that is not written in its normal form`
  if (host.startsWith("[") && host !== "[::1]") return "has an IPv6 address other than [::1] for its host"
  if (path !== "" && pathname !== path) return "has a path that is not written in its normal form"
  return scheme === "https" || loopbackHosts.has(host)
    ? undefined
    : "is not https, which only 127.0.0.1, [::1] and localhost may do without"
}

const loopbackUri = /^https?:\/\/(?:127\.0\.0\.1|\[::1\]|localhost)(?::[0-9]+)?(?:[/?]|$)/

/** Whether a redirect URI leads to the person's own machine. */
export const isLoopback = (uri: string): boolean => loopbackUri.test(uri)

/** Whether a redirect URI leads to a web site on the internet. */
export const isWeb = (uri: string): boolean => uri.startsWith("https://") && !isLoopback(uri)

const loopbackHttp = /^(http:\/\/(?:127\.0\.0\.1|\[::1\]|localhost))(?::([1-9][0-9]{0,4}))?((?:[/?].*)?)$/s

const withoutPort = (uri: string): string | undefined => {
  const [, origin, port, rest] = loopbackHttp.exec(uri) ?? []
  return origin === undefined || Number(port ?? 0) > 65_535 ? undefined : `${origin}${rest}`
}

/**
 * Whether a requested redirect URI is the registered one. A native application is given a free port when it needs one, so
 * on the same loopback host the port may differ (RFC 8252 section 7.3); everything else must be equal.
 */
export const matches = (registered: string, requested: string): boolean => {
  if (registered === requested) return true
  const local = withoutPort(registered)
  return local !== undefined && local === withoutPort(requested)
}
