import { ConfigProvider, Effect, Predicate, Redacted, Result, Schema } from "effect"
import { readFileSync, writeFileSync } from "node:fs"
import { InvalidConfiguration } from "../config/InvalidConfiguration.ts"
import { given } from "./Given.ts"
import * as KeyRotation from "./KeyRotation.ts"

/** Where sign-ins are kept unless `SQLITE_FILE` says otherwise. */
const defaultFile = "effect-okta.sqlite"

const Kept = Schema.fromJsonString(Schema.Struct({ ENCRYPTION_SECRET: Schema.String, SIGNING_KEYS: Schema.String }))

const decode = Schema.decodeUnknownResult(Kept)

const mistake = (file: string, message: string) =>
  new InvalidConfiguration({ problems: [{ field: "SQLITE_FILE", value: file, message }] })

const fileOf = (database: string): string => `${database}.secrets`

const readKept = (file: string) => Result.flatMap(Result.try((): unknown => readFileSync(file, "utf8")), decode)

/** The secrets in a file beside the database, which nobody but its owner can read; made on the first occasion. */
const read = Effect.fnUntraced(function*(database: string) {
  const file = fileOf(database)
  const made = JSON.stringify({
    ENCRYPTION_SECRET: Redacted.value(KeyRotation.newSecret()),
    SIGNING_KEYS: KeyRotation.writeRing([yield* KeyRotation.newKey("ES256")])
  })
  // Of several that start at the same moment one writes, and all read what it wrote.
  const written = Result.try({
    try: () => writeFileSync(file, made, { mode: 0o600, flag: "wx" }),
    catch: (error) => ({
      exists: Predicate.hasProperty(error, "code") && error.code === "EEXIST",
      message: Predicate.isError(error) ? error.message : String(error)
    })
  })
  if (Result.isFailure(written) && !written.failure.exists) {
    return yield* mistake(
      database,
      `is in a place where secrets cannot be kept (${written.failure.message}). Choose another, or set ENCRYPTION_SECRET and SIGNING_KEYS.`
    )
  }
  const kept = readKept(file)
  return Result.isSuccess(kept) ? kept.success : yield* mistake(
    database,
    `has secrets beside it (${file}) that cannot be read. Mend that file, or remove it, which signs everybody out.`
  )
})

const environment = (
  secretsBeside: (database: string) => Effect.Effect<object, InvalidConfiguration>
): Effect.Effect<ConfigProvider.ConfigProvider, InvalidConfiguration> =>
  Effect.gen(function*() {
    const environment = yield* ConfigProvider.ConfigProvider
    const credentials = yield* Effect.forEach(["OKTA_CLIENT_ID", "OKTA_CLIENT_SECRET", "OKTA_CLIENT_KEY"], given)
    if (credentials.every((text) => text === "") || (yield* given("OKTA_MODE")) === "native") return environment
    if ((yield* given("REDIS_URL")) !== "") return environment
    const file = (yield* given("SQLITE_FILE")) || defaultFile
    const secrets = [yield* given("ENCRYPTION_SECRET"), yield* given("SIGNING_KEYS")]
    const onLoopback = (yield* given("SERVER_URL")).startsWith("http:")
    const kept = onLoopback && secrets.includes("") ? yield* secretsBeside(file) : {}
    return ConfigProvider.orElse(environment, ConfigProvider.fromUnknown({ SQLITE_FILE: file, ...kept }))
  })

/**
 * The environment in which a server in proxy mode outlives its process: with a file for sign-ins, and on a loopback address with
 * secrets that are kept beside it, where none are given. With Redis there may be other servers, so there it is left as it is.
 */
export const provider: Effect.Effect<ConfigProvider.ConfigProvider, InvalidConfiguration> = environment(read)

/** The same for who only looks: secrets that are not there are not made. */
export const existing: Effect.Effect<ConfigProvider.ConfigProvider, InvalidConfiguration> = environment((database) =>
  Effect.succeed(Result.getOrElse(readKept(fileOf(database)), () => ({})))
)
