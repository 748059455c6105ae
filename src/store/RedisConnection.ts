import type { NodeRedis } from "@effect/platform-node/NodeRedis"
import { Clock, Context, Deferred, Effect, Exit, Layer, Queue, type Redacted, References, Scope } from "effect"
import * as Redis from "effect/persistence/Redis"
import { randomInt } from "node:crypto"
import { reasonOf, Silence, wordOf } from "./RedisTrouble.ts"
import { parse } from "./RedisUrl.ts"
import { StoreUnavailable } from "./Store.ts"

/** How long a command may take. */
const deadline = 500

/** How long, in milliseconds, a connection may be of no use before another is made. */
const patience = 2000

/** How long the start waits to see whether Redis is there. */
const firstLook = 1000

/** Most commands that wait for their answers. */
const longestQueue = 10_000

/** What it was asked to do may have been done, or may yet be. */
const silent = new Silence()

/** In five parts, so that a time in which this process stood still is not taken for silence of Redis. */
const tooLate = Effect.sleep(deadline / 5).pipe(
  Effect.repeat({ times: 4 }),
  Effect.andThen(Effect.fail(new Redis.RedisError({ cause: silent })))
)

/** A Redis of which each command fails after 500 milliseconds at the latest. */
export const timely = (redis: Redis.Redis["Service"]): Redis.Redis["Service"] => {
  const within = <A>(command: Effect.Effect<A, Redis.RedisError>) => Effect.raceFirst(command, tooLate)
  return {
    ...redis,
    send: (command, ...args) => within(redis.send(command, ...args)),
    eval: (script) => {
      const run = redis.eval(script)
      return (...params) => within(run(...params))
    }
  }
}

/** What is known of the connection at a moment; times in milliseconds by the monotonic clock. */
interface State {
  /** There as soon as Redis has been reached for the first time. */
  client: { readonly redis: Redis.Redis["Service"]; readonly node: NodeRedis["Service"]["client"] } | undefined
  /** Why Redis is away; `undefined` while it is not. */
  trouble: Error | undefined
  connectedAt: number
  answeredAt: number
}

/** From 50 milliseconds to 2 seconds. */
const pauseAfter = (retries: number) => Math.min(2 ** Math.min(retries, 10) * 50, 2000) + randomInt(200)

/** A Redis that evicts could forget that a code was used. */
const warnOfEviction = Effect.fnUntraced(function*(redis: Redis.Redis["Service"]) {
  const memory = String(yield* redis.send("INFO", "memory"))
  const policy = /^maxmemory_policy:(\S+)/m.exec(memory)?.[1] ?? "noeviction"
  if (policy !== "noeviction" && !/^maxmemory:0\s*$/m.test(memory)) {
    yield* Effect.logWarning(
      `Redis has maxmemory-policy ${policy}: when its memory is full it forgets sign-ins, and which codes were used. ` +
        "Set it to noeviction."
    )
  }
}, (effect) => Effect.ignore(effect))

/**
 * A connection to Redis that is there before Redis is, and comes back whenever Redis does. Each of its commands fails after
 * 500 milliseconds at the latest, and at once while Redis is away. Fails on what is no URL of a Redis.
 *
 * **Details**
 *
 * A command is sent once only. A connection that has given no answer for 2 seconds, or that leads to a replica, is replaced.
 */
export const layer = (url: Redacted.Redacted<string>): Layer.Layer<Redis.Redis, StoreUnavailable> =>
  Layer.effect(Redis.Redis, connect(url))

const connect = Effect.fnUntraced(function*(
  url: Redacted.Redacted<string>
): Effect.fn.Return<Redis.Redis["Service"], StoreUnavailable, Scope.Scope> {
  const address = yield* Effect.mapError(
    Effect.fromResult(parse(url)),
    (problem) => new StoreUnavailable({ operation: "open", reason: `the URL ${problem}` })
  )
  // Loaded here, so that only those who use Redis need its client.
  const { layer: connection, NodeRedis } = yield* Effect.tryPromise({
    try: () => import("@effect/platform-node/NodeRedis"),
    catch: () => new StoreUnavailable({ operation: "open", reason: "the package redis is missing: npm install redis" })
  })
  const clock = yield* Clock.Clock
  const now = () => Number(clock.monotonicTimeNanosUnsafe()) / 1e6
  const state: State = { client: undefined, trouble: new Error(), connectedAt: now(), answeredAt: now() }
  const looked = yield* Deferred.make<void>()

  // What the client's events ask for is done one after the other.
  const tasks = yield* Queue.unbounded<Effect.Effect<void>>()
  yield* Queue.take(tasks).pipe(Effect.flatten, Effect.forever, Effect.forkScoped)

  const { host, port } = address.socket
  const lost = (cause: Error) => {
    const reason = reasonOf(cause)
    if (state.trouble === undefined || reason !== reasonOf(state.trouble)) {
      Queue.offerUnsafe(
        tasks,
        Effect.logError(
          `${reason.replace("Redis", `Redis at ${host}:${port}`)}. Until that is mended, sign-ins and refreshes fail.`
        )
      )
    }
    state.trouble = cause
    Deferred.doneUnsafe(looked, Exit.void)
  }
  const found = (redis: Redis.Redis["Service"]) => {
    state.trouble = undefined
    state.connectedAt = state.answeredAt = now()
    Deferred.doneUnsafe(looked, Exit.void)
    Queue.offerUnsafe(tasks, Effect.andThen(Effect.logInfo("Redis is connected."), warnOfEviction(redis)))
  }

  const scope = yield* Scope.make()
  yield* Effect.addFinalizer(() =>
    // The client would wait for answers that may never come.
    Effect.sync(() => state.client?.node.destroy()).pipe(
      Effect.andThen(Scope.close(scope, Exit.void)),
      Effect.timeoutOption(deadline)
    )
  )
  yield* Layer.buildWithScope(
    connection({
      ...address,
      socket: {
        ...address.socket,
        connectTimeout: patience,
        socketTimeout: 2 * patience,
        reconnectStrategy: (retries, cause) => {
          lost(cause)
          return pauseAfter(retries)
        }
      },
      pingInterval: patience / 2,
      disableOfflineQueue: true,
      commandsQueueMaxLength: longestQueue,
      // Each command has its end already; the client's own would be found out late, and cost as much as the command.
      commandOptions: { timeout: 0 }
    }),
    scope
  ).pipe(
    // What it has to say is said here.
    Effect.provideService(References.MinimumLogLevel, "None"),
    Effect.map((context) => {
      const redis = timely(Context.get(context, Redis.Redis))
      const node = Context.get(context, NodeRedis).client
      state.client = { redis, node }
      node.on("ready", () => found(redis))
      found(redis)
    }),
    Effect.forkScoped
  )
  yield* Effect.timeoutOption(Deferred.await(looked), firstLook)

  const connectAnew = Effect.suspend(() => {
    const node = state.client?.node
    if (node === undefined || !node.isReady || now() - state.connectedAt < patience) return Effect.void
    node.destroy()
    lost(silent)
    // It goes on trying by itself.
    return Effect.asVoid(Effect.forkIn(Effect.ignore(Effect.tryPromise(() => node.connect())), scope))
  })

  const use = <A>(command: (redis: Redis.Redis["Service"]) => Effect.Effect<A, Redis.RedisError>) =>
    Effect.suspend(() => {
      const { client, trouble } = state
      if (client === undefined || trouble !== undefined) return Effect.fail(new Redis.RedisError({ cause: trouble }))
      return command(client.redis).pipe(
        Effect.tap(() => Effect.sync(() => void (state.answeredAt = now()))),
        Effect.tapError(({ cause }) =>
          Effect.sync(() => {
            const isDead = cause === silent && now() - state.answeredAt > patience
            if (isDead || wordOf(cause) === "READONLY") Queue.offerUnsafe(tasks, connectAnew)
          })
        )
      )
    })
  const whole = use(Effect.succeed)

  return Redis.Redis.of({
    send: (command, ...args) => use((redis) => redis.send(command, ...args)),
    eval: (script) => (...params) => use((redis) => redis.eval(script)(...params)),
    reserve: Effect.flatMap(whole, ({ reserve }) => reserve),
    subscribe: (channel) =>
      Effect.matchEffect(whole, {
        onSuccess: ({ subscribe }) => subscribe(channel),
        onFailure: (error) =>
          Effect.tap(Queue.unbounded<Redis.RedisMessage, Redis.RedisError>(), (queue) => Queue.fail(queue, error))
      })
  })
})
