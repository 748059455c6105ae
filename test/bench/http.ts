import autocannon from "autocannon"
import { type ChildProcess, fork } from "node:child_process"
import { once } from "node:events"
import { fileURLToPath } from "node:url"
import { ProofKey } from "../support/Proofs.ts"
import { type Issuer, received } from "./issuer.ts"
import { median } from "./measure.ts"
import type { Report } from "./server.ts"

const connections = 32

/** More than the 10 000 that are remembered, so that one comes again only when it has been forgotten. */
const unseenEach = 400

/** In a second. */
const mostProofs = 12_000

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

/** The headers of one request. */
type Headers = Readonly<Record<string, string>>

const load = async (server: Running, path: string, requests: ReadonlyArray<Headers>, seconds: number) => {
  const share = Math.ceil(requests.length / connections)
  let client = 0
  const before = await server.cpu()
  const result = await autocannon({
    url: `${server.url}${path}`,
    connections,
    duration: seconds,
    setupClient: (connection) => {
      const own = requests.slice(client * share, ++client * share)
      connection.setRequests(own.map((headers) => ({ method: "GET", path, headers })))
    }
  })
  const cpu = await server.cpu() - before
  if (result.non2xx > 0 || result.errors > 0) throw new Error(`${path} answered ${result.non2xx} requests otherwise.`)
  return { requestsPerSecond: result.requests.average, cpu: cpu / result.requests.total, p99: result.latency.p99 }
}

/** More than are sent in so many seconds, since each is good once. */
const proven = (key: ProofKey, tokens: ReadonlyArray<string>, seconds: number): ReadonlyArray<Headers> => {
  const iat = Math.floor(Date.now() / 1000)
  return Array.from({ length: mostProofs * seconds }, (_, i) => {
    const token = tokens[i % tokens.length] ?? ""
    return { authorization: `DPoP ${token}`, dpop: key.proof({ url: "https://mcp.example.com/guarded", iat, token }) }
  })
}

/** The same route open and guarded, of both servers, taking turns. */
export const measureHttp = async (issuer: Issuer, rounds: number, seconds: number) => {
  const unseen = issuer.tokens("RS256", connections * unseenEach).map(received)
  const bearer = (tokens: ReadonlyArray<string>) =>
    tokens.map((token): Headers => ({ authorization: `Bearer ${token}` }))
  const seen = bearer(unseen.slice(0, connections))
  const key = new ProofKey()
  const bound = issuer.tokens("RS256", connections, key.thumbprint).map(received)
  const servers = {
    "effect-okta": await start("effect-server.ts", issuer),
    express: await start("express-server.ts", issuer)
  }
  const routes = [
    { route: "open", path: "/open", requests: (): ReadonlyArray<Headers> => seen },
    { route: "guarded, tokens seen before", path: "/guarded", requests: (): ReadonlyArray<Headers> => seen },
    { route: "guarded, tokens never seen", path: "/guarded", requests: () => bearer(unseen) }
  ]
  const row = (server: keyof typeof servers, { path, requests, route }: (typeof routes)[number]) => ({
    server,
    route,
    runs: new Array<Awaited<ReturnType<typeof load>>>(),
    run: () => load(servers[server], path, requests(), seconds)
  })
  const table = [
    ...routes.flatMap((route) => (["effect-okta", "express"] as const).map((server) => row(server, route))),
    // Express's middleware has no DPoP that remembers proofs, so that there is nothing to compare with.
    row("effect-okta", {
      route: "guarded, DPoP: tokens seen before, a new proof each",
      path: "/guarded",
      requests: () => proven(key, bound, seconds)
    })
  ]
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
