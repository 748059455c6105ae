import { assert } from "@effect/vitest"
import { Clock, Effect, type Scope } from "effect"
import { type ChildProcess, spawn } from "node:child_process"
import { once } from "node:events"
import { type AddressInfo, connect, createServer, type Socket } from "node:net"
import { DatabaseSync } from "node:sqlite"
import { fileURLToPath } from "node:url"
import { webClient } from "../../src/demo/StandInDirectory.ts"
import { newFile } from "../store/StoreFile.ts"
import { OktaStandIn } from "./OktaStandIn.ts"
import type { Handler } from "./StandInDoor.ts"

const main = fileURLToPath(new URL("../../src/cli/main.ts", import.meta.url))

/** How far each process is ahead of the one before, in seconds: enough for Okta's next word, too little for a code. */
const leap = 25

/** An address before the servers, which can keep what they answer to itself. */
const makeRelay: Effect.Effect<Relay, never, Scope.Scope> = Effect.gen(function*() {
  const sockets = new Set<Socket>()
  const relay = { port: 0, url: "", isCut: false, kept: new Map<Socket, string>(), onAnswer: () => {} }
  const server = createServer((socket) => {
    const onward = connect(relay.port, "127.0.0.1")
    for (const [one, other] of [[socket, onward], [onward, socket]] as const) {
      sockets.add(one)
      one.on("error", () => other.destroy()).on("close", () => {
        sockets.delete(one)
        other.destroy()
      })
    }
    socket.pipe(onward)
    onward.on("data", (chunk: Buffer) => {
      if (!relay.isCut) return void socket.write(chunk)
      relay.kept.set(onward, (relay.kept.get(onward) ?? "") + chunk.toString("latin1"))
      relay.onAnswer()
    })
  })
  yield* Effect.acquireRelease(
    Effect.callback<void>((resume) => void server.listen(0, "127.0.0.1", () => resume(Effect.void))),
    () =>
      Effect.callback<void>((resume) => {
        server.close(() => resume(Effect.void))
        for (const socket of sockets) socket.destroy()
      })
  )
  // oxlint-disable-next-line typescript/no-unsafe-type-assertion -- it listens on TCP
  relay.url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
  return relay
})

interface Relay {
  /** Of the server behind. */
  port: number
  url: string
  /** Whether answers are kept from those who asked. */
  isCut: boolean
  /** What was kept, by connection. */
  readonly kept: Map<Socket, string>
  onAnswer: () => void
}

/** A moment at which a server is killed. */
export type Moment =
  /** As soon as so many writes to the file have been seen. */
  | { readonly writes: number }
  /** As soon as so many answers have left the server. */
  | { readonly answers: number }
  /** When Okta's token endpoint has been asked, or has answered. */
  | { readonly okta: "asked" | "answered" }
  /** So long after the requests were sent, in milliseconds. */
  | { readonly after: number }

/**
 * `effect-okta serve` in processes of their own, one after the other on one SQLite file, each of them killed without a
 * warning; every process is half a minute ahead of the one before it.
 */
export const make = Effect.gen(function*() {
  const relay = yield* makeRelay
  const clock = yield* Clock.Clock
  let ahead = -leap
  const okta = yield* OktaStandIn.make({ clients: [{ ...webClient, redirectUris: [`${relay.url}/oauth/callback`] }] })
    .pipe(Effect.provideService(Clock.Clock, {
      ...clock,
      currentTimeMillisUnsafe: () => clock.currentTimeMillisUnsafe() + ahead * 1000,
      currentTimeMillis: Effect.sync(() => clock.currentTimeMillisUnsafe() + ahead * 1000)
    }))
  const file = yield* newFile

  let child: ChildProcess | undefined
  const kill = () => void child?.kill("SIGKILL")
  const gone = Effect.promise(async () => {
    if (child !== undefined && child.exitCode === null && child.signalCode === null) await once(child, "close")
  })
  yield* Effect.addFinalizer(() => Effect.andThen(Effect.sync(kill), gone))

  /** Starts the next process. */
  const start = Effect.promise(async () => {
    ahead += leap
    const shift = `const now = Date.now; Date.now = () => now() + ${ahead * 1000}`
    const started = spawn(process.execPath, [
      "--import",
      `data:text/javascript,${encodeURIComponent(shift)}`,
      main,
      "serve"
    ], {
      env: {
        OKTA_ISSUER: okta.issuer,
        OKTA_CLIENT_ID: webClient.clientId,
        OKTA_CLIENT_SECRET: webClient.clientSecret ?? "",
        // The secrets are those that the first process has made and kept.
        SERVER_URL: relay.url,
        SQLITE_FILE: file,
        PORT: "0"
      },
      stdio: ["ignore", "pipe", "pipe"]
    })
    child = started
    const said: Array<string> = []
    started.stderr.on("data", (chunk) => said.push(String(chunk)))
    relay.isCut = false
    relay.kept.clear()
    let printed = ""
    for await (const chunk of started.stdout) {
      printed += String(chunk)
      const port = /^Listening on http:\/\/[^:]+:(\d+)/m.exec(printed)?.[1]
      if (port === undefined) continue
      relay.port = Number(port)
      return
    }
    assert.fail(`The server ended: ${printed}${said.join("")}`)
  })

  /** Sends requests whose answers nobody gets, and kills the server at a moment of its work on them. */
  const crash = <A>(moment: Moment, requests: Effect.Effect<A>) =>
    Effect.gen(function*() {
      const asked = yield* okta.requests("token")
      relay.isCut = true
      relay.onAnswer = () => {
        if ("answers" in moment && relay.kept.size >= moment.answers) kill()
      }
      const watching: Handler = (_, response, usual) => {
        if (!("okta" in moment)) return usual()
        if (moment.okta === "asked") return kill()
        response.once("finish", kill)
        return usual()
      }
      yield* okta.respond("token", watching)
      const database = new DatabaseSync(file, { readOnly: true })
      const version = database.prepare("PRAGMA data_version")
      const readVersion = () => Number(Object.values({ ...version.get() })[0])
      let last = readVersion()
      let writes = 0
      const began = performance.now()
      // What does not come about at all is not waited for.
      const longest = "after" in moment ? moment.after : "answers" in moment ? 10_000 : 1000
      let isOver = false
      const watch = () => {
        if (isOver) return
        const now = readVersion()
        if (now !== last) writes++
        last = now
        const elapsed = performance.now() - began
        if ("writes" in moment && writes >= moment.writes || elapsed > longest) kill()
        else if (child?.signalCode === null) setImmediate(watch)
      }
      watch()
      yield* Effect.exit(requests)
      kill()
      yield* gone
      isOver = true
      database.close()
      yield* okta.lift
      return { answered: [...relay.kept.values()].join("\n"), isOktaAsked: (yield* okta.requests("token")) > asked }
    })

  return { okta, url: relay.url, file, start, stop: Effect.andThen(Effect.sync(kill), gone), crash }
})
