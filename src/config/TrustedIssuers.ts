import { Predicate } from "effect"
import type { Native, Settings, TrustedIssuer } from "./Settings.ts"

/** The settings of a server as if one of its issuers were the only one. */
export const settingsOf = (
  settings: typeof Native.Type,
  { algorithms, allowedClients, audience, issuer }: TrustedIssuer
): Settings => ({
  ...settings,
  issuer,
  audience,
  ...(algorithms === undefined ? undefined : { algorithms }),
  ...(allowedClients === undefined ? undefined : { allowedClients })
})

/** A mistake in a list of issuers: the field of the one at fault, what is there, and what is wrong with it. */
export interface IssuerMistake {
  readonly field: string
  readonly value: unknown
  readonly message: string
}

/** Settings of an issuer of which several may be given; one alone needs no list. */
const lists = ["audience", "algorithms", "allowedClients"]

/** The list of issuers as the schema takes it: whatever may be a list is one. */
export const withLists = (issuers: unknown): unknown =>
  Array.isArray(issuers)
    ? issuers.map((issuer: unknown) =>
      Predicate.isObject(issuer)
        ? Object.fromEntries(
          Object.entries(issuer).filter(([, value]) => value !== undefined).map((
            [field, value]
          ) => [field, lists.includes(field) && !Array.isArray(value) ? [value] : value])
        )
        : issuer
    )
    : issuers

/** What the schema found wrong in a list of issuers, at a path below it, in words about the issuer at fault. */
export const mistakeAt = (issuers: unknown, path: ReadonlyArray<string>, message: string): IssuerMistake => {
  const [index, name, place] = path
  const issuer: unknown = Array.isArray(issuers) ? issuers[Number(index)] : undefined
  if (index === undefined) return { field: "issuers", value: issuers, message }
  const field = `issuers[${index}]`
  if (name === undefined) return { field, value: issuer, message }
  const given: unknown = Predicate.hasProperty(issuer, name) ? issuer[name] : undefined
  return {
    field: `${field}.${name}`,
    value: Array.isArray(given) && place !== undefined ? given[Number(place)] : given,
    message: !members.includes(name)
      ? "is not a setting of an issuer. Look for a slip in its name."
      : given === undefined
      ? "is missing. Give each issuer its issuer and its audience."
      : message
  }
}

const members = ["issuer", "audience", "accept", ...lists]
