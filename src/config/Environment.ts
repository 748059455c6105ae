import { Config, Effect, Layer, Option, Redacted, Schema } from "effect"
import * as ClientList from "./ClientList.ts"
import { Introspection } from "./Introspection.ts"
import { InvalidConfiguration } from "./InvalidConfiguration.ts"
import { decode, OktaConfig, type OktaOptions, type SeveralIssuersOptions } from "./OktaConfig.ts"

/** The environment variable of each setting that has one. */
export const variables = {
  mode: "OKTA_MODE",
  issuer: "OKTA_ISSUER",
  audience: "OKTA_AUDIENCE",
  clientId: "OKTA_CLIENT_ID",
  clientSecret: "OKTA_CLIENT_SECRET",
  clientKey: "OKTA_CLIENT_KEY",
  redirectUris: "OKTA_REDIRECT_URIS",
  scopes: "OKTA_SCOPES",
  serverUrl: "SERVER_URL",
  requiredScopes: "REQUIRED_SCOPES",
  signingKeys: "SIGNING_KEYS",
  encryptionSecret: "ENCRYPTION_SECRET",
  revokedBefore: "REVOKED_BEFORE",
  trustedProxies: "TRUSTED_PROXIES",
  enterpriseManaged: "OKTA_ENTERPRISE_MANAGED",
  clients: "CLIENTS",
  dpop: "DPOP",
  dpopProofLifetime: "DPOP_PROOF_LIFETIME",
  dpopNonces: "DPOP_NONCES",
  introspection: "OKTA_INTROSPECTION",
  "introspection.mode": "OKTA_INTROSPECTION",
  "introspection.clientId": "OKTA_INTROSPECTION_CLIENT_ID",
  "introspection.clientSecret": "OKTA_INTROSPECTION_CLIENT_SECRET",
  "introspection.clientKey": "OKTA_INTROSPECTION_CLIENT_KEY"
} as const

/** The variable of a setting, with the place in it: `CLIENTS[0].keys` for `clients[0].keys`. */
export const nameOf = (field: string): string => {
  const [whole = field] = field.split("[", 1)
  const name = (setting: string) => Object.entries(variables).find(([key]) => key === setting)?.[1]
  return name(field) ?? `${name(whole) ?? whole}${field.slice(whole.length)}`
}

const text = (name: string) =>
  Config.String(name).pipe(
    Config.map((value) => value.trim()),
    Config.option,
    Config.map(Option.filter((value) => value !== "")),
    Config.map(Option.getOrUndefined)
  )

const secret = (name: string) =>
  text(name).pipe(Config.map((value) => value === undefined ? undefined : Redacted.make(value)))

const commaList = (name: string) => text(name).pipe(Config.map((value) => value?.split(",").map((item) => item.trim())))

const spaceList = (name: string) => text(name).pipe(Config.map((value) => value?.split(/[\s,]+/)))

/** What is no whole number stays as it is, for the setting to say what is wrong with it. */
const wholeNumber = (name: string) =>
  text(name).pipe(Config.map((value) => value !== undefined && /^\d{1,9}$/.test(value) ? Number(value) : value))

/** True and false; what is neither stays as it is. */
const toggle = (name: string) =>
  text(name).pipe(Config.map((value) => value === "true" || value === "false" ? value === "true" : value))

const environment = Config.all({
  mode: text(variables.mode),
  issuer: text(variables.issuer),
  audience: commaList(variables.audience),
  clientId: text(variables.clientId),
  clientSecret: secret(variables.clientSecret),
  clientKey: secret(variables.clientKey),
  redirectUris: commaList(variables.redirectUris),
  scopes: spaceList(variables.scopes),
  serverUrl: text(variables.serverUrl),
  requiredScopes: spaceList(variables.requiredScopes),
  signingKeys: secret(variables.signingKeys),
  revokedBefore: text(variables.revokedBefore),
  trustedProxies: wholeNumber(variables.trustedProxies),
  enterpriseManaged: toggle(variables.enterpriseManaged),
  clients: text(variables.clients).pipe(
    Config.map((value) => value === undefined ? undefined : ClientList.fromJson(value))
  ),
  dpop: text(variables.dpop),
  dpopProofLifetime: text(variables.dpopProofLifetime),
  dpopNonces: toggle(variables.dpopNonces),
  encryptionSecret: commaList(variables.encryptionSecret).pipe(
    Config.map((values) => values?.map((value) => Redacted.make(value)))
  )
})

const asking = Config.all({
  mode: text(variables.introspection),
  clientId: text(variables["introspection.clientId"]),
  clientSecret: secret(variables["introspection.clientSecret"]),
  clientKey: secret(variables["introspection.clientKey"])
})

const present = (read: object) => Object.fromEntries(Object.entries(read).filter(([, value]) => value !== undefined))

/** How Okta is to be asked about tokens, as far as it is said at all; nothing of it is checked. */
const readIntrospection = (inCode: object | undefined) =>
  Effect.map(asking, (read) => {
    const given = { ...inCode, ...present(read) }
    return Object.keys(given).length === 0 ? undefined : given
  })

/** How Okta is asked about tokens, by settings that were found to be in order; `inCode` stands in for variables that are not set. */
export const introspection = (inCode?: object): Effect.Effect<typeof Introspection.Type | undefined> =>
  readIntrospection(inCode).pipe(
    Effect.flatMap((given) =>
      given === undefined ? Effect.undefined : Schema.decodeUnknownEffect(Introspection)(present(given))
    ),
    Effect.orDie
  )

/**
 * The settings of this server, read from the environment through Effect's `Config`.
 *
 * `options` holds what has no environment variable, and what to fall back to where the environment is silent.
 */
export const layerConfig = (
  { introspection: inCode, ...options }: (Partial<OktaOptions> | SeveralIssuersOptions) & {
    readonly introspection?: object | undefined
    readonly admit?: object | undefined
  } = {}
): Layer.Layer<OktaConfig, InvalidConfiguration> =>
  Layer.effect(
    OktaConfig,
    Effect.gen(function*() {
      const read = yield* environment
      const introspection = yield* readIntrospection(inCode)
      const settings = present(read)
      const given = { ...present(options), ...settings }
      // What was written in code is called as it is there.
      const name = (field: string) => {
        const [whole = field] = field.split("[", 1)
        return whole in given && !(whole in settings) ? field : nameOf(field)
      }
      return yield* Effect.fromResult(decode({ ...given, introspection }, name))
    }).pipe(
      Effect.catchTag(
        "ConfigError",
        (error) =>
          new InvalidConfiguration({
            problems: [{ field: "environment", message: `cannot be read. ${error.message}` }]
          })
      )
    )
  )
