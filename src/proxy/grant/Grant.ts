import { Array, Clock, Context, Duration, Effect, Layer, Option, type Redacted } from "effect"
import { randomBytes } from "node:crypto"
import type { InvalidConfiguration } from "../../config/InvalidConfiguration.ts"
import type { OktaConfig } from "../../config/OktaConfig.ts"
import { type RevocationReason, TokensIssued, TokensRefreshed } from "../../observe/AuditEvent.ts"
import { Store, type StoreUnavailable } from "../../store/Store.ts"
import { Admission } from "../Admission.ts"
import * as Audit from "../Audit.ts"
import type { ApprovedRequest } from "../authorize/AuthorizationRequest.ts"
import { type Client, isConfidential, mayRefresh } from "../client/Client.ts"
import { OktaClient, type OktaSession, type OktaUnavailable } from "../OktaClient.ts"
import { proxySettings } from "../ProxySettings.ts"
import { Sealed } from "../Sealed.ts"
import * as AuthorizationCode from "./AuthorizationCode.ts"
import { InvalidGrant, type InvalidTarget } from "./GrantError.ts"
import { isNamed, type Name, subject } from "./GrantIndex.ts"
import { type Grant, isRenewable, notedFor, records as grantRecords, timeToLive, validUntil } from "./GrantRecord.ts"
import * as IdJagGrant from "./IdJagGrant.ts"
import { TokenIssuer, tokenType } from "./IssuedToken.ts"
import * as OktaCheck from "./OktaCheck.ts"
import * as OktaTokens from "./OktaTokens.ts"
import * as RefreshToken from "./RefreshToken.ts"

/** What a client is given. */
export interface Tokens {
  readonly accessToken: Redacted.Redacted<string>
  /** How it is to be sent: `DPoP` if it is bound to a key. */
  readonly type: "Bearer" | "DPoP"
  /** In seconds. */
  readonly expiresIn: number
  /** None where the client does not use them, or Okta gave us none. */
  readonly refreshToken: Redacted.Redacted<string> | undefined
  readonly scopes: ReadonlyArray<string>
}

/**
 * What people have granted to clients, from Okta's answer to the end of it.
 *
 * **Details**
 *
 * A grant lasts for 30 days after its last use. Each time its access token has come to its end, Okta is asked whether the
 * person may still enter. Without a refresh token of Okta's nobody could be asked, so that the client gets none of ours
 * either, and the grant ends with its only access token, after an hour at most.
 */
export class Grants extends Context.Service<Grants, {
  /** Keeps what a person has granted to a client, and gives the code for it. */
  readonly create: (
    session: OktaSession,
    request: ApprovedRequest
  ) => Effect.Effect<{ readonly code: string; readonly grantId: string }, StoreUnavailable>
  /** Tokens for a code, once (RFC 6749 section 4.1.3). */
  readonly redeem: (
    client: Client,
    redemption: AuthorizationCode.Redemption
  ) => Effect.Effect<Tokens, InvalidGrant | InvalidTarget | StoreUnavailable>
  /** An access token for Okta's word about a person, once (RFC 7523 section 2.1). */
  readonly redeemIdJag: (
    client: Client,
    assertion: IdJagGrant.Assertion
  ) => Effect.Effect<Tokens, IdJagGrant.Refusal | StoreUnavailable | OktaUnavailable>
  /** New tokens for a refresh token (RFC 6749 section 6). */
  readonly refresh: (
    client: Client,
    refreshment: RefreshToken.Refreshment
  ) => Effect.Effect<Tokens, RefreshToken.Refusal | StoreUnavailable | OktaUnavailable>
  /**
   * The grant with this id, which access tokens carry as `sid`. That all of its person or client were ended by another server is
   * known within 2 seconds.
   */
  readonly get: (id: string) => Effect.Effect<Option.Option<Grant>, StoreUnavailable>
  /** Okta's tokens of the grant with this id, renewed if their time is up. */
  readonly oktaTokens: (
    id: string
  ) => Effect.Effect<Option.Option<OktaTokens.OktaTokens>, StoreUnavailable | OktaUnavailable>
  /** Ends a grant here, and then at Okta as far as Okta can be reached; whether there was one. */
  readonly end: (id: string, why: RevocationReason) => Effect.Effect<boolean, StoreUnavailable>
  /** The grants of a person, of a session at Okta or of a client, by their ids. */
  readonly list: (name: Name) => Effect.Effect<ReadonlyMap<string, Grant>, StoreUnavailable>
  /**
   * Ends all of them, also those that the list has lost, and tells how many were on it; `undefined` when nothing was ever known
   * under that name. To be repeated if it fails.
   */
  readonly endAll: (name: Name, why: RevocationReason) => Effect.Effect<number | undefined, StoreUnavailable>
  /** When all of them were last ended, in seconds since 1970; never is `-Infinity`. */
  readonly endedAt: (name: Name) => Effect.Effect<number, StoreUnavailable>
}>()("effect-okta/proxy/grant/Grants") {
  static readonly layer: Layer.Layer<
    Grants,
    InvalidConfiguration,
    OktaConfig | Store | Sealed | OktaClient | TokenIssuer
  > = Layer.effect(
    Grants,
    Effect.gen(function*() {
      const settings = yield* proxySettings
      const store = yield* Store
      const sealed = yield* Sealed
      const okta = yield* OktaClient
      const issuer = yield* TokenIssuer
      const audit = yield* Audit.make
      const records = yield* grantRecords({ sealed, store }, settings)
      const codes = AuthorizationCode.make({ sealed, store })
      const parts = { admit: yield* Admission, audit, records, sealed, okta, store }
      const check = yield* OktaCheck.make(parts)
      const { end, renew } = check
      const grantFor = IdJagGrant.make(settings, parts)
      const rotate = RefreshToken.rotation({ records, sealed }, check)
      const nowInSeconds = Effect.map(Clock.currentTimeMillis, (millis) => millis / 1000)

      /** A token of this server's. */
      const issueOwn = (grantId: string, grant: Grant, scopes: ReadonlyArray<string>, dpopKey: string | undefined) =>
        issuer.issue({
          principal: { ...grant.user, scopes, clientId: grant.clientId, sessionId: grantId },
          resource: grant.resource,
          notAfter: validUntil(grant),
          dpopKey
        }).pipe(
          Effect.map(({ expiresAt, issuedAt, token }) => ({ token, expiresIn: expiresAt - issuedAt })),
          Effect.mapError(({ message }) => new InvalidGrant({ reason: message }))
        )

      /** Okta's own token, which Okta issued for this server's audience. */
      const handOn = Effect.fnUntraced(function*({ okta }: Grant) {
        const ended = new InvalidGrant({ reason: "Okta's access token has ended, and cannot be renewed" })
        if (okta === undefined) return yield* ended
        const expiresIn = Math.floor(okta.expiresAt - (yield* nowInSeconds))
        const token = yield* OktaTokens.openToken(sealed, okta.accessToken)
        if (Option.isNone(token) || expiresIn <= 0) return yield* ended
        return { token: token.value, expiresIn, scopes: okta.scopes }
      })

      const issue = Effect.fnUntraced(function*(
        client: Client,
        grantId: string,
        grant: Grant,
        asked: ReadonlyArray<string>,
        dpopKey: string | undefined
      ) {
        const { expiresIn, scopes, token } = settings.passThrough
          ? yield* handOn(grant)
          : { ...yield* issueOwn(grantId, grant, asked, dpopKey), scopes: asked }
        const refreshToken = isRenewable(grant) && mayRefresh(client)
          ? yield* RefreshToken.write(sealed, { grantId, generation: grant.generation })
          : undefined
        return { accessToken: token, type: tokenType(dpopKey), expiresIn, refreshToken, scopes: scopes ?? asked }
      })

      /** The grant, which from now on is kept for as long as grants are, and bound to the key of a client that has no other. */
      const begin = (client: Client, dpopKey: string | undefined) =>
        Effect.fnUntraced(function*(grantId: string) {
          const found = yield* records.find(grantId)
          if (Option.isNone(found)) return Option.none<Grant>()
          const usedAt = yield* nowInSeconds
          const bound = dpopKey === undefined || isConfidential(client) ? undefined : { dpopKey }
          const grant: Grant = { ...found.value.value, usedAt, indexedAt: usedAt, ...bound }
          yield* records.index.add(grantId, grant, notedFor(grant, usedAt))
          yield* records.replace(grantId, found.value, grant, timeToLive(grant, usedAt))
          return Option.some(grant)
        })

      const redeem = Effect.fnUntraced(function*(client: Client, redemption: AuthorizationCode.Redemption) {
        const { clientId } = client
        const { dpopKey } = redemption
        const prepare = begin(client, dpopKey)
        const { code, prepared } = yield* codes.redeem({ clientId, redemption, prepare, onEnded: end })
        const tokens = yield* issue(client, code.grantId, prepared, prepared.scopes, dpopKey)
        yield* audit((origin) => new TokensIssued({ ...origin, ...told(code.grantId, prepared, tokens) }))
        return tokens
      })

      /** Which of the grants with these ids are a name's. */
      const ofName = Effect.fnUntraced(function*(
        name: Name,
        ids: ReadonlyArray<string>,
        find: (id: string) => Effect.Effect<Option.Option<Grant>, StoreUnavailable>
      ): Effect.fn.Return<ReadonlyMap<string, Grant>, StoreUnavailable> {
        const found = yield* Effect.forEach(
          ids,
          (id) => Effect.map(find(id), Option.map((grant) => [id, grant] as const)),
          { concurrency: 8 }
        )
        // An email address may be another person's by now.
        return new Map(Array.getSomes(found).filter(([, grant]) => isNamed(grant, name)))
      })

      const listed = (name: Name, find: (id: string) => Effect.Effect<Option.Option<Grant>, StoreUnavailable>) =>
        Effect.flatMap(records.index.list(name), (ids) => ofName(name, ids, find))

      const endAll = Effect.fnUntraced(function*(name: Name, why: RevocationReason) {
        const before = yield* records.marks.at(name)
        // From here on all of them are ended, on every server; the rest tidies up, and tells Okta.
        yield* records.marks.end(name)
        const known = yield* records.index.list(name)
        const found = yield* ofName(name, known, records.findEnded)
        // Whoever has an address is to have nothing left, whatever Okta said of it when a grant was last renewed.
        const people = name.kind === "email"
          ? [...new Set(found.values().map(({ user }) => user.subject))].map(subject)
          : []
        yield* Effect.forEach(people, records.marks.end, { discard: true })
        const theirs = yield* Effect.forEach(people, (person) => listed(person, records.findEnded))
        const ids = new Set([found, ...theirs].flatMap((grants) => [...grants.keys()]))
        const ended = yield* Effect.forEach(ids, (id) => end(id, why), { concurrency: 4 })
        return known.length === 0 && before === -Infinity ? undefined : ended.filter(Boolean).length
      })

      const redeemIdJag = Effect.fnUntraced(function*(client: Client, assertion: IdJagGrant.Assertion) {
        const { grant, grantId } = yield* grantFor(client, assertion)
        const tokens = yield* issue(client, grantId, grant, grant.scopes, assertion.dpopKey)
        yield* audit((origin) => new TokensIssued({ ...origin, ...told(grantId, grant, tokens) }))
        return tokens
      })

      return Grants.of({
        create: Effect.fnUntraced(function*(session, request) {
          const { clientId, clientName, codeChallenge, dpopKey, redirectUri, resource, scopes } = request
          const grantId = randomBytes(16).toString("base64url")
          const createdAt = yield* nowInSeconds
          const { sessionId: oktaSession, tokens, user } = session
          yield* records.addUnredeemed(grantId, {
            clientId,
            user,
            scopes,
            resource,
            generation: 1,
            createdAt,
            checkedAt: createdAt,
            indexedAt: createdAt,
            ...(clientName === undefined ? undefined : { clientName }),
            redirectHost: Audit.hostOf(redirectUri),
            ...(oktaSession === undefined ? undefined : { oktaSession }),
            okta: yield* OktaTokens.seal(sealed, tokens)
          }, untilRedeemed)
          const bound = dpopKey === undefined ? undefined : { dpopKey }
          const code = yield* codes.issue({ grantId, clientId, redirectUri, codeChallenge, resource, ...bound })
          return { code, grantId }
        }),
        // What has begun to change the store is done to its end, though the client may have gone away.
        redeem: (client, redemption) => Effect.uninterruptible(redeem(client, redemption)),
        redeemIdJag: (client, assertion) => Effect.uninterruptible(redeemIdJag(client, assertion)),
        refresh: Effect.fnUntraced(function*(client, refreshment) {
          const { grant, grantId } = yield* rotate(client.clientId, refreshment)
          const { scopes: wanted = [] } = refreshment
          const scopes = wanted.length === 0 ? grant.scopes : grant.scopes.filter((scope) => wanted.includes(scope))
          const tokens = yield* issue(client, grantId, grant, scopes, refreshment.dpopKey)
          yield* audit((origin) => new TokensRefreshed({ ...origin, ...told(grantId, grant, tokens) }))
          return tokens
        }),
        get: records.findLately,
        oktaTokens: Effect.fnUntraced(function*(id) {
          const found = yield* renew(id)
          return Option.isNone(found) ? Option.none() : yield* OktaTokens.open(sealed, found.value.value)
        }),
        end,
        list: (name) => listed(name, (id) => Effect.map(records.find(id), Option.map(({ value }) => value))),
        endAll: (name, why) => Effect.uninterruptible(endAll(name, why)),
        endedAt: records.marks.at
      })
    })
  )
}

/** What events tell of tokens. */
const told = (grantId: string, grant: Grant, { scopes }: Tokens) => ({
  ...OktaCheck.named(grantId, grant),
  scopes,
  resource: grant.resource
})

/** How long a grant is kept whose code is not redeemed: a little longer than the code. */
const untilRedeemed = Duration.minutes(5)
