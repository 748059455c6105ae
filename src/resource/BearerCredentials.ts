import { Predicate } from "effect"

/** What a request brings along to prove itself: a token, nothing that concerns us, or something that is not clear. */
export type BearerCredentials =
  | { readonly _tag: "Token"; readonly token: string }
  | { readonly _tag: "None" }
  | { readonly _tag: "Malformed"; readonly reason: string }

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
 * The token in a request: from one `Authorization: Bearer` line (RFC 6750 section 2.1), the scheme in any case, never from
 * the query or body.
 */
export const read = (request: CredentialsRequest): BearerCredentials => {
  const lines = rawLines(request.source)
  if (lines.repeated !== undefined) return malformed(`more than one ${lines.repeated} header`)
  // Of middleware that sets the header itself there is no raw line.
  const header = lines.authorization ?? request.headers["authorization"]
  if (header === undefined) return none
  if (!/^bearer(?: |$)/i.test(header)) return none
  let start = 6
  while (header.charCodeAt(start) === 0x20) start++
  const token = header.slice(start)
  if (token === "") return malformed("no token behind Bearer")
  if (token.includes(" ") || token.includes(",")) return malformed("more than one token behind Bearer")
  if (request.url.includes("access_token=") && /[?&]access_token=/.test(request.url)) {
    return malformed("a token in the query besides the one in the header")
  }
  return { _tag: "Token", token }
}

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
