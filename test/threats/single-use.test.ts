import { assert, describe, it } from "@effect/vitest"
import { Array, Context, Effect, Exit, Fiber, Layer, Option, Redacted } from "effect"
import { TestClock } from "effect/testing"
import { SignJWT } from "jose"
import { createPrivateKey, createPublicKey } from "node:crypto"
import * as Flow from "../../src/proxy/authorize/Flow.ts"
import { Sealed } from "../../src/proxy/Sealed.ts"
import * as MemoryStore from "../../src/store/MemoryStore.ts"
import { Store } from "../../src/store/Store.ts"
import { ec, ring } from "../proxy/grant/KeyRing.ts"
import { redirectUri, tokenServers, verifier } from "../proxy/grant/TokenServer.ts"
import { configLayer, now, serverUrl } from "../proxy/ProxyTest.ts"
import { open as openRedis } from "../store/RedisReplicas.ts"
import { newFile, open } from "../store/StoreFile.ts"
import * as Redis from "../support/RedisServer.ts"

/** How often each is tried on each of six arrangements of servers, with how many at once. */
const rounds = Number(process.env["SINGLE_USE_ROUNDS"] ?? 20)
const crowd = 50
const timeout = 20_000 + rounds * 500

const privateKey = createPrivateKey({ key: { ...ec() }, format: "jwk" })

const together = { concurrency: "unbounded" } as const

/** Lets the time pass in which servers wait for each other, no faster than it does outside. */
const settled = <A, E>(effect: Effect.Effect<A, E>) =>
  Effect.gen(function*() {
    const fiber = yield* Effect.forkChild(effect)
    let last = performance.now()
    while (fiber.pollUnsafe() === undefined) {
      yield* Effect.promise(() => new Promise((resolve) => setImmediate(resolve)))
      if (performance.now() - last < 1) continue
      yield* TestClock.adjust("1 millis")
      last = performance.now()
    }
    return yield* Fiber.join(fiber)
  })

for (const store of Redis.isMissing ? ["memory", "sqlite"] as const : ["memory", "sqlite", "Redis"] as const) {
  for (const servers of ["one server", "two servers"] as const) {
    describe(`Single use, ${crowd} at once, ${rounds} times, with ${servers} on a store in ${store}`, () => {
      const arrange = Effect.gen(function*() {
        const scene = yield* tokenServers({ store: store === "Redis" ? yield* Redis.make() : store })
        const { client_id } = yield* scene.register()
        const client = Option.getOrThrow(yield* scene.one.registration.open(client_id))
        const each = (index: number) => servers === "one server" || index % 2 === 0 ? scene.one : scene.other
        /** What becomes of it when all of them try. */
        const all = <A, E>(attempt: (server: typeof scene.one) => Effect.Effect<A, E>) =>
          Effect.forEach(Array.range(1, crowd), (index) => Effect.exit(attempt(each(index))), together)
        return { ...scene, client, all }
      })

      it.effect("#138 a code: one gets tokens, and the others end the grant", () =>
        Effect.gen(function*() {
          const { all, approve, client, one } = yield* arrange
          for (let round = 0; round < rounds; round++) {
            const redemption = {
              code: Redacted.make(yield* approve(client.clientId)),
              redirectUri,
              codeVerifier: Redacted.make(verifier)
            }
            const exits = yield* all(({ grants }) => grants.redeem(client, redemption))
            const won = exits.filter(Exit.isSuccess)
            assert.lengthOf(won, 1, `round ${round}`)
            for (const exit of exits) {
              if (Exit.isFailure(exit)) assert.include(String(exit.cause), "InvalidGrant", `round ${round}`)
            }
            const [id = ""] = Redacted.value(won[0]?.value.refreshToken ?? Redacted.make("")).split(".")
            assert.isTrue(Option.isNone(yield* one.grants.get(id)), `round ${round}`)
          }
        }), timeout)

      it.effect(
        "#152 a refresh token: all get the one successor, and Okta is asked once where it is asked",
        () =>
          Effect.gen(function*() {
            const { all, client, okta, signIn } = yield* arrange
            okta.once = true
            const session = yield* signIn
            const refreshToken = { current: session.refreshToken }
            let asked = 0
            for (let round = 1; round <= rounds; round++) {
              if (round % 4 === 0) {
                yield* TestClock.adjust("1 hour")
                asked++
              }
              const refreshment = { refreshToken: Redacted.make(refreshToken.current) }
              const exits = yield* settled(
                all(({ grants }) => grants.refresh({ ...client, clientId: session.clientId }, refreshment))
              )
              const successors = new Set(
                exits.map((exit) =>
                  Exit.isSuccess(exit)
                    ? Redacted.value(exit.value.refreshToken ?? Redacted.make(""))
                    : String(exit.cause)
                )
              )
              assert.strictEqual(successors.size, 1, `round ${round}: ${[...successors].join()}`)
              const [successor = ""] = successors
              assert.strictEqual(successor.split(".")[1], String(round + 1), successor)
              assert.lengthOf(okta.refreshed, asked, `round ${round}`)
              refreshToken.current = successor
            }
          }),
        timeout
      )

      it.effect("#126 a state: one gets the sign-in", () =>
        Effect.gen(function*() {
          const sealed = Context.get(
            yield* Layer.build(Layer.provide(Sealed.layer, configLayer({ signingKeys: ring(ec()) }))),
            Sealed
          )
          const file = yield* newFile
          const memory = Context.get(yield* Layer.build(Layer.fresh(MemoryStore.layer)), Store)
          const redis = store === "Redis" ? yield* Redis.make() : undefined
          const records = Effect.map(
            redis !== undefined ? openRedis(redis.url) : store === "memory" ? Effect.succeed(memory) : open(file),
            (store) => Flow.records({ store, sealed })
          )
          const [one, other] = [yield* records, yield* records]
          const each = (index: number) => servers === "one server" || index % 2 === 0 ? one : other
          const request = {
            clientId: "x",
            redirectUri,
            state: undefined,
            scopes: [],
            resource: serverUrl,
            codeChallenge: "x"
          }
          for (let round = 0; round < rounds; round++) {
            yield* one.add(
              `state-${round}`,
              { request, nonce: "x", codeVerifier: "x", browser: "x", sentAt: 0 },
              Flow.lifetime
            )
            const taken = yield* Effect.forEach(
              Array.range(1, crowd),
              (index) => each(index).take(`state-${round}`),
              together
            )
            assert.lengthOf(taken.filter(Option.isSome), 1, `round ${round}`)
          }
        }), timeout)

      it.effect("#183 an assertion: one is the client, by HTTP", () =>
        Effect.gen(function*() {
          const { one, other, register } = yield* tokenServers({
            store: store === "Redis" ? yield* Redis.make() : store
          })
          const { client_id } = yield* register({
            token_endpoint_auth_method: "private_key_jwt",
            jwks: { keys: [{ ...createPublicKey(privateKey).export({ format: "jwk" }), kid: "k", alg: "ES256" }] }
          })
          const each = (index: number) => servers === "one server" || index % 2 === 0 ? one : other
          for (let round = 0; round < rounds; round++) {
            const claims = { iss: client_id, sub: client_id, aud: serverUrl, exp: now + 60, jti: `jti-${round}` }
            const client_assertion = yield* Effect.promise(() =>
              new SignJWT(claims).setProtectedHeader({ alg: "ES256", kid: "k" }).sign(privateKey)
            )
            const client_assertion_type = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
            const answers = yield* Effect.forEach(
              Array.range(1, crowd),
              (index) => each(index).revoke({ token: "x", client_assertion, client_assertion_type }),
              together
            )
            const statuses = answers.map(({ status }) => status).sort()
            assert.deepStrictEqual(statuses, [200, ...Array.replicate(401, crowd - 1)], `round ${round}`)
          }
        }), timeout)
    })
  }
}
