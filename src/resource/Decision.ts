import { Clock, Duration, Effect, Fiber, Formatter, Predicate } from "effect"
import { OktaConfig } from "../config/OktaConfig.ts"
import * as Outage from "../observe/Outage.ts"
import type { Principal } from "../token/Principal.ts"
import type { Check } from "./Policy.ts"
import {
  AccessDenied,
  CheckFailed,
  InsufficientAuthentication,
  InsufficientScope,
  type PolicyRefusal
} from "./PolicyRefusal.ts"
import { distinct, type Rule, type SignInNeed } from "./Rule.ts"

/** What the caller lacks, and would have with another token; `required` are all the scopes that the rule needs. */
interface Lacking {
  readonly _tag: "Lacking"
  readonly required: ReadonlyArray<string>
  readonly missing: ReadonlyArray<string>
  readonly signIn: SignInNeed | undefined
}

/** It hangs on a check that has not been asked; without one, on one that has failed. */
interface Open<P extends Principal> {
  readonly _tag: "Open"
  readonly check: Check<P> | undefined
}

/** How a rule stands. */
type Standing<P extends Principal> =
  | { readonly _tag: "Met" }
  | { readonly _tag: "Denied"; readonly reason: string }
  | Lacking
  | Open<P>

/** What the rule is held against. */
interface Facts<P extends Principal> {
  readonly principal: P
  /** The time, less what clocks may differ, in seconds since 1970. */
  readonly now: () => number
  /** What the checks have answered so far; `undefined` for one that has failed. */
  readonly answers: ReadonlyMap<unknown, boolean | undefined>
  readonly ask: Ask
}

/** Asks a check; none that fails has an answer. */
type Ask = <P extends Principal>(check: Check<P>, principal: P) => Effect.Effect<boolean | undefined>

const met = { _tag: "Met" } as const

const standing = <P extends Principal>(rule: Rule<P>, facts: Facts<P>): Standing<P> => {
  const { answers, principal } = facts
  switch (rule._tag) {
    case "Scope": {
      if (rule.isIn(principal.scopes)) return met
      const required = [rule.scope]
      return { _tag: "Lacking", required, missing: required, signIn: undefined }
    }
    case "Trait": {
      const reason = rule.lacking(principal)
      return reason === undefined ? met : { _tag: "Denied", reason }
    }
    case "SignIn": {
      const { need } = rule
      if (principal._tag === "Service") return { _tag: "Denied", reason: "is a service, which does not sign in" }
      const { acr, authTime } = principal
      const isMet = (need.acr === undefined || acr !== undefined && need.acr.includes(acr)) &&
        (need.maxAge === undefined || authTime !== undefined && facts.now() - authTime <= need.maxAge)
      return isMet ? met : { _tag: "Lacking", required: [], missing: [], signIn: need }
    }
    case "Check": {
      if (!answers.has(rule.check)) return { _tag: "Open", check: rule.check }
      const answer = answers.get(rule.check)
      return answer === undefined
        ? { _tag: "Open", check: undefined }
        : answer === true
        ? met
        : { _tag: "Denied", reason: "did not pass the check" }
    }
    case "All":
      return ofAll(rule.rules, facts)
    case "Any":
      return ofAny(rule.rules.map((part) => standing(part, facts)))
  }
}

/** A refusal that nothing mends goes first, then what the caller lacks, and only then the checks. */
const ofAll = <P extends Principal>(rules: ReadonlyArray<Rule<P>>, facts: Facts<P>): Standing<P> => {
  const unmet: Array<Lacking | Open<P>> = []
  for (const rule of rules) {
    const part = standing(rule, facts)
    if (part._tag === "Denied") return part
    if (part._tag !== "Met") unmet.push(part)
  }
  const lacking = unmet.filter((part) => part._tag === "Lacking")
  if (lacking.length === 0) return firstOpen(unmet) ?? met
  const needs = lacking.flatMap(({ signIn }) => signIn ?? [])
  return {
    _tag: "Lacking",
    required: distinct(rules.flatMap((rule) => requiredBy(rule, facts))),
    missing: distinct(lacking.flatMap(({ missing }) => missing)),
    signIn: needs.length === 0 ? undefined : needs.reduce(both)
  }
}

/** The scopes that a rule needs; of alternatives, those of the one that holds or lacks least. */
const requiredBy = <P extends Principal>(rule: Rule<P>, facts: Facts<P>): ReadonlyArray<string> => {
  const stands = standing(rule, facts)
  if (stands._tag === "Lacking") return stands.required
  switch (rule._tag) {
    case "Scope":
      return [rule.scope]
    case "All":
      return rule.rules.flatMap((part) => requiredBy(part, facts))
    case "Any": {
      const holds = rule.rules.find((part) => standing(part, facts)._tag === "Met")
      return holds === undefined ? [] : requiredBy(holds, facts)
    }
    default:
      return []
  }
}

/** What is open may yet turn out well, so the rest counts only when nothing is. */
const ofAny = <P extends Principal>(parts: ReadonlyArray<Standing<P>>): Standing<P> => {
  if (parts.some((part) => part._tag === "Met")) return met
  const open = firstOpen(parts)
  if (open !== undefined) return open
  const [least] = parts.filter((part) => part._tag === "Lacking").sort((one, other) => lack(one) - lack(other))
  return least ??
    { _tag: "Denied", reason: parts.flatMap((part) => part._tag === "Denied" ? part.reason : []).join("; or ") }
}

const firstOpen = <P extends Principal>(parts: ReadonlyArray<Standing<P>>) => {
  const open = parts.filter((part) => part._tag === "Open")
  return open.find(({ check }) => check !== undefined) ?? open[0]
}

const lack = ({ missing, signIn }: Lacking) => missing.length + (signIn === undefined ? 0 : 1)

/** What fits two needs at once; where no one way of signing in does, the client is told of the second. */
const both = (one: SignInNeed, other: SignInNeed): SignInNeed => {
  const common = other.acr?.filter((value) => one.acr?.includes(value) ?? true) ?? []
  return {
    acr: common.length > 0 ? common : other.acr ?? one.acr,
    maxAge: one.maxAge === undefined || other.maxAge === undefined
      ? one.maxAge ?? other.maxAge
      : Math.min(one.maxAge, other.maxAge)
  }
}

/**
 * Whether a caller meets a rule. Without a check in it this is a pure decision; a check is asked when it alone decides, and
 * once. `now` is the time, less what clocks may differ, in seconds since 1970, and is read only where it matters.
 */
export const decide = <P extends Principal>(
  rule: Rule<P>,
  principal: P,
  now: () => number,
  ask: Ask = asking()
): Effect.Effect<void, PolicyRefusal> => settle(rule, { principal, now, ask, answers: noAnswers })

const noAnswers: ReadonlyMap<unknown, boolean | undefined> = new Map()

/** The same by the clock, with what the settings tolerate between Okta's and ours. */
export const decider: Effect.Effect<
  <P extends Principal>(rule: Rule<P>, principal: P) => Effect.Effect<void, PolicyRefusal>,
  never,
  OktaConfig
> = Effect.gen(function*() {
  const clock = yield* Clock.Clock
  const tolerance = Duration.toSeconds((yield* OktaConfig).clockTolerance)
  const now = () => clock.currentTimeMillisUnsafe() / 1000 - tolerance
  const ask = asking()
  return (rule, principal) => decide(rule, principal, now, ask)
})

const settle = <P extends Principal>(rule: Rule<P>, facts: Facts<P>): Effect.Effect<void, PolicyRefusal> => {
  const { answers, principal } = facts
  const found = standing(rule, facts)
  switch (found._tag) {
    case "Met":
      return Effect.void
    case "Denied":
      return Effect.fail(new AccessDenied({ reason: found.reason }))
    case "Lacking":
      return Effect.fail(refusalOf(found, principal))
    case "Open": {
      const { check } = found
      if (check === undefined) return Effect.fail(new CheckFailed({}))
      return Effect.flatMap(
        facts.ask(check, principal),
        (answer) => settle(rule, { ...facts, answers: new Map([...answers, [check, answer]]) })
      )
    }
  }
}

/** Asks checks, of which each is watched by itself: what one fails with is told, whatever else has failed. */
const asking = (): Ask => {
  const watching = new WeakMap<object, Outage.Watching>()
  const watchingOf = (check: { readonly name: string }) => {
    const watched = watching.get(check) ?? Outage.make(nameOf(check), {
      warn: ({ cause, message }) => Effect.logError(message, cause),
      reasonOf: ({ cause }) => Predicate.isError(cause) ? cause.message : Formatter.format(cause)
    })
    watching.set(check, watched)
    return watched
  }
  return (check, principal) => {
    const message = `${nameOf(check)} has failed`
    const asked = Effect.mapError(inTime(check(principal)), (cause): Outage.Trouble => ({ message, cause }))
    return Effect.orElseSucceed(watchingOf(check)(asked, () => true), () => undefined)
  }
}

/** A check by its name, which a function that is written where it is given does not have. */
const nameOf = ({ name }: { readonly name: string }): string =>
  name === "" || name === "check" ? "The check of a policy" : `The check ${name} of a policy`

/** How long an app's check may take. */
const deadline = "10 seconds"

/** The answer of a check, which is none when it comes too late. Nobody waits for a check that cannot be interrupted. */
const inTime = (answer: Effect.Effect<boolean, unknown>): Effect.Effect<boolean, unknown> =>
  Effect.flatMap(
    Effect.forkDetach(Effect.interruptible(answer), { startImmediately: true }),
    (asked) =>
      Effect.interruptible(Fiber.join(asked)).pipe(
        Effect.timeoutOrElse({
          duration: deadline,
          orElse: () => Effect.fail(`no answer came within ${deadline}`)
        }),
        Effect.ensuring(Effect.sync(() => asked.interruptUnsafe()))
      )
  )

const refusalOf = ({ missing, required, signIn }: Lacking, principal: Principal): PolicyRefusal => {
  if (signIn === undefined) return new InsufficientScope({ required, missing, granted: principal.scopes })
  const { acr, authTime } = principal._tag === "User" ? principal : {}
  return new InsufficientAuthentication({
    acrValues: signIn.acr ?? [],
    required,
    ...(signIn.maxAge === undefined ? undefined : { maxAge: signIn.maxAge }),
    ...(acr === undefined ? undefined : { acr }),
    ...(authTime === undefined ? undefined : { authTime })
  })
}
