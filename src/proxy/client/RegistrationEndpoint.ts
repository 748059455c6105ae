import { ByteSize, Effect, type Layer } from "effect"
import { HttpIncomingMessage, HttpRouter, HttpServerResponse } from "effect/http"
import { escaped } from "../../config/EscapedText.ts"
import type { InvalidConfiguration } from "../../config/InvalidConfiguration.ts"
import type { OktaConfig } from "../../config/OktaConfig.ts"
import { ClientRegistered } from "../../observe/AuditEvent.ts"
import { noteError } from "../../observe/Span.ts"
import { count, outcomeOf, registrations } from "../../observe/Telemetry.ts"
import { readableAnswer } from "../../resource/Cors.ts"
import { Store } from "../../store/Store.ts"
import * as StrictJson from "../../token/StrictJson.ts"
import * as Audit from "../Audit.ts"
import { answering, pathsOf } from "../Endpoint.ts"
import { isInteractive, proxySettings } from "../ProxySettings.ts"
import { RateLimits } from "../RateLimits.ts"
import { Registration } from "./Registration.ts"

const headers = { ...readableAnswer, "cache-control": "no-store", pragma: "no-cache" }

const refused = (status: number, error: string, error_description: string) =>
  HttpServerResponse.jsonUnsafe({ error, error_description }, { status, headers })

const away = (status: number, retryAfter: number) =>
  HttpServerResponse.jsonUnsafe(
    { error: "temporarily_unavailable", error_description: "Try again later." },
    { status, headers: { ...headers, "retry-after": String(Math.max(1, Math.ceil(retryAfter / 1000))) } }
  )

/** The largest metadata that is read. */
const largest = ByteSize.kibibytes(64)

const closed = refused(403, "access_denied", "Clients are made known by whoever runs this server, and do not register.")

/**
 * Registers clients at `/oauth/register`, unless nobody signs in here.
 *
 * @see https://www.rfc-editor.org/rfc/rfc7591.html#section-3
 */
export const routes: Layer.Layer<
  never,
  InvalidConfiguration,
  HttpRouter.HttpRouter | OktaConfig | RateLimits | Registration | Store
> = HttpRouter.use((router) =>
  Effect.gen(function*() {
    const settings = yield* proxySettings
    const { register } = yield* Registration
    const audit = yield* Audit.make
    const limits = yield* RateLimits
    const store = yield* Store
    for (const path of pathsOf(settings, "/oauth/register")) {
      yield* answering(router, path, {
        POST: (request) =>
          !isInteractive(settings) ? Effect.succeed(closed) : limits.request("register", request).pipe(
            // Whoever registers comes back at once to sign in, which needs the store.
            Effect.andThen(store.get("ready:?")),
            Effect.andThen(Effect.provideService(request.arrayBuffer, HttpIncomingMessage.MaxBodySize, largest)),
            Effect.flatMap((body) => register(StrictJson.parse(Buffer.from(body)))),
            Effect.onExit((exit) => count(registrations.of({ outcome: outcomeOf(exit) }))),
            Effect.tapError(noteError),
            Effect.tap(({ client_id, client_name, redirect_uris }) =>
              audit((origin) =>
                new ClientRegistered({
                  ...origin,
                  clientId: Audit.clientHandle(client_id),
                  ...(client_name === undefined ? undefined : { name: escaped(client_name.slice(0, 100)) }),
                  redirectHosts: [...new Set(redirect_uris.map(Audit.hostOf))].slice(0, 10)
                })
              )
            ),
            Effect.map((registered) => HttpServerResponse.jsonUnsafe(registered, { status: 201, headers })),
            Effect.catchTags({
              HttpServerError: () =>
                Effect.succeed(refused(413, "invalid_client_metadata", "The metadata is too large.")),
              TooManyRequests: ({ message, retryAfter }) => Effect.as(Effect.logDebug(message), away(429, retryAfter)),
              StoreUnavailable: ({ message }) => Effect.as(Effect.logDebug(message), away(503, 5000)),
              RegistrationError: ({ code, message }) => Effect.succeed(refused(400, code, message))
            })
          )
      })
    }
  })
)
