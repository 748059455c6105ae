import { Effect, type Layer } from "effect"
import { HttpRouter, HttpServerResponse } from "effect/http"
import { Jwks } from "../provider/Jwks.ts"

const headers = { "cache-control": "no-store" }
const alive = HttpServerResponse.jsonUnsafe({ status: "ok" }, { headers })
const ready = HttpServerResponse.jsonUnsafe({ status: "ready" }, { headers })
const notReady = HttpServerResponse.jsonUnsafe({ status: "not ready", missing: ["keys"] }, { status: 503, headers })

/** `/healthz`, which answers while the process lives, and `/readyz`, which answers 200 while tokens can be verified. */
export const routes: Layer.Layer<never, never, HttpRouter.HttpRouter | Jwks> = HttpRouter.use((router) =>
  Effect.gen(function*() {
    const { usable } = yield* Jwks
    yield* router.add("GET", "/healthz", alive)
    yield* router.add("GET", "/readyz", Effect.map(usable, (usable) => usable ? ready : notReady))
  })
)
