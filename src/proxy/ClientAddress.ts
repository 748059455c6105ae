import { Option } from "effect"
import type { HttpServerRequest } from "effect/http"

/**
 * Who calls: the other end of the connection, or what the outermost of the trusted proxies says that it was. An IPv4 address stays one
 * where it comes to a server that listens on all addresses (RFC 4291 section 2.5.5.2).
 */
export const addressOf = (
  { headers, remoteAddress }: HttpServerRequest.HttpServerRequest,
  trustedProxies: number
): string => {
  const told = trustedProxies === 0 ? undefined : headers["x-forwarded-for"]?.split(",").at(-trustedProxies)?.trim()
  return (told ?? Option.getOrElse(remoteAddress, () => "unknown")).replace(/^::ffff:(?=\d+\.)/i, "")
}
