/**
 * Changes the sources one by one and counts how many of the changes a test notices: `npm run test:mutation`, or with the beginnings of
 * paths below `src/`, `npm run test:mutation -- token/ resource/`. Prints a table, and what went unnoticed.
 *
 * `--again` keeps what the last run found out, except where the source or a test that decided it has changed since, and where time ran
 * out. What changed in other files it does not see. `--concurrency` is how many tests run at once, `--timeout` how many milliseconds a
 * test may take beyond its usual time: on a busy machine a change may otherwise count as noticed because its test was slow.
 */
import { spawnSync } from "node:child_process"
import { existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs"
import { dirname } from "node:path"
import { parseArgs } from "node:util"
import { plan } from "./plan.ts"

type Status = "Killed" | "Timeout" | "Survived" | "NoCoverage" | "Ignored" | "RuntimeError" | "CompileError"

interface Mutant {
  readonly status: Status
  readonly static?: boolean
  readonly mutatorName: string
  readonly replacement?: string
  readonly location: { readonly start: { readonly line: number; readonly column: number } }
}

interface Report {
  readonly files: { readonly [path: string]: { readonly source: string; readonly mutants: ReadonlyArray<Mutant> } }
}

const stryker = "test/mutation/node_modules/@stryker-mutator/core/bin/stryker.js"
const known = (source: string) => `test/.tmp/mutation/known/${source}.json`

const { positionals: wanted, values: { again, concurrency, timeout } } = parseArgs({
  allowPositionals: true,
  options: {
    again: { type: "boolean", default: false },
    concurrency: { type: "string", default: "2" },
    timeout: { type: "string", default: "10000" }
  }
})
const sources = Object.entries(plan).filter(([source]) =>
  wanted.length === 0 || wanted.some((beginning) => source.startsWith(beginning))
)
if (sources.length === 0) throw new Error(`nothing in test/mutation/plan.ts begins with ${wanted.join(" or ")}`)

/** Has tried again what ran out of time, and what no test noticed of what a module does when it is loaded: whose that is, is not known. */
const forgetUndecided = (path: string) => {
  const report: Report = JSON.parse(readFileSync(path, "utf8"))
  const isDecided = (mutant: Mutant) =>
    mutant.status !== "Timeout" && !(mutant.status === "Survived" && mutant.static === true)
  const files = Object.entries(report.files).map(([path, file]) =>
    [path, { ...file, mutants: file.mutants.filter(isDecided) }] as const
  )
  writeFileSync(path, JSON.stringify({ ...report, files: Object.fromEntries(files) }))
}

const rows: Array<{
  readonly source: string
  readonly noticed: number
  readonly counted: number
  readonly score: string
  readonly "out of time": number
}> = []
const unnoticed: Array<string> = []

for (const [source, tests] of sources) {
  const reported = known(source)
  mkdirSync(dirname(reported), { recursive: true })
  if (!again) rmSync(reported, { force: true })
  else if (existsSync(reported)) forgetUndecided(reported)
  const { status } = spawnSync(
    process.execPath,
    [
      stryker,
      "run",
      "test/mutation/stryker.config.json",
      "--mutate",
      `src/${source}`,
      "--incremental",
      "--incrementalFile",
      reported,
      "--concurrency",
      concurrency,
      // The end of a run at its first failure takes so long now and then that time runs out.
      "--disableBail",
      "--timeoutMS",
      timeout
    ],
    {
      stdio: ["ignore", "ignore", "inherit"],
      env: { ...process.env, MUTATION_TESTS: tests.map((test) => `test/${test}.test.ts`).join() }
    }
  )
  if (status !== 0) throw new Error(`Stryker ended with ${status} on ${source}`)
  const report: Report = JSON.parse(readFileSync(reported, "utf8"))
  const file = report.files[`src/${source}`]
  if (file === undefined) throw new Error(`Stryker reported nothing on ${source}`)
  const count = (...statuses: ReadonlyArray<Status>) =>
    file.mutants.filter(({ status }) => statuses.includes(status)).length
  const noticed = count("Killed", "Timeout")
  const counted = noticed + count("Survived", "NoCoverage")
  const score = counted === 0 ? "-" : `${(100 * noticed / counted).toFixed(0)} %`
  const late = count("Timeout")
  rows.push({ source, noticed, counted, score, "out of time": late })
  console.log(`${source}: ${noticed} of ${counted} noticed, ${score}, ${late} of them by running out of time`)
  const lines = file.source.split("\n")
  for (const { location: { start }, mutatorName, replacement = "", status } of file.mutants) {
    if (status !== "Survived" && status !== "NoCoverage" && status !== "Timeout") continue
    const place = `${source}:${start.line}:${start.column}`
    unnoticed.push(
      `${place} ${status} ${mutatorName} -> ${JSON.stringify(replacement.slice(0, 100))} in ${
        lines[start.line - 1]?.trim()
      }`
    )
  }
}

console.table(rows)
console.log(unnoticed.join("\n"))
writeFileSync("test/.tmp/mutation/result.json", JSON.stringify({ rows, unnoticed }, null, 2))
const [noticed, counted] = rows.reduce(([a, b], { counted, noticed }) => [a + noticed, b + counted], [0, 0])
console.log(`${noticed} of ${counted} changes were noticed: ${(100 * noticed / Math.max(1, counted)).toFixed(1)} %`)
