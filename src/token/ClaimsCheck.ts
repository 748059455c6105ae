import { Duration, Result, Schema, SchemaIssue } from "effect"
import type { Settings } from "../config/OktaConfig.ts"
import { type AccessTokenClaims, clientOf, isAccessTokenClaims, RequiredClaims } from "./AccessTokenClaims.ts"
import { isJsonObject } from "./CompactJws.ts"
import { expected, shown, type TokenKind } from "./HeaderPolicy.ts"
import {
  ClientNotAllowed,
  InvalidAudience,
  InvalidClaim,
  InvalidIssuer,
  MalformedToken,
  TokenExpired,
  TokenNotYetValid,
  type TokenRefused,
  WrongTokenType
} from "./TokenError.ts"

/** What the claims are held against; times are in seconds. */
export interface ClaimRules {
  readonly issuer: string
  readonly audience: ReadonlyArray<string>
  readonly clockTolerance: number
  readonly maxTokenLifetime: number
  readonly allowedClients: ReadonlyArray<string> | undefined
  readonly kind: TokenKind
}

/** What the settings say about claims. */
export const rulesOf = (settings: Settings, kind: ClaimRules["kind"]): ClaimRules => ({
  issuer: settings.issuer,
  audience: settings.audience ?? [],
  clockTolerance: Duration.toSeconds(settings.clockTolerance),
  maxTokenLifetime: Duration.toSeconds(settings.maxTokenLifetime),
  allowedClients: settings.allowedClients,
  kind
})

/** Who a payload says issued it, for an error. */
export const claimedIssuer = ({ iss }: { readonly [claim: string]: unknown }): string =>
  typeof iss === "string" ? iss.slice(0, 200) : shown(iss)

const decode = Schema.decodeUnknownResult(RequiredClaims)
const standardIssues = SchemaIssue.makeFormatterStandardSchemaV1()

/** Claims by which an ID token is known (OpenID Connect Core section 3.1.3.6 and 3.3.2.11). */
const idTokenClaims = ["nonce", "at_hash", "c_hash"]

/** Claims of Okta's access tokens, which its ID tokens lack. */
const accessTokenClaims = ["cid", "scp"]

/**
 * The claims in a payload, or the first reason to refuse them. Strings are compared byte for byte (RFC 8725 section
 * 3.7); `now` is in seconds since 1970.
 */
export const check = (
  payload: unknown,
  rules: ClaimRules,
  now: number,
  clockSkew?: number
): AccessTokenClaims | TokenRefused => {
  if (!isJsonObject(payload)) {
    return new MalformedToken({ reason: "its payload is not a JSON object of distinct members" })
  }
  if (payload["iss"] !== rules.issuer) {
    return new InvalidIssuer({
      expected: [rules.issuer],
      actual: claimedIssuer(payload)
    })
  }
  if (payload["aud"] === undefined) return new InvalidAudience({ expected: rules.audience, actual: [] })
  if (!isAccessTokenClaims(payload)) return mistyped(payload)

  const { aud, exp, iat, nbf } = payload
  if (!(typeof aud === "string" ? rules.audience.includes(aud) : aud.some((one) => rules.audience.includes(one)))) {
    const actual = (typeof aud === "string" ? [aud] : aud.slice(0, 10)).map((one) => one.slice(0, 200))
    return new InvalidAudience({ expected: rules.audience, actual })
  }

  const skew = clockSkew === undefined ? undefined : { clockSkew }
  if (exp <= now - rules.clockTolerance) return new TokenExpired({ expiredAt: exp, now, ...skew })
  if (nbf !== undefined && nbf > now + rules.clockTolerance) {
    return new TokenNotYetValid({ claim: "nbf", validFrom: nbf, now, ...skew })
  }
  if (iat > now + rules.clockTolerance) return new TokenNotYetValid({ claim: "iat", validFrom: iat, now, ...skew })
  if (exp - iat > rules.maxTokenLifetime) {
    return new InvalidClaim({
      claim: "exp",
      problem: `is ${exp - iat} seconds after "iat", but \`maxTokenLifetime\` is ${rules.maxTokenLifetime} seconds`
    })
  }

  // A logout token need not say what it is otherwise (RFC 8417 section 2.2).
  if (payload["events"] !== undefined) {
    return new WrongTokenType({
      expected: expected(rules.kind),
      actual: "a security event (it has the claim events)"
    })
  }
  if (rules.kind === "access-token") {
    const mark = idTokenClaims.find((claim) => payload[claim] !== undefined)
    if (mark !== undefined) {
      return new WrongTokenType({ expected: expected(rules.kind), actual: `an ID token (it has the claim ${mark})` })
    }
  }
  const accessMark = rules.kind === "id-token"
    ? accessTokenClaims.find((claim) => payload[claim] !== undefined)
    : undefined
  if (accessMark !== undefined) {
    return new WrongTokenType({
      expected: expected(rules.kind),
      actual: `an access token (it has the claim ${accessMark})`
    })
  }
  if (rules.allowedClients !== undefined) {
    const clientId = clientOf(payload)
    if (clientId === undefined || !rules.allowedClients.includes(clientId)) {
      return new ClientNotAllowed({
        allowed: rules.allowedClients,
        ...(clientId === undefined ? undefined : { clientId })
      })
    }
  }
  return payload
}

/** Which claim is at fault, once the schema has said that one is. */
const mistyped = (payload: { readonly [claim: string]: unknown }): InvalidClaim => {
  const decoded = decode(payload)
  const issue = Result.isFailure(decoded) ? standardIssues(decoded.failure.issue).issues[0] : undefined
  const claim = String(issue?.path?.[0] ?? "payload")
  const type = (issue?.message ?? "").replace("Expected ", "")
  return new InvalidClaim({
    claim,
    problem: payload[claim] === undefined ? "is missing" : `is ${shown(payload[claim])}, but must be ${type}`
  })
}
