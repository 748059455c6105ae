import { Data, Runtime } from "effect"

/** Ends the command; what there is to say has been said. */
export class Ended extends Data.TaggedError("Ended")<{ readonly exitCode: number }> {
  override readonly [Runtime.errorExitCode] = this.exitCode
  override readonly [Runtime.errorReported] = false
}
