import { Predicate, Schema } from "effect"
import type { Principal } from "./Principal.ts"

/**
 * The claims that a token must have, and those of Okta's own whose types are relied on.
 *
 * @see https://www.rfc-editor.org/rfc/rfc9068.html#section-2.2
 * @see https://developer.okta.com/docs/api/openapi/okta-oauth/guides/overview/#access-token-payload
 */
export const RequiredClaims = Schema.Struct({
  /** Who issued the token: the configured issuer, byte for byte. */
  iss: Schema.String,
  /** Whom it is for. */
  aud: Schema.Union([Schema.String, Schema.Array(Schema.String)]),
  /** Whom it is about: a person's login, or the client itself. */
  sub: Schema.NonEmptyString,
  /** When its time is over, in seconds since 1970. */
  exp: Schema.Int,
  /** When it was issued, in seconds since 1970. */
  iat: Schema.Int,
  /** When its time begins, in seconds since 1970. */
  nbf: Schema.optionalKey(Schema.Int),
  /** Its own id. */
  jti: Schema.optionalKey(Schema.String),
  /** The client it was issued to, in Okta's tokens. */
  cid: Schema.optionalKey(Schema.String),
  /** The client it was issued to, in other tokens (RFC 9068). */
  client_id: Schema.optionalKey(Schema.String),
  /** Okta's id of the person; absent when the client acts for itself. */
  uid: Schema.optionalKey(Schema.String)
})

/**
 * The claims of a verified token: those that are relied on, typed, and whatever else Okta put in.
 *
 * @see https://www.rfc-editor.org/rfc/rfc9068.html#section-2.2
 */
export type AccessTokenClaims = typeof RequiredClaims.Type & { readonly [claim: string]: unknown }

/**
 * Whether claims have the required ones, each of its type: the schema above in plain words, in a tenth of its time, since
 * every token pays for it. A property test holds the two together.
 */
export const isAccessTokenClaims = (claims: { readonly [claim: string]: unknown }): claims is AccessTokenClaims => {
  const { aud, cid, client_id, exp, iat, iss, jti, nbf, sub, uid } = claims
  return isString(iss) && (isString(aud) || Array.isArray(aud) && aud.every(isString)) && isString(sub) && sub !== "" &&
    Number.isSafeInteger(exp) && Number.isSafeInteger(iat) && (nbf === undefined || Number.isSafeInteger(nbf)) &&
    isStringOrAbsent(jti) && isStringOrAbsent(cid) && isStringOrAbsent(client_id) && isStringOrAbsent(uid)
}

const isString = (value: unknown) => typeof value === "string"

const isStringOrAbsent = (value: unknown) => value === undefined || isString(value)

/** The client to which the token was issued: `cid` in Okta's tokens, `client_id` in RFC 9068 ones. */
export const clientOf = (claims: AccessTokenClaims): string | undefined => claims.cid ?? claims.client_id

/**
 * Scopes from Okta's array `scp`, or from `scope` split on single spaces (RFC 6749 section 3.3). Anything else grants
 * nothing.
 */
export const scopesOf = ({ scope, scp }: AccessTokenClaims): ReadonlyArray<string> => {
  if (scp !== undefined) return strings(scp)
  return typeof scope === "string" ? scope.split(" ").filter((name) => name !== "") : []
}

/**
 * Who the token speaks for, and if asked who says so. Claims that an administrator shapes count only when they are of the
 * type expected.
 */
export const principalOf = (claims: AccessTokenClaims, withIssuer = false): Principal => {
  const issuer = withIssuer ? { issuer: claims.iss } : undefined
  const clientId = clientOf(claims)
  const scopes = scopesOf(claims)
  if (claims.uid === undefined && clientId === claims.sub) {
    return { _tag: "Service", subject: clientId, clientId, scopes, ...issuer }
  }
  const { acr, act, amr, auth_time, email, email_verified, groups, preferred_username, sid, sub, uid } = claims
  return {
    _tag: "User",
    subject: sub,
    ...(uid === undefined ? undefined : { uid }),
    username: typeof preferred_username === "string" ? preferred_username : sub,
    ...(typeof email === "string" ? { email } : undefined),
    ...(typeof email_verified === "boolean" ? { emailVerified: email_verified } : undefined),
    groups: strings(groups),
    scopes,
    ...(clientId === undefined ? undefined : { clientId }),
    ...(typeof acr === "string" ? { acr } : undefined),
    amr: strings(amr),
    ...(Number.isSafeInteger(auth_time) ? { authTime: Number(auth_time) } : undefined),
    ...(typeof sid === "string" ? { sessionId: sid } : undefined),
    ...actorOf(act),
    ...issuer
  }
}

const actorOf = (act: unknown) =>
  Predicate.hasProperty(act, "sub") && typeof act.sub === "string" ? { actor: { subject: act.sub } } : undefined

const strings = (value: unknown): ReadonlyArray<string> => Array.isArray(value) && value.every(isString) ? value : []
