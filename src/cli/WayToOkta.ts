import * as NodeHttpClient from "@effect/platform-node/NodeHttpClient"
import { Effect, Layer } from "effect"
import { FetchHttpClient, type HttpClient } from "effect/http"
import { given } from "./Given.ts"

/**
 * How the commands ask Okta: directly, by the client that no answer of Okta's ends, or by the proxy of the environment where Node is
 * told to use it, which only `fetch` knows of.
 */
export const layer: Layer.Layer<HttpClient.HttpClient> = Layer.unwrap(
  Effect.map(given("NODE_USE_ENV_PROXY"), (used) => used === "" ? NodeHttpClient.layerUndici : FetchHttpClient.layer)
)
