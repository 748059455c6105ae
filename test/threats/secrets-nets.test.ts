import { assert, describe, it } from "@effect/vitest"
import { Cause, Effect, Metric, Redacted, Schema } from "effect"
import { SignInRefused } from "../../src/observe/AuditEvent.ts"
import { AuditLog, record } from "../../src/observe/AuditLog.ts"
import { traced } from "../../src/observe/Span.ts"
import { count, requestsRefused } from "../../src/observe/Telemetry.ts"
import { assertHidden, Watch } from "../support/Watch.ts"

const canary = "c4n4ry-9f8e7d6c5b4a-c4n4ry-9f8e7d6c5b4a"

class Careless extends Schema.TaggedError<Careless>()("Careless", { token: Schema.String }) {
  override get message() {
    return "A message that says nothing"
  }
}

const leaks: ReadonlyArray<readonly [where: string, leak: Effect.Effect<unknown, unknown>]> = [
  ...(["Trace", "Debug", "Info", "Warn", "Error", "Fatal"] as const).map((level) =>
    [`a line at the level ${level}`, Effect.logWithLevel(level)(`The token is ${canary}`)] as const
  ),
  ["a value in a line", Effect.logTrace("A token came", { deep: { in: { it: [canary] } } })],
  ["an annotation of a line", Effect.annotateLogs(Effect.logTrace("A token came"), { token: canary })],
  ["the cause of a line", Effect.logTrace("A token came", Cause.fail(new Careless({ token: canary })))],
  ["the name of a span", Effect.withSpan(Effect.void, canary)],
  ["an attribute of a span", Effect.withSpan(Effect.void, "span", { attributes: { token: canary } })],
  ["a line that becomes an event of a span", Effect.withSpan(Effect.logTrace(canary), "span")],
  ["the error that ends a span of ours", traced(Effect.fail(new Careless({ token: canary })), "okta.verify")],
  ["the label of a metric", count(requestsRefused.of({ status: "401", reason: canary }))],
  ["the name of a metric", Metric.update(Metric.counter(canary), 1)],
  [
    "an audit event",
    Effect.flatMap(AuditLog, (write) => record(write, (at) => new SignInRefused({ at, reason: canary })))
  ],
  ["an error that somebody catches", Effect.catch(new Careless({ token: canary }), () => Effect.void)],
  ["an error in a failure", Effect.catch(Effect.fail(new Careless({ token: canary })), () => Effect.void)]
]

describe("L. The nets in which secrets are looked for", () => {
  it.effect.each(leaks)("#192 a secret in %s is found", ([, leak]) =>
    Effect.gen(function*() {
      const watch = new Watch()
      yield* Effect.exit(leak).pipe(Effect.provide(watch.layer))
      assert.throws(() => assertHidden(watch.text, [canary]), canary)
    }))

  it.effect("#192 one that is redacted, or let through by nobody, is not", () =>
    Effect.gen(function*() {
      const watch = new Watch()
      yield* Effect.logTrace("A token came", { token: Redacted.make(canary) }).pipe(
        Effect.withSpan("span", { attributes: { token: Redacted.make(canary) } }),
        Effect.provide(watch.layer)
      )
      assert.include(watch.text, "A token came")
      assertHidden(watch.text, [canary])
    }))
})
