import { readdirSync, readFileSync } from "node:fs"
import { apart, contents } from "./Contents.ts"

const folder = new URL(".", import.meta.url)

/** The page with the table. */
export const page = new URL("../../docs/security.md", folder)

const sources = readdirSync(folder)
  .filter((name) => name.endsWith(".test.ts") && name !== "contents.test.ts")
  .map((name) => ({ name, text: readFileSync(new URL(name, folder), "utf8") }))

/** The files with tests whose titles begin with a number, such as `#91`, `#105 #106` and `F21`, by that number. */
export const tested: ReadonlyMap<string, ReadonlyArray<string>> = sources.reduce((files, { name, text }) => {
  const titles = [...text.matchAll(/["`]((?:[#F]\d+[ ,:]+)+)/g)].flatMap(([, numbers = ""]) =>
    numbers.match(/[#F]\d+/g) ?? []
  )
  for (const number of new Set(titles)) files.set(number, [...files.get(number) ?? [], name])
  return files
}, new Map<string, Array<string>>())

/** What servers know when a fault begins, as titles call it. */
const states = ["cold", "warm", "stale"] as const

/**
 * In which states each fault is tested: every one in the laboratory, whose tests are in files of that name; elsewhere those
 * that the titles name.
 */
export const statesOf = (fault: string): ReadonlyArray<(typeof states)[number]> =>
  (tested.get(fault) ?? []).some((name) => name.startsWith("laboratory")) ?
    states :
    states.filter((state) =>
      sources.some(({ text }) => new RegExp(`["\`]${fault}\\b[^"\`\\n]*\\b${state}\\b`).test(text))
    )

/** Tests that are there and do not run. */
export const left = sources.filter(({ text }) =>
  /\b(?:it|describe|layer)(?:\.\w+)*\.(?:skip|only|todo|fails)\b/.test(text)
)
  .map(({ name }) => name)

/** A table as it is formatted in this repository. */
const table = (rows: ReadonlyArray<ReadonlyArray<string>>): string => {
  const widths = (rows[0] ?? []).map((_, column) => Math.max(...rows.map((row) => row[column]?.length ?? 0), 3))
  const [head = "", ...others] = rows.map((row) =>
    `| ${row.map((cell, at) => cell.padEnd(widths[at] ?? 0)).join(" | ")} |`
  )
  return [head, `| ${widths.map((width) => "-".repeat(width)).join(" | ")} |`, ...others].join("\n")
}

/** What there is to say of faults that have no such state, or of stores to which they do not happen. */
const exceptions =
  `Each of them is tested in three states: cold, when a server has fetched nothing of Okta's yet; warm, when its
keys are fresh and what Okta said of a grant is too; and stale, when all of that is past its age. Those that concern the store
are tested with each of the three stores. Apart from that:

${Object.entries(apart).map(([faults, why]) => `- ${faults}: ${why}`).join("\n")}`

const rendered = Object.entries(contents).map(([title, lines]) =>
  `### ${title}\n\n${
    table([
      ["no.", "what comes in, or goes wrong", "what happens", "tested in"],
      ...Object.entries(lines).map(([number, [what, then]]) => [
        number.replace("#", ""),
        what,
        then,
        (tested.get(number) ?? []).map((name) => `\`${name.replace(/\.test\.ts$/, "")}\``).join(", ")
      ])
    ])
  }${title === "Faults" ? `\n\n${exceptions}` : ""}`
).join("\n\n")

const begin = "<!-- The table is written by `npm run docs:attacks`. -->"
const end = "<!-- Here it ends. -->"

/** The page as it has to be, with the table in place of the one in it. */
export const withTable = (text: string): string => {
  const [before, rest] = text.split(begin, 2)
  const after = rest?.split(end, 2)[1]
  if (before === undefined || after === undefined) throw new Error("docs/security.md has no place for the table")
  return `${before}${begin}\n\n${rendered}\n\n${end}${after}`
}
