/**
 * Mixed load on two replicas over Redis while everything around them is rotated, stopped and killed: `npm run test:soak`, for
 * `SOAK_MINUTES` (10). Prints a table and JSON of what was measured, and fails when anything that must be 0 is not.
 */
import { Effect, Redacted } from "effect"
import { mkdirSync, readFileSync, rmSync } from "node:fs"
import { fileURLToPath } from "node:url"
import { webClient } from "../../src/demo/StandInDirectory.ts"
import { ec, ring } from "../proxy/grant/KeyRing.ts"
import { OktaStandIn } from "../support/OktaStandIn.ts"
import * as RedisServer from "../support/RedisServer.ts"
import { Figures, heapSlope, round } from "./Figures.ts"
import { People } from "./People.ts"
import { freePort, Front, Process } from "./Replicas.ts"
import type { Sample } from "./server.ts"

const minutes = Number(process.env["SOAK_MINUTES"] ?? 10)
const atOnce = Number(process.env["SOAK_AT_ONCE"] ?? 16)
const people = 60

const folder = fileURLToPath(new URL("../.tmp/soak", import.meta.url))
const pause = (milliseconds: number) => new Promise((resume) => setTimeout(resume, milliseconds))

const soak = Effect.gen(function*() {
  rmSync(folder, { recursive: true, force: true })
  mkdirSync(folder, { recursive: true })
  const fronts = { proxy: new Front(), native: new Front() }
  const ports = yield* Effect.promise(async () => ({
    proxy: await fronts.proxy.listen(),
    native: await fronts.native.listen()
  }))
  yield* Effect.addFinalizer(() => Effect.sync(() => [fronts.proxy, fronts.native].forEach((front) => front.close())))
  const places = { proxy: `http://127.0.0.1:${ports.proxy}`, native: `http://127.0.0.1:${ports.native}` }

  const okta = yield* OktaStandIn.make({
    clients: [{ ...webClient, redirectUris: [`${places.proxy}/oauth/callback`] }],
    people: Array.from({ length: people }, (_, index) => ({
      login: `person-${index}@example.com`,
      givenName: "Person",
      familyName: String(index)
    })),
    // So that tokens run out, and Okta is asked again, many times in the run.
    accessTokenLifetime: 60
  })
  const redis = yield* RedisServer.make({ appendonly: "yes", appendfsync: "always" })
  const figures = new Figures()
  const shared = {
    issuer: okta.issuer,
    audience: okta.audience,
    serverUrl: places.proxy,
    clientId: webClient.clientId,
    clientSecret: webClient.clientSecret ?? "",
    encryptionSecret: "s".repeat(32),
    signingKeys: Redacted.value(ring({ ...ec(), kid: "one" })),
    redisUrl: Redacted.value(redis.url)
  }
  const start = async (name: string) => {
    const ports = { proxy: await freePort(), native: await freePort() }
    const replica = new Process({ ...shared, ports, samples: `${folder}/${name}.jsonl` }, fronts)
    await replica.start()
    return replica
  }
  const [, other] = yield* Effect.acquireRelease(
    Effect.promise(() => Promise.all([start("one"), start("other")])),
    (replicas) => Effect.promise(() => Promise.all(replicas.map((replica) => replica.end("SIGKILL"))))
  )

  const load = new People(okta, places, figures)
  console.error("The replicas are ready.")
  yield* Effect.promise(() => load.register())
  yield* Effect.promise(() => load.renewNative())

  const began = performance.now()
  const ends = began + minutes * 60_000
  const isOver = () => performance.now() >= ends
  /** Does something now and again, and leaves the last 20 seconds in peace. */
  const every = async (seconds: number, act: () => Promise<unknown>) => {
    while (performance.now() + (seconds + 20) * 1000 < ends) {
      await pause(seconds * 1000)
      await act()
    }
  }
  const worker = async () => {
    while (!isOver()) await load.act()
  }
  let restarts = 0
  const restart = async () => {
    const signal = restarts++ % 2 === 0 ? "SIGTERM" : "SIGKILL"
    const code = await other.end(signal)
    figures.count(`replica ended by ${signal}`)
    if (signal === "SIGTERM" && code !== 0) figures.fault("unclean ends", `a replica ended with ${code} after SIGTERM`)
    await other.start()
  }
  const rotate = async () => {
    await Effect.runPromise(okta.rotateKeys)
    await load.renewNative()
    figures.count("keys rotated at Okta")
  }
  const restartRedis = async () => {
    await Effect.runPromise(redis.kill)
    await pause(2000)
    await Effect.runPromise(redis.start)
    figures.count("Redis killed and started")
  }
  yield* Effect.promise(() =>
    Promise.all([
      ...Array.from({ length: atOnce }, worker),
      every(30, async () => console.error(`${figures.requests} requests so far`)),
      every(25, rotate),
      every(40, restart),
      every(70, restartRedis)
    ])
  )
  const seconds = (performance.now() - began) / 1000

  const samples = readFileSync(`${folder}/one.jsonl`, "utf8").trim().split("\n").map((line): Sample => JSON.parse(line))
  const result = {
    ...figures.summary(seconds),
    "event loop's delay, p99 of the median second, in ms": round(
      samples.map(({ delayP99 }) => delayP99).sort((a, b) => a - b)[Math.floor(samples.length / 2)] ?? Number.NaN
    ),
    "event loop's delay, longest, in ms": round(Math.max(...samples.map(({ delayMax }) => delayMax))),
    "heap, MB a minute": round(heapSlope(samples)),
    "heap in use at the end, MB": round(samples.findLast(({ collected }) => collected)?.heap ?? Number.NaN),
    "memory at the end, MB": round(samples.at(-1)?.resident ?? Number.NaN)
  }
  console.table(result)
  console.log(JSON.stringify(result))
  return figures.isFaultless
})

const isFaultless = await Effect.runPromise(Effect.scoped(soak))
// Connections that are kept alive would keep the process alive too.
process.exit(isFaultless ? 0 : 1)
