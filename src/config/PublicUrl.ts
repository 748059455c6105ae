import { Result } from "effect"

/**
 * Rules for the URLs that a person writes into the settings: an issuer and a server's own public address.
 *
 * They are compared byte for byte later on, so nothing is repaired here; a wrong one is named together with its
 * corrected form.
 */

const loopbackNames = new Set(["localhost", "127.0.0.1", "[::1]"])

/** Loopback hosts, for which `http:` is acceptable (RFC 8252 section 7.3). */
export const isLoopbackHost = (hostname: string): boolean =>
  loopbackNames.has(hostname) || /^127\.\d{1,3}\.\d{1,3}\.\d{1,3}$/.test(hostname)

/** The same text without the user name and password of a URL, fit to be shown. */
export const withoutUserinfo = (text: string): string => text.replace(/\/\/.*@/s, "//<redacted>@")

/** A URL as it was read so far: what is wrong with it, and the URL without those mistakes. */
export interface Reading {
  readonly problems: ReadonlyArray<string>
  readonly url: string
}

/** A template's placeholder, as documentation writes it: `{yourOktaDomain}`, `${domain}`, `<your-domain>`. */
const placeholder = /\$?\{[^}]*\}*|<[^>]*>?|\}/

/**
 * Every mistake in a URL, each a sentence that says how to mend it. `example` is a good one; `readOn` finds the mistakes of
 * its own kind in a URL that can be read at all.
 */
export const publicUrlMistakes = (
  text: string,
  example: string,
  readOn: (url: string) => Reading = (url) => ({ problems: [], url })
): ReadonlyArray<string> => {
  const instead = `Give a URL such as ${example}`
  if (text.trim() === "") return [`is empty. ${instead}`]
  const left = placeholder.exec(text)?.[0]
  if (left !== undefined) return [`still holds the placeholder ${left}. Put your own domain in its place.`]

  const solid = text.replace(/\s+/g, "")
  const schemed = withScheme(solid)
  if (!URL.canParse(schemed)) return [`is not a URL. ${instead}`]
  const special = readOn(schemed)
  const general = read(special.url)
  const problems = [
    ...(solid === text ? [] : ["contains white space"]),
    ...(schemed === solid ? [] : ["does not begin with https://"]),
    ...special.problems,
    ...general.problems
  ]
  const mend = URL.canParse(general.url) ? `Use ${general.url}` : instead
  return problems.map((problem) => `${problem}. ${mend}`)
}

/** The same URL with `https://`, where it begins otherwise; only a loopback host keeps `http://`. */
const withScheme = (url: string): string => {
  if (/^https?:\/\/(?!\/)/i.test(url)) return url
  const rest = url.replace(/^(?:[a-z][a-z0-9+.-]*:\/+|\/+)/i, "")
  const http = `http://${rest}`
  return URL.canParse(http) && isLoopbackHost(new URL(http).hostname) ? http : `https://${rest}`
}

const read = (text: string): Reading => {
  const problems: Array<string> = []
  let url = text
  if (/^http:/i.test(url) && !isLoopbackHost(new URL(url).hostname)) {
    problems.push("is not https, which only loopback addresses may do without")
    url = url.replace(/^http:/i, "https:")
  }
  if (/^[^/]*\/\/[^/?#]*@/.test(url)) {
    problems.push("contains a user name or password")
    url = url.replace(/\/\/[^/?#]*@/, "//")
  }
  if (/[?#]/.test(url)) {
    problems.push("has a query or fragment")
    url = url.replace(/[?#].*$/, "")
  }
  if (url.endsWith("/")) {
    problems.push("ends with a slash")
    url = url.replace(/\/+$/, "")
  }
  if (!URL.canParse(url)) return { problems, url }
  const { href } = new URL(url)
  const normal = href.endsWith("/") ? href.slice(0, -1) : href
  if (normal.toLowerCase() !== url.toLowerCase()) {
    problems.push("is not written in its normal form")
    url = normal
  }
  return { problems, url }
}

const serverExample = "https://mcp.example.com"

/**
 * Plain segments, which a router and a client read as the same path; no dots that lead elsewhere, and nothing below
 * `.well-known`, where clients look for metadata (RFC 8615).
 */
export const isPlainPath = (path: string): boolean =>
  /^(?:\/[A-Za-z0-9._~!$&'()+,;=:@%-]+)+$/.test(path) &&
  Result.match(Result.try(() => decodeURI(path)), {
    onFailure: () => false,
    onSuccess: (decoded) => !/\/(?:\.{1,2}|\.well-known)(?:\/|$)/i.test(decoded)
  })

/** Every mistake in a server's own URL, each a sentence that says how to mend it. */
export const serverUrlMistakes = (text: string): ReadonlyArray<string> => {
  const mistakes = publicUrlMistakes(text, serverExample, (url) => {
    const lower = url.replace(/^[^/]*\/\/[^/?#]*/, (origin) => origin.toLowerCase())
    return { problems: lower === url ? [] : ["has upper case letters in its host"], url: lower }
  })
  if (mistakes.length > 0) return mistakes
  const path = basePathOf(text)
  return path === "" || isPlainPath(path) ? [] : [`has an unusual path. Write it like ${serverExample}/base`]
}

/** The path of a server's public URL, byte for byte; empty where there is none. */
export const basePathOf = (serverUrl: string): string => serverUrl.slice(new URL(serverUrl).origin.length)

/** A path as the router takes it, in which a colon would begin a parameter. */
export const routePath = (path: string): `/${string}` => `/${path.slice(1).replaceAll(":", "::")}`

/** The port that a URL leads to, also where it names none. */
export const portOf = ({ port, protocol }: URL): string => port || (protocol === "https:" ? "443" : "80")
