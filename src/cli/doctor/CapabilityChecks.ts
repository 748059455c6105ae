import { issuerKind } from "../../config/IssuerUrl.ts"
import type { Settings } from "../../config/OktaConfig.ts"
import { type Check, ok, skipped, warning } from "./Check.ts"
import type { Metadata } from "./OktaChecks.ts"

/** Something that Okta may offer, and what it is to whoever has none. */
interface Capability {
  readonly name: string
  /** The member of the metadata that tells. */
  readonly member: string
  readonly listed: boolean
  /** This server uses it without being told to. */
  readonly used?: boolean
  readonly meaning: string
  readonly mend: string
}

/** What the settings ask for, besides what code may. */
interface Uses {
  readonly introspects: boolean
  readonly stepsUp: boolean
}

const check = "capabilities"

const tokenExchange = "urn:ietf:params:oauth:grant-type:token-exchange"

const issuerAsShown = "Use the issuer that Okta shows under Security, API, Authorization Servers."

const isFilled = (list: ReadonlyArray<string> | undefined): boolean => list !== undefined && list.length > 0

/** Both modes: for handlers that call other APIs, and policies about how people signed in. */
const ofBoth = (
  { advertised }: Metadata,
  { issuer }: Settings,
  { stepsUp }: Uses
): ReadonlyArray<Capability> => [
  {
    name: "token exchange",
    member: "grant_types_supported",
    listed: advertised.grant_types_supported?.includes(tokenExchange) === true,
    meaning: "TokenExchange may get no tokens for other APIs here. An app that does not use it misses nothing.",
    mend: issuerKind(issuer) === "org"
      ? `To use it, take a custom authorization server, such as ${issuer}/oauth2/default`
      : "To use it, allow the grant Token Exchange in the application and in an access policy of the authorization server, and " +
        "try it: Okta may take what it does not list."
  },
  {
    name: "step-up",
    member: "acr_values_supported",
    listed: isFilled(advertised.acr_values_supported),
    used: stepsUp,
    meaning: "Policies with acr send people to Okta with acr_values, which it may take though it lists none.",
    mend: "Before you rely on acr, call something that such a policy guards, and see that Okta asks for more."
  }
]

/** Native mode: clients and this server ask Okta itself. */
const ofNative = (
  { advertised, metadata }: Metadata,
  { dpop }: Settings,
  { introspects }: Uses
): ReadonlyArray<Capability> => [
  // Where it is set, there is a check of its own.
  ...(introspects ? [] : [{
    name: "introspection",
    member: "introspection_endpoint",
    listed: metadata.introspection_endpoint !== undefined,
    meaning:
      "The option introspection and TokenIntrospection have nobody to ask: what depends on them is answered with 503.",
    mend: "Leave them out, or use an authorization server that can be asked about its tokens."
  }]),
  {
    name: "DPoP",
    member: "dpop_signing_alg_values_supported",
    listed: isFilled(advertised.dpop_signing_alg_values_supported),
    used: dpop === "require",
    meaning: "Clients learn there whether Okta binds tokens to their keys; without it they ask for bearer tokens.",
    mend: dpop === "require"
      ? "Set DPOP to accept: as it is, clients come with bearer tokens, and all of those are refused."
      : "Leave the option dpop at accept: with require, bearer tokens are refused."
  }
]

/** Proxy mode: this server has Okta end what Okta gave, and learns of what Okta has ended. */
const ofProxy = ({ advertised, metadata }: Metadata, serverUrl: string): ReadonlyArray<Capability> => [
  {
    name: "back-channel logout",
    member: "backchannel_logout_supported",
    listed: advertised.backchannel_logout_supported === true,
    meaning: `Okta may send no logout tokens to ${serverUrl}/oauth/backchannel-logout`,
    mend:
      `Universal Logout does more: set it up in the application in Okta, with ${serverUrl}/oauth/global-token-revocation`
  },
  {
    name: "revocation",
    member: "revocation_endpoint",
    listed: metadata.revocation_endpoint !== undefined,
    used: true,
    meaning: "What is ended here is refused at once, but Okta's own tokens of it go on until their end.",
    mend: issuerAsShown
  },
  {
    name: "end of session",
    member: "end_session_endpoint",
    listed: metadata.end_session_endpoint !== undefined,
    used: true,
    meaning: "Who signs out here stays signed in at Okta.",
    mend: issuerAsShown
  }
]

/**
 * What Okta offers for the capabilities that an app may use. What it does not list is left out, as nobody can see from here
 * whether the app's code needs it, unless this server uses it in any case.
 */
export const capabilities = (
  settings: Settings,
  okta: Metadata | undefined,
  uses: Uses
): ReadonlyArray<Check> => {
  if (okta === undefined) return [skipped({ check, tried: "nothing", found: "Okta's metadata is needed first" })]
  const all = [
    ...ofBoth(okta, settings, uses),
    ...(settings.mode === "native" ? ofNative(okta, settings, uses) : ofProxy(okta, settings.serverUrl))
  ]
  const listed = all.filter(({ listed }) => listed).map(({ name }) => name)
  return [
    ...(listed.length === 0 ? [] : [ok({ check, tried: "Okta's metadata", found: `it lists ${listed.join(", ")}` })]),
    ...all.filter(({ listed }) => !listed).map(({ meaning, member, mend, name, used }) =>
      (used === true ? warning : skipped)({ check, tried: `${name}, by ${member}`, found: "not listed", meaning, mend })
    )
  ]
}
