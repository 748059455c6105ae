import { HttpServerResponse } from "effect/http"
import type { TokenError } from "../token/TokenError.ts"
import { readableAnswer } from "./Cors.ts"
import type { InsufficientScope } from "./Policy.ts"
import type { ForbiddenOrigin } from "./RequestOrigin.ts"

/** The request carries no credentials that concern us. */
export interface NoCredentials {
  readonly _tag: "NoCredentials"
}

/** The request carries credentials, but not clearly one token. */
export interface MalformedCredentials {
  readonly _tag: "MalformedCredentials"
  readonly reason: string
}

/** Every reason for which a guarded request is not let through. */
export type Refusal = NoCredentials | MalformedCredentials | ForbiddenOrigin | TokenError | InsufficientScope

/** What the client may know about the operation that it was refused. */
export interface ChallengeContext {
  /** Where the resource's metadata is (RFC 9728 section 5.1). */
  readonly metadataUrl: string | undefined
  /** Everything that the operation needs. */
  readonly scopes: ReadonlyArray<string>
}

const defaultRetryAfter = 5

/**
 * The answer to a refused request. This is the only place that knows the codes of RFC 6750 section 3.1; texts are
 * constant, so that nobody learns more than the code.
 *
 * A client that is told `invalid_token` throws its token away, so trouble of ours or Okta's is never told that way.
 */
export const answer = (refusal: Refusal, context: ChallengeContext): HttpServerResponse.HttpServerResponse => {
  switch (refusal._tag) {
    case "NoCredentials":
      return challenge(401, context, undefined, "Send an access token as a bearer token.")
    case "MalformedCredentials":
      return challenge(400, context, "invalid_request", "Send exactly one token, in one Authorization header.")
    case "MalformedToken":
    case "UnsupportedAlgorithm":
    case "UnknownKey":
    case "InvalidSignature":
    case "InvalidIssuer":
    case "InvalidAudience":
    case "TokenExpired":
    case "TokenNotYetValid":
    case "InvalidClaim":
    case "WrongTokenType":
    case "ClientNotAllowed":
      return challenge(401, context, "invalid_token", "The access token is expired, malformed or not for this server.")
    case "InsufficientScope":
      return challenge(403, context, "insufficient_scope", "The access token does not allow this operation.")
    case "ForbiddenOrigin":
      return body(403, "access_denied", "Requests from there are not allowed.", {})
    case "DiscoveryFailed":
    case "KeysUnavailable":
      return body(503, "temporarily_unavailable", "The access token cannot be checked at the moment.", {
        "retry-after": String(Math.max(1, Math.ceil((refusal.retryAfter ?? defaultRetryAfter * 1000) / 1000)))
      })
  }
}

/** The same for every refusal, and readable by clients in browsers. */
const body = (
  status: number,
  error: string | undefined,
  error_description: string,
  headers: { readonly [name: string]: string }
) =>
  HttpServerResponse.jsonUnsafe({ ...(error === undefined ? undefined : { error }), error_description }, {
    status,
    headers: { ...readableAnswer, "cache-control": "no-store", ...headers }
  })

const challenge = (
  status: number,
  { metadataUrl, scopes }: ChallengeContext,
  error: string | undefined,
  description: string
) => {
  const parameters = [
    ...(error === undefined ? [] : [["error", error], ["error_description", description]] as const),
    ...(metadataUrl === undefined ? [] : [["resource_metadata", metadataUrl]] as const),
    ...(scopes.length === 0 ? [] : [["scope", scopes.join(" ")]] as const)
  ]
  const challenge = `Bearer ${parameters.map(([name, value]) => `${name}="${value}"`).join(", ")}`
  return body(status, error, description, { "www-authenticate": challenge.trimEnd() })
}
