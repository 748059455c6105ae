import { Effect, Layer, Schedule } from "effect"
import { Redis } from "effect/persistence"
import { createCluster } from "redis"
import { make, type RedisServer } from "./RedisServer.ts"

// The recipe of docs/scaling.md, word for word.
const clusterLayer = (urls: ReadonlyArray<string>) =>
  Layer.effect(
    Redis.Redis,
    Effect.gen(function*() {
      const ask = <A>(answer: () => Promise<A>) =>
        Effect.tryPromise({ try: answer, catch: (cause) => new Redis.RedisError({ cause }) })
      const cluster = yield* Effect.acquireRelease(
        Effect.sync(() => createCluster({ rootNodes: urls.map((url) => ({ url })) })),
        (cluster) => Effect.sync(() => cluster.destroy())
      )
      cluster.on("error", () => {})
      yield* ask(() => cluster.connect())
      const onAll = async <A>(command: Array<string>) => {
        const nodes = await Promise.all(cluster.masters.map((node) => cluster.nodeClient(node)))
        const [answer] = await Promise.all(nodes.map((node) => node.sendCommand<A>(command)))
        if (answer === undefined) throw new Error("the cluster has no nodes")
        return answer
      }
      const unused = Effect.fail(new Redis.RedisError({ cause: new Error("the store needs no connection of its own") }))
      return yield* Redis.make({
        send: <A>(command: string, ...args: ReadonlyArray<string>) =>
          ask(() => {
            // A script's key comes behind its hash and the number of keys.
            const key = args[command === "EVALSHA" ? 2 : 0]
            return command === "SCRIPT"
              ? onAll<A>([command, ...args])
              : cluster.sendCommand<A>(key, false, [command, ...args])
          }),
        subscribe: () => unused,
        connect: unused
      })
    })
  )

/** A service that speaks to a whole cluster, by the addresses of some of its nodes. */
export const layer = clusterLayer

/** Three masters that share the slots. */
export const makeThree = Effect.gen(function*() {
  const nodes: ReadonlyArray<RedisServer> = yield* Effect.replicateEffect(
    make({ "cluster-enabled": "yes", "cluster-node-timeout": "2000" }),
    3
  )
  const [first] = nodes
  const bounds = [0, 5461, 10923, 16384]
  for (const [nth, node] of nodes.entries()) {
    yield* node.run("CLUSTER", "SET-CONFIG-EPOCH", String(nth + 1))
    yield* node.run("CLUSTER", "ADDSLOTSRANGE", String(bounds[nth]), String(Number(bounds[nth + 1]) - 1))
    if (first !== undefined && node !== first) yield* node.run("CLUSTER", "MEET", "127.0.0.1", String(first.port))
  }
  for (const node of nodes) {
    const isWhole = Effect.map(
      node.run("CLUSTER", "INFO"),
      (info) => /cluster_state:ok[^]*cluster_known_nodes:3\r[^]*cluster_size:3\r/.test(String(info))
    )
    yield* Effect.repeat(isWhole, { until: (whole) => whole, schedule: Schedule.spaced("20 millis") })
  }
  return nodes
})
