import { Effect } from "effect"
import { InvalidConfiguration } from "../config/InvalidConfiguration.ts"
import { OktaConfig, type Proxy } from "../config/OktaConfig.ts"

/** The settings of proxy mode. */
export type ProxySettings = typeof Proxy.Type

/** The settings of proxy mode; in native mode there are none. */
export const proxySettings: Effect.Effect<ProxySettings, InvalidConfiguration, OktaConfig> = Effect.flatMap(
  OktaConfig,
  (settings) =>
    settings.mode === "proxy"
      ? Effect.succeed(settings)
      : Effect.fail(
        new InvalidConfiguration({
          problems: [{
            field: "clientId",
            message:
              "is missing, without which there is no proxy. Give the credentials of your web application in Okta."
          }]
        })
      )
)

/** Whether people sign in here, and not at their clients alone. */
export const isInteractive = ({ enterpriseManaged }: Pick<ProxySettings, "enterpriseManaged">): boolean =>
  enterpriseManaged !== "only"

/** A secret that was not given. */
export interface MissingSecret {
  readonly field: "encryptionSecret" | "signingKeys"
  readonly variable: string
  /** What it costs to do with one that is made up at each start: a sentence. */
  readonly cost: string
  readonly mend: string
}

/**
 * Lets a server on a loopback address make up a secret for as long as it runs, with a warning; one that the world can reach
 * does not start.
 */
export const allowEphemeral = (
  { serverUrl }: ProxySettings,
  { cost, field, mend, variable }: MissingSecret
): Effect.Effect<void, InvalidConfiguration> =>
  serverUrl.startsWith("https:")
    ? Effect.fail(new InvalidConfiguration({ problems: [{ field, message: `is missing. ${cost} ${mend}` }] }))
    : Effect.logWarning(`${field} (${variable}) is not set, so one is made up. ${cost} ${mend}`)
