import { Clock, Duration, Effect, type Layer, Option, type Redacted, Schema } from "effect"
import { HttpRouter, type HttpServerRequest, HttpServerResponse } from "effect/http"
import type { InvalidConfiguration } from "../../config/InvalidConfiguration.ts"
import type { OktaConfig } from "../../config/OktaConfig.ts"
import { SignedOut } from "../../observe/AuditEvent.ts"
import { noteError } from "../../observe/Span.ts"
import { Store } from "../../store/Store.ts"
import * as Audit from "../Audit.ts"
import { type Client, hasLogoutUri } from "../client/Client.ts"
import { ClientRegistry } from "../client/ClientRegistry.ts"
import { Grants } from "../grant/Grant.ts"
import * as OktaTokens from "../grant/OktaTokens.ts"
import { OktaClient } from "../OktaClient.ts"
import { proxySettings } from "../ProxySettings.ts"
import { RateLimits } from "../RateLimits.ts"
import { Sealed } from "../Sealed.ts"
import * as SingleUse from "../SingleUse.ts"
import { sendTo } from "./AuthorizationResponse.ts"
import * as BrowserBinding from "./BrowserBinding.ts"
import * as BrowserSession from "./BrowserSession.ts"
import { isForeign } from "./Consent.ts"
import { html } from "./Html.ts"
import * as Page from "./Page.ts"
import * as Parameters from "./Parameters.ts"
import * as Trouble from "./Trouble.ts"
import * as Visit from "./Visit.ts"

/** Where a person goes after having signed out. */
const Return = Schema.Struct({ uri: Schema.String, state: Schema.optional(Schema.String) })

/** A sign-out on its way: through the page that asks, and then through Okta. */
const Pending = Schema.fromJsonString(Schema.Struct({
  step: Schema.Literals(["asked", "sent"]),
  /** The mark of the browser; on the way through Okta, by a cookie of its own. */
  browser: Schema.String,
  back: Schema.optional(Return)
}))

const encode = Schema.encodeEffect(Pending)
const decode = Schema.decodeOption(Pending)

const lifetime = Duration.minutes(10)

/** What the cookie's name ends with by which the browser is known on its way back from Okta. */
const wayBackSuffix = "-sign-out"

/** The longest `state`, in characters, as with authorization requests. */
const longestState = 2048

const refused = (detail: string): HttpServerResponse.HttpServerResponse =>
  Page.problem({
    status: 400,
    title: "This sign-out cannot begin",
    words: "The application sent you here with a request that is not in order. You are still signed in.",
    code: "invalid_request",
    detail
  })

const outOfDate = Page.problem({
  status: 400,
  title: "This page is out of date",
  words: "You were asked more than 10 minutes ago, or in another browser. Nothing has changed.",
  code: "invalid_request"
})

const noWayBack = Page.problem({
  status: 400,
  title: "There is no way back from here",
  words:
    "You have been sent on already, more than 10 minutes have passed, or you are in another browser than the one in which " +
    "somebody has signed out. You can close this page.",
  code: "invalid_request"
})

const endsHere = "The applications that you signed in to in this browser cannot act for you any more."

const signedOut = Page.page(
  "You are signed out",
  html`<h1 class="plain">You are signed out</h1>
<p>${endsHere} You can close this page.</p>`
)

/** Okta could not be asked where people sign out. */
const signedOutHereOnly = (issuer: string, back: typeof Return.Type | undefined) =>
  Page.page(
    "You are signed out here, but not of Okta",
    html`<h1 class="plain">You are signed out here, but not of Okta</h1>
<p>${endsHere} Okta does not answer at the moment, so you are still signed in there: sign out at <bdi>${
      new URL(issuer).host
    }</bdi> yourself, later on.</p>
${back === undefined ? undefined : html`<p><a href="${withState(back)}">Go back to the application</a></p>`}`
  )

/** The page that asks, so that no link can sign anybody out. */
const question = (action: string, sealed: string) =>
  Page.page(
    "Sign out?",
    html`<h1 class="plain">Sign out?</h1>
<p>The applications that you signed in to in this browser will not be able to act for you any more, and you are signed out of
Okta.</p>
<form method="post" action="${action}">
<input type="hidden" name="request" value="${sealed}">
<button class="main" type="submit">Sign out</button>
</form>`
  )

/** What a client may send. */
const parameterNames = ["client_id", "post_logout_redirect_uri", "state"]

/** Where a client wants people to be sent, proven to be one of its own (OpenID Connect RP-Initiated Logout section 3). */
const backTo = (
  client: Client | undefined,
  { all, first }: Parameters.Parameters
): typeof Return.Type | undefined | string => {
  if (parameterNames.some((name) => all(name).length > 1)) {
    return "A parameter is there more than once."
  }
  const uri = first("post_logout_redirect_uri")
  const state = first("state")
  if (uri === undefined) return undefined
  if (client === undefined) return "The client_id is missing, or not known here."
  if (!hasLogoutUri(client, uri)) return "The post_logout_redirect_uri is not one that the application has registered."
  return state !== undefined && state.length > longestState ? "The parameter state is too long." : { uri, state }
}

/**
 * `/oauth/logout`: ends what was granted in this browser, and goes on to where the person signs out of Okta, and from there back to
 * the client.
 *
 * @see https://openid.net/specs/openid-connect-rpinitiated-1_0.html
 */
export const routes: Layer.Layer<
  never,
  InvalidConfiguration,
  HttpRouter.HttpRouter | OktaConfig | Sealed | Store | ClientRegistry | OktaClient | Grants | RateLimits
> = HttpRouter.use((router) =>
  Effect.gen(function*() {
    const settings = yield* proxySettings
    const { serverUrl } = settings
    const audit = yield* Audit.make
    const sealed = yield* Sealed
    const registry = yield* ClientRegistry
    const okta = yield* OktaClient
    const grants = yield* Grants
    const limits = yield* RateLimits
    const keeping = { store: yield* Store, sealed }
    const browsers = BrowserBinding.make(settings, sealed)
    const wayBack = BrowserBinding.make(settings, sealed, { suffix: wayBackSuffix, lifetime })
    const sessions = BrowserSession.make(keeping)
    const visits = Visit.make(settings, { ...keeping, okta, grants })
    const { isFirst } = SingleUse.make("signed-out", keeping)

    const seal = Effect.fnUntraced(function*(pending: typeof Pending.Type) {
      const expiresAt = (yield* Clock.currentTimeMillis) + Duration.toMillis(lifetime)
      return yield* sealed.seal("logout", yield* Effect.orDie(encode(pending)), expiresAt)
    })

    /** What was sealed for a step, in the browser that it was sealed for. */
    const open = Effect.fnUntraced(function*(
      text: string,
      step: "asked" | "sent",
      request: HttpServerRequest.HttpServerRequest
    ) {
      const pending = Option.flatMap(yield* sealed.open("logout", text), decode)
      return Option.isSome(pending) && pending.value.step === step &&
          (yield* (step === "sent" ? wayBack : browsers).isMarked(request, pending.value.browser))
        ? pending.value
        : undefined
    })

    const ask = Effect.fnUntraced(
      function*(request: HttpServerRequest.HttpServerRequest, parameters: Parameters.Parameters) {
        const clientId = parameters.first("client_id")
        const client = clientId === undefined ? Option.none() : yield* registry.find(clientId)
        const back = backTo(Option.getOrUndefined(client), parameters)
        if (typeof back === "string") return refused(back)
        // As with authorization requests: another site's form brings no cookie.
        if (request.method === "POST" && !(yield* browsers.isKnown(request))) {
          return sendTo(Parameters.addressOf(`${serverUrl}/oauth/logout`, parameters, parameterNames), "POST")
        }
        const browser = yield* browsers.get(request)
        const text = yield* seal({ step: "asked", browser: browser.mark, back })
        return browser.remember(question(`${serverUrl}/oauth/logout`, text))
      }
    )

    /** Okta's ID token of a grant, by which Okta knows who is to be signed out. */
    const idTokenOf = Effect.fnUntraced(function*(grantId: string) {
      const grant = yield* grants.get(grantId)
      const okta = Option.getOrUndefined(grant)?.okta
      return okta === undefined ? Option.none() : yield* OktaTokens.openToken(sealed, okta.idToken)
    })

    const onward = (back: typeof Return.Type | undefined) =>
      back === undefined ? signedOut : sendTo(withState(back), "POST")

    /** As an answer to a browser that has none of these cookies any more. */
    const without = (response: HttpServerResponse.HttpServerResponse, ...cookies: ReadonlyArray<string>) =>
      cookies.reduce(
        (answer, name) => HttpServerResponse.expireCookieUnsafe(answer, name, BrowserBinding.cookieOptions(settings)),
        response
      )

    const signOut = Effect.fnUntraced(function*(request: HttpServerRequest.HttpServerRequest, sealed: string) {
      const pending = yield* open(sealed, "asked", request)
      if (pending === undefined || isForeign(request)) return outOfDate
      // Neither the browser nor a visitor of the page of connected clients is known any more.
      return without(
        yield* leave(request, pending),
        BrowserBinding.cookieName(settings),
        Visit.cookieName(settings)
      )
    })

    const leave = Effect.fnUntraced(function*(
      request: HttpServerRequest.HttpServerRequest,
      { back, browser }: typeof Pending.Type
    ) {
      let idTokenHint: Redacted.Redacted<string> | undefined
      const ended = new Set<string>()
      yield* sessions.end(browser, (grantId) =>
        idTokenOf(grantId).pipe(
          Effect.tap((idToken) =>
            Effect.sync(() => {
              idTokenHint = Option.getOrElse(idToken, () => idTokenHint)
            })
          ),
          Effect.andThen(grants.end(grantId, "signed-out")),
          Effect.tap((existed) => Effect.sync(() => existed && ended.add(Audit.grantHandle(grantId))))
        ))
      yield* audit((origin) => new SignedOut({ ...origin, grants: [...ended] }))
      idTokenHint ??= Option.getOrUndefined(yield* visits.idToken(request))
      if (idTokenHint === undefined) return onward(back)
      const returning = yield* wayBack.get(request)
      const url = okta.endSessionUrl({
        idTokenHint,
        ...(back === undefined ? undefined : {
          postLogoutRedirectUri: `${serverUrl}/oauth/logout/done`,
          state: yield* seal({ step: "sent", browser: returning.mark, back })
        })
      })
      return yield* Effect.matchEffect(url, {
        onFailure: ({ message }) => Effect.as(Effect.logDebug(message), signedOutHereOnly(settings.issuer, back)),
        onSuccess: Option.match({
          onNone: () => Effect.succeed(onward(back)),
          onSome: (url) =>
            Effect.succeed(back === undefined ? sendTo(url, "POST") : returning.remember(sendTo(url, "POST")))
        })
      })
    })

    /** Sends the person on who comes back from Okta, once. */
    const goOn = Effect.fnUntraced(function*(request: HttpServerRequest.HttpServerRequest) {
      const state = Parameters.fromQuery(request).first("state")
      if (state === undefined) return signedOut
      const back = (yield* open(state, "sent", request))?.back
      if (back === undefined) return noWayBack
      const use = { issuer: serverUrl, jti: state, endsIn: Duration.toSeconds(lifetime) }
      const answer = (yield* isFirst(use)) ? sendTo(withState(back), "GET") : noWayBack
      return without(answer, BrowserBinding.cookieName(settings) + wayBackSuffix)
    })

    /** Counts the request, and tells the person of trouble, who can try again. */
    const limited = (
      request: HttpServerRequest.HttpServerRequest,
      answer: Effect.Effect<HttpServerResponse.HttpServerResponse, Trouble.Trouble>
    ) =>
      Effect.andThen(limits.request("logout", request), answer).pipe(
        Effect.tapError(noteError),
        Effect.catch(request.method === "POST" ? Trouble.tellOfForm(request) : Trouble.tell(Trouble.link()))
      )

    const get = (request: HttpServerRequest.HttpServerRequest) =>
      limited(request, ask(request, Parameters.fromQuery(request)))
    yield* Page.serve(router, settings, "/oauth/logout", {
      GET: get,
      HEAD: get,
      POST: (request) =>
        Parameters.fromBody(request).pipe(
          Effect.flatMap((parameters) => {
            const sealed = parameters.first("request")
            return limited(request, sealed === undefined ? ask(request, parameters) : signOut(request, sealed))
          }),
          Effect.catch((error) => Effect.succeed(Page.unreadable(error)))
        )
    })
    yield* Page.serve(router, settings, "/oauth/logout/done", {
      GET: (request) =>
        goOn(request).pipe(
          Effect.tapError(noteError),
          Effect.catch(Trouble.tell(Trouble.link()))
        )
    })
  })
)

const withState = ({ state, uri }: typeof Return.Type): string =>
  state === undefined ? uri : `${uri}${uri.includes("?") ? "&" : "?"}${new URLSearchParams({ state }).toString()}`
