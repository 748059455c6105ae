import { Cause, Effect, Exit, Redacted, Schema } from "effect"
import { TestClock } from "effect/testing"
import { TokenError } from "../../src/token/TokenError.ts"
import { TokenVerifier, type VerifiedToken } from "../../src/token/TokenVerifier.ts"
import { now, type Published, verifierLayer, type VerifierSetup } from "./TestIssuer.ts"

/** What becomes of a token. */
export type Verdict = VerifiedToken | TokenError

const isTokenError = Schema.is(TokenError)

export const isAccepted = (verdict: Verdict): verdict is VerifiedToken => "principal" in verdict

/** Gives a way to ask the verifier; it fails when anything but a verdict comes out, or the token is in it. */
export const asking = (
  published: Published,
  setup: VerifierSetup,
  use: (ask: (token: string) => Promise<Verdict>) => Promise<unknown>
) =>
  Effect.andThen(
    TestClock.setTime(now * 1000),
    Effect.gen(function*() {
      const verifier = yield* TokenVerifier
      const run = Effect.runPromiseExitWith(yield* Effect.context<never>())
      yield* Effect.promise(() =>
        use(async (token) => {
          const exit = await run(verifier.verify(Redacted.make(token)))
          if (Exit.isSuccess(exit)) return exit.value
          const [reason, ...others] = exit.cause.reasons
          if (reason === undefined || others.length > 0 || !Cause.isFailReason(reason) || !isTokenError(reason.error)) {
            throw new Error(`neither accepted nor refused: ${Cause.pretty(exit.cause)}`)
          }
          const { message } = reason.error
          if (token.length > 20 && message.includes(token)) throw new Error("the error gives the token away")
          return reason.error
        })
      )
    }).pipe(Effect.provide(verifierLayer(published, { cacheSize: 0, ...setup })))
  )
