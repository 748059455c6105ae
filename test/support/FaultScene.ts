import { Cause, Context, Effect, Layer, Logger } from "effect"
import { TestClock } from "effect/testing"
import type { OktaOptions } from "../../src/config/OktaConfig.ts"
import type { FaultyOkta, Started } from "./FaultyOkta.ts"
import { GuardedServer } from "./GuardedServer.ts"

/** A server guarded with the keys of such an Okta. */
export const serve = (okta: FaultyOkta, settings: Partial<OktaOptions> = {}) =>
  Effect.map(
    Layer.build(Layer.provide(GuardedServer.layer({ issuer: okta.issuer, ...settings }), okta.client)),
    (context) => Context.get(context, GuardedServer)
  )

/** What becomes of a token: `accepted`, or the name of the error; time passes while it takes some. */
export const verdict = (okta: FaultyOkta, { verify }: Started, token = okta.token()) =>
  Effect.map(
    okta.timed(Effect.match(verify(token), { onSuccess: () => "accepted", onFailure: (error) => error._tag })),
    ({ value }) => value
  )

/** Collects what is logged. */
export const recorder = () => {
  const lines: Array<string> = []
  const layer = Logger.layer([Logger.make(({ cause, logLevel, message }) => {
    const texts = [message].flat().map((part) => part instanceof Error ? part.message : String(part))
    lines.push(`${logLevel}: ${texts.join(" ")}${cause.reasons.length === 0 ? "" : ` ${Cause.pretty(cause)}`}`)
  })])
  return { lines, layer, warnings: () => lines.filter((line) => line.startsWith("Warn: The ")) }
}

/** The test's clock, whose wall time and monotonic time can each be put ahead or back, in milliseconds. */
export const jumpingClock = TestClock.testClockWith((test) => {
  const ahead = { wall: 0, monotonic: 0 }
  const nanos = (millis: number) => BigInt(millis) * 1_000_000n
  const currentTimeMillisUnsafe = () => test.currentTimeMillisUnsafe() + ahead.wall
  const currentTimeNanosUnsafe = () => test.currentTimeNanosUnsafe() + nanos(ahead.wall)
  const monotonicTimeNanosUnsafe = () => test.monotonicTimeNanosUnsafe() + nanos(ahead.monotonic)
  const clock: TestClock.TestClock = {
    ...test,
    currentTimeMillisUnsafe,
    currentTimeNanosUnsafe,
    monotonicTimeNanosUnsafe,
    currentTimeMillis: Effect.sync(currentTimeMillisUnsafe),
    currentTimeNanos: Effect.sync(currentTimeNanosUnsafe),
    monotonicTimeNanos: Effect.sync(monotonicTimeNanosUnsafe)
  }
  return Effect.succeed({ ahead, clock })
})
