import { Effect } from "effect"
import type { HttpServerResponse } from "effect/http"
import { createHash, randomBytes } from "node:crypto"
import { noteError } from "../../observe/Span.ts"
import { count, signIns } from "../../observe/Telemetry.ts"
import type { Store } from "../../store/Store.ts"
import { fromFailure } from "../OAuthError.ts"
import type { OktaClient } from "../OktaClient.ts"
import type { ProxySettings } from "../ProxySettings.ts"
import type { RateLimits, TooManyRequests } from "../RateLimits.ts"
import type { Sealed } from "../Sealed.ts"
import type { ApprovedRequest } from "./AuthorizationRequest.ts"
import { answer, sendTo } from "./AuthorizationResponse.ts"
import * as Flow from "./Flow.ts"
import * as Page from "./Page.ts"

/** Sends a person to Okta for a request that has been allowed; only then is something kept. */
export type SignIn = (
  request: ApprovedRequest,
  /** The mark of the person's browser. */
  browser: string,
  method: string
) => Effect.Effect<HttpServerResponse.HttpServerResponse>

/** Told to the person, who can try again: the client would only begin anew what cannot be kept. */
export const storeAway = Page.problem({
  status: 503,
  title: "This server is not ready",
  words: "It cannot keep your sign-in at the moment. Wait a little, then load this page again.",
  code: "temporarily_unavailable",
  headers: { "retry-after": "5" }
})

/** Told to the person in the same way. */
export const tooMany = ({ retryAfter }: TooManyRequests): HttpServerResponse.HttpServerResponse =>
  Page.problem({
    status: 429,
    title: "Too many people want to sign in",
    words: "This server has been asked too often. Wait a little, then load this page again.",
    code: "temporarily_unavailable",
    headers: { "retry-after": String(Math.max(1, Math.ceil(retryAfter / 1000))) }
  })

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
    yield* flows.add(state, { request, nonce, codeVerifier, browser }, Flow.lifetime)
    return sendTo(url, method)
  })

  return (request, browser, method) =>
    begin(request, browser, method).pipe(
      Effect.tap(() => count(signIns.of({ outcome: "begun" }))),
      Effect.tapError((failure) => Effect.andThen(noteError(failure), count(signIns.of({ outcome: failure._tag })))),
      Effect.catch((failure) =>
        Effect.as(
          Effect.logError(failure.message),
          failure._tag === "StoreUnavailable"
            ? storeAway
            : failure._tag === "TooManyRequests"
            ? tooMany(failure)
            : answer(request, settings, method, fromFailure(failure))
        )
      )
    )
}

/** A text that cannot be guessed, fit for `state`, `nonce` and a code verifier. */
const secret = (): string => randomBytes(32).toString("base64url")
