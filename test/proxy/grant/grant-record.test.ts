import { assert, describe, it } from "@effect/vitest"
import { Context, Duration, Effect, Layer, Logger, Option, Schema } from "effect"
import { TestClock } from "effect/testing"
import { clientHandle } from "../../../src/proxy/Audit.ts"
import * as GrantIndex from "../../../src/proxy/grant/GrantIndex.ts"
import * as GrantMarks from "../../../src/proxy/grant/GrantMarks.ts"
import * as GrantRecord from "../../../src/proxy/grant/GrantRecord.ts"
import { Sealed } from "../../../src/proxy/Sealed.ts"
import * as MemoryStore from "../../../src/store/MemoryStore.ts"
import { Store, StoreUnavailable } from "../../../src/store/Store.ts"
import { configLayer, now, secret } from "../ProxyTest.ts"

const grant: GrantRecord.Grant = {
  clientId: "agent",
  user: {
    _tag: "User",
    subject: "00u1ada",
    uid: "00u1ada",
    username: "ada.login",
    email: "Ada@Example.com",
    groups: [],
    scopes: [],
    amr: []
  },
  scopes: ["files:read"],
  resource: "https://mcp.example.com",
  generation: 1,
  createdAt: now,
  checkedAt: now,
  okta: { accessToken: "a", idToken: "i", refreshToken: "r", expiresAt: now + 3600 }
}
const { refreshToken: _, ...single } = grant.okta ?? { accessToken: "", idToken: "", expiresAt: 0 }
const once: GrantRecord.Grant = { ...grant, okta: single }
const { okta: __, ...ofIdJag } = grant
const ending = (grant: GrantRecord.Grant, expiresAt: number): GrantRecord.Grant => ({
  ...grant,
  okta: { ...single, ...grant.okta, expiresAt }
})

const person = { kind: "person", value: "00u1ada" } as const
const email = { kind: "email", value: "ada@example.com" } as const
const session = { kind: "session", value: "sid" } as const
const agent = { kind: "client", value: "agent" } as const

describe("the names of a grant", () => {
  it("are the person's, by Okta's id and by email address or login, the session's and the client's", () => {
    assert.deepStrictEqual(GrantIndex.namesOf(grant), [person, email, agent])
    assert.deepStrictEqual(GrantIndex.namesOf({ ...grant, oktaSession: "sid" }), [person, email, session, agent])
    const { email: _, ...user } = grant.user
    assert.deepStrictEqual(GrantIndex.namesOfPerson(user, undefined), [person, { kind: "email", value: "ada.login" }])
    for (const [emailVerified, address] of [[true, email], [false, undefined]] as const) {
      const names = GrantIndex.namesOfPerson({ ...grant.user, emailVerified }, undefined)
      assert.deepStrictEqual(names, address === undefined ? [person] : [person, address])
    }
    assert.lengthOf(GrantIndex.namesOfPerson({ ...user, emailVerified: false }, undefined), 2)
    const registered = "r".repeat(101)
    assert.deepStrictEqual(GrantIndex.client(registered), { kind: "client", value: clientHandle(registered) })
    assert.notStrictEqual(GrantIndex.client(registered).value, registered)
    assert.deepStrictEqual(GrantIndex.session("sid"), session)
    assert.deepStrictEqual(GrantIndex.person("00u1Ada"), { kind: "person", value: "00u1Ada" })
    assert.deepStrictEqual(GrantIndex.person("Ada@Example.com"), email)
    const read = Schema.decodeUnknownSync(GrantIndex.Name)
    for (const name of [person, email, session, agent]) assert.deepStrictEqual(read(name), name)
  })

  it("find it each by its own kind", () => {
    for (const name of [person, email, agent]) assert.isTrue(GrantIndex.isNamed(grant, name))
    for (
      const name of [
        session,
        { ...person, value: "agent" },
        { ...agent, value: "00u1ada" },
        { ...email, value: "Ada@Example.com" },
        { ...person, kind: "client" as const }
      ]
    ) {
      assert.isFalse(GrantIndex.isNamed(grant, name))
    }
  })

  it("are noted again when one is new, or a week after they were", () => {
    const noted = { ...grant, indexedAt: now }
    const week = 7 * 24 * 3600
    assert.isTrue(GrantIndex.isDue(grant, grant, now))
    assert.isFalse(GrantIndex.isDue(noted, grant, now + week))
    assert.isTrue(GrantIndex.isDue(noted, grant, now + week + 1))
    assert.isTrue(GrantIndex.isDue(noted, { ...grant, oktaSession: "sid" }, now))
    assert.isFalse(GrantIndex.isDue({ ...noted, oktaSession: "sid" }, grant, now))
    assert.isTrue(GrantIndex.isDue(noted, { ...grant, user: { ...grant.user, email: "other@example.com" } }, now))
  })
})

describe("the life of a grant", () => {
  it("is bounded by Okta's word, which is good for an hour at most", () => {
    const { isDue, validUntil } = GrantRecord
    for (
      const [kept, until, due] of [
        [grant, now + 3600, now + 3240],
        [ending(grant, now + 86_400), now + 3600, now + 3240],
        [ending(grant, now + 300), now + 300, now + 270],
        [ending(grant, now - 60), now, now]
      ] as const
    ) {
      assert.strictEqual(validUntil(kept), until)
      assert.deepStrictEqual([isDue(kept, due - 1), isDue(kept, due)], [false, true])
    }
    assert.strictEqual(validUntil(ofIdJag), now + 3600)
    assert.isFalse(isDue(ofIdJag, now + 86_400))
  })

  it("is a month without use where Okta can be asked again, and otherwise that of its only access token", () => {
    const { isRenewable, notedFor, timeToLive } = GrantRecord
    assert.deepStrictEqual([grant, once, ofIdJag].map(isRenewable), [true, false, false])
    const lives = [grant, once, ofIdJag, ending(once, now + 60)].map((kept) =>
      [now, now + 45, now + 7200].map((at) => [timeToLive(kept, at), notedFor(kept, at)].map(Duration.toSeconds))
    )
    const day = 86_400
    const months = [30 * day, 60 * day]
    const hour = [[3600, 3600], [3555, 3555], [0, 0]]
    assert.deepStrictEqual(lives, [[months, months, months], hour, hour, [[60, 60], [15, 15], [0, 0]]])
  })
})

/** A store that can be away, the names under which it holds something, and the grants of a server with it. */
const arrange = Effect.gen(function*() {
  yield* TestClock.setTime(now * 1000)
  const memory = Context.get(yield* Layer.build(Layer.fresh(MemoryStore.layer)), Store)
  const state = { away: (_operation: string, _key: string) => false, reads: 0 }
  const or = <A>(
    operation: "put" | "get" | "take" | "putIfAbsent",
    key: string,
    then: Effect.Effect<A, StoreUnavailable>
  ) =>
    Effect.suspend(() =>
      state.away(operation, key) ? Effect.fail(new StoreUnavailable({ operation, reason: "it is away" })) : then
    )
  const store = Store.of({
    ...memory,
    get: (key) => {
      state.reads++
      return or("get", key, memory.get(key))
    },
    put: (key, value, ttl) => or("put", key, memory.put(key, value, ttl)),
    take: (key) => or("take", key, memory.take(key)),
    putIfAbsent: (key, value, ttl) => or("putIfAbsent", key, memory.putIfAbsent(key, value, ttl))
  })
  const opened = Effect.fnUntraced(function*(secrets = [secret("a")], revokedBefore?: number) {
    const sealed = Context.get(
      yield* Layer.build(Layer.provide(Sealed.layer, configLayer({ encryptionSecret: secrets }))),
      Sealed
    )
    const keeping = { sealed, store }
    return { keeping, sealed, records: yield* GrantRecord.records(keeping, { revokedBefore: revokedBefore ?? 0 }) }
  })
  return { memory, state, opened, ...yield* opened() }
})

const ttl = Duration.hours(2)

describe("the grants that are kept", () => {
  it.effect("are found by their ids, until they are taken, and by the names that they are noted under", () =>
    Effect.gen(function*() {
      const { records } = yield* arrange
      assert.isTrue(Option.isNone(yield* records.find("one")))
      yield* records.add("one", grant, ttl)
      assert.deepStrictEqual(Option.map(yield* records.find("one"), ({ value }) => value), Option.some(grant))
      assert.deepStrictEqual(yield* records.findLately("one"), Option.some(grant))
      assert.deepStrictEqual(yield* records.findEnded("one"), Option.some(grant))
      assert.deepStrictEqual(yield* records.index.list(person), ["one"])
      assert.deepStrictEqual(yield* records.take("one"), Option.some(grant))
      assert.deepStrictEqual(yield* records.take("one"), Option.none())
      assert.deepStrictEqual(yield* records.index.list(person), [])
      assert.deepStrictEqual(yield* records.findLately("one"), Option.none())
    }))

  it.effect("are listed for their person alone, and ended by any of their names, while their codes are not redeemed", () =>
    Effect.gen(function*() {
      const { records } = yield* arrange
      yield* records.addUnredeemed("one", grant, ttl)
      assert.deepStrictEqual(yield* records.findLately("one"), Option.some(grant))
      for (const [name, ids] of [[person, ["one"]], [email, []], [agent, []]] as const) {
        assert.deepStrictEqual(yield* records.index.list(name), ids)
      }
      yield* records.marks.end(agent)
      assert.deepStrictEqual(yield* records.findLately("one"), Option.none())
    }))

  it.effect("are noted before they are there, and taken though they cannot be taken from their names", () =>
    Effect.gen(function*() {
      const { records, state } = yield* arrange
      state.away = (operation, key) => operation === "put" && key.startsWith("grant:")
      yield* Effect.flip(records.add("one", grant, ttl))
      assert.deepStrictEqual(yield* records.index.list(agent), ["one"])
      state.away = (_, key) => key.startsWith("grants:")
      yield* Effect.flip(records.add("two", grant, ttl))
      assert.deepStrictEqual(yield* records.findEnded("two"), Option.none())
      state.away = () => false
      yield* records.add("three", grant, ttl)
      state.away = (_, key) => key.startsWith("grants:")
      assert.deepStrictEqual(yield* records.take("three"), Option.some(grant))
    }))

  it.effect("are as absent when they were created before revokedBefore, to the second", () =>
    Effect.gen(function*() {
      const { opened, records } = yield* arrange
      yield* records.add("one", grant, ttl)
      for (const [revokedBefore, isThere] of [[now, true], [now + 1, false]] as const) {
        const { records } = yield* opened(undefined, revokedBefore)
        assert.strictEqual(Option.isSome(yield* records.find("one")), isThere)
        assert.strictEqual(Option.isSome(yield* records.findLately("one")), isThere)
        assert.isTrue(Option.isSome(yield* records.findEnded("one")))
      }
    }))

  it.effect("are ended by a mark under any of their names, and those that come afterwards are not", () =>
    Effect.gen(function*() {
      for (const name of [person, email, session, agent]) {
        const { opened, records } = yield* arrange
        const other = (yield* opened()).records
        const before = { ...grant, oktaSession: "sid" }
        yield* records.add("before", before, ttl)
        assert.isTrue(Option.isSome(yield* other.findLately("before")))
        yield* TestClock.adjust("1 minute")
        yield* records.add("same", { ...before, createdAt: now + 60 }, ttl)
        yield* records.marks.end(name)
        yield* records.add("after", { ...before, createdAt: now + 60.001 }, ttl)
        for (const [id, isThere] of [["before", false], ["same", false], ["after", true]] as const) {
          assert.strictEqual(Option.isSome(yield* records.find(id)), isThere, id)
          assert.strictEqual(Option.isSome(yield* records.findLately(id)), isThere, id)
          assert.strictEqual(Option.isSome(yield* other.find(id)), isThere, id)
          assert.isTrue(Option.isSome(yield* records.findEnded(id)), id)
        }
        // What another server has ended is known 2 seconds later.
        yield* TestClock.adjust("2 seconds")
        assert.isTrue(Option.isNone(yield* other.findLately("before")))
      }
    }))

  it.effect("F29 are as absent when a record is of another shape", () =>
    Effect.gen(function*() {
      const { keeping, memory, records, sealed } = yield* arrange
      yield* records.add("one", grant, ttl)
      const key = `grant:${yield* sealed.hash("store-key", "one")}`
      assert.isTrue(Option.isSome(yield* keeping.store.get(key)))
      const { user, ...nobody } = grant
      const strange = [
        {},
        nobody,
        { ...grant, user: { ...user, subject: 1 } },
        { ...grant, generation: 1.5 },
        { ...grant, okta: { accessToken: "a", idToken: "i" } },
        { ...grant, scopes: "files:read" }
      ]
      for (const value of strange) {
        yield* memory.put(key, yield* sealed.seal("grant", JSON.stringify({ id: "one", value })), ttl)
        assert.deepStrictEqual(yield* records.findEnded("one"), Option.none())
      }
    }))
})

describe("marks", () => {
  it.effect("are the last of a name, found with any secret that it was made with, each name by itself", () =>
    Effect.gen(function*() {
      const { opened } = yield* arrange
      const { records } = yield* opened([secret("a"), secret("b")])
      const { records: rotated } = yield* opened([secret("b"), secret("a")])
      assert.strictEqual(yield* records.marks.at(person), -Infinity)
      yield* records.marks.end(person)
      yield* TestClock.adjust("10 seconds")
      assert.strictEqual(yield* rotated.marks.at(person), now)
      yield* rotated.marks.end(person)
      assert.deepStrictEqual([yield* rotated.marks.at(person), yield* records.marks.at(person)], [now + 10, now + 10])
      for (const name of [{ ...person, kind: "client" as const }, { ...person, value: "00u1ad" }, email]) {
        assert.strictEqual(yield* records.marks.at(name), -Infinity)
      }
      const { records: next } = yield* opened([secret("b")])
      assert.strictEqual(yield* next.marks.at(person), now + 10)
    }))

  it.effect("last for 31 days", () =>
    Effect.gen(function*() {
      const { records } = yield* arrange
      yield* records.marks.end(person)
      yield* TestClock.adjust(Duration.subtract(Duration.days(31), Duration.seconds(1)))
      assert.strictEqual(yield* records.marks.at(person), now)
      yield* TestClock.adjust("1 second")
      assert.strictEqual(yield* records.marks.at(person), -Infinity)
    }))

  it.effect("are remembered for 2 seconds, so many of them, and dropped at once by one made here", () =>
    Effect.gen(function*() {
      const { keeping, opened, state } = yield* arrange
      const marks = yield* GrantMarks.make(keeping, 2)
      const { records: other } = yield* opened()
      const reads = Effect.fnUntraced(function*(name: GrantIndex.Name) {
        const before = state.reads
        yield* marks.lately(name)
        return state.reads - before
      })
      assert.deepStrictEqual([yield* reads(person), yield* reads(person), yield* reads(email)], [1, 0, 1])
      yield* other.marks.end(person)
      assert.strictEqual(yield* marks.lately(person), -Infinity)
      assert.strictEqual(yield* marks.at(person), now)
      yield* TestClock.adjust("2 seconds")
      assert.strictEqual(yield* marks.lately(person), now)
      yield* marks.end(person)
      assert.strictEqual(yield* marks.lately(person), now + 2)
      yield* reads(email)
      yield* reads(agent)
      assert.strictEqual(yield* reads(person), 1)

      state.away = (operation) => operation === "get"
      yield* TestClock.adjust("2 seconds")
      assert.strictEqual((yield* Effect.flip(marks.lately(person)))._tag, "StoreUnavailable")
      state.away = (operation, key) => operation === "put" && key.startsWith("ended:")
      assert.strictEqual((yield* Effect.flip(marks.end(person)))._tag, "StoreUnavailable")
      assert.strictEqual(yield* marks.lately(person), now + 2)
    }))

  it.effect("F29 that were moved or damaged are as none, of which the log warns", () =>
    Effect.gen(function*() {
      const { memory, records, sealed } = yield* arrange
      const warnings: Array<string> = []
      const logger = Logger.layer([Logger.make<unknown, void>(({ message }) => void warnings.push(String(message)))])
      const key = `ended:${yield* sealed.hash("store-key", "person 00u1ada")}`
      yield* records.marks.end(person)
      assert.isTrue(Option.isSome(yield* memory.get(key)))
      const of = (value: unknown) => sealed.seal("mark", JSON.stringify(value))
      const texts = [
        "damaged",
        yield* of(["person", "00u2bob", now]),
        yield* of(["client", "00u1ada", now]),
        yield* of(["person", "00u1ada"]),
        yield* of(["person", "00u1ada", "now"]),
        yield* sealed.seal("grant", JSON.stringify(["person", "00u1ada", now]))
      ]
      for (const text of texts) {
        yield* memory.put(key, text, ttl)
        warnings.length = 0
        assert.strictEqual(yield* Effect.provide(records.marks.at(person), logger), -Infinity)
        assert.lengthOf(warnings, 1)
        assert.include(warnings[0], "of the kind \"ended\"")
      }
      yield* memory.put(key, yield* of(["person", "00u1ada", now - 7]), ttl)
      assert.strictEqual(yield* records.marks.at(person), now - 7)
    }))
})
