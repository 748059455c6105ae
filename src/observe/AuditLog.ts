import { Cause, Clock, Context, DateTime, Duration, Effect, Fiber, Layer, Queue, Schema } from "effect"
import { AuditEvent } from "./AuditEvent.ts"
import { sparingly } from "./Sparingly.ts"
import { auditEvents, auditEventsLost, count } from "./Telemetry.ts"

/**
 * Takes audit events, one after the other in their order.
 *
 * **Details**
 *
 * No request waits for it: events wait for their turn, 1024 of them, and what comes on top is lost. Each may take 5 seconds. Of what is
 * lost the log warns, once a minute at most, and `okta_audit_events_lost` counts it.
 *
 * @example
 * ```ts
 * import { AuditEvent, OktaAuth } from "effect-okta"
 * import { Effect, FileSystem, Layer, Schema } from "effect"
 *
 * const line = Schema.encodeEffect(Schema.fromJsonString(AuditEvent))
 *
 * export const Okta = Layer.unwrap(Effect.map(FileSystem.FileSystem, (files) =>
 *   OktaAuth.layerConfig({
 *     audit: (event) =>
 *       Effect.flatMap(line(event), (text) => files.writeFileString("audit.jsonl", `${text}\n`, { flag: "a" }))
 *   })))
 * ```
 */
export type AuditSink = (event: AuditEvent) => Effect.Effect<unknown, unknown>

/** Notes an event; never fails, and never takes long. */
type Write = (event: AuditEvent) => Effect.Effect<void>

const encode = Schema.encodeEffect(AuditEvent)

/**
 * The kind of those events that can be caused without end, since no limit of requests keeps them down: returns that belong to no
 * sign-in, and what is brought a second time to a guarded route or by who speaks for Okta.
 */
const endlessKind = (event: AuditEvent): string | undefined =>
  event._tag === "SignInRefused" && event.clientId === undefined
    ? event.reason
    : event._tag === "ReplayDetected" && (event.what === "DPoP proof" || event.what === "logout token")
    ? event.what
    : undefined

/** How many lines a minute those of one kind are. */
const mostEndless = 100

/**
 * One line of the log for each, with the event as its annotation `audit`. What a limit of requests does not keep down would fill the
 * log; of all else none is left out, since an attacker could hide behind what is.
 */
const inLog: Write = (event) => {
  const message = `Audit: ${event._tag}`
  const endless = endlessKind(event)
  const line = endless === undefined
    ? Effect.logInfo(message)
    : sparingly("Info", `${message} ${endless}`, message, mostEndless)
  return Effect.flatMap(Effect.orDie(encode(event)), (audit) => Effect.annotateLogs(line, { audit }))
}

/** Where audit events go: into the log, unless there is somewhere else. */
export const AuditLog = Context.Reference<Write>("effect-okta/observe/AuditLog", { defaultValue: () => inLog })

/** Notes and counts an event. Whatever goes wrong with that, what it is about goes on. */
export const record = (write: Write, make: (at: DateTime.Utc) => AuditEvent): Effect.Effect<void> =>
  DateTime.now.pipe(
    Effect.map(make),
    Effect.flatMap((event) => Effect.andThen(count(auditEvents.of({ event: event._tag })), write(event))),
    Effect.catchDefect((defect) => Effect.logError("An audit event could not be noted", Cause.die(defect)))
  )

/** How many events wait for their turn. */
const capacity = 1024
const longest = Duration.seconds(5)
const warningInterval = Duration.toMillis("1 minute")

/** Gives events to a sink; when the layer ends, those that wait still have 5 seconds. */
export const layer = (sink: AuditSink): Layer.Layer<never> =>
  Layer.effect(
    AuditLog,
    Effect.gen(function*() {
      const queue = yield* Queue.dropping<AuditEvent, Cause.Done>(capacity)
      let warnedAt = -Infinity

      const lost = Effect.fnUntraced(function*(reason: "full" | "failed" | "slow", cause?: Cause.Cause<unknown>) {
        yield* count(auditEventsLost.of({ reason }))
        const now = Number(yield* Clock.monotonicTimeNanos) / 1e6
        if (now - warnedAt < warningInterval) return
        warnedAt = now
        yield* Effect.logWarning(problems[reason], ...(cause === undefined ? [] : [cause]))
      })

      const give = (event: AuditEvent) =>
        Effect.suspend(() => sink(event)).pipe(
          Effect.asVoid,
          Effect.timeoutOrElse({ duration: longest, orElse: () => lost("slow") }),
          Effect.catchCause((cause) => lost("failed", cause))
        )

      const fiber = yield* Queue.take(queue).pipe(
        Effect.flatMap(give),
        Effect.forever,
        Effect.ignore,
        Effect.forkScoped
      )
      yield* Effect.addFinalizer(() =>
        Queue.end(queue).pipe(
          Effect.andThen(Effect.timeoutOption(Fiber.await(fiber), longest))
        )
      )
      return (event) => Effect.suspend(() => Queue.offerUnsafe(queue, event) ? Effect.void : lost("full"))
    })
  )

const problems = {
  full: "Audit events come faster than they are taken, so that some are lost",
  failed: "An audit event was not taken, and is lost",
  slow: "An audit event was not taken within 5 seconds, and is lost"
}
