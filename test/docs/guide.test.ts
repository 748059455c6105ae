/** The lines of the guide that this library began with, each with the page that answers it and words that stand there. */
import { assert, describe, it } from "@effect/vitest"
import { readFileSync } from "node:fs"
import { project } from "../support/Program.ts"

/** A line of the guide, or several that say one thing, and the words of the page that answer it. */
type Answered = readonly [lines: string, words: string]

const guide: Readonly<Record<string, ReadonlyArray<Answered>>> = {
  "README.md": [
    ["Okta provider uses OIDC/JWKS for JWT validation", "the server verifies the tokens that it is shown"],
    [
      "When to Use: Enterprise SSO integration; User authentication with existing Okta org",
      "Okta in front of MCP servers"
    ],
    ["Production applications", "docs/production.md"],
    ["When: Client handles OAuth (Claude Desktop, browser clients)", "have a client id of Okta's"],
    ["When: Client cannot do OAuth (simple CLI tools)", "cannot register with Okta"],
    [
      "Client configures OAuth directly with Okta. Server only validates tokens.",
      "The client signs in with Okta by itself"
    ],
    [
      "Server proxies OAuth flow. Client gets tokens from your server.",
      "for its clients, which hold tokens of the\nserver's own"
    ]
  ],
  "docs/native-mode.md": [
    ["Multi-tenant applications", "## Several issuers"],
    ["Issuer: Your Okta domain", "The authorization server, byte for byte as Okta shows it"],
    ["Audience: Custom audience or Client ID", "The `aud` that a token must carry"],
    ["Option 1: Use Client ID as Audience: Simplest approach", "The audience is the client's id"],
    ["Verify Token Validation (Native Mode): curl -X POST https://your-server.com/mcp", "To call a tool by hand"]
  ],
  "docs/policies.md": [["MFA requirements", "urn:okta:loa:2fa:any"]],
  "docs/okta-setup.md": [
    ["1. Create OAuth Application: Log in to Okta Admin Console", "What to do in Okta's Admin Console"],
    [
      "Navigate to Applications → Applications; Click Create App Integration",
      "**Applications → Applications → Create App Integration**"
    ],
    ["Sign-in method: OIDC - OpenID Connect", "_OIDC - OpenID Connect_"],
    ["Application type: Web Application (for proxy mode)", "_Web Application_"],
    ["or Native Application (for native mode)", "_Native Application_"],
    ["App integration name: Your MCP Server", "App integration name"],
    ["Grant type: Authorization Code", "_Authorization Code_"],
    ["Refresh Token (optional)", "_Refresh Token_"],
    ["Native mode: Managed by client (e.g., Claude Desktop)", "those of the client; its documentation has them"],
    ["Proxy mode: https://your-mcp-server.com/oauth/callback", "`{serverUrl}/oauth/callback`"],
    ["Sign-out redirect URIs: (optional) Add if you support logout", "`{serverUrl}/oauth/logout/done`"],
    ["Controlled access: Select who can use this application", "Controlled access"],
    ["Save the application.", "Save, and"],
    ["Client ID: Copy from the application page", "Applications → the application → General → **Client ID**"],
    ["Client Secret: Copy from the Client Secrets section (proxy mode only)", "General → **Client Secrets**"],
    ["Okta Domain: Your Okta org URL", "the org's domain, `https://acme.okta.com`"],
    ["By default, Okta uses the org authorization server.", "one _org_ authorization server"],
    ["Navigate to Security → API → Authorization Servers", "**Security → API → Authorization Servers.**"],
    ["Use default or create custom", "Use `default`, or **Add Authorization Server**"],
    ["Note the Issuer URI", "**Issuer URI** in this list is the setting `issuer`"],
    ["Okta tokens automatically include Client ID in aud.", "or to use the client id as audience"],
    ["Select your auth server → Claims tab; Add custom claim", "add a claim named `aud`"],
    [
      "Name: aud; Include in: ID Token, Always; Value type: Expression; Value: \"api://my-server\"",
      "Value type _Expression_, Value `\"api://my-server\"`"
    ],
    ["Then configure: Audience: \"api://my-server\"", "**Audience** is the setting `audience`"],
    ["Okta tokens include scopes.", "#### Scopes"]
  ],
  "docs/proxy-mode.md": [
    ["ClientID: From Okta app; ClientSecret: From Okta app", "The web application in Okta."],
    ["ServerURL: Your public URL", "serverUrl"],
    ["RedirectURIs: https://your-mcp-server.com/oauth/callback", "`{serverUrl}/oauth/callback`"],
    ["Test OAuth Flow (Proxy Mode): Get OAuth metadata", "`/.well-known/oauth-authorization-server`"],
    ["Follow authorization flow in browser", "#effect-okta-demo"],
    [
      "Recommended scopes for MCP: openid, profile, email. Automatically requested when using proxy mode.",
      "`openid profile email offline_access`"
    ]
  ],
  "docs/migrating-from-oauth-mcp-proxy.md": [
    ["oauth.WithOAuth(mux, &oauth.Config{ Provider: \"okta\" … })", "becomes"],
    ["Mode: native or proxy", "Follows from the client credentials"]
  ],
  "docs/getting-started.md": [
    ["Start Your MCP Server: go run main.go", "node server.ts"],
    ["Get token from Okta (using client), then test", "## 4. With a token"]
  ],
  "docs/troubleshooting.md": [
    ["\"Failed to initialize OIDC provider\"", "_Failed to initialize OIDC provider_"],
    ["Check: Issuer URL is correct (no trailing slash)", "The issuer is correct, with no slash at its end"],
    ["Check: Server can reach Okta (network/firewall)", "This machine can reach Okta"],
    ["Check: Issuer serves .well-known/openid-configuration", "The issuer serves `.well-known/openid-configuration`"],
    ["\"Invalid audience\"", "## Invalid audience"],
    ["Check: Token aud claim matches Config.Audience", "The token's claim `aud` is `OKTA_AUDIENCE`"],
    [
      "Check: Okta app/auth server configured to include correct audience",
      "The authorization server in Okta has that audience"
    ],
    ["\"Token verification failed\"", "## Token verification failed"],
    ["Check: Token not expired", "The token has not expired"],
    ["Check: Token signed by Okta (check iss claim)", "Okta has signed it, and its claim `iss` says so"],
    ["Check: Issuer URL matches exactly", "The issuer is exactly the configured one"]
  ],
  "docs/production.md": [["Production Checklist", "# Production checklist"]],
  "docs/security.md": [["References", "RFC 9068"]]
}

const read = (file: string): string => readFileSync(`${project}/${file}`, "utf8")

describe("every line of the guide has its place", () => {
  it.each(Object.entries(guide))("%s", (file, answers) => {
    const page = read(file)
    assert.isAbove(answers.length, 0)
    for (const [lines, words] of answers) assert.include(page, words, lines)
  })
})
