import { Schema } from "effect"

/** Of every event. */
const origin = {
  /** When it happened. */
  at: Schema.DateTimeUtcFromString,
  /** The IP address of who asked, where somebody did: of a browser or a client, by the setting `trustedProxies`. */
  address: Schema.optionalKey(Schema.String)
}

/** Of what concerns a client. */
const client = {
  /** The client's id; in place of one of more than 100 characters, as registered clients have, the beginning of its hash. */
  clientId: Schema.String
}

/** Of what concerns what a person has granted to a client. */
const granted = {
  ...client,
  /** The person's id at Okta. */
  subject: Schema.String,
  /** The beginning of a hash of the grant's id, the same in all events of one grant. Nothing can be done with it. */
  grant: Schema.String
}

/** A person allowed a client what it asked for. */
export class ConsentGiven extends Schema.TaggedClass<ConsentGiven>()("ConsentGiven", {
  ...origin,
  ...client,
  scopes: Schema.Array(Schema.String),
  /** Where the person's browser is sent afterwards. */
  redirectHost: Schema.String
}) {}

/** A person did not allow a client what it asked for. */
export class ConsentDenied extends Schema.TaggedClass<ConsentDenied>()("ConsentDenied", {
  ...origin,
  ...client,
  scopes: Schema.Array(Schema.String),
  redirectHost: Schema.String
}) {}

/** A person came back from Okta and was let in. */
export class SignedIn extends Schema.TaggedClass<SignedIn>()("SignedIn", {
  ...origin,
  ...granted,
  scopes: Schema.Array(Schema.String)
}) {}

/** A person came back from Okta in vain. */
export class SignInRefused extends Schema.TaggedClass<SignInRefused>()("SignInRefused", {
  ...origin,
  /** Absent when it is not known which sign-in it was. */
  clientId: Schema.optionalKey(Schema.String),
  /** `UnknownState`, `OtherBrowser`, `OtherIssuer`, or the tag of an error, such as `OktaRefused`. */
  reason: Schema.String
}) {}

/** A person whom Okta let in may not use this server: at the sign-in, at a renewal, or with an ID-JAG. */
export class AdmissionRefused extends Schema.TaggedClass<AdmissionRefused>()("AdmissionRefused", {
  ...origin,
  ...client,
  subject: Schema.String,
  /** What was asked for, at a sign-in. */
  scopes: Schema.optionalKey(Schema.Array(Schema.String)),
  /** Absent at a sign-in, which comes to nothing. */
  grant: Schema.optionalKey(Schema.String),
  /** What the person lacks. */
  reason: Schema.String
}) {}

/** A client got tokens for its code, or for an ID-JAG. */
export class TokensIssued extends Schema.TaggedClass<TokensIssued>()("TokensIssued", {
  ...origin,
  ...granted,
  scopes: Schema.Array(Schema.String),
  /** What the access token is for. */
  resource: Schema.String
}) {}

/** A client got a token for itself, without any person. */
export class ServiceTokenIssued extends Schema.TaggedClass<ServiceTokenIssued>()("ServiceTokenIssued", {
  ...origin,
  ...client,
  scopes: Schema.Array(Schema.String),
  /** What the access token is for. */
  resource: Schema.String
}) {}

/** A client got tokens for its refresh token. */
export class TokensRefreshed extends Schema.TaggedClass<TokensRefreshed>()("TokensRefreshed", {
  ...origin,
  ...granted,
  scopes: Schema.Array(Schema.String),
  resource: Schema.String
}) {}

/**
 * Why a grant ends before its time.
 *
 * @example
 * ```ts
 * import { RevocationReason } from "effect-okta"
 *
 * // One column each in a report.
 * export const columns: ReadonlyArray<RevocationReason> = RevocationReason.literals
 * ```
 */
export const RevocationReason = Schema.Literals([
  /** By its client. */
  "revoked",
  /** By the person. */
  "signed-out",
  /** The person left before it could be told to the client. */
  "abandoned",
  /** Its code came a second time. */
  "code-replayed",
  /** Its code came with another redirect URI, or without its verifier. */
  "code-misused",
  /** A refresh token came a second time, after its successor. */
  "refresh-token-replayed",
  /** Okta says that the person may not enter any more. */
  "okta-refused",
  /** `admit` says so. */
  "not-admitted",
  /** Okta renewed it for somebody else. */
  "other-person",
  /** Okta cannot be asked about it. */
  "not-renewable",
  /** Okta has it ended: the person left, or is in danger (Universal Logout). */
  "universal-logout",
  /** The person's session at Okta has ended (back-channel logout). */
  "backchannel-logout",
  /** By the person, on the page of connected clients. */
  "disconnected",
  /** By `Grants`, or `effect-okta grants`. */
  "by-operator"
])

/** Why a grant ends before its time. */
export type RevocationReason = typeof RevocationReason.Type

/** A grant ended, and its tokens with it. */
export class GrantRevoked extends Schema.TaggedClass<GrantRevoked>()("GrantRevoked", {
  ...origin,
  ...granted,
  why: RevocationReason
}) {}

/** Something came a second time that is good once, so that somebody else may have it. */
export class ReplayDetected extends Schema.TaggedClass<ReplayDetected>()("ReplayDetected", {
  ...origin,
  what: Schema.Literals([
    "authorization code",
    "refresh token",
    "client assertion",
    "logout token",
    "ID-JAG",
    "DPoP proof"
  ]),
  /** Whose it is, where that is known. */
  clientId: Schema.optionalKey(Schema.String),
  grant: Schema.optionalKey(Schema.String)
}) {}

/** A client registered. */
export class ClientRegistered extends Schema.TaggedClass<ClientRegistered>()("ClientRegistered", {
  ...origin,
  ...client,
  /** What it calls itself, its first 100 characters. */
  name: Schema.optionalKey(Schema.String),
  /** The hosts of its redirect URIs, 10 at most. */
  redirectHosts: Schema.Array(Schema.String)
}) {}

/** A person signed out in a browser. */
export class SignedOut extends Schema.TaggedClass<SignedOut>()("SignedOut", {
  ...origin,
  /** What ended with it. */
  grants: Schema.Array(Schema.String)
}) {}

/** Another set of keys is in use: Okta's, or this server's own. */
export class KeysRotated extends Schema.TaggedClass<KeysRotated>()("KeysRotated", {
  ...origin,
  /** Whose keys. */
  issuer: Schema.String,
  /** The `kid` of each key that is new, and of each that is gone; their first 100 characters. */
  added: Schema.Array(Schema.String),
  removed: Schema.Array(Schema.String)
}) {}

/**
 * Something that whoever answers for the server may have to account for; told apart by `_tag`.
 *
 * @example
 * ```ts
 * import type { AuditEvent } from "effect-okta"
 *
 * export const isAlarming = (event: AuditEvent): boolean =>
 *   event._tag === "ReplayDetected" || event._tag === "GrantRevoked" && event.why === "refresh-token-replayed"
 * ```
 */
export const AuditEvent = Schema.Union([
  ConsentGiven,
  ConsentDenied,
  SignedIn,
  SignInRefused,
  AdmissionRefused,
  TokensIssued,
  ServiceTokenIssued,
  TokensRefreshed,
  GrantRevoked,
  ReplayDetected,
  ClientRegistered,
  SignedOut,
  KeysRotated
])

/** Something that whoever answers for the server may have to account for; told apart by `_tag`. */
export type AuditEvent = typeof AuditEvent.Type
