import { Context, Duration, Effect, Layer, type Redacted, type Scope } from "effect"
import * as RedisStore from "../../src/store/RedisStore.ts"
import { Store, type StoreUnavailable } from "../../src/store/Store.ts"
import type { RedisServer } from "../support/RedisServer.ts"

/** The store of a server of its own; closed with the scope. */
export const open = (
  url: Redacted.Redacted<string>,
  options: RedisStore.RedisStoreOptions = {}
): Effect.Effect<Store["Service"], StoreUnavailable, Scope.Scope> =>
  Effect.map(Layer.build(RedisStore.layer({ url, ...options })), Context.get(Store))

const forget = `
for _, key in ipairs(redis.call("KEYS", "*")) do
  local left = redis.call("PTTL", key) - tonumber(ARGV[1])
  if left > 0 then redis.call("PEXPIRE", key, left) else redis.call("DEL", key) end
end`

/** Lets time pass for everything that a Redis holds, all at once. */
export const pass = (redis: RedisServer, duration: Duration.Duration): Effect.Effect<void> =>
  Effect.asVoid(redis.run("EVAL", forget, "0", String(Math.ceil(Duration.toMillis(duration)))))
