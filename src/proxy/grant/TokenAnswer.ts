import { Effect } from "effect"
import { HttpServerResponse } from "effect/http"
import { noteError } from "../../observe/Span.ts"
import { sparingly } from "../../observe/Sparingly.ts"
import { readableAnswer } from "../../resource/Cors.ts"
import type { StoreUnavailable } from "../../store/Store.ts"
import type { DpopError } from "../../token/DpopError.ts"
import type { InvalidClient } from "../client/ClientAuthentication.ts"
import type { DocumentUnavailable } from "../client/DocumentFetch.ts"
import type { BodyTooLarge, MalformedRequest } from "../FormRequest.ts"
import type { OktaUnavailable } from "../OktaClient.ts"
import type { TooManyRequests } from "../RateLimits.ts"
import type {
  GrantTypeNotAllowed,
  IntrospectionNotAllowed,
  InvalidGrant,
  InvalidTarget,
  ScopesNotGranted,
  TokenNotRevocable,
  UnsupportedGrantType
} from "./GrantError.ts"

/** Every reason for which a client gets no tokens. */
export type TokenRefusal =
  | MalformedRequest
  | BodyTooLarge
  | InvalidClient
  | DocumentUnavailable
  | UnsupportedGrantType
  | GrantTypeNotAllowed
  | IntrospectionNotAllowed
  | InvalidGrant
  | InvalidTarget
  | DpopError
  | ScopesNotGranted
  | TokenNotRevocable
  | TooManyRequests
  | StoreUnavailable
  | OktaUnavailable

/** No answer is kept by anybody on the way (RFC 6749 section 5.1), and clients in browsers may read it. */
export const headers = { ...readableAnswer, "cache-control": "no-store", pragma: "no-cache" } as const

const defaultRetryAfter = 5

/** An answer by which nothing is given, or done. */
export const refused = (
  status: number,
  error: string,
  error_description: string,
  more: { readonly [name: string]: string } = {}
) => HttpServerResponse.jsonUnsafe({ error, error_description }, { status, headers: { ...headers, ...more } })

/**
 * The answer to a client that gets no tokens (RFC 6749 section 5.2). Texts are constant, so that nobody learns more than
 * the code.
 *
 * A client that is told `invalid_grant` throws its tokens away, so trouble of ours or Okta's is never told that way.
 */
export const refusal = (error: TokenRefusal): HttpServerResponse.HttpServerResponse => {
  switch (error._tag) {
    case "MalformedRequest":
      return refused(
        400,
        "invalid_request",
        "Send each parameter once, all that are needed, in a form body, and authenticate in one way."
      )
    case "BodyTooLarge":
      return refused(413, "invalid_request", "The request is too large.", { connection: "close" })
    case "InvalidClient":
      return refused(
        401,
        "invalid_client",
        "The client is not known here, or did not authenticate as it was registered to.",
        error.basic ? { "www-authenticate": "Basic realm=\"oauth\", charset=\"UTF-8\"" } : {}
      )
    case "UnsupportedGrantType":
      return refused(400, "unsupported_grant_type", "Use one of the grant types in this server's metadata.")
    case "GrantTypeNotAllowed":
      return refused(400, "unauthorized_client", "This grant type is not for this client.")
    case "IntrospectionNotAllowed":
      return refused(403, "unauthorized_client", "The client may not ask what tokens are good for.")
    case "InvalidGrant":
      return refused(400, "invalid_grant", "What was sent to get tokens for is not good, or no longer.")
    case "InvalidTarget":
      return refused(400, "invalid_target", "The resource is not the one that was granted.")
    case "ScopesNotGranted":
      return refused(400, "invalid_scope", "The scope is more than was granted.")
    case "TokenNotRevocable":
      return refused(400, "unsupported_token_type", "A service's access token ends by itself, within an hour.")
    case "InvalidDpopProof":
      return refused(400, "invalid_dpop_proof", "The DPoP proof is missing, or not good for this request.")
    case "DpopNonceRequired":
      return refused(400, "use_dpop_nonce", "The DPoP proof needs the nonce that is given here.", {
        "dpop-nonce": error.nonce
      })
    case "DocumentUnavailable":
    case "DpopProofsUnavailable":
    case "StoreUnavailable":
      return unavailable(undefined)
    case "OktaUnavailable":
      return unavailable(error.retryAfter)
    case "TooManyRequests":
      return unavailable(error.retryAfter, 429)
  }
}

/** What is told once a minute where it is noticed, and not once for each request that it concerns. */
const told: ReadonlySet<TokenRefusal["_tag"]> = new Set([
  "StoreUnavailable",
  "DpopProofsUnavailable",
  "OktaUnavailable",
  "TooManyRequests"
])

/** Logs why a client gets no tokens, and answers it. */
export const refuse = (error: TokenRefusal): Effect.Effect<HttpServerResponse.HttpServerResponse> => {
  const answer = refusal(error)
  const message = `No tokens were given: ${error.message}`
  const line = told.has(error._tag)
    ? Effect.logDebug(message)
    : sparingly(answer.status === 503 ? "Warn" : "Info", `token ${error._tag}`, message)
  return noteError(error).pipe(
    Effect.andThen(Effect.annotateLogs(line, { error: error._tag })),
    Effect.as(answer)
  )
}

const unavailable = (retryAfter: number | undefined, status = 503) =>
  refused(status, "temporarily_unavailable", "Try again; nothing was lost.", {
    "retry-after": String(Math.max(1, Math.ceil((retryAfter ?? defaultRetryAfter * 1000) / 1000)))
  })
