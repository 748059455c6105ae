import { Config, ConfigProvider, Effect, Layer, Queue, Redacted, Result } from "effect"
import { readFileSync } from "node:fs"
import { InvalidConfiguration } from "../config/InvalidConfiguration.ts"
import * as OktaAuth from "../OktaAuth.ts"

/** The variable that names the file. */
export const variable = "SIGNING_KEYS_FILE"

const given = (name: string) =>
  Effect.map(Effect.orDie(Config.String(name).pipe(Config.withDefault(""))), (text) => text.trim())

const mistake = (value: string, message: string) =>
  new InvalidConfiguration({ problems: [{ field: variable, value, message }] })

const read = (file: string): Result.Result<Redacted.Redacted<string>, InvalidConfiguration> =>
  Result.try({
    try: () => Redacted.make(readFileSync(file, "utf8")),
    catch: (error) =>
      mistake(
        file,
        `cannot be read (${
          error instanceof Error && "code" in error ? String(error.code) : "unknown"
        }). Name a file that ` +
          "holds a JWK Set of private keys."
      )
  })

/** Fails unless the file, if one is named, can be read and is the only place that holds keys. */
export const check: Effect.Effect<void, InvalidConfiguration> = Effect.gen(function*() {
  const file = yield* given(variable)
  if (file === "") return
  const ring = Redacted.value(yield* Effect.fromResult(read(file)))
  const others = yield* given("SIGNING_KEYS")
  if (others !== "" && others !== ring.trim()) {
    return yield* mistake(file, "is set beside SIGNING_KEYS. Take one of them away.")
  }
})

/** The environment, with `SIGNING_KEYS` from the file where one is named. */
export const provider: Effect.Effect<ConfigProvider.ConfigProvider> = Effect.gen(function*() {
  const environment = yield* ConfigProvider.ConfigProvider
  const file = yield* given(variable)
  const ring = file === "" ? undefined : Result.getOrUndefined(read(file))
  return ring === undefined
    ? environment
    : ConfigProvider.orElse(environment, ConfigProvider.fromUnknown({ SIGNING_KEYS: Redacted.value(ring) }))
})

/** Reads the file again whenever the process gets the signal `SIGHUP`. Keys that are not in order change nothing. */
export const reloading: Layer.Layer<never, never, OktaAuth.Endpoints> = Layer.effectDiscard(
  Effect.gen(function*() {
    const file = yield* given(variable)
    if (file === "") return
    const endpoints = yield* OktaAuth.Endpoints
    const signals = yield* Queue.sliding<void>(1)
    yield* Effect.acquireRelease(
      Effect.sync(() => {
        const listener = () => void Queue.offerUnsafe(signals, undefined)
        process.on("SIGHUP", listener)
        return listener
      }),
      (listener) => Effect.sync(() => process.off("SIGHUP", listener))
    )
    const reload = Effect.suspend(() => Effect.fromResult(read(file))).pipe(
      Effect.flatMap(endpoints.reloadSigningKeys),
      Effect.matchEffect({
        onFailure: ({ message }) =>
          Effect.logError(`The keys in use stay, because those in ${file} cannot be used. ${message}`),
        onSuccess: (kids) =>
          Effect.logInfo(`The keys in ${file} are in use from now on; the first signs: ${kids.join(", ")}`)
      })
    )
    yield* Effect.forkScoped(Effect.forever(Effect.andThen(Queue.take(signals), reload)))
  })
)
