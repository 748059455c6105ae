import { Context, Layer } from "effect"
import type { Principal } from "../token/Principal.ts"
import { acrOf, type Rule } from "./Rule.ts"

/** The ways of signing in (`acr`) that the policies of a server ask for. */
export interface Classes {
  /** Takes note of those of a policy, when it is read. */
  readonly note: <P extends Principal>(rule: Rule<P>) => void
  /** All that were noted, in an order that does not depend on which came first. */
  readonly values: () => ReadonlyArray<string>
}

/** What a server may ask people's clients for; nothing is noted where nobody is told. */
export const AuthenticationClasses = Context.Reference<Classes>("effect-okta/resource/AuthenticationClasses", {
  defaultValue: () => ({ note: () => {}, values: () => [] })
})

/** Of one server. */
export const layer = (): Layer.Layer<never> =>
  Layer.sync(AuthenticationClasses, () => {
    const noted = new Set<string>()
    return {
      note: (rule) => acrOf(rule).forEach((value) => noted.add(value)),
      values: () => [...noted].sort()
    }
  })
