/** The parts of Okta that requests are counted by, and that a test can take over. */
export type Endpoint =
  | "discovery"
  | "keys"
  | "authorize"
  | "token"
  | "userinfo"
  | "introspect"
  | "revoke"
  | "logout"
  | "register"
  | "signin"
  | "other"

/** Where an authorization server answers. Paths, not URLs. */
export interface Paths {
  readonly issuer: string
  readonly endpoint: (name: Endpoint) => string
  readonly find: (path: string) => Endpoint
}

export const makePaths = (kind: "org" | "custom", serverId: string): Paths => {
  const issuer = kind === "custom" ? `/oauth2/${serverId}` : ""
  const base = kind === "custom" ? `${issuer}/v1` : "/oauth2/v1"
  const endpoint = (name: Endpoint) =>
    name === "register" ? "/oauth2/v1/clients" : name === "signin" ? "/signin" : `${base}/${name}`
  const discovery = new Set([
    `${issuer}/.well-known/openid-configuration`,
    `${issuer}/.well-known/oauth-authorization-server`,
    // RFC 8414 section 3.1: the issuer's path behind the well-known one
    `/.well-known/oauth-authorization-server${issuer}`
  ])
  const exact = ["keys", "authorize", "token", "userinfo", "introspect", "revoke", "logout", "register"] as const
  const find = (path: string): Endpoint => {
    if (discovery.has(path)) return "discovery"
    // the sign-in page, and the steps that follow it, carry an identifier behind the endpoint's path
    return exact.find((name) => path === endpoint(name)) ??
      (["signin", "authorize", "logout"] as const).find((name) => path.startsWith(`${endpoint(name)}/`)) ??
      "other"
  }
  return { issuer, endpoint, find }
}

/** The scopes that every custom authorization server of Okta has, and `groups`, which administrators add. */
export const standardScopes = ["openid", "profile", "email", "address", "phone", "offline_access", "groups"]

/** The discovery document as Okta writes it, its members that the stand-in does not act on included. */
export const discoveryDocument = (
  origin: string,
  paths: Paths,
  algorithm: string,
  scopes: ReadonlyArray<string>
): Readonly<Record<string, unknown>> => {
  const url = (name: Endpoint) => origin + paths.endpoint(name)
  const authenticationMethods = [
    "client_secret_basic",
    "client_secret_post",
    "client_secret_jwt",
    "private_key_jwt",
    "none"
  ]
  return {
    issuer: origin + paths.issuer,
    authorization_endpoint: url("authorize"),
    token_endpoint: url("token"),
    userinfo_endpoint: url("userinfo"),
    registration_endpoint: url("register"),
    jwks_uri: url("keys"),
    response_types_supported: [
      "code",
      "id_token",
      "code id_token",
      "code token",
      "id_token token",
      "code id_token token"
    ],
    response_modes_supported: ["query", "fragment", "form_post", "okta_post_message"],
    grant_types_supported: ["authorization_code", "implicit", "refresh_token", "password", "client_credentials"],
    subject_types_supported: ["public"],
    id_token_signing_alg_values_supported: [algorithm],
    dpop_signing_alg_values_supported: ["ES256", "Ed25519", "EdDSA"],
    scopes_supported: scopes,
    token_endpoint_auth_methods_supported: authenticationMethods,
    claims_supported: [
      "iss",
      "ver",
      "sub",
      "aud",
      "iat",
      "exp",
      "jti",
      "auth_time",
      "amr",
      "idp",
      "nonce",
      "name",
      "preferred_username",
      "email",
      "email_verified",
      "at_hash",
      "c_hash"
    ],
    code_challenge_methods_supported: ["S256"],
    introspection_endpoint: url("introspect"),
    introspection_endpoint_auth_methods_supported: authenticationMethods,
    revocation_endpoint: url("revoke"),
    revocation_endpoint_auth_methods_supported: authenticationMethods,
    end_session_endpoint: url("logout"),
    request_parameter_supported: true,
    request_object_signing_alg_values_supported: ["HS256", "HS384", "HS512", "RS256", "RS384", "RS512", "ES256"]
  }
}

/** An error of Okta's own API, which is not an OAuth error. */
export const oktaError = (errorCode: string, errorSummary: string) => ({
  errorCode,
  errorSummary,
  errorLink: errorCode,
  errorId: "oaeStandIn",
  errorCauses: []
})
