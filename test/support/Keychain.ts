import type { OAuthClientProvider } from "@modelcontextprotocol/sdk/client/auth.js"
import type { OAuthClientInformationMixed, OAuthTokens } from "@modelcontextprotocol/sdk/shared/auth.js"

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
  tokens() {
    return this.#tokens
  }
  saveTokens(tokens: OAuthTokens) {
    this.#tokens = tokens
  }
  invalidateCredentials() {
    this.#tokens = undefined
  }
  redirectToAuthorization(page: URL) {
    this.pages.push(page)
  }
  codeVerifier() {
    return this.#codeVerifier
  }
  saveCodeVerifier(codeVerifier: string) {
    this.#codeVerifier = codeVerifier
  }
}
