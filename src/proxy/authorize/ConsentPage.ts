import { Duration } from "effect"
import type { HttpServerResponse } from "effect/http"
import type { Client } from "../client/Client.ts"
import type { ProxySettings } from "../ProxySettings.ts"
import type { ApprovedRequest } from "./AuthorizationRequest.ts"
import { type Html, html } from "./Html.ts"
import { page } from "./Page.ts"
import { isLoopback } from "./RedirectUri.ts"
import { lifetime } from "./RememberedConsent.ts"

/** What the page is made of. */
export interface Consent {
  readonly client: Client
  readonly request: ApprovedRequest
  /** The request and its browser, sealed: what the form brings back. */
  readonly sealed: string
}

/** Where a client that is known by a document has it; nobody else can write there. */
const describedAt = ({ clientId, origin }: Client): string | undefined =>
  origin === "document" ? new URL(clientId).host : undefined

/**
 * That a document says little about a client that can only be on the person's own computer: any program there can use it
 * (Client ID Metadata Document, security considerations on localhost redirect URIs).
 */
const borrowed = (client: Client): Html | undefined => {
  const host = describedAt(client)
  return host !== undefined && client.metadata.redirect_uris.every(isLoopback)
    ? html` Any program there can pass itself off as the one that <bdi>${host}</bdi> describes.`
    : undefined
}

/** Where the person will be sent, as short as it can be said without hiding anything. */
const destination = (
  redirectUri: string,
  client: Client
): { readonly name: string; readonly note: Html | undefined } => {
  const { host, protocol } = new URL(redirectUri)
  if (isLoopback(redirectUri)) {
    return {
      name: host,
      note: html`<p class="note">This is an application on your own computer, and nobody can tell which one.${
        borrowed(client)
      } Allow it only if you have just begun to sign in there yourself.</p>`
    }
  }
  return protocol === "https:" ? { name: host, note: undefined } : {
    name: `${protocol}//${host}`,
    note: html`<p class="note">This opens an application on your device. Allow it only if you have just begun to sign in
there yourself.</p>`
  }
}

/** Scopes of everybody's, in words. */
const words: { readonly [scope: string]: string } = {
  openid: "know who you are",
  profile: "see your name",
  email: "see your email address",
  offline_access: "keep this access until you take it back, or 30 days pass without its use"
}

/** What a scope lets a client do, in words. */
export const permission = (scope: string): Html => {
  const known = Object.hasOwn(words, scope) ? words[scope] : undefined
  return known === undefined
    ? html`<li>use <code>${scope}</code></li>`
    : html`<li>${known}</li>`
}

const days = String(Duration.toDays(lifetime))

/** Asks the person whether this client may act for them. */
export const consentPage = (
  { client, request, sealed }: Consent,
  { issuer, rememberConsent, resourceName, serverUrl }: ProxySettings
): HttpServerResponse.HttpServerResponse => {
  const { name: host, note } = destination(request.redirectUri, client)
  const application = client.metadata.client_name
  const described = describedAt(client)
  const resource = resourceName ?? request.resource.replace(/^https?:\/\//, "")
  const permissions = request.scopes.length === 0
    ? [html`<li>use ${resource} as you</li>`]
    : request.scopes.map(permission)
  return page(
    `Allow access for ${application ?? host}?`,
    html`<h1>Allow access, and be sent to <bdi class="host">${host}</bdi></h1>
<p>${
      application === undefined
        ? html`An application that gives no name`
        : html`An application that calls itself <strong><bdi>${application}</bdi></strong>`
    } wants to use <strong><bdi>${resource}</bdi></strong> on your behalf.${
      described === undefined ? "" : html` It is described at <strong><bdi>${described}</bdi></strong>.`
    }</p>
${note}
<h2 id="permissions">It will be able to</h2>
<ul aria-labelledby="permissions">${permissions}</ul>
<p class="soft">You can take it back at any time at <bdi>${
      serverUrl.replace(/^https?:\/\//, "")
    }/oauth/connections</bdi>.</p>
<h2 id="next">What happens next</h2>
<ol aria-labelledby="next">
<li>You sign in with Okta, at ${new URL(issuer).host}.</li>
<li>You are sent to <code>${request.redirectUri}</code>.</li>
</ol>
${
      rememberConsent
        ? html`<p class="soft">If you allow it, you are not asked again in this browser for ${days} days, unless the application
wants more or asks for it.</p>`
        : undefined
    }
<form method="post" action="${serverUrl}/oauth/consent">
<input type="hidden" name="request" value="${sealed}">
<button class="main" type="submit" name="decision" value="allow">Allow</button>
<button type="submit" name="decision" value="deny">Deny</button>
</form>`
  )
}
