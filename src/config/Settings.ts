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

/** A value that is not empty, without spaces around it. */
export const Named = Text.check(Schema.makeFilter((text: string) =>
  text.trim() === ""
    ? "is empty. Give a value."
    : text.trim() === text || `has spaces around it. Use ${text.trim()}`
))

const HostName = Text.check(
  Schema.makeFilter((host: string) =>
    host.length <= 253 &&
      /^(?:\*\.)?(?:[a-z\d](?:[a-z\d-]{0,61}[a-z\d])?\.)*[a-z\d](?:[a-z\d-]{0,61}[a-z\d])?$/.test(host) ||
    "is not a host name. Write it in small letters, without scheme, port and path, such as clients.example.com, or *.example.com " +
      "for all below it."
  )
)

const Count = Schema.Number.annotate({ message: "is not a number. Give one between 256 and 65536." }).check(
  Schema.makeFilter((count: number) =>
    Number.isInteger(count) && count >= 256 && count <= 65_536 ||
    "is not a usable number of characters. Give a whole number between 256 and 65536."
  )
)

/** A whole number in a range, with words for one that is not. */
const wholeNumber = (minimum: number, maximum: number) =>
  Schema.Number.annotate({ message: `is not a number. Give one between ${minimum} and ${maximum}.` }).check(
    Schema.makeFilter((value: number) =>
      Number.isInteger(value) && value >= minimum && value <= maximum ||
      `is not usable. Give a whole number between ${minimum} and ${maximum}.`
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
export const lengthOfTime = (example: string, isUsable: (duration: Duration.Duration) => boolean) =>
  Schema.declare((input: unknown): input is typeof Length.Encoded => {
    const read = readLength(input)
    return Result.isSuccess(read) && Duration.isFinite(read.success) && isUsable(read.success)
  }).annotate({ message: `is not a usable length of time. Give one such as "${example}".` })
    .pipe(Schema.decodeTo(Length))

/** A secret that nobody can print. */
export const Secret = Schema.Redacted(Schema.String).annotate({ message: "is readable. Wrap it with Redacted.make." })
  .check(
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

/** A private JWK as JSON. */
export const PrivateKey = Secret.check(
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
    }) || "is not a key ring. Give a JWK Set of private keys as JSON, as npx effect-okta keys makes it."
  )
)

const Moment = Schema.declare((input: unknown): input is Date | string =>
  (input instanceof Date || typeof input === "string" && /^\d{4}-\d\d-\d\d/.test(input)) &&
  !Number.isNaN(new Date(input).getTime())
).annotate({ message: "is not a time. Give one such as 2026-01-31T12:00:00Z." }).pipe(
  Schema.decodeTo(
    Schema.Number,
    SchemaTransformation.transform({
      decode: (time: Date | string) => new Date(time).getTime() / 1000,
      encode: (seconds: number): Date | string => new Date(seconds * 1000)
    })
  )
)

const someOf = <S extends Schema.Constraint>(item: S) =>
  Schema.Array(item).check(Schema.makeFilter((values) => values.length > 0 || "is empty. Give at least one."))

const listOf = <S extends Schema.Constraint>(item: S) =>
  Schema.Array(item).annotate({ message: "is not a list. Give one in brackets." })

const anyOf = <S extends Schema.Constraint>(item: S) =>
  listOf(item).pipe(Schema.withDecodingDefaultTypeKey(Effect.succeed([])))

const Algorithms = someOf(
  Schema.Literals(algorithms).annotate({
    message: `is not an algorithm that can be accepted. Choose among ${algorithms.join(", ")}.`
  })
)

const TokenKind = Schema.Literals(["access-token", "id-token"]).annotate({
  message: "is neither access-token nor id-token. Give one of them."
})

const EnterpriseManaged = Schema.Literals([false, true, "only"]).annotate({
  message: "is none of true, false and only. Give one of them."
})

const Dpop = Schema.Literals(["off", "accept", "require"]).annotate({
  message: "is none of off, accept and require. Give one of them."
})

const ScopeHierarchy = Schema.Record(Scope, Schema.Array(Scope).annotate({ message: "is not a list of scopes." }))
  .annotate({ message: "is no hierarchy. Give the scopes that each implies, such as { admin: [\"files:*\"] }." })

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
  /** Scopes that stand for others, each with those that it implies. */
  scopeHierarchy: ScopeHierarchy.pipe(Schema.withDecodingDefaultTypeKey(Effect.succeed({}))),
  /** Signature algorithms accepted. */
  algorithms: Algorithms.pipe(Schema.withDecodingDefaultTypeKey(Effect.succeed(["RS256"] as const))),
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
  /** Whether tokens may, or must, be bound to a key of the client's (DPoP, RFC 9449). */
  dpop: Dpop.pipe(Schema.withDecodingDefaultTypeKey(Effect.succeed("accept" as const))),
  /** How old a DPoP proof may be; 10 minutes at most. */
  dpopProofLifetime: lengthOfTime(
    "60 seconds",
    (duration) => Duration.isPositive(duration) && Duration.isLessThanOrEqualTo(duration, Duration.minutes(10))
  ).pipe(Schema.withDecodingDefaultTypeKey(Effect.succeed(Duration.seconds(60)))),
  /** Without a `serverUrl`: whether this server is to be reached by loopback names only. */
  loopbackOnly: Toggle.pipe(Schema.withDecodingDefaultTypeKey(Effect.succeed(false))),
  /** Whether Okta's endpoints may be on another origin than the issuer's. */
  foreignEndpoints: Toggle.pipe(Schema.withDecodingDefaultTypeKey(Effect.succeed(false)))
}

const PublicKeys = listOf(
  Schema.Record(Schema.String, Schema.Unknown).annotate({ message: "is not a key. Give public JWKs." })
).check(
  Schema.makeFilter((keys) =>
    keys.length > 0 && keys.every((key) => !("d" in key) && !("k" in key)) || "must be public JWKs, and at least one."
  )
)

/** A client that the owner of this server has made known to it. */
export const ConfiguredClient = Schema.Struct({
  /** By which the client names itself. */
  clientId: Named,
  /** For people. */
  name: Schema.optionalKey(Named),
  /** Where people may be sent, byte for byte; none where no person signs in through it. */
  redirectUris: anyOf(Named),
  /** Its secrets, of which each is good; none for a public client, or one with keys. */
  clientSecrets: anyOf(StrongSecret),
  /** Its public JWKs, for `private_key_jwt`. */
  keys: Schema.optionalKey(PublicKeys),
  /** Whether it is given no tokens but those that are bound to a key of its own (DPoP). */
  dpopBoundAccessTokens: Toggle.pipe(Schema.withDecodingDefaultTypeKey(Effect.succeed(false))),
  /** Whether it is a resource server of ours, which may ask what a token is good for (RFC 7662). */
  mayIntrospect: Toggle.pipe(Schema.withDecodingDefaultTypeKey(Effect.succeed(false))),
  /** What it may do for itself, without any person; absent: nothing. */
  serviceScopes: Schema.optionalKey(listOf(Scope))
}).annotate({ message: "is not a client. Give clientId, redirectUris, and clientSecrets or keys." })

/** A client that the owner of this server has made known to it. */
export type ConfiguredClient = typeof ConfiguredClient.Type

/** One of several issuers whose tokens are accepted. */
export const TrustedIssuer = Schema.Struct({
  /** Okta's authorization server, byte for byte. */
  issuer: Issuer,
  /** The `aud` that its tokens must carry; of several, one is enough. */
  audience: someOf(Named),
  /** Signature algorithms accepted of it; absent: those of the settings. */
  algorithms: Schema.optionalKey(Algorithms),
  /** Its client ids whose tokens are accepted; absent: those of the settings. */
  allowedClients: Schema.optionalKey(someOf(Named)),
  /** Which kind of token is accepted of it; absent: that of the server. */
  accept: Schema.optionalKey(TokenKind)
}).annotate({ message: "is not an issuer. Give issuer and audience." })

/** One of several issuers whose tokens are accepted. */
export type TrustedIssuer = typeof TrustedIssuer.Type

const TrustedIssuers = Schema.Array(TrustedIssuer).annotate({
  message: "is no list of issuers. Give issuer and audience of each."
}).check(Schema.makeFilter((issuers) => {
  const names = issuers.map(({ issuer }) => issuer)
  const twice = names.find((name, index) => names.indexOf(name) !== index)
  return names.length === 0
    ? "is empty. Give at least one."
    : twice === undefined || `has ${twice} twice. Give each issuer once, with all its audiences.`
}))

/** Settings of a server whose clients sign in with Okta themselves. */
export const Native = Schema.Struct({
  /** Clients sign in with Okta by themselves. */
  mode: Schema.Literal("native"),
  ...Shared,
  /** The `aud` that a token must carry; of several, one is enough. */
  audience: someOf(Named),
  /** All the issuers, where there are several; `issuer` and `audience` are those of the first. */
  issuers: Schema.optionalKey(TrustedIssuers),
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
  passThrough: Toggle.pipe(Schema.withDecodingDefaultTypeKey(Effect.succeed(false))),
  /** Whether DPoP proofs must have a nonce of this server's. */
  dpopNonces: Toggle.pipe(Schema.withDecodingDefaultTypeKey(Effect.succeed(false))),
  /** Clients that the owner of this server has made known to it. */
  clients: anyOf(ConfiguredClient),
  /** How long a registration is good for; 10 years at most. */
  clientLifetime: lengthOfTime(
    "365 days",
    (duration) => Duration.isPositive(duration) && Duration.isLessThanOrEqualTo(duration, Duration.days(3653))
  ).pipe(Schema.withDecodingDefaultTypeKey(Effect.succeed(Duration.days(365)))),
  /** Whether a client may be known by a metadata document at the URL that is its id. */
  clientMetadataDocuments: Toggle.pipe(Schema.withDecodingDefaultTypeKey(Effect.succeed(true))),
  /** Hosts from which such documents are fetched; absent: all that are public. */
  clientMetadataHosts: Schema.optionalKey(someOf(HostName)),
  /** Whether clients may come with Okta's word for a person (Cross App Access), or only so. */
  enterpriseManaged: EnterpriseManaged.pipe(Schema.withDecodingDefaultTypeKey(Effect.succeed(false as const))),
  /** Whether a browser is asked only once in 30 days about the same client and redirect URI. */
  rememberConsent: Toggle.pipe(Schema.withDecodingDefaultTypeKey(Effect.succeed(false))),
  /** Whatever was issued before this has ended; in seconds since 1970. */
  revokedBefore: Schema.optionalKey(Moment),
  /** Requests a minute from one address, and of one client, at each endpoint. */
  requestsPerMinute: wholeNumber(1, 1_000_000).pipe(Schema.withDecodingDefaultTypeKey(Effect.succeed(120))),
  /** People who may be on their way through Okta at one time. */
  maxPendingSignIns: wholeNumber(1, 1_000_000).pipe(Schema.withDecodingDefaultTypeKey(Effect.succeed(10_000))),
  /** Reverse proxies in front of this server, whose `X-Forwarded-For` tells the address. */
  trustedProxies: wholeNumber(0, 10).pipe(Schema.withDecodingDefaultTypeKey(Effect.succeed(0)))
})

/** What `VerifierOptions` may hold: checked along with the settings, and no part of them. */
export const Verification = Schema.Struct({
  accept: Schema.optionalKey(TokenKind),
  cacheSize: Schema.optionalKey(CacheSize)
})

/**
 * The settings, checked and with their defaults; `mode` tells the two kinds apart.
 *
 * @example
 * ```ts
 * import type { Settings } from "effect-okta"
 *
 * export const whoSignsIn = (settings: Settings): string =>
 *   settings.mode === "proxy" ? `this server, as the client ${settings.clientId}` : "each client by itself"
 * ```
 */
export const Settings = Schema.Union([Native, Proxy])

/** The settings, checked and with their defaults; `mode` tells the two kinds apart. */
export type Settings = typeof Settings.Type
