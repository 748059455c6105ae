import { escaped } from "../../config/EscapedText.ts"
import type { Check, Outcome } from "./Check.ts"

/** How a report is written for people. */
export interface Terminal {
  readonly canColor: boolean
  /** Columns of a terminal, at which lines are broken; absent where nobody counts them. */
  readonly columns: number | undefined
}

const marks: { readonly [outcome in Outcome]: readonly [mark: string, color: number] } = {
  ok: ["✓", 32],
  warning: ["!", 33],
  failed: ["✗", 31],
  skipped: ["–", 2]
}

const outcomes = ["failed", "warning", "ok", "skipped"] as const

const names = { ok: "in order", warning: "to know", failed: "wrong", skipped: "left out" } as const

/** Lines of so many characters, broken at spaces; a word that is longer has a line of its own. */
const wrapped = (text: string, width: number): ReadonlyArray<string> =>
  text.split(" ").reduce<Array<string>>((lines, word) => {
    const last = lines.at(-1)
    if (last !== undefined && `${last} ${word}`.length <= width) lines[lines.length - 1] = `${last} ${word}`
    else lines.push(word)
    return lines
  }, [])

/** For people: a line for each check with what was tried and what came back, and under it what that means and what to do. */
export const text = (checks: ReadonlyArray<Check>, { canColor, columns }: Terminal): string => {
  const colored = (code: number, part: string) => canColor ? `\u001b[${code}m${part}\u001b[0m` : part
  const longest = Math.max(...checks.map(({ check }) => check.length))
  const margin = " ".repeat(longest + 4)
  const width = columns === undefined ? Infinity : Math.max(30, columns - margin.length - 1)
  const lines = checks.flatMap(({ check, found, meaning, mend, outcome, tried }) => {
    const [mark, color] = marks[outcome]
    const said = [
      ...wrapped(escaped(`${tried}: ${found}`), width),
      ...(meaning === undefined ? [] : wrapped(escaped(meaning), width).map((line) => colored(2, line))),
      ...(mend === undefined ? [] : wrapped(`→ ${escaped(mend)}`, width))
    ]
    return said.map((line, index) =>
      index === 0 ? `${colored(color, mark)} ${colored(1, check.padEnd(longest))}  ${line}` : margin + line
    )
  })
  const counts = outcomes.flatMap((outcome) => {
    const count = checks.filter((check) => check.outcome === outcome).length
    return count === 0 ? [] : [colored(marks[outcome][1], `${count} ${names[outcome]}`)]
  })
  return [...lines, "", `${counts.join(", ")}.`].join("\n")
}

/** Whether nothing is wrong. */
export const isFine = (checks: ReadonlyArray<Check>): boolean => checks.every(({ outcome }) => outcome !== "failed")

/** For machines: one object with all the checks. */
export const json = (checks: ReadonlyArray<Check>): string => JSON.stringify({ ok: isFine(checks), checks })
