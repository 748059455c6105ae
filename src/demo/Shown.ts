import { Option, Schema } from "effect"

/** Names and values, of headers or parameters. */
export type Pairs = ReadonlyArray<readonly [name: string, value: string]>

const decodeObject = Schema.decodeUnknownOption(
  Schema.fromJsonString(Schema.Record(Schema.String, Schema.MutableJson))
)

/** The members of an object in JSON; none when it is something else. */
export const membersOf = (text: string): { readonly [name: string]: Schema.MutableJson } =>
  Option.getOrElse(decodeObject(text), () => ({}))

const secret = new Set(["password", "client_secret"])
const usable = new Set(["code", "code_verifier", "refresh_token", "token", "access_token", "id_token", "request"])
const longestWord = 96
const longestText = 240
const longestBody = 3000

/** A value as the page shows it: what works somewhere is cut short, so that it works nowhere. */
export const shownValue = (name: string, value: string): string => {
  if (secret.has(name)) return "(not shown)"
  if (/^eyJ[\w-]+\.[\w-]+\.[\w-]+$/.test(value)) return `${value.slice(0, 12)}… (a signed token)`
  // Both ends, so that one can see that a refresh token was replaced: they begin alike as long as their grant lives.
  if (usable.has(name)) return value.length < 24 ? "(cut short)" : `${value.slice(0, 4)}…${value.slice(-4)}`
  const most = /\s/.test(value) ? longestText : longestWord
  return value.length > most ? `${value.slice(0, most / 3)}… (${value.length} characters)` : value
}

/** Parameters as the page shows them. */
export const shownParameters = (parameters: Iterable<readonly [string, string]>): Pairs =>
  Array.from(parameters, ([name, value]) => [name, shownValue(name, value)] as const)

/** A URL as the page shows it. */
export const shownUrl = (url: string): string => {
  const { origin, pathname, searchParams } = new URL(url)
  const query = shownParameters(searchParams).map(([name, value]) => `${name}=${value}`).join("&")
  return `${origin}${pathname}${query === "" ? "" : `?${query}`}`
}

/** A body in JSON as the page shows it; anything else is left out. */
export const shownJson = (text: string): string => {
  const members = membersOf(text)
  if (Object.keys(members).length === 0) return ""
  const shown = JSON.stringify(
    members,
    (name, value: unknown) => typeof value === "string" ? shownValue(name, value) : value,
    2
  )
  return shown.length > longestBody ? `${shown.slice(0, longestBody)}\n… (cut short)` : shown
}

const telling = ["www-authenticate", "location", "content-type", "cache-control", "retry-after"]

/** The headers of an answer that matter here. */
export const shownHeaders = (headers: { readonly [name: string]: string | undefined }): Pairs =>
  telling.flatMap((name) => {
    const value = headers[name]
    if (value === undefined || value === "") return []
    return [[name, name === "location" && URL.canParse(value) ? shownUrl(value) : value] as const]
  })
