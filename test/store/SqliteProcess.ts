// A server process that uses a SQLite store as its parent bids, over the channel that `fork` opens between the two.
import { Context, Duration, Effect, Layer, Option } from "effect"
import * as SqliteStore from "../../src/store/SqliteStore.ts"
import { Store } from "../../src/store/Store.ts"

const [task = "", file = ""] = process.argv.slice(2)
const hour = Duration.hours(1)
const say = (message: unknown) => process.send?.(message)

const races = {
  take: (store: Store["Service"], key: string) => Effect.map(store.take(key), Option.isSome),
  putIfAbsent: (store: Store["Service"], key: string) => store.putIfAbsent(key, `${process.pid}`, hour),
  compareAndSet: (store: Store["Service"], key: string) => store.compareAndSet(key, "free", `${process.pid}`, hour)
}

/** Tries what it is told 25 times at once, and says how often that succeeded. */
const race = (store: Store["Service"]) =>
  Effect.callback<never>(() => {
    process.on("message", ([operation, key]: [keyof typeof races, string]) => {
      const tries = Effect.replicateEffect(races[operation](store, key), 25, { concurrency: "unbounded" })
      Effect.runPromise(tries).then((results) => say(results.filter(Boolean).length), (error) => say(String(error)))
    })
    say("ready")
  })

/** Counts on from where the counter stands; puts an entry at every number, takes every odd one back, says it is done. */
const count = (store: Store["Service"]) =>
  Effect.gen(function*() {
    const before = Option.getOrElse(yield* store.get("counter"), () => "0")
    const next = `${Number(before) + 1}`
    yield* store.put(`entry:${next}`, next.repeat(4000), hour)
    if (Number(next) % 2 === 1) yield* store.take(`entry:${next}`)
    if (before === "0") yield* store.putIfAbsent("counter", next, hour)
    else yield* store.compareAndSet("counter", before, next, hour)
    say(Number(next))
    yield* Effect.yieldNow
  }).pipe(Effect.forever)

/** Takes one entry after the other, though some cannot be taken, and prints those it got. */
const drain = (store: Store["Service"]) =>
  Effect.forEach(Array.from({ length: 60 }, (_, index) => `entry:${index}`), (key) =>
    store.take(key).pipe(
      Effect.map((value) => [key, Option.isSome(value)] as const),
      Effect.orElseSucceed(() => [key, "failed"] as const)
    )).pipe(
      Effect.map((results) => console.log(JSON.stringify(results)))
    )

const tasks: Readonly<Record<string, (store: Store["Service"]) => Effect.Effect<unknown, unknown>>> = {
  race,
  count,
  drain
}

await Effect.runPromise(Effect.scoped(Effect.gen(function*() {
  const store = Context.get(yield* Layer.build(SqliteStore.layer({ file })), Store)
  yield* (tasks[task] ?? (() => Effect.die(`There is no task ${task}`)))(store)
})))
