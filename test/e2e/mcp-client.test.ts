import { assert, describe, it } from "@effect/vitest"
import { UnauthorizedError } from "@modelcontextprotocol/sdk/client/auth.js"
import type { Client } from "@modelcontextprotocol/sdk/client/index.js"
import { StreamableHTTPClientTransport } from "@modelcontextprotocol/sdk/client/streamableHttp.js"
import { Effect, Logger } from "effect"
import { TestClock } from "effect/testing"
import { decodeJwt } from "jose"
import { bob, nativeClient, uidOf } from "../../src/demo/StandInDirectory.ts"
import { front, serve } from "../cli/Serving.ts"
import { connecting, Keychain } from "../support/Keychain.ts"
import { OktaStandIn } from "../support/OktaStandIn.ts"

/** The built-in server behind an address that clients know, and a client of the SDK that has not signed in yet. */
const arrange = Effect.fnUntraced(function*(
  okta: OktaStandIn["Service"],
  environment: Readonly<Record<string, string>> = {}
) {
  let target = ""
  const serverUrl = yield* front(() => target)
  target = yield* serve(okta, {}, { SERVER_URL: serverUrl, ...environment })

  const url = new URL(`${serverUrl}/mcp`)
  const keychain = new Keychain("http://127.0.0.1:45678/callback", {
    client: { client_id: nativeClient.clientId },
    scope: "openid email offline_access mcp:read"
  })
  const statuses: Array<number> = []
  const transport = () =>
    new StreamableHTTPClientTransport(url, {
      authProvider: keychain,
      // Notes what passes; the SDK's own requests go out as they are.
      fetch: async (address, init) => {
        const response = await fetch(address, init)
        if (String(address).startsWith(url.href) && init?.method === "POST") statuses.push(response.status)
        return response
      }
    })
  const { connect, connected } = connecting(transport)

  /** The person signs in on the page that the client last wanted to show; the client gets the code. */
  const signIn = Effect.fnUntraced(function*(login?: string) {
    const page = keychain.pages.at(-1) ?? new URL("about:blank")
    const back = yield* okta.authorize(page, login === undefined ? {} : { login })
    assert.strictEqual(back.origin + back.pathname, keychain.redirectUrl)
    assert.strictEqual(back.searchParams.get("state"), "a state")
    yield* Effect.promise(() => transport().finishAuth(back.searchParams.get("code") ?? ""))
    return page
  })

  return { url, keychain, statuses, connect, connected, signIn }
})

const whoami = (client: Client) =>
  Effect.map(Effect.promise(() => client.callTool({ name: "whoami" })), ({ structuredContent }) => structuredContent)

describe("a client of the MCP SDK", () => {
  it.effect("finds Okta, signs in, calls a tool, and refreshes its token when it has expired", () =>
    Effect.gen(function*() {
      const okta = yield* OktaStandIn.make()
      const { connect, connected, keychain, signIn, statuses, url } = yield* arrange(okta)

      const { outcome } = yield* connect
      assert.instanceOf(outcome, UnauthorizedError)
      assert.deepStrictEqual(statuses, [401])
      const page = yield* signIn(bob.login)
      assert.strictEqual(page.origin + page.pathname, `${okta.issuer}/v1/authorize`)
      assert.strictEqual(page.searchParams.get("client_id"), nativeClient.clientId)
      assert.strictEqual(page.searchParams.get("resource"), url.href)

      const client = yield* connected
      const caller = {
        _tag: "User",
        subject: bob.login,
        uid: uidOf(bob),
        username: bob.login,
        groups: [],
        scopes: ["openid", "email", "offline_access", "mcp:read"],
        clientId: nativeClient.clientId,
        amr: [],
        authTime: 0
      }
      assert.deepStrictEqual(yield* whoami(client), caller)

      const first = keychain.tokens()?.access_token ?? ""
      yield* TestClock.adjust("61 minutes")
      statuses.length = 0
      assert.deepStrictEqual(yield* whoami(client), caller)
      assert.deepStrictEqual(statuses, [401, 200])
      const second = keychain.tokens()?.access_token ?? ""
      assert.isAbove(decodeJwt(second).exp ?? 0, decodeJwt(first).exp ?? 0)
      assert.strictEqual(keychain.pages.length, 1)

      statuses.length = 0
      yield* whoami(client)
      assert.deepStrictEqual(statuses, [200])
    }))

  it.effect("asks for the scopes that the server demands", () =>
    Effect.gen(function*() {
      const okta = yield* OktaStandIn.make()
      const { connect, connected, keychain, signIn } = yield* arrange(okta, { REQUIRED_SCOPES: "openid mcp:write" })
      yield* connect
      const page = yield* signIn()
      assert.strictEqual(page.searchParams.get("scope"), "openid mcp:write")
      const client = yield* connected
      assert.deepInclude(yield* whoami(client), { scopes: ["openid", "mcp:write"] })
      assert.strictEqual(keychain.pages.length, 1)
    }))

  it.effect("is shown the sign-in page again when it has no refresh token", () =>
    Effect.gen(function*() {
      const okta = yield* OktaStandIn.make()
      const { connect, connected, keychain, signIn } = yield* arrange(okta, { REQUIRED_SCOPES: "mcp:read" })
      yield* connect
      yield* signIn()
      const client = yield* connected
      yield* TestClock.adjust("61 minutes")
      const error = yield* Effect.promise(() => client.callTool({ name: "whoami" }).catch((error: unknown) => error))
      assert.instanceOf(error, UnauthorizedError)
      assert.strictEqual(keychain.pages.length, 2)
      yield* signIn(bob.login)
      assert.deepInclude(yield* whoami(yield* connected), { subject: bob.login })
    }))

  it.effect("goes on without a failed request while Okta's keys rotate", () =>
    Effect.gen(function*() {
      const okta = yield* OktaStandIn.make()
      const { connect, connected, keychain, signIn, statuses } = yield* arrange(okta)
      yield* connect
      yield* signIn()
      const client = yield* connected
      statuses.length = 0

      const keys = new Set<string>()
      for (let round = 0; round < 5; round++) {
        const old = yield* okta.signingKey
        keys.add(old)
        // At times the next key is published ahead, as Okta does by itself; at times not, as when an administrator acts.
        if (round % 2 === 0) yield* okta.publishKey
        yield* okta.rotateKeys
        yield* whoami(client)

        const { accessToken, refreshToken = "" } = yield* okta.refresh(keychain.tokens()?.refresh_token ?? "")
        keychain.saveTokens({ access_token: accessToken, refresh_token: refreshToken, token_type: "Bearer" })
        yield* Effect.all(Array.from({ length: 10 }, () => whoami(client)), { concurrency: "unbounded" })

        yield* okta.withdrawKey(old)
        yield* TestClock.adjust("10 seconds")
        yield* whoami(client)
      }
      assert.strictEqual(keys.size, 5)
      assert.deepStrictEqual([...new Set(statuses)], [200])
      assert.strictEqual(statuses.length, 60)
    }))

  it.effect("cannot use the access token of an Okta org server, and the log says why", () => {
    const logged: Array<string> = []
    return Effect.gen(function*() {
      const okta = yield* OktaStandIn.make({ kind: "org" })
      const { connect, keychain, signIn, statuses } = yield* arrange(okta)
      yield* connect
      yield* signIn()
      assert.isDefined(keychain.tokens())
      const { outcome } = yield* connect
      assert.isDefined(outcome)
      assert.isTrue(statuses.every((status) => status === 401))
      const reason = logged.find((line) => line.startsWith("Request refused"))
      assert.include(reason, "org server")
      assert.include(reason, "/oauth2/default")
    }).pipe(
      Effect.provide(Logger.layer([Logger.make(({ message }) => void logged.push(String(message)))]))
    )
  })
})
