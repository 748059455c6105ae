import { createHash, generateKeyPairSync, type KeyObject, randomUUID, sign } from "node:crypto"

const algorithms = ["RS256", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA", "Ed25519"]

/** What stands behind the challenge for bearer tokens: that bound ones are taken too. */
export const dpopChallenge = `, DPoP algs="${algorithms.join(" ")}"`

/** What the metadata of a resource says of bound tokens. */
export const dpopMetadata = {
  dpop_signing_alg_values_supported: algorithms,
  dpop_bound_access_tokens_required: false
}

type Members = Readonly<Record<string, unknown>>

const encoded = (value: unknown) =>
  Buffer.from(typeof value === "string" ? value : JSON.stringify(value)).toString("base64url")

export const hash = (text: string): string => createHash("sha256").update(text).digest("base64url")

/** What of a proof is otherwise than it should be; a member that is `undefined` is missing. */
export interface Otherwise {
  readonly header?: Members
  readonly claims?: Members
  /** In place of the claims, as it stands. */
  readonly payload?: string
  readonly signer?: KeyObject
}

/** A client's key, and the proofs that it has it. */
export class ProofKey {
  readonly #pair = generateKeyPairSync("ec", { namedCurve: "P-256" })

  get privateKey(): KeyObject {
    return this.#pair.privateKey
  }

  get jwk(): Members {
    return { ...this.#pair.publicKey.export({ format: "jwk" }) }
  }

  get thumbprint(): string {
    const { crv, kty, x, y } = this.jwk
    return hash(JSON.stringify({ crv, kty, x, y }))
  }

  /** A proof for a request, and for the token that comes with it. */
  proof(
    { iat, method = "GET", token, url }: {
      readonly method?: string
      readonly url: string
      readonly iat: number
      readonly token?: string | undefined
    },
    { claims = {}, header = {}, payload, signer = this.privateKey }: Otherwise = {}
  ): string {
    const own = { typ: "dpop+jwt", alg: "ES256", jwk: this.jwk, ...header }
    const said = {
      jti: randomUUID(),
      htm: method,
      htu: url,
      iat,
      ...(token === undefined ? undefined : { ath: hash(token) }),
      ...claims
    }
    const input = `${encoded(own)}.${encoded(payload ?? said)}`
    const digest = signer.asymmetricKeyType === "ed25519" ? null : "sha256"
    return `${input}.${
      sign(digest, Buffer.from(input), { key: signer, dsaEncoding: "ieee-p1363" }).toString("base64url")
    }`
  }
}
