/** A verified token, remembered. */
interface Verdict<A> {
  readonly value: A
  /** Until when it holds, in milliseconds since 1970. */
  readonly until: number
}

/**
 * Remembers verdicts by the entire token, the least recently used going first.
 *
 * A `Map` keeps its entries in the order of their insertion, so one that is used moves to the end by being put in again.
 */
export interface VerdictCache<A> {
  readonly get: (token: string, now: number) => A | undefined
  readonly set: (token: string, value: A, until: number) => void
  readonly delete: (token: string) => void
}

/** Makes an empty cache of at most `capacity` verdicts. */
export const make = <A>(capacity: number): VerdictCache<A> => {
  const verdicts = new Map<string, Verdict<A>>()
  let newest: Verdict<A> | undefined
  return {
    get: (token, now) => {
      const verdict = verdicts.get(token)
      if (verdict === undefined) return undefined
      if (now >= verdict.until) {
        verdicts.delete(token)
        return undefined
      }
      if (verdict !== newest) {
        verdicts.delete(token)
        verdicts.set(token, verdict)
        newest = verdict
      }
      return verdict.value
    },
    set: (token, value, until) => {
      if (capacity === 0) return
      if (!verdicts.delete(token) && verdicts.size >= capacity) {
        const oldest = verdicts.keys().next()
        if (oldest.done === false) verdicts.delete(oldest.value)
      }
      newest = { value, until }
      verdicts.set(token, newest)
    },
    delete: (token) => verdicts.delete(token)
  }
}
