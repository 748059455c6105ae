import { Effect, Redacted, Schema } from "effect"
import { createHash, timingSafeEqual } from "node:crypto"
import type { InvalidConfiguration } from "../config/InvalidConfiguration.ts"
import { OktaConfig } from "../config/OktaConfig.ts"
import { Jwks } from "../provider/Jwks.ts"
import * as CompactJws from "../token/CompactJws.ts"
import type { User } from "../token/Principal.ts"
import type { Signature } from "../token/Signature.ts"
import type { VerificationUnavailable } from "../token/TokenError.ts"
import { TokenVerifier, type VerifiedToken } from "../token/TokenVerifier.ts"
import { proxySettings } from "./ProxySettings.ts"

/** Okta's ID token does not prove who signed in, or its access token is not for this server. */
export class OktaTokenRefused extends Schema.TaggedError<OktaTokenRefused>()("OktaTokenRefused", {
  token: Schema.Literals(["ID token", "access token", "ID-JAG"]),
  reason: Schema.String
}) {
  override get message() {
    return `Okta's ${this.token} was refused: ${this.reason.replace(/\.$/, "")}.`
  }
}

const refused = (reason: string) => new OktaTokenRefused({ token: "ID token", reason })

/** What an ID token has to belong to. */
export interface Belonging {
  readonly accessToken: string
  /** None for a token that came of a refresh (OpenID Connect Core section 12.2). */
  readonly nonce: string | undefined
}

/** Whom an ID token is about, once it is verified; fails with `VerificationUnavailable` when that cannot be done now. */
export type IdTokenVerifier = (
  idToken: string | undefined,
  belonging: Belonging
) => Effect.Effect<User, OktaTokenRefused | VerificationUnavailable>

/** The longest token of Okta's own answers: one with many groups is longer than what clients send in a header. */
export const maxTokenLength = 48 * 1024

/**
 * Verifies tokens that Okta itself has just given this server. Okta may have begun to sign with another key this moment, so
 * that its keys are asked for again, however lately they were: nobody else can make up a token that causes it.
 */
export const ofOkta: Effect.Effect<
  TokenVerifier["Service"]["verify"],
  never,
  Jwks | TokenVerifier
> = Effect.gen(function*() {
  const { reload } = yield* Jwks
  const { verify } = yield* TokenVerifier
  return (token) => Effect.catchTag(verify(token), "UnknownKey", () => Effect.andThen(reload, verify(token)))
})

/**
 * Verifies the ID tokens that Okta gives this server.
 *
 * @see https://openid.net/specs/openid-connect-core-1_0.html#IDTokenValidation
 */
export const verifier: Effect.Effect<
  IdTokenVerifier,
  InvalidConfiguration,
  OktaConfig | Jwks | Signature
> = Effect.gen(function*() {
  const { allowedClients: _, ...settings } = yield* proxySettings
  const { clientId } = settings
  const verify = yield* ofOkta.pipe(
    Effect.provide(TokenVerifier.layerWith({ accept: "id-token", cacheSize: 0 })),
    Effect.provideService(OktaConfig, { ...settings, audience: [clientId], maxTokenLength })
  )

  return Effect.fnUntraced(function*(idToken, belonging) {
    if (idToken === undefined) {
      return yield* refused("there is none. Allow the scope openid for the application in Okta")
    }
    const verified = yield* Effect.mapError(
      verify(Redacted.make(idToken)),
      (error) =>
        error._tag === "DiscoveryFailed" || error._tag === "KeysUnavailable"
          ? error
          : refused(error.message)
    )
    const reason = mismatch(verified, idToken, { clientId, ...belonging })
    if (reason !== undefined) return yield* refused(reason)
    return personOf(verified)
  })
})

/** What the verified token does not fit, if anything (OpenID Connect Core section 3.1.3.7). */
const mismatch = (
  { claims: { at_hash, aud, azp, nonce } }: VerifiedToken,
  idToken: string,
  expected: Belonging & { readonly clientId: string }
): string | undefined => {
  if (typeof aud !== "string" && aud.some((one) => one !== expected.clientId)) {
    return "it is for somebody else too (aud)"
  }
  if (azp !== undefined && azp !== expected.clientId) return "it was issued to somebody else (azp)"
  if (expected.nonce !== undefined && !(typeof nonce === "string" && equal(nonce, expected.nonce))) {
    return "it is not of this sign-in (nonce)"
  }
  if (at_hash !== undefined && at_hash !== accessTokenHash(idToken, expected.accessToken)) {
    return "it came with another access token (at_hash)"
  }
  return undefined
}

/** The left half of the access token's hash, by the algorithm of the ID token (OpenID Connect Core section 3.1.3.6). */
const accessTokenHash = (idToken: string, accessToken: string): string | undefined => {
  const jws = CompactJws.read(idToken)
  const alg = typeof jws === "string" ? undefined : jws.header["alg"]
  if (typeof alg !== "string") return undefined
  const bits = /^(?:RS|PS|ES)(256|384|512)$/.exec(alg)?.[1] ?? "512"
  const hash = createHash(`sha${bits}`).update(accessToken).digest()
  return hash.subarray(0, hash.length / 2).toString("base64url")
}

/** The person; client and scopes are those of our own tokens, not Okta's. The session is Okta's. */
export const personOf = ({ claims: { sub }, principal }: VerifiedToken): User => {
  const { clientId: _, ...person } = principal._tag === "User"
    ? principal
    : { _tag: "User" as const, clientId: undefined, username: sub, groups: [], amr: [] }
  return { ...person, subject: sub, uid: sub, scopes: [] }
}

const equal = (actual: string, expected: string): boolean => {
  const [one, other] = [Buffer.from(actual), Buffer.from(expected)]
  return one.length === other.length && timingSafeEqual(one, other)
}
