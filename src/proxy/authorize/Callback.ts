import { Duration, Effect, Exit, type Layer, Option, Redacted } from "effect"
import { HttpRouter, type HttpServerRequest } from "effect/http"
import type { InvalidConfiguration } from "../../config/InvalidConfiguration.ts"
import type { OktaConfig } from "../../config/OktaConfig.ts"
import { AdmissionRefused, SignedIn, SignInRefused } from "../../observe/AuditEvent.ts"
import { noteError } from "../../observe/Span.ts"
import { sparingly } from "../../observe/Sparingly.ts"
import { count, signIns } from "../../observe/Telemetry.ts"
import { Store } from "../../store/Store.ts"
import { Admission } from "../Admission.ts"
import * as Audit from "../Audit.ts"
import { Grants } from "../grant/Grant.ts"
import { AuthorizationRefused, fromFailure } from "../OAuthError.ts"
import { OktaClient, OktaRefused, type OktaSession } from "../OktaClient.ts"
import { proxySettings } from "../ProxySettings.ts"
import { Sealed } from "../Sealed.ts"
import type { ApprovedRequest } from "./AuthorizationRequest.ts"
import { answer, answerUrl } from "./AuthorizationResponse.ts"
import * as BrowserBinding from "./BrowserBinding.ts"
import * as BrowserSession from "./BrowserSession.ts"
import * as Flow from "./Flow.ts"
import { html } from "./Html.ts"
import * as Page from "./Page.ts"
import * as Parameters from "./Parameters.ts"
import * as Trouble from "./Trouble.ts"
import * as Visit from "./Visit.ts"

const unknownState = Page.problem({
  status: 400,
  title: "This sign-in has ended",
  words: "It has been used already, or took longer than 10 minutes. Go back to the application and start again.",
  code: "invalid_request",
  detail: "The state is not known."
})

const notThisBrowser = Page.problem({
  status: 403,
  title: "This sign-in was begun in another browser",
  words:
    "You have not been signed in. If somebody sent you here, do not go on. Otherwise go back to the application and " +
    "start again, in one browser and with cookies allowed.",
  code: "access_denied"
})

const wrongIssuer = Page.problem({
  status: 400,
  title: "This answer does not come from Okta",
  words: "You have not been signed in. Go back to the application and start again.",
  code: "invalid_request",
  detail: "The iss is not that of this server’s Okta."
})

const notAdmitted = new AuthorizationRefused({
  code: "access_denied",
  description: "The person may not use this server."
})

/** One of the ways of signing in that were asked for, unless one of these is no more than a wish. */
const isAsStrongAsAsked = (asked: string | undefined, acr: string | undefined): boolean => {
  const values = asked?.split(" ").filter(Boolean) ?? []
  return values.length === 0 || values.some((value) => value === acr || value.endsWith(":ifpossible"))
}

/** Tells the person, who goes on to the client, be it by a press or after a while: the client has to be told as well. */
const refusalPage = (url: string) =>
  Page.page(
    "You may not use this server",
    html`<h1 class="plain">You may not use this server</h1>
<p>You have signed in with Okta, but you are not among those who may use this server. If you should be, ask whoever runs it, or the
administrators of your organization. To sign in as somebody else, sign out of Okta first.</p>
<p><a href="${url}">Go back to the application</a>. You are sent there in 20 seconds.</p>`,
    { status: 403, headers: { refresh: `20; url=${url}` } }
  )

/**
 * `/oauth/callback`: where Okta sends the person back. A sign-in comes back once, in the browser that began it; the client
 * gets a code of this server's.
 *
 * @see https://openid.net/specs/openid-connect-core-1_0.html#AuthResponse
 */
export const routes: Layer.Layer<
  never,
  InvalidConfiguration,
  HttpRouter.HttpRouter | OktaConfig | Sealed | Store | OktaClient | Grants
> = HttpRouter.use((router) =>
  Effect.gen(function*() {
    const settings = yield* proxySettings
    const sealed = yield* Sealed
    const okta = yield* OktaClient
    const grants = yield* Grants
    const store = yield* Store
    const flows = Flow.records({ store, sealed })
    const sessions = BrowserSession.make({ store, sealed })
    const browsers = BrowserBinding.make(settings, sealed)
    const visits = Visit.make(settings, { sealed, store, okta, grants })
    const admit = yield* Admission
    const audit = yield* Audit.make

    /** The person as tokens will speak of them. */
    const asKnown = ({ user }: OktaSession, { clientId, scopes }: ApprovedRequest) => ({ ...user, clientId, scopes })

    /** Ends at Okta what could not be kept here, as far as Okta can be reached. */
    const forget = ({ tokens }: OktaSession) => Effect.ignore(okta.revoke(tokens.refreshToken ?? tokens.accessToken))

    /** The code in Okta's answer, or what Okta says in its place. */
    const codeIn = ({ first }: Parameters.Parameters): Effect.Effect<string, OktaRefused> => {
      const error = first("error")
      const description = first("error_description")
      if (error !== undefined) {
        return new OktaRefused({ error, ...(description === undefined ? undefined : { description }) })
      }
      const code = first("code")
      return code === undefined ? new OktaRefused({ error: "an answer without a code" }) : Effect.succeed(code)
    }

    /**
     * Our own code for Okta's. The person may leave while Okta answers: what it gave is ended there unless it was kept and
     * could be told to the client.
     */
    const redeem = Effect.fnUntraced(function*(flow: Flow.Flow, parameters: Parameters.Parameters) {
      const { browser, codeVerifier, nonce, request } = flow
      const code = Redacted.make(yield* codeIn(parameters))
      return yield* Effect.uninterruptibleMask(Effect.fnUntraced(function*(restore) {
        const session = yield* okta.exchange({ code, codeVerifier: Redacted.make(codeVerifier), nonce })
        const concerned = {
          clientId: Audit.clientHandle(request.clientId),
          subject: session.user.subject,
          scopes: request.scopes
        }
        const admitted = Effect.andThen(checkSignIn(session, flow), admit(asKnown(session, request))).pipe(
          Effect.tapErrorTag("NotAdmitted", ({ reason }) =>
            audit((origin) => new AdmissionRefused({ ...origin, ...concerned, reason })))
        )
        const outcome = yield* Effect.onError(
          restore(Effect.andThen(admitted, grants.create(session, request))),
          () =>
            forget(session)
        )
        const abandon = grants.end(outcome.grantId, "abandoned")
        yield* Effect.onError(
          restore(sessions.add(browser, outcome.grantId)),
          () => Effect.catch(abandon, () => forget(session))
        )
        yield* Effect.addFinalizer((exit) => Exit.isFailure(exit) ? Effect.ignore(abandon) : Effect.void)
        yield* audit((origin) => new SignedIn({ ...origin, ...concerned, grant: Audit.grantHandle(outcome.grantId) }))
        return outcome
      }))
    })

    /**
     * The person has signed in as strongly as the client demands (RFC 9470 section 5), and as lately, counted from when Okta was
     * asked (OpenID Connect Core section 3.1.2.1): how long it then takes is Okta's and the person's affair.
     */
    const checkSignIn = Effect.fnUntraced(function*({ authTime, user }: OktaSession, { request, sentAt }: Flow.Flow) {
      const { acrValues, maxAge = Infinity, prompt } = request
      if (!isAsStrongAsAsked(acrValues, user.acr)) {
        return yield* new OktaRefused({ error: "unmet_authentication_requirements" })
      }
      const earliest = sentAt - (prompt === "login" ? 0 : maxAge) - Duration.toSeconds(settings.clockTolerance)
      // Where Okta does not say when, it may have been at any time.
      if ((authTime ?? -Infinity) < earliest) {
        return yield* new OktaRefused({ error: "unmet_authentication_requirements" })
      }
    })

    const refused = (why: { readonly _tag: string }, clientId?: string) =>
      noteError(why).pipe(
        Effect.andThen(count(signIns.of({ outcome: why._tag }))),
        Effect.andThen(audit((origin) =>
          new SignInRefused({
            ...origin,
            ...(clientId === undefined ? undefined : { clientId: Audit.clientHandle(clientId) }),
            reason: why._tag
          })
        ))
      )

    const comeBack = Effect.fnUntraced(function*(request: HttpServerRequest.HttpServerRequest) {
      const parameters = Parameters.fromQuery(request)
      const state = parameters.repeated.length > 0 ? undefined : parameters.all("state").find(Flow.isHandle)
      const flow = state === undefined ? undefined : Option.getOrUndefined(yield* flows.take(state))
      if (flow === undefined) {
        const visit = state === undefined ? Option.none() : yield* visits.comeBack(request, state, parameters)
        if (Option.isSome(visit)) return visit.value
        yield* refused({ _tag: "UnknownState" })
        return unknownState
      }
      if (!(yield* browsers.isMarked(request, flow.browser))) {
        yield* Visit.otherBrowser
        yield* refused({ _tag: "OtherBrowser" }, flow.request.clientId)
        return notThisBrowser
      }
      const issuer = parameters.first("iss")
      if (issuer !== undefined && issuer !== settings.issuer) {
        yield* sparingly("Warn", "OtherIssuer", "A sign-in came back from another issuer than Okta, and was refused")
        yield* refused({ _tag: "OtherIssuer" }, flow.request.clientId)
        return wrongIssuer
      }
      return yield* redeem(flow, parameters).pipe(
        Effect.tap(() => count(signIns.of({ outcome: "success" }))),
        Effect.tapError((failure) => refused(failure, flow.request.clientId)),
        Effect.map((outcome) => answer(flow.request, settings, request.method, outcome)),
        Effect.catch((failure) => {
          const outcome = failure._tag === "NotAdmitted" ? notAdmitted : fromFailure(failure)
          return Effect.as(
            Visit.inVain(failure),
            failure._tag === "NotAdmitted"
              ? refusalPage(answerUrl(flow.request, settings, outcome))
              : answer(flow.request, settings, request.method, outcome)
          )
        })
      )
    }, Effect.catchTag("StoreUnavailable", Trouble.tell(Trouble.link())))

    yield* Page.serve(router, settings, "/oauth/callback", { GET: comeBack })
  })
)
