import { Duration, Effect, Option, Schema, type Scope } from "effect"
import type { StoreUnavailable } from "../../store/Store.ts"
import { User } from "../../token/Principal.ts"
import type { ProxySettings } from "../ProxySettings.ts"
import * as SealedRecords from "../SealedRecords.ts"
import * as GrantIndex from "./GrantIndex.ts"
import * as GrantMarks from "./GrantMarks.ts"
import { longestLifetime } from "./IssuedToken.ts"

/** Okta's tokens of a grant, each sealed once more by itself. */
const OktaTokens = Schema.Struct({
  accessToken: Schema.String,
  idToken: Schema.String,
  refreshToken: Schema.optionalKey(Schema.String),
  /** When the access token ends, in seconds since 1970. */
  expiresAt: Schema.Number,
  /** What the access token allows, where Okta says so. */
  scopes: Schema.optionalKey(Schema.Array(Schema.String))
})

/** What a person has granted to a client, as it is kept. Times are in seconds since 1970. */
export const Grant = Schema.Struct({
  clientId: Schema.String,
  /** Who granted it, as Okta last said. */
  user: User,
  scopes: Schema.Array(Schema.String),
  /** The resource that its tokens are for (RFC 8707). */
  resource: Schema.String,
  /** The thumbprint of the key that its refresh tokens are bound to, of a public client (RFC 9449 section 5). */
  dpopKey: Schema.optionalKey(Schema.String),
  /** The number of the current refresh token. */
  generation: Schema.Int,
  createdAt: Schema.Number,
  /** When Okta last said that the person may enter. */
  checkedAt: Schema.Number,
  /** When the client last got tokens. */
  usedAt: Schema.optionalKey(Schema.Number),
  /** When it was last written to the index. */
  indexedAt: Schema.optionalKey(Schema.Number),
  /** What the client called itself at the time. */
  clientName: Schema.optionalKey(Schema.String),
  /** Where the person was sent: the host of the redirect URI, or the scheme of an application. */
  redirectHost: Schema.optionalKey(Schema.String),
  /** The session at Okta (`sid`), where its ID token names one. */
  oktaSession: Schema.optionalKey(Schema.String),
  /** None where Okta's word came by the client, which has no more of it than an hour. */
  okta: Schema.optionalKey(OktaTokens)
})

/** What a person has granted to a client. */
export type Grant = typeof Grant.Type

/** Grants in the store, and who has which. */
export interface GrantRecords extends SealedRecords.SealedRecords<Grant> {
  readonly index: GrantIndex.GrantIndex
  readonly marks: GrantMarks.GrantMarks
  /** Keeps a grant whose code is not redeemed yet: it is listed for its person alone. */
  readonly addUnredeemed: (id: string, grant: Grant, ttl: Duration.Duration) => Effect.Effect<void, StoreUnavailable>
  /** The grant with this id, unless it was ended; all of its person or client, 2 seconds ago at the latest or by this server. */
  readonly findLately: (id: string) => Effect.Effect<Option.Option<Grant>, StoreUnavailable>
  /** The grant with this id, though all of its person or client have been ended. */
  readonly findEnded: (id: string) => Effect.Effect<Option.Option<Grant>, StoreUnavailable>
}

/**
 * Grants in the store, by their ids. Those created before `revokedBefore`, or until all of their person or client were ended,
 * are as absent.
 */
export const records = Effect.fnUntraced(function*(
  keeping: SealedRecords.Keeping,
  { revokedBefore = 0 }: Pick<ProxySettings, "revokedBefore">
): Effect.fn.Return<GrantRecords, never, Scope.Scope> {
  const kept = SealedRecords.make("grant", "grant", Grant, keeping)
  const index = GrantIndex.make(keeping)
  const marks = yield* GrantMarks.make(keeping)

  const findBy = (markedAt: (name: GrantIndex.Name) => Effect.Effect<number, StoreUnavailable>) =>
    Effect.fnUntraced(function*(id: string) {
      const found = yield* kept.find(id)
      if (Option.isNone(found)) return found
      const { value: grant } = found.value
      if (grant.createdAt < revokedBefore) return Option.none()
      const ended = yield* Effect.forEach(GrantIndex.namesOf(grant), markedAt, { concurrency: "unbounded" })
      return ended.every((at) => grant.createdAt > at) ? found : Option.none()
    })
  const findLately = findBy(marks.lately)

  return {
    ...kept,
    index,
    marks,
    // The other way round, a grant could exist of which nobody knows who has it.
    add: (id, grant, ttl) => Effect.andThen(index.add(id, grant, ttl), kept.add(id, grant, ttl)),
    // Its other names end it by their marks; their lists, which may be long, are written once there is more to it than a code.
    addUnredeemed: (id, grant, ttl) =>
      Effect.andThen(
        index.add(id, grant, ttl, [GrantIndex.subject(grant.user.subject)]),
        kept.add(id, grant, ttl)
      ),
    find: findBy(marks.at),
    findLately: (id) => Effect.map(findLately(id), Option.map(({ value }) => value)),
    findEnded: (id) => Effect.map(kept.find(id), Option.map(({ value }) => value)),
    take: (id) =>
      Effect.tap(
        kept.take(id),
        (taken) => Option.isSome(taken) ? Effect.ignore(index.remove(id, taken.value)) : Effect.void
      )
  }
})

/** How long a grant lasts without being used. */
const idle = Duration.days(30)

/** How long an access token issued on Okta's last word may last, in seconds: never past what Okta granted itself. */
const lifetime = ({ checkedAt, okta }: Grant): number =>
  okta === undefined ? longestLifetime : Math.max(0, Math.min(longestLifetime, okta.expiresAt - checkedAt))

/** When the access tokens end that are issued on Okta's last word. */
export const validUntil = (grant: Grant): number => grant.checkedAt + lifetime(grant)

/**
 * Whether Okta is to be asked again before a token is issued: once the last word's time is up, or so nearly that a token
 * would last less than a tenth of it.
 */
export const isDue = (grant: Grant, now: number): boolean =>
  grant.okta !== undefined && now >= grant.checkedAt + lifetime(grant) * 0.9

/** Whether Okta can be asked again at all. If not, the grant ends with its first access token. */
export const isRenewable = ({ okta }: Grant): boolean => okta?.refreshToken !== undefined

/** How long a grant is kept from now on, unless it is used. */
export const timeToLive = (grant: Grant, now: number): Duration.Duration =>
  isRenewable(grant) ? idle : Duration.seconds(Math.max(0, validUntil(grant) - now))

/** How long it is noted who has the grant. It may be renewed some times before it is noted again. */
export const notedFor = (grant: Grant, now: number): Duration.Duration =>
  isRenewable(grant) ? GrantIndex.longest : timeToLive(grant, now)
