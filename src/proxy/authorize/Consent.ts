import { Effect, type Layer, Option, Schema } from "effect"
import { HttpRouter, type HttpServerRequest, type HttpServerResponse } from "effect/http"
import { createHash, randomBytes } from "node:crypto"
import type { InvalidConfiguration } from "../../config/InvalidConfiguration.ts"
import type { OktaConfig } from "../../config/OktaConfig.ts"
import { Store } from "../../store/Store.ts"
import { hasRedirectUri } from "../client/Client.ts"
import { ClientRegistry } from "../client/ClientRegistry.ts"
import * as FormRequest from "../FormRequest.ts"
import { AuthorizationRefused, fromFailure } from "../OAuthError.ts"
import { OktaClient } from "../OktaClient.ts"
import { proxySettings } from "../ProxySettings.ts"
import { Sealed } from "../Sealed.ts"
import type { ApprovedRequest } from "./AuthorizationRequest.ts"
import { answer, sendTo } from "./AuthorizationResponse.ts"
import { PendingRequest } from "./Authorize.ts"
import * as BrowserBinding from "./BrowserBinding.ts"
import * as Flow from "./Flow.ts"
import * as Page from "./Page.ts"

const decode = Schema.decodeOption(PendingRequest)

const outOfDate = Page.problem({
  status: 400,
  title: "This page is out of date",
  words:
    "You were asked more than 10 minutes ago, or the page was changed. Go back to the application and start again.",
  code: "invalid_request"
})

const notThisBrowser = Page.problem({
  status: 403,
  title: "This answer does not come from your browser",
  words:
    "The question was shown in another browser, or this one keeps no cookies. Nothing has been allowed. Go back to the " +
    "application and start again.",
  code: "access_denied"
})

const denied = new AuthorizationRefused({ code: "access_denied", description: "The person did not allow it." })

/** A form of another site's; a browser says so, and a person who typed the address sends no form (Fetch Metadata). */
const isForeign = ({ headers }: HttpServerRequest.HttpServerRequest): boolean =>
  !["same-origin", "none", undefined].includes(headers["sec-fetch-site"])

/**
 * `/oauth/consent`: takes the person's answer. Whoever allows it goes to Okta with a `state` that is good once, for 10
 * minutes, in this browser.
 */
export const routes: Layer.Layer<
  never,
  InvalidConfiguration,
  HttpRouter.HttpRouter | OktaConfig | Sealed | Store | ClientRegistry | OktaClient
> = HttpRouter.use((router) =>
  Effect.gen(function*() {
    const settings = yield* proxySettings
    const sealed = yield* Sealed
    const registry = yield* ClientRegistry
    const okta = yield* OktaClient
    const flows = Flow.records({ store: yield* Store, sealed })
    const browsers = BrowserBinding.make(settings, sealed)

    /** Sends the person to Okta; only then is something kept. */
    const signIn = Effect.fnUntraced(function*(request: ApprovedRequest, browser: string) {
      const [state, nonce, codeVerifier] = [secret(), secret(), secret()]
      const codeChallenge = createHash("sha256").update(codeVerifier).digest("base64url")
      const url = yield* okta.authorizationUrl({ state, nonce, codeChallenge })
      yield* flows.add(state, { request, nonce, codeVerifier, browser }, Flow.lifetime)
      return sendTo(url, "POST")
    })

    const decide = Effect.fnUntraced(
      function*(
        httpRequest: HttpServerRequest.HttpServerRequest
      ): Effect.fn.Return<
        HttpServerResponse.HttpServerResponse,
        FormRequest.MalformedRequest | FormRequest.BodyTooLarge
      > {
        const form = yield* FormRequest.read(httpRequest)
        const opened = yield* sealed.open("request", form.get("request") ?? "")
        const pending = Option.getOrUndefined(Option.flatMap(opened, decode))
        if (pending === undefined) return outOfDate
        if (isForeign(httpRequest) || !(yield* browsers.isMarked(httpRequest, pending.browser))) return notThisBrowser
        const { browser, request } = pending
        const client = Option.getOrUndefined(yield* registry.find(request.clientId))
        if (client === undefined || !hasRedirectUri(client, request.redirectUri)) return outOfDate
        switch (form.get("decision")) {
          case "allow":
            return yield* signIn(request, browser).pipe(
              Effect.catch((failure) =>
                Effect.as(Effect.logError(failure.message), answer(request, settings, "POST", fromFailure(failure)))
              )
            )
          case "deny":
            return answer(request, settings, "POST", denied)
          default:
            return yield* new FormRequest.MalformedRequest({ reason: "its decision is neither allow nor deny" })
        }
      }
    )

    yield* Page.serve(router, settings, "/oauth/consent", {
      POST: (request) =>
        Effect.catchTags(decide(request), {
          MalformedRequest: (error) => Effect.succeed(Page.unreadable(error)),
          BodyTooLarge: (error) => Effect.succeed(Page.unreadable(error))
        })
    })
  })
)

/** A text that cannot be guessed, fit for `state`, `nonce` and a code verifier. */
const secret = (): string => randomBytes(32).toString("base64url")
