import { Predicate } from "effect"
import { isRepeated } from "./HeaderLines.ts"

/** What a request brings along to prove itself: a token, nothing that concerns us, or something that is not clear. */
export type BearerCredentials =
  | Token
  | { readonly _tag: "None" }
  | { readonly _tag: "Malformed"; readonly reason: string }

/** One token. */
export interface Token {
  readonly _tag: "Token"
  readonly token: string
  /** There with the scheme `DPoP`: the one proof of the request, absent when there is none or more than one. */
  readonly dpop?: { readonly proof: string | undefined }
}

const none: BearerCredentials = { _tag: "None" }
const malformed = (reason: string): BearerCredentials => ({ _tag: "Malformed", reason })

/** The parts of a request in which credentials are looked for. */
export interface CredentialsRequest {
  readonly url: string
  readonly headers: { readonly [name: string]: string | undefined }
  /** The platform's own request; Node's tells header lines apart that `headers` has merged. */
  readonly source: object
}

/**
 * The token in a request: from one `Authorization` line, of the scheme `Bearer` (RFC 6750 section 2.1) or if it is `offered`
 * `DPoP` (RFC 9449 section 7.1), in any case, and never from the query or body.
 */
export const read = (
  request: CredentialsRequest,
  offered: { readonly dpop: boolean } = { dpop: false }
): BearerCredentials => {
  const lines = rawLines(request.source)
  if (lines.repeated !== undefined) return malformed(`more than one ${lines.repeated} header`)
  // Of middleware that sets the header itself there is no raw line.
  const header = lines.authorization ?? request.headers["authorization"]
  if (header === undefined) return none
  const scheme = /^bearer(?: |$)/i.test(header) ? "Bearer" : offered.dpop && isDpop(header) ? "DPoP" : undefined
  if (scheme === undefined) return none
  let start = scheme.length
  while (header.charCodeAt(start) === 0x20) start++
  const token = header.slice(start)
  if (token === "") return malformed(`no token behind ${scheme}`)
  if (token.includes(" ") || token.includes(",")) return malformed(`more than one token behind ${scheme}`)
  if (request.url.includes("access_token=") && /[?&]access_token=/.test(request.url)) {
    return malformed("a token in the query besides the one in the header")
  }
  return scheme === "Bearer" ? { _tag: "Token", token } : { _tag: "Token", token, dpop: { proof: proofOf(request) } }
}

/** Whether an `Authorization` header is of the scheme `DPoP`. */
export const isDpop = (header: string): boolean => /^dpop(?: |$)/i.test(header)

/** The one DPoP proof in a request. */
export const proofOf = ({ headers, source }: Omit<CredentialsRequest, "url">): string | undefined =>
  isRepeated(source, "dpop") ? undefined : headers["dpop"]

interface RawLines {
  readonly authorization: string | undefined
  readonly repeated: "Authorization" | "Host" | undefined
}

const unknownLines: RawLines = { authorization: undefined, repeated: undefined }

/**
 * What the lines of a request to Node say. Node keeps the first of several `Authorization` or `Host` lines without a word
 * (RFC 9112 section 3.2), so they are counted; and reading the few that matter takes a fraction of the time that it takes to
 * make a record of all headers.
 */
const rawLines = (source: object): RawLines => {
  if (!Predicate.hasProperty(source, "rawHeaders") || !Array.isArray(source.rawHeaders)) return unknownLines
  const raw: ReadonlyArray<unknown> = source.rawHeaders
  let authorization: string | undefined
  let authorizations = 0
  let hosts = 0
  for (let i = 0; i < raw.length; i += 2) {
    const name = raw[i]
    if (typeof name !== "string") continue
    if (name.length === 13 && name.toLowerCase() === "authorization") {
      authorizations++
      const value = raw[i + 1]
      if (typeof value === "string") authorization = value
    } else if (name.length === 4 && name.toLowerCase() === "host") hosts++
  }
  return { authorization, repeated: authorizations > 1 ? "Authorization" : hosts > 1 ? "Host" : undefined }
}
