import { DateTime } from "effect"
import type { HttpServerResponse } from "effect/http"
import type { GrantSummary } from "../Grants.ts"
import type { ProxySettings } from "../ProxySettings.ts"
import { permission } from "./ConsentPage.ts"
import { type Html, html } from "./Html.ts"
import { page } from "./Page.ts"
import { path, type Visitor } from "./Visit.ts"

// One for all: to make one takes half a millisecond, and a person may have thousands of grants.
const days = new Intl.DateTimeFormat("en-GB", { dateStyle: "long", timeZone: "UTC" })

const day = ({ epochMilliseconds }: DateTime.Utc): string => days.format(epochMilliseconds)

const time = (moment: DateTime.Utc): Html => html`<time datetime="${DateTime.formatIso(moment)}">${day(moment)}</time>`

/** A client as the person knows it, for a sentence. */
const nameOf = ({ clientName }: GrantSummary): string => clientName ?? "An application that gives no name"

const form = ({ serverUrl }: ProxySettings, { formToken }: Visitor, content: Html): Html =>
  html`<form method="post" action="${serverUrl}${path}">
<input type="hidden" name="form" value="${formToken}">
${content}
</form>`

const hidden = (name: string, value: string): Html => html`<input type="hidden" name="${name}" value="${value}">`

const connection = (settings: ProxySettings, visitor: Visitor, summary: GrantSummary): Html => {
  const { createdAt, grant, redirectHost, scopes, usedAt } = summary
  return html`<li>
<h2><bdi>${nameOf(summary)}</bdi></h2>
<dl>
${redirectHost === undefined ? undefined : html`<dt>Sends you to</dt><dd><bdi>${redirectHost}</bdi></dd>`}
<dt>Is able to</dt><dd>${scopes.length === 0 ? "act as you" : html`<ul>${scopes.map(permission)}</ul>`}</dd>
<dt>Connected</dt><dd>${time(createdAt)}</dd>
<dt>Last used</dt><dd>${usedAt === undefined ? "never" : time(usedAt)}</dd>
</dl>
${
    form(
      settings,
      visitor,
      html`${hidden("grant", grant)}
<button type="submit" aria-label="Disconnect ${nameOf(summary)}, connected ${day(createdAt)}">Disconnect</button>`
    )
  }
</li>`
}

/** Every client that may act for the person. */
export const connectionsPage = (
  settings: ProxySettings,
  visitor: Visitor,
  summaries: ReadonlyArray<GrantSummary>
): HttpServerResponse.HttpServerResponse =>
  page(
    "Connected applications",
    html`<h1 class="plain">Connected applications</h1>
<p>You are signed in as <strong><bdi>${visitor.username}</bdi></strong>.${
      summaries.length === 0
        ? " No application can act for you at this server."
        : " These applications can act for you at this server. Names are what they call themselves."
    }</p>
${
      summaries.length === 0
        ? undefined
        : html`<ul class="connections">${summaries.map((summary) => connection(settings, visitor, summary))}</ul>`
    }
${
      summaries.length < 2
        ? undefined
        : form(settings, visitor, html`${hidden("all", "yes")}<button type="submit">Disconnect all</button>`)
    }`
  )

/** Asks once more: what is disconnected has to be connected anew. */
export const questionPage = (
  settings: ProxySettings,
  visitor: Visitor,
  asked: GrantSummary | "all"
): HttpServerResponse.HttpServerResponse => {
  const title = asked === "all" ? "Disconnect all applications?" : `Disconnect ${nameOf(asked)}?`
  const again = `${settings.serverUrl}${path}`
  return page(
    title,
    html`<h1 class="plain">${asked === "all" ? title : html`Disconnect <bdi>${nameOf(asked)}</bdi>?`}</h1>
<p>${
      asked === "all"
        ? "None of them will be able to act for you any more. To use one again you connect it anew, and sign in with Okta."
        : "It will not be able to act for you any more. To use it again you connect it anew, and sign in with Okta."
    }</p>
${
      form(
        settings,
        visitor,
        html`${asked === "all" ? hidden("all", "yes") : hidden("grant", asked.grant)}
<button class="main" type="submit" name="confirmed" value="yes">Disconnect</button>
<a class="button other" href="${again}">Keep</a>`
      )
    }`
  )
}

/** It is done, or has been before. */
export const donePage = ({ serverUrl }: ProxySettings, what: string | "all"): HttpServerResponse.HttpServerResponse =>
  page(
    "Disconnected",
    html`<h1 class="plain">Disconnected</h1>
<p>${
      what === "all"
        ? "No application can act for you at this server any more."
        : html`<strong><bdi>${what}</bdi></strong> cannot act for you any more.`
    }</p>
<p class="actions"><a class="button" href="${serverUrl}${path}">Connected applications</a></p>`
  )
