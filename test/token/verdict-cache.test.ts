import { assert, describe, it } from "@effect/vitest"
import { Effect, Fiber, Layer, Ref } from "effect"
import { TestClock } from "effect/testing"
import { Jwks } from "../../src/provider/Jwks.ts"
import { Signature } from "../../src/token/Signature.ts"
import * as VerdictCache from "../../src/token/VerdictCache.ts"
import { goodClaims, makeKey, now, type Published, verifierLayer, type VerifierSetup, verify } from "./TestIssuer.ts"

const key = makeKey("ES256", "key-1")
const settings = { algorithms: "ES256" } as const

/** Runs a test with the whole pipeline, and a count of the signatures that were checked. */
const withCount = <A, E, R>(
  test: (checks: Effect.Effect<number>, published: Published) => Effect.Effect<A, E, R>,
  setup: VerifierSetup = {}
) =>
  Effect.gen(function*() {
    yield* TestClock.setTime(now * 1000)
    let checks = 0
    const counting = Layer.effect(
      Signature,
      Effect.map(Signature, ({ verify, verifyNow }) =>
        Signature.of({
          verify: (...question) =>
            Effect.suspend(() => {
              checks++
              return verify(...question)
            }),
          verifyNow: (...question) => {
            const answer = verifyNow(...question)
            if (answer !== undefined) checks++
            return answer
          }
        }))
    ).pipe(Layer.provide(Signature.layer))
    const published: Published = { keys: [key.published] }
    return yield* Effect.provide(
      test(Effect.sync(() => checks), published),
      verifierLayer(published, { settings, signature: counting, ...setup })
    )
  })

const tagOf = (token: string) =>
  Effect.match(verify(token), { onFailure: ({ _tag }) => _tag, onSuccess: () => "accepted" })

const person = (sub: string, claims: object = {}) => key.token({ sub, ...claims })

describe("a verified token", () => {
  it.effect("what is checked at the same time is told apart by the whole of it, though the signature be the same", () =>
    withCount(() =>
      Effect.gen(function*() {
        const good = key.token()
        const [header, , signature] = good.split(".")
        const payload = Buffer.from(JSON.stringify({ ...goodClaims, sub: "eve@example.com" })).toString("base64url")
        const changed = `${header}.${payload}.${signature}`
        // The first ones use up what a turn of the event loop checks at once, so that the last two are under way together.
        const others = Array.from({ length: 8 }, (_, n) => key.token({ jti: `AT.${n}` }))
        const outcomes = yield* Effect.forEach(
          [...others, good, changed, good],
          (token) =>
            Effect.match(verify(token), { onFailure: ({ _tag }) => _tag, onSuccess: ({ claims }) => claims.sub }),
          { concurrency: "unbounded" }
        )
        assert.deepStrictEqual(outcomes.slice(-3), [goodClaims.sub, "InvalidSignature", goodClaims.sub])
      })
    ))

  it.effect("what is remembered nobody can change for the others, however deep inside", () =>
    withCount(() =>
      Effect.gen(function*() {
        const token = key.token({ groups: ["Everyone"], address: { lines: ["1"] }, manager: null })
        yield* verify(token)
        const { claims, principal } = yield* verify(token)
        const address: unknown = claims["address"]
        assert(typeof address === "object" && address !== null && "lines" in address)
        assert(principal._tag === "User")
        for (const part of [claims, address, address.lines, principal, principal.groups, principal.scopes]) {
          assert.isTrue(Object.isFrozen(part))
        }
      })
    ))

  it.effect("is checked once, whichever string carries it", () =>
    withCount((checks) =>
      Effect.gen(function*() {
        const token = person("ada")
        const first = yield* verify(token)
        const copy = Buffer.from(token).toString()
        assert.deepStrictEqual(yield* verify(copy), first)
        assert.deepStrictEqual(yield* verify(token), first)
        assert.strictEqual(yield* checks, 1)
      })
    ))

  it.effect("is remembered by the whole of it: each gets its own claims", () =>
    withCount((checks) =>
      Effect.gen(function*() {
        const tokens = [
          person("ada", { jti: "AT.1", scp: ["a"] }),
          person("ada", { jti: "AT.1", scp: ["b"] }),
          person("ada", { jti: "AT.2", scp: ["a"] })
        ]
        for (const _ of [1, 2]) {
          const verified = yield* Effect.forEach(tokens, verify)
          assert.deepStrictEqual(verified.map(({ claims, principal }) => [claims.jti, principal.scopes]), [
            ["AT.1", ["a"]],
            ["AT.1", ["b"]],
            ["AT.2", ["a"]]
          ])
        }
        assert.strictEqual(yield* checks, 3)
      })
    ))

  it.effect("is not taken for another that only begins or ends like it", () =>
    withCount((checks) =>
      Effect.gen(function*() {
        const token = person("ada")
        yield* verify(token)
        const [header, payload, signature] = token.split(".")
        const [, otherPayload, otherSignature] = person("eve").split(".")
        assert.strictEqual(yield* tagOf(`${header}.${payload}.${otherSignature}`), "InvalidSignature")
        assert.strictEqual(yield* tagOf(`${header}.${otherPayload}.${signature}`), "InvalidSignature")
        assert.strictEqual(yield* checks, 3)
      })
    ))

  it.effect("is forgotten at its exp, to the millisecond, though the tolerance accepts it longer", () =>
    withCount((checks) =>
      Effect.gen(function*() {
        const token = person("ada", { exp: now + 60 })
        assert.strictEqual(yield* tagOf(token), "accepted")
        yield* TestClock.adjust(59_999)
        assert.strictEqual(yield* tagOf(token), "accepted")
        assert.strictEqual(yield* checks, 1)
        yield* TestClock.adjust(1)
        assert.strictEqual(yield* tagOf(token), "accepted")
        assert.strictEqual(yield* checks, 2)
        yield* TestClock.adjust(29_999)
        assert.strictEqual(yield* tagOf(token), "accepted")
        assert.strictEqual(yield* checks, 3)
        yield* TestClock.adjust(1)
        assert.strictEqual(yield* tagOf(token), "TokenExpired")
      })
    ))

  it.effect("is forgotten after 5 minutes", () =>
    withCount((checks) =>
      Effect.gen(function*() {
        const token = person("ada")
        yield* verify(token)
        yield* TestClock.adjust(299_999)
        yield* verify(token)
        assert.strictEqual(yield* checks, 1)
        yield* TestClock.adjust(1)
        yield* verify(token)
        assert.strictEqual(yield* checks, 2)
        yield* verify(token)
        assert.strictEqual(yield* checks, 2)
      })
    ))

  it.effect("is dropped with its key", () =>
    withCount((checks, published) =>
      Effect.gen(function*() {
        const jwks = yield* Jwks
        const token = person("ada")
        const next = makeKey("ES256", "key-2")
        yield* verify(token)

        published.keys = [key.published, next.published]
        yield* jwks.reload
        assert.strictEqual(yield* tagOf(token), "accepted", "its key is still there")
        assert.strictEqual(yield* checks, 1)

        published.keys = [next.published]
        yield* jwks.reload
        assert.strictEqual(yield* tagOf(token), "UnknownKey")

        published.keys = [key.published]
        yield* jwks.reload
        assert.strictEqual(yield* tagOf(token), "accepted", "its key is back")
        assert.strictEqual(yield* checks, 2, "and it was checked again")
      })
    ))

  it.effect("that is dropped with its key takes nobody's place", () =>
    withCount((checks, published) =>
      Effect.gen(function*() {
        const next = makeKey("ES256", "key-2")
        const [ada, bob, cyd] = [person("ada"), next.token({ sub: "bob" }), next.token({ sub: "cyd" })]
        published.keys = [key.published, next.published]
        for (const token of [ada, bob]) yield* verify(token)
        published.keys = [next.published]
        yield* Effect.flatMap(Jwks, ({ reload }) => reload)
        assert.strictEqual(yield* tagOf(ada), "UnknownKey")
        for (const token of [cyd, bob]) assert.strictEqual(yield* tagOf(token), "accepted")
        assert.strictEqual(yield* checks, 3, "bob's is still remembered")
      }), { cacheSize: 2 }))

  it.effect("is dropped when another key takes the name of its own", () =>
    withCount((_, published) =>
      Effect.gen(function*() {
        const token = person("ada")
        yield* verify(token)
        published.keys = [makeKey("ES256", "key-1").published]
        yield* Effect.flatMap(Jwks, ({ reload }) => reload)
        assert.strictEqual(yield* tagOf(token), "InvalidSignature")
      })
    ))

  it.effect("makes room for others, the one least recently used first", () =>
    withCount((checks) =>
      Effect.gen(function*() {
        const [ada, bob, cyd, dan] = [person("ada"), person("bob"), person("cyd"), person("dan")]
        for (const token of [ada, bob, cyd]) yield* verify(token)
        yield* verify(ada)
        assert.strictEqual(yield* checks, 3)
        yield* verify(dan)
        assert.strictEqual(yield* checks, 4)
        for (const token of [ada, cyd, dan]) yield* verify(token)
        assert.strictEqual(yield* checks, 4, "these three are held")
        yield* verify(bob)
        assert.strictEqual(yield* checks, 5, "bob had to go")
        yield* verify(ada)
        assert.strictEqual(yield* checks, 6, "and then ada")
      }), { cacheSize: 3 }))

  it.effect("is not remembered at all with a cacheSize of 0", () =>
    withCount((checks) =>
      Effect.gen(function*() {
        const token = person("ada")
        for (const _ of [1, 2, 3]) yield* verify(token)
        assert.strictEqual(yield* checks, 3)
      }), { cacheSize: 0 }))
})

describe("a refused token", () => {
  it.effect("is checked again each time", () =>
    withCount((checks) =>
      Effect.gen(function*() {
        const token = person("ada", { aud: "api://other" })
        for (const _ of [1, 2, 3]) assert.strictEqual(yield* tagOf(token), "InvalidAudience")
        assert.strictEqual(yield* checks, 3)
      })
    ))

  it.effect("is accepted as soon as its time has come", () =>
    withCount(() =>
      Effect.gen(function*() {
        const token = person("ada", { nbf: now + 60 })
        assert.strictEqual(yield* tagOf(token), "TokenNotYetValid")
        yield* TestClock.adjust("30 seconds")
        assert.strictEqual(yield* tagOf(token), "accepted")
      })
    ))

  it.effect("is accepted as soon as its key is published", () =>
    withCount((_, published) =>
      Effect.gen(function*() {
        const next = makeKey("ES256", "key-2")
        assert.strictEqual(yield* tagOf(next.token()), "UnknownKey")
        published.keys = [key.published, next.published]
        yield* TestClock.adjust("10 seconds")
        assert.strictEqual(yield* tagOf(next.token()), "accepted")
      })
    ))
})

describe("many callers with one token at once", () => {
  /** A signature check that ends when the test says so. */
  const held = Effect.fnUntraced(function*(valid: boolean) {
    const started = yield* Ref.make(0)
    const gate = Promise.withResolvers<boolean>()
    const signature = Layer.succeed(
      Signature,
      Signature.of({
        verify: () => Effect.andThen(Ref.update(started, (n) => n + 1), Effect.promise(() => gate.promise)),
        verifyNow: () => undefined
      })
    )
    return { signature, started: Ref.get(started), finish: Effect.sync(() => gate.resolve(valid)) }
  })

  const callers = (token: string, count: number) =>
    Effect.forEach(
      Array.from({ length: count }),
      () => Effect.forkChild(tagOf(token), { startImmediately: true })
    )

  for (
    const [what, valid, expected] of [["accepted", true, "accepted"], ["refused", false, "InvalidSignature"]] as const
  ) {
    it.effect(`do the work once when it is ${what}, and all learn the outcome`, () =>
      Effect.gen(function*() {
        yield* TestClock.setTime(now * 1000)
        const { finish, signature, started } = yield* held(valid)
        yield* Effect.gen(function*() {
          yield* Effect.flatMap(Jwks, ({ ready }) => ready)
          const token = person("ada")
          const fibers = yield* callers(token, 100)
          const [other] = yield* callers(person("bob"), 1)
          assert.strictEqual(yield* started, 2, "one for each token")
          yield* finish
          const outcomes = yield* Effect.forEach(fibers, Fiber.join)
          assert.deepStrictEqual(outcomes, outcomes.map(() => expected))
          assert.strictEqual(other && (yield* Fiber.join(other)), expected)
          assert.strictEqual(yield* started, 2)
          yield* tagOf(token)
          assert.strictEqual(yield* started, valid ? 2 : 3, "only a good verdict is remembered")
        }).pipe(Effect.provide(verifierLayer({ keys: [key.published] }, { settings, signature })))
      }))
  }

  it.effect("the first of whom gives up, still get their answer", () =>
    Effect.gen(function*() {
      yield* TestClock.setTime(now * 1000)
      const { finish, signature, started } = yield* held(true)
      yield* Effect.gen(function*() {
        yield* Effect.flatMap(Jwks, ({ ready }) => ready)
        const [first, ...others] = yield* callers(person("ada"), 10)
        if (first === undefined) return
        const leaving = yield* Effect.forkChild(Fiber.interrupt(first), { startImmediately: true })
        yield* finish
        yield* Fiber.join(leaving)
        const outcomes = yield* Effect.forEach(others, Fiber.join)
        assert.deepStrictEqual(outcomes, outcomes.map(() => "accepted"))
        assert.strictEqual(yield* started, 1)
      }).pipe(Effect.provide(verifierLayer({ keys: [key.published] }, { settings, signature })))
    }))

  it.effect("one of whom gives up while waiting, is let go at once", () =>
    Effect.gen(function*() {
      yield* TestClock.setTime(now * 1000)
      const { finish, signature } = yield* held(true)
      yield* Effect.gen(function*() {
        yield* Effect.flatMap(Jwks, ({ ready }) => ready)
        const [first, second] = yield* callers(person("ada"), 2)
        if (first === undefined || second === undefined) return
        yield* Fiber.interrupt(second)
        yield* finish
        assert.strictEqual(yield* Fiber.join(first), "accepted")
      }).pipe(Effect.provide(verifierLayer({ keys: [key.published] }, { settings, signature })))
    }))
})

describe("the verdict cache itself", () => {
  const held = (cache: VerdictCache.VerdictCache<string>, tokens: string, at = 0) =>
    [...tokens].filter((token) => cache.get(token, at) === token).join("")

  it("never holds more than its capacity, the least recently used going first", () => {
    const cache = VerdictCache.make<string>(3)
    for (const token of "abcdefgh") cache.set(token, token, 100, 0)
    assert.strictEqual(held(cache, "abcdefgh"), "fgh")
    cache.get("f", 0)
    cache.set("i", "i", 100, 0)
    assert.strictEqual(held(cache, "fghi"), "fhi")
  })

  it("holds one where one is its capacity, and none where none is", () => {
    for (const [capacity, expected] of [[1, "b"], [0, ""], [-1, ""]] as const) {
      const cache = VerdictCache.make<string>(capacity)
      for (const token of "ab") cache.set(token, token, 100, 0)
      assert.strictEqual(held(cache, "ab"), expected, String(capacity))
    }
  })

  it("a verdict put in again takes the place of the old one", () => {
    const cache = VerdictCache.make<string>(2)
    cache.set("a", "a", 100, 0)
    cache.set("b", "b", 100, 0)
    cache.set("a", "other", 200, 0)
    assert.strictEqual(cache.get("b", 0), "b")
    assert.strictEqual(cache.get("a", 150), "other")
  })

  it("a verdict whose time is over is gone, even for who asks with an older time", () => {
    const cache = VerdictCache.make<string>(2)
    cache.set("a", "a", 100, 0)
    assert.strictEqual(cache.get("a", 99), "a")
    assert.isUndefined(cache.get("a", 100))
    assert.isUndefined(cache.get("a", 50))
  })

  it("verdicts whose time is over go when others come, two at a time", () => {
    const cache = VerdictCache.make<string>(10)
    for (const token of "abc") cache.set(token, token, 100, 0)
    cache.set("d", "d", 200, 99)
    assert.strictEqual(held(cache, "abcd"), "abcd")
    cache.set("e", "e", 200, 100)
    assert.strictEqual(held(cache, "abcde"), "cde")
    cache.set("f", "f", 200, 100)
    assert.strictEqual(held(cache, "cdef"), "def")
  })

  it("holds exactly the verdicts of a plain list that is searched and reordered", () => {
    const capacity = 5
    const cache = VerdictCache.make<string>(capacity)
    let plain: Array<string> = []
    let state = 12345
    for (let step = 0; step < 20_000; step++) {
      state = (state * 1103515245 + 12345) % 2 ** 31
      const token = String.fromCharCode(97 + (state >> 16) % 9)
      const known = plain.includes(token)
      switch ((state >> 8) % 4) {
        case 0:
          cache.set(token, token, 100, 0)
          plain = [...plain.filter((one) => one !== token), token].slice(-capacity)
          break
        case 1:
          cache.delete(token)
          plain = plain.filter((one) => one !== token)
          break
        default:
          assert.strictEqual(cache.get(token, 0), known ? token : undefined, `step ${step}`)
          if (known) plain = [...plain.filter((one) => one !== token), token]
      }
    }
  })
})
