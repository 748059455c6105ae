import { Clock, Context, Effect, Layer, Redacted, Ref } from "effect"
import { HttpClient, HttpClientError, type HttpClientRequest, HttpClientResponse } from "effect/http"
import { CompactSign, exportJWK, generateKeyPair, type GenerateKeyPairResult, type JWK } from "jose"
import type { Algorithm } from "../config/Algorithm.ts"
import type { InvalidConfiguration } from "../config/InvalidConfiguration.ts"
import { issuerKind } from "../config/IssuerUrl.ts"
import type { OktaOptions } from "../config/OktaConfig.ts"
import * as OktaAuth from "../OktaAuth.ts"

/** Ways in which a token can be wrong, each refused with the error named after it. */
export type Defect =
  /** `TokenExpired` */
  | "expired"
  /** `TokenNotYetValid` */
  | "not-yet-valid"
  /** `InvalidIssuer` */
  | "wrong-issuer"
  /** `InvalidAudience` */
  | "wrong-audience"
  /** `InvalidClaim` */
  | "no-subject"
  /** `UnknownKey` */
  | "unknown-key"
  /** `InvalidSignature` */
  | "bad-signature"
  /** `UnsupportedAlgorithm` */
  | "unsigned"
  /** `WrongTokenType` */
  | "id-token"
  /** `MalformedToken` */
  | "malformed"

/** What a token says, where it differs from that of `ada@example.com` signed in an instant ago. */
export interface TokenOptions {
  /** Claims on top of the usual ones; `undefined` takes a claim away. */
  readonly claims?: { readonly [claim: string]: unknown } | undefined
  /** Header members on top of `alg` and `kid`; `undefined` takes one away. */
  readonly header?: { readonly [member: string]: unknown } | undefined
  /** Shorthand for the claim `scp` (`openid`, `profile`, `email`). */
  readonly scopes?: ReadonlyArray<string> | undefined
  /** What is wrong with it (nothing). */
  readonly defect?: Defect | undefined
}

/** How Okta can fail. */
export type Outage =
  /** No connection. */
  | "unreachable"
  /** A connection on which no answer ever comes. */
  | "silent"
  /** Status 500. */
  | "error"
  /** Status 429 with `Retry-After: 30`. */
  | "rate-limited"
  /** Status 200 with a page of HTML. */
  | "garbage"

/** How the Okta in memory is set up. */
export interface OktaTestOptions {
  /** Its issuer (`https://test.okta.com/oauth2/default`). */
  readonly issuer?: string | undefined
  /** The audience of its tokens (`api://default`). */
  readonly audience?: string | undefined
  /** What it signs with (`RS256`). */
  readonly algorithm?: Algorithm | undefined
  /** Fails every request in this way from the start, until `restore`. */
  readonly outage?: Outage | undefined
}

interface SigningKey {
  readonly kid: string
  readonly pair: GenerateKeyPairResult
  readonly published: JWK
}

/**
 * An Okta that lives in memory, for tests without a network: real keys and real signatures, its metadata and keys served
 * through an `HttpClient` in the same process.
 *
 * **Details**
 *
 * Times come from Effect's `Clock`, so `TestClock` rules them.
 *
 * **Gotchas**
 *
 * Requests that fail are tried again a little later, and a silent Okta is waited for, so a test in an outage moves the
 * clock, or takes the outage `rate-limited`, which fails at once.
 *
 * @example
 * ```ts run
 * import { TokenVerifier } from "effect-okta"
 * import { OktaTest } from "effect-okta/testing"
 * import { Effect } from "effect"
 *
 * const program = Effect.gen(function*() {
 *   const okta = yield* OktaTest
 *   const verifier = yield* TokenVerifier
 *   return yield* verifier.verify(yield* okta.token({ scopes: ["files:read"] }))
 * })
 *
 * const { principal } = await Effect.runPromise(Effect.provide(program, OktaTest.layerAuth()))
 * console.log(principal.subject, principal.scopes) // ada@example.com [ 'files:read' ]
 * ```
 */
export class OktaTest extends Context.Service<OktaTest, {
  /** The issuer of its tokens. */
  readonly issuer: string
  /** The audience of its tokens. */
  readonly audience: string
  /** An access token as Okta would issue it, good for an hour from now, or one with a defect. */
  readonly token: (options?: TokenOptions) => Effect.Effect<Redacted.Redacted<string>>
  /** Signs with a new key from now on; the old ones stay published. */
  readonly rotateKeys: Effect.Effect<void>
  /** Publishes the current key only. */
  readonly withdrawOldKeys: Effect.Effect<void>
  /** Fails every request in this way until `restore`. */
  readonly fail: (outage: Outage) => Effect.Effect<void>
  /** Ends the outage. */
  readonly restore: Effect.Effect<void>
  /** How often the metadata and the keys were asked for so far. */
  readonly requests: Effect.Effect<{ readonly metadata: number; readonly keys: number }>
}>()("effect-okta/testing/OktaTest") {
  /** The issuer, unless another is chosen. */
  static readonly issuer = "https://test.okta.com/oauth2/default"

  /** The audience, unless another is chosen. */
  static readonly audience = "api://default"

  /**
   * The Okta in memory and everything that guards routes by it, in place of `OktaAuth.layer` in a test; fails with
   * `InvalidConfiguration`. The `HttpClient` that reaches it stays inside.
   */
  static readonly layerAuth = (
    { algorithm, ...settings }: Partial<OktaOptions> & { readonly algorithm?: Algorithm | undefined } = {}
  ): Layer.Layer<OktaTest | OktaAuth.Services, InvalidConfiguration> => {
    const issuer = settings.issuer ?? OktaTest.issuer
    const audience = settings.audience ?? OktaTest.audience
    const okta = OktaTest.layer({ issuer, audience: typeof audience === "string" ? audience : audience[0], algorithm })
    const algorithms = settings.algorithms ?? algorithm
    return OktaAuth.layer({ ...settings, issuer, audience, algorithms }).pipe(
      Layer.merge(Layer.effect(OktaTest, OktaTest)),
      Layer.provide(okta)
    )
  }

  /** The Okta in memory and the `HttpClient` that reaches it, and nothing else. */
  static readonly layer = (options: OktaTestOptions = {}): Layer.Layer<OktaTest | HttpClient.HttpClient> =>
    Layer.effectContext(
      Effect.map(
        make(options),
        ({ client, okta }) => Context.make(OktaTest, okta).pipe(Context.add(HttpClient.HttpClient, client))
      )
    )
}

const make = Effect.fnUntraced(function*(options: OktaTestOptions) {
  const issuer = options.issuer ?? OktaTest.issuer
  const audience = options.audience ?? OktaTest.audience
  const algorithm = options.algorithm ?? "RS256"
  const keysUrl = `${issuer}${issuerKind(issuer) === "org" ? "/oauth2" : ""}/v1/keys`

  const generate = Effect.fnUntraced(function*(kid: string): Effect.fn.Return<SigningKey> {
    const pair = yield* Effect.promise(() => generateKeyPair(algorithm, { extractable: true }))
    const jwk = yield* Effect.promise(() => exportJWK(pair.publicKey))
    return { kid, pair, published: { ...jwk, kid, use: "sig", alg: algorithm } }
  })
  const unpublished = yield* generate("unpublished")
  const keys = yield* Ref.make<readonly [SigningKey, ...ReadonlyArray<SigningKey>]>([yield* generate("key-1")])
  const generation = yield* Ref.make(1)
  const issued = yield* Ref.make(0)
  const outage = yield* Ref.make(options.outage)
  const requests = yield* Ref.make({ metadata: 0, keys: 0 })

  const okta = OktaTest.of({
    issuer,
    audience,
    token: Effect.fnUntraced(function*(options: TokenOptions = {}) {
      const [current] = yield* Ref.get(keys)
      const now = Math.floor((yield* Clock.currentTimeMillis) / 1000)
      const defect = options.defect === undefined ? undefined : defects[options.defect](now)
      const key = options.defect === "unknown-key" ? unpublished : current
      const claims = definedOnly({
        ver: 1,
        jti: `AT.${yield* Ref.updateAndGet(issued, (n) => n + 1)}`,
        iss: issuer,
        aud: audience,
        iat: now,
        exp: now + 3600,
        cid: "0oa1client",
        uid: "00u1ada",
        scp: options.scopes ?? ["openid", "profile", "email"],
        auth_time: now,
        sub: "ada@example.com",
        ...defect,
        ...options.claims
      })
      const header = { ...definedOnly({ alg: algorithm, kid: key.kid, ...options.header }), alg: algorithm }
      const signed = yield* Effect.promise(() =>
        new CompactSign(new TextEncoder().encode(JSON.stringify(claims)))
          .setProtectedHeader(header)
          .sign((options.defect === "bad-signature" ? unpublished : key).pair.privateKey)
      )
      const [, payload, signature] = signed.split(".")
      return Redacted.make(
        options.defect === "malformed"
          ? `${payload}.${signature}`
          : options.defect === "unsigned"
          ? `${encode({ ...header, alg: "none" })}.${payload}.${signature}`
          : signed
      )
    }),
    rotateKeys: Effect.gen(function*() {
      const next = yield* generate(`key-${yield* Ref.updateAndGet(generation, (n) => n + 1)}`)
      yield* Ref.update(keys, (old): readonly [SigningKey, ...ReadonlyArray<SigningKey>] => [next, ...old])
    }),
    withdrawOldKeys: Ref.update(keys, ([current]): readonly [SigningKey] => [current]),
    fail: (kind) => Ref.set(outage, kind),
    restore: Ref.set(outage, undefined),
    requests: Ref.get(requests)
  })

  const answer = Effect.fnUntraced(function*(url: string): Effect.fn.Return<Response> {
    switch (url) {
      case `${issuer}/.well-known/openid-configuration`:
        yield* Ref.update(requests, (count) => ({ ...count, metadata: count.metadata + 1 }))
        return Response.json({ issuer, jwks_uri: keysUrl })
      case keysUrl:
        yield* Ref.update(requests, (count) => ({ ...count, keys: count.keys + 1 }))
        return Response.json({ keys: (yield* Ref.get(keys)).map((key) => key.published) })
      default:
        return Response.json({ errorCode: "E0000007", errorSummary: "Not found: Resource not found" }, { status: 404 })
    }
  })

  const client = HttpClient.make((request, url) =>
    Effect.gen(function*() {
      const response = yield* answer(url.href)
      const kind = yield* Ref.get(outage)
      if (kind === "silent") return yield* Effect.never
      if (kind === "unreachable" || !url.href.startsWith(issuer)) return yield* unreachable(request)
      return HttpClientResponse.fromWeb(request, kind === undefined ? response : outages[kind]())
    })
  )

  return { okta, client }
})

const defects: { readonly [D in Defect]: (now: number) => { readonly [claim: string]: unknown } } = {
  expired: (now) => ({ iat: now - 7200, exp: now - 3600 }),
  "not-yet-valid": (now) => ({ iat: now + 3600, exp: now + 7200 }),
  "wrong-issuer": () => ({ iss: "https://other.okta.com/oauth2/default" }),
  "wrong-audience": () => ({ aud: "api://other" }),
  "no-subject": () => ({ sub: undefined }),
  "unknown-key": () => ({}),
  "bad-signature": () => ({}),
  unsigned: () => ({}),
  "id-token": () => ({ nonce: "n-0S6_WzA2Mj", at_hash: "77QmUPtjPfzWtF2AnpK9RQ" }),
  malformed: () => ({})
}

const outages: { readonly [O in Exclude<Outage, "unreachable" | "silent">]: () => Response } = {
  error: () => new Response("", { status: 500 }),
  "rate-limited": () =>
    Response.json({ errorCode: "E0000047", errorSummary: "API call exceeded rate limit" }, {
      status: 429,
      headers: { "retry-after": "30" }
    }),
  garbage: () => new Response("<!doctype html><title>Maintenance</title>", { headers: { "content-type": "text/html" } })
}

const unreachable = (request: HttpClientRequest.HttpClientRequest) =>
  Effect.fail(
    new HttpClientError.HttpClientError({
      reason: new HttpClientError.TransportError({ request, cause: new Error("connect ECONNREFUSED") })
    })
  )

const definedOnly = (members: { readonly [name: string]: unknown }) =>
  Object.fromEntries(Object.entries(members).filter(([, value]) => value !== undefined))

const encode = (value: unknown): string => Buffer.from(JSON.stringify(value)).toString("base64url")
