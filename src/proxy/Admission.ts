import { Context, Effect, Layer, Result, Schema } from "effect"
import { InvalidConfiguration } from "../config/InvalidConfiguration.ts"
import { OktaConfig } from "../config/OktaConfig.ts"
import { decider } from "../resource/Decision.ts"
import type { Policy } from "../resource/Policy.ts"
import { PolicyDemands } from "../resource/PolicyDemands.ts"
import type { PolicyRefusal } from "../resource/PolicyRefusal.ts"
import { compile } from "../resource/Rule.ts"
import type { User } from "../token/Principal.ts"

/** The person may not use this server. */
export class NotAdmitted extends Schema.TaggedError<NotAdmitted>()("NotAdmitted", {
  /** What the person lacks, for the log. */
  reason: Schema.String
}) {
  override get message() {
    return `A person was not let in. ${this.reason} See the option admit.`
  }
}

/** It cannot be told now whether the person may use this server. */
export class AdmissionUnknown extends Schema.TaggedError<AdmissionUnknown>()("AdmissionUnknown", {}) {
  override get message() {
    return "The check of the option admit has failed, so that nobody can be let in."
  }
}

/** Decides about a person who has signed in at Okta, as tokens will speak of them: with the client and its scopes. */
export type Admit = (person: User) => Effect.Effect<void, NotAdmitted | AdmissionUnknown>

/** Who may come in; without a policy everybody whom Okta lets in. */
export const Admission = Context.Reference<Admit>("effect-okta/proxy/Admission", {
  defaultValue: () => () => Effect.void
})

/** The decision that a policy stands for; one that is not in order is `InvalidConfiguration`. */
export const layer = (policy: Policy<User>): Layer.Layer<never, InvalidConfiguration, OktaConfig> =>
  Layer.effect(
    Admission,
    Effect.gen(function*() {
      const { scopeHierarchy } = yield* OktaConfig
      const decide = yield* decider
      const rule = yield* Effect.fromResult(
        Result.mapError(
          compile(policy, scopeHierarchy),
          ({ message }) =>
            new InvalidConfiguration({ problems: [{ field: "admit", message: `is not in order. ${message}` }] })
        )
      )
      const { note } = yield* PolicyDemands
      yield* note(rule)
      return (person: User) => Effect.mapError(decide(rule, person), refused)
    })
  )

const refused = (refusal: PolicyRefusal): NotAdmitted | AdmissionUnknown =>
  refusal._tag === "CheckFailed" ? new AdmissionUnknown({}) : new NotAdmitted({ reason: refusal.message })
