import { Effect, type Scope } from "effect"
import { fork } from "node:child_process"
import { once } from "node:events"
import { fileURLToPath } from "node:url"
import { webClient } from "../../src/demo/StandInDirectory.ts"
import type { Settings } from "./Replica.ts"

const program = fileURLToPath(new URL("Replica.ts", import.meta.url))

/** A replica in a process of its own. */
export interface ReplicaProcess {
  readonly url: string
  readonly pid: number
  readonly kill: Effect.Effect<void>
}

/** What all replicas of one deployment are told. */
export type Deployment = Omit<typeof Settings.Type, "clientId" | "clientSecret">

/** Starts a replica, killed with the scope; `nodeFlags` are Node's own. */
export const start = Effect.fnUntraced(function*(
  deployment: Deployment,
  nodeFlags: ReadonlyArray<string> = []
): Effect.fn.Return<ReplicaProcess, never, Scope.Scope> {
  const told = { ...deployment, clientId: webClient.clientId, clientSecret: webClient.clientSecret }
  const child = fork(program, {
    execArgv: ["--disable-warning=ExperimentalWarning", ...nodeFlags],
    env: { ...process.env, REPLICA: JSON.stringify(told) }
  })
  const kill = Effect.promise(async () => {
    if (child.exitCode !== null || child.signalCode !== null) return
    const gone = once(child, "close")
    child.kill("SIGKILL")
    await gone
  })
  yield* Effect.addFinalizer(() => kill)
  const [port] = yield* Effect.promise(() =>
    Promise.race([once(child, "message"), once(child, "close").then(() => Promise.reject(new Error("it ended")))])
  )
  return { url: `http://127.0.0.1:${String(port)}`, pid: child.pid ?? 0, kill }
})
