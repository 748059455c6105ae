/**
 * Changes the sources one by one and counts how many of the changes a test notices: `npm run test:mutation`, or with the beginnings of
 * paths below `src/`, `npm run test:mutation -- token/ resource/`. Prints a table, and what went unnoticed.
 */
import { spawnSync } from "node:child_process"
import { readFileSync, writeFileSync } from "node:fs"
import { plan } from "./plan.ts"

type Status = "Killed" | "Timeout" | "Survived" | "NoCoverage" | "Ignored" | "RuntimeError" | "CompileError"

interface Mutant {
  readonly status: Status
  readonly mutatorName: string
  readonly replacement?: string
  readonly location: { readonly start: { readonly line: number; readonly column: number } }
}

interface Report {
  readonly files: { readonly [path: string]: { readonly source: string; readonly mutants: ReadonlyArray<Mutant> } }
}

const stryker = "test/mutation/node_modules/@stryker-mutator/core/bin/stryker.js"
const reported = "test/.tmp/mutation/report.json"

const wanted = process.argv.slice(2)
const sources = Object.entries(plan).filter(([source]) =>
  wanted.length === 0 || wanted.some((beginning) => source.startsWith(beginning))
)
if (sources.length === 0) throw new Error(`nothing in test/mutation/plan.ts begins with ${wanted.join(" or ")}`)

const rows: Array<
  { readonly source: string; readonly noticed: number; readonly counted: number; readonly score: string }
> = []
const unnoticed: Array<string> = []

for (const [source, tests] of sources) {
  const { status } = spawnSync(
    process.execPath,
    [stryker, "run", "test/mutation/stryker.config.json", "--mutate", `src/${source}`],
    {
      stdio: ["ignore", "ignore", "inherit"],
      env: { ...process.env, MUTATION_TESTS: tests.map((test) => `test/${test}.test.ts`).join() }
    }
  )
  if (status !== 0) throw new Error(`Stryker ended with ${status} on ${source}`)
  const report: Report = JSON.parse(readFileSync(reported, "utf8"))
  const [file] = Object.values(report.files)
  if (file === undefined) throw new Error(`Stryker reported nothing on ${source}`)
  const count = (...statuses: ReadonlyArray<Status>) =>
    file.mutants.filter(({ status }) => statuses.includes(status)).length
  const noticed = count("Killed", "Timeout")
  const counted = noticed + count("Survived", "NoCoverage")
  const score = counted === 0 ? "-" : `${(100 * noticed / counted).toFixed(0)} %`
  rows.push({ source, noticed, counted, score })
  console.log(`${source}: ${noticed} of ${counted} noticed, ${score}`)
  const lines = file.source.split("\n")
  for (const { location: { start }, mutatorName, replacement = "", status } of file.mutants) {
    if (status !== "Survived" && status !== "NoCoverage") continue
    const place = `${source}:${start.line}:${start.column}`
    unnoticed.push(
      `${place} ${mutatorName} -> ${JSON.stringify(replacement.slice(0, 100))} in ${lines[start.line - 1]?.trim()}`
    )
  }
}

console.table(rows)
console.log(unnoticed.join("\n"))
writeFileSync("test/.tmp/mutation/result.json", JSON.stringify({ rows, unnoticed }, null, 2))
const [noticed, counted] = rows.reduce(([a, b], { counted, noticed }) => [a + noticed, b + counted], [0, 0])
console.log(`${noticed} of ${counted} changes were noticed: ${(100 * noticed / Math.max(1, counted)).toFixed(1)} %`)
