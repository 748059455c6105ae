import { Schema } from "effect"
import type { Algorithm } from "../../config/Algorithm.ts"
import * as ClaimsCheck from "../../token/ClaimsCheck.ts"
import * as HeaderPolicy from "../../token/HeaderPolicy.ts"
import { TokenRefused } from "../../token/TokenError.ts"

/** Members of a header, or claims. */
export type Members = Readonly<Record<string, unknown>>

/** What the verifier has against each member; it names the first fault only, so that fault is mended and it is asked again. */
export type Faults = ReadonlyMap<string, TokenRefused>

/** More than there are things to find fault with. */
const mostFaults = 40

const faultsIn = (
  given: Members,
  check: (members: Members) => unknown,
  placeOf: (error: TokenRefused, members: Members) => string,
  mend: (members: Members, place: string, again: boolean) => Members
): Faults => {
  const faults = new Map<string, TokenRefused>()
  let members = given
  for (let count = 0; count < mostFaults; count++) {
    const verdict = check(members)
    if (!isRefusal(verdict)) break
    const place = placeOf(verdict, members)
    const again = faults.has(place)
    if (!again) faults.set(place, verdict)
    members = mend(members, place, again)
  }
  return faults
}

const isRefusal = Schema.is(TokenRefused)

const without = (members: Members, name: string): Members =>
  Object.fromEntries(Object.entries(members).filter(([member]) => member !== name))

/** What the header policy has against the members of a header. */
export const inHeader = (header: Members, accepted: ReadonlyArray<Algorithm>): Faults =>
  faultsIn(
    header,
    (members) => HeaderPolicy.check(members, accepted, "access-token"),
    (error, members) => {
      switch (error._tag) {
        case "UnsupportedAlgorithm":
          return "alg"
        case "WrongTokenType":
          return "typ"
        default: {
          const member = error._tag === "MalformedToken" ? / member (\S+)$/.exec(error.reason)?.[1] : undefined
          return member === "x5t"
            ? Object.keys(members).find((name) => name.startsWith(member)) ?? "kid"
            : member ?? "kid"
        }
      }
    },
    (members, place) =>
      place === "alg"
        ? { ...members, alg: accepted[0] }
        : place === "kid"
        ? { ...members, kid: "mended" }
        : without(members, place)
  )

/** Where an ID token shows that it is one. */
const idTokenMarks = ["nonce", "at_hash", "c_hash"]

const secondOf = (value: unknown): number | undefined => Number.isSafeInteger(value) ? Number(value) : undefined

/** What the rules for claims have against each of them; `now` is in seconds since 1970, `clockSkew` in milliseconds. */
export const inClaims = (
  claims: Members,
  rules: ClaimsCheck.ClaimRules,
  now: number,
  clockSkew: number | undefined
): Faults =>
  faultsIn(
    claims,
    (members) => ClaimsCheck.check(members, rules, now, clockSkew),
    (error, members) => {
      switch (error._tag) {
        case "InvalidIssuer":
          return "iss"
        case "InvalidAudience":
          return "aud"
        case "TokenExpired":
          return "exp"
        case "TokenNotYetValid":
        case "InvalidClaim":
          return error.claim
        case "WrongTokenType":
          return idTokenMarks.find((claim) => claim in members) ?? "nonce"
        default:
          return members["cid"] === undefined && members["client_id"] !== undefined ? "client_id" : "cid"
      }
    },
    (members, place, again) => {
      const second = Math.floor(now)
      const iat = secondOf(members["iat"])
      const exp = secondOf(members["exp"])
      switch (place) {
        case "iss":
          return { ...members, iss: rules.issuer }
        case "aud":
          return { ...members, aud: rules.audience[0] ?? "" }
        case "sub":
          return { ...members, sub: "mended" }
        case "exp":
          return again
            ? { ...members, iat: second, exp: second + 1 }
            : { ...members, exp: Math.max(second, iat ?? second) + 1 }
        case "iat":
          // The token lives as long as it did, so that too long a life remains one.
          return iat === undefined || exp === undefined
            ? { ...members, iat: second }
            : { ...members, iat: second, exp: second + Math.max(1, exp - iat) }
        case "cid":
        case "client_id":
          return typeof members[place] === "string" || rules.allowedClients !== undefined
            ? { ...members, [place]: rules.allowedClients?.[0] ?? "mended" }
            : without(members, place)
        default:
          return without(members, place)
      }
    }
  )
