import { Option, Predicate, Redacted, Schema } from "effect"
import { ConfiguredClient } from "./Settings.ts"

/** A mistake in the list of configured clients: where it is, what is there, and what is wrong with it. */
export interface ClientMistake {
  readonly field: string
  readonly value: unknown
  readonly message: string
}

/** What the schema found wrong in a list of clients, at a path below it, in words about the member at fault. */
export const mistakeAt = (clients: unknown, path: ReadonlyArray<string>, message: string): ClientMistake => {
  const [index, name, place] = path
  const client: unknown = Array.isArray(clients) ? clients[Number(index)] : undefined
  if (index === undefined) return { field: "clients", value: clients, message }
  const field = `clients[${index}]`
  // Anything may be in it, secrets and keys among that.
  if (name === undefined) return { field, value: undefined, message }
  const given: unknown = Predicate.hasProperty(client, name) ? client[name] : undefined
  return {
    field: `${field}.${name}`,
    value: Array.isArray(given) && place !== undefined ? given[Number(place)] : given,
    message: !(name in ConfiguredClient.fields)
      ? "is not a setting of a client. Look for a slip in its name."
      : given === undefined
      ? "is missing. Give each client its clientId."
      : message
  }
}

const json = Schema.decodeUnknownOption(Schema.fromJsonString(Schema.Array(Schema.Unknown)))

const hidden = (secret: unknown): unknown => typeof secret === "string" ? Redacted.make(secret) : secret

/** The list in a text of JSON, whose secrets nobody can print; what is none stays as it is, for the settings to say so. */
export const fromJson = (text: string): unknown =>
  Option.match(json(text), {
    onNone: () => Redacted.make(text),
    onSome: (clients) =>
      clients.map((client) => {
        if (!Predicate.hasProperty(client, "clientSecrets")) return client
        const { clientSecrets: secrets } = client
        return { ...client, clientSecrets: Array.isArray(secrets) ? secrets.map(hidden) : hidden(secrets) }
      })
  })
