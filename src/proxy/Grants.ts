import { Context, DateTime, Effect, Layer, Schema } from "effect"
import type { StoreUnavailable } from "../store/Store.ts"
import { clientHandle, grantHandle } from "./Audit.ts"
import type { Grant } from "./grant/GrantRecord.ts"

/**
 * There are no grants here that could be listed or ended.
 *
 * @example
 * ```ts
 * import { Grants } from "effect-okta"
 * import { Effect } from "effect"
 *
 * export const count = Effect.gen(function*() {
 *   return (yield* (yield* Grants).list({ person: "ada@example.com" })).length
 * }).pipe(Effect.catchTag("NoGrants", () => Effect.succeed(0)))
 * ```
 */
export class NoGrants extends Schema.TaggedError<NoGrants>()("NoGrants", {
  /** Why not. */
  reason: Schema.String
}) {
  override get message() {
    return `There are no grants here: ${this.reason}.`
  }
}

/**
 * What a person has granted to a client, for people who look after it.
 *
 * @example
 * ```ts
 * import { GrantSummary } from "effect-okta"
 * import { Schema } from "effect"
 *
 * // For an administrator's page of your own, which reads them as JSON.
 * export const Page = Schema.fromJsonString(Schema.Array(GrantSummary))
 * ```
 */
export const GrantSummary = Schema.Struct({
  /** A name for the grant, the same as in audit events; no token, and good for nothing but `end`. */
  grant: Schema.String,
  /** The person's id at Okta. */
  subject: Schema.String,
  /** The person's login. */
  username: Schema.String,
  /** As far as Okta says it. */
  email: Schema.optionalKey(Schema.String),
  /** The client's id; in place of one of more than 100 characters, as registered clients have, the beginning of its hash. */
  clientId: Schema.String,
  /** What the client calls itself. */
  clientName: Schema.optionalKey(Schema.String),
  /** Where the person was sent: a host, or the scheme of an application. */
  redirectHost: Schema.optionalKey(Schema.String),
  scopes: Schema.Array(Schema.String),
  /** What its access tokens are for. */
  resource: Schema.String,
  createdAt: Schema.DateTimeUtcFromString,
  /** When the client last got tokens, each of which it can use for an hour at most; absent when it never did. */
  usedAt: Schema.optionalKey(Schema.DateTimeUtcFromString)
})

/** What a person has granted to a client, for people who look after it. */
export type GrantSummary = typeof GrantSummary.Type

/** Whose grants: a person's, by the id at Okta or the email address, or a client's, by its id or its name in audit events. */
export type GrantsOf = { readonly person: string } | { readonly client: string }

const moment = (seconds: number): DateTime.Utc => DateTime.makeUnsafe(Math.round(seconds * 1000))

/** What is told of a grant. */
export const summaryOf = (id: string, grant: Grant): GrantSummary => {
  const { clientId, clientName, createdAt, redirectHost, resource, scopes, usedAt, user } = grant
  return {
    grant: grantHandle(id),
    subject: user.subject,
    username: user.username,
    ...(user.email === undefined ? undefined : { email: user.email }),
    clientId: clientHandle(clientId),
    ...(clientName === undefined ? undefined : { clientName }),
    ...(redirectHost === undefined ? undefined : { redirectHost }),
    scopes,
    resource,
    createdAt: moment(createdAt),
    ...(usedAt === undefined ? undefined : { usedAt: moment(usedAt) })
  }
}

/** In the order in which people look for them. */
export const latestFirst = (
  grants: ReadonlyArray<readonly [id: string, summary: GrantSummary]>
): ReadonlyArray<readonly [id: string, summary: GrantSummary]> =>
  grants.toSorted(([, one], [, other]) => other.createdAt.epochMilliseconds - one.createdAt.epochMilliseconds)

/**
 * What people have granted to clients in proxy mode: lists it, and ends it.
 *
 * **Details**
 *
 * What is ended is ended on every server that shares the store: access tokens, refresh tokens and codes; what is not listed may
 * have its access token accepted elsewhere for 2 seconds more. Okta's tokens are ended at Okta as far as Okta can be reached. Of a
 * person 2000 grants are listed, those that last longest, of a client 100,000 or so; before its code is redeemed a grant is listed
 * by the id of its person alone. `endAll` ends all, also those that are not listed. By email address those of whoever has it are listed; `endAll` ends all of that person's, whatever address they were given
 * under. With `passThrough` clients hold access tokens of Okta's, which go on until their own end.
 *
 * In native mode: `NoGrants`. While the store cannot be reached: `StoreUnavailable`; try again.
 *
 * @example
 * ```ts
 * import { Grants } from "effect-okta"
 * import { Effect } from "effect"
 *
 * export const leave = Effect.fnUntraced(function*(email: string) {
 *   const grants = yield* Grants
 *   const ended = yield* grants.endAll({ person: email })
 *   yield* Effect.log(`${ended} clients cannot act for ${email} any more`)
 * })
 * ```
 */
export class Grants extends Context.Service<Grants, {
  /** All grants of a person or a client, the latest first. */
  readonly list: (of: GrantsOf) => Effect.Effect<ReadonlyArray<GrantSummary>, NoGrants | StoreUnavailable>
  /** Ends one of them, by its name in the list; whether there was one. */
  readonly end: (grant: string, of: GrantsOf) => Effect.Effect<boolean, NoGrants | StoreUnavailable>
  /** Ends all that were given until now; how many there were. */
  readonly endAll: (of: GrantsOf) => Effect.Effect<number, NoGrants | StoreUnavailable>
}>()("effect-okta/proxy/Grants") {
  /** None: clients sign in with Okta themselves. */
  static readonly none: Layer.Layer<Grants> = Layer.suspend(() => {
    const none = Effect.fail(
      new NoGrants({ reason: "in native mode clients sign in with Okta themselves, and Okta knows which" })
    )
    return Layer.succeed(Grants, Grants.of({ list: () => none, end: () => none, endAll: () => none }))
  })
}
