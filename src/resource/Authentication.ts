import { Effect, Result } from "effect"
import type { HttpServerRequest, HttpServerResponse } from "effect/http"
import { OktaConfig } from "../config/OktaConfig.ts"
import { sparingly } from "../observe/Sparingly.ts"
import { count, requestsRefused } from "../observe/Telemetry.ts"
import type { AccessTokenClaims } from "../token/AccessTokenClaims.ts"
import { InvalidTokenBinding } from "../token/DpopError.ts"
import { boundKey, isOffered } from "../token/DpopProof.ts"
import { DpopProofs } from "../token/DpopProofs.ts"
import type { Principal } from "../token/Principal.ts"
import { InvalidAudience } from "../token/TokenError.ts"
import { TokenVerifier } from "../token/TokenVerifier.ts"
import * as BearerCredentials from "./BearerCredentials.ts"
import * as Challenge from "./Challenge.ts"
import { isPreflight, preflightAnswer } from "./Cors.ts"
import { decider } from "./Decision.ts"
import type { InvalidPolicy, Policy } from "./Policy.ts"
import { PolicyDemands } from "./PolicyDemands.ts"
import { originCheck } from "./RequestOrigin.ts"
import { protectedResources, publicUrl, requestPath, resourceOf, warnWithoutServerUrl } from "./ResourceMetadata.ts"
import { allOf, compile, type Rule, scopesOf } from "./Rule.ts"

/** Lets requests through to what is guarded, or answers them. */
export interface Authentication {
  /**
   * Runs `onPrincipal` for who is calling, or gives the answer that the refused request gets. A browser's preflight is
   * answered without either.
   */
  readonly authenticate: <E, R>(
    request: HttpServerRequest.HttpServerRequest,
    rule: Rule,
    onPrincipal: OnPrincipal<E, R>
  ) => Effect.Effect<HttpServerResponse.HttpServerResponse, E, R>
  /** The same for whoever has a good token; the rule only says what to ask for without one. */
  readonly identify: Authentication["authenticate"]
  /** Runs `onPrincipal` if the caller fits the rule, or answers. */
  readonly allow: <E, R>(
    request: HttpServerRequest.HttpServerRequest,
    rule: Rule,
    principal: Principal,
    onPrincipal: OnPrincipal<E, R>
  ) => Effect.Effect<HttpServerResponse.HttpServerResponse, E, R>
  /** The answer to a request that is refused; the rule says what to ask for. */
  readonly refuse: (
    refusal: Challenge.Refusal,
    request: HttpServerRequest.HttpServerRequest,
    rule: Rule
  ) => Effect.Effect<HttpServerResponse.HttpServerResponse>
  /** All that a policy demands, with the `requiredScopes` of the settings; or what is wrong with the policy. */
  readonly ruleOf: (policy?: Policy) => Effect.Effect<Rule, InvalidPolicy>
}

/** What is done for a caller. */
type OnPrincipal<E, R> = (principal: Principal) => Effect.Effect<HttpServerResponse.HttpServerResponse, E, R>

const noCredentials: Challenge.NoCredentials = { _tag: "NoCredentials" }

/** How the requests of this server are authenticated. */
export const make: Effect.Effect<Authentication, never, OktaConfig | TokenVerifier> = Effect.gen(function*() {
  const settings = yield* OktaConfig
  const verifier = yield* TokenVerifier
  const proofs = yield* DpopProofs
  const demands = yield* PolicyDemands
  const dpop = isOffered(settings) ? settings.dpop : "off"
  const offered = { dpop: dpop !== "off" }
  const resources = protectedResources(settings)
  const forbiddenOrigin = originCheck(settings)
  const decide = yield* decider
  const compiled = (policy: Policy) => compile(policy, settings.scopeHierarchy)
  yield* warnWithoutServerUrl(settings)

  /** Our own tokens say which resource they are for: one for the server as a whole is good at all of them. */
  const misdirected = (
    request: HttpServerRequest.HttpServerRequest,
    { aud }: AccessTokenClaims
  ): InvalidAudience | undefined => {
    if (settings.mode === "native" || settings.passThrough) return undefined
    const resource = resourceOf(resources, requestPath(request.originalUrl))?.resource ?? settings.serverUrl
    const actual = typeof aud === "string" ? [aud] : aud
    return actual.includes(resource) || actual.includes(settings.serverUrl)
      ? undefined
      : new InvalidAudience({ expected: [...new Set([resource, settings.serverUrl])], actual, ownToken: true })
  }

  /** Whether a token comes as it has to: with a proof by the key that it is bound to, or by itself. */
  const possession = (
    { method, originalUrl }: HttpServerRequest.HttpServerRequest,
    { dpop: header, token: accessToken }: BearerCredentials.Token,
    claims: AccessTokenClaims
  ): Effect.Effect<unknown, Challenge.Refusal> | undefined => {
    const bound = boundKey(claims)
    if (bound === "unknown") {
      return Effect.fail(new InvalidTokenBinding({ reason: "is bound to something unknown here" }))
    }
    if (header === undefined) {
      if (bound === "unbound" && dpop !== "require") return undefined
      return Effect.fail(
        new InvalidTokenBinding({
          reason: bound === "unbound"
            ? "is not bound to a key (DPoP), which the setting dpop requires"
            : dpop === "off"
            ? "is bound to a key (DPoP), which cannot be checked: dpop is off, or there is no serverUrl"
            : "is bound to a key (DPoP), but came as a bearer token"
        })
      )
    }
    if (bound === "unbound") {
      return Effect.fail(new InvalidTokenBinding({ reason: "came with the scheme DPoP, but is not bound to a key" }))
    }
    const url = publicUrl(settings.serverUrl ?? "", originalUrl)
    return proofs.check(header.proof, { method, url, accessToken, thumbprint: bound.thumbprint }, settings)
  }

  const prove = (request: HttpServerRequest.HttpServerRequest): Effect.Effect<Principal, Challenge.Refusal> => {
    const forbidden = forbiddenOrigin?.(request.headers)
    if (forbidden !== undefined) return Effect.fail(forbidden)
    const credentials = BearerCredentials.read(request, offered)
    switch (credentials._tag) {
      case "None":
        return Effect.fail(noCredentials)
      case "Malformed":
        return Effect.fail({ _tag: "MalformedCredentials", reason: credentials.reason })
      case "Token":
        return Effect.flatMap(
          verifier.verifyText(credentials.token),
          ({ claims, principal }): Effect.Effect<Principal, Challenge.Refusal> => {
            const wrong = misdirected(request, claims)
            if (wrong !== undefined) return Effect.fail(wrong)
            const proven = possession(request, credentials, claims)
            return proven === undefined ? Effect.succeed(principal) : Effect.as(proven, principal)
          }
        )
    }
  }

  const schemesFor = ({ headers }: HttpServerRequest.HttpServerRequest): ReadonlyArray<Challenge.Scheme> =>
    dpop === "off"
      ? ["Bearer"]
      : dpop === "require" || BearerCredentials.isDpop(headers["authorization"] ?? "")
      ? ["DPoP"]
      : ["Bearer", "DPoP"]

  const refuse = Effect.fnUntraced(function*(
    refusal: Challenge.Refusal,
    request: HttpServerRequest.HttpServerRequest,
    rule: Rule
  ) {
    yield* log(refusal)
    const resource = resourceOf(resources, requestPath(request.originalUrl))
    const answer = Challenge.answer(refusal, {
      metadataUrl: resource?.metadataUrl,
      scopes: scopesOf(rule),
      schemes: schemesFor(request)
    })
    yield* count(requestsRefused.of({ status: String(answer.status), reason: refusal._tag }))
    return answer
  })

  const identify: Authentication["identify"] = (request, rule, onPrincipal) => {
    if (isPreflight(request)) {
      const forbidden = forbiddenOrigin?.(request.headers)
      return forbidden === undefined ? Effect.succeed(preflightAnswer(request)) : refuse(forbidden, request, rule)
    }
    return Effect.matchEffect(prove(request), {
      onFailure: (refusal) => refuse(refusal, request, rule),
      onSuccess: onPrincipal
    })
  }

  const allow: Authentication["allow"] = (request, rule, principal, onPrincipal) =>
    Effect.matchEffect(decide(rule, principal), {
      onFailure: (refusal) => refuse(refusal, request, rule),
      onSuccess: () => onPrincipal(principal)
    })

  return {
    identify,
    allow,
    refuse,
    authenticate: (request, rule, onPrincipal) =>
      identify(request, rule, (principal) => allow(request, rule, principal, onPrincipal)),
    ruleOf: (policy = {}) =>
      Effect.fromResult(Result.all([{ scopes: settings.requiredScopes }, policy].map(compiled))).pipe(
        Effect.map(allOf),
        Effect.tap(demands.note)
      )
  }
})

/** For the person who runs the server: which check failed, what it expected and what it found; never the token. */
const log = (refusal: Challenge.Refusal): Effect.Effect<void> => {
  switch (refusal._tag) {
    case "NoCredentials":
      return Effect.logDebug("Request without credentials")
    case "UnreadableBody":
      return refused(refusal, `its body ${refusal.isTooLong ? "is too long" : "cannot be read"}`)
    case "UnclearMessage":
    case "MalformedCredentials":
      return refused(refusal, refusal.reason)
    case "DiscoveryFailed":
    case "KeysUnavailable":
    case "IntrospectionUnavailable":
    case "CheckFailed":
    case "DpopProofsUnavailable":
      // Warned of where it is noticed, not once for each request that it concerns.
      return Effect.logDebug(`Request refused: ${refusal.message}`)
    default:
      return Effect.annotateLogs(refused(refusal, refusal.message), { error: refusal._tag })
  }
}

const refused = ({ _tag }: Challenge.Refusal, reason: string) =>
  sparingly("Info", `request ${_tag}`, `Request refused: ${reason}`)
