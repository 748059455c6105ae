import { isInteractive, type ProxySettings } from "../ProxySettings.ts"

/** The grant of a client that brings somebody's word for a person (RFC 7523 section 2.1). */
export const jwtBearer = "urn:ietf:params:oauth:grant-type:jwt-bearer"

/** A grant that can be had at the token endpoint. */
export type OfferedGrant = "authorization_code" | "refresh_token" | "client_credentials" | typeof jwtBearer

/** Which grants are given, by the settings. */
export const offered = (settings: ProxySettings): ReadonlyArray<OfferedGrant> => [
  ...(isInteractive(settings) ? ["authorization_code", "refresh_token"] as const : []),
  ...(settings.clients.some(({ serviceScopes }) => serviceScopes !== undefined) ? ["client_credentials"] as const : []),
  ...(settings.enterpriseManaged === false ? [] : [jwtBearer] as const)
]
