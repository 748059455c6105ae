import { Effect, Option } from "effect"
import type { HttpServerRequest, HttpServerResponse } from "effect/http"
import { sparingly } from "../../observe/Sparingly.ts"
import type { StoreUnavailable } from "../../store/Store.ts"
import type { DocumentUnavailable } from "../client/DocumentFetch.ts"
import type { TooManyRequests } from "../RateLimits.ts"
import { type Html, html } from "./Html.ts"
import * as Page from "./Page.ts"
import * as Parameters from "./Parameters.ts"

/** Something that will pass. The person is told, who can try again: the client would only begin anew. */
export type Trouble = StoreUnavailable | TooManyRequests | DocumentUnavailable

/** What a person presses to try again. */
export type Again = Html | undefined

/** Asks once more for an address, by default for that of the page itself. */
export const link = (url = ""): Again => html`<p class="actions"><a class="button" href="${url}">Try again</a></p>`

/** Sends the form of a request once more. */
export const form = (request: HttpServerRequest.HttpServerRequest): Effect.Effect<Again> =>
  Effect.map(
    Effect.option(Parameters.fromBody(request)),
    Option.match({
      onNone: () => undefined,
      onSome: ({ entries }) =>
        html`<form method="post">${
          entries.map(([name, value]) => html`<input type="hidden" name="${name}" value="${value}">`)
        }
<button class="main" type="submit">Try again</button></form>`
    })
  )

const wait = "Wait a little, then try again."

const page = (trouble: Trouble, again: Again): HttpServerResponse.HttpServerResponse => {
  const code = "temporarily_unavailable"
  switch (trouble._tag) {
    case "StoreUnavailable":
      return Page.problem({
        status: 503,
        title: "This server is not ready",
        words: `It cannot look anything up or keep anything at the moment. ${wait}`,
        code,
        headers: { "retry-after": "5" },
        again
      })
    case "TooManyRequests":
      return Page.problem({
        status: 429,
        title: "Too many people want to sign in",
        words: `This server has been asked too often. ${wait}`,
        code,
        headers: { "retry-after": String(Math.max(1, Math.ceil(trouble.retryAfter / 1000))) },
        again
      })
    case "DocumentUnavailable":
      return Page.problem({
        status: 503,
        title: "The application cannot be reached",
        words: `It describes itself at an address that does not answer at the moment. ${wait}`,
        code,
        headers: { "retry-after": "10" },
        again
      })
  }
}

/** Tells the person of the trouble, and the log, where it is not told by what noticed it. */
export const tell = (again: Again) => (trouble: Trouble): Effect.Effect<HttpServerResponse.HttpServerResponse> => {
  const line = trouble._tag === "DocumentUnavailable"
    ? sparingly("Warn", `page ${trouble._tag}`, trouble.message)
    : Effect.logDebug(trouble.message)
  return Effect.as(line, page(trouble, again))
}

/** The same where a form was sent, which the person can send once more. */
export const tellOfForm = (request: HttpServerRequest.HttpServerRequest) => (trouble: Trouble) =>
  Effect.flatMap(form(request), (again) => tell(again)(trouble))
