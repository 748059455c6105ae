import { Clock, DateTime, Duration, Effect, Layer, Option, Redacted, Result } from "effect"
import { OktaConfig, type Settings } from "../../config/OktaConfig.ts"
import { Discovery } from "../../provider/Discovery.ts"
import { Jwks } from "../../provider/Jwks.ts"
import type { OktaHttp } from "../../provider/OktaHttp.ts"
import { excerpt } from "../../provider/Quoted.ts"
import { SigningKeys } from "../../proxy/grant/SigningKeys.ts"
import { ownTrust, revoked } from "../../proxy/Proxy.ts"
import type { ProxySettings } from "../../proxy/ProxySettings.ts"
import { decide } from "../../resource/Decision.ts"
import { compile } from "../../resource/Rule.ts"
import { isAccessTokenClaims, principalOf } from "../../token/AccessTokenClaims.ts"
import { rulesOf } from "../../token/ClaimsCheck.ts"
import * as CompactJws from "../../token/CompactJws.ts"
import { shown } from "../../token/HeaderPolicy.ts"
import type { Principal } from "../../token/Principal.ts"
import { Signature } from "../../token/Signature.ts"
import * as StrictJson from "../../token/StrictJson.ts"
import { InvalidAudience, type TokenError, type TokenRefused } from "../../token/TokenError.ts"
import { TokenVerifier, type VerifiedToken } from "../../token/TokenVerifier.ts"
import { type Check, failed, ok, sentences, skipped } from "./Check.ts"
import { ring } from "./SecretChecks.ts"
import { type Faults, inClaims, inHeader, type Members } from "./TokenFaults.ts"

/** What a claim is for, where the server reads it. */
const purposes: { readonly [claim: string]: string } = {
  iss: "who issued it",
  aud: "whom it is for",
  sub: "who is calling",
  exp: "when it ends",
  iat: "when it was issued",
  nbf: "when it begins",
  cid: "the client",
  client_id: "the client",
  scp: "scopes",
  scope: "scopes",
  uid: "Okta's id of the person",
  auth_time: "when the person signed in",
  acr: "how strongly",
  amr: "by which means",
  email: "email address",
  email_verified: "whether Okta has made sure of it",
  preferred_username: "login",
  groups: "groups",
  sid: "the sign-in; whether it still lasts only the running server knows"
}

const times = new Set(["exp", "iat", "nbf", "auth_time"])

/** A claim's value for people: times as dates, everything cut and in one line. */
const valueOf = (claim: string, value: unknown, now: number): string => {
  if (!times.has(claim) || typeof value !== "number") return excerpt(shown(value))
  return Option.match(DateTime.make(value * 1000), {
    onNone: () => excerpt(shown(value)),
    onSome: (time) => {
      const seconds = Math.round(value - now)
      const away = Duration.format(Duration.seconds(Math.abs(seconds)))
      const when = seconds === 0 ? "now" : seconds > 0 ? `in ${away}` : `${away} ago`
      return `${DateTime.formatIso(time).slice(0, 19).replace("T", " ")} UTC, ${when}`
    }
  })
}

const linesOf = (
  members: Members,
  faults: Faults,
  names: ReadonlyArray<string>,
  line: (name: string) => { readonly check: string; readonly tried: string; readonly found: string }
): ReadonlyArray<Check> =>
  [
    ...new Set([
      ...names.filter((name) => name in members || faults.has(name)),
      ...faults.keys(),
      ...Object.keys(members)
    ])
  ]
    .map((name) => {
      const fault = faults.get(name)
      if (fault !== undefined) return failed({ ...line(name), ...sentences(fault.message) })
      return names.includes(name) ? ok(line(name)) : skipped({ ...line(name), meaning: "Not looked at." })
    })

const headerMembers = ["alg", "kid", "typ"]

/** The verifier of Okta's tokens, or that of this server's own, by the ring of the settings or as it is published. */
const verifier = Effect.fnUntraced(function*(own: ProxySettings | undefined, trust: Settings) {
  const keys = own === undefined ? Option.none() : yield* Effect.orElseSucceed(ring(own), Option.none)
  const jwks = Option.match(keys, {
    onNone: () => Layer.provide(Jwks.layer, Discovery.layer),
    onSome: (service) => Layer.provide(SigningKeys.jwks, Layer.succeed(SigningKeys, service))
  })
  return TokenVerifier.layer.pipe(
    Layer.provide(Layer.orDie(jwks)),
    Layer.provide([Signature.layer, Layer.succeed(OktaConfig, trust)])
  )
})

const verdictLine = (verdict: Result.Result<VerifiedToken, TokenError>): Check => {
  const check = { check: "token", tried: "the token, as the server verifies it" }
  if (Result.isFailure(verdict)) {
    return failed({ ...check, found: verdict.failure._tag, ...sentences(verdict.failure.message) })
  }
  const { principal } = verdict.success
  return ok({
    ...check,
    found: principal._tag === "Service"
      ? `good, of the service ${principal.clientId}`
      : `good, of ${principal.username}`,
    meaning: `Its scopes: ${principal.scopes.join(" ") || "none"}.`
  })
}

const signatureLine = (verdict: Result.Result<VerifiedToken, TokenError>, header: Members, faults: Faults): Check => {
  const check = { check: "token.signature", tried: `by the key ${shown(header["kid"])}` }
  const tag = Result.isFailure(verdict) ? verdict.failure._tag : undefined
  if (faults.size > 0 || tag === "MalformedToken") {
    return skipped({ ...check, found: "not looked at", meaning: "The token is refused before that." })
  }
  const atKey = ["UnknownKey", "InvalidSignature", "UnsupportedAlgorithm", "DiscoveryFailed", "KeysUnavailable"]
  return Result.isFailure(verdict) && atKey.includes(verdict.failure._tag)
    ? failed({ ...check, found: verdict.failure._tag, ...sentences(verdict.failure.message) })
    : ok({ ...check, found: "fits" })
}

/** The verifier's words for a token of this server's, which Okta's settings have nothing to do with. */
const ownWords = (error: TokenRefused): TokenRefused =>
  error._tag === "InvalidAudience" ? new InvalidAudience({ ...error, ownToken: true }) : error

const ofOkta =
  "In proxy mode clients show tokens of this server's own, and this one is Okta's: let the client sign in at this server."

/** What a token of Okta's has wrong with it in proxy mode has one reason. */
const misplaced = (checks: ReadonlyArray<Check>): ReadonlyArray<Check> =>
  checks.map((check) =>
    check.outcome === "failed" && check.check !== "token.scopes" ? { ...check, mend: ofOkta } : check
  )

/** Whether a principal has the scopes that every request needs. */
const requiredScopes = Effect.fnUntraced(function*(settings: Settings, principal: Principal, now: number) {
  if (settings.requiredScopes.length === 0) return []
  const rule = compile({ scopes: settings.requiredScopes }, settings.scopeHierarchy)
  const decided = yield* Effect.result(
    Effect.flatMap(Effect.fromResult(rule), (rule) => decide(rule, principal, () => now))
  )
  const check = { check: "token.scopes", tried: `REQUIRED_SCOPES ${settings.requiredScopes.join(" ")}` }
  return Result.isSuccess(decided)
    ? [ok({ ...check, found: "all of them" })]
    : [failed({ ...check, found: "not all of them", ...sentences(decided.failure.message) })]
})

/** A token, member by member and claim by claim, against the settings; its signature is looked at and never shown. */
export const explain = Effect.fnUntraced(function*(
  token: Redacted.Redacted<string>,
  settings: Settings,
  clockSkew: number | undefined
): Effect.fn.Return<ReadonlyArray<Check>, never, OktaHttp> {
  const own = settings.mode === "proxy" && !settings.passThrough ? settings : undefined
  const trust = own === undefined ? settings : ownTrust(own)
  const layer = yield* verifier(own, trust)
  const verdict = yield* Effect.result(
    Effect.scoped(Effect.provide(TokenVerifier.use(({ verify }) => verify(token)), Layer.fresh(layer)))
  )
  const jws = CompactJws.read(Redacted.value(token))
  if (typeof jws === "string") return [verdictLine(verdict)]

  const now = (yield* Clock.currentTimeMillis) / 1000
  const headerFaults = inHeader(jws.header, trust.algorithms)
  const payload = StrictJson.parse(jws.payload)
  const claims: Members = CompactJws.isJsonObject(payload) ? payload : {}
  const faults = new Map(
    CompactJws.isJsonObject(payload) ? inClaims(payload, rulesOf(trust, "access-token"), now, clockSkew) : []
  )
  if (own !== undefined) {
    faults.forEach((fault, claim) => faults.set(claim, ownWords(fault)))
    if (isAccessTokenClaims(claims) && claims.iat < (own.revokedBefore ?? 0)) faults.set("iat", revoked)
  }
  const checks = [
    verdictLine(verdict),
    ...linesOf(jws.header, headerFaults, headerMembers, (name) => ({
      check: `token.header.${name}`,
      tried: name,
      found: excerpt(shown(jws.header[name]))
    })),
    signatureLine(verdict, jws.header, headerFaults),
    ...linesOf(claims, faults, Object.keys(purposes), (name) => ({
      check: `token.${name}`,
      tried: purposes[name] === undefined ? name : `${name} (${purposes[name]})`,
      found: valueOf(name, claims[name], now)
    })),
    ...(isAccessTokenClaims(claims) ? yield* requiredScopes(settings, principalOf(claims), now) : [])
  ]
  return own !== undefined && claims["iss"] === own.issuer ? misplaced(checks) : checks
})
