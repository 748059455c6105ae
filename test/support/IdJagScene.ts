import { Clock, Effect, Redacted } from "effect"
import { SignJWT } from "jose"
import { createPrivateKey, createPublicKey, randomUUID } from "node:crypto"
import type { OktaOptions } from "../../src/config/OktaConfig.ts"
import type * as OktaAuth from "../../src/OktaAuth.ts"
import { jwtBearer } from "../../src/proxy/grant/GrantTypes.ts"
import { ec } from "../proxy/grant/KeyRing.ts"
import { type Changes, make, type SceneOptions, serverUrl } from "./ProxyScene.ts"

const privateKey = createPrivateKey({ key: { ...ec() }, format: "jwk" })

/** The public half of the key with which clients of these tests prove who they are. */
export const publicKey = { ...createPublicKey(privateKey).export({ format: "jwk" }), kid: "k", alg: "ES256" }

export const secretOfOther = "o".repeat(32)
export const typ = "oauth-id-jag+jwt"

/** A client by its key, one by its secret, and a public one. */
export const clients: OktaOptions["clients"] = [
  { clientId: "agent", keys: [publicKey] },
  { clientId: "other", clientSecrets: [Redacted.make(secretOfOther)] },
  { clientId: "public", redirectUris: ["https://public.example.com/callback"] }
]

/** What a client proves itself with, once. */
export const proofOf = (clientId: string): Effect.Effect<string> =>
  Effect.flatMap(Clock.currentTimeMillis, (millis) =>
    Effect.promise(() =>
      new SignJWT({
        iss: clientId,
        sub: clientId,
        aud: serverUrl,
        iat: Math.floor(millis / 1000),
        exp: Math.floor(millis / 1000) + 60,
        jti: randomUUID()
      }).setProtectedHeader({ alg: "ES256", kid: "k" }).sign(privateKey)
    ))

/** The parameters of a client that authenticates by its key. */
export const authenticated = (clientId: string) =>
  Effect.map(proofOf(clientId), (proof) => ({
    client_assertion_type: "urn:ietf:params:oauth:client-assertion-type:jwt-bearer",
    client_assertion: proof
  }))

/** A proxy that takes Okta's word from clients, and that word as a test wants it. */
export const idJagScene = (
  { settings, ...options }: SceneOptions & { readonly settings?: Partial<OktaOptions & OktaAuth.StartOptions> } = {}
) =>
  Effect.gen(function*() {
    const scene = yield* make({
      ...options,
      settings: { enterpriseManaged: true, clients: clients ?? [], ...settings }
    })
    const { okta, one } = scene

    /** Okta's word for its first person, with everything in order but for the changes; `undefined` takes a claim away. */
    const idJag = Effect.fnUntraced(function*(
      claims: Readonly<Record<string, unknown>> | string = {},
      header: Readonly<Record<string, unknown>> = {}
    ) {
      const now = Math.floor((yield* Clock.currentTimeMillis) / 1000)
      const unusual = { ver: undefined, cid: undefined, uid: undefined, scp: undefined, acr: undefined }
      return yield* okta.mint(
        typeof claims === "string" ? claims : {
          ...unusual,
          jti: `IDAAG.${randomUUID()}`,
          sub: "00u1ada",
          email: "ada@example.com",
          aud: serverUrl,
          client_id: "agent",
          resource: `${serverUrl}/mcp`,
          scope: "mcp:read mcp:write",
          iat: now,
          exp: now + 300,
          ...claims
        },
        { typ, ...header }
      )
    })

    /** Brings it, as the client `agent`. */
    const bring = (assertion: string, changes: Changes = {}, server = one) =>
      Effect.flatMap(
        authenticated("agent"),
        (proof) => server.token({ grant_type: jwtBearer, assertion, ...proof, ...changes })
      )

    return { ...scene, idJag, bring }
  })
