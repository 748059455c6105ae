import { Config, Context, Effect, Layer, Option, Redacted, Result } from "effect"
import * as RateLimiter from "effect/persistence/RateLimiter"
import { type ConfigurationProblem, InvalidConfiguration } from "../config/InvalidConfiguration.ts"
import { OktaConfig } from "../config/OktaConfig.ts"
import * as MemoryStore from "../store/MemoryStore.ts"
import * as RedisStore from "../store/RedisStore.ts"
import { parse } from "../store/RedisUrl.ts"
import * as SqliteStore from "../store/SqliteStore.ts"
import { Memory, type Store, type StoreUnavailable } from "../store/Store.ts"

/** The environment variables that name the store. */
export const variables = { file: "SQLITE_FILE", redis: "REDIS_URL" } as const

/** A store, and where requests are counted: in the store where that can be, else in the memory of this process. */
export type Chosen = Layer.Layer<Store | RateLimiter.RateLimiterStore, InvalidConfiguration>

const opened = (store: Layer.Layer<Store, StoreUnavailable>, field: string): Chosen =>
  Layer.effectContext(
    Effect.gen(function*() {
      // As one of the app's own layers, so that all servers of an app that are given the same store have one.
      const layers = Option.getOrElse(yield* Effect.serviceOption(Layer.CurrentMemoMap), Layer.makeMemoMapUnsafe)
      const built = yield* Layer.buildWithMemoMap(store, layers, yield* Effect.scope)
      // A layer may provide more than its type says.
      const limits = Context.getOption(built, RateLimiter.RateLimiterStore)
      // Said in any case, whatever another store around this one says of itself.
      const said = Context.add(built, Memory, Context.get(built, Memory))
      return Option.isSome(limits)
        ? Context.add(said, RateLimiter.RateLimiterStore, limits.value)
        : Context.merge(said, yield* Layer.build(RateLimiter.layerStoreMemory))
    }).pipe(
      Effect.catchTag("StoreUnavailable", ({ reason }) =>
        Effect.fail(
          new InvalidConfiguration({ problems: [{ field, message: `cannot be opened: ${reason}.` }] })
        ))
    )
  )

/** The store that somebody has named, if anybody has. */
export type Choice = Effect.Effect<Chosen | undefined>

/** The memory of this process, with a warning. */
const memory: Chosen = Layer.effectDiscard(
  Effect.logWarning(
    `No store (${variables.file}, ${variables.redis}) is set, so sign-ins are kept in memory: a restart signs everybody out. ` +
      `Name a file on a local disk in ${variables.file}, or a Redis in ${variables.redis}, or give a store.`
  )
).pipe(Layer.provideMerge(opened(Layer.fresh(MemoryStore.layer), "store")))

/** The store that is given in code. */
export const inCode = (store: Layer.Layer<Store, StoreUnavailable> | undefined): Choice =>
  Effect.succeed(store === undefined ? undefined : opened(store, "store"))

const named = Config.all({
  file: Config.String(variables.file).pipe(Config.withDefault("")),
  redis: Config.String(variables.redis).pipe(Config.withDefault(""))
}).pipe(
  Config.map(({ file, redis }) => ({ file: file.trim(), redis: Redacted.make(redis.trim()) })),
  Effect.orDie
)

const isEmpty = (text: Redacted.Redacted<string>) => Redacted.value(text) === ""

/** Tells the owner of a server in native mode of a store that has no effect there. */
export const warnOfUnused = Effect.fnUntraced(function*(
  store: Layer.Layer<Store, StoreUnavailable> | undefined,
  { environment }: { readonly environment: boolean }
) {
  const { file, redis } = environment ? yield* named : { file: "", redis: Redacted.make("") }
  const unused = [
    ...(store === undefined ? [] : ["store"]),
    ...(file === "" ? [] : [variables.file]),
    ...(isEmpty(redis) ? [] : [variables.redis])
  ]
  if (unused.length > 0) {
    yield* Effect.logWarning(
      `Without client credentials this server is in native mode, where ${unused.join(" and ")} ${
        unused.length === 1 ? "has" : "have"
      } no effect: nobody signs in here. Remove that, or give clientId and clientSecret.`
    )
  }
})

/** What is wrong with what the environment says about the store, as far as that can be told without opening it. */
const mistakes: Effect.Effect<ReadonlyArray<ConfigurationProblem>> = Effect.map(named, ({ file, redis }) => {
  if (isEmpty(redis)) return []
  const url = parse(redis)
  return [
    ...(Result.isFailure(url) ? [{ field: variables.redis, message: `${url.failure}.` }] : []),
    ...(file === "" ? [] : [{
      field: variables.file,
      value: file,
      message: `is set beside ${variables.redis}, but there can be one store only. Take one of them away.`
    }])
  ]
})

/** The settings, whose mistakes are told together with those that the environment makes about the store. */
export const checked = (
  config: Layer.Layer<OktaConfig, InvalidConfiguration>
): Layer.Layer<OktaConfig, InvalidConfiguration> =>
  Layer.effect(
    OktaConfig,
    Effect.gen(function*() {
      const settings = yield* Effect.result(Effect.provide(OktaConfig, config))
      const more = yield* mistakes
      if (more.length === 0) return yield* Effect.fromResult(settings)
      const problems = Result.isFailure(settings) ? settings.failure.problems : []
      return yield* new InvalidConfiguration({ problems: [...problems, ...more] })
    })
  )

/** The store that the environment names; without one the store that is given in code. */
export const inEnvironment = (store: Layer.Layer<Store, StoreUnavailable> | undefined): Choice =>
  Effect.flatMap(
    named,
    ({ file, redis }) =>
      !isEmpty(redis)
        ? Effect.succeed(opened(RedisStore.layer({ url: redis }), variables.redis))
        : file !== ""
        ? Effect.succeed(opened(SqliteStore.layer({ file }), variables.file))
        : inCode(store)
  )

/** The store that somebody has named, or else the memory of this process. */
export const orMemory = (choice: Choice): Chosen => Layer.unwrap(Effect.map(choice, (chosen) => chosen ?? memory))
