import { Config, Effect, Layer } from "effect"
import { InvalidConfiguration } from "../config/InvalidConfiguration.ts"
import * as MemoryStore from "../store/MemoryStore.ts"
import * as SqliteStore from "../store/SqliteStore.ts"
import { Store, type StoreUnavailable } from "../store/Store.ts"

/** The environment variable that names the file of the store. */
export const variable = "SQLITE_FILE"

const opened = (
  store: Layer.Layer<Store, StoreUnavailable>,
  field: string
): Layer.Layer<Store, InvalidConfiguration> =>
  Layer.catchTag(store, "StoreUnavailable", ({ reason }) =>
    Layer.effect(
      Store,
      Effect.fail(
        new InvalidConfiguration({ problems: [{ field, message: `is a store that cannot be opened: ${reason}.` }] })
      )
    ))

const memory: Layer.Layer<Store> = Layer.effectDiscard(
  Effect.logWarning(
    `No store (${variable}) is set, so sign-ins are kept in memory: a restart signs everybody out. ` +
      `Name a file on a local disk in ${variable}, or give a store.`
  )
).pipe(Layer.provideMerge(MemoryStore.layer))

/** The store that is given in code; without one the memory of this process, with a warning. */
export const given = (
  store: Layer.Layer<Store, StoreUnavailable> | undefined
): Layer.Layer<Store, InvalidConfiguration> => store === undefined ? memory : opened(store, "store")

/** The store that the environment names; without one the store that is given in code. */
export const environment = (
  store: Layer.Layer<Store, StoreUnavailable> | undefined
): Layer.Layer<Store, InvalidConfiguration> =>
  Effect.orDie(Config.String(variable).pipe(Config.withDefault(""))).pipe(
    Effect.map((text) => {
      const file = text.trim()
      return file === "" ? given(store) : opened(SqliteStore.layer({ file }), variable)
    }),
    Layer.unwrap
  )
