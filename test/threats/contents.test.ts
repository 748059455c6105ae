import { assert, it } from "@effect/vitest"
import { readFileSync } from "node:fs"
import { left, page, statesOf, tested, withTable } from "./AttackTable.ts"
import { contents } from "./Contents.ts"

it.each(Object.entries(contents))("%s: every number has a test that is called by it", (_, lines) => {
  assert.isAbove(Object.keys(lines).length, 3)
  assert.deepStrictEqual(Object.keys(lines).filter((number) => !tested.has(number)), [])
})

it("every number in a test's title is in the table, once", () => {
  const numbers = Object.values(contents).flatMap((lines) => Object.keys(lines))
  assert.lengthOf(numbers, new Set(numbers).size)
  assert.deepStrictEqual([...tested.keys()].filter((number) => !numbers.includes(number)), [])
})

it.each(Object.keys(contents["Faults"] ?? {}))("%s is tested cold, warm and stale", (fault) => {
  assert.deepStrictEqual(statesOf(fault), ["cold", "warm", "stale"])
})

it("none of them is left out", () => {
  assert.deepStrictEqual(left, [])
})

it("docs/security.md has the table as it is (npm run docs:attacks writes it)", () => {
  const text = readFileSync(page, "utf8")
  assert.strictEqual(text, withTable(text))
})
