import { assert, it } from "@effect/vitest"
import { existsSync, readdirSync } from "node:fs"
import { plan } from "./plan.ts"

const source = (folder: string) => new URL(`../../src/${folder}/`, import.meta.url)

it("every file that is to be mutated is, and has tests to notice it", () => {
  const sources = ["token", "proxy/authorize", "proxy/grant"].flatMap((folder) =>
    readdirSync(source(folder)).filter((name) => name.endsWith(".ts")).map((name) => `${folder}/${name}`)
  )
  assert.deepStrictEqual(Object.keys(plan).sort(), [...sources, "resource/Challenge.ts"].sort())
  const missing = Object.values(plan).flat().filter((test) =>
    !existsSync(new URL(`../${test}.test.ts`, import.meta.url))
  )
  assert.deepStrictEqual(missing, [])
  assert.deepStrictEqual(Object.keys(plan).filter((source) => plan[source]?.length === 0), [])
})
