import type { InvalidConfiguration } from "../../config/InvalidConfiguration.ts"
import { issuerKind } from "../../config/IssuerUrl.ts"
import type { Settings } from "../../config/OktaConfig.ts"
import { named } from "../settings.ts"
import { type Check, failed, ok, sentences, skipped, warning } from "./Check.ts"

/** Every mistake in the settings. */
export const mistakes = (error: InvalidConfiguration): ReadonlyArray<Check> =>
  named(error).problems.map(({ field, message, value }) =>
    failed({ check: "settings", tried: field, found: value ?? "not given", ...sentences(`${field} ${message}`) })
  )

/** That there is none. */
export const noMistakes = ({ mode }: Settings): Check =>
  ok({
    check: "settings",
    tried: "flags and environment",
    found: `no mistakes, ${mode} mode`,
    meaning: mode === "native"
      ? "Clients sign in with Okta themselves; this server verifies the tokens that they show."
      : "This server signs people in at Okta for its clients, which hold tokens of its own."
  })

const example = "/oauth2/default"

/** Which kind of authorization server the issuer is, and what follows from it. */
export const issuer = (
  { issuer, mode }: Pick<Settings, "issuer"> & { readonly mode?: Settings["mode"] },
  introspection?: "recheck" | "only"
): Check => {
  const check = { check: "issuer", tried: issuer }
  if (issuerKind(issuer) === "custom") {
    return ok({
      ...check,
      found: "a custom authorization server",
      meaning: "Its access tokens are for your API and can be verified by it. Native and proxy mode both work with it."
    })
  }
  if (mode === "proxy") {
    return ok({
      ...check,
      found: "an org authorization server",
      meaning:
        "Proxy mode works with it: who somebody is comes from the ID token, and clients get tokens of this server's own."
    })
  }
  if (introspection === "only") {
    return ok({
      ...check,
      found: "an org authorization server",
      meaning: "Nobody but Okta can verify its access tokens, and Okta is asked about each: OKTA_INTROSPECTION is only."
    })
  }
  return failed({
    ...check,
    found: "an org authorization server",
    meaning:
      "Native mode can never work with an org server: its access tokens are for Okta's own APIs, the key that signs them is " +
      "not published, and nobody but Okta can verify them.",
    mend: `Use a custom authorization server, such as ${issuer}${example}, or proxy mode with OKTA_CLIENT_ID and ` +
      "OKTA_CLIENT_SECRET. Or have Okta asked about each token: OKTA_INTROSPECTION=only."
  })
}

/** Whether ID-JAGs can come, where they are to be taken. */
export const crossAppAccess = (settings: Settings): ReadonlyArray<Check> => {
  if (settings.mode === "native" || settings.enterpriseManaged === false) return []
  const check = { check: "cross-app-access", tried: `OKTA_ENTERPRISE_MANAGED ${settings.enterpriseManaged}` }
  const proven = settings.clients.filter(({ clientSecrets, keys }) => keys !== undefined || clientSecrets.length > 0)
  const clients = proven.length > 0
    ? ok({ ...check, tried: "CLIENTS", found: `${proven.map(({ clientId }) => clientId).join(", ")} may bring them` })
    : skipped({
      ...check,
      tried: "CLIENTS",
      found: "no client with keys or secrets",
      meaning:
        "Only clients with a metadata document can bring ID-JAGs: those that registered, or are public, may not.",
      mend: "Name the calling application in CLIENTS, with its keys, unless it has such a document."
    })
  return [
    clients,
    issuerKind(settings.issuer) === "org"
      ? ok({
        ...check,
        found: "the issuer is an org server, which issues ID-JAGs",
        meaning:
          `In Okta the application of this server needs ${settings.serverUrl} as Issuer URL and as Audience, byte for byte.`
      })
      : failed({
        ...check,
        found: "the issuer is a custom server, which issues no ID-JAGs",
        meaning: "ID-JAGs come from Okta's org server, and those would be refused as of another issuer.",
        mend: `Set OKTA_ISSUER to ${new URL(settings.issuer).origin}: proxy mode signs people in there as well.`
      })
  ]
}

/** The id of an app integration, as Okta makes them. */
const looksLikeClientId = (text: string): boolean => /^0oa[0-9A-Za-z]{8,}$/.test(text)

const isWithin = (text: string, url: string): boolean => text === url || text.startsWith(`${url}/`)

/** Whether the configured audience can ever be that of a token. */
export const audience = (settings: Settings, introspection?: "recheck" | "only"): ReadonlyArray<Check> =>
  settings.mode === "proxy"
    ? [proxyAudience(settings)]
    : settings.audience.map((one) =>
      introspection === "only" && issuerKind(settings.issuer) === "org"
        ? introspectedAudience(one, settings.issuer)
        : nativeAudience(one, settings.issuer)
    )

/** Of an org server's tokens Okta says that they are for the org itself. */
const introspectedAudience = (audience: string, issuer: string): Check => {
  const check = { check: "audience", tried: `OKTA_AUDIENCE ${audience}` }
  return audience === issuer ? ok({ ...check, found: "can match", meaning: "Okta says it of every token." }) : failed({
    ...check,
    found: "can never match",
    meaning: "What Okta says of an org server's access tokens is that they are for the org server.",
    mend: `Set OKTA_AUDIENCE to ${issuer}`
  })
}

const nativeAudience = (audience: string, issuer: string): Check => {
  const check = { check: "audience", tried: `OKTA_AUDIENCE ${audience}` }
  const { origin } = new URL(issuer)
  if (issuerKind(issuer) === "org") {
    return failed({
      ...check,
      found: "can never match",
      meaning: "The access tokens of an org server are for Okta's own APIs, whatever audience is set here.",
      mend:
        `Use a custom authorization server, such as ${issuer}${example}, and the Audience that Okta shows beside it.`
    })
  }
  if (looksLikeClientId(audience)) {
    return failed({
      ...check,
      found: "can never match",
      meaning:
        "It is a client id. Only ID tokens have the client id as audience; an access token has the Audience of its " +
        "authorization server.",
      mend:
        "Set OKTA_AUDIENCE to the Audience that Okta shows under Security, API, Authorization Servers. Where the client id has " +
        "to be the audience, use proxy mode."
    })
  }
  if (isWithin(audience, origin)) {
    return failed({
      ...check,
      found: "can never match",
      meaning: "It is an address of Okta's own, for which Okta's own APIs are; your API needs an audience of its own.",
      mend:
        "Set OKTA_AUDIENCE to the Audience that Okta shows under Security, API, Authorization Servers, such as api://default"
    })
  }
  if (audience.endsWith("/")) {
    return warning({
      ...check,
      found: "ends with a slash",
      meaning: "Audiences are compared byte for byte.",
      mend: `Compare it with the Audience in Okta: if that has no slash at its end, set OKTA_AUDIENCE to ${
        audience.replace(/\/+$/, "")
      }`
    })
  }
  return ok({
    ...check,
    found: "can match",
    meaning: (issuer.endsWith(example) && audience !== "api://default"
      ? "The server default has api://default unless its Audience was changed. "
      : "") + "Only a token shows whether it does match: --token - or --token-file."
  })
}

const proxyAudience = (settings: Extract<Settings, { readonly mode: "proxy" }>): Check => {
  const { audience = [], clientId, issuer } = settings
  const check = { check: "audience", tried: `OKTA_AUDIENCE ${audience.join(", ") || "not set"}` }
  if (audience.length === 0) {
    return ok({
      ...check,
      found: "not needed",
      meaning: "In proxy mode Okta's ID token is verified, whose audience is always the client id."
    })
  }
  if (audience.includes(clientId)) {
    return ok({
      ...check,
      found: "the client id",
      meaning: "That is the audience of Okta's ID token, which proxy mode verifies in any case. It can be left out."
    })
  }
  if (issuerKind(issuer) === "org") {
    return skipped({
      ...check,
      found: "not looked at",
      meaning:
        "The access tokens of an org server are for Okta's own APIs, so their audience is not compared. It can be left out."
    })
  }
  return ok({
    ...check,
    found: "compared at each sign-in",
    meaning: "Okta's access token must carry it: it has to be the Audience of the authorization server."
  })
}
