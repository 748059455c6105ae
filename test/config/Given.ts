import { Redacted, Result } from "effect"
import { decode } from "../../src/config/OktaConfig.ts"

/** Options as anybody may give them. */
export interface Given {
  readonly [name: string]: unknown
}

/** Options in order, for each mode. */
export const native: Given = { issuer: "https://acme.okta.com/oauth2/default", audience: "api://default" }
export const proxy: Given = {
  issuer: "https://acme.okta.com",
  serverUrl: "https://mcp.example.com",
  clientId: "0oa1client",
  clientSecret: Redacted.make("client-secret-of-okta"),
  encryptionSecret: Redacted.make("encryption secret of this server"),
  signingKeys: Redacted.make(JSON.stringify({ keys: [{ kty: "EC", crv: "P-256" }] }))
}

export const problemsOf = (options: Given) => {
  const decoded = decode(options)
  return Result.isFailure(decoded) ? decoded.failure.problems : []
}
