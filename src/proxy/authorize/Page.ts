import { Effect, type Scope } from "effect"
import { type HttpRouter, type HttpServerRequest, HttpServerResponse } from "effect/http"
import { routePath } from "../../config/PublicUrl.ts"
import { isRepeated } from "../../resource/HeaderLines.ts"
import { originCheck } from "../../resource/RequestOrigin.ts"
import { observed, pathsOf } from "../Endpoint.ts"
import type { BodyTooLarge, MalformedRequest } from "../FormRequest.ts"
import type { ProxySettings } from "../ProxySettings.ts"
import { type Content, type Html, html, pagesOf } from "./Html.ts"
import { style } from "./PageStyle.ts"

const pages = pagesOf(style)

/** Headers of everything that a browser gets. */
export const { headers } = pages

/** A whole page. */
export const page = (
  title: string,
  main: Html,
  options: { readonly status?: number; readonly headers?: { readonly [name: string]: string } } = {}
): HttpServerResponse.HttpServerResponse =>
  HttpServerResponse.text(pages.page(title, main), {
    status: options.status ?? 200,
    contentType: "text/html; charset=utf-8",
    headers: { ...headers, ...options.headers }
  })

/** Something that a person has to be told, because nobody else can be. */
export interface Problem {
  readonly status: number
  readonly title: string
  /** What it means for the person. */
  readonly words: Content
  /** For the client's developer: a code, and what is wrong. */
  readonly code: string
  readonly detail?: string
  readonly headers?: { readonly [name: string]: string }
  /** By which the person tries again. */
  readonly again?: Html | undefined
}

/** A page that says what is wrong. */
export const problem = (
  { again, code, detail, headers = {}, status, title, words }: Problem
): HttpServerResponse.HttpServerResponse =>
  page(
    title,
    html`<h1 class="plain">${title}</h1>
<p>${words}</p>
${again}
<p class="soft">For the application’s developer: <code>${code}</code>${detail === undefined ? "" : ` – ${detail}`}</p>`,
    { status, headers }
  )

/** The page for a form that was not read. */
export const unreadable = (error: MalformedRequest | BodyTooLarge): HttpServerResponse.HttpServerResponse =>
  problem({
    status: error._tag === "BodyTooLarge" ? 413 : 400,
    title: "This request cannot be read",
    words: "The application sent you here with a request that is not in order. Go back to it and try again.",
    code: "invalid_request",
    detail: error.message
  })

const severalHosts = problem({
  status: 400,
  title: "This request cannot be read",
  words: "Your browser, or something between it and this server, sent a request that is not in order. Try again.",
  code: "invalid_request",
  detail: "There is more than one Host header."
})

const strangeHost = problem({
  status: 403,
  title: "This is not the right address",
  words:
    "This server runs on your own computer and is reached by another name. Go back to the application and try again.",
  code: "invalid_request",
  detail: "The Host of the request is not a loopback address."
})

/** Answers for people, by method. */
export interface PageHandlers {
  readonly [method: string]: (
    request: HttpServerRequest.HttpServerRequest
  ) => Effect.Effect<HttpServerResponse.HttpServerResponse, never, Scope.Scope>
}

/** Adds a place that browsers go to, and no page's script: other methods are 405, and nothing is allowed by CORS. */
export const serve = Effect.fnUntraced(function*(
  router: HttpRouter.HttpRouter,
  settings: ProxySettings,
  path: string,
  handlers: PageHandlers
) {
  const allow = Object.keys(handlers).join(", ")
  const wrongMethod = problem({
    status: 405,
    title: "This page is not reached in this way",
    words: "Go back to the application and try again.",
    code: "invalid_request",
    detail: `The method must be ${allow}.`,
    headers: { allow }
  })
  const forbidden = originCheck(settings)
  for (const place of pathsOf(settings, path)) {
    yield* router.add("*", routePath(place), (request) => {
      if (isRepeated(request.source, "host")) return Effect.succeed(severalHosts)
      if (forbidden?.({ host: request.headers["host"] }) !== undefined) return Effect.succeed(strangeHost)
      const handler = handlers[request.method]
      return handler === undefined ? Effect.succeed(wrongMethod) : observed(place, handler)(request)
    })
  }
})
