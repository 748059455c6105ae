import { assert, describe, it } from "@effect/vitest"
import { Context, Duration, Effect, Layer, Logger } from "effect"
import { TestClock } from "effect/testing"
import type { AuditEvent } from "../../src/observe/AuditEvent.ts"
import { AuditLog } from "../../src/observe/AuditLog.ts"
import * as DpopProofs from "../../src/token/DpopProofs.ts"
import * as ProofReplays from "../../src/token/ProofReplays.ts"
import { Signature } from "../../src/token/Signature.ts"
import { type Otherwise, ProofKey } from "../support/Proofs.ts"
import { Watch } from "../support/Watch.ts"
import { now } from "./TestIssuer.ts"

const url = "https://mcp.example.com/mcp"
const key = new ProofKey()
const settings = { clockTolerance: Duration.seconds(30), dpopProofLifetime: Duration.seconds(60) }

/** A memory of its own, and what it warns of. */
const memory = (most?: number) =>
  Effect.gen(function*() {
    yield* TestClock.setTime(now * 1000)
    const warnings: Array<string> = []
    const logger = Logger.layer([Logger.make<unknown, void>(({ message }) => void warnings.push(String(message)))])
    const { isFirst } = yield* Effect.provide(ProofReplays.ProofReplays, ProofReplays.layerMemory(most))
    return { isFirst: (name: string, seconds: number) => Effect.provide(isFirst(name, seconds), logger), warnings }
  })

describe("proofs that are remembered in memory", () => {
  it.effect("are known until their time is over, each by itself", () =>
    Effect.gen(function*() {
      const { isFirst } = yield* memory()
      assert.isTrue(yield* isFirst("long", 100))
      assert.isTrue(yield* isFirst("short", 10))
      assert.isFalse(yield* isFirst("long", 100))
      yield* TestClock.adjust("9999 millis")
      assert.isFalse(yield* isFirst("short", 10))
      yield* TestClock.adjust("1 millis")
      assert.isTrue(yield* isFirst("short", 10))
      assert.isFalse(yield* isFirst("short", 10))
      assert.isFalse(yield* isFirst("long", 1))
      yield* TestClock.adjust("89999 millis")
      assert.isFalse(yield* isFirst("long", 100))
      yield* TestClock.adjust("1 millis")
      assert.isTrue(yield* isFirst("long", 100))
    }))

  it.effect("are so many and no more, until the time of the oldest is over: a proof on top is neither good nor bad", () =>
    Effect.gen(function*() {
      const { isFirst } = yield* memory(2)
      assert.isTrue(yield* isFirst("a", 10))
      assert.isTrue(yield* isFirst("b", 20))
      const full = yield* Effect.flip(isFirst("c", 10))
      assert.deepInclude(full, { _tag: "DpopProofsUnavailable" })
      assert.match(full.reason, /^2 are remembered, .*REDIS_URL$/)
      assert.isFalse(yield* isFirst("a", 10))
      yield* TestClock.adjust("10 seconds")
      assert.isTrue(yield* isFirst("c", 20))
      yield* Effect.flip(isFirst("a", 10))
      yield* TestClock.adjust("20 seconds")
      for (const name of ["a", "b"]) assert.isTrue(yield* isFirst(name, 10))
    }))

  it.effect("make room in the order in which they end, also those whose names were used before", () =>
    Effect.gen(function*() {
      const { isFirst } = yield* memory(4)
      for (const [name, seconds] of [["first", 100], ["again", 10], ["last", 150]] as const) {
        assert.isTrue(yield* isFirst(name, seconds))
      }
      yield* TestClock.adjust("10 seconds")
      assert.isTrue(yield* isFirst("again", 200))
      yield* TestClock.adjust("140 seconds")
      for (const name of ["one", "two", "three"]) assert.isTrue(yield* isFirst(name, 10))
      yield* Effect.flip(isFirst("four", 10))
    }))

  it.effect("are those of the process where nobody has given it another memory", () =>
    Effect.gen(function*() {
      const { isFirst } = yield* ProofReplays.ProofReplays
      const name = `proof ${Math.random()}`
      assert.deepStrictEqual([yield* isFirst(name, 10), yield* isFirst(name, 10)], [true, false])
    }))

  it.effect("are warned of once, since other servers do not know them", () =>
    Effect.gen(function*() {
      const { isFirst, warnings } = yield* memory()
      for (const name of ["a", "b", "a"]) yield* isFirst(name, 10)
      assert.lengthOf(warnings, 1)
      assert.match(warnings[0] ?? "", /memory of this process.*REDIS_URL/)
    }))
})

/** The checks of a server, with what they tell, and every use that they ask about. */
const checks = Effect.fnUntraced(function*(nonces?: DpopProofs.Nonces, most?: number) {
  yield* TestClock.setTime(now * 1000)
  const watch = new Watch()
  const uses: Array<{ readonly name: string; readonly seconds: number }> = []
  const replays = Layer.effect(
    ProofReplays.ProofReplays,
    Effect.map(ProofReplays.ProofReplays, ({ isFirst }) => ({
      isFirst: (name: string, seconds: number) => {
        uses.push({ name, seconds })
        return isFirst(name, seconds)
      }
    }))
  ).pipe(Layer.provide(ProofReplays.layerMemory(most)))
  const events: Array<AuditEvent> = []
  const audit = Layer.succeed(AuditLog, (event) => Effect.sync(() => void events.push(event)))
  const environment = yield* Layer.build(
    DpopProofs.layer.pipe(
      Layer.provide([Signature.layer, replays, Layer.succeed(DpopProofs.ProofNonces, nonces), audit])
    )
  )
  const { check } = Context.get(environment, DpopProofs.DpopProofs)
  const send = (proof: string | undefined, thumbprint?: string) =>
    Effect.provide(check(proof, { url, method: "POST", thumbprint }, settings), watch.layer)
  const proof = (otherwise?: Otherwise, by = key) => by.proof({ url, method: "POST", iat: now }, otherwise)
  const reasonOf = (text: string | undefined, thumbprint?: string) =>
    Effect.map(Effect.flip(send(text, thumbprint)), (error) => "reason" in error ? error.reason : error._tag)
  const counted = (outcome: string) =>
    watch.metrics.filter(({ attributes, id }) => id === "okta_dpop_proofs" && attributes?.["outcome"] === outcome)
      .reduce((sum, { state }) => sum + Number("count" in state ? state.count : 0), 0)
  const logged = (level: string, words: string) =>
    watch.lines.filter((line) => line.startsWith("{") && line.includes(`"level":"${level}"`) && line.includes(words))
      .length
  return { send, proof, reasonOf, uses, events, counted, logged }
})

describe("a DPoP proof", () => {
  it.effect("is good once, and whoever follows what happens is told when it comes again", () =>
    Effect.gen(function*() {
      const { counted, events, proof, reasonOf, send, uses } = yield* checks()
      const text = proof()
      assert.strictEqual(yield* send(text), key.thumbprint)
      assert.strictEqual(yield* reasonOf(text), "has been used before")
      assert.lengthOf(events, 1)
      assert.deepInclude(events[0], { _tag: "ReplayDetected", what: "DPoP proof" })
      assert.deepStrictEqual([counted("success"), counted("InvalidDpopProof")], [1, 1])
      assert.match(uses[0]?.name ?? "", /^[\w-]{43}$/)
      const other = new ProofKey()
      const ofTwo = [key, other].map((by) => proof({ claims: { jti: "the same" } }, by))
      for (const text of ofTwo) yield* send(text)
      assert.strictEqual(new Set(uses.map(({ name }) => name)).size, 3)
    }))

  it.effect("on top of all that can be remembered is warned of once a minute, and there is a word when there is room again", () =>
    Effect.gen(function*() {
      const { logged, proof, reasonOf, send } = yield* checks(undefined, 2)
      const told = () => [logged("WARN", "cannot be told: 2 are remembered"), logged("INFO", "available again")]
      for (let nth = 0; nth < 2; nth++) yield* send(proof())
      assert.deepStrictEqual(told(), [0, 0])
      for (let nth = 0; nth < 5; nth++) assert.match(yield* reasonOf(proof()), /^2 are remembered, as many as may be/)
      assert.deepStrictEqual(told(), [1, 0])
      yield* TestClock.adjust("1 minute")
      yield* reasonOf(proof())
      yield* reasonOf(proof())
      assert.deepStrictEqual(told(), [2, 0])
      yield* TestClock.adjust("31 seconds")
      for (let nth = 0; nth < 2; nth++) yield* send(proof({ claims: { iat: now + 91 } }))
      assert.deepStrictEqual(told(), [2, 1])
    }))

  it.effect("is remembered for as long as any server may take it for good", () =>
    Effect.gen(function*() {
      const { proof, send, uses } = yield* checks()
      for (const iat of [now - 60, now, now + 30]) yield* send(proof({ claims: { iat } }))
      yield* TestClock.adjust("500 millis")
      yield* send(proof())
      assert.deepStrictEqual(uses.map(({ seconds }) => seconds), [31, 91, 121, 91])
    }))

  it.effect("is there, in order, by the key of the token and signed by it; one that is not is not used up", () =>
    Effect.gen(function*() {
      const { proof, reasonOf, send, uses } = yield* checks()
      const other = new ProofKey()
      assert.match(yield* reasonOf(undefined), /^is missing/)
      assert.match(yield* reasonOf("x"), /^cannot be read/)
      assert.match(yield* reasonOf(proof({ claims: { htm: "GET" } })), /^is for the method/)
      assert.match(yield* reasonOf(proof({ claims: { iat: now - 61 } })), /^is older than 60 seconds/)
      assert.match(yield* reasonOf(proof({ claims: { iat: now + 31 } })), /^is of 31 seconds from now/)
      assert.match(yield* reasonOf(proof(), other.thumbprint), /^is by another key/)
      assert.match(yield* reasonOf(proof({ signer: other.privateKey })), /^has a signature that does not fit/)
      assert.deepStrictEqual(uses, [])
      assert.strictEqual(yield* send(proof(), key.thumbprint), key.thumbprint)
    }))

  it.effect("has a good nonce where the server gives nonces, and is not used up by lacking one", () =>
    Effect.gen(function*() {
      const { counted, proof, reasonOf, send, uses } = yield* checks({
        current: Effect.succeed("current"),
        isGood: (nonce) => Effect.succeed(nonce.endsWith("good"))
      })
      for (const otherwise of [{}, { claims: { nonce: "bad" } }]) {
        const refused = yield* Effect.flip(send(proof(otherwise)))
        assert.deepInclude(refused, { _tag: "DpopNonceRequired", nonce: "current" })
      }
      const forged = proof({ claims: { nonce: "good" }, signer: new ProofKey().privateKey })
      assert.match(yield* reasonOf(forged), /signature/)
      assert.deepStrictEqual(uses, [])
      assert.strictEqual(yield* send(proof({ claims: { nonce: "good" } })), key.thumbprint)
      assert.deepStrictEqual(["DpopNonceRequired", "success"].map(counted), [2, 1])
    }))
})
