import { assert, describe, it } from "@effect/vitest"
import { Context, Deferred, Effect, Fiber, Layer, Redacted } from "effect"
import { HttpClient, HttpClientResponse } from "effect/http"
import { OktaConfig } from "../../src/config/OktaConfig.ts"
import { Discovery } from "../../src/provider/Discovery.ts"
import { OktaHttp } from "../../src/provider/OktaHttp.ts"
import { TokenIntrospection } from "../../src/token/TokenIntrospection.ts"
import { spansOf, valueOf, Watch } from "../support/Watch.ts"
import { audience, issuer } from "./TestIssuer.ts"

const url = `${issuer}/v1/introspect`

interface Answer {
  readonly status?: number
  readonly headers?: { readonly [name: string]: string }
  readonly body: unknown
}

/** An Okta that answers what it is told to, when it is told to. */
const arrange = Effect.gen(function*() {
  const watch = new Watch()
  const state = {
    answer: { body: { active: true } } as Answer,
    gate: Effect.void,
    asked: new Array<Request>(),
    atOnce: 0
  }
  const client = HttpClient.make((request, { href }) =>
    Effect.gen(function*() {
      const sent = new Request(href, {
        method: request.method,
        headers: request.headers,
        ...(request.body._tag === "Uint8Array" ? { body: Buffer.from(request.body.body) } : undefined)
      })
      if (href !== url) {
        return HttpClientResponse.fromWeb(
          request,
          Response.json({ issuer, jwks_uri: `${issuer}/v1/keys`, introspection_endpoint: url })
        )
      }
      state.asked.push(sent)
      state.atOnce++
      yield* state.gate
      state.atOnce--
      const { body, headers = {}, status = 200 } = state.answer
      return HttpClientResponse.fromWeb(request, Response.json(body, { status, headers }))
    })
  )
  const layer = TokenIntrospection.layer({ clientId: "0oa1", clientSecret: Redacted.make("secret") }).pipe(
    Layer.provide(Discovery.layer),
    Layer.provide(OktaHttp.layer),
    Layer.provide(Layer.succeed(HttpClient.HttpClient, client)),
    Layer.provide(OktaConfig.layer({ issuer, audience }))
  )
  const { introspect } = Context.get(yield* Layer.build(layer), TokenIntrospection)
  return { state, watch, ask: (token = "a token") => Effect.provide(introspect(Redacted.make(token)), watch.layer) }
})

describe("what Okta is asked about a token", () => {
  it.effect("is a form with the token and its kind, by the credentials of the application, in a span and a metric", () =>
    Effect.gen(function*() {
      const { ask, state, watch } = yield* arrange
      yield* ask("a+b")
      const [asked = assert.fail("nothing")] = state.asked
      assert.strictEqual(asked.method, "POST")
      assert.strictEqual(asked.headers.get("authorization"), `Basic ${Buffer.from("0oa1:secret").toString("base64")}`)
      assert.strictEqual(yield* Effect.promise(() => asked.text()), "token=a%2Bb&token_type_hint=access_token")
      assert.lengthOf(spansOf(watch, "okta.upstream.introspect"), 1)
      const labels = { operation: "introspect", outcome: "success" }
      assert.strictEqual(valueOf(watch, "okta_call_duration_seconds", labels), 1)
    }))

  it.effect("is so much at once and no more, and so much waits for its turn", () =>
    Effect.gen(function*() {
      const { ask, state } = yield* arrange
      yield* ask()
      for (let round = 0; round < 2; round++) {
        const gate = yield* Deferred.make<void>()
        state.gate = Deferred.await(gate)
        const callers = yield* Effect.forEach(
          Array.from({ length: 550 }),
          () => Effect.forkChild(ask(), { startImmediately: true })
        )
        const tooMany = yield* Effect.flip(ask())
        assert.deepInclude(tooMany, { _tag: "IntrospectionUnavailable", issuer })
        assert.match(tooMany.message, /too many tokens are being asked about/)
        assert.strictEqual(state.atOnce, 50)
        yield* Effect.forEach(callers.slice(500), Fiber.interrupt)
        const another = yield* Effect.forkChild(ask(), { startImmediately: true })
        yield* Deferred.succeed(gate, undefined)
        yield* Effect.forEach([...callers.slice(0, 500), another], Fiber.join)
      }
    }))
})

describe("what Okta says of a token", () => {
  const undecided = (reason: string, more: object = {}) => ({
    _tag: "IntrospectionUnavailable",
    issuer,
    reason,
    ...more
  })
  const unexpected = undecided(`${url} answered with something unexpected`)
  const cases: ReadonlyArray<readonly [what: string, answer: Answer, expected: object]> = [
    ["yes, and more", { body: { active: true, scope: "a", team: ["b"] } }, { active: true, scope: "a", team: ["b"] }],
    ["no", { body: { active: false } }, { _tag: "TokenInactive", issuer }],
    ["no, and more", { body: { active: false, scope: 5 } }, { _tag: "TokenInactive", issuer }],
    ["neither yes nor no", { body: {} }, unexpected],
    ["text", { body: { active: "true" } }, unexpected],
    ["a list", { body: [true] }, unexpected],
    ...["token_type", "scope", "client_id", "username", "exp", "jti"].map((member) =>
      [`yes, with another ${member}`, { body: { active: true, [member]: [1] } }, unexpected] as const
    ),
    [
      "no, but not in order",
      { status: 400, body: { active: false } },
      undecided(`${url} answered 400 with something unexpected`)
    ],
    [
      "yes, but not in order",
      { status: 403, body: { active: true } },
      undecided(`${url} answered 403 with something unexpected`)
    ],
    [
      "that it does not know who asks",
      { status: 401, body: { error: "invalid_client", error_description: "No such client." } },
      undecided(
        "Okta answered invalid_client (No such client.). Compare OKTA_CLIENT_ID and OKTA_CLIENT_SECRET with the application " +
          "in Okta"
      )
    ],
    [
      "that it cannot tell",
      { status: 400, body: { error: "server_error" } },
      undecided(`${url} answered server_error`)
    ],
    [
      "later",
      { status: 429, headers: { "retry-after": "7" }, body: {} },
      undecided(`${url} answered 429`, { retryAfter: 7000 })
    ]
  ]
  it.effect.each(cases)("%s", ([, answer, expected]) =>
    Effect.gen(function*() {
      const { ask, state } = yield* arrange
      state.answer = answer
      const said = yield* Effect.match(ask(), { onFailure: (error) => ({ ...error }), onSuccess: (active) => active })
      assert.deepStrictEqual<unknown>(said, expected)
    }))
})
