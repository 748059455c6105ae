import { Clock, Effect, Option, Redacted } from "effect"
import { sparingly } from "../../observe/Sparingly.ts"
import type { StoreUnavailable } from "../../store/Store.ts"
import type { OktaUnavailable } from "../OktaClient.ts"
import { isNamed } from "../ResourceIndicator.ts"
import type { Sealed } from "../Sealed.ts"
import { InvalidGrant, InvalidTarget, ScopesNotGranted } from "./GrantError.ts"
import { type Grant, isDue, timeToLive } from "./GrantRecord.ts"
import type { OktaCheck, Parts } from "./OktaCheck.ts"

/** What a refresh token says: which grant it belongs to, and which of the grant's refresh tokens it is. */
export interface RefreshToken {
  readonly grantId: string
  readonly generation: number
}

/** How a refresh token stands to the grant's current one. */
export type Standing = "current" | "predecessor" | "replayed" | "unknown"

const form = /^([\w-]{22})\.([1-9]\d{0,8})\.([\w-]{43})$/

const claimOf = ({ generation, grantId }: RefreshToken) => `${grantId}.${generation}`

/**
 * The text of a refresh token. It is always the same for the same generation, so that a client that did not get its answer
 * can be given its successor again.
 */
export const write = (sealed: Sealed["Service"], token: RefreshToken): Effect.Effect<Redacted.Redacted<string>> =>
  Effect.map(sealed.hash("refresh", claimOf(token)), (mac) => Redacted.make(`${claimOf(token)}.${mac}`))

/** What a text says that is a refresh token of ours; takes as long whether its authentication code is right or not. */
export const read = (
  sealed: Sealed["Service"],
  text: Redacted.Redacted<string>
): Effect.Effect<Option.Option<RefreshToken>> => {
  const found = form.exec(Redacted.value(text))
  if (found === null) return Effect.succeedNone
  const [, grantId = "", generation = "", mac = ""] = found
  const token: RefreshToken = { grantId, generation: Number(generation) }
  return Effect.map(
    sealed.confirms("refresh", claimOf(token), mac),
    (confirmed) => confirmed ? Option.some(token) : Option.none()
  )
}

/**
 * Whether a refresh token may be used (RFC 9700 section 4.14.2).
 *
 * The immediate predecessor of the current one is presented again by a client that did not get the answer: as long as its
 * successor was not used, nobody else can have got it. Anything older has been used by two.
 */
export const standing = (presented: number, current: number): Standing =>
  presented === current
    ? "current"
    : presented === current - 1
    ? "predecessor"
    : presented < current
    ? "replayed"
    : "unknown"

/** What a client sends to refresh its tokens (RFC 6749 section 6, RFC 8707 section 2.2). */
export interface Refreshment {
  readonly refreshToken: Redacted.Redacted<string>
  /** Fewer scopes than were granted, for this access token. */
  readonly scopes?: ReadonlyArray<string> | undefined
  readonly resource?: string | undefined
  /** The thumbprint of a key that the client has proven to hold. */
  readonly dpopKey?: string | undefined
}

/** Why tokens are not refreshed. */
export type Refusal = InvalidGrant | InvalidTarget | ScopesNotGranted

const refused = (reason: string) => Effect.fail(new InvalidGrant({ reason }))

/** What was granted covers what is asked for (RFC 6749 section 6). */
const checkAsked = (
  grant: Grant,
  { resource, scopes = [] }: Refreshment
): Effect.Effect<void, InvalidTarget | ScopesNotGranted> =>
  resource !== undefined && !isNamed(grant.resource, resource)
    ? Effect.fail(new InvalidTarget({ expected: grant.resource, actual: resource }))
    : scopes.some((scope) => !grant.scopes.includes(scope))
    ? Effect.fail(new ScopesNotGranted({ granted: grant.scopes, asked: scopes }))
    : Effect.void

/**
 * Puts the next refresh token in place of the one presented, and gives the grant with it.
 *
 * **Details**
 *
 * Of several who present the current one at once, one makes its successor, and all are given that. Okta is asked first, if
 * it is time to, so that the token presented stays good while Okta cannot be reached.
 */
export const rotation = (
  { records, sealed }: Pick<Parts, "records" | "sealed">,
  { end, renew }: OktaCheck
) =>
  Effect.fnUntraced(function*(
    clientId: string,
    refreshment: Refreshment
  ): Effect.fn.Return<
    { readonly grantId: string; readonly grant: Grant },
    Refusal | StoreUnavailable | OktaUnavailable
  > {
    const presented = yield* read(sealed, refreshment.refreshToken)
    if (Option.isNone(presented)) return yield* refused("the refresh token is not one of this server's")
    const { generation, grantId } = presented.value
    let current = yield* records.find(grantId)
    let renewed = false
    while (Option.isSome(current)) {
      const grant = current.value.value
      if (grant.clientId !== clientId) return yield* refused("the refresh token was issued to another client")
      if (grant.dpopKey !== undefined && grant.dpopKey !== refreshment.dpopKey) {
        return yield* refused("it does not come with a DPoP proof by the key that the refresh token is bound to")
      }
      const found = standing(generation, grant.generation)
      if (found === "unknown") return yield* refused("the refresh token is newer than the grant")
      if (found === "replayed") {
        yield* sparingly(
          "Warn",
          "refresh token replayed",
          "A refresh token was presented whose successor had been used, so its grant has ended"
        )
        yield* end(grantId, "refresh-token-replayed")
        return yield* refused("the refresh token has been used before")
      }
      yield* checkAsked(grant, refreshment)
      const now = (yield* Clock.currentTimeMillis) / 1000
      if (!renewed && isDue(grant, now)) {
        current = yield* renew(grantId)
        renewed = true
        continue
      }
      if (found === "predecessor") return { grantId, grant }
      const next: Grant = { ...grant, generation: generation + 1, usedAt: now }
      const rotated = yield* records.replace(grantId, current.value, next, timeToLive(grant, now))
      if (Option.isSome(rotated)) return { grantId, grant: next }
      current = yield* records.find(grantId)
    }
    return yield* refused("the grant has ended")
  })
