import { Effect, type Scope } from "effect"
import { spawn } from "node:child_process"
import { once } from "node:events"
import { text } from "node:stream/consumers"
import { fileURLToPath } from "node:url"

/** How a command came to its end. */
export interface Ended {
  readonly exitCode: number | null
  readonly stdout: string
  readonly stderr: string
}

/** A command that runs in a process of its own. */
export interface Running {
  /** The next piece that it prints on its standard output. */
  readonly printed: Effect.Effect<string>
  /** Waits until it has logged a text on its standard error. */
  readonly logged: (text: string) => Effect.Effect<void>
  readonly signal: (name: "SIGTERM" | "SIGINT" | "SIGKILL" | "SIGHUP") => Effect.Effect<void>
  readonly ended: Effect.Effect<Ended>
}

export interface CommandOptions {
  /** All of the environment that matters to the command. */
  readonly env?: Readonly<Record<string, string>> | undefined
  /** Arguments of Node's own. */
  readonly node?: ReadonlyArray<string>
  /** Default: the source. */
  readonly entry?: "src/cli/main.ts" | "dist/cli/main.js"
  /** What it reads; nothing by default. */
  readonly stdin?: string
}

/** Starts `effect-okta` with the Node that runs the tests; it is killed with the scope, if it still lives. */
export const start = (
  args: ReadonlyArray<string>,
  { entry = "src/cli/main.ts", env = {}, node = [], stdin = "" }: CommandOptions = {}
): Effect.Effect<Running, never, Scope.Scope> =>
  Effect.acquireRelease(
    Effect.sync(() => {
      const main = fileURLToPath(new URL(`../../${entry}`, import.meta.url))
      const child = spawn(process.execPath, [...node, main, ...args], {
        env: { NO_COLOR: "1", ...env },
        stdio: ["pipe", "pipe", "pipe"]
      })
      // Who reads nothing may have ended before it is written.
      child.stdin.on("error", () => {}).end(stdin)
      const first = once(child.stdout, "data").then(([chunk]) => String(chunk))
      first.catch(() => {})
      let log = ""
      child.stderr.on("data", (chunk) => void (log += String(chunk)))
      const logged = async (text: string) => {
        while (!log.includes(text)) await once(child.stderr, "data")
      }
      const ended = Promise.all([once(child, "close"), text(child.stdout), text(child.stderr)])
        .then(([[exitCode], stdout, stderr]): Ended => ({ exitCode, stdout, stderr }))
      return { child, first, logged, ended }
    }),
    ({ child, ended }) =>
      Effect.promise(() => {
        child.kill("SIGKILL")
        return ended
      })
  ).pipe(
    Effect.map(({ child, ended, first, logged }) => ({
      printed: Effect.promise(() =>
        Promise.race([first, ended.then(({ stderr }) => Promise.reject(new Error(`It ended: ${stderr}`)))])
      ),
      logged: (text) => Effect.promise(() => logged(text)),
      signal: (name) => Effect.sync(() => void child.kill(name)),
      ended: Effect.promise(() => ended)
    }))
  )

/** Runs `effect-okta` to its end. */
export const run = (args: ReadonlyArray<string>, options?: CommandOptions): Effect.Effect<Ended> =>
  Effect.scoped(Effect.flatMap(start(args, options), ({ ended }) => ended))
