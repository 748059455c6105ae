import { NodeHttpServer } from "@effect/platform-node"
import { assert, describe, it } from "@effect/vitest"
import { Deferred, Effect, Layer, Redacted } from "effect"
import { HttpRouter, HttpServer, HttpServerResponse } from "effect/http"
import { TestClock } from "effect/testing"
import * as OktaAuth from "../../src/OktaAuth.ts"
import * as MemoryStore from "../../src/store/MemoryStore.ts"
import type { Store } from "../../src/store/Store.ts"
import { OktaTest } from "../../src/testing/OktaTest.ts"
import { patientServer } from "../support/PatientServer.ts"
import { ProofKey } from "../support/Proofs.ts"
import { now } from "./TestServer.ts"

const serverUrl = "https://mcp.example.com"
const key = new ProofKey()

/** A server of an app, which tells where it listens. */
const server = (port: Deferred.Deferred<number>, store: Layer.Layer<Store> | undefined) => {
  const route = HttpRouter.add("GET", "/mcp", Effect.succeed(HttpServerResponse.text("ok"))).pipe(
    Layer.provide(OktaAuth.guard().layer)
  )
  const { audience, issuer } = OktaTest
  const listening = Layer.effectDiscard(Effect.flatMap(HttpServer.HttpServer, ({ address }) => {
    assert(address._tag === "InetAddressV4")
    return Deferred.succeed(port, address.port)
  }))
  return Layer.merge(HttpRouter.serve(route, { disableListenLog: true, disableLogger: true }), listening).pipe(
    Layer.provide(NodeHttpServer.layer(patientServer, { port: 0, host: "127.0.0.1" })),
    Layer.provide(OktaAuth.layer({ issuer, audience, serverUrl, store }))
  )
}

/** What each of two servers of one app answers to the same proof, one after the other, and how many more may come. */
const useTwice = Effect.fnUntraced(function*(
  one: Layer.Layer<Store> | undefined,
  other: Layer.Layer<Store> | undefined
) {
  yield* TestClock.setTime(now * 1000)
  const ports = [yield* Deferred.make<number>(), yield* Deferred.make<number>()] as const
  const okta = OktaTest.layer()
  const servers = Layer.mergeAll(server(ports[0], one), server(ports[1], other))
  const context = yield* Layer.build(Layer.provideMerge(servers, okta))
  const token = Redacted.value(
    yield* Effect.provide(
      Effect.flatMap(OktaTest, ({ token }) => token({ claims: { cnf: { jkt: key.thumbprint } } })),
      context
    )
  )
  const send = Effect.fnUntraced(function*(to: Deferred.Deferred<number>, proof: string) {
    const url = `http://127.0.0.1:${yield* Deferred.await(to)}/mcp`
    const headers = { authorization: `DPoP ${token}`, dpop: proof }
    return yield* Effect.promise((signal) => fetch(url, { signal, headers }).then(({ status }) => status))
  })
  const proof = () => key.proof({ url: `${serverUrl}/mcp`, iat: now, token })
  const same = proof()
  const statuses = [yield* send(ports[0], same), yield* send(ports[1], same), yield* send(ports[0], same)]
  for (let times = 0; times < 10; times++) assert.strictEqual(yield* send(ports[1], proof()), 200)
  return statuses
})

describe("a proof that was used at one of two servers of a process", () => {
  it.effect("is refused at the other where both have one store in memory, of which it takes no place", () =>
    Effect.gen(function*() {
      const store = MemoryStore.layerOptions({ maxEntries: 3 })
      assert.deepStrictEqual(yield* useTwice(store, store), [200, 401, 401])
      // The same, built by the app and handed on.
      const built = Layer.succeedContext(yield* Layer.build(MemoryStore.layerOptions({ maxEntries: 3 })))
      assert.deepStrictEqual(yield* useTwice(built, built), [200, 401, 401])
    }))

  it.effect("is good at the other where each has a memory of its own", () =>
    Effect.gen(function*() {
      const [one, other] = [MemoryStore.layerOptions(), MemoryStore.layerOptions()]
      assert.deepStrictEqual(yield* useTwice(one, other), [200, 200, 401])
      assert.deepStrictEqual(yield* useTwice(undefined, undefined), [200, 200, 401])
    }))
})
