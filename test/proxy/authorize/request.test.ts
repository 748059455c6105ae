import { assert, describe, it } from "@effect/vitest"
import { Effect, Option, Result } from "effect"
import type { OktaOptions } from "../../../src/config/OktaConfig.ts"
import * as AuthorizationRequest from "../../../src/proxy/authorize/AuthorizationRequest.ts"
import { addressOf, parse } from "../../../src/proxy/authorize/Parameters.ts"
import type { Client } from "../../../src/proxy/client/Client.ts"
import { proxySettings } from "../../../src/proxy/ProxySettings.ts"
import { configLayer, serverUrl } from "../ProxyTest.ts"

const redirectUri = "https://client.example.com/cb"
const challenge = "c".repeat(43)
const key = "k".repeat(43)

const client: Client = {
  clientId: "client",
  origin: "registered",
  metadata: {
    redirect_uris: [redirectUri],
    client_name: "Example",
    token_endpoint_auth_method: "none",
    grant_types: ["authorization_code"],
    application_type: "web"
  }
}

type Changes = Readonly<Record<string, string | undefined>>

/** The text of a request with everything in order, but for the changes, and more behind. */
const textOf = (changes: Changes = {}, more = "") =>
  new URLSearchParams(
    Object.entries({
      response_type: "code",
      client_id: "client",
      redirect_uri: redirectUri,
      code_challenge: challenge,
      code_challenge_method: "S256",
      ...changes
    }).flatMap(([name, value]): Array<[string, string]> => value === undefined ? [] : [[name, value]])
  ) + more

/** The request as it is led on by GET. */
const onward = (text: string) => addressOf("", parse(text), AuthorizationRequest.parameters).slice(1)

const prove = (text: string) =>
  AuthorizationRequest.prove(parse(text), (id) => Effect.succeed(id === "client" ? Option.some(client) : Option.none()))

const settingsOf = (options: Partial<OktaOptions> = {}) =>
  Effect.orDie(Effect.provide(
    proxySettings,
    configLayer({
      scopesSupported: ["read", "write", "files:*"],
      requiredScopes: ["read", "must"],
      protectedPaths: ["/mcp"],
      ...options
    })
  ))

const read = Effect.fnUntraced(function*(text: string, options: Partial<OktaOptions> = {}, by = client) {
  const address = { redirectUri, state: undefined }
  return AuthorizationRequest.read(parse(text), { address, client: by }, yield* settingsOf(options))
})

describe("the client and the redirect URI of a request", () => {
  it.effect("are proven, and nothing else is looked at", () =>
    Effect.gen(function*() {
      const state = "s".repeat(2048)
      const proven = yield* prove(textOf({ state, response_type: undefined, prompt: "x" }, "&scope=a&scope=b"))
      assert.deepStrictEqual(proven, { client, address: { redirectUri, state } })
      assert.deepStrictEqual(yield* prove(onward(textOf({ state }))), proven)
      assert.deepStrictEqual((yield* prove(textOf())).address, { redirectUri, state: undefined })
    }))

  const cases: ReadonlyArray<readonly [what: string, text: string, reason: string, code?: string]> = [
    ["no client_id", textOf({ client_id: undefined }), "client_id is missing"],
    ["a client_id twice", textOf({}, "&client_id=client"), "client_id is there more than once"],
    ["a redirect_uri twice", textOf({}, `&redirect_uri=${redirectUri}`), "redirect_uri is there more than once"],
    ["a state twice", textOf({}, "&state=a&state=b"), "state is there more than once"],
    ["a response_mode twice", textOf({}, "&response_mode=query&response_mode=query"), "response_mode is there more"],
    ["another client_id", textOf({ client_id: "Client" }), "client_id is not known", "invalid_client"],
    ["no redirect_uri", textOf({ redirect_uri: undefined }), "redirect_uri is missing"],
    [
      "another redirect_uri",
      textOf({ redirect_uri: `${redirectUri}/` }),
      "not one that the application has registered"
    ],
    ["a state of 2049 characters", textOf({ state: "s".repeat(2049) }), "state is longer than 2048"]
  ]
  for (const [what, text, reason, code = "invalid_request"] of cases) {
    it.effect(`are not with ${what}`, () =>
      Effect.gen(function*() {
        const error = yield* Effect.flip(prove(text))
        assert(error._tag === "UnprovenRequest")
        assert.strictEqual(error.code, code)
        assert.include(error.message, reason)
      }))
  }
})

describe("the rest of a request", () => {
  const plain = {
    clientId: "client",
    clientName: "Example",
    redirectUri,
    state: undefined,
    scopes: ["read", "must"],
    resource: serverUrl,
    codeChallenge: challenge
  }

  const good: ReadonlyArray<readonly [what: string, text: string, approved: object, options?: Partial<OktaOptions>]> = [
    ["nothing more", textOf(), {}],
    ["what means nothing here", textOf({ response_mode: "query", display: "page", prompt: "x" }), {}],
    ["a resource", textOf({ resource: `${serverUrl}/mcp` }), { resource: `${serverUrl}/mcp` }],
    ["scopes, each once", textOf({ scope: "write  read write" }), { scopes: ["write", "read"] }],
    ["required scopes", textOf({ scope: "must" }), { scopes: ["must"] }],
    [
      "scopes of everybody",
      textOf({ scope: "openid profile email offline_access" }),
      { scopes: ["openid", "profile", "email", "offline_access"] }
    ],
    ["no scopes in words", textOf({ scope: " " }), {}],
    ["a key", textOf({ dpop_jkt: key }), { dpopKey: key }],
    ["a key where there are none", textOf({ dpop_jkt: "x" }), {}, { dpop: "off" }],
    ["consent once more", textOf({ prompt: "consent" }), { asksAgain: true }],
    ["another sign-in", textOf({ prompt: "login" }), { prompt: "login" }],
    ["another account", textOf({ prompt: "select_account" }), { prompt: "login" }],
    ["both", textOf({ prompt: "login consent" }), { prompt: "login", asksAgain: true }],
    ["a time", textOf({ max_age: "0" }), { maxAge: 0 }],
    ["a long time", textOf({ max_age: "999999999" }), { maxAge: 999_999_999 }],
    ["a strength", textOf({ acr_values: "~" }), { acrValues: "~" }],
    ["strengths", textOf({ acr_values: `!${" ~".repeat(249)}x` }), { acrValues: `!${" ~".repeat(249)}x` }]
  ]
  for (const [what, text, approved, options] of good) {
    it.effect(`may ask for ${what}`, () =>
      Effect.gen(function*() {
        assert.deepStrictEqual(yield* read(text, options), Result.succeed({ ...plain, ...approved }))
        assert.deepStrictEqual(yield* read(onward(text), options), Result.succeed({ ...plain, ...approved }))
      }))
  }

  it.effect("goes along with the name of the client, if it has one", () =>
    Effect.gen(function*() {
      const { clientName: _, ...nameless } = plain
      const { client_name: __, ...metadata } = client.metadata
      const approved = yield* read(textOf(), {}, { ...client, metadata })
      assert.deepStrictEqual(approved, Result.succeed(nameless))
    }))

  const bad: ReadonlyArray<readonly [text: string, code: string, description: string]> = [
    [textOf({}, "&scope=read&scope=write"), "invalid_request", "more than once"],
    [textOf({}, "&unknown=1&unknown=2"), "invalid_request", "more than once"],
    [textOf({}, "&resource=a&resource=b&x=1&x=2"), "invalid_request", "more than once"],
    [textOf({ request: "e30.e30." }), "request_not_supported", "themselves"],
    [textOf({ request_uri: "https://x.example" }), "request_uri_not_supported", "themselves"],
    [textOf({ response_type: undefined }), "unsupported_response_type", "code"],
    [textOf({ response_type: "token" }), "unsupported_response_type", "code"],
    [textOf({ response_mode: "fragment" }), "invalid_request", "response_mode"],
    [onward(textOf({ response_mode: "fragment" })), "invalid_request", "response_mode"],
    [textOf({ code_challenge: undefined }), "invalid_request", "code_challenge (PKCE) is missing"],
    [textOf({ code_challenge_method: undefined }), "invalid_request", "S256"],
    [textOf({ code_challenge_method: "plain" }), "invalid_request", "S256"],
    [textOf({ code_challenge: `${challenge}c` }), "invalid_request", "43"],
    [textOf({ code_challenge: `+${challenge}` }), "invalid_request", "43"],
    [textOf({ code_challenge: `${challenge}=` }), "invalid_request", "43"],
    [textOf({ code_challenge: challenge.slice(1) }), "invalid_request", "43"],
    [textOf({ dpop_jkt: `${key}k` }), "invalid_request", "dpop_jkt"],
    [textOf({ dpop_jkt: `=${key}` }), "invalid_request", "dpop_jkt"],
    [textOf({ dpop_jkt: key.slice(1) }), "invalid_request", "dpop_jkt"],
    [textOf({ dpop_jkt: "" }, "&dpop_jkt=+"), "invalid_request", "dpop_jkt"],
    [textOf({ resource: "https://other.example.com" }), "invalid_target", "resource"],
    [textOf({}, `&resource=${serverUrl}&resource=${serverUrl}`), "invalid_target", "resource"],
    [textOf({ scope: "read unknown" }), "invalid_scope", "scope"],
    [textOf({ scope: "read\twrite" }), "invalid_scope", "scope"],
    [textOf({ scope: "READ" }), "invalid_scope", "scope"],
    [textOf({ scope: "toString" }), "invalid_scope", "scope"],
    [textOf({ prompt: "none" }), "consent_required", "prompt=none"],
    [textOf({ prompt: "login none" }), "consent_required", "prompt=none"],
    [textOf({ max_age: "-1" }), "invalid_request", "max_age"],
    [textOf({ max_age: "1x" }), "invalid_request", "max_age"],
    [textOf({ max_age: "1.5" }), "invalid_request", "max_age"],
    [textOf({ max_age: "1234567890" }), "invalid_request", "max_age"],
    [textOf({ acr_values: " x" }), "invalid_request", "acr_values"],
    [textOf({ acr_values: "x\t" }), "invalid_request", "acr_values"],
    [textOf({ acr_values: "é" }), "invalid_request", "acr_values"],
    [textOf({ acr_values: "xé" }), "invalid_request", "acr_values"],
    [textOf({ acr_values: "x".repeat(501) }), "invalid_request", "acr_values"]
  ]
  for (const [text, code, description] of bad) {
    it.effect(`is refused with ${code}: ${decodeURIComponent(text.slice(0, 400))}`, () =>
      Effect.gen(function*() {
        const { failure } = Result.getOrThrow(Result.map(Result.flip(yield* read(text)), (failure) => ({ failure })))
        assert.strictEqual(failure.code, code)
        assert.include(failure.description, description)
      }))
  }
})

it.effect("the scopes that mean something here are those that are offered, those that are required, and everybody's", () =>
  Effect.gen(function*() {
    assert.sameMembers([...AuthorizationRequest.knownScopes(yield* settingsOf())], [
      "read",
      "write",
      "files:*",
      "must",
      "openid",
      "profile",
      "email",
      "offline_access"
    ])
  }))
