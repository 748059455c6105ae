import { NodeRuntime, NodeServices } from "@effect/platform-node"
import { Cause, Effect, Exit, Runtime } from "effect"
import { Command } from "effect/cli"
import * as serve from "./serve.ts"
import { version } from "./version.ts"

const effectOkta = Command.make("effect-okta").pipe(
  Command.withDescription("Okta in front of an MCP server or an HTTP API"),
  Command.withSubcommands([serve.command])
)

// A signal ends a server as it should: that is success.
const teardown: Runtime.Teardown = (exit, onExit) =>
  Exit.isFailure(exit) && Cause.hasInterruptsOnly(exit.cause) ? onExit(0) : Runtime.defaultTeardown(exit, onExit)

effectOkta.pipe(
  Command.run({ version }),
  Effect.provide(NodeServices.layer),
  NodeRuntime.runMain({ teardown })
)
