import { Effect } from "effect"
import { randomBytes } from "node:crypto"
import { type Context, errors } from "oidc-provider"
import { membersOf } from "./Shown.ts"
import { type Client, type Person, profileOf, uidOf } from "./StandInDirectory.ts"
import { type KeyRing, sign } from "./StandInKeys.ts"
import type { Memory } from "./StandInStorage.ts"

/** What ID-JAGs are made of. */
export interface ExchangeSettings {
  readonly issuer: string
  readonly clients: ReadonlyArray<Client>
  readonly people: ReadonlyArray<Person>
  readonly keys: KeyRing
  readonly memory: Memory
  /** Unix time in milliseconds. */
  readonly now: () => number
}

/** What clients send for it. */
export const parameters = [
  "requested_token_type",
  "audience",
  "resource",
  "scope",
  "subject_token",
  "subject_token_type"
]

const idJag = "urn:ietf:params:oauth:token-type:id-jag"
const idToken = "urn:ietf:params:oauth:token-type:id_token"

/** In seconds. */
const lifetime = 300

const text = (value: unknown): string => typeof value === "string" ? value : ""

/**
 * Exchanges a person's ID token for an ID-JAG, as an org server of Okta's does: for a client that an administrator has
 * connected with the application that it names.
 */
export const exchange = ({ clients, issuer, keys, memory, now, people }: ExchangeSettings) => async (ctx: Context) => {
  const asked = ctx.oidc?.params ?? {}
  const client = clients.find(({ clientId }) => clientId === ctx.oidc?.client?.clientId)
  if (asked["requested_token_type"] !== idJag || asked["subject_token_type"] !== idToken) {
    throw new errors.InvalidRequest("Only an ID token can be exchanged, and only for an ID-JAG.")
  }
  const subjectToken = text(asked["subject_token"])
  const issued = await Effect.runPromise(memory.get("Token", subjectToken))
  const subject = membersOf(Buffer.from(subjectToken.split(".")[1] ?? "", "base64url").toString())
  const issuedAt = Math.floor(now() / 1000)
  const person = people.find((person) => uidOf(person) === subject["sub"])
  if (issued === undefined || subject["aud"] !== client?.clientId || !(Number(subject["exp"]) > issuedAt)) {
    throw new errors.InvalidGrant("The subject_token is not an ID token of this client, or its time is over.")
  }
  const connection = client?.connections?.find(({ audience }) => audience === asked["audience"])
  if (connection === undefined || person === undefined) {
    throw new errors.InvalidTarget("No administrator has connected the client with this application.")
  }
  const scope = text(asked["scope"]).split(" ").filter((name) => connection.scopes.includes(name)).join(" ")
  const { email } = profileOf(person)
  const { algorithm: alg, kid } = keys.signing
  const token = sign(keys.signing, { typ: "oauth-id-jag+jwt", alg, kid }, {
    jti: `IDAAG.${randomBytes(24).toString("base64url")}`,
    iss: issuer,
    sub: uidOf(person),
    email,
    aud: connection.audience,
    ...(asked["resource"] === undefined ? undefined : { resource: asked["resource"] }),
    client_id: connection.clientId,
    scope,
    iat: issuedAt,
    exp: issuedAt + lifetime,
    auth_time: subject["auth_time"],
    amr: subject["amr"]
  })
  ctx.body = { issued_token_type: idJag, access_token: token, token_type: "N_A", scope, expires_in: lifetime }
}
