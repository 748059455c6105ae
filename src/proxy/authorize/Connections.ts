import { Effect, type Layer, Option } from "effect"
import { HttpRouter, type HttpServerRequest } from "effect/http"
import type { InvalidConfiguration } from "../../config/InvalidConfiguration.ts"
import type { OktaConfig } from "../../config/OktaConfig.ts"
import { noteError } from "../../observe/Span.ts"
import { Store } from "../../store/Store.ts"
import { Grants } from "../grant/Grant.ts"
import * as GrantIndex from "../grant/GrantIndex.ts"
import { type GrantSummary, latestFirst, summaryOf } from "../Grants.ts"
import { OktaClient } from "../OktaClient.ts"
import { proxySettings } from "../ProxySettings.ts"
import { RateLimits } from "../RateLimits.ts"
import { Sealed } from "../Sealed.ts"
import { connectionsPage, donePage, questionPage } from "./ConnectionsPage.ts"
import { isForeign } from "./Consent.ts"
import { html } from "./Html.ts"
import * as Page from "./Page.ts"
import * as Parameters from "./Parameters.ts"
import * as Trouble from "./Trouble.ts"
import * as Visit from "./Visit.ts"

/**
 * `/oauth/connections`: shows a person, who signs in at Okta for this, the clients that can act in the person's name, and
 * disconnects one or all.
 */
export const routes: Layer.Layer<
  never,
  InvalidConfiguration,
  HttpRouter.HttpRouter | OktaConfig | Sealed | Store | OktaClient | Grants | RateLimits
> = HttpRouter.use((router) =>
  Effect.gen(function*() {
    const settings = yield* proxySettings
    const grants = yield* Grants
    const limits = yield* RateLimits
    const parts = { sealed: yield* Sealed, store: yield* Store, okta: yield* OktaClient, grants }
    const visits = Visit.make(settings, parts)

    const notThisPage = Page.problem({
      status: 403,
      title: "This page is out of date",
      words: "You signed in more than 10 minutes ago, or the form comes from elsewhere. Nothing has changed.",
      code: "access_denied",
      again: html`<p class="actions"><a class="button" href="${settings.serverUrl}${Visit.path}">Try again</a></p>`
    })

    const nameOf = (visitor: Visit.Visitor) => GrantIndex.subject(visitor.subject)

    const listOf = (visitor: Visit.Visitor) =>
      Effect.map(grants.list(nameOf(visitor)), (found) =>
        latestFirst(Array.from(found, ([id, grant]): readonly [string, GrantSummary] => [id, summaryOf(id, grant)])))

    const show = Effect.fnUntraced(function*(request: HttpServerRequest.HttpServerRequest) {
      yield* limits.request("authorize", request)
      const visitor = Option.getOrUndefined(yield* visits.visitor(request))
      if (visitor !== undefined) {
        return connectionsPage(
          settings,
          visitor,
          (yield* listOf(visitor)).map(([, summary]) =>
            summary
          )
        )
      }
      yield* limits.signIn
      return yield* Effect.catchTag(visits.begin(request), "OktaUnavailable", ({ message }) =>
        Effect.as(Effect.logDebug(message), Visit.oktaAway(settings)))
    })

    const disconnect = Effect.fnUntraced(function*(
      request: HttpServerRequest.HttpServerRequest,
      { first }: Parameters.Parameters
    ) {
      yield* limits.request("authorize", request)
      const visitor = Option.getOrUndefined(yield* visits.visitor(request))
      if (visitor === undefined || isForeign(request) || !(yield* visits.isOwnForm(request, first("form") ?? ""))) {
        return notThisPage
      }
      const isConfirmed = first("confirmed") === "yes"
      if (first("all") === "yes") {
        if (!isConfirmed) {
          return questionPage(settings, visitor, "all")
        }
        yield* grants.endAll(nameOf(visitor), "disconnected")
        return donePage(settings, "all")
      }
      // Only among the person's own: the name of anybody else's grant finds nothing.
      const found = (yield* listOf(visitor)).find(([, { grant }]) =>
        grant === first("grant")
      )
      if (found === undefined) {
        return donePage(settings, "The application")
      }
      const [id, summary] = found
      if (!isConfirmed) {
        return questionPage(settings, visitor, summary)
      }
      yield* grants.end(id, "disconnected")
      return donePage(settings, summary.clientName ?? "The application")
    })

    const get = (request: HttpServerRequest.HttpServerRequest) =>
      show(request).pipe(Effect.tapError(noteError), Effect.catch(Trouble.tell(Trouble.link())))
    yield* Page.serve(router, settings, Visit.path, {
      GET: get,
      HEAD: get,
      POST: (request) =>
        Parameters.fromBody(request).pipe(
          Effect.flatMap((parameters) =>
            disconnect(request, parameters)
          ),
          Effect.tapError(noteError),
          Effect.catchTag(["MalformedRequest", "BodyTooLarge"], (error) => Effect.succeed(Page.unreadable(error))),
          Effect.catch(Trouble.tellOfForm(request))
        )
    })
  })
)
