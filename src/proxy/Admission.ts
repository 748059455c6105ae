import { Context, Effect, Schema } from "effect"
import type { User } from "../token/Principal.ts"

/** Who may come in at all; of what is given, all must hold. */
export interface AdmissionPolicy {
  /** Okta groups, of which the person must be in one. */
  readonly groups?: string | ReadonlyArray<string> | undefined
  /** Domains, of which the person's email address must be in one, byte for byte; not where Okta says that it is not verified. */
  readonly emailDomains?: string | ReadonlyArray<string> | undefined
  /** Whether Okta must say that it has verified the address: a claim `email_verified` that administrators add to the ID token. */
  readonly emailVerified?: boolean | undefined
  /** Ways of signing in (`acr`), of which the person must have used one, such as `urn:okta:loa:2fa:any`. */
  readonly acr?: string | ReadonlyArray<string> | undefined
  /** Anything else. While it fails nobody is let in, and nobody is thrown out. */
  readonly check?: ((person: User) => Effect.Effect<boolean, unknown>) | undefined
}

/** The person may not use this server. */
export class NotAdmitted extends Schema.TaggedError<NotAdmitted>()("NotAdmitted", {
  /** What the person lacks, for the log. */
  reason: Schema.String
}) {
  override get message() {
    return `A person was not let in, who ${this.reason}. See the option admit.`
  }
}

/** It cannot be told now whether the person may use this server. */
export class AdmissionUnknown extends Schema.TaggedError<AdmissionUnknown>()("AdmissionUnknown", {}) {
  override get message() {
    return "The check of the option admit has failed, so that nobody can be let in."
  }
}

/** Decides about a person who has signed in at Okta. */
export type Admit = (person: User) => Effect.Effect<void, NotAdmitted | AdmissionUnknown>

/** Who may come in; without a policy everybody whom Okta lets in. */
export const Admission = Context.Reference<Admit>("effect-okta/proxy/Admission", {
  defaultValue: () => () => Effect.void
})

const listOf = (value: string | ReadonlyArray<string>): ReadonlyArray<string> =>
  typeof value === "string" ? [value] : value

/** What a person lacks, in words that follow one. */
const lacking = (
  { acr, emailDomains, emailVerified, groups }: AdmissionPolicy,
  person: User
): string | undefined => {
  if (groups !== undefined && !listOf(groups).some((group) => person.groups.includes(group))) {
    return `is in none of the groups ${listOf(groups).join(", ")} (does Okta put groups into the ID token?)`
  }
  const domain = person.email?.slice(person.email.lastIndexOf("@") + 1)
  if (emailDomains !== undefined && (domain === undefined || !listOf(emailDomains).includes(domain))) {
    return `has no email address at ${listOf(emailDomains).join(", ")}`
  }
  const isVerified = person.emailVerified ?? emailVerified !== true
  if ((emailVerified === true || emailDomains !== undefined) && !isVerified) {
    return "has no email address that Okta has verified (email_verified)"
  }
  return acr !== undefined && !listOf(acr).includes(person.acr ?? "")
    ? `did not sign in by ${listOf(acr).join(", ")} (acr)`
    : undefined
}

/** The decision that a policy stands for. */
export const fromPolicy = (policy: AdmissionPolicy): Admit => (person) => {
  const reason = lacking(policy, person)
  if (reason !== undefined) return Effect.fail(new NotAdmitted({ reason }))
  if (policy.check === undefined) return Effect.void
  return policy.check(person).pipe(
    Effect.mapError(() => new AdmissionUnknown({})),
    Effect.flatMap((admitted) => admitted ? Effect.void : new NotAdmitted({ reason: "did not pass the check" }))
  )
}
