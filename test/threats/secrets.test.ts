import { NodeServices } from "@effect/platform-node"
import { assert, describe, it, layer } from "@effect/vitest"
import { Cause, ConfigProvider, Effect, Exit, Fiber, Layer, Redacted, Schema } from "effect"
import { type HttpClient, HttpRouter } from "effect/http"
import { TestClock } from "effect/testing"
import * as Environment from "../../src/config/Environment.ts"
import { OktaConfig, type OktaOptions, Settings } from "../../src/config/OktaConfig.ts"
import * as OktaAuth from "../../src/OktaAuth.ts"
import { OktaTest, type Outage } from "../../src/testing/OktaTest.ts"
import { CurrentPrincipal } from "../../src/token/Principal.ts"
import { defects } from "../support/defects.ts"
import {
  assertAccepted,
  assertRefused,
  assertTokenRefused,
  GuardedServer,
  serverUrl,
  startedAt
} from "../support/GuardedServer.ts"
import { run } from "../support/Program.ts"
import { goodClaims, RawIssuer } from "../support/RawIssuer.ts"
import { assertHidden, exposed, exposedCause, laidBare, partsOf, Watch } from "../support/Watch.ts"

const canary = "c4n4ry-9f8e7d6c5b4a-c4n4ry-9f8e7d6c5b4a"

const watch = new Watch()

const failing = HttpRouter.add(
  "GET",
  "/fails",
  Effect.andThen(CurrentPrincipal, Effect.die(new Error("a defect of the handler's")))
).pipe(Layer.provide(OktaAuth.guard().layer))

layer(
  GuardedServer.layer({ allowedClients: ["0oa1client"] }, { accessLog: true, routes: failing }).pipe(
    Layer.provideMerge(OktaTest.layer()),
    Layer.provide(watch.layer)
  )
)("L. Secrets of a running server", (it) => {
  it.effect("#192 canaries in tokens: 0 occurrences in logs, spans and errors, at any level", () =>
    Effect.gen(function*() {
      const okta = yield* OktaTest
      const server = yield* GuardedServer
      const secrets: Array<string> = []
      const errors: Array<string> = []
      const reasons = new Set<string>()
      const claim = { claims: { jti: "AT.canary" } }

      const show = Effect.fnUntraced(
        function*(token: string, status: number, ask: Parameters<typeof server.ask>[0] = {}) {
          secrets.push(...partsOf(token))
          const answer = yield* server.ask({ token, ...ask })
          assert.strictEqual(answer.status, status, token)
          errors.push(exposed(answer))
          const exit = yield* Effect.exit(server.verify(token))
          errors.push(laidBare(exit), Exit.isFailure(exit) ? exposedCause(exit.cause) : "")
          const error = Exit.findErrorOption(exit)
          reasons.add(error._tag === "Some" ? error.value._tag : "accepted")
        }
      )

      const good = Redacted.value(yield* okta.token(claim))
      yield* show(good, 200)
      yield* show(good, 200)
      yield* show(good, 200, { method: "POST", body: canary })
      yield* show(good, 403, { path: "/files" })
      yield* show(good, 404, { method: "DELETE" })
      yield* show(good, 404, { path: "/mcp/no/such/thing" })
      yield* show(good, 404, { path: "/elsewhere" })
      yield* show(good, 500, { path: "/fails" })
      yield* show(good, 400, { path: "/mcp?access_token=x" })
      for (const defect of defects) {
        yield* show(Redacted.value(yield* okta.token({ ...claim, defect })), 401)
      }
      yield* show(Redacted.value(yield* okta.token({ claims: { cid: "0oa2client" } })), 401)
      for (
        const token of [canary, `${canary}.${canary}.${canary}`, `${good}.${canary}`, canary.repeat(250), `${good}=`]
      ) {
        yield* show(token, 401)
      }
      for (
        const [authorization, status] of [
          [`Basic ${canary}`, 401],
          [canary, 401],
          [`Bearer ${canary} ${canary}`, 400],
          [`Bearer ${canary}, Bearer ${good}`, 400],
          [`DPoP ${good}`, 401]
        ] as const
      ) {
        assert.strictEqual((yield* server.ask({ headers: { authorization } })).status, status)
      }
      const proof = { authorization: `DPoP ${good}`, dpop: canary }
      assert.strictEqual((yield* server.ask({ headers: proof })).status, 401)
      assert.strictEqual((yield* server.ask({ path: `/mcp?access_token=${good}` })).status, 401)
      const twice =
        `GET /mcp HTTP/1.1\r\nHost: mcp\r\nAuthorization: Bearer ${good}\r\nAuthorization: Bearer ${canary}\r\nConnection: close\r\n\r\n`
      assert.strictEqual((yield* server.raw(twice)).status, 400)
      secrets.push(canary)

      assert.sameMembers([...reasons], [
        "accepted",
        "MalformedToken",
        "UnsupportedAlgorithm",
        "UnknownKey",
        "InvalidSignature",
        "InvalidIssuer",
        "InvalidAudience",
        "TokenExpired",
        "TokenNotYetValid",
        "InvalidClaim",
        "WrongTokenType",
        "ClientNotAllowed"
      ])
      // The nets are out: each kind of line and span has been caught.
      const seen = watch.text
      for (
        const part of [
          "Request refused: The token",
          "Request without credentials",
          "The token expired",
          "Request refused: more than one",
          "Sent HTTP response",
          "a defect of the handler's",
          "okta.keys",
          "http.request.header.authorization",
          "http.response.status_code"
        ]
      ) {
        assert.include(seen, part)
      }
      assertHidden(seen, secrets)
      assertHidden(errors.join("\n"), secrets)
    }))

  it.effect("#192 what a token proved holds no token", () =>
    Effect.gen(function*() {
      const okta = yield* OktaTest
      const server = yield* GuardedServer
      const token = Redacted.value(yield* okta.token())
      assertHidden(laidBare(yield* server.verify(token)), partsOf(token))
      assertHidden(exposed(yield* assertAccepted(token)), partsOf(token))
    }))
})

const outages: ReadonlyArray<readonly [Outage, retryAfter: string | undefined, upstream: ReadonlyArray<string>]> = [
  ["unreachable", undefined, ["ECONNREFUSED", "connect"]],
  ["silent", undefined, ["3s", "answer within"]],
  ["error", undefined, ["500", "answered"]],
  ["rate-limited", "30", ["E0000047", "API call exceeded rate limit", "429"]],
  ["garbage", undefined, ["Maintenance", "doctype", "JSON"]]
]

/** Moves the test's clock on until the effect is done. */
const asTimePasses = <A, E, R>(effect: Effect.Effect<A, E, R>) =>
  Effect.gen(function*() {
    const fiber = yield* Effect.forkChild(effect)
    const turn = Effect.andThen(
      TestClock.adjust("200 millis"),
      Effect.callback<void>((resume) => void setImmediate(() => resume(Effect.void)))
    )
    return yield* Effect.raceFirst(Fiber.join(fiber), Effect.forever(turn))
  })

describe("L. Secrets and upstream text during an outage", () => {
  for (const [outage, retryAfter, upstream] of outages) {
    const observed = new Watch()
    const away = Layer.effectDiscard(Effect.flatMap(OktaTest, (okta) => okta.fail(outage)))
    layer(
      GuardedServer.layer().pipe(
        Layer.provide(away),
        Layer.provideMerge(OktaTest.layer()),
        Layer.provide(observed.layer)
      )
    )((it) => {
      it.effect(`#194 Okta is ${outage}: a body with no stack and no upstream text, and no token in the logs`, () =>
        Effect.gen(function*() {
          const okta = yield* OktaTest
          const server = yield* GuardedServer
          const token = Redacted.value(yield* okta.token())
          const answer = yield* asTimePasses(server.ask({ token }))
          assertRefused(answer, "temporarily_unavailable", retryAfter === undefined ? {} : { retryAfter })
          for (const word of [...upstream, "okta.com", "    at ", "node_modules", ".ts"]) {
            assert.notInclude(answer.body, word)
          }
          const exit = yield* asTimePasses(Effect.exit(server.verify(token)))
          assert(Exit.isFailure(exit))
          const error = Exit.findErrorOption(exit)
          assert.include(["DiscoveryFailed", "KeysUnavailable"], error._tag === "Some" ? error.value._tag : undefined)
          // Inside it is said precisely.
          assert.isTrue(upstream.some((word) => Cause.pretty(exit.cause).includes(word)))
          assertRefused(yield* server.ask(), "no credentials")
          assert.include(observed.text, "cannot be fetched")
          assertHidden(observed.text + exposedCause(exit.cause), partsOf(token))
          yield* okta.restore
          const recovered = yield* asTimePasses(
            Effect.repeat(server.ask({ token }), { until: ({ status }) => status === 200, times: 1000 })
          )
          assert.strictEqual(recovered.status, 200)
        }))
    })
  }
})

const upstreamText = Layer.effectDiscard(Effect.gen(function*() {
  const issuer = yield* RawIssuer
  issuer.jwks = [{ kty: "oct", k: canary, kid: canary }, { error: `<b>${canary}</b>` }]
}))

layer(GuardedServer.layer().pipe(Layer.provide(upstreamText), Layer.provideMerge(RawIssuer.layer)))(
  "L. Error bodies",
  (it) => {
    it.effect("#194 a key set without a usable key: 503 with constant text", () =>
      Effect.gen(function*() {
        const issuer = yield* RawIssuer
        const server = yield* GuardedServer
        assertRefused(yield* server.ask({ token: issuer.token() }), "temporarily_unavailable")
        assert.strictEqual((yield* Effect.flip(server.verify(issuer.token())))._tag, "KeysUnavailable")
      }))
  }
)

layer(GuardedServer.layer({}, { routes: failing }).pipe(Layer.provideMerge(RawIssuer.layer)))(
  "L. Error bodies",
  (it) => {
    it.effect("#194 tokens with markup and paths in every claim: constant text", () =>
      Effect.gen(function*() {
        const issuer = yield* RawIssuer
        const markup = "<script>alert('/etc/passwd')</script>"
        for (
          const [claims, reason] of [
            [{ iss: markup }, "InvalidIssuer"],
            [{ aud: markup }, "InvalidAudience"],
            [{ exp: markup }, "InvalidClaim"],
            [{ sub: [markup] }, "InvalidClaim"],
            [{ exp: startedAt - 3600, iat: startedAt - 7200, sub: markup }, "TokenExpired"]
          ] as const
        ) {
          yield* assertTokenRefused(issuer.token({ payload: goodClaims(claims) }), reason)
        }
      }))

    it.effect("#194 a defect of the handler's: 500 with nothing of it", () =>
      Effect.gen(function*() {
        const issuer = yield* RawIssuer
        const server = yield* GuardedServer
        const answer = yield* server.ask({ path: "/fails", token: issuer.token() })
        assert.deepStrictEqual([answer.status, answer.body], [500, ""])
        yield* assertAccepted(issuer.token())
      }))
  }
)

const privateKey = JSON.stringify({ kty: "RSA", n: "AQAB", e: "AQAB", d: canary })

const secretSettings = {
  issuer: OktaTest.issuer,
  audience: OktaTest.audience,
  serverUrl,
  clientId: "0oa1client",
  clientSecret: Redacted.make(`secret-${canary}`),
  signingKeys: Redacted.make(JSON.stringify({ keys: [{ kty: "EC", d: canary }] })),
  encryptionSecret: [Redacted.make(`one-${canary}`), Redacted.make(`two-${canary}`)]
} satisfies OktaOptions

/** A plain text where a `Redacted` is demanded, as an app without types could pass it. */
const untyped = (fields: { readonly [field: string]: unknown }): OktaOptions => ({ ...secretSettings, ...fields })

describe("L. Secrets of the configuration", () => {
  it.effect("#193 JSON.stringify, inspect and log of a configuration with secrets: redacted", () =>
    Effect.gen(function*() {
      const observed = new Watch()
      const withKey = { ...secretSettings, clientSecret: undefined, clientKey: Redacted.make(privateKey) }
      for (const options of [secretSettings, withKey]) {
        const settings = yield* Effect.provide(OktaConfig, OktaConfig.layer(options))
        assert.strictEqual(settings.mode, "proxy")
        yield* Effect.gen(function*() {
          yield* Effect.logFatal(settings)
          yield* Effect.logTrace("settings", { settings })
          yield* Effect.logError("failed", Cause.fail(settings))
          yield* Effect.annotateLogs(Effect.log("annotated"), { settings })
        }).pipe(Effect.withSpan("configured", { attributes: { settings } }), Effect.provide(observed.layer))
        assert.include(JSON.stringify(settings), "<redacted>")
        assertHidden(laidBare(settings), [canary])
        assertHidden(laidBare(Schema.encodeUnknownExit(Settings)(settings)), [canary])
      }
      assert.include(observed.text, "annotated")
      assertHidden(observed.text, [canary])
    }))

  it.effect.each(
    [
      ["native mode insisted on", untyped({ mode: "native" })],
      ["proxy mode, which does not exist yet", untyped({})],
      ["a short encryption secret", untyped({ encryptionSecret: [Redacted.make(canary.slice(0, 30))] })],
      ["a key that is none", untyped({ clientSecret: undefined, clientKey: Redacted.make(canary) })],
      ["a ring that is none", untyped({ signingKeys: Redacted.make(`{"keys":"${canary}"}`) })],
      ["a secret and a key", untyped({ clientKey: Redacted.make(privateKey) })],
      ["a plain text as secret", untyped({ clientSecret: canary })],
      ["a plain text as key", untyped({ clientKey: privateKey, clientSecret: undefined })],
      ["a list as secret", untyped({ clientSecret: [canary] })],
      ["plain texts as encryption secrets", untyped({ encryptionSecret: [canary, { canary }] })],
      ["a slip in the name", untyped({ clientSceret: canary })],
      ["a password in the issuer", untyped({ issuer: `https://ada:${canary}@test.okta.com` })],
      [
        "a password in a long server URL",
        untyped({ serverUrl: `https://ada:${canary}${"x".repeat(200)}@mcp.example.com/` })
      ],
      ["a wrong client id besides", untyped({ clientId: " ", issuer: "https://{yourOktaDomain}" })]
    ] as const
  )(
    "#193 a configuration refused for %s: redacted in Cause.pretty, errors and logs",
    ([, options]) =>
      Effect.gen(function*() {
        const observed = new Watch()
        const exit = yield* Effect.exit(Layer.build(OktaAuth.layer(options))).pipe(
          Effect.provide(OktaTest.layer()),
          Effect.tap((exit) => Exit.isFailure(exit) ? Effect.logFatal("Cannot start", exit.cause) : Effect.void),
          Effect.provide(observed.layer)
        )
        assert(Exit.isFailure(exit))
        assert.include(Cause.pretty(exit.cause), "InvalidConfiguration")
        assert.include(observed.text, "Cannot start")
        assertHidden(exposedCause(exit.cause) + laidBare(exit) + observed.text, [canary.slice(0, 30)])
      })
  )

  it.effect("#193 the same from the environment", () =>
    Effect.gen(function*() {
      const provider = ConfigProvider.layer(ConfigProvider.fromUnknown({
        OKTA_ISSUER: "https://test-admin.okta.com/",
        OKTA_AUDIENCE: "",
        OKTA_CLIENT_ID: "0oa1client",
        OKTA_CLIENT_SECRET: `secret-${canary}`,
        OKTA_CLIENT_KEY: `key-${canary}`,
        SIGNING_KEYS: canary,
        ENCRYPTION_SECRET: `${canary.slice(0, 30)},${canary}`
      }))
      const exit = yield* Effect.exit(Layer.build(Environment.layerConfig())).pipe(Effect.provide(provider))
      assert(Exit.isFailure(exit))
      const text = exposedCause(exit.cause) + laidBare(exit)
      for (const name of ["OKTA_ISSUER", "OKTA_CLIENT_KEY", "SIGNING_KEYS", "ENCRYPTION_SECRET"]) {
        assert.include(text, name)
      }
      assertHidden(text, [canary.slice(0, 30)])
    }))

  it.effect("#193 an unhandled rejection that ends the process: redacted", () =>
    Effect.gen(function*() {
      const program = `
        import { OktaAuth } from "./src/index.ts"
        import { OktaTest } from "./src/testing/OktaTest.ts"
        import { Effect, Layer, Redacted } from "effect"
        const canary = ${JSON.stringify(canary)}
        const Okta = OktaAuth.layer({
          issuer: "https://ada:" + canary + "@test-admin.okta.com/",
          audience: [],
          clientId: "0oa1client",
          clientSecret: Redacted.make(canary),
          clientKey: Redacted.make(canary),
          encryptionSecret: Redacted.make(canary.slice(0, 30))
        }).pipe(Layer.provide(OktaTest.layer()))
        Effect.runPromise(Effect.scoped(Layer.build(Okta)))
      `
      const { output, status } = yield* run(["node", "--input-type=module", "--eval", program])
      assert.notStrictEqual(status, 0)
      assert.include(output, "InvalidConfiguration")
      assert.include(output, "<redacted>")
      // Node quotes the line of the program that threw; the canary's own line is not that.
      assertHidden(output, [canary.slice(0, 30)])
    }).pipe(Effect.provide(NodeServices.layer)))
})

const org = "https://test.okta.com"

for (const issuer of [org, OktaTest.issuer, `${org}/oauth2/aus1A2b3C4`]) {
  const server = (client: Layer.Layer<OktaTest | HttpClient.HttpClient>) =>
    GuardedServer.layer({ issuer, audience: OktaTest.audience }).pipe(Layer.provideMerge(client))
  layer(server(OktaTest.layer({ issuer })))("K. Metadata", (it) => {
    it.effect(`#187 issuer, authorization_servers[0] and iss are equal, byte for byte: ${issuer}`, () =>
      Effect.gen(function*() {
        const okta = yield* OktaTest
        const server = yield* GuardedServer
        const token = Redacted.value(yield* okta.token())
        yield* assertAccepted(token)
        const { claims } = yield* server.verify(token)
        for (const suffix of ["", "/mcp", "/files"]) {
          const answer = yield* server.ask({ path: `/.well-known/oauth-protected-resource${suffix}` })
          assert.strictEqual(answer.status, 200)
          assert.strictEqual(answer.headers["content-type"], "application/json")
          const document: { readonly [member: string]: unknown } = JSON.parse(answer.body)
          assert.deepStrictEqual(document["authorization_servers"], [issuer])
          assert.strictEqual(claims.iss, issuer)
          assert.include(answer.body, `"authorization_servers":["${issuer}"]`)
        }
        for (const iss of [`${issuer}/`, issuer.toUpperCase(), issuer.replace("https://", "HTTPS://")]) {
          yield* assertTokenRefused(Redacted.value(yield* okta.token({ claims: { iss } })), "InvalidIssuer")
        }
      }))
  })
}
