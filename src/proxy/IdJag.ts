import { Duration, Effect, Option, type Redacted, Schema } from "effect"
import type { InvalidConfiguration } from "../config/InvalidConfiguration.ts"
import { OktaConfig } from "../config/OktaConfig.ts"
import type { Jwks } from "../provider/Jwks.ts"
import { boundKey } from "../token/DpopProof.ts"
import type { User } from "../token/Principal.ts"
import type { Signature } from "../token/Signature.ts"
import { TokenRefused, type VerificationUnavailable } from "../token/TokenError.ts"
import { TokenVerifier } from "../token/TokenVerifier.ts"
import { maxTokenLength, OktaTokenRefused, personOf } from "./IdToken.ts"
import { proxySettings } from "./ProxySettings.ts"

/** What an ID-JAG says, once it is verified. Times are in seconds since 1970. */
export interface IdJag {
  readonly user: User
  /** The client that may use it. */
  readonly clientId: string
  /** The resource that it is for. */
  readonly resource: string
  /** What the client may do; absent where Okta says nothing of it. */
  readonly scopes: ReadonlyArray<string> | undefined
  readonly issuer: string
  /** By which it is known to have been used. */
  readonly jti: string
  readonly issuedAt: number
  readonly expiresAt: number
  /** The session at Okta (`sid`), where it names one. */
  readonly oktaSession: string | undefined
  /** Whose key it is bound to, where it is. */
  readonly boundTo: ReturnType<typeof boundKey>
}

/** Whom an ID-JAG is about and for whom; fails with `VerificationUnavailable` when that cannot be said now. */
export type IdJagVerifier = (
  assertion: Redacted.Redacted<string>
) => Effect.Effect<IdJag, OktaTokenRefused | VerificationUnavailable>

/** Beyond the claims that every token has; `aud` is one, so that no other server can use what was meant for this one. */
const decode = Schema.decodeUnknownOption(Schema.Struct({
  aud: Schema.String,
  client_id: Schema.NonEmptyString,
  jti: Schema.NonEmptyString,
  resource: Schema.NonEmptyString,
  scope: Schema.optionalKey(Schema.String)
}))

/** The longest time for which an ID-JAG may be good, in seconds: it travels from Okta to here and no further. */
const longestLifetime = 300

const isRefusal = Schema.is(TokenRefused)

const refused = (reason: string) => new OktaTokenRefused({ token: "ID-JAG", reason })

/** Where the audience is set, which is not where that of other tokens is. */
const reasonOf = (error: TokenRefused, serverUrl: string): string =>
  error._tag === "InvalidAudience"
    ? `its aud is not ${serverUrl}. Give that as the Issuer URL of this server's application in Okta`
    : error.message

/**
 * Verifies Okta's word for a person that a client brings: an Identity Assertion JWT Authorization Grant (ID-JAG).
 *
 * **Details**
 *
 * The rules are those of every token, by the issuer's keys and algorithms, and `typ` must say what it is. Whether it has been
 * used before is for whoever accepts it.
 *
 * @see https://datatracker.ietf.org/doc/draft-ietf-oauth-identity-assertion-authz-grant/
 */
export const verifier: Effect.Effect<
  IdJagVerifier,
  InvalidConfiguration,
  OktaConfig | Jwks | Signature
> = Effect.gen(function*() {
  const { allowedClients: _, ...settings } = yield* proxySettings
  const { serverUrl } = settings
  const { verify } = yield* TokenVerifier.pipe(
    Effect.provide(TokenVerifier.layerWith({ accept: "id-jag", cacheSize: 0 })),
    Effect.provideService(OktaConfig, {
      ...settings,
      audience: [serverUrl],
      maxTokenLength,
      // How long this one may last is said below, in words of its own.
      maxTokenLifetime: Duration.days(30)
    })
  )

  return Effect.fnUntraced(function*(assertion) {
    const verified = yield* Effect.mapError(
      verify(assertion),
      (error) => isRefusal(error) ? refused(reasonOf(error, serverUrl)) : error
    )
    const { exp, iat, iss } = verified.claims
    const claims = decode(verified.claims)
    if (Option.isNone(claims)) {
      return yield* refused("its claims aud, client_id, jti, resource and scope are not all there as one text each")
    }
    if (exp - iat > longestLifetime) return yield* refused(`it is good for more than ${longestLifetime} seconds`)
    const { client_id: clientId, jti, resource, scope } = claims.value
    const { sessionId: oktaSession, ...user } = personOf(verified)
    return {
      user,
      clientId,
      resource,
      scopes: scope?.split(" ").filter((name) => name !== ""),
      issuer: iss,
      jti,
      issuedAt: iat,
      expiresAt: exp,
      oktaSession,
      boundTo: boundKey(verified.claims)
    }
  })
})
