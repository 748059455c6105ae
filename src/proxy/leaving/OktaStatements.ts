import { Clock, Context, Duration, Effect, Layer, Result, Schema } from "effect"
import type { InvalidConfiguration } from "../../config/InvalidConfiguration.ts"
import { issuerKind } from "../../config/IssuerUrl.ts"
import { OktaConfig } from "../../config/OktaConfig.ts"
import { ReplayDetected } from "../../observe/AuditEvent.ts"
import { Discovery } from "../../provider/Discovery.ts"
import { Jwks } from "../../provider/Jwks.ts"
import { OktaHttp } from "../../provider/OktaHttp.ts"
import { Store, type StoreUnavailable } from "../../store/Store.ts"
import { claimedIssuer } from "../../token/ClaimsCheck.ts"
import * as CompactJws from "../../token/CompactJws.ts"
import * as HeaderPolicy from "../../token/HeaderPolicy.ts"
import { Signature } from "../../token/Signature.ts"
import * as StrictJson from "../../token/StrictJson.ts"
import {
  InvalidAudience,
  InvalidClaim,
  InvalidIssuer,
  InvalidSignature,
  MalformedToken,
  TokenExpired,
  TokenNotYetValid,
  type TokenRefused,
  UnsupportedAlgorithm,
  type VerificationUnavailable
} from "../../token/TokenError.ts"
import * as Audit from "../Audit.ts"
import { type ProxySettings, proxySettings } from "../ProxySettings.ts"
import { Sealed } from "../Sealed.ts"
import * as SingleUse from "../SingleUse.ts"

/** What both kinds have to say; what else they say is the endpoints' own. */
const Claims = Schema.Struct({
  aud: Schema.Union([Schema.String, Schema.Tuple([Schema.String])]),
  iat: Schema.Int,
  exp: Schema.Int,
  nbf: Schema.optionalKey(Schema.Int),
  jti: Schema.NonEmptyString.check(Schema.isMaxLength(1000))
})

const decode = Schema.decodeUnknownResult(Claims)

/** The claims of a verified statement. */
export type Statement = { readonly [claim: string]: unknown }

/** How long after it was made a statement counts at most, whatever it says itself, in seconds. */
const longestAge = Duration.toSeconds("10 minutes")

/** Longer ones are not looked at. */
const longest = 8192

/** The issuer of the organization: that of the org server, which is beside every custom one. */
export const orgIssuer = ({ issuer }: Pick<ProxySettings, "issuer">): string => new URL(issuer).origin

/**
 * Verifies what Okta signs to have people signed out: by the same steps as any token, and each once.
 *
 * **Details**
 *
 * Global token revocation is asked for by the issuer or, where that is a custom server, by the organization itself, whose keys are
 * fetched when it first asks. A logout token is of the issuer.
 */
export class OktaStatements extends Context.Service<OktaStatements, {
  /** Acts on what a statement says, once. What could not be done can be asked for again by the same statement. */
  readonly obey: <A, E>(
    kind: HeaderPolicy.LogoutKind,
    text: string,
    act: (statement: Statement) => Effect.Effect<A, E>
  ) => Effect.Effect<A, E | TokenRefused | VerificationUnavailable | StoreUnavailable>
}>()("effect-okta/proxy/leaving/OktaStatements") {
  static readonly layer: Layer.Layer<
    OktaStatements,
    InvalidConfiguration,
    OktaConfig | OktaHttp | Jwks | Signature | Sealed | Store
  > = Layer.effect(
    OktaStatements,
    Effect.gen(function*() {
      const settings = yield* proxySettings
      const { algorithms, clientId, issuer, serverUrl } = settings
      const own = yield* Jwks
      const http = yield* OktaHttp
      const signature = yield* Signature
      const audit = yield* Audit.make
      const keeping = { sealed: yield* Sealed, store: yield* Store }
      const { isFirst, isUsed } = SingleUse.make("statement", keeping)
      const scope = yield* Effect.scope
      const tolerance = Duration.toSeconds(settings.clockTolerance)
      const org = orgIssuer(settings)

      const orgKeys = yield* Effect.cached(
        Layer.buildWithScope(
          Layer.fresh(Jwks.layer).pipe(
            Layer.provide(Layer.fresh(Discovery.layer)),
            Layer.provide(Layer.succeed(OktaConfig, { ...settings, issuer: org })),
            Layer.provide(Layer.succeed(OktaHttp, http))
          ),
          scope
        ).pipe(Effect.map(Context.get(Jwks)))
      )

      const rules = {
        "global-token-revocation": {
          audience: `${serverUrl}/oauth/global-token-revocation`,
          issuers: issuerKind(issuer) === "custom" ? [issuer, org] : [issuer]
        },
        "logout-token": { audience: clientId, issuers: [issuer] }
      }

      const prove = Effect.fnUntraced(function*(
        kind: HeaderPolicy.LogoutKind,
        text: string
      ): Effect.fn.Return<CompactJws.CompactJws, TokenRefused | VerificationUnavailable> {
        if (text.length > longest) {
          return yield* new MalformedToken({ reason: `it is longer than ${longest} characters` })
        }
        const jws = CompactJws.read(text)
        if (typeof jws === "string") return yield* new MalformedToken({ reason: jws })
        const header = HeaderPolicy.check(jws.header, algorithms, kind)
        if (header instanceof Error) return yield* header
        const said = StrictJson.parse(jws.payload)
        const { issuers } = rules[kind]
        const by = CompactJws.isJsonObject(said) ? issuers.find((issuer) => issuer === said["iss"]) : undefined
        if (by === undefined) {
          const actual = CompactJws.isJsonObject(said) ? claimedIssuer(said) : "absent"
          return yield* new InvalidIssuer({ expected: issuers, actual })
        }
        const key = yield* (by === issuer ? own : yield* orgKeys).key(header.kid)
        if (!key.algorithms.includes(header.algorithm)) {
          return yield* new UnsupportedAlgorithm({ expected: key.algorithms, actual: header.algorithm })
        }
        const isValid = yield* signature.verify(header.algorithm, key.key, jws.signingInput, jws.signature)
        return isValid ? jws : yield* new InvalidSignature(header)
      })

      return OktaStatements.of({
        obey: Effect.fnUntraced(function*(kind, text, act) {
          const statement = StrictJson.parse((yield* prove(kind, text)).payload)
          const now = (yield* Clock.currentTimeMillis) / 1000
          const claims = check(statement, { audience: rules[kind].audience, now, tolerance })
          if (claims instanceof Error) return yield* claims
          const { exp, iat, iss, jti } = claims
          const use = {
            issuer: `${kind} ${String(iss)}`,
            jti,
            endsIn: Math.min(exp, iat + longestAge) + tolerance - now
          }
          if (yield* isUsed(use)) {
            yield* audit((origin) => new ReplayDetected({ ...origin, what: "logout token" }))
            return yield* new InvalidClaim({ claim: "jti", problem: "has been used before" })
          }
          const done = yield* act(claims)
          // Last, and whoever came at the same moment has done the same once more, which changes nothing.
          yield* isFirst(use)
          return done
        })
      })
    })
  )
}

/** The claims that every statement needs, or the first reason to refuse them. */
const check = (
  statement: unknown,
  { audience, now, tolerance }: { readonly audience: string; readonly now: number; readonly tolerance: number }
): typeof Claims.Type & Statement | TokenRefused => {
  const decoded = decode(statement)
  if (Result.isFailure(decoded) || !CompactJws.isJsonObject(statement)) {
    return new MalformedToken({ reason: "it lacks one of aud, iat, exp and jti, or has one of another type" })
  }
  const { aud, exp, iat, nbf } = decoded.success
  const [only] = typeof aud === "string" ? [aud] : aud
  if (only !== audience) return new InvalidAudience({ expected: [audience], actual: [only.slice(0, 200)] })
  if (exp <= now - tolerance) return new TokenExpired({ expiredAt: exp, now })
  if (iat > now + tolerance) return new TokenNotYetValid({ claim: "iat", validFrom: iat, now })
  if (nbf !== undefined && nbf > now + tolerance) return new TokenNotYetValid({ claim: "nbf", validFrom: nbf, now })
  if (iat <= now - longestAge - tolerance) {
    return new InvalidClaim({ claim: "iat", problem: `is more than ${longestAge} seconds ago` })
  }
  return { ...statement, ...decoded.success }
}
