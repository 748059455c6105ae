import { Effect, Predicate } from "effect"
import { HttpRouter, HttpServerRequest } from "effect/http"
import { membersOf, type Pairs, shownHeaders, shownJson, shownParameters } from "./Shown.ts"
import type { Endpoint } from "./StandInMetadata.ts"
import type { Seen } from "./StandInProvider.ts"
import type { Step, Visits } from "./Visit.ts"

/** The cookie that tells visits apart. Browsers send it to every port of `localhost`, so to the server too. */
export const cookie = "demo"

type Words = Pick<Step, "phase" | "from" | "title" | "note">

const atServer = (method: string, path: string, location: string | undefined): Words | undefined => {
  const words = { phase: "sign-in", from: "browser" } as const
  switch (`${method} ${path}`) {
    case "GET /oauth/authorize":
      return {
        ...words,
        title: "The client sends the browser to the server",
        note: "Nobody has vouched for this client, so the server asks you first whether it may act for you."
      }
    case "POST /oauth/consent":
      return location?.includes("error=") === true
        ? { ...words, title: "You deny it", note: "The server sends the browser back to the client with an error." }
        : {
          ...words,
          title: "You allow it",
          note:
            "The server sends the browser on to Okta, where it is itself the client: with its own state, nonce and PKCE."
        }
    case "GET /oauth/callback":
      return {
        ...words,
        title: "The browser brings Okta's code to the server",
        note:
          "The server changes it into Okta's tokens (the next step), and sends the browser to the client with a code of its own."
      }
    default:
      return undefined
  }
}

const atOkta = ({ endpoint, form, method, path }: Seen): Words | undefined => {
  switch (endpoint) {
    case "authorize":
      return path.endsWith("/authorize")
        ? {
          phase: "sign-in",
          from: "browser",
          title: "Okta is asked to sign you in",
          note: "For the server, which is registered there by hand: Okta never hears of the client."
        }
        : {
          phase: "sign-in",
          from: "browser",
          title: "Okta sends the browser back",
          note: "To the one address that is registered for the server, with a code."
        }
    case "signin":
      return method === "POST"
        ? { phase: "sign-in", from: "browser", title: "You sign in at Okta", note: "Only Okta sees the password." }
        : {
          phase: "sign-in",
          from: "browser",
          title: "Okta shows its sign-in page",
          note: "Or goes on at once, where you are signed in."
        }
    case "token":
      return form.get("grant_type") === "refresh_token"
        ? {
          phase: "refresh",
          from: "server",
          title: "The server asks Okta whether you may still come in",
          note:
            "Without you, by Okta's refresh token; once in the life of an access token at most. If Okta says no, the grant ends."
        }
        : {
          phase: "sign-in",
          from: "server",
          title: "The server changes Okta's code into Okta's tokens",
          note:
            "From server to server. The ID token says who you are; Okta's tokens stay there, and the client never sees them."
        }
    case "revoke":
      return {
        phase: "sign-out",
        from: "server",
        title: "The server ends its own grant at Okta",
        note: "So that nothing of this sign-in is left there."
      }
    default:
      return undefined
  }
}

/** Adds what browsers do at the server to the visits they belong to. */
export const server = (visits: Visits, serverUrl: string) =>
  HttpRouter.middleware(
    (httpEffect) =>
      Effect.gen(function*() {
        const request = yield* HttpServerRequest.HttpServerRequest
        const id = request.cookies[cookie]
        if (id === undefined) return yield* httpEffect
        const at = yield* visits.time
        const response = yield* httpEffect
        const url = new URL(request.originalUrl, serverUrl)
        const { location } = response.headers
        const words = atServer(request.method, url.pathname, location)
        if (words === undefined) return response
        // What the server sends to Okta comes back to Okta's stand-in without the cookie.
        const state = location === undefined ? null : new URL(location, serverUrl).searchParams.get("state")
        if (state !== null) yield* visits.link(state, id)
        yield* visits.add(id, {
          at,
          ...words,
          to: "server",
          method: request.method,
          url: serverUrl + url.pathname,
          parameters: shownParameters(url.searchParams),
          requestHeaders: [],
          requestBody: "",
          status: response.status,
          responseHeaders: shownHeaders(response.headers),
          responseBody: ""
        })
        return response
      }),
    { global: true }
  )

/** What tells whose a request at Okta is: each of these is hard to guess, and is known from an answer seen before. */
const marks = ["state", "code", "refresh_token", "token"]

const marksOf = (parameters: URLSearchParams): ReadonlyArray<string> =>
  marks.flatMap((name) => parameters.get(name) ?? [])

const lastSegment = (path: string): string => path.slice(path.lastIndexOf("/") + 1)

const isInteraction = (endpoint: Endpoint, path: string): boolean =>
  endpoint === "signin" || endpoint === "authorize" && !path.endsWith("/authorize")

/** Adds what happens at the stand-in for Okta to the visits it belongs to. */
export const okta = (visits: Visits) =>
  Effect.fnUntraced(function*(seen: Seen) {
    const { endpoint, form, location, method, path, query, status } = seen
    const words = atOkta(seen)
    if (words === undefined) return
    const candidates = [
      ...marksOf(query),
      ...marksOf(form),
      ...(isInteraction(endpoint, path) ? [lastSegment(path)] : [])
    ]
    const found = yield* Effect.forEach(candidates, visits.idOf)
    const id = found.find((id) => id !== undefined)
    if (id === undefined) return
    const next = location === undefined ? undefined : new URL(location, seen.origin)
    const answer = Predicate.isObject(seen.body) ? JSON.stringify(seen.body) : ""
    const { refresh_token: refreshToken } = membersOf(answer)
    const known = [
      ...(next === undefined ? [] : marksOf(next.searchParams)),
      ...(next?.origin === seen.origin ? [lastSegment(next.pathname)] : []),
      ...(typeof refreshToken === "string" ? [refreshToken] : [])
    ]
    yield* Effect.forEach(known, (text) => visits.link(text, id))
    const requestHeaders: Pairs = words.from === "server"
      ? [["authorization", "Basic (the server's client id and secret at Okta)"]]
      : []
    yield* visits.add(id, {
      at: seen.at,
      ...words,
      to: "Okta",
      method,
      url: seen.origin + path,
      parameters: [...shownParameters(query), ...shownParameters(form)],
      requestHeaders,
      requestBody: "",
      status,
      responseHeaders: shownHeaders({ location: next?.href }),
      responseBody: shownJson(answer)
    })
  })
