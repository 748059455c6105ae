import { Effect } from "effect"
import { ServiceTokenIssued } from "../../observe/AuditEvent.ts"
import { protectedResources } from "../../resource/ResourceMetadata.ts"
import type { Service } from "../../token/Principal.ts"
import { type Audit, clientHandle } from "../Audit.ts"
import type { Client } from "../client/Client.ts"
import type { ProxySettings } from "../ProxySettings.ts"
import { resourceNamed } from "../ResourceIndicator.ts"
import { GrantTypeNotAllowed, InvalidTarget, ScopesNotGranted } from "./GrantError.ts"
import { type TokenIssuer, tokenType } from "./IssuedToken.ts"
import { narrowed } from "./Narrowed.ts"

/** What a client asks for itself. */
export interface ServiceRequest {
  readonly scopes?: ReadonlyArray<string> | undefined
  readonly resource?: string | undefined
  /** The thumbprint of a key that the client has proven to hold. */
  readonly dpopKey?: string | undefined
}

/**
 * Gives tokens to clients that act for themselves (RFC 6749 section 4.4): configured ones with `serviceScopes`, which have
 * secrets or keys.
 */
export const issuance = (
  settings: ProxySettings,
  { audit, issuer }: { readonly audit: Audit; readonly issuer: TokenIssuer["Service"] }
) =>
  Effect.fnUntraced(function*(
    { clientId, serviceScopes }: Client,
    { dpopKey, resource: asked = settings.serverUrl, scopes: wanted = [] }: ServiceRequest
  ) {
    if (serviceScopes === undefined) return yield* new GrantTypeNotAllowed({ grantType: "client_credentials" })
    const resource = resourceNamed(settings, asked)
    if (resource === undefined) {
      const expected = protectedResources(settings).map(({ resource }) => resource).join(" or ")
      return yield* new InvalidTarget({ expected, actual: asked })
    }
    const scopes = narrowed(serviceScopes, wanted)
    if (scopes === undefined) return yield* new ScopesNotGranted({ granted: serviceScopes, asked: wanted })
    const principal: Service = { _tag: "Service", subject: clientId, clientId, scopes }
    const { expiresAt, issuedAt, token } = yield* Effect.orDie(issuer.issue({ principal, resource, dpopKey }))
    yield* audit((origin) => new ServiceTokenIssued({ ...origin, clientId: clientHandle(clientId), scopes, resource }))
    const type = tokenType(dpopKey)
    return { accessToken: token, type, expiresIn: expiresAt - issuedAt, refreshToken: undefined, scopes }
  })

/** Whether the owner of this server still lists the client with all that its token allows. */
export const isStillListed = (
  { clients }: Pick<ProxySettings, "clients">,
  { clientId, scopes }: Pick<Service, "clientId" | "scopes">
): boolean => {
  const listed = clients.find((client) => client.clientId === clientId)?.serviceScopes
  return listed !== undefined && scopes.every((scope) => listed.includes(scope))
}
