import { assert, it } from "@effect/vitest"
import { readdirSync, readFileSync } from "node:fs"
import { factor, plan } from "./plan.ts"

const folder = new URL(".", import.meta.url)

it("at least 100 000 bad tokens, requests, documents and records are made up, each kind by one test", () => {
  const sources = readdirSync(folder).filter((name) => name.endsWith(".test.ts"))
    .map((name) => readFileSync(new URL(name, folder), "utf8")).join("\n")
  const made = [...sources.matchAll(/(?:generated|Differential\.hold)\(\s*"([^"]+)"/g)].map(([, name = ""]) => name)
  assert.deepStrictEqual(made.sort(), Object.keys(plan).sort())
  assert.isAtLeast(Object.values(plan).reduce((sum, count) => sum + count, 0), 100_000)
  assert.isAtLeast(factor, 1)
})
