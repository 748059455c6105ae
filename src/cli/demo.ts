import * as NodeHttpClient from "@effect/platform-node/NodeHttpClient"
import * as NodeHttpServer from "@effect/platform-node/NodeHttpServer"
import { ConfigProvider, Console, Context, Deferred, Effect, Layer, Logger, Predicate } from "effect"
import { Command, Flag } from "effect/cli"
import { HttpRouter } from "effect/http"
import { InvalidConfiguration } from "../config/InvalidConfiguration.ts"
import * as DemoRoutes from "../demo/DemoRoutes.ts"
import { ada, bob, nativeClient, serviceClient, webClient } from "../demo/StandInDirectory.ts"
import * as StandInServer from "../demo/StandInServer.ts"
import { inStore } from "../demo/StandInStorage.ts"
import { makeVisits } from "../demo/Visit.ts"
import * as Witness from "../demo/Witness.ts"
import * as SqliteStore from "../store/SqliteStore.ts"
import { Store } from "../store/Store.ts"
import { checkSettings, type DemoSettings } from "./DemoSettings.ts"
import { cannotListen, end, wrongSettings } from "./Ended.ts"
import * as NodeServer from "./NodeServer.ts"
import * as Serve from "./serve.ts"
import { setting, withSettings } from "./settings.ts"
import { columns, metadataOf, type Row, rowsOf, type Started } from "./Startup.ts"

const people = [ada, bob]

const isMissing = (error: unknown): boolean =>
  Predicate.isError(error) && Predicate.hasProperty(error, "code") && error.code === "ERR_MODULE_NOT_FOUND" &&
  error.message.includes("oidc-provider")

/** Okta's stand-in, whose engine users of the library need not install. */
const loadStandIn = (json: boolean) =>
  Effect.catch(
    Effect.tryPromise({ try: () => import("../demo/StandIn.ts"), catch: (error) => error }),
    (error) =>
      isMissing(error)
        ? end(
          2,
          "effect-okta demo needs the package oidc-provider. Install it with: npm install --save-dev oidc-provider",
          { event: "missing-package", package: "oidc-provider" },
          json
        )
        : Effect.die(error)
  )

const openStore = ({ folder }: DemoSettings) =>
  Layer.build(SqliteStore.layer({ file: `${folder}/demo.sqlite` })).pipe(
    Effect.map(Context.get(Store)),
    Effect.mapError(({ reason }) =>
      new InvalidConfiguration({
        problems: [{ field: "DATA_DIR", value: folder, message: `cannot be used: ${reason}.` }]
      })
    )
  )

/** What listens, in the words of the demo. */
const rows = (started: Started, demoUrl: string, folder: string): ReadonlyArray<Row> => [
  ["page", `${demoUrl} (open this first)`],
  ...rowsOf(started).filter(([name]) => name !== "upstream" && name !== "Okta"),
  ["Okta", `${started.settings.issuer} (a stand-in)`, `people there: ${people.map(({ login }) => login).join(", ")}`],
  ["kept in", `${folder} (a restart signs nobody out)`]
]

const announce = Effect.fnUntraced(function*(started: Started, demoUrl: string, folder: string, json: boolean) {
  const { settings: { issuer, mode }, url } = started
  if (json) {
    const event = { event: "listening", page: demoUrl, url, mode, issuer, metadata: metadataOf(started), folder }
    return yield* Console.log(JSON.stringify(event))
  }
  const text = yield* columns(rows(started, demoUrl, folder))
  yield* Console.log(`The demo is at ${demoUrl}\n\n${text}\n\nStop it with Ctrl+C.`)
})

/** The demo, until it is stopped: Okta's stand-in, the server in front of it, and the page. */
const run = Effect.fnUntraced(function*(json: boolean) {
  const StandIn = yield* loadStandIn(json)
  const settings = yield* checkSettings
  const { demoPort, folder, oktaPort, port } = settings
  const serverUrl = `http://localhost:${port}`
  const demoUrl = `http://localhost:${demoPort}`
  const memory = inStore(yield* openStore(settings))
  const visits = makeVisits(memory)

  const okta = yield* StandInServer.listen(oktaPort)
  const { answer, issuer } = yield* StandIn.make(okta.origin, memory, {
    people,
    filledIn: true,
    clients: [
      // The second is for an app of the reader's own, as the README has it.
      { ...webClient, redirectUris: [`${serverUrl}/oauth/callback`, "http://localhost:3000/oauth/callback"] },
      nativeClient,
      serviceClient
    ],
    observe: { begin: visits.time, end: Witness.okta(visits) }
  })
  okta.open(answer)

  // Nothing of the environment but what the demo sets: it may hold the settings of another server.
  const environment = ConfigProvider.fromUnknown({
    OKTA_ISSUER: issuer,
    OKTA_CLIENT_ID: webClient.clientId,
    OKTA_CLIENT_SECRET: webClient.clientSecret,
    OKTA_SCOPES: "openid profile email groups offline_access",
    SERVER_URL: serverUrl,
    SQLITE_FILE: `${folder}/server.sqlite`,
    PORT: String(port)
  })
  const isListening = yield* Deferred.make<Started>()
  const server = Serve.layer({
    path: "/mcp",
    host: "127.0.0.1",
    timeout: "60 seconds",
    allowedOrigins: [],
    json,
    announce: (started) => Deferred.succeed(isListening, started),
    extension: Witness.server(visits, serverUrl)
  }).pipe(Layer.provide(ConfigProvider.layer(environment)))
  const parties = { demoUrl, serverUrl, issuer, people: people.map(({ login }) => login) }
  const page = HttpRouter.serve(DemoRoutes.layer(visits, parties), { disableListenLog: true, disableLogger: true })
    .pipe(
      Layer.provide(NodeHttpServer.layer(NodeServer.make, { port: demoPort, host: "127.0.0.1" })),
      Layer.provide(NodeHttpClient.layerUndici)
    )
  yield* Layer.build(Layer.merge(server, page))
  yield* announce(yield* Deferred.await(isListening), demoUrl, folder, json)
  return yield* Effect.never
}, Effect.scoped)

const flags = {
  PORT: setting("PORT", "Port of the server, 0 for a free one; 8080 by default"),
  OKTA_PORT: setting("OKTA_PORT", "Port of the stand-in for Okta, 0 for a free one; 8081 by default"),
  DEMO_PORT: setting("DEMO_PORT", "Port of the page, 0 for a free one; 8082 by default"),
  DATA_DIR: setting("DATA_DIR", "Folder that keeps sign-ins; one for temporary files by default"),
  json: Flag.Boolean("json").pipe(Flag.withDescription("Print and log JSON"), Flag.withDefault(false))
}

/** `effect-okta demo` */
export const command = Command.make(
  "demo",
  flags,
  Effect.fnUntraced(function*({ json, ...settings }) {
    const logger = Logger.layer([Logger.withConsoleError(json ? Logger.formatJson : Logger.formatLogFmt)])
    yield* run(json).pipe(
      Effect.provide(Layer.merge(logger, ConfigProvider.layer(withSettings(settings)))),
      Effect.catchTags({
        InvalidConfiguration: (error) => wrongSettings(error, json),
        ServeError: (error) => cannotListen(error, "Choose another port with PORT, OKTA_PORT or DEMO_PORT.", json)
      })
    )
  })
).pipe(
  Command.withDescription("See a sign-in step by step, without an Okta account"),
  Command.withExamples([
    { command: "effect-okta demo", description: "Then open http://localhost:8082" },
    {
      command: "effect-okta demo --port 0 --okta-port 0 --demo-port 0 --data-dir ./demo",
      description: "On free ports, with what it keeps in a folder of your own"
    }
  ])
)
