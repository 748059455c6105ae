import { assert, describe, it } from "@effect/vitest"
import { Effect, Layer } from "effect"
import { FetchHttpClient, HttpClient, HttpClientResponse } from "effect/http"
import type { RequestListener } from "node:http"
import { serviceClient, webClient } from "../../../src/demo/StandInDirectory.ts"
import { make as makeFaulty } from "../../support/FaultyOkta.ts"
import { OktaStandIn } from "../../support/OktaStandIn.ts"
import { httpServer } from "../Serving.ts"
import { assertFine, assertSays, doctor, type Environment, lineOf } from "./Patient.ts"
import { make } from "./ProxyPatient.ts"

const client = FetchHttpClient.layer

const asking = {
  OKTA_INTROSPECTION: "recheck",
  OKTA_INTROSPECTION_CLIENT_ID: serviceClient.clientId,
  OKTA_INTROSPECTION_CLIENT_SECRET: serviceClient.clientSecret ?? ""
}

/** What is said of a server in native mode before a stand-in of this kind. */
const native = Effect.fnUntraced(function*(environment: Environment, kind: "custom" | "org" = "custom") {
  const okta = yield* OktaStandIn.make({ kind })
  const settings = { OKTA_ISSUER: okta.issuer, OKTA_AUDIENCE: okta.audience, ...environment }
  return { okta, checks: yield* doctor({ client, environment: settings }) }
})

describe("effect-okta doctor, of questions about tokens", () => {
  it.live("Okta answers, and nothing is wrong", () =>
    Effect.gen(function*() {
      const { checks, okta } = yield* native(asking)
      assertFine(checks)
      assertSays(checks, "introspection", "ok", "OKTA_INTROSPECTION_CLIENT_SECRET and a made-up token: 200, not active")
      assert.strictEqual(yield* okta.requests("introspect"), 1)
      assert.notInclude(checks.map(lineOf).join(), asking.OKTA_INTROSPECTION_CLIENT_SECRET)
    }))

  it.live("nothing is asked where it is not set", () =>
    Effect.gen(function*() {
      const { checks, okta } = yield* native({})
      assert.notInclude(checks.map(({ check }) => check), "introspection")
      assert.strictEqual(yield* okta.requests("introspect"), 0)
    }))

  it.live("another secret than the application's", () =>
    Effect.gen(function*() {
      const { checks } = yield* native({ ...asking, OKTA_INTROSPECTION_CLIENT_SECRET: "canary" })
      assertSays(
        checks,
        "introspection",
        "failed",
        "invalid_client",
        "Okta does not take OKTA_INTROSPECTION_CLIENT_ID together with OKTA_INTROSPECTION_CLIENT_SECRET",
        "Copy both from Applications"
      )
      assert.notInclude(checks.map(lineOf).join(), "canary")
    }))

  it.live("a key that cannot sign, by its variable", () =>
    Effect.gen(function*() {
      const { checks } = yield* native({
        ...asking,
        OKTA_INTROSPECTION_CLIENT_SECRET: "",
        OKTA_INTROSPECTION_CLIENT_KEY: "{\"kty\":\"EC\",\"d\":\"canary\"}"
      })
      assertSays(checks, "settings", "failed", "OKTA_INTROSPECTION_CLIENT_KEY cannot sign.")
    }))

  it.live("Okta is away, or cannot be asked at all", () =>
    Effect.gen(function*() {
      const okta = yield* OktaStandIn.make()
      yield* okta.respond("introspect", (_, response) => void response.writeHead(503).end())
      const environment = { OKTA_ISSUER: okta.issuer, OKTA_AUDIENCE: okta.audience, ...asking }
      assertSays(
        yield* doctor({ client, environment }),
        "introspection",
        "failed",
        "503",
        "Okta has trouble of its own"
      )

      const faulty = yield* makeFaulty({})
      const others = { OKTA_ISSUER: faulty.issuer, OKTA_AUDIENCE: "api://default", ...asking }
      const checks = yield* doctor({ client, environment: others })
      assertSays(
        checks,
        "introspection",
        "failed",
        "it names no introspection_endpoint",
        "take OKTA_INTROSPECTION away"
      )
      assert.isFalse(checks.some(({ check, tried }) => check === "capabilities" && tried.startsWith("introspection")))
      faulty.metadata = { issuer: "https://old.example" }
      assertSays(yield* doctor({ client, environment: others }), "introspection", "skipped", "metadata is needed first")
    }))

  it.live("only: an org server and its own address as audience are in order, and another audience never matches", () =>
    Effect.gen(function*() {
      const only = { ...asking, OKTA_INTROSPECTION: "only" }
      const { checks } = yield* native(only, "org")
      assertFine(checks)
      assertSays(checks, "issuer", "ok", "Okta is asked about each")
      const wrong = yield* native({ ...only, OKTA_AUDIENCE: "api://default" }, "org")
      assertSays(wrong.checks, "audience", "failed", "can never match", `Set OKTA_AUDIENCE to ${wrong.okta.issuer}`)
      const recheck = yield* native(asking, "org")
      assertSays(recheck.checks, "issuer", "failed", "OKTA_INTROSPECTION=only")
    }))
})

describe("effect-okta doctor, of step-up", () => {
  it.live("demanded where Okta lists no acr_values, or by what is none", () =>
    Effect.gen(function*() {
      const okta = yield* makeFaulty({})
      const environment = { OKTA_ISSUER: okta.issuer, OKTA_AUDIENCE: "api://default", REQUIRED_ACR: "phr" }
      assertSays(yield* doctor({ client, environment }), "capabilities", "warning", "step-up, by acr_values_supported")
      const wrong = yield* doctor({ client, environment: { ...environment, REQUIRED_ACR: "\"", OKTA_AUDIENCE: "" } })
      assertSays(wrong, "settings", "failed", "REQUIRED_ACR is no acr value.")
      assertSays(wrong, "settings", "failed", "OKTA_AUDIENCE is missing.")
    }))
})

describe("effect-okta doctor, of bound tokens", () => {
  it.live("required where Okta binds none", () =>
    Effect.gen(function*() {
      const okta = yield* makeFaulty({})
      const environment = {
        OKTA_ISSUER: okta.issuer,
        OKTA_AUDIENCE: "api://default",
        SERVER_URL: "https://mcp.example.com",
        DPOP: "require"
      }
      const checks = yield* doctor({ client, environment })
      assertSays(checks, "capabilities", "warning", "DPoP, by dpop_signing_alg_values_supported", "Set DPOP to accept")
    }))
})

describe("effect-okta doctor, of leaving", () => {
  it.live("the endpoints at which Okta signs people out are there", () =>
    Effect.gen(function*() {
      const { doctor, serve, serverUrl } = yield* make()
      yield* serve()
      const checks = yield* doctor({ examination: { server: true } })
      assertFine(checks)
      assertSays(
        checks,
        "universal-logout",
        "ok",
        `POST ${serverUrl}/oauth/global-token-revocation without a token: 401, as it has to be`,
        "this address is the Global token revocation endpoint"
      )
      assertSays(
        checks,
        "backchannel-logout",
        "ok",
        `POST ${serverUrl}/oauth/backchannel-logout without a token: 400, as it has to be`
      )
    }))

  const hidden = (what: string, handler: RequestListener, ...sentences: ReadonlyArray<string>) =>
    it.live(what, () =>
      Effect.gen(function*() {
        const { answer, doctor } = yield* make()
        answer(yield* httpServer(handler))
        const checks = yield* doctor({ examination: { server: true } })
        assertSays(checks, "universal-logout", "failed", ...sentences)
        assertSays(checks, "backchannel-logout", "failed", ...sentences)
      }))
  const login: RequestListener = (_, response) =>
    void response.writeHead(401, { "www-authenticate": "Basic" }).end("{}")
  hidden("a reverse proxy that asks for a login before them", login, "401", "ask for no login of its own")
  hidden(
    "a reverse proxy that does not hand them on",
    (_, response) => void response.writeHead(404).end(),
    "404",
    "Let the reverse proxy hand on /oauth/"
  )
  hidden(
    "another server that says yes",
    (_, response) => void response.writeHead(200).end("{}"),
    "200",
    "Somebody else answers"
  )

  const serverUrl = "https://mcp.example.com"
  const proxy = {
    OKTA_CLIENT_ID: webClient.clientId,
    OKTA_CLIENT_SECRET: webClient.clientSecret,
    SERVER_URL: "http://127.0.0.1:8080"
  }

  it.live("before an org server its own keys sign it; a custom one that stands alone signs it alone", () =>
    Effect.gen(function*() {
      const org = yield* OktaStandIn.make({ kind: "org" })
      const checks = yield* doctor({ client, environment: { ...proxy, OKTA_ISSUER: org.issuer } })
      assertSays(checks, "universal-logout", "ok", `${org.issuer}: the issuer, whose keys are above, signs it`)
      const custom = yield* OktaStandIn.make()
      const others = yield* doctor({ client, environment: { ...proxy, OKTA_ISSUER: custom.issuer } })
      assertSays(others, "universal-logout", "skipped", "404", `${custom.issuer} alone may sign it`)
      const away = yield* makeFaulty({ org: true })
      away.metadata = { issuer: serverUrl }
      const none = yield* doctor({ client, environment: { ...proxy, OKTA_ISSUER: away.issuer } })
      assert.notInclude(none.map(({ check }) => check), "universal-logout")
    }))

  it.live("before a custom server the organization's keys are needed as well", () =>
    Effect.gen(function*() {
      const custom = yield* OktaStandIn.make()
      const { origin } = new URL(custom.issuer)
      const answers = (keys: number) =>
        Layer.effect(
          HttpClient.HttpClient,
          Effect.map(HttpClient.HttpClient, (through) =>
            HttpClient.make((request, url) => {
              const isOrg = url.pathname.startsWith("/.well-known/") || url.pathname === "/org/keys"
              return isOrg
                ? Effect.promise(async () => {
                  const published = await (await fetch(`${custom.issuer}/v1/keys`)).text()
                  const metadata = JSON.stringify({ issuer: origin, jwks_uri: `${origin}/org/keys` })
                  return HttpClientResponse.fromWeb(
                    request,
                    url.pathname === "/org/keys"
                      ? new Response(published, { status: keys })
                      : new Response(metadata)
                  )
                })
                : through.execute(request)
            }))
        ).pipe(Layer.provide(FetchHttpClient.layer))
      const environment = { ...proxy, OKTA_ISSUER: custom.issuer }
      assertSays(
        yield* doctor({ client: answers(200), environment }),
        "universal-logout",
        "ok",
        `${origin}: the organization's keys, beside those of the issuer`
      )
      assertSays(
        yield* doctor({ client: answers(403), environment }),
        "universal-logout",
        "warning",
        `GET ${origin}/org/keys: 403`,
        "such requests are answered with 503",
        "Let this machine reach that address"
      )
    }))
})
