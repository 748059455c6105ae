import { Effect, Result, Schema } from "effect"
import { HttpClientRequest } from "effect/http"
import * as ClientCredentials from "../../provider/ClientCredentials.ts"
import type { Answer } from "../../provider/OktaHttp.ts"
import { excerpt } from "../../provider/Quoted.ts"
import { redirectUriOf, scopesOf } from "../../proxy/OktaClient.ts"
import type { ProxySettings } from "../../proxy/ProxySettings.ts"
import type { Ask } from "./Ask.ts"
import { type Check, failed, ok, skipped, type Trouble, warning } from "./Check.ts"
import { mistakes } from "./SettingsChecks.ts"
import { refused, unreached } from "./Trouble.ts"

/** What nobody was ever given, so that asking with it does nothing. */
export const madeUp = "effect-okta-doctor-asks-with-what-nobody-was-given"

const readError = Schema.decodeUnknownResult(Schema.fromJsonString(Schema.Struct({ error: Schema.String })))

/** The code of an error of OAuth's, in an answer that says no. */
export const errorIn = ({ status, text }: Answer): string | undefined =>
  status < 400 || status >= 500 || status === 429
    ? undefined
    : Result.getOrUndefined(Result.map(readError(text), ({ error }) => excerpt(error, 60)))

/** Asks the token endpoint for what nobody was given: Okta's code tells how far it got before it refused. */
const asking = (ask: Ask, url: string, credentials: ClientCredentials.ClientCredentials) =>
  Effect.fnUntraced(function*(fields: { readonly [name: string]: string }): Effect.fn.Return<
    Result.Result<string, Trouble>
  > {
    const proof = yield* credentials(url)
    const request = HttpClientRequest.post(url, { acceptJson: true, headers: proof.headers }).pipe(
      HttpClientRequest.bodyUrlParams({ ...fields, ...proof.fields })
    )
    const asked = yield* Effect.result(ask(request))
    if (Result.isFailure(asked)) return Result.fail(unreached(url, asked.failure, "Okta"))
    const error = errorIn(asked.success)
    return error === undefined ? Result.fail(yield* refused(url, asked.success)) : Result.succeed(error)
  })

const secretOf = ({ clientKey }: ProxySettings): string =>
  clientKey === undefined ? "OKTA_CLIENT_SECRET" : "OKTA_CLIENT_KEY"

const wrongClient = (settings: ProxySettings): Trouble => ({
  found: "invalid_client",
  meaning: `Okta does not take OKTA_CLIENT_ID together with ${secretOf(settings)}.`,
  mend: settings.clientKey === undefined
    ? "Copy both from Applications, the application, General, Client Credentials, and look whether that secret is still active."
    : "Give Okta the public half of OKTA_CLIENT_KEY, with the same kid: Applications, the application, General, Public key / " +
      "Private key."
})

/** Whether Okta takes the client's credentials, and gives it refresh tokens. */
export const look = Effect.fnUntraced(function*(
  ask: Ask,
  url: string,
  settings: ProxySettings
): Effect.fn.Return<ReadonlyArray<Check>> {
  const check = { check: "client-credentials", tried: `POST ${url} with ${secretOf(settings)} and a made-up code` }
  const made = yield* Effect.result(
    ClientCredentials.make(settings)
  )
  if (Result.isFailure(made)) return mistakes(made.failure)
  const answered = asking(ask, url, made.success)
  const error = yield* answered({
    grant_type: "authorization_code",
    code: madeUp,
    redirect_uri: redirectUriOf(settings),
    code_verifier: madeUp
  })
  if (Result.isFailure(error)) return [failed({ ...check, ...error.failure })]
  switch (error.success) {
    case "invalid_grant":
      return [
        ok({
          ...check,
          found: error.success,
          meaning: "Okta takes the credentials: only the made-up code was refused."
        }),
        yield* refresh(answered, url, settings)
      ]
    case "invalid_client":
      return [failed({ ...check, ...wrongClient(settings) })]
    case "unauthorized_client":
      return [failed({
        ...check,
        found: error.success,
        meaning: "The application may not exchange an authorization code.",
        mend: "Choose Authorization Code under Applications, the application, General, Grant type."
      })]
    default:
      return [warning({
        ...check,
        found: error.success,
        meaning: "Okta refused before it looked at the code, so nothing is known about the credentials.",
        mend: "Sign in once, and look for the reason in Okta under Reports, System Log."
      })]
  }
})

const refresh = Effect.fnUntraced(function*(
  answered: ReturnType<typeof asking>,
  url: string,
  settings: ProxySettings
): Effect.fn.Return<Check> {
  const check = { check: "refresh-tokens", tried: `POST ${url} with a made-up refresh token` }
  const hourly = "Clients have to have people sign in again whenever an access token ends."
  if (!scopesOf(settings).includes("offline_access")) {
    return warning({
      check: check.check,
      tried: "OKTA_SCOPES",
      found: "offline_access is not asked for",
      meaning: `Okta gives no refresh token then. ${hourly}`,
      mend: "Add offline_access to OKTA_SCOPES, unless that is what you want."
    })
  }
  const error = yield* answered({ grant_type: "refresh_token", refresh_token: madeUp })
  if (Result.isFailure(error)) return failed({ ...check, ...error.failure })
  switch (error.success) {
    case "invalid_grant":
      return ok({
        ...check,
        found: error.success,
        meaning: "The application may refresh: only the made-up token was refused."
      })
    case "unauthorized_client":
    case "unsupported_grant_type":
      return warning({
        ...check,
        found: error.success,
        meaning: `The application gets no refresh tokens. ${hourly}`,
        mend: "Choose Refresh Token under Applications, the application, General, Grant type."
      })
    default:
      return skipped({ ...check, found: error.success, meaning: "That tells nothing about refresh tokens." })
  }
})
