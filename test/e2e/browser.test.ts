import { NodeHttpServer } from "@effect/platform-node"
import { assert, describe, it } from "@effect/vitest"
import { UnauthorizedError } from "@modelcontextprotocol/sdk/client/auth.js"
import { Client } from "@modelcontextprotocol/sdk/client/index.js"
import { StreamableHTTPClientTransport } from "@modelcontextprotocol/sdk/client/streamableHttp.js"
import { Clock, Context, Effect, Layer, Redacted } from "effect"
import { FetchHttpClient, HttpRouter, HttpServer } from "effect/http"
import { createServer } from "node:http"
import * as oauth from "oauth4webapi"
import type { Page } from "playwright-core"
import * as WhoamiServer from "../../src/cli/WhoamiServer.ts"
import type { OktaOptions } from "../../src/config/OktaConfig.ts"
import { bob, defaultPassword, webClient } from "../../src/demo/StandInDirectory.ts"
import * as OktaAuth from "../../src/OktaAuth.ts"
import { front } from "../cli/Serving.ts"
import { ec, ring } from "../proxy/grant/KeyRing.ts"
import { secret } from "../proxy/ProxyTest.ts"
import * as Browser from "../support/Browser.ts"
import * as DocumentHost from "../support/DocumentHost.ts"
import { Keychain, type Knowledge } from "../support/Keychain.ts"
import { OktaStandIn } from "../support/OktaStandIn.ts"
import { listen } from "../support/RedirectPage.ts"

/** The time of the real clock, which can be put on: browsers go by the clock on the wall. */
const makeClock = Effect.map(Clock.Clock, (clock) => {
  let ahead = 0
  const millis = () => clock.currentTimeMillisUnsafe() + ahead
  const nanos = () => BigInt(millis()) * 1_000_000n
  const shifted: Clock.Clock = {
    currentTimeMillisUnsafe: millis,
    currentTimeMillis: Effect.sync(millis),
    currentTimeNanosUnsafe: nanos,
    currentTimeNanos: Effect.sync(nanos),
    monotonicTimeNanosUnsafe: () => clock.monotonicTimeNanosUnsafe() + BigInt(ahead) * 1_000_000n,
    monotonicTimeNanos: Effect.sync(() => clock.monotonicTimeNanosUnsafe() + BigInt(ahead) * 1_000_000n),
    sleep: (duration) => clock.sleep(duration)
  }
  return { shifted, putOn: (time: number) => Effect.sync(() => void (ahead += time)) }
})

/** An app in proxy mode with an MCP server behind the guard, Okta, and a browser. */
const arrange = Effect.fnUntraced(function*(settings: Partial<OktaOptions> = {}) {
  let target = ""
  const serverUrl = yield* front(() => target)
  const okta = yield* OktaStandIn.make({ clients: [{ ...webClient, redirectUris: [`${serverUrl}/oauth/callback`] }] })
  const app = Layer.mergeAll(
    WhoamiServer.layer({ path: "/mcp", version: "1.0.0", allowedOrigins: [serverUrl] }).pipe(
      Layer.provide(OktaAuth.guard().layer)
    ),
    OktaAuth.routes
  )
  const context = yield* Layer.build(
    HttpRouter.serve(app, { disableListenLog: true, disableLogger: true }).pipe(
      Layer.provide(OktaAuth.layer({
        issuer: okta.issuer,
        serverUrl,
        clientId: webClient.clientId,
        clientSecret: Redacted.make(webClient.clientSecret ?? ""),
        encryptionSecret: secret("a"),
        signingKeys: ring({ ...ec(), kid: "one" }),
        protectedPaths: "/mcp",
        requiredScopes: "mcp:read",
        ...settings
      })),
      Layer.provide([FetchHttpClient.layer, DocumentHost.loopback]),
      Layer.provideMerge(NodeHttpServer.layer(() => createServer(), { port: 0, host: "127.0.0.1" }))
    )
  )
  const { address } = Context.get(context, HttpServer.HttpServer)
  assert(address._tag === "InetAddressV4")
  target = `http://127.0.0.1:${address.port}`
  return { okta, serverUrl, browser: yield* Browser.launch }
})

const step = <A>(run: () => Promise<A>): Effect.Effect<A> => Effect.promise(run)

/** Signs in at Okta's page, as a person does. */
const signInAtOkta = (page: Page) =>
  step(async () => {
    await page.getByLabel("Username").fill(bob.login)
    await page.getByLabel("Password").fill(bob.password ?? defaultPassword)
    await page.getByRole("button", { name: "Sign in" }).click()
    await page.waitForURL(/\/callback\?/)
  })

const real = { timeout: 60_000 }

describe.skipIf(!Browser.isThere)("in a real browser", () => {
  const ways: ReadonlyArray<{
    readonly way: string
    readonly asksForConsent: boolean
    readonly settings: (redirectUrl: string) => Partial<OktaOptions>
    readonly knowledge: (document: string) => Knowledge
  }> = [
    { way: "that registers", asksForConsent: true, settings: () => ({}), knowledge: () => ({}) },
    {
      way: "that is known by its metadata document",
      asksForConsent: true,
      settings: () => ({}),
      knowledge: (clientMetadataUrl) => ({ clientMetadataUrl })
    },
    {
      way: "that is configured with a secret",
      asksForConsent: false,
      settings: (redirectUrl) => ({
        clients: [{ clientId: "desktop", redirectUris: [redirectUrl], clientSecrets: [secret("s")] }]
      }),
      knowledge: () => ({ client: { client_id: "desktop", client_secret: "s".repeat(32) } })
    }
  ]
  for (const { asksForConsent, knowledge, settings, way } of ways) {
    it.live(
      `a client of the MCP SDK ${way} is let in, stays in, and is let out`,
      () =>
        Effect.gen(function*() {
          const { putOn, shifted } = yield* makeClock
          yield* Effect.gen(function*() {
            const { called, redirectUrl } = yield* listen
            const { browser, serverUrl } = yield* arrange(settings(redirectUrl))
            const host = yield* DocumentHost.documents({
              client_name: "A desktop application",
              redirect_uris: [redirectUrl]
            })
            const keychain = new Keychain(redirectUrl, knowledge(`${host}/client.json`))
            const url = new URL(`${serverUrl}/mcp`)
            const transport = () => new StreamableHTTPClientTransport(url, { authProvider: keychain })
            const client = new Client({ name: "test", version: "1.0.0" })
            const outcome = yield* step(() => client.connect(transport()).catch((error: unknown) => error))
            assert.instanceOf(outcome, UnauthorizedError)

            const page = yield* Browser.open(browser)
            yield* step(() => page.goto(String(keychain.pages[0])))
            if (asksForConsent) {
              assert.include(
                yield* step(() => page.getByRole("heading", { level: 1 }).innerText()),
                new URL(redirectUrl).host
              )
              assert.include(yield* step(() => page.getByRole("main").innerText()), "A desktop application")
              yield* step(() => page.getByRole("button", { name: "Allow" }).click())
            }
            yield* signInAtOkta(page)
            const { searchParams } = called[0] ?? new URL("about:blank")
            assert.deepStrictEqual([searchParams.get("state"), searchParams.get("iss")], ["a state", serverUrl])
            yield* step(() => transport().finishAuth(searchParams.get("code") ?? ""))

            const signedIn = new Client({ name: "test", version: "1.0.0" })
            yield* step(() => signedIn.connect(transport()))
            const whoami = step(() => signedIn.callTool({ name: "whoami" }))
            assert.deepInclude((yield* whoami).structuredContent, { username: bob.login })
            const first = keychain.tokens()
            yield* putOn(61 * 60_000)
            assert.deepInclude((yield* whoami).structuredContent, { username: bob.login })
            const { access_token: accessToken = "", refresh_token: token = "" } = keychain.tokens() ?? {}
            assert.notStrictEqual(token, first?.refresh_token)
            assert.lengthOf(keychain.pages, 1)

            const { client_id = "", client_secret } = keychain.clientInformation() ?? {}
            const form = { token, client_id, ...(client_secret === undefined ? undefined : { client_secret }) }
            const revoked = yield* step(() =>
              fetch(`${serverUrl}/oauth/revoke`, { method: "POST", body: new URLSearchParams(form) })
            )
            assert.strictEqual(revoked.status, 200)
            const refused = yield* step(() =>
              fetch(url, { method: "POST", headers: { authorization: `Bearer ${accessToken}` } })
            )
            assert.strictEqual(refused.status, 401)
            yield* step(() => signedIn.close())
          }).pipe(Effect.provideService(Clock.Clock, shifted))
        }).pipe(Effect.scoped),
      real
    )
  }

  it.live(
    "a strict client of OAuth finds everything as the RFCs say, from the metadata to the revocation",
    () =>
      Effect.gen(function*() {
        const { called, redirectUrl } = yield* listen
        const { browser, serverUrl } = yield* arrange({
          clients: [{ clientId: "api", clientSecrets: [secret("i")], mayIntrospect: true }]
        })
        const insecure = { [oauth.allowInsecureRequests]: true }
        const issuer = new URL(serverUrl)
        const server = yield* step(async () =>
          oauth.processDiscoveryResponse(
            issuer,
            await oauth.discoveryRequest(issuer, { algorithm: "oauth2", ...insecure })
          )
        )
        const metadata = { redirect_uris: [redirectUrl], token_endpoint_auth_method: "client_secret_basic" }
        const client = yield* step(async () =>
          oauth.processDynamicClientRegistrationResponse(
            await oauth.dynamicClientRegistrationRequest(server, metadata, insecure)
          )
        )
        const proof = oauth.ClientSecretBasic(String(client["client_secret"]))
        const verifier = oauth.generateRandomCodeVerifier()
        const state = oauth.generateRandomState()
        const url = new URL(server.authorization_endpoint ?? "")
        url.search = new URLSearchParams({
          client_id: client.client_id,
          redirect_uri: redirectUrl,
          response_type: "code",
          scope: "mcp:read",
          state,
          code_challenge: yield* step(() => oauth.calculatePKCECodeChallenge(verifier)),
          code_challenge_method: "S256",
          resource: `${serverUrl}/mcp`
        }).toString()
        const page = yield* Browser.open(browser)
        yield* step(() => page.goto(url.href))
        yield* step(() => page.getByRole("button", { name: "Allow" }).click())
        yield* signInAtOkta(page)

        const answer = oauth.validateAuthResponse(server, client, called[0] ?? new URL("about:blank"), state)
        const tokens = yield* step(async () =>
          oauth.processAuthorizationCodeResponse(
            server,
            client,
            await oauth.authorizationCodeGrantRequest(server, client, proof, answer, redirectUrl, verifier, insecure)
          )
        )
        const refreshed = yield* step(async () =>
          oauth.processRefreshTokenResponse(
            server,
            client,
            await oauth.refreshTokenGrantRequest(server, client, proof, tokens.refresh_token ?? "", insecure)
          )
        )
        const api = { client_id: "api" }
        const introspect = step(async () =>
          oauth.processIntrospectionResponse(
            server,
            api,
            await oauth.introspectionRequest(
              server,
              api,
              oauth.ClientSecretBasic("i".repeat(32)),
              refreshed.access_token,
              insecure
            )
          )
        )
        assert.deepInclude(yield* introspect, { active: true, client_id: client.client_id, iss: serverUrl })
        const resource = yield* step(async () =>
          oauth.validateJwtAccessToken(
            server,
            new Request(`${serverUrl}/mcp`, { headers: { authorization: `Bearer ${refreshed.access_token}` } }),
            `${serverUrl}/mcp`,
            { signingAlgorithms: ["ES256"], ...insecure }
          )
        )
        assert.strictEqual(resource.client_id, client.client_id)
        yield* step(async () =>
          oauth.processRevocationResponse(
            await oauth.revocationRequest(server, client, proof, refreshed.refresh_token ?? "", insecure)
          )
        )
        assert.deepStrictEqual(yield* introspect, { active: false })
      }).pipe(Effect.scoped),
    real
  )

  it.live(
    "a person without a mouse consents, denies, and signs out, and sees where the focus is",
    () =>
      Effect.gen(function*() {
        const { called, redirectUrl } = yield* listen
        const { browser, serverUrl } = yield* arrange()
        const clientId = yield* register(serverUrl, redirectUrl)
        for (const [button, tabs] of [["Deny", 2], ["Allow", 1]] as const) {
          const page = yield* Browser.open(browser)
          yield* step(() => page.goto(authorizeUrl(serverUrl, clientId, redirectUrl)))
          for (let tab = 0; tab < tabs; tab++) yield* step(() => page.keyboard.press("Tab"))
          const focused = page.locator(":focus")
          assert.strictEqual(yield* step(() => focused.innerText()), button)
          assert.notStrictEqual(
            yield* step(() => focused.evaluate("element => getComputedStyle(element).outlineStyle")),
            "none"
          )
          yield* step(() => page.keyboard.press("Enter"))
          if (button === "Deny") {
            yield* step(() => page.waitForURL(/error=access_denied/))
            assert.strictEqual(called.at(-1)?.searchParams.get("iss"), serverUrl)
          } else {
            yield* step(() => page.getByLabel("Username").waitFor())
          }
        }
        const page = yield* Browser.open(browser)
        yield* step(() => page.goto(`${serverUrl}/oauth/logout`))
        yield* step(() => page.keyboard.press("Tab"))
        yield* step(() => page.keyboard.press("Space"))
        yield* step(() => page.getByRole("heading", { name: "You are signed out" }).waitFor())
      }).pipe(Effect.scoped),
    real
  )

  it.live(
    "every page is for everybody: in light and dark, wide and narrow",
    () =>
      Effect.gen(function*() {
        const { redirectUrl } = yield* listen
        const { browser, serverUrl } = yield* arrange({
          scopesSupported: ["mcp:read", "files:write"],
          resourceName: "The files of Acme"
        })
        const clientId = yield* register(serverUrl, redirectUrl)
        const pages = {
          consent: authorizeUrl(serverUrl, clientId, redirectUrl),
          problem: `${serverUrl}/oauth/authorize?client_id=nobody`,
          logout: `${serverUrl}/oauth/logout`,
          "signed-out": `${serverUrl}/oauth/logout/done`
        }
        for (const colorScheme of ["light", "dark"] as const) {
          for (const [size, width] of [["wide", 1280], ["narrow", 320]] as const) {
            const page = yield* Browser.open(browser, { colorScheme, viewport: { width, height: 800 } })
            for (const [name, url] of Object.entries(pages)) {
              yield* step(() => page.goto(url))
              yield* Browser.assertAccessible(page)
              const overflow = yield* step(() =>
                page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
              )
              assert.strictEqual(overflow, 0, `${name} ${size}`)
              yield* Browser.picture(page, `${name}-${colorScheme}-${size}`)
            }
          }
        }
      }).pipe(Effect.scoped),
    real
  )

  it.live(
    "a person sees what is connected and disconnects it without a mouse; the pages are for everybody",
    () =>
      Effect.gen(function*() {
        const { redirectUrl } = yield* listen
        const { browser, serverUrl } = yield* arrange({ scopesSupported: ["mcp:read", "files:write"] })
        const connections = `${serverUrl}/oauth/connections`
        for (const colorScheme of ["light", "dark"] as const) {
          for (const [size, width] of [["wide", 1280], ["narrow", 320]] as const) {
            const page = yield* Browser.open(browser, { colorScheme, viewport: { width, height: 800 } })
            const shown = Effect.fnUntraced(function*(name: string) {
              yield* Browser.assertAccessible(page)
              const overflow = yield* step(() =>
                page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
              )
              assert.strictEqual(overflow, 0, `${name} ${size}`)
              yield* Browser.picture(page, `${name}-${colorScheme}-${size}`)
            })
            for (const name of ["Example Assistant", "A second one with a long name, so that it does not fit"]) {
              const clientId = yield* register(serverUrl, redirectUrl, name)
              yield* step(() => page.goto(authorizeUrl(serverUrl, clientId, redirectUrl)))
              yield* step(() => page.getByRole("button", { name: "Allow" }).click())
              if (yield* step(() => page.getByLabel("Username").isVisible())) yield* signInAtOkta(page)
              yield* step(() => page.waitForURL(/\/callback\?/))
            }
            // Who is signed in at Okta need not sign in again.
            yield* step(() => page.goto(connections))
            assert.strictEqual(page.url(), connections)
            assert.include(yield* step(() => page.getByRole("main").innerText()), bob.login)
            yield* shown("connections")

            yield* step(() => page.keyboard.press("Tab"))
            const focused = page.locator(":focus")
            assert.match(String(yield* step(() => focused.getAttribute("aria-label"))), /^Disconnect A second one/)
            assert.notStrictEqual(
              yield* step(() => focused.evaluate("element => getComputedStyle(element).outlineStyle")),
              "none"
            )
            yield* step(() => page.keyboard.press("Enter"))
            yield* step(() => page.getByRole("heading", { name: /^Disconnect A second one.*\?$/ }).waitFor())
            yield* shown("disconnect")
            yield* step(() => page.keyboard.press("Tab"))
            yield* step(() => page.keyboard.press("Tab"))
            assert.strictEqual(yield* step(() => page.locator(":focus").innerText()), "Keep")
            yield* step(() => page.keyboard.press("Shift+Tab"))
            yield* step(() => page.keyboard.press("Enter"))
            yield* step(() => page.getByRole("heading", { name: "Disconnected" }).waitFor())
            yield* shown("disconnected")
            yield* step(() => page.getByRole("link", { name: "Connected applications" }).click())
            yield* step(() => page.getByRole("button", { name: /^Disconnect Example Assistant/ }).click())
            yield* step(() => page.getByRole("button", { name: "Disconnect" }).click())
            yield* step(() => page.getByRole("link", { name: "Connected applications" }).click())
            yield* step(() => page.getByText("No application can act for you").waitFor())
            yield* shown("no-connections")
          }
        }
      }).pipe(Effect.scoped),
    real
  )

  it.live(
    "a browser without cookies is told so, and nothing is allowed",
    () =>
      Effect.gen(function*() {
        const { redirectUrl } = yield* listen
        const { browser, serverUrl } = yield* arrange()
        const clientId = yield* register(serverUrl, redirectUrl)
        const page = yield* Browser.open(browser)
        yield* step(() => page.goto(authorizeUrl(serverUrl, clientId, redirectUrl)))
        yield* step(() => page.context().clearCookies())
        yield* step(() => page.getByRole("button", { name: "Allow" }).click())
        yield* step(() => page.getByRole("heading", { name: "This answer does not come from your browser" }).waitFor())
      }).pipe(Effect.scoped),
    real
  )
})

const register = (serverUrl: string, redirectUrl: string, name = "Example Assistant") =>
  step(async () => {
    const response = await fetch(`${serverUrl}/oauth/register`, {
      method: "POST",
      headers: { "content-type": "application/json" },
      body: JSON.stringify({
        client_name: name,
        redirect_uris: [redirectUrl],
        token_endpoint_auth_method: "none"
      })
    })
    const registered: unknown = await response.json()
    return String(Reflect.get(Object(registered), "client_id"))
  })

const authorizeUrl = (serverUrl: string, client_id: string, redirect_uri: string): string =>
  `${serverUrl}/oauth/authorize?${
    new URLSearchParams({
      client_id,
      redirect_uri,
      response_type: "code",
      scope: "mcp:read openid email offline_access",
      state: "a state",
      code_challenge: "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM",
      code_challenge_method: "S256"
    }).toString()
  }`
