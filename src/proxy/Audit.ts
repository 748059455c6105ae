import { Context, Effect } from "effect"
import { HttpServerRequest } from "effect/http"
import { createHash } from "node:crypto"
import { isIP } from "node:net"
import type { InvalidConfiguration } from "../config/InvalidConfiguration.ts"
import type { OktaConfig } from "../config/OktaConfig.ts"
import type { AuditEvent } from "../observe/AuditEvent.ts"
import { AuditLog, record } from "../observe/AuditLog.ts"
import { addressOf } from "./ClientAddress.ts"
import { proxySettings } from "./ProxySettings.ts"

/** When something happened, and from where it was asked for. */
type Origin = Pick<AuditEvent, "at" | "address">

/** Notes an event, which gets its time and, within a request, its address. */
export type Audit = (make: (origin: Origin) => AuditEvent) => Effect.Effect<void>

/** How the parts of the authorization server note what happens. */
export const make: Effect.Effect<Audit, InvalidConfiguration, OktaConfig> = Effect.gen(function*() {
  const { trustedProxies } = yield* proxySettings
  const write = yield* AuditLog
  return (make) =>
    Effect.withFiber(({ context }) => {
      const request = Context.getOrUndefined(context, HttpServerRequest.HttpServerRequest)
      const address = request === undefined ? "" : addressOf(request, trustedProxies)
      // What a header says that is no address could be anything.
      const origin = isIP(address) === 0 ? undefined : { address }
      return record(write, (at) => make({ at, ...origin }))
    })
})

const beginningOfHash = (text: string): string => createHash("sha256").update(text).digest("base64url").slice(0, 16)

/** A grant as events name it: what its id is cannot be told from that. */
export const grantHandle = (id: string): string => beginningOfHash(id)

/** A client as events name it: a registered one's id is a record of up to 4 KiB. */
export const clientHandle = (id: string): string => id.length > 100 ? beginningOfHash(id) : id

/** Where a redirect URI leads, without what a client may have put into it; its scheme, if it leads into an application. */
export const hostOf = (redirectUri: string): string => {
  const { host, protocol } = new URL(redirectUri)
  return /^https?:$/.test(protocol) ? host : protocol
}
