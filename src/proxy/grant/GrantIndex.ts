import { Array, Clock, Duration, Effect, Option, Schema } from "effect"
import { createHash } from "node:crypto"
import type { StoreUnavailable } from "../../store/Store.ts"
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

/** A person by Okta's id. */
export const subject = (id: string): Name => ({ kind: "person", value: id })

/** Whoever has an email address, whose case does not count. */
export const email = (address: string): Name => ({ kind: "email", value: address.toLowerCase() })

/** A person by Okta's id, or by the email address. */
export const person = (idOrEmail: string): Name => idOrEmail.includes("@") ? email(idOrEmail) : subject(idOrEmail)

/** A client by its id, or as events name it. */
export const client = (clientId: string): Name => ({ kind: "client", value: clientHandle(clientId) })

/** A session at Okta, by the `sid` of its tokens. */
export const session = (sid: string): Name => ({ kind: "session", value: sid })

/** The address that Okta says is the person's, or the login where it says none; an address that nobody has checked is nobody's. */
const addressOf = ({ email, emailVerified, username }: Pick<User, "email" | "emailVerified" | "username">) =>
  email !== undefined && emailVerified === false ? undefined : email ?? username

/** Every name by which a person is found who has signed in. */
export const namesOfPerson = (
  user: Pick<User, "email" | "emailVerified" | "subject" | "username">,
  oktaSession: string | undefined
): ReadonlyArray<Name> => {
  const address = addressOf(user)
  return [
    subject(user.subject),
    ...(address === undefined ? [] : [email(address)]),
    ...(oktaSession === undefined ? [] : [session(oktaSession)])
  ]
}

/** Every name by which a grant is found. */
export const namesOf = ({ clientId, oktaSession, user }: Named): ReadonlyArray<Name> => [
  ...namesOfPerson(user, oktaSession),
  client(clientId)
]

/** Whether a grant is found by a name. */
export const isNamed = (grant: Named, { kind, value }: Name): boolean =>
  namesOf(grant).some((name) => name.kind === kind && name.value === value)

/** The grants under a name. */
export const List = Schema.Struct({
  grants: Schema.Array(Schema.Struct({
    id: Schema.String,
    /** When it was last written here, in seconds since 1970. */
    at: Schema.Number,
    /** When it has ended unless it is written again; where an earlier version has written it, it lasts as long as any. */
    until: Schema.optionalKey(Schema.Number)
  })),
  /** Until when there may be more of them in the lists below this one, in seconds since 1970. */
  below: Schema.optionalKey(Schema.Number)
})

type List = typeof List.Type
type Entry = List["grants"][number]

/** How long an entry of a grant lasts that may be renewed: twice as long as such a grant lasts without being used. */
export const longest = Duration.days(60)

/** How old an entry may become before it is written again, when its grant is renewed. */
const freshFor = Duration.toSeconds("7 days")

/** By how much less an entry may last than it should, in seconds. */
const tolerance = 60

/** An empty record is as none. */
const forgetting = Duration.seconds(1)

/** How many grants a record holds: of what comes on top, those that end first are only ended by marks. */
const mostGrants = 2000

/**
 * A client may have many thousand grants, which are spread over so many records. One that holds so many takes no more, which go into the
 * records below it: a sign-in writes one of those, and so little, however many grants there are.
 */
const partsOfClient = 64
const mostAbove = 32
const partsBelow = 32
const mostBelow = 64

/** How often a record is tried to be written that others write at the same moment. */
const tries = 20

/** Which grants there are, by the names that they are found by. */
export interface GrantIndex {
  /** Notes a grant under its names, or only some of them, for as long as it lasts unless it is noted again. */
  readonly add: (
    id: string,
    grant: Named,
    ttl: Duration.Duration,
    names?: ReadonlyArray<Name>
  ) => Effect.Effect<void, StoreUnavailable>
  /** Takes a grant out of all its names. */
  readonly remove: (id: string, grant: Named) => Effect.Effect<void, StoreUnavailable>
  /** The ids under a name; some may have been ended meanwhile. */
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
 * record is next written after its time. Where there are too many, those stay that last longest, so that no number of short ones
 * puts a lasting one out.
 */
export const make = ({ sealed, store }: SealedRecords.Keeping, most = mostGrants): GrantIndex => {
  const lists = SealedRecords.make("grants", "grants", List, { sealed, store })
  const nowInSeconds = Effect.map(Clock.currentTimeMillis, (millis) => millis / 1000)
  const [takes, holdsBelow] = [Math.min(most, mostAbove), Math.min(most, mostBelow)]

  /** Changes a record of so many at most, unless nothing is to be changed: then the change gives back what it was given. */
  const update = (record: string, limit: number, change: (list: List) => List) => {
    const write = Effect.gen(function*() {
      const now = yield* nowInSeconds
      const found = Option.getOrUndefined(yield* lists.find(record))
      const before = found === undefined ? none : { ...found.value, grants: lasting(found.value.grants, now) }
      const after = change(before)
      if (after === before) return true
      const next = { ...after, grants: longestLasting(after.grants, limit) }
      const ttl = Duration.max(
        forgetting,
        Duration.seconds(Math.max(after.below ?? 0, ...next.grants.map(endOf)) - now)
      )
      return found === undefined
        ? yield* lists.addNew(record, next, ttl)
        : Option.isSome(yield* lists.replace(record, found, next, ttl))
    })
    return SealedRecords.unlessOutrun(write, tries)
  }

  const note = Effect.fnUntraced(function*(name: Name, entry: Entry) {
    let isBelow = false
    yield* update(recordOf(name, entry.id), most, (list) => {
      isBelow = name.kind === "client" && list.grants.length >= takes && !has(list, entry.id)
      if (!isBelow) return withEntry(list, entry)
      // For a while longer, so that this is not written each time.
      return (list.below ?? 0) >= endOf(entry) ? list : { ...list, below: endOf(entry) + freshFor }
    })
    if (isBelow) yield* update(recordBelow(name, entry.id), holdsBelow, (list) => withEntry(list, entry))
  })

  const forget = Effect.fnUntraced(function*(name: Name, id: string) {
    let isSplit = false
    yield* update(recordOf(name, id), most, (list) => {
      isSplit = list.below !== undefined
      return without(list, id)
    })
    if (isSplit) yield* update(recordBelow(name, id), holdsBelow, (list) => without(list, id))
  })

  const read = (records: ReadonlyArray<string>) => Effect.forEach(records, lists.find, { concurrency: 8 })

  return {
    add: Effect.fnUntraced(function*(id, grant, ttl, names = namesOf(grant)) {
      const at = yield* nowInSeconds
      const entry = { id, at, until: at + Duration.toSeconds(ttl) }
      yield* Effect.forEach(names, (name) => note(name, entry), { concurrency: "unbounded", discard: true })
    }),
    remove: (id, grant) =>
      Effect.forEach(namesOf(grant), (name) => forget(name, id), { concurrency: "unbounded", discard: true }),
    list: Effect.fnUntraced(function*(name) {
      const now = yield* nowInSeconds
      const above = yield* read(recordsOf(name))
      const below = yield* read(
        above.flatMap((found, part) =>
          Option.exists(found, ({ value }) => (value.below ?? 0) > now) ? recordsBelow(name, part) : []
        )
      )
      const grants = Array.getSomes([...above, ...below]).flatMap(({ value }) => value.grants)
      return [...new Set(lasting(grants, now).map(({ id }) => id))]
    })
  }
}

const none: List = { grants: [] }

const has = ({ grants }: List, id: string): boolean => grants.some((grant) => grant.id === id)

const without = (list: List, id: string): List =>
  has(list, id) ? { ...list, grants: list.grants.filter((grant) => grant.id !== id) } : list

/** Of many who note the same at one moment, one has to. */
const withEntry = (list: List, entry: Entry): List =>
  list.grants.some((grant) => grant.id === entry.id && endOf(grant) > endOf(entry) - tolerance)
    ? list
    : { ...list, grants: [...without(list, entry.id).grants, entry] }

const endOf = ({ at, until = at + Duration.toSeconds(longest) }: Entry): number => until

const lasting = (grants: List["grants"], now: number): List["grants"] => grants.filter((entry) => endOf(entry) > now)

/** Of too many those that end last, and of those that end together the ones that were written last. */
const longestLasting = (grants: List["grants"], most: number): List["grants"] =>
  grants.length <= most ? grants : grants.toSorted((one, other) => endOf(one) - endOf(other)).slice(-most)

/** The record in which a grant is noted under a name. */
const recordOf = (name: Name, id: string): string => partOf(name, placesOf(name, id)[0])

const recordsOf = (name: Name): ReadonlyArray<string> =>
  Array.makeBy(name.kind === "client" ? partsOfClient : 1, (part) => partOf(name, part))

/** The record below that one. */
const recordBelow = (name: Name, id: string): string => partOf(name, placesOf(name, id).join("."))

const recordsBelow = (name: Name, part: number): ReadonlyArray<string> =>
  Array.makeBy(partsBelow, (nth) => partOf(name, `${part}.${nth}`))

const partOf = ({ kind, value }: Name, part: number | string): string => `${kind} ${part} ${value}`

const placesOf = ({ kind }: Name, id: string): readonly [part: number, below: number] => {
  const [first = 0, second = 0] = createHash("sha256").update(id).digest()
  return [kind === "client" ? first % partsOfClient : 0, second % partsBelow]
}
