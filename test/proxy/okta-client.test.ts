import { assert, describe, it } from "@effect/vitest"
import { Effect, Exit, Layer, Option, Redacted } from "effect"
import { FetchHttpClient } from "effect/http"
import { TestClock } from "effect/testing"
import { createHash, generateKeyPairSync } from "node:crypto"
import type { OktaOptions } from "../../src/config/OktaConfig.ts"
import { ada, type Client, uidOf, webClient } from "../../src/demo/StandInDirectory.ts"
import { sendJson } from "../../src/demo/StandInProvider.ts"
import { Discovery } from "../../src/provider/Discovery.ts"
import { Jwks } from "../../src/provider/Jwks.ts"
import { OktaHttp } from "../../src/provider/OktaHttp.ts"
import { OktaClient } from "../../src/proxy/OktaClient.ts"
import { Signature } from "../../src/token/Signature.ts"
import { OktaStandIn } from "../support/OktaStandIn.ts"
import { asTimePasses } from "./authorize/Scene.ts"
import { configLayer, now, serverUrl } from "./ProxyTest.ts"

const nonce = "nonce"
const codeVerifier = "v".repeat(43)
const codeChallenge = createHash("sha256").update(codeVerifier).digest("base64url")
const redirectUri = `${serverUrl}/oauth/callback`
const ourClient = { ...webClient, redirectUris: [redirectUri] }

const layerFor = (issuer: string, settings: Partial<OktaOptions>) =>
  OktaClient.layer.pipe(
    Layer.provideMerge(Jwks.layer),
    Layer.provide(Discovery.layer),
    Layer.provide(OktaHttp.layer),
    Layer.provide(Signature.layer),
    Layer.provide(configLayer({
      issuer,
      clientId: webClient.clientId,
      clientSecret: Redacted.make(webClient.clientSecret ?? ""),
      ...settings
    })),
    Layer.provide(FetchHttpClient.layer)
  )

/** Our client at a stand-in of Okta's. */
const start = Effect.fnUntraced(function*(
  { at = now * 1000, client = ourClient, kind = "custom", settings = {} }: {
    /** In milliseconds since 1970. */
    readonly at?: number
    readonly client?: Client
    readonly kind?: "custom" | "org"
    readonly settings?: Partial<OktaOptions>
  } = {}
) {
  yield* TestClock.setTime(at)
  const okta = yield* OktaStandIn.make({ clients: [client], kind })
  const services = yield* Layer.build(layerFor(okta.issuer, settings))
  const ours = yield* Effect.provide(OktaClient, services)
  yield* (yield* Effect.provide(Jwks, services)).ready
  const authorize = (more: { readonly prompt?: string; readonly maxAge?: number; readonly acrValues?: string } = {}) =>
    ours.authorizationUrl({ state: "state", nonce, codeChallenge, ...more })
  const code = Effect.gen(function*() {
    const back = yield* okta.authorize(yield* authorize())
    return Redacted.make(back.searchParams.get("code") ?? "")
  })
  const exchange = (code: Redacted.Redacted<string>) =>
    ours.exchange({ code, codeVerifier: Redacted.make(codeVerifier), nonce })
  return { okta, ours, authorize, code, exchange }
})

describe("a sign-in", () => {
  for (const kind of ["custom", "org"] as const) {
    it.effect(`tells who it is, at a server of the kind ${kind}`, () =>
      Effect.gen(function*() {
        const { code, exchange } = yield* start({ kind })
        const { authTime, tokens, user } = yield* exchange(yield* code)
        assert.strictEqual(user.subject, uidOf(ada))
        assert.deepInclude(user, { uid: uidOf(ada), username: ada.login, email: ada.login, scopes: [] })
        assert.notProperty(user, "clientId")
        assert.strictEqual(authTime, now)
        assert.strictEqual(tokens.expiresAt, now + 3600)
        assert.isDefined(tokens.refreshToken)
        assert.notInclude(JSON.stringify(tokens), Redacted.value(tokens.accessToken))
      }))
  }

  it.effect("asks Okta for our scopes, with what the caller adds", () =>
    Effect.gen(function*() {
      const { authorize } = yield* start({ settings: { scopes: ["groups"] } })
      const { searchParams } = new URL(
        yield* authorize({ prompt: "login", maxAge: 60, acrValues: "urn:okta:loa:2fa:any" })
      )
      assert.deepStrictEqual(Object.fromEntries(searchParams), {
        response_type: "code",
        client_id: webClient.clientId,
        redirect_uri: redirectUri,
        scope: "openid groups",
        state: "state",
        nonce,
        code_challenge: codeChallenge,
        code_challenge_method: "S256",
        prompt: "login",
        acr_values: "urn:okta:loa:2fa:any",
        max_age: "60"
      })
    }))

  it.effect("is refused by Okta when the code was used or the verifier is another", () =>
    Effect.gen(function*() {
      const { code, exchange, ours } = yield* start()
      const used = yield* code
      yield* exchange(used)
      const refused = yield* Effect.flip(exchange(used))
      assert(refused._tag === "OktaRefused")
      assert.strictEqual(refused.error, "invalid_grant")
      const other = Redacted.make("o".repeat(43))
      const wrong = yield* Effect.flip(ours.exchange({ code: yield* code, codeVerifier: other, nonce }))
      assert.strictEqual(wrong._tag, "OktaRefused")
    }))

  it.effect("is not believed with another nonce", () =>
    Effect.gen(function*() {
      const { code, ours } = yield* start()
      const exchange = { code: yield* code, codeVerifier: Redacted.make(codeVerifier), nonce: "another" }
      const refused = yield* Effect.flip(ours.exchange(exchange))
      assert(refused._tag === "OktaTokenRefused")
      assert.include(refused.message, "nonce")
    }))
})

describe("this server proves who it is", () => {
  for (
    const [name, pair] of [
      ["RSA", generateKeyPairSync("rsa", { modulusLength: 2048 })],
      ["EC", generateKeyPairSync("ec", { namedCurve: "P-256" })]
    ] as const
  ) {
    it.effect(`with a private ${name} key`, () =>
      Effect.gen(function*() {
        const { clientSecret: _, ...client } = ourClient
        const { code, exchange, ours } = yield* start({
          at: Date.now(), // the stand-in reads assertions by the machine's clock
          client: { ...client, jwks: { keys: [{ ...pair.publicKey.export({ format: "jwk" }), kid: "one" }] } },
          settings: {
            clientSecret: undefined,
            clientKey: Redacted.make(JSON.stringify({ ...pair.privateKey.export({ format: "jwk" }), kid: "one" }))
          }
        })
        const { tokens } = yield* exchange(yield* code)
        yield* ours.revoke(tokens.accessToken)
      }))
  }

  it.effect("with a secret that Okta does not know it is refused", () =>
    Effect.gen(function*() {
      const { code, exchange } = yield* start({ settings: { clientSecret: Redacted.make("old") } })
      const refused = yield* Effect.flip(exchange(yield* code))
      assert(refused._tag === "OktaRefused")
      assert.strictEqual(refused.error, "invalid_client")
      assert.include(refused.message, "OKTA_CLIENT_SECRET")
    }))

  it.effect("a key that cannot sign is a mistake in the settings", () =>
    Effect.gen(function*() {
      const keys = [{ kty: "RSA", d: "AA" }, { kty: "EC", crv: "P-256", d: "AA", x: "AA", y: "AA" }, {
        kty: "x",
        d: "x"
      }]
      for (const key of keys) {
        const settings = { clientSecret: undefined, clientKey: Redacted.make(JSON.stringify(key)) }
        const layer = layerFor("https://acme.okta.com", settings)
        const exit = yield* Effect.exit(Effect.scoped(Layer.build(layer)))
        assert.isTrue(Exit.isFailure(exit), JSON.stringify(key))
        assert.include(String(exit), "clientKey")
      }
    }))
})

describe("afterwards", () => {
  it.effect("a refresh tells who it is now, as long as Okta lets the person in", () =>
    Effect.gen(function*() {
      const { code, exchange, ours } = yield* start()
      const { tokens: { refreshToken } } = yield* exchange(yield* code)
      assert(refreshToken !== undefined)
      yield* TestClock.adjust("1 hour")
      const { tokens, user } = yield* ours.refresh(refreshToken, () => Effect.void)
      assert.strictEqual(user.subject, uidOf(ada))
      assert.strictEqual(tokens.expiresAt, now + 7200)
      yield* ours.revoke(refreshToken)
      const refused = yield* Effect.flip(ours.refresh(refreshToken, () => Effect.void))
      assert(refused._tag === "OktaRefused")
      assert.strictEqual(refused.error, "invalid_grant")
    }))

  it.effect("the person signs out at Okta", () =>
    Effect.gen(function*() {
      const { okta, ours } = yield* start()
      const url = new URL(Option.getOrThrow(
        yield* ours.endSessionUrl({ idTokenHint: Redacted.make("hint"), postLogoutRedirectUri: serverUrl, state: "s" })
      ))
      assert.strictEqual(url.origin + url.pathname, `${okta.issuer}/v1/logout`)
      assert.deepStrictEqual(Object.fromEntries(url.searchParams), {
        id_token_hint: "hint",
        post_logout_redirect_uri: serverUrl,
        state: "s"
      })
    }))
})

describe("Okta in trouble decides nothing, and is asked once", () => {
  const answers: ReadonlyArray<readonly [string, number, string, Record<string, string>?]> = [
    ["a server error", 500, "{\"error\":\"invalid_grant\"}"],
    ["one that is temporary", 400, "{\"error\":\"temporarily_unavailable\"}"],
    ["too many requests", 429, "{\"errorCode\":\"E0000047\"}", { "retry-after": "7" }],
    ["an API error", 403, "{\"errorCode\":\"E0000006\",\"errorSummary\":\"no\"}"],
    ["an error page", 400, "<html>"],
    ["a redirect", 302, "", { location: "https://evil.example.com/" }],
    ["nothing", 200, ""],
    ["something else", 200, "[]"],
    [
      "a token that lasts less than a second",
      200,
      "{\"access_token\":\"a\",\"token_type\":\"Bearer\",\"expires_in\":0.9}"
    ],
    ["a token of another type", 200, "{\"access_token\":\"a\",\"token_type\":\"DPoP\",\"expires_in\":3600}"],
    ["more than 64 KiB", 200, `"${"x".repeat(66_000)}"`]
  ]
  for (const [name, status, body, headers = {}] of answers) {
    it.effect(name, () =>
      Effect.gen(function*() {
        const { exchange, okta } = yield* start()
        yield* okta.respond("token", (_, response) => void response.writeHead(status, headers).end(body))
        const error = yield* Effect.flip(exchange(Redacted.make("code")))
        assert(error._tag === "OktaUnavailable", error._tag)
        assert.strictEqual(error.retryAfter, status === 429 ? 7000 : undefined)
        assert.strictEqual(yield* okta.requests("token"), 1)
      }))
  }

  it.effect("no complete answer within 3 seconds", () =>
    Effect.gen(function*() {
      const { exchange, okta } = yield* start()
      yield* okta.respond("token", (_, response) => void response.writeHead(200).write("{"))
      const error = yield* asTimePasses(Effect.flip(exchange(Redacted.make("code"))))
      assert(error._tag === "OktaUnavailable")
      assert.include(error.reason, "within 3s")
      assert.strictEqual(yield* okta.requests("token"), 1)
    }))

  it.effect("a revocation that was not done", () =>
    Effect.gen(function*() {
      const { okta, ours } = yield* start()
      yield* okta.respond("revoke", (_, response) => sendJson(response, 401, { error: "invalid_client" }))
      const error = yield* Effect.flip(ours.revoke(Redacted.make("token")))
      assert.strictEqual(error._tag, "OktaUnavailable")
    }))
})
