import { Context, Effect, Layer, Option, Redacted, Schema, Semaphore } from "effect"
import type { InvalidConfiguration } from "../config/InvalidConfiguration.ts"
import { OktaConfig } from "../config/OktaConfig.ts"
import { traced } from "../observe/Span.ts"
import { callOf, timed } from "../observe/Telemetry.ts"
import * as ClientCredentials from "../provider/ClientCredentials.ts"
import type { Discovery } from "../provider/Discovery.ts"
import * as OktaForms from "../provider/OktaForms.ts"
import type { OktaHttp } from "../provider/OktaHttp.ts"
import { IntrospectionUnavailable, TokenInactive } from "./TokenError.ts"

/** What Okta says of a token that is active: the members that are relied on, typed, and whatever else it put in. */
const Active = Schema.StructWithRest(
  Schema.Struct({
    active: Schema.Literal(true),
    token_type: Schema.optionalKey(Schema.String),
    scope: Schema.optionalKey(Schema.String),
    client_id: Schema.optionalKey(Schema.String),
    username: Schema.optionalKey(Schema.String),
    exp: Schema.optionalKey(Schema.Int),
    jti: Schema.optionalKey(Schema.String)
  }),
  [Schema.Record(Schema.String, Schema.Unknown)]
)

const Inactive = Schema.Struct({ active: Schema.Literal(false) })

/** What Okta says of a token that is active (RFC 7662 section 2.2). */
export type ActiveToken = typeof Active.Type

const decodeActive = Schema.decodeUnknownOption(Active)
const isInactive = Schema.is(Inactive)

/** How many tokens Okta is asked about at once: whoever sends made-up tokens is not to open connections without end. */
const mostAtOnce = 50

/** How many more may wait for their turn; of what comes on top nobody can tell whether it is good. */
const mostWaiting = 500

/**
 * Asks Okta what a token is good for at this moment, once for each call.
 *
 * **Details**
 *
 * Needs an application in Okta of the same authorization server, by whose credentials Okta is asked. `TokenInactive` when Okta says no;
 * `IntrospectionUnavailable` when it says nothing that can be relied on, which is no verdict about the token.
 *
 * @see https://www.rfc-editor.org/rfc/rfc7662.html#section-2
 * @example
 * ```ts
 * import { TokenIntrospection } from "effect-okta"
 * import { Effect, Redacted } from "effect"
 *
 * export const isActive = (token: string) =>
 *   Effect.gen(function*() {
 *     const { introspect } = yield* TokenIntrospection
 *     return yield* introspect(Redacted.make(token)).pipe(
 *       Effect.as(true),
 *       Effect.catchTag("TokenInactive", () => Effect.succeed(false))
 *     )
 *   })
 * ```
 */
export class TokenIntrospection extends Context.Service<TokenIntrospection, {
  /** What Okta says of the token now. */
  readonly introspect: (
    token: Redacted.Redacted<string>
  ) => Effect.Effect<ActiveToken, TokenInactive | IntrospectionUnavailable>
}>()("effect-okta/token/TokenIntrospection") {
  /** Asks as the application with these credentials; fails with `InvalidConfiguration` on credentials that are not in order. */
  static readonly layer = (
    credentials: ClientCredentials.CredentialsOptions
  ): Layer.Layer<TokenIntrospection, InvalidConfiguration, OktaConfig | OktaHttp | Discovery> =>
    Layer.effect(
      TokenIntrospection,
      Effect.gen(function*() {
        const { issuer } = yield* OktaConfig
        const { endpoint, post } = yield* OktaForms.make(yield* ClientCredentials.make(credentials))
        const turns = yield* Semaphore.make(mostAtOnce)
        let underway = 0

        const unavailable = ({ reason, retryAfter }: OktaForms.OktaUnavailable) =>
          new IntrospectionUnavailable({
            issuer,
            reason,
            ...(retryAfter === undefined ? undefined : { retryAfter })
          })

        const ask = Effect.fnUntraced(function*(token: Redacted.Redacted<string>) {
          const url = yield* endpoint("introspection_endpoint")
          const answer = yield* post(url, { token: Redacted.value(token), token_type_hint: "access_token" })
          if (answer.status !== 200) {
            const refusal = OktaForms.refusal(url, answer)
            return yield* refusal._tag === "OktaRefused" ? OktaForms.unavailable(refusal.message) : refusal
          }
          if (isInactive(answer.json)) return yield* new TokenInactive({ issuer })
          const active = decodeActive(answer.json)
          return Option.isSome(active)
            ? active.value
            : yield* OktaForms.unavailable(`${url} answered with something unexpected`)
        })

        const inTurn = (token: Redacted.Redacted<string>) =>
          Effect.suspend(() => {
            if (underway >= mostAtOnce + mostWaiting) {
              return Effect.fail(
                new IntrospectionUnavailable({ issuer, reason: "too many tokens are being asked about" })
              )
            }
            underway++
            return Effect.ensuring(
              turns.withPermit(
                Effect.catchTag(ask(token), "OktaUnavailable", (error) => Effect.fail(unavailable(error)))
              ),
              Effect.sync(() => underway--)
            )
          })

        return TokenIntrospection.of({
          introspect: (token) => traced(timed(inTurn(token), callOf("introspect")), "okta.upstream.introspect")
        })
      })
    )
}
