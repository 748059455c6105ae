import { ConfigProvider, Effect, Predicate, Redacted, Result } from "effect"
import { readFileSync } from "node:fs"
import { variables } from "../config/Environment.ts"
import { type ConfigurationProblem, InvalidConfiguration } from "../config/InvalidConfiguration.ts"
import { given } from "./Given.ts"

/** A setting that may be in a file, and the variable that names it. */
interface Place {
  readonly variable: string
  readonly setting: string
  /** What the file is to hold. */
  readonly holds: string
}

/** Where the ring of signing keys may be. */
export const signingKeys: Place = {
  variable: "SIGNING_KEYS_FILE",
  setting: variables.signingKeys,
  holds: "a JWK Set of private keys"
}

/** Where the list of configured clients may be. */
const clients: Place = { variable: "CLIENTS_FILE", setting: variables.clients, holds: "a list of clients" }

/** The name of the file, or nothing. */
export const fileOf = ({ variable }: Place): Effect.Effect<string> => given(variable)

const codeOf = (error: unknown) => Predicate.hasProperty(error, "code") ? String(error.code) : "unknown"

/** Where the text stops being JSON. The parser's own words may quote a secret. */
const positionIn = (error: unknown) => / \(line \d+ column \d+\)/.exec(String(error))?.[0] ?? ""

/** What is in a file, as long as that is JSON. */
export const read = (
  { holds, variable }: Place,
  file: string
): Result.Result<Redacted.Redacted<string>, InvalidConfiguration> => {
  const mistake = (problem: string) =>
    new InvalidConfiguration({
      problems: [{ field: variable, value: file, message: `${problem}. Name a file that holds ${holds}.` }]
    })
  return Result.gen(function*() {
    const text = yield* Result.try({
      try: () => readFileSync(file, "utf8"),
      catch: (error) => mistake(`cannot be read (${codeOf(error)})`)
    })
    yield* Result.try({
      try: (): unknown => JSON.parse(text),
      catch: (error) => mistake(`is not JSON${positionIn(error)}`)
    })
    return Redacted.make(text)
  })
}

/** The files that are named, and what is in them. */
const named = Effect.map(
  Effect.forEach([signingKeys, clients], (place) => Effect.map(fileOf(place), (file) => ({ ...place, file }))),
  (places) => places.filter(({ file }) => file !== "").map((place) => ({ ...place, content: read(place, place.file) }))
)

/** The environment, with the settings that are in files. */
export const provider: Effect.Effect<ConfigProvider.ConfigProvider> = Effect.gen(function*() {
  const environment = yield* ConfigProvider.ConfigProvider
  const unset = yield* Effect.filter(yield* named, ({ setting }) => Effect.map(given(setting), (used) => used === ""))
  const contents = unset.flatMap(({ content, setting }) =>
    Result.isSuccess(content) ? [[setting, Redacted.value(content.success)] as const] : []
  )
  // They go first: an environment with `CLIENTS_FILE` has something at `CLIENTS`, which is none of the settings.
  return ConfigProvider.orElse(ConfigProvider.fromUnknown(Object.fromEntries(contents)), environment)
})

/** The files that are named, with what is wrong with each: it has to be in order, and the only place of its setting. */
const checked = Effect.flatMap(
  named,
  (files) =>
    Effect.forEach(files, ({ content, file, setting, variable }) =>
      Effect.map(given(setting), (used) => {
        const problems: ReadonlyArray<ConfigurationProblem> = Result.isFailure(content)
          ? content.failure.problems
          : used === "" || used === Redacted.value(content.success).trim()
          ? []
          : [{ field: variable, value: file, message: `is set beside ${setting}. Take one of them away.` }]
        return { file, problems, setting, variable }
      }))
)

type File = Effect.Success<typeof checked>[number]

const fileFor = (files: ReadonlyArray<File>, { field }: ConfigurationProblem) =>
  files.find(({ setting }) => field.split("[", 1)[0] === setting)

const inFile = (problem: ConfigurationProblem, place: File | undefined): ConfigurationProblem => {
  if (place === undefined) return problem
  const { file, setting, variable } = place
  const part = problem.field.slice(setting.length)
  return part === ""
    ? { ...problem, field: variable, value: file }
    : { ...problem, field: variable + part, message: `${problem.message} The file is ${file}.` }
}

/** The same mistakes, of which those in a file are told by its name. */
export const told = ({ problems }: InvalidConfiguration): Effect.Effect<InvalidConfiguration> =>
  Effect.map(
    checked,
    (files) =>
      new InvalidConfiguration({ problems: problems.map((problem) => inFile(problem, fileFor(files, problem))) })
  )

/** Settings that are read from the environment of `provider`, or everything that is wrong with them and with the files. */
export const check = <A>(settings: Effect.Effect<A, InvalidConfiguration>): Effect.Effect<A, InvalidConfiguration> =>
  Effect.gen(function*() {
    const files = yield* checked
    const result = yield* Effect.result(settings)
    const own = Result.isSuccess(result) ? [] : result.failure.problems.flatMap((problem) => {
      const place = fileFor(files, problem)
      // Of what cannot be read, nothing else is known to be wrong.
      return place !== undefined && place.problems.length > 0 ? [] : [inFile(problem, place)]
    })
    const all = [...own, ...files.flatMap(({ problems }) => problems)]
    return yield* all.length > 0 ? new InvalidConfiguration({ problems: all }) : Effect.fromResult(result)
  })
