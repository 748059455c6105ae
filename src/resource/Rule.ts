import { Duration, Result } from "effect"
import type { Principal, User } from "../token/Principal.ts"
import { type Check, type InvalidPolicy, level, type Policy } from "./Policy.ts"
import { quoted } from "./PolicyRefusal.ts"
import { coverageOf, type ScopeHierarchy } from "./ScopeHierarchy.ts"

/** A policy, checked and taken apart. */
export type Rule<P extends Principal = Principal> =
  | { readonly _tag: "Scope"; readonly scope: string; readonly isIn: (granted: ReadonlyArray<string>) => boolean }
  | { readonly _tag: "Trait"; readonly lacking: (principal: Principal) => string | undefined }
  | { readonly _tag: "SignIn"; readonly need: SignInNeed }
  | { readonly _tag: "Check"; readonly check: Check<P> }
  | { readonly _tag: "All"; readonly rules: ReadonlyArray<Rule<P>> }
  | { readonly _tag: "Any"; readonly rules: ReadonlyArray<Rule<P>> }

/** How a person must have signed in; `maxAge` is in seconds. */
export interface SignInNeed {
  readonly acr: ReadonlyArray<string> | undefined
  readonly maxAge: number | undefined
}

/** All of the rules at once. */
export const allOf = <P extends Principal>(rules: ReadonlyArray<Rule<P>>): Rule<P> => {
  const flat = rules.flatMap((rule) => rule._tag === "All" ? rule.rules : [rule])
  const [only, ...others] = flat
  return only !== undefined && others.length === 0 ? only : { _tag: "All", rules: flat }
}

/** The rule that a policy states, or what is wrong with the policy. */
export const compile = <P extends Principal>(
  policy: Policy<P>,
  hierarchy: ScopeHierarchy,
  at = ""
): Result.Result<Rule<P>, InvalidPolicy> =>
  Result.gen(function*() {
    const { acr, allOfGroups, anyOfScopes, clients, emailDomains, emailVerified, groups, maxAge, scopes } =
      yield* level(policy, at)
    const scope = (scope: string): Rule<P> => ({ _tag: "Scope", scope, isIn: coverageOf(scope, hierarchy) })
    const person = (lacking: (person: User) => string | undefined): Rule<P> => ({
      _tag: "Trait",
      lacking: (principal) =>
        principal._tag === "User" ? lacking(principal) : "is a service, and no person"
    })
    const parts = (field: "all" | "any") =>
      Result.all((policy[field] ?? []).map((part, index) => compile(part, hierarchy, `${at}${field}[${index}].`)))

    const rules: Array<Rule<P>> = (scopes ?? []).map(scope)
    if (anyOfScopes !== undefined) rules.push({ _tag: "Any", rules: anyOfScopes.map(scope) })
    if (clients !== undefined) {
      rules.push({
        _tag: "Trait",
        lacking: ({ clientId }) =>
          clientId !== undefined && clients.includes(clientId)
            ? undefined
            : `came through ${clientId === undefined ? "no client" : quoted([clientId])}, not one of ${quoted(clients)}`
      })
    }
    if (groups !== undefined) {
      rules.push(person((person) =>
        groups.some((group) => person.groups.includes(group))
          ? undefined
          : `is in none of the groups ${quoted(groups)} (does Okta put groups into the token?)`
      ))
    }
    if (allOfGroups !== undefined) {
      rules.push(person((person) => {
        const missing = allOfGroups.filter((group) => !person.groups.includes(group))
        return missing.length === 0
          ? undefined
          : `is not in the groups ${quoted(missing)} (does Okta put groups into the token?)`
      }))
    }
    if (emailDomains !== undefined) {
      rules.push(person(({ email, emailVerified }) =>
        email === undefined || !emailDomains.includes(email.slice(email.lastIndexOf("@") + 1))
          ? `has no email address at ${emailDomains.join(", ")}`
          : emailVerified === false
          ? notVerified
          : undefined
      ))
    }
    if (emailVerified === true) {
      rules.push(person(({ emailVerified }) =>
        emailVerified === true ? undefined : notVerified
      ))
    }
    if (acr !== undefined || maxAge !== undefined) {
      const need = { acr, maxAge: maxAge === undefined ? undefined : Duration.toSeconds(maxAge) }
      rules.push({ _tag: "SignIn", need })
    }
    rules.push(...yield* parts("all"))
    if (policy.any !== undefined) rules.push({ _tag: "Any", rules: yield* parts("any") })
    if (policy.check !== undefined) rules.push({ _tag: "Check", check: policy.check })
    return allOf(rules)
  })

const notVerified = "has no email address that Okta has verified (email_verified)"

/** The scopes that a client is to ask for when it has no token yet; of alternatives, those of the first. */
export const scopesOf = <P extends Principal>(rule: Rule<P>): ReadonlyArray<string> => {
  switch (rule._tag) {
    case "Scope":
      return [rule.scope]
    case "All":
      return distinct(rule.rules.flatMap(scopesOf))
    case "Any":
      return rule.rules.slice(0, 1).flatMap(scopesOf)
    default:
      return []
  }
}

/** Every way of signing in (`acr`) that a rule asks for, those of alternatives among them. */
export const acrOf = <P extends Principal>(rule: Rule<P>): ReadonlyArray<string> => {
  switch (rule._tag) {
    case "SignIn":
      return rule.need.acr ?? []
    case "All":
    case "Any":
      return rule.rules.flatMap(acrOf)
    default:
      return []
  }
}

/** Each value once. */
export const distinct = <A>(values: ReadonlyArray<A>): ReadonlyArray<A> => [...new Set(values)]
