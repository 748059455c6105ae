import { HttpServerResponse } from "effect/http"
import type { AuthorizationRefused } from "../OAuthError.ts"
import type { ProxySettings } from "../ProxySettings.ts"
import type { ReturnAddress } from "./AuthorizationRequest.ts"
import { headers } from "./Page.ts"

/** Sends the person on. After a form it is 303, so that the form is not sent on as well (RFC 9700 section 4.12). */
export const sendTo = (url: string, method: string): HttpServerResponse.HttpServerResponse =>
  HttpServerResponse.empty({ status: method === "POST" ? 303 : 302, headers: { ...headers, location: url } })

/**
 * The answer to an authorization request, at the client's redirect URI, which stays as it is but for what is added (RFC
 * 6749 section 4.1.2), with this server's name (RFC 9207).
 */
export const answer = (
  address: ReturnAddress,
  settings: ProxySettings,
  method: string,
  outcome: { readonly code: string } | AuthorizationRefused
): HttpServerResponse.HttpServerResponse => sendTo(answerUrl(address, settings, outcome), method)

/** Where the answer leads. */
export const answerUrl = (
  { redirectUri, state }: ReturnAddress,
  { serverUrl }: ProxySettings,
  outcome: { readonly code: string } | AuthorizationRefused
): string => {
  const parameters = new URLSearchParams(
    "description" in outcome
      ? { error: outcome.code, error_description: outcome.description }
      : { code: outcome.code }
  )
  if (state !== undefined) parameters.set("state", state)
  parameters.set("iss", serverUrl)
  const joint = !redirectUri.includes("?") ? "?" : /[?&]$/.test(redirectUri) ? "" : "&"
  return redirectUri + joint + parameters.toString()
}
