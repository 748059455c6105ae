/** Links between the pages lead somewhere, and every page is within two steps of the README. */
import { assert, describe, it } from "@effect/vitest"
import { existsSync, readFileSync } from "node:fs"
import { dirname, join, normalize } from "node:path"
import { project } from "../support/Program.ts"
import { pages } from "./CodeBlock.ts"

const read = (file: string): string => readFileSync(`${project}/${file}`, "utf8").replaceAll(/^```[^]*?^```$/gm, "")

/** The anchors of headings, as GitHub makes them. */
const anchors = (file: string): ReadonlyArray<string> =>
  [...read(file).matchAll(/^#+ (.+)$/gm)].map(([, heading = ""]) =>
    heading.toLowerCase().replaceAll(/[^\p{L}\p{N}\s_-]/gu, "").replaceAll(" ", "-")
  )

interface Link {
  readonly to: string
  readonly anchor: string | undefined
}

const links = (file: string): ReadonlyArray<Link> =>
  [...read(file).matchAll(/\]\(([^)\s]+)\)/g)].flatMap(([, target = ""]) => {
    if (/^[a-z]+:/.test(target)) return []
    const [path = "", anchor] = target.split("#")
    return [{ to: path === "" ? file : normalize(join(dirname(file), path)), anchor }]
  })

describe("the pages", () => {
  it.each(pages)("%s: links lead to what is there", (page) => {
    for (const { anchor, to } of links(page)) {
      assert.isTrue(existsSync(`${project}/${to}`), `${page} → ${to}`)
      if (anchor !== undefined) assert.include(anchors(to), anchor, `${page} → ${to}`)
    }
  })

  it("are all named by the README", () => {
    const named = new Set(links("README.md").map(({ to }) => to))
    assert.isAbove(pages.length, 15)
    for (const page of pages) assert.isTrue(page === "README.md" || named.has(page), page)
  })
})
