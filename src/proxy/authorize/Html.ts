import { createHash } from "node:crypto"

/** A piece of HTML, in which whatever came from outside is text. */
export class Html {
  readonly source: string

  constructor(source: string) {
    this.source = source
  }
}

/** What can stand in a template: text, which is escaped, and other pieces. */
export type Content = string | Html | ReadonlyArray<Html> | undefined

const entities: { readonly [character: string]: string } = {
  "&": "&amp;",
  "<": "&lt;",
  ">": "&gt;",
  "\"": "&quot;",
  "'": "&#39;"
}

/** Control characters, which do not show, and those that turn the direction of writing, which deceive. */
const misleading = /[\p{Cc}\p{Cs}\u2028\u2029\u061C\u200B-\u200F\u202A-\u202E\u2060-\u2069\uFEFF]/gu

const escaped = (text: string): string =>
  text.replace(misleading, "").replace(/[&<>"']/g, (character) => entities[character] ?? "")

const sourceOf = (content: Content): string => {
  if (content === undefined) return ""
  if (typeof content === "string") return escaped(content)
  return content instanceof Html ? content.source : content.map(({ source }) => source).join("")
}

/** Escapes every text between its own words, for elements and for attributes in quotation marks. */
export const html = (words: TemplateStringsArray, ...contents: ReadonlyArray<Content>): Html =>
  new Html(words.map((word, index) => word + sourceOf(contents[index])).join(""))

/** Headers of everything that a browser gets: kept nowhere, told to nobody, without a script, with no other page around it. */
const guarding = (styleHash: string) => ({
  "cache-control": "no-store",
  // `form-action` is absent because browsers hold the redirects against it that follow a form, and these lead to Okta and on to
  // wherever the organization signs people in.
  "content-security-policy":
    `default-src 'none'; style-src 'sha256-${styleHash}'; base-uri 'none'; frame-ancestors 'none'`,
  "referrer-policy": "no-referrer",
  "x-content-type-options": "nosniff",
  "x-frame-options": "DENY"
})

/** Whole pages of one look, and the headers that they need. */
export const pagesOf = (style: string) => ({
  headers: guarding(createHash("sha256").update(style).digest("base64")),
  page: (title: string, main: Html): string =>
    html`<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<meta name="robots" content="noindex">
<title>${title}</title>
<style>${new Html(style)}</style>
</head>
<body>
<main>
${main}
</main>
</body>
</html>
`.source
})
