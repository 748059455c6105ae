import { assert } from "@effect/vitest"
import {
  Cause,
  Context,
  Effect,
  Exit,
  Formatter,
  Layer,
  Logger,
  Metric,
  Option,
  Predicate,
  References,
  Tracer
} from "effect"
import { HttpMiddleware } from "effect/http"
import { inspect } from "node:util"
import type { AuditEvent } from "../../src/observe/AuditEvent.ts"
import { AuditLog } from "../../src/observe/AuditLog.ts"

const everything = { depth: 30, maxArrayLength: null, maxStringLength: null }

/** Everything that a log or a tool would show of a value. */
export const exposed = (value: unknown): string =>
  [String(value), inspect(value, everything), Formatter.format(value), Formatter.formatJson(value)].join("\n")

export const exposedCause = (cause: Cause.Cause<unknown>): string =>
  [Cause.pretty(cause), ...Cause.prettyErrors(cause).map(exposed), exposed(cause), exposed(Cause.squash(cause))].join(
    "\n"
  )

/** The same, and what only a debugger would show. */
export const laidBare = (value: unknown): string =>
  [
    exposed(value),
    JSON.stringify(value),
    inspect(value, { ...everything, showHidden: true, getters: true }),
    inspect(value, { ...everything, showHidden: true, customInspect: false })
  ].join("\n")

/** Errors of Effect's own, which hold the request or answer they are about; they are for us to translate, not to show. */
const foreign = ["HttpServerError", "HttpClientError", "SchemaError", "RateLimiterError", "NoSuchElementError", "Done"]

/** What is said by logs, at every level and in every format, by spans, metrics, audit events and errors. */
export class Watch {
  readonly lines: Array<string> = []
  readonly spans: Array<Tracer.NativeSpan> = []
  readonly events: Array<AuditEvent> = []
  /** Every error with a tag with which anything has failed, whoever caught it. */
  readonly errors = new Set<object & { readonly _tag: unknown }>()
  readonly #registry: Metric.MetricRegistry = new Map()
  readonly layer = Layer.mergeAll(
    Logger.layer([
      Logger.make((entry) => void this.lines.push(exposed([entry.message]), exposedCause(entry.cause))),
      ...[Logger.formatSimple, Logger.formatLogFmt, Logger.formatJson, Logger.map(Logger.formatStructured, exposed)]
        .map(
          (format) => Logger.map(format, (line) => void this.lines.push(line))
        ),
      Logger.tracerLogger
    ]),
    Layer.succeed(
      Tracer.Tracer,
      Tracer.make({
        span: (options) => {
          const span = new Tracer.NativeSpan(options)
          this.spans.push(span)
          return span
        },
        context: (primitive, fiber) => {
          this.#note(primitive)
          const next = primitive["~effect/Effect/evaluate"](fiber)
          this.#note(next)
          return next
        }
      })
    ),
    Layer.succeed(
      AuditLog,
      (event) => Effect.andThen(Effect.sync(() => this.events.push(event)), AuditLog.defaultValue()(event))
    ),
    Layer.succeed(HttpMiddleware.TracerHeaderFilter, () => true),
    Layer.succeed(References.MinimumLogLevel, "All"),
    Layer.succeed(Metric.MetricRegistry, this.#registry)
  )

  /** Keeps an error, and those of a failure. */
  #note(value: unknown) {
    const errors = Exit.isExit(value)
      ? Exit.isFailure(value) ? value.cause.reasons.filter(Cause.isFailReason).map(({ error }) => error) : []
      : [value]
    for (const error of errors) {
      if (error instanceof Error && Predicate.hasProperty(error, "_tag") && !foreign.includes(String(error._tag))) {
        this.errors.add(error)
      }
    }
  }

  /** Every series of every metric, as an exporter gets it. */
  get metrics() {
    return Metric.snapshotUnsafe(Context.make(Metric.MetricRegistry, this.#registry))
  }

  /** All of it as one text. */
  get text() {
    const spans = this.spans.map((span) =>
      [
        span.name,
        exposed([...span.attributes]),
        exposed(span.events),
        // What a span succeeded with is the answer itself, which no exporter tells.
        span.status._tag === "Ended" && Exit.isFailure(span.status.exit)
          ? exposed(span.status) + exposedCause(span.status.exit.cause)
          : ""
      ].join("\n")
    )
    const errors = [...this.errors].map((error) => laidBare(error) + exposedCause(Cause.fail(error)))
    return [...this.lines, ...spans, exposed(this.metrics), ...this.events.map(laidBare), ...errors].join("\n")
  }
}

/** No text holds one of the secrets, nor a part of one that would be of use. */
export const assertHidden = (text: string, secrets: ReadonlyArray<string>) => {
  assert.isAbove(secrets.length, 0)
  for (const secret of secrets) {
    assert.isAtLeast(secret.length, 16)
    const at = text.indexOf(secret)
    assert.strictEqual(at, -1, `…${text.slice(Math.max(0, at - 300), at + 60)}…`)
  }
}

/** The whole token, its payload and its signature. */
export const partsOf = (token: string): ReadonlyArray<string> =>
  [token, ...token.split(".").slice(1)].filter((part) => part.length >= 16)

/** The value of a series: how often it was counted, or what it shows. */
export const valueOf = (
  { metrics }: Watch,
  name: string,
  labels: { readonly [label: string]: string } = {}
): number => {
  const found = metrics.filter(({ attributes, id }) =>
    id === name && Object.entries(labels).every(([label, value]) => attributes?.[label] === value)
  )
  return found.reduce(
    (sum, { state }) => sum + Number("count" in state ? state.count : "value" in state ? state.value : 0),
    0
  )
}

/** The spans of one name, each with its attributes and the name of the span around it. */
export const spansOf = ({ spans }: Watch, name: string) =>
  spans.filter((span) => span.name === name).map((span) => ({
    attributes: Object.fromEntries(span.attributes),
    within: Option.getOrUndefined(Option.map(span.parent, (parent) => parent._tag === "Span" ? parent.name : ""))
  }))
