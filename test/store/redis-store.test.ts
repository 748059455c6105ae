import { describe } from "@effect/vitest"
import { Duration, Effect, Exit, Scope } from "effect"
import { randomUUID } from "node:crypto"
import { afterAll, beforeAll } from "vitest"
import * as Redis from "../support/RedisServer.ts"
import { contract } from "./contract.ts"
import { open, pass } from "./RedisReplicas.ts"

describe.skipIf(Redis.isMissing)("Redis", () => {
  for (const [name, make] of [["in Redis", Redis.make()], ["in a cluster of Redis", Redis.makeCluster]] as const) {
    describe(name, () => {
      const scope = Effect.runSync(Scope.make())
      let redis: Redis.RedisServer
      beforeAll(async () => {
        redis = await Effect.runPromise(Effect.provideService(make, Scope.Scope, scope))
      })
      afterAll(() => Effect.runPromise(Scope.close(scope, Exit.void)))

      contract({
        name,
        replicas: Effect.suspend(() => {
          const prefix = `${randomUUID()}:`
          return Effect.all([open(redis.url, { prefix }), open(redis.url, { prefix })])
        }),
        pass: (duration) => Effect.suspend(() => pass(redis, duration)),
        tick: Duration.seconds(30)
      })
    })
  }
})
