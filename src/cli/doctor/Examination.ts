import { Array, Duration, Effect, type FileSystem, type Path, type Redacted, Result } from "effect"
import * as Environment from "../../config/Environment.ts"
import { InvalidConfiguration } from "../../config/InvalidConfiguration.ts"
import { issuerMistakes } from "../../config/IssuerUrl.ts"
import type { OktaOptions, Settings } from "../../config/OktaConfig.ts"
import type { OktaHttp } from "../../provider/OktaHttp.ts"
import { given } from "../Given.ts"
import { library, policy } from "../settings.ts"
import * as Ask from "./Ask.ts"
import { authorize, scopes } from "./AuthorizeCheck.ts"
import { capabilities } from "./CapabilityChecks.ts"
import { type Check, failed, skipped } from "./Check.ts"
import * as CredentialsChecks from "./CredentialsChecks.ts"
import * as IntrospectionCheck from "./IntrospectionCheck.ts"
import * as LeavingChecks from "./LeavingChecks.ts"
import * as OktaChecks from "./OktaChecks.ts"
import * as SecretChecks from "./SecretChecks.ts"
import * as ServerChecks from "./ServerChecks.ts"
import * as SettingsChecks from "./SettingsChecks.ts"
import * as TokenChecks from "./TokenChecks.ts"
import * as UpstreamCheck from "./UpstreamCheck.ts"

/** What is looked at, besides the settings of the environment. */
export interface Examination {
  /** Settings that have no variable. */
  readonly options: Partial<OktaOptions>
  /** Longest wait for each answer. */
  readonly timeout: Duration.Duration
  /** Whether this server is asked by its public URL. */
  readonly server: boolean
  /** The server behind, if there is one. */
  readonly upstream?: URL | undefined
  /** Where sign-ins are kept. */
  readonly store: SecretChecks.StoreChecked
  /** A token to be explained. */
  readonly token: Redacted.Redacted<string> | undefined
}

/** What came of it. */
export interface Diagnosis {
  readonly checks: ReadonlyArray<Check>
  /** Whether there is a mistake in the settings, with which nothing would start. */
  readonly unusable: boolean
}

/** What can be looked at though the settings cannot be used: Okta, if the issuer is in order. */
const despiteMistakes = Effect.fnUntraced(function*(ask: Ask.Ask, problems: InvalidConfiguration) {
  const checks = SettingsChecks.mistakes(problems)
  const issuer = yield* given("OKTA_ISSUER")
  if (issuer === "" || issuerMistakes(issuer).length > 0) return { checks, unusable: true }
  const mode = (yield* given("OKTA_CLIENT_ID")) === "" ? "native" : "proxy"
  const okta = yield* OktaChecks.look(ask, {
    issuer,
    foreignEndpoints: false,
    algorithms: ["RS256"],
    clockTolerance: Duration.seconds(30)
  })
  return { checks: [...checks, SettingsChecks.issuer({ issuer, mode }), ...okta.checks], unusable: true }
})

/** This server as a client of Okta's, in proxy mode; in native mode only what it demands of Okta's tokens. */
const signIn = Effect.fnUntraced(function*(
  ask: Ask.Ask,
  settings: Settings,
  okta: OktaChecks.Metadata | undefined
): Effect.fn.Return<ReadonlyArray<Check>> {
  if (settings.mode === "native") return okta === undefined ? [] : scopes(settings, okta.advertised.scopes_supported)
  if (okta === undefined) {
    return ["redirect-uri", "client-credentials"].map((check) =>
      skipped({ check, tried: "nothing", found: "Okta's metadata is needed first" })
    )
  }
  const { advertised, metadata: { authorization_endpoint, token_endpoint } } = okta
  if (authorization_endpoint === undefined || token_endpoint === undefined) {
    return [failed({
      check: "redirect-uri",
      tried: "Okta's metadata",
      found: "it names no authorization_endpoint or no token_endpoint",
      meaning: "Nobody can sign in there.",
      mend: "Use the issuer that Okta shows under Security, API, Authorization Servers."
    })]
  }
  const checks = yield* Effect.all([
    authorize(ask, authorization_endpoint, settings),
    CredentialsChecks.look(ask, token_endpoint, settings)
  ], { concurrency: "unbounded" })
  return [...scopes(settings, advertised.scopes_supported), ...checks.flat()]
})

/** What this server signs, seals and keeps with, in proxy mode. */
const belongings = Effect.fnUntraced(function*(settings: Settings, store: SecretChecks.StoreChecked) {
  return settings.mode === "native" ? [] : [
    ...(yield* SecretChecks.signingKeys(settings)),
    SecretChecks.encryptionSecret(settings),
    yield* SecretChecks.store(store)
  ]
})

/** Looks at everything that can be wrong, and changes nothing. */
export const examine = Effect.fnUntraced(function*(
  { options, server, store, timeout, token, upstream }: Examination
): Effect.fn.Return<Diagnosis, never, OktaHttp | FileSystem.FileSystem | Path.Path> {
  const ask = yield* Ask.make(timeout)
  const read = yield* Effect.result(library(options))
  const demanded = yield* Effect.result(policy)
  if (Result.isFailure(read) || Result.isFailure(demanded)) {
    const problems = [read, demanded].flatMap((one: Result.Result<unknown, InvalidConfiguration>) =>
      Result.isFailure(one) ? one.failure.problems : []
    )
    return yield* despiteMistakes(ask, new InvalidConfiguration({ problems }))
  }
  const settings = read.success
  const introspection = yield* Environment.introspection()
  const { checks, okta } = yield* OktaChecks.look(ask, settings)
  const rest = yield* Effect.all([
    signIn(ask, settings, okta),
    introspection === undefined ? Effect.succeed([]) : IntrospectionCheck.look(ask, introspection, okta),
    settings.mode === "native" ? Effect.succeed([]) : LeavingChecks.signers(ask, settings, okta),
    belongings(settings, store),
    server ? ServerChecks.look(ask, settings) : Effect.succeed([]),
    upstream === undefined ? Effect.succeed([]) : Effect.map(UpstreamCheck.look(upstream, timeout), Array.of),
    token === undefined ? Effect.succeed([]) : TokenChecks.explain(token, settings, okta?.clockSkew)
  ], { concurrency: "unbounded" })
  return {
    unusable: false,
    checks: [
      SettingsChecks.noMistakes(settings),
      SettingsChecks.issuer(settings, introspection?.mode),
      ...SettingsChecks.crossAppAccess(settings),
      ...checks,
      ...capabilities(settings, okta, {
        introspects: introspection !== undefined,
        stepsUp: demanded.success.acr !== undefined
      }),
      ...SettingsChecks.audience(settings, introspection?.mode),
      ...rest.flat()
    ]
  }
})
