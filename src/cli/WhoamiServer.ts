import { Effect, Layer, Schema } from "effect"
import { McpProtocol, McpServer, Tool, Toolkit } from "effect/ai"
import { routePath } from "../config/PublicUrl.ts"
import { CurrentPrincipal, Principal } from "../token/Principal.ts"

const Whoami = Tool.make("whoami", {
  description: "Tells who is signed in, through which client and with which scopes",
  success: Principal,
  dependencies: [CurrentPrincipal]
}).annotate(Tool.Readonly, true).annotate(Tool.Destructive, false)

const Hello = Tool.make("hello", {
  description: "Greets who is signed in",
  success: Schema.String,
  dependencies: [CurrentPrincipal]
}).annotate(Tool.Readonly, true).annotate(Tool.Destructive, false)

const Tools = Toolkit.make(Whoami, Hello)

const nameOf = (principal: Principal): string => principal._tag === "User" ? principal.username : principal.clientId

/** A small MCP server with two tools, `whoami` and `hello`, to see the guard at work. */
export const layer = (options: {
  readonly path: string
  readonly version: string
  readonly allowedOrigins: ReadonlyArray<string>
}) =>
  McpServer.layerHttp({
    name: "effect-okta",
    ...options,
    path: routePath(options.path),
    protocols: [McpProtocol.v2026_07_28, McpProtocol.v2025_11_25, McpProtocol.v2025_06_18],
    registrations: McpServer.toolkit(Tools).pipe(
      Layer.provide(
        Tools.toLayer({
          whoami: () => Effect.flatMap(CurrentPrincipal, Effect.succeed),
          hello: () => Effect.map(CurrentPrincipal, (principal) => `Hello ${nameOf(principal)}`)
        })
      )
    )
  }).pipe(Layer.orDie)
