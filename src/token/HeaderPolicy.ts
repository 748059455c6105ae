import type { Algorithm } from "../config/Algorithm.ts"
import { isAlgorithm } from "../provider/JsonWebKey.ts"
import type { CompactJws } from "./CompactJws.ts"
import { MalformedToken, UnsupportedAlgorithm, WrongTokenType } from "./TokenError.ts"

/** What a token's header says about its signature. */
export interface SignatureHeader {
  readonly algorithm: Algorithm
  readonly kid: string
}

/** Members by which a token would bring its own key or its own rules (RFC 8725 section 3.10, RFC 7515 section 4.1.11). */
const refusedMembers = ["crit", "b64", "jwk", "jku", "x5u", "x5c"]

/**
 * A kind of token: an access token (RFC 9068), an ID token (OpenID Connect Core), the word of an identity provider for a person,
 * by which a client gets an access token elsewhere (draft-ietf-oauth-identity-assertion-authz-grant), or one by which people are
 * signed out.
 */
export type TokenKind = "access-token" | "id-token" | "id-jag" | LogoutKind

/**
 * A kind of token by which an identity provider has people signed out: global token revocation
 * (draft-parecki-oauth-global-token-revocation), or OpenID Connect Back-Channel Logout.
 */
export type LogoutKind = "global-token-revocation" | "logout-token"

/** What `typ` must be, where it is there at all; some kinds have to say what they are. */
const types: { readonly [kind in TokenKind]: RegExp } = {
  "access-token": /^(?:jwt|(?:application\/)?at\+jwt)$/i,
  "id-token": /^jwt$/i,
  "id-jag": /^oauth-id-jag\+jwt$/,
  "global-token-revocation": /^(?:application\/)?global-token-revocation\+jwt$/i,
  "logout-token": /^(?:application\/)?logout\+jwt$/i
}

const refusedMember = (header: CompactJws["header"], allowed?: string): string | undefined => {
  for (const member of refusedMembers) {
    if (member in header && member !== allowed) return member
  }
  for (const member in header) {
    if (member.startsWith("x5t")) return "x5t"
  }
  return undefined
}

/** Decides by its header whether a token may be looked at any further; nothing it names is ever fetched. */
export const check = (
  header: CompactJws["header"],
  accepted: ReadonlyArray<Algorithm>,
  kind: TokenKind
): SignatureHeader | MalformedToken | UnsupportedAlgorithm | WrongTokenType => {
  const { alg, kid, typ } = header
  if (!isAlgorithm(alg) || !accepted.includes(alg)) {
    return new UnsupportedAlgorithm({ expected: accepted, actual: shown(alg) })
  }
  const refused = refusedMember(header)
  if (refused !== undefined) {
    return new MalformedToken({ reason: `its header has ${refused === "x5t" ? "a" : "the"} member ${refused}` })
  }
  if (
    !(typ === undefined
      ? kind !== "global-token-revocation" && kind !== "id-jag"
      : typeof typ === "string" && types[kind].test(typ))
  ) {
    return new WrongTokenType({ expected: expected(kind), actual: `of the type ${shown(typ)}` })
  }
  if (typeof kid !== "string" || kid === "") return new MalformedToken({ reason: "its header names no key (kid)" })
  return { algorithm: alg, kid }
}

/** What the header of a DPoP proof says about its signature; or what is wrong with it, in words that follow "the proof". */
export const checkProof = (
  header: CompactJws["header"],
  accepted: ReadonlyArray<Algorithm>
): { readonly algorithm: Algorithm; readonly jwk: unknown } | string => {
  const { alg, jwk, typ } = header
  if (typ !== "dpop+jwt") return `is of the type ${shown(typ)}, and not dpop+jwt`
  if (!isAlgorithm(alg) || !accepted.includes(alg)) return `is signed by the algorithm ${shown(alg)}`
  const refused = refusedMember(header, "jwk")
  if (refused !== undefined) return `has the header member ${refused}`
  return jwk === undefined ? "has no key (jwk) in its header" : { algorithm: alg, jwk }
}

/** The kind of token in words. */
export const expected = (kind: TokenKind): string => names[kind]

const names: { readonly [kind in TokenKind]: string } = {
  "access-token": "an access token",
  "id-token": "an ID token",
  "id-jag": "an ID-JAG",
  "global-token-revocation": "a token for global token revocation",
  "logout-token": "a logout token"
}

/** A value from outside, escaped and short enough for an error. */
export const shown = (value: unknown): string => value === undefined ? "absent" : JSON.stringify(value).slice(0, 200)
