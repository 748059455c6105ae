import { ConfigProvider, Console, DateTime, Effect, FileSystem, Layer, Logger, Option, Schema } from "effect"
import { Argument, Command, Flag } from "effect/cli"
import { escaped } from "../config/EscapedText.ts"
import { InvalidConfiguration } from "../config/InvalidConfiguration.ts"
import * as OktaAuth from "../OktaAuth.ts"
import { Grants, type GrantsOf, GrantSummary, type NoGrants } from "../proxy/Grants.ts"
import type { StoreUnavailable } from "../store/Store.ts"
import { end, type Ended, wrongSettings } from "./Ended.ts"
import { given } from "./Given.ts"
import * as KeptSecrets from "./KeptSecrets.ts"
import * as SettingFiles from "./SettingFiles.ts"
import { named, settingFlags, withSettings } from "./settings.ts"
import * as WayToOkta from "./WayToOkta.ts"

const mistake = (field: string, message: string) => new InvalidConfiguration({ problems: [{ field, message }] })

/** Fails where a store or secrets would be made up: in those are no grants. */
const checkExisting = Effect.gen(function*() {
  yield* SettingFiles.check(Effect.void)
  if ((yield* given("ENCRYPTION_SECRET")) === "") {
    return yield* mistake(
      "ENCRYPTION_SECRET",
      "is missing. Give that of the server, without which nothing can be read."
    )
  }
  if ((yield* given("REDIS_URL")) !== "") return
  const file = yield* given("SQLITE_FILE")
  const files = yield* FileSystem.FileSystem
  if (file === "" || !(yield* Effect.orElseSucceed(files.exists(file), () => false))) {
    return yield* mistake(
      "SQLITE_FILE",
      `${file === "" ? "is missing" : `names ${file}, which is not there`}. Give that of the server, or its REDIS_URL.`
    )
  }
})

const { PORT: _, ...settings } = settingFlags

const common = {
  ...settings,
  person: Flag.String("person").pipe(
    Flag.withDescription("Those of this person: the user id at Okta, or the email address"),
    Flag.optional
  ),
  client: Flag.String("client").pipe(
    Flag.withDescription("Those of this client: its id, or its name in the list and in audit events"),
    Flag.optional
  ),
  json: Flag.Boolean("json").pipe(Flag.withDescription("Print JSON"), Flag.withDefault(false))
}

const whose = (
  person: Option.Option<string>,
  client: Option.Option<string>
): Effect.Effect<GrantsOf, InvalidConfiguration> =>
  Option.isSome(person) && Option.isNone(client) && person.value.trim() !== ""
    ? Effect.succeed({ person: person.value.trim() })
    : Option.isSome(client) && Option.isNone(person) && client.value.trim() !== ""
    ? Effect.succeed({ client: client.value.trim() })
    : Effect.fail(mistake("--person", "or --client must say whose grants. Give one of them."))

/** The log, whose errors wait until it is known whether the command ends with what they say. */
const log = (json: boolean) => {
  const logger = Logger.withConsoleError(json ? Logger.formatJson : Logger.formatLogFmt)
  const errors: Array<() => void> = []
  return {
    layer: Logger.layer([Logger.make((line) => {
      if (line.logLevel === "Error") errors.push(() => logger.log(line))
      else logger.log(line)
    })]),
    printErrors: Effect.sync(() => errors.splice(0).forEach((print) => print())),
    dropErrors: Effect.sync(() => void errors.splice(0))
  }
}

/** Runs with the store, the secrets and the Okta that the server has. */
const withGrants = (
  flags: { readonly [variable: string]: Option.Option<string> },
  json: boolean,
  run: (grants: Grants["Service"]) => Effect.Effect<void, Ended | InvalidConfiguration | NoGrants | StoreUnavailable>
): Effect.Effect<void, Ended, FileSystem.FileSystem> => {
  const { dropErrors, layer, printErrors } = log(json)
  return Effect.gen(function*() {
    const environment = yield* Effect.provide(
      KeptSecrets.existing,
      ConfigProvider.layer(yield* SettingFiles.provider)
    )
    const okta = OktaAuth.layerConfig().pipe(Layer.provide(WayToOkta.layer))
    return yield* Effect.andThen(checkExisting, Effect.provide(Effect.flatMap(Grants, run), okta)).pipe(
      Effect.provide(ConfigProvider.layer(environment))
    )
  }).pipe(
    Effect.catchTag("InvalidConfiguration", (error) => Effect.flatMap(SettingFiles.told(named(error)), Effect.fail)),
    Effect.provide(Layer.unwrap(Effect.map(withSettings(flags), ConfigProvider.layer))),
    Effect.provide(layer),
    Effect.tapErrorTag("StoreUnavailable", () => dropErrors),
    Effect.ensuring(printErrors),
    Effect.catchTags({
      InvalidConfiguration: (error) => wrongSettings(error, json),
      NoGrants: ({ message }) => end(2, message, { event: "no-grants", problem: message }, json),
      StoreUnavailable: ({ message }) =>
        end(1, `${message} What was done so far stays done: try again.`, { event: "store-unavailable", message }, json)
    })
  )
}

const date = (time: DateTime.Utc | undefined): string =>
  time === undefined ? "never" : DateTime.formatIso(time).slice(0, 16).replace("T", " ")

const heading = ["GRANT", "PERSON", "CLIENT", "NAME", "SENDS TO", "SCOPES", "CREATED", "LAST USED"]

/** Columns for people; texts of clients are escaped. */
const table = (grants: ReadonlyArray<GrantSummary>): string => {
  const rows = [
    heading,
    ...grants.map((
      { clientId, clientName = "-", createdAt, email, grant, redirectHost = "-", scopes, usedAt, username }
    ) =>
      [
        grant,
        email ?? username,
        clientId,
        clientName,
        redirectHost,
        scopes.join(" ") || "-",
        date(createdAt),
        date(usedAt)
      ]
        .map(escaped)
    )
  ]
  const widths = heading.map((_, column) => Math.max(...rows.map((row) => row[column]?.length ?? 0)))
  return rows.map((row) => row.map((cell, column) => cell.padEnd(widths[column] ?? 0)).join("  ").trimEnd()).join("\n")
}

const encode = Schema.encodeEffect(Schema.fromJsonString(Schema.Struct({ grants: Schema.Array(GrantSummary) })))

const list = Command.make(
  "list",
  common,
  ({ client, json, person, ...settings }) =>
    withGrants(
      settings,
      json,
      Effect.fnUntraced(function*(grants) {
        const found = yield* grants.list(yield* whose(person, client))
        yield* Console.log(
          json
            ? yield* Effect.orDie(encode({ grants: found }))
            : found.length === 0
            ? "There are no grants."
            : table(found)
        )
      })
    )
).pipe(Command.withDescription("Which clients may act for a person, or for whom a client may act"))

const endCommand = Command.make(
  "end",
  {
    ...common,
    grants: Argument.String("grant").pipe(
      Argument.withDescription("What to end, by its name in the list and in audit events"),
      Argument.variadic()
    ),
    all: Flag.Boolean("all").pipe(
      Flag.withDescription("End all of the person or client, listed or not"),
      Flag.withDefault(false)
    )
  },
  ({ all, client, grants: handles, json, person, ...settings }) =>
    withGrants(
      settings,
      json,
      Effect.fnUntraced(function*(grants) {
        const of = yield* whose(person, client)
        if (all === handles.length > 0) {
          return yield* mistake("--all", "or the names of grants must say what to end. Give either.")
        }
        if (all) {
          const ended = yield* grants.endAll(of)
          return yield* Console.log(
            json ? JSON.stringify({ ended }) : `Ended: ${ended}. Nothing older is good any more.`
          )
        }
        const outcomes = yield* Effect.forEach(handles, (handle) => grants.end(handle, of))
        const missing = handles.filter((_, nth) => outcomes[nth] !== true)
        yield* Console.log(
          json
            ? JSON.stringify({ ended: handles.length - missing.length, missing })
            : `Ended: ${handles.length - missing.length}.`
        )
        if (missing.length > 0) {
          const message = `There is no such grant of that ${"person" in of ? "person" : "client"}: ${
            missing.map(escaped).join(", ")
          }`
          return yield* end(1, message, { event: "no-such-grant", missing }, json)
        }
      })
    )
).pipe(Command.withDescription("End grants, here and at Okta"))

/** `effect-okta grants` */
export const command = Command.make("grants").pipe(
  Command.withDescription("List and end what people have granted to clients, in the store of a server in proxy mode"),
  Command.withSubcommands([list, endCommand]),
  Command.withExamples([
    { command: "effect-okta grants list --person ada@example.com", description: "Which clients may act for somebody" },
    { command: "effect-okta grants end --all --person ada@example.com", description: "Somebody leaves" },
    {
      command: "effect-okta grants end --all --client https://app.example.com/client.json",
      description: "A client is not trusted any more"
    }
  ])
)
