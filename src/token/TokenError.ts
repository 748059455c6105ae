import { Schema } from "effect"
import { DiscoveryFailed } from "../provider/Discovery.ts"
import { KeysUnavailable, UnknownKey } from "../provider/Jwks.ts"

export { DiscoveryFailed, KeysUnavailable, UnknownKey }

const list = (values: ReadonlyArray<string>) =>
  values.length === 0 ? "nothing" : values.map((value) => JSON.stringify(value)).join(" or ")

const seconds = (count: number) => `${count} ${count === 1 ? "second" : "seconds"}`

const skewed = (clockSkew: number | undefined) =>
  clockSkew === undefined || Math.abs(clockSkew) < 2000
    ? ""
    : ` Okta's clock is ${seconds(Math.round(Math.abs(clockSkew) / 1000))} ${clockSkew > 0 ? "ahead of" : "behind"} ` +
      "this server's: set this server's clock, or raise clockTolerance."

/** The text is no JSON Web Token (RFC 7515 section 3.1, RFC 7519 section 7.2). */
export class MalformedToken extends Schema.TaggedError<MalformedToken>()("MalformedToken", {
  reason: Schema.String
}) {
  override get message() {
    return `The token cannot be read: ${this.reason}. Send the access token exactly as Okta issued it.`
  }
}

/** The token's signature algorithm is not accepted (RFC 8725 section 3.1). */
export class UnsupportedAlgorithm extends Schema.TaggedError<UnsupportedAlgorithm>()("UnsupportedAlgorithm", {
  expected: Schema.Array(Schema.String),
  actual: Schema.String
}) {
  override get message() {
    return `The token's algorithm is ${this.actual}, but only ${list(this.expected)} is accepted. ` +
      "Okta signs with RS256; name other algorithms in the setting `algorithms`."
  }
}

/** The token is of a kind that is not accepted here (RFC 8725 section 3.11). */
export class WrongTokenType extends Schema.TaggedError<WrongTokenType>()("WrongTokenType", {
  expected: Schema.String,
  actual: Schema.String
}) {
  override get message() {
    const [right, wrong] = this.expected === "an ID token" ? ["id_token", "access_token"] : ["access_token", "id_token"]
    return `The token is ${this.actual}, but ${this.expected} is needed. ` +
      `Send the \`${right}\` of Okta's token answer, not the \`${wrong}\`.`
  }
}

/** The signature does not fit the token: it was changed, or signed by somebody else. */
export class InvalidSignature extends Schema.TaggedError<InvalidSignature>()("InvalidSignature", {
  kid: Schema.String,
  algorithm: Schema.String
}) {
  override get message() {
    return `The token's signature does not fit the key ${JSON.stringify(this.kid)} (${this.algorithm}). ` +
      "The token was changed on its way or made by somebody else: sign in again."
  }
}

/** The token was issued by somebody else (RFC 9068 section 4). */
export class InvalidIssuer extends Schema.TaggedError<InvalidIssuer>()("InvalidIssuer", {
  expected: Schema.String,
  actual: Schema.String
}) {
  override get message() {
    return `The token's issuer is ${JSON.stringify(this.actual)}, but this server trusts ` +
      `${JSON.stringify(this.expected)}. Sign in at that issuer, or set OKTA_ISSUER to the token's, byte for byte.`
  }
}

/** The token was issued for someone else (RFC 9068 section 4). */
export class InvalidAudience extends Schema.TaggedError<InvalidAudience>()("InvalidAudience", {
  expected: Schema.Array(Schema.String),
  actual: Schema.Array(Schema.String)
}) {
  override get message() {
    return `The token's audience is ${list(this.actual)}, but this server accepts ${list(this.expected)}. ` +
      "Set the audience of the Okta authorization server to one of these, or set OKTA_AUDIENCE to the token's."
  }
}

/** The token's time is over. Times are in seconds since 1970. */
export class TokenExpired extends Schema.TaggedError<TokenExpired>()("TokenExpired", {
  expiredAt: Schema.Number,
  now: Schema.Number,
  /** Okta's clock minus ours, in milliseconds. */
  clockSkew: Schema.optionalKey(Schema.Number)
}) {
  override get message() {
    return `The token expired ${seconds(Math.floor(this.now - this.expiredAt))} ago. Refresh it or sign in again.` +
      skewed(this.clockSkew)
  }
}

/** The token's time has not come (`nbf`, `iat`). Times are in seconds since 1970. */
export class TokenNotYetValid extends Schema.TaggedError<TokenNotYetValid>()("TokenNotYetValid", {
  claim: Schema.Literals(["nbf", "iat"]),
  validFrom: Schema.Number,
  now: Schema.Number,
  /** Okta's clock minus ours, in milliseconds. */
  clockSkew: Schema.optionalKey(Schema.Number)
}) {
  override get message() {
    return `The token is valid only ${seconds(Math.ceil(this.validFrom - this.now))} from now (${this.claim}). ` +
      `Compare this server's clock with Okta's.${skewed(this.clockSkew)}`
  }
}

/** A claim is missing or is not what it must be. */
export class InvalidClaim extends Schema.TaggedError<InvalidClaim>()("InvalidClaim", {
  claim: Schema.String,
  problem: Schema.String
}) {
  override get message() {
    return `The token's claim ${JSON.stringify(this.claim)} ${this.problem}. ` +
      "Look at the claims of the authorization server in Okta under Security, API."
  }
}

/** The token was issued to a client that may not call this server. */
export class ClientNotAllowed extends Schema.TaggedError<ClientNotAllowed>()("ClientNotAllowed", {
  allowed: Schema.Array(Schema.String),
  clientId: Schema.optionalKey(Schema.String)
}) {
  override get message() {
    return `The token was issued to ${
      this.clientId === undefined ? "no client" : JSON.stringify(this.clientId)
    }, but ` +
      `only ${list(this.allowed)} may call this server. Add the client to \`allowedClients\`.`
  }
}

/** The token is at fault. */
export const TokenRefused = Schema.Union([
  MalformedToken,
  UnsupportedAlgorithm,
  UnknownKey,
  InvalidSignature,
  InvalidIssuer,
  InvalidAudience,
  TokenExpired,
  TokenNotYetValid,
  InvalidClaim,
  WrongTokenType,
  ClientNotAllowed
])

/** The token is at fault. */
export type TokenRefused = typeof TokenRefused.Type

/** Nothing can be said about the token. */
export const VerificationUnavailable = Schema.Union([DiscoveryFailed, KeysUnavailable])

/** Nothing can be said about the token. */
export type VerificationUnavailable = typeof VerificationUnavailable.Type

/** Every way in which the verification of a token can end without a verdict in its favour. */
export const TokenError = Schema.Union([...TokenRefused.members, ...VerificationUnavailable.members])

/** Every way in which the verification of a token can end without a verdict in its favour. */
export type TokenError = TokenRefused | VerificationUnavailable
