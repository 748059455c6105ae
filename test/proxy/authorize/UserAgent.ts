import { Effect } from "effect"

/** An HTTP answer as a browser gets it. */
export interface Answer {
  readonly status: number
  readonly headers: Headers
  readonly body: string
  /** Where it sends the browser. */
  readonly location: URL
}

interface Cookie {
  readonly value: string
  readonly attributes: ReadonlyArray<string>
}

export interface Asked {
  readonly method?: string
  readonly headers?: Readonly<Record<string, string>>
  readonly body?: URLSearchParams | string
}

/** A browser that keeps the cookies of one server, which answers at `actual` whatever its public name. */
export class UserAgent {
  readonly cookies = new Map<string, Cookie>()
  readonly #server: string
  readonly #actual: string

  constructor(server: string, actual: string) {
    this.#server = server
    this.#actual = actual
  }

  ask(url: string | URL, { body, headers, method = body === undefined ? "GET" : "POST" }: Asked = {}) {
    const cookie = [...this.cookies].map(([name, { value }]) => `${name}=${value}`).join("; ")
    return Effect.promise(async (signal): Promise<Answer> => {
      const response = await fetch(new URL(url, this.#server).href.replace(this.#server, this.#actual), {
        method,
        redirect: "manual",
        signal,
        headers: { ...cookie === "" ? {} : { cookie }, ...headers },
        ...body === undefined ? {} : { body }
      })
      for (const line of response.headers.getSetCookie()) {
        const [pair = "", ...attributes] = line.split(/; */)
        const end = pair.indexOf("=")
        this.cookies.set(pair.slice(0, end), { value: pair.slice(end + 1), attributes })
      }
      return {
        status: response.status,
        headers: response.headers,
        body: await response.text(),
        location: new URL(response.headers.get("location") ?? "about:blank")
      }
    })
  }
}

const unescaped = (text: string): string =>
  text.replace(
    /&(amp|lt|gt|quot|#39);/g,
    (_, name: string) => ({ "amp": "&", "lt": "<", "gt": ">", "quot": "\"", "#39": "'" })[name] ?? ""
  )

/** The hidden fields of a page's form. */
export const fieldsOf = ({ body }: Answer): Record<string, string> =>
  Object.fromEntries(
    [...body.matchAll(/<input type="hidden" name="([^"]*)" value="([^"]*)">/g)].map(([, name = "", value = ""]) => [
      unescaped(name),
      unescaped(value)
    ])
  )
