import { Context, Effect, Layer } from "effect"
import type { Principal } from "../token/Principal.ts"
import { quoted } from "./PolicyRefusal.ts"
import { acrOf, type Rule, scopesOf } from "./Rule.ts"

/** What the policies of a server ask of people's clients: ways of signing in (`acr`), and scopes. */
export interface Demands {
  /** Takes note of the ways of signing in of a policy, when it is read, and warns of scopes in it that no client can have. */
  readonly note: <P extends Principal>(rule: Rule<P>) => Effect.Effect<void>
  /** All ways of signing in that were noted, in an order that does not depend on which came first. */
  readonly acrValues: () => ReadonlyArray<string>
}

/** What a server may ask people's clients for; nothing is noted where nobody is told. */
export const PolicyDemands = Context.Reference<Demands>("effect-okta/resource/PolicyDemands", {
  defaultValue: () => ({ note: () => Effect.void, acrValues: () => [] })
})

/** Of one server, by which clients are granted these scopes. */
export const layer = (isGranted: (scope: string) => boolean): Layer.Layer<never> =>
  Layer.sync(PolicyDemands, () => {
    const noted = new Set<string>()
    const unknown = new Set<string>()
    return {
      note: (rule) =>
        Effect.suspend(() => {
          acrOf(rule).forEach((value) => noted.add(value))
          const scopes = scopesOf(rule).filter((scope) => !isGranted(scope) && !unknown.has(scope))
          scopes.forEach((scope) => unknown.add(scope))
          return scopes.length === 0 ? Effect.void : Effect.logWarning(
            `A policy needs the scopes ${
              quoted(scopes)
            }, which no client can be granted: who asks for them is told invalid_scope. ` +
              "Name them in scopesSupported."
          )
        }),
      acrValues: () => [...noted].sort()
    }
  })
