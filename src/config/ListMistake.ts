import { Predicate, Redacted } from "effect"

/** A mistake in a list: where it is, what is there, and what is wrong with it. */
export interface ListMistake {
  readonly field: string
  readonly value: unknown
  readonly message: string
}

/** A setting that is a list of objects. */
export interface ListSetting {
  /** What the setting is called. */
  readonly field: string
  /** What one of its entries is. */
  readonly noun: string
  /** The members that an entry may have. */
  readonly members: ReadonlyArray<string>
  /** What is said of a member that is missing. */
  readonly missing: string
  /** Whether an entry may be shown as a whole, and what is not known in it. */
  readonly isShown: boolean
}

/** What the schema found wrong in such a list, at a path below it, in words about the member at fault. */
export const mistakeIn =
  ({ field: list, isShown, members, missing, noun }: ListSetting) =>
  (entries: unknown, path: ReadonlyArray<string>, message: string): ListMistake => {
    const [index, name, place] = path
    if (index === undefined) return { field: list, value: entries, message }
    const entry: unknown = Array.isArray(entries) ? entries[Number(index)] : undefined
    const field = `${list}[${index}]`
    if (name === undefined) return { field, value: isShown ? entry : undefined, message }
    const given: unknown = Predicate.hasProperty(entry, name) ? entry[name] : undefined
    if (!members.includes(name)) {
      return {
        field: `${field}.${name}`,
        value: isShown ? given : Redacted.make(given),
        message: `is not a setting of ${noun}. Look for a slip in its name.`
      }
    }
    return {
      field: `${field}.${name}`,
      value: Array.isArray(given) && place !== undefined ? given[Number(place)] : given,
      message: given === undefined ? missing : message
    }
  }
