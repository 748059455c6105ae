import { Clock, Duration, Effect, Option, Schema } from "effect"
import type { HttpServerRequest } from "effect/http"
import type { StoreUnavailable } from "../../store/Store.ts"
import type { ProxySettings } from "../ProxySettings.ts"
import * as SealedRecords from "../SealedRecords.ts"
import type { ApprovedRequest } from "./AuthorizationRequest.ts"

/** What a person has allowed a client in a browser. */
const Consent = Schema.Struct({
  scopes: Schema.Array(Schema.String),
  /** In seconds since 1970. */
  givenAt: Schema.Number
})

/** For how long it is not asked again. */
export const lifetime = Duration.days(30)

/** What people have allowed, where the owner of this server lets it be remembered. */
export interface RememberedConsent {
  /** Whether this browser has allowed all that is asked for before, and comes here by itself. */
  readonly covers: (
    request: ApprovedRequest,
    browser: string,
    from: HttpServerRequest.HttpServerRequest
  ) => Effect.Effect<boolean, StoreUnavailable>
  /** Keeps what has been allowed. */
  readonly remember: (request: ApprovedRequest, browser: string) => Effect.Effect<void, StoreUnavailable>
}

/** No other site can have opened the page: a browser says so (Fetch Metadata), and one that says nothing is not believed. */
const isOwnNavigation = ({ headers }: HttpServerRequest.HttpServerRequest): boolean =>
  headers["sec-fetch-site"] === "none" || headers["sec-fetch-site"] === "same-origin"

export const make = (
  { rememberConsent, revokedBefore = 0 }: ProxySettings,
  keeping: SealedRecords.Keeping
): RememberedConsent => {
  const records = SealedRecords.make("consent", "consent", Consent, keeping)
  const idOf = ({ clientId, redirectUri, resource }: ApprovedRequest, browser: string) =>
    JSON.stringify([browser, clientId, redirectUri, resource])

  return {
    covers: Effect.fnUntraced(function*(request, browser, from) {
      if (!rememberConsent || request.asksAgain === true || !isOwnNavigation(from)) return false
      const found = yield* records.find(idOf(request, browser))
      return Option.isSome(found) && found.value.value.givenAt >= revokedBefore &&
        request.scopes.every((scope) => found.value.value.scopes.includes(scope))
    }),
    remember: Effect.fnUntraced(function*(request, browser) {
      if (!rememberConsent) return
      const givenAt = (yield* Clock.currentTimeMillis) / 1000
      yield* records.add(idOf(request, browser), { scopes: request.scopes, givenAt }, lifetime)
    })
  }
}
