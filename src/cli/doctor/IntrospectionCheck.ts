import { Effect, Result, Schema } from "effect"
import { HttpClientRequest } from "effect/http"
import type { Introspection } from "../../config/Introspection.ts"
import { below } from "../../config/InvalidConfiguration.ts"
import * as ClientCredentials from "../../provider/ClientCredentials.ts"
import { type Ask, readJson } from "./Ask.ts"
import { type Check, failed, ok, skipped } from "./Check.ts"
import { errorIn, madeUp } from "./CredentialsChecks.ts"
import type { Metadata } from "./OktaChecks.ts"
import { mistakes } from "./SettingsChecks.ts"
import { refused, unreached } from "./Trouble.ts"

const isInactive = Schema.is(Schema.Struct({ active: Schema.Literal(false) }))

const secretOf = ({ clientKey }: typeof Introspection.Type): string =>
  `OKTA_INTROSPECTION_CLIENT_${clientKey === undefined ? "SECRET" : "KEY"}`

/** Whether Okta answers this server's questions about tokens: it is asked about one that nobody was ever given. */
export const look = Effect.fnUntraced(function*(
  ask: Ask,
  introspection: typeof Introspection.Type,
  okta: Metadata | undefined
): Effect.fn.Return<ReadonlyArray<Check>> {
  const check = "introspection"
  if (okta === undefined) return [skipped({ check, tried: "nothing", found: "Okta's metadata is needed first" })]
  const url = okta.metadata.introspection_endpoint
  if (url === undefined) {
    return [failed({
      check,
      tried: "Okta's metadata",
      found: "it names no introspection_endpoint",
      meaning: "Okta is to be asked about every token, and cannot be: every request is answered with 503.",
      mend: "Use an authorization server that can be asked about its tokens, or take OKTA_INTROSPECTION away."
    })]
  }
  const made = yield* Effect.result(ClientCredentials.make(introspection))
  if (Result.isFailure(made)) return mistakes(below(made.failure, "introspection"))
  const at = { check, tried: `POST ${url} with ${secretOf(introspection)} and a made-up token` }
  const proof = yield* made.success(url)
  const request = HttpClientRequest.post(url, { acceptJson: true, headers: proof.headers }).pipe(
    HttpClientRequest.bodyUrlParams({ token: madeUp, token_type_hint: "access_token", ...proof.fields })
  )
  const asked = yield* Effect.result(ask(request))
  if (Result.isFailure(asked)) return [failed({ ...at, ...unreached(url, asked.failure, "Okta") })]
  const answer = asked.success
  if (answer.status === 200 && isInactive(Result.getOrUndefined(readJson(answer.text)))) {
    return [ok({ ...at, found: "200, not active", meaning: "Okta answers: it knows no such token, as it has to be." })]
  }
  const error = errorIn(answer)
  return [failed({
    ...at,
    ...(error === undefined ? yield* refused(url, answer) : {
      found: error,
      meaning:
        `Okta does not take OKTA_INTROSPECTION_CLIENT_ID together with ${secretOf(introspection)}: every request is ` +
        "answered with 503.",
      mend:
        "Copy both from Applications, the application, General, Client Credentials; the access policy of a custom " +
        "authorization server must include that application."
    })
  })]
})
