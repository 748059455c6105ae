import * as NodeHttpClient from "@effect/platform-node/NodeHttpClient"
import * as NodeHttpServer from "@effect/platform-node/NodeHttpServer"
import { ConfigProvider, type Duration, Effect, Layer, Logger, Option, Result } from "effect"
import { Command, Flag } from "effect/cli"
import { HttpRouter, HttpServer, type HttpServerError } from "effect/http"
import { InvalidConfiguration } from "../config/InvalidConfiguration.ts"
import type { OktaOptions } from "../config/OktaConfig.ts"
import { isLoopbackHost } from "../config/PublicUrl.ts"
import * as OktaAuth from "../OktaAuth.ts"
import { cannotListen, wrongSettings } from "./Ended.ts"
import * as Gateway from "./Gateway.ts"
import * as KeptSecrets from "./KeptSecrets.ts"
import * as NodeServer from "./NodeServer.ts"
import * as PlainRequest from "./PlainRequest.ts"
import * as SettingFiles from "./SettingFiles.ts"
import { host, library, named, policy, port, settingFlags, timeout, upstream, withSettings } from "./settings.ts"
import * as SigningKeysFile from "./SigningKeysFile.ts"
import * as Startup from "./Startup.ts"
import { version } from "./version.ts"
import * as WayToOkta from "./WayToOkta.ts"
import * as WhoamiServer from "./WhoamiServer.ts"

/** What is served, besides the settings of the environment. */
export interface ServeOptions {
  /** URL of the server behind; without it the built-in one answers. */
  readonly upstream?: string | undefined
  /** The protected path. */
  readonly path: string
  /** The address to listen on. */
  readonly host: string
  /** Longest wait for the upstream's answer to begin, the upload included. */
  readonly timeout: Duration.Duration | string
  /** Browser origins that may call, besides the server's own. */
  readonly allowedOrigins: ReadonlyArray<string>
  /** Print and log JSON. */
  readonly json: boolean
  /** Says that it listens. Default: on the standard output. */
  readonly announce?: (started: Startup.Started) => Effect.Effect<void>
  /** More routes, or middleware. */
  readonly extension?: Layer.Layer<never, never, HttpRouter.HttpRouter>
}

const oktaOptions = ({ allowedOrigins, host, path }: ServeOptions): Partial<OktaOptions> => ({
  loopbackOnly: isLoopbackHost(host === "::1" ? "[::1]" : host),
  protectedPaths: path,
  allowedOrigins
})

/** Everything that is wrong with the settings, before anything listens. */
const checkSettings = Effect.fnUntraced(function*(options: ServeOptions) {
  const checks = {
    settings: yield* Effect.result(library(oktaOptions(options))),
    port: yield* Effect.result(port),
    policy: yield* Effect.result(policy),
    host: host(options.host),
    upstream: upstream(options.upstream),
    timeout: timeout(options.timeout)
  }
  const problems = Object.values(checks).flatMap((check: Result.Result<unknown, InvalidConfiguration>) =>
    Result.isFailure(check) ? check.failure.problems : []
  )
  return yield* problems.length > 0 ? new InvalidConfiguration({ problems }) : Effect.fromResult(Result.all(checks))
})

/** The guarded server, listening as long as the layer lives; in proxy mode with all that outlives its process. */
export const layer = (
  options: ServeOptions
): Layer.Layer<never, OktaAuth.StartError | HttpServerError.ServeError> =>
  Layer.unwrap(
    Effect.gen(function*() {
      const environment = yield* SettingFiles.provider
      return Effect.andThen(checkSettings(options), KeptSecrets.provider).pipe(
        Effect.map((provider) => Layer.provide(serving(options), ConfigProvider.layer(provider))),
        Layer.unwrap,
        Layer.provide(ConfigProvider.layer(environment))
      )
    })
  )

const serving = (
  options: ServeOptions
): Layer.Layer<never, OktaAuth.StartError | HttpServerError.ServeError> =>
  Effect.gen(function*() {
    const { host, policy, port, settings, timeout, upstream } = yield* checkSettings(options)
    const ownOrigin = settings.serverUrl === undefined ? [] : [new URL(settings.serverUrl).origin]
    const guard = OktaAuth.guard(policy)
    const server = upstream === undefined
      ? WhoamiServer.layer({ path: options.path, version, allowedOrigins: [...ownOrigin, ...options.allowedOrigins] })
        .pipe(Layer.provide(PlainRequest.middleware.combine(guard).layer))
      : Gateway.layer({ path: options.path, upstream, timeout }).pipe(
        Layer.provide([NodeHttpClient.layerDispatcher, guard.layer])
      )
    const app = Layer.mergeAll(
      server,
      OktaAuth.routes,
      OktaAuth.health,
      options.extension ?? Layer.empty
    )
    const listening = Effect.gen(function*() {
      const url = (yield* HttpServer.addressFormattedWith(Effect.succeed)) + options.path
      const announce = options.announce ?? (options.json ? Startup.announceJson : Startup.announce)
      yield* announce({ url, settings, upstream })
    })
    return Layer.merge(Layer.effectDiscard(listening), SigningKeysFile.reloading).pipe(
      Layer.provideMerge(HttpRouter.serve(app, { disableLogger: true, disableListenLog: true })),
      Layer.provide(NodeHttpServer.layer(NodeServer.make, { port, host })),
      Layer.provide(OktaAuth.layerConfig(oktaOptions(options)).pipe(Layer.provide(WayToOkta.layer)))
    )
  }).pipe(Layer.unwrap)

const flags = {
  ...settingFlags,
  upstream: Flag.String("upstream").pipe(
    Flag.withDescription("Server to stand in front of; its path, if any, takes the place of --path"),
    Flag.optional
  ),
  path: Flag.String("path").pipe(Flag.withDescription("Protected path"), Flag.withDefault("/mcp")),
  host: Flag.String("host").pipe(Flag.withDescription("Address to listen on"), Flag.withDefault("127.0.0.1")),
  timeout: Flag.String("timeout").pipe(
    Flag.withDescription("Longest wait for the upstream's answer to begin, the upload included"),
    Flag.withDefault("60 seconds")
  ),
  allowedOrigins: Flag.String("allow-origin").pipe(
    Flag.withDescription("Browser origin that may call, besides the server's own; may be repeated"),
    Flag.atLeast(0)
  ),
  json: Flag.Boolean("json").pipe(Flag.withDescription("Print and log JSON"), Flag.withDefault(false))
}

/** `effect-okta serve` */
export const command = Command.make(
  "serve",
  flags,
  Effect.fnUntraced(function*({ allowedOrigins, host, json, path, timeout, upstream, ...settings }) {
    const logger = Logger.layer([Logger.withConsoleError(json ? Logger.formatJson : Logger.formatLogFmt)])
    const options = { upstream: Option.getOrUndefined(upstream), path, host, timeout, allowedOrigins, json }
    yield* Layer.launch(layer(options)).pipe(
      Effect.catchTags({
        InvalidConfiguration: (error) =>
          Effect.flatMap(SettingFiles.told(named(error)), (error) => wrongSettings(error, json)),
        ServeError: (error) => cannotListen(error, "Choose another address with --host or PORT.", json)
      }),
      Effect.provide(Layer.merge(logger, ConfigProvider.layer(withSettings(settings))))
    )
  })
).pipe(
  Command.withDescription("Guard an MCP server or HTTP API with Okta"),
  Command.withExamples([
    {
      command: "OKTA_ISSUER=https://acme.okta.com/oauth2/default OKTA_AUDIENCE=api://default effect-okta serve",
      description: "A small MCP server with the tools whoami and hello, to try it out"
    },
    {
      command: "effect-okta serve --upstream http://127.0.0.1:3000 --path /mcp",
      description: "In front of your own server"
    }
  ])
)
