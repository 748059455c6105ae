import * as NodeRuntime from "@effect/platform-node/NodeRuntime"
import * as NodeServices from "@effect/platform-node/NodeServices"
import { Cause, Effect, Exit, Runtime } from "effect"
import { CliError, Command } from "effect/cli"
import * as demo from "./demo.ts"
import * as doctor from "./doctor.ts"
import * as grants from "./grants.ts"
import * as keys from "./keys.ts"
import * as serve from "./serve.ts"
import { version } from "./version.ts"

const effectOkta = Command.make("effect-okta").pipe(
  Command.withDescription("Okta in front of an MCP server or an HTTP API"),
  Command.withSubcommands([serve.command, doctor.command, grants.command, keys.command, demo.command])
)

const isUsageError = (error: unknown): boolean => CliError.isCliError(error) && error._tag === "ShowHelp"

// A signal ends a server as it should: that is success. A wrong flag ends the command as any wrong setting does.
const teardown: Runtime.Teardown = (exit, onExit) => {
  if (Exit.isSuccess(exit) || Cause.hasInterruptsOnly(exit.cause)) return onExit(0)
  Runtime.defaultTeardown(exit, (code) => onExit(code === 1 && isUsageError(Cause.squash(exit.cause)) ? 2 : code))
}

effectOkta.pipe(
  Command.run({ version }),
  Effect.provide(NodeServices.layer),
  NodeRuntime.runMain({ teardown })
)
