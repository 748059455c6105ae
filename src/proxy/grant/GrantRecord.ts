import { Duration, Effect, Option, Schema } from "effect"
import { User } from "../../token/Principal.ts"
import type { ProxySettings } from "../ProxySettings.ts"
import * as SealedRecords from "../SealedRecords.ts"
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
  /** The number of the current refresh token. */
  generation: Schema.Int,
  createdAt: Schema.Number,
  /** When Okta last said that the person may enter. */
  checkedAt: Schema.Number,
  okta: OktaTokens
})

/** What a person has granted to a client. */
export type Grant = typeof Grant.Type

/** Grants in the store. */
export type GrantRecords = SealedRecords.SealedRecords<Grant>

/** Grants in the store, by their ids. Those created before `revokedBefore` are as absent. */
export const records = (
  keeping: SealedRecords.Keeping,
  { revokedBefore = 0 }: Pick<ProxySettings, "revokedBefore">
): GrantRecords => {
  const kept = SealedRecords.make("grant", "grant", Grant, keeping)
  return {
    ...kept,
    find: (id) => Effect.map(kept.find(id), Option.filter(({ value }) => value.createdAt >= revokedBefore))
  }
}

/** How long a grant lasts without being used. */
const idle = Duration.days(30)

/** How long an access token issued on Okta's last word may last, in seconds: never past what Okta granted itself. */
const lifetime = ({ checkedAt, okta }: Grant): number =>
  Math.max(0, Math.min(longestLifetime, okta.expiresAt - checkedAt))

/** When the access tokens end that are issued on Okta's last word. */
export const validUntil = (grant: Grant): number => grant.checkedAt + lifetime(grant)

/**
 * Whether Okta is to be asked again before a token is issued: once the last word's time is up, or so nearly that a token
 * would last less than a tenth of it.
 */
export const isDue = (grant: Grant, now: number): boolean => now >= grant.checkedAt + lifetime(grant) * 0.9

/** Whether Okta can be asked again at all. If not, the grant ends with its first access token. */
export const isRenewable = ({ okta }: Grant): boolean => okta.refreshToken !== undefined

/** How long a grant is kept from now on, unless it is used. */
export const timeToLive = (grant: Grant, now: number): Duration.Duration =>
  isRenewable(grant) ? idle : Duration.seconds(Math.max(0, validUntil(grant) - now))
