import { assert, describe, it } from "@effect/vitest"
import { Effect, Fiber, Layer, Redacted } from "effect"
import { FetchHttpClient } from "effect/http"
import { TestClock } from "effect/testing"
import fc from "fast-check"
import { serviceClient } from "../../src/demo/StandInDirectory.ts"
import * as OktaAuth from "../../src/OktaAuth.ts"
import { answering, make, type Options, undecided } from "../support/NativeScene.ts"
import { asTimePasses } from "../support/ProxyScene.ts"
import { assertHidden } from "../support/Watch.ts"

const credentials = {
  clientId: serviceClient.clientId,
  clientSecret: Redacted.make(serviceClient.clientSecret ?? "")
}

const recheck = { introspection: { mode: "recheck" as const, ...credentials } }
const only = { introspection: { mode: "only" as const, ...credentials } }
const modes = [["recheck", recheck], ["only", only]] as const

const revoke = (origin: string, issuer: string, token: string, clientId: string) =>
  Effect.promise(() =>
    fetch(`${issuer === origin ? `${issuer}/oauth2` : issuer}/v1/revoke`, {
      method: "POST",
      body: new URLSearchParams({ token, client_id: clientId })
    })
  )

const redirectUri = "http://127.0.0.1:45678/callback"

describe("a server that asks Okta about tokens", () => {
  it.effect("accepts an org server's access token, which nobody but Okta can verify", () =>
    Effect.gen(function*() {
      const { okta, serve } = yield* make({ kind: "org" })
      const { accessToken } = yield* okta.signIn({ redirectUri, scopes: ["openid", "profile", "email"] })
      assert.strictEqual((yield* (yield* serve()).ask(accessToken)).status, 401)
      const server = yield* serve(only)
      const { body, status } = yield* server.ask(accessToken)
      assert.strictEqual(status, 200)
      assert.deepInclude(body, {
        _tag: "User",
        subject: "ada@example.com",
        username: "ada@example.com",
        scopes: ["openid", "profile", "email"],
        clientId: okta.clients[0]?.clientId
      })
    }))

  it.effect.each(modes)(
    "refuses a revoked token within a minute, and asks no more often than that (%s)",
    ([, options]) =>
      Effect.gen(function*() {
        const { okta, serve, watch } = yield* make()
        const server = yield* serve(options)
        const { accessToken } = yield* okta.signIn({ redirectUri })
        const asked = () => okta.requests("introspect")
        for (let turn = 0; turn < 3; turn++) assert.strictEqual((yield* server.ask(accessToken)).status, 200)
        assert.strictEqual(yield* asked(), 1)
        yield* TestClock.adjust("59 seconds")
        assert.strictEqual((yield* server.ask(accessToken)).status, 200)
        assert.strictEqual(yield* asked(), 1)
        yield* revoke(okta.origin, okta.issuer, accessToken, okta.clients[0]?.clientId ?? "")
        yield* TestClock.adjust("1 second")
        const refused = yield* server.ask(accessToken)
        assert.strictEqual(refused.status, 401)
        assert.include(refused.headers.get("www-authenticate"), "error=\"invalid_token\"")
        assert.include(watch.text, "TokenInactive")
        // Failures are not remembered: Okta may have been wrong, and is asked again.
        yield* server.ask(accessToken)
        assert.strictEqual(yield* asked(), 3)
        assert.isTrue(watch.spans.some(({ name }) => name === "okta.upstream.introspect"))
        assertHidden(watch.text, [accessToken, serviceClient.clientSecret ?? ""])
      })
  )

  it.effect.each(modes)("asks once for many requests at a time (%s)", ([, options]) =>
    Effect.gen(function*() {
      const { okta, serve } = yield* make()
      const server = yield* serve(options)
      const token = (yield* okta.signIn({ redirectUri })).accessToken
      let answer = () => {}
      yield* okta.respond("introspect", (_, __, usual) => new Promise((done) => answer = () => done(usual())))
      const many = yield* Effect.forkChild(
        Effect.all(Array.from({ length: 20 }, () => server.ask(token)), { concurrency: "unbounded" })
      )
      while ((yield* okta.requests("introspect")) === 0) yield* Effect.promise(() => new Promise(setImmediate))
      answer()
      const answers = yield* Fiber.join(many)
      assert.deepStrictEqual(answers.map(({ status }) => status), answers.map(() => 200))
      assert.strictEqual(yield* okta.requests("introspect"), 1)
    }))

  for (const [mode, options] of modes) {
    it.effect.each(undecided)(
      `is not available while Okta %s, and never blames the token (${mode})`,
      ([, handler]) =>
        Effect.gen(function*() {
          const { okta, serve } = yield* make()
          const server = yield* serve(options)
          const { accessToken } = yield* okta.signIn({ redirectUri })
          yield* okta.respond("introspect", handler)
          const away = yield* asTimePasses(server.ask(accessToken))
          assert.deepInclude(away.body, { error: "temporarily_unavailable" })
          assert.strictEqual(away.status, 503)
          assert.isNotNull(away.headers.get("retry-after"))
          assert.isNull(away.headers.get("www-authenticate"))
          yield* okta.lift
          yield* TestClock.adjust("7 seconds")
          assert.strictEqual((yield* server.ask(accessToken)).status, 200)
        })
    )
  }

  it.effect("is not available where its own credentials are wrong", () =>
    Effect.gen(function*() {
      const { okta, serve, watch } = yield* make()
      const { accessToken } = yield* okta.signIn({ redirectUri })
      const wrong = { mode: "recheck", ...credentials, clientSecret: Redacted.make("wrong") } as const
      const server = yield* serve({ introspection: wrong })
      assert.strictEqual((yield* server.ask(accessToken)).status, 503)
      assert.include(watch.text, "invalid_client")
    }))

  const lies: ReadonlyArray<readonly [what: string, members: Readonly<Record<string, unknown>>, status: number]> = [
    ["another issuer", { iss: "https://evil.example.com" }, 401],
    ["another audience", { aud: "api://other" }, 401],
    ["a client that may not", { client_id: "0oaOther" }, 401],
    ["a time that is over", { exp: 1 }, 401],
    ["a time that has not come", { nbf: 4_000_000_000 }, 401],
    ["a time that is none", { exp: "tomorrow" }, 503],
    ["text for active", { active: "true" }, 503],
    ["nothing of the kind", { active: undefined }, 503]
  ]
  for (const [mode, options] of modes) {
    it.effect.each(lies)(
      `holds Okta's answer against the settings: %s (${mode})`,
      ([, members, status]) =>
        Effect.gen(function*() {
          const { okta, serve } = yield* make()
          const server = yield* serve({ ...options, allowedClients: okta.clients[0]?.clientId ?? "" })
          const { accessToken } = yield* okta.signIn({ redirectUri })
          const { scp, ...claims } = JSON.parse(Buffer.from(accessToken.split(".")[1] ?? "", "base64url").toString())
          const good = { active: true, token_type: "Bearer", scope: scp.join(" "), client_id: claims.cid, ...claims }
          yield* okta.respond("introspect", answering(200, JSON.stringify({ ...good, ...members })))
          assert.strictEqual((yield* server.ask(accessToken)).status, status)
          yield* okta.respond("introspect", answering(200, JSON.stringify(good)))
          assert.strictEqual((yield* server.ask(accessToken)).status, 200)
        })
    )
  }

  it.effect("takes a token that is bound to a key by its proof only, wherever that is said", () =>
    Effect.gen(function*() {
      const { okta, serve } = yield* make()
      const server = yield* serve(only)
      const { accessToken } = yield* okta.signIn({ redirectUri })
      const { scp, ...claims } = JSON.parse(Buffer.from(accessToken.split(".")[1] ?? "", "base64url").toString())
      const good = { active: true, token_type: "Bearer", scope: scp.join(" "), client_id: claims.cid, ...claims }
      const binding = { cnf: { jkt: "x".repeat(43) } }
      const says = (answer: object) => okta.respond("introspect", answering(200, JSON.stringify(answer)))
      const bound = yield* okta.mint(binding)
      for (
        const [answer, token, status] of [
          [good, accessToken, 200],
          [{ ...good, ...binding, jti: "a" }, `${accessToken}a`, 401],
          [{ ...good, ...binding, token_type: "DPoP", jti: "b" }, `${accessToken}b`, 401],
          [{ ...good, token_type: "DPoP", jti: "c" }, `${accessToken}c`, 503],
          [good, bound, 401]
        ] as const
      ) {
        yield* says(answer)
        assert.strictEqual((yield* server.ask(token)).status, status, token.slice(-1))
      }
    }))

  it.effect.each(modes)(
    "warns once a minute that Okta cannot be asked, and says when it can again (%s)",
    ([, options]) =>
      Effect.gen(function*() {
        const { okta, serve, watch } = yield* make()
        const server = yield* serve(options)
        const { accessToken } = yield* okta.signIn({ redirectUri })
        const logged = (level: string, words: string) =>
          watch.lines.filter((line) =>
            line.startsWith("{") && line.includes(`"level":"${level}"`) && line.includes(words)
          ).length
        const warnings = () => logged("WARN", "could not be asked about a token")
        const returns = () => logged("INFO", "available again")
        // One that is refused is no outage.
        yield* okta.respond("introspect", answering(200, "{\"active\":false}"))
        for (let turn = 0; turn < 3; turn++) assert.strictEqual((yield* server.ask(accessToken)).status, 401)
        assert.strictEqual(warnings(), 0)
        for (let outage = 1; outage <= 2; outage++) {
          yield* okta.respond("introspect", answering(500, "{}"))
          for (let turn = 0; turn < 10; turn++) assert.strictEqual((yield* server.ask(accessToken)).status, 503)
          assert.strictEqual(warnings(), 2 * outage - 1)
          yield* TestClock.adjust("1 minute")
          for (let turn = 0; turn < 10; turn++) assert.strictEqual((yield* server.ask(accessToken)).status, 503)
          assert.strictEqual(warnings(), 2 * outage)
          assert.strictEqual(returns(), outage - 1)
          yield* okta.lift
          for (let turn = 0; turn < 3; turn++) assert.strictEqual((yield* server.ask(accessToken)).status, 200)
          assert.strictEqual(returns(), outage)
          yield* TestClock.adjust("2 minutes")
        }
        assert.strictEqual(logged("INFO", "could not be asked about a token"), 0)
        assertHidden(watch.text, [accessToken])
      })
  )

  it.effect("takes an answer about another token for none", () =>
    Effect.gen(function*() {
      const { okta, serve } = yield* make()
      const server = yield* serve(recheck)
      const { accessToken } = yield* okta.signIn({ redirectUri })
      yield* okta.respond("introspect", answering(200, JSON.stringify({ active: true, jti: "AT.another" })))
      assert.strictEqual((yield* server.ask(accessToken)).status, 503)
    }))

  it.effect("takes no refresh token and no ID token for an access token, active though they are", () =>
    Effect.gen(function*() {
      const { okta, serve } = yield* make()
      const server = yield* serve(only)
      const { idToken = "", refreshToken = "" } = yield* okta.signIn({ redirectUri })
      for (const token of [idToken, refreshToken]) assert.strictEqual((yield* server.ask(token)).status, 401)
      const told = { active: true, iss: okta.issuer, aud: okta.audience, sub: "x", exp: 4_000_000_000, iat: 1 }
      yield* okta.respond("introspect", answering(200, JSON.stringify(told)))
      assert.strictEqual((yield* server.ask(refreshToken)).status, 401)
    }))

  it.effect("asks Okta nothing about text that is no token", () =>
    Effect.gen(function*() {
      const { okta, serve } = yield* make()
      const server = yield* serve({ ...only, maxTokenLength: 300 })
      for (const text of ["x".repeat(301), "a\"b", "a,b", "ä", "=a"]) {
        assert.isAtLeast((yield* server.ask(encodeURI(text) === text ? text : "a%b")).status, 400)
      }
      assert.strictEqual(yield* okta.requests("introspect"), 0)
    }))

  it.effect("accepts nothing of what is made up in Okta's place", () =>
    Effect.gen(function*() {
      const { okta, serve } = yield* make()
      const server = yield* serve(only)
      const { accessToken } = yield* okta.signIn({ redirectUri })
      const bodies = fc.sample(
        fc.oneof(
          fc.json(),
          fc.record({ active: fc.constantFrom(true, "true", 1, null), token_type: fc.string(), scope: fc.string() })
            .map((answer) => JSON.stringify(answer)),
          fc.record({ active: fc.constant(true), token_type: fc.constant("Bearer"), scope: fc.constant("openid") })
            .chain(
              (answer) =>
                fc.record({
                  iss: fc.constantFrom(okta.issuer, "x", 1),
                  aud: fc.constantFrom(undefined, "x", [], [1]),
                  sub: fc.constantFrom("x", "", 1),
                  exp: fc.constantFrom(1, 1.5, "x", 4_000_000_000),
                  iat: fc.constantFrom(1, "x", undefined)
                }).map((more) => JSON.stringify({ ...answer, ...more }))
            ),
          fc.string()
        ),
        60
      )
      for (const body of bodies) {
        yield* okta.respond("introspect", answering(200, body))
        const { status } = yield* server.ask(accessToken)
        assert.include([401, 503], status, body)
      }
    }))

  it.effect("says at the start where it cannot be done", () =>
    Effect.gen(function*() {
      const { okta, serve } = yield* make()
      const trouble = (options: Options) =>
        Effect.map(Effect.flip(Effect.scoped(serve(options))), (error) => String(error))
      assert.include(yield* trouble({ ...recheck, accept: "id-token" }), "introspection is given with accept")
      const several = OktaAuth.layer({ ...recheck, issuers: [{ issuer: okta.issuer, audience: okta.audience }] })
      const error = yield* Effect.flip(Effect.scoped(Layer.build(Layer.provide(several, FetchHttpClient.layer))))
      assert.include(String(error), "introspection is given beside issuers")
      for (
        const [given, words] of [
          [{ clientSecret: undefined }, "clientSecret is missing"],
          [
            { clientKey: Redacted.make("{}") },
            "introspection.clientKey (<redacted>) is given beside introspection.clientSecret"
          ],
          [{ clientId: " " }, "introspection.clientId (\" \") is empty"],
          [
            { clientSecret: undefined, clientKey: Redacted.make("{}") },
            "introspection.clientKey (<redacted>) is not a private key"
          ],
          [
            { clientSecret: undefined, clientKey: Redacted.make("{\"kty\":\"EC\",\"d\":\"x\"}") },
            "introspection.clientKey (<redacted>) cannot sign"
          ]
        ] as const
      ) {
        assert.include(yield* trouble({ introspection: { mode: "recheck", ...credentials, ...given } }), words)
      }
    }))
})
