import { HttpServerResponse } from "effect/http"
import type { DpopError, InvalidTokenBinding } from "../token/DpopError.ts"
import { proofAlgorithms } from "../token/DpopProof.ts"
import type { TokenError } from "../token/TokenError.ts"
import { readableAnswer } from "./Cors.ts"
import type { UnclearMessage } from "./McpMessage.ts"
import type { PolicyRefusal } from "./PolicyRefusal.ts"
import type { UnreadableBody } from "./RequestBody.ts"
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
export type Refusal =
  | NoCredentials
  | MalformedCredentials
  | ForbiddenOrigin
  | TokenError
  | DpopError
  | InvalidTokenBinding
  | PolicyRefusal
  | UnclearMessage
  | UnreadableBody

/** What the client may know about the operation that it was refused. */
export interface ChallengeContext {
  /** Where the resource's metadata is (RFC 9728 section 5.1). */
  readonly metadataUrl: string | undefined
  /** Scopes to ask for, as far as it is not known who asks. */
  readonly scopes: ReadonlyArray<string>
  /** The schemes that a token may come with, that of the request first. */
  readonly schemes: ReadonlyArray<Scheme>
}

/** How a token may be sent: by itself, or with a proof that its holder has its key. */
export type Scheme = "Bearer" | "DPoP"

/** In seconds. */
const defaultRetryAfter = 5

/**
 * The answer to a refused request. This is the only place that knows the codes of RFC 6750 section 3.1, RFC 9449 section 7.1
 * and RFC 9470 section 3; texts are constant, so that nobody learns more than the code.
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
    case "TokenInactive":
      return challenge(401, context, "invalid_token", "The access token is expired, malformed or not for this server.")
    case "InvalidTokenBinding":
      return challenge(401, context, "invalid_token", "The access token was not sent in the way that it has to be.")
    case "InvalidDpopProof":
      return challenge(401, context, "invalid_dpop_proof", "The DPoP proof is not good for this request.")
    case "DpopNonceRequired":
      return HttpServerResponse.setHeader(
        challenge(401, context, "use_dpop_nonce", "The DPoP proof needs the nonce that is given here."),
        "dpop-nonce",
        refusal.nonce
      )
    case "InsufficientScope":
      return challenge(
        403,
        { ...context, scopes: refusal.required },
        "insufficient_scope",
        "The access token does not allow this operation."
      )
    case "InsufficientAuthentication":
      return challenge(
        401,
        { ...context, scopes: refusal.required },
        "insufficient_user_authentication",
        "This operation needs a stronger or more recent sign-in.",
        [
          ...(refusal.acrValues.length === 0 ? [] : [["acr_values", refusal.acrValues.join(" ")]] as const),
          ...(refusal.maxAge === undefined ? [] : [["max_age", String(Math.floor(refusal.maxAge))]] as const)
        ]
      )
    // Not `insufficient_scope`: a client that went and asked for more would be refused again.
    case "AccessDenied":
      return body(403, "access_denied", "You may not do this.", {})
    case "CheckFailed":
      return body(503, "temporarily_unavailable", "Whether you may do this cannot be told at the moment.", {
        "retry-after": String(defaultRetryAfter)
      })
    case "UnclearMessage":
      return jsonRpcError(refusal.code)
    case "UnreadableBody":
      return refusal.isTooLong
        ? body(413, "invalid_request", "The body is too long.", {})
        : body(400, "invalid_request", "The body cannot be read.", {})
    case "ForbiddenOrigin":
      return body(403, "access_denied", "Requests from there are not allowed.", {})
    case "DpopProofsUnavailable":
      return body(503, "temporarily_unavailable", "The DPoP proof cannot be checked at the moment.", {
        "retry-after": String(defaultRetryAfter)
      })
    case "DiscoveryFailed":
    case "KeysUnavailable":
    case "IntrospectionUnavailable":
      return body(503, "temporarily_unavailable", "The access token cannot be checked at the moment.", {
        "retry-after": String(Math.max(1, Math.ceil((refusal.retryAfter ?? defaultRetryAfter * 1000) / 1000)))
      })
  }
}

/** What a message gets that no server would understand (JSON-RPC 2.0 section 5.1), since no id can be read from it. */
const jsonRpcError = (code: UnclearMessage["code"]) =>
  HttpServerResponse.jsonUnsafe({
    jsonrpc: "2.0",
    id: null,
    error: code === "parse error"
      ? { code: -32700, message: "Parse error" }
      : { code: -32600, message: "Invalid Request" }
  }, { status: 400, headers: { ...readableAnswer, "cache-control": "no-store" } })

/** The same for every refusal, and readable by clients in browsers. */
const body = (
  status: number,
  error: string | undefined,
  error_description: string,
  headers: { readonly [name: string]: string }
) =>
  HttpServerResponse.jsonUnsafe({ error, error_description }, {
    status,
    headers: { ...readableAnswer, "cache-control": "no-store", ...headers }
  })

const challenge = (
  status: number,
  { metadataUrl, schemes, scopes }: ChallengeContext,
  error: string | undefined,
  description: string,
  more: ReadonlyArray<readonly [name: string, value: string]> = []
) => {
  const parameters = [
    ...(error === undefined ? [] : [["error", error], ["error_description", description]] as const),
    ...(metadataUrl === undefined ? [] : [["resource_metadata", metadataUrl]] as const),
    ...(scopes.length === 0 ? [] : [["scope", scopes.join(" ")]] as const),
    ...more
  ]
  // What concerns all schemes is told with the first, where clients that know only one header look for it.
  const challenges = (status === 401 ? schemes : schemes.slice(0, 1)).map((scheme, index) => {
    const own = [
      ...(index === 0 ? parameters : []),
      ...(scheme === "DPoP" ? [["algs", proofAlgorithms.join(" ")]] as const : [])
    ]
    return `${scheme} ${own.map(([name, value]) => `${name}="${value}"`).join(", ")}`.trimEnd()
  })
  return body(status, error, description, { "www-authenticate": challenges.join(", ") })
}
