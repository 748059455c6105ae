import { Predicate } from "effect"
import { mistakeIn } from "./ListMistake.ts"
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
export const mistakeAt = mistakeIn({
  field: "issuers",
  noun: "an issuer",
  members: ["issuer", "audience", "accept", ...lists],
  missing: "is missing. Give each issuer its issuer and its audience.",
  isShown: true
})
