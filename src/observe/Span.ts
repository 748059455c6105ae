import { Effect, type Fiber, type Tracer } from "effect"
import { outcomeOf } from "./Telemetry.ts"

/** Every span, as documented. */
export const spans = [
  "okta.verify",
  "okta.discovery",
  "okta.keys",
  "okta.authorize",
  "okta.consent",
  "okta.callback",
  "okta.register",
  "okta.token",
  "okta.token.redeem",
  "okta.token.refresh",
  "okta.token.id_jag",
  "okta.token.service",
  "okta.revoke",
  "okta.introspect",
  "okta.logout",
  "okta.connections",
  "okta.universalLogout",
  "okta.backchannelLogout",
  "okta.upstream.exchange",
  "okta.upstream.refresh",
  "okta.upstream.revoke",
  "okta.upstream.introspect",
  "okta.upstream.onBehalf",
  "okta.document",
  "okta.store.put",
  "okta.store.get",
  "okta.store.take",
  "okta.store.putIfAbsent",
  "okta.store.compareAndSet",
  "okta.store.remove"
] as const

/** The name of a span. */
export type SpanName = (typeof spans)[number]

/** Whether anybody collects spans: without a tracer of the app's, or with tracing turned off, there are none to make. */
export const isTraced = ({ cache }: Fiber.Fiber<unknown, unknown>): boolean =>
  cache.tracer !== undefined && cache.tracerEnabled

/**
 * Runs an effect within a span that tells how it ended (`okta.outcome`), if anybody collects spans.
 *
 * What ends a span ends up with whoever collects it: an error here has a message that is fit for a log.
 */
export const traced = <A, E, R>(
  self: Effect.Effect<A, E, R>,
  name: SpanName,
  options: Pick<Tracer.SpanOptions, "attributes" | "root"> = {}
): Effect.Effect<A, E, R> =>
  Effect.withFiber((fiber) =>
    isTraced(fiber)
      ? Effect.useSpan(name, options, (span) =>
        Effect.withParentSpan(
          Effect.onExit(self, (exit) => Effect.sync(() => span.attribute("okta.outcome", outcomeOf(exit)))),
          span,
          { captureStackTrace: false }
        ))
      : self
  )

/** Has the current span tell what a request was refused for: the tag of the error and nothing else of it. */
export const noteError = (error: { readonly _tag: string }): Effect.Effect<void> =>
  Effect.annotateCurrentSpan("okta.error", error._tag)
