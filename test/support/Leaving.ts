import { Clock, Effect } from "effect"
import { randomUUID } from "node:crypto"
import { type Person, webClient } from "../../src/demo/StandInDirectory.ts"
import { type Answer, type ProxyScene, type Server, serverUrl, tokensOf } from "./ProxyScene.ts"

/** Members of a token; `undefined` takes one away. */
export type Members = Readonly<Record<string, unknown>>

export const endpoint = `${serverUrl}/oauth/global-token-revocation`

export const event = "http://schemas.openid.net/event/backchannel-logout"

const times = Effect.map(Clock.currentTimeMillis, (millis) => {
  const iat = Math.floor(millis / 1000)
  return { iat, exp: iat + 300, jti: randomUUID() }
})

/** What Okta authenticates global token revocation with. */
export const revocationToken = Effect.fnUntraced(
  function*({ okta }: ProxyScene, claims: Members = {}, header: Members = {}) {
    const all = { iss: okta.issuer, sub: webClient.clientId, aud: endpoint, ...yield* times, ...claims }
    return yield* okta.mint(JSON.stringify(all), { typ: "global-token-revocation+jwt", ...header })
  }
)

/** Okta's request that everything of a person be ended. */
export const revokeAll = (server: Server, token: string | undefined, body: unknown): Effect.Effect<Answer> =>
  server.ask("/oauth/global-token-revocation", {
    headers: {
      "content-type": "application/json",
      ...(token === undefined ? {} : { authorization: `Bearer ${token}` })
    },
    body: typeof body === "string" ? body : JSON.stringify(body)
  })

/** What Okta tells of the end of a session. */
export const logoutToken = Effect.fnUntraced(
  function*({ okta }: ProxyScene, claims: Members = {}, header: Members = {}) {
    const all = { iss: okta.issuer, aud: webClient.clientId, events: { [event]: {} }, ...yield* times, ...claims }
    return yield* okta.mint(JSON.stringify(all), { typ: "logout+jwt", ...header })
  }
)

export const logOut = (server: Server, logout_token: string): Effect.Effect<Answer> =>
  server.post("/oauth/backchannel-logout", { logout_token })

/** A person signs in, in a browser that is new to Okta too. */
export const signIn = Effect.fnUntraced(function*(scene: ProxyScene, { login }: Person) {
  const agent = scene.browser()
  const { location } = yield* scene.allow(agent)
  const back = yield* agent.ask(yield* Effect.orDie(scene.okta.authorize(location, { login })))
  const code = back.location.searchParams.get("code") ?? ""
  return tokensOf(yield* scene.one.token(scene.redemption(code)))
})
