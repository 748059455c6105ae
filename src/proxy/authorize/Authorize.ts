import { Clock, Duration, Effect, type Layer, Schema } from "effect"
import { HttpRouter, type HttpServerRequest, type HttpServerResponse } from "effect/http"
import type { InvalidConfiguration } from "../../config/InvalidConfiguration.ts"
import type { OktaConfig } from "../../config/OktaConfig.ts"
import { noteError } from "../../observe/Span.ts"
import { sparingly } from "../../observe/Sparingly.ts"
import { Store } from "../../store/Store.ts"
import type { Client } from "../client/Client.ts"
import { ClientRegistry } from "../client/ClientRegistry.ts"
import { OktaClient } from "../OktaClient.ts"
import { proxySettings } from "../ProxySettings.ts"
import { RateLimits } from "../RateLimits.ts"
import { Sealed } from "../Sealed.ts"
import * as AuthorizationRequest from "./AuthorizationRequest.ts"
import { answer, sendTo } from "./AuthorizationResponse.ts"
import * as BrowserBinding from "./BrowserBinding.ts"
import { consentPage } from "./ConsentPage.ts"
import * as Page from "./Page.ts"
import * as Parameters from "./Parameters.ts"
import * as RememberedConsent from "./RememberedConsent.ts"
import * as SignIn from "./SignIn.ts"
import * as Trouble from "./Trouble.ts"

/** A request on its way through the consent page, for the browser that shows it. */
export const PendingRequest = Schema.fromJsonString(Schema.Struct({
  request: AuthorizationRequest.ApprovedRequest,
  /** The mark of the browser. */
  browser: Schema.String
}))

const encode = Schema.encodeEffect(PendingRequest)

/** How long a person may look at the page. */
const lifetime = Duration.minutes(10)

const unproven = ({ code, reason }: AuthorizationRequest.UnprovenRequest): HttpServerResponse.HttpServerResponse =>
  Page.problem({
    status: 400,
    title: "This sign-in cannot begin",
    words:
      "The application sent you here with a request that is not in order. You have not been signed in, and nothing " +
      "was sent back. Go back to the application and try again.",
    code,
    detail: reason
  })

/**
 * `/oauth/authorize`: asks the person for consent to what a client wants. Nothing is kept: the request goes through the
 * page sealed.
 *
 * @see https://www.rfc-editor.org/rfc/rfc6749.html#section-4.1.1
 */
export const routes: Layer.Layer<
  never,
  InvalidConfiguration,
  HttpRouter.HttpRouter | OktaConfig | Sealed | Store | ClientRegistry | OktaClient | RateLimits
> = HttpRouter.use((router) =>
  Effect.gen(function*() {
    const settings = yield* proxySettings
    const sealed = yield* Sealed
    const registry = yield* ClientRegistry
    const store = yield* Store
    const limits = yield* RateLimits
    const browsers = BrowserBinding.make(settings, sealed)
    const consents = RememberedConsent.make(settings, { sealed, store })
    const signIn = SignIn.make(settings, { limits, okta: yield* OktaClient, sealed, store })

    const addressOf = (parameters: Parameters.Parameters) =>
      Parameters.addressOf(`${settings.serverUrl}/oauth/authorize`, parameters, AuthorizationRequest.parameters)

    const ask = Effect.fnUntraced(
      function*(request: HttpServerRequest.HttpServerRequest, parameters: Parameters.Parameters) {
        yield* limits.request("authorize", request)
        const proven = yield* AuthorizationRequest.prove(parameters, registry.find)
        yield* limits.client("authorize", proven.client.clientId)
        return yield* Effect.fromResult(AuthorizationRequest.read(parameters, proven, settings)).pipe(
          Effect.flatMap((asked) => show(request, parameters, proven.client, asked)),
          Effect.tapErrorTag("AuthorizationRefused", noteError),
          Effect.catchTag("AuthorizationRefused", (refused) =>
            Effect.as(
              sparingly("Info", "authorize AuthorizationRefused", refused.message),
              answer(proven.address, settings, request.method, refused)
            ))
        )
      },
      Effect.tapError(noteError),
      (asked, request, parameters) => {
        const tell = Trouble.tell(Trouble.link(request.method === "POST" ? addressOf(parameters) : undefined))
        return Effect.catchTags(asked, {
          UnprovenRequest: (error) =>
            Effect.as(
              sparingly(
                "Info",
                "authorize UnprovenRequest",
                `An authorization request was refused: ${error.message}`
              ),
              unproven(error)
            ),
          DocumentUnavailable: tell,
          TooManyRequests: tell,
          StoreUnavailable: tell
        })
      }
    )

    const show = Effect.fnUntraced(
      function*(
        request: HttpServerRequest.HttpServerRequest,
        parameters: Parameters.Parameters,
        client: Client,
        asked: AuthorizationRequest.ApprovedRequest
      ) {
        // Another site's form brings no cookie, and must not put a new one over that which the browser has.
        if (request.method === "POST" && !(yield* browsers.isKnown(request))) {
          return sendTo(addressOf(parameters), "POST")
        }
        const browser = yield* browsers.get(request)
        const { mark } = browser
        // The owner of this server has answered for a configured client, and the person perhaps before.
        if (client.origin === "configured" || (yield* consents.covers(asked, mark, request))) {
          return browser.remember(yield* signIn(asked, mark, request.method))
        }
        // Nothing is kept yet, but would have to be when the person has answered.
        yield* store.get("ready:?")
        const pending = yield* Effect.orDie(encode({ request: asked, browser: mark }))
        const expiresAt = (yield* Clock.currentTimeMillis) + Duration.toMillis(lifetime)
        const page = consentPage(
          { client, request: asked, sealed: yield* sealed.seal("request", pending, expiresAt) },
          settings
        )
        return browser.remember(page)
      }
    )

    const get = (request: HttpServerRequest.HttpServerRequest) => ask(request, Parameters.fromQuery(request))
    yield* Page.serve(router, settings, "/oauth/authorize", {
      GET: get,
      HEAD: get,
      POST: (request) =>
        Parameters.fromBody(request).pipe(
          Effect.flatMap((parameters) => ask(request, parameters)),
          Effect.catch((error) => Effect.succeed(Page.unreadable(error)))
        )
    })
  })
)
