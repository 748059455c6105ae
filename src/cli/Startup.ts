import { Console, Effect } from "effect"
import { TerminalCapabilities } from "effect/cli"
import { issuerKind } from "../config/IssuerUrl.ts"
import type { Settings } from "../config/OktaConfig.ts"
import { isLoopbackHost, portOf } from "../config/PublicUrl.ts"
import { protectedResources } from "../resource/ResourceMetadata.ts"

/** A server that listens. */
export interface Started {
  /** Where it listens, with the protected path. */
  readonly url: string
  readonly settings: Settings
  readonly upstream: URL | undefined
}

/** What is told about one thing, on lines of its own below each other. */
export type Row = readonly [name: string, ...texts: ReadonlyArray<string>]

const modes = {
  native: "native: clients sign in with Okta themselves",
  proxy: "proxy: this server signs people in at Okta for its clients, and gives them tokens of its own"
}

const kinds = { org: "an org authorization server", custom: "a custom authorization server" }

/** What is told of Cross App Access. */
const idJags = ({ enterpriseManaged }: Extract<Settings, { readonly mode: "proxy" }>): ReadonlyArray<string> =>
  enterpriseManaged === false
    ? []
    : [enterpriseManaged === "only" ? "tokens for ID-JAGs only: nobody signs in here" : "tokens for ID-JAGs too"]

/** Where a client reads how to sign in. */
export const metadataOf = ({ settings }: Started): ReadonlyArray<string> => {
  const [resource] = protectedResources(settings)
  if (resource === undefined) return []
  return [
    resource.metadataUrl,
    ...(settings.mode === "proxy" ? [`${settings.serverUrl}/.well-known/oauth-authorization-server`] : [])
  ]
}

/** What is told where SERVER_URL leads past a server that can be reached on this machine only. */
const elsewhere = ({ settings: { serverUrl }, url }: Started): ReadonlyArray<string> => {
  if (serverUrl === undefined) return []
  const [told, listening] = [new URL(serverUrl), new URL(url)]
  if (![told, listening].every(({ hostname }) => isLoopbackHost(hostname)) || portOf(told) === portOf(listening)) {
    return []
  }
  return [`SERVER_URL leads to port ${portOf(told)}: listen there, by PORT, or have something there lead here`]
}

/** The lines that tell what a server is set to. */
export const rowsOf = (started: Started): ReadonlyArray<Row> => {
  const { settings, upstream, url } = started
  const { issuer, mode, serverUrl } = settings
  const metadata = metadataOf(started)
  const path = new URL(url).pathname
  return [
    ["mode", modes[mode], ...(settings.mode === "proxy" ? idJags(settings) : [])],
    ["Okta", `${issuer} (${kinds[issuerKind(issuer)]})`],
    [
      "protected",
      `${serverUrl === undefined ? url : serverUrl + path}, and everything below it`,
      ...elsewhere(started)
    ],
    metadata.length === 0
      ? ["metadata", "none: without SERVER_URL nobody is told where to sign in"]
      : ["metadata", ...metadata],
    ["upstream", upstream?.href ?? "none: the built-in MCP server answers"]
  ]
}

/** Rows in columns, the names in bold where a terminal can show it. */
export const columns = Effect.fnUntraced(function*(rows: ReadonlyArray<Row>) {
  const { canColor } = yield* TerminalCapabilities.TerminalCapabilities
  const width = Math.max(...rows.map(([name]) => name.length)) + 2
  return rows.flatMap(([name, ...texts]) =>
    texts.map((text, index) => {
      const label = (index === 0 ? name : "").padEnd(width)
      return `  ${canColor ? `\u001b[1m${label}\u001b[22m` : label}${text}`
    })
  ).join("\n")
})

/** Says that a server listens: the first line is for programs too. */
export const announce = (started: Started): Effect.Effect<void> =>
  Effect.flatMap(
    columns(rowsOf(started)),
    (text) => Console.log(`Listening on ${started.url}, guarded by ${started.settings.issuer}\n${text}`)
  )

/** The same as one object of JSON. */
export const announceJson = (started: Started): Effect.Effect<void> => {
  const { settings: { issuer, mode }, upstream, url } = started
  return Console.log(
    JSON.stringify({ event: "listening", url, mode, issuer, metadata: metadataOf(started), upstream: upstream?.href })
  )
}
