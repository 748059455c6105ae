import { Effect, type Layer, Option, Schema } from "effect"
import { HttpRouter, type HttpServerRequest } from "effect/http"
import type { InvalidConfiguration } from "../../config/InvalidConfiguration.ts"
import type { OktaConfig } from "../../config/OktaConfig.ts"
import { InvalidClaim } from "../../token/TokenError.ts"
import { answering, pathsOf } from "../Endpoint.ts"
import * as FormRequest from "../FormRequest.ts"
import { Grants } from "../grant/Grant.ts"
import * as GrantIndex from "../grant/GrantIndex.ts"
import { proxySettings } from "../ProxySettings.ts"
import * as LogoutAnswer from "./LogoutAnswer.ts"
import { OktaStatements, type Statement } from "./OktaStatements.ts"

const event = "http://schemas.openid.net/event/backchannel-logout"

const Text = Schema.NonEmptyString.check(Schema.isMaxLength(1000))

/** What a logout token says besides (OpenID Connect Back-Channel Logout section 2.4). */
const LogoutClaims = Schema.Struct({
  sub: Schema.optionalKey(Text),
  sid: Schema.optionalKey(Text),
  events: Schema.Struct({ [event]: Schema.Record(Schema.String, Schema.Unknown) })
})

const decode = Schema.decodeUnknownOption(LogoutClaims)

const wrong = (claim: string, problem: string) => Effect.fail(new InvalidClaim({ claim, problem }))

/** Whose session has ended. */
const readClaims = (
  statement: Statement
): Effect.Effect<{ readonly sub?: string; readonly sid?: string }, InvalidClaim> => {
  if (statement["nonce"] !== undefined) return wrong("nonce", "is there, so that it is an ID token")
  const claims = decode(statement)
  if (Option.isNone(claims)) return wrong("events", "is not that of a logout, or sub or sid is no text")
  const { sid, sub } = claims.value
  return sub === undefined && sid === undefined ? wrong("sub", "is missing, and sid too") : Effect.succeed(claims.value)
}

/**
 * `/oauth/backchannel-logout`: Okta tells that a person's session there has ended. What came of that session ends here; where Okta names
 * the person alone, everything that the person has granted.
 *
 * **Details**
 *
 * A grant of which Okta never said to which session it belongs ends with any of the person's.
 *
 * @see https://openid.net/specs/openid-connect-backchannel-1_0.html
 */
export const routes: Layer.Layer<
  never,
  InvalidConfiguration,
  HttpRouter.HttpRouter | OktaConfig | Grants | OktaStatements
> = HttpRouter.use((router) =>
  Effect.gen(function*() {
    const settings = yield* proxySettings
    const grants = yield* Grants
    const { obey } = yield* OktaStatements

    const endSession = Effect.fnUntraced(function*(sid: string, sub: string | undefined) {
      yield* grants.endAll(GrantIndex.session(sid), "backchannel-logout")
      if (sub === undefined) return
      for (const [id, { oktaSession }] of yield* grants.list(GrantIndex.subject(sub))) {
        if (oktaSession === undefined) yield* grants.end(id, "backchannel-logout")
      }
    })

    const endPerson = (sub: string | undefined) =>
      sub === undefined ? Effect.void : grants.endAll(GrantIndex.subject(sub), "backchannel-logout")

    const logOut = Effect.fnUntraced(
      function*(request: HttpServerRequest.HttpServerRequest) {
        const form = yield* FormRequest.read(request)
        yield* obey("logout-token", yield* form.require("logout_token"), (statement) =>
          Effect.flatMap(readClaims(statement), ({ sid, sub }) =>
            sid !== undefined ? endSession(sid, sub) : endPerson(sub)))
        return LogoutAnswer.done(200)
      },
      Effect.catch(LogoutAnswer.refuse("form"))
    )
    for (const path of pathsOf(settings, "/oauth/backchannel-logout")) {
      yield* answering(router, path, { POST: logOut })
    }
  })
)
