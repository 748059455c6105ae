import { Clock, Effect, Option, Redacted, Schema } from "effect"
import type { JWTHeaderParameters } from "jose"
import { jwtVerify } from "jose/jwt/verify"
import type { ProxySettings } from "../ProxySettings.ts"
import type { Sealed } from "../Sealed.ts"
import * as RefreshToken from "./RefreshToken.ts"
import type { SigningKeys } from "./SigningKeys.ts"

/** What an access token of this server says. Times are in seconds since 1970. */
const AccessToken = Schema.StructWithRest(
  Schema.Struct({
    sid: Schema.optionalKey(Schema.String),
    client_id: Schema.String,
    scope: Schema.optionalKey(Schema.String),
    iat: Schema.Number,
    exp: Schema.Number
  }),
  [Schema.Record(Schema.String, Schema.Unknown)]
)

/** What an access token of this server says. */
export type AccessToken = typeof AccessToken.Type

/** A token that this server has issued. */
export type OwnToken =
  | { readonly _tag: "AccessToken"; readonly grantId: string; readonly claims: AccessToken }
  | {
    readonly _tag: "ServiceToken"
    readonly clientId: string
    readonly scopes: ReadonlyArray<string>
    readonly claims: AccessToken
  }
  | { readonly _tag: "RefreshToken"; readonly grantId: string; readonly generation: number }

const decode = Schema.decodeUnknownOption(AccessToken)

/** Reads the tokens that this server has issued, whichever resource they are for; whether their grant lasts is not looked at. */
export const reader = (
  { revokedBefore = 0, serverUrl }: ProxySettings,
  { keys, sealed }: { readonly keys: SigningKeys["Service"]; readonly sealed: Sealed["Service"] }
) => {
  const keyOf = ({ kid }: JWTHeaderParameters) => {
    const key = kid === undefined ? undefined : keys.peek(kid)?.key
    return key === undefined ? Promise.reject(new Error("The key is not one of the ring")) : Promise.resolve(key)
  }

  const readAccessToken = Effect.fnUntraced(function*(token: string) {
    const currentDate = new Date(yield* Clock.currentTimeMillis)
    const verified = yield* Effect.option(
      Effect.tryPromise(() => jwtVerify(token, keyOf, { issuer: serverUrl, typ: "at+jwt", currentDate }))
    )
    return verified.pipe(
      Option.flatMap(({ payload }) => decode(payload)),
      Option.filter(({ iat }) => iat >= revokedBefore),
      Option.map((claims): OwnToken =>
        claims.sid === undefined
          ? {
            _tag: "ServiceToken",
            clientId: claims.client_id,
            scopes: claims.scope?.split(" ") ?? [],
            claims
          }
          : { _tag: "AccessToken", grantId: claims.sid, claims }
      )
    )
  })

  return Effect.fnUntraced(function*(token: string): Effect.fn.Return<Option.Option<OwnToken>> {
    const refreshToken = yield* RefreshToken.read(sealed, Redacted.make(token))
    return Option.isSome(refreshToken)
      ? Option.some({ _tag: "RefreshToken", ...refreshToken.value })
      : yield* readAccessToken(token)
  })
}
