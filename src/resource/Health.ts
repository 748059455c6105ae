import { Context, Effect, Layer } from "effect"
import { HttpRouter, HttpServerResponse } from "effect/http"
import { Jwks } from "../provider/Jwks.ts"

/** What this server cannot do without. */
export type Part = "keys" | "store"

/**
 * Whether this server can do its work.
 *
 * @example
 * ```ts
 * import { Readiness } from "effect-okta"
 * import { Effect } from "effect"
 * import { HttpRouter, HttpServerResponse } from "effect/http"
 *
 * // A health check of another shape than that of `OktaAuth.health`.
 * export const Status = HttpRouter.add("GET", "/status", Effect.gen(function*() {
 *   const missing = yield* (yield* Readiness).missing
 *   return HttpServerResponse.text(missing.length === 0 ? "up" : `down: ${missing.join(", ")}`)
 * }))
 * ```
 */
export class Readiness extends Context.Service<Readiness, {
  /** What is missing at the moment. */
  readonly missing: Effect.Effect<ReadonlyArray<Part>>
}>()("effect-okta/resource/Readiness") {
  /** Ready while Okta's keys are held, and while all of `others` are there. */
  static readonly layer = (
    others: { readonly [part in Exclude<Part, "keys">]?: Effect.Effect<boolean> } = {}
  ): Layer.Layer<Readiness, never, Jwks> =>
    Layer.effect(
      Readiness,
      Effect.map(Jwks, ({ usable }) => {
        const { store = Effect.succeed(true) } = others
        return Readiness.of({
          missing: Effect.map(Effect.all([usable, store]), ([keys, store]) => [
            ...(keys ? [] : ["keys" as const]),
            ...(store ? [] : ["store" as const])
          ])
        })
      })
    )
}

const headers = { "cache-control": "no-store" }
const alive = HttpServerResponse.jsonUnsafe({ status: "ok" }, { headers })
const ready = HttpServerResponse.jsonUnsafe({ status: "ready" }, { headers })

/** `/healthz`, which answers while the process lives, and `/readyz`, which answers 200 while nothing is missing. */
export const routes: Layer.Layer<never, never, HttpRouter.HttpRouter | Readiness> = HttpRouter.use((router) =>
  Effect.gen(function*() {
    const { missing } = yield* Readiness
    yield* router.add("GET", "/healthz", alive)
    yield* router.add(
      "GET",
      "/readyz",
      Effect.map(missing, (missing) =>
        missing.length === 0
          ? ready
          : HttpServerResponse.jsonUnsafe({ status: "not ready", missing }, { status: 503, headers }))
    )
  })
)
