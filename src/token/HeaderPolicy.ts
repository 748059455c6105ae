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

const accessTokenType = /^(?:jwt|(?:application\/)?at\+jwt)$/i
const idTokenType = /^jwt$/i

/** Decides by its header whether a token may be looked at any further; nothing it names is ever fetched. */
export const check = (
  header: CompactJws["header"],
  accepted: ReadonlyArray<Algorithm>,
  kind: "access-token" | "id-token"
): SignatureHeader | MalformedToken | UnsupportedAlgorithm | WrongTokenType => {
  const { alg, kid, typ } = header
  if (!isAlgorithm(alg) || !accepted.includes(alg)) {
    return new UnsupportedAlgorithm({ expected: accepted, actual: shown(alg) })
  }
  for (const member of refusedMembers) {
    if (member in header) return new MalformedToken({ reason: `its header has the member ${member}` })
  }
  for (const member in header) {
    if (member.startsWith("x5t")) return new MalformedToken({ reason: "its header has a member x5t" })
  }
  const expectedType = kind === "access-token" ? accessTokenType : idTokenType
  if (typ !== undefined && !(typeof typ === "string" && expectedType.test(typ))) {
    return new WrongTokenType({ expected: expected(kind), actual: `of the type ${shown(typ)}` })
  }
  if (typeof kid !== "string" || kid === "") return new MalformedToken({ reason: "its header names no key (kid)" })
  return { algorithm: alg, kid }
}

/** The kind of token in words. */
export const expected = (kind: "access-token" | "id-token"): string =>
  kind === "access-token" ? "an access token" : "an ID token"

/** A value from outside, escaped and short enough for an error. */
export const shown = (value: unknown): string => value === undefined ? "absent" : JSON.stringify(value).slice(0, 200)
