import { assert } from "@effect/vitest"
import type { OAuthClientProvider } from "@modelcontextprotocol/sdk/client/auth.js"
import { Client } from "@modelcontextprotocol/sdk/client/index.js"
import type { StreamableHTTPClientTransport } from "@modelcontextprotocol/sdk/client/streamableHttp.js"
import type { OAuthClientInformationMixed, OAuthTokens } from "@modelcontextprotocol/sdk/shared/auth.js"
import { Effect } from "effect"

/** How a client has become known, if it has. */
export interface Knowledge {
  /** As configured by the owner of the server. */
  readonly client?: OAuthClientInformationMixed
  /** The URL of its metadata document. */
  readonly clientMetadataUrl?: string
  /** What it asks for, where the server does not say. */
  readonly scope?: string
}

/** What a desktop application keeps for the SDK of MCP. It knows the URL of the server and nothing else. */
export class Keychain implements OAuthClientProvider {
  readonly redirectUrl: string
  readonly clientMetadata
  readonly clientMetadataUrl?: string
  /** Every page that was to be shown to the person. */
  readonly pages: Array<URL> = []
  #client: OAuthClientInformationMixed | undefined
  #tokens: OAuthTokens | undefined
  #codeVerifier = ""
  #demands: ReadonlyArray<readonly [name: string, value: string]> = []

  constructor(redirectUrl: string, { client, clientMetadataUrl, scope }: Knowledge = {}) {
    this.redirectUrl = redirectUrl
    this.clientMetadata = {
      client_name: "A desktop application",
      redirect_uris: [redirectUrl],
      grant_types: ["authorization_code", "refresh_token"],
      token_endpoint_auth_method: "none",
      ...(scope === undefined ? undefined : { scope })
    }
    this.#client = client
    if (clientMetadataUrl !== undefined) this.clientMetadataUrl = clientMetadataUrl
  }

  state() {
    return "a state"
  }
  clientInformation() {
    return this.#client
  }
  saveClientInformation(client: OAuthClientInformationMixed) {
    this.#client = client
  }
  /** What a challenge demands of the next sign-in (RFC 9470 section 4), which the SDK does not look at. */
  heed(challenge: string | null) {
    this.#demands = challenge?.includes("error=\"insufficient_user_authentication\"") === true
      ? [...challenge.matchAll(/(acr_values|max_age)="([^"]*)"/g)].map(([, name = "", value = ""]) => [name, value])
      : []
  }
  tokens(): OAuthTokens | undefined {
    // A refresh makes no sign-in stronger.
    if (this.#tokens === undefined || this.#demands.length === 0) return this.#tokens
    const { refresh_token: _, ...tokens } = this.#tokens
    return tokens
  }
  saveTokens(tokens: OAuthTokens) {
    this.#demands = []
    this.#tokens = tokens
  }
  invalidateCredentials() {
    this.#tokens = undefined
  }
  redirectToAuthorization(page: URL) {
    for (const [name, value] of this.#demands) page.searchParams.set(name, value)
    // These are parameters of OpenID Connect, which an authorization server may want to be asked for.
    const scopes = page.searchParams.get("scope")?.split(" ") ?? []
    if (this.#demands.length > 0) page.searchParams.set("scope", [...new Set(["openid", ...scopes])].join(" "))
    this.pages.push(page)
  }
  codeVerifier() {
    return this.#codeVerifier
  }
  saveCodeVerifier(codeVerifier: string) {
    this.#codeVerifier = codeVerifier
  }
}

/** A client of the SDK over such a transport, closed with the scope: with what came of its first try, or connected. */
export const connecting = (transport: () => StreamableHTTPClientTransport) => {
  const connect = Effect.acquireRelease(
    Effect.promise(async () => {
      const client = new Client({ name: "test", version: "1.0.0" })
      const outcome = await client.connect(transport()).then(() => undefined, (error: unknown) => error)
      return { client, outcome }
    }),
    ({ client }) => Effect.promise(() => client.close())
  )
  const connected = Effect.map(connect, ({ client, outcome }) => {
    assert.isUndefined(outcome)
    return client
  })
  return { connect, connected }
}
