import { Context, Schema } from "effect"

/** A person, acting through a client. */
export const User = Schema.TaggedStruct("User", {
  /** `sub`: in an access token of Okta's the person's login, in an ID token the same as `uid`. */
  subject: Schema.String,
  /** Okta's own id of the person, which never changes. */
  uid: Schema.optionalKey(Schema.String),
  /** The login: `preferred_username`, or else `sub`. */
  username: Schema.String,
  /** As far as an `email` claim is configured in Okta. */
  email: Schema.optionalKey(Schema.String),
  /** Whether Okta has made sure that the email address is the person's, where it says (`email_verified`). */
  emailVerified: Schema.optionalKey(Schema.Boolean),
  /** As far as a `groups` claim is configured in Okta. */
  groups: Schema.Array(Schema.String),
  /** What the token allows (`scp`, or else `scope`). */
  scopes: Schema.Array(Schema.String),
  /** The client through which the person acts (`cid`). */
  clientId: Schema.optionalKey(Schema.String),
  /** How strongly the person signed in (`acr`), where asked for. */
  acr: Schema.optionalKey(Schema.String),
  /** By which means the person signed in (`amr`). */
  amr: Schema.Array(Schema.String),
  /** When the person signed in, in seconds since 1970. */
  authTime: Schema.optionalKey(Schema.Number),
  /** The sign-in that the token came of (`sid`): in proxy mode always there. */
  sessionId: Schema.optionalKey(Schema.String),
  /** Who acts in the person's name, beside the client, where the token says (`act`, RFC 8693 section 4.1). */
  actor: Schema.optionalKey(Schema.Struct({ subject: Schema.String })),
  /** Who issued the token, where `issuers` are several: `subject`, `uid` and `clientId` are each issuer's own. */
  issuer: Schema.optionalKey(Schema.String)
})

/** A person, acting through a client. */
export interface User extends Schema.Schema.Type<typeof User> {}

/** A client acting for itself, by a client-credentials token. */
export const Service = Schema.TaggedStruct("Service", {
  /** `sub`: the same as `clientId`. */
  subject: Schema.String,
  /** The client's id (`cid`). */
  clientId: Schema.String,
  /** What the token allows (`scp`, or else `scope`). */
  scopes: Schema.Array(Schema.String),
  /** Who issued the token, where `issuers` are several. */
  issuer: Schema.optionalKey(Schema.String)
})

/** A client acting for itself, by a client-credentials token. */
export interface Service extends Schema.Schema.Type<typeof Service> {}

/**
 * Who is calling; `_tag` tells a person from a service.
 *
 * @example
 * ```ts
 * import type { Principal } from "effect-okta"
 *
 * export const nameOf = (principal: Principal): string =>
 *   principal._tag === "User" ? principal.username : `the service ${principal.clientId}`
 * ```
 */
export const Principal = Schema.Union([User, Service])

/** Who is calling; `_tag` tells a person from a service. */
export type Principal = User | Service

/**
 * Who is calling, for the handlers of guarded routes.
 *
 * @example
 * ```ts
 * import { CurrentPrincipal } from "effect-okta"
 * import { Effect } from "effect"
 *
 * export const greeting = Effect.map(CurrentPrincipal, ({ subject }) => `Hello ${subject}`)
 * ```
 */
export class CurrentPrincipal extends Context.Service<CurrentPrincipal, Principal>()(
  "effect-okta/token/CurrentPrincipal"
) {}
