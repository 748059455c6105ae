import { Schema } from "effect"
import { escaped } from "../config/EscapedText.ts"

/** Texts for a message. */
export const quoted = (values: ReadonlyArray<string>) => values.map((value) => JSON.stringify(value)).join(", ")

/** The token is good, but does not allow this operation (RFC 6750 section 3.1). */
export class InsufficientScope extends Schema.TaggedError<InsufficientScope>()("InsufficientScope", {
  /** Everything that the operation needs. */
  required: Schema.Array(Schema.String),
  /** What of it the token lacks. */
  missing: Schema.Array(Schema.String),
  /** What the token has. */
  granted: Schema.Array(Schema.String)
}) {
  override get message() {
    return escaped(
      `The token lacks the scopes ${quoted(this.missing)}. ` +
        "The client has to ask for them when signing in. In native mode allow them in Okta under Security, API, Access Policies; " +
        "in proxy mode name them in scopesSupported."
    )
  }
}

/** The person signed in too weakly or too long ago for this operation (RFC 9470 section 3). */
export class InsufficientAuthentication
  extends Schema.TaggedError<InsufficientAuthentication>()("InsufficientAuthentication", {
    /** Ways of signing in (`acr`) of which one is needed; empty when any will do. */
    acrValues: Schema.Array(Schema.String),
    /** The longest time since the person signed in, in seconds. */
    maxAge: Schema.optionalKey(Schema.Number),
    /** Everything that the operation needs in scopes. */
    required: Schema.Array(Schema.String),
    /** How the person signed in (`acr`), where the token says. */
    acr: Schema.optionalKey(Schema.String),
    /** When the person signed in, in seconds since 1970, where the token says. */
    authTime: Schema.optionalKey(Schema.Number)
  })
{
  override get message() {
    const needed = [
      ...(this.acrValues.length === 0 ? [] : [`by ${quoted(this.acrValues)} (acr)`]),
      ...(this.maxAge === undefined ? [] : [`within the last ${this.maxAge} seconds (auth_time)`])
    ]
    const actual = [
      `acr is ${this.acr === undefined ? "absent" : quoted([this.acr])}`,
      `auth_time is ${this.authTime ?? "absent"}`
    ]
    return escaped(
      `The person did not sign in ${needed.join(" and ")}: in the token ${actual.join(" and ")}. ` +
        "The client has to send the person to sign in again, with acr_values and max_age."
    )
  }
}

/** The caller may not do this, and no other token of the same caller would change that. */
export class AccessDenied extends Schema.TaggedError<AccessDenied>()("AccessDenied", {
  /** What the caller lacks, for the log, in words that follow one: `is in none of the groups "Admins"`. */
  reason: Schema.String
}) {
  override get message() {
    return escaped(`The caller ${this.reason}. If that is wrong, mend it in Okta, or in the policy.`)
  }
}

/** A policy's check has failed, so that nobody can say whether the caller may do this. */
export class CheckFailed extends Schema.TaggedError<CheckFailed>()("CheckFailed", {}) {
  override get message() {
    return "The check of a policy has failed, so that it cannot be told whether the caller may do this. Look above in " +
      "the log for its cause."
  }
}

/**
 * Every way in which a caller with a good token does not meet a policy.
 *
 * @example
 * ```ts
 * import type { PolicyRefusal } from "effect-okta"
 *
 * export const advice = (refusal: PolicyRefusal): string => {
 *   switch (refusal._tag) {
 *     case "InsufficientScope":
 *       return `Ask for ${refusal.missing.join(" ")} too.`
 *     case "InsufficientAuthentication":
 *       return "Sign in again."
 *     case "AccessDenied":
 *       return "Ask an administrator."
 *     case "CheckFailed":
 *       return "Try again later."
 *   }
 * }
 * ```
 */
export type PolicyRefusal = InsufficientScope | InsufficientAuthentication | AccessDenied | CheckFailed
