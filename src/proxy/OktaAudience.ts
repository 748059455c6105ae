import { Effect, type Redacted } from "effect"
import type { InvalidConfiguration } from "../config/InvalidConfiguration.ts"
import { issuerKind } from "../config/IssuerUrl.ts"
import { OktaConfig } from "../config/OktaConfig.ts"
import type { Jwks } from "../provider/Jwks.ts"
import type { Signature } from "../token/Signature.ts"
import type { VerificationUnavailable } from "../token/TokenError.ts"
import { TokenVerifier } from "../token/TokenVerifier.ts"
import { maxTokenLength, ofOkta, OktaTokenRefused } from "./IdToken.ts"
import { proxySettings } from "./ProxySettings.ts"

/** Fails unless the token is for the configured audience. */
type AudienceCheck = (
  accessToken: Redacted.Redacted<string>
) => Effect.Effect<void, OktaTokenRefused | VerificationUnavailable>

/**
 * Checks that the access token that Okta gave this server is for the configured audience.
 *
 * **Details**
 *
 * Not where there is nothing to check: without an audience, where the audience is the client id, which only ID tokens carry,
 * and on an org server, whose access tokens are for Okta's own APIs.
 */
export const make: Effect.Effect<
  AudienceCheck,
  InvalidConfiguration,
  OktaConfig | Jwks | Signature
> = Effect.gen(function*() {
  const { allowedClients, ...settings } = yield* proxySettings
  const { audience = [], clientId, issuer, passThrough } = settings
  if (audience.length === 0 || audience.includes(clientId) || issuerKind(issuer) === "org") return () => Effect.void
  // Who may call and how long a token may be concerns tokens that clients show.
  const rules = passThrough
    ? { ...settings, ...(allowedClients === undefined ? undefined : { allowedClients }) }
    : { ...settings, maxTokenLength }
  const verify = yield* ofOkta.pipe(
    Effect.provide(TokenVerifier.layerWith({ cacheSize: 0 })),
    Effect.provideService(OktaConfig, rules)
  )
  return (accessToken: Redacted.Redacted<string>) =>
    Effect.mapError(
      verify(accessToken),
      (error) =>
        error._tag === "DiscoveryFailed" || error._tag === "KeysUnavailable"
          ? error
          : new OktaTokenRefused({ token: "access token", reason: error.message })
    )
})
