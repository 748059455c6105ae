import { assert, describe, it } from "@effect/vitest"
import { failed, ok, sentences } from "../../../src/cli/doctor/Check.ts"
import * as Report from "../../../src/cli/doctor/Report.ts"

const checks = [
  ok({ check: "one", tried: "this", found: "good" }),
  failed({
    check: "second",
    tried: "that",
    found: "bad\u001b[2J",
    meaning: "It is not as long as a line of forty characters.",
    mend: "Do something else."
  })
]

describe("A report", () => {
  it("breaks lines where a terminal is, under one another", () => {
    assert.strictEqual(
      Report.text(checks, { canColor: false, columns: 45 }),
      [
        "✓ one     this: good",
        "✗ second  that: bad\\u{1b}[2J",
        "          It is not as long as a line of",
        "          forty characters.",
        "          → Do something else.",
        "",
        "1 wrong, 1 in order."
      ].join("\n")
    )
  })

  it("breaks none elsewhere, and commands no terminal", () => {
    const text = Report.text(checks, { canColor: false, columns: undefined })
    assert.include(text, "          It is not as long as a line of forty characters.\n")
    assert.notInclude(text, "\u001b")
  })

  it("is fine while nothing has failed", () => {
    assert.isTrue(Report.isFine(checks.slice(0, 1)))
    assert.isFalse(Report.isFine(checks))
  })

  it("takes a message apart at its first sentence", () => {
    assert.deepStrictEqual(sentences("https://acme.okta.com is wrong. Use another. Or none."), {
      meaning: "https://acme.okta.com is wrong.",
      mend: "Use another. Or none."
    })
    assert.deepStrictEqual(sentences("Only this."), { meaning: "Only this." })
  })
})
