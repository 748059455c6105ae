import { readdirSync, readFileSync } from "node:fs"
import { project } from "../support/Program.ts"

/** A fenced block of code in README.md, in docs/ or in a doc comment of src/. */
export interface CodeBlock {
  /** Where it begins, for example `docs/native-mode.md:12`. */
  readonly at: string
  /** The words after the fence: the language first. */
  readonly words: ReadonlyArray<string>
  readonly code: string
}

/** The fenced blocks of a Markdown text, of whatever language. */
export const codeBlocks = (file: string, markdown: string): ReadonlyArray<CodeBlock> =>
  [...markdown.matchAll(/^( *)(`{3,})([^\n`]*)\n([^]*?)^ *\2 *$/gm)].map((fenced) => {
    const [, indent = "", , info = "", code = ""] = fenced
    return {
      at: `${file}:${markdown.slice(0, fenced.index).split("\n").length}`,
      words: info.trim().split(/\s+/),
      code: code.replaceAll(new RegExp(`^ {0,${indent.length}}`, "gm"), "")
    }
  })

/** README.md and every page of docs/, as paths from the project's folder. */
export const pages: ReadonlyArray<string> = [
  ...readdirSync(project).filter((name) => name === "README.md"),
  ...(readdirSync(project).includes("docs")
    ? readdirSync(`${project}/docs`).filter((name) => name.endsWith(".md")).map((name) => `docs/${name}`)
    : [])
]

/** The doc comments of a source text, each line where it was and all others empty. */
export const docComments = (source: string): string => {
  let inside = false
  return source.split("\n").map((line) => {
    if (!inside) {
      inside = /^ *\/\*\*(?!.*\*\/)/.test(line)
      return ""
    }
    inside = !line.includes("*/")
    return inside ? line.replace(/^ *\* ?/, "") : ""
  }).join("\n")
}

/** Every file of src/, as a path from the project's folder. */
const sources: ReadonlyArray<string> = readdirSync(`${project}/src`, { recursive: true, encoding: "utf8" })
  .filter((name) => name.endsWith(".ts"))
  .map((name) => `src/${name}`)
  .sort()

const read = (file: string) => readFileSync(`${project}/${file}`, "utf8")

/** The TypeScript in the documentation. */
export const documented: ReadonlyArray<CodeBlock> = [
  ...pages.flatMap((page) => codeBlocks(page, read(page))),
  ...sources.flatMap((source) => codeBlocks(source, docComments(read(source))))
].filter(({ words }) => words[0] === "ts")
