import { assert, describe, it } from "@effect/vitest"
import { UnauthorizedError } from "@modelcontextprotocol/sdk/client/auth.js"
import type { Client } from "@modelcontextprotocol/sdk/client/index.js"
import { StreamableHTTPClientTransport } from "@modelcontextprotocol/sdk/client/streamableHttp.js"
import { Effect, Exit, Redacted, Scope } from "effect"
import { TestClock } from "effect/testing"
import { decodeJwt } from "jose"
import { bob, uidOf, webClient } from "../../src/demo/StandInDirectory.ts"
import { front, serve } from "../cli/Serving.ts"
import { fieldsOf, UserAgent } from "../proxy/authorize/UserAgent.ts"
import { ec, ring } from "../proxy/grant/KeyRing.ts"
import { now, secret } from "../proxy/ProxyTest.ts"
import { newFile } from "../store/StoreFile.ts"
import { connecting, Keychain } from "../support/Keychain.ts"
import { OktaStandIn } from "../support/OktaStandIn.ts"

const redirectUrl = "http://127.0.0.1:45678/callback"

/** The built-in server as a proxy, behind an address that Okta knows, and a client of the SDK that has never been here. */
const arrange = Effect.fnUntraced(function*(
  kind: "custom" | "org",
  environment: Readonly<Record<string, string>> = {}
) {
  yield* TestClock.setTime(now * 1000)
  let target = ""
  const serverUrl = yield* front(() => target)
  const okta = yield* OktaStandIn.make({
    kind,
    clients: [{ ...webClient, redirectUris: [`${serverUrl}/oauth/callback`] }]
  })
  const settings = {
    OKTA_CLIENT_ID: webClient.clientId,
    OKTA_CLIENT_SECRET: webClient.clientSecret ?? "",
    ENCRYPTION_SECRET: Redacted.value(secret("a")),
    SIGNING_KEYS: Redacted.value(ring({ ...ec(), kid: "one" })),
    SERVER_URL: serverUrl,
    REQUIRED_SCOPES: "mcp:read",
    SQLITE_FILE: yield* newFile,
    ...environment
  }
  /** Starts a server; the effect inside stops it. */
  const start = Effect.gen(function*() {
    const scope = yield* Effect.acquireRelease(Scope.make(), (scope) => Scope.close(scope, Exit.void))
    target = yield* serve(okta, {}, settings).pipe(Effect.provideService(Scope.Scope, scope))
    return Scope.close(scope, Exit.void)
  })

  const url = new URL(`${serverUrl}/mcp`)
  const keychain = new Keychain(redirectUrl)
  /** Every request of the client's, with the status of its answer. */
  const requests: Array<string> = []
  const transport = () =>
    new StreamableHTTPClientTransport(url, {
      authProvider: keychain,
      fetch: async (address, init) => {
        const response = await fetch(address, init)
        const { pathname } = new URL(address)
        if (pathname !== "/mcp" || init?.method === "POST") {
          requests.push(`${init?.method ?? "GET"} ${pathname} ${response.status}`)
        }
        return response
      }
    })
  const { connect, connected } = connecting(transport)
  /** The person approves on the page that the client last wanted to show, and signs in at Okta; the client gets the code. */
  const signIn = Effect.gen(function*() {
    const browser = new UserAgent(serverUrl, serverUrl)
    const page = yield* browser.ask(keychain.pages.at(-1) ?? "")
    assert.strictEqual(page.status, 200, page.body)
    assert.include(page.body, "A desktop application")
    const allowed = yield* browser.ask("/oauth/consent", {
      body: new URLSearchParams({ ...fieldsOf(page), decision: "allow" })
    })
    assert.strictEqual(allowed.location.origin, okta.origin, allowed.body)
    const callback = yield* okta.authorize(allowed.location, { login: bob.login })
    assert.strictEqual(callback.origin + callback.pathname, `${serverUrl}/oauth/callback`)
    const { body, location } = yield* browser.ask(callback)
    assert.strictEqual(location.origin + location.pathname, redirectUrl, body)
    assert.strictEqual(location.searchParams.get("state"), "a state")
    assert.strictEqual(location.searchParams.get("iss"), serverUrl)
    yield* Effect.promise(() => transport().finishAuth(location.searchParams.get("code") ?? ""))
  })

  const post = (path: string, body: URLSearchParams | string, headers: Readonly<Record<string, string>> = {}) =>
    Effect.promise(async () => {
      const { status } = await fetch(serverUrl + path, { method: "POST", body, headers })
      return status
    })

  return { okta, serverUrl, url, keychain, requests, start, connect, connected, signIn, post }
})

const whoami = (client: Client) =>
  Effect.map(Effect.promise(() => client.callTool({ name: "whoami" })), ({ structuredContent }) => structuredContent)

describe("a client of the MCP SDK that nobody has registered", () => {
  for (const kind of ["custom", "org"] as const) {
    it.effect(`finds its way in, stays in, and is let out, with an Okta server of the kind ${kind}`, () =>
      Effect.gen(function*() {
        const { connect, connected, keychain, okta, post, requests, serverUrl, signIn, start, url } = yield* arrange(
          kind
        )
        yield* start

        const { outcome } = yield* connect
        assert.instanceOf(outcome, UnauthorizedError)
        assert.deepStrictEqual(requests, [
          "POST /mcp 401",
          "GET /.well-known/oauth-protected-resource/mcp 200",
          "GET /.well-known/oauth-authorization-server 200",
          "POST /oauth/register 201"
        ])
        const page = keychain.pages[0] ?? new URL("about:blank")
        assert.strictEqual(page.origin + page.pathname, `${serverUrl}/oauth/authorize`)
        assert.strictEqual(page.searchParams.get("resource"), url.href)
        assert.strictEqual(page.searchParams.get("scope"), "mcp:read")
        yield* signIn

        const client = yield* connected
        const caller = {
          _tag: "User",
          subject: uidOf(bob),
          uid: uidOf(bob),
          username: bob.login,
          email: bob.login,
          scopes: ["mcp:read"],
          clientId: keychain.clientInformation()?.client_id
        }
        assert.deepInclude(yield* whoami(client), caller)
        const first = keychain.tokens()
        const { aud, iss } = decodeJwt(first?.access_token ?? "")
        assert.deepStrictEqual({ aud, iss }, { aud: url.href, iss: serverUrl })

        yield* TestClock.adjust("61 minutes")
        requests.length = 0
        const asked = yield* okta.requests("token")
        assert.deepInclude(yield* whoami(client), caller)
        assert.strictEqual(requests[0], "POST /mcp 401")
        assert.deepStrictEqual(requests.slice(-2), ["POST /oauth/token 200", "POST /mcp 200"])
        assert.strictEqual(yield* okta.requests("token"), asked + 1)
        assert.notStrictEqual(keychain.tokens()?.refresh_token, first?.refresh_token)
        assert.strictEqual(keychain.pages.length, 1)

        const { access_token: accessToken = "", refresh_token: refreshToken = "" } = keychain.tokens() ?? {}
        const revocation = { token: refreshToken, client_id: keychain.clientInformation()?.client_id ?? "" }
        assert.strictEqual(yield* post("/oauth/revoke", new URLSearchParams(revocation)), 200)
        assert.strictEqual(yield* post("/mcp", "{}", { authorization: `Bearer ${accessToken}` }), 401)
        const error = yield* Effect.promise(() => client.callTool({ name: "whoami" }).catch((error: unknown) => error))
        assert.instanceOf(error, UnauthorizedError)
        assert.strictEqual(keychain.pages.length, 2)
      }))
  }

  it.effect("stays signed in when the server starts again on its file", () =>
    Effect.gen(function*() {
      const { connect, connected, keychain, requests, signIn, start } = yield* arrange("org", {
        SQLITE_FILE: yield* newFile
      })
      const stop = yield* start
      yield* connect
      yield* signIn
      yield* Effect.scoped(Effect.flatMap(connected, whoami))
      yield* stop

      yield* start
      requests.length = 0
      const client = yield* connected
      assert.deepInclude(yield* whoami(client), { username: bob.login })
      assert.isTrue(requests.every((request) => /^POST \/mcp 20\d$/.test(request)), requests.join("\n"))
      yield* TestClock.adjust("61 minutes")
      assert.deepInclude(yield* whoami(client), { username: bob.login })
      assert.include(requests, "POST /oauth/token 200")
      assert.strictEqual(keychain.pages.length, 1)
    }))
})
