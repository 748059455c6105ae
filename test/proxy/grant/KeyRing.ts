import { Redacted } from "effect"
import { generateKeyPairSync, type KeyObject } from "node:crypto"

const jwkOf = ({ privateKey }: { readonly privateKey: KeyObject }) => privateKey.export({ format: "jwk" })

export const ec = (namedCurve: string = "P-256") => jwkOf(generateKeyPairSync("ec", { namedCurve }))

export const rsa = (modulusLength = 2048, publicExponent = 65537) =>
  jwkOf(generateKeyPairSync("rsa", { modulusLength, publicExponent }))

export const ed25519 = () => jwkOf(generateKeyPairSync("ed25519"))

/** The setting `signingKeys`. */
export const ring = (...keys: ReadonlyArray<object>) => Redacted.make(JSON.stringify({ keys }))
