import { Effect, Result } from "effect"
import { HttpClientRequest } from "effect/http"
import { createHash, randomBytes } from "node:crypto"
import type { Settings } from "../../config/OktaConfig.ts"
import type { Answer } from "../../provider/OktaHttp.ts"
import { excerpt } from "../../provider/Quoted.ts"
import { redirectUriOf, scopesOf } from "../../proxy/OktaClient.ts"
import type { ProxySettings } from "../../proxy/ProxySettings.ts"
import type { Ask } from "./Ask.ts"
import { type Check, failed, ok, warning } from "./Check.ts"
import { isPage, refused, unreached } from "./Trouble.ts"

const random = (): string => randomBytes(32).toString("base64url")

/** With these Okta says that somebody would have to sign in, which is all that is wanted to be known. */
const wouldAsk = new Set(["login_required", "interaction_required", "consent_required", "account_selection_required"])

/**
 * Begins a sign-in as the server would, with `prompt=none` (OpenID Connect Core section 3.1.2.1), so that nobody is asked
 * anything and nothing comes of it; where Okta leads to is not followed.
 */
export const authorize = Effect.fnUntraced(function*(
  ask: Ask,
  url: string,
  settings: ProxySettings
): Effect.fn.Return<Check> {
  const redirectUri = redirectUriOf(settings)
  const check = { check: "redirect-uri", tried: `GET ${url} with the redirect URI ${redirectUri}` }
  const request = HttpClientRequest.get(url, {
    urlParams: {
      response_type: "code",
      client_id: settings.clientId,
      redirect_uri: redirectUri,
      scope: scopesOf(settings).join(" "),
      state: random(),
      nonce: random(),
      code_challenge: createHash("sha256").update(random()).digest("base64url"),
      code_challenge_method: "S256",
      prompt: "none"
    }
  })
  const asked = yield* Effect.result(ask(request, 1024 * 1024))
  if (Result.isFailure(asked)) return failed({ ...check, ...unreached(url, asked.failure, "Okta") })
  const answer = asked.success
  const verdict = decide(answer, settings)
  return verdict === undefined
    ? failed({ ...check, ...(yield* refused(url, answer)) })
    : verdict.mend === undefined
    ? ok({ ...check, ...verdict })
    : failed({ ...check, ...verdict })
})

interface Verdict {
  readonly found: string
  readonly meaning: string
  readonly mend?: string
}

const known = "Okta knows the application, and this redirect URI is one of its own."

/** What Okta's answer to the beginning of a sign-in says about the application. */
const decide = (answer: Answer, settings: ProxySettings): Verdict | undefined => {
  const { headers, status, text } = answer
  const location = headers["location"]
  if (status >= 300 && status < 400 && location !== undefined) return sentTo(location, settings)
  if (status === 200 && isPage(answer)) return { found: "200, its page for people", meaning: known }
  if (status !== 400) return undefined
  const redirectUri = redirectUriOf(settings)
  if (/redirect_uri/i.test(text)) {
    return {
      found: "400, with a page about the redirect URI",
      meaning: `The application does not have the sign-in redirect URI ${redirectUri}, byte for byte.`,
      mend:
        "Add it in Okta under Applications, the application, General, Sign-in redirect URIs; or mend SERVER_URL, of which it is " +
        "made."
    }
  }
  if (/client_id|invalid_client/i.test(text)) {
    return {
      found: "400, with a page about the client id",
      meaning: `Okta knows no application with the client id ${settings.clientId}, or it is not active.`,
      mend:
        "Copy the Client ID from Applications, the application, General; it must belong to the same Okta account as OKTA_ISSUER."
    }
  }
  return {
    found: "400, with its page of errors",
    meaning: "Okta does not know the client id, or the redirect URI is none of the application's.",
    mend: `Compare OKTA_CLIENT_ID, and the redirect URI ${redirectUri}, with the application in Okta.`
  }
}

const sentTo = (location: string, settings: ProxySettings): Verdict => {
  const redirectUri = redirectUriOf(settings)
  if (!/^[?#]/.test(location.startsWith(redirectUri) ? location.slice(redirectUri.length) : "")) {
    return { found: "a redirect to its sign-in", meaning: known }
  }
  const parameters = new URLSearchParams(location.slice(redirectUri.length + 1))
  const error = parameters.get("error") ?? "no error"
  const found = `sent back with ${excerpt(error, 60)}`
  if (wouldAsk.has(error)) return { found, meaning: known }
  if (error === "invalid_scope") {
    return {
      found,
      meaning: `The redirect URI is right, but Okta does not give all of the scopes ${scopesOf(settings).join(" ")}.`,
      mend:
        "Add them under Security, API, the authorization server, Scopes, and allow them in its access policy; or leave them out " +
        "of OKTA_SCOPES."
    }
  }
  if (error === "unauthorized_client" || error === "unsupported_response_type") {
    return {
      found,
      meaning: "The application may not sign people in with an authorization code.",
      mend:
        "Choose Authorization Code under Applications, the application, General, Grant type; it has to be a Web Application."
    }
  }
  if (error === "access_denied") {
    return {
      found,
      meaning: "No access policy of the authorization server lets this application in.",
      mend: "Add a policy with a rule for it under Security, API, the authorization server, Access Policies."
    }
  }
  return {
    found,
    meaning: "The redirect URI is right, but Okta does not begin a sign-in.",
    mend: "Look for the reason in Okta under Reports, System Log."
  }
}

/** The scopes that are asked of Okta, or in native mode demanded of its tokens, beside those that it names. */
export const scopes = (settings: Settings, supported: ReadonlyArray<string> | undefined): ReadonlyArray<Check> => {
  const { asked, tried, variable } = settings.mode === "proxy"
    ? { asked: scopesOf(settings), tried: "asking Okta for", variable: "OKTA_SCOPES" }
    : { asked: settings.requiredScopes, tried: "REQUIRED_SCOPES", variable: "REQUIRED_SCOPES" }
  if (asked.length === 0) return []
  const check = { check: "scopes", tried: `${tried} ${asked.join(" ")}` }
  const missing = supported === undefined ? [] : asked.filter((scope) => !supported.includes(scope))
  return [
    missing.length === 0
      ? ok({ ...check, found: supported === undefined ? "Okta names none" : "Okta names all of them" })
      : warning({
        ...check,
        found: `Okta does not name ${missing.join(" ")}`,
        meaning: "Either the authorization server does not have them, or they are left out of its metadata.",
        mend: `Look under Security, API, the authorization server, Scopes; or leave them out of ${variable}.`
      })
  ]
}
