import { Effect, Result, Schema } from "effect"
import { calculateJwkThumbprint } from "jose/jwk/thumbprint"
import { CompactSign } from "jose/jws/compact/sign"
import { compactVerify } from "jose/jws/compact/verify"
import { createPrivateKey, createPublicKey, type KeyObject } from "node:crypto"
import type { Algorithm } from "../../config/Algorithm.ts"
import { admit, type VerificationKey } from "../../provider/JsonWebKey.ts"

/** A public key as it is published (RFC 7517 section 4). */
export interface PublishedKey {
  readonly kid: string
  readonly alg: Algorithm
  readonly use: "sig"
  readonly [member: string]: unknown
}

/** A private key that signs with one algorithm, and what the world may know of it. */
export interface SigningKey {
  readonly kid: string
  readonly algorithm: Algorithm
  readonly privateKey: KeyObject
  readonly verification: VerificationKey
  readonly published: PublishedKey
}

/** A private JWK, as far as it is not left to the import. */
const PrivateKey = Schema.StructWithRest(
  Schema.Struct({
    kty: Schema.Literals(["RSA", "EC", "OKP"]),
    kid: Schema.optionalKey(Schema.NonEmptyString),
    use: Schema.optionalKey(Schema.String),
    key_ops: Schema.optionalKey(Schema.Array(Schema.String)),
    alg: Schema.optionalKey(Schema.String),
    d: Schema.NonEmptyString
  }),
  [Schema.Record(Schema.String, Schema.Unknown)]
)

const decode = Schema.decodeUnknownResult(PrivateKey)

/** Signs and verifies a text, since the halves of a private JWK need not belong together. */
const belongTogether = (algorithm: Algorithm, privateKey: KeyObject, publicKey: KeyObject) =>
  Effect.tryPromise({
    try: () =>
      new CompactSign(Buffer.from("effect-okta"))
        .setProtectedHeader({ alg: algorithm })
        .sign(privateKey)
        .then((signed) => compactVerify(signed, publicKey)),
    catch: () => "has a private and a public half that do not belong together"
  })

/**
 * The key in a private JWK, or what is wrong with it.
 *
 * Its public half must be one that would be admitted to a key set. Without a `kid` it is known by its thumbprint (RFC
 * 7638), and without an `alg` it signs with the first algorithm that fits it.
 */
export const read = Effect.fnUntraced(function*(jwk: unknown): Effect.fn.Return<SigningKey, string> {
  const key = yield* Effect.fromResult(
    Result.mapError(decode(jwk), () => "is not an asymmetric private key with texts for members")
  )
  const { alg, key_ops, kid, use } = key
  if (key_ops !== undefined && !key_ops.includes("sign")) return yield* Effect.fail("is not for signing")
  const { privateKey, publicKey } = yield* Effect.fromResult(
    Result.try({
      try: () => {
        const privateKey = createPrivateKey({ key, format: "jwk" })
        return { privateKey, publicKey: createPublicKey(privateKey) }
      },
      catch: () => "has members that are no private key"
    })
  )
  const publicMembers = publicKey.export({ format: "jwk" })
  const name = kid ?? (yield* Effect.promise(() => calculateJwkThumbprint(publicKey)))
  const admitted = yield* Effect.fromResult(
    admit({
      ...publicMembers,
      kid: name,
      ...(alg === undefined ? undefined : { alg }),
      ...(use === undefined ? undefined : { use })
    })
  )
  const [algorithm] = admitted.algorithms
  if (algorithm === undefined) return yield* Effect.fail("fits no algorithm")
  yield* belongTogether(algorithm, privateKey, publicKey)
  return {
    kid: name,
    algorithm,
    privateKey,
    verification: { ...admitted, algorithms: [algorithm] },
    published: { ...publicMembers, kid: name, alg: algorithm, use: "sig" }
  }
})
