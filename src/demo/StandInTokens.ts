import { Effect } from "effect"
import { createHash, randomBytes } from "node:crypto"
import type { Context } from "oidc-provider"
import { membersOf } from "./Shown.ts"
import { type Person, uidOf } from "./StandInDirectory.ts"
import { type KeyRing, sign, type SigningKey } from "./StandInKeys.ts"
import type { Memory } from "./StandInStorage.ts"

type Claims = Readonly<Record<string, unknown>>

export interface TokenSettings {
  readonly issuer: string
  readonly audience: string
  readonly accessTokenLifetime: number
  /** Whether ID tokens name the person's session (`sid`). */
  readonly sessionIds: boolean
  /** Claims that an administrator added to access tokens. */
  readonly claims: (token: { readonly person: Person | undefined; readonly clientId: string }) => Claims
  readonly keys: KeyRing
  /** An org server signs access tokens with a key of its own, which it does not publish. */
  readonly accessTokenKey: () => SigningKey
  /** Unix time in milliseconds. */
  readonly now: () => number
  readonly memory: Memory
}

const idTokenLifetime = 3600

const randomId = (): string => randomBytes(24).toString("base64url")

const header = (key: SigningKey) => ({ kid: key.kid, alg: key.algorithm })

interface Grant {
  /** Absent for client credentials. */
  readonly person: Person | undefined
  readonly clientId: string
  readonly scopes: ReadonlyArray<string>
  /** Seconds. */
  readonly authTime: number | undefined
  readonly acr: string | undefined
  /** The thumbprint of the key that the token is bound to. */
  readonly boundTo?: string | undefined
}

/** The tokens on the wire, shaped as Okta's, and what `oidc-provider` knows them as. */
export interface Tokens {
  /** An access token's payload. Members without a value are left out by JSON, as Okta leaves them out. */
  readonly claims: (grant: Grant) => Claims
  readonly accessToken: (ctx: Context, inner: string, person: Person | undefined) => Effect.Effect<string>
  readonly idToken: (ctx: Context, inner: string, accessToken: string) => Effect.Effect<string>
  /** What `oidc-provider` knows this token as: the text itself unless Okta's shape was put over it. */
  readonly innerOf: (token: string) => Effect.Effect<string>
  /** Okta's answer about an access token that `oidc-provider` found good (RFC 7662 section 2.2). */
  readonly introspection: (inner: unknown) => Effect.Effect<Claims | undefined>
}

export const makeTokens = (settings: TokenSettings): Tokens => {
  const { memory, now } = settings

  const claims = ({ acr, authTime, boundTo, clientId, person, scopes }: Grant): Claims => {
    const issuedAt = Math.floor(now() / 1000)
    return {
      ver: 1,
      jti: `AT.${randomId()}`,
      iss: settings.issuer,
      aud: settings.audience,
      iat: issuedAt,
      exp: issuedAt + settings.accessTokenLifetime,
      cid: clientId,
      uid: person && uidOf(person),
      scp: scopes,
      auth_time: person && authTime,
      acr,
      cnf: boundTo && { jkt: boundTo },
      sub: person?.login ?? clientId,
      groups: scopes.includes("groups") ? person?.groups ?? [] : undefined,
      ...settings.claims({ person, clientId })
    }
  }

  return {
    claims,

    accessToken: Effect.fnUntraced(function*(ctx, inner, person) {
      const entities = ctx.oidc?.entities ?? {}
      const issued = entities.AccessToken ?? entities.ClientCredentials
      const signIn = entities.AuthorizationCode ?? entities.RefreshToken
      const payload = claims({
        person,
        clientId: issued?.clientId ?? "",
        scopes: issued?.scope?.split(" ") ?? [],
        authTime: signIn?.authTime,
        acr: signIn?.acr,
        boundTo: issued?.jkt
      })
      const key = settings.accessTokenKey()
      const token = sign(key, header(key), payload)
      yield* memory.put("Token", token, { inner })
      yield* memory.put("Claims", inner, payload)
      return token
    }),

    // Okta adds `at_hash` in the code flow too.
    idToken: Effect.fnUntraced(function*(ctx, inner, accessToken) {
      const { sid: _, ...innerClaims } = membersOf(Buffer.from(inner.split(".")[1] ?? "", "base64url").toString())
      const entities = ctx.oidc?.entities ?? {}
      const signIn = entities.AuthorizationCode ?? entities.RefreshToken
      const issuedAt = Math.floor(now() / 1000)
      const key = settings.keys.signing
      const token = sign(key, header(key), {
        ...innerClaims,
        ver: 1,
        iat: issuedAt,
        exp: issuedAt + idTokenLifetime,
        jti: `ID.${randomId()}`,
        amr: signIn?.amr,
        acr: signIn?.acr,
        idp: "00o1standInOkta77777",
        auth_time: signIn?.authTime,
        sid: settings.sessionIds ? signIn?.sessionUid : undefined,
        at_hash: createHash("sha256").update(accessToken).digest().subarray(0, 16).toString("base64url")
      })
      yield* memory.put("Token", token, { inner })
      return token
    }),

    innerOf: (token) =>
      Effect.map(memory.get("Token", token), (kept) => typeof kept?.["inner"] === "string" ? kept["inner"] : token),

    introspection: Effect.fnUntraced(function*(inner) {
      const payload = typeof inner === "string" ? yield* memory.get("Claims", inner) : undefined
      if (payload === undefined) return undefined
      const { cid, scp, ver: _, ...rest } = payload
      const isActive = typeof payload["exp"] === "number" && payload["exp"] * 1000 > now()
      if (!isActive) return { active: false }
      const scope = Array.isArray(scp) ? scp.join(" ") : undefined
      return {
        active: true,
        token_type: rest["cnf"] === undefined ? "Bearer" : "DPoP",
        client_id: cid,
        username: payload["sub"],
        scope,
        ...rest
      }
    })
  }
}
