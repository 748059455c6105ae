import { Effect, Option, Redacted } from "effect"
import { sparingly } from "../../observe/Sparingly.ts"
import type { OktaSession } from "../OktaClient.ts"
import type { Sealed } from "../Sealed.ts"
import type { Grant } from "./GrantRecord.ts"

/** Okta's tokens of a grant. */
export type OktaTokens = OktaSession["tokens"]

/** One token of Okta's as it is kept. */
export const sealToken = (sealed: Sealed["Service"], token: Redacted.Redacted<string>): Effect.Effect<string> =>
  sealed.seal("upstream", Redacted.value(token))

/** Okta's tokens as they are kept: each sealed once more. */
export const seal = (
  sealed: Sealed["Service"],
  { accessToken, expiresAt, idToken, refreshToken, scopes }: OktaTokens
): Effect.Effect<NonNullable<Grant["okta"]>> => {
  const one = (token: Redacted.Redacted<string>) => sealToken(sealed, token)
  return Effect.map(
    Effect.all([one(accessToken), one(idToken), refreshToken === undefined ? Effect.undefined : one(refreshToken)]),
    ([accessToken, idToken, refreshToken]) => ({
      accessToken,
      idToken,
      ...(refreshToken === undefined ? undefined : { refreshToken }),
      expiresAt,
      ...(scopes === undefined ? undefined : { scopes })
    })
  )
}

/** A token as Okta gave it; none, with a warning, when it cannot be opened. */
export const openToken = Effect.fnUntraced(function*(sealed: Sealed["Service"], token: string) {
  const opened = yield* sealed.open("upstream", token)
  if (Option.isNone(opened)) {
    yield* sparingly("Warn", "unreadable token", "A token of Okta's in the store cannot be read")
  }
  return Option.map(opened, Redacted.make)
})

/** Okta's tokens as Okta gave them; none when one cannot be opened. */
export const open = Effect.fnUntraced(function*(
  sealed: Sealed["Service"],
  { okta }: Pick<Grant, "okta">
) {
  if (okta === undefined) return Option.none()
  const { accessToken, expiresAt, idToken, refreshToken } = okta
  const opened = Option.all([yield* openToken(sealed, accessToken), yield* openToken(sealed, idToken)])
  const refresh = refreshToken === undefined ? Option.none() : yield* openToken(sealed, refreshToken)
  return Option.map(opened, ([accessToken, idToken]): OktaTokens => ({
    accessToken,
    idToken,
    ...(Option.isSome(refresh) ? { refreshToken: refresh.value } : undefined),
    expiresAt
  }))
})
