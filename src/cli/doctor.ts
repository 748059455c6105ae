import {
  ConfigProvider,
  Console,
  Effect,
  FileSystem,
  Layer,
  Logger,
  Option,
  type Path,
  Redacted,
  Stdio,
  Stream,
  Terminal
} from "effect"
import { Command, Flag, TerminalCapabilities } from "effect/cli"
import { InvalidConfiguration } from "../config/InvalidConfiguration.ts"
import { OktaHttp } from "../provider/OktaHttp.ts"
import * as StoreChoice from "../proxy/StoreChoice.ts"
import { type Diagnosis, type Examination, examine } from "./doctor/Examination.ts"
import * as Report from "./doctor/Report.ts"
import type { StoreChecked } from "./doctor/SecretChecks.ts"
import { mistakes } from "./doctor/SettingsChecks.ts"
import { Ended } from "./Ended.ts"
import { given } from "./Given.ts"
import * as KeptSecrets from "./KeptSecrets.ts"
import * as SettingFiles from "./SettingFiles.ts"
import { settingFlags, timeout as readTimeout, upstream as readUpstream, withSettings } from "./settings.ts"
import * as WayToOkta from "./WayToOkta.ts"

/** The environment variable that may hold the token. */
const tokenVariable = "DOCTOR_TOKEN"

const mistake = (field: string, message: string) => new InvalidConfiguration({ problems: [{ field, message }] })

/** The token, from where no other user of the machine can read it. */
const readToken = Effect.fnUntraced(function*(flags: {
  readonly token: Option.Option<Redacted.Redacted<string>>
  readonly tokenFile: Option.Option<string>
}) {
  if (Option.isSome(flags.token) && Option.isSome(flags.tokenFile)) {
    return yield* mistake("--token", "is given beside --token-file. Remove one of them.")
  }
  if (Option.isSome(flags.token) && Redacted.value(flags.token.value) !== "-") {
    return yield* mistake(
      "--token",
      "takes nothing but -, for the standard input. Other users of this machine can read arguments: end that token, and give the " +
        `next one by --token -, --token-file or ${tokenVariable}`
    )
  }
  const source = Option.isSome(flags.token)
    ? "--token"
    : Option.isSome(flags.tokenFile)
    ? "--token-file"
    : tokenVariable
  const text = Option.isSome(flags.token)
    ? Stream.mkString(Stream.decodeText((yield* Stdio.Stdio).stdin))
    : Option.isSome(flags.tokenFile)
    ? (yield* FileSystem.FileSystem).readFileString(flags.tokenFile.value)
    : given(tokenVariable)
  const read = yield* Effect.mapError(
    text,
    () => mistake(source, "cannot be read. Give a file that this user may read.")
  )
  const token = read.trim().replace(/^Bearer\s+/i, "")
  return token !== ""
    ? Redacted.make(token)
    : source === tokenVariable
    ? undefined
    : yield* mistake(source, "is empty. Give the access token as Okta issued it.")
})

/** The store of the environment. */
const chosenStore: Effect.Effect<StoreChecked> = Effect.gen(function*() {
  const layer = StoreChoice.orMemory(StoreChoice.inEnvironment(undefined))
  if ((yield* given("REDIS_URL")) !== "") return { tried: "REDIS_URL", layer }
  const file = yield* given("SQLITE_FILE")
  return { tried: `SQLITE_FILE ${file}`, file, layer }
})

/** Everything that is wrong with how this server is set up, in an environment as `serve` would have it. */
export const diagnose = Effect.fnUntraced(function*(
  examination: Omit<Examination, "store"> & { readonly store?: StoreChecked | undefined }
): Effect.fn.Return<Diagnosis, InvalidConfiguration, OktaHttp | FileSystem.FileSystem | Path.Path> {
  const withKeys = ConfigProvider.layer(yield* SettingFiles.provider)
  const environment = yield* Effect.provide(KeptSecrets.existing, withKeys)
  return yield* Effect.gen(function*() {
    return yield* examine({ ...examination, store: examination.store ?? (yield* chosenStore) })
  }).pipe(Effect.provide(Layer.merge(Logger.layer([]), ConfigProvider.layer(environment))))
})

const { PORT: _, ...settings } = settingFlags

const flags = {
  ...settings,
  path: Flag.String("path").pipe(Flag.withDescription("Protected path"), Flag.withDefault("/mcp")),
  upstream: Flag.String("upstream").pipe(
    Flag.withDescription("Server to stand in front of: look whether it is there"),
    Flag.optional
  ),
  timeout: Flag.String("timeout").pipe(
    Flag.withDescription("Longest wait for each answer"),
    Flag.withDefault("3 seconds")
  ),
  skipServer: Flag.Boolean("skip-server").pipe(
    Flag.withDescription("Do not ask this server itself, where it does not run yet"),
    Flag.withDefault(false)
  ),
  token: Flag.Redacted("token").pipe(
    Flag.withDescription(`Explain the access token on the standard input: --token - (or ${tokenVariable})`),
    Flag.optional
  ),
  tokenFile: Flag.String("token-file").pipe(
    Flag.withDescription("Explain the access token in this file"),
    Flag.optional
  ),
  json: Flag.Boolean("json").pipe(Flag.withDescription("Print JSON"), Flag.withDefault(false))
}

const print = Effect.fnUntraced(function*({ checks, unusable }: Diagnosis, json: boolean) {
  if (json) yield* Console.log(Report.json(checks))
  else {
    const { canAnimate, canColor } = yield* TerminalCapabilities.TerminalCapabilities
    const columns = canAnimate ? yield* (yield* Terminal.Terminal).columns : undefined
    yield* Console.log(Report.text(checks, { canColor, columns }))
  }
  const exitCode = unusable ? 2 : Report.isFine(checks) ? 0 : 1
  return exitCode === 0 ? undefined : yield* new Ended({ exitCode })
})

/** `effect-okta doctor` */
export const command = Command.make(
  "doctor",
  flags,
  Effect.fnUntraced(function*({ json, path, skipServer, timeout, token, tokenFile, upstream, ...settings }) {
    const diagnosis = Effect.gen(function*() {
      const given = yield* Effect.all({
        timeout: Effect.fromResult(readTimeout(timeout)),
        upstream: Effect.fromResult(readUpstream(Option.getOrUndefined(upstream))),
        token: readToken({ token, tokenFile })
      })
      return yield* diagnose({ ...given, options: { protectedPaths: path }, server: !skipServer })
    })
    const layers = Layer.merge(
      Layer.provide(OktaHttp.layer, WayToOkta.layer),
      ConfigProvider.layer(withSettings(settings))
    )
    const found = yield* diagnosis.pipe(
      Effect.provide(layers),
      Effect.catchTag(
        "InvalidConfiguration",
        (problems) => Effect.succeed({ checks: mistakes(problems), unusable: true })
      )
    )
    yield* print(found, json)
  })
).pipe(
  Command.withDescription("Find what is wrong with the settings, with Okta, with this server or with a token"),
  Command.withExamples([
    { command: "effect-okta doctor", description: "With the settings of the environment, as serve has them" },
    { command: "effect-okta doctor --skip-server --json", description: "Before the server runs, for a script" },
    { command: "pbpaste | effect-okta doctor --token -", description: "Explain why a token is refused" }
  ])
)
