import { Option, Predicate, Redacted, Schema } from "effect"
import { mistakeIn } from "./ListMistake.ts"
import { ConfiguredClient } from "./Settings.ts"

/** What the schema found wrong in a list of clients, at a path below it, in words about the member at fault. */
export const mistakeAt = mistakeIn({
  field: "clients",
  noun: "a client",
  members: Object.keys(ConfiguredClient.fields),
  missing: "is missing. Give each client its clientId.",
  // Anything may be in it, secrets and keys among that.
  isShown: false
})

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
