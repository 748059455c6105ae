import { Effect } from "effect"
import { randomBytes } from "node:crypto"
import { type Context, errors } from "oidc-provider"
import { membersOf } from "./Shown.ts"
import { type Client, type Person, profileOf, uidOf } from "./StandInDirectory.ts"
import { type KeyRing, sign } from "./StandInKeys.ts"
import type { Memory } from "./StandInStorage.ts"

/** What exchanged tokens are made of. */
export interface ExchangeSettings {
  readonly issuer: string
  readonly clients: ReadonlyArray<Client>
  readonly people: ReadonlyArray<Person>
  readonly keys: KeyRing
  readonly memory: Memory
  readonly accessTokenLifetime: number
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
const accessToken = "urn:ietf:params:oauth:token-type:access_token"

/** In seconds. */
const lifetime = 300

const text = (value: unknown): string => typeof value === "string" ? value : ""

const claimsOf = (token: string) => membersOf(Buffer.from(token.split(".")[1] ?? "", "base64url").toString())

/**
 * Exchanges an access token that a service was shown for one by which it calls another API in the person's name, as a custom
 * server of Okta's does.
 */
const onBehalf = async (ctx: Context, { accessTokenLifetime, clients, keys, memory, now }: ExchangeSettings) => {
  const asked = ctx.oidc?.params ?? {}
  const client = clients.find(({ clientId }) => clientId === ctx.oidc?.client?.clientId)
  const subjectToken = text(asked["subject_token"])
  const issued = await Effect.runPromise(memory.get("Token", subjectToken))
  // One that was revoked is not kept any more.
  const kept = await Effect.runPromise(memory.get("AccessToken", text(issued?.["inner"])))
  const subject = claimsOf(subjectToken)
  const issuedAt = Math.floor(now() / 1000)
  if (kept === undefined || !(Number(subject["exp"]) > issuedAt)) {
    throw new errors.InvalidGrant("The subject_token is not active.")
  }
  const allowed = client?.onBehalf?.[text(asked["audience"])]
  if (allowed === undefined) throw new errors.InvalidTarget("The audience is not known.")
  const scopes = text(asked["scope"]).split(" ")
  if (!scopes.every((name) => allowed.includes(name))) throw new errors.InvalidScope("A scope is not allowed.")
  const { algorithm: alg, kid } = keys.signing
  const token = sign(keys.signing, { alg, kid }, {
    ...subject,
    jti: `AT.${randomBytes(24).toString("base64url")}`,
    aud: asked["audience"],
    cid: client?.clientId,
    act: { sub: client?.clientId },
    scp: scopes,
    iat: issuedAt,
    exp: issuedAt + accessTokenLifetime
  })
  ctx.body = {
    issued_token_type: accessToken,
    access_token: token,
    token_type: "Bearer",
    scope: scopes.join(" "),
    expires_in: accessTokenLifetime
  }
}

/**
 * Exchanges a person's ID token for an ID-JAG, as an org server of Okta's does: for a client that an administrator has
 * connected with the application that it names.
 */
const forIdJag = async (ctx: Context, { clients, issuer, keys, memory, now, people }: ExchangeSettings) => {
  const asked = ctx.oidc?.params ?? {}
  const client = clients.find(({ clientId }) => clientId === ctx.oidc?.client?.clientId)
  if (asked["requested_token_type"] !== idJag || asked["subject_token_type"] !== idToken) {
    throw new errors.InvalidRequest("Only an ID token can be exchanged, and only for an ID-JAG.")
  }
  const subjectToken = text(asked["subject_token"])
  const issued = await Effect.runPromise(memory.get("Token", subjectToken))
  const subject = claimsOf(subjectToken)
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

/** Exchanges tokens (RFC 8693), as Okta's two kinds of servers do. */
export const exchange = (settings: ExchangeSettings) => (ctx: Context) =>
  ctx.oidc?.params["subject_token_type"] === accessToken ? onBehalf(ctx, settings) : forIdJag(ctx, settings)
