import { Context, Effect, Layer, type Redacted, Schema } from "effect"
import type { StoreUnavailable } from "../store/Store.ts"
import type { CurrentPrincipal } from "../token/Principal.ts"
import type { OktaUnavailable } from "./OktaClient.ts"

/**
 * There are no tokens of Okta's for who is calling.
 *
 * @example
 * ```ts
 * import { UpstreamTokens } from "effect-okta"
 * import { Effect, Option } from "effect"
 *
 * // Services have none.
 * export const tokensIfAny = Effect.flatMap(UpstreamTokens, ({ get }) => Effect.asSome(get)).pipe(
 *   Effect.catchTag("NoUpstreamTokens", () => Effect.succeedNone)
 * )
 *
 * export const hasSome = Effect.map(tokensIfAny, Option.isSome)
 * ```
 */
export class NoUpstreamTokens extends Schema.TaggedError<NoUpstreamTokens>()("NoUpstreamTokens", {
  /** Why not. */
  reason: Schema.String
}) {
  override get message() {
    return `There are no tokens of Okta's for this request: ${this.reason}.`
  }
}

/** What Okta gave this server for a person. */
export interface OktaTokens {
  /** For Okta's APIs, or for those of a custom authorization server. */
  readonly accessToken: Redacted.Redacted<string>
  /** Who the person is, for those who verify it. */
  readonly idToken: Redacted.Redacted<string>
  /** When the access token ends, in seconds since 1970. */
  readonly expiresAt: number
}

/**
 * Okta's own tokens of the person who is calling, for calls to other APIs. The client never sees them.
 *
 * **Details**
 *
 * They are renewed when their time is up. In native mode, and for services, there are none: `NoUpstreamTokens`. When Okta or
 * the store cannot be reached: `OktaUnavailable` or `StoreUnavailable`.
 *
 * @example
 * ```ts
 * import { UpstreamTokens } from "effect-okta"
 * import { Effect } from "effect"
 * import { HttpClient, HttpClientRequest } from "effect/http"
 *
 * export const groups = Effect.gen(function*() {
 *   const { accessToken } = yield* (yield* UpstreamTokens).get
 *   const request = HttpClientRequest.get("https://acme.okta.com/api/v1/users/me/groups")
 *   return yield* HttpClient.execute(HttpClientRequest.bearerToken(request, accessToken))
 * })
 * ```
 */
export class UpstreamTokens extends Context.Service<UpstreamTokens, {
  /** The tokens of the current principal. */
  readonly get: Effect.Effect<OktaTokens, NoUpstreamTokens | OktaUnavailable | StoreUnavailable, CurrentPrincipal>
}>()("effect-okta/proxy/UpstreamTokens") {
  /** None: clients sign in with Okta themselves. */
  static readonly none: Layer.Layer<UpstreamTokens> = Layer.succeed(
    UpstreamTokens,
    UpstreamTokens.of({
      get: Effect.fail(
        new NoUpstreamTokens({ reason: "in native mode clients sign in with Okta themselves, and keep its tokens" })
      )
    })
  )
}
