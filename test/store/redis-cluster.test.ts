import { assert, describe, it } from "@effect/vitest"
import { Context, Duration, Effect, Exit, Layer, Redacted, Scope } from "effect"
import { randomUUID } from "node:crypto"
import { readFileSync } from "node:fs"
import { afterAll, beforeAll } from "vitest"
import * as RedisStore from "../../src/store/RedisStore.ts"
import { Store } from "../../src/store/Store.ts"
import { assertRefused, make as makeScene, tokensOf } from "../support/ProxyScene.ts"
import * as Cluster from "../support/RedisCluster.ts"
import { isMissing, type RedisServer } from "../support/RedisServer.ts"
import { contract } from "./contract.ts"
import { pass } from "./RedisReplicas.ts"

describe.skipIf(isMissing)("A cluster of three masters", () => {
  const scope = Effect.runSync(Scope.make())
  let nodes: ReadonlyArray<RedisServer> = []
  beforeAll(async () => {
    nodes = await Effect.runPromise(Effect.provideService(Cluster.makeThree, Scope.Scope, scope))
  }, 30_000)
  afterAll(() => Effect.runPromise(Scope.close(scope, Exit.void)))

  /** As a server has it that knows one of the nodes. */
  const storeIn = (prefix: string) =>
    RedisStore.layerRedis({ prefix }).pipe(
      Layer.provide(Layer.orDie(Cluster.layer(nodes.slice(0, 1).map(({ url }) => Redacted.value(url)))))
    )
  const open = (prefix: string) => Effect.map(Layer.build(storeIn(prefix)), Context.get(Store))

  contract({
    name: "in a cluster of three masters",
    replicas: Effect.suspend(() => {
      const prefix = `${randomUUID()}:`
      return Effect.all([open(prefix), open(prefix)])
    }),
    pass: (duration) =>
      Effect.forEach(nodes, (node) => pass(node, duration), { concurrency: "unbounded", discard: true }),
    tick: Duration.seconds(30),
    timeout: 60_000
  })

  it("is reached as docs/scaling.md shows", () => {
    const read = (path: string) => readFileSync(new URL(`../../${path}`, import.meta.url), "utf8")
    const [recipe = ""] = /const clusterLayer[^]*?\n {2}\)\n/.exec(read("docs/scaling.md")) ?? []
    assert.include(recipe, "createCluster")
    assert.include(read("test/support/RedisCluster.ts"), recipe)
  })

  it.effect(
    "a sign-in from the registration to the end of the grant, whose entries are on all of the nodes",
    () =>
      Effect.gen(function*() {
        const scene = yield* makeScene({ store: Layer.unwrap(Effect.sync(() => storeIn("scene:"))) })
        const other = yield* scene.start()
        for (let nth = 0; nth < 3; nth++) {
          const form = scene.redemption(yield* scene.code())
          const first = tokensOf(yield* other.token(form))
          assert.strictEqual((yield* scene.one.call(first.accessToken)).status, 200)
          const second = tokensOf(yield* scene.one.token(scene.refreshment(first.refreshToken)))
          assert.strictEqual((yield* other.call(second.accessToken)).status, 200)
          assertRefused(yield* scene.one.token(form), 400, "invalid_grant")
          assert.strictEqual((yield* other.call(second.accessToken)).status, 401)
        }
        const held = yield* Effect.forEach(nodes, (node) => node.run("KEYS", "scene:*"))
        for (const keys of held) assert.isNotEmpty(keys)
      }),
    30_000
  )
})
