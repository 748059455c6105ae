import { Console, Data, Effect, Predicate, Runtime } from "effect"
import type { HttpServerError } from "effect/http"
import type { InvalidConfiguration } from "../config/InvalidConfiguration.ts"

/** Ends the command; what there is to say has been said. */
export class Ended extends Data.TaggedError("Ended")<{ readonly exitCode: number }> {
  override readonly [Runtime.errorExitCode] = this.exitCode
  override readonly [Runtime.errorReported] = false
}

/** Says why the command ends, in words or as one object of JSON, and ends it. */
export const end = (
  exitCode: number,
  message: string,
  event: object,
  json: boolean
): Effect.Effect<never, Ended> =>
  Console.error(json ? JSON.stringify(event) : message).pipe(Effect.andThen(Effect.fail(new Ended({ exitCode }))))

/** Ends the command when what it was given is wrong. */
export const wrongSettings = (
  { message, problems }: InvalidConfiguration,
  json: boolean
): Effect.Effect<never, Ended> => end(2, message, { event: "invalid-configuration", problems }, json)

/** Ends the command when it cannot listen; `mend` says what to do. */
export const cannotListen = (
  { cause }: HttpServerError.ServeError,
  mend: string,
  json: boolean
): Effect.Effect<never, Ended> => {
  const problem = Predicate.isError(cause) ? cause.message : String(cause)
  return end(1, `The server cannot start: ${problem}. ${mend}`, { event: "cannot-listen", problem }, json)
}
