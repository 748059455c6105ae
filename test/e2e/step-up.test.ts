import { NodeHttpServer } from "@effect/platform-node"
import { assert, describe, it } from "@effect/vitest"
import { Client, StreamableHTTPClientTransport, UnauthorizedError } from "@modelcontextprotocol/client"
import { Context, Effect, Layer, Redacted, Schema, type Scope } from "effect"
import { CurrentPrincipal, OktaAuth, type OktaOptions, ToolPolicy } from "effect-okta"
import { McpProtocol, McpServer, Tool, Toolkit } from "effect/ai"
import { FetchHttpClient, HttpRouter, HttpServer } from "effect/http"
import { createServer } from "node:http"
import type { Page } from "playwright-core"
import { bob, defaultPassword, nativeClient, oneTimeCode, webClient } from "../../src/demo/StandInDirectory.ts"
import { front } from "../cli/Serving.ts"
import { ec, ring } from "../proxy/grant/KeyRing.ts"
import { secret } from "../proxy/ProxyTest.ts"
import * as Browser from "../support/Browser.ts"
import { Keychain, type Knowledge } from "../support/Keychain.ts"
import { OktaStandIn } from "../support/OktaStandIn.ts"
import { listen } from "../support/RedirectPage.ts"

const scopesOfCaller = () => Effect.map(CurrentPrincipal, ({ scopes }) => scopes.join(" "))

const Tools = Toolkit.make(
  Tool.make("list", { success: Schema.String, dependencies: [CurrentPrincipal] }),
  Tool.make("delete", { success: Schema.String, dependencies: [CurrentPrincipal] })
    .annotate(ToolPolicy, { scopes: ["mcp:read", "mcp:write"] }),
  Tool.make("purge", { success: Schema.String, dependencies: [CurrentPrincipal] })
    .annotate(ToolPolicy, { groups: "Nobody", scopes: "mcp:write" }),
  Tool.make("wire", { success: Schema.String, dependencies: [CurrentPrincipal] })
    .annotate(ToolPolicy, { acr: "urn:okta:loa:2fa:any", maxAge: "1 hour" })
)

const signInOfCaller = () =>
  Effect.map(CurrentPrincipal, (principal) => principal._tag === "User" ? `${principal.acr}` : "")

const policies = { tools: Tools }

const app = Layer.mergeAll(
  McpServer.layerHttp({
    name: "files",
    version: "1.0.0",
    path: "/mcp",
    protocols: [McpProtocol.v2026_07_28, McpProtocol.v2025_11_25, McpProtocol.v2025_06_18],
    registrations: McpServer.toolkit(Tools).pipe(
      Layer.provide(
        Tools.toLayer({ list: scopesOfCaller, delete: scopesOfCaller, purge: scopesOfCaller, wire: signInOfCaller })
      )
    )
  }).pipe(Layer.provide(OktaAuth.mcpGuard(policies).layer), Layer.orDie),
  OktaAuth.routes
)

/** Serves the app behind an address that is known before. */
const serve = Effect.fnUntraced(
  function*(settingsOf: (serverUrl: string) => Effect.Effect<OktaOptions, never, Scope.Scope>) {
    let target = ""
    const serverUrl = yield* front(() => target)
    const settings = yield* settingsOf(serverUrl)
    const context = yield* Layer.build(
      HttpRouter.serve(app, { disableListenLog: true, disableLogger: true }).pipe(
        Layer.provide(OktaAuth.layer({ serverUrl, protectedPaths: "/mcp", requiredScopes: "mcp:read", ...settings })),
        Layer.provide(FetchHttpClient.layer),
        Layer.provideMerge(NodeHttpServer.layer(() => createServer(), { port: 0, host: "127.0.0.1" }))
      )
    )
    const { address } = Context.get(context, HttpServer.HttpServer)
    assert(address._tag === "InetAddressV4")
    target = `http://127.0.0.1:${address.port}`
    return serverUrl
  }
)

const modes = ["legacy", "auto"] as const

/** A client that has never been here; `visit` is what the person does with the page that it wants to show. */
const arrange = Effect.fnUntraced(function*(
  { knowledge = {}, mode, redirectUrl, serverUrl, visit }: {
    readonly serverUrl: string
    readonly redirectUrl: string
    readonly knowledge?: Knowledge
    readonly mode: (typeof modes)[number]
    readonly visit: (page: URL) => Effect.Effect<URL>
  }
) {
  const url = new URL(`${serverUrl}/mcp`)
  const keychain = new Keychain(redirectUrl, knowledge)
  const statuses: Array<number> = []
  const transport = () =>
    new StreamableHTTPClientTransport(url, {
      authProvider: keychain,
      fetch: async (address, init) => {
        const response = await fetch(address, init)
        if (String(address) === url.href && init?.method === "POST") {
          statuses.push(response.status)
          keychain.heed(response.headers.get("www-authenticate"))
        }
        return response
      }
    })
  const signIn = Effect.fnUntraced(function*(connection: StreamableHTTPClientTransport) {
    const back = yield* visit(keychain.pages.at(-1) ?? new URL("about:blank"))
    assert.strictEqual(back.origin + back.pathname, redirectUrl)
    yield* Effect.promise(() => connection.finishAuth(back.searchParams))
  })
  const first = transport()
  const make = () => new Client({ name: "test", version: "1.0.0" }, { versionNegotiation: { mode } })
  const outcome = yield* Effect.promise(() => make().connect(first).catch((error: unknown) => error))
  assert.instanceOf(outcome, UnauthorizedError)
  yield* signIn(first)
  const connection = transport()
  const client = make()
  yield* Effect.acquireRelease(
    Effect.promise(() => client.connect(connection)),
    () => Effect.promise(() => client.close())
  )
  return {
    keychain,
    statuses,
    stepUp: signIn(connection),
    scopesAskedFor: () => new Set(keychain.pages.at(-1)?.searchParams.get("scope")?.split(" ")),
    call: (name: string) =>
      Effect.promise(() =>
        client.callTool({ name }).then(({ content }) => JSON.stringify(content), (error: unknown) => error)
      )
  }
})

const walk = Effect.fnUntraced(function*(options: Parameters<typeof arrange>[0]) {
  const { call, keychain, scopesAskedFor, statuses, stepUp } = yield* arrange(options)
  assert.include(yield* call("list"), "mcp:read")
  assert.lengthOf(keychain.pages, 1)

  const lacking = yield* call("delete")
  assert.instanceOf(lacking, UnauthorizedError)
  assert.strictEqual(statuses.at(-1), 403)
  assert.lengthOf(keychain.pages, 2)
  assert.isTrue(scopesAskedFor().isSupersetOf(new Set(["mcp:read", "mcp:write"])), [...scopesAskedFor()].join(" "))

  yield* stepUp
  const done = yield* call("delete")
  assert.include(done, "mcp:read")
  assert.include(done, "mcp:write")
  assert.strictEqual(statuses.at(-1), 200)
  assert.include(yield* call("list"), "mcp:write")

  // What more scopes would not help with leads nobody to sign in once more.
  const denied = yield* call("purge")
  assert.instanceOf(denied, Error)
  assert.notInstanceOf(denied, UnauthorizedError)
  assert.strictEqual(statuses.at(-1), 403)
  assert.lengthOf(keychain.pages, 2)

  // The second factor is asked for once, by Okta, and not again for the next call.
  assert.instanceOf(yield* call("wire"), UnauthorizedError)
  assert.strictEqual(statuses.at(-1), 401)
  assert.lengthOf(keychain.pages, 3)
  const { searchParams } = keychain.pages.at(-1) ?? new URL("about:blank")
  assert.strictEqual(searchParams.get("acr_values"), "urn:okta:loa:2fa:any")
  assert.strictEqual(searchParams.get("max_age"), "3600")
  yield* stepUp
  for (let turn = 0; turn < 2; turn++) {
    assert.include(yield* call("wire"), "urn:okta:loa:2fa:any")
    assert.strictEqual(statuses.at(-1), 200)
  }
  assert.lengthOf(keychain.pages, 3)
  assert.include(yield* call("list"), "mcp:read")
})

/** What a person does: allows what the page of this server names, and signs in at Okta if Okta asks. */
const allow = (page: Page, called: ReadonlyArray<URL>) => async (url: URL) => {
  const before = called.length
  await page.goto(url.href)
  const words = await page.getByRole("main").innerText()
  const scopes = url.searchParams.get("scope")?.split(" ") ?? []
  for (const scope of scopes.filter((scope) => scope.startsWith("mcp:"))) assert.include(words, scope)
  await page.getByRole("button", { name: "Allow" }).click()
  const username = page.getByLabel("Username")
  const back = page.getByRole("heading", { name: "Back at the application" })
  await username.or(back).waitFor()
  if (await username.isVisible()) {
    await username.fill(bob.login)
    await page.getByLabel("Password").fill(bob.password ?? defaultPassword)
    await page.getByRole("button", { name: "Sign in" }).click()
    const code = page.getByLabel("One-time code")
    await code.or(back).waitFor()
    if (await code.isVisible()) {
      await code.fill(oneTimeCode)
      await page.getByRole("button", { name: "Verify" }).click()
    }
    await back.waitFor()
  }
  assert.lengthOf(called, before + 1)
  return called[before] ?? new URL("about:blank")
}

describe("a client of MCP that steps up", () => {
  for (const mode of modes) {
    it.live.skipIf(!Browser.isThere)(
      `is given more scopes by its person, through this server's pages in a real browser (${mode})`,
      () =>
        Effect.gen(function*() {
          const { called, redirectUrl } = yield* listen
          const serverUrl = yield* serve((serverUrl) =>
            Effect.map(
              OktaStandIn.make({ clients: [{ ...webClient, redirectUris: [`${serverUrl}/oauth/callback`] }] }),
              ({ issuer }) => ({
                issuer,
                clientId: webClient.clientId,
                clientSecret: Redacted.make(webClient.clientSecret ?? ""),
                encryptionSecret: secret("a"),
                signingKeys: ring({ ...ec(), kid: "one" }),
                scopesSupported: ["mcp:read", "mcp:write"]
              })
            )
          )
          const page = yield* Browser.open(yield* Browser.launch)
          yield* walk({
            serverUrl,
            redirectUrl,
            mode,
            visit: (url) => Effect.promise(() => allow(page, called)(url))
          })
        }).pipe(Effect.scoped),
      { timeout: 60_000 }
    )

    it.live(`is given more scopes by Okta itself, in native mode (${mode})`, () =>
      Effect.gen(function*() {
        const okta = yield* OktaStandIn.make()
        const serverUrl = yield* serve(() => Effect.succeed({ issuer: okta.issuer, audience: okta.audience }))
        yield* walk({
          serverUrl,
          redirectUrl: "http://127.0.0.1:45678/callback",
          knowledge: { client: { client_id: nativeClient.clientId }, scope: "openid offline_access mcp:read" },
          mode,
          visit: (url) => Effect.orDie(okta.authorize(url, { login: bob.login }))
        })
      }).pipe(Effect.scoped), { timeout: 60_000 })
  }
})
