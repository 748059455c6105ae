import { Clock, Effect, Redacted, Schema } from "effect"
import type { JWK } from "jose"
import { SignJWT } from "jose/jwt/sign"
import { importJWK } from "jose/key/import"
import { randomUUID } from "node:crypto"
import { InvalidConfiguration } from "../config/InvalidConfiguration.ts"

/** What an application in Okta is known by: its id, and either a secret or a key of its own. */
export interface CredentialsOptions {
  readonly clientId: string
  readonly clientSecret?: Redacted.Redacted<string> | undefined
  /** A private JWK as JSON, whose public part Okta has. */
  readonly clientKey?: Redacted.Redacted<string> | undefined
}

/** What proves to Okta that a form comes from this server. */
export interface Proof {
  readonly headers?: { readonly [name: string]: string }
  readonly fields?: { readonly [name: string]: string }
}

/** Makes the proof for a form to the endpoint at this URL. */
export type ClientCredentials = (url: string) => Effect.Effect<Proof>

/** How long a signed proof is good, in seconds. */
const lifetime = 60

const PrivateKey = Schema.fromJsonString(Schema.Struct({
  kty: Schema.String,
  kid: Schema.optionalKey(Schema.String),
  alg: Schema.optionalKey(Schema.String),
  crv: Schema.optionalKey(Schema.String)
}))

const algorithms: { readonly [kind: string]: string } = {
  "RSA": "RS256",
  "P-256": "ES256",
  "P-384": "ES384",
  "P-521": "ES512",
  "Ed25519": "EdDSA"
}

/**
 * By `client_secret_basic` (RFC 6749 section 2.3.1), or `private_key_jwt` (OpenID Connect Core section 9, RFC 7523). Fails with
 * `InvalidConfiguration` on a key that cannot sign, and unless exactly one of secret and key is there.
 */
export const make = Effect.fnUntraced(function*(
  { clientId, clientKey, clientSecret }: CredentialsOptions
): Effect.fn.Return<ClientCredentials, InvalidConfiguration> {
  if (clientId.trim() === "") return yield* mistake("clientId", "is empty. Give the id of the application in Okta.")
  if (clientKey === undefined && clientSecret === undefined) {
    return yield* mistake("clientSecret", "is missing. Give the application's secret, or its private key in clientKey.")
  }
  if (clientKey !== undefined && clientSecret !== undefined) {
    return yield* mistake("clientKey", "is given beside clientSecret. Remove one of them.")
  }
  if (clientKey !== undefined) return yield* signed(clientId, clientKey)
  const secret = clientSecret === undefined ? "" : Redacted.value(clientSecret)
  const basic = Buffer.from(`${formEncoded(clientId)}:${formEncoded(secret)}`).toString("base64")
  return () => Effect.succeed({ headers: { authorization: `Basic ${basic}` } })
})

const mistake = (field: keyof CredentialsOptions, message: string) =>
  new InvalidConfiguration({ problems: [{ field, message }] })

const signed = Effect.fnUntraced(function*(
  clientId: string,
  text: Redacted.Redacted<string>
): Effect.fn.Return<ClientCredentials, InvalidConfiguration> {
  const jwk = yield* Schema.decodeEffect(PrivateKey)(Redacted.value(text)).pipe(Effect.mapError(() => unusable))
  const alg = jwk.alg ?? algorithms[jwk.crv ?? jwk.kty]
  if (alg === undefined) return yield* unusable
  const key = yield* Effect.tryPromise({
    try: () => importJWK(readJwk(Redacted.value(text)), alg),
    catch: () => unusable
  })
  if (key instanceof Uint8Array || key.type !== "private") return yield* unusable
  return Effect.fnUntraced(function*(url) {
    const now = Math.floor((yield* Clock.currentTimeMillis) / 1000)
    const assertion = yield* Effect.promise(() =>
      new SignJWT()
        .setProtectedHeader({ alg, typ: "JWT", ...(jwk.kid === undefined ? undefined : { kid: jwk.kid }) })
        .setIssuer(clientId)
        .setSubject(clientId)
        .setAudience(url)
        .setJti(randomUUID())
        .setIssuedAt(now)
        .setExpirationTime(now + lifetime)
        .sign(key)
    )
    return {
      fields: {
        client_assertion_type: "urn:ietf:params:oauth:client-assertion-type:jwt-bearer",
        client_assertion: assertion
      }
    }
  })
})

const readJwk = (text: string): JWK => JSON.parse(text)

const unusable = new InvalidConfiguration({
  problems: [{
    field: "clientKey",
    value: "<redacted>",
    message: "cannot sign. Give the whole private JWK, RSA or EC, whose public part Okta has."
  }]
})

/** As names and values in a form (RFC 6749 appendix B). */
const formEncoded = (text: string): string => new URLSearchParams([["", text]]).toString().slice(1)
