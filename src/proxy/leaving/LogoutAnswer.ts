import { Effect, Schema } from "effect"
import { HttpServerResponse } from "effect/http"
import { noteError } from "../../observe/Span.ts"
import { sparingly } from "../../observe/Sparingly.ts"
import type { StoreUnavailable } from "../../store/Store.ts"
import type { TokenRefused, VerificationUnavailable } from "../../token/TokenError.ts"
import type { BodyTooLarge, MalformedRequest } from "../FormRequest.ts"
import { headers, refused } from "../grant/TokenAnswer.ts"

/** Nobody has proven who asks. */
export class NoCredentials extends Schema.TaggedError<NoCredentials>()("NoCredentials", {}) {
  override get message() {
    return "The request brings no token of Okta's."
  }
}

/** Nobody of that name has ever granted anything here, as far as is known. */
export class UnknownPerson extends Schema.TaggedError<UnknownPerson>()("UnknownPerson", {}) {
  override get message() {
    return "The person is not known here: nobody of that id or email address has granted anything."
  }
}

/** Every reason for which nobody is signed out. */
export type LogoutRefusal =
  | NoCredentials
  | UnknownPerson
  | MalformedRequest
  | BodyTooLarge
  | TokenRefused
  | VerificationUnavailable
  | StoreUnavailable

/** How a token that is not good is told: by the status of HTTP authentication, or as a request that is not in order. */
export type Dialect = "bearer" | "form"

const answerTo = (error: LogoutRefusal, dialect: Dialect): HttpServerResponse.HttpServerResponse => {
  switch (error._tag) {
    case "NoCredentials":
      return refused(401, "invalid_request", "Send a token of Okta's.", { "www-authenticate": "Bearer" })
    case "UnknownPerson":
      return refused(404, "not_found", "The person is not known here.")
    case "MalformedRequest":
      return refused(400, "invalid_request", "The request is not in order.")
    case "BodyTooLarge":
      return refused(413, "invalid_request", "The request is too large.", { connection: "close" })
    case "DiscoveryFailed":
    case "IntrospectionUnavailable":
    case "KeysUnavailable":
    case "StoreUnavailable":
      return refused(503, "temporarily_unavailable", "Try again.", { "retry-after": "5" })
    case "MalformedToken":
    case "UnsupportedAlgorithm":
    case "WrongTokenType":
    case "UnknownKey":
    case "InvalidSignature":
    case "InvalidIssuer":
    case "InvalidAudience":
    case "InvalidClaim":
    case "TokenExpired":
    case "TokenNotYetValid":
    case "ClientNotAllowed":
    case "TokenInactive":
      return dialect === "bearer"
        ? refused(401, "invalid_token", "The token is not good.", {
          "www-authenticate": "Bearer error=\"invalid_token\""
        })
        : refused(400, "invalid_request", "The token is not good.")
  }
}

/** Logs why nobody is signed out, and answers so. */
export const refuse =
  (dialect: Dialect) => (error: LogoutRefusal): Effect.Effect<HttpServerResponse.HttpServerResponse> => {
    const answer = answerTo(error, dialect)
    const message = `Nobody was signed out: ${error.message}`
    // What is away is told of where it is noticed.
    const line = answer.status === 503 ? Effect.logDebug(message) : sparingly("Warn", `logout ${error._tag}`, message)
    return noteError(error).pipe(
      Effect.andThen(Effect.annotateLogs(line, { error: error._tag })),
      Effect.as(answer)
    )
  }

/** What was asked for is done. */
export const done = (status: 200 | 204): HttpServerResponse.HttpServerResponse =>
  HttpServerResponse.empty({ status, headers })
