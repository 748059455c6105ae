/**
 * `npm start`: a stand-in for Okta, `effect-okta serve` in proxy mode before a small MCP server, and a page that signs in as an MCP
 * client does and shows each step.
 *
 * `PORT` (8080), `OKTA_PORT` (8081) and `DEMO_PORT` (8082) say where they listen; 0 takes a free port.
 */
import { NodeHttpServer, NodeRuntime } from "@effect/platform-node"
import { Config, ConfigProvider, Console, Duration, Effect, Layer, Option, Schema } from "effect"
import { HttpRouter, HttpServerRequest, HttpServerResponse } from "effect/http"
import { randomBytes } from "node:crypto"
import { mkdirSync } from "node:fs"
import { createServer } from "node:http"
import { tmpdir } from "node:os"
import { join } from "node:path"
import * as Serve from "../../src/cli/serve.ts"
import { ada, webClient } from "../../src/demo/StandInDirectory.ts"
import { OktaStandIn } from "../support/OktaStandIn.ts"
import { demoPage } from "./DemoPage.ts"
import * as Walk from "./Walk.ts"

const decodePort = Schema.decodeUnknownOption(
  Schema.NumberFromString.check(Schema.isInt(), Schema.isBetween({ minimum: 0, maximum: 65535 }))
)

/** A port of the environment; a free one is taken before anybody has to know it. */
const port = Effect.fnUntraced(function*(name: string, usual: number) {
  const text = yield* Effect.orDie(Config.String(name).pipe(Config.withDefault(String(usual))))
  const given = decodePort(text)
  if (Option.isNone(given)) {
    yield* Console.error(`${name} (${text}) is not a port. Give a number between 0 and 65535.`)
    return yield* Effect.sync((): never => process.exit(2))
  }
  return given.value !== 0 ? given.value : yield* Effect.callback<number>((resume) => {
    const probe = createServer().listen(0, "127.0.0.1", () => {
      const address = probe.address()
      const free = typeof address === "object" && address !== null ? address.port : 0
      probe.close(() => resume(Effect.succeed(free)))
    })
  })
})

/** The page, and the client behind it; visitors are told apart by a cookie. */
const page = (serverUrl: string, demoUrl: string) => {
  const walk = Walk.make(serverUrl, `${demoUrl}/callback`)
  const visits = new Map<string, Walk.Visit>()
  const home = HttpServerResponse.redirect("/", { status: 303 })

  const keep = (id: string, visit: Walk.Visit) => {
    visits.delete(id)
    visits.set(id, visit)
    const [oldest] = visits.keys()
    if (visits.size > 100 && oldest !== undefined) visits.delete(oldest)
  }
  const idOf = ({ cookies }: HttpServerRequest.HttpServerRequest) => cookies["demo"] ?? ""

  /** Goes on with the visit, if there is one. */
  const goOn = (step: (visit: Walk.Visit, url: URL) => Effect.Effect<Walk.Visit>) =>
    Effect.gen(function*() {
      const request = yield* HttpServerRequest.HttpServerRequest
      const visit = visits.get(idOf(request))
      if (visit !== undefined) keep(idOf(request), yield* step(visit, new URL(request.url, demoUrl)))
      return home
    })

  const begin = Effect.gen(function*() {
    const { url, visit } = yield* walk.begin
    const id = randomBytes(16).toString("base64url")
    keep(id, visit)
    return HttpServerResponse.redirect(url, { status: 303 }).pipe(
      HttpServerResponse.setCookieUnsafe("demo", id, { httpOnly: true, sameSite: "lax", path: "/" })
    )
  })

  return Layer.mergeAll(
    HttpRouter.add(
      "GET",
      "/",
      Effect.map(
        HttpServerRequest.HttpServerRequest,
        (request) =>
          HttpServerResponse.text(demoPage(visits.get(idOf(request)), ada.login), {
            contentType: "text/html; charset=utf-8",
            headers: { "cache-control": "no-store" }
          })
      )
    ),
    HttpRouter.add("POST", "/begin", begin),
    HttpRouter.add("GET", "/callback", goOn((visit, { searchParams }) => walk.comeBack(visit, searchParams))),
    HttpRouter.add("POST", "/call", goOn(walk.callTool)),
    HttpRouter.add("POST", "/refresh", goOn(walk.refresh)),
    HttpRouter.add("POST", "/revoke", goOn(walk.revoke))
  )
}

const tell = (okta: OktaStandIn["Service"], serverUrl: string, demoUrl: string, file: string) => `
Open this first    ${demoUrl}
MCP server         ${serverUrl}/mcp   (for a client of your own)
its metadata       ${serverUrl}/.well-known/oauth-authorization-server
Okta (stand-in)    ${okta.issuer}
sign in as         ${ada.login}, with the password that is filled in
sign-ins are in    ${file}

Stop with Ctrl+C.
`

const program = Effect.gen(function*() {
  const serverPort = yield* port("PORT", 8080)
  const oktaPort = yield* port("OKTA_PORT", 8081)
  const demoPort = yield* port("DEMO_PORT", 8082)
  const serverUrl = `http://localhost:${serverPort}`
  const demoUrl = `http://localhost:${demoPort}`
  const okta = yield* OktaStandIn.make({
    port: oktaPort,
    filledIn: true,
    clients: [{ ...webClient, redirectUris: [`${serverUrl}/oauth/callback`] }]
  })
  const folder = join(tmpdir(), "effect-okta-demo")
  yield* Effect.sync(() => mkdirSync(folder, { recursive: true, mode: 0o700 }))
  const file = join(folder, `${serverPort}.sqlite`)
  const environment = ConfigProvider.fromUnknown({
    OKTA_ISSUER: okta.issuer,
    OKTA_CLIENT_ID: webClient.clientId,
    OKTA_CLIENT_SECRET: webClient.clientSecret,
    SERVER_URL: serverUrl,
    SQLITE_FILE: file,
    PORT: String(serverPort)
  })
  const server = Serve.layer({
    upstream: undefined,
    path: "/mcp",
    host: "127.0.0.1",
    timeout: Duration.seconds(60),
    allowedOrigins: [],
    json: false
  }).pipe(Layer.provide(ConfigProvider.layer(environment)))
  const demo = HttpRouter.serve(page(serverUrl, demoUrl), { disableListenLog: true, disableLogger: true }).pipe(
    Layer.provide(NodeHttpServer.layer(createServer, { port: demoPort, host: "127.0.0.1" }))
  )
  yield* Layer.launch(Layer.tap(Layer.merge(server, demo), () => Console.log(tell(okta, serverUrl, demoUrl, file))))
})

NodeRuntime.runMain(Effect.scoped(program))
