import { Clock, Duration, Effect, Option, Result } from "effect"
import { createLocalJWKSet } from "jose/jwks/local"
import { decodeJwt } from "jose/jwt/decode"
import { jwtVerify } from "jose/jwt/verify"
import { algorithms } from "../../config/Algorithm.ts"
import { ReplayDetected } from "../../observe/AuditEvent.ts"
import type { StoreUnavailable } from "../../store/Store.ts"
import { type Audit, clientHandle } from "../Audit.ts"
import type { ProxySettings } from "../ProxySettings.ts"
import type { Keeping } from "../SealedRecords.ts"
import * as SingleUse from "../SingleUse.ts"
import type { Client } from "./Client.ts"
import type { ClientMetadata } from "./ClientMetadata.ts"

/** The only kind of assertion that is understood (RFC 7523 section 2.2). */
export const type = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"

/** Where clients authenticate. */
const endpoints = ["/oauth/token", "/oauth/revoke", "/oauth/introspect"]

/** The longest time for which an assertion may be good, in seconds. */
const longestLifetime = 3600

/** Assertions of more characters than this are not looked at. */
const longest = 8192

/**
 * Checks the assertions with which clients prove who they are (`private_key_jwt`): each is good once. Gives what is wrong,
 * if anything is.
 *
 * **Details**
 *
 * The audience is this server, or the endpoint asked, and nobody else besides, so that no other server can use an
 * assertion that was meant for it (RFC 7523 section 3).
 */
export const verifier = (
  { clockTolerance, serverUrl }: ProxySettings,
  { audit, sealed, store }: Keeping & { readonly audit: Audit }
) => {
  const audiences = [serverUrl, ...endpoints.map((path) => serverUrl + path)]
  const tolerance = Duration.toSeconds(clockTolerance)
  const { isFirst } = SingleUse.make("jti", { sealed, store })

  return Effect.fnUntraced(function*(
    { clientId }: Client,
    jwks: ClientMetadata["jwks"],
    assertion: string
  ): Effect.fn.Return<string | undefined, StoreUnavailable> {
    if (jwks === undefined || assertion.length > longest) return "its assertion cannot be checked"
    const now = (yield* Clock.currentTimeMillis) / 1000
    const claims = yield* Effect.option(
      Effect.tryPromise(() =>
        jwtVerify(assertion, createLocalJWKSet({ keys: jwks.keys.map((key) => ({ kty: "", ...key })) }), {
          algorithms: [...algorithms],
          issuer: clientId,
          subject: clientId,
          audience: audiences,
          requiredClaims: ["exp", "jti"],
          clockTolerance: tolerance,
          currentDate: new Date(now * 1000)
        })
      )
    )
    if (Option.isNone(claims)) return "its assertion is not one of its own for this server, or its time is over"
    const { aud, exp, jti } = claims.value.payload
    if (Array.isArray(aud) && aud.length !== 1) return "its assertion is for other servers too"
    if (typeof jti !== "string" || jti === "" || exp === undefined || exp > now + longestLifetime) {
      return `its assertion has no jti, or is good for more than ${longestLifetime} seconds`
    }
    if (yield* isFirst({ issuer: clientId, jti, endsIn: exp + tolerance - now })) return undefined
    yield* audit((origin) =>
      new ReplayDetected({ ...origin, what: "client assertion", clientId: clientHandle(clientId) })
    )
    return "its assertion has been used before"
  })
}

/** The client that an assertion claims to be of, nothing in it verified yet. */
export const claimedSubject = (assertion: string): string | undefined => {
  const subject = assertion.length > longest ? undefined : Result.try((): unknown => decodeJwt(assertion).sub)
  return subject !== undefined && Result.isSuccess(subject) && typeof subject.success === "string"
    ? subject.success
    : undefined
}
