import { NodeHttpServer } from "@effect/platform-node"
import { assert, describe, it } from "@effect/vitest"
import {
  Client,
  ClientCredentialsProvider,
  createPrivateKeyJwtAuth,
  CrossAppAccessProvider,
  type OAuthClientProvider,
  PrivateKeyJwtProvider,
  StreamableHTTPClientTransport
} from "@modelcontextprotocol/client"
import { Context, Effect, Layer, Redacted, Schema } from "effect"
import { CurrentPrincipal, OktaAuth, type OktaOptions, Principal } from "effect-okta"
import { McpProtocol, McpServer, Tool, Toolkit } from "effect/ai"
import { FetchHttpClient, HttpRouter, HttpServer } from "effect/http"
import { createPrivateKey, createPublicKey } from "node:crypto"
import { createServer } from "node:http"
import { bob, type Client as OktaApplication, uidOf, webClient } from "../../src/demo/StandInDirectory.ts"
import { front } from "../cli/Serving.ts"
import { ec, ring } from "../proxy/grant/KeyRing.ts"
import { secret } from "../proxy/ProxyTest.ts"
import { OktaStandIn } from "../support/OktaStandIn.ts"

const Tools = Toolkit.make(Tool.make("whoami", { success: Principal, dependencies: [CurrentPrincipal] }))

const app = Layer.mergeAll(
  McpServer.layerHttp({
    name: "files",
    version: "1.0.0",
    path: "/mcp",
    protocols: [McpProtocol.v2026_07_28, McpProtocol.v2025_11_25, McpProtocol.v2025_06_18],
    registrations: McpServer.toolkit(Tools).pipe(
      Layer.provide(Tools.toLayer({ whoami: () => CurrentPrincipal }))
    )
  }).pipe(Layer.provide(OktaAuth.guard().layer), Layer.orDie),
  OktaAuth.routes
)

const key = { ...ec() }
const privateKey: Record<string, unknown> = key
const publicKey = { ...createPublicKey(createPrivateKey({ key, format: "jwk" })).export({ format: "jwk" }) }
const jobSecret = "j".repeat(32)

const clients: OktaOptions["clients"] = [
  { clientId: "agent", keys: [publicKey] },
  { clientId: "agent-by-secret", clientSecrets: [Redacted.make(jobSecret)] },
  { clientId: "job", keys: [publicKey], serviceScopes: ["mcp:read", "mcp:write"] },
  { clientId: "job-by-secret", clientSecrets: [Redacted.make(jobSecret)], serviceScopes: ["mcp:read"] }
]

/** An Okta org, an assistant that people sign in to there, and the server, which the assistant is connected with. */
const arrange = Effect.fnUntraced(function*(enterpriseManaged: OktaOptions["enterpriseManaged"]) {
  let target = ""
  const serverUrl = yield* front(() => target)
  const assistant = (clientId: string): OktaApplication => ({
    ...webClient,
    clientId: `0oa-${clientId}`,
    connections: [{ audience: serverUrl, clientId, scopes: ["mcp:read", "mcp:write"] }]
  })
  const okta = yield* OktaStandIn.make({
    kind: "org",
    clients: [
      { ...webClient, redirectUris: [`${serverUrl}/oauth/callback`] },
      assistant("agent"),
      assistant("agent-by-secret")
    ]
  })
  const asked: Array<string> = []
  const context = yield* Layer.build(
    HttpRouter.serve(app, { disableListenLog: true, disableLogger: true }).pipe(
      Layer.provide(OktaAuth.layer({
        issuer: okta.issuer,
        clientId: webClient.clientId,
        clientSecret: Redacted.make(webClient.clientSecret ?? ""),
        encryptionSecret: secret("a"),
        signingKeys: ring({ ...ec(), kid: "one" }),
        serverUrl,
        protectedPaths: "/mcp",
        requiredScopes: "mcp:read",
        scopesSupported: ["mcp:read", "mcp:write"],
        enterpriseManaged,
        clients
      })),
      Layer.provide(FetchHttpClient.layer),
      Layer.provideMerge(NodeHttpServer.layer(() => createServer(), { port: 0, host: "127.0.0.1" }))
    )
  )
  const { address } = Context.get(context, HttpServer.HttpServer)
  assert(address._tag === "InetAddressV4")
  target = `http://127.0.0.1:${address.port}`

  /** Calls the tool, with whatever the provider gets on the way. */
  const whoami = Effect.fnUntraced(function*(authProvider: OAuthClientProvider) {
    const transport = new StreamableHTTPClientTransport(new URL(`${serverUrl}/mcp`), {
      authProvider,
      fetch: (address, init) => {
        asked.push(`${init?.method ?? "GET"} ${new URL(address).pathname}`)
        return fetch(address, init)
      }
    })
    const client = yield* Effect.acquireRelease(
      Effect.promise(async () => {
        const client = new Client({ name: "test", version: "1.0.0" })
        await client.connect(transport)
        return client
      }),
      (client) => Effect.promise(() => client.close())
    )
    const { structuredContent } = yield* Effect.promise(() => client.callTool({ name: "whoami" }))
    return yield* Schema.decodeUnknownEffect(Principal)(structuredContent)
  })

  /** What an assistant gives its provider: Okta's word, for the ID token of the person who has signed in to it. */
  const assertionFor = Effect.fnUntraced(function*(clientId: string) {
    const { idToken = "" } = yield* okta.signIn({
      clientId: `0oa-${clientId}`,
      login: bob.login,
      scopes: ["openid", "email"]
    })
    return {
      clientId,
      expectedIssuer: serverUrl,
      assertion: (
        context: {
          readonly authorizationServerUrl: string
          readonly resourceUrl: string
          readonly scope?: string | undefined
        }
      ) =>
        Effect.runPromise(okta.idJag({
          clientId: `0oa-${clientId}`,
          idToken,
          audience: context.authorizationServerUrl,
          resource: context.resourceUrl,
          scope: context.scope
        }))
    }
  })

  return { asked, assertionFor, okta, serverUrl, whoami }
})

/** The provider of the SDK knows secrets only; one with a key says how it authenticates. */
class CrossAppAccessByKey extends CrossAppAccessProvider {
  readonly addClientAuthentication = createPrivateKeyJwtAuth({
    issuer: "agent",
    subject: "agent",
    privateKey,
    alg: "ES256"
  })
}

const person = (clientId: string) => ({
  _tag: "User" as const,
  subject: uidOf(bob),
  uid: uidOf(bob),
  email: bob.login,
  clientId,
  scopes: ["mcp:read"]
})

/** No page was ever to be shown, and none was asked for. */
const assertNoPage = (asked: ReadonlyArray<string>) => {
  assert.strictEqual(asked.filter((request) => request === "POST /oauth/token").length, 1, asked.join("\n"))
  assert.isFalse(asked.some((request) => /authorize|consent|register/.test(request)), asked.join("\n"))
}

describe("Cross App Access, with the MCP SDK", () => {
  for (const enterpriseManaged of [true, "only"] as const) {
    it.live(`a client with a key calls a tool in a person's name, and nobody is shown a page (${enterpriseManaged})`, () =>
      Effect.gen(function*() {
        const { asked, assertionFor, whoami } = yield* arrange(enterpriseManaged)
        const provider = new CrossAppAccessByKey({ ...yield* assertionFor("agent"), clientSecret: "" })
        assert.deepInclude(yield* whoami(provider), person("agent"))
        assert.isUndefined(provider.tokens()?.refresh_token)
        assertNoPage(asked)
      }).pipe(Effect.scoped))
  }

  it.live("a client with a secret does the same", () =>
    Effect.gen(function*() {
      const { asked, assertionFor, whoami } = yield* arrange(true)
      const provider = new CrossAppAccessProvider({
        ...yield* assertionFor("agent-by-secret"),
        clientSecret: jobSecret
      })
      assert.deepInclude(yield* whoami(provider), person("agent-by-secret"))
      assertNoPage(asked)
    }).pipe(Effect.scoped))
})

describe("services, with the MCP SDK", () => {
  it.live("one with a key, and one with a secret, call a tool as themselves", () =>
    Effect.gen(function*() {
      const { asked, serverUrl, whoami } = yield* arrange(true)
      const byKey = new PrivateKeyJwtProvider({
        clientId: "job",
        privateKey,
        algorithm: "ES256",
        expectedIssuer: serverUrl,
        scope: "mcp:write"
      })
      const job = { _tag: "Service" as const, subject: "job", clientId: "job", scopes: ["mcp:read"] }
      assert.deepStrictEqual(yield* whoami(byKey), job)
      assertNoPage(asked.splice(0))
      const bySecret = new ClientCredentialsProvider({
        clientId: "job-by-secret",
        clientSecret: jobSecret,
        expectedIssuer: serverUrl
      })
      assert.deepStrictEqual(yield* whoami(bySecret), { ...job, subject: "job-by-secret", clientId: "job-by-secret" })
      assertNoPage(asked)
    }).pipe(Effect.scoped))
})
