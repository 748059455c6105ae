import {
  Context,
  type Duration,
  Effect,
  Formatter,
  Layer,
  Predicate,
  type Redacted,
  Result,
  Schema,
  SchemaIssue
} from "effect"
import type { Algorithm } from "./Algorithm.ts"
import * as ClientList from "./ClientList.ts"
import { escaped } from "./EscapedText.ts"
import * as Introspection from "./Introspection.ts"
import { type ConfigurationProblem, InvalidConfiguration } from "./InvalidConfiguration.ts"
import { issuerKind } from "./IssuerUrl.ts"
import { withoutUserinfo } from "./PublicUrl.ts"
import { Native, Proxy, type Settings, Verification } from "./Settings.ts"
import { mistakeAt, withLists } from "./TrustedIssuers.ts"

export { Native, Proxy, Scope, Settings, type TrustedIssuer } from "./Settings.ts"

/** A length of time: `Duration.seconds(30)`, `"30 seconds"`, or a number of milliseconds. */
export type LengthOfTime = Duration.Duration | `${number} ${Duration.Unit}` | number

/** What the developer gives; everything but `issuer` has a default or depends on the mode. */
export interface OktaOptions {
  /** Only needed to insist: client credentials mean `proxy`, their absence `native`. */
  readonly mode?: "native" | "proxy" | undefined
  /** Okta's authorization server, byte for byte as Okta shows it: `https://acme.okta.com/oauth2/default`. */
  readonly issuer: string
  /** Stand in place of `issuer` and `audience`, where there are several. */
  readonly issuers?: undefined
  /** The `aud` that a token must carry, one or several; required in native mode. */
  readonly audience?: string | ReadonlyArray<string> | undefined
  /** This server's public base URL, from which every URL told to a client is made. Without it there is no metadata. */
  readonly serverUrl?: string | undefined
  /** Paths under `serverUrl` that clients know as resources of their own, such as `/mcp` (RFC 9728 section 3.1). */
  readonly protectedPaths?: string | ReadonlyArray<string> | undefined
  /** A name for people, in the resource metadata. */
  readonly resourceName?: string | undefined
  /** Browser origins that may call guarded routes; by default any, and loopback ones only on a loopback server. */
  readonly allowedOrigins?: string | ReadonlyArray<string> | undefined
  /** Without a `serverUrl`: this server listens on loopback, and is to be reached by loopback names only (false). */
  readonly loopbackOnly?: boolean | undefined
  /** Longest token looked at, in characters (8192). */
  readonly maxTokenLength?: number | undefined
  /** Scopes that every guarded route demands. */
  readonly requiredScopes?: string | ReadonlyArray<string> | undefined
  /** Scopes named in the metadata; by default the required ones. In proxy mode clients are granted no others. */
  readonly scopesSupported?: string | ReadonlyArray<string> | undefined
  /** Scopes that stand for others: `{ admin: ["files:*", "users:read"] }`. A pattern such as `files:*` needs no entry. */
  readonly scopeHierarchy?: { readonly [scope: string]: ReadonlyArray<string> } | undefined
  /** Signature algorithms accepted (`RS256`); never symmetric ones. */
  readonly algorithms?: Algorithm | ReadonlyArray<Algorithm> | undefined
  /** How far Okta's clock and ours may be apart (30 seconds; 10 minutes at most). */
  readonly clockTolerance?: LengthOfTime | undefined
  /** Longest time between a token's `iat` and `exp` (24 hours; 30 days at most). */
  readonly maxTokenLifetime?: LengthOfTime | undefined
  /** Okta client ids (`cid`) whose tokens are accepted; by default all. */
  readonly allowedClients?: string | ReadonlyArray<string> | undefined
  /**
   * Tokens that are bound to a key of the client's (DPoP, RFC 9449): `accept` them beside bearer tokens (the default), `require`
   * that all are, or `off`. Needs a `serverUrl`.
   */
  readonly dpop?: "off" | "accept" | "require" | undefined
  /** How old a DPoP proof may be (60 seconds; 10 minutes at most). */
  readonly dpopProofLifetime?: LengthOfTime | undefined
  /** Accept endpoints on another origin than the issuer's (false). */
  readonly foreignEndpoints?: boolean | undefined
  /** Proxy mode: our own client at Okta. */
  readonly clientId?: string | undefined
  /** Proxy mode: its secret. */
  readonly clientSecret?: Redacted.Redacted<string> | undefined
  /** Proxy mode: its private JWK as JSON, for `private_key_jwt` in place of a secret. */
  readonly clientKey?: Redacted.Redacted<string> | undefined
  /** Proxy mode: private-use redirect URIs that clients may register. The one at Okta is `{serverUrl}/oauth/callback`. */
  readonly redirectUris?: string | ReadonlyArray<string> | undefined
  /** Proxy mode: scopes asked of Okta (`openid`, `profile`, `email`, `offline_access`). */
  readonly scopes?: string | ReadonlyArray<string> | undefined
  /** Proxy mode: a JWK Set of private keys as JSON, by `npx effect-okta keys`; the first signs, all verify. */
  readonly signingKeys?: Redacted.Redacted<string> | undefined
  /** Proxy mode: 32 bytes or more; of several, the first seals and all open. */
  readonly encryptionSecret?: Redacted.Redacted<string> | ReadonlyArray<Redacted.Redacted<string>> | undefined
  /** Proxy mode: hand Okta's access token to the client in place of ours (false). */
  readonly passThrough?: boolean | undefined
  /** Proxy mode: demand that DPoP proofs have a nonce of this server's (false). */
  readonly dpopNonces?: boolean | undefined
  /** Proxy mode: clients that need not register, and about which people are not asked. */
  readonly clients?: ReadonlyArray<ClientOptions> | undefined
  /** Proxy mode: how long a registration is good for (365 days). */
  readonly clientLifetime?: LengthOfTime | undefined
  /** Proxy mode: let clients be known by a document at the https URL that is their id (true). */
  readonly clientMetadataDocuments?: boolean | undefined
  /** Proxy mode: hosts of such documents, `*.example.com` with all below it; by default all that are public. */
  readonly clientMetadataHosts?: string | ReadonlyArray<string> | undefined
  /**
   * Proxy mode: give tokens to clients that bring an ID-JAG, Okta's word for a person (Cross App Access), without a page
   * (false). With `"only"` nobody comes in otherwise: no registration, no sign-in, no refresh.
   */
  readonly enterpriseManaged?: boolean | "only" | undefined
  /** Proxy mode: ask a browser only once in 30 days about the same client and redirect URI (false). */
  readonly rememberConsent?: boolean | undefined
  /** Proxy mode: ends whatever was issued before this time, such as `2026-01-31T12:00:00Z`. */
  readonly revokedBefore?: Date | string | undefined
  /** Proxy mode: requests a minute from one address, and of one client, at each endpoint (120). */
  readonly requestsPerMinute?: number | undefined
  /** Proxy mode: people who may be on their way through Okta at one time, which is 10 minutes for each (10000). */
  readonly maxPendingSignIns?: number | undefined
  /** Proxy mode: reverse proxies in front of this server, whose `X-Forwarded-For` tells who calls (0). */
  readonly trustedProxies?: number | undefined
}

/** Options of a server that accepts the tokens of several issuers: `issuers` in place of `issuer` and `audience`. */
export interface SeveralIssuersOptions extends Omit<OktaOptions, "issuer" | "issuers" | "audience"> {
  readonly issuer?: undefined
  readonly audience?: undefined
  /** Native mode: the issuers, each once; what a token says of its issuer picks the one that it is checked by. */
  readonly issuers: ReadonlyArray<IssuerOptions>
}

/** One of several issuers. What is not given is as for the server. */
export interface IssuerOptions {
  /** Okta's authorization server, byte for byte as Okta shows it: `https://acme.okta.com/oauth2/default`. */
  readonly issuer: string
  /** The `aud` that its tokens must carry, one or several; with `accept: "id-token"` the client id. */
  readonly audience: string | ReadonlyArray<string>
  /** Signature algorithms accepted of it. */
  readonly algorithms?: Algorithm | ReadonlyArray<Algorithm> | undefined
  /** Its client ids (`cid`) whose tokens are accepted. */
  readonly allowedClients?: string | ReadonlyArray<string> | undefined
  /** Which kind of token is accepted of it: `id-token` where an Okta org server's people sign in at this application. */
  readonly accept?: "access-token" | "id-token" | undefined
}

/** A client that need not register. */
export interface ClientOptions {
  /** By which the client names itself. */
  readonly clientId: string
  /** For people. */
  readonly name?: string | undefined
  /** Where people may be sent, byte for byte; none where no person signs in through it. */
  readonly redirectUris?: ReadonlyArray<string> | undefined
  /** Its secrets of 32 bytes or more, of which each is good; none for a public client, or one with keys. */
  readonly clientSecrets?: ReadonlyArray<Redacted.Redacted<string>> | undefined
  /** Its public JWKs, for `private_key_jwt`. */
  readonly keys?: ReadonlyArray<{ readonly [member: string]: unknown }> | undefined
  /** Whether it is given no tokens but those that are bound to a key of its own (false; DPoP). */
  readonly dpopBoundAccessTokens?: boolean | undefined
  /** Whether it is a resource server of ours, which may ask what a token is good for (false; RFC 7662). */
  readonly mayIntrospect?: boolean | undefined
  /**
   * The scopes of the tokens that it gets for itself, without any person, by the grant `client_credentials`: a service with
   * secrets or keys. `[]` for a service without scopes; absent for a client that is none.
   */
  readonly serviceScopes?: ReadonlyArray<string> | undefined
}

const credentials = ["clientId", "clientSecret", "clientKey"] as const

/** Settings of which several may be given; one alone needs no list. */
const lists: ReadonlyArray<string> = [
  "audience",
  "protectedPaths",
  "allowedOrigins",
  "requiredScopes",
  "scopesSupported",
  "algorithms",
  "allowedClients",
  "redirectUris",
  "scopes",
  "encryptionSecret",
  "clientMetadataHosts"
] satisfies ReadonlyArray<keyof OktaOptions>

const decodeNative = Schema.decodeUnknownResult(Native, { errors: "all", onExcessProperty: "error" })
const decodeProxy = Schema.decodeUnknownResult(Proxy, { errors: "all", onExcessProperty: "error" })
const decodeVerification = Schema.decodeUnknownResult(Verification, { errors: "all" })
const standardIssues = SchemaIssue.makeFormatterStandardSchemaV1()

const isOrgServer = (issuer: unknown): boolean =>
  typeof issuer === "string" && URL.canParse(issuer) && issuerKind(issuer) === "org"

/** A value as a person may see it, in one line. */
const shown = (field: string, value: unknown): string => {
  if (/secret|key/i.test(field)) return "<redacted>"
  const text = typeof value === "string" && value !== "" && !/^\s|\s$|\p{Cc}/u.test(value)
    ? value
    : Formatter.format(value)
  const safe = escaped(withoutUserinfo(text))
  return safe.length > 200 ? `${safe.slice(0, 200)}…` : safe
}

/** What stands for the whole where one issuer is meant. */
const firstOf = (issuers: unknown) => {
  const first: unknown = Array.isArray(issuers) ? issuers[0] : undefined
  return Predicate.isObject(first)
    ? { issuer: Reflect.get(first, "issuer"), audience: Reflect.get(first, "audience") }
    : {}
}

/**
 * Checks the options and fills in the defaults, or lists every mistake at once.
 *
 * `nameOf` gives the name under which a person knows a field, such as its environment variable. `accept`, `cacheSize` and
 * `introspection`, which are how tokens are verified, are only checked; of `admit` only whether it has a place here.
 */
export const decode = (
  options: {
    readonly [Field in keyof OktaOptions | keyof typeof Verification.fields | "introspection" | "admit"]?: unknown
  },
  nameOf: (field: string) => string = (field) => field
): Result.Result<Settings, InvalidConfiguration> => {
  const { accept, admit, cacheSize, introspection, mode: insisted, ...fields } = options
  const given: Record<string, unknown> = Object.fromEntries(
    Object.entries(fields).filter(([, value]) => value !== undefined).map((
      [field, value]
    ) => [field, lists.includes(field) && !Array.isArray(value) ? [value] : value])
  )
  const problems: Array<ConfigurationProblem> = []
  const report = (field: string, message: string, value?: unknown) => {
    problems.push({
      field: nameOf(field),
      ...(value === undefined ? {} : { value: shown(field, value) }),
      message: escaped(message)
    })
  }
  const missing = (field: string, message: string) => {
    if (given[field] === undefined) report(field, `is missing. ${message}`)
  }

  const present = credentials.filter((field) => given[field] !== undefined)
  const mode = insisted === "proxy" || present.length > 0 && insisted !== "native" ? "proxy" : "native"
  if (insisted !== undefined && insisted !== "native" && insisted !== "proxy") {
    report("mode", "is neither native nor proxy. Remove it: the mode follows from the other settings.", insisted)
  }
  const several = given["issuers"] !== undefined && mode === "native"
  if (several) {
    for (const field of ["issuer", "audience"]) {
      if (given[field] !== undefined) {
        report(field, `is given beside issuers, each of which has its own. Remove one or the other.`, given[field])
        delete given[field]
      }
    }
    given["issuers"] = withLists(given["issuers"])
  } else if (given["issuers"] !== undefined) {
    report("issuers", "is a setting of native mode. In proxy mode people sign in at one: give it as issuer.")
    delete given["issuers"]
  }
  if (!several) {
    missing("issuer", "Give the issuer of your Okta authorization server, such as https://acme.okta.com/oauth2/default")
  }
  if (mode === "native" && present.length > 0) {
    report(
      "mode",
      `contradicts ${present.map(nameOf).join(" and ")}, which ${present.length > 1 ? "mean" : "means"} proxy. ` +
        "Remove one or the other.",
      insisted
    )
  }
  if (mode === "native" && !several || given["passThrough"] === true) {
    missing("audience", "Give the audience of your Okta authorization server, such as api://default")
  }
  if (mode === "proxy" && given["passThrough"] === true) {
    const message =
      "cannot be had with passThrough, by which only Okta's own tokens are accepted. Remove one or the other."
    if (given["enterpriseManaged"] === true || given["enterpriseManaged"] === "only") {
      report("enterpriseManaged", message)
    }
    const { clients } = given
    if (Array.isArray(clients) && clients.some((client) => Predicate.hasProperty(client, "serviceScopes"))) {
      report("clients", `have serviceScopes. That ${message}`)
    }
  }
  if (mode === "proxy" && given["passThrough"] === true && isOrgServer(given["issuer"])) {
    report(
      "passThrough",
      "cannot be had with an Okta org server, whose access tokens nobody but Okta can verify. Use a custom " +
        "authorization server, such as the one under /oauth2/default, or remove it."
    )
  }
  if (given["dpop"] === "require" && (given["serverUrl"] === undefined || given["passThrough"] === true)) {
    report(
      "dpop",
      given["serverUrl"] === undefined
        ? `cannot be required without ${
          nameOf("serverUrl")
        }, for which proofs are made. Give the public URL of this server.`
        : "cannot be required with passThrough: Okta's tokens are bound to no key of the client's. Remove one of them."
    )
  }
  if (mode === "proxy") {
    missing("serverUrl", "Give the public URL of this server, such as https://mcp.example.com")
    if (String(given["serverUrl"]).startsWith("https:")) {
      missing(
        "encryptionSecret",
        "Without it nothing that is sealed outlives a restart. Make one with: npx effect-okta keys"
      )
      missing("signingKeys", "Without them no token outlives a restart. Make them with: npx effect-okta keys")
    }
    missing("clientId", "Give the client id of the web application that you made for this server in Okta.")
    if (given["clientKey"] === undefined) {
      const native = insisted === "proxy"
        ? ""
        : ` For native mode remove ${nameOf("clientId")}, which means proxy mode.`
      missing("clientSecret", `Give the client's secret, or its private key in ${nameOf("clientKey")}.${native}`)
    } else if (given["clientSecret"] !== undefined) {
      report("clientKey", `is given beside ${nameOf("clientSecret")}. Remove one of them.`, given["clientKey"])
    }
  }

  if (mode === "native") {
    const ofProxy = Object.keys(given).filter((field) => field in Proxy.fields && !(field in Native.fields))
    for (const field of admit === undefined ? ofProxy : [...ofProxy, "admit"]) {
      if (present.length === 0) {
        report(
          field,
          `is a setting of proxy mode. Give ${nameOf("clientId")} and ${nameOf("clientSecret")} too, or remove it.`
        )
      }
      delete given[field]
    }
  }
  const decoded: Result.Result<Settings, Schema.SchemaError> = mode === "native"
    ? decodeNative({ ...given, ...several ? firstOf(given["issuers"]) : undefined, mode })
    : decodeProxy({ ...given, mode })
  if (Result.isFailure(decoded)) {
    for (const { message, path } of standardIssues(decoded.failure.issue).issues) {
      const [field, index] = path ?? []
      if (typeof field !== "string" || given[field] === undefined) continue
      const value = given[field]
      const below = (path ?? []).slice(1).map(String)
      if (field === "clients" || several && field === "issuers") {
        const mistake = field === "clients"
          ? ClientList.mistakeAt(value, below, message)
          : mistakeAt(value, below, message)
        report(mistake.field, mistake.message, mistake.value)
      } else if (!(field in Proxy.fields)) report(field, "is not a setting. Look for a slip in its name.")
      else report(field, message, Array.isArray(value) && typeof index === "number" ? value[index] : value)
    }
  }
  const verification = Object.fromEntries(
    Object.entries({ accept, cacheSize }).filter(([, value]) => value !== undefined)
  )
  const verified = decodeVerification(verification)
  if (Result.isFailure(verified)) {
    for (const { message, path } of standardIssues(verified.failure.issue).issues) {
      const field = String(path?.[0])
      report(field, message, verification[field])
    }
  }
  if (introspection !== undefined) {
    const at = (member?: string) => member === undefined ? "introspection" : `introspection.${member}`
    const context = { mode, several, accept, nameOf: (member: string) => nameOf(at(member)) } as const
    for (const { member, message, value } of Introspection.mistakes(introspection, context)) {
      report(at(member), message, value)
    }
  }
  return Result.isSuccess(decoded) && problems.length === 0
    ? Result.succeed(decoded.success)
    : Result.fail(new InvalidConfiguration({ problems }))
}

/**
 * The settings of this server.
 *
 * @see {@link OktaOptions} for what each means.
 * @example
 * ```ts
 * import { OktaConfig } from "effect-okta"
 * import { Effect } from "effect"
 *
 * const Settings = OktaConfig.layer({ issuer: "https://acme.okta.com/oauth2/default", audience: "api://default" })
 *
 * export const issuer = Effect.map(OktaConfig, ({ issuer }) => issuer).pipe(Effect.provide(Settings))
 * ```
 */
export class OktaConfig extends Context.Service<OktaConfig, Settings>()("effect-okta/config/OktaConfig") {
  /** From options in code; fails with `InvalidConfiguration`, which lists every mistake in them. */
  static readonly layer = (
    options: OktaOptions | SeveralIssuersOptions
  ): Layer.Layer<OktaConfig, InvalidConfiguration> =>
    Layer.effect(OktaConfig, Effect.suspend(() => Effect.fromResult(decode(options))))
}
