import { NodeHttpServer } from "@effect/platform-node"
import { assert } from "@effect/vitest"
import { Context, Effect, Layer, Logger, Redacted, References } from "effect"
import { type HttpClient, HttpRouter, HttpServer, HttpServerResponse } from "effect/http"
import { TestClock } from "effect/testing"
import { createServer, request as httpRequest, type ServerOptions } from "node:http"
import { connect } from "node:net"
import type { OktaConfig, OktaOptions } from "../../src/config/OktaConfig.ts"
import * as OktaAuth from "../../src/OktaAuth.ts"
import { OktaTest } from "../../src/testing/OktaTest.ts"
import { isJsonObject } from "../../src/token/CompactJws.ts"
import { CurrentPrincipal } from "../../src/token/Principal.ts"
import type { TokenError } from "../../src/token/TokenError.ts"
import { TokenVerifier, type VerifiedToken } from "../../src/token/TokenVerifier.ts"

import { dpopChallenge } from "./Proofs.ts"

/** When the tests take place, in seconds since 1970. */
export const startedAt = Date.UTC(2026, 0, 15, 12) / 1000

/** The server's public address, which nothing but the settings knows. */
export const serverUrl = "https://mcp.example.com"

/** An HTTP answer as it came over the wire; the headers by their lower-case names. */
export interface Answer {
  readonly status: number
  readonly headers: { readonly [name: string]: string | undefined }
  readonly body: string
}

/** A request, `GET /mcp` unless told otherwise. */
export interface Ask {
  readonly method?: string
  readonly path?: string
  readonly token?: string
  readonly headers?: { readonly [name: string]: string }
  readonly body?: string
}

/** How the server is built, beyond the settings. */
export interface ServerBuild {
  readonly node?: ServerOptions
  /** Routes on top of `/mcp`, `/files` and `/any`. */
  readonly routes?: Layer.Layer<never, never, HttpRouter.HttpRouter | OktaConfig | TokenVerifier>
  readonly accessLog?: boolean
  /** Whether a request is answered whose sender has nothing more to say. */
  readonly halfOpen?: boolean
  /** Told of every request that has come. */
  readonly onRequest?: () => void
}

const whoami = Effect.map(CurrentPrincipal, (principal) => HttpServerResponse.jsonUnsafe(principal))

/** A server on a loopback socket, with guarded routes and an Okta in the same process. */
export class GuardedServer extends Context.Service<GuardedServer, {
  readonly port: number
  readonly ask: (ask?: Ask) => Effect.Effect<Answer>
  /** Sends bytes as they stand, and gives the first answer to them. */
  readonly raw: (text: string) => Effect.Effect<Answer>
  readonly verify: (token: string) => Effect.Effect<VerifiedToken, TokenError>
  /** How many requests came through to a handler. */
  readonly handled: () => number
  /** What was logged, at every level. */
  readonly logged: ReadonlyArray<string>
}>()("test/GuardedServer") {
  /**
   * Needs the Okta; starts the test's clock at `startedAt`. Answers to `/mcp` tell who is calling; `/files` needs the scopes
   * `files:read` and `files:write`, and `/any` takes every method.
   */
  static readonly layer = (
    settings: Partial<OktaOptions> = {},
    build: ServerBuild = {}
  ): Layer.Layer<GuardedServer, never, HttpClient.HttpClient> =>
    Layer.effect(
      GuardedServer,
      Effect.gen(function*() {
        yield* TestClock.setTime(startedAt * 1000)
        const logged: Array<string> = []
        const log = Layer.merge(
          Logger.layer([Logger.map(Logger.formatSimple, (line) => void logged.push(line))], {
            mergeWithExisting: true
          }),
          Layer.succeed(References.MinimumLogLevel, "All")
        )
        const okta = yield* Layer.build(
          OktaAuth.layer({
            issuer: OktaTest.issuer,
            audience: OktaTest.audience,
            serverUrl,
            protectedPaths: ["/mcp", "/files"],
            ...settings
          }).pipe(Layer.provide(log))
        )
        let handled = 0
        const handler = Effect.andThen(Effect.sync(() => handled++), whoami)
        const routes = Layer.mergeAll(
          OktaAuth.routes,
          Layer.mergeAll(
            HttpRouter.add("GET", "/mcp", handler),
            HttpRouter.add("POST", "/mcp", handler),
            HttpRouter.add("*", "/any", handler)
          ).pipe(Layer.provide(OktaAuth.guard().layer)),
          HttpRouter.add("GET", "/files", handler).pipe(
            Layer.provide(OktaAuth.guard({ scopes: ["files:read", "files:write"] }).layer)
          ),
          build.routes ?? Layer.empty
        )
        const served = HttpRouter.serve(routes, { disableListenLog: true, disableLogger: build.accessLog !== true })
          .pipe(
            Layer.provideMerge(
              NodeHttpServer.layer(
                () =>
                  Object.assign(createServer(build.node ?? {}), { httpAllowHalfOpen: build.halfOpen === true })
                    .on("request", build.onRequest ?? (() => {})),
                { port: 0, host: "127.0.0.1" }
              )
            ),
            Layer.provide(Layer.succeedContext(okta)),
            Layer.provide(log)
          )
        const { address } = Context.get(yield* Layer.build(served), HttpServer.HttpServer)
        assert(address._tag === "InetAddressV4")
        const { port } = address
        const verifier = Context.get(okta, TokenVerifier)
        return GuardedServer.of({
          port,
          ask: (ask = {}) => ask_(port, ask),
          raw: (text) => raw(port, text),
          verify: (token) => verifier.verify(Redacted.make(token)),
          handled: () => handled,
          logged
        })
      }).pipe(Effect.orDie)
    )
}

const ask_ = (port: number, { body, headers, method = "GET", path = "/mcp", token }: Ask): Effect.Effect<Answer> =>
  Effect.callback((resume) => {
    const request = httpRequest({
      host: "127.0.0.1",
      port,
      method,
      path,
      agent: false,
      maxHeaderSize: 1 << 20,
      headers: { ...(token === undefined ? undefined : { authorization: `Bearer ${token}` }), ...headers }
    }, (response) => {
      const chunks: Array<Buffer> = []
      response.on("data", (chunk: Buffer) => chunks.push(chunk))
      response.on("end", () =>
        resume(Effect.succeed({
          status: response.statusCode ?? 0,
          headers: singleLines(response.rawHeaders),
          body: Buffer.concat(chunks).toString("utf8")
        })))
    })
    request.on("error", (error) => resume(Effect.die(error)))
    request.end(body)
  })

/** Headers by name; of several lines with one name all, so that a second challenge would show. */
const singleLines = (raw: ReadonlyArray<string>) => {
  const headers: Record<string, string> = {}
  for (let i = 0; i + 1 < raw.length; i += 2) {
    const name = String(raw[i]).toLowerCase()
    headers[name] = name in headers ? `${headers[name]}\n${raw[i + 1]}` : String(raw[i + 1])
  }
  return headers
}

/** Sends bytes as they stand, and gives the first answer to them. */
export const raw = (port: number, text: string): Effect.Effect<Answer> =>
  Effect.callback((resume) => {
    const chunks: Array<Buffer> = []
    const socket = connect(port, "127.0.0.1")
    socket.on("data", (chunk) => chunks.push(chunk))
    socket.on("error", () => {})
    socket.on("close", () => resume(Effect.sync(() => parseAnswer(Buffer.concat(chunks).toString("latin1")))))
    socket.write(text, "latin1")
  })

const parseAnswer = (text: string): Answer => {
  const end = text.indexOf("\r\n\r\n")
  assert.isAbove(end, 0, `no HTTP answer came, but ${JSON.stringify(text)}`)
  const [statusLine = "", ...lines] = text.slice(0, end).split("\r\n")
  const headers = singleLines(
    lines.flatMap((line) => [line.slice(0, line.indexOf(":")), line.slice(line.indexOf(":") + 2)])
  )
  const length = Number(headers["content-length"] ?? text.length)
  return { status: Number(statusLine.split(" ")[1]), headers, body: text.slice(end + 4, end + 4 + length) }
}

/** A way to be refused (RFC 6750 section 3). */
export type Refused =
  | "no credentials"
  | "invalid_token"
  | "invalid_request"
  | "insufficient_scope"
  | "access_denied"
  | "temporarily_unavailable"

const answers: { readonly [R in Refused]: readonly [status: number, description: string] } = {
  "no credentials": [401, "Send an access token as a bearer token."],
  invalid_token: [401, "The access token is expired, malformed or not for this server."],
  invalid_request: [400, "Send exactly one token, in one Authorization header."],
  insufficient_scope: [403, "The access token does not allow this operation."],
  access_denied: [403, "Requests from there are not allowed."],
  temporarily_unavailable: [503, "The access token cannot be checked at the moment."]
}

/** What the operation that is refused is known by. */
export interface Operation {
  /** Its resource: `/mcp`, or `""` for the server as a whole. */
  readonly resource?: string
  readonly scope?: string
  readonly server?: string
  /** Seconds to wait; as long as a pause may be unless told otherwise. */
  readonly retryAfter?: string
  /** An answer to HEAD has no body. */
  readonly head?: boolean
}

/** Holds an answer against the one that such a refusal gets, every header and the whole body. */
export const assertRefused = (
  answer: Answer,
  as: Refused,
  { head = false, resource = "/mcp", retryAfter, scope, server = serverUrl }: Operation = {},
  what?: string
): void => {
  const [status, description] = answers[as]
  const error = as === "no credentials" ? undefined : as
  const metadata = `resource_metadata="${server}/.well-known/oauth-protected-resource${resource}"`
  const challenge =
    `Bearer ${error === undefined ? "" : `error="${error}", error_description="${description}", `}${metadata}` +
    (scope === undefined ? "" : `, scope="${scope}"`) + (status === 401 ? dpopChallenge : "")
  const { connection: _connection, "content-length": length, date: _date, "keep-alive": _alive, ...headers } =
    answer.headers
  const body = JSON.stringify({ ...(error === undefined ? undefined : { error }), error_description: description })
  assert.deepStrictEqual({ status: answer.status, headers, body: answer.body }, {
    status,
    headers: {
      "content-type": "application/json",
      "cache-control": "no-store",
      "access-control-allow-origin": "*",
      "access-control-expose-headers": "WWW-Authenticate, DPoP-Nonce, Retry-After",
      ...(as === "access_denied"
        ? undefined
        : as === "temporarily_unavailable"
        ? { "retry-after": retryAfter ?? pause(headers["retry-after"]) }
        : { "www-authenticate": challenge })
    },
    body: head ? "" : body
  }, what)
  assert.strictEqual(length, String(body.length))
}

const pause = (header: unknown) => /^(?:[1-9]|[12]\d|30)$/.test(String(header)) ? header : "1 to 30 seconds"

/** Shows a token to the server and to the verifier, both of which must refuse it. */
export const assertTokenRefused = Effect.fnUntraced(function*(
  token: string,
  reason: TokenError["_tag"],
  what?: string
) {
  const server = yield* GuardedServer
  const handled = server.handled()
  assertRefused(yield* server.ask({ token }), "invalid_token", {}, what)
  assert.strictEqual(server.handled(), handled, what)
  const error = yield* Effect.flip(server.verify(token))
  assert.strictEqual(error._tag, reason, what)
  return error
})

/** Shows a token that must be let in, and gives whom the handler saw. */
export const assertAccepted = Effect.fnUntraced(function*(token: string, path = "/mcp") {
  const server = yield* GuardedServer
  const handled = server.handled()
  const answer = yield* server.ask({ token, path })
  assert.strictEqual(answer.status, 200, answer.body)
  assert.strictEqual(server.handled(), handled + 1)
  const principal: unknown = JSON.parse(answer.body)
  assert(isJsonObject(principal))
  return principal
})
