import { Effect, Schema } from "effect"
import {
  createPrivateKey,
  createPublicKey,
  generateKeyPair,
  type KeyObject,
  randomBytes,
  sign as signBytes
} from "node:crypto"
import { promisify } from "node:util"
import type { Memory } from "./StandInStorage.ts"

export type Algorithm = "RS256" | "ES256"

export interface SigningKey {
  readonly kid: string
  readonly algorithm: Algorithm
  readonly privateKey: KeyObject
  readonly publicJwk: { readonly kid: string; readonly [member: string]: unknown }
}

const pair = promisify(generateKeyPair)

const keyOf = (privateKey: KeyObject, kid: string, algorithm: Algorithm): SigningKey => ({
  kid,
  algorithm,
  privateKey,
  publicJwk: { alg: algorithm, kid, use: "sig", ...createPublicKey(privateKey).export({ format: "jwk" }) }
})

const newKey = (algorithm: Algorithm): Effect.Effect<SigningKey> =>
  Effect.promise(() =>
    algorithm === "RS256" ? pair("rsa", { modulusLength: 2048 }) : pair("ec", { namedCurve: "P-256" })
  ).pipe(Effect.map(({ privateKey }) => keyOf(privateKey, randomBytes(32).toString("base64url"), algorithm)))

const decodeKept = Schema.decodeUnknownEffect(Schema.Struct({ kid: Schema.String, pem: Schema.String }))

/** The key of this name, made on the first occasion. */
export const keptKey = Effect.fnUntraced(function*(memory: Memory, name: string, algorithm: Algorithm) {
  const kept = yield* memory.get("Key", name)
  if (kept !== undefined) {
    const { kid, pem } = yield* Effect.orDie(decodeKept(kept))
    return keyOf(createPrivateKey(pem), kid, algorithm)
  }
  const made = yield* newKey(algorithm)
  yield* memory.put("Key", name, { kid: made.kid, pem: made.privateKey.export({ type: "pkcs8", format: "pem" }) })
  return made
})

const encode = (part: object | string): string =>
  Buffer.from(typeof part === "string" ? part : JSON.stringify(part)).toString("base64url")

/** A compact JWS (RFC 7515 section 7.1). The signature fits the key, whatever the header says. Text is signed as it is. */
export const sign = (key: SigningKey, header: object | string, payload: object | string): string => {
  const input = `${encode(header)}.${encode(payload)}`
  const signature = signBytes("sha256", Buffer.from(input), { key: key.privateKey, dsaEncoding: "ieee-p1363" })
  return `${input}.${signature.toString("base64url")}`
}

/** The published keys, one of which signs. */
export class KeyRing {
  readonly #algorithm: Algorithm
  #published: ReadonlyArray<SigningKey>
  #signing: SigningKey
  #next: SigningKey | undefined

  constructor(first: SigningKey) {
    this.#algorithm = first.algorithm
    this.#published = [first]
    this.#signing = first
  }

  get signing(): SigningKey {
    return this.#signing
  }

  get jwks() {
    return { keys: this.#published.map((key) => key.publicJwk) }
  }

  /** Publishes the key that the next rotation will sign with. */
  get publishNext(): Effect.Effect<string> {
    return Effect.suspend(() => this.#next === undefined ? newKey(this.#algorithm) : Effect.succeed(this.#next)).pipe(
      Effect.map((next) => {
        if (this.#next === undefined) {
          this.#next = next
          this.#published = [...this.#published, next]
        }
        return this.#next.kid
      })
    )
  }

  /** Signs with the key published ahead, or with a new one. The old key stays published. */
  get rotate(): Effect.Effect<string> {
    return Effect.map(this.publishNext, () => {
      this.#signing = this.#next ?? this.#signing
      this.#next = undefined
      return this.#signing.kid
    })
  }

  withdraw(kid: string): void {
    this.#published = this.#published.filter((key) => key.kid !== kid)
  }
}
