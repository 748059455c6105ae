import { generateKeyPair, type KeyObject, randomBytes, sign as signBytes } from "node:crypto"
import { promisify } from "node:util"

export type Algorithm = "RS256" | "ES256"

export interface SigningKey {
  readonly kid: string
  readonly algorithm: Algorithm
  readonly privateKey: KeyObject
  readonly publicJwk: { readonly kid: string; readonly [member: string]: unknown }
}

const pair = promisify(generateKeyPair)

export const generateKey = async (algorithm: Algorithm): Promise<SigningKey> => {
  const { privateKey, publicKey } = algorithm === "RS256"
    ? await pair("rsa", { modulusLength: 2048 })
    : await pair("ec", { namedCurve: "P-256" })
  const kid = randomBytes(32).toString("base64url")
  return {
    kid,
    algorithm,
    privateKey,
    publicJwk: { alg: algorithm, kid, use: "sig", ...publicKey.export({ format: "jwk" }) }
  }
}

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

  private constructor(first: SigningKey) {
    this.#algorithm = first.algorithm
    this.#published = [first]
    this.#signing = first
  }

  static async make(algorithm: Algorithm): Promise<KeyRing> {
    return new KeyRing(await generateKey(algorithm))
  }

  get signing(): SigningKey {
    return this.#signing
  }

  get jwks() {
    return { keys: this.#published.map((key) => key.publicJwk) }
  }

  /** Publishes the key that the next rotation will sign with. */
  async publishNext(): Promise<string> {
    if (this.#next === undefined) {
      this.#next = await generateKey(this.#algorithm)
      this.#published = [...this.#published, this.#next]
    }
    return this.#next.kid
  }

  /** Signs with the key published ahead, or with a new one. The old key stays published. */
  async rotate(): Promise<string> {
    await this.publishNext()
    this.#signing = this.#next ?? this.#signing
    this.#next = undefined
    return this.#signing.kid
  }

  withdraw(kid: string): void {
    this.#published = this.#published.filter((key) => key.kid !== kid)
  }
}
