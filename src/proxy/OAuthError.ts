import { Schema } from "effect"

/** What an authorization request may be refused for (RFC 6749 section 4.1.2.1, RFC 8707, OpenID Connect Core 3.1.2.6). */
export const AuthorizationErrorCode = Schema.Literals([
  "invalid_request",
  "unauthorized_client",
  "access_denied",
  "unsupported_response_type",
  "invalid_scope",
  "invalid_target",
  "server_error",
  "temporarily_unavailable",
  "consent_required",
  "unmet_authentication_requirements",
  "request_not_supported",
  "request_uri_not_supported"
])

/** What an authorization request may be refused for. */
export type AuthorizationErrorCode = typeof AuthorizationErrorCode.Type

/** The client is told that nothing comes of its authorization request. */
export class AuthorizationRefused extends Schema.TaggedError<AuthorizationRefused>()("AuthorizationRefused", {
  code: AuthorizationErrorCode,
  /** For the client's developer: a constant text of ours, which repeats nothing that anybody sent. */
  description: Schema.String,
  /** For who runs the server: what is in the way, and how to mend it. */
  hint: Schema.optionalKey(Schema.String)
}) {
  override get message() {
    const { code, description, hint } = this
    return `The authorization request was answered with ${code}: ${description}${hint === undefined ? "" : ` ${hint}`}`
  }
}

/** Why a sign-in at Okta came to nothing, as far as a client is told. */
type Failure =
  | { readonly _tag: "OktaRefused"; readonly error: string }
  | { readonly _tag: "OktaUnavailable" | "OktaTokenRefused" | "StoreUnavailable" | "AdmissionUnknown" }

/**
 * What a client is told when a sign-in at Okta came to nothing. Okta's words stay here: they may name people and rules of
 * the organization.
 */
export const fromFailure = (failure: Failure): AuthorizationRefused => {
  switch (failure._tag) {
    case "OktaRefused":
      return failure.error === "access_denied"
        ? new AuthorizationRefused({ code: "access_denied", description: "Okta did not let the person in." })
        : failure.error === "temporarily_unavailable"
        ? oktaAway
        : failure.error === "unmet_authentication_requirements"
        ? new AuthorizationRefused({
          code: "unmet_authentication_requirements",
          description: "The person did not sign in as lately or as strongly as was asked for."
        })
        : new AuthorizationRefused({ code: "server_error", description: "The sign-in at Okta failed." })
    case "OktaTokenRefused":
      return new AuthorizationRefused({
        code: "server_error",
        description: "The sign-in at Okta could not be verified."
      })
    case "OktaUnavailable":
      return oktaAway
    case "AdmissionUnknown":
      return new AuthorizationRefused({
        code: "temporarily_unavailable",
        description: "This server cannot decide at the moment. Try again later."
      })
    case "StoreUnavailable":
      return new AuthorizationRefused({
        code: "temporarily_unavailable",
        description: "This server cannot keep anything at the moment. Try again later."
      })
  }
}

const oktaAway = new AuthorizationRefused({
  code: "temporarily_unavailable",
  description: "Okta is not available at the moment. Try again later."
})
