import { assert, describe, it } from "@effect/vitest"
import { Context, Deferred, Effect, Layer } from "effect"
import { TestClock } from "effect/testing"
import * as MemoryStore from "../../../src/store/MemoryStore.ts"
import { Store } from "../../../src/store/Store.ts"
import { begin, once } from "../../cli/Serving.ts"
import * as Scene from "../../support/ProxyScene.ts"

/** A store in which whoever writes a record of a kind has to wait, until it is let go. */
const slow = Effect.fnUntraced(function*(kind: string) {
  yield* TestClock.setTime(Scene.now * 1000)
  const store = Context.get(yield* Layer.build(Layer.fresh(MemoryStore.layer)), Store)
  const reached = once()
  const go = yield* Deferred.make<void>()
  const slowly = <A, E>(key: string, write: Effect.Effect<A, E>) =>
    key.startsWith(`${kind}:`)
      ? Effect.andThen(Effect.sync(reached.happens), Effect.andThen(Deferred.await(go), write))
      : write
  const layer = Layer.succeed(Store, {
    ...store,
    put: (key, value, ttl) => slowly(key, store.put(key, value, ttl)),
    putIfAbsent: (key, value, ttl) => slowly(key, store.putIfAbsent(key, value, ttl))
  })
  return { layer, reached: reached.happened, go: Deferred.succeed(go, undefined) }
})

/** What Okta is asked to end. */
const revoked = Effect.fnUntraced(function*(scene: Scene.ProxyScene) {
  const asked = once<string>()
  yield* scene.okta.respond("revoke", (request, response) => {
    const chunks: Array<Buffer> = []
    request.on("data", (chunk: Buffer) => chunks.push(chunk)).on("end", () => {
      response.writeHead(200).end()
      asked.happens(Buffer.concat(chunks).toString("utf8"))
    })
  })
  return asked.happened
})

describe("what Okta gave for a sign-in of which nothing comes is ended there", () => {
  for (const kind of ["grant", "code", "session"]) {
    it.effect(`F25: the person leaves while the ${kind} is written`, () =>
      Effect.gen(function*() {
        const store = yield* slow(kind)
        const scene = yield* Scene.make({ settings: { store: store.layer } })
        const agent = scene.browser()
        const back = yield* scene.comeBack(agent)
        const ended = yield* revoked(scene)
        const cookie = [...agent.cookies].map(([name, { value }]) => `${name}=${value}`).join("; ")
        const { sent } = yield* begin(scene.one.actual + back.pathname + back.search, { headers: { cookie } })
        yield* store.reached
        sent.destroy()
        assert.match(yield* ended, /(?:^|&)token=[^&]+/)
        yield* store.go
      }))
  }

  it.effect("#133: Okta's ID token cannot be verified", () =>
    Effect.gen(function*() {
      const scene = yield* Scene.make()
      const agent = scene.browser()
      const back = yield* scene.comeBack(agent)
      const ended = yield* revoked(scene)
      yield* scene.okta.withdrawKey(yield* scene.okta.rotateKeys)
      Scene.assertSentBack(yield* agent.ask(back), "server_error")
      assert.match(yield* ended, /(?:^|&)token=[^&]+/)
    }))
})
