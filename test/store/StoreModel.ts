import { Duration, type Effect, Option } from "effect"
import * as fc from "fast-check"
import type { Store, StoreUnavailable } from "../../src/store/Store.ts"

const text = fc.constantFrom("a", "b")

/** One step of what servers may do with a store. */
export const step = fc.record({
  operation: fc.constantFrom("put", "get", "take", "putIfAbsent", "compareAndSet", "remove", "pass"),
  key: fc.constantFrom("x", "X"),
  value: text,
  expected: text,
  replica: fc.constantFrom(0, 1),
  ticks: fc.constantFrom(1, 2, 3)
})

type Step = typeof step extends fc.Arbitrary<infer A> ? A : never

/** What the contract says, in its plainest form. */
export const model = () => {
  const entries = new Map<string, { readonly value: string; readonly expires: number }>()
  let now = 0
  return ({ expected, key, operation, ticks, value }: Step) => {
    const entry = entries.get(key)
    const current = entry !== undefined && now < entry.expires ? entry.value : undefined
    const put = () => entries.set(key, { value, expires: now + ticks })
    if (operation === "pass") return void (now += ticks)
    if (operation === "get") return Option.fromUndefinedOr(current)
    if (operation === "put") return void put()
    if (operation === "putIfAbsent") return current === undefined && put() !== undefined
    if (operation === "compareAndSet") return current === expected && put() !== undefined
    entries.delete(key)
    return operation === "take" ? Option.fromUndefinedOr(current) : undefined
  }
}

/** The same step with a real store. */
export const perform = (
  store: Store["Service"],
  pass: (duration: Duration.Duration) => Effect.Effect<void>,
  prefix: string,
  tick: Duration.Duration,
  step: Step
): Effect.Effect<unknown, StoreUnavailable> => {
  const key = prefix + step.key
  const ttl = Duration.times(tick, step.ticks)
  if (step.operation === "pass") return pass(ttl)
  if (step.operation === "put") return store.put(key, step.value, ttl)
  if (step.operation === "putIfAbsent") return store.putIfAbsent(key, step.value, ttl)
  if (step.operation === "compareAndSet") return store.compareAndSet(key, step.expected, step.value, ttl)
  return store[step.operation](key)
}
