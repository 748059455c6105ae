import { Effect, type Layer, Option } from "effect"
import { HttpRouter, HttpServerResponse } from "effect/http"
import type { InvalidConfiguration } from "../../config/InvalidConfiguration.ts"
import type { OktaConfig } from "../../config/OktaConfig.ts"
import type { Client } from "../client/Client.ts"
import { proxySettings } from "../ProxySettings.ts"
import * as AboutToken from "./AboutToken.ts"
import { Grants } from "./Grant.ts"
import { TokenNotRevocable } from "./GrantError.ts"
import type { OwnToken } from "./OwnToken.ts"
import * as TokenAnswer from "./TokenAnswer.ts"

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
  HttpRouter.HttpRouter | OktaConfig | Grants | AboutToken.Services
> = HttpRouter.use((router) =>
  Effect.gen(function*() {
    const settings = yield* proxySettings
    const grants = yield* Grants

    const end = Effect.fnUntraced(function*({ clientId }: Client, token: OwnToken) {
      if (token._tag === "ServiceToken") {
        return token.clientId === clientId ? yield* new TokenNotRevocable({}) : undefined
      }
      const grant = yield* grants.get(token.grantId)
      if (Option.isSome(grant) && grant.value.clientId === clientId) yield* grants.end(token.grantId, "revoked")
    })

    yield* AboutToken.serve(
      router,
      settings,
      "/oauth/revoke",
      Effect.fnUntraced(function*(client, read) {
        const own = yield* read
        if (Option.isSome(own)) yield* end(client, own.value)
        return HttpServerResponse.empty({ status: 200, headers: TokenAnswer.headers })
      })
    )
  })
)
