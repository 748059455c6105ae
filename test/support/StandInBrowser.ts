import { Data, Effect } from "effect"
import { defaultPassword, oneTimeCode } from "../../src/demo/StandInDirectory.ts"

/** The stand-in, or a person at its sign-in page, was refused. */
export class OktaRefused extends Data.TaggedError("OktaRefused")<{
  readonly url: string
  readonly status: number
  readonly body: string
}> {
  override get message() {
    return `Okta's stand-in answered ${this.status} at ${this.url}: ${this.body}`
  }
}

export interface Credentials {
  readonly login: string
  /** Default: the one of people who have no password of their own. */
  readonly password?: string | undefined
  /** What the second factor shows, where it is asked for. Default: the right code. */
  readonly code?: string | undefined
}

interface Cookie {
  readonly value: string
  readonly path: string
}

/** Cookies of one server, kept and sent by path (RFC 6265 section 5). */
class CookieJar {
  readonly #cookies = new Map<string, Cookie>()

  keep(response: Response, url: URL): void {
    for (const line of response.headers.getSetCookie()) {
      const [pair = "", ...attributes] = line.split(/; */)
      const name = pair.slice(0, pair.indexOf("="))
      const value = pair.slice(pair.indexOf("=") + 1)
      const attribute = (wanted: string) =>
        attributes.find((text) => text.toLowerCase().startsWith(`${wanted}=`))?.slice(wanted.length + 1)
      const path = attribute("path") ?? url.pathname
      const expires = attribute("expires")
      const isGone = value === "" || expires !== undefined && Date.parse(expires) <= Date.now()
      if (isGone) this.#cookies.delete(`${path} ${name}`)
      else this.#cookies.set(`${path} ${name}`, { value, path })
    }
  }

  header(url: URL): string {
    return [...this.#cookies]
      .filter(([, { path }]) => path === "/" || url.pathname === path || url.pathname.startsWith(`${path}/`))
      .map(([key, { value }]) => `${key.slice(key.indexOf(" ") + 1)}=${value}`)
      .join("; ")
  }
}

const most = 20

/**
 * A browser with a person in front of it. Its session at Okta lasts as long as the object, so that a second
 * authorization asks for no password.
 */
export class Browser {
  readonly #cookies = new CookieJar()

  async #walk(start: URL, { code = oneTimeCode, login, password }: Credentials): Promise<URL | OktaRefused> {
    let url = start
    let form: URLSearchParams | undefined
    let isSignedIn = false
    let isVerified = false
    for (let hop = 0; hop < most; hop++) {
      const response = await fetch(url, {
        redirect: "manual",
        headers: { accept: "text/html", cookie: this.#cookies.header(url) },
        ...form && { method: "POST", body: form }
      })
      this.#cookies.keep(response, url)
      const location = response.headers.get("location")
      const body = await response.text()
      if (location !== null) {
        const next = new URL(location, url)
        if (next.origin !== start.origin) return next
        url = next
        form = undefined
      } else if (response.ok && !isSignedIn && body.includes("<form method=\"post\">")) {
        form = new URLSearchParams({ login, password: password ?? defaultPassword })
        isSignedIn = true
      } else if (response.ok && !isVerified && body.includes("autocomplete=\"one-time-code\"")) {
        form = new URLSearchParams({ code })
        isVerified = true
      } else {
        return new OktaRefused({ url: url.href, status: response.status, body })
      }
    }
    return new OktaRefused({ url: url.href, status: 310, body: `more than ${most} redirects` })
  }

  /** Follows an authorization URL through the sign-in page, back to the client: the URL with the code, or an error. */
  authorize(url: URL | string, credentials: Credentials): Effect.Effect<URL, OktaRefused> {
    return Effect.promise(() => this.#walk(new URL(url), credentials)).pipe(
      Effect.flatMap((end) => end instanceof URL ? Effect.succeed(end) : Effect.fail(end))
    )
  }
}
