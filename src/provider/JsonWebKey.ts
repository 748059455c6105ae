import { Predicate, Result, Schema } from "effect"
import { createHash, createPublicKey, type JsonWebKey as NodeJsonWebKey, type KeyObject } from "node:crypto"
import { type Algorithm, algorithms } from "../config/Algorithm.ts"
import { quoted } from "./Quoted.ts"

/**
 * A public key that may verify tokens.
 *
 * @see https://www.rfc-editor.org/rfc/rfc7517.html#section-4
 */
export interface VerificationKey {
  /** Its name in the key set. */
  readonly kid: string
  /** The key itself, as `node:crypto` takes it. */
  readonly key: KeyObject
  /** The algorithms it may be used with: the one it is published for, or all that fit it. */
  readonly algorithms: ReadonlyArray<Algorithm>
}

/** RFC 7517 section 4, as far as it concerns public signing keys. */
const PublicKey = Schema.Struct({
  kty: Schema.Literals(["RSA", "EC", "OKP"]),
  use: Schema.optionalKey(Schema.String),
  key_ops: Schema.optionalKey(Schema.Array(Schema.String)),
  alg: Schema.optionalKey(Schema.String),
  n: Schema.optionalKey(Schema.String),
  e: Schema.optionalKey(Schema.String),
  crv: Schema.optionalKey(Schema.String),
  x: Schema.optionalKey(Schema.String),
  y: Schema.optionalKey(Schema.String),
  d: Schema.optionalKey(Schema.Unknown)
})

const decode = Schema.decodeUnknownResult(PublicKey)
const decodeName = Schema.decodeUnknownResult(Schema.Struct({ kid: Schema.NonEmptyString }))

/** Members of keys that are for nobody else (RFC 7518 section 6). */
const secretMembers = ["d", "p", "q", "dp", "dq", "qi", "oth", "k"]

/** Whether a key holds what only its owner may know. */
export const isSecret = (jwk: unknown): boolean => secretMembers.some((member) => Predicate.hasProperty(jwk, member))

const fitting: ReadonlyMap<string, ReadonlyArray<Algorithm>> = new Map([
  ["RSA", ["RS256", "PS256", "PS384", "PS512"]],
  ["EC P-256", ["ES256"]],
  ["EC P-384", ["ES384"]],
  ["EC P-521", ["ES512"]],
  ["OKP Ed25519", ["EdDSA", "Ed25519"]]
])

/** The key in an entry of a JWK Set, or the reason why it is not admitted. */
export const admit = (jwk: unknown): Result.Result<VerificationKey, string> => {
  const named = decodeName(jwk)
  return Result.isFailure(named)
    ? Result.fail("is not an asymmetric key with a kid")
    : Result.map(admitUnnamed(jwk), (key) => ({ kid: named.success.kid, ...key }))
}

/**
 * The same for a key that need not have a name: only public signing keys of sufficient strength are admitted (RFC 7518
 * section 3.3, RFC 8725 section 3.5).
 */
export const admitUnnamed = (jwk: unknown): Result.Result<Omit<VerificationKey, "kid">, string> => {
  const decoded = decode(jwk)
  if (Result.isFailure(decoded)) return Result.fail("is not an asymmetric key")
  const { alg, crv, d, e, key_ops, kty, n, use, x, y } = decoded.success
  if (d !== undefined) return Result.fail("is a private key")
  if (use !== undefined && use !== "sig") return Result.fail(`is for use ${quoted(use)}`)
  if (key_ops !== undefined && !key_ops.includes("verify")) return Result.fail("is not for verifying")

  const fits = fitting.get(kty === "RSA" ? kty : `${kty} ${crv}`)
  if (fits === undefined) return Result.fail(`has the unsupported curve ${crv === undefined ? crv : quoted(crv)}`)
  const allowed = alg === undefined ? fits : fits.filter((algorithm) => algorithm === alg)
  if (allowed.length === 0) {
    return Result.fail(`is for the algorithm ${alg === undefined ? alg : quoted(alg)}, which does not fit it`)
  }

  // Only public members reach the import, so that nothing else in the entry has an effect.
  const members = { kty, n, e, crv, x, y }
  const imported = Result.try({
    try: () => createPublicKey({ key: definedOnly(members), format: "jwk" }),
    catch: () => "has parameters that are no key"
  })
  return Result.flatMap(imported, (key) => {
    const weakness = kty === "RSA" ? rsaWeakness(key) : undefined
    return weakness === undefined ? Result.succeed({ key, algorithms: allowed }) : Result.fail(weakness)
  })
}

const rsaWeakness = (key: KeyObject): string | undefined => {
  const { modulusLength, publicExponent } = key.asymmetricKeyDetails ?? {}
  if (modulusLength === undefined || modulusLength < 2048) return `has only ${modulusLength} bits`
  if (publicExponent === undefined || publicExponent < 65537n || publicExponent % 2n === 0n) {
    return `has the exponent ${publicExponent}`
  }
  // Of no use to anybody, and each bit of it makes a verification dearer.
  if (publicExponent >= 2n ** 64n) return "has an exponent of more than 64 bits"
  return undefined
}

const definedOnly = (members: { readonly [name: string]: string | undefined }): NodeJsonWebKey =>
  Object.fromEntries(Object.entries(members).filter(([, value]) => value !== undefined))

/** What a key is known by, whatever it is called (RFC 7638 section 3). */
export const thumbprintOf = (key: KeyObject): string => {
  const { crv, e, kty, n, x, y } = key.export({ format: "jwk" })
  return createHash("sha256").update(JSON.stringify(definedOnly({ crv, e, kty, n, x, y }))).digest("base64url")
}

const mostReasons = 5

const JwkSet = Schema.Struct({ keys: Schema.Array(Schema.Unknown) })
const decodeSet = Schema.decodeUnknownResult(JwkSet)

/** The keys of a JWK Set by their `kid`, and why some of its entries are passed over: the first 5 reasons, and how many more. */
export interface KeySet {
  readonly keys: ReadonlyMap<string, VerificationKey>
  readonly skipped: ReadonlyArray<string>
}

/**
 * Reads a JWK Set (RFC 7517 section 5). An unusable entry is passed over, never fatal; a set without any usable key is
 * no set. Two different keys of one `kid` are both passed over, since a token cannot say which it means.
 */
export const readKeySet = (document: unknown): Result.Result<KeySet, string> => {
  const decoded = decodeSet(document)
  if (Result.isFailure(decoded)) return Result.fail("is not a JWK Set")
  const keys = new Map<string, VerificationKey>()
  const ambiguous = new Set<string>()
  const reasons: Array<string> = []
  let passedOver = 0
  const passOver = (reason: string) => {
    if (passedOver++ < mostReasons) reasons.push(reason)
  }
  decoded.success.keys.forEach((entry, index) => {
    const admitted = admit(entry)
    if (Result.isFailure(admitted)) {
      passOver(`key ${index + 1} ${admitted.failure}`)
      return
    }
    const key = admitted.success
    const twin = keys.get(key.kid)
    if (twin !== undefined && !twin.key.equals(key.key)) ambiguous.add(key.kid)
    else if (twin === undefined) keys.set(key.kid, key)
  })
  for (const kid of ambiguous) {
    keys.delete(kid)
    passOver(`the kid ${quoted(kid, 100)} stands for several keys`)
  }
  const skipped = passedOver > mostReasons ? [...reasons, `and ${passedOver - mostReasons} more`] : reasons
  return keys.size === 0
    ? Result.fail(`holds no usable key${skipped.length === 0 ? "" : ` (${skipped.join("; ")})`}`)
    : Result.succeed({ keys, skipped })
}

/** Whether a name is one of the algorithms that may be accepted at all. */
export const isAlgorithm = (name: unknown): name is Algorithm => algorithms.some((algorithm) => algorithm === name)
