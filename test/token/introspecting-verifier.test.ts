import { assert, describe, it } from "@effect/vitest"
import { Context, Effect, Layer, Redacted } from "effect"
import { HttpClient } from "effect/http"
import { TestClock } from "effect/testing"
import { OktaConfig, type OktaOptions } from "../../src/config/OktaConfig.ts"
import { Discovery, DiscoveryFailed } from "../../src/provider/Discovery.ts"
import { OktaHttp } from "../../src/provider/OktaHttp.ts"
import { type AccessTokenClaims, principalOf } from "../../src/token/AccessTokenClaims.ts"
import * as IntrospectingVerifier from "../../src/token/IntrospectingVerifier.ts"
import * as SubjectToken from "../../src/token/SubjectToken.ts"
import {
  IntrospectionUnavailable,
  InvalidSignature,
  type TokenError,
  TokenInactive
} from "../../src/token/TokenError.ts"
import { type ActiveToken, TokenIntrospection } from "../../src/token/TokenIntrospection.ts"
import { TokenVerifier } from "../../src/token/TokenVerifier.ts"
import { Watch } from "../support/Watch.ts"
import { audience, goodClaims, issuer, makeKey, now } from "./TestIssuer.ts"

const key = makeKey("ES256")

/** What Okta says of a good access token. */
const good: ActiveToken = {
  active: true,
  token_type: "Bearer",
  scope: "openid profile",
  client_id: "0oa1client",
  username: "ada@example.com",
  iss: issuer,
  aud: audience,
  sub: "00u1ada",
  uid: "00u1ada",
  iat: now,
  exp: now + 3600
}

/** Members on top of those; `undefined` takes one away. */
type Said = { readonly [member: string]: unknown } | TokenInactive | IntrospectionUnavailable

/** A verifier in front of an Okta that says what it is told to. */
const arrange = Effect.fnUntraced(function*(mode: "only" | "recheck", settings: Partial<OktaOptions> = {}) {
  yield* TestClock.setTime(now * 1000)
  const watch = new Watch()
  const asked: Array<string> = []
  const state = {
    says: {} as Said,
    below: undefined as TokenError | undefined,
    claims: goodClaims as AccessTokenClaims
  }
  const okta = Layer.succeed(TokenIntrospection, {
    introspect: (token) =>
      Effect.suspend((): Effect.Effect<ActiveToken, TokenInactive | IntrospectionUnavailable> => {
        asked.push(Redacted.value(token))
        const { says } = state
        return says instanceof Error
          ? Effect.fail(says)
          : Effect.succeed(JSON.parse(JSON.stringify({ ...good, ...says })))
      })
  })
  const below = Layer.succeed(TokenVerifier, {
    verifyText: () =>
      Effect.suspend(() =>
        state.below === undefined
          ? Effect.succeed({ claims: state.claims, principal: principalOf(state.claims) })
          : Effect.fail(state.below)
      ),
    verify: () => Effect.die("is not what is asked")
  })
  const layer = mode === "only" ? IntrospectingVerifier.only() : IntrospectingVerifier.recheck()
  const config = OktaConfig.layer({ issuer, audience, ...settings })
  const { verify, verifyText } = Context.get(
    yield* Layer.build(Layer.provide(layer, [okta, below, config])),
    TokenVerifier
  )
  const show = (token: string) => Effect.provide(verifyText(token), watch.layer)
  const tagOf = (token: string) => Effect.match(show(token), { onFailure: ({ _tag }) => _tag, onSuccess: () => "good" })
  let count = 0
  /** What becomes of a new token of which Okta says this. */
  const said = (says: Said) =>
    Effect.suspend(() => {
      state.says = says
      return tagOf(`token-${count++}`)
    })
  const counted = (outcome: string) =>
    watch.metrics.filter(({ attributes }) =>
      attributes?.["outcome"] === outcome && attributes["token"] === "introspected" &&
      attributes["remembered"] === "false"
    )
      .reduce((sum, { state }) => sum + Number("count" in state ? state.count : 0), 0)
  /** How often a line with these words was logged. */
  const logged = (words: string) => watch.lines.filter((line) => line.startsWith("{") && line.includes(words)).length
  return { asked, counted, logged, said, show, state, tagOf, verify }
})

const inactive = new TokenInactive({ issuer })

/** What Okta may say, and what comes of it where it alone is asked, and where a token was verified before. */
const sayings: ReadonlyArray<readonly [what: string, says: Said, only: string, recheck?: string]> = [
  ["that it is good", {}, "good"],
  ["no", inactive, "TokenInactive"],
  ["another issuer", { iss: "https://other.okta.com" }, "InvalidIssuer"],
  ["no issuer", { iss: undefined }, "good"],
  ["another audience", { aud: "api://other" }, "InvalidAudience"],
  ["no audience", { aud: undefined }, "InvalidAudience", "good"],
  ["a client by the name of access tokens", { client_id: undefined, cid: "0oa1client" }, "good"],
  ["what only an ID token says", { nonce: "n" }, "WrongTokenType"],
  ["another client", { client_id: "0oaOther" }, "ClientNotAllowed"],
  ["no client", { client_id: undefined }, "ClientNotAllowed", "good"],
  ["a time that is over", { exp: now - 30 }, "TokenExpired"],
  ["a time to come", { nbf: now + 31 }, "TokenNotYetValid"],
  ["a refresh token", { token_type: "refresh_token" }, "WrongTokenType", "good"],
  ["no type", { token_type: undefined }, "WrongTokenType", "good"],
  ["the type in capitals", { token_type: "BEARER" }, "good"],
  ["no scope", { scope: undefined }, "WrongTokenType", "good"],
  ["an empty scope", { scope: "" }, "good"],
  ["a key", { token_type: "DPoP", cnf: { jkt: "x" } }, "good"],
  ["a key, and not which", { token_type: "DPoP" }, "IntrospectionUnavailable", "good"]
]

describe("a token that Okta is asked about", () => {
  for (const mode of ["only", "recheck"] as const) {
    it.effect(`is held against the settings, whatever Okta says of it (${mode})`, () =>
      Effect.gen(function*() {
        const { said } = yield* arrange(mode, { allowedClients: "0oa1client" })
        for (const [what, says, only, recheck = only] of sayings) {
          assert.strictEqual(yield* said(says), mode === "only" ? only : recheck, what)
        }
      }))

    it.effect(`is asked about once a minute; failures are not remembered (${mode})`, () =>
      Effect.gen(function*() {
        const { asked, state, tagOf } = yield* arrange(mode)
        assert.deepStrictEqual([yield* tagOf("a"), yield* tagOf("a"), yield* tagOf("b")], ["good", "good", "good"])
        assert.deepStrictEqual(asked, ["a", "b"])
        yield* TestClock.adjust("59999 millis")
        assert.strictEqual(yield* tagOf("a"), "good")
        assert.lengthOf(asked, 2)
        yield* TestClock.adjust("1 millis")
        state.says = inactive
        for (let times = 0; times < 2; times++) assert.strictEqual(yield* tagOf("a"), "TokenInactive")
        assert.lengthOf(asked, 4)
        state.says = {}
        assert.strictEqual(yield* tagOf("a"), "good")
      }))
  }
})

describe("an Okta that cannot be asked", () => {
  for (const mode of ["only", "recheck"] as const) {
    it.effect(`is warned of, and that it is back is said; a token that it refuses is no such thing (${mode})`, () =>
      Effect.gen(function*() {
        const { logged, said } = yield* arrange(mode)
        const told = () => ["could not be asked about a token", "is available again"].map(logged)
        assert.strictEqual(yield* said(inactive), "TokenInactive")
        assert.deepStrictEqual(told(), [0, 0])
        const away = new IntrospectionUnavailable({ issuer, reason: "it is away" })
        for (let times = 0; times < 2; times++) assert.strictEqual(yield* said(away), "IntrospectionUnavailable")
        assert.deepStrictEqual(told(), [1, 0])
        assert.strictEqual(yield* said(inactive), "TokenInactive")
        assert.deepStrictEqual(told(), [1, 1])
      }))
  }
})

describe("the option introspection", () => {
  const away = new DiscoveryFailed({ issuer, reason: "it is away" })
  const below = new InvalidSignature({ kid: "x", algorithm: "ES256" })
  const parts = Layer.mergeAll(
    OktaConfig.layer({ issuer, audience }),
    Layer.succeed(Discovery, { metadata: Effect.fail(away), reload: Effect.fail(away) }),
    OktaHttp.layer.pipe(
      Layer.provide(Layer.succeed(HttpClient.HttpClient, HttpClient.make(() => Effect.die("is asked"))))
    ),
    Layer.succeed(TokenVerifier, { verifyText: () => Effect.fail(below), verify: () => Effect.fail(below) })
  )
  const built = (options: Partial<IntrospectingVerifier.IntrospectionOptions>) =>
    Layer.build(Layer.provide(
      IntrospectingVerifier.layer({ mode: "only", clientId: "0oa1", clientSecret: Redacted.make("x"), ...options }, {}),
      parts
    ))

  it.effect("has Okta asked in place of a verification, or after it", () =>
    Effect.gen(function*() {
      for (const [mode, expected] of [["only", "IntrospectionUnavailable"], ["recheck", "InvalidSignature"]] as const) {
        const { verifyText } = Context.get(yield* built({ mode }), TokenVerifier)
        assert.strictEqual((yield* Effect.flip(verifyText("a")))._tag, expected)
      }
    }))

  it.effect("is told what is wrong with the credentials in it", () =>
    Effect.gen(function*() {
      const error = yield* Effect.flip(built({ clientSecret: undefined }))
      assert.deepStrictEqual(error.problems.map(({ field }) => field), ["introspection.clientSecret"])
    }))
})

describe("a token of which Okta alone knows what it is good for", () => {
  it.effect("is a principal in Okta's words, which nobody can change, and by which it is found for an exchange", () =>
    Effect.gen(function*() {
      const { show, verify } = yield* arrange("only")
      const { claims, principal } = yield* show("a")
      assert.deepStrictEqual(claims, {
        iss: issuer,
        aud: audience,
        sub: "00u1ada",
        uid: "00u1ada",
        iat: now,
        exp: now + 3600,
        scope: "openid profile",
        cid: "0oa1client",
        preferred_username: "ada@example.com",
        cnf: undefined
      })
      assert.deepInclude(principal, {
        _tag: "User",
        username: "ada@example.com",
        clientId: "0oa1client",
        scopes: ["openid", "profile"]
      })
      assert.isTrue(Object.isFrozen(claims) && Object.isFrozen(principal))
      const token = SubjectToken.of(principal)
      assert.strictEqual(token === undefined ? token : Redacted.value(token), "a")
      assert.isUndefined(SubjectToken.of({ ...principal }))
      assert.strictEqual((yield* verify(Redacted.make("a"))).principal, principal)
    }))

  it.effect("is a principal by the names of access tokens, where Okta answers in those", () =>
    Effect.gen(function*() {
      const { show, state } = yield* arrange("only")
      state.says = { client_id: undefined, username: undefined, cid: "0oa2", preferred_username: "ada" }
      assert.deepInclude((yield* show("a")).principal, { username: "ada", clientId: "0oa2" })
    }))

  it.effect("is remembered no longer than it lasts", () =>
    Effect.gen(function*() {
      const { asked, state, tagOf } = yield* arrange("only", { clockTolerance: "0 seconds" })
      state.says = { exp: now + 10 }
      yield* tagOf("a")
      yield* TestClock.adjust("9999 millis")
      assert.strictEqual(yield* tagOf("a"), "good")
      yield* TestClock.adjust("1 millis")
      assert.strictEqual(yield* tagOf("a"), "TokenExpired")
      assert.lengthOf(asked, 2)
    }))

  it.effect("says itself to which key it is bound where Okta leaves that out", () =>
    Effect.gen(function*() {
      const { show, state, tagOf } = yield* arrange("only")
      const cnf = { jkt: "thumbprint" }
      assert.deepStrictEqual((yield* show(key.token({ cnf }))).claims["cnf"], cnf)
      assert.isUndefined((yield* show(key.token())).claims["cnf"])
      state.says = { token_type: "DPoP" }
      assert.strictEqual(yield* tagOf(key.token({ cnf, jti: "2" })), "good")
      for (const strange of [key.token({ jti: "3" }), key.signText("{\"alg\":\"ES256\"}", "no object"), "opaque"]) {
        assert.strictEqual(yield* tagOf(strange), "IntrospectionUnavailable")
      }
      state.says = { cnf: { jkt: "Okta's" } }
      assert.deepStrictEqual((yield* show(key.token({ cnf, jti: "4" }))).claims["cnf"], { jkt: "Okta's" })
    }))

  it.effect("is not asked about at all where it can be none; each question counts, and nothing that is remembered", () =>
    Effect.gen(function*() {
      const { asked, counted, tagOf } = yield* arrange("only", { maxTokenLength: 256 })
      const none = ["", "=", "a b", "a=b", "a,b", "a\"", "ä", "\na", "a\n", " a", "x".repeat(257)]
      for (const text of none) assert.strictEqual(yield* tagOf(text), "MalformedToken", text)
      assert.deepStrictEqual(asked, [])
      const some = ["a", "A9-._~+/", "a=", "a==", "x".repeat(256)]
      for (const text of some) assert.strictEqual(yield* tagOf(text), "good", text)
      yield* tagOf("a")
      assert.deepStrictEqual(asked, some)
      assert.deepStrictEqual(["MalformedToken", "success"].map(counted), [none.length, some.length])
    }))
})

describe("a token that was verified, and that Okta is asked about as well", () => {
  it.effect("is asked about only if it is good, and speaks for itself", () =>
    Effect.gen(function*() {
      const { asked, show, state, tagOf, verify } = yield* arrange("recheck")
      state.below = new InvalidSignature({ kid: "x", algorithm: "ES256" })
      assert.strictEqual(yield* tagOf("a"), "InvalidSignature")
      assert.deepStrictEqual(asked, [])
      state.below = undefined
      assert.deepStrictEqual((yield* show("a")).claims, goodClaims)
      assert.deepStrictEqual((yield* verify(Redacted.make("a"))).claims, goodClaims)
      state.below = new InvalidSignature({ kid: "x", algorithm: "ES256" })
      assert.strictEqual(yield* tagOf("a"), "InvalidSignature")
    }))

  it.effect("is the one of which Okta speaks, as far as both have a name", () =>
    Effect.gen(function*() {
      const { said, state } = yield* arrange("recheck")
      assert.strictEqual(yield* said({ jti: "AT.1" }), "good")
      assert.strictEqual(yield* said({ jti: "AT.2" }), "IntrospectionUnavailable")
      const { jti: _, ...nameless } = goodClaims
      state.claims = nameless
      assert.strictEqual(yield* said({ jti: "AT.2" }), "good")
    }))

  it.effect("keeps what Okta leaves out, and is held against that too", () =>
    Effect.gen(function*() {
      const { said, state } = yield* arrange("recheck", { allowedClients: "0oa1client" })
      state.claims = { ...goodClaims, cid: "0oaOther" }
      assert.strictEqual(yield* said({ client_id: undefined }), "ClientNotAllowed")
      assert.strictEqual(yield* said({}), "good")
    }))
})
