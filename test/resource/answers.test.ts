import { assert, describe, it, layer } from "@effect/vitest"
import { Effect, Layer, Redacted } from "effect"
import { CurrentPrincipal, OktaAuth } from "effect-okta"
import { HttpRouter, HttpServerResponse } from "effect/http"
import { defects } from "../support/defects.ts"
import { dpopChallenge } from "../support/Proofs.ts"
import { type Answer, type Asked, ownHeaders, serve, TestServer } from "./TestServer.ts"

const whoami = Effect.map(CurrentPrincipal, (principal) => HttpServerResponse.jsonUnsafe(principal))

const app = Layer.mergeAll(
  HttpRouter.add("*", "/mcp", whoami).pipe(Layer.provide(OktaAuth.guard().layer)),
  HttpRouter.add("GET", "/files", whoami).pipe(
    Layer.provide(OktaAuth.guard({ scopes: ["files:read", "files:write"] }).layer)
  ),
  HttpRouter.add("GET", "/open", Effect.succeed(HttpServerResponse.text("for anybody"))),
  OktaAuth.routes
)

const settings = { serverUrl: "https://mcp.example.com", protectedPaths: ["/mcp"], requiredScopes: ["mcp:use"] }
const good = { scopes: ["mcp:use", "files:read", "files:write"] }

const common = {
  "access-control-allow-origin": "*",
  "access-control-expose-headers": "WWW-Authenticate, DPoP-Nonce, Retry-After",
  "cache-control": "no-store",
  "content-type": "application/json"
}

const metadata = "https://mcp.example.com/.well-known/oauth-protected-resource"
const ofMcp = `resource_metadata="${metadata}/mcp", scope="mcp:use"`
const ofFiles = `resource_metadata="${metadata}", scope="mcp:use files:read files:write"`

const refused = (status: number, challenge: string | undefined, body: object) => (answer: Answer) => {
  assert.deepStrictEqual({ status: answer.status, headers: ownHeaders(answer), body: JSON.parse(answer.body) }, {
    status,
    headers: challenge === undefined ? common : { ...common, "www-authenticate": challenge },
    body
  })
}

const noCredentials = (context: string) =>
  refused(401, `Bearer ${context}${dpopChallenge}`, { error_description: "Send an access token as a bearer token." })

const withError = (status: number, error: string, error_description: string) => (context: string) =>
  refused(
    status,
    `Bearer error="${error}", error_description="${error_description}", ${context}${
      status === 401 ? dpopChallenge : ""
    }`,
    {
      error,
      error_description
    }
  )

const invalidToken = withError(
  401,
  "invalid_token",
  "The access token is expired, malformed or not for this server."
)
const invalidRequest = withError(400, "invalid_request", "Send exactly one token, in one Authorization header.")
const insufficientScope = withError(
  403,
  "insufficient_scope",
  "The access token does not allow this operation."
)

const rows: ReadonlyArray<readonly [what: string, path: string, asked: Asked, expected: (answer: Answer) => void]> = [
  ["no credentials", "/mcp", {}, noCredentials(ofMcp)],
  ["no credentials, on another route", "/files", {}, noCredentials(ofFiles)],
  ["another scheme", "/mcp", { headers: { authorization: "Basic YWRhOnNlY3JldA==" } }, noCredentials(ofMcp)],
  ["a scheme that begins like ours", "/mcp", { headers: { authorization: "Bearers x" } }, noCredentials(ofMcp)],
  ["a token in the query only", "/mcp?access_token=x", {}, noCredentials(ofMcp)],
  ...defects.map((defect) =>
    [`a token with the defect ${defect}`, "/mcp", { token: { ...good, defect } }, invalidToken(ofMcp)] as const
  ),
  ["any text as a token", "/files", { headers: { authorization: "Bearer x" } }, invalidToken(ofFiles)],
  ["no token behind the scheme", "/mcp", { headers: { authorization: "Bearer" } }, invalidRequest(ofMcp)],
  ["two tokens behind the scheme", "/mcp", { headers: { authorization: "Bearer a b" } }, invalidRequest(ofMcp)],
  ["tokens in a list", "/mcp", { headers: { authorization: "Bearer a,b" } }, invalidRequest(ofMcp)],
  ["a token in the query too", "/files?access_token=x", { token: good }, invalidRequest(ofFiles)],
  ["no scopes", "/mcp", { token: { scopes: [] } }, insufficientScope(ofMcp)],
  [
    "a scope of the operation missing",
    "/files",
    { token: { scopes: ["mcp:use", "files:read"] } },
    insufficientScope(ofFiles)
  ],
  [
    "the scope of every route missing",
    "/files",
    { token: { scopes: ["files:read", "files:write"] } },
    insufficientScope(ofFiles)
  ],
  ["a scope that only begins like it", "/mcp", { token: { scopes: ["mcp:use-all"] } }, insufficientScope(ofMcp)]
]

layer(TestServer.layer(app, settings))("a guarded route answers", (it) => {
  for (const [what, path, asked, expected] of rows) {
    it.effect(`${what}, header for header`, () =>
      Effect.gen(function*() {
        const { ask } = yield* TestServer
        expected(yield* ask(path, asked))
      }))
  }

  it.effect("a good token with what the handler says, which learns who is calling", () =>
    Effect.gen(function*() {
      const { ask } = yield* TestServer
      const answer = yield* ask("/files", { token: good })
      assert.strictEqual(answer.status, 200)
      assert.deepStrictEqual(JSON.parse(answer.body), {
        _tag: "User",
        subject: "ada@example.com",
        uid: "00u1ada",
        username: "ada@example.com",
        groups: [],
        scopes: ["mcp:use", "files:read", "files:write"],
        clientId: "0oa1client",
        amr: [],
        authTime: 1768478400
      })
      assert.isUndefined(answer.headers["www-authenticate"])
      assert.strictEqual((yield* ask("/open")).body, "for anybody")
    }))

  it.effect("the scheme in any case, and any number of spaces behind it", () =>
    Effect.gen(function*() {
      const { ask, okta } = yield* TestServer
      const token = yield* okta.token(good)
      for (const scheme of ["Bearer", "bearer", "BEARER", "bEaReR", "Bearer   "]) {
        const answer = yield* ask("/mcp", { headers: { authorization: `${scheme} ${Redacted.value(token)}` } })
        assert.strictEqual(answer.status, 200, scheme)
      }
    }))

  it.effect("every method alike without credentials", () =>
    Effect.gen(function*() {
      const { ask } = yield* TestServer
      for (const method of ["GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "QUERY"]) {
        noCredentials(ofMcp)(yield* ask("/mcp", { method }))
      }
      const head = yield* ask("/mcp", { method: "HEAD" })
      assert.deepStrictEqual([head.status, head.body, ownHeaders(head)], [401, "", {
        ...common,
        "www-authenticate": `Bearer ${ofMcp}${dpopChallenge}`
      }])
    }))

  it.effect("on a protected path that has no such route: 401 first, 404 for who may come in", () =>
    Effect.gen(function*() {
      const { ask } = yield* TestServer
      noCredentials(ofMcp)(yield* ask("/mcp/session/1", { method: "DELETE" }))
      assert.strictEqual((yield* ask("/mcp/session/1", { token: good })).status, 404)
      assert.strictEqual((yield* ask("/mcpx")).status, 404)
      assert.strictEqual((yield* ask("/elsewhere")).status, 404)
    }))
})

describe("while nothing can be said about tokens, a guarded route answers", () => {
  const unavailable = (retryAfter: string) => (answer: Answer) =>
    assert.deepStrictEqual({ status: answer.status, headers: ownHeaders(answer), body: JSON.parse(answer.body) }, {
      status: 503,
      headers: { ...common, "retry-after": retryAfter },
      body: {
        error: "temporarily_unavailable",
        error_description: "The access token cannot be checked at the moment."
      }
    })

  it.effect("503 with Retry-After to a token, which is not called invalid, and 401 to none", () =>
    Effect.gen(function*() {
      const { ask, okta } = yield* serve(app, { ...settings, maxTokenLength: 1000 }, { outage: "rate-limited" })
      unavailable("30")(yield* ask("/mcp", { token: good }))
      noCredentials(ofMcp)(yield* ask("/mcp"))
      invalidRequest(ofMcp)(yield* ask("/mcp", { headers: { authorization: "Bearer" } }))
      invalidToken(ofMcp)(yield* ask("/mcp", { headers: { authorization: "Bearer x" } }))
      yield* okta.restore
    }))
})
