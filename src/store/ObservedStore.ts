import { Context, Effect, Layer } from "effect"
import * as Outage from "../observe/Outage.ts"
import { type SpanName, traced } from "../observe/Span.ts"
import { outcomeOf, storeOperations, timed } from "../observe/Telemetry.ts"
import { Store, type StoreUnavailable } from "./Store.ts"

const watching = () => Outage.make("The store", { warn: ({ message }) => Effect.logError(message) })

/** Watches whether the store is there, by whatever is asked of it. */
export const StoreOutage = Context.Reference<Outage.Watching>("effect-okta/store/StoreOutage", {
  defaultValue: watching
})

/**
 * Measures every operation of a store, gives it a span, and says when the store is away. None of them tells a key or a
 * value.
 */
export const layer: Layer.Layer<Store, never, Store> = Layer.effectContext(
  Effect.map(Store, (store) => {
    const outage = watching()
    const observed = <A>(
      operation: keyof Store["Service"],
      effect: Effect.Effect<A, StoreUnavailable>
    ): Effect.Effect<A, StoreUnavailable> => {
      const name: SpanName = `okta.store.${operation}`
      const measured = timed(effect, (exit) => storeOperations.of({ operation, outcome: outcomeOf(exit) }))
      return outage(traced(measured, name), () => true, operation)
    }
    return Context.make(
      Store,
      Store.of({
        put: (key, value, ttl) => observed("put", store.put(key, value, ttl)),
        get: (key) => observed("get", store.get(key)),
        take: (key) => observed("take", store.take(key)),
        putIfAbsent: (key, value, ttl) => observed("putIfAbsent", store.putIfAbsent(key, value, ttl)),
        compareAndSet: (key, expected, value, ttl) =>
          observed("compareAndSet", store.compareAndSet(key, expected, value, ttl)),
        remove: (key) => observed("remove", store.remove(key))
      })
    ).pipe(Context.add(StoreOutage, outage))
  })
)
