import { Clock, Duration, Effect, Option, Schema } from "effect"
import { createHash } from "node:crypto"
import { StoreUnavailable } from "../../store/Store.ts"
import type { User } from "../../token/Principal.ts"
import { clientHandle } from "../Audit.ts"
import * as SealedRecords from "../SealedRecords.ts"

/** Whose grants: by a name of the person's, by the session at Okta that they came of, or by the client. */
export const Name = Schema.Struct({
  kind: Schema.Literals(["person", "email", "session", "client"]),
  value: Schema.String
})

/** Whose grants: by a name of the person's, by the session at Okta that they came of, or by the client. */
export type Name = typeof Name.Type

/** What a grant is found by. */
export interface Named {
  readonly clientId: string
  readonly user: User
  readonly oktaSession?: string
}

/** A person by Okta's id, or by the email address, whose case does not count. */
export const person = (idOrEmail: string): Name =>
  idOrEmail.includes("@")
    ? { kind: "email", value: idOrEmail.toLowerCase() }
    : { kind: "person", value: idOrEmail }

/** A client by its id, or as events name it. */
export const client = (clientId: string): Name => ({ kind: "client", value: clientHandle(clientId) })

/** A session at Okta, by the `sid` of its tokens. */
export const session = (sid: string): Name => ({ kind: "session", value: sid })

/** Every name by which a person is found who has signed in. */
export const namesOfPerson = (
  { email, subject, username }: Pick<User, "email" | "subject" | "username">,
  oktaSession: string | undefined
): ReadonlyArray<Name> => [
  { kind: "person", value: subject },
  { kind: "email", value: (email ?? username).toLowerCase() },
  ...(oktaSession === undefined ? [] : [session(oktaSession)])
]

/** Every name by which a grant is found. */
export const namesOf = ({ clientId, oktaSession, user }: Named): ReadonlyArray<Name> => [
  ...namesOfPerson(user, oktaSession),
  client(clientId)
]

/** Whether a grant is found by a name. */
export const isNamed = (grant: Named, { kind, value }: Name): boolean =>
  namesOf(grant).some((name) => name.kind === kind && name.value === value)

const List = Schema.Struct({
  grants: Schema.Array(Schema.Struct({
    id: Schema.String,
    /** When it was last written here, in seconds since 1970. */
    at: Schema.Number
  }))
})

type List = typeof List.Type

/** Twice as long as grants last without being used. */
const lifetime = Duration.days(60)

/** How old an entry may become before it is written again, when its grant is renewed. */
const freshFor = Duration.toSeconds("7 days")

/** An empty record is as none. */
const forgetting = Duration.seconds(1)

/** How many grants a record holds: of what comes on top, the oldest are only ended by marks. */
const most = 2000

/** A client may have many thousand grants, which are spread over so many records. */
const partsOfClient = 64

/** How often a record is tried to be written that others write at the same moment. */
const tries = 20

/** Which grants there are, by the names that they are found by. */
export interface GrantIndex {
  /** Notes a grant under all its names. */
  readonly add: (id: string, grant: Named) => Effect.Effect<void, StoreUnavailable>
  /** Takes a grant out of all its names. */
  readonly remove: (id: string, grant: Named) => Effect.Effect<void, StoreUnavailable>
  /** The ids under a name; some may have ended meanwhile. */
  readonly list: (name: Name) => Effect.Effect<ReadonlyArray<string>, StoreUnavailable>
}

/** Whether a grant has to be noted again at its renewal: its names have changed, or its entry grows old. */
export const isDue = (before: Named & { readonly indexedAt?: number }, now: Named, at: number): boolean =>
  before.indexedAt === undefined || at - before.indexedAt > freshFor ||
  namesOf(now).some((name) => !isNamed(before, name))

/**
 * Grants by person and client, in the store.
 *
 * **Details**
 *
 * A grant is noted before it exists, so that none exists that is not noted. What is only noted costs nothing, and goes when the
 * record is next written after its time.
 */
export const make = ({ sealed, store }: SealedRecords.Keeping): GrantIndex => {
  const lists = SealedRecords.make("grants", "grants", List, { sealed, store })
  const nowInSeconds = Effect.map(Clock.currentTimeMillis, (millis) => millis / 1000)

  const update = (record: string, change: (grants: List["grants"]) => List["grants"]) =>
    Effect.gen(function*() {
      const oldest = (yield* nowInSeconds) - Duration.toSeconds(lifetime)
      const found = Option.getOrUndefined(yield* lists.find(record))
      const before = found?.value.grants ?? []
      const grants = change(before.filter(({ at }) => at > oldest)).slice(-most)
      if (grants.length === 0 && before.length === 0) return true
      const ttl = grants.length === 0 ? forgetting : lifetime
      return found === undefined
        ? yield* lists.addNew(record, { grants }, ttl)
        : Option.isSome(yield* lists.replace(record, found, { grants }, ttl))
    }).pipe(
      Effect.filterOrFail(
        (done) => done,
        () => new StoreUnavailable({ operation: "compareAndSet", reason: "another writer was always faster" })
      ),
      Effect.retry({ times: tries })
    )

  const without = (grants: List["grants"], id: string) => grants.filter((grant) => grant.id !== id)

  return {
    add: Effect.fnUntraced(function*(id, grant) {
      const at = yield* nowInSeconds
      for (const name of namesOf(grant)) {
        yield* update(recordOf(name, id), (grants) => [...without(grants, id), { id, at }])
      }
    }),
    remove: Effect.fnUntraced(function*(id, grant) {
      for (const name of namesOf(grant)) yield* update(recordOf(name, id), (grants) => without(grants, id))
    }),
    list: (name) =>
      Effect.map(
        Effect.forEach(recordsOf(name), lists.find, { concurrency: 8 }),
        (found) => found.flatMap((record) => Option.isSome(record) ? record.value.value.grants.map(({ id }) => id) : [])
      )
  }
}

/** The record in which a grant is noted under a name. */
const recordOf = (name: Name, id: string): string =>
  partOf(name, name.kind === "client" ? (createHash("sha256").update(id).digest()[0] ?? 0) % partsOfClient : 0)

const recordsOf = (name: Name): ReadonlyArray<string> =>
  Array.from({ length: name.kind === "client" ? partsOfClient : 1 }, (_, part) => partOf(name, part))

const partOf = ({ kind, value }: Name, part: number): string => `${kind} ${part} ${value}`
