import * as NodeHttpClient from "@effect/platform-node/NodeHttpClient"
import * as NodeHttpServerRequest from "@effect/platform-node/NodeHttpServerRequest"
import * as NodeStream from "@effect/platform-node/NodeStream"
import { Data, type Duration, Effect, type Layer } from "effect"
import { Headers, HttpRouter, type HttpServerRequest, HttpServerResponse } from "effect/http"
import type { Writable } from "node:stream"
import { routePath } from "../config/PublicUrl.ts"
import * as Outage from "../observe/Outage.ts"
import { isUnder } from "../resource/ResourceMetadata.ts"
import { CurrentPrincipal, type Principal } from "../token/Principal.ts"

/** Where guarded requests go. */
export interface GatewayOptions {
  /** The protected path, and everything below it. */
  readonly path: string
  /** A path in it takes the place of the protected path. */
  readonly upstream: URL
  /** Longest wait for the upstream's answer to begin, from the start of the request: the upload counts. */
  readonly timeout: Duration.Duration
}

/** No answer came from the upstream. */
class UpstreamFailed extends Data.TaggedError("UpstreamFailed")<{ readonly cause: unknown }> {
  override get message() {
    return `The upstream cannot be reached: ${this.cause instanceof Error ? this.cause.message : String(this.cause)}`
  }
}

/** None came in time. */
class UpstreamSlow extends Data.TaggedError("UpstreamSlow") {
  override get message() {
    return "The upstream did not begin to answer in time (--timeout, which covers the upload too)"
  }
}

/**
 * Forwards requests to another server, streaming in both directions. The caller's credentials stay here; who they prove
 * goes along as `X-Okta-*`.
 *
 * **Details**
 *
 * It speaks to Node's side of the platform, because `HttpClient` rewrites URLs and cookies, and here they belong to others.
 */
export const layer = (
  options: GatewayOptions
): Layer.Layer<
  never,
  never,
  NodeHttpClient.Dispatcher | HttpRouter.HttpRouter | HttpRouter.Request<"Requires", CurrentPrincipal>
> =>
  HttpRouter.use((router) =>
    Effect.gen(function*() {
      const dispatcher = yield* NodeHttpClient.Dispatcher
      const watching = Outage.make("The upstream", { reasonOf: Outage.byMessage })

      const forward = Effect.fnUntraced(function*(path: string, request: HttpServerRequest.HttpServerRequest) {
        const headers = requestHeaders(request.headers, yield* CurrentPrincipal)
        const body = hasBody(request.headers) ? yield* NodeStream.toReadable(request.stream) : null
        const answer = yield* Effect.tryPromise({
          try: (signal) =>
            dispatcher.request({
              origin: options.upstream.origin,
              path,
              method: request.method,
              headers,
              body,
              signal,
              headersTimeout: 0,
              bodyTimeout: 0
            }),
          catch: (cause) => new UpstreamFailed({ cause })
        }).pipe(
          Effect.timeoutOrElse({ duration: options.timeout, orElse: () => Effect.fail(new UpstreamSlow()) })
        )

        const { "set-cookie": cookies, ...rest } = answer.headers
        const response = NodeHttpServerRequest.toServerResponse(request)
        // The only header whose lines cannot be joined (RFC 9110 section 5.3).
        if (cookies !== undefined) response.setHeader("set-cookie", cookies)
        answer.body.once("resume", () => sendHeaders(response)).on("error", ignore)
        return HttpServerResponse.raw(answer.body, {
          status: answer.statusCode,
          headers: withoutConnectionHeaders(Headers.fromInput(rest), hopByHop)
        })
      })

      yield* router.add("*", `${routePath(options.path)}/*`, (request) => {
        const path = target(request.url, options)
        return path === undefined ? Effect.succeed(badRequest) : watching(forward(path, request), () => true).pipe(
          Effect.catchTags({
            UpstreamFailed: () => Effect.succeed(unreachable),
            UpstreamSlow: () => Effect.succeed(slow)
          })
        )
      })
    })
  )

const ignore = () => {}

/** An event stream may stay silent for long: its headers do not wait. (`flushHeaders` would spoil those beyond ASCII.) */
const sendHeaders = (response: Writable) => response.write(new Uint8Array(0))

const failure = (status: number, error: string, error_description: string) =>
  HttpServerResponse.jsonUnsafe({ error, error_description }, { status, headers: { "cache-control": "no-store" } })

const badRequest = failure(400, "invalid_request", "Requests to this path are not forwarded.")
const unreachable = failure(502, "bad_gateway", "The server behind this one cannot be reached.")
const slow = failure(504, "gateway_timeout", "The server behind this one did not answer in time.")

const hasBody = (headers: Headers.Headers): boolean =>
  headers["content-length"] !== undefined
    ? headers["content-length"] !== "0"
    : headers["transfer-encoding"] !== undefined

/** What some server or other takes for a separator, for the directory above, or for the end of the path. */
const leadsAstray = /(?:^|\/)(?:\.|%2e){1,2}(?:$|[/;])|\\|%5c|%2f|#/i

/** The path and query to ask the upstream for, unless the path would lead out of the protected one. */
const target = (url: string, { path, upstream }: GatewayOptions): string | undefined => {
  const end = url.indexOf("?")
  const requested = (end === -1 ? url : url.slice(0, end)).replace(/\/{2,}/g, "/")
  if (!isUnder(requested, path) || leadsAstray.test(requested)) return undefined
  const base = upstream.pathname === "/" ? path : upstream.pathname.replace(/\/$/, "")
  return base + requested.slice(path.length) + (end === -1 ? "" : url.slice(end))
}

/** Headers that concern one connection only (RFC 9110 section 7.6.1). */
const hopByHop = [
  "connection",
  "keep-alive",
  "proxy-authenticate",
  "proxy-authorization",
  "proxy-connection",
  "te",
  "trailer",
  "transfer-encoding",
  "upgrade"
]

const notForwarded = [...hopByHop, "authorization", "cookie", "dpop", "host", "expect"]

const withoutConnectionHeaders = (headers: Headers.Headers, names: ReadonlyArray<string>): Headers.Headers => {
  const named = (headers["connection"] ?? "").toLowerCase().split(",").map((name) => name.trim())
  return Headers.removeMany(headers, [...names, ...named])
}

/**
 * What the upstream would take for our word: who is calling, and where from (RFC 7239). Many servers cannot tell
 * `X_Okta_Subject` from `X-Okta-Subject` (RFC 3875 section 4.1.18).
 */
const looksLikeOurs = /^(?:x[^a-z\d](?:okta|forwarded)(?:[^a-z\d]|$)|forwarded$)/

const requestHeaders = (headers: Headers.Headers, principal: Principal): Record<string, string> => ({
  ...Object.fromEntries(
    Object.entries(withoutConnectionHeaders(headers, notForwarded)).filter(([name]) => !looksLikeOurs.test(name))
  ),
  ...identity(principal)
})

const identity = (principal: Principal): { readonly [header: string]: string } => {
  const scopes = { "x-okta-scopes": encode(principal.scopes.join(" ")) }
  if (principal._tag === "Service") {
    return { "x-okta-subject": encode(principal.clientId), "x-okta-client-id": encode(principal.clientId), ...scopes }
  }
  return {
    "x-okta-subject": encode(principal.subject),
    ...(principal.clientId === undefined ? undefined : { "x-okta-client-id": encode(principal.clientId) }),
    ...scopes,
    ...(principal.email === undefined ? undefined : { "x-okta-email": encode(principal.email) }),
    ...(principal.groups.length === 0
      ? undefined
      : { "x-okta-groups": principal.groups.map((group) => encode(group).replaceAll(",", "%2C")).join(",") })
  }
}

/**
 * Header values are ASCII, and spaces around them are lost: all else, and the percent sign itself, is percent-encoded
 * as UTF-8.
 */
const encode = (value: string): string => value.toWellFormed().replace(/[^\x20-\x7e]|%|^ | $/gu, encodeURIComponent)
