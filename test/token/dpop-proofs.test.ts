import { assert, describe, it } from "@effect/vitest"
import { Duration, Effect, Layer } from "effect"
import { TestClock } from "effect/testing"
import type { KeyObject } from "node:crypto"
import * as DpopProofs from "../../src/token/DpopProofs.ts"
import * as ProofReplays from "../../src/token/ProofReplays.ts"
import { Signature } from "../../src/token/Signature.ts"
import { type Otherwise, ProofKey } from "../support/Proofs.ts"
import { now } from "./TestIssuer.ts"

const url = "https://mcp.example.com/mcp"
const token = "the token"
const settings = { clockTolerance: Duration.seconds(30), dpopProofLifetime: Duration.minutes(5) }

/** A test with the checks of one server, and the key of each signature that was verified as it was taken in. */
const withKeys = <A, E>(
  test: (
    check: (by: ProofKey, otherwise?: Otherwise, thumbprint?: string) => Effect.Effect<string, unknown>,
    keys: ReadonlyArray<KeyObject>
  ) => Effect.Effect<A, E>
) =>
  Effect.gen(function*() {
    yield* TestClock.setTime(now * 1000)
    const keys: Array<KeyObject> = []
    const watched = Layer.effect(
      Signature,
      Effect.map(Signature, (signature) =>
        Signature.of({
          ...signature,
          verify: (algorithm, key, ...rest) => {
            keys.push(key)
            return signature.verify(algorithm, key, ...rest)
          }
        }))
    ).pipe(Layer.provide(Signature.layer))
    const { check } = yield* DpopProofs.DpopProofs.pipe(
      Effect.provide(DpopProofs.layer.pipe(Layer.provide([watched, ProofReplays.layerMemory()])))
    )
    return yield* test(
      (by, otherwise, thumbprint = by.thumbprint) =>
        check(by.proof({ url, iat: now, token }, otherwise), {
          url,
          method: "GET",
          accessToken: token,
          ...(thumbprint === "" ? undefined : { thumbprint })
        }, settings),
      keys
    )
  })

describe("the checks of DPoP proofs", () => {
  it.effect("are there where nobody has set any up", () =>
    Effect.gen(function*() {
      yield* TestClock.setTime(now * 1000)
      const { check } = yield* DpopProofs.DpopProofs
      const key = new ProofKey()
      const proof = key.proof({ url, iat: now, token })
      const send = check(proof, { url, method: "GET", accessToken: token }, settings)
      assert.strictEqual(yield* send, key.thumbprint)
      assert.deepInclude(yield* Effect.flip(send), { _tag: "InvalidDpopProof", reason: "has been used before" })
    }))
})

describe("the key of a DPoP proof", () => {
  it.effect("is taken in once, as long as the client says the same of it", () =>
    withKeys((check, keys) =>
      Effect.gen(function*() {
        const key = new ProofKey()
        for (let times = 0; times < 3; times++) assert.strictEqual(yield* check(key), key.thumbprint)
        assert.lengthOf(keys, 3)
        assert.strictEqual(new Set(keys).size, 1)

        // The same key in other words is looked at anew, with whatever is wrong with it.
        const { jwk } = key
        assert.strictEqual(yield* check(key, { header: { jwk: { use: "sig", ...jwk } } }), key.thumbprint)
        assert.notStrictEqual(keys[3], keys[2])
        for (
          const header of [
            { jwk: { use: "enc", ...jwk } },
            { jwk: { ...jwk, d: "AA" } },
            { typ: "jwt" },
            { alg: "ES384" },
            { crit: ["x"] }
          ]
        ) {
          yield* Effect.flip(check(key, { header }))
        }
        assert.lengthOf(keys, 4)

        // Nothing but the key is known: each proof has to be good by itself.
        yield* Effect.flip(check(key, { signer: new ProofKey().privateKey }))
        yield* Effect.flip(check(key, { claims: { htm: "POST" } }))
        yield* Effect.flip(check(key, {}, new ProofKey().thumbprint))
      })
    ))

  it.effect(
    "stays known under a flood of others that no token is bound to",
    () =>
      withKeys((check, keys) =>
        Effect.gen(function*() {
          const key = new ProofKey()
          yield* check(key)
          const other = new ProofKey()
          for (let times = 0; times < 1100; times++) {
            const made = new ProofKey()
            // As at the token endpoint, where proofs by whatever key are good; by another key than that of the token; badly signed.
            yield* check(made, {}, "")
            yield* Effect.flip(check(made, {}, other.thumbprint))
            yield* Effect.flip(check(made, { signer: other.privateKey }))
          }
          yield* check(key)
          assert.strictEqual(keys.at(-1), keys[0])
        })
      ),
    30_000
  )

  it.effect(
    "is one of the thousand that were used last, whatever one of them says of itself",
    () =>
      withKeys((check, keys) =>
        Effect.gen(function*() {
          const [first, second] = [new ProofKey(), new ProofKey()]
          yield* check(first)
          yield* check(second)
          const [known] = keys
          for (let times = 0; times < 1100; times++) yield* check(second, { header: { n: times } })
          yield* check(first)
          assert.strictEqual(keys.at(-1), known)
          for (let times = 0; times < 1000; times++) yield* check(new ProofKey())
          assert.strictEqual(yield* check(first), first.thumbprint)
          assert.notStrictEqual(keys.at(-1), known)
        })
      ),
    30_000
  )
})
