import { Effect, Result, Schema } from "effect"
import { HttpClientRequest } from "effect/http"
import { issuerKind } from "../../config/IssuerUrl.ts"
import { orgIssuer } from "../../proxy/leaving/OktaStatements.ts"
import type { ProxySettings } from "../../proxy/ProxySettings.ts"
import { type Ask, readJson } from "./Ask.ts"
import { type Check, failed, ok, skipped, warning } from "./Check.ts"
import type { Metadata } from "./OktaChecks.ts"
import * as OktaChecks from "./OktaChecks.ts"
import { otherwise, unreached } from "./Trouble.ts"

const isRefusal = Schema.is(Schema.Struct({ error: Schema.String, error_description: Schema.String }))

/** One of the endpoints at which Okta signs people out. */
interface Endpoint {
  readonly check: "universal-logout" | "backchannel-logout"
  readonly path: string
  /** What is answered to a request that has no token in it. */
  readonly status: 400 | 401
  readonly meaning: string
}

const endpoints: ReadonlyArray<Endpoint> = [
  {
    check: "universal-logout",
    path: "/oauth/global-token-revocation",
    status: 401,
    meaning: "It waits for Okta: this address is the Global token revocation endpoint of the application in Okta."
  },
  {
    check: "backchannel-logout",
    path: "/oauth/backchannel-logout",
    status: 400,
    meaning: "It waits for Okta: this address is the back-channel logout URI, where Okta has a field for one."
  }
]

/** Asks an endpoint to sign nobody out, as anybody on the internet could. */
const reach = Effect.fnUntraced(function*(
  ask: Ask,
  serverUrl: string,
  { check, meaning, path, status }: Endpoint
): Effect.fn.Return<Check> {
  const url = serverUrl + path
  const at = { check, tried: `POST ${url} without a token` }
  const request = HttpClientRequest.post(url, { acceptJson: true })
  const body = status === 401 ? HttpClientRequest.bodyJsonUnsafe({}) : HttpClientRequest.bodyUrlParams({})
  const asked = yield* Effect.result(ask(body(request)))
  if (Result.isFailure(asked)) return failed({ ...at, ...unreached(url, asked.failure, "this server") })
  const answer = asked.success
  const isOurs = answer.status === status && isRefusal(Result.getOrUndefined(readJson(answer.text)))
  return isOurs
    ? ok({ ...at, found: `${status}, as it has to be`, meaning })
    : failed({ ...at, ...otherwise(answer, url) })
})

/** Whether Okta finds the endpoints at which it signs people out, by this server's public URL. */
export const reachable = (ask: Ask, { serverUrl }: ProxySettings): ReadonlyArray<Effect.Effect<Check>> =>
  endpoints.map((endpoint) => reach(ask, serverUrl, endpoint))

/** By whose keys such a request may be signed, and whether they can be had. */
export const signers = Effect.fnUntraced(function*(
  ask: Ask,
  settings: ProxySettings,
  okta: Metadata | undefined
): Effect.fn.Return<ReadonlyArray<Check>> {
  const { issuer } = settings
  const check = "universal-logout"
  if (issuerKind(issuer) === "org") {
    return okta === undefined ? [] : [ok({ check, tried: issuer, found: "the issuer, whose keys are above, signs it" })]
  }
  const org = orgIssuer(settings)
  const { checks } = yield* OktaChecks.look(ask, { ...settings, issuer: org })
  const wrong = checks.find(({ check, outcome }) => outcome === "failed" && check !== "clock")
  if (wrong === undefined) {
    return [ok({ check, tried: org, found: "the organization's keys, beside those of the issuer: either may sign it" })]
  }
  const { found, tried } = wrong
  return [
    found.startsWith("404")
      ? skipped({
        check,
        tried,
        found,
        meaning: `There is no organization beside the issuer: ${issuer} alone may sign it.`
      })
      : warning({
        check,
        tried,
        found,
        meaning:
          "Okta signs Universal Logout as the organization. While its keys cannot be had such requests are answered with 503.",
        mend: "Let this machine reach that address as well as the issuer's."
      })
  ]
})
