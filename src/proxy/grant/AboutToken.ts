import { Effect, type Option } from "effect"
import type { HttpRouter, HttpServerRequest, HttpServerResponse } from "effect/http"
import type { Client } from "../client/Client.ts"
import { ClientAuthentication } from "../client/ClientAuthentication.ts"
import { answering, pathsOf } from "../Endpoint.ts"
import * as FormRequest from "../FormRequest.ts"
import type { ProxySettings } from "../ProxySettings.ts"
import { RateLimits } from "../RateLimits.ts"
import { Sealed } from "../Sealed.ts"
import * as OwnToken from "./OwnToken.ts"
import { SigningKeys } from "./SigningKeys.ts"
import * as TokenAnswer from "./TokenAnswer.ts"

/** What an endpoint does for a client that shows it a text, of which `read` tells whose token it is, if anybody's. */
export type Act = (
  client: Client,
  read: Effect.Effect<Option.Option<OwnToken.OwnToken>>
) => Effect.Effect<HttpServerResponse.HttpServerResponse, TokenAnswer.TokenRefusal>

/** Adds an endpoint to which clients, proven to be who they are, send a form with a token (RFC 7009 and RFC 7662, section 2.1). */
export const serve = Effect.fnUntraced(function*(
  router: HttpRouter.HttpRouter,
  settings: ProxySettings,
  endpoint: string,
  act: Act
) {
  const clients = yield* ClientAuthentication
  const limits = yield* RateLimits
  const read = OwnToken.reader(settings, { keys: yield* SigningKeys, sealed: yield* Sealed })

  const answer = Effect.fnUntraced(
    function*(request: HttpServerRequest.HttpServerRequest) {
      yield* limits.request("token", request)
      const form = yield* FormRequest.read(request)
      const text = yield* form.require("token")
      return yield* act(yield* clients.authenticate(request, form), read(text))
    },
    Effect.catch(TokenAnswer.refuse)
  )
  for (const path of pathsOf(settings, endpoint)) yield* answering(router, path, { POST: answer })
})

/** What it takes. */
export type Services = ClientAuthentication | RateLimits | Sealed | SigningKeys
