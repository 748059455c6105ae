import { Schema } from "effect"
import { escaped } from "../config/EscapedText.ts"
import type { Settings } from "../config/OktaConfig.ts"
import { isLoopbackHost } from "../config/PublicUrl.ts"

/** The request comes from a web page, or by a host name, that this server does not serve. */
export class ForbiddenOrigin extends Schema.TaggedError<ForbiddenOrigin>()("ForbiddenOrigin", {
  header: Schema.Literals(["host", "origin"]),
  actual: Schema.String
}) {
  override get message() {
    return escaped(
      `The request's ${this.header} is ${JSON.stringify(this.actual)}. If that is meant to be, ` +
        (this.header === "origin" ? "name it in `allowedOrigins`." : "put this host into `serverUrl` (SERVER_URL).")
    )
  }
}

/** Decides by its headers whether a request may come from where it does; `undefined` when it may. */
export type OriginCheck = (
  headers: { readonly [name: string]: string | undefined }
) => ForbiddenOrigin | undefined

/**
 * The check for a server. One on loopback is reached by web pages through DNS names of theirs (DNS rebinding), so it asks
 * both `Host` and `Origin`; any other asks `Origin` only when origins are named. Without a `serverUrl` a server is taken
 * to be on loopback when `loopbackOnly` says so.
 *
 * @see https://modelcontextprotocol.io/specification/2025-11-25/basic/transports#security-warning
 */
export const originCheck = ({ allowedOrigins, loopbackOnly, serverUrl }: Settings): OriginCheck | undefined => {
  const server = serverUrl === undefined ? undefined : new URL(serverUrl)
  const onLoopback = server === undefined ? loopbackOnly : isLoopbackHost(server.hostname)
  if (!onLoopback && allowedOrigins === undefined) return undefined
  const mayCall = (origin: string) =>
    origin === server?.origin || allowedOrigins?.includes(origin) === true ||
    allowedOrigins === undefined && URL.canParse(origin) && isLoopbackHost(new URL(origin).hostname)
  return ({ host, origin }) => {
    if (onLoopback && (host === undefined || !isLoopbackHost(host.replace(/:\d*$/, "").toLowerCase()))) {
      return new ForbiddenOrigin({ header: "host", actual: host?.slice(0, 200) ?? "absent" })
    }
    return origin === undefined || mayCall(origin)
      ? undefined
      : new ForbiddenOrigin({ header: "origin", actual: origin.slice(0, 200) })
  }
}
