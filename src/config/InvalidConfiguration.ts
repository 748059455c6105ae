import { Schema } from "effect"
import { escaped } from "./EscapedText.ts"

/**
 * One mistake in the settings, for a person to act on.
 *
 * @example
 * ```ts
 * import { ConfigurationProblem } from "effect-okta"
 * import { Schema } from "effect"
 *
 * // What `effect-okta serve --json` prints on the standard error for wrong settings.
 * export const WrongSettings = Schema.fromJsonString(
 *   Schema.Struct({ event: Schema.Literal("invalid-configuration"), problems: Schema.Array(ConfigurationProblem) })
 * )
 * ```
 */
export const ConfigurationProblem = Schema.Struct({
  /** The option, or the environment variable it was read from. */
  field: Schema.String,
  /** What was given, absent when nothing was; secrets read `<redacted>`. */
  value: Schema.optionalKey(Schema.String),
  /** What is wrong and how to mend it, as a sentence that begins with the field. */
  message: Schema.String
})

/** One mistake in the settings. */
export type ConfigurationProblem = typeof ConfigurationProblem.Type

/**
 * The settings cannot be used; every mistake in them is listed.
 *
 * @example
 * ```ts
 * import { type InvalidConfiguration, OktaAuth } from "effect-okta"
 * import { Effect, Layer } from "effect"
 *
 * const explain = ({ problems }: InvalidConfiguration) =>
 *   Effect.forEach(problems, ({ field, message }) => Effect.logError(`${field} ${message}`))
 *
 * export const Okta = OktaAuth.layerConfig().pipe(Layer.tapError(explain))
 * ```
 */
export class InvalidConfiguration extends Schema.TaggedError<InvalidConfiguration>()("InvalidConfiguration", {
  /** Every mistake, at least one. */
  problems: Schema.Array(ConfigurationProblem)
}) {
  constructor(
    mistakes: { readonly problems: ReadonlyArray<ConfigurationProblem> },
    options?: Schema.MakeOptions
  ) {
    super(mistakes, options)
    // The mistakes are in the settings: where in the code they were found helps nobody, and would stand below the list.
    this.stack = `${this.name}: ${this.message}`
  }

  override get message() {
    const lines = this.problems.map(({ field, message, value }) =>
      escaped(value === undefined ? `  ${field} ${message}` : `  ${field} (${value}) ${message}`)
    )
    return `There ${lines.length === 1 ? "is a mistake" : `are ${lines.length} mistakes`} in the settings:\n${
      lines.join("\n")
    }`
  }
}

/** The same mistakes by where they are in the settings: below an option of this name. */
export const below = ({ problems }: InvalidConfiguration, option: string): InvalidConfiguration =>
  new InvalidConfiguration({
    problems: problems.map((problem) => ({ ...problem, field: `${option}.${problem.field}` }))
  })
