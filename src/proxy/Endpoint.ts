import { Effect, Exit, type Scope } from "effect"
import { type HttpRouter, type HttpServerRequest, HttpServerResponse } from "effect/http"
import { basePathOf, routePath } from "../config/PublicUrl.ts"
import { traced } from "../observe/Span.ts"
import { endpoints, timed } from "../observe/Telemetry.ts"
import { readableAnswer } from "../resource/Cors.ts"
import { isRepeated, severalHosts } from "../resource/HeaderLines.ts"
import type { ProxySettings } from "./ProxySettings.ts"

/** Where an endpoint is reached: below the base path of `serverUrl`, and without it where it was removed on the way. */
export const pathsOf = ({ serverUrl }: ProxySettings, path: string): ReadonlyArray<string> => {
  return [...new Set([path, basePathOf(serverUrl) + path])]
}

/** What an endpoint is called by metrics and spans, by the last part of its path. */
const names = {
  authorize: "authorize",
  consent: "consent",
  callback: "callback",
  register: "register",
  token: "token",
  revoke: "revoke",
  introspect: "introspect",
  logout: "logout",
  connections: "connections",
  "global-token-revocation": "universalLogout",
  "backchannel-logout": "backchannelLogout"
} as const

const isNamed = (last: string): last is keyof typeof names => Object.hasOwn(names, last)

/** Measures what an endpoint does, and gives it a span. Documents that are always the same are not worth it. */
export const observed = (path: string, handler: Handler): Handler => {
  const [, last = ""] = /\/oauth\/([a-z-]+)(?:\/done)?$/.exec(path) ?? []
  const name = isNamed(last) ? names[last] : undefined
  return name === undefined ?
    handler :
    (request) =>
      Effect.tap(handler(request), ({ status }) => Effect.annotateCurrentSpan("http.response.status_code", status))
        .pipe(
          (self) =>
            timed(
              self,
              (exit) =>
                endpoints.of({ endpoint: name, status: Exit.isSuccess(exit) ? String(exit.value.status) : "none" })
            ),
          (self) => traced(self, `okta.${name}`)
        )
}

/** What answers a request. */
export type Handler = (
  request: HttpServerRequest.HttpServerRequest
) => Effect.Effect<HttpServerResponse.HttpServerResponse, never, Scope.Scope>

/**
 * Adds an endpoint that clients in browsers may call as well: preflights pass, no cookies count, and methods that it does
 * not have are 405 with `Allow`.
 */
export const answering = (
  router: HttpRouter.HttpRouter,
  path: string,
  handlers: { readonly [method in "GET" | "POST"]?: Handler }
): Effect.Effect<void> => {
  const methods = [...Object.keys(handlers), ...(handlers.GET === undefined ? [] : ["HEAD"]), "OPTIONS"].join(", ")
  const headers = {
    ...readableAnswer,
    "access-control-allow-methods": methods,
    "access-control-allow-headers": "authorization, content-type, dpop, mcp-protocol-version"
  }
  const options = HttpServerResponse.empty({ status: 204, headers })
  const refused = HttpServerResponse.empty({ status: 405, headers: { ...headers, allow: methods } })
  return router.add("*", routePath(path), (request) => {
    if (isRepeated(request.source, "host")) return Effect.succeed(severalHosts)
    const handler = request.method === "POST"
      ? handlers.POST
      : request.method === "GET" || request.method === "HEAD"
      ? handlers.GET
      : undefined
    return handler === undefined
      ? Effect.succeed(request.method === "OPTIONS" ? options : refused)
      : observed(path, handler)(request)
  })
}
