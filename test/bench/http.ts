import autocannon from "autocannon"
import { type ChildProcess, fork } from "node:child_process"
import { once } from "node:events"
import { fileURLToPath } from "node:url"
import { type Issuer, received } from "./issuer.ts"
import { median } from "./measure.ts"
import type { Report } from "./server.ts"

const connections = 32

/** More than the 10 000 that are remembered, so that one comes again only when it has been forgotten. */
const unseenEach = 400

export interface HttpMeasured {
  readonly server: "effect-okta" | "express"
  readonly route: string
  readonly requestsPerSecond: number
  /** Processor time of the server for a request, on all its threads, in microseconds. */
  readonly cpu: number
  /** In milliseconds. */
  readonly p99: number
}

interface Running {
  readonly url: string
  readonly cpu: () => Promise<number>
  readonly stop: () => void
}

const start = async (file: string, issuer: Issuer): Promise<Running> => {
  const child = fork(fileURLToPath(new URL(file, import.meta.url)), [issuer.url], { stdio: "inherit" })
  const told = await next(child)
  if (!("port" in told)) throw new Error(`${file} did not say where it listens.`)
  return {
    url: `http://127.0.0.1:${told.port}`,
    cpu: async () => {
      child.send("cpu")
      const told = await next(child)
      return "cpu" in told ? told.cpu : NaN
    },
    stop: () => child.disconnect()
  }
}

const next = async (child: ChildProcess): Promise<Report> => (await once(child, "message"))[0]

const load = async (server: Running, path: string, tokens: ReadonlyArray<string>, seconds: number) => {
  const share = Math.ceil(tokens.length / connections)
  let client = 0
  const before = await server.cpu()
  const result = await autocannon({
    url: `${server.url}${path}`,
    connections,
    duration: seconds,
    setupClient: (connection) => {
      const own = tokens.slice(client * share, ++client * share)
      connection.setRequests(
        own.map((token) => ({ method: "GET", path, headers: { authorization: `Bearer ${token}` } }))
      )
    }
  })
  const cpu = await server.cpu() - before
  if (result.non2xx > 0 || result.errors > 0) throw new Error(`${path} answered ${result.non2xx} requests otherwise.`)
  return { requestsPerSecond: result.requests.average, cpu: cpu / result.requests.total, p99: result.latency.p99 }
}

/** The same route open and guarded, of both servers, taking turns. */
export const measureHttp = async (issuer: Issuer, rounds: number, seconds: number) => {
  const unseen = issuer.tokens("RS256", connections * unseenEach).map(received)
  const seen = unseen.slice(0, connections)
  const servers = {
    "effect-okta": await start("effect-server.ts", issuer),
    express: await start("express-server.ts", issuer)
  }
  const routes = [
    { route: "open", path: "/open", tokens: seen },
    { route: "guarded, tokens seen before", path: "/guarded", tokens: seen },
    { route: "guarded, tokens never seen", path: "/guarded", tokens: unseen }
  ]
  const table = routes.flatMap(({ path, route, tokens }) =>
    (["effect-okta", "express"] as const).map((server) => ({
      server,
      route,
      runs: new Array<Awaited<ReturnType<typeof load>>>(),
      run: () => load(servers[server], path, tokens, seconds)
    }))
  )
  for (let round = -1; round < rounds; round++) {
    for (const { run, runs } of table) {
      const measured = await run()
      if (round >= 0) runs.push(measured)
    }
  }
  Object.values(servers).forEach(({ stop }) => stop())
  return table.map(({ route, runs, server }): HttpMeasured => ({
    server,
    route,
    requestsPerSecond: median(runs.map((run) => run.requestsPerSecond)),
    cpu: median(runs.map((run) => run.cpu)),
    p99: median(runs.map((run) => run.p99))
  }))
}
