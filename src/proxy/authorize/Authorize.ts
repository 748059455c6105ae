import { Clock, Duration, Effect, type Layer, Schema } from "effect"
import { HttpRouter, type HttpServerRequest, type HttpServerResponse } from "effect/http"
import type { InvalidConfiguration } from "../../config/InvalidConfiguration.ts"
import type { OktaConfig } from "../../config/OktaConfig.ts"
import type { Client } from "../client/Client.ts"
import { ClientRegistry } from "../client/ClientRegistry.ts"
import { proxySettings } from "../ProxySettings.ts"
import { Sealed } from "../Sealed.ts"
import * as AuthorizationRequest from "./AuthorizationRequest.ts"
import { answer } from "./AuthorizationResponse.ts"
import * as BrowserBinding from "./BrowserBinding.ts"
import { consentPage } from "./ConsentPage.ts"
import * as Page from "./Page.ts"
import * as Parameters from "./Parameters.ts"

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
  HttpRouter.HttpRouter | OktaConfig | Sealed | ClientRegistry
> = HttpRouter.use((router) =>
  Effect.gen(function*() {
    const settings = yield* proxySettings
    const sealed = yield* Sealed
    const registry = yield* ClientRegistry
    const browsers = BrowserBinding.make(settings, sealed)

    const ask = Effect.fnUntraced(
      function*(request: HttpServerRequest.HttpServerRequest, parameters: Parameters.Parameters) {
        const proven = yield* AuthorizationRequest.prove(parameters, registry.find)
        return yield* Effect.fromResult(AuthorizationRequest.read(parameters, proven, settings)).pipe(
          Effect.flatMap((asked) => show(request, proven.client, asked)),
          Effect.catchTag("AuthorizationRefused", (refused) =>
            Effect.as(Effect.logInfo(refused.message), answer(proven.address, settings, request.method, refused)))
        )
      },
      Effect.catchTag("UnprovenRequest", (error) =>
        Effect.as(Effect.logInfo(`An authorization request was refused: ${error.reason}`), unproven(error)))
    )

    const show = Effect.fnUntraced(function*(
      request: HttpServerRequest.HttpServerRequest,
      client: Client,
      asked: AuthorizationRequest.ApprovedRequest
    ) {
      const browser = yield* browsers.get(request)
      const pending = yield* Effect.orDie(encode({ request: asked, browser: yield* browsers.mark(browser.id) }))
      const expiresAt = (yield* Clock.currentTimeMillis) + Duration.toMillis(lifetime)
      const page = consentPage(
        { client, request: asked, sealed: yield* sealed.seal("request", pending, expiresAt) },
        settings
      )
      return browser.remember(page)
    })

    const get = (request: HttpServerRequest.HttpServerRequest) =>
      ask(request, Parameters.fromQuery(request))
    yield* Page.serve(router, settings, "/oauth/authorize", {
      GET: get,
      HEAD: get,
      POST: (request) =>
        Parameters.fromBody(request).pipe(
          Effect.flatMap((parameters) =>
            ask(request, parameters)
          ),
          Effect.catchTags({
            MalformedRequest: (error) =>
              Effect.succeed(Page.unreadable(error)),
            BodyTooLarge: (error) => Effect.succeed(Page.unreadable(error))
          })
        )
    })
  })
)
