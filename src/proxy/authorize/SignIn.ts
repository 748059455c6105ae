import { Clock, Effect } from "effect"
import type { HttpServerResponse } from "effect/http"
import { createHash, randomBytes } from "node:crypto"
import { noteError } from "../../observe/Span.ts"
import { count, signIns } from "../../observe/Telemetry.ts"
import type { Store, StoreUnavailable } from "../../store/Store.ts"
import { fromFailure } from "../OAuthError.ts"
import type { OktaClient } from "../OktaClient.ts"
import type { ProxySettings } from "../ProxySettings.ts"
import type { RateLimits, TooManyRequests } from "../RateLimits.ts"
import type { Sealed } from "../Sealed.ts"
import type { ApprovedRequest } from "./AuthorizationRequest.ts"
import { answer, sendTo } from "./AuthorizationResponse.ts"
import * as Flow from "./Flow.ts"

/** Sends a person to Okta for a request that has been allowed; only then is something kept. */
export type SignIn = (
  request: ApprovedRequest,
  /** The mark of the person's browser. */
  browser: string,
  method: string
) => Effect.Effect<HttpServerResponse.HttpServerResponse, StoreUnavailable | TooManyRequests>

/** How people are sent to Okta, with a `state` that is good once, for 10 minutes, in this browser. */
export const make = (
  settings: ProxySettings,
  { limits, okta, sealed, store }: {
    readonly limits: RateLimits["Service"]
    readonly okta: OktaClient["Service"]
    readonly sealed: Sealed["Service"]
    readonly store: Store["Service"]
  }
): SignIn => {
  const flows = Flow.records({ store, sealed })

  const begin = Effect.fnUntraced(function*(request: ApprovedRequest, browser: string, method: string) {
    yield* limits.signIn
    const [state, nonce, codeVerifier] = [secret(), secret(), secret()]
    const codeChallenge = createHash("sha256").update(codeVerifier).digest("base64url")
    const { acrValues, maxAge, prompt } = request
    const url = yield* okta.authorizationUrl({ state, nonce, codeChallenge, acrValues, maxAge, prompt })
    const sentAt = Math.floor((yield* Clock.currentTimeMillis) / 1000)
    yield* flows.add(state, { request, nonce, codeVerifier, browser, sentAt }, Flow.lifetime)
    return sendTo(url, method)
  })

  return (request, browser, method) =>
    begin(request, browser, method).pipe(
      Effect.tap(() => count(signIns.of({ outcome: "begun" }))),
      Effect.tapError((failure) => Effect.andThen(noteError(failure), count(signIns.of({ outcome: failure._tag })))),
      Effect.catchTag("OktaUnavailable", (failure) =>
        Effect.as(
          Effect.logDebug(failure.message),
          answer(request, settings, method, fromFailure(failure))
        ))
    )
}

/** A text that cannot be guessed, fit for `state`, `nonce` and a code verifier. */
const secret = (): string => randomBytes(32).toString("base64url")
