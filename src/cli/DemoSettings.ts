import { Config, Effect, FileSystem, Option, Result } from "effect"
import { tmpdir } from "node:os"
import { join, resolve } from "node:path"
import { InvalidConfiguration } from "../config/InvalidConfiguration.ts"
import * as StandInServer from "../demo/StandInServer.ts"
import { portOf } from "./settings.ts"

/** Where the demo listens and keeps things. */
export interface DemoSettings {
  readonly port: number
  readonly oktaPort: number
  readonly demoPort: number
  /** Exists, and is open to its owner only where the demo has made it. */
  readonly folder: string
}

const ports = [["PORT", "8080"], ["OKTA_PORT", "8081"], ["DEMO_PORT", "8082"]] as const

const mistake = (field: string, value: string, message: string) =>
  new InvalidConfiguration({ problems: [{ field, value, message }] })

/** A port that nobody has, kept until the scope closes so that no other is given the same. */
const freePort = Effect.fnUntraced(function*(variable: string, usual: string) {
  const port = yield* portOf(variable, usual)
  const listening = yield* Effect.mapError(StandInServer.listen(port), ({ cause }) =>
    mistake(
      variable,
      String(port),
      `cannot be had (${cause instanceof Error ? cause.message : String(cause)}). Choose another, or 0 for a free one.`
    ))
  return listening.port
})

/** In a folder for temporary files, which others may write too: their folder of the same name is not for us. */
const madeFolder = Effect.fnUntraced(function*(folder: string) {
  const fs = yield* FileSystem.FileSystem
  yield* fs.makeDirectory(folder, { recursive: true, mode: 0o700 })
  const { uid } = yield* fs.stat(folder)
  const own = process.getuid?.()
  return own === undefined || Option.getOrElse(uid, () => own) === own
}, (effect, folder) =>
  Effect.matchEffect(effect, {
    onSuccess: (isOurs) =>
      isOurs ? Effect.succeed(folder) : Effect.fail(
        mistake("DATA_DIR", folder, "belongs to somebody else. Name a folder of your own.")
      ),
    onFailure: ({ message }) => Effect.fail(mistake("DATA_DIR", folder, `cannot be made: ${message}.`))
  }))

/** The settings of the demo, or everything that is wrong with them. Nothing listens yet. */
export const checkSettings = Effect.scoped(Effect.gen(function*() {
  const [port, oktaPort, demoPort] = yield* Effect.all([
    Effect.result(freePort(...ports[0])),
    Effect.result(freePort(...ports[1])),
    Effect.result(freePort(...ports[2]))
  ])
  const given = (yield* Effect.orDie(Config.String("DATA_DIR").pipe(Config.withDefault("")))).trim()
  const usual = join(
    tmpdir(),
    `effect-okta-demo-${process.getuid?.() ?? "user"}`,
    String(Result.getOrElse(port, () => "port"))
  )
  const folder = yield* Effect.result(madeFolder(given === "" ? usual : resolve(given)))
  const checks = { port, oktaPort, demoPort, folder }
  const problems = Object.values(checks).flatMap((check: Result.Result<unknown, InvalidConfiguration>) =>
    Result.isFailure(check) ? check.failure.problems : []
  )
  return yield* problems.length > 0 ? new InvalidConfiguration({ problems }) : Effect.fromResult(Result.all(checks))
}))
