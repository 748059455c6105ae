import { Result, Schema } from "effect"
import { isLoopbackHost } from "../config/PublicUrl.ts"
import { excerpt, quoted } from "./Quoted.ts"

/**
 * What this library reads of an authorization server's metadata.
 *
 * @see https://openid.net/specs/openid-connect-discovery-1_0.html#ProviderMetadata
 * @see https://www.rfc-editor.org/rfc/rfc8414.html#section-2
 * @example
 * ```ts
 * import { Discovery, type ServerMetadata } from "effect-okta"
 * import { Effect } from "effect"
 *
 * const signsPeopleOut = ({ end_session_endpoint }: ServerMetadata) => end_session_endpoint !== undefined
 *
 * export const canSignOut = Effect.gen(function*() {
 *   return signsPeopleOut(yield* (yield* Discovery).metadata)
 * })
 * ```
 */
export const ServerMetadata = Schema.Struct({
  /** The issuer, byte for byte the configured one. */
  issuer: Schema.String,
  /** Where the public keys are. */
  jwks_uri: Schema.String,
  /** Where people sign in. */
  authorization_endpoint: Schema.optionalKey(Schema.String),
  /** Where clients get tokens. */
  token_endpoint: Schema.optionalKey(Schema.String),
  /** Where tokens can be asked about (RFC 7662). */
  introspection_endpoint: Schema.optionalKey(Schema.String),
  /** Where tokens are revoked (RFC 7009). */
  revocation_endpoint: Schema.optionalKey(Schema.String),
  /** Where people sign out (OpenID Connect RP-Initiated Logout). */
  end_session_endpoint: Schema.optionalKey(Schema.String)
})

/** What this library reads of an authorization server's metadata. */
export type ServerMetadata = typeof ServerMetadata.Type

const decode = Schema.decodeUnknownResult(ServerMetadata)

const endpoints = [
  "jwks_uri",
  "authorization_endpoint",
  "token_endpoint",
  "introspection_endpoint",
  "revocation_endpoint",
  "end_session_endpoint"
] as const

/**
 * The metadata in a discovery document, or the reason why it cannot be trusted: it must name the issuer byte for byte
 * (RFC 8414 section 3.3), and its endpoints must be https and on the issuer's origin.
 */
export const fromDocument = (
  document: unknown,
  trusted: { readonly issuer: string; readonly foreignEndpoints: boolean }
): Result.Result<ServerMetadata, string> => {
  const decoded = decode(document)
  if (Result.isFailure(decoded)) {
    return Result.fail(`is not metadata of an authorization server: ${excerpt(decoded.failure.message)}`)
  }
  const metadata = decoded.success
  if (metadata.issuer !== trusted.issuer) {
    return Result.fail(
      `names the issuer ${quoted(metadata.issuer)}, but ${JSON.stringify(trusted.issuer)} is configured` +
        difference(metadata.issuer, trusted.issuer)
    )
  }
  for (const name of endpoints) {
    const url = metadata[name]
    if (url === undefined) continue
    if (!URL.canParse(url)) return Result.fail(`gives ${name} as ${quoted(url)}, which is not a URL`)
    const { hostname, origin, protocol } = new URL(url)
    if (protocol !== "https:" && !(protocol === "http:" && isLoopbackHost(hostname))) {
      return Result.fail(`gives ${name} as ${quoted(url)}, which is not https`)
    }
    if (!trusted.foreignEndpoints && origin !== new URL(trusted.issuer).origin) {
      return Result.fail(
        `gives ${name} as ${quoted(url)}, which is on another origin than the issuer (foreignEndpoints allows that)`
      )
    }
  }
  return Result.succeed(metadata)
}

const difference = (actual: string, configured: string): string =>
  actual.replace(/\/+$/, "") === configured.replace(/\/+$/, "")
    ? "; they differ only in the slash at the end"
    : actual.toLowerCase() === configured.toLowerCase()
    ? "; they differ only in upper and lower case"
    : ""
