import { assert, describe, it } from "@effect/vitest"
import { Deferred, Effect, Exit, Fiber, Latch, Layer, Metric, Schema, Scope } from "effect"
import { TestClock } from "effect/testing"
import { AuditEvent, SignedOut } from "../../src/observe/AuditEvent.ts"
import * as AuditLog from "../../src/observe/AuditLog.ts"
import { auditEvents, auditEventsLost } from "../../src/observe/Telemetry.ts"
import { Watch } from "../support/Watch.ts"

/** An event that is told from others by its number. */
const note = (number: number) =>
  Effect.flatMap(
    AuditLog.AuditLog,
    (write) => AuditLog.record(write, (at) => new SignedOut({ at, grants: [String(number)] }))
  )

const numberOf = (event: AuditEvent) => event._tag === "SignedOut" ? Number(event.grants[0]) : -1

const lost = (reason: string) => Effect.map(Metric.value(auditEventsLost.of({ reason })), ({ count }) => Number(count))

describe("AuditLog", () => {
  it.effect("gives each event to the sink, in their order, and counts it", () =>
    Effect.gen(function*() {
      const watch = new Watch()
      const taken: Array<number> = []
      const all = yield* Deferred.make<void>()
      yield* Effect.gen(function*() {
        for (let number = 0; number < 100; number++) yield* note(number)
        yield* Deferred.await(all)
        assert.deepStrictEqual(taken, Array.from({ length: 100 }, (_, number) => number))
        assert.strictEqual((yield* Metric.value(auditEvents.of({ event: "SignedOut" }))).count, 100)
        assert.notInclude(watch.text, "Audit: ")
      }).pipe(
        Effect.provide(AuditLog.layer((event) =>
          Effect.suspend(() => taken.push(numberOf(event)) === 100 ? Deferred.succeed(all, undefined) : Effect.void)
        )),
        Effect.provide(watch.layer)
      )
    }))

  it.effect("without a sink each event is a line of the log, with all that it says", () =>
    Effect.gen(function*() {
      const watch = new Watch()
      yield* Effect.provide(note(7), watch.layer)
      assert.include(watch.text, "Audit: SignedOut")
      assert.include(watch.text, "\"grants\":[\"7\"]")
      assert.include(watch.text, "1970-01-01T00:00:00.000Z")
    }))

  it.effect("a sink that never comes back holds up nobody; after 5 seconds its event is lost, and the next has its turn", () =>
    Effect.gen(function*() {
      const watch = new Watch()
      const taken: Array<number> = []
      const [first, second] = [yield* Deferred.make<void>(), yield* Deferred.make<void>()]
      yield* Effect.gen(function*() {
        yield* note(1)
        yield* note(2)
        yield* Deferred.await(first)
        yield* TestClock.adjust("4 seconds")
        assert.deepStrictEqual(taken, [1])
        yield* TestClock.adjust("1 second")
        yield* Deferred.await(second)
        assert.deepStrictEqual(taken, [1, 2])
        assert.strictEqual(yield* lost("slow"), 1)
        assert.include(watch.text, "not taken within 5 seconds")
      }).pipe(
        Effect.provide(AuditLog.layer((event) =>
          Effect.suspend(() => {
            taken.push(numberOf(event))
            return taken.length === 1
              ? Effect.andThen(Deferred.succeed(first, undefined), Effect.never)
              : Deferred.succeed(second, undefined)
          })
        )),
        Effect.provide(watch.layer)
      )
    }))

  it.effect.each(
    [
      ["fails", Effect.fail(new Error("no disk"))],
      ["has a defect", Effect.die(new Error("no disk"))],
      ["is interrupted", Effect.interrupt]
    ] as const
  )("a sink that %s loses that event and no other, with one warning a minute", ([, trouble]) =>
    Effect.gen(function*() {
      const watch = new Watch()
      const taken: Array<number> = []
      const third = yield* Deferred.make<void>()
      yield* Effect.gen(function*() {
        for (const number of [1, 2, 3]) yield* note(number)
        yield* Deferred.await(third)
        assert.deepStrictEqual(taken, [1, 2, 3])
        assert.strictEqual(yield* lost("failed"), 2)
        assert.lengthOf(watch.lines.filter((line) => /^\{.*"An audit event was not taken/.test(line)), 1)
      }).pipe(
        Effect.provide(AuditLog.layer((event) =>
          Effect.suspend(() => {
            taken.push(numberOf(event))
            return taken.length < 3 ? trouble : Deferred.succeed(third, undefined)
          })
        )),
        Effect.provide(watch.layer)
      )
    }))

  it.effect("1024 events wait for a sink that is busy; what comes on top is lost and counted, and nobody waits", () =>
    Effect.gen(function*() {
      const watch = new Watch()
      const busy = yield* Deferred.make<void>()
      const gate = yield* Latch.make(false)
      const taken: Array<number> = []
      const last = yield* Deferred.make<void>()
      yield* Effect.gen(function*() {
        yield* note(0)
        yield* Deferred.await(busy)
        for (let number = 1; number <= 1030; number++) yield* note(number)
        assert.strictEqual(yield* lost("full"), 6)
        yield* gate.open
        yield* Deferred.await(last)
        assert.deepStrictEqual([taken.length, taken.at(-1)], [1025, 1024])
        assert.include(watch.text, "come faster than they are taken")
      }).pipe(
        Effect.provide(AuditLog.layer((event) =>
          Effect.gen(function*() {
            yield* Deferred.succeed(busy, undefined)
            yield* gate.await
            if (taken.push(numberOf(event)) === 1025) yield* Deferred.succeed(last, undefined)
          })
        )),
        Effect.provide(watch.layer)
      )
    }))

  it.effect("what waits when the server stops is still given, for 5 seconds at most", () =>
    Effect.gen(function*() {
      for (const stuck of [false, true]) {
        const taken: Array<number> = []
        const scope = yield* Scope.make()
        const context = yield* Layer.buildWithScope(
          AuditLog.layer((event) =>
            Effect.suspend(() => taken.push(numberOf(event)) === 3 && stuck ? Effect.never : Effect.void)
          ),
          scope
        )
        for (let number = 0; number < 20; number++) yield* Effect.provideContext(note(number), context)
        const closing = yield* Effect.forkChild(Scope.close(scope, Exit.void), { startImmediately: true })
        if (stuck) {
          yield* TestClock.adjust("4 seconds")
          assert.isUndefined(closing.pollUnsafe())
          yield* TestClock.adjust("1 second")
        }
        yield* Fiber.join(closing)
        assert.lengthOf(taken, stuck ? 3 : 20)
      }
    }))

  it.effect("an event that cannot be made, or a log that breaks, is no trouble of who notes it", () =>
    Effect.gen(function*() {
      const watch = new Watch()
      yield* AuditLog.record(() => Effect.die("broken"), (at) => new SignedOut({ at, grants: [] })).pipe(
        Effect.provide(watch.layer)
      )
      yield* AuditLog.record(() => Effect.void, () => {
        throw new Error("cannot be made")
      }).pipe(Effect.provide(watch.layer))
      assert.include(watch.text, "could not be noted")
      assert.include(watch.text, "cannot be made")
    }))

  it("an event is JSON and back", () => {
    const json = Schema.fromJsonString(AuditEvent)
    const text =
      `{"_tag":"GrantRevoked","at":"2026-01-15T12:00:00.000Z","clientId":"c","subject":"00u1","grant":"g","why":"revoked"}`
    const event = Schema.decodeSync(json)(text)
    assert.strictEqual(event._tag, "GrantRevoked")
    assert.deepStrictEqual(JSON.parse(Schema.encodeSync(json)(event)), JSON.parse(text))
  })
})
