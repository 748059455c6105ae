import { Schema } from "effect"
import { jwtBearer } from "../grant/GrantTypes.ts"

/** How a client proves at the token endpoint who it is (RFC 7591 section 2). */
export const AuthenticationMethod = Schema.Literals([
  "none",
  "client_secret_basic",
  "client_secret_post",
  "private_key_jwt"
])

/** How a client proves at the token endpoint who it is. */
export type AuthenticationMethod = typeof AuthenticationMethod.Type

/** The grants that a client uses at the token endpoint; the last is for clients with documents, which bring ID-JAGs. */
export const GrantType = Schema.Literals(["authorization_code", "refresh_token", jwtBearer])

/** Where a client runs: on a web server, or on the person's own machine (OpenID Connect Registration section 2). */
export const ApplicationType = Schema.Literals(["web", "native"])

/**
 * What is known of a client, by the names of RFC 7591 section 2 and OpenID Connect Registration section 2: complete, and
 * free of contradictions.
 */
export const ClientMetadata = Schema.Struct({
  redirect_uris: Schema.Array(Schema.String),
  /** Where people may be sent who have signed out (OpenID Connect RP-Initiated Logout section 3.1). */
  post_logout_redirect_uris: Schema.optionalKey(Schema.Array(Schema.String)),
  token_endpoint_auth_method: AuthenticationMethod,
  grant_types: Schema.Array(GrantType),
  application_type: ApplicationType,
  client_name: Schema.optionalKey(Schema.String),
  client_uri: Schema.optionalKey(Schema.String),
  /** There with `private_key_jwt` only; public members only. */
  jwks: Schema.optionalKey(Schema.Struct({ keys: Schema.Array(Schema.Record(Schema.String, Schema.Unknown)) })),
  /** Where the keys are, in place of them; of a client that is described by a document. */
  jwks_uri: Schema.optionalKey(Schema.String),
  /** Whether it is given no tokens but those that are bound to a key of its own (RFC 9449 section 5.2). */
  dpop_bound_access_tokens: Schema.optionalKey(Schema.Boolean)
})

/** What is known of a client. */
export type ClientMetadata = typeof ClientMetadata.Type
