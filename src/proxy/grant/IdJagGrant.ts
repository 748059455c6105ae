import { Clock, Duration, Effect, Option, type Redacted } from "effect"
import { randomBytes } from "node:crypto"
import { AdmissionRefused, ReplayDetected } from "../../observe/AuditEvent.ts"
import type { StoreUnavailable } from "../../store/Store.ts"
import { clientHandle } from "../Audit.ts"
import { knownScopes } from "../authorize/AuthorizationRequest.ts"
import { type Client, isConfidential } from "../client/Client.ts"
import type { IdJag } from "../IdJag.ts"
import { OktaUnavailable } from "../OktaClient.ts"
import type { ProxySettings } from "../ProxySettings.ts"
import { isNamed, resourceNamed } from "../ResourceIndicator.ts"
import * as SingleUse from "../SingleUse.ts"
import { GrantTypeNotAllowed, InvalidGrant, InvalidTarget, ScopesNotGranted } from "./GrantError.ts"
import { type Grant, timeToLive } from "./GrantRecord.ts"
import { jwtBearer } from "./GrantTypes.ts"
import { narrowed } from "./Narrowed.ts"
import type { Parts } from "./OktaCheck.ts"

/** What a client sends to get a token for an ID-JAG (RFC 7523 section 2.1, RFC 8707 section 2.2). */
export interface Assertion {
  readonly assertion: Redacted.Redacted<string>
  /** Fewer scopes than Okta allows. */
  readonly scopes?: ReadonlyArray<string> | undefined
  readonly resource?: string | undefined
  /** The thumbprint of a key that the client has proven to hold. */
  readonly dpopKey?: string | undefined
}

/** Why no grant comes of an ID-JAG. */
export type Refusal = GrantTypeNotAllowed | InvalidGrant | InvalidTarget | ScopesNotGranted

const refused = (reason: string) => new InvalidGrant({ reason: `the ID-JAG ${reason}` })

/**
 * Makes grants of Okta's word for people, which clients bring: each ID-JAG makes one.
 *
 * **Details**
 *
 * Okta is not asked about such a grant again, so it ends with its only access token, after an hour at most. It is kept all the
 * same: whatever ends the grants of a person or a client ends it too, on every server. It is kept before the ID-JAG counts as
 * used, so that the client can come again with it while the store is away.
 */
export const make = (
  settings: ProxySettings,
  { admit, audit, okta, records, sealed, store }: Parts
) => {
  const { requiredScopes, scopesSupported } = settings
  const known = knownScopes(settings)
  const tolerance = Duration.toSeconds(settings.clockTolerance)
  const { isFirst } = SingleUse.make("id-jag", { sealed, store })

  /** What of Okta's scopes means something here. */
  const allowedBy = ({ scopes }: IdJag) => {
    const allowed = scopes === undefined
      ? requiredScopes
      : [...new Set(scopes)].filter((scope) => known.has(scope) && scope !== "offline_access")
    return scopes !== undefined && allowed.length === 0 && requiredScopes.length + scopesSupported.length > 0
      ? Effect.fail(refused("allows no scope that this server knows"))
      : Effect.succeed(allowed)
  }

  const admitted = (jag: IdJag, scopes: ReadonlyArray<string>) => {
    const { clientId, user } = jag
    return Effect.catchTags(admit({ ...user, clientId, scopes }), {
      NotAdmitted: ({ message, reason }) =>
        Effect.andThen(
          audit((origin) =>
            new AdmissionRefused({
              ...origin,
              clientId: clientHandle(clientId),
              subject: user.subject,
              scopes,
              reason
            })
          ),
          Effect.fail(refused(`is about somebody who may not use this server. ${message}`))
        ),
      AdmissionUnknown: ({ message }) => Effect.fail(new OktaUnavailable({ reason: message.replace(/\.$/, "") }))
    })
  }

  return Effect.fnUntraced(function*(
    client: Client,
    { assertion, dpopKey, resource: asked, scopes: wanted = [] }: Assertion
  ): Effect.fn.Return<
    { readonly grantId: string; readonly grant: Grant },
    Refusal | StoreUnavailable | OktaUnavailable
  > {
    const { clientId } = client
    if (client.origin === "registered" || !isConfidential(client)) {
      return yield* new GrantTypeNotAllowed({ grantType: jwtBearer })
    }
    const jag = yield* Effect.catchTag(
      okta.idJag(assertion),
      "OktaTokenRefused",
      ({ reason }) => Effect.fail(new InvalidGrant({ reason: `the ID-JAG is not acceptable: ${reason}` }))
    )
    if (jag.clientId !== clientId) return yield* refused("was issued for another client")
    if (jag.boundTo !== "unbound" && (jag.boundTo === "unknown" || jag.boundTo.thumbprint !== dpopKey)) {
      return yield* refused("is bound to a key that the client has not proven to hold")
    }
    const resource = resourceNamed(settings, jag.resource)
    if (resource === undefined) return yield* refused("is for another resource")
    if (asked !== undefined && !isNamed(resource, asked)) {
      return yield* new InvalidTarget({ expected: resource, actual: asked })
    }
    const allowed = yield* allowedBy(jag)
    const scopes = narrowed(allowed, wanted)
    if (scopes === undefined) return yield* new ScopesNotGranted({ granted: allowed, asked: wanted })
    yield* admitted(jag, scopes)

    const grantId = randomBytes(16).toString("base64url")
    const now = (yield* Clock.currentTimeMillis) / 1000
    const { client_name: clientName } = client.metadata
    const { expiresAt, issuedAt, issuer, jti, oktaSession } = jag
    const grant: Grant = {
      clientId,
      user: jag.user,
      scopes,
      resource,
      generation: 1,
      // As old as Okta's word: what ends all that somebody had until then ends this too, though it comes later.
      createdAt: Math.min(issuedAt, now),
      checkedAt: now,
      usedAt: now,
      indexedAt: now,
      ...(clientName === undefined ? undefined : { clientName }),
      ...(oktaSession === undefined ? undefined : { oktaSession })
    }
    yield* records.add(grantId, grant, timeToLive(grant, now))
    if (Option.isNone(yield* records.find(grantId))) {
      yield* records.take(grantId)
      return yield* refused(
        "was issued before the time of revokedBefore, or before all that its person or client had was ended"
      )
    }
    if (yield* isFirst({ issuer, jti, endsIn: expiresAt + tolerance - now })) return { grantId, grant }
    yield* records.take(grantId)
    yield* audit((origin) => new ReplayDetected({ ...origin, what: "ID-JAG", clientId: clientHandle(clientId) }))
    return yield* refused("has been used before")
  })
}
