import { Clock, Effect, type Layer } from "effect"
import { type HttpClient, HttpRouter, HttpServerRequest, HttpServerResponse } from "effect/http"
import { randomBytes } from "node:crypto"
import { demoPage, type Parties } from "./DemoPage.ts"
import type { Visit, Visits } from "./Visit.ts"
import * as Walk from "./Walk.ts"
import { cookie } from "./Witness.ts"

const to = (place: string) => HttpServerResponse.redirect(place, { status: 303 })

/** The page, and the client behind it; visitors are told apart by a cookie. */
export const layer = (
  visits: Visits,
  parties: Parties
): Layer.Layer<never, never, HttpRouter.HttpRouter | HttpClient.HttpClient> =>
  HttpRouter.use((router) =>
    Effect.gen(function*() {
      const { demoUrl, serverUrl } = parties
      const walk = yield* Walk.make(visits, serverUrl, `${demoUrl}/callback`)

      /** The visitor's id, and the visit if there is one. */
      const visitor = Effect.gen(function*() {
        const { cookies, originalUrl } = yield* HttpServerRequest.HttpServerRequest
        const id = cookies[cookie] ?? ""
        return { id, url: new URL(originalUrl, demoUrl), visit: yield* visits.get(id) }
      })

      /** What could not be done is told on the page; nothing that the client holds is lost. */
      const orTell = <A, E>(id: string, step: Effect.Effect<A, E>) =>
        Effect.catch(step, () =>
          visits.change(id, (visit) => ({ ...visit, problem: `${serverUrl} cannot be reached. Is it still running?` })))

      /** Goes on with the visit, if there is one. */
      const goOn = <E>(step: (id: string, visit: Visit, url: URL) => Effect.Effect<unknown, E>, place: string) =>
        Effect.gen(function*() {
          const { id, url, visit } = yield* visitor
          if (visit === undefined) {
            return to("/")
          }
          const { problem: _, ...rest } = visit
          yield* visits.put(id, rest)
          yield* orTell(id, step(id, rest, url))
          return to(place)
        })

      /** Only for those who are signed in: a page that was left open somewhere may not know better. */
      const signedIn = <E>(step: (id: string, visit: Visit) => Effect.Effect<unknown, E>) =>
        goOn((id, visit) =>
          visit.accessToken === undefined ? Effect.void : step(id, visit), "/#latest")

      yield* router.addAll([
        HttpRouter.route(
          "GET",
          "/",
          Effect.gen(function*() {
            const { url, visit } = yield* visitor
            const { headers, html } = demoPage(
              visit,
              parties,
              yield* Clock.currentTimeMillis,
              url.searchParams.has("all")
            )
            return HttpServerResponse.text(html, { headers, contentType: "text/html; charset=utf-8" })
          })
        ),
        HttpRouter.route(
          "POST",
          "/begin",
          Effect.gen(function*() {
            const id = randomBytes(16).toString("base64url")
            const place = yield* orTell(id, walk.begin(id))
            return to(place ?? "/").pipe(
              HttpServerResponse.setCookieUnsafe(cookie, id, {
                httpOnly: true,
                sameSite: "lax",
                path: "/",
                maxAge: "30 days"
              })
            )
          })
        ),
        HttpRouter.route(
          "GET",
          "/callback",
          goOn((id, visit, { searchParams }) =>
            walk.comeBack(id, visit, searchParams), "/")
        ),
        HttpRouter.route("POST", "/call", signedIn(walk.call)),
        HttpRouter.route("POST", "/refresh", signedIn(walk.refresh)),
        HttpRouter.route("POST", "/sign-out", signedIn(walk.signOut))
      ])
    })
  )
