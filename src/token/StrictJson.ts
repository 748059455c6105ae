import { Result } from "effect"
import { isAscii, isUtf8 } from "node:buffer"

/** How strict to be. */
export interface Strictness {
  /** Deepest nesting of objects and arrays. */
  readonly deepest: number
  /** Whether texts may have lone surrogates. */
  readonly loneSurrogates: boolean
}

const ofTokens: Strictness = { deepest: 32, loneSurrogates: false }

/**
 * Parses JSON as the one value that its bytes can mean, or returns `undefined`: well-formed UTF-8 without a byte order
 * mark, no member twice (RFC 7519 section 4). That of a token is nested at most 32 deep, and has no lone surrogates.
 */
export const parse = (bytes: Buffer, { deepest, loneSurrogates }: Strictness = ofTokens): unknown => {
  const ascii = isAscii(bytes)
  if (!ascii && !isUtf8(bytes)) return undefined
  // A byte order mark stays, and is no JSON.
  const text = bytes.toString(ascii ? "latin1" : "utf8")
  const members = countMembers(text, deepest)
  if (members === undefined) return undefined
  const value = Result.getOrUndefined(Result.try((): unknown => JSON.parse(text)))
  // `JSON.parse` keeps the last of two equal members, however they are escaped, so that fewer are left.
  if (countKeys(value) !== members) return undefined
  return !loneSurrogates && text.includes("\\u") && !isWellFormed(value) ? undefined : value
}

/** How many members the objects in a text have, or `undefined` when it is nested too deep. Assumes valid JSON. */
const countMembers = (text: string, deepest: number): number | undefined => {
  let members = 0
  let depth = 0
  for (let i = 0; i < text.length; i++) {
    switch (text.charCodeAt(i)) {
      case 0x22: { // a string: on to its closing quotation mark
        let end = text.indexOf("\"", i + 1)
        while (isEscaped(text, end)) end = text.indexOf("\"", end + 1)
        if (end === -1) return undefined
        i = end
        break
      }
      case 0x3a: // :
        members++
        break
      case 0x7b: // {
      case 0x5b: // [
        if (++depth > deepest) return undefined
        break
      case 0x7d: // }
      case 0x5d: // ]
        depth--
    }
  }
  return members
}

const isEscaped = (text: string, index: number): boolean => {
  let backslashes = 0
  while (text.charCodeAt(index - 1 - backslashes) === 0x5c) backslashes++
  return backslashes % 2 === 1
}

const countKeys = (value: unknown): number => {
  if (typeof value !== "object" || value === null) return 0
  const values: ReadonlyArray<unknown> = Array.isArray(value) ? value : Object.values(value)
  let count = values === value ? 0 : values.length
  for (const one of values) count += countKeys(one)
  return count
}

const isWellFormed = (value: unknown): boolean =>
  typeof value === "string"
    ? value.isWellFormed()
    : typeof value !== "object" || value === null
    ? true
    : Object.entries(value).every(([key, member]) => key.isWellFormed() && isWellFormed(member))
