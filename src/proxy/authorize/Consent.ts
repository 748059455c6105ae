import { Effect, type Layer, Option, Schema } from "effect"
import { HttpRouter, type HttpServerRequest, type HttpServerResponse } from "effect/http"
import type { InvalidConfiguration } from "../../config/InvalidConfiguration.ts"
import type { OktaConfig } from "../../config/OktaConfig.ts"
import { ConsentDenied, ConsentGiven } from "../../observe/AuditEvent.ts"
import { noteError } from "../../observe/Span.ts"
import { Store, type StoreUnavailable } from "../../store/Store.ts"
import * as Audit from "../Audit.ts"
import { hasRedirectUri } from "../client/Client.ts"
import { ClientRegistry } from "../client/ClientRegistry.ts"
import type { DocumentUnavailable } from "../client/DocumentFetch.ts"
import * as FormRequest from "../FormRequest.ts"
import { AuthorizationRefused } from "../OAuthError.ts"
import { OktaClient } from "../OktaClient.ts"
import { proxySettings } from "../ProxySettings.ts"
import { RateLimits, type TooManyRequests } from "../RateLimits.ts"
import { Sealed } from "../Sealed.ts"
import type { ApprovedRequest } from "./AuthorizationRequest.ts"
import { answer } from "./AuthorizationResponse.ts"
import { PendingRequest } from "./Authorize.ts"
import * as BrowserBinding from "./BrowserBinding.ts"
import * as Page from "./Page.ts"
import * as RememberedConsent from "./RememberedConsent.ts"
import * as SignIn from "./SignIn.ts"
import * as Trouble from "./Trouble.ts"

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

/** What events tell of a request. */
const asked = ({ clientId, redirectUri, scopes }: ApprovedRequest) => ({
  clientId: Audit.clientHandle(clientId),
  scopes,
  redirectHost: Audit.hostOf(redirectUri)
})

/** A form of another site's; a browser says so, and a person who typed the address sends no form (Fetch Metadata). */
export const isForeign = ({ headers }: HttpServerRequest.HttpServerRequest): boolean =>
  !["same-origin", "none", undefined].includes(headers["sec-fetch-site"])

/**
 * `/oauth/consent`: takes the person's answer. Whoever allows it goes to Okta with a `state` that is good once, for 10
 * minutes, in this browser.
 */
export const routes: Layer.Layer<
  never,
  InvalidConfiguration,
  HttpRouter.HttpRouter | OktaConfig | Sealed | Store | ClientRegistry | OktaClient | RateLimits
> = HttpRouter.use((router) =>
  Effect.gen(function*() {
    const settings = yield* proxySettings
    const audit = yield* Audit.make
    const sealed = yield* Sealed
    const registry = yield* ClientRegistry
    const okta = yield* OktaClient
    const store = yield* Store
    const limits = yield* RateLimits
    const consents = RememberedConsent.make(settings, { sealed, store })
    const signIn = SignIn.make(settings, { limits, okta, sealed, store })
    const browsers = BrowserBinding.make(settings, sealed)

    const decide = Effect.fnUntraced(
      function*(
        httpRequest: HttpServerRequest.HttpServerRequest
      ): Effect.fn.Return<
        HttpServerResponse.HttpServerResponse,
        | FormRequest.MalformedRequest
        | FormRequest.BodyTooLarge
        | StoreUnavailable
        | DocumentUnavailable
        | TooManyRequests
      > {
        yield* limits.request("authorize", httpRequest)
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
            yield* consents.remember(request, browser)
            yield* audit((origin) => new ConsentGiven({ ...origin, ...asked(request) }))
            return yield* signIn(request, browser, "POST")
          case "deny":
            yield* audit((origin) => new ConsentDenied({ ...origin, ...asked(request) }))
            return answer(request, settings, "POST", denied)
          default:
            return yield* new FormRequest.MalformedRequest({ reason: "its decision is neither allow nor deny" })
        }
      }
    )

    yield* Page.serve(router, settings, "/oauth/consent", {
      POST: (request) =>
        decide(request).pipe(
          Effect.tapError(noteError),
          Effect.catchTag(["MalformedRequest", "BodyTooLarge"], (error) => Effect.succeed(Page.unreadable(error))),
          Effect.catch(Trouble.tellOfForm(request))
        )
    })
  })
)
