/** The page of errors has everything that can go wrong: what services fail with, what the log names, what clients read. */
import { assert, describe, it } from "@effect/vitest"
import { readdirSync, readFileSync } from "node:fs"
import * as library from "../../src/index.ts"
import { RegistrationError } from "../../src/proxy/client/RegistrationRequest.ts"
import { AuthorizationErrorCode } from "../../src/proxy/OAuthError.ts"
import { project } from "../support/Program.ts"

const page = readFileSync(`${project}/docs/errors.md`, "utf8")
const sources = readdirSync(`${project}/src`, { recursive: true, encoding: "utf8" })
  .filter((name) => name.endsWith(".ts") && !/^(?:demo|cli)\//.test(name))
  .map((name) => readFileSync(`${project}/src/${name}`, "utf8"))

/** What the page says of a name, below a heading or in the rows that begin with it. */
const said = (name: string): string => {
  const [, section = ""] = new RegExp(`\\n### ${name}\\n([^]*?)(?=\\n##|$)`).exec(page) ?? []
  const rows = [...page.matchAll(new RegExp(`^\\| \`${name}\` +\\|(.*)\\|$`, "gm"))].map(([, cells = ""]) => cells)
  return [section, ...rows].join(" ").replaceAll(/[|\s]+/g, " ").trim()
}

/** At least a sentence: what it comes of, and what to do. */
const isExplained = (name: string) => assert.isAbove(said(name).length, 40, name)

/** Codes are literals next to the word `error`, or the second argument of a refusal. */
const written = sources.flatMap((source) => [
  ...[...source.matchAll(/\berror: "([a-z_]+)", *(?:\n *)?error_description/g)].map(([, code = ""]) => code),
  ...[...source.matchAll(/\b(?:refused|failure)\(\s*\d{3},\s*"([a-z_]+)"/g)].map(([, code = ""]) => code)
])

describe("the page of errors", () => {
  it("explains every error that is exported", () => {
    const errors = Object.entries(library).filter(([, value]) =>
      typeof value === "function" && Object.prototype.isPrototypeOf.call(Error.prototype, value.prototype)
    )
    assert.isAbove(errors.length, 20)
    for (const [name] of errors) isExplained(name)
  })

  it("explains every error that the log can name", () => {
    const tags = sources.flatMap((source) => [...source.matchAll(/TaggedError<(\w+)>/g)].map(([, tag = ""]) => tag))
    assert.isAbove(tags.length, 40)
    for (const tag of tags) isExplained(tag)
  })

  it("explains every code that a client can be told", () => {
    const codes = new Set([
      ...AuthorizationErrorCode.literals,
      ...RegistrationError.fields.code.literals,
      ...written,
      "invalid_token",
      "insufficient_scope",
      "insufficient_user_authentication"
    ])
    assert.isAbove(codes.size, 18)
    for (const code of codes) assert.match(page, new RegExp(`\\| \`${code}\` +\\|`), code)
  })

  it("has no names that nobody uses", () => {
    const all = sources.join("\n")
    const names = [
      ...page.matchAll(/^### (\w+)$/gm),
      ...page.matchAll(/^\| `(\w+)` +\|/gm)
    ].map(([, name = ""]) => name)
    assert.isAbove(names.length, 50)
    for (const name of names) assert.include(all, name)
  })
})
