import { assert, describe, it, layer } from "@effect/vitest"
import { Effect, Layer } from "effect"
import { OktaAuth } from "effect-okta"
import { HttpRouter, HttpServerResponse } from "effect/http"
import { get as httpGet } from "node:http"
import { OktaTest } from "../../src/testing/OktaTest.ts"
import { dpopChallenge, dpopMetadata } from "../support/Proofs.ts"
import { type Asked, ownHeaders, serve, TestServer } from "./TestServer.ts"

const wellKnown = "/.well-known/oauth-protected-resource"

const cors = {
  "access-control-allow-origin": "*",
  "access-control-expose-headers": "WWW-Authenticate, DPoP-Nonce, Retry-After",
  "access-control-allow-methods": "GET, HEAD, OPTIONS",
  "access-control-allow-headers": "*"
}

const ok = Effect.succeed(HttpServerResponse.text("ok"))
const app = Layer.mergeAll(
  OktaAuth.routes,
  HttpRouter.add("*", "/mcp", ok).pipe(Layer.provide(OktaAuth.guard().layer)),
  HttpRouter.add("*", "/files", ok).pipe(Layer.provide(OktaAuth.guard().layer))
)

const shared = {
  authorization_servers: [OktaTest.issuer],
  scopes_supported: ["mcp:use", "files:read"],
  bearer_methods_supported: ["header"],
  ...dpopMetadata,
  resource_name: "Files of Acme"
}

const settings = {
  serverUrl: "https://mcp.example.com",
  protectedPaths: ["/mcp", "/api/v1"],
  resourceName: "Files of Acme",
  requiredScopes: "mcp:use",
  scopesSupported: ["mcp:use", "files:read", "offline_access"]
}

layer(TestServer.layer(app, settings))("the metadata of a server", (it) => {
  const places = [
    [wellKnown, "https://mcp.example.com"],
    [`${wellKnown}/mcp`, "https://mcp.example.com/mcp"],
    [`${wellKnown}/api/v1`, "https://mcp.example.com/api/v1"]
  ] as const

  for (const [place, resource] of places) {
    it.effect(`${place} is that of ${resource}`, () =>
      Effect.gen(function*() {
        const { ask } = yield* TestServer
        const answer = yield* ask(place)
        assert.strictEqual(answer.status, 200)
        assert.deepStrictEqual(JSON.parse(answer.body), { resource, ...shared })
        assert.deepStrictEqual(ownHeaders(answer), {
          ...cors,
          "content-type": "application/json",
          "cache-control": "public, max-age=300"
        })
        const withQuery = yield* ask(`${place}?x=1`, { headers: { authorization: "Bearer whatever" } })
        assert.strictEqual(withQuery.body, answer.body)
      }))

    it.effect(`${place}: HEAD, OPTIONS, and nothing else`, () =>
      Effect.gen(function*() {
        const { ask } = yield* TestServer
        const head = yield* ask(place, { method: "HEAD" })
        assert.deepStrictEqual([head.status, head.body, head.headers["content-type"]], [200, "", "application/json"])
        const options = yield* ask(place, { method: "OPTIONS" })
        assert.deepStrictEqual([options.status, options.body, ownHeaders(options)], [204, "", cors])
        for (const method of ["POST", "PUT", "PATCH", "DELETE", "QUERY"]) {
          const refused = yield* ask(place, { method })
          assert.deepStrictEqual([refused.status, refused.body, ownHeaders(refused)], [405, "", {
            ...cors,
            allow: "GET, HEAD, OPTIONS"
          }], method)
        }
      }))

    it.effect(`${place} is where the challenge on it points`, () =>
      Effect.gen(function*() {
        const { ask } = yield* TestServer
        const path = resource.slice("https://mcp.example.com".length) || "/files"
        const challenged = yield* ask(path)
        assert.strictEqual(challenged.status, 401)
        assert.include(challenged.headers["www-authenticate"], `resource_metadata="https://mcp.example.com${place}"`)
      }))
  }

  it.effect("is nowhere else", () =>
    Effect.gen(function*() {
      const { ask } = yield* TestServer
      for (const suffix of ["/other", "/mcp/other", "/mcpx", "/api", "/mcp%2Fother", "x"]) {
        assert.strictEqual((yield* ask(wellKnown + suffix)).status, 404, suffix)
      }
      for (const place of ["/mcp/.well-known/oauth-protected-resource", "/.well-known/openid-configuration"]) {
        assert.notStrictEqual((yield* ask(place)).status, 200, place)
      }
    }))
})

describe("the metadata", () => {
  const mcp = HttpRouter.add("*", "/services/mcp", ok).pipe(Layer.provide(OktaAuth.guard().layer))

  it.effect("of a server with a base path is below its path-inserted place", () =>
    Effect.gen(function*() {
      const { ask } = yield* serve(Layer.merge(OktaAuth.routes, mcp), {
        serverUrl: "https://example.com/services",
        protectedPaths: "/mcp"
      })
      const resourceAt = (place: string) =>
        Effect.map(ask(place), ({ body, status }) => [status, status === 200 ? JSON.parse(body).resource : undefined])
      assert.deepStrictEqual(yield* resourceAt(`${wellKnown}/services`), [200, "https://example.com/services"])
      assert.deepStrictEqual(yield* resourceAt(`${wellKnown}/services/mcp`), [200, "https://example.com/services/mcp"])
      assert.deepStrictEqual(yield* resourceAt(wellKnown), [200, "https://example.com/services"])
      assert.deepStrictEqual(yield* resourceAt(`${wellKnown}/mcp`), [404, undefined])
      const challenged = yield* ask("/services/mcp")
      assert.strictEqual(
        challenged.headers["www-authenticate"],
        `Bearer resource_metadata="https://example.com${wellKnown}/services/mcp"${dpopChallenge}`
      )
    }))

  it.effect("has an escaped colon and other unusual characters as they stand in the settings", () =>
    Effect.gen(function*() {
      const { ask } = yield* serve(OktaAuth.routes, {
        serverUrl: "https://mcp.example.com/a:b",
        protectedPaths: "/v1:mcp(x)"
      })
      const answer = yield* ask(`${wellKnown}/a:b/v1:mcp(x)`)
      assert.strictEqual(JSON.parse(answer.body).resource, "https://mcp.example.com/a:b/v1:mcp(x)")
      assert.strictEqual((yield* ask(`${wellKnown}/axb/v1:mcp(x)`)).status, 404)
    }))

  it.effect("names the required scopes when no others are given, but never offline_access", () =>
    Effect.gen(function*() {
      const { ask } = yield* serve(OktaAuth.routes, {
        serverUrl: "https://mcp.example.com",
        requiredScopes: ["mcp:use", "offline_access"]
      })
      assert.deepStrictEqual(JSON.parse((yield* ask(wellKnown)).body), {
        resource: "https://mcp.example.com",
        authorization_servers: [OktaTest.issuer],
        scopes_supported: ["mcp:use"],
        bearer_methods_supported: ["header"],
        ...dpopMetadata
      })
    }))

  it.effect("names no scopes and no name where there are none", () =>
    Effect.gen(function*() {
      const { ask } = yield* serve(OktaAuth.routes, {
        serverUrl: "https://mcp.example.com",
        scopesSupported: "offline_access"
      })
      assert.deepStrictEqual(Object.keys(JSON.parse((yield* ask(wellKnown)).body)), [
        "resource",
        "authorization_servers",
        "bearer_methods_supported",
        ...Object.keys(dpopMetadata)
      ])
    }))

  it.effect("does not exist without a serverUrl, nor does the challenge name any; a warning says so at the start", () =>
    Effect.gen(function*() {
      const { ask, logged } = yield* serve(app, { protectedPaths: "/mcp", requiredScopes: "mcp:use" })
      assert.strictEqual((yield* ask(wellKnown)).status, 404)
      assert.strictEqual((yield* ask(`${wellKnown}/mcp`)).status, 404)
      const challenged = yield* ask("/mcp")
      assert.strictEqual(challenged.status, 401)
      assert.strictEqual(challenged.headers["www-authenticate"], "Bearer scope=\"mcp:use\"")
      const warnings = logged.filter((line) => line.includes("level=WARN"))
      assert.lengthOf(warnings, 1)
      assert.include(warnings[0], "serverUrl (SERVER_URL) is not set")
    }))

  for (
    const [what, guarded] of [
      ["a guard", HttpRouter.add("*", "/mcp", ok).pipe(Layer.provide(OktaAuth.guard().layer))],
      ["two guards and the routes", Layer.merge(app, OktaAuth.routes)]
    ] as const
  ) {
    it.effect(`without a serverUrl is warned of once by ${what}`, () =>
      Effect.gen(function*() {
        const { logged } = yield* serve(guarded, {})
        assert.lengthOf(logged.filter((line) => line.includes("serverUrl (SERVER_URL) is not set")), 1)
      }))
  }

  it.effect("is served while Okta is away", () =>
    Effect.gen(function*() {
      const { ask, okta } = yield* serve(app, settings, { outage: "unreachable" })
      assert.strictEqual((yield* ask(`${wellKnown}/mcp`)).status, 200)
      yield* okta.restore
    }))

  const pointsTo = Effect.fnUntraced(
    function*(server: TestServer["Service"], path: string, resource: string, asked?: Asked) {
      const { headers, status } = yield* server.ask(path, asked)
      assert.deepStrictEqual(
        [status, headers["www-authenticate"]],
        [401, `Bearer resource_metadata="https://mcp.example.com${wellKnown}${resource}"${dpopChallenge}`],
        `${asked?.method ?? "GET"} ${path}`
      )
    }
  )
  const guarded = (method: "*" | "GET", path: HttpRouter.PathInput) =>
    HttpRouter.add(method, path, ok).pipe(Layer.provide(OktaAuth.guard().layer))

  for (const route of ["*", "/*"] as const) {
    it.effect(`of a request's own path is what the guard of the route ${route} names`, () =>
      Effect.gen(function*() {
        const server = yield* serve(guarded("*", route), {
          serverUrl: "https://mcp.example.com",
          protectedPaths: ["/mcp", "/a%20b"]
        })
        yield* pointsTo(server, "/mcp", "/mcp")
        yield* pointsTo(server, "//MCP/deep?x=/other", "/mcp")
        yield* pointsTo(server, "/a%20b", "/a%20b")
        yield* pointsTo(server, "/mcpx", "")
        yield* pointsTo(server, "/", "")
      }))
  }

  it.effect("is the same for every method of a path, with a parameter in its route or not", () =>
    Effect.gen(function*() {
      const server = yield* serve(Layer.merge(guarded("GET", "/tenants/:tenant"), OktaAuth.routes), {
        serverUrl: "https://mcp.example.com",
        protectedPaths: "/tenants/acme"
      })
      yield* pointsTo(server, "/tenants/acme", "/tenants/acme")
      yield* pointsTo(server, "/tenants/acme", "/tenants/acme", { method: "POST" })
      yield* pointsTo(server, "/tenants/other", "")
    }))

  it.effect("is that of the whole path where the router has a prefix", () =>
    Effect.gen(function*() {
      const behind = HttpRouter.use((router) => router.prefixed("/api").add("GET", "/mcp", ok)).pipe(
        Layer.provide(OktaAuth.guard().layer)
      )
      const server = yield* serve(Layer.merge(behind, OktaAuth.routes), {
        serverUrl: "https://mcp.example.com",
        protectedPaths: "/api/mcp"
      })
      yield* pointsTo(server, "/api/mcp", "/api/mcp")
      yield* pointsTo(server, "/api/mcp", "/api/mcp", { method: "POST" })
    }))

  it.effect("a request by an absolute URL is one by its path; one without a path is for the whole server", () =>
    Effect.gen(function*() {
      const { url } = yield* serve(guarded("*", "*"), { serverUrl: "https://mcp.example.com", protectedPaths: "/mcp" })
      for (const [path, resource] of [["http://any.example/mcp?x", "/mcp"], ["http://any.example", ""]] as const) {
        const challenge = yield* Effect.callback<string | undefined>((resume) => {
          httpGet(url, { path }, (answer) => {
            answer.resume()
            resume(Effect.succeed(answer.headers["www-authenticate"]))
          })
        })
        assert.strictEqual(
          challenge,
          `Bearer resource_metadata="https://mcp.example.com${wellKnown}${resource}"${dpopChallenge}`,
          path
        )
      }
    }))

  it.effect("a challenge without metadata and scopes is the bare scheme", () =>
    Effect.gen(function*() {
      const { ask } = yield* serve(app)
      assert.strictEqual((yield* ask("/mcp")).headers["www-authenticate"], "Bearer")
    }))
})
