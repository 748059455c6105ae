import { Clock, Effect, Option, Schema } from "effect"
import type { ClientCredentials } from "./ClientCredentials.ts"
import { Discovery } from "./Discovery.ts"
import { type FormAnswer, OktaHttp } from "./OktaHttp.ts"
import type { ServerMetadata } from "./ServerMetadata.ts"

/** Okta said no (RFC 6749 section 5.2). */
export class OktaRefused extends Schema.TaggedError<OktaRefused>()("OktaRefused", {
  /** Okta's code, such as `invalid_grant`. */
  error: Schema.String,
  /** Okta's words: for logs, not for people. */
  description: Schema.optionalKey(Schema.String)
}) {
  override get message() {
    const described = this.description === undefined ? "" : ` (${printable(this.description)})`
    return `Okta answered ${printable(this.error)}${described}.` +
      (this.error === "invalid_client"
        ? " Compare OKTA_CLIENT_ID and OKTA_CLIENT_SECRET with the application in Okta."
        : "")
  }
}

/**
 * Okta could not be asked, or gave no answer that means anything: nothing was decided.
 *
 * @example
 * ```ts
 * import { UpstreamTokens } from "effect-okta"
 * import { Effect } from "effect"
 * import { HttpServerResponse } from "effect/http"
 *
 * export const answer = Effect.gen(function*() {
 *   const { expiresAt } = yield* (yield* UpstreamTokens).get
 *   return yield* HttpServerResponse.json({ expiresAt })
 * }).pipe(
 *   Effect.catchTag("OktaUnavailable", ({ retryAfter = 5000 }) =>
 *     Effect.succeed(HttpServerResponse.empty({
 *       status: 503,
 *       headers: { "retry-after": String(Math.ceil(retryAfter / 1000)) }
 *     })))
 * )
 * ```
 */
export class OktaUnavailable extends Schema.TaggedError<OktaUnavailable>()("OktaUnavailable", {
  reason: Schema.String,
  /** Time that Okta asked us to wait, in milliseconds. */
  retryAfter: Schema.optionalKey(Schema.Number)
}) {
  override get message() {
    return `Okta is not available: ${this.reason}.`
  }
}

/** Okta's endpoints, for an application of this server's in Okta. */
export interface OktaForms {
  readonly metadata: Effect.Effect<ServerMetadata, OktaUnavailable>
  /** Where an endpoint is. */
  readonly endpoint: (name: Endpoint) => Effect.Effect<string, OktaUnavailable>
  /** Sends a form, once, and none while the endpoint has asked us to wait. */
  readonly post: (
    url: string,
    fields: { readonly [name: string]: string }
  ) => Effect.Effect<FormAnswer, OktaUnavailable>
}

type Endpoint = "authorization_endpoint" | "token_endpoint" | "introspection_endpoint" | "revocation_endpoint"

const maxBytes = 64 * 1024

const ErrorAnswer = Schema.Struct({
  error: Schema.String.check(Schema.isPattern(/^[\x21\x23-\x5B\x5D-\x7E]{1,100}$/)),
  error_description: Schema.optionalKey(Schema.String)
})

const decodeError = Schema.decodeUnknownOption(ErrorAnswer)

/** Codes with which Okta decides nothing, whatever the status. */
const undecided = new Set(["temporarily_unavailable", "server_error", "slow_down"])

/** Nothing was decided, for a reason that is a sentence or the end of one; `retryAfter` in milliseconds. */
export const unavailable = (reason: string, retryAfter?: number): OktaUnavailable =>
  new OktaUnavailable({
    reason: reason.replace(/\.$/, ""),
    ...(retryAfter === undefined ? undefined : { retryAfter })
  })

/** Okta's endpoints as the application with these credentials reaches them. */
export const make = Effect.fnUntraced(function*(
  credentials: ClientCredentials
): Effect.fn.Return<OktaForms, never, OktaHttp | Discovery> {
  const http = yield* OktaHttp
  const discovery = yield* Discovery
  const clock = yield* Clock.Clock
  const now = () => Number(clock.monotonicTimeNanosUnsafe()) / 1e6
  /** Until when an endpoint does not want to be asked. */
  const pauses = new Map<string, number>()

  const metadata = Effect.mapError(
    discovery.metadata,
    ({ message, retryAfter }) => unavailable(message, retryAfter)
  )

  return {
    metadata,
    endpoint: (name) =>
      Effect.flatMap(metadata, ({ [name]: url }) =>
        url === undefined
          ? Effect.fail(unavailable(`its metadata has no ${name}`))
          : Effect.succeed(url)),
    post: Effect.fnUntraced(function*(url, fields) {
      const left = (pauses.get(url) ?? 0) - now()
      if (left > 0) return yield* unavailable(`${url} asked us to wait`, left)
      const proof = yield* credentials(url)
      return yield* http.postForm(url, { fields: { ...fields, ...proof.fields }, headers: proof.headers, maxBytes })
        .pipe(Effect.mapError(({ message, retryAfter }) => {
          if (retryAfter !== undefined) pauses.set(url, now() + retryAfter)
          return unavailable(message, retryAfter)
        }))
    })
  }
})

/**
 * What an answer means that is not what was asked for. Okta's API errors, which are no OAuth errors, mean nothing about
 * anybody.
 */
export const refusal = (url: string, { json, status }: FormAnswer): OktaRefused | OktaUnavailable => {
  const decoded = status === 200 ? Option.none() : decodeError(json)
  if (Option.isNone(decoded)) return unavailable(`${url} answered ${status} with something unexpected`)
  const { error, error_description: description } = decoded.value
  if (undecided.has(error)) return unavailable(`${url} answered ${error}`)
  return new OktaRefused({
    error,
    ...(description === undefined ? undefined : { description })
  })
}

/** Short enough for a log, and without what would command a terminal or turn the text around. */
export const printable = (text: string): string => text.slice(0, 500).replace(/[\p{Cc}\p{Cf}\p{Cs}\p{Zl}\p{Zp}]/gu, " ")
