/** A verified token, remembered. */
interface Verdict<A> {
  readonly token: string
  readonly value: A
  /** Until when it holds, in milliseconds since 1970. */
  readonly until: number
}

/**
 * The end of a token, by which it is looked up: hashing all of it costs more than everything else about a token seen
 * before. It is part of the signature, so no two verified tokens share it, and the rest is compared anyway.
 */
export const tailOf = (token: string): string => token.slice(-12)

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
      const tail = tailOf(token)
      const verdict = verdicts.get(tail)
      if (verdict === undefined || verdict.token !== token) return undefined
      if (now >= verdict.until) {
        verdicts.delete(tail)
        return undefined
      }
      if (verdict !== newest) {
        verdicts.delete(tail)
        verdicts.set(tail, verdict)
        newest = verdict
      }
      return verdict.value
    },
    set: (token, value, until) => {
      if (capacity === 0) return
      const tail = tailOf(token)
      if (!verdicts.delete(tail) && verdicts.size >= capacity) {
        const oldest = verdicts.keys().next()
        if (oldest.done === false) verdicts.delete(oldest.value)
      }
      newest = { token, value, until }
      verdicts.set(tail, newest)
    },
    delete: (token) => verdicts.delete(tailOf(token))
  }
}
