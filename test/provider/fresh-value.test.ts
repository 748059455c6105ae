import { assert, describe, it } from "@effect/vitest"
import { Clock, Deferred, Effect, Exit, Fiber, Logger, Scheduler, Scope } from "effect"
import { TestClock } from "effect/testing"
import { execFile } from "node:child_process"
import { promisify } from "node:util"
import * as FreshValue from "../../src/provider/FreshValue.ts"

interface Trouble {
  readonly reason: string
  readonly retryAfter?: number
  readonly inherited?: boolean
}

const down: Trouble = { reason: "down" }

/** A source that can be told what to do, and the value kept of it. */
const setUp = Effect.fnUntraced(function*(
  first: Effect.Effect<string, Trouble> = Effect.succeed("a"),
  lifetime = 300_000
) {
  const source = { answer: first, fetches: new Array<number>(), changes: new Array<string | undefined>() }
  const value = yield* FreshValue.make<string, Trouble>({
    name: "value",
    fetch: Effect.flatMap(Clock.currentTimeMillis, (now) => {
      source.fetches.push(now)
      return source.answer
    }),
    lifetime: () => lifetime,
    retryAfter: (error) => error.retryAfter,
    withRetryAfter: (error, retryAfter) => ({ ...error, retryAfter }),
    inherited: (error) => error.inherited === true,
    failed: (reason) => ({ reason }),
    onChange: (next) => source.changes.push(next)
  })
  return { source, value }
})

const gaps = (times: ReadonlyArray<number>) => times.slice(1).map((time, index) => time - (times[index] ?? 0))

const captured = () => {
  const lines: Array<string> = []
  const layer = Logger.layer([Logger.make(({ logLevel, message }) => {
    lines.push(`${logLevel} ${[message].flat().map(String).join(" ")}`)
  })])
  return { lines, layer }
}

describe("A value that nobody uses", () => {
  it.effect("is put aside after an hour, and fetched anew by the next use", () =>
    Effect.gen(function*() {
      const { source, value } = yield* setUp()
      yield* TestClock.adjust("3 hours")
      const fetches = source.fetches.length
      assert.isAtMost(fetches, 14)
      assert.isUndefined(value.peek())
      assert.isTrue(value.held())
      assert.deepStrictEqual(source.changes.slice(-2), ["a", undefined])
      source.answer = Effect.succeed("b")
      assert.strictEqual(yield* value.get, "b")
      assert.strictEqual(source.fetches.length, fetches + 1)
    }))

  it.effect("is used again when it cannot be fetched anew, until it is 24 hours old", () =>
    Effect.gen(function*() {
      const { source, value } = yield* setUp()
      yield* TestClock.adjust("3 hours")
      source.answer = Effect.fail(down)
      assert.strictEqual(yield* value.get, "a")
      assert.strictEqual(value.peek(), "a")
      yield* TestClock.adjust("25 hours")
      assert.isFalse(value.held())
      assert.strictEqual((yield* Effect.flip(value.get)).reason, "down")
    }))

  it.effect("stays while it is touched", () =>
    Effect.gen(function*() {
      const { source, value } = yield* setUp()
      for (let hour = 0; hour < 6; hour++) {
        value.touch()
        yield* TestClock.adjust("50 minutes")
      }
      assert.strictEqual(value.peek(), "a")
      assert.notInclude(source.changes, undefined)
    }))

  it.effect("does not hold up a clock that is set to another year", () =>
    Effect.gen(function*() {
      const { source, value } = yield* setUp()
      yield* Effect.yieldNow
      yield* TestClock.setTime(Date.UTC(2026, 0))
      assert.isAtMost(source.fetches.length, 14)
      assert.strictEqual(yield* value.get, "a")
    }))
})

describe("A value that is fetched", () => {
  it.effect("is fetched without being asked for, and once for all who ask", () =>
    Effect.gen(function*() {
      const gate = yield* Deferred.make<string>()
      const { source, value } = yield* setUp(Deferred.await(gate))
      yield* Effect.yieldNow
      assert.strictEqual(source.fetches.length, 1)
      assert.isTrue(value.fetching())
      const askers = yield* Effect.forkChild(
        Effect.all(Array.from({ length: 1000 }, () => value.get), { concurrency: "unbounded" })
      )
      yield* Effect.yieldNow
      yield* Deferred.succeed(gate, "a")
      assert.deepStrictEqual(new Set(yield* Fiber.join(askers)), new Set(["a"]))
      assert.strictEqual(source.fetches.length, 1)
      assert.isFalse(value.fetching())
    }))

  it.effect("is fetched again at the end of its lifetime, while the old one serves", () =>
    Effect.gen(function*() {
      const { source, value } = yield* setUp()
      yield* TestClock.adjust("299 seconds")
      const gate = yield* Deferred.make<string>()
      source.answer = Deferred.await(gate)
      assert.strictEqual(source.fetches.length, 1)
      yield* TestClock.adjust("1 second")
      assert.strictEqual(source.fetches.length, 2)
      assert.isTrue(value.fetching())
      assert.strictEqual(yield* value.get, "a")
      assert.strictEqual(value.age(), 300_000)
      yield* Deferred.succeed(gate, "b")
      yield* Effect.yieldNow
      assert.strictEqual(yield* value.get, "b")
      assert.strictEqual(value.age(), 0)
      assert.deepStrictEqual(source.changes, ["a", "b"])
    }))

  it.effect("is fetched for whoever asks for it anew, and its lifetime begins then", () =>
    Effect.gen(function*() {
      const { source, value } = yield* setUp()
      yield* TestClock.adjust("4 minutes")
      source.answer = Effect.succeed("b")
      assert.deepStrictEqual(yield* Effect.all([value.refresh, value.refresh], { concurrency: 2 }), ["b", "b"])
      yield* TestClock.adjust("299 seconds")
      assert.strictEqual(source.fetches.length, 2)
      yield* TestClock.adjust("1 second")
      assert.strictEqual(source.fetches.length, 3)
    }))

  it.effect("is fetched once more for a reload in the middle of a fetch, which may have missed what happened", () =>
    Effect.gen(function*() {
      const gate = yield* Deferred.make<string>()
      const { source, value } = yield* setUp(Deferred.await(gate))
      yield* Effect.yieldNow
      source.answer = Effect.succeed("b")
      const reload = yield* Effect.forkChild(value.reload)
      yield* Effect.yieldNow
      yield* Deferred.succeed(gate, "a")
      assert.strictEqual(yield* Fiber.join(reload), "b")
      assert.strictEqual(source.fetches.length, 2)
    }))

  it.effect("is not fetched in circles when times are not whole milliseconds", () =>
    Effect.gen(function*() {
      yield* TestClock.setTime(1_800_000_000_000)
      const { source } = yield* setUp(undefined, 1000.00001)
      for (let step = 0; step < 60; step++) yield* TestClock.adjust("1 second")
      assert.isAtLeast(source.fetches.length, 30)
      assert.isAtMost(source.fetches.length, 61)
    }))
})

describe("Whoever waits for it", () => {
  it.effect("waits little more than 3 seconds at most", () =>
    Effect.gen(function*() {
      const { value } = yield* setUp(Effect.never)
      const fiber = yield* Effect.forkChild(Effect.flip(value.get))
      yield* TestClock.adjust("3 seconds")
      assert.isUndefined(fiber.pollUnsafe())
      yield* TestClock.adjust("50 millis")
      assert.match((yield* Fiber.join(fiber)).reason, /3s/)
    }))

  it.effect("may go away, and takes nothing with them", () =>
    Effect.gen(function*() {
      const gate = yield* Deferred.make<string>()
      const { source, value } = yield* setUp(Deferred.await(gate))
      const leaving = yield* Effect.forEach(Array.from({ length: 50 }), () => Effect.forkChild(value.get))
      const staying = yield* Effect.forkChild(value.get)
      yield* Effect.yieldNow
      yield* Fiber.interruptAll(leaving)
      yield* Deferred.succeed(gate, "a")
      assert.strictEqual(yield* Fiber.join(staying), "a")
      assert.strictEqual(source.fetches.length, 1)
    }))

  it.effect("may go away at any moment, and the next one is served", () =>
    Effect.gen(function*() {
      const { source, value } = yield* setUp(Effect.delay(Effect.succeed("a"), "1 second"))
      yield* TestClock.adjust("1 second")
      for (let operations = 2; operations < 40; operations++) {
        const fiber = yield* Effect.forkChild(
          Effect.provideService(value.refresh, Scheduler.MaxOpsBeforeYield, operations)
        )
        yield* Effect.yieldNow
        yield* Fiber.interrupt(fiber)
        yield* TestClock.adjust("1 second")
        assert.isFalse(value.fetching())
      }
      const before = source.fetches.length
      const fiber = yield* Effect.forkChild(value.refresh)
      yield* TestClock.adjust("1 second")
      assert.strictEqual(yield* Fiber.join(fiber), "a")
      assert.strictEqual(source.fetches.length, before + 1)
    }))

  it.effect("is told at once when nobody fetches any more", () =>
    Effect.gen(function*() {
      const scope = yield* Scope.make()
      const { value } = yield* Scope.provide(setUp(Effect.never), scope)
      const waiting = yield* Effect.forkChild(Effect.flip(value.get))
      yield* Effect.yieldNow
      yield* Scope.close(scope, Exit.void)
      assert.match((yield* Fiber.join(waiting)).reason, /no longer/)
      assert.match((yield* Effect.flip(value.get)).reason, /no longer/)
    }))
})

describe("A source that fails", () => {
  it.effect("is tried again after pauses that grow from 1 to 30 seconds, by chance", () =>
    Effect.gen(function*() {
      const { source, value } = yield* setUp(Effect.fail(down))
      for (let step = 0; step < 6000; step++) yield* TestClock.adjust("100 millis")
      const pauses = gaps(source.fetches)
      const limits = [2, 4, 8, 16, 30]
      pauses.forEach((pause, index) => {
        assert.isAtLeast(pause, 1000)
        assert.isAtMost(pause, 1000 * (limits[index] ?? 30) + 1)
      })
      assert.isAbove(new Set(pauses.slice(5)).size, 5)
      assert.isAbove(Math.max(...pauses), 16_000)
      assert.strictEqual(value.failure()?.reason, "down")
    }))

  it.effect("is not tried by those who ask in the pause, who are told at once", () =>
    Effect.gen(function*() {
      const { source, value } = yield* setUp(Effect.fail(down))
      yield* Effect.yieldNow
      for (let asker = 0; asker < 1000; asker++) assert.strictEqual((yield* Effect.flip(value.get)).reason, "down")
      yield* TestClock.adjust("999 millis")
      assert.strictEqual((yield* Effect.flip(value.refresh)).reason, "down")
      assert.strictEqual(source.fetches.length, 1)
    }))

  it.effect("fails with what is left of the pause, whoever decided on it", () =>
    Effect.gen(function*() {
      const { source, value } = yield* setUp(Effect.fail({ reason: "busy", retryAfter: 45_000 }))
      yield* Effect.yieldNow
      assert.strictEqual((yield* Effect.flip(value.get)).retryAfter, 45_000)
      yield* TestClock.adjust("44 seconds")
      assert.strictEqual((yield* Effect.flip(value.get)).retryAfter, 1000)
      source.answer = Effect.fail(down)
      yield* TestClock.adjust("1 second")
      const first = (yield* Effect.flip(value.get)).retryAfter ?? 0
      assert.isAtLeast(first, 1000)
      yield* TestClock.adjust("500 millis")
      assert.strictEqual((yield* Effect.flip(value.get)).retryAfter, first - 500)
    }))

  it.effect("is left alone for as long as it asks", () =>
    Effect.gen(function*() {
      const { source, value } = yield* setUp(Effect.fail({ reason: "busy", retryAfter: 45_000 }))
      yield* TestClock.adjust("44999 millis")
      yield* Effect.flip(value.refresh)
      assert.strictEqual(source.fetches.length, 1)
      source.answer = Effect.succeed("a")
      yield* TestClock.adjust("1 millis")
      assert.strictEqual(source.fetches.length, 2)
      assert.strictEqual(yield* value.get, "a")
    }))

  for (
    const [what, answer] of [
      ["a defect", Effect.die(new Error("unforeseen"))],
      ["an exception", Effect.sync(() => JSON.parse("{"))],
      ["an interruption of its own", Effect.interrupt]
    ] as const
  ) {
    it.effect(`with ${what} is a source that fails, and is tried again no sooner`, () =>
      Effect.gen(function*() {
        const { layer, lines } = captured()
        const { source, value } = yield* Effect.provide(setUp(answer), layer)
        yield* Effect.yieldNow
        assert.strictEqual((yield* Effect.flip(value.get)).reason, "the attempt broke off")
        yield* TestClock.adjust("999 millis")
        assert.strictEqual(source.fetches.length, 1)
        assert.strictEqual(lines.length, 1)
        source.answer = Effect.succeed("a")
        yield* TestClock.adjust("1002 millis")
        assert.strictEqual(yield* value.get, "a")
      }))
  }

  it.effect("leaves the last good value, for 24 hours", () =>
    Effect.gen(function*() {
      const { source, value } = yield* setUp()
      yield* Effect.yieldNow
      source.answer = Effect.fail(down)
      yield* TestClock.adjust("23 hours")
      yield* TestClock.adjust("59 minutes")
      assert.strictEqual(yield* value.get, "a")
      assert.strictEqual((yield* Effect.flip(value.refresh)).reason, "down")
      yield* TestClock.adjust("1 minute")
      assert.isUndefined(value.peek())
      assert.strictEqual((yield* Effect.flip(value.get)).reason, "down")
      assert.deepStrictEqual(source.changes, ["a", undefined, "a", undefined])
      assert.strictEqual(value.age(), 86_400_000)
      source.answer = Effect.succeed("b")
      yield* TestClock.adjust("31 seconds")
      assert.strictEqual(yield* value.get, "b")
      assert.isUndefined(value.failure())
    }))

  it.effect("is warned of once a minute at most, and its return is told", () =>
    Effect.gen(function*() {
      const { layer, lines } = captured()
      const { source } = yield* Effect.provide(setUp(), layer)
      yield* Effect.yieldNow
      source.answer = Effect.fail(down)
      yield* TestClock.adjust("305 seconds")
      assert.deepStrictEqual(lines.length, 1)
      assert.match(lines[0] ?? "", /^Warn The value cannot be fetched, the one of 5m ago is used/)
      yield* TestClock.adjust("10 minutes")
      assert.isAtLeast(lines.length, 6)
      assert.isAtMost(lines.length, 11)
      source.answer = Effect.succeed("b")
      yield* TestClock.adjust("31 seconds")
      assert.strictEqual(lines.at(-1), "Info The value is available again")
    }))

  it.effect("is tried again though the logger fails too", () =>
    Effect.gen(function*() {
      const logger = Logger.layer([Logger.make(() => {
        throw new Error("the log is full")
      })])
      const { source, value } = yield* Effect.provide(setUp(Effect.fail(down)), logger)
      yield* Effect.yieldNow
      source.answer = Effect.succeed("a")
      yield* TestClock.adjust("2 seconds")
      assert.strictEqual(yield* value.get, "a")
    }))

  it.effect("that only passes on another's failure is asked whenever somebody asks, without a warning", () =>
    Effect.gen(function*() {
      const { layer, lines } = captured()
      const { source, value } = yield* Effect.provide(setUp(Effect.fail({ ...down, inherited: true })), layer)
      yield* Effect.yieldNow
      yield* Effect.flip(value.get)
      assert.strictEqual(source.fetches.length, 2)
      source.answer = Effect.succeed("a")
      assert.strictEqual(yield* value.get, "a")
      yield* Effect.yieldNow
      assert.deepStrictEqual(lines, ["Info The value is available again"])
    }))
})

describe("A program that keeps such a value", () => {
  it.live("ends when it has done its work", () =>
    Effect.gen(function*() {
      const program = `
        import { Effect, Layer } from "effect"
        import { OktaAuth, TokenVerifier } from "./src/index.ts"
        import { OktaTest } from "./src/testing/index.ts"
        const { audience, issuer } = OktaTest
        const okta = OktaAuth.layer({ issuer, audience, serverUrl: "http://127.0.0.1:8080" })
        Effect.gen(function*() {
          const test = yield* OktaTest
          const { principal } = yield* (yield* TokenVerifier).verify(yield* test.token())
          yield* Effect.sync(() => process.stdout.write(principal.subject))
        }).pipe(Effect.provide(Layer.provideMerge(okta, OktaTest.layer())), Effect.runPromise)`
      const printed = yield* Effect.promise(() =>
        promisify(execFile)(process.execPath, ["--input-type=module", "--eval", program])
      )
      assert.deepStrictEqual(printed, { stdout: "ada@example.com", stderr: "" })
    }))
})
