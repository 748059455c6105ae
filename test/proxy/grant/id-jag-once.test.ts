import { assert, describe, it } from "@effect/vitest"
import { Context, Effect, Layer } from "effect"
import { TestClock } from "effect/testing"
import * as MemoryStore from "../../../src/store/MemoryStore.ts"
import { Store, StoreUnavailable } from "../../../src/store/Store.ts"
import { idJagScene } from "../../support/IdJagScene.ts"
import { assertRefused, now } from "../../support/ProxyScene.ts"
import { secret } from "../ProxyTest.ts"

/** How the store fails at one of its operations on what counts the uses: before it is done, or so that its answer is lost. */
interface Fault {
  readonly at: number
  readonly done: boolean
}

const [old, next] = [secret("a"), secret("b")]

const rings = {
  "two secrets": [old, next],
  "two secrets, the other way round": [next, old],
  "the old secret alone": [old],
  "the new secret alone": [next]
} as const

/** Servers in the middle of a change of secrets, on one store that can fail. */
const arrange = Effect.fnUntraced(function*() {
  yield* TestClock.setTime(now * 1000)
  const memory = Context.get(yield* Layer.build(Layer.fresh(MemoryStore.layer)), Store)
  let fault: Fault | undefined
  let uses = 0
  const through = <A>(
    key: string,
    operation: "putIfAbsent" | "get" | "put",
    self: Effect.Effect<A, StoreUnavailable>
  ) =>
    Effect.suspend(() => {
      if (!key.startsWith("id-jag:")) return self
      uses++
      if (fault?.at !== uses) return self
      const lost = new StoreUnavailable({ operation, reason: "the test says so" })
      return fault.done ? Effect.andThen(self, lost) : lost
    })
  const store = Layer.succeed(Store, {
    ...memory,
    get: (key) => through(key, "get", memory.get(key)),
    put: (key, value, ttl) => through(key, "put", memory.put(key, value, ttl)),
    putIfAbsent: (key, value, ttl) => through(key, "putIfAbsent", memory.putIfAbsent(key, value, ttl))
  })
  const scene = yield* idJagScene({ store, settings: { encryptionSecret: [...rings["two secrets"]] } })
  const servers = {
    "two secrets": scene.one,
    "two secrets, the other way round": yield* scene.start({
      encryptionSecret: [...rings["two secrets, the other way round"]]
    }),
    "the old secret alone": yield* scene.start({ encryptionSecret: [...rings["the old secret alone"]] }),
    "the new secret alone": yield* scene.start({ encryptionSecret: [...rings["the new secret alone"]] })
  }
  return {
    ...scene,
    servers,
    failing: (next: Fault) =>
      Effect.sync(() => {
        fault = next
        uses = 0
      }),
    healthy: Effect.sync(() => fault = undefined)
  }
})

const names = [
  "two secrets",
  "two secrets, the other way round",
  "the old secret alone",
  "the new secret alone"
] as const

describe("while encryptionSecret is changed, an ID-JAG", () => {
  it.effect("is good once, of all servers, whichever secrets they have", () =>
    Effect.gen(function*() {
      const { bring, idJag, servers } = yield* arrange()
      for (const first of names) {
        const assertion = yield* idJag()
        const shared = names.filter((name) => rings[name].some((a) => rings[first].some((b) => a === b)))
        assert.strictEqual((yield* bring(assertion, {}, servers[first])).status, 200, first)
        for (const then of shared) {
          assertRefused(yield* bring(assertion, {}, servers[then]), 400, "invalid_grant")
        }
      }
    }))

  const faults: ReadonlyArray<readonly [name: string, fault: Fault]> = [
    ["the first use is noted", { at: 1, done: false }],
    ["the answer about the first comes", { at: 1, done: true }],
    ["the second is noted", { at: 2, done: false }]
  ]
  it.effect.each(faults)(
    "that met an outage of the store before %s gets 503, and then its token",
    ([, fault]) =>
      Effect.gen(function*() {
        const { bring, failing, healthy, idJag, servers } = yield* arrange()
        for (const again of ["two secrets", "two secrets, the other way round"] as const) {
          const assertion = yield* idJag()
          yield* failing(fault)
          assertRefused(yield* bring(assertion), 503, "temporarily_unavailable")
          yield* healthy
          const answers = yield* Effect.all(
            [bring(assertion, {}, servers[again]), bring(assertion, {}, servers["two secrets"])],
            { concurrency: "unbounded" }
          )
          assert.deepStrictEqual(answers.map(({ status }) => status).sort(), [200, 400])
          for (const name of names) assertRefused(yield* bring(assertion, {}, servers[name]), 400, "invalid_grant")
        }
      })
  )

  it.effect("that met an outage is never invalid_grant at a server that knows one of the secrets only", () =>
    Effect.gen(function*() {
      const { bring, failing, healthy, idJag, servers } = yield* arrange()
      for (const again of ["the old secret alone", "the new secret alone"] as const) {
        const assertion = yield* idJag()
        yield* failing({ at: 2, done: false })
        assertRefused(yield* bring(assertion), 503, "temporarily_unavailable")
        yield* healthy
        assert.include([200, 503], (yield* bring(assertion, {}, servers[again])).status)
      }
    }))

  it.effect("has its token though the store fails right afterwards", () =>
    Effect.gen(function*() {
      const { bring, failing, healthy, idJag } = yield* arrange()
      const assertion = yield* idJag()
      yield* failing({ at: 3, done: false })
      assert.strictEqual((yield* bring(assertion)).status, 200)
      yield* healthy
      assertRefused(yield* bring(assertion), 400, "invalid_grant")
    }))
})
