import { Schema } from "effect"
import { escaped } from "../config/EscapedText.ts"
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
  /** Which rule it breaks, as a clause: `its header names no key (kid)`. */
  reason: Schema.String
}) {
  override get message() {
    return escaped(
      `The token cannot be read: ${this.reason}. Send the access token exactly as Okta issued it.`
    )
  }
}

/** The token's signature algorithm is not accepted (RFC 8725 section 3.1). */
export class UnsupportedAlgorithm extends Schema.TaggedError<UnsupportedAlgorithm>()("UnsupportedAlgorithm", {
  /** The algorithms that are accepted, or those that the token's key is for. */
  expected: Schema.Array(Schema.String),
  /** The token's `alg`, at most 200 characters of it. */
  actual: Schema.String
}) {
  override get message() {
    return escaped(
      `The token's algorithm is ${this.actual}, but only ${list(this.expected)} is accepted. ` +
        "Okta signs with RS256; name other algorithms in the setting `algorithms`."
    )
  }
}

/** What to do about the kinds that people take for each other. */
const rightKind = new Map([
  ["an access token", " Send the `access_token` of Okta's token answer, not the `id_token`."],
  ["an ID token", " Send the `id_token` of Okta's token answer, not the `access_token`."]
])

/** The token is of a kind that is not accepted here (RFC 8725 section 3.11). */
export class WrongTokenType extends Schema.TaggedError<WrongTokenType>()("WrongTokenType", {
  /** `an access token`, `an ID token`, or another kind. */
  expected: Schema.String,
  /** What the token is, and by what it shows. */
  actual: Schema.String
}) {
  override get message() {
    return escaped(
      `The token is ${this.actual}, but ${this.expected} is needed.${rightKind.get(this.expected) ?? ""}`
    )
  }
}

/** The signature does not fit the token: it was changed, or signed by somebody else (RFC 7515 section 5.2). */
export class InvalidSignature extends Schema.TaggedError<InvalidSignature>()("InvalidSignature", {
  /** The key that the token names. */
  kid: Schema.String,
  /** The token's `alg`. */
  algorithm: Schema.String
}) {
  override get message() {
    return escaped(
      `The token's signature does not fit the key ${JSON.stringify(this.kid)} (${this.algorithm}). ` +
        "The token was changed on its way or made by somebody else: sign in again."
    )
  }
}

/** The token was issued by somebody else (RFC 9068 section 4). */
export class InvalidIssuer extends Schema.TaggedError<InvalidIssuer>()("InvalidIssuer", {
  /** The issuers that are trusted: one, unless `issuers` is set. */
  expected: Schema.Array(Schema.String),
  /** The token's `iss`, at most 200 characters of it. */
  actual: Schema.String,
  /** Whether one of this server's keys signed the token, in proxy mode. */
  ownToken: Schema.optionalKey(Schema.Boolean)
}) {
  override get message() {
    return escaped(
      `The token's issuer is ${JSON.stringify(this.actual)}, but this server trusts ${list(this.expected)}. ` +
        (this.ownToken === true
          ? "It is of before serverUrl was changed, or of another server with the same signingKeys. The client has to have " +
            "the person sign in again."
          : this.expected.length === 1
          ? "Sign in at that issuer, or set OKTA_ISSUER to the token's, byte for byte."
          : "Sign in at one of them, or add the token's to the option issuers, byte for byte.")
    )
  }
}

/** The token was issued for someone else (RFC 9068 section 4). */
export class InvalidAudience extends Schema.TaggedError<InvalidAudience>()("InvalidAudience", {
  /** The configured audience. */
  expected: Schema.Array(Schema.String),
  /** The token's `aud`: at most 10, and at most 200 characters of each. */
  actual: Schema.Array(Schema.String),
  /** Whether this server issued the token itself, in proxy mode. */
  ownToken: Schema.optionalKey(Schema.Boolean)
}) {
  override get message() {
    return escaped(
      `The token's audience is ${list(this.actual)}, but this server accepts ${list(this.expected)}. ` + (
        this.ownToken === true
          ? "The client has to name the resource that it wants to use when it signs a person in (RFC 8707)."
          : "Set the audience of the Okta authorization server to one of these, or set OKTA_AUDIENCE to the token's."
      )
    )
  }
}

/** The token's time is over (RFC 7519 section 4.1.4). */
export class TokenExpired extends Schema.TaggedError<TokenExpired>()("TokenExpired", {
  /** The token's `exp`, in seconds since 1970. */
  expiredAt: Schema.Number,
  /** This server's time, in seconds since 1970. */
  now: Schema.Number,
  /** Okta's clock minus ours, in milliseconds. */
  clockSkew: Schema.optionalKey(Schema.Number)
}) {
  override get message() {
    return escaped(
      `The token expired ${seconds(Math.floor(this.now - this.expiredAt))} ago. Refresh it or sign in again.` +
        skewed(this.clockSkew)
    )
  }
}

/** The token's time has not come (RFC 7519 sections 4.1.5 and 4.1.6). */
export class TokenNotYetValid extends Schema.TaggedError<TokenNotYetValid>()("TokenNotYetValid", {
  /** The claim that says so. */
  claim: Schema.Literals(["nbf", "iat"]),
  /** Its value, in seconds since 1970. */
  validFrom: Schema.Number,
  /** This server's time, in seconds since 1970. */
  now: Schema.Number,
  /** Okta's clock minus ours, in milliseconds. */
  clockSkew: Schema.optionalKey(Schema.Number)
}) {
  override get message() {
    return escaped(
      `The token is valid only ${seconds(Math.ceil(this.validFrom - this.now))} from now (${this.claim}). ` +
        `Compare this server's clock with Okta's.${skewed(this.clockSkew)}`
    )
  }
}

/** A claim is missing or is not what it must be (RFC 9068 section 2.2). */
export class InvalidClaim extends Schema.TaggedError<InvalidClaim>()("InvalidClaim", {
  /** The claim's name. */
  claim: Schema.String,
  /** What is wrong with it, as the end of a sentence: `is missing`. */
  problem: Schema.String,
  /** Whether this server issued the token itself, in proxy mode. */
  ownToken: Schema.optionalKey(Schema.Boolean)
}) {
  override get message() {
    return escaped(
      `The token's claim ${JSON.stringify(this.claim)} ${this.problem}. ` + (
        this.ownToken === true
          ? "The client has to refresh its tokens, or have the person sign in again."
          : "Look at the claims of the authorization server in Okta under Security, API."
      )
    )
  }
}

/** The token was issued to a client that is not in `allowedClients`. */
export class ClientNotAllowed extends Schema.TaggedError<ClientNotAllowed>()("ClientNotAllowed", {
  /** The setting `allowedClients`. */
  allowed: Schema.Array(Schema.String),
  /** The token's client (`cid`); absent when it names none. */
  clientId: Schema.optionalKey(Schema.String)
}) {
  override get message() {
    return escaped(
      `The token was issued to ${this.clientId === undefined ? "no client" : JSON.stringify(this.clientId)}, but ` +
        `only ${list(this.allowed)} may call this server. Add the client to \`allowedClients\`.`
    )
  }
}

/** Okta says that the token is good for nothing (RFC 7662 section 2.2). */
export class TokenInactive extends Schema.TaggedError<TokenInactive>()("TokenInactive", {
  /** The authorization server that was asked. */
  issuer: Schema.String
}) {
  override get message() {
    return escaped(
      `${this.issuer} says that the token is not active: it was revoked, has ended, or was never one of this authorization ` +
        "server's. The client has to refresh it, or have the person sign in again."
    )
  }
}

/** Okta could not be asked about a token, or gave no answer that means anything: nothing was decided. */
export class IntrospectionUnavailable
  extends Schema.TaggedError<IntrospectionUnavailable>()("IntrospectionUnavailable", {
    /** The authorization server that was asked. */
    issuer: Schema.String,
    /** What went wrong. */
    reason: Schema.String,
    /** Time that Okta asked us to wait, in milliseconds. */
    retryAfter: Schema.optionalKey(Schema.Number)
  })
{
  override get message() {
    return escaped(
      `${this.issuer} could not be asked about a token: ${
        this.reason.replace(/\.$/, "")
      }. Check the credentials of the option ` +
        "introspection, and that this server can reach Okta."
    )
  }
}

/**
 * The token is at fault: to try again with it is of no use.
 *
 * @example
 * ```ts
 * import { TokenRefused } from "effect-okta"
 * import { Schema } from "effect"
 *
 * // Whether a message with this failure is worth no further try.
 * export const isFinal = Schema.is(TokenRefused)
 * ```
 */
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
  ClientNotAllowed,
  TokenInactive
])

/** The token is at fault: to try again with it is of no use. */
export type TokenRefused = typeof TokenRefused.Type

/**
 * Nothing can be said about the token now, which may be good: try again later.
 *
 * @example
 * ```ts
 * import { TokenVerifier, VerificationUnavailable } from "effect-okta"
 * import { Effect, type Redacted, Schedule, Schema } from "effect"
 *
 * export const verifyPatiently = Effect.fnUntraced(function*(token: Redacted.Redacted<string>) {
 *   return yield* (yield* TokenVerifier).verify(token)
 * }, Effect.retry({ while: Schema.is(VerificationUnavailable), schedule: Schedule.spaced("5 seconds"), times: 10 }))
 * ```
 */
export const VerificationUnavailable = Schema.Union([DiscoveryFailed, KeysUnavailable, IntrospectionUnavailable])

/** Nothing can be said about the token now, which may be good: try again later. */
export type VerificationUnavailable = typeof VerificationUnavailable.Type

/**
 * Every way in which the verification of a token can end without a verdict in its favour.
 *
 * @example
 * ```ts
 * import { type TokenError, TokenVerifier } from "effect-okta"
 * import { Effect, type Redacted } from "effect"
 *
 * const whatToDo = (error: TokenError): string => {
 *   switch (error._tag) {
 *     case "TokenExpired":
 *       return "Sign in again"
 *     case "InvalidAudience":
 *       return `This token is for ${error.actual.join(" and ")}`
 *     case "DiscoveryFailed":
 *     case "KeysUnavailable":
 *     case "IntrospectionUnavailable":
 *       return "Try again later"
 *     default:
 *       return error.message
 *   }
 * }
 *
 * export const greet = Effect.fnUntraced(function*(token: Redacted.Redacted<string>) {
 *   const { principal } = yield* (yield* TokenVerifier).verify(token)
 *   return `Hello ${principal.subject}`
 * }, Effect.catch((error) => Effect.succeed(whatToDo(error))))
 * ```
 */
export const TokenError = Schema.Union([...TokenRefused.members, ...VerificationUnavailable.members])

/** Every way in which the verification of a token can end without a verdict in its favour. */
export type TokenError = TokenRefused | VerificationUnavailable
