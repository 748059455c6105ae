import * as fc from "fast-check"
import { redirectUri } from "../support/ProxyScene.ts"

/** Texts that somebody has once got through with, and any others. */
export const nasty = fc.oneof(
  fc.constantFrom(
    "",
    " ",
    "null",
    "undefined",
    "__proto__",
    "constructor",
    "<script>alert(1)</script>",
    "a\r\nlocation: https://evil.example/",
    "\u0000",
    "\u202e",
    "\ud800",
    "%",
    "%00",
    "%0d%0a",
    "../../etc/passwd",
    "https://evil.example/",
    "//evil.example",
    "javascript:alert(1)",
    "https://client.example.com@evil.example/callback",
    `${redirectUri}@evil.example`,
    `${redirectUri}#`,
    redirectUri.replace("https", "http"),
    redirectUri.toUpperCase(),
    "e30.e30.",
    "[object Object]",
    "1e999",
    "-1",
    "9".repeat(400),
    "x".repeat(5000)
  ),
  fc.string({ unit: "binary", maxLength: 60 }),
  fc.string({ unit: "grapheme", maxLength: 60 }),
  fc.base64String({ maxLength: 60 })
)

/** A place in a text, wherever it ends. */
export const place = fc.double({ min: 0, max: 1, noNaN: true, maxExcluded: true })

/** What becomes of a parameter. */
export const change = fc.oneof(
  { weight: 3, arbitrary: fc.record({ kind: fc.constant("replaced" as const), by: nasty }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant("gone" as const) }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant("repeated" as const), by: nasty }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant("cut" as const), at: place }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant("spoiled" as const), at: place, by: nasty }) }
)
export type Change = typeof change extends fc.Arbitrary<infer A> ? A : never

/** What is sent in place of a value: nothing, something else, or several. */
export const changed = (value: string, change: Change): ReadonlyArray<string> => {
  switch (change.kind) {
    case "replaced":
      return [change.by]
    case "gone":
      return []
    case "repeated":
      return [value, change.by]
    case "cut":
      return [value.slice(0, Math.floor(change.at * value.length))]
    case "spoiled": {
      const at = Math.floor(change.at * value.length)
      return [value.slice(0, at) + change.by + value.slice(at + 1)]
    }
  }
}

/** Changes to some of the parameters that matter, and further ones that nobody asked for. */
export const changesTo = (...names: ReadonlyArray<string>) =>
  fc.record({
    changes: fc.dictionary(fc.constantFrom(...names), change, { minKeys: 1, maxKeys: 3 }),
    further: fc.array(fc.tuple(nasty, nasty), { maxLength: 2 })
  })

export type Changes = ReturnType<typeof changesTo> extends fc.Arbitrary<infer A> ? A : never

/** The parameters as they are sent, and whether they say what they said before: an empty one is as none. */
export const apply = (parameters: Readonly<Record<string, string>>, { changes, further }: Changes) => {
  const sent = new URLSearchParams()
  for (const [name, value] of Object.entries(parameters)) {
    const change = changes[name]
    for (const text of change === undefined ? [value] : changed(value, change)) sent.append(name, text.toWellFormed())
  }
  const isSame = Object.entries(parameters).every(([name, value]) =>
    sent.getAll(name).filter((text) => text !== "").join() === value && sent.getAll(name).length === 1
  )
  for (const [name, value] of further) sent.append(`x${name}`.toWellFormed(), value.toWellFormed())
  return { sent, isSame }
}
