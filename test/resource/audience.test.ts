import { NodeHttpServer } from "@effect/platform-node"
import { assert, describe, it } from "@effect/vitest"
import { Context, Effect, Layer, Redacted } from "effect"
import { HttpRouter, HttpServer, HttpServerResponse } from "effect/http"
import { createServer } from "node:http"
import * as OktaAuth from "../../src/OktaAuth.ts"
import { TokenVerifier } from "../../src/token/TokenVerifier.ts"
import { configLayer, now, serverUrl } from "../proxy/ProxyTest.ts"

/** The resources that tokens are for, by the text of the token. */
const audiences: Readonly<Record<string, string>> = {
  whole: serverUrl,
  mcp: `${serverUrl}/mcp`,
  files: `${serverUrl}/files`
}

const verifyText = (token: string) =>
  Effect.succeed({
    claims: { iss: serverUrl, aud: audiences[token] ?? "nothing", sub: "ada", uid: "ada", iat: now, exp: now + 60 },
    principal: { _tag: "Service" as const, subject: "client", clientId: "client", scopes: [] }
  })

const verifier = Layer.succeed(TokenVerifier, {
  verifyText,
  verify: (token: Redacted.Redacted<string>) => verifyText(Redacted.value(token))
})

const route = (path: `/${string}`) => HttpRouter.add("GET", path, HttpServerResponse.text("in"))

describe("in proxy mode a route accepts the tokens of its own resource and of the server as a whole", () => {
  const expected = {
    whole: { "/mcp": 200, "/mcp/1": 200, "/files": 200, "/other": 200 },
    mcp: { "/mcp": 200, "/mcp/1": 200, "/files": 401, "/other": 401 },
    files: { "/mcp": 401, "/mcp/1": 401, "/files": 200, "/other": 401 },
    nothing: { "/mcp": 401, "/mcp/1": 401, "/files": 401, "/other": 401 }
  }
  for (const [token, statuses] of Object.entries(expected)) {
    it.effect(token, () =>
      Effect.gen(function*() {
        const app = Layer.mergeAll(route("/mcp"), route("/mcp/1"), route("/files"), route("/other")).pipe(
          Layer.provide(OktaAuth.guard().layer),
          Layer.provide(Layer.merge(verifier, configLayer({ protectedPaths: ["/mcp", "/files"] })))
        )
        const context = yield* Layer.build(
          HttpRouter.serve(app, { disableListenLog: true, disableLogger: true }).pipe(
            Layer.provideMerge(NodeHttpServer.layer(() => createServer(), { port: 0, host: "127.0.0.1" }))
          )
        )
        const { address } = Context.get(context, HttpServer.HttpServer)
        assert(address._tag === "InetAddressV4")
        for (const [path, status] of Object.entries(statuses)) {
          const answer = yield* Effect.promise(() =>
            fetch(`http://127.0.0.1:${address.port}${path}`, { headers: { authorization: `Bearer ${token}` } })
          )
          assert.strictEqual(answer.status, status, path)
          if (status === 401) assert.include(answer.headers.get("www-authenticate"), "error=\"invalid_token\"")
        }
      }))
  }
})
