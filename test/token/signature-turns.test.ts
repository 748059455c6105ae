import { assert, describe, it } from "@effect/vitest"
import { Effect, Fiber } from "effect"
import { generateKeyPairSync, KeyObject, sign } from "node:crypto"
import { make } from "../../src/token/Signature.ts"

const text = Buffer.from("what is signed")
const rsa = generateKeyPairSync("rsa", { modulusLength: 2048 })
const ed = generateKeyPairSync("ed25519")
const signature = sign("sha256", text, rsa.privateKey)
const edSignature = sign(null, text, ed.privateKey)
/** One that the native call throws on. */
const broken: KeyObject = Object.create(KeyObject.prototype, { asymmetricKeyType: { value: "rsa" } })

/** Calls at the end of this turn of the event loop, after what was to be done then before. */
const atEndOfTurn = <A>(what: () => A) =>
  Effect.promise(() => new Promise<A>((done) => setImmediate(() => done(what()))))

const arrange = () => {
  const { verify, verifyNow } = make()
  const question = ["RS256", rsa.publicKey, text, signature] as const
  const ask = verify(...question)
  const begin = <A>(question: Effect.Effect<A>) => Effect.forkChild(question, { startImmediately: true })
  /** How many are answered here and now, before the next one has to wait. */
  const atOnce = (most = 100) => {
    let answered = 0
    while (answered < most && verifyNow(...question) === true) answered++
    return answered
  }
  return {
    atOnce,
    ask,
    verifyNow,
    askBroken: verify("RS256", broken, text, signature),
    /** As many callers at once as will wait together. */
    callers: (count: number, question = ask) =>
      Effect.suspend(() => {
        atOnce()
        return Effect.forEach(Array.from({ length: count }), () => begin(question))
      })
  }
}

describe("how many signatures are verified here before the event loop has its turn", () => {
  it.effect("a few of whoever comes first, and as many in each turn", () =>
    Effect.gen(function*() {
      const { atOnce, verifyNow } = arrange()
      for (let turn = 0; turn < 3; turn++) {
        assert.strictEqual(yield* atEndOfTurn(atOnce), 4)
        assert.strictEqual(atOnce(), 0)
      }
      yield* atEndOfTurn(() => {})
      assert.isTrue(verifyNow("EdDSA", ed.publicKey, text, edSignature))
      assert.strictEqual(atOnce(), 0, "a slow one uses up as much as four")
    }))

  it.effect("more of a caller who turns out to be alone", () =>
    Effect.gen(function*() {
      const { atOnce, callers } = arrange()
      const [alone] = yield* callers(1)
      assert.strictEqual(yield* atEndOfTurn(atOnce), 15, "beside the one that waited")
      assert.isTrue(alone && (yield* Fiber.join(alone)))
      assert.strictEqual(yield* atEndOfTurn(atOnce), 16)
    }))

  it.effect("one where callers turn out to be many, who are served by other threads", () =>
    Effect.gen(function*() {
      const { atOnce, callers } = arrange()
      const two = yield* callers(2)
      assert.strictEqual(yield* atEndOfTurn(atOnce), 0)
      assert.deepStrictEqual(yield* Effect.forEach(two, Fiber.join), [true, true])
      assert.strictEqual(yield* atEndOfTurn(atOnce), 1)
      const [alone] = yield* callers(1)
      assert.strictEqual(yield* atEndOfTurn(atOnce), 15, "and then one is alone again")
      assert.isTrue(alone && (yield* Fiber.join(alone)))
    }))

  it.effect("none while the threads have room, and one in a turn beside a crowd that keeps them busy", () =>
    Effect.gen(function*() {
      const { ask, atOnce, callers } = arrange()
      const waiting = yield* callers(7)
      const [beside, last] = yield* atEndOfTurn(() => {
        const beside = atOnce()
        // One more goes to the others at once, and makes a crowd of them.
        return [beside, { fiber: Effect.runFork(ask), beside: atOnce() }] as const
      })
      assert.deepStrictEqual([beside, last.beside], [0, 1])
      assert.deepStrictEqual(new Set(yield* Effect.forEach([...waiting, last.fiber], Fiber.join)), new Set([true]))
    }))

  it.effect("as many as before, when native calls have thrown here or on their way to other threads", () =>
    Effect.gen(function*() {
      const { askBroken, atOnce, callers, verifyNow } = arrange()
      assert.strictEqual(verifyNow("RS256", broken, text, signature), false)
      const two = yield* callers(2, askBroken)
      assert.deepStrictEqual(yield* Effect.forEach(two, Fiber.join), [false, false])
      const [alone] = yield* callers(1, askBroken)
      assert.strictEqual(yield* atEndOfTurn(atOnce), 15)
      assert.isFalse(alone && (yield* Fiber.join(alone)))
    }))
})
