import { Effect, type Layer } from "effect"
import { HttpRouter, HttpServerResponse } from "effect/http"
import { algorithms } from "../config/Algorithm.ts"
import type { InvalidConfiguration } from "../config/InvalidConfiguration.ts"
import type { OktaConfig } from "../config/OktaConfig.ts"
import { basePathOf } from "../config/PublicUrl.ts"
import { metadataCors } from "../resource/Cors.ts"
import { PolicyDemands } from "../resource/PolicyDemands.ts"
import { isOffered, proofAlgorithms } from "../token/DpopProof.ts"
import { answering, pathsOf } from "./Endpoint.ts"
import { offered } from "./grant/GrantTypes.ts"
import * as Introspection from "./grant/Introspection.ts"
import { SigningKeys } from "./grant/SigningKeys.ts"
import { isInteractive, type ProxySettings, proxySettings } from "./ProxySettings.ts"

/**
 * What clients are told of this authorization server: what it does, and nothing else. `acrValues` are the ways of signing in that it
 * may ask for.
 *
 * @see https://www.rfc-editor.org/rfc/rfc8414.html#section-2
 * @see https://www.rfc-editor.org/rfc/rfc9207.html#section-3
 * @see https://www.rfc-editor.org/rfc/rfc9470.html#section-7
 * @see https://datatracker.ietf.org/doc/draft-parecki-oauth-global-token-revocation/
 */
export const document = (settings: ProxySettings, acrValues: ReadonlyArray<string> = []) => {
  const { enterpriseManaged, requiredScopes, scopesSupported, serverUrl } = settings
  const interactive = isInteractive(settings)
  const scopes = [...new Set([...requiredScopes, ...scopesSupported, ...(interactive ? ["offline_access"] : [])])]
  const confidential = ["client_secret_basic", "client_secret_post", "private_key_jwt"]
  const authenticationMethods = interactive ? ["none", ...confidential] : confidential
  return {
    issuer: serverUrl,
    // The clients of the MCP SDK read no metadata without it. Where nobody signs in, a page there says so.
    authorization_endpoint: `${serverUrl}/oauth/authorize`,
    token_endpoint: `${serverUrl}/oauth/token`,
    ...(interactive ? { registration_endpoint: `${serverUrl}/oauth/register` } : undefined),
    revocation_endpoint: `${serverUrl}/oauth/revoke`,
    end_session_endpoint: `${serverUrl}/oauth/logout`,
    global_token_revocation_endpoint: `${serverUrl}/oauth/global-token-revocation`,
    jwks_uri: `${serverUrl}/.well-known/jwks.json`,
    scopes_supported: scopes,
    response_types_supported: interactive ? ["code"] : [],
    ...(interactive
      ? { response_modes_supported: ["query"], code_challenge_methods_supported: ["S256"] }
      : undefined),
    ...(interactive && acrValues.length > 0 ? { acr_values_supported: acrValues } : undefined),
    grant_types_supported: offered(settings),
    ...(enterpriseManaged === false ? undefined : { authorization_grant_profiles_supported: [idJagProfile] }),
    token_endpoint_auth_methods_supported: authenticationMethods,
    token_endpoint_auth_signing_alg_values_supported: algorithms,
    revocation_endpoint_auth_methods_supported: authenticationMethods,
    revocation_endpoint_auth_signing_alg_values_supported: algorithms,
    ...(Introspection.isOffered(settings)
      ? {
        introspection_endpoint: `${serverUrl}/oauth/introspect`,
        introspection_endpoint_auth_methods_supported: confidential,
        introspection_endpoint_auth_signing_alg_values_supported: algorithms
      }
      : undefined),
    ...(isOffered(settings) ? { dpop_signing_alg_values_supported: proofAlgorithms } : undefined),
    ...(settings.clientMetadataDocuments ? { client_id_metadata_document_supported: true } : undefined),
    ...(interactive ? { authorization_response_iss_parameter_supported: true } : undefined)
  }
}

/** By which clients know that they may come with an ID-JAG (draft-ietf-oauth-identity-assertion-authz-grant section 7.2). */
const idJagProfile = "urn:ietf:params:oauth:grant-profile:id-jag"

const wellKnown = ["oauth-authorization-server", "openid-configuration"]

const cached = { ...metadataCors, "cache-control": "public, max-age=300" }

/**
 * Serves the metadata where clients look for it, with the issuer's path behind `.well-known` and before it, and the public
 * keys.
 */
export const routes: Layer.Layer<
  never,
  InvalidConfiguration,
  HttpRouter.HttpRouter | OktaConfig | SigningKeys
> = HttpRouter.use((router) =>
  Effect.gen(function*() {
    const settings = yield* proxySettings
    const { published } = yield* SigningKeys
    const demands = yield* PolicyDemands
    const metadata = Effect.sync(() =>
      HttpServerResponse.jsonUnsafe(document(settings, demands.acrValues()), { headers: cached })
    )
    const keys = Effect.map(published, (keys) => HttpServerResponse.jsonUnsafe(keys, { headers: cached }))

    const places = new Set(wellKnown.flatMap((name) => [
      ...pathsOf(settings, `/.well-known/${name}`),
      `/.well-known/${name}${basePathOf(settings.serverUrl)}`
    ]))
    for (const path of places) yield* answering(router, path, { GET: () => metadata })
    for (const path of pathsOf(settings, "/.well-known/jwks.json")) yield* answering(router, path, { GET: () => keys })
  })
)
