import { Clock, Duration, Effect, Option, Redacted, Schema } from "effect"
import { type HttpServerRequest, HttpServerResponse } from "effect/http"
import { createHash, randomBytes } from "node:crypto"
import { sparingly } from "../../observe/Sparingly.ts"
import type { StoreUnavailable } from "../../store/Store.ts"
import type { Grants } from "../grant/Grant.ts"
import { Name, namesOfPerson } from "../grant/GrantIndex.ts"
import { type OktaClient, type OktaUnavailable, scopesOf } from "../OktaClient.ts"
import type { ProxySettings } from "../ProxySettings.ts"
import * as SealedRecords from "../SealedRecords.ts"
import { sendTo } from "./AuthorizationResponse.ts"
import * as BrowserBinding from "./BrowserBinding.ts"
import { html } from "./Html.ts"
import * as Page from "./Page.ts"
import type { Parameters } from "./Parameters.ts"

/** Where people look at what is connected in their name. */
export const path = "/oauth/connections"

/** A person on the way through Okta to that page. */
const Journey = Schema.Struct({
  nonce: Schema.String,
  codeVerifier: Schema.String,
  /** The mark of the browser. */
  browser: Schema.String
})

/** Who has signed in for the page. */
const Visit = Schema.fromJsonString(Schema.Struct({
  subject: Schema.String,
  username: Schema.String,
  /** By which the person can be signed out. */
  names: Schema.Array(Name),
  /** When, in seconds since 1970. */
  at: Schema.Number
}))

const encode = Schema.encodeEffect(Visit)
const decode = Schema.decodeOption(Visit)

/** Okta's ID token of a visit, by which Okta knows who is to be signed out. */
const Hint = Schema.Struct({ idToken: Schema.String })

/** A person who looks at the page. */
export interface Visitor {
  readonly subject: string
  readonly username: string
  /** What a form of the page brings back. */
  readonly formToken: string
}

/** How long the way through Okta may take, and then the visit. */
const lifetime = Duration.minutes(10)

/** What it takes to know a visitor. */
export interface Parts extends SealedRecords.Keeping {
  readonly okta: OktaClient["Service"]
  readonly grants: Grants["Service"]
}

/** The name of the cookie by which a visitor is known for a while. */
export const cookieName = (settings: ProxySettings): string => `${BrowserBinding.cookieName(settings)}-connections`

const failed = ({ serverUrl }: ProxySettings, status: number, words: string, code: string) =>
  Page.problem({
    status,
    title: "You have not been signed in",
    words,
    code,
    again: html`<p class="actions"><a class="button" href="${serverUrl}${path}">Try again</a></p>`,
    ...(status === 503 ? { headers: { "retry-after": "5" } } : undefined)
  })

/** Tells the log of a sign-in that comes back elsewhere than it was begun. */
export const otherBrowser = sparingly(
  "Warn",
  "OtherBrowser",
  "A sign-in came back in another browser than the one that began it, and was refused"
)

/** What is told of where it is noticed, and not for each sign-in that it concerns. */
const told: ReadonlySet<string> = new Set(["OktaUnavailable", "StoreUnavailable", "AdmissionUnknown"])

/** Tells the log of a sign-in at Okta of which nothing comes. */
export const inVain = ({ _tag, message }: { readonly _tag: string; readonly message: string }): Effect.Effect<void> => {
  const line = `A sign-in at Okta came to nothing. ${message}`
  return told.has(_tag) ? Effect.logDebug(line) : sparingly("Warn", `sign-in ${_tag}`, line)
}

/** Okta could not be asked. */
export const oktaAway = (settings: ProxySettings) =>
  failed(settings, 503, "Okta does not answer at the moment. Wait a little, then try again.", "temporarily_unavailable")

/**
 * Signs people in at Okta for a page of this server itself, for 10 minutes, in one browser.
 *
 * **Details**
 *
 * Who has signed in is in a cookie, sealed; the cookie by which a browser is known would not do, since it says nothing of who sits in
 * front of it. Of what Okta gives, the ID token is kept in the store as long as the visit, for its sign-out. Once all grants of the
 * person were ended, by whomever, the visit has ended too.
 */
export const make = (settings: ProxySettings, { grants, okta, sealed, store }: Parts) => {
  const journeys = SealedRecords.make("visit", "visit", Journey, { sealed, store })
  const hints = SealedRecords.make("visit-hint", "visit", Hint, { sealed, store })
  const browsers = BrowserBinding.make(settings, sealed)
  const name = cookieName(settings)

  const signedIn = Effect.fnUntraced(function*(code: string, { codeVerifier, nonce }: typeof Journey.Type) {
    const { sessionId, tokens, user } = yield* okta.exchange({
      code: Redacted.make(code),
      codeVerifier: Redacted.make(codeVerifier),
      nonce
    })
    yield* Effect.ignore(okta.revoke(tokens.refreshToken ?? tokens.accessToken))
    const millis = yield* Clock.currentTimeMillis
    const visit = yield* Effect.orDie(
      encode({
        subject: user.subject,
        username: user.username,
        names: namesOfPerson(user, sessionId),
        at: millis / 1000
      })
    )
    const text = yield* sealed.seal("visit-cookie", visit, millis + Duration.toMillis(lifetime))
    yield* hints.add(text, { idToken: Redacted.value(tokens.idToken) }, lifetime)
    return HttpServerResponse.setCookieUnsafe(sendTo(`${settings.serverUrl}${path}`, "GET"), name, text, {
      ...BrowserBinding.cookieOptions(settings),
      maxAge: lifetime
    })
  })

  return {
    /** Sends the person to Okta. */
    begin: Effect.fnUntraced(function*(
      request: HttpServerRequest.HttpServerRequest
    ): Effect.fn.Return<HttpServerResponse.HttpServerResponse, StoreUnavailable | OktaUnavailable> {
      const browser = yield* browsers.get(request)
      const [state, nonce, codeVerifier] = [secret(), secret(), secret()]
      const codeChallenge = createHash("sha256").update(codeVerifier).digest("base64url")
      const scopes = scopesOf(settings).filter((scope) => scope !== "offline_access")
      const url = yield* okta.authorizationUrl({ state, nonce, codeChallenge, scopes })
      yield* journeys.add(state, { nonce, codeVerifier, browser: browser.mark }, lifetime)
      return browser.remember(sendTo(url, "GET"))
    }),

    /** The answer to a person who comes back from Okta with a `state` of a visit's; none with any other. */
    comeBack: Effect.fnUntraced(function*(
      request: HttpServerRequest.HttpServerRequest,
      state: string,
      { first }: Parameters
    ): Effect.fn.Return<Option.Option<HttpServerResponse.HttpServerResponse>, StoreUnavailable> {
      const journey = Option.getOrUndefined(yield* journeys.take(state))
      if (journey === undefined) return Option.none()
      if (!(yield* browsers.isMarked(request, journey.browser))) {
        yield* otherBrowser
        return Option.some(failed(
          settings,
          403,
          "The sign-in was begun in another browser, or this one keeps no cookies. If somebody sent you here, do not go on.",
          "access_denied"
        ))
      }
      const issuer = first("iss")
      const code = first("code")
      if (code === undefined || issuer !== undefined && issuer !== settings.issuer) {
        return Option.some(
          failed(settings, 400, "Okta did not let you in, or this answer does not come from Okta.", "access_denied")
        )
      }
      return Option.some(
        yield* Effect.catch(
          signedIn(code, journey),
          (error) =>
            error._tag === "StoreUnavailable" ? Effect.fail(error) : Effect.as(
              inVain(error),
              error._tag === "OktaUnavailable"
                ? oktaAway(settings)
                : failed(settings, 400, "The sign-in at Okta failed, or could not be verified.", "server_error")
            )
        )
      )
    }),

    /** Who looks at the page, if anybody has signed in for it. */
    visitor: Effect.fnUntraced(function*(
      { cookies }: HttpServerRequest.HttpServerRequest
    ): Effect.fn.Return<Option.Option<Visitor>, StoreUnavailable> {
      const text = cookies[name] ?? ""
      const visit = Option.getOrUndefined(Option.flatMap(yield* sealed.open("visit-cookie", text), decode))
      if (visit === undefined) return Option.none()
      const { at, names, subject, username } = visit
      const ended = yield* Effect.forEach(names, grants.endedAt)
      if (ended.some((endedAt) => at <= endedAt)) return Option.none()
      return Option.some({ subject, username, formToken: yield* sealed.hash("visit-cookie", text) })
    }),

    /** Okta's ID token of whoever has signed in for the page, also of a visit that was ended here. */
    idToken: ({ cookies }: HttpServerRequest.HttpServerRequest) =>
      Effect.map(
        hints.find(cookies[name] ?? ""),
        Option.map(({ value }) => Redacted.make(value.idToken))
      ),

    /** Whether a form comes from a page that was shown in this very visit. */
    isOwnForm: ({ cookies }: HttpServerRequest.HttpServerRequest, formToken: string): Effect.Effect<boolean> =>
      sealed.confirms("visit-cookie", cookies[name] ?? "", formToken)
  }
}

/** A text that cannot be guessed. */
const secret = (): string => randomBytes(32).toString("base64url")
