import { Context, Duration, Effect, type Option, Schema } from "effect"

/**
 * The store could not do what was asked, so nothing may be concluded about the entry: a failed write may have been done
 * all the same, and what was to be taken counts as taken.
 *
 * @example
 * ```ts
 * import { Store } from "effect-okta"
 * import { Duration, Effect } from "effect"
 *
 * // Nothing may be concluded from a failure, so nobody is let in.
 * export const isFirst = Effect.fnUntraced(function*(key: string) {
 *   const store = yield* Store
 *   return yield* store.putIfAbsent(key, "seen", Duration.minutes(1))
 * }, Effect.catchTag("StoreUnavailable", () => Effect.succeed(false)))
 * ```
 */
export class StoreUnavailable extends Schema.TaggedError<StoreUnavailable>()("StoreUnavailable", {
  operation: Schema.Literals([
    "open",
    "put",
    "get",
    "take",
    "putIfAbsent",
    "compareAndSet",
    "remove",
    "sweep",
    "count"
  ]),
  /** What is wrong and how to mend it; never a key or a value. */
  reason: Schema.String
}) {
  override get message() {
    return `The store failed at "${this.operation}": ${this.reason}.`
  }
}

/**
 * Texts kept under keys for a time, shared by every server of a deployment.
 *
 * **Details**
 *
 * Every operation is atomic, whoever else uses the same entry at the same moment, in this process or another. An entry
 * that has expired is as one that never was. Keys and values are opaque: who needs them unreadable hashes keys and
 * encrypts values first.
 *
 * **Gotchas**
 *
 * Keys have 1 to 256 visible ASCII characters, values at most 256 Ki characters (UTF-16 code units) of well-formed text
 * without NUL, and a time to live is between 1 millisecond and 10 years: a shorter or longer one is taken for that.
 *
 * @example
 * ```ts
 * import { MemoryStore, Store } from "effect-okta"
 * import { Duration, Effect, Option } from "effect"
 *
 * // Of all who take it, one gets it.
 * export const once = Effect.gen(function*() {
 *   const store = yield* Store
 *   yield* store.put("greeting", "Hello", Duration.minutes(1))
 *   return [Option.isSome(yield* store.take("greeting")), Option.isSome(yield* store.take("greeting"))] // [true, false]
 * }).pipe(Effect.provide(MemoryStore.layer))
 * ```
 */
export class Store extends Context.Service<Store, {
  /** Keeps a value, in place of any other. */
  readonly put: (key: string, value: string, ttl: Duration.Duration) => Effect.Effect<void, StoreUnavailable>
  /** The value, if there is one. */
  readonly get: (key: string) => Effect.Effect<Option.Option<string>, StoreUnavailable>
  /** The value, which is gone from then on: of all who take it, one gets it. */
  readonly take: (key: string) => Effect.Effect<Option.Option<string>, StoreUnavailable>
  /** Keeps a value unless there is one already; whether it did. */
  readonly putIfAbsent: (
    key: string,
    value: string,
    ttl: Duration.Duration
  ) => Effect.Effect<boolean, StoreUnavailable>
  /** Keeps a value in place of exactly the expected one; whether it did. */
  readonly compareAndSet: (
    key: string,
    expected: string,
    value: string,
    ttl: Duration.Duration
  ) => Effect.Effect<boolean, StoreUnavailable>
  /** Forgets the value, if there is one. */
  readonly remove: (key: string) => Effect.Effect<void, StoreUnavailable>
}>()("effect-okta/store/Store") {}

/** The memory of one process that a store is, if it is one, which has room for so much: its layer says so. */
export const Memory = Context.Reference<object | undefined>("effect-okta/store/Memory", {
  defaultValue: () => undefined
})

const maxValueLength = 256 * 1024
const shortest = Duration.millis(1)
const longest = Duration.days(3650)

const visible = /^[!-~]{1,256}$/
const admissible = (value: string) => value.length <= maxValueLength && value.isWellFormed() && !value.includes("\0")

const lifetime = (ttl: Duration.Duration) =>
  Duration.millis(Math.ceil(Duration.toMillis(Duration.clamp(ttl, { minimum: shortest, maximum: longest }))))

/** Puts the limits of the contract in front of a store: what reaches it is within them, times in whole milliseconds. */
export const limited = (store: Store["Service"]): Store["Service"] => {
  const within = <A>(
    operation: StoreUnavailable["operation"],
    texts: readonly [key: string, ...values: Array<string>],
    then: () => Effect.Effect<A, StoreUnavailable>
  ): Effect.Effect<A, StoreUnavailable> =>
    Effect.suspend(() => {
      const [key, ...values] = texts
      if (!visible.test(key)) {
        return Effect.fail(new StoreUnavailable({ operation, reason: "a key has 1 to 256 visible ASCII characters" }))
      }
      if (!values.every(admissible)) {
        return Effect.fail(
          new StoreUnavailable({
            operation,
            reason: `a value has at most ${maxValueLength} characters, all of them Unicode text and none of them NUL`
          })
        )
      }
      return then()
    })

  return Store.of({
    put: (key, value, ttl) => within("put", [key, value], () => store.put(key, value, lifetime(ttl))),
    get: (key) => within("get", [key], () => store.get(key)),
    take: (key) => within("take", [key], () => store.take(key)),
    putIfAbsent: (key, value, ttl) =>
      within("putIfAbsent", [key, value], () => store.putIfAbsent(key, value, lifetime(ttl))),
    compareAndSet: (key, expected, value, ttl) =>
      within("compareAndSet", [key, expected, value], () => store.compareAndSet(key, expected, value, lifetime(ttl))),
    remove: (key) => within("remove", [key], () => store.remove(key))
  })
}
