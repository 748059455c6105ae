import { Clock, Effect, Layer, Redacted } from "effect"
import { HttpClient, HttpClientResponse } from "effect/http"
import { TestClock } from "effect/testing"
import { constants, generateKeyPairSync, type KeyObject, sign } from "node:crypto"
import type { Algorithm } from "../../src/config/Algorithm.ts"
import { OktaConfig, type OktaOptions } from "../../src/config/OktaConfig.ts"
import { Discovery } from "../../src/provider/Discovery.ts"
import { Jwks } from "../../src/provider/Jwks.ts"
import { OktaHttp } from "../../src/provider/OktaHttp.ts"
import { Signature } from "../../src/token/Signature.ts"
import { TokenVerifier, type VerifierOptions } from "../../src/token/TokenVerifier.ts"

export const issuer = "https://test.okta.com/oauth2/default"
export const audience = "api://default"

/** The time in these tests, in seconds since 1970. */
export const now = 1_700_000_000

interface Method {
  readonly digest: string | null
  readonly generate: () => { readonly publicKey: KeyObject; readonly privateKey: KeyObject }
  readonly options?: { readonly dsaEncoding: "ieee-p1363" } | { readonly padding: number; readonly saltLength: number }
}

const rsa = () => generateKeyPairSync("rsa", { modulusLength: 2048 })
const ec = (namedCurve: string) => () => generateKeyPairSync("ec", { namedCurve })
const p1363 = { dsaEncoding: "ieee-p1363" } as const
const pss = { padding: constants.RSA_PKCS1_PSS_PADDING, saltLength: constants.RSA_PSS_SALTLEN_DIGEST }
const ed25519 = { digest: null, generate: () => generateKeyPairSync("ed25519") }

const methods: { readonly [A in Algorithm]: Method } = {
  RS256: { digest: "sha256", generate: rsa },
  PS256: { digest: "sha256", generate: rsa, options: pss },
  PS384: { digest: "sha384", generate: rsa, options: pss },
  PS512: { digest: "sha512", generate: rsa, options: pss },
  ES256: { digest: "sha256", generate: ec("P-256"), options: p1363 },
  ES384: { digest: "sha384", generate: ec("P-384"), options: p1363 },
  ES512: { digest: "sha512", generate: ec("P-521"), options: p1363 },
  EdDSA: ed25519,
  Ed25519: ed25519
}

/** A key of the issuer's, and what can be signed with it: anything at all, unlike with a library. */
export const makeKey = (algorithm: Algorithm, kid: string = algorithm) => {
  const { digest, generate, options } = methods[algorithm]
  const { privateKey, publicKey } = generate()
  const signText = (header: string | Uint8Array, payload: string | Uint8Array) => {
    const input = `${Buffer.from(header).toString("base64url")}.${Buffer.from(payload).toString("base64url")}`
    return `${input}.${sign(digest, Buffer.from(input), { key: privateKey, ...options }).toString("base64url")}`
  }
  return {
    algorithm,
    kid,
    published: { ...publicKey.export({ format: "jwk" }), kid, alg: algorithm, use: "sig" },
    /** A token of these very texts or bytes. */
    signText,
    /** An access token with these claims on top of the usual ones; `undefined` takes one away. */
    token: (claims: object = {}, header: object = {}) =>
      signText(JSON.stringify({ alg: algorithm, kid, ...header }), JSON.stringify({ ...goodClaims, ...claims }))
  }
}

/** An Okta access token's claims. */
export const goodClaims = {
  ver: 1,
  jti: "AT.1",
  iss: issuer,
  aud: audience,
  iat: now,
  exp: now + 3600,
  cid: "0oa1client",
  uid: "00u1ada",
  scp: ["openid", "profile"],
  sub: "ada@example.com"
}

/** What the issuer publishes; tests change it to rotate and withdraw keys. */
export interface Published {
  keys: ReadonlyArray<object>
  /** The issuer's clock minus ours, in seconds; without it the answers have no date. */
  readonly clockSkew?: number
}

/** The issuer's metadata and keys, as an HTTP client sees them. */
const clientOf = (published: Published) =>
  HttpClient.make((request, url) =>
    Effect.map(Clock.currentTimeMillis, (millis) => {
      const document = url.pathname.endsWith("/keys")
        ? { keys: published.keys }
        : { issuer, jwks_uri: `${issuer}/v1/keys` }
      const { clockSkew } = published
      const headers = clockSkew === undefined ? {} : { date: new Date(millis + clockSkew * 1000).toUTCString() }
      return HttpClientResponse.fromWeb(request, Response.json(document, { headers }))
    })
  )

export interface VerifierSetup extends VerifierOptions {
  readonly settings?: Partial<OktaOptions>
  /** In place of the usual ones. */
  readonly signature?: Layer.Layer<Signature>
  readonly client?: HttpClient.HttpClient
}

/** The whole pipeline over what is published. */
export const verifierLayer = (
  published: Published,
  { client = clientOf(published), settings, signature, ...options }: VerifierSetup = {}
) =>
  TokenVerifier.layerWith(options).pipe(
    Layer.provideMerge(Jwks.layer),
    Layer.provide(Discovery.layer),
    Layer.provide(OktaHttp.layer),
    Layer.provide(signature ?? Signature.layer),
    Layer.provide(OktaConfig.layer({ issuer, audience, ...settings })),
    Layer.provide(Layer.succeed(HttpClient.HttpClient, client))
  )

/** Asks the verifier in context. */
export const verify = (token: string) =>
  Effect.flatMap(TokenVerifier, (verifier) => verifier.verify(Redacted.make(token)))

/** Runs a test at `now` with the whole pipeline, ES256 and these keys. */
export const inTest = <A, E, R>(effect: Effect.Effect<A, E, R>, setup: VerifierSetup, keys: ReadonlyArray<object>) =>
  Effect.andThen(
    TestClock.setTime(now * 1000),
    Effect.provide(effect, verifierLayer({ keys }, { ...setup, settings: { algorithms: "ES256", ...setup.settings } }))
  )
