import { Clock, Context, Effect, Exit, Function, Metric, Option, Predicate } from "effect"

/** A metric in all its series, each of which has a value for every label. */
export interface Family<Label extends string, Series> {
  readonly name: string
  readonly type: "counter" | "gauge" | "histogram"
  readonly description: string
  /** By what it is told apart: few values each, and never an id. */
  readonly labels: ReadonlyArray<Label>
  /** The series of these values, the same object each time: one that is made anew for each update is slow. */
  readonly of: (values: { readonly [label in Label]: string }) => Series
}

const family = <const Label extends string, Series>(
  type: Family<Label, Series>["type"],
  name: string,
  labels: ReadonlyArray<Label>,
  description: string,
  make: (attributes: { readonly [label in Label]: string }) => Series
): Family<Label, Series> => {
  const known = new Map<string, Series>()
  return {
    name,
    type,
    description,
    labels,
    of: (values) => {
      const key = labels.map((label) => values[label]).join("\n")
      const before = known.get(key)
      if (before !== undefined) return before
      const series = make(values)
      known.set(key, series)
      return series
    }
  }
}

const counter = <const Label extends string>(
  name: string,
  labels: ReadonlyArray<Label>,
  description: string
): Family<Label, Metric.Counter<number>> =>
  family(
    "counter",
    name,
    labels,
    description,
    (attributes) => Metric.counter(name, { description, incremental: true, attributes })
  )

const gauge = <const Label extends string>(
  name: string,
  labels: ReadonlyArray<Label>,
  description: string,
  unit?: string
): Family<Label, Metric.Gauge<number>> =>
  family("gauge", name, labels, description, (attributes) =>
    Metric.gauge(name, {
      description,
      attributes: { ...attributes, ...(unit === undefined ? undefined : { unit }) }
    }))

/** From a step in memory to the longest deadline. */
const boundaries = [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10]

/** Exporters take the unit from an attribute of this name. */
const durations = <const Label extends string>(
  name: string,
  labels: ReadonlyArray<Label>,
  description: string
): Family<Label, Metric.Histogram<number>> =>
  family(
    "histogram",
    name,
    labels,
    description,
    (attributes) => Metric.histogram(name, { description, boundaries, attributes: { ...attributes, unit: "seconds" } })
  )

/** Access and ID tokens that were looked at. */
export const verifications = counter(
  "okta_token_verifications",
  ["issuer", "token", "outcome", "remembered"],
  "Tokens that were verified"
)

/** Requests that a guard did not let through. */
export const requestsRefused = counter(
  "okta_requests_refused",
  ["status", "reason"],
  "Requests that a guard refused"
)

/** Proofs that a token's holder has its key. */
export const dpopProofs = counter("okta_dpop_proofs", ["outcome"], "DPoP proofs that were checked")

/** Fetches of Okta's metadata. */
export const discoveryFetches = counter(
  "okta_discovery_fetches",
  ["issuer", "outcome"],
  "Fetches of Okta's metadata"
)

/** Fetches of Okta's keys. */
export const keyFetches = counter("okta_key_set_fetches", ["issuer", "outcome"], "Fetches of Okta's key set")

/** How old the key set is. */
export const keySetAge = gauge("okta_key_set_age_seconds", ["issuer"], "Age of the key set in use", "seconds")

/** Whether the key set is used past its time. */
export const keySetLastGood = gauge(
  "okta_key_set_last_good",
  ["issuer"],
  "1 while Okta's keys cannot be fetched and the last good ones are used"
)

/** Everything that Okta is asked. */
export const okta = durations("okta_call_duration_seconds", ["operation", "outcome"], "Time that Okta was waited for")

/** The series of an operation at Okta, by how it ended. */
export const callOf =
  (operation: "metadata" | "keys" | "exchange" | "refresh" | "revoke" | "introspect" | "onBehalf") =>
  (exit: Exit.Exit<unknown, unknown>) => okta.of({ operation, outcome: outcomeOf(exit) })

/** Everything that the store is asked. */
export const storeOperations = durations(
  "okta_store_operation_duration_seconds",
  ["operation", "outcome"],
  "Time that the store was waited for"
)

/** Requests to the authorization server. */
export const endpoints = durations(
  "okta_endpoint_duration_seconds",
  ["endpoint", "status"],
  "Time that requests to the authorization server took"
)

/** People on their way through Okta. */
export const signIns = counter("okta_sign_ins", ["outcome"], "Sign-ins at Okta: begun, finished, or how they ended")

/** What clients asked the token endpoint for. */
export const tokenRequests = counter(
  "okta_token_requests",
  ["grant_type", "outcome"],
  "Requests for tokens: issued, or why not"
)

/** Clients that registered. */
export const registrations = counter("okta_client_registrations", ["outcome"], "Registrations of clients")

/** Documents of clients, and their keys. */
export const documents = durations(
  "okta_document_fetch_duration_seconds",
  ["outcome"],
  "Time that documents of clients were waited for"
)

/** Requests that were one too many. */
export const rateLimited = counter("okta_rate_limited", ["endpoint", "by"], "Requests refused by a rate limit")

/** What was noted for those who answer for the server. */
export const auditEvents = counter("okta_audit_events", ["event"], "Audit events")

/** What nobody took of it. */
export const auditEventsLost = counter("okta_audit_events_lost", ["reason"], "Audit events that were not taken")

/** Every metric, as documented. */
export const metrics: ReadonlyArray<Pick<Family<string, unknown>, "name" | "type" | "labels">> = [
  verifications,
  requestsRefused,
  dpopProofs,
  discoveryFetches,
  keyFetches,
  keySetAge,
  keySetLastGood,
  okta,
  storeOperations,
  endpoints,
  signIns,
  tokenRequests,
  registrations,
  documents,
  rateLimited,
  auditEvents,
  auditEventsLost
]

/** Adds one to a counter. */
export const count = (series: Metric.Counter<number>): Effect.Effect<void> => Metric.update(series, 1)

/** A counter's series as a plain number, for where an update of a metric would cost too much; read when somebody asks. */
export interface Tally {
  count: number
}

const tallies = new WeakMap<Metric.MetricRegistry, Map<Metric.Counter<number>, Tally>>()

/** The tally of a series: all who count it share one. Whoever counts by it does so by nothing else. */
export const tally = (series: Metric.Counter<number>): Effect.Effect<Tally> =>
  Effect.contextWith((context: Context.Context<never>) =>
    Effect.sync(() => {
      const registry = Context.get(context, Metric.MetricRegistry)
      const known = tallies.get(registry) ?? new Map<Metric.Counter<number>, Tally>()
      tallies.set(registry, known)
      const before = known.get(series)
      if (before !== undefined) return before
      const made: Tally = { count: 0 }
      known.set(series, made)
      Metric.registerUnsafe(series, context, {
        get: () => ({ count: made.count, incremental: true }),
        update: Function.constVoid,
        modify: Function.constVoid
      })
      return made
    })
  )

/** The tag of an error: the only thing of it that is a label. */
export const tagOf = (error: unknown): string =>
  Predicate.hasProperty(error, "_tag") && typeof error._tag === "string" ? error._tag : "Error"

/** How something ended: `success`, the tag of its error, `interrupted` or `defect`. */
export const outcomeOf = (exit: Exit.Exit<unknown, unknown>): string =>
  Exit.isSuccess(exit)
    ? "success"
    : Option.match(Exit.findErrorOption(exit), {
      onNone: () => Exit.hasInterrupts(exit) ? "interrupted" : "defect",
      onSome: tagOf
    })

/** Measures how long an effect takes, in seconds on the monotonic clock. */
export const timed = <A, E, R>(
  self: Effect.Effect<A, E, R>,
  seriesOf: (exit: Exit.Exit<A, E>) => Metric.Histogram<number>
): Effect.Effect<A, E, R> =>
  Effect.withFiber((fiber) => {
    const clock = fiber.getRef(Clock.Clock)
    const begun = clock.monotonicTimeNanosUnsafe()
    return Effect.onExit(self, (exit) =>
      Metric.update(seriesOf(exit), Number(clock.monotonicTimeNanosUnsafe() - begun) / 1e9))
  })
