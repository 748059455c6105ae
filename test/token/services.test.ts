import { assert, it } from "@effect/vitest"
import { Context } from "effect"
import { CurrentPrincipal } from "../../src/token/Principal.ts"
import { Signature } from "../../src/token/Signature.ts"
import { TokenIntrospection } from "../../src/token/TokenIntrospection.ts"
import { TokenVerifier } from "../../src/token/TokenVerifier.ts"

it("a service that nobody provides is asked for by its name", () => {
  const none = Context.empty()
  for (
    const [name, ask] of [
      ["CurrentPrincipal", () => Context.getUnsafe(none, CurrentPrincipal)],
      ["Signature", () => Context.getUnsafe(none, Signature)],
      ["TokenIntrospection", () => Context.getUnsafe(none, TokenIntrospection)],
      ["TokenVerifier", () => Context.getUnsafe(none, TokenVerifier)]
    ] as const
  ) assert.throws(ask, `Service not found: effect-okta/token/${name}`)
})
