import { Effect, Layer } from "effect"
import { McpProtocol, McpServer, Tool, Toolkit } from "effect/ai"
import { routePath } from "../config/PublicUrl.ts"
import { CurrentPrincipal, Principal } from "../token/Principal.ts"

const Whoami = Tool.make("whoami", {
  description: "Tells who is signed in, through which client and with which scopes",
  success: Principal,
  dependencies: [CurrentPrincipal]
}).annotate(Tool.Readonly, true).annotate(Tool.Destructive, false)

const WhoamiToolkit = Toolkit.make(Whoami)

/** A small MCP server with one tool, `whoami`, to see the guard at work. */
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
    registrations: McpServer.toolkit(WhoamiToolkit).pipe(
      Layer.provide(WhoamiToolkit.toLayer({ whoami: () => Effect.flatMap(CurrentPrincipal, Effect.succeed) }))
    )
  }).pipe(Layer.orDie)
