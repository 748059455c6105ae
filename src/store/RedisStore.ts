import { Duration, Effect, Layer, Option, type Redacted, Schema } from "effect"
import * as RateLimiter from "effect/persistence/RateLimiter"
import * as Redis from "effect/persistence/Redis"
import { sparingly } from "../observe/Sparingly.ts"
import * as RedisConnection from "./RedisConnection.ts"
import { reasonOf, wordOf } from "./RedisTrouble.ts"
import { limited, Store, StoreUnavailable } from "./Store.ts"

/** Where in Redis the store is. */
export interface RedisStoreOptions {
  /**
   * With what every key begins: 1 to 64 visible ASCII characters; `effect-okta:` by default. Deployments that share a Redis
   * need one each.
   */
  readonly prefix?: string | undefined
}

/** Replaces the value where it is the expected one; the time is in milliseconds. */
const compareAndSet = Redis.script(
  (key: string, expected: string, value: string, millis: number) => [key, expected, value, millis],
  {
    numberOfKeys: 1,
    lua: `
if redis.call("GET", KEYS[1]) ~= ARGV[1] then return 0 end
redis.call("SET", KEYS[1], ARGV[2], "PX", ARGV[3])
return 1`
  }
).withReturnType<unknown>()

const Text = Schema.NullOr(Schema.String)
const Done = Schema.NullOr(Schema.Literal("OK"))
const Changed = Schema.Literals([0, 1])

/** What counts as absent. */
const foreign = Effect.as(
  sparingly(
    "Warn",
    "foreign in Redis",
    "Redis holds something under a key of the store that this server did not write; it counts as absent. Look for " +
      "another writer, or give the store a prefix of its own."
  ),
  null
)

const over = (redis: Redis.Redis["Service"], prefix: string): Store["Service"] => {
  const compareAndSetIn = redis.eval(compareAndSet)

  const ask = <A>(
    operation: StoreUnavailable["operation"],
    answer: Schema.Codec<A, unknown>,
    command: Effect.Effect<unknown, Redis.RedisError>
  ): Effect.Effect<A | null, StoreUnavailable> =>
    command.pipe(
      Effect.mapError(({ cause }) => cause),
      Effect.flatMap(Schema.decodeUnknownEffect(answer)),
      Effect.catch((cause) =>
        wordOf(cause) === "WRONGTYPE"
          ? foreign
          : Effect.fail(new StoreUnavailable({ operation, reason: reasonOf(cause) }))
      )
    )
  const millis = (ttl: Duration.Duration) => String(Duration.toMillis(ttl))

  return limited({
    put: (key, value, ttl) =>
      Effect.asVoid(ask("put", Done, redis.send("SET", prefix + key, value, "PX", millis(ttl)))),
    get: (key) => Effect.map(ask("get", Text, redis.send("GET", prefix + key)), Option.fromNullOr),
    take: (key) => Effect.map(ask("take", Text, redis.send("GETDEL", prefix + key)), Option.fromNullOr),
    putIfAbsent: (key, value, ttl) =>
      Effect.map(
        ask("putIfAbsent", Done, redis.send("SET", prefix + key, value, "NX", "PX", millis(ttl))),
        (done) => done === "OK"
      ),
    compareAndSet: (key, expected, value, ttl) =>
      Effect.map(
        ask("compareAndSet", Changed, compareAndSetIn(prefix + key, expected, value, Duration.toMillis(ttl))),
        (changed) => changed === 1
      ),
    remove: (key) => Effect.asVoid(ask("remove", Changed, redis.send("DEL", prefix + key)))
  })
}

/** The limits' own way to Redis: what goes wrong is told in the words of the store. */
const countingIn = (redis: Redis.Redis["Service"]) =>
  Redis.Redis.of({
    ...redis,
    eval: (script) => {
      const run = redis.eval(script)
      return (...params) =>
        Effect.mapError(run(...params), ({ cause }) =>
          new Redis.RedisError({ cause: new StoreUnavailable({ operation: "count", reason: reasonOf(cause) }) }))
    }
  })

const services = (
  redis: Redis.Redis["Service"],
  { prefix = "effect-okta:" }: RedisStoreOptions
): Layer.Layer<Store | RateLimiter.RateLimiterStore, StoreUnavailable> =>
  /^[!-~]{1,64}$/.test(prefix)
    ? Layer.merge(
      Layer.succeed(Store, over(redis, prefix)),
      Layer.provide(RateLimiter.layerStoreRedis({ prefix }), Layer.succeed(Redis.Redis, countingIn(redis)))
    )
    : Layer.unwrap(
      Effect.fail(new StoreUnavailable({ operation: "open", reason: "a prefix has 1 to 64 visible ASCII characters" }))
    )

/**
 * A store in Redis 6.2 or newer, shared by any number of servers, over a connection of its own.
 *
 * **Details**
 *
 * The URL is `redis://user:password@host:6379/0`, or `rediss://` for TLS; one that is none fails with `StoreUnavailable`.
 * The layer is built though Redis be away, and heals itself: meanwhile every operation fails with `StoreUnavailable`. An
 * operation may take 500 milliseconds. Requests are counted in Redis too, so that rate limits hold for all servers together.
 *
 * **Gotchas**
 *
 * Redis forgets what it has not yet saved when it ends: see `appendonly`. It needs the maxmemory-policy `noeviction`.
 * The package `redis` must be installed.
 *
 * @example
 * ```ts
 * import { OktaAuth, RedisStore } from "effect-okta"
 * import { Redacted } from "effect"
 *
 * export const Okta = OktaAuth.layer({
 *   issuer: "https://acme.okta.com",
 *   clientId: "0oa...",
 *   clientSecret: Redacted.make("secret-from-okta"),
 *   serverUrl: "https://mcp.example.com",
 *   store: RedisStore.layer({ url: Redacted.make("redis://127.0.0.1:6379") })
 * })
 * ```
 */
export const layer = (
  { url, ...options }: RedisStoreOptions & { readonly url: Redacted.Redacted<string> }
): Layer.Layer<Store | RateLimiter.RateLimiterStore, StoreUnavailable> =>
  Layer.unwrap(Effect.map(Redis.Redis, (redis) => services(redis, options))).pipe(
    Layer.provide(RedisConnection.layer(url))
  )

/**
 * The same over the Redis service of `effect/persistence` that the app has already, such as one of `NodeRedis.layer`.
 *
 * **Details**
 *
 * Every operation is one command or script on one key, so it works on a Redis Cluster too, where the service speaks to one.
 * How the connection starts and heals is the app's affair.
 *
 * @example
 * ```ts
 * import { NodeRedis } from "@effect/platform-node"
 * import { RedisStore } from "effect-okta"
 * import { Layer } from "effect"
 *
 * export const Sessions = RedisStore.layerRedis({ prefix: "mcp:" }).pipe(
 *   Layer.provide(NodeRedis.layer({ url: "redis://127.0.0.1:6379" }))
 * )
 * ```
 */
export const layerRedis = (
  options: RedisStoreOptions = {}
): Layer.Layer<Store | RateLimiter.RateLimiterStore, StoreUnavailable, Redis.Redis> =>
  Layer.unwrap(Effect.map(Redis.Redis, (redis) => services(RedisConnection.timely(redis), options)))
