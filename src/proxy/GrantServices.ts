import { Effect, Layer, Option } from "effect"
import { CurrentPrincipal } from "../token/Principal.ts"
import { grantHandle } from "./Audit.ts"
import { Grants as OwnGrants } from "./grant/Grant.ts"
import * as GrantIndex from "./grant/GrantIndex.ts"
import { Grants, type GrantsOf, type GrantSummary, latestFirst, summaryOf } from "./Grants.ts"
import { NoUpstreamTokens, UpstreamTokens } from "./UpstreamTokens.ts"

const nameOf = (of: GrantsOf): GrantIndex.Name =>
  "person" in of ? GrantIndex.person(of.person) : GrantIndex.client(of.client)

/** What people have granted to clients of this server. */
export const grants: Layer.Layer<Grants, never, OwnGrants> = Layer.effect(
  Grants,
  Effect.map(OwnGrants, (grants) =>
    Grants.of({
      list: (of) =>
        Effect.map(grants.list(nameOf(of)), (found) =>
          latestFirst(
            Array.from(found, ([id, grant]): readonly [string, GrantSummary] => [id, summaryOf(id, grant)])
          ).map(([, summary]) => summary)),
      end: Effect.fnUntraced(function*(handle, of) {
        for (const id of (yield* grants.list(nameOf(of))).keys()) {
          if (grantHandle(id) === handle) {
            return yield* grants.end(id, "by-operator")
          }
        }
        return false
      }),
      endAll: (of) => Effect.map(grants.endAll(nameOf(of), "by-operator"), (ended = 0) => ended)
    }))
)

/** Okta's tokens of who is calling, from the grants of this server. */
export const upstreamTokens: Layer.Layer<UpstreamTokens, never, OwnGrants> = Layer.effect(
  UpstreamTokens,
  Effect.map(OwnGrants, ({ oktaTokens }) =>
    UpstreamTokens.of({
      get: Effect.gen(function*() {
        const principal = yield* CurrentPrincipal
        if (principal._tag === "Service" || principal.sessionId === undefined) {
          return yield* new NoUpstreamTokens({ reason: "no person has signed in through this server" })
        }
        const tokens = yield* oktaTokens(principal.sessionId)
        if (Option.isNone(tokens)) return yield* new NoUpstreamTokens({ reason: "the grant has ended" })
        const { accessToken, expiresAt, idToken } = tokens.value
        return { accessToken, idToken, expiresAt }
      })
    }))
)
