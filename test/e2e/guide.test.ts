import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import { ada, webClient } from "../../src/demo/StandInDirectory.ts"
import { start } from "../cli/Command.ts"
import { exchange, front } from "../cli/Serving.ts"
import { fieldsOf, UserAgent } from "../proxy/authorize/UserAgent.ts"
import { newFile } from "../store/StoreFile.ts"
import { curl } from "../support/Curl.ts"
import { OktaStandIn } from "../support/OktaStandIn.ts"

/** The guide's third test, byte for byte. */
const call = "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"tools/call\",\"params\":{\"name\":\"hello\",\"arguments\":{}}}"

const json = { "Content-Type": "application/json" }

/** A running `effect-okta serve` at an address that is known beforehand. */
const arrange = Effect.fnUntraced(function*(
  okta: OktaStandIn["Service"],
  serverUrl: string,
  environment: Readonly<Record<string, string>>
) {
  const { printed } = yield* start(["serve"], {
    env: { OKTA_ISSUER: okta.issuer, SERVER_URL: serverUrl, PORT: "0", ...environment }
  })
  return /^Listening on (\S+), /.exec(yield* printed)?.[1] ?? ""
})

/** Calls the tool as the guide does. */
const hello = (serverUrl: string, token: string, data = call) =>
  curl(`${serverUrl}/mcp`, { headers: { Authorization: `Bearer ${token}`, ...json }, data })

const resultOf = (body: string): unknown => JSON.parse(body)

// A process of its own goes by the clock on the wall.
describe("the lines of the Okta guide", () => {
  it.live("Verify Token Validation (Native Mode)", () =>
    Effect.gen(function*() {
      const okta = yield* OktaStandIn.make()
      const url = yield* arrange(okta, "http://127.0.0.1:8080", { OKTA_AUDIENCE: okta.audience })
      const serverUrl = new URL(url).origin
      const { accessToken } = yield* okta.signIn({ scopes: ["openid", "profile", "email"] })

      const { body, status } = yield* hello(serverUrl, accessToken)
      assert.strictEqual(status, 200, body)
      assert.deepNestedInclude(resultOf(body), {
        jsonrpc: "2.0",
        id: 1,
        "result.content[0].text": `"Hello ${ada.login}"`
      })
      assert.strictEqual((yield* hello(serverUrl, `${accessToken}x`)).status, 401)

      // Another tool, an unknown one, and the list of them.
      const ask = (text: string) => Effect.map(hello(serverUrl, accessToken, text), ({ body }) => resultOf(body))
      assert.deepNestedInclude(yield* ask(call.replace("hello", "whoami")), {
        "result.structuredContent.subject": ada.login
      })
      assert.nestedProperty(yield* ask(call.replace("hello", "nothing")), "error.code")
      const list = yield* ask("{\"jsonrpc\":\"2.0\",\"id\":\"a\",\"method\":\"tools/list\"}")
      assert.deepNestedInclude(list, { id: "a", "result.tools[0].name": "whoami", "result.tools[1].name": "hello" })
      // With all that an MCP server may demand, as the docs have it.
      const full = yield* curl(url, {
        headers: {
          ...json,
          "Authorization": `Bearer ${accessToken}`,
          "Accept": "application/json, text/event-stream",
          "MCP-Protocol-Version": "2026-07-28",
          "Mcp-Method": "tools/call",
          "Mcp-Name": "whoami"
        },
        data:
          "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"tools/call\",\"params\":{\"name\":\"whoami\",\"arguments\":{},\"_meta\":{" +
          "\"io.modelcontextprotocol/protocolVersion\":\"2026-07-28\",\"io.modelcontextprotocol/clientCapabilities\":{}}}}"
      })
      assert.strictEqual(full.status, 200, full.body)
      // Nothing that could be a call is still answered as before.
      for (const text of ["", "[]", "{\"jsonrpc\":\"2.0\"}", "hello"]) {
        assert.notProperty(yield* ask(`${text || "null"}`), "result", text)
      }
    }))

  it.live("a session begun by hand goes on as one", () =>
    Effect.gen(function*() {
      const okta = yield* OktaStandIn.make()
      const url = yield* arrange(okta, "http://127.0.0.1:8080", { OKTA_AUDIENCE: okta.audience })
      const authorization = `Bearer ${(yield* okta.signIn()).accessToken}`
      const send = (accept: string | undefined, message: object, session: Readonly<Record<string, string>> = {}) =>
        exchange(url, {
          method: "POST",
          headers: {
            authorization,
            "content-type": "application/json",
            ...session,
            ...(accept === undefined ? undefined : { accept })
          },
          body: JSON.stringify({ jsonrpc: "2.0", ...message })
        })
      const initialize = {
        id: 1,
        method: "initialize",
        params: { protocolVersion: "2025-11-25", capabilities: {}, clientInfo: { name: "test", version: "1" } }
      }
      for (const accept of [undefined, "*/*", "text/html, */*;q=0.5", "application/json, text/event-stream"]) {
        const begun = yield* send(accept, initialize)
        assert.strictEqual(begun.status, 200, begun.body.toString())
        const session = { "mcp-session-id": String(begun.headers["mcp-session-id"]) }
        assert.strictEqual((yield* send(accept, { method: "notifications/initialized" }, session)).status, 202)
        const called = yield* send(accept, { id: 2, method: "tools/call", params: { name: "hello" } }, session)
        assert.include(called.body.toString(), `Hello ${ada.login}`, accept)
      }
      for (const accept of ["text/html", "*/*;q=0", "application/json"]) {
        assert.strictEqual((yield* send(accept, initialize)).status, 406, accept)
      }
    }))

  it.live("Test OAuth Flow (Proxy Mode)", () =>
    Effect.gen(function*() {
      let target = ""
      const serverUrl = yield* front(() => target)
      const okta = yield* OktaStandIn.make({
        kind: "org",
        clients: [{ ...webClient, redirectUris: [`${serverUrl}/oauth/callback`] }]
      })
      target = yield* arrange(okta, serverUrl, {
        OKTA_CLIENT_ID: webClient.clientId,
        OKTA_CLIENT_SECRET: webClient.clientSecret ?? "",
        SQLITE_FILE: yield* newFile
      })

      // Get OAuth metadata
      const metadata = yield* curl(`${serverUrl}/.well-known/oauth-authorization-server`)
      assert.deepInclude(resultOf(metadata.body), {
        issuer: serverUrl,
        authorization_endpoint: `${serverUrl}/oauth/authorize`
      })

      // Follow authorization flow in browser
      const redirectUri = "http://127.0.0.1:45678/callback"
      const registered = yield* curl(`${serverUrl}/oauth/register`, {
        headers: json,
        data: JSON.stringify({ redirect_uris: [redirectUri], token_endpoint_auth_method: "none" })
      })
      const clientId = /"client_id":"([^"]+)"/.exec(registered.body)?.[1] ?? registered.body
      const page = `${serverUrl}/oauth/authorize?client_id=${clientId}&redirect_uri=${redirectUri}` +
        "&response_type=code&code_challenge=E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM"
      // As it is printed there it asks for the method "plain" (RFC 7636 section 4.3), and the client is told what to add.
      const plain = yield* curl(page)
      assert.strictEqual(plain.status, 302)
      assert.strictEqual(
        new URL(plain.location).searchParams.get("error_description"),
        "The code_challenge_method must be S256."
      )
      const browser = new UserAgent(serverUrl, serverUrl)
      const consent = yield* browser.ask(`${page}&code_challenge_method=S256`)
      const allowed = yield* browser.ask("/oauth/consent", {
        body: new URLSearchParams({ ...fieldsOf(consent), decision: "allow" })
      })
      const { location } = yield* browser.ask(yield* okta.authorize(allowed.location))
      const tokens = yield* curl(`${serverUrl}/oauth/token`, {
        data: new URLSearchParams({
          grant_type: "authorization_code",
          client_id: clientId,
          redirect_uri: redirectUri,
          code: location.searchParams.get("code") ?? "",
          code_verifier: "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk"
        }).toString()
      })
      assert.strictEqual(tokens.status, 200, tokens.body)

      const accessToken = /"access_token":"([^"]+)"/.exec(tokens.body)?.[1] ?? ""
      const { body, status } = yield* hello(serverUrl, accessToken)
      assert.strictEqual(status, 200, body)
      assert.include(body, `Hello ${ada.login}`)
    }))
})
