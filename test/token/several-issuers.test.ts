import { assert, describe, it } from "@effect/vitest"
import { Context, Effect, Layer, Logger, Redacted, References, type Scope } from "effect"
import { type IssuerOptions, Jwks, OktaAuth, OktaConfig, Readiness, TokenVerifier } from "effect-okta"
import { OktaTest, type OktaTestOptions } from "effect-okta/testing"
import { HttpClient } from "effect/http"
import { TestClock } from "effect/testing"
import { document, protectedResources } from "../../src/resource/ResourceMetadata.ts"
import { valueOf, Watch } from "../support/Watch.ts"

const acme = { issuer: "https://acme.okta.com/oauth2/default", audience: "api://acme" }
const globex = { issuer: "https://globex.okta.com/oauth2/aus1", audience: ["api://globex", "api://default"] }
/** An org server, at which people sign in to this application. */
const initech = { issuer: "https://initech.okta.com", audience: "0oaInitech", accept: "id-token" } as const

const named = { issuer: "https://test.okta.com/oauth2/default", audience: "api://default" }

/** Okta organizations in memory, each with a key of its own under the same `kid`, and a server that trusts all three. */
const arrange = Effect.fnUntraced(function*(
  changes: {
    readonly acme?: Partial<IssuerOptions>
    readonly initech?: Partial<IssuerOptions>
    readonly start?: OktaAuth.StartOptions & { readonly maxTokenLength?: number }
  } = {},
  shapes: { readonly acme?: OktaTestOptions } = {}
): Effect.fn.Return<
  {
    readonly acme: OktaTest["Service"]
    readonly globex: OktaTest["Service"]
    readonly initech: OktaTest["Service"]
    readonly context: Context.Context<OktaAuth.Services>
    readonly outcome: (token: Redacted.Redacted<string>) => Effect.Effect<string>
    readonly logged: ReadonlyArray<string>
    /** How many verifications with these labels were counted. */
    readonly counted: (labels: { readonly [label: string]: string }) => number
  },
  OktaAuth.StartError,
  Scope.Scope
> {
  yield* TestClock.setTime(Date.UTC(2026, 0, 15, 12))
  const make = (options: OktaTestOptions) => Layer.build(Layer.fresh(OktaTest.layer(options)))
  const orgs = {
    [acme.issuer]: yield* make({ ...acme, algorithm: "ES256", ...shapes.acme }),
    [globex.issuer]: yield* make({ issuer: globex.issuer, audience: "api://globex", algorithm: "ES256" }),
    [initech.issuer]: yield* make({ issuer: initech.issuer, audience: initech.audience, algorithm: "ES256" })
  }
  const oktaOf = (issuer: string) => Context.get(orgs[issuer] ?? assert.fail(issuer), OktaTest)
  const client = HttpClient.make((request, url) => {
    const [, org] = Object.entries(orgs).find(([issuer]) => url.href.startsWith(issuer)) ?? assert.fail(url.href)
    return Context.get(org, HttpClient.HttpClient).execute(request)
  })
  const logged: Array<string> = []
  const watch = new Watch()
  const context = yield* Layer.build(
    OktaAuth.layer({
      issuers: [{ ...acme, ...changes.acme }, globex, { ...initech, ...changes.initech }],
      algorithms: "ES256",
      ...changes.start
    }).pipe(
      Layer.provide(Layer.succeed(HttpClient.HttpClient, client)),
      Layer.provide(Logger.layer([Logger.map(Logger.formatSimple, (line) => void logged.push(line))])),
      Layer.provide(Layer.succeed(References.MinimumLogLevel, "All"))
    )
  ).pipe(Effect.provide(watch.layer))
  const { verify } = Context.get(context, TokenVerifier)
  return {
    acme: oktaOf(acme.issuer),
    globex: oktaOf(globex.issuer),
    initech: oktaOf(initech.issuer),
    context,
    logged,
    counted: (labels) => valueOf(watch, "okta_token_verifications", labels),
    outcome: (token) =>
      Effect.match(verify(token), {
        onSuccess: ({ principal }) => `${principal.issuer} ${principal.subject}`,
        onFailure: ({ _tag }) => _tag
      }).pipe(Effect.provide(watch.layer))
  }
})

const unsigned = (payload: string) =>
  Redacted.make(`${["{}", payload].map((part) => Buffer.from(part).toString("base64url")).join(".")}.AAAA`)

const idToken = { cid: undefined, scp: undefined, nonce: "n-0S6" }

describe("several issuers", () => {
  it.effect("are each verified by their own, and the principal says which", () =>
    Effect.gen(function*() {
      const { acme, globex, initech, outcome } = yield* arrange()
      for (let round = 0; round < 3; round++) {
        assert.strictEqual(yield* outcome(yield* acme.token()), `${acme.issuer} ada@example.com`)
        assert.strictEqual(
          yield* outcome(yield* globex.token({ claims: { aud: "api://default" } })),
          `${globex.issuer} ada@example.com`
        )
        assert.strictEqual(
          yield* outcome(yield* initech.token({ claims: idToken })),
          `${initech.issuer} ada@example.com`
        )
      }
      const service = yield* globex.token({ claims: { uid: undefined, sub: "0oa1client" } })
      assert.strictEqual(yield* outcome(service), `${globex.issuer} 0oa1client`)
    }))

  it.effect("remember a token, and for no longer than its own issuer would", () =>
    Effect.gen(function*() {
      const { context, globex, outcome } = yield* arrange()
      const token = yield* globex.token()
      const { verify } = Context.get(context, TokenVerifier)
      yield* verify(token)
      assert.strictEqual(yield* verify(token), yield* verify(token))
      yield* globex.rotateKeys
      yield* globex.withdrawOldKeys
      yield* Context.get(context, Jwks).reload
      assert.strictEqual(yield* outcome(token), "UnknownKey")
    }))

  const foreign: ReadonlyArray<
    readonly [
      what: string,
      tag: string,
      token: (okta: Effect.Success<ReturnType<typeof arrange>>) => ReturnType<OktaTest["Service"]["token"]>
    ]
  > = [
    [
      "one signed by another's key under the same kid",
      "InvalidSignature",
      ({ globex }) => globex.token({ claims: { iss: acme.issuer, aud: acme.audience } })
    ],
    [
      "one signed by another's key under a kid of the other's",
      "UnknownKey",
      ({ globex }) =>
        Effect.andThen(globex.rotateKeys, globex.token({ claims: { iss: acme.issuer, aud: acme.audience } }))
    ],
    ["one for another's audience", "InvalidAudience", ({ acme }) => acme.token({ claims: { aud: "api://globex" } })],
    [
      "an ID token of one that is trusted for access tokens",
      "WrongTokenType",
      ({ acme }) => acme.token({ claims: idToken })
    ],
    ["an access token of one that is trusted for ID tokens", "WrongTokenType", ({ initech }) => initech.token()],
    ["one of nobody", "InvalidIssuer", ({ acme }) => acme.token({ claims: { iss: "https://hooli.okta.com" } })],
    [
      "one whose issuer is in another spelling",
      "InvalidIssuer",
      ({ acme }) => acme.token({ claims: { iss: `${acme.issuer}/` } })
    ],
    [
      "one with two issuers",
      "InvalidIssuer",
      ({ acme }) => acme.token({ claims: { iss: [acme.issuer, globex.issuer] } })
    ],
    ["one without", "InvalidIssuer", ({ acme }) => acme.token({ claims: { iss: undefined } })],
    [
      "one whose issuer is a name that every object has",
      "InvalidIssuer",
      ({ acme }) => acme.token({ claims: { iss: "__proto__" } })
    ],
    ["what is no token", "MalformedToken", () => Effect.succeed(Redacted.make("a.b.c"))],
    ...["null", "[]", "{", "{\"iss\":\"a\",\"iss\":\"b\"}"].map((payload) =>
      [`the payload ${payload}`, "MalformedToken", () => Effect.succeed(unsigned(payload))] as const
    ),
    ["what is too long", "MalformedToken", ({ acme }) => acme.token({ claims: { long: "x".repeat(10_000) } })]
  ]
  it.effect.each(foreign)("refuse %s", ([, tag, token]) =>
    Effect.gen(function*() {
      const scene = yield* arrange()
      assert.strictEqual(yield* scene.outcome(yield* token(scene)), tag)
    }))

  it.effect("count what is a token of none of them, once each time, and say why it is none", () =>
    Effect.gen(function*() {
      const { acme, context, counted, outcome } = yield* arrange()
      const { verify } = Context.get(context, TokenVerifier)
      const token = yield* acme.token({ claims: { iss: named.issuer } })
      for (const expected of [1, 2]) {
        yield* outcome(token)
        const labels = { issuer: "none", token: "unknown", outcome: "InvalidIssuer", remembered: "false" }
        assert.strictEqual(counted(labels), expected)
        assert.strictEqual(counted({}), expected)
      }
      assert.include((yield* Effect.flip(verify(unsigned("[]")))).message, "its payload is not a JSON object")
    }))

  it.effect("look at no token that is longer than it may be, whoever's it is", () =>
    Effect.gen(function*() {
      const { acme } = yield* arrange()
      const size = Redacted.value(yield* acme.token()).length
      const { context, outcome, ...here } = yield* arrange({ start: { maxTokenLength: size } })
      const token = yield* here.acme.token()
      assert.lengthOf(Redacted.value(token), size)
      assert.strictEqual(yield* outcome(token), `${acme.issuer} ada@example.com`)
      const longer = Redacted.make("x".repeat(size + 1))
      const { message } = yield* Effect.flip(Context.get(context, TokenVerifier).verify(longer))
      assert.include(message, `it is longer than ${size} characters`)
      assert.strictEqual(
        yield* outcome(yield* acme.token({ claims: { iss: `${named.issuer}/a/longer/one` } })),
        "MalformedToken"
      )
    }))

  it.effect("share the memory of verified tokens, each an equal part", () =>
    Effect.gen(function*() {
      const { acme, counted, globex, outcome } = yield* arrange({ start: { cacheSize: 3 } })
      const [one, two, other] = [yield* acme.token(), yield* acme.token(), yield* globex.token()]
      const again = () => counted({ outcome: "success", remembered: "true" })
      for (const token of [one, other, two, one]) yield* outcome(token)
      assert.strictEqual(again(), 0, "the second took the place of the first")
      for (const token of [one, other]) yield* outcome(token)
      assert.strictEqual(again(), 2, "and none of another's")
    }))

  it.effect("accept the kind of token that the start says, where they say none themselves", () =>
    Effect.gen(function*() {
      const { acme, outcome } = yield* arrange({ start: { accept: "id-token" } })
      assert.strictEqual(yield* outcome(yield* acme.token({ claims: idToken })), `${acme.issuer} ada@example.com`)
      assert.strictEqual(yield* outcome(yield* acme.token()), "WrongTokenType")
    }))

  it.effect("are asked for their keys all at once, and are of use while one of them has any", () =>
    Effect.gen(function*() {
      const { acme, context, globex, initech } = yield* arrange({}, { acme: { outage: "rate-limited" } })
      const jwks = Context.get(context, Jwks)
      for (const okta of [globex, initech]) yield* okta.fail("rate-limited")
      yield* Effect.flip(jwks.ready)
      assert.isFalse(yield* jwks.usable)
      for (const okta of [acme, globex, initech]) {
        yield* okta.restore
        yield* TestClock.adjust("1 minute")
        assert.isTrue(yield* jwks.usable)
      }
      yield* jwks.ready
      for (const okta of [acme, globex, initech]) yield* okta.fail("silent")
      const reload = yield* Effect.forkChild(Effect.exit(jwks.reload), { startImmediately: true })
      yield* TestClock.adjust("5 seconds")
      assert.isDefined(reload.pollUnsafe(), "5 seconds for all of them, and not for each")
      assert.isTrue(yield* jwks.usable)
    }))

  it.effect("name all that are trusted when a token comes from elsewhere, and ask nobody", () =>
    Effect.gen(function*() {
      const { acme, context, globex, initech } = yield* arrange()
      yield* Context.get(context, Jwks).ready
      const before = yield* Effect.all([acme.requests, globex.requests, initech.requests])
      const token = yield* acme.token({ claims: { iss: named.issuer } })
      const error = yield* Effect.flip(Context.get(context, TokenVerifier).verify(token))
      for (const { issuer } of [acme, globex, initech, named]) assert.include(error.message, `"${issuer}"`)
      assert.deepStrictEqual(yield* Effect.all([acme.requests, globex.requests, initech.requests]), before)
    }))

  it.effect("do not ask one about the keys of another", () =>
    Effect.gen(function*() {
      const { acme, context, globex, outcome } = yield* arrange()
      yield* Context.get(context, Jwks).ready
      const before = yield* acme.requests
      yield* TestClock.adjust("1 minute")
      assert.strictEqual(yield* outcome(yield* globex.token({ defect: "unknown-key" })), "UnknownKey")
      assert.deepStrictEqual(yield* acme.requests, before)
    }))

  it.effect("may each have clients and algorithms of their own", () =>
    Effect.gen(function*() {
      const { acme, globex, outcome } = yield* arrange(
        { acme: { algorithms: "RS256", allowedClients: "0oaAcme" } },
        { acme: { algorithm: "RS256" } }
      )
      assert.strictEqual(yield* outcome(yield* acme.token()), "ClientNotAllowed")
      assert.strictEqual(
        yield* outcome(yield* acme.token({ claims: { cid: "0oaAcme" } })),
        `${acme.issuer} ada@example.com`
      )
      assert.strictEqual(yield* outcome(yield* globex.token()), `${globex.issuer} ada@example.com`)
      const strict = yield* arrange({ acme: { algorithms: "RS256" } })
      assert.strictEqual(yield* strict.outcome(yield* strict.acme.token()), "UnsupportedAlgorithm")
    }))

  it.effect("do not suffer when one is away; the server is ready while any has keys", () =>
    Effect.gen(function*() {
      const { acme, context, globex, outcome } = yield* arrange({}, { acme: { outage: "rate-limited" } })
      assert.strictEqual(yield* outcome(yield* globex.token()), `${globex.issuer} ada@example.com`)
      assert.strictEqual(yield* outcome(yield* acme.token()), "DiscoveryFailed")
      assert.deepStrictEqual(yield* Context.get(context, Readiness).missing, [])
      assert.strictEqual((yield* Effect.flip(Context.get(context, Jwks).ready))._tag, "DiscoveryFailed")
    }))

  it.effect("with failFast must all be there", () =>
    Effect.gen(function*() {
      yield* Effect.scoped(arrange({ start: { failFast: true } }))
      const error = yield* Effect.flip(
        Effect.scoped(arrange({ start: { failFast: true } }, { acme: { outage: "rate-limited" } }))
      )
      assert.strictEqual(error._tag, "DiscoveryFailed")
    }))

  it.effect("are all in the resource metadata, and an org server among them is warned of unless it is for ID tokens", () =>
    Effect.gen(function*() {
      const { context, logged } = yield* arrange()
      const settings = { ...Context.get(context, OktaConfig), serverUrl: "https://api.example.com" }
      const [resource = assert.fail("no resource")] = protectedResources(settings)
      assert.deepStrictEqual(
        document(settings, resource).authorization_servers,
        [acme.issuer, globex.issuer, initech.issuer]
      )
      assert.notInclude(logged.join("\n"), "org server")
      const careless = yield* arrange({ initech: { accept: "access-token" } })
      assert.include(careless.logged.join("\n"), `${initech.issuer} is an Okta org server`)
    }))
})
