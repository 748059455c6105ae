import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import { HttpServerResponse } from "effect/http"
import { DiscoveryFailed } from "../../src/provider/Discovery.ts"
import { KeysUnavailable, UnknownKey } from "../../src/provider/Jwks.ts"
import * as Challenge from "../../src/resource/Challenge.ts"
import {
  AccessDenied,
  CheckFailed,
  InsufficientAuthentication,
  InsufficientScope
} from "../../src/resource/PolicyRefusal.ts"
import { ForbiddenOrigin } from "../../src/resource/RequestOrigin.ts"
import {
  DpopNonceRequired,
  DpopProofsUnavailable,
  InvalidDpopProof,
  InvalidTokenBinding
} from "../../src/token/DpopError.ts"
import * as TokenError from "../../src/token/TokenError.ts"

const issuer = "https://acme.okta.com/oauth2/default"
const metadataUrl = "https://mcp.example.com/.well-known/oauth-protected-resource/mcp"
const context: Challenge.ChallengeContext = {
  metadataUrl,
  scopes: ["files:read", "files:write"],
  schemes: ["Bearer"]
}

const answerOf = async (refusal: Challenge.Refusal, to: Challenge.ChallengeContext = context) => {
  const response = Challenge.answer(refusal, to)
  const { body, status } = HttpServerResponse.toWeb(response)
  // As they are sent, which those of the web would tidy up.
  const { "content-length": _, "content-type": type, ...others } = { ...response.headers }
  assert.match(String(type), /^application\/json/)
  return { status, headers: others, body: await new Response(body).json() }
}

/** What every refusal has. */
const always = {
  "access-control-allow-origin": "*",
  "access-control-expose-headers": "WWW-Authenticate, DPoP-Nonce, Retry-After",
  "cache-control": "no-store"
}

/** With a challenge: of these parameters, in this order. */
const challenged = (status: number, parameters: Readonly<Record<string, string>>) => ({
  status,
  headers: {
    ...always,
    "www-authenticate": `Bearer ${Object.entries(parameters).map(([name, value]) => `${name}="${value}"`).join(", ")}`
  },
  body: {
    ...("error" in parameters ? { error: parameters["error"] } : undefined),
    error_description: parameters["error_description"] ?? "Send an access token as a bearer token."
  }
})

const plain = (status: number, error: string, error_description: string, headers: object = {}) => ({
  status,
  headers: { ...always, ...headers },
  body: { error, error_description }
})

const scope = context.scopes.join(" ")
const invalidToken = challenged(401, {
  error: "invalid_token",
  error_description: "The access token is expired, malformed or not for this server.",
  resource_metadata: metadataUrl,
  scope
})
const uncheckable = (seconds: number) =>
  plain(503, "temporarily_unavailable", "The access token cannot be checked at the moment.", {
    "retry-after": String(seconds)
  })
const away = { issuer, reason: "it answered 500" }

const atFault: ReadonlyArray<TokenError.TokenRefused> = [
  new TokenError.MalformedToken({ reason: "it is empty" }),
  new TokenError.UnsupportedAlgorithm({ expected: ["RS256"], actual: "\"none\"" }),
  new UnknownKey({ issuer, kid: "a", known: [] }),
  new TokenError.InvalidSignature({ kid: "a", algorithm: "RS256" }),
  new TokenError.InvalidIssuer({ expected: [issuer], actual: "x" }),
  new TokenError.InvalidAudience({ expected: ["a"], actual: ["b"] }),
  new TokenError.TokenExpired({ expiredAt: 1, now: 2 }),
  new TokenError.TokenNotYetValid({ claim: "iat", validFrom: 2, now: 1 }),
  new TokenError.InvalidClaim({ claim: "sub", problem: "is missing" }),
  new TokenError.WrongTokenType({ expected: "an access token", actual: "an ID token" }),
  new TokenError.ClientNotAllowed({ allowed: ["a"] }),
  new TokenError.TokenInactive({ issuer })
]

const stepUp = (more: { readonly acrValues?: ReadonlyArray<string>; readonly maxAge?: number }) =>
  new InsufficientAuthentication({ acrValues: [], required: ["files:read"], ...more })
const stronger = {
  error: "insufficient_user_authentication",
  error_description: "This operation needs a stronger or more recent sign-in.",
  resource_metadata: metadataUrl,
  scope: "files:read"
}

const nonceNeeded = challenged(401, {
  error: "use_dpop_nonce",
  error_description: "The DPoP proof needs the nonce that is given here.",
  resource_metadata: metadataUrl,
  scope
})
const withNonce = { ...nonceNeeded, headers: { ...nonceNeeded.headers, "dpop-nonce": "n" } }

const cases: ReadonlyArray<readonly [what: string, refusal: Challenge.Refusal, expected: object]> = [
  ["no credentials", { _tag: "NoCredentials" }, challenged(401, { resource_metadata: metadataUrl, scope })],
  [
    "credentials that are not clear",
    { _tag: "MalformedCredentials", reason: "two tokens" },
    challenged(400, {
      error: "invalid_request",
      error_description: "Send exactly one token, in one Authorization header.",
      resource_metadata: metadataUrl,
      scope
    })
  ],
  ...atFault.map((error) => [error._tag, error, invalidToken] as const),
  [
    "scopes that are missing: all that are needed",
    new InsufficientScope({ required: ["a", "b"], missing: ["b"], granted: ["a"] }),
    challenged(403, {
      error: "insufficient_scope",
      error_description: "The access token does not allow this operation.",
      resource_metadata: metadataUrl,
      scope: "a b"
    })
  ],
  ["a sign-in that is not good enough", stepUp({}), challenged(401, stronger)],
  [
    "a sign-in that is too weak",
    stepUp({ acrValues: ["urn:a", "urn:b"] }),
    challenged(401, { ...stronger, acr_values: "urn:a urn:b" })
  ],
  ["a sign-in that is too old", stepUp({ maxAge: 300.9 }), challenged(401, { ...stronger, max_age: "300" })],
  ["a sign-in that has to be now", stepUp({ maxAge: 0 }), challenged(401, { ...stronger, max_age: "0" })],
  ["somebody who may not", new AccessDenied({ reason: "no" }), plain(403, "access_denied", "You may not do this.")],
  [
    "a check that failed",
    new CheckFailed({}),
    plain(503, "temporarily_unavailable", "Whether you may do this cannot be told at the moment.", {
      "retry-after": "5"
    })
  ],
  ["a message that is no JSON", { _tag: "UnclearMessage", code: "parse error", reason: "x" }, {
    status: 400,
    headers: always,
    body: { jsonrpc: "2.0", id: null, error: { code: -32700, message: "Parse error" } }
  }],
  ["a message that is no request", { _tag: "UnclearMessage", code: "invalid request", reason: "x" }, {
    status: 400,
    headers: always,
    body: { jsonrpc: "2.0", id: null, error: { code: -32600, message: "Invalid Request" } }
  }],
  [
    "a body too long",
    { _tag: "UnreadableBody", isTooLong: true },
    plain(413, "invalid_request", "The body is too long.")
  ],
  [
    "a body that breaks off",
    { _tag: "UnreadableBody", isTooLong: false },
    plain(400, "invalid_request", "The body cannot be read.")
  ],
  [
    "another origin",
    new ForbiddenOrigin({ header: "origin", actual: "https://evil.example" }),
    plain(403, "access_denied", "Requests from there are not allowed.")
  ],
  [
    "a token that is bound to a key, sent as if it were not",
    new InvalidTokenBinding({ reason: "is bound to a key" }),
    challenged(401, {
      error: "invalid_token",
      error_description: "The access token was not sent in the way that it has to be.",
      resource_metadata: metadataUrl,
      scope
    })
  ],
  [
    "a proof that is not good",
    new InvalidDpopProof({ reason: "is of the future" }),
    challenged(401, {
      error: "invalid_dpop_proof",
      error_description: "The DPoP proof is not good for this request.",
      resource_metadata: metadataUrl,
      scope
    })
  ],
  ["a proof without a nonce", new DpopNonceRequired({ nonce: "n" }), withNonce],
  [
    "proofs that cannot be told apart",
    new DpopProofsUnavailable({ reason: "the store is away" }),
    plain(503, "temporarily_unavailable", "The DPoP proof cannot be checked at the moment.", { "retry-after": "5" })
  ],
  ["no metadata of Okta's", new DiscoveryFailed(away), uncheckable(5)],
  ["no keys of Okta's, for a while", new KeysUnavailable({ ...away, retryAfter: 12_001 }), uncheckable(13)],
  [
    "no introspection, for a moment",
    new TokenError.IntrospectionUnavailable({ ...away, retryAfter: 0 }),
    uncheckable(1)
  ]
]

describe("the answer to a refused request", () => {
  for (const [what, refusal, expected] of cases) {
    it.effect(what, () => Effect.promise(async () => assert.deepStrictEqual<object>(await answerOf(refusal), expected)))
  }

  it.effect("tells of every scheme where a token is asked for, and goes on in that of the request", () =>
    Effect.promise(async () => {
      const schemes: Challenge.ChallengeContext["schemes"] = ["Bearer", "DPoP"]
      const algs = "algs=\"RS256 PS256 PS384 PS512 ES256 ES384 ES512 EdDSA Ed25519\""
      const none = await answerOf({ _tag: "NoCredentials" }, { metadataUrl: undefined, scopes: ["a"], schemes })
      assert.strictEqual(none.headers["www-authenticate"], `Bearer scope="a", DPoP ${algs}`)
      const lacking = new InsufficientScope({ required: ["b"], missing: ["b"], granted: [] })
      const forbidden = await answerOf(lacking, { metadataUrl: undefined, scopes: [], schemes })
      assert.notInclude(forbidden.headers["www-authenticate"], "DPoP")
      const dpop = await answerOf(lacking, { metadataUrl: undefined, scopes: [], schemes: ["DPoP"] })
      assert.strictEqual(
        dpop.headers["www-authenticate"],
        "DPoP error=\"insufficient_scope\", error_description=\"The access token does not allow this operation.\", " +
          `scope="b", ${algs}`
      )
    }))

  it.effect("names neither metadata nor scopes where there are none", () =>
    Effect.promise(async () => {
      const nothing: Challenge.ChallengeContext = { metadataUrl: undefined, scopes: [], schemes: ["Bearer"] }
      const none = await answerOf({ _tag: "NoCredentials" }, nothing)
      assert.strictEqual(none.headers["www-authenticate"], "Bearer")
      const bad = await answerOf(new TokenError.TokenInactive({ issuer }), nothing)
      assert.deepStrictEqual<object>(
        bad,
        challenged(401, {
          error: "invalid_token",
          error_description: "The access token is expired, malformed or not for this server."
        })
      )
    }))
})
