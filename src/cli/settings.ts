import { ConfigProvider, Duration, Effect, Option, Result, Schema } from "effect"
import { Flag } from "effect/cli"
import { layerConfig, nameOf, variables } from "../config/Environment.ts"
import { InvalidConfiguration } from "../config/InvalidConfiguration.ts"
import { OktaConfig, type OktaOptions, type Settings } from "../config/OktaConfig.ts"
import { withoutUserinfo } from "../config/PublicUrl.ts"
import * as StoreChoice from "../proxy/StoreChoice.ts"
import type { Policy } from "../resource/Policy.ts"
import { compile } from "../resource/Rule.ts"
import { given } from "./Given.ts"
import * as SettingFiles from "./SettingFiles.ts"

/** A flag named like the environment variable that it takes the place of. */
export const setting = (variable: string, description: string) =>
  Flag.String(variable.toLowerCase().replaceAll("_", "-")).pipe(
    Flag.withDescription(`${description} (${variable})`),
    Flag.optional
  )

/**
 * Flags named like the environment variables that they take the place of. Secrets have none: other users of a machine can
 * read the flags of a process.
 */
export const settingFlags = {
  [variables.issuer]: setting(variables.issuer, "Okta authorization server, https://acme.okta.com/oauth2/default"),
  [variables.audience]: setting(variables.audience, "Audience of the tokens, several with commas"),
  [variables.serverUrl]: setting(variables.serverUrl, "Public URL of this server"),
  [variables.requiredScopes]: setting(variables.requiredScopes, "Scopes that every token must have"),
  [variables.mode]: setting(variables.mode, "native or proxy; follows from the other settings"),
  [variables.clientId]: setting(variables.clientId, "Proxy mode: client id of the web application in Okta"),
  [variables.redirectUris]: setting(variables.redirectUris, "Proxy mode: private-use redirect URIs of clients"),
  [variables.scopes]: setting(variables.scopes, "Proxy mode: scopes asked of Okta"),
  [variables.revokedBefore]: setting(variables.revokedBefore, "Proxy mode: ends whatever was issued before this time"),
  [variables.trustedProxies]: setting(variables.trustedProxies, "Proxy mode: number of reverse proxies in front"),
  SIGNING_KEYS_FILE: setting("SIGNING_KEYS_FILE", "Proxy mode: file with the signing keys, read again on SIGHUP"),
  CLIENTS_FILE: setting("CLIENTS_FILE", "Proxy mode: file with the list of configured clients, in JSON"),
  [variables.enterpriseManaged]: setting(
    variables.enterpriseManaged,
    "Proxy mode: take Okta's word for people from clients (Cross App Access): true, false or only"
  ),
  REQUIRED_ACR: setting("REQUIRED_ACR", "Ways of signing in, of which each caller must have used one (step-up)"),
  MAX_SIGN_IN_AGE: setting(
    "MAX_SIGN_IN_AGE",
    "Longest time since each caller signed in, such as \"8 hours\" (step-up)"
  ),
  [variables.dpop]: setting(variables.dpop, "Tokens bound to a key of the client's (DPoP): accept, require or off"),
  [variables.dpopProofLifetime]: setting(
    variables.dpopProofLifetime,
    "How old a DPoP proof may be, such as \"60 seconds\""
  ),
  [variables.dpopNonces]: setting(variables.dpopNonces, "Proxy mode: demand nonces in DPoP proofs: true or false"),
  [variables.introspection]: setting(
    variables.introspection,
    "Native mode: ask Okta about each token: recheck (besides verifying it) or only"
  ),
  [variables["introspection.clientId"]]: setting(
    variables["introspection.clientId"],
    "Native mode: client id of the application by which Okta is asked"
  ),
  SQLITE_FILE: setting(
    "SQLITE_FILE",
    "Proxy mode: file that keeps sign-ins; effect-okta.sqlite by default"
  ),
  PORT: setting("PORT", "Port to listen on, 0 for a free one; 8080 by default")
}

/** Settings from flags, which go before the environment. */
export const withSettings = (
  flags: { readonly [variable: string]: Option.Option<string> }
): Effect.Effect<ConfigProvider.ConfigProvider> =>
  Effect.map(ConfigProvider.ConfigProvider, (environment) => {
    const given = Object.entries(flags).flatMap(([variable, value]) =>
      Option.isSome(value) ? [[variable, value.value] as const] : []
    )
    return ConfigProvider.orElse(ConfigProvider.fromUnknown(Object.fromEntries(given)), environment)
  })

/** A setting as it is used, or what is wrong with it. */
const checked = <A>(
  field: string,
  value: unknown,
  schema: Schema.ConstraintDecoder<A>,
  message: string
): Result.Result<A, InvalidConfiguration> =>
  Result.mapError(
    Schema.decodeUnknownResult(schema)(value),
    () => new InvalidConfiguration({ problems: [{ field, value: withoutUserinfo(String(value)), message }] })
  )

const Port = Schema.String.check(Schema.isPattern(/^\d{1,5}$/)).pipe(
  Schema.decodeTo(Schema.NumberFromString.check(Schema.isBetween({ minimum: 0, maximum: 65535 })))
)

/** The port that a variable names. */
export const portOf = Effect.fnUntraced(
  function*(variable: string, usual: string): Effect.fn.Return<number, InvalidConfiguration> {
    const value = yield* given(variable)
    return yield* Effect.fromResult(
      checked(variable, value || usual, Port, "is not a port. Give a number between 0 and 65535.")
    )
  }
)

/** The port to listen on. */
export const port = portOf("PORT", "8080")

const Host = Schema.String.check(Schema.isPattern(/^[\w.:-]+$/))

/** The address to listen on; an empty one would be all of them. */
export const host = (address: string): Result.Result<string, InvalidConfiguration> =>
  checked("--host", address, Host, "is not an address. Give one such as 127.0.0.1, or 0.0.0.0 for all.")

const Upstream = Schema.URLFromString.check(
  Schema.makeFilter(({ hash, password, protocol, search, username }) =>
    /^https?:$/.test(protocol) && `${username}${password}${search}${hash}` === ""
  )
)

/** How callers of the protected path must have signed in; everything that is wrong with it. */
export const policy: Effect.Effect<Policy, InvalidConfiguration> = Effect.gen(function*() {
  const acr = yield* given("REQUIRED_ACR")
  const maxAge = yield* given("MAX_SIGN_IN_AGE")
  const asked = {
    REQUIRED_ACR: acr === "" ? {} : { acr: acr.split(/[\s,]+/) },
    // What is no length of time is told as any other mistake.
    MAX_SIGN_IN_AGE: maxAge === "" ? {} : { maxAge: Option.getOrElse(lengthOfTime(maxAge), () => -1) }
  }
  const problems = Object.entries(asked).flatMap(([field, policy]) =>
    Result.match(compile(policy, {}), {
      onFailure: ({ problem }) => [{ field, value: field === "REQUIRED_ACR" ? acr : maxAge, message: problem }],
      onSuccess: () => []
    })
  )
  return problems.length > 0
    ? yield* new InvalidConfiguration({ problems })
    : { ...asked.REQUIRED_ACR, ...asked.MAX_SIGN_IN_AGE }
})

const lengthOfTime = Schema.decodeUnknownOption(Schema.DurationFromString)

/** The server behind, if there is one. */
export const upstream = (url: string | undefined): Result.Result<URL | undefined, InvalidConfiguration> =>
  url === undefined ? Result.succeed(undefined) : checked(
    "--upstream",
    url,
    Upstream,
    "is not the URL of a server. Give one such as http://127.0.0.1:3000, without user name, query and fragment."
  )

const Timeout = Schema.Union([Schema.Duration, Schema.DurationFromString]).check(Schema.makeFilter(Duration.isPositive))

/** How long to wait for the server behind. */
export const timeout = (duration: Duration.Duration | string): Result.Result<Duration.Duration, InvalidConfiguration> =>
  checked("--timeout", duration, Timeout, "is not a length of time. Give one such as \"30 seconds\".")

/** The flags of settings that have no variable. */
const flagOf: { readonly [field: string]: string } = { protectedPaths: "--path", allowedOrigins: "--allow-origin" }

/** Parts of the server know a setting by its name in code: mistakes by the names that settings have for who runs a command. */
export const named = ({ problems }: InvalidConfiguration): InvalidConfiguration =>
  new InvalidConfiguration({
    problems: problems.map((problem) => ({ ...problem, field: flagOf[problem.field] ?? nameOf(problem.field) }))
  })

/** The settings of the library. */
export const library = (options: Partial<OktaOptions>): Effect.Effect<Settings, InvalidConfiguration> =>
  SettingFiles.check(Effect.mapError(Effect.provide(OktaConfig, StoreChoice.checked(layerConfig(options))), named))
