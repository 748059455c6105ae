import { Duration, Effect, Option } from "effect"
import { type HttpServerRequest, HttpServerResponse } from "effect/http"
import { createHash, randomBytes, timingSafeEqual } from "node:crypto"
import type { ProxySettings } from "../ProxySettings.ts"
import type { Sealed } from "../Sealed.ts"

/** A browser that has been here before, or is now given the cookie by which it is known. */
export interface KnownBrowser {
  /** Stands for the browser without naming it, whichever secret its cookie is signed with. */
  readonly mark: string
  /** Puts the cookie on an answer, for another 30 days unless it is a short-lived one. */
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
  /** Whether the request comes with a cookie that was made here. */
  readonly isKnown: (request: HttpServerRequest.HttpServerRequest) => Effect.Effect<boolean>
  /** The browser, which has an id from now on. */
  readonly get: (request: HttpServerRequest.HttpServerRequest) => Effect.Effect<KnownBrowser>
  /** Whether the request comes from the browser that the mark stands for. */
  readonly isMarked: (request: HttpServerRequest.HttpServerRequest, mark: string) => Effect.Effect<boolean>
}

/** A cookie of its own for something that does not last. */
export interface ShortLived {
  /** What its name ends with. */
  readonly suffix: string
  readonly lifetime: Duration.Duration
}

/** As long as grants last without use, so that a person can sign out in the browser, and consent can be remembered. */
const lasting: ShortLived = { suffix: "", lifetime: Duration.days(30) }

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

export const make = (
  settings: ProxySettings,
  sealed: Sealed["Service"],
  { lifetime, suffix } = lasting
): BrowserBinding => {
  const name = cookieName(settings) + suffix

  const find = Effect.fnUntraced(function*({ cookies }: HttpServerRequest.HttpServerRequest) {
    const [, id, signature] = /^([\w-]{43})\.([\w-]{43})$/.exec(cookies[name] ?? "") ?? []
    if (id === undefined || signature === undefined) return Option.none()
    return (yield* sealed.confirms("binding", `cookie/${id}`, signature)) ? Option.some(id) : Option.none()
  })

  return {
    isKnown: (request) => Effect.map(find(request), Option.isSome),
    get: Effect.fnUntraced(function*(request) {
      const id = Option.getOrElse(yield* find(request), () => randomBytes(32).toString("base64url"))
      const value = `${id}.${yield* sealed.hash("binding", `cookie/${id}`)}`
      return {
        mark: markOf(id),
        remember: HttpServerResponse.setCookieUnsafe(name, value, {
          ...cookieOptions(settings),
          maxAge: lifetime
        })
      }
    }),
    isMarked: (request, mark) => Effect.map(find(request), (id) => Option.isSome(id) && isEqual(markOf(id.value), mark))
  }
}

/** Of 256 random bits nobody finds out from it what they are; and no secret is needed that may be replaced. */
const markOf = (id: string): string => createHash("sha256").update(`effect-okta/browser/${id}`).digest("base64url")

const isEqual = (expected: string, actual: string): boolean => {
  const [one, other] = [Buffer.from(expected), Buffer.from(actual)]
  return one.length === other.length && timingSafeEqual(one, other)
}
