import { Context, Duration, Effect, Latch, Layer, Option, type Scope } from "effect"
import { DatabaseSync } from "node:sqlite"
import * as MemoryStore from "../../src/store/MemoryStore.ts"
import * as RedisStore from "../../src/store/RedisStore.ts"
import * as SqliteStore from "../../src/store/SqliteStore.ts"
import { Store, StoreUnavailable } from "../../src/store/Store.ts"
import { newFile } from "../store/StoreFile.ts"
import { isMissing, make as makeRedis } from "./RedisServer.ts"
import * as Relay from "./Relay.ts"

/** One server's way to the store. */
export interface Way {
  /** How many operations have come to their end. */
  readonly done: () => number
  /** Whether its server is dead: nothing that it does reaches the store, and nothing comes back. */
  readonly isDead: () => boolean
  /** Kills the server with the nth operation from now on, which is done, and of which it hears nothing more. */
  readonly dieAt: (nth: number) => void
  /** Lets the dead server end: what it waits for fails. */
  readonly bury: Effect.Effect<void>
}

/** What a store can do to the servers that use it. */
export interface Troubles {
  /** No operation is done, and each fails. */
  readonly leave?: Effect.Effect<void>
  /** Nothing more can be written. */
  readonly fill?: Effect.Effect<void>
  /** Operations that write take longer than anybody waits. */
  readonly slow?: Effect.Effect<void>
  /** The answer to the nth command from now on is lost. */
  readonly lose?: (nth: number) => Effect.Effect<void>
  readonly mend: Effect.Effect<void>
}

/** A store of servers, which a test can see at work and spoil. */
export interface TroubledStore extends Troubles {
  readonly layer: Layer.Layer<Store, StoreUnavailable>
  /** Operations under way, but for those that are held up on purpose. */
  readonly busy: () => number
  /** The ways of all servers, the latest last. */
  readonly ways: ReadonlyArray<Way>
  /** Keys of this kind that were written, the latest last. */
  readonly keys: (kind: string) => ReadonlyArray<string>
  readonly get: (key: string) => Effect.Effect<string>
  readonly set: (key: string, value: string) => Effect.Effect<void>
}

type Open = Effect.Effect<
  Troubles & { readonly layer: Layer.Layer<Store, StoreUnavailable> },
  never,
  Scope.Scope
>

const hour = Duration.hours(1)

/** One memory for all servers. While it is full, somebody else is there for every place that becomes free. */
const memory: Open = Effect.gen(function*() {
  const store = Context.get(yield* Layer.build(Layer.fresh(MemoryStore.layerOptions({ maxEntries: 5000 }))), Store)
  const junk: Array<string> = []
  let isFull = false
  const occupy = Effect.suspend(() => {
    junk.push(`junk:${junk.length}`)
    return store.put(junk.at(-1) ?? "", "junk", hour)
  })
  const freeing = <A>(operation: Effect.Effect<A, StoreUnavailable>) =>
    Effect.tap(operation, () => isFull ? Effect.ignore(occupy) : Effect.void)
  return {
    layer: Layer.succeed(Store, {
      ...store,
      take: (key) => freeing(store.take(key)),
      remove: (key) => freeing(store.remove(key))
    }),
    fill: Effect.andThen(Effect.ignore(Effect.forever(occupy)), Effect.sync(() => void (isFull = true))),
    mend: Effect.suspend(() => {
      isFull = false
      return Effect.orDie(Effect.forEach(junk.splice(0), store.remove, { discard: true }))
    })
  }
})

/** A file to which somebody else has access, too. */
const sqlite: Open = Effect.gen(function*() {
  const file = yield* newFile
  const layer = SqliteStore.layer({ file })
  yield* Effect.orDie(Layer.build(layer))
  const other = yield* Effect.acquireRelease(
    Effect.sync(() => new DatabaseSync(file)),
    (database) => Effect.sync(() => database.close())
  )
  let undo = ""
  const run = (doing: string, undoing: string) =>
    Effect.sync(() => {
      other.exec(doing)
      undo = undoing
    })
  const full = ["INSERT", "UPDATE", "DELETE"] as const
  return {
    layer,
    leave: run("ALTER TABLE entries RENAME TO elsewhere", "ALTER TABLE elsewhere RENAME TO entries"),
    fill: run(
      full.map((change) =>
        `CREATE TRIGGER full_${change} BEFORE ${change} ON entries BEGIN SELECT RAISE(FAIL, 'disk is full'); END;`
      ).join("\n"),
      full.map((change) => `DROP TRIGGER full_${change};`).join("\n")
    ),
    slow: run("BEGIN IMMEDIATE", "COMMIT"),
    mend: Effect.suspend(() => run(undo, ""))
  }
})

/** A Redis behind a relay. */
const redis: Open = Effect.gen(function*() {
  const server = yield* makeRedis({ appendonly: "yes", appendfsync: "always" })
  const relay = yield* Relay.make(server.port)
  let isAway = false
  return {
    layer: RedisStore.layer({ url: server.urlAt(relay.port) }),
    leave: Effect.andThen(server.kill, Effect.sync(() => void (isAway = true))),
    fill: Effect.asVoid(server.run("CONFIG", "SET", "maxmemory", "1")),
    slow: Effect.sync(relay.hold),
    lose: (nth) => Effect.sync(() => relay.lose(nth)),
    mend: Effect.gen(function*() {
      relay.lose(Infinity)
      relay.flow()
      if (isAway) yield* server.start
      isAway = false
      yield* server.run("CONFIG", "SET", "maxmemory", "0")
    })
  }
})

const kinds = { memory, "a SQLite file": sqlite, Redis: redis }
export type Kind = keyof typeof kinds

/** Those that can be tested here. */
export const all: ReadonlyArray<Kind> = isMissing ? ["memory", "a SQLite file"] : ["memory", "a SQLite file", "Redis"]

/** Made anew, and empty. */
export const make = Effect.fnUntraced(function*(kind: Kind): Effect.fn.Return<TroubledStore, never, Scope.Scope> {
  const { layer, mend, slow, ...troubles } = yield* kinds[kind]
  const own = Context.get(yield* Effect.orDie(Layer.build(layer)), Store)
  const written = new Set<string>()
  const ways: Array<Way> = []
  let busy = 0
  let isHeld = false

  const through = (store: Store["Service"]) => {
    let [done, untilDeath] = [0, Infinity]
    const isDead = () => done >= untilDeath
    const grave = Latch.makeUnsafe()
    const unheard = Effect.andThen(
      grave.await,
      Effect.fail(new StoreUnavailable({ operation: "get", reason: "this server is dead" }))
    )
    ways.push({ done: () => done, isDead, dieAt: (nth) => void (untilDeath = done + nth), bury: grave.open })
    const seen = <A>(operation: Effect.Effect<A, StoreUnavailable>, key?: string) =>
      Effect.suspend(() => {
        if (isDead()) return unheard
        busy++
        if (key !== undefined) {
          written.delete(key)
          written.add(key)
        }
        const ended = Effect.sync(() => {
          busy--
          done++
        })
        return Effect.andThen(Effect.exit(Effect.ensuring(operation, ended)), (exit) => isDead() ? unheard : exit)
      })
    return Store.of({
      put: (key, ...value) => seen(store.put(key, ...value), key),
      get: (key) => seen(store.get(key)),
      take: (key) => seen(store.take(key)),
      putIfAbsent: (key, ...value) => seen(store.putIfAbsent(key, ...value), key),
      compareAndSet: (key, ...values) => seen(store.compareAndSet(key, ...values), key),
      remove: (key) => seen(store.remove(key))
    })
  }

  return {
    ...troubles,
    ...(slow === undefined ? {} : { slow: Effect.andThen(slow, Effect.sync(() => void (isHeld = true))) }),
    mend: Effect.andThen(mend, Effect.sync(() => void (isHeld = false))),
    layer: Layer.effect(Store, Effect.map(Store, through)).pipe(Layer.provide(layer)),
    busy: () => isHeld ? 0 : busy,
    ways,
    keys: (kind) => [...written].filter((key) => key.startsWith(`${kind}:`)),
    get: (key) => Effect.map(Effect.orDie(own.get(key)), Option.getOrThrow),
    set: (key, value) => Effect.orDie(own.put(key, value, hour))
  }
})
