import { Effect, Layer, Queue } from "effect"
import * as OktaAuth from "../OktaAuth.ts"
import * as SettingFiles from "./SettingFiles.ts"

/** Reads the file again whenever the process gets the signal `SIGHUP`. Keys that are not in order change nothing. */
export const reloading: Layer.Layer<never, never, OktaAuth.Endpoints> = Layer.effectDiscard(
  Effect.gen(function*() {
    const file = yield* SettingFiles.fileOf(SettingFiles.signingKeys)
    if (file === "") return
    const endpoints = yield* OktaAuth.Endpoints
    const signals = yield* Queue.sliding<void>(1)
    yield* Effect.acquireRelease(
      Effect.sync(() => {
        const listener = () => void Queue.offerUnsafe(signals, undefined)
        process.on("SIGHUP", listener)
        return listener
      }),
      (listener) => Effect.sync(() => process.off("SIGHUP", listener))
    )
    const reload = Effect.suspend(() => Effect.fromResult(SettingFiles.read(SettingFiles.signingKeys, file))).pipe(
      Effect.flatMap(endpoints.reloadSigningKeys),
      Effect.matchEffect({
        onFailure: ({ message }) =>
          Effect.logError(`The keys in use stay, because those in ${file} cannot be used. ${message}`),
        onSuccess: (kids) =>
          Effect.logInfo(`The keys in ${file} are in use from now on; the first signs: ${kids.join(", ")}`)
      })
    )
    yield* Effect.forkScoped(Effect.forever(Effect.andThen(Queue.take(signals), reload)))
  })
)
