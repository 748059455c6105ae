import { assert } from "@effect/vitest"
import { Effect } from "effect"

const entities: Readonly<Record<string, string>> = { amp: "&", lt: "<", gt: ">", quot: "\"", "#39": "'" }

const unescaped = (text: string): string =>
  text.replace(/&(amp|lt|gt|quot|#39);/g, (_, name: string) => entities[name] ?? "")

/** What a browser shows, and where it is. */
export interface Shown {
  readonly url: URL
  readonly status: number
  readonly html: string
}

/** A person with a browser of a few lines: it keeps cookies by host, follows redirects, and sends forms. */
export class Visitor {
  readonly #cookies = new Map<string, Map<string, string>>()

  async #go(start: URL, form?: URLSearchParams): Promise<Shown> {
    let url = start
    let body = form
    for (let hop = 0; hop < 20; hop++) {
      const cookies = this.#cookies.get(url.hostname) ?? new Map<string, string>()
      this.#cookies.set(url.hostname, cookies)
      const response = await fetch(url, {
        redirect: "manual",
        headers: { accept: "text/html", cookie: [...cookies].map(([name, value]) => `${name}=${value}`).join("; ") },
        ...body && { method: "POST", body }
      })
      for (const line of response.headers.getSetCookie()) {
        const [pair = ""] = line.split(";")
        cookies.set(pair.slice(0, pair.indexOf("=")), pair.slice(pair.indexOf("=") + 1))
      }
      const location = response.headers.get("location")
      const html = await response.text()
      if (location === null) return { url, status: response.status, html }
      url = new URL(location, url)
      body = undefined
    }
    return assert.fail(`There were too many redirects, the last to ${url.href}`)
  }

  open(url: string): Effect.Effect<Shown> {
    return Effect.promise(() => this.#go(new URL(url)))
  }

  /** Presses the button of this text, in whatever form it is, with what is filled in there. */
  press({ html, url }: Shown, text: string): Effect.Effect<Shown> {
    return Effect.suspend(() => {
      const forms = [...html.matchAll(/<form([^>]*)>(.*?)<\/form>/gs)]
      const form = forms.find(([whole]) => whole.includes(`>${text}</button>`))
      if (form === undefined) return assert.fail(`There is no button ${text} at ${url.href}: ${html}`)
      const [, attributes = "", content = ""] = form
      const [button = ""] = new RegExp(`<button[^>]*>${text}</button>`).exec(content) ?? []
      const fields = new URLSearchParams()
      for (const [tag = ""] of [...content.matchAll(/<input [^>]*>/g), [button]]) {
        const [, name] = /\bname="([^"]*)"/.exec(tag) ?? []
        const [, value = ""] = /\bvalue="([^"]*)"/.exec(tag) ?? []
        if (name !== undefined) fields.append(name, unescaped(value))
      }
      const [, action = ""] = /\baction="([^"]*)"/.exec(attributes) ?? []
      return Effect.promise(() => this.#go(new URL(unescaped(action) || url, url), fields))
    })
  }
}

/** The steps on the demo's page: what each is, and its status. */
export const stepsOf = ({ html }: Shown): ReadonlyArray<readonly [title: string, status: string]> =>
  [...html.matchAll(/<summary><h3>([^<]*)<\/h3>.*?<span class="status [a-z]+">(\d+)<\/span>/gs)].map((
    [, title = "", status = ""]
  ) => [unescaped(title), status])
