import { Clock, Context, Effect, Layer, Redacted, Schema } from "effect"
import { SignJWT } from "jose/jwt/sign"
import { randomBytes } from "node:crypto"
import type { InvalidConfiguration } from "../../config/InvalidConfiguration.ts"
import type { OktaConfig } from "../../config/OktaConfig.ts"
import { sparingly } from "../../observe/Sparingly.ts"
import type { Principal } from "../../token/Principal.ts"
import { proxySettings } from "../ProxySettings.ts"
import { SigningKeys } from "./SigningKeys.ts"

/** What an access token is to say. */
export interface Issuance {
  /** Who it speaks for, through which client and with which scopes. */
  readonly principal: Principal
  /** The resource it is for (RFC 8707): `serverUrl`, or a protected path under it. */
  readonly resource: string
  /** When what Okta granted ends, in seconds since 1970. */
  readonly notAfter?: number | undefined
  /** The thumbprint of the key that the token is bound to, if it is to one (RFC 9449 section 6.1). */
  readonly dpopKey?: string | undefined
}

/** An access token, and what is told about it; times are in seconds since 1970. */
export interface IssuedToken {
  readonly token: Redacted.Redacted<string>
  readonly jti: string
  readonly issuedAt: number
  readonly expiresAt: number
}

/** What Okta granted has ended, so that no token can be issued from it. Times are in seconds since 1970. */
export class GrantExpired extends Schema.TaggedError<GrantExpired>()("GrantExpired", {
  endedAt: Schema.Number,
  now: Schema.Number
}) {
  override get message() {
    return `What Okta granted ended ${this.now - Math.floor(this.endedAt)} seconds ago. Ask Okta again, or have the ` +
      "person sign in again."
  }
}

/** How an access token is to be sent (RFC 9449 section 5). */
export const tokenType = (dpopKey: string | undefined): "Bearer" | "DPoP" => dpopKey === undefined ? "Bearer" : "DPoP"

/** The longest life of an access token, in seconds. */
export const longestLifetime = 3600

/**
 * Issues the access tokens of this server: JWTs of RFC 9068, signed with the first key of the ring.
 *
 * @see https://www.rfc-editor.org/rfc/rfc9068.html#section-2
 */
export class TokenIssuer extends Context.Service<TokenIssuer, {
  /** A token good for an hour, or for as long as is left of what Okta granted. */
  readonly issue: (issuance: Issuance) => Effect.Effect<IssuedToken, GrantExpired>
}>()("effect-okta/proxy/grant/TokenIssuer") {
  static readonly layer: Layer.Layer<TokenIssuer, InvalidConfiguration, OktaConfig | SigningKeys> = Layer.effect(
    TokenIssuer,
    Effect.gen(function*() {
      const { maxTokenLength, serverUrl } = yield* proxySettings
      const keys = yield* SigningKeys
      return TokenIssuer.of({
        issue: Effect.fnUntraced(function*(issuance) {
          const issuedAt = Math.floor((yield* Clock.currentTimeMillis) / 1000)
          const endsAt = issuance.notAfter ?? Infinity
          const expiresAt = Math.min(issuedAt + longestLifetime, Math.floor(endsAt))
          if (expiresAt <= issuedAt) return yield* new GrantExpired({ endedAt: endsAt, now: issuedAt })
          const jti = randomBytes(16).toString("base64url")
          const { algorithm, kid, privateKey } = yield* keys.current
          const token = yield* Effect.promise(() =>
            new SignJWT({
              iss: serverUrl,
              aud: issuance.resource,
              iat: issuedAt,
              exp: expiresAt,
              jti,
              ...(issuance.dpopKey === undefined ? undefined : { cnf: { jkt: issuance.dpopKey } }),
              ...claimsOf(issuance)
            }).setProtectedHeader({ alg: algorithm, typ: "at+jwt", kid }).sign(privateKey)
          )
          if (token.length > maxTokenLength) {
            yield* sparingly(
              "Warn",
              "long token",
              `An access token of ${token.length} characters was issued, but maxTokenLength is ${maxTokenLength}: it will ` +
                "be refused. Raise maxTokenLength, or let Okta's groups claim hold fewer groups."
            )
          }
          return { token: Redacted.make(token), jti, issuedAt, expiresAt }
        })
      })
    })
  )
}

/** The claims from which `principalOf` makes the same principal again (RFC 9068 section 2.2); those that are undefined are not written. */
const claimsOf = ({ principal }: Issuance): { readonly [claim: string]: unknown } => {
  const scope = principal.scopes.length === 0 ? undefined : principal.scopes.join(" ")
  if (principal._tag === "Service") {
    return { sub: principal.subject, client_id: principal.clientId, scope }
  }
  const { acr, amr, authTime, clientId, email, emailVerified, groups, sessionId, subject, uid, username } = principal
  return {
    sub: subject,
    client_id: clientId,
    scope,
    sid: sessionId,
    // A person who is called like a client is not to be taken for one (RFC 9068 section 5).
    uid: uid ?? (subject === clientId ? subject : undefined),
    preferred_username: username,
    email,
    email_verified: emailVerified,
    groups: groups.length === 0 ? undefined : groups,
    acr,
    amr: amr.length === 0 ? undefined : amr,
    auth_time: authTime
  }
}
