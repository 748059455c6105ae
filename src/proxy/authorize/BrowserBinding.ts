import { Duration, Effect, Option } from "effect"
import { type HttpServerRequest, HttpServerResponse } from "effect/http"
import { randomBytes } from "node:crypto"
import type { ProxySettings } from "../ProxySettings.ts"
import type { Sealed } from "../Sealed.ts"

/** A browser that has been here before, or is now given the cookie by which it is known. */
export interface KnownBrowser {
  readonly id: string
  /** Puts the cookie on an answer, for another 30 days. */
  readonly remember: (response: HttpServerResponse.HttpServerResponse) => HttpServerResponse.HttpServerResponse
}

/**
 * Ties a sign-in to the browser in which it was begun, so that nobody can have it finished by somebody else (RFC 9700
 * section 4.7).
 *
 * **Details**
 *
 * One cookie serves every tab. It is signed, read by no script, sent along by links but not by other sites' forms, and of
 * this very host (`__Host-`), save on a loopback server without TLS.
 */
export interface BrowserBinding {
  /** The browser's id, if it has one that was made here. */
  readonly find: (request: HttpServerRequest.HttpServerRequest) => Effect.Effect<Option.Option<string>>
  /** The browser, which has an id from now on. */
  readonly get: (request: HttpServerRequest.HttpServerRequest) => Effect.Effect<KnownBrowser>
  /** A mark that stands for the browser without naming it. */
  readonly mark: (id: string) => Effect.Effect<string>
  /** Whether the request comes from the browser that the mark stands for. */
  readonly isMarked: (request: HttpServerRequest.HttpServerRequest, mark: string) => Effect.Effect<boolean>
}

/** As long as grants last without use, so that a person can sign out in the browser, and consent can be remembered. */
const lifetime = Duration.days(30)

/** The cookie's name (RFC 6265bis section 4.1.3.2). */
export const cookieName = ({ serverUrl }: ProxySettings): string =>
  serverUrl.startsWith("https:") ? "__Host-effect-okta" : "effect-okta"

/** How the cookie is sent: to this server only, by links but not by other sites' forms, and shown to no script. */
export const cookieOptions = ({ serverUrl }: ProxySettings) => ({
  path: "/",
  httpOnly: true,
  secure: serverUrl.startsWith("https:"),
  sameSite: "lax"
} as const)

export const make = (settings: ProxySettings, sealed: Sealed["Service"]): BrowserBinding => {
  const name = cookieName(settings)

  const find = Effect.fnUntraced(function*({ cookies }: HttpServerRequest.HttpServerRequest) {
    const [, id, signature] = /^([\w-]{43})\.([\w-]{43})$/.exec(cookies[name] ?? "") ?? []
    if (id === undefined || signature === undefined) return Option.none()
    return (yield* sealed.confirms("binding", `cookie/${id}`, signature)) ? Option.some(id) : Option.none()
  })

  return {
    find,
    get: Effect.fnUntraced(function*(request) {
      const id = Option.getOrElse(yield* find(request), () => randomBytes(32).toString("base64url"))
      const value = `${id}.${yield* sealed.hash("binding", `cookie/${id}`)}`
      return {
        id,
        remember: HttpServerResponse.setCookieUnsafe(name, value, {
          ...cookieOptions(settings),
          maxAge: lifetime
        })
      }
    }),
    mark: (id) => sealed.hash("binding", `mark/${id}`),
    isMarked: (request, mark) =>
      Effect.flatMap(
        find(request),
        Option.match({
          onNone: () => Effect.succeed(false),
          onSome: (id) => sealed.confirms("binding", `mark/${id}`, mark)
        })
      )
  }
}
