import { assert, describe, it } from "@effect/vitest"
import { Context, Duration, Effect, Layer, type Scope } from "effect"
import { TestClock } from "effect/testing"
import { randomUUID } from "node:crypto"
import * as GrantIndex from "../../../src/proxy/grant/GrantIndex.ts"
import { Sealed } from "../../../src/proxy/Sealed.ts"
import * as SealedRecords from "../../../src/proxy/SealedRecords.ts"
import * as MemoryStore from "../../../src/store/MemoryStore.ts"
import { Store, type StoreUnavailable } from "../../../src/store/Store.ts"
import { open as openRedis } from "../../store/RedisReplicas.ts"
import { newFile, open } from "../../store/StoreFile.ts"
import { idJagScene } from "../../support/IdJagScene.ts"
import * as Scene from "../../support/ProxyScene.ts"
import * as Redis from "../../support/RedisServer.ts"
import { ada as user, configLayer, now } from "../ProxyTest.ts"

type Opened = Effect.Effect<Store["Service"], StoreUnavailable, Scope.Scope>

const stores: ReadonlyArray<readonly [name: string, opened: Opened]> = [
  ["memory", Effect.map(Layer.build(Layer.fresh(MemoryStore.layer)), Context.get(Store))],
  ["a SQLite file", Effect.flatMap(newFile, open)],
  ...(Redis.isMissing
    ? []
    : [["Redis", Effect.flatMap(Redis.make(), ({ url }) => openRedis(url, { prefix: `${randomUUID()}:` }))]] as const)
]

const most = 20
const hour = Duration.hours(1)

const ada: GrantIndex.Named = {
  clientId: "agent",
  oktaSession: "sid",
  user
}

const ids = (count: number, name: string) => Array.from({ length: count }, (_, nth) => `${name}-${nth}`)

describe("who has which grants", () => {
  for (const [name, opened] of stores) {
    const indexed = Effect.gen(function*() {
      yield* TestClock.setTime(now * 1000)
      const keeping = {
        store: yield* Effect.orDie(opened),
        sealed: Context.get(yield* Layer.build(Sealed.layer.pipe(Layer.provide(configLayer()))), Sealed)
      }
      const index = GrantIndex.make(keeping, most)
      const listed = Effect.forEach(
        GrantIndex.namesOf(ada),
        (name) => Effect.map(index.list(name), (ids) => ids.toSorted())
      )
      /** The same under each of its names. */
      const assertListed = Effect.fnUntraced(function*(expected: ReadonlyArray<string>) {
        for (const list of yield* listed) assert.deepStrictEqual(list, expected.toSorted())
      })
      return { index, keeping, listed, assertListed }
    })

    it.effect(`in ${name}: a lasting grant stays, however many short ones there are`, () =>
      Effect.gen(function*() {
        const { assertListed, index, listed } = yield* indexed
        yield* index.add("lasting", ada, GrantIndex.longest)
        for (const id of ids(3 * most, "short")) yield* index.add(id, ada, hour)
        for (const list of yield* listed) assert.include(list, "lasting")
        const [person = [], email = []] = yield* listed
        assert.deepStrictEqual([person.length, email.length], [most, most])

        yield* TestClock.adjust(hour)
        yield* assertListed(["lasting"])
        yield* index.add("late", ada, hour)
        yield* assertListed(["lasting", "late"])
      }))

    it.effect(`in ${name}: of lasting ones those stay that last longest`, () =>
      Effect.gen(function*() {
        const { index } = yield* indexed
        const [person] = GrantIndex.namesOf(ada)
        assert(person !== undefined)
        for (const id of ids(most + 2, "lasting")) {
          yield* index.add(id, ada, GrantIndex.longest)
          yield* TestClock.adjust("1 second")
        }
        assert.sameMembers([...yield* index.list(person)], ids(most + 2, "lasting").slice(2))
      }))

    it.effect(`in ${name}: one that is noted again lasts as long as it is said then`, () =>
      Effect.gen(function*() {
        const { assertListed, index } = yield* indexed
        yield* index.add("begun", ada, Duration.minutes(5))
        yield* index.add("left", ada, Duration.minutes(5))
        yield* index.add("begun", ada, GrantIndex.longest)
        yield* assertListed(["begun", "left"])
        yield* TestClock.adjust("5 minutes")
        yield* assertListed(["begun"])
        yield* TestClock.adjust(Duration.subtract(GrantIndex.longest, Duration.minutes(6)))
        yield* assertListed(["begun"])
        yield* TestClock.adjust("1 minute")
        yield* assertListed([])
        yield* index.remove("begun", ada)
      }))

    it.effect(`in ${name}: what an earlier version noted lasts for 60 days`, () =>
      Effect.gen(function*() {
        const { index, keeping } = yield* indexed
        const [person] = GrantIndex.namesOf(ada)
        assert(person !== undefined)
        const earlier = SealedRecords.make("grants", "grants", GrantIndex.List, keeping)
        yield* earlier.add(`person 0 ${person.value}`, { grants: [{ id: "old", at: now }] }, Duration.days(60))
        yield* TestClock.adjust("59 days")
        yield* index.add("new", ada, GrantIndex.longest)
        assert.sameMembers([...yield* index.list(person)], ["old", "new"])
        yield* TestClock.adjust("1 day")
        assert.deepStrictEqual(yield* index.list(person), ["new"])
      }))
  }
})

describe("the entry of a grant", () => {
  const watched = Effect.gen(function*() {
    yield* TestClock.setTime(now * 1000)
    const memory = Context.get(yield* Layer.build(Layer.fresh(MemoryStore.layer)), Store)
    const times: Array<string> = []
    const noted = (key: string, ttl: Duration.Duration) => key.startsWith("grants:") && times.push(Duration.format(ttl))
    const store = Layer.succeed(Store, {
      ...memory,
      putIfAbsent: (key, value, ttl) => {
        noted(key, ttl)
        return memory.putIfAbsent(key, value, ttl)
      },
      compareAndSet: (key, expected, value, ttl) => {
        noted(key, ttl)
        return memory.compareAndSet(key, expected, value, ttl)
      }
    })
    return {
      store,
      during: <A, E>(effect: Effect.Effect<A, E>) => {
        times.length = 0
        return Effect.map(effect, () => [...new Set(times)])
      }
    }
  })

  it.effect("lasts until its code has to be redeemed, and then as long as the grant can", () =>
    Effect.gen(function*() {
      const { during, store } = yield* watched
      const scene = yield* Scene.make({ store })
      let code = ""
      const begun = Effect.tap(scene.code(), (made) => Effect.sync(() => void (code = made)))
      assert.deepStrictEqual(yield* during(begun), ["5m"])
      assert.deepStrictEqual(yield* during(scene.one.token(scene.redemption(code))), ["60d"])
    }))

  it.effect("of an ID-JAG lasts as long as its only token", () =>
    Effect.gen(function*() {
      const { during, store } = yield* watched
      const { bring, idJag } = yield* idJagScene({ store })
      const assertion = yield* idJag()
      assert.deepStrictEqual(yield* during(bring(assertion)), ["1h"])
    }))
})
