/**
 * Those of the allowed scopes that are asked for, all of them when none is asked for; `undefined` when something is asked
 * for, and nothing of it is allowed (RFC 6749 section 3.3).
 */
export const narrowed = (
  allowed: ReadonlyArray<string>,
  asked: ReadonlyArray<string>
): ReadonlyArray<string> | undefined => {
  if (asked.length === 0) return allowed
  const both = allowed.filter((scope) => asked.includes(scope))
  return both.length === 0 ? undefined : both
}
