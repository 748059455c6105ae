import { parse } from "./StrictJson.ts"

/** A compact JWS taken apart, nothing in it verified yet (RFC 7515 section 3.1). */
export interface CompactJws {
  readonly header: { readonly [member: string]: unknown }
  /** What the signature is over: the header and payload as they were sent. */
  readonly signingInput: Buffer
  readonly signature: Buffer
  /** The payload, still bytes. */
  readonly payload: Buffer
}

/** What is wrong with a text that is no compact JWS. */
export type Malformation =
  | "it does not have three parts separated by dots"
  | "a part is not canonical base64url"
  | "its header is not a JSON object"

/**
 * Takes a compact JWS apart: exactly three non-empty parts of canonical base64url (no padding, no foreign alphabet, no
 * stray bits at the end), the first of them a JSON object. Headers that hardly any two texts share are better not
 * `remembered`.
 */
export const read = (token: string, remembered = true): CompactJws | Malformation => {
  const first = token.indexOf(".")
  const last = token.lastIndexOf(".")
  if (first <= 0 || last <= first + 1 || last === token.length - 1 || token.indexOf(".", first + 1) !== last) {
    return "it does not have three parts separated by dots"
  }
  const bytes = Buffer.from(token)
  // A decoder takes these for the alphabet of base64url, and characters beyond ASCII for some of it.
  if (bytes.length !== token.length || token.includes("+") || token.includes("/")) {
    return "a part is not canonical base64url"
  }
  const header = readHeader(token.slice(0, first), remembered)
  const payload = decodeCanonical(token.slice(first + 1, last))
  const signature = decodeCanonical(token.slice(last + 1))
  if (header === undefined || payload === undefined || signature === undefined) {
    return "a part is not canonical base64url"
  }
  if (header === null) return "its header is not a JSON object"
  return { header, payload, signature, signingInput: bytes.subarray(0, last) }
}

const alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"

/** A decoder passes over padding and other characters, so that fewer bytes come out, and accepts stray bits at the end. */
const decodeCanonical = (part: string): Buffer | undefined => {
  const bytes = Buffer.from(part, "base64url")
  const rest = part.length % 4
  if (rest === 1 || bytes.length !== Math.floor(part.length * 3 / 4)) return undefined
  const stray = rest === 0 ? 0 : alphabet.indexOf(part.charAt(part.length - 1)) & (rest === 2 ? 0b1111 : 0b11)
  return stray === 0 ? bytes : undefined
}

/** All tokens signed with one key share their header, so the few in use are remembered. */
const headers = new Map<string, CompactJws["header"]>()
const mostHeaders = 64
const longestHeader = 512

/** The header, `null` when it is no JSON object, `undefined` when it is no base64url. */
const readHeader = (part: string, remembered: boolean): CompactJws["header"] | null | undefined => {
  const known = remembered ? headers.get(part) : undefined
  if (known !== undefined) return known
  const bytes = decodeCanonical(part)
  if (bytes === undefined) return undefined
  const header = parse(bytes)
  if (!isJsonObject(header)) return null
  if (remembered && part.length <= longestHeader) {
    if (headers.size >= mostHeaders) headers.clear()
    headers.set(part, Object.freeze(header))
  }
  return header
}

/** Whether a JSON value is an object. */
export const isJsonObject = (value: unknown): value is { readonly [member: string]: unknown } =>
  typeof value === "object" && value !== null && !Array.isArray(value)
