import { Effect, Layer } from "effect"
import { type SpanName, traced } from "../observe/Span.ts"
import { outcomeOf, storeOperations, timed } from "../observe/Telemetry.ts"
import { Store, type StoreUnavailable } from "./Store.ts"

/** Measures every operation of a store, and gives it a span. Neither tells a key or a value. */
export const layer: Layer.Layer<Store, never, Store> = Layer.effect(
  Store,
  Effect.map(Store, (store) =>
    Store.of({
      put: (key, value, ttl) => observed("put", store.put(key, value, ttl)),
      get: (key) => observed("get", store.get(key)),
      take: (key) => observed("take", store.take(key)),
      putIfAbsent: (key, value, ttl) => observed("putIfAbsent", store.putIfAbsent(key, value, ttl)),
      compareAndSet: (key, expected, value, ttl) =>
        observed("compareAndSet", store.compareAndSet(key, expected, value, ttl)),
      remove: (key) => observed("remove", store.remove(key))
    }))
)

const observed = <A>(
  operation: keyof Store["Service"],
  effect: Effect.Effect<A, StoreUnavailable>
): Effect.Effect<A, StoreUnavailable> => {
  const name: SpanName = `okta.store.${operation}`
  return traced(timed(effect, (exit) => storeOperations.of({ operation, outcome: outcomeOf(exit) })), name)
}
