import { Predicate, Result, Schema, SchemaIssue } from "effect"
import { Named, PrivateKey, Secret } from "./Settings.ts"

/** How Okta is asked about the tokens that are shown to a server in native mode. */
export const Introspection = Schema.Struct({
  /** Whether Okta is asked besides a verification here, or in its place. */
  mode: Schema.Literals(["recheck", "only"]).annotate({
    message: "is neither recheck nor only. Give one of them."
  }),
  /** An application in Okta, by whose credentials it is asked. */
  clientId: Named,
  /** Its secret. */
  clientSecret: Schema.optionalKey(Secret),
  /** Its private JWK as JSON, in place of a secret. */
  clientKey: Schema.optionalKey(PrivateKey)
})

/** One thing that is wrong, and where: a member, or the whole. */
export interface Mistake {
  readonly member?: string
  readonly value?: unknown
  readonly message: string
}

const decode = Schema.decodeUnknownResult(Introspection, { errors: "all", onExcessProperty: "error" })
const standardIssues = SchemaIssue.makeFormatterStandardSchemaV1()

/** What is missing, by member: the name is of an application, not of this server's own client. */
const missing: { readonly [member: string]: string } = {
  mode: "is missing. Give recheck or only, or remove the credentials.",
  clientId: "is missing. Give the client id of an application in Okta that may ask about tokens."
}

/** Everything that is wrong with it, for a server with these settings. */
export const mistakes = (
  given: unknown,
  { accept, mode, nameOf, several }: {
    readonly mode: "native" | "proxy"
    readonly several: boolean
    readonly accept: unknown
    readonly nameOf: (member: string) => string
  }
): ReadonlyArray<Mistake> => {
  if (!Predicate.isObject(given)) {
    return [{ value: given, message: "is no object. Give mode, clientId and clientSecret." }]
  }
  const members = Object.fromEntries(Object.entries(given).filter(([, value]) => value !== undefined))
  const whole = mode === "proxy"
    ? "is an option of native mode. In proxy mode this server knows by itself which of its tokens have ended."
    : several
    ? "is given beside issuers. Only one authorization server can be asked."
    : accept === "id-token"
    ? "is given with accept: \"id-token\". Only access tokens are revoked at Okta."
    : undefined
  const found: Array<Mistake> = whole === undefined ? [] : [{ message: whole }]
  const decoded = decode(members)
  if (Result.isFailure(decoded)) {
    for (const { message, path } of standardIssues(decoded.failure.issue).issues) {
      const member = String(path?.[0])
      found.push(
        !(member in Introspection.fields)
          ? { member, value: members[member], message: "is not a setting. Look for a slip in its name." }
          : member in members
          ? { member, value: members[member], message }
          : { member, message: missing[member] ?? message }
      )
    }
  }
  const { clientKey, clientSecret } = members
  if (clientKey === undefined && clientSecret === undefined) {
    found.push({
      member: "clientSecret",
      message: `is missing. Give the application's secret, or its private key in ${nameOf("clientKey")}.`
    })
  } else if (clientKey !== undefined && clientSecret !== undefined) {
    found.push({
      member: "clientKey",
      value: clientKey,
      message: `is given beside ${nameOf("clientSecret")}. Remove one of them.`
    })
  }
  return found
}
