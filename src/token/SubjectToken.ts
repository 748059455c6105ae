import { Redacted } from "effect"
import type { Principal } from "./Principal.ts"

/**
 * The tokens that proved principals, for those who exchange them at Okta. They are found by the principal itself, which has
 * nothing of its token on it, so that a handler has nothing to show or to send on, and a request pays nothing for it.
 */
const tokens = new WeakMap<Principal, string>()

/** Remembers by which token a principal was proven, for as long as the principal is there. */
export const remember = <P extends Principal>(principal: P, token: string): P => {
  tokens.set(principal, token)
  return principal
}

/** The token that proved this very principal; a copy of one was not proven by any. */
export const of = (principal: Principal): Redacted.Redacted<string> | undefined => {
  const token = tokens.get(principal)
  return token === undefined ? undefined : Redacted.make(token)
}
