import { assert, it } from "@effect/vitest"
import { readdirSync, readFileSync } from "node:fs"

/** Every attack and fault that has a number, from one to another; some numbers are nobody's. */
const numbered: Readonly<Record<string, string>> = {
  "A. Token envelope and JOSE header": "#1-#11 #13-#15 #17-#22 #24",
  "B. Size and parser abuse": "#25-#29 #32-#34",
  "C. Claims": "#35 #38-#40 #42-#44 #46-#50 #52-#54 #56-#58",
  "D. Bearer extraction and request handling": "#59-#61 #63-#74",
  "E. Keys and discovery": "#75-#77 #80 #82-#84 #86-#88 #90",
  "F. /authorize": "#91 #92 #94 #96 #98-#101 #104-#106 #108-#110",
  "G. Consent": "#111-#118 #120 #121 #123 #124",
  "H. /callback": "#125 #126 #128-#130 #132 #133 #135 #136",
  "I. /token and /revoke": "#137-#139 #142-#147 #149-#160 #163",
  "J. Registration and metadata documents": "#164-#173 #175 #176 #178 #181-#185",
  "K. Metadata": "#187-#189 #191",
  "L. Secrets": "#192-#196",
  "Faults": "F1-F11 F13-F18 F20-F27 F29 F30"
}

const folder = new URL(".", import.meta.url)

/** The numbers with which titles of tests begin, such as `#91`, `#105 #106` and `F21`. */
const named = new Set(
  readdirSync(folder)
    .filter((name) => name.endsWith(".test.ts") && !import.meta.url.endsWith(name))
    .flatMap((name) => [...readFileSync(new URL(name, folder), "utf8").matchAll(/["`]((?:[#F]\d+[ ,:]+)+)/g)])
    .flatMap(([, numbers = ""]) => numbers.match(/[#F]\d+/g) ?? [])
)

const each = (ranges: string) =>
  ranges.split(" ").flatMap((range) => {
    const [from = "", to = from] = range.split("-")
    const [first, last] = [Number(from.slice(1)), Number(to.slice(1))]
    return Array.from({ length: last - first + 1 }, (_, index) => `${from.slice(0, 1)}${first + index}`)
  })

it.each(Object.entries(numbered))("%s: every number has a test that is called by it", (_, ranges) => {
  assert.deepStrictEqual(each(ranges).filter((number) => !named.has(number)), [])
})
