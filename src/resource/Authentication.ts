import { Context, Effect, Redacted, Schema } from "effect"
import { HttpRouter, type HttpServerRequest, type HttpServerResponse } from "effect/http"
import { OktaConfig, Scope } from "../config/OktaConfig.ts"
import type { Principal } from "../token/Principal.ts"
import { TokenVerifier } from "../token/TokenVerifier.ts"
import * as BearerCredentials from "./BearerCredentials.ts"
import * as Challenge from "./Challenge.ts"
import { isPreflight, preflightAnswer } from "./Cors.ts"
import { type Policy, unmet } from "./Policy.ts"
import { originCheck } from "./RequestOrigin.ts"
import { protectedResources, requestPath, resourceOf } from "./ResourceMetadata.ts"

/** Lets requests through to what is guarded, or answers them. */
export interface Authentication {
  /**
   * Runs `onPrincipal` for who is calling, or gives the answer that the refused request gets. A browser's preflight is
   * answered without either.
   */
  readonly authenticate: <E, R>(
    request: HttpServerRequest.HttpServerRequest,
    scopes: ReadonlyArray<string>,
    onPrincipal: (principal: Principal) => Effect.Effect<HttpServerResponse.HttpServerResponse, E, R>
  ) => Effect.Effect<HttpServerResponse.HttpServerResponse, E, R>
  /** All the scopes that a policy demands, those of the settings among them. */
  readonly scopesOf: (policy: Policy | undefined) => Effect.Effect<ReadonlyArray<string>>
}

const noCredentials: Challenge.NoCredentials = { _tag: "NoCredentials" }

const decodeScopes = Schema.decodeUnknownEffect(Schema.Array(Scope))

/** How the requests of this server are authenticated. */
export const make: Effect.Effect<Authentication, never, OktaConfig | TokenVerifier> = Effect.gen(function*() {
  const settings = yield* OktaConfig
  const verifier = yield* TokenVerifier
  const resources = protectedResources(settings)
  const forbiddenOrigin = originCheck(settings)

  const prove = (
    request: HttpServerRequest.HttpServerRequest,
    scopes: ReadonlyArray<string>
  ): Effect.Effect<Principal, Challenge.Refusal> => {
    const forbidden = forbiddenOrigin?.(request.headers)
    if (forbidden !== undefined) return Effect.fail(forbidden)
    const credentials = BearerCredentials.read(request)
    switch (credentials._tag) {
      case "None":
        return Effect.fail(noCredentials)
      case "Malformed":
        return Effect.fail({ _tag: "MalformedCredentials", reason: credentials.reason })
      case "Token":
        return Effect.flatMap(verifier.verify(Redacted.make(credentials.token)), ({ principal }) => {
          const insufficient = unmet(scopes, principal)
          return insufficient === undefined ? Effect.succeed(principal) : Effect.fail(insufficient)
        })
    }
  }

  const refuse = Effect.fnUntraced(function*(
    refusal: Challenge.Refusal,
    request: HttpServerRequest.HttpServerRequest,
    scopes: ReadonlyArray<string>
  ) {
    const route = Context.getOrUndefined(yield* Effect.context<never>(), HttpRouter.RouteContext)?.route.path
    const path = route ?? requestPath(request.url)
    yield* log(refusal)
    return Challenge.answer(refusal, { metadataUrl: resourceOf(resources, path)?.metadataUrl, scopes })
  })

  return {
    authenticate: (request, scopes, onPrincipal) => {
      if (isPreflight(request)) {
        const forbidden = forbiddenOrigin?.(request.headers)
        return forbidden === undefined ? Effect.succeed(preflightAnswer(request)) : refuse(forbidden, request, scopes)
      }
      return Effect.matchEffect(prove(request, scopes), {
        onFailure: (refusal) => refuse(refusal, request, scopes),
        onSuccess: onPrincipal
      })
    },
    scopesOf: (policy) =>
      Effect.orDie(decodeScopes([...new Set([...settings.requiredScopes, ...policy?.scopes ?? []])]))
  }
})

/** For the person who runs the server: which check failed, what it expected and what it found; never the token. */
const log = (refusal: Challenge.Refusal): Effect.Effect<void> => {
  switch (refusal._tag) {
    case "NoCredentials":
      return Effect.logDebug("Request without credentials")
    case "MalformedCredentials":
      return Effect.logInfo(`Request refused: ${refusal.reason}`)
    case "DiscoveryFailed":
    case "KeysUnavailable":
      // Warned of where it is noticed, not once for each request that it concerns.
      return Effect.logDebug(`Request refused: ${refusal.message}`)
    default:
      return Effect.logInfo(`Request refused: ${printable(refusal.message)}`).pipe(
        Effect.annotateLogs({ error: refusal._tag })
      )
  }
}

/** Escapes what would command a terminal or turn the text around: a message quotes what somebody sent. */
const printable = (text: string): string =>
  text.replace(/[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]/gu, (character) => `\\u{${character.codePointAt(0)?.toString(16)}}`)
