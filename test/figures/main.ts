/**
 * Measures everything that has a limit, at its full size, each in a process of its own, and prints a table: `npm run
 * test:figures`. Names choose some of them; `--part 0.1` makes a tenth of it. Ends with 1 when a limit is not kept.
 */
import { spawnSync } from "node:child_process"
import { fileURLToPath } from "node:url"
import { parseArgs } from "node:util"
import { type Figure, figures } from "./figures.ts"

const { positionals, values } = parseArgs({
  allowPositionals: true,
  options: { part: { type: "string", default: "1" } }
})

const one = fileURLToPath(new URL("one.ts", import.meta.url))
const said = (value: number) => Number.isInteger(value) ? String(value) : value.toFixed(value < 10 ? 2 : 1)

console.log("| what | measured | at most |\n| --- | ---: | ---: |")
for (const name of positionals.length === 0 ? Object.keys(figures) : positionals) {
  const { status, stdout } = spawnSync(process.execPath, [one, name, values.part], {
    encoding: "utf8",
    stdio: ["ignore", "pipe", "inherit"]
  })
  const last = stdout.trimEnd().split("\n").at(-1) ?? ""
  if (status !== 0) {
    process.exitCode = 1
    console.log(`| ${name} | failed | |`)
    continue
  }
  const measured: ReadonlyArray<Figure> = JSON.parse(last, (key, value) => key === "value" ? Number(value) : value)
  for (const { atMost, unit, value, what } of measured) {
    if (!(value <= atMost)) process.exitCode = 1
    console.log(`| ${what} | ${said(value)} ${unit} | ${said(atMost)} ${unit} |`)
  }
}
