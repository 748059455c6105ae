import { Redacted, Result } from "effect"
import { createHash, timingSafeEqual } from "node:crypto"
import { InvalidConfiguration } from "../../config/InvalidConfiguration.ts"
import type { ConfiguredClient } from "../../config/Settings.ts"
import { admit } from "../../provider/JsonWebKey.ts"
import { problem } from "../authorize/RedirectUri.ts"
import type { ProxySettings } from "../ProxySettings.ts"
import type { Client } from "./Client.ts"
import type { AuthenticationMethod } from "./ClientMetadata.ts"

/** The clients that the owner of this server has made known to it. */
export interface ConfiguredClients {
  /** The client with this id. */
  readonly find: (clientId: string) => Client | undefined
  /** Whether a secret is one of the client's; takes as long whichever it is. */
  readonly hasSecret: (clientId: string, secret: Redacted.Redacted<string>) => boolean
}

const methodOf = ({ clientSecrets, keys }: ConfiguredClient): AuthenticationMethod =>
  keys !== undefined ? "private_key_jwt" : clientSecrets.length > 0 ? "client_secret_basic" : "none"

const clientOf = (configured: ConfiguredClient): Client => {
  const { clientId, dpopBoundAccessTokens, keys, mayIntrospect, name, redirectUris, serviceScopes } = configured
  return {
    clientId,
    origin: "configured",
    mayIntrospect,
    ...(serviceScopes === undefined ? undefined : { serviceScopes: [...new Set(serviceScopes)] }),
    metadata: {
      redirect_uris: redirectUris,
      token_endpoint_auth_method: methodOf(configured),
      grant_types: ["authorization_code", "refresh_token"],
      application_type: "web",
      ...(name === undefined ? undefined : { client_name: name }),
      ...(keys === undefined ? undefined : { jwks: { keys } }),
      ...(dpopBoundAccessTokens ? { dpop_bound_access_tokens: true } : undefined)
    }
  }
}

/** What is wrong with a client, in words that follow its name. */
const mistakes = (
  { clientSecrets, keys, mayIntrospect, redirectUris, serviceScopes }: ConfiguredClient,
  { enterpriseManaged }: Pick<ProxySettings, "enterpriseManaged">
): ReadonlyArray<string> => [
  ...(keys !== undefined && clientSecrets.length > 0
    ? ["has clientSecrets and keys. Give one of them, or none for a public client."]
    : []),
  ...(mayIntrospect && keys === undefined && clientSecrets.length === 0
    ? ["may introspect without clientSecrets or keys, so that anybody could. Give one of them."]
    : []),
  ...(serviceScopes !== undefined && keys === undefined && clientSecrets.length === 0
    ? ["has serviceScopes without clientSecrets or keys, so that anybody could have them. Give one of them."]
    : []),
  ...(redirectUris.length === 0 && !mayIntrospect && serviceScopes === undefined &&
      (enterpriseManaged === false || keys === undefined && clientSecrets.length === 0)
    ? ["has no redirectUris, so that it can do nothing. Give at least one."]
    : []),
  ...(keys ?? []).flatMap((key, index) => {
    // A client with one key need not name it.
    const admitted = admit({ kid: "unnamed", ...key })
    return Result.isSuccess(admitted) ? [] : [`has a mistake in its keys: key ${index + 1} ${admitted.failure}.`]
  }),
  ...redirectUris.flatMap((uri) => {
    const wrong = problem(uri, { listed: redirectUris })
    return wrong === undefined ? [] : [`has a redirect URI that ${wrong}.`]
  })
]

/** What is wrong with the configured clients, each by its id. */
export const problems = (
  settings: Pick<ProxySettings, "clients" | "enterpriseManaged">
): InvalidConfiguration | undefined => {
  const { clients } = settings
  const ids = clients.map(({ clientId }) => clientId)
  const found = clients.flatMap((client, index) =>
    [
      ...(ids.indexOf(client.clientId) === index ? [] : ["is there more than once."]),
      ...mistakes(client, settings)
    ].map((message) => ({ field: "clients", value: client.clientId, message }))
  )
  return found.length === 0 ? undefined : new InvalidConfiguration({ problems: found })
}

const digest = (text: string): Buffer => createHash("sha256").update(text).digest()

/** The clients of the settings. */
export const make = (clients: ReadonlyArray<ConfiguredClient>): ConfiguredClients => {
  const known = new Map(clients.map((client) => [client.clientId, clientOf(client)]))
  const secrets = new Map(
    clients.map((
      { clientId, clientSecrets }
    ) => [clientId, clientSecrets.map((secret) => digest(Redacted.value(secret)))])
  )
  return {
    find: (clientId) => known.get(clientId),
    hasSecret: (clientId, secret) => {
      const given = digest(Redacted.value(secret))
      return (secrets.get(clientId) ?? []).map((own) => timingSafeEqual(own, given)).includes(true)
    }
  }
}
