import { Effect, Redacted, Result, Schema } from "effect"
import { calculateJwkThumbprint } from "jose"
import { generateKeyPairSync, randomBytes } from "node:crypto"
import { InvalidConfiguration } from "../config/InvalidConfiguration.ts"

/** Algorithms for which keys are made. */
export const algorithms = ["ES256", "ES384", "RS256", "Ed25519"] as const

/** What this server signs and seals with, as the environment holds it. */
export interface Secrets {
  /** A JWK Set of private keys: the first signs, all verify. */
  readonly signingKeys?: ReadonlyArray<PrivateKey> | undefined
  /** The first seals, all open. */
  readonly encryptionSecrets?: ReadonlyArray<Redacted.Redacted<string>> | undefined
}

/** A private JWK (RFC 7517), with whatever else it holds. */
const PrivateKey = Schema.StructWithRest(
  Schema.Struct({ kty: Schema.String, d: Schema.String, kid: Schema.optionalKey(Schema.String) }),
  [Schema.Record(Schema.String, Schema.Unknown)]
)

/** A private JWK (RFC 7517), with whatever else it holds. */
export type PrivateKey = typeof PrivateKey.Type

const KeyRing = Schema.fromJsonString(Schema.Struct({ keys: Schema.NonEmptyArray(PrivateKey) }))

/** The ring in the text of a JWK Set. */
export const readRing = (
  text: Redacted.Redacted<string>
): Result.Result<ReadonlyArray<PrivateKey>, InvalidConfiguration> =>
  Result.mapBoth(Schema.decodeResult(KeyRing)(Redacted.value(text)), {
    onSuccess: ({ keys }) => keys,
    onFailure: () =>
      new InvalidConfiguration({
        problems: [{
          field: "SIGNING_KEYS",
          value: "<redacted>",
          message: "is not a key ring. Give a JWK Set of private keys as JSON, as this command prints it."
        }]
      })
  })

/** A ring as the text of a JWK Set. */
export const writeRing = (keys: ReadonlyArray<PrivateKey>): string => JSON.stringify({ keys })

const pairs = {
  ES256: () => generateKeyPairSync("ec", { namedCurve: "P-256" }),
  ES384: () => generateKeyPairSync("ec", { namedCurve: "P-384" }),
  RS256: () => generateKeyPairSync("rsa", { modulusLength: 2048 }),
  Ed25519: () => generateKeyPairSync("ed25519")
}

const decodeKey = Schema.decodeUnknownEffect(PrivateKey)

/** A new key, known by its thumbprint (RFC 7638). */
export const newKey = Effect.fnUntraced(function*(algorithm: (typeof algorithms)[number]) {
  const { privateKey, publicKey } = pairs[algorithm]()
  const kid = yield* Effect.promise(() => calculateJwkThumbprint(publicKey))
  const jwk = { ...privateKey.export({ format: "jwk" }), kid, alg: algorithm, use: "sig" }
  return yield* Effect.orDie(decodeKey(jwk))
})

/** A new secret of 32 bytes. */
export const newSecret = (): Redacted.Redacted<string> => Redacted.make(randomBytes(32).toString("base64"))

/** Puts the newest, which is the last, in front: it is used from then on, and all others only serve what is older. */
export const promote = <A>(all: ReadonlyArray<A>): ReadonlyArray<A> => [...all.slice(-1), ...all.slice(0, -1)]

/** Leaves the one in use. */
export const retire = <A>(all: ReadonlyArray<A>): ReadonlyArray<A> => all.slice(0, 1)
