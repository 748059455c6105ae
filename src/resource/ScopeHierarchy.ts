/** Which scopes stand for others: `{ admin: ["files:*", "users:read"] }`. */
export type ScopeHierarchy = { readonly [scope: string]: ReadonlyArray<string> }

/** Whether one scope is a pattern that covers another: `files:*` covers `files:read`, as do `files.*` and `files/*` theirs. */
const isPatternFor = (granted: string, needed: string): boolean =>
  /[^*][:./]\*$/.test(granted) && needed.length >= granted.length && needed.startsWith(granted.slice(0, -1))

const covers = (granted: string, needed: string): boolean => granted === needed || isPatternFor(granted, needed)

/**
 * Whether a needed scope is among those granted, as it stands, by a pattern, or by one that the hierarchy puts above it, over
 * any number of steps. Scopes are compared byte for byte (RFC 6749 section 3.3).
 */
export const coverageOf = (
  needed: string,
  hierarchy: ScopeHierarchy
): (granted: ReadonlyArray<string>) => boolean => {
  const enough = [needed]
  // The list grows while it is walked, by whatever stands above what is in it.
  for (const scope of enough) {
    for (const [above, implied] of Object.entries(hierarchy)) {
      if (!enough.includes(above) && implied.some((one) => covers(one, scope))) enough.push(above)
    }
  }
  return (granted) => granted.includes(needed) || granted.some((one) => enough.some((scope) => covers(one, scope)))
}
