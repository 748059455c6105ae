import { createHash } from "node:crypto"

/** The grant by which tokens are exchanged (RFC 8693 section 2.1). */
export const tokenExchange = "urn:ietf:params:oauth:grant-type:token-exchange"

/** Someone who can sign in. */
export interface Person {
  /** What the person types, and the `sub` of access tokens. */
  readonly login: string
  /** Default `"correct horse"`. */
  readonly password?: string
  /** Okta's user id, the `uid` of access tokens and the `sub` of ID tokens. Derived from the login by default. */
  readonly uid?: string
  readonly name?: string
  /** Default: the login. */
  readonly email?: string
  readonly groups?: ReadonlyArray<string>
}

/** An app integration, as an administrator registers it. */
export interface Client {
  readonly clientId: string
  /** What Okta asks first when an app integration is created. */
  readonly type: "native" | "browser" | "web" | "service"
  /** For `web` and `service`. */
  readonly clientSecret?: string
  /** Public keys for `private_key_jwt`, instead of a secret. */
  readonly jwks?: { readonly keys: ReadonlyArray<object> }
  /** Exact; but a native client's loopback addresses match with any port (RFC 8252 section 7.3). */
  readonly redirectUris?: ReadonlyArray<string>
  readonly postLogoutRedirectUris?: ReadonlyArray<string>
  /** Whether a refresh replaces the refresh token. As in Okta, only `browser` clients rotate by default. */
  readonly refreshTokens?: "persistent" | "rotating"
  /** The applications that an administrator lets it reach for people who have signed in to it (Cross App Access). */
  readonly connections?: ReadonlyArray<Connection>
  /** Other APIs that it may call in the name of people whose access tokens it was shown: audiences, and scopes of each. */
  readonly onBehalf?: { readonly [audience: string]: ReadonlyArray<string> }
}

/** An application with an authorization server of its own, which takes Okta's word for people. */
export interface Connection {
  /** The issuer of that server. */
  readonly audience: string
  /** By which the client is known there. */
  readonly clientId: string
  readonly scopes: ReadonlyArray<string>
}

export const defaultPassword = "correct horse"

/** What everybody's second factor shows. */
export const oneTimeCode = "246810"

export const ada: Person = {
  login: "ada@example.com",
  name: "Ada Lovelace",
  groups: ["Everyone", "Engineering"]
}

export const bob: Person = {
  login: "bob@example.com",
  name: "Bob Noyce",
  groups: ["Everyone"]
}

/** Public, as an MCP client on a desktop is: PKCE, loopback redirects on any port, rotating refresh tokens. */
export const nativeClient: Client = {
  clientId: "0oa1nativeMcpClient7",
  type: "native",
  redirectUris: ["127.0.0.1", "localhost"].flatMap((host) => [
    `http://${host}/callback`,
    `http://${host}/oauth/callback`
  ]),
  refreshTokens: "rotating"
}

/** Confidential, with a secret and a server-side redirect address. */
export const webClient: Client = {
  clientId: "0oa2confidentialWeb7",
  type: "web",
  clientSecret: "web-client-secret-of-forty-characters-00",
  redirectUris: ["https://app.example.com/callback"],
  postLogoutRedirectUris: ["https://app.example.com/"]
}

/** A machine: client credentials only. */
export const serviceClient: Client = {
  clientId: "0oa3backgroundJobs77",
  type: "service",
  clientSecret: "service-client-secret-of-forty-chars-000"
}

/** Okta's user id of a person: `00u` and 17 more characters. */
export const uidOf = (person: Person): string =>
  person.uid ?? "00u" + createHash("sha256").update(person.login).digest("hex").slice(0, 17)

/** The claims that ID tokens and the userinfo endpoint draw from; the asked scopes choose among them. */
export const profileOf = (person: Person) => ({
  sub: uidOf(person),
  name: person.name ?? person.login,
  preferred_username: person.login,
  email: person.email ?? person.login,
  email_verified: true,
  groups: person.groups ?? []
})

/** A client in the words of `oidc-provider` (OpenID Connect Dynamic Client Registration section 2). */
export const registrationOf = (client: Client): Readonly<Record<string, unknown>> => {
  const interactive = client.type !== "service"
  return {
    client_id: client.clientId,
    client_secret: client.clientSecret,
    jwks: client.jwks,
    application_type: client.type === "native" ? "native" : "web",
    token_endpoint_auth_method: client.jwks !== undefined
      ? "private_key_jwt"
      : client.clientSecret !== undefined
      ? "client_secret_basic"
      : "none",
    grant_types: [
      ...(interactive ? ["authorization_code", "refresh_token"] : ["client_credentials"]),
      ...(client.connections === undefined && client.onBehalf === undefined ? [] : [tokenExchange])
    ],
    response_types: interactive ? ["code"] : [],
    redirect_uris: client.redirectUris ?? [],
    post_logout_redirect_uris: client.postLogoutRedirectUris ?? []
  }
}

export const rotates = (client: Client | undefined): boolean =>
  (client?.refreshTokens ?? (client?.type === "browser" ? "rotating" : "persistent")) === "rotating"
