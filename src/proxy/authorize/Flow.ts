import { Duration, Schema } from "effect"
import * as SealedRecords from "../SealedRecords.ts"
import { ApprovedRequest } from "./AuthorizationRequest.ts"

/** A sign-in on its way through Okta, found again by the `state` that Okta gives back. */
export const Flow = Schema.Struct({
  request: ApprovedRequest,
  /** What Okta's ID token has to repeat. */
  nonce: Schema.String,
  /** Of our own PKCE at Okta (RFC 7636). */
  codeVerifier: Schema.String,
  /** The mark of the browser that gave its consent. */
  browser: Schema.String,
  /** When the person was sent to Okta, in seconds since 1970. */
  sentAt: Schema.Number
})

/** A sign-in on its way through Okta. */
export type Flow = typeof Flow.Type

/** How long a person may take at Okta. */
export const lifetime = Duration.minutes(10)

/** A `state` of ours; what is not of this form need not be looked up. */
export const isHandle = (state: string): boolean => /^[\w-]{43}$/.test(state)

/** The flows in the store. */
export const records = (keeping: SealedRecords.Keeping): SealedRecords.SealedRecords<Flow> =>
  SealedRecords.make("flow", "flow", Flow, keeping)
