import { assert, describe, it } from "@effect/vitest"
import { Duration, Effect } from "effect"
import type { RequestListener } from "node:http"
import { ec } from "../../proxy/grant/KeyRing.ts"
import { httpServer } from "../Serving.ts"
import { assertFine, assertSays, lineOf } from "./Patient.ts"
import { issue, make } from "./ProxyPatient.ts"

const server = { examination: { server: true } }

describe("effect-okta doctor, of this server", () => {
  for (const kind of ["custom", "org"] as const) {
    it.live(`a running server in proxy mode, in order, before ${kind === "org" ? "an org" : "a custom"} server`, () =>
      Effect.gen(function*() {
        const { doctor, serve, serverUrl } = yield* make({ kind })
        yield* serve()
        const checks = yield* doctor(server)
        assertFine(checks)
        for (
          const path of [
            "/.well-known/oauth-protected-resource",
            "/.well-known/oauth-protected-resource/mcp",
            "/.well-known/oauth-authorization-server",
            "/.well-known/openid-configuration",
            "/.well-known/jwks.json"
          ]
        ) {
          assert.include(
            checks.filter(({ outcome }) => outcome === "ok").map(lineOf),
            `GET ${serverUrl}${path}: as it has to be |  | `
          )
        }
        assertSays(checks, "challenge", "ok", `POST ${serverUrl}/mcp without a token: 401, which names the metadata`)
        assertSays(checks, "server", "skipped", "a loopback address")
      }))
  }

  it.live("a running server below a base path, in order", () =>
    Effect.gen(function*() {
      const { doctor, serve, serverUrl } = yield* make({}, {}, "/base")
      yield* serve()
      const checks = yield* doctor(server)
      assertFine(checks)
      const tried = checks.map(({ tried }) => tried)
      const { origin } = new URL(serverUrl)
      for (
        const place of [
          "/.well-known/oauth-protected-resource",
          "/.well-known/oauth-protected-resource/base",
          "/.well-known/oauth-protected-resource/base/mcp",
          "/.well-known/oauth-authorization-server/base",
          "/base/.well-known/oauth-authorization-server",
          "/.well-known/openid-configuration/base",
          "/base/.well-known/openid-configuration",
          "/base/.well-known/jwks.json"
        ]
      ) assert.include(tried, `GET ${origin}${place}`)
    }))

  it.live("a running server in native mode, in order", () =>
    Effect.gen(function*() {
      const { doctor, okta, serve } = yield* make()
      const native = { OKTA_CLIENT_ID: "", OKTA_CLIENT_SECRET: "", ENCRYPTION_SECRET: "", SIGNING_KEYS: "" }
      yield* serve({ ...native, OKTA_AUDIENCE: okta.audience })
      const checks = yield* doctor({ ...server, environment: { ...native, OKTA_AUDIENCE: okta.audience } })
      assertFine(checks)
      assert.strictEqual(checks.filter(({ check }) => check === "resource-metadata").length, 2)
      assert.strictEqual(checks.filter(({ check }) => check === "server-metadata").length, 0)
    }))

  it.live("nobody listens, which is told once", () =>
    Effect.gen(function*() {
      const { doctor } = yield* make()
      const url = yield* Effect.scoped(httpServer(() => {}))
      const checks = yield* doctor({ ...server, environment: { SERVER_URL: url } })
      assertSays(
        checks,
        "server",
        "failed",
        `Nobody listens at ${new URL(url).host}.`,
        "Start the server",
        "--skip-server"
      )
      assert.strictEqual(checks.filter(({ check }) => check.endsWith("-metadata")).length, 0)
    }))

  it.live("no SERVER_URL in native mode", () =>
    Effect.gen(function*() {
      const { doctor, okta } = yield* make()
      const environment = {
        OKTA_CLIENT_ID: "",
        OKTA_CLIENT_SECRET: "",
        ENCRYPTION_SECRET: "",
        SIGNING_KEYS: "",
        SERVER_URL: "",
        OKTA_AUDIENCE: okta.audience
      }
      assertSays(
        yield* doctor({ ...server, environment }),
        "server",
        "skipped",
        "clients are not told where to sign in"
      )
    }))

  it.live("it was started with another SERVER_URL and another path", () =>
    Effect.gen(function*() {
      const { doctor, serve, serverUrl } = yield* make()
      yield* serve({ SERVER_URL: "http://localhost:8080" })
      const checks = yield* doctor({ examination: { server: true, options: { protectedPaths: "/tools" } } })
      assertSays(
        checks,
        "resource-metadata",
        "failed",
        "/.well-known/oauth-protected-resource: resource is \"http://localhost:8080\", and has to be",
        `"${serverUrl}"`,
        "Start the server with the same settings as this command, SERVER_URL and --path among them"
      )
      assertSays(checks, "resource-metadata", "failed", "/.well-known/oauth-protected-resource/tools: 404")
      assertSays(checks, "server-metadata", "failed", "issuer is \"http://localhost:8080\"")
      assertSays(checks, "challenge", "failed", "Nothing is served at this path.", "Compare --path")
    }))

  it.live("it signs with other keys", () =>
    Effect.gen(function*() {
      const { doctor, serve } = yield* make()
      yield* serve({ SIGNING_KEYS: JSON.stringify({ keys: [{ ...ec(), kid: "two" }] }) })
      assertSays(yield* doctor(server), "published-keys", "failed", "the key one of SIGNING_KEYS is missing")
    }))

  it.live("a token of its own is verified by the keys that it publishes, where SIGNING_KEYS is not at hand", () =>
    Effect.gen(function*() {
      const { doctor, okta, serve, serverUrl } = yield* make()
      const wrong = {
        environment: { SIGNING_KEYS: undefined },
        token: yield* issue({ issuer: okta.issuer, serverUrl }, `${serverUrl}/mcp`)
      }
      assertSays(yield* doctor(wrong), "token", "failed", "DiscoveryFailed")
      yield* serve()
      const checks = yield* doctor(wrong)
      assertSays(checks, "token", "ok", "good, of ada@example.com")
      assertSays(checks, "token.signature", "ok", "fits")
    }))

  it.live("the server behind it: there, in trouble, not there, silent", () =>
    Effect.gen(function*() {
      const { doctor } = yield* make()
      const of = (url: string) => doctor({ examination: { upstream: new URL(url), timeout: Duration.millis(300) } })
      const there = yield* httpServer(({ method, url }, response) =>
        void response.writeHead(method === "OPTIONS" && url === "/base" ? 405 : 500).end("no")
      )
      assertSays(yield* of(`${there}/base`), "upstream", "ok", `OPTIONS ${there}/base: it answers (405)`)
      const broken = yield* httpServer((_, response) => void response.writeHead(503).end())
      assertSays(yield* of(broken), "upstream", "warning", "503", "Look at its log.")
      const { port } = new URL(yield* Effect.scoped(httpServer(() => undefined)))
      assertSays(
        yield* of(`http://127.0.0.1:${port}`),
        "upstream",
        "failed",
        `Nobody listens at 127.0.0.1:${port}.`,
        "Start it, or mend --upstream."
      )
      const silent = yield* httpServer(() => undefined)
      assertSays(yield* of(silent), "upstream", "failed", "The upstream is too slow", "--timeout")
      assert.notInclude((yield* doctor({})).map(({ check }) => check), "upstream")
    }))

  // What a reverse proxy, or another server, answers at the public address.
  const elsewhere = (what: string, handler: RequestListener, check: string, ...sentences: ReadonlyArray<string>) =>
    it.live(what, () =>
      Effect.gen(function*() {
        const { answer, doctor } = yield* make()
        answer(yield* httpServer(handler))
        assertSays(yield* doctor(server), check, "failed", ...sentences)
      }))

  elsewhere(
    "the reverse proxy does not reach it",
    (_, response) => void response.writeHead(502).end(),
    "server-metadata",
    "502",
    "The reverse proxy does not reach the server behind it."
  )
  elsewhere(
    "the reverse proxy leads elsewhere",
    (_, response) => void response.writeHead(301, { location: "https://www.example.com/?canary" }).end(),
    "resource-metadata",
    "a redirect to https://www.example.com/",
    "Set SERVER_URL to the address that people use in the end"
  )
  elsewhere(
    "the reverse proxy asks for a login of its own",
    (_, response) => void response.writeHead(200, { "content-type": "text/html" }).end("<p>Log in"),
    "resource-metadata",
    "200, a web page",
    "Somebody else answers at SERVER_URL"
  )
  elsewhere(
    "the protected path is open to everybody",
    (_, response) => void response.writeHead(200, { "content-type": "application/json" }).end("{}"),
    "challenge",
    "200, without a challenge",
    "This path answers anybody, with or without a token.",
    "Guard its routes with OktaAuth.guard"
  )
  elsewhere(
    "another server's challenge",
    (_, response) => void response.writeHead(401, { "www-authenticate": "Basic realm=\"staging\"" }).end(),
    "challenge",
    "401, which names no metadata",
    "let the reverse proxy leave WWW-Authenticate as it is"
  )
  elsewhere(
    "a challenge that leads elsewhere",
    (_, response) =>
      void response.writeHead(401, { "www-authenticate": "Bearer resource_metadata=\"https://old.example/x\"" }).end(),
    "challenge",
    "401, which names https://old.example/x",
    "Start the server with the same SERVER_URL and --path"
  )
  elsewhere(
    "a path that turns everybody away",
    (_, response) => void response.writeHead(403).end(),
    "challenge",
    "403",
    "Clients wait for 401 to learn where to sign in."
  )

  // The running server, with one thing taken away on the way.
  const without = (header: string) =>
    Effect.gen(function*() {
      const { answer, doctor, serverUrl, ...patient } = yield* make()
      yield* patient.serve()
      const actual = patient.behind()
      const through = yield* httpServer(async (request, response) => {
        const chunks: Array<Buffer> = []
        for await (const chunk of request) chunks.push(Buffer.from(chunk))
        const { "content-length": _, host: __, ...headers } = request.headers
        const answered = await fetch(new URL(request.url ?? "", actual), {
          method: request.method ?? "GET",
          headers: Object.entries(headers).map(([name, value]): [string, string] => [name, String(value)]).filter(
            ([name]) => !["connection", "transfer-encoding"].includes(name)
          ),
          ...(chunks.length === 0 ? undefined : { body: Buffer.concat(chunks) })
        })
        const kept = [...answered.headers].filter(([name]) => name !== header && name !== "transfer-encoding")
        response.writeHead(answered.status, Object.fromEntries(kept)).end(Buffer.from(await answered.arrayBuffer()))
      })
      answer(through)
      return { checks: yield* doctor(server), serverUrl }
    })

  it.live("without Access-Control-Allow-Origin", () =>
    Effect.gen(function*() {
      const { checks } = yield* without("access-control-allow-origin")
      assertSays(
        checks,
        "resource-metadata",
        "failed",
        "access-control-allow-origin is missing",
        "Clients in a browser cannot read it."
      )
    }))

  it.live("without Access-Control-Expose-Headers", () =>
    Effect.gen(function*() {
      const { checks, serverUrl } = yield* without("access-control-expose-headers")
      assertSays(
        checks,
        "challenge",
        "failed",
        `${serverUrl}/mcp without a token: 401, with headers that browsers keep to themselves`
      )
    }))
})
