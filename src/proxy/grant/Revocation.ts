import { Effect, type Layer, Option } from "effect"
import { HttpRouter, type HttpServerRequest, HttpServerResponse } from "effect/http"
import type { InvalidConfiguration } from "../../config/InvalidConfiguration.ts"
import type { OktaConfig } from "../../config/OktaConfig.ts"
import type { Client } from "../client/Client.ts"
import { ClientAuthentication } from "../client/ClientAuthentication.ts"
import { answering, pathsOf } from "../Endpoint.ts"
import * as FormRequest from "../FormRequest.ts"
import { type ProxySettings, proxySettings } from "../ProxySettings.ts"
import { RateLimits } from "../RateLimits.ts"
import { Sealed } from "../Sealed.ts"
import { Grants } from "./Grant.ts"
import { TokenNotRevocable } from "./GrantError.ts"
import * as OwnToken from "./OwnToken.ts"
import { SigningKeys } from "./SigningKeys.ts"
import * as TokenAnswer from "./TokenAnswer.ts"

const make = Effect.fnUntraced(function*(settings: ProxySettings) {
  const clients = yield* ClientAuthentication
  const grants = yield* Grants
  const limits = yield* RateLimits
  const read = OwnToken.reader(settings, { keys: yield* SigningKeys, sealed: yield* Sealed })

  const end = Effect.fnUntraced(function*({ clientId }: Client, token: OwnToken.OwnToken) {
    if (token._tag === "ServiceToken") {
      return token.clientId === clientId ? yield* new TokenNotRevocable({}) : undefined
    }
    const grant = yield* grants.get(token.grantId)
    if (Option.isSome(grant) && grant.value.clientId === clientId) yield* grants.end(token.grantId, "revoked")
  })

  return Effect.fnUntraced(
    function*(request: HttpServerRequest.HttpServerRequest) {
      yield* limits.request("token", request)
      const form = yield* FormRequest.read(request)
      const token = yield* form.require("token")
      const client = yield* clients.authenticate(request, form)
      const own = yield* read(token)
      if (Option.isSome(own)) yield* end(client, own.value)
      return HttpServerResponse.empty({ status: 200, headers: TokenAnswer.headers })
    },
    Effect.catch(TokenAnswer.refuse)
  )
})

/**
 * Ends grants at `/oauth/revoke`, by their refresh token or by an access token of theirs.
 *
 * **Details**
 *
 * A token that is not known, or that was issued to another client, is answered in the same way, and nothing happens. That of
 * a service belongs to no grant and cannot be ended by itself.
 *
 * @see https://www.rfc-editor.org/rfc/rfc7009.html#section-2
 */
export const routes: Layer.Layer<
  never,
  InvalidConfiguration,
  HttpRouter.HttpRouter | OktaConfig | ClientAuthentication | Grants | RateLimits | Sealed | SigningKeys
> = HttpRouter.use((router) =>
  Effect.gen(function*() {
    const settings = yield* proxySettings
    const answer = yield* make(settings)
    for (const path of pathsOf(settings, "/oauth/revoke")) yield* answering(router, path, { POST: answer })
  })
)
