/** What a check came to; a warning is something to know that stops nothing. */
export type Outcome = "ok" | "warning" | "failed" | "skipped"

/** One thing that was looked at. */
export interface Check {
  /** Its name, which stays the same from version to version. */
  readonly check: string
  readonly outcome: Outcome
  /** What was tried, or looked at. */
  readonly tried: string
  /** What came back. */
  readonly found: string
  /** What that means, in a sentence. */
  readonly meaning?: string
  /** What to do, in a sentence. */
  readonly mend?: string
}

/** What is wrong with an answer, or with its absence. */
export interface Trouble {
  readonly found: string
  readonly meaning: string
  readonly mend: string
}

/** A check without its outcome. */
type Findings = Omit<Check, "outcome">

/** All is as it should be. */
export const ok = (findings: Findings): Check => ({ outcome: "ok", ...findings })

/** Something to know. */
export const warning = (findings: Findings): Check => ({ outcome: "warning", ...findings })

/** Something that does not work. */
export const failed = (findings: Findings): Check => ({ outcome: "failed", ...findings })

/** Nothing could be, or had to be, looked at. */
export const skipped = (findings: Findings): Check => ({ outcome: "skipped", ...findings })

/** A message whose first sentence says what is wrong, and whose others say what to do. */
export const sentences = (message: string): { readonly meaning: string; readonly mend?: string } => {
  const [, meaning, mend] = /^(.*?\.) (.*)$/s.exec(message) ?? []
  return meaning === undefined || mend === undefined ? { meaning: message } : { meaning, mend }
}
