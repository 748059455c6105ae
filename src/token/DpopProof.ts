import { Result, Schema } from "effect"
import { createHash, type KeyObject } from "node:crypto"
import { type Algorithm, algorithms } from "../config/Algorithm.ts"
import type { Settings } from "../config/OktaConfig.ts"
import { admitUnnamed, isSecret, thumbprintOf } from "../provider/JsonWebKey.ts"
import * as CompactJws from "./CompactJws.ts"
import { checkProof, shown } from "./HeaderPolicy.ts"
import * as StrictJson from "./StrictJson.ts"

/** Signature algorithms of proofs: whatever is asymmetric, since each client chooses its own. */
export const proofAlgorithms = algorithms

/** Whether this server takes proofs: it must know its own URL, and with `passThrough` Okta's tokens are bound to nothing. */
export const isOffered = (settings: Settings): boolean =>
  settings.dpop !== "off" && settings.serverUrl !== undefined && !(settings.mode === "proxy" && settings.passThrough)

/** Longest proof looked at, in characters: one by an RSA key of 8192 bits fits. */
const longest = 4096

/** RFC 9449 section 4.2. */
const Claims = Schema.Struct({
  jti: Schema.NonEmptyString.check(Schema.isMaxLength(512)),
  htm: Schema.String,
  htu: Schema.String,
  iat: Schema.Int,
  ath: Schema.optionalKey(Schema.String),
  nonce: Schema.optionalKey(Schema.String)
})

const decode = Schema.decodeUnknownResult(Claims)

/** Whose proof it is, as its header says. */
export interface Prover {
  /** The header as it was sent. */
  readonly header: string
  readonly algorithm: Algorithm
  readonly key: KeyObject
  /** The key's thumbprint, by which tokens are bound to it (RFC 7638). */
  readonly thumbprint: string
}

/** A proof taken apart, its signature not verified yet. */
export interface DpopProof {
  readonly by: Prover
  readonly jws: CompactJws.CompactJws
  readonly claims: typeof Claims.Type
}

/** The request that a proof is made for. */
export interface ProvenRequest {
  readonly method: string
  /** The public URL, made of `serverUrl` and never of what the request says of its host. */
  readonly url: string
  /** The token that comes with it; none at the token endpoint. */
  readonly accessToken?: string | undefined
}

/** How old a proof may be, and how far its clock may be ahead; in seconds. */
export interface ProofTimes {
  readonly lifetime: number
  readonly tolerance: number
}

const readProver = (header: string, jws: CompactJws.CompactJws): Prover | string => {
  const checked = checkProof(jws.header, proofAlgorithms)
  if (typeof checked === "string") return checked
  const { algorithm, jwk } = checked
  if (isSecret(jwk)) return "has a key that is not public"
  const admitted = admitUnnamed(jwk)
  if (Result.isFailure(admitted)) return `has a key that ${admitted.failure}`
  const { algorithms: fitting, key } = admitted.success
  return fitting.includes(algorithm)
    ? { header, algorithm, key, thumbprint: thumbprintOf(key) }
    : `is signed by the algorithm ${algorithm}, which does not fit its key`
}

/**
 * Takes a proof apart, or tells what is wrong with it in words that follow "the proof" (RFC 9449 section 4.3). What the header of
 * an earlier one came to need not be found out again.
 */
export const read = (text: string, earlier?: Prover): DpopProof | string => {
  if (text.length > longest) return `is longer than ${longest} characters`
  const jws = CompactJws.read(text, false)
  if (typeof jws === "string") return `cannot be read: ${jws}`
  const header = text.slice(0, text.indexOf("."))
  const by = earlier?.header === header ? earlier : readProver(header, jws)
  if (typeof by === "string") return by
  const claims = decode(StrictJson.parse(jws.payload))
  return Result.isFailure(claims)
    ? "lacks one of the claims jti, htm, htu and iat, or has one of the wrong type"
    : { by, jws, claims: claims.success }
}

/** What is wrong with a proof for this request and at this time (in seconds since 1970), in words that follow "the proof". */
export const mistake = (
  { claims: { ath, htm, htu, iat } }: DpopProof,
  { accessToken, method, url }: ProvenRequest,
  { lifetime, tolerance }: ProofTimes,
  now: number
): string | undefined => {
  if (htm !== method) return `is for the method ${shown(htm)}`
  const target = normalized(htu)
  // The router leaves dots in a request's path as they are, where parsing takes them away.
  if (target === undefined || dots.test(url) || target !== normalized(url)) {
    return `is for ${shown(htu)}, and not for ${url}`
  }
  if (iat < now - lifetime) return `is older than ${lifetime} seconds`
  if (iat > now + tolerance) return `is of ${Math.ceil(iat - now)} seconds from now`
  return accessToken === undefined || ath === hashOf(accessToken) ? undefined : "is not made for the token (ath)"
}

const hashOf = (token: string): string => createHash("sha256").update(token).digest("base64url")

const dots = /\/(?:\.|%2e){1,2}(?:\/|$)/i

/**
 * A URL in the form in which two that mean the same are equal (RFC 3986 sections 6.2.2 and 6.2.3); none for a text that
 * is not a plain URL without query and fragment.
 */
export const normalized = (text: string): string | undefined => {
  if (text.length > 4096 || !/^https?:\/\/[\x21\x22\x24-\x3E\x40-\x5B\x5D-\x7E]+$/i.test(text)) return undefined
  const url = Result.try(() => new URL(text))
  if (Result.isFailure(url)) return undefined
  const { origin, password, pathname, username } = url.success
  if (username !== "" || password !== "") return undefined
  return origin + pathname.replace(/%[0-9a-f]{2}/gi, (octet) => {
    const character = String.fromCharCode(Number.parseInt(octet.slice(1), 16))
    return /[\w.~-]/.test(character) ? character : octet.toUpperCase()
  })
}

const Confirmation = Schema.Struct({ jkt: Schema.String })
const isConfirmation = Schema.is(Confirmation)

/**
 * The thumbprint of the key that a token is bound to (RFC 9449 section 6.1); `unbound` if it is to none, and `unknown` if it
 * is bound by other means than DPoP.
 */
export const boundKey = (
  { cnf }: { readonly [claim: string]: unknown }
): { readonly thumbprint: string } | "unbound" | "unknown" =>
  cnf === undefined ? "unbound" : isConfirmation(cnf) ? { thumbprint: cnf.jkt } : "unknown"
