import { Schema } from "effect"

/** What was sent, short and without anything that would command a terminal. */
const shown = (text: string): string => JSON.stringify(text.slice(0, 200)).replace(/[^\x20-\x7E]/g, "?")

/** The code, refresh token or ID-JAG is not good, or not good for this client (RFC 6749 section 5.2). */
export class InvalidGrant extends Schema.TaggedError<InvalidGrant>()("InvalidGrant", {
  /** What is wrong with it; never the code or token itself. */
  reason: Schema.String
}) {
  override get message() {
    return `What the client wants tokens for was refused: ${this.reason.replace(/\.$/, "")}.`
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

/** A grant that is not given here (RFC 6749 section 5.2). */
export class UnsupportedGrantType
  extends Schema.TaggedError<UnsupportedGrantType>()("UnsupportedGrantType", { grantType: Schema.String })
{
  override get message() {
    return `The client asked for the grant ${shown(this.grantType)}, which is not given here.`
  }
}

/** A service's token, which is known nowhere and ends by itself (RFC 7009 section 2.2.1). */
export class TokenNotRevocable extends Schema.TaggedError<TokenNotRevocable>()("TokenNotRevocable", {}) {
  override get message() {
    return "A service wants its access token revoked, which ends by itself within an hour. To end it at once, take the client " +
      "out of the option clients, or set revokedBefore."
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
