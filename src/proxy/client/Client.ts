import { matches } from "../authorize/RedirectUri.ts"
import type { ClientMetadata } from "./ClientMetadata.ts"

/** An application that acts for people. */
export interface Client {
  /** Byte for byte as the client gives it. */
  readonly clientId: string
  /** How it became known: by the owner's settings, by registration (RFC 7591), or by a document at the URL that is its id. */
  readonly origin: "configured" | "registered" | "document"
  readonly metadata: ClientMetadata
  /** When it was registered, in seconds since 1970. */
  readonly issuedAt?: number
  /** Whether it is a resource server of ours, which may ask what a token is good for. */
  readonly mayIntrospect?: boolean
  /** What it may do for itself, without any person; absent: nothing. */
  readonly serviceScopes?: ReadonlyArray<string>
}

/** Whether a client may have people sent to this URI. */
export const hasRedirectUri = ({ metadata }: Client, requested: string): boolean =>
  metadata.redirect_uris.some((registered) => matches(registered, requested))

/** Whether a client may have people sent to this URI once they have signed out; without any such URIs, to its others. */
export const hasLogoutUri = ({ metadata }: Client, requested: string): boolean =>
  (metadata.post_logout_redirect_uris ?? metadata.redirect_uris).some((registered) => matches(registered, requested))

/** Whether a client has a secret or a key of its own (RFC 6749 section 2.1). */
export const isConfidential = ({ metadata }: Client): boolean => metadata.token_endpoint_auth_method !== "none"

/** Whether a client is to be given refresh tokens. */
export const mayRefresh = ({ metadata }: Client): boolean => metadata.grant_types.includes("refresh_token")
