import { assert, describe, it } from "@effect/vitest"
import { Effect, Layer } from "effect"
import { writeFileSync } from "node:fs"
import { webClient } from "../../../src/demo/StandInDirectory.ts"
import type { Endpoint } from "../../../src/demo/StandInMetadata.ts"
import * as MemoryStore from "../../../src/store/MemoryStore.ts"
import { Store, StoreUnavailable } from "../../../src/store/Store.ts"
import { rsa } from "../../proxy/grant/KeyRing.ts"
import type { Handler } from "../../support/StandInDoor.ts"
import { httpServer } from "../Serving.ts"
import { assertFine, assertSays, type Environment } from "./Patient.ts"
import { clientSecret, encryptionSecret, make, signingKeys } from "./ProxyPatient.ts"

const secrets = [clientSecret, encryptionSecret, JSON.parse(signingKeys).keys[0].d]

const assertSecret = (checks: unknown) => {
  for (const secret of secrets) {
    assert.isAtLeast(secret.length, 32)
    assert.notInclude(JSON.stringify(checks), secret)
    assert.notInclude(JSON.stringify(checks), Buffer.from(`${webClient.clientId}:${secret}`).toString("base64"))
  }
}

/** Sent back to the application with an error. */
const back = (error: string): Handler => (request, response) => {
  const to = new URL(new URL(request.url ?? "", "http://okta").searchParams.get("redirect_uri") ?? "")
  to.searchParams.set("error", error)
  response.writeHead(302, { location: to.href }).end()
}

const json = (status: number, body: unknown): Handler => (_, response) =>
  void response.writeHead(status, { "content-type": "application/json" }).end(JSON.stringify(body))

describe("effect-okta doctor, of proxy mode at Okta", () => {
  for (const kind of ["custom", "org"] as const) {
    it.live(`all in order, with ${kind === "org" ? "an org" : "a custom"} server`, () =>
      Effect.gen(function*() {
        const { doctor, okta } = yield* make({ kind })
        const checks = yield* doctor()
        assertFine(checks)
        assertSays(
          checks,
          "issuer",
          "ok",
          kind === "org" ? "Proxy mode works with it" : "Native and proxy mode both work with it."
        )
        assertSays(checks, "audience", "ok", "OKTA_AUDIENCE not set: not needed")
        assertSays(checks, "scopes", "ok", "Okta names all of them")
        assertSays(checks, "redirect-uri", "ok", "sent back with login_required", "this redirect URI is one of its own")
        assertSays(checks, "client-credentials", "ok", "invalid_grant", "Okta takes the credentials")
        assertSays(checks, "refresh-tokens", "ok", "The application may refresh")
        assertSays(checks, "signing-keys", "ok", "one signs (ES256)")
        assertSays(checks, "encryption-secret", "ok", "one, of 32 bytes or more")
        assertSays(checks, "store", "ok", "not there yet", "serve makes it at its first start")
        assert.strictEqual(yield* okta.requests("signin"), 0)
        assertSecret(checks)
      }))
  }

  for (
    const [what, application, environment, check, ...sentences] of [
      [
        "another redirect URI",
        { redirectUris: ["https://old.example.com/oauth/callback"] },
        {},
        "redirect-uri",
        "400, with a page about the redirect URI",
        "/oauth/callback, byte for byte.",
        "Sign-in redirect URIs; or mend SERVER_URL"
      ],
      [
        "an unknown client",
        {},
        { OKTA_CLIENT_ID: "0oaOfAnotherAccount7" },
        "redirect-uri",
        "400, with a page about the client id",
        "Okta knows no application with the client id 0oaOfAnotherAccount7",
        "Copy the Client ID from Applications"
      ],
      [
        "a wrong secret",
        {},
        { OKTA_CLIENT_SECRET: "canary-secret-of-another-application-000" },
        "client-credentials",
        "invalid_client",
        "Okta does not take OKTA_CLIENT_ID together with OKTA_CLIENT_SECRET.",
        "look whether that secret is still active"
      ],
      [
        "a key that Okta does not have",
        {},
        { OKTA_CLIENT_SECRET: undefined, OKTA_CLIENT_KEY: JSON.stringify({ ...rsa(), kid: "canary" }) },
        "client-credentials",
        "Okta does not take OKTA_CLIENT_ID together with OKTA_CLIENT_KEY.",
        "Give Okta the public half of OKTA_CLIENT_KEY"
      ],
      [
        "a key that cannot sign",
        {},
        { OKTA_CLIENT_SECRET: undefined, OKTA_CLIENT_KEY: JSON.stringify({ kty: "RSA", d: "canary", n: "canary" }) },
        "settings",
        "OKTA_CLIENT_KEY cannot sign."
      ],
      [
        "a scope that the server does not have",
        {},
        { OKTA_SCOPES: "openid offline_access files:read" },
        "redirect-uri",
        "sent back with invalid_scope",
        "Okta does not give all of the scopes openid offline_access files:read",
        "or leave them out of OKTA_SCOPES"
      ],
      [
        "keys that are no ring",
        {},
        { SIGNING_KEYS: JSON.stringify({ keys: [{ kty: "RSA", d: "canary" }] }) },
        "settings",
        "SIGNING_KEYS has a mistake: key 1",
        "Make keys with: npx effect-okta keys"
      ],
      [
        "a key of 1024 bits",
        {},
        { SIGNING_KEYS: JSON.stringify({ keys: [{ ...rsa(1024), kid: "short" }] }) },
        "settings",
        "SIGNING_KEYS has a mistake: key 1 has only 1024 bits."
      ],
      [
        "a secret that somebody made up",
        {},
        { ENCRYPTION_SECRET: "change me change me change me change me" },
        "encryption-secret",
        "it looks like one that a person made up",
        "Make one with: npx effect-okta keys"
      ],
      [
        "one such secret among several",
        {},
        { ENCRYPTION_SECRET: `${encryptionSecret},${"ab".repeat(20)}` },
        "encryption-secret",
        "secret 2 of 2 looks like one that a person made up"
      ],
      [
        "a folder that is not there",
        {},
        { SQLITE_FILE: "/nowhere/at/all/sign-ins.sqlite" },
        "store",
        "the folder /nowhere/at/all is not there, or cannot be written to",
        "Without it nobody can register, sign in or refresh.",
        "in a folder that exists"
      ]
    ] satisfies ReadonlyArray<
      readonly [string, Partial<typeof webClient>, Environment, check: string, ...sentences: Array<string>]
    >
  ) {
    it.live(what, () =>
      Effect.gen(function*() {
        const patient = yield* make({}, application)
        const checks = yield* patient.doctor({ environment })
        assertSays(checks, check, "failed", ...sentences)
        assert.notInclude(JSON.stringify(checks), "canary")
        assertSecret(checks)
      }))
  }

  for (
    const [what, endpoint, handler, check, outcome, ...sentences] of [
      [
        "an application without authorization codes",
        "authorize",
        back("unauthorized_client"),
        "redirect-uri",
        "failed",
        "may not sign people in with an authorization code",
        "Choose Authorization Code"
      ],
      [
        "no access policy",
        "authorize",
        back("access_denied"),
        "redirect-uri",
        "failed",
        "No access policy of the authorization server lets this application in."
      ],
      ["an error of another kind", "authorize", back("server_error"), "redirect-uri", "failed", "Reports, System Log"],
      [
        "a page of errors that says nothing",
        "authorize",
        (_, response) => void response.writeHead(400, { "content-type": "text/html" }).end("<p>Bad Request"),
        "redirect-uri",
        "failed",
        "Okta does not know the client id, or the redirect URI is none of the application's."
      ],
      [
        "a redirect to the sign-in",
        "authorize",
        (_, response) => void response.writeHead(302, { location: "/login/login.htm" }).end(),
        "redirect-uri",
        "ok",
        "a redirect to its sign-in"
      ],
      [
        "the sign-in page itself",
        "authorize",
        (_, response) => void response.writeHead(200, { "content-type": "text/html" }).end("<p>Sign in"),
        "redirect-uri",
        "ok",
        "200, its page for people"
      ],
      [
        "the rate limit at the sign-in",
        "authorize",
        (_, response) => void response.writeHead(429, { "retry-after": "9" }).end(),
        "redirect-uri",
        "failed",
        "Try again in 9 seconds"
      ],
      [
        "an application that may not exchange codes",
        "token",
        json(400, { error: "unauthorized_client" }),
        "client-credentials",
        "failed",
        "The application may not exchange an authorization code."
      ],
      [
        "an answer that tells nothing",
        "token",
        json(400, { error: "invalid_request" }),
        "client-credentials",
        "warning",
        "nothing is known about the credentials"
      ],
      [
        "trouble of the token endpoint",
        "token",
        json(503, {}),
        "client-credentials",
        "failed",
        "Okta has trouble of its own"
      ],
      [
        "an application without refresh tokens",
        "token",
        async (request, response, usual) => {
          const chunks: Array<Buffer> = []
          for await (const chunk of request) chunks.push(Buffer.from(chunk))
          const refreshes = Buffer.concat(chunks).toString().includes("grant_type=refresh_token")
          return json(400, { error: refreshes ? "unauthorized_client" : "invalid_grant" })(request, response, usual)
        },
        "refresh-tokens",
        "warning",
        "The application gets no refresh tokens.",
        "Choose Refresh Token"
      ]
    ] satisfies ReadonlyArray<
      readonly [string, Endpoint, Handler, check: string, "ok" | "warning" | "failed", ...sentences: Array<string>]
    >
  ) {
    it.live(what, () =>
      Effect.gen(function*() {
        const { doctor, okta } = yield* make()
        yield* okta.respond(endpoint, handler)
        assertSays(yield* doctor(), check, outcome, ...sentences)
      }))
  }

  it.live("offline_access is not asked for", () =>
    Effect.gen(function*() {
      const { doctor } = yield* make()
      assertSays(
        yield* doctor({ environment: { OKTA_SCOPES: "openid email" } }),
        "refresh-tokens",
        "warning",
        "offline_access is not asked for",
        "Add offline_access to OKTA_SCOPES"
      )
    }))

  it.live("a scope that Okta does not name, and gives all the same", () =>
    Effect.gen(function*() {
      const { doctor, okta } = yield* make()
      yield* okta.respond("authorize", back("login_required"))
      assertSays(
        yield* doctor({ environment: { OKTA_SCOPES: "openid offline_access files:read" } }),
        "scopes",
        "warning",
        "Okta does not name files:read",
        "or they are left out of its metadata"
      )
    }))

  it.live("the audience is what it has to be, or need not be", () =>
    Effect.gen(function*() {
      const custom = yield* make()
      const audience = (OKTA_AUDIENCE: string) => custom.doctor({ environment: { OKTA_AUDIENCE } })
      assertSays(yield* audience(webClient.clientId), "audience", "ok", "the client id", "It can be left out.")
      assertSays(yield* audience("api://default"), "audience", "ok", "compared at each sign-in")
      const org = yield* make({ kind: "org" })
      assertSays(
        yield* org.doctor({ environment: { OKTA_AUDIENCE: "api://default" } }),
        "audience",
        "skipped",
        "The access tokens of an org server are for Okta's own APIs"
      )
    }))
})

describe("effect-okta doctor, of the store", () => {
  it.live("a file that is there is used, and nothing is left in it", () =>
    Effect.gen(function*() {
      const { doctor, serve } = yield* make()
      yield* serve()
      assertSays(yield* doctor(), "store", "ok", "keeps what it is given")
    }))

  it.live("a file that is no database", () =>
    Effect.gen(function*() {
      const { doctor, environment } = yield* make()
      writeFileSync(environment.SQLITE_FILE, "x".repeat(4096))
      assertSays(yield* doctor(), "store", "failed", "Name a file on a local disk in SQLITE_FILE")
    }))

  it.live("another store, which is away", () =>
    Effect.gen(function*() {
      const { doctor } = yield* make()
      const away = Layer.effect(
        Store,
        Effect.gen(function*() {
          const fails = () => Effect.fail(new StoreUnavailable({ operation: "put", reason: "nobody listens" }))
          return { ...(yield* Store), put: fails }
        })
      ).pipe(Layer.provide(MemoryStore.layer))
      const checks = yield* doctor({ examination: { store: { tried: "the store", layer: away } } })
      assertSays(checks, "store", "failed", "the store: nobody listens", "Look at the store's own log")
    }))

  it.live("a Redis that is away, whose password is nobody's business", () =>
    Effect.gen(function*() {
      const { doctor } = yield* make()
      const { port } = new URL(yield* Effect.scoped(httpServer(() => {})))
      const checks = yield* doctor({
        environment: { SQLITE_FILE: undefined, REDIS_URL: `redis://ada:canary-password@127.0.0.1:${port}` }
      })
      assertSays(checks, "store", "failed", "REDIS_URL: ", "Without it nobody can register, sign in or refresh.")
      assert.notInclude(JSON.stringify(checks), "canary")
    }))

  it.live("secrets that serve keeps beside its database are looked at", () =>
    Effect.gen(function*() {
      const { doctor, serve } = yield* make()
      yield* serve({ ENCRYPTION_SECRET: "", SIGNING_KEYS: "" })
      const checks = yield* doctor({
        environment: { ENCRYPTION_SECRET: undefined, SIGNING_KEYS: undefined },
        examination: { server: true }
      })
      assertFine(checks)
      assertSays(checks, "signing-keys", "ok", "signs (ES256)")
      assertSays(checks, "encryption-secret", "ok", "one, of 32 bytes or more")
      assertSays(checks, "published-keys", "ok", "as it has to be")
    }))

  it.live("nothing is made: neither a file nor secrets", () =>
    Effect.gen(function*() {
      const { doctor, environment } = yield* make()
      const checks = yield* doctor({ environment: { ENCRYPTION_SECRET: undefined, SIGNING_KEYS: undefined } })
      assertSays(checks, "signing-keys", "skipped", "serve makes one and keeps it beside its database")
      assertSays(checks, "encryption-secret", "skipped", "not given")
      assertSays(checks, "store", "ok", `SQLITE_FILE ${environment.SQLITE_FILE}: not there yet`)
    }))
})
