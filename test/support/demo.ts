/**
 * `npm start`: the MCP server of `effect-okta serve`, guarded by an Okta that needs no account: the stand-in.
 *
 * `PORT` (8080) and `OKTA_PORT` (8081) say where the two listen.
 */
import { NodeRuntime } from "@effect/platform-node"
import { Config, ConfigProvider, Console, Duration, Effect, Layer } from "effect"
import * as Serve from "../../src/cli/serve.ts"
import { OktaStandIn } from "./OktaStandIn.ts"
import { ada, defaultPassword } from "./StandInDirectory.ts"

const curl = (url: string, token: string) => {
  const body = {
    jsonrpc: "2.0",
    id: 1,
    method: "tools/call",
    params: {
      name: "whoami",
      arguments: {},
      _meta: {
        "io.modelcontextprotocol/protocolVersion": "2026-07-28",
        "io.modelcontextprotocol/clientInfo": { name: "curl", version: "8" },
        "io.modelcontextprotocol/clientCapabilities": {}
      }
    }
  }
  const headers = {
    "Authorization": `Bearer ${token}`,
    "Content-Type": "application/json",
    "Accept": "application/json, text/event-stream",
    "MCP-Protocol-Version": "2026-07-28",
    "Mcp-Method": "tools/call",
    "Mcp-Name": "whoami"
  }
  return [
    `curl -s ${url}`,
    ...Object.entries(headers).map(([name, value]) => `-H '${name}: ${value}'`),
    `-d '${JSON.stringify(body)}'`
  ].join(" \\\n  ")
}

const tell = (okta: OktaStandIn["Service"], serverUrl: string, token: string) => `
MCP server        ${serverUrl}/mcp
its metadata      ${serverUrl}/.well-known/oauth-protected-resource/mcp
Okta (stand-in)   ${okta.issuer}
client id         ${okta.clients[0]?.clientId}
sign in as        ${ada.login}, password: ${defaultPassword}

Access token of ${ada.login}, good for an hour:

${token}

Ask the MCP server who you are:

${curl(`${serverUrl}/mcp`, token)}

Stop with Ctrl+C.
`

const program = Effect.gen(function*() {
  const port = yield* Config.Port("PORT").pipe(Config.withDefault(8080))
  const okta = yield* OktaStandIn.make({
    port: yield* Config.Port("OKTA_PORT").pipe(Config.withDefault(8081))
  })
  const serverUrl = `http://127.0.0.1:${port}`
  const environment = ConfigProvider.fromUnknown({
    OKTA_ISSUER: okta.issuer,
    OKTA_AUDIENCE: okta.audience,
    SERVER_URL: serverUrl,
    PORT: String(port)
  })
  const { accessToken } = yield* okta.signIn({ scopes: ["openid", "profile", "groups", "mcp:read"] })
  const server = Serve.layer({
    upstream: undefined,
    path: "/mcp",
    host: "127.0.0.1",
    timeout: Duration.seconds(60),
    allowedOrigins: [],
    json: false
  }).pipe(Layer.provide(ConfigProvider.layer(environment)))
  yield* Layer.launch(Layer.tap(server, () => Console.log(tell(okta, serverUrl, accessToken))))
})

NodeRuntime.runMain(Effect.scoped(program))
