import { Effect, Redacted, Schedule, type Scope } from "effect"
import { strictEqual } from "node:assert"
import { type ChildProcess, spawn } from "node:child_process"
import { once } from "node:events"
import { type AddressInfo, createServer } from "node:net"
import { fileURLToPath } from "node:url"
import { createClient } from "redis"
import { findRedis } from "../programs.ts"
import { newFolder } from "../store/StoreFile.ts"

/** Tests that need Redis are left out where there is none; `test/programs.ts` says so. */
export const isMissing = findRedis() === undefined

/** A Redis of the test's own, on 127.0.0.1. */
export interface RedisServer {
  readonly port: number
  readonly pid: () => number
  readonly url: Redacted.Redacted<string>
  /** The same by another port, of something in front of it. */
  readonly urlAt: (port: number) => Redacted.Redacted<string>
  /** Its folder, where it keeps what it saves. */
  readonly folder: string
  /** Runs a command over a connection made for it. */
  readonly run: (...command: ReadonlyArray<string | Buffer>) => Effect.Effect<unknown>
  /** Kills it without a warning. */
  readonly kill: Effect.Effect<void>
  /** Starts it again, at the same address and with what it had saved. */
  readonly start: Effect.Effect<void>
  /** Keeps it from doing anything, its connections open, until it is told to go on. */
  readonly freeze: Effect.Effect<void>
  readonly thaw: Effect.Effect<void>
}

const freePort = Effect.callback<number>((resume) => {
  const server = createServer().listen(0, "127.0.0.1", () => {
    // oxlint-disable-next-line typescript/no-unsafe-type-assertion -- it listens on TCP
    const { port } = server.address() as AddressInfo
    server.close(() => resume(Effect.succeed(port)))
  })
})

/** Runs one command over a connection made for it. */
export const runAt = (
  url: Redacted.Redacted<string>,
  ...command: ReadonlyArray<string | Buffer>
): Effect.Effect<unknown> =>
  Effect.promise(async () => {
    const client = createClient({ url: Redacted.value(url), socket: { reconnectStrategy: false } })
    client.on("error", () => {})
    await client.connect()
    const answer: unknown = await client.sendCommand([...command])
    await client.close()
    return answer
  })

const certificates = fileURLToPath(new URL("certificates", import.meta.url))

/** Starts a Redis with these settings on top, killed with the scope; with a certificate it speaks TLS only. */
export const make = Effect.fnUntraced(function*(
  settings: Readonly<Record<string, string>> = {},
  certificate?: string
): Effect.fn.Return<RedisServer, never, Scope.Scope> {
  const folder = yield* newFolder
  let child: ChildProcess | undefined
  const kill = Effect.promise(async () => {
    if (child === undefined || child.exitCode !== null || child.signalCode !== null) return
    const gone = once(child, "close")
    child.kill("SIGKILL")
    await gone
  })
  yield* Effect.addFinalizer(() => kill)

  const startOn = (port: number) =>
    Effect.promise(async () => {
      const listening = certificate === undefined ? { port: String(port) } : {
        port: "0",
        "tls-port": String(port),
        "tls-cert-file": `${certificates}/${certificate}.pem`,
        "tls-key-file": `${certificates}/key.pem`,
        "tls-ca-cert-file": `${certificates}/authority.pem`,
        "tls-auth-clients": "no"
      }
      const all = { ...listening, bind: "127.0.0.1", dir: folder, save: "", appendonly: "no", ...settings }
      const started = spawn(
        findRedis() ?? "redis-server",
        Object.entries(all).flatMap(([name, value]) => [`--${name}`, value]),
        { stdio: ["ignore", "pipe", "inherit"] }
      )
      child = started
      let printed = ""
      for await (const chunk of started.stdout.setEncoding("utf8").iterator({ destroyOnReturn: false })) {
        printed += String(chunk)
        if (printed.includes("Ready to accept connections")) break
      }
      started.stdout.resume()
      return printed
    }).pipe(
      Effect.flatMap((printed) =>
        printed.includes("Ready to accept") ? Effect.succeed(port) : Effect.fail(new Error(printed))
      )
    )

  const port = yield* Effect.flatMap(freePort, startOn).pipe(Effect.retry(Schedule.recurs(3)), Effect.orDie)
  const password = settings["requirepass"]
  const scheme = certificate === undefined ? "redis" : "rediss"
  const urlAt = (port: number) =>
    Redacted.make(`${scheme}://${password === undefined ? "" : `:${password}@`}127.0.0.1:${port}`)
  const url = urlAt(port)
  const signal = (name: NodeJS.Signals) => Effect.sync(() => strictEqual(child?.kill(name), true))
  return {
    port,
    pid: () => child?.pid ?? 0,
    url,
    urlAt,
    folder,
    run: (...command) => runAt(url, ...command),
    kill,
    start: Effect.asVoid(Effect.orDie(startOn(port))),
    freeze: signal("SIGSTOP"),
    thaw: signal("SIGCONT")
  }
})

/** A cluster of one node that has all the slots. */
export const makeCluster = Effect.gen(function*() {
  const redis = yield* make({ "cluster-enabled": "yes" })
  yield* redis.run("CLUSTER", "ADDSLOTSRANGE", "0", "16383")
  const isWhole = Effect.map(redis.run("CLUSTER", "INFO"), (info) => String(info).includes("cluster_state:ok"))
  yield* Effect.repeat(isWhole, { until: (whole) => whole })
  return redis
})
