import { assert, describe, it } from "@effect/vitest"
import { Context, Deferred, Effect, Fiber, Layer } from "effect"
import { TestClock } from "effect/testing"
import { ada, uidOf } from "../../src/demo/StandInDirectory.ts"
import type { Name } from "../../src/proxy/grant/GrantIndex.ts"
import * as GrantMarks from "../../src/proxy/grant/GrantMarks.ts"
import { Sealed } from "../../src/proxy/Sealed.ts"
import * as MemoryStore from "../../src/store/MemoryStore.ts"
import { Store, StoreUnavailable } from "../../src/store/Store.ts"
import * as Leaving from "../support/Leaving.ts"
import * as Scene from "../support/ProxyScene.ts"
import { configLayer } from "./ProxyTest.ts"

const kindOf = (key: string) => key.split(":", 1)[0] ?? ""

/** A store that tells what was asked of it, and asks the test first. */
const spied = Effect.gen(function*() {
  yield* TestClock.setTime(Scene.now * 1000)
  const memory = Context.get(yield* Layer.build(Layer.fresh(MemoryStore.layer)), Store)
  const state = {
    operations: [] as Array<string>,
    /** What happens between the reading of an entry and the answer. */
    afterGet: (_key: string): Effect.Effect<void, StoreUnavailable> => Effect.void
  }
  const noted = <A>(operation: string, key: string, then: Effect.Effect<A, StoreUnavailable>) =>
    Effect.suspend(() => {
      state.operations.push(`${operation} ${kindOf(key)}`)
      return then
    })
  const service = Store.of({
    put: (key, value, ttl) => noted("put", key, memory.put(key, value, ttl)),
    get: (key) => noted("get", key, Effect.tap(memory.get(key), () => state.afterGet(key))),
    take: (key) => noted("take", key, memory.take(key)),
    putIfAbsent: (key, value, ttl) => noted("putIfAbsent", key, memory.putIfAbsent(key, value, ttl)),
    compareAndSet: (key, expected, value, ttl) =>
      noted("compareAndSet", key, memory.compareAndSet(key, expected, value, ttl)),
    remove: (key) => noted("remove", key, memory.remove(key))
  })
  /** What is asked while something is done. */
  const during = <A, E>(effect: Effect.Effect<A, E>) =>
    Effect.suspend(() => {
      state.operations.length = 0
      return Effect.map(effect, () => state.operations.toSorted())
    })
  return { memory, state, service, during }
})

const failing = (prefix: string) => (key: string) =>
  key.startsWith(prefix)
    ? Effect.fail(new StoreUnavailable({ operation: "get", reason: "it is away" }))
    : Effect.void

/** Takes away the lists, so that nothing but marks ends what was on them. */
const loseLists = Effect.fnUntraced(function*(scene: Scene.ProxyScene) {
  for (const key of [...scene.values].filter((key) => key.startsWith("grants:"))) yield* scene.memory.remove(key)
})

const everything = { sub_id: { format: "email", email: ada.login } }

describe("a request with an access token", () => {
  it.effect("asks for its grant, and for marks only if nobody has for 2 seconds", () =>
    Effect.gen(function*() {
      for (const sessionIds of [false, true]) {
        const store = yield* spied
        const scene = yield* Scene.make({ store: Layer.succeed(Store, store.service), okta: { sessionIds } })
        const call = ({ accessToken }: Scene.Tokens) =>
          Effect.map(scene.one.call(accessToken), ({ status }) => assert.strictEqual(status, 200))
        const marks = (names: number) => Array.from({ length: names }, () => "get ended")
        const names = sessionIds ? 4 : 3
        const tokens = yield* scene.signIn()

        assert.deepStrictEqual(yield* store.during(call(tokens)), [...marks(names), "get grant"])
        assert.deepStrictEqual(yield* store.during(call(tokens)), ["get grant"])
        yield* TestClock.adjust("1999 millis")
        assert.deepStrictEqual(yield* store.during(call(tokens)), ["get grant"])
        yield* TestClock.adjust("1 millis")
        assert.deepStrictEqual(yield* store.during(call(tokens)), [...marks(names), "get grant"])

        // Another grant of the same person to the same client has the same names, but for Okta's session.
        const others = yield* scene.signIn()
        assert.deepStrictEqual(yield* store.during(call(others)), [...marks(names - 3), "get grant"])
      }
    }))

  it.effect("asks for a mark once, though a hundred come at once", () =>
    Effect.gen(function*() {
      const store = yield* spied
      const scene = yield* Scene.make({ store: Layer.succeed(Store, store.service) })
      const { accessToken } = yield* scene.signIn()
      const hundred = Effect.forEach(Array(100), () => scene.one.call(accessToken), { concurrency: "unbounded" })
      const asked = yield* store.during(hundred)
      assert.lengthOf(asked.filter((operation) => operation === "get grant"), 100)
      assert.lengthOf(asked.filter((operation) => operation === "get ended"), 3)
    }))

  it.effect("F18 does not take a store that was away for one without marks", () =>
    Effect.gen(function*() {
      const store = yield* spied
      const scene = yield* Scene.make({ store: Layer.succeed(Store, store.service) })
      const { accessToken } = yield* scene.signIn()
      store.state.afterGet = failing("ended:")
      // As with every outage of the store, access tokens go on.
      assert.strictEqual((yield* scene.one.call(accessToken)).status, 200)
      store.state.afterGet = () => Effect.void
      assert.deepStrictEqual(
        yield* store.during(scene.one.call(accessToken)),
        ["get ended", "get ended", "get ended", "get grant"]
      )
    }))
})

describe("a mark", () => {
  it.effect("F23 ends at once what the lists have, and within 2 seconds what they have lost, on every replica", () =>
    Effect.gen(function*() {
      for (const isLost of [false, true]) {
        const scene = yield* Scene.make()
        const other = yield* scene.start()
        const tokens = yield* scene.signIn()
        const status = (server: Scene.Server) => Effect.map(server.call(tokens.accessToken), ({ status }) => status)
        yield* TestClock.adjust("1 second")
        assert.deepStrictEqual([yield* status(scene.one), yield* status(other)], [200, 200])
        if (isLost) yield* loseLists(scene)

        const answer = yield* Leaving.revokeAll(scene.one, yield* Leaving.revocationToken(scene), everything)
        assert.strictEqual(answer.status, isLost ? 404 : 204)
        assert.deepStrictEqual([yield* status(scene.one), yield* status(other)], [401, isLost ? 200 : 401])
        // Nothing new comes of it in the meantime, at any of them.
        for (const server of [scene.one, other]) {
          Scene.assertRefused(yield* server.token(scene.refreshment(tokens.refreshToken)), 400, "invalid_grant")
        }
        yield* TestClock.adjust("2 seconds")
        assert.deepStrictEqual([yield* status(scene.one), yield* status(other)], [401, 401])
        yield* TestClock.adjust("1 minute")
        assert.deepStrictEqual([yield* status(scene.one), yield* status(other)], [401, 401])
      }
    }))
})

describe("what is known of marks", () => {
  const keeping = Effect.gen(function*() {
    const { during, service, state } = yield* spied
    const sealed = Context.get(yield* Layer.build(Sealed.layer.pipe(Layer.provide(configLayer()))), Sealed)
    return { during, sealed, state, store: service }
  })
  const person = (value: string): Name => ({ kind: "person", value })

  it.effect("is of so many names and no more, those that were asked for last", () =>
    Effect.gen(function*() {
      const { during, ...parts } = yield* keeping
      const marks = yield* GrantMarks.make(parts, 100)
      const ask = (count: number) => Effect.forEach(Array(count).keys(), (nth) => marks.lately(person(`00u${nth}`)))
      assert.lengthOf(yield* during(ask(100)), 100)
      assert.lengthOf(yield* during(ask(100)), 0)
      assert.lengthOf(yield* during(marks.lately(person("00u100"))), 1)
      assert.lengthOf(yield* during(marks.lately(person("00u99"))), 0)
      assert.lengthOf(yield* during(marks.lately(person("00u0"))), 1)
    }))

  it.effect("tells apart names that end alike", () =>
    Effect.gen(function*() {
      const { during, ...parts } = yield* keeping
      const marks = yield* GrantMarks.make(parts)
      const names = ["ada", "bob", "eve"].map((who): Name => ({ kind: "email", value: `${who}@example.com` }))
      const ask = Effect.forEach(names, marks.lately)
      assert.lengthOf(yield* during(ask), 3)
      assert.lengthOf(yield* during(ask), 0)
    }))

  it.effect("goes with a mark that is made here, also what a look-up under way will say", () =>
    Effect.gen(function*() {
      const { during, state, ...parts } = yield* keeping
      const marks = yield* GrantMarks.make(parts)
      const adas = person(uidOf(ada))
      const read = yield* Deferred.make<void>()
      const marked = yield* Deferred.make<void>()
      assert.strictEqual(yield* marks.lately(adas), -Infinity)
      yield* TestClock.adjust("2 seconds")
      state.afterGet = () => Effect.andThen(Deferred.succeed(read, undefined), Deferred.await(marked))
      const early = yield* Effect.forkChild(marks.lately(adas))
      yield* Deferred.await(read)
      state.afterGet = () => Effect.void
      yield* marks.end(adas)
      yield* Deferred.succeed(marked, undefined)
      assert.strictEqual(yield* Fiber.join(early), -Infinity)
      assert.strictEqual(yield* marks.lately(adas), Scene.now + 2)
      assert.lengthOf(yield* during(marks.lately(adas)), 0)
    }))
})
