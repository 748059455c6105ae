import { now, serverUrl } from "../proxy/ProxyTest.ts"
import type { Otherwise, ProofKey } from "./Proofs.ts"

/** What a client with a secret authenticates with (RFC 6749 section 2.3.1). */
export const basic = (clientId: string, secret: string) => ({
  authorization: `Basic ${
    Buffer.from(`${encodeURIComponent(clientId)}:${encodeURIComponent(secret)}`).toString("base64")
  }`
})

/** A proof for the token endpoint, by a client's key; each is good once. */
export const tokenProof = (by: ProofKey, otherwise?: Otherwise) => ({
  dpop: by.proof({ url: `${serverUrl}/oauth/token`, method: "POST", iat: now }, otherwise)
})
