import { Context, Effect, Layer } from "effect"
import { HttpClient, HttpClientResponse } from "effect/http"
import { constants, createHmac, generateKeyPairSync, type KeyObject, sign } from "node:crypto"
import { OktaTest } from "../../src/testing/OktaTest.ts"
import { startedAt } from "./GuardedServer.ts"

/** A key pair whose public half may be published. */
export interface RawKey {
  readonly kid: string
  readonly privateKey: KeyObject
  readonly publicKey: KeyObject
}

const rsa = (kid: string): RawKey => ({ kid, ...generateKeyPairSync("rsa", { modulusLength: 2048 }) })

/** The public half as it stands in a key set, without `alg`. */
export const published = ({ kid, publicKey }: RawKey): { readonly [member: string]: unknown } => ({
  ...publicKey.export({ format: "jwk" }),
  kid,
  use: "sig"
})

/**
 * An issuer that hands out its keys, so that a test can sign any bytes with them. It publishes `key`, `other` and `ec`; not
 * `stranger`.
 */
export class RawIssuer extends Context.Service<RawIssuer, {
  readonly key: RawKey
  readonly other: RawKey
  readonly ec: RawKey
  readonly stranger: RawKey
  /** The published keys. */
  jwks: ReadonlyArray<unknown>
  /** Every address that was asked for. */
  readonly requests: Array<string>
  /** A token by `key`, of a header and a payload as they stand: texts, bytes, or values turned into JSON. */
  readonly token: (token?: RawToken) => string
}>()("test/RawIssuer") {
  static readonly layer: Layer.Layer<RawIssuer | HttpClient.HttpClient> = Layer.effectContext(Effect.sync(() => {
    const key = rsa("rsa-1")
    const other = rsa("rsa-2")
    const ec = { kid: "ec-1", ...generateKeyPairSync("ec", { namedCurve: "P-256" }) }
    const issuer = RawIssuer.of({
      key,
      other,
      ec,
      stranger: rsa("stranger"),
      jwks: [published(key), published(other), published(ec)],
      requests: [],
      token: ({ alg = "RS256", key: by = key, header = goodHeader(alg, by), payload = goodClaims() } = {}) =>
        signed(header, payload, alg, by)
    })
    const documents = (url: string) =>
      url === `${OktaTest.issuer}/.well-known/openid-configuration`
        ? Response.json({ issuer: OktaTest.issuer, jwks_uri: `${OktaTest.issuer}/v1/keys` })
        : url === `${OktaTest.issuer}/v1/keys`
        ? Response.json({ keys: issuer.jwks })
        : new Response("", { status: 404 })
    const client = HttpClient.make((request, url) =>
      Effect.sync(() => {
        issuer.requests.push(url.href)
        return HttpClientResponse.fromWeb(request, documents(url.href))
      })
    )
    return Context.make(RawIssuer, issuer).pipe(Context.add(HttpClient.HttpClient, client))
  }))
}

/** Anything that a part of a token can be made of. */
export type Part = string | Uint8Array | { readonly [member: string]: unknown }

/** A token that is signed as it stands. */
export interface RawToken {
  readonly header?: Part
  readonly payload?: Part
  /** How it is signed, whatever the header says. */
  readonly alg?: RawAlgorithm
  readonly key?: RawKey
}

/** The header of a good token. */
export const goodHeader = (alg: string, { kid }: { readonly kid: string }) => ({ alg, kid })

/** The claims of a good token. */
export const goodClaims = (claims: { readonly [claim: string]: unknown } = {}) => ({
  iss: OktaTest.issuer,
  aud: OktaTest.audience,
  sub: "ada@example.com",
  iat: startedAt,
  exp: startedAt + 3600,
  cid: "0oa1client",
  uid: "00u1ada",
  scp: ["openid"],
  ...claims
})

/** A part as it stands in a token. */
export const encode = (part: Part): string =>
  Buffer.from(typeof part === "string" || part instanceof Uint8Array ? part : JSON.stringify(part)).toString(
    "base64url"
  )

const signed = (header: Part, payload: Part, alg: RawAlgorithm, key: RawKey): string => {
  const input = `${encode(header)}.${encode(payload)}`
  return `${input}.${signatures[alg](Buffer.from(input), key).toString("base64url")}`
}

const pkcs1 = (digest: string) => (input: Buffer, { privateKey }: RawKey) => sign(digest, input, privateKey)

const signatures = {
  RS256: pkcs1("sha256"),
  RS512: pkcs1("sha512"),
  PS256: (input: Buffer, { privateKey }: RawKey) =>
    sign("sha256", input, {
      key: privateKey,
      padding: constants.RSA_PKCS1_PSS_PADDING,
      saltLength: constants.RSA_PSS_SALTLEN_DIGEST
    }),
  ES256: (input: Buffer, { privateKey }: RawKey) =>
    sign("sha256", input, { key: privateKey, dsaEncoding: "ieee-p1363" }),
  /** Keyed with the PEM of the public key, which anybody can have. */
  HS256: (input: Buffer, { publicKey }: RawKey) =>
    createHmac("sha256", publicKey.export({ format: "pem", type: "spki" })).update(input).digest(),
  /** No signature at all. */
  none: () => Buffer.alloc(0)
}

/** How a token can be signed. */
export type RawAlgorithm = keyof typeof signatures
