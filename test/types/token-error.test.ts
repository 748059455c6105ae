import { describe, expectTypeOf, it } from "@effect/vitest"
import { Effect, Layer, Redacted } from "effect"
import {
  type ClientNotAllowed,
  CurrentPrincipal,
  type Discovery,
  type DiscoveryFailed,
  type Grants,
  type IntrospectionUnavailable,
  type InvalidAudience,
  type InvalidClaim,
  type InvalidConfiguration,
  type InvalidIssuer,
  type InvalidSignature,
  type Jwks,
  type KeysUnavailable,
  type MalformedToken,
  OktaAuth,
  type OktaConfig,
  OktaSecurity,
  Policy,
  type Principal,
  type Readiness,
  type Service,
  type TokenError,
  type TokenExpired,
  type TokenInactive,
  type TokenNotYetValid,
  TokenVerifier,
  type UnknownKey,
  type UnsupportedAlgorithm,
  type UpstreamTokens,
  type User,
  type VerifiedToken,
  type WrongTokenType
} from "effect-okta"
import { OktaTest } from "effect-okta/testing"
import { type HttpBody, type HttpClient, HttpRouter, HttpServerResponse } from "effect/http"

// Checked by the compiler; `toEqualTypeOf` also refuses `any` on either side.

const token = Redacted.make("token")

const verify = TokenVerifier.use(({ verify }) => verify(token))

type ErrorOf<T> = T extends Effect.Effect<infer _A, infer E, infer _R> ? E : never

describe("the errors of the verifier", () => {
  it("are the whole family of TokenError, each its own", () => {
    expectTypeOf(verify).toEqualTypeOf<Effect.Effect<VerifiedToken, TokenError, TokenVerifier>>()
    expectTypeOf<ErrorOf<typeof verify>>().toEqualTypeOf<
      | MalformedToken
      | UnsupportedAlgorithm
      | UnknownKey
      | InvalidSignature
      | InvalidIssuer
      | InvalidAudience
      | TokenExpired
      | TokenNotYetValid
      | InvalidClaim
      | WrongTokenType
      | ClientNotAllowed
      | TokenInactive
      | DiscoveryFailed
      | KeysUnavailable
      | IntrospectionUnavailable
    >()
    expectTypeOf<TokenError["_tag"]>().toEqualTypeOf<
      | "MalformedToken"
      | "UnsupportedAlgorithm"
      | "UnknownKey"
      | "InvalidSignature"
      | "InvalidIssuer"
      | "InvalidAudience"
      | "TokenExpired"
      | "TokenNotYetValid"
      | "InvalidClaim"
      | "WrongTokenType"
      | "ClientNotAllowed"
      | "TokenInactive"
      | "DiscoveryFailed"
      | "KeysUnavailable"
      | "IntrospectionUnavailable"
    >()
  })

  it("leave the error type one by one as they are caught", () => {
    const caught = verify.pipe(
      Effect.catchTag("InvalidAudience", (error) => {
        expectTypeOf(error).toEqualTypeOf<InvalidAudience>()
        expectTypeOf(error.expected).toEqualTypeOf<ReadonlyArray<string>>()
        return Effect.succeed("another audience" as const)
      }),
      Effect.catchTag("TokenExpired", (error) => {
        expectTypeOf(error.expiredAt).toEqualTypeOf<number>()
        return Effect.succeed("expired" as const)
      }),
      Effect.catchTag("DiscoveryFailed", (error) => {
        expectTypeOf(error.retryAfter).toEqualTypeOf<number | undefined>()
        return Effect.succeed("Okta is away" as const)
      })
    )
    expectTypeOf(caught).toEqualTypeOf<
      Effect.Effect<
        VerifiedToken | "another audience" | "expired" | "Okta is away",
        | MalformedToken
        | UnsupportedAlgorithm
        | UnknownKey
        | InvalidSignature
        | InvalidIssuer
        | TokenNotYetValid
        | InvalidClaim
        | WrongTokenType
        | ClientNotAllowed
        | TokenInactive
        | KeysUnavailable
        | IntrospectionUnavailable,
        TokenVerifier
      >
    >()
  })

  it("cannot be caught by a name that none of them has", () => {
    // @ts-expect-error there is no such error
    const misspelt = verify.pipe(Effect.catchTag("InvalidAudiences", () => Effect.void))
    expectTypeOf(misspelt).not.toBeAny()
  })

  it("can all be caught, and then none is left", () => {
    const caught = verify.pipe(Effect.catch(({ _tag }) => Effect.succeed(_tag)))
    expectTypeOf<ErrorOf<typeof caught>>().toBeNever()
  })
})

describe("a verified token", () => {
  it("has typed claims, and others unknown", () => {
    expectTypeOf<VerifiedToken["claims"]["sub"]>().toEqualTypeOf<string>()
    expectTypeOf<VerifiedToken["claims"]["exp"]>().toEqualTypeOf<number>()
    expectTypeOf<VerifiedToken["claims"]["aud"]>().toEqualTypeOf<string | ReadonlyArray<string>>()
    expectTypeOf<VerifiedToken["claims"]["role"]>().toEqualTypeOf<unknown>()
    expectTypeOf<keyof VerifiedToken>().toEqualTypeOf<"claims" | "principal">()
  })

  it("speaks for a person or a service", () => {
    expectTypeOf<VerifiedToken["principal"]>().toEqualTypeOf<Principal>()
    expectTypeOf<Principal>().toEqualTypeOf<User | Service>()
    expectTypeOf<Principal["_tag"]>().toEqualTypeOf<"User" | "Service">()
    expectTypeOf<User["email"]>().toEqualTypeOf<string | undefined>()
    expectTypeOf(CurrentPrincipal.use(Effect.succeed)).toEqualTypeOf<
      Effect.Effect<Principal, never, CurrentPrincipal>
    >()
  })
})

describe("the front door", () => {
  type Services =
    | OktaConfig
    | Discovery
    | Jwks
    | TokenVerifier
    | OktaAuth.Endpoints
    | Readiness
    | UpstreamTokens
    | Grants
  type StartError = InvalidConfiguration | DiscoveryFailed | KeysUnavailable

  const options = { issuer: "https://acme.okta.com", audience: "api://default" }

  it("the layer needs an HttpClient, and only wrong settings keep it from being built", () => {
    type Lazy = Layer.Layer<Services, InvalidConfiguration, HttpClient.HttpClient>
    expectTypeOf(OktaAuth.layer(options)).toEqualTypeOf<Lazy>()
    expectTypeOf(OktaAuth.layer({ ...options, failFast: false, cacheSize: 10 })).toEqualTypeOf<Lazy>()
    expectTypeOf(OktaAuth.layerConfig()).toEqualTypeOf<Lazy>()
    expectTypeOf(OktaAuth.layerConfig({ protectedPaths: "/mcp" })).toEqualTypeOf<Lazy>()
  })

  it("with failFast it tells of Okta's trouble too", () => {
    type Eager = Layer.Layer<Services, StartError, HttpClient.HttpClient>
    expectTypeOf<OktaAuth.StartError>().toEqualTypeOf<StartError>()
    expectTypeOf(OktaAuth.layer({ ...options, failFast: true })).toEqualTypeOf<Eager>()
    expectTypeOf(OktaAuth.layerConfig({ failFast: true })).toEqualTypeOf<Eager>()
    expectTypeOf(OktaAuth.layer({ ...options, failFast: "".length > 0 })).toEqualTypeOf<Eager>()
  })

  it("options are checked", () => {
    // @ts-expect-error an issuer is needed
    expectTypeOf(OktaAuth.layer).toBeCallableWith({ audience: "api://default" })
    expectTypeOf(OktaAuth.layer).toBeCallableWith({ issuers: [options, { ...options, accept: "id-token" }] })
    // @ts-expect-error each issuer has an audience
    expectTypeOf(OktaAuth.layer).toBeCallableWith({ issuers: [{ issuer: options.issuer }] })
    // @ts-expect-error one issuer or several, not both
    expectTypeOf(OktaAuth.layer).toBeCallableWith({ ...options, issuers: [options] })
    // @ts-expect-error symmetric algorithms are never accepted
    expectTypeOf(OktaAuth.layer).toBeCallableWith({ issuer: "https://acme.okta.com", algorithms: ["HS256"] })
    // @ts-expect-error a secret must not be readable
    expectTypeOf(OktaAuth.layer).toBeCallableWith({ issuer: "https://acme.okta.com", clientSecret: "secret" })
  })

  it("a policy about people is none about whoever calls", () => {
    const people: Policy<User> = Policy.any([{ check: ({ email }) => Effect.succeed(email !== undefined) }, {
      groups: "A"
    }])
    const callers: Policy = Policy.all([{ check: ({ clientId }) => Effect.succeed(clientId !== undefined) }, {
      scopes: "a"
    }])
    expectTypeOf(OktaAuth.layer).toBeCallableWith({ ...options, admit: people })
    expectTypeOf(OktaAuth.layer).toBeCallableWith({ ...options, admit: callers })
    expectTypeOf(OktaAuth.guard).toBeCallableWith(callers)
    // @ts-expect-error the caller may be a service
    expectTypeOf(OktaAuth.guard).toBeCallableWith(people)
    // @ts-expect-error there is no such part
    expectTypeOf(OktaAuth.guard).toBeCallableWith({ scope: "a" })
  })

  it("the guard satisfies what handlers need, and needs the settings and the verifier", () => {
    const route = HttpRouter.add("GET", "/", CurrentPrincipal.use(({ scopes }) => HttpServerResponse.json(scopes)))
    expectTypeOf(route).toEqualTypeOf<
      Layer.Layer<
        never,
        never,
        | HttpRouter.HttpRouter
        | HttpRouter.Request<"Requires", CurrentPrincipal>
        | HttpRouter.Request<"Error", HttpBody.HttpBodyError>
      >
    >()
    const guard = OktaAuth.guard({ scopes: ["files:read"] })
    expectTypeOf(guard.layer).toEqualTypeOf<
      Layer.Layer<HttpRouter.Request<"Requires", CurrentPrincipal>, never, OktaConfig | TokenVerifier>
    >()
    const guarded = route.pipe(Layer.provide(guard.layer))
    expectTypeOf(guarded).toEqualTypeOf<
      Layer.Layer<
        never,
        never,
        HttpRouter.HttpRouter | HttpRouter.Request<"Error", HttpBody.HttpBodyError> | OktaConfig | TokenVerifier
      >
    >()
  })

  it("the routes and the checks of health need a router", () => {
    expectTypeOf(OktaAuth.routes).toEqualTypeOf<
      Layer.Layer<never, never, HttpRouter.HttpRouter | OktaConfig | TokenVerifier | OktaAuth.Endpoints>
    >()
    expectTypeOf(OktaAuth.health).toEqualTypeOf<Layer.Layer<never, never, HttpRouter.HttpRouter | Readiness>>()
  })

  it("the security of an HttpApi is a layer over the settings and the verifier", () => {
    expectTypeOf(OktaSecurity.layer).toEqualTypeOf<Layer.Layer<OktaSecurity, never, OktaConfig | TokenVerifier>>()
  })

  it("the Okta of tests is all that the layer needs", () => {
    expectTypeOf(OktaTest.layer()).toEqualTypeOf<Layer.Layer<OktaTest | HttpClient.HttpClient>>()
    const okta = OktaAuth.layer({ issuer: OktaTest.issuer, audience: OktaTest.audience }).pipe(
      Layer.provideMerge(OktaTest.layer())
    )
    expectTypeOf(okta).toEqualTypeOf<Layer.Layer<Services | OktaTest | HttpClient.HttpClient, InvalidConfiguration>>()
  })
})
