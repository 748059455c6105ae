import { Effect, type Layer, Option } from "effect"
import { HttpRouter, HttpServerResponse } from "effect/http"
import type { InvalidConfiguration } from "../../config/InvalidConfiguration.ts"
import type { OktaConfig } from "../../config/OktaConfig.ts"
import { type ProxySettings, proxySettings } from "../ProxySettings.ts"
import * as AboutToken from "./AboutToken.ts"
import { Grants } from "./Grant.ts"
import { IntrospectionNotAllowed } from "./GrantError.ts"
import type { Grant } from "./GrantRecord.ts"
import type * as OwnToken from "./OwnToken.ts"
import * as RefreshToken from "./RefreshToken.ts"
import * as ServiceToken from "./ServiceToken.ts"
import * as TokenAnswer from "./TokenAnswer.ts"

/** Whether any client may ask; without one there is no such endpoint. */
export const isOffered = ({ clients }: ProxySettings): boolean => clients.some(({ mayIntrospect }) => mayIntrospect)

/** What is told of a token that is good for something (RFC 7662 section 2.2). */
const ofAccessToken = ({ preferred_username: username, ...claims }: OwnToken.AccessToken) => ({
  active: true,
  token_type: claims["cnf"] === undefined ? "Bearer" : "DPoP",
  username,
  ...claims
})

/** A token that ends with its grant. */
type OfGrant = Exclude<OwnToken.OwnToken, { readonly _tag: "ServiceToken" }>

/** The same of a token that belongs to a grant. */
const active = (token: OfGrant, { clientId, generation, resource, scopes, user }: Grant, issuer: string) => {
  if (token._tag === "AccessToken") return ofAccessToken(token.claims)
  const standing = RefreshToken.standing(token.generation, generation)
  return standing === "current" || standing === "predecessor"
    ? {
      active: true,
      scope: scopes.join(" "),
      client_id: clientId,
      username: user.username,
      sub: user.subject,
      aud: resource,
      iss: issuer
    }
    : inactive
}

/** What is told of every other text, whatever is wrong with it. */
const inactive = { active: false } as const

/**
 * Tells resource servers of ours at `/oauth/introspect` what a token is good for: configured clients with `mayIntrospect`.
 *
 * @see https://www.rfc-editor.org/rfc/rfc7662.html#section-2
 */
export const routes: Layer.Layer<
  never,
  InvalidConfiguration,
  HttpRouter.HttpRouter | OktaConfig | Grants | AboutToken.Services
> = HttpRouter.use((router) =>
  Effect.gen(function*() {
    const settings = yield* proxySettings
    const grants = yield* Grants
    if (!isOffered(settings)) return

    const tell = Effect.fnUntraced(function*(token: OwnToken.OwnToken) {
      if (token._tag === "ServiceToken") {
        return ServiceToken.isStillListed(settings, token) ? ofAccessToken(token.claims) : inactive
      }
      const grant = yield* grants.get(token.grantId)
      return Option.isNone(grant) ? inactive : active(token, grant.value, settings.serverUrl)
    })

    yield* AboutToken.serve(
      router,
      settings,
      "/oauth/introspect",
      Effect.fnUntraced(function*({ mayIntrospect }, read) {
        if (mayIntrospect !== true) return yield* new IntrospectionNotAllowed({})
        const token = yield* read
        const answer = Option.isNone(token) ? inactive : yield* tell(token.value)
        return HttpServerResponse.jsonUnsafe(answer, { headers: TokenAnswer.headers })
      })
    )
  })
)
