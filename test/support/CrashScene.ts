import { assert } from "@effect/vitest"
import { Clock, Duration, Effect, Redacted } from "effect"
import { type ChildProcess, spawn } from "node:child_process"
import { once } from "node:events"
import { fileURLToPath } from "node:url"
import { webClient } from "../../src/demo/StandInDirectory.ts"
import { ec, ring } from "../proxy/grant/KeyRing.ts"
import type { CrashStore } from "./CrashStore.ts"
import { OktaStandIn } from "./OktaStandIn.ts"
import * as Relay from "./Relay.ts"
import type { Handler } from "./StandInDoor.ts"

const main = fileURLToPath(new URL("../../src/cli/main.ts", import.meta.url))

/** How far each process is ahead of the one before, in seconds: enough for Okta's next word, too little for a code. */
const leap = 25

/** A moment at which a server is killed. */
export type Moment =
  /** As soon as so many steps have been seen: writes to the file, or answers of Redis. */
  | { readonly steps: number }
  /** As soon as so many answers have left the server. */
  | { readonly answers: number }
  /** When Okta's token endpoint has been asked, or has answered. */
  | { readonly okta: "asked" | "answered" }
  /** So long after the requests were sent, in milliseconds. */
  | { readonly after: number }

/**
 * `effect-okta serve` in processes of their own, one after the other on one store, each of them killed without a warning; every
 * process is half a minute ahead of the one before it.
 */
export const make = Effect.fnUntraced(function*(store: CrashStore) {
  const relay = yield* Relay.make()
  const url = `http://127.0.0.1:${relay.port}`
  const clock = yield* Clock.Clock
  let ahead = -leap
  const okta = yield* OktaStandIn.make({ clients: [{ ...webClient, redirectUris: [`${url}/oauth/callback`] }] })
    .pipe(Effect.provideService(Clock.Clock, {
      ...clock,
      currentTimeMillisUnsafe: () => clock.currentTimeMillisUnsafe() + ahead * 1000,
      currentTimeMillis: Effect.sync(() => clock.currentTimeMillisUnsafe() + ahead * 1000)
    }))
  const signingKeys = Redacted.value(ring({ ...ec(), kid: "one" }))

  let child: ChildProcess | undefined
  const kill = () => void child?.kill("SIGKILL")
  const gone = Effect.promise(async () => {
    if (child !== undefined && child.exitCode === null && child.signalCode === null) await once(child, "close")
  })
  yield* Effect.addFinalizer(() => Effect.andThen(Effect.sync(kill), gone))

  /** Starts the next process. */
  const start = Effect.andThen(
    store.pass(Duration.seconds(leap)),
    Effect.promise(async () => {
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
          SERVER_URL: url,
          ENCRYPTION_SECRET: "s".repeat(32),
          SIGNING_KEYS: signingKeys,
          PORT: "0",
          ...store.environment
        },
        stdio: ["ignore", "pipe", "pipe"]
      })
      child = started
      const said: Array<string> = []
      started.stderr.on("data", (chunk) => said.push(String(chunk)))
      relay.flow()
      let printed = ""
      for await (const chunk of started.stdout) {
        printed += String(chunk)
        const port = /^Listening on http:\/\/[^:]+:(\d+)/m.exec(printed)?.[1]
        if (port === undefined) continue
        relay.target = Number(port)
        return
      }
      assert.fail(`The server ended: ${printed}${said.join("")}`)
    })
  )

  /** Sends requests whose answers nobody gets, and kills the server at a moment of its work on them. */
  const crash = <A>(moment: Moment, requests: Effect.Effect<A>) =>
    Effect.scoped(Effect.gen(function*() {
      const asked = yield* okta.requests("token")
      relay.hold()
      relay.onAnswer = () => {
        if ("answers" in moment && relay.held().length >= moment.answers) kill()
      }
      const watching: Handler = (_, response, usual) => {
        if (!("okta" in moment)) return usual()
        if (moment.okta === "asked") return kill()
        response.once("finish", kill)
        return usual()
      }
      yield* okta.respond("token", watching)
      let steps = 0
      const { poll } = yield* store.watch(() => {
        steps++
        if ("steps" in moment && steps >= moment.steps) kill()
      })
      const began = performance.now()
      // What does not come about at all is not waited for.
      const longest = "after" in moment ? moment.after : "answers" in moment ? 10_000 : 1000
      let isOver = false
      const watch = () => {
        if (isOver) return
        poll()
        if (performance.now() - began > longest) kill()
        else if (child?.signalCode === null) setImmediate(watch)
      }
      watch()
      yield* Effect.exit(requests)
      kill()
      yield* gone
      isOver = true
      yield* okta.lift
      return { answered: relay.held().join("\n"), isOktaAsked: (yield* okta.requests("token")) > asked }
    }))

  return { okta, url, start, stop: Effect.andThen(Effect.sync(kill), gone), crash, check: store.check }
})
