/**
 * Signature algorithms that may be accepted: asymmetric ones only (RFC 7518 section 3.1, RFC 8037, RFC 9864).
 */
export const algorithms = [
  "RS256",
  "PS256",
  "PS384",
  "PS512",
  "ES256",
  "ES384",
  "ES512",
  "EdDSA",
  "Ed25519"
] as const

/**
 * The `alg` of a token that may be accepted; symmetric ones and `none` never are.
 *
 * @see https://www.rfc-editor.org/rfc/rfc7518.html#section-3.1
 */
export type Algorithm = (typeof algorithms)[number]
