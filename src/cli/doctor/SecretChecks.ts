import { Duration, Effect, Exit, FileSystem, Layer, Option, Path, Redacted, Result } from "effect"
import { randomUUID } from "node:crypto"
import type { InvalidConfiguration } from "../../config/InvalidConfiguration.ts"
import { OktaConfig } from "../../config/OktaConfig.ts"
import { SigningKeys } from "../../proxy/grant/SigningKeys.ts"
import type { ProxySettings } from "../../proxy/ProxySettings.ts"
import { Store, type StoreUnavailable } from "../../store/Store.ts"
import * as SettingFiles from "../SettingFiles.ts"
import { named } from "../settings.ts"
import { type Check, failed, ok, skipped } from "./Check.ts"
import { mistakes } from "./SettingsChecks.ts"

const madeAtStart =
  "On a loopback address serve makes one and keeps it beside its database; an app makes up another at each start."

/** The ring of keys in the settings; none where none is given. */
export const ring = (
  settings: ProxySettings
): Effect.Effect<Option.Option<SigningKeys["Service"]>, InvalidConfiguration> =>
  settings.signingKeys === undefined ? Effect.succeedNone : Effect.asSome(
    Effect.scoped(
      Effect.provide(SigningKeys, Layer.fresh(Layer.provide(SigningKeys.layer, Layer.succeed(OktaConfig, settings))))
    )
  )

/** The keys with which this server signs. */
export const signingKeys = Effect.fnUntraced(function*(
  settings: ProxySettings
): Effect.fn.Return<ReadonlyArray<Check>> {
  const check = { check: "signing-keys", tried: "SIGNING_KEYS" }
  const read = yield* Effect.result(ring(settings))
  if (Result.isFailure(read)) return mistakes(yield* SettingFiles.told(named(read.failure)))
  if (Option.isNone(read.success)) return [skipped({ ...check, found: "not given", meaning: madeAtStart })]
  const { current, kids } = read.success.value
  const { algorithm, kid } = yield* current
  const others = kids().length - 1
  return [ok({
    ...check,
    found: `${kid} signs (${algorithm})${
      others === 0 ? "" : `, and ${others} more ${others === 1 ? "verifies" : "verify"}`
    }`
  })]
})

/** Fewer different characters than this no random text of 32 bytes has, be it written in hexadecimal. */
const fewestCharacters = 8

const isMadeByHand = (secret: string): boolean =>
  new Set(secret).size < fewestCharacters ||
  /change.?me|password|secret|example|placeholder|123456789|abcdefgh/i.test(secret)

/** What this server seals with. */
export const encryptionSecret = ({ encryptionSecret: secrets = [] }: ProxySettings): Check => {
  const check = { check: "encryption-secret", tried: "ENCRYPTION_SECRET" }
  if (secrets.length === 0) return skipped({ ...check, found: "not given", meaning: madeAtStart })
  const guessable = secrets.findIndex((secret) => isMadeByHand(Redacted.value(secret)))
  const which = secrets.length === 1 ? "it" : `secret ${guessable + 1} of ${secrets.length}`
  return guessable === -1
    ? ok({ ...check, found: secrets.length === 1 ? "one, of 32 bytes or more" : `${secrets.length}, the first seals` })
    : failed({
      ...check,
      found: `${which} looks like one that a person made up`,
      meaning: "Whoever guesses it can make client ids, cookies and tickets that this server takes for its own.",
      mend: "Make one with: npx effect-okta keys"
    })
}

/** Where sign-ins are kept. */
export interface StoreChecked {
  /** What is said of it: its file, or its URL without what is secret. */
  readonly tried: string
  /** A file that is made at the first start. */
  readonly file?: string | undefined
  readonly layer: Layer.Layer<Store, InvalidConfiguration | StoreUnavailable>
}

const lifetime = Duration.minutes(1)

/** Keeps something in the store, and takes it out again. */
const roundTrip = Effect.gen(function*() {
  const store = yield* Store
  const key = `doctor:${randomUUID()}`
  yield* store.put(key, "effect-okta doctor", lifetime)
  return Option.isSome(yield* store.take(key))
})

const mend =
  "Name a file on a local disk in SQLITE_FILE, in a folder that exists and that this user may write to; it must not be full."

/** Whether sign-ins can be kept. A file that is not there is not made: its folder is looked at. */
export const store = Effect.fnUntraced(function*(
  { file, layer, tried }: StoreChecked
): Effect.fn.Return<Check, never, FileSystem.FileSystem | Path.Path> {
  const check = { check: "store", tried }
  const meaning = "Without it nobody can register, sign in or refresh."
  const files = yield* FileSystem.FileSystem
  if (file !== undefined && !(yield* Effect.orElseSucceed(files.exists(file), () => false))) {
    const folder = (yield* Path.Path).dirname(file)
    const writable = Exit.isSuccess(yield* Effect.exit(files.access(folder, { writable: true })))
    return writable
      ? ok({
        ...check,
        found: "not there yet",
        meaning: "serve makes it at its first start; the folder can be written to."
      })
      : failed({ ...check, found: `the folder ${folder} is not there, or cannot be written to`, meaning, mend })
  }
  const tripped = yield* Effect.result(Effect.scoped(Effect.provide(roundTrip, Layer.fresh(layer))))
  if (Result.isFailure(tripped)) {
    const { failure } = tripped
    const reason = failure._tag === "StoreUnavailable"
      ? failure.reason
      : failure.problems.map((one) => one.message).join(" ")
    return failed({
      ...check,
      found: reason,
      meaning,
      mend: file === undefined ? "Look at the store's own log, then try again." : mend
    })
  }
  return tripped.success
    ? ok({ ...check, found: "keeps what it is given" })
    : failed({
      ...check,
      found: "what was put in did not come out",
      meaning,
      mend: "Use one store for all servers, and no cache before it."
    })
})
