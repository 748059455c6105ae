import { Clock, Effect, type Layer, Option, Predicate, Redacted } from "effect"
import { HttpRouter, type HttpServerRequest, HttpServerResponse } from "effect/http"
import { type JWTHeaderParameters, jwtVerify } from "jose"
import type { InvalidConfiguration } from "../../config/InvalidConfiguration.ts"
import type { OktaConfig } from "../../config/OktaConfig.ts"
import { ClientAuthentication } from "../client/ClientAuthentication.ts"
import { answering, pathsOf } from "../Endpoint.ts"
import * as FormRequest from "../FormRequest.ts"
import { type ProxySettings, proxySettings } from "../ProxySettings.ts"
import { Sealed } from "../Sealed.ts"
import { Grants } from "./Grant.ts"
import * as RefreshToken from "./RefreshToken.ts"
import { SigningKeys } from "./SigningKeys.ts"
import * as TokenAnswer from "./TokenAnswer.ts"

const make = Effect.fnUntraced(function*({ serverUrl }: ProxySettings) {
  const clients = yield* ClientAuthentication
  const grants = yield* Grants
  const sealed = yield* Sealed
  const keys = yield* SigningKeys

  const keyOf = ({ kid }: JWTHeaderParameters) => {
    const key = kid === undefined ? undefined : keys.peek(kid)?.key
    return key === undefined ? Promise.reject(new Error("The key is not one of the ring")) : Promise.resolve(key)
  }

  /** The grant of an access token of ours; which resource it is for does not matter here. */
  const grantOfAccessToken = Effect.fnUntraced(function*(token: string) {
    const currentDate = new Date(yield* Clock.currentTimeMillis)
    const verified = yield* Effect.option(
      Effect.tryPromise(() => jwtVerify(token, keyOf, { issuer: serverUrl, typ: "at+jwt", currentDate }))
    )
    return Option.filter(Option.map(verified, ({ payload }) => payload["sid"]), Predicate.isString)
  })

  const grantOf = Effect.fnUntraced(function*(token: string) {
    const refreshToken = yield* RefreshToken.read(sealed, Redacted.make(token))
    return Option.isSome(refreshToken)
      ? Option.some(refreshToken.value.grantId)
      : yield* grantOfAccessToken(token)
  })

  return Effect.fnUntraced(
    function*(request: HttpServerRequest.HttpServerRequest) {
      const form = yield* FormRequest.read(request)
      const token = yield* form.require("token")
      const client = yield* clients.authenticate(request, form)
      const grantId = yield* grantOf(token)
      if (Option.isSome(grantId)) {
        const grant = yield* grants.get(grantId.value)
        if (Option.isSome(grant) && grant.value.clientId === client.clientId) yield* grants.end(grantId.value)
      }
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
 * A token that is not known, or that was issued to another client, is answered in the same way, and nothing happens.
 *
 * @see https://www.rfc-editor.org/rfc/rfc7009.html#section-2
 */
export const routes: Layer.Layer<
  never,
  InvalidConfiguration,
  HttpRouter.HttpRouter | OktaConfig | ClientAuthentication | Grants | Sealed | SigningKeys
> = HttpRouter.use((router) =>
  Effect.gen(function*() {
    const settings = yield* proxySettings
    const answer = yield* make(settings)
    for (const path of pathsOf(settings, "/oauth/revoke")) yield* answering(router, path, { POST: answer })
  })
)
