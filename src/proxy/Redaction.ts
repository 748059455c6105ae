import { Effect, Layer } from "effect"
import { Headers, UrlParams } from "effect/http"

/**
 * Parameters by which somebody could go on in another's place. Some belong in a body only, but are not to be read where a
 * client has put them into a URL.
 */
const parameters = [
  "access_token",
  "client_assertion",
  "client_secret",
  "code",
  "code_challenge",
  "code_verifier",
  "id_token_hint",
  "nonce",
  "password",
  "refresh_token",
  "request",
  "state",
  "token"
]

/** Headers in which they travel on, and in which clients prove that a token is theirs. */
const headers = ["dpop", "location", "referer"]

/** Keeps what signs people in out of spans: everything that records a URL or a header leaves these out. */
export const layer: Layer.Layer<never> = Layer.mergeAll(
  Layer.effect(
    UrlParams.CurrentRedactedNames,
    Effect.map(UrlParams.CurrentRedactedNames, (names) => [...names, ...parameters])
  ),
  Layer.effect(
    Headers.CurrentRedactedNames,
    Effect.map(Headers.CurrentRedactedNames, (names) => [...names, ...headers])
  )
)
