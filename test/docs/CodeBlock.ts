import { readdirSync, readFileSync } from "node:fs"
import { project } from "../support/Program.ts"

/** A fenced block of code in README.md or docs/. */
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

/** The TypeScript in the documentation. */
export const documented: ReadonlyArray<CodeBlock> = pages
  .flatMap((page) => codeBlocks(page, readFileSync(`${project}/${page}`, "utf8")))
  .filter(({ words }) => words[0] === "ts")
