import { Duration, Effect, Redacted, Result, Schema, SchemaTransformation } from "effect"
import { algorithms } from "./Algorithm.ts"
import { issuerMistakes } from "./IssuerUrl.ts"
import { isPlainPath, serverUrlMistakes } from "./PublicUrl.ts"

// Every message continues a sentence that begins with the name of the setting: what is wrong, and how to mend it.

const Text = Schema.String.annotate({ message: "is not text. Give a string." })

const Issuer = Text.check(Schema.makeFilter(issuerMistakes))

const ServerUrl = Text.check(Schema.makeFilter(serverUrlMistakes))

const Origin = Text.check(
  Schema.makeFilter((origin: string) =>
    URL.canParse(origin) && new URL(origin).origin === origin ||
    "is not an origin. Write scheme, host and port only, such as https://app.example.com; leave it out for any origin."
  )
)

const Path = Text.check(
  Schema.makeFilter((path: string) =>
    isPlainPath(path) || "is not a plain path. Write it like /mcp, with no slash at its end."
  )
)

/** RFC 6749 section 3.3: printable ASCII without space, quotation mark and backslash. */
export const Scope = Text.check(Schema.makeFilter((scope: string) =>
  /^[\x21\x23-\x5B\x5D-\x7E]+$/.test(scope) ||
  "is not a scope. Give a list of names without spaces, quotation marks and backslashes."
))

const Named = Text.check(Schema.makeFilter((text: string) =>
  text.trim() === ""
    ? "is empty. Give a value."
    : text.trim() === text || `has spaces around it. Use ${text.trim()}`
))

const Count = Schema.Number.annotate({ message: "is not a number. Give one between 256 and 65536." }).check(
  Schema.makeFilter((count: number) =>
    Number.isInteger(count) && count >= 256 && count <= 65_536 ||
    "is not a usable number of characters. Give a whole number between 256 and 65536."
  )
)

const CacheSize = Schema.Unknown.check(
  Schema.makeFilter((size: unknown) =>
    Number.isInteger(size) && Number(size) >= 0 && Number(size) <= 1_000_000 ||
    "is not a usable number of tokens. Give a whole number between 0 and 1000000."
  )
)

const Toggle = Schema.Boolean.annotate({ message: "is neither true nor false. Give one of them." })

const Length = Schema.Union([
  Schema.Duration,
  Schema.DurationFromString,
  Schema.Finite.pipe(Schema.decodeTo(Schema.Duration, SchemaTransformation.durationFromMillis))
])

const readLength = Schema.decodeUnknownResult(Length)

/** Says one thing where the union would say one for each of its members. */
const lengthOfTime = (example: string, isUsable: (duration: Duration.Duration) => boolean) =>
  Schema.declare((input: unknown): input is typeof Length.Encoded => {
    const read = readLength(input)
    return Result.isSuccess(read) && Duration.isFinite(read.success) && isUsable(read.success)
  }).annotate({ message: `is not a usable length of time. Give one such as "${example}".` })
    .pipe(Schema.decodeTo(Length))

const Secret = Schema.Redacted(Schema.String).annotate({ message: "is readable. Wrap it with Redacted.make." }).check(
  Schema.makeFilter((secret: Redacted.Redacted<string>) =>
    typeof Redacted.value(secret) === "string" && Redacted.value(secret).trim() !== "" || "is empty. Give the secret."
  )
)

const StrongSecret = Secret.check(
  Schema.makeFilter((secret: Redacted.Redacted<string>) =>
    new TextEncoder().encode(Redacted.value(secret)).length >= 32 ||
    "is shorter than 32 bytes. Make one with: openssl rand -base64 32"
  )
)

const json = Schema.decodeUnknownResult(Schema.fromJsonString(Schema.Record(Schema.String, Schema.Unknown)))

const PrivateKey = Secret.check(
  Schema.makeFilter((key: Redacted.Redacted<string>) =>
    Result.match(json(Redacted.value(key)), {
      onFailure: () => false,
      onSuccess: (jwk) => typeof jwk["d"] === "string" && typeof jwk["kty"] === "string" && jwk["kty"] !== "oct"
    }) || "is not a private key. Give a private JWK as JSON, with its member d."
  )
)

const KeyRing = Secret.check(
  Schema.makeFilter((ring: Redacted.Redacted<string>) =>
    Result.match(json(Redacted.value(ring)), {
      onFailure: () => false,
      onSuccess: (jwks) => Array.isArray(jwks["keys"]) && jwks["keys"].length > 0
    }) || "is not a key ring. Give a JWK Set of private keys as JSON."
  )
)

const someOf = <S extends Schema.Constraint>(item: S) =>
  Schema.Array(item).check(Schema.makeFilter((values) => values.length > 0 || "is empty. Give at least one."))

const anyOf = <S extends Schema.Constraint>(item: S) =>
  Schema.Array(item).pipe(Schema.withDecodingDefaultTypeKey(Effect.succeed([])))

const Shared = {
  /** Okta's authorization server, byte for byte. */
  issuer: Issuer,
  /** Paths under `serverUrl` that are resources of their own (RFC 9728 section 3.1). */
  protectedPaths: anyOf(Path),
  /** A name for people, in the resource metadata. */
  resourceName: Schema.optionalKey(Named),
  /** Browser origins that may call; absent: any, or loopback ones on a loopback server. */
  allowedOrigins: Schema.optionalKey(Schema.Array(Origin)),
  /** Longest token looked at, in characters. */
  maxTokenLength: Count.pipe(Schema.withDecodingDefaultTypeKey(Effect.succeed(8192))),
  /** Scopes that every guarded route demands. */
  requiredScopes: anyOf(Scope),
  /** Scopes named in the resource metadata; empty: the required ones. */
  scopesSupported: anyOf(Scope),
  /** Signature algorithms accepted. */
  algorithms: someOf(
    Schema.Literals(algorithms).annotate({
      message: `is not an algorithm that can be accepted. Choose among ${algorithms.join(", ")}.`
    })
  ).pipe(Schema.withDecodingDefaultTypeKey(Effect.succeed(["RS256"] as const))),
  /** How far Okta's clock and ours may be apart; 10 minutes at most. */
  clockTolerance: lengthOfTime(
    "30 seconds",
    (duration) => !Duration.isNegative(duration) && Duration.isLessThanOrEqualTo(duration, Duration.minutes(10))
  ).pipe(
    Schema.withDecodingDefaultTypeKey(Effect.succeed(Duration.seconds(30)))
  ),
  /** Longest time between a token's `iat` and `exp`; 30 days at most. */
  maxTokenLifetime: lengthOfTime(
    "24 hours",
    (duration) => Duration.isPositive(duration) && Duration.isLessThanOrEqualTo(duration, Duration.days(30))
  ).pipe(
    Schema.withDecodingDefaultTypeKey(Effect.succeed(Duration.hours(24)))
  ),
  /** Okta client ids (`cid`) whose tokens are accepted; absent: all. */
  allowedClients: Schema.optionalKey(someOf(Named)),
  /** Without a `serverUrl`: whether this server is to be reached by loopback names only. */
  loopbackOnly: Toggle.pipe(Schema.withDecodingDefaultTypeKey(Effect.succeed(false))),
  /** Whether Okta's endpoints may be on another origin than the issuer's. */
  foreignEndpoints: Toggle.pipe(Schema.withDecodingDefaultTypeKey(Effect.succeed(false)))
}

/** Settings of a server whose clients sign in with Okta themselves. */
export const Native = Schema.Struct({
  /** Clients sign in with Okta by themselves. */
  mode: Schema.Literal("native"),
  ...Shared,
  /** The `aud` that a token must carry; of several, one is enough. */
  audience: someOf(Named),
  /** This server's public base URL. */
  serverUrl: Schema.optionalKey(ServerUrl)
})

/** Settings of a server that signs people in at Okta for its clients. */
export const Proxy = Schema.Struct({
  /** This server signs people in at Okta for its clients. */
  mode: Schema.Literal("proxy"),
  ...Shared,
  /** The `aud` that Okta's access token must carry; of several, one is enough. */
  audience: Schema.optionalKey(someOf(Named)),
  /** This server's public base URL. */
  serverUrl: ServerUrl,
  /** Our own client at Okta. */
  clientId: Named,
  /** Its secret. */
  clientSecret: Schema.optionalKey(Secret),
  /** Its private JWK as JSON, in place of a secret. */
  clientKey: Schema.optionalKey(PrivateKey),
  /** Further redirect URIs that clients may use. */
  redirectUris: anyOf(Named),
  /** Scopes asked of Okta. */
  scopes: Schema.Array(Scope).pipe(
    Schema.withDecodingDefaultTypeKey(Effect.succeed(["openid", "profile", "email", "offline_access"]))
  ),
  /** A JWK Set of private keys as JSON; the first signs, all verify. */
  signingKeys: Schema.optionalKey(KeyRing),
  /** 32 bytes or more; of several, the first seals and all open. */
  encryptionSecret: Schema.optionalKey(someOf(StrongSecret)),
  /** Whether the client gets Okta's access token in place of ours. */
  passThrough: Toggle.pipe(Schema.withDecodingDefaultTypeKey(Effect.succeed(false)))
})

/** What `VerifierOptions` may hold: checked along with the settings, and no part of them. */
export const Verification = Schema.Struct({
  accept: Schema.optionalKey(
    Schema.Literals(["access-token", "id-token"]).annotate({
      message: "is neither access-token nor id-token. Give one of them."
    })
  ),
  cacheSize: Schema.optionalKey(CacheSize)
})

/** The settings, checked and with their defaults; `mode` tells the two kinds apart. */
export const Settings = Schema.Union([Native, Proxy])

/** The settings, checked and with their defaults; `mode` tells the two kinds apart. */
export type Settings = typeof Settings.Type
