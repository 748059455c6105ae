import { Duration, type Effect, Formatter, Result, Schema, SchemaIssue } from "effect"
import { escaped } from "../config/EscapedText.ts"
import { type LengthOfTime, Scope } from "../config/OktaConfig.ts"
import { lengthOfTime } from "../config/Settings.ts"
import type { Principal } from "../token/Principal.ts"

/** A question that only the app can answer, in 10 seconds; its failure means that it cannot be answered now. */
export type Check<in P extends Principal = Principal> = (principal: P) => Effect.Effect<boolean, unknown>

/**
 * What a caller must be: of what is given, all must hold. A list may be a single value.
 *
 * **Details**
 *
 * A caller without the scopes, or whose sign-in is too weak or too old, is told what to ask for; everybody else who is
 * refused is told no more than that. `check` is asked last, when all else holds, and while it fails the answer is 503.
 *
 * @see https://www.rfc-editor.org/rfc/rfc6750.html#section-3.1
 * @see https://www.rfc-editor.org/rfc/rfc9470.html#section-3
 * @example
 * ```ts
 * import { OktaAuth, type Policy } from "effect-okta"
 *
 * const editors: Policy = { scopes: ["files:read", "files:write"], groups: ["Editors", "Admins"] }
 *
 * export const guard = OktaAuth.guard(editors)
 * ```
 */
export interface Policy<in P extends Principal = Principal> {
  /** Scopes that the token must have, all of them. */
  readonly scopes?: string | ReadonlyArray<string> | undefined
  /** Scopes of which the token must have one; a client without any is told to ask for the first. */
  readonly anyOfScopes?: string | ReadonlyArray<string> | undefined
  /** Okta groups, of which the person must be in one. */
  readonly groups?: string | ReadonlyArray<string> | undefined
  /** Okta groups, of which the person must be in each. */
  readonly allOfGroups?: string | ReadonlyArray<string> | undefined
  /** Clients (`cid`), through one of which the caller must come. */
  readonly clients?: string | ReadonlyArray<string> | undefined
  /** Domains, of which the person's email address must be in one, byte for byte; not where Okta says that it is not verified. */
  readonly emailDomains?: string | ReadonlyArray<string> | undefined
  /** Whether Okta must say that it has verified the address: a claim `email_verified` that administrators add. */
  readonly emailVerified?: boolean | undefined
  /** Ways of signing in (`acr`), of which the person must have used one, such as `urn:okta:loa:2fa:any`. */
  readonly acr?: string | ReadonlyArray<string> | undefined
  /** Longest time since the person signed in. */
  readonly maxAge?: LengthOfTime | undefined
  /** Anything else; `false` refuses, a failure, or no answer within 10 seconds, means that it cannot be told now. */
  readonly check?: Check<P> | undefined
  /** Policies of which each must hold. */
  readonly all?: ReadonlyArray<Policy<P>> | undefined
  /** Policies of which one must hold; put the least demanding first. */
  readonly any?: ReadonlyArray<Policy<P>> | undefined
}

/**
 * Policies joined to one.
 *
 * @example
 * ```ts
 * import { Policy } from "effect-okta"
 *
 * const staff: Policy = { emailDomains: "acme.com" }
 * const support: Policy = { groups: "Support", acr: "urn:okta:loa:2fa:any" }
 *
 * export const mayRefund = Policy.all([staff, Policy.any([support, { scopes: "admin" }])])
 * ```
 */
export const Policy = {
  /** Holds when each of the policies does. */
  all: <P extends Principal = Principal>(policies: ReadonlyArray<Policy<P>>): Policy<P> => ({ all: policies }),
  /** Holds when one of the policies does. A caller with none of them is told what the one lacks that lacks least. */
  any: <P extends Principal = Principal>(policies: ReadonlyArray<Policy<P>>): Policy<P> => ({ any: policies })
} as const

/**
 * A policy that is not in order, or that nobody can meet: a mistake in the code that states it.
 *
 * @example
 * ```ts
 * import { InvalidPolicy, OktaAuth } from "effect-okta"
 * import { Effect, Layer } from "effect"
 *
 * // A guard by a policy that comes from a file: a wrong one is a defect of its layer.
 * export const guardBy = (groups: ReadonlyArray<string>) =>
 *   OktaAuth.guard({ groups }).layer.pipe(
 *     Layer.tapCause((cause) => Effect.logError("The guard cannot be built", cause))
 *   )
 *
 * export const isMistake = (defect: unknown): boolean => defect instanceof InvalidPolicy
 * ```
 */
export class InvalidPolicy extends Schema.TaggedError<InvalidPolicy>()("InvalidPolicy", {
  /** Where in the policy: `scopes`, `any[1].groups`. */
  field: Schema.String,
  /** What is there. */
  value: Schema.String,
  /** What is wrong with it, and how to mend it. */
  problem: Schema.String
}) {
  override get message() {
    return escaped(`In a policy, ${this.field} is ${this.value}, which ${this.problem}`)
  }
}

const Name = Schema.String.annotate({ message: "is not text. Give a string." }).check(
  Schema.makeFilter((text: string) => text.trim() !== "" || "is empty. Give a value.")
)

const AuthenticationClass = Name.check(Schema.makeFilter((text: string) =>
  /^[\x21\x23-\x5B\x5D-\x7E]+$/.test(text) ||
  "is no acr value. Give a list of names without spaces, quotation marks and backslashes."
))

const listOf = <S extends Schema.Constraint>(item: S) =>
  Schema.Array(item).check(
    Schema.makeFilter((values) => values.length > 0 || "nobody can meet. Give at least one, or leave it out.")
  )

const Question = Schema.declare((input: unknown): input is Check<never> => typeof input === "function").annotate({
  message: "is not a function. Give one that makes an Effect of the principal."
})

/** One level of a policy, whose lists are lists. */
const Level = Schema.Struct({
  scopes: Schema.optionalKey(Schema.Array(Scope)),
  anyOfScopes: Schema.optionalKey(listOf(Scope)),
  groups: Schema.optionalKey(listOf(Name)),
  allOfGroups: Schema.optionalKey(listOf(Name)),
  clients: Schema.optionalKey(listOf(Name)),
  emailDomains: Schema.optionalKey(listOf(Name)),
  emailVerified: Schema.optionalKey(
    Schema.Boolean.annotate({ message: "is neither true nor false. Give one of them." })
  ),
  acr: Schema.optionalKey(listOf(AuthenticationClass)),
  maxAge: Schema.optionalKey(lengthOfTime("5 minutes", (duration) => !Duration.isNegative(duration))),
  check: Schema.optionalKey(Question),
  all: Schema.optionalKey(Schema.Array(Schema.Unknown)),
  any: Schema.optionalKey(listOf(Schema.Unknown))
})

/** One level of a policy, checked. */
export type Level = Omit<typeof Level.Type, "check" | "all" | "any">

const decodeLevel = Schema.decodeUnknownResult(Level, { errors: "first", onExcessProperty: "error" })
const standardIssues = SchemaIssue.makeFormatterStandardSchemaV1()

const lists: ReadonlyArray<string> = [
  "scopes",
  "anyOfScopes",
  "groups",
  "allOfGroups",
  "clients",
  "emailDomains",
  "acr"
] satisfies ReadonlyArray<keyof Policy>

/** One level of a policy with what is wrong in it, if anything; `at` says where in the whole policy it is. */
export const level = (policy: Policy<never>, at: string): Result.Result<Level, InvalidPolicy> => {
  const given: { readonly [field: string]: unknown } = Object.fromEntries(
    Object.entries(policy).filter(([, value]) => value !== undefined).map((
      [field, value]
    ) => [field, lists.includes(field) && typeof value === "string" ? [value] : value])
  )
  return Result.mapError(decodeLevel(given), ({ issue }) => {
    const [{ message, path = [] } = { message: "is not a policy." }] = standardIssues(issue).issues
    const [field, index] = path.map(String)
    const value = field === undefined ? policy : given[field]
    const wrong = Array.isArray(value) && index !== undefined ? value[Number(index)] : value
    return new InvalidPolicy({
      field: field === undefined ? at.replace(/\.$/, "") || "the whole" : at + field,
      value: Formatter.format(wrong).slice(0, 200),
      problem: field !== undefined && !(field in Level.fields)
        ? "is no part of a policy. Look for a slip in its name."
        : message
    })
  })
}
