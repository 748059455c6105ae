import { Context, Duration, Effect, Layer, Result, Schema } from "effect"
import { wellKnownUrls } from "../config/IssuerUrl.ts"
import { OktaConfig } from "../config/OktaConfig.ts"
import { traced } from "../observe/Span.ts"
import * as Telemetry from "../observe/Telemetry.ts"
import * as FreshValue from "./FreshValue.ts"
import { OktaHttp, roundDeadline } from "./OktaHttp.ts"
import { fromDocument, type ServerMetadata } from "./ServerMetadata.ts"

/**
 * The issuer's metadata could not be had, or cannot be trusted.
 *
 * @see https://www.rfc-editor.org/rfc/rfc8414.html#section-3.3
 */
export class DiscoveryFailed extends Schema.TaggedError<DiscoveryFailed>()("DiscoveryFailed", {
  /** The configured issuer. */
  issuer: Schema.String,
  /** What went wrong, and at which address. */
  reason: Schema.String,
  /** Time until Okta is asked again, in milliseconds. */
  retryAfter: Schema.optionalKey(Schema.Number)
}) {
  override get message() {
    return `The metadata of ${this.issuer} is not available: ${this.reason}. Check that the issuer is the one shown in ` +
      `Okta under Security, API, Authorization Servers, and that this server can reach it.`
  }
}

const maxBytes = 64 * 1024
const lifetime = 60 * 60 * 1000

/**
 * The authorization server's metadata, fetched from Okta and kept fresh.
 *
 * @see https://openid.net/specs/openid-connect-discovery-1_0.html#ProviderConfig
 * @see https://www.rfc-editor.org/rfc/rfc8414.html#section-3
 * @example
 * ```ts
 * import { Discovery } from "effect-okta"
 * import { Effect } from "effect"
 *
 * export const signInUrl = Effect.gen(function*() {
 *   const { metadata } = yield* Discovery
 *   return (yield* metadata).authorization_endpoint
 * })
 * ```
 */
export class Discovery extends Context.Service<Discovery, {
  /** The current metadata. Waits only when there is none, at most 3 seconds, and then fails with `DiscoveryFailed`. */
  readonly metadata: Effect.Effect<ServerMetadata, DiscoveryFailed>
  /** Fetches the metadata now; fails with `DiscoveryFailed`, at once in the pause after a failed fetch. */
  readonly reload: Effect.Effect<void, DiscoveryFailed>
}>()("effect-okta/provider/Discovery") {
  /** Fetches in the background for as long as the layer lives; is built while Okta is away, too. */
  static readonly layer: Layer.Layer<Discovery, never, OktaConfig | OktaHttp> = Layer.effect(
    Discovery,
    Effect.gen(function*() {
      const { foreignEndpoints, issuer } = yield* OktaConfig
      const http = yield* OktaHttp

      const failed = (reason: string, retryAfter?: number) =>
        new DiscoveryFailed({ issuer, reason, ...(retryAfter === undefined ? {} : { retryAfter }) })

      const fetchFrom = (url: string) =>
        http.getJson(url, { maxBytes }).pipe(
          Effect.flatMap(({ json }) =>
            Effect.fromResult(
              Result.mapError(
                fromDocument(json, { issuer, foreignEndpoints }),
                (problem) => failed(`${url} ${problem}`)
              )
            )
          )
        )

      const [openid, oauth] = wellKnownUrls(issuer)
      const fetch = fetchFrom(openid).pipe(
        Effect.catchTag(
          "FetchFailed",
          (first): Effect.Effect<ServerMetadata, DiscoveryFailed> =>
            first.status === undefined || first.status === 429 || first.transient || first.retryAfter !== undefined
              ? Effect.fail(failed(first.reason, first.retryAfter))
              : Effect.catchTag(
                fetchFrom(oauth),
                "FetchFailed",
                (second) => Effect.fail(failed(`${first.reason}, and ${second.reason}`, second.retryAfter))
              )
        ),
        Effect.timeoutOrElse({
          duration: roundDeadline,
          orElse: () =>
            failed(`${openid}, and ${oauth} after it, gave no complete answer within ${Duration.format(roundDeadline)}`)
        }),
        Effect.onExit((exit) =>
          Telemetry.count(Telemetry.discoveryFetches.of({ issuer, outcome: exit._tag.toLowerCase() }))
        ),
        (self) => Telemetry.timed(self, Telemetry.callOf("metadata")),
        (self) => traced(self, "okta.discovery", { root: true, attributes: { "okta.issuer": issuer } })
      )

      const metadata = yield* FreshValue.make<ServerMetadata, DiscoveryFailed>({
        name: `metadata of ${issuer}`,
        fetch,
        lifetime: () => lifetime,
        retryAfter: (error) => error.retryAfter,
        withRetryAfter: (error, retryAfter) => failed(error.reason, retryAfter),
        failed
      })
      return Discovery.of({ metadata: metadata.get, reload: Effect.asVoid(metadata.reload) })
    })
  )
}
