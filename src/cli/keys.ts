import { Clock, Config, Console, Effect, Redacted } from "effect"
import { Command, Flag } from "effect/cli"
import { InvalidConfiguration } from "../config/InvalidConfiguration.ts"
import { type Ended, wrongSettings } from "./Ended.ts"
import * as KeyRotation from "./KeyRotation.ts"

const formats = ["env", "kubernetes", "json"] as const

type Format = (typeof formats)[number]

/** The secrets by their environment variables. */
const variables = (
  { encryptionSecrets, signingKeys }: KeyRotation.Secrets
): ReadonlyArray<readonly [string, string]> => [
  ...(encryptionSecrets === undefined
    ? []
    : [["ENCRYPTION_SECRET", encryptionSecrets.map(Redacted.value).join(",")] as const]),
  ...(signingKeys === undefined ? [] : [["SIGNING_KEYS", KeyRotation.writeRing(signingKeys)] as const])
]

/** The secrets as they are pasted: lines of an `.env` file, a Kubernetes secret, or JSON. */
const written = (secrets: KeyRotation.Secrets, format: Format, name: string): string => {
  switch (format) {
    case "env":
      return variables(secrets).map(([variable, text]) => `${variable}='${text.replaceAll("'", "\\u0027")}'`).join("\n")
    case "kubernetes":
      return [
        "apiVersion: v1",
        "kind: Secret",
        "metadata:",
        `  name: ${name}`,
        "type: Opaque",
        "stringData:",
        ...variables(secrets).map(([variable, text]) => `  ${variable}: '${text.replaceAll("'", "''")}'`)
      ].join("\n")
    case "json":
      return JSON.stringify(Object.fromEntries(variables(secrets)))
  }
}

const given = (variable: string) =>
  Effect.map(Effect.orDie(Config.String(variable).pipe(Config.withDefault(""))), (text) => text.trim())

/** What is in use now. */
const current = Effect.gen(function*() {
  const ring = yield* given("SIGNING_KEYS")
  const secrets = (yield* given("ENCRYPTION_SECRET")).split(",").map((secret) => secret.trim()).filter(Boolean)
  if (ring === "" && secrets.length === 0) {
    return yield* new InvalidConfiguration({
      problems: [{
        field: "SIGNING_KEYS",
        message: "is missing, and ENCRYPTION_SECRET too. Give what is in use now, or make both with: effect-okta keys"
      }]
    })
  }
  return {
    signingKeys: ring === "" ? undefined : yield* Effect.fromResult(KeyRotation.readRing(Redacted.make(ring))),
    encryptionSecrets: secrets.length === 0 ? undefined : secrets.map((secret) => Redacted.make(secret))
  } satisfies KeyRotation.Secrets
})

const kidsOf = ({ signingKeys = [] }: KeyRotation.Secrets): string =>
  signingKeys.map(({ kid }, index) => `${kid ?? "(no kid)"}${index === 0 ? " signs" : ""}`).join(", ")

/** What to do with what was printed, and what comes next: on the standard error, so that the rest can go to a file. */
const plan = (secrets: KeyRotation.Secrets, steps: ReadonlyArray<string>) =>
  Console.error([
    ...(secrets.signingKeys === undefined ? [] : [`Keys: ${kidsOf(secrets)}.`]),
    ...steps.map((step, index) => `${index + 1}. ${step}`)
  ].join("\n"))

/** The command's end, when what it was given is wrong. */
const orEnd = <A, R>(effect: Effect.Effect<A, InvalidConfiguration, R>): Effect.Effect<A, Ended, R> =>
  Effect.catchTag(effect, "InvalidConfiguration", (error) => wrongSettings(error, false))

const algorithm = Flag.Literals("algorithm", KeyRotation.algorithms).pipe(
  Flag.withDescription("What the new key signs with"),
  Flag.withDefault("ES256")
)

const output = {
  format: Flag.Literals("format", formats).pipe(
    Flag.withDescription("Lines of an .env file, a Kubernetes secret, or JSON"),
    Flag.withDefault("env")
  ),
  name: Flag.String("name").pipe(
    Flag.withDescription("Name of the Kubernetes secret"),
    Flag.withDefault("effect-okta")
  )
}

/** The time in a while, to the minute. */
const inAnHour = Effect.map(
  Clock.currentTimeMillis,
  (now) => `${new Date(now + 3_600_000).toISOString().slice(0, 16).replace("T", " ")} UTC`
)

const add = Command.make(
  "add",
  { ...output, algorithm },
  Effect.fnUntraced(function*({ algorithm, format, name }) {
    const { encryptionSecrets, signingKeys } = yield* current
    const next = {
      signingKeys: signingKeys && [...signingKeys, yield* KeyRotation.newKey(algorithm)],
      encryptionSecrets: encryptionSecrets && [...encryptionSecrets, KeyRotation.newSecret()]
    }
    yield* Console.log(written(next, format, name))
    yield* plan(next, [
      "Give this to every replica: from then on all of them verify and open what the new ones will sign and seal.",
      "When all of them run with it: effect-okta keys promote"
    ])
  }, orEnd)
).pipe(Command.withDescription("First step of a rotation: new ones behind those in use"))

const promote = Command.make(
  "promote",
  output,
  Effect.fnUntraced(function*({ format, name }) {
    const { encryptionSecrets, signingKeys } = yield* current
    const next = {
      signingKeys: signingKeys && KeyRotation.promote(signingKeys),
      encryptionSecrets: encryptionSecrets && KeyRotation.promote(encryptionSecrets)
    }
    yield* Console.log(written(next, format, name))
    yield* plan(next, [
      "Give this to every replica: from then on the new ones sign and seal.",
      `An hour after the last of them runs with it, not before ${yield* inAnHour}: effect-okta keys retire`
    ])
  }, orEnd)
).pipe(Command.withDescription("Second step: the new ones are used, the old ones still serve what is older"))

const retire = Command.make(
  "retire",
  {
    ...output,
    secret: Flag.Boolean("encryption-secret").pipe(
      Flag.withDescription(
        "Retire old encryption secrets too: who has not come back since the second step signs in again"
      ),
      Flag.withDefault(false)
    )
  },
  Effect.fnUntraced(function*({ format, name, secret }) {
    const { encryptionSecrets, signingKeys } = yield* current
    const next = {
      signingKeys: signingKeys && KeyRotation.retire(signingKeys),
      encryptionSecrets: secret && encryptionSecrets ? KeyRotation.retire(encryptionSecrets) : encryptionSecrets
    }
    yield* Console.log(written(next, format, name))
    yield* plan(next, [
      "Give this to every replica: tokens of the old keys are refused from then on.",
      ...(!secret && encryptionSecrets !== undefined && encryptionSecrets.length > 1
        ? [
          "The old encryption secrets stay: grants need theirs for 30 days, and registered clients for a year. " +
          "Retire them then, with --encryption-secret."
        ]
        : [])
    ])
  }, orEnd)
).pipe(Command.withDescription("Last step: the old signing keys go"))

/** `effect-okta keys` */
export const command = Command.make(
  "keys",
  { ...output, algorithm },
  Effect.fnUntraced(function*({ algorithm, format, name }) {
    const made = {
      signingKeys: [yield* KeyRotation.newKey(algorithm)],
      encryptionSecrets: [KeyRotation.newSecret()]
    }
    yield* Console.log(written(made, format, name))
    yield* plan(made, [
      "Give both to every replica, and keep them where you keep other secrets.",
      "To replace them later: effect-okta keys add, promote, retire, one after the other."
    ])
  })
).pipe(
  Command.withDescription("Make and rotate the signing keys and the encryption secret of proxy mode"),
  Command.withSubcommands([add, promote, retire]),
  Command.withExamples([
    { command: "effect-okta keys >> .env", description: "New ones, for an .env file" },
    {
      command: "effect-okta keys add --format kubernetes --name mcp-server",
      description: "First step of a rotation, with SIGNING_KEYS and ENCRYPTION_SECRET in the environment"
    }
  ])
)
