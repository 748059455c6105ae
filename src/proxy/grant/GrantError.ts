import { Schema } from "effect"

/** What was sent, short and without anything that would command a terminal. */
const shown = (text: string): string => JSON.stringify(text.slice(0, 200)).replace(/[^\x20-\x7E]/g, "?")

/** The code or refresh token is not good, or not good for this client (RFC 6749 section 5.2). */
export class InvalidGrant extends Schema.TaggedError<InvalidGrant>()("InvalidGrant", {
  /** What is wrong with it; never the code or token itself. */
  reason: Schema.String
}) {
  override get message() {
    return `The code or refresh token was refused: ${this.reason}.`
  }
}

/** The client asks for a token for another resource than the grant's (RFC 8707 section 2). */
export class InvalidTarget extends Schema.TaggedError<InvalidTarget>()("InvalidTarget", {
  expected: Schema.String,
  actual: Schema.String
}) {
  override get message() {
    return `The client asked for a token for ${shown(this.actual)}, but was granted one for ${this.expected}.`
  }
}

/** The client asks for more scopes than were granted (RFC 6749 section 6). */
export class ScopesNotGranted extends Schema.TaggedError<ScopesNotGranted>()("ScopesNotGranted", {
  granted: Schema.Array(Schema.String),
  asked: Schema.Array(Schema.String)
}) {
  override get message() {
    return `The client asked for the scopes ${shown(this.asked.join(" "))}, but was granted ` +
      `${shown(this.granted.join(" "))}. It has to send the person to authorize again.`
  }
}

/** A grant that is not given here: neither a code nor a refresh token (RFC 6749 section 5.2). */
export class UnsupportedGrantType
  extends Schema.TaggedError<UnsupportedGrantType>()("UnsupportedGrantType", { grantType: Schema.String })
{
  override get message() {
    return `The client asked for the grant ${shown(this.grantType)}, which is not given here.`
  }
}

/** The client is none of our resource servers, and may not ask what tokens are good for (RFC 7662 section 2). */
export class IntrospectionNotAllowed
  extends Schema.TaggedError<IntrospectionNotAllowed>()("IntrospectionNotAllowed", {})
{
  override get message() {
    return "The client asked what a token is good for, but is not configured with mayIntrospect."
  }
}

/** The client did not register for this grant (RFC 6749 section 5.2). */
export class GrantTypeNotAllowed
  extends Schema.TaggedError<GrantTypeNotAllowed>()("GrantTypeNotAllowed", { grantType: Schema.String })
{
  override get message() {
    return `The client asked for the grant ${this.grantType}, for which it is not registered.`
  }
}
