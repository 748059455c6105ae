import { Schema } from "effect"
import { escaped } from "../config/EscapedText.ts"
import { type Principal } from "../token/Principal.ts"

/** What a caller must be allowed to do. */
export interface Policy {
  /** Scopes that the token must have, one or several; what is no scope (RFC 6749 section 3.3) is a defect. */
  readonly scopes?: string | ReadonlyArray<string>
}

/** A policy that nobody can meet: a mistake in the code that states it. */
export class InvalidPolicy extends Schema.TaggedError<InvalidPolicy>()("InvalidPolicy", {
  /** What is no scope. */
  scope: Schema.String
}) {
  override get message() {
    return escaped(
      `${JSON.stringify(this.scope)} in a policy is not a scope. ` +
        "Give a list of names without spaces, quotation marks and backslashes."
    )
  }
}

/** The token is good, but does not allow this operation (RFC 6750 section 3.1). */
export class InsufficientScope extends Schema.TaggedError<InsufficientScope>()("InsufficientScope", {
  /** Everything that the operation needs. */
  required: Schema.Array(Schema.String),
  /** What the token has. */
  granted: Schema.Array(Schema.String)
}) {
  override get message() {
    const missing = this.required.filter((scope) => !this.granted.includes(scope))
    return escaped(
      `The token lacks the scopes ${missing.map((scope) => JSON.stringify(scope)).join(", ")}. ` +
        "Ask for them when signing in, and allow them in Okta under Security, API, Access Policies."
    )
  }
}

/** The scopes are compared whole, byte for byte (RFC 6749 section 3.3). */
export const unmet = (required: ReadonlyArray<string>, principal: Principal): InsufficientScope | undefined =>
  required.every((scope) => principal.scopes.includes(scope))
    ? undefined
    : new InsufficientScope({ required, granted: principal.scopes })
