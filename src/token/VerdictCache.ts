/** A verified token, remembered, between the ones that were used before and after it. */
interface Verdict<A> {
  readonly token: string
  readonly value: A
  /** Until when it holds, in milliseconds since 1970. */
  readonly until: number
  older: Verdict<A> | undefined
  newer: Verdict<A> | undefined
}

/**
 * The end of a token, by which it is looked up: hashing all of it costs more than everything else about a token seen
 * before. It is part of the signature, so no two verified tokens share it, and the rest is compared anyway.
 */
export const tailOf = (token: string): string => token.slice(-12)

/** Remembers verdicts by the entire token, the least recently used going first. */
export interface VerdictCache<A> {
  readonly get: (token: string, now: number) => A | undefined
  /** Remembers a verdict, for which of those that have ended the two go that nobody has used for longest. */
  readonly set: (token: string, value: A, until: number, now: number) => void
  readonly delete: (token: string) => void
}

/** Makes an empty cache of at most `capacity` verdicts, looked up by a part of the token of which no two have the same. */
export const make = <A>(capacity: number, partOf: (token: string) => string = tailOf): VerdictCache<A> => {
  const verdicts = new Map<string, Verdict<A>>()
  let oldest: Verdict<A> | undefined
  let newest: Verdict<A> | undefined

  const unlink = (verdict: Verdict<A>) => {
    if (verdict.older === undefined) oldest = verdict.newer
    else verdict.older.newer = verdict.newer
    if (verdict.newer === undefined) newest = verdict.older
    else verdict.newer.older = verdict.older
  }

  const append = (verdict: Verdict<A>) => {
    verdict.older = newest
    verdict.newer = undefined
    if (newest === undefined) oldest = verdict
    else newest.newer = verdict
    newest = verdict
  }

  const forget = (verdict: Verdict<A>) => {
    unlink(verdict)
    verdicts.delete(partOf(verdict.token))
  }

  const find = (token: string) => {
    const verdict = verdicts.get(partOf(token))
    return verdict?.token === token ? verdict : undefined
  }

  return {
    get: (token, now) => {
      const verdict = find(token)
      if (verdict === undefined) return undefined
      if (now >= verdict.until) {
        forget(verdict)
        return undefined
      }
      if (verdict !== newest) {
        unlink(verdict)
        append(verdict)
      }
      return verdict.value
    },
    set: (token, value, until, now) => {
      if (capacity < 1) return
      for (let n = 0; n < 2 && oldest !== undefined && now >= oldest.until; n++) forget(oldest)
      const part = partOf(token)
      const same = verdicts.get(part)
      if (same !== undefined) unlink(same)
      else if (verdicts.size >= capacity && oldest !== undefined) forget(oldest)
      const verdict: Verdict<A> = { token, value, until, older: undefined, newer: undefined }
      append(verdict)
      verdicts.set(part, verdict)
    },
    delete: (token) => {
      const verdict = find(token)
      if (verdict !== undefined) forget(verdict)
    }
  }
}
