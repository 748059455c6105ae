import { assert, describe, it } from "@effect/vitest"
import { Effect, Redacted } from "effect"
import { ada, serviceClient, uidOf } from "../../src/demo/StandInDirectory.ts"
import { basic, tokenProof } from "../support/Credentials.ts"
import { authenticated, clients, idJagScene, proofOf, secretOfOther } from "../support/IdJagScene.ts"
import * as Leaving from "../support/Leaving.ts"
import * as NativeScene from "../support/NativeScene.ts"
import { ProofKey } from "../support/Proofs.ts"
import { type Answer, decide, fieldsOf, membersOf, now, serverUrl, tokensOf } from "../support/ProxyScene.ts"

const key = new ProofKey()
const mcp = `${serverUrl}/mcp`

const service = { clientId: "nightly", clientSecrets: [Redacted.make(secretOfOther)], serviceScopes: ["mcp:read"] }
const resourceServer = { clientId: "files", clientSecrets: [Redacted.make(secretOfOther)], mayIntrospect: true }
const introspects = basic("files", secretOfOther)

/** A server that takes and gives everything that there is, and one of each kind of what it does. */
const arrange = Effect.gen(function*() {
  const scene = yield* idJagScene({ settings: { clients: [...clients ?? [], service, resourceServer] } })
  const { one } = scene
  const browser = scene.browser()
  const page = yield* browser.ask(scene.authorizeUrl())
  const state = (yield* decide(browser, page, "allow")).location.searchParams.get("state") ?? ""
  const first = yield* scene.signIn()
  const redeemed = yield* one.token(scene.redemption(yield* scene.code()), tokenProof(key))
  const bound = tokensOf(redeemed)
  const ofOkta = scene.oktaAnswers.map((text) => JSON.parse(text)).find((answer) => "id_token" in answer)
  const given = yield* one.token({ grant_type: "client_credentials", resource: mcp }, basic("nightly", secretOfOther))
  const kinds: Readonly<Record<string, string>> = {
    "an access token": first.accessToken,
    "an access token that is bound to a key": bound.accessToken,
    "a service's access token": String(membersOf(given)["access_token"]),
    "a refresh token": first.refreshToken,
    "a code": yield* scene.code(),
    "a consent form": fieldsOf(page)["request"] ?? "",
    "a state at Okta": state,
    "a cookie": [...browser.cookies.values()][0]?.value ?? "",
    "a registered client's id": scene.clientId,
    "Okta's access token": String(ofOkta.access_token),
    "Okta's access token for this server": yield* scene.okta.mint({ aud: mcp, iss: scene.okta.issuer }),
    "Okta's ID token": String(ofOkta.id_token),
    "Okta's refresh token": String(ofOkta.refresh_token),
    "an ID-JAG": yield* scene.idJag(),
    "a token of Universal Logout": yield* Leaving.revocationToken(scene),
    "a logout token": yield* Leaving.logoutToken(scene, { sub: uidOf(ada) }),
    "a client assertion": yield* proofOf("agent"),
    "a DPoP proof for the resource": key.proof({ url: mcp, iat: now, token: bound.accessToken }),
    "a DPoP proof for the token endpoint": tokenProof(key).dpop
  }
  return { scene, kinds, first, bound, browser, page }
})

type Arranged = Effect.Success<typeof arrange>

/** What is shown at a place, and what is answered to it: a status and a code of OAuth's, or what a person sees. */
interface Place {
  readonly show: (text: string, arranged: Arranged) => Effect.Effect<Answer>
  /** The kinds that belong there. */
  readonly own: ReadonlyArray<string>
  readonly refused: readonly [status: number, says: string]
}

const ownTokens = [
  "an access token",
  "an access token that is bound to a key",
  "a service's access token",
  "a refresh token"
]

const places: Readonly<Record<string, Place>> = {
  "the guard, as a bearer token": {
    show: (text, { scene }) => scene.one.call(text),
    own: ["an access token", "a service's access token"],
    refused: [401, "\"error\":\"invalid_token\""]
  },
  "the guard, as a token with a proof": {
    show: (text, { scene }) =>
      scene.one.ask("/mcp", {
        headers: { authorization: `DPoP ${text}`, dpop: key.proof({ url: mcp, iat: now, token: text }) }
      }),
    own: ["an access token that is bound to a key"],
    refused: [401, "\"error\":\"invalid_token\""]
  },
  "the guard, as a proof": {
    show: (dpop, { bound, scene }) =>
      scene.one.ask("/mcp", { headers: { authorization: `DPoP ${bound.accessToken}`, dpop } }),
    own: ["a DPoP proof for the resource"],
    refused: [401, "\"error\":\"invalid_dpop_proof\""]
  },
  "the token endpoint, as a proof": {
    show: (dpop, { bound, scene }) => scene.one.token(scene.refreshment(bound.refreshToken), { dpop }),
    own: ["a DPoP proof for the token endpoint"],
    refused: [400, "\"error\":\"invalid_dpop_proof\""]
  },
  "the token endpoint, as a code": {
    show: (text, { scene }) => scene.one.token(scene.redemption(text)),
    own: ["a code"],
    refused: [400, "\"error\":\"invalid_grant\""]
  },
  "the token endpoint, as a refresh token": {
    show: (text, { scene }) => scene.one.token(scene.refreshment(text)),
    own: ["a refresh token"],
    refused: [400, "\"error\":\"invalid_grant\""]
  },
  "the token endpoint, as an ID-JAG": {
    show: (text, { scene }) => scene.bring(text),
    own: ["an ID-JAG"],
    refused: [400, "\"error\":\"invalid_grant\""]
  },
  "the token endpoint, as what a client proves itself with": {
    show: (client_assertion, { scene }) =>
      Effect.flatMap(scene.idJag(), (assertion) => scene.bring(assertion, { client_assertion })),
    own: ["a client assertion"],
    refused: [401, "\"error\":\"invalid_client\""]
  },
  "the token endpoint, as a token to be exchanged": {
    show: (subject_token, { scene }) =>
      Effect.flatMap(authenticated("agent"), (proof) =>
        scene.one.token({
          grant_type: "urn:ietf:params:oauth:grant-type:token-exchange",
          subject_token,
          subject_token_type: "urn:ietf:params:oauth:token-type:access_token",
          ...proof
        })),
    own: [],
    refused: [400, "\"error\":\"unsupported_grant_type\""]
  },
  "introspection": {
    show: (token, { scene }) => scene.one.post("/oauth/introspect", { token }, introspects),
    own: ownTokens,
    refused: [200, "{\"active\":false}"]
  },
  "Universal Logout": {
    show: (text, { scene }) => Leaving.revokeAll(scene.one, text, { sub_id: { format: "email", email: ada.login } }),
    own: ["a token of Universal Logout"],
    refused: [401, "\"error\":\"invalid_token\""]
  },
  "back-channel logout": {
    show: (text, { scene }) => Leaving.logOut(scene.one, text),
    own: ["a logout token"],
    refused: [400, "\"error\":\"invalid_request\""]
  },
  "the callback, as a state": {
    show: (state, { browser }) => browser.ask(`/oauth/callback?${new URLSearchParams({ state, code: "x" })}`),
    own: ["a state at Okta"],
    refused: [400, "<code>invalid_request</code>"]
  },
  "the consent page, as its form": {
    show: (request, { browser }) =>
      browser.ask("/oauth/consent", { body: new URLSearchParams({ request, decision: "allow" }) }),
    own: ["a consent form"],
    refused: [400, "<code>invalid_request</code>"]
  },
  "the consent page, as its cookie": {
    show: (value, { browser, page, scene }) => {
      const other = scene.browser()
      for (const [name, cookie] of browser.cookies) other.cookies.set(name, { ...cookie, value })
      return decide(other, page, "allow")
    },
    own: ["a cookie"],
    refused: [403, "<code>access_denied</code>"]
  },
  "the beginning of a sign-in, as a client's id": {
    show: (client_id, { scene }) => scene.browser().ask(scene.authorizeUrl({ client_id })),
    own: ["a registered client's id"],
    refused: [400, "<code>invalid_client</code>"]
  }
}

/** Places at which what does not belong there is answered like what does: nothing may have come of it. */
const revocation = (token: string, { scene }: Arranged) => scene.one.revoke({ token, client_id: scene.clientId })

/** Statuses with which each kind is taken where it belongs; what ends something comes last. */
const taken: ReadonlyArray<readonly [place: string, kind: string, status: number]> = [
  ["the guard, as a bearer token", "an access token", 200],
  ["the guard, as a bearer token", "a service's access token", 200],
  ["the guard, as a token with a proof", "an access token that is bound to a key", 200],
  ["the guard, as a proof", "a DPoP proof for the resource", 200],
  ["introspection", "an access token", 200],
  ["introspection", "an access token that is bound to a key", 200],
  ["introspection", "a service's access token", 200],
  ["introspection", "a refresh token", 200],
  ["the token endpoint, as a proof", "a DPoP proof for the token endpoint", 200],
  ["the token endpoint, as a code", "a code", 200],
  ["the token endpoint, as a refresh token", "a refresh token", 200],
  ["the token endpoint, as an ID-JAG", "an ID-JAG", 200],
  ["the token endpoint, as what a client proves itself with", "a client assertion", 200],
  // Okta knows no such code, which is told the client.
  ["the callback, as a state", "a state at Okta", 302],
  ["the consent page, as its form", "a consent form", 303],
  ["the consent page, as its cookie", "a cookie", 303],
  ["the beginning of a sign-in, as a client's id", "a registered client's id", 200],
  ["back-channel logout", "a logout token", 200],
  ["Universal Logout", "a token of Universal Logout", 204]
]

describe("A. Every kind of token, code and handle, shown at every place", () => {
  it.effect("#18 #19 #20 is refused wherever it does not belong, ends nothing, and stays good where it does", () =>
    Effect.gen(function*() {
      const arranged = yield* arrange
      const { kinds, scene } = arranged
      for (const [kind, text] of Object.entries(kinds)) {
        assert.isAtLeast(text.length, 20, kind)
        for (const [place, { own, refused: [status, says], show }] of Object.entries(places)) {
          if (own.includes(kind)) continue
          const answer = yield* show(text, arranged)
          assert.strictEqual(answer.status, status, `${kind} at ${place}: ${answer.body}`)
          assert.include(answer.body, says, `${kind} at ${place}`)
          assert.notInclude(answer.body, "access_token", `${kind} at ${place}`)
        }
        if (ownTokens.includes(kind)) continue
        const answer = yield* revocation(text, arranged)
        assert.deepStrictEqual([answer.status, answer.body], [200, ""], kind)
      }
      for (const [place, kind, status] of taken) {
        const { own, show } = places[place] ?? assert.fail(place)
        assert.include(own, kind)
        const answer = yield* show(kinds[kind] ?? "", arranged)
        assert.strictEqual(answer.status, status, `${kind} at ${place}: ${answer.body}`)
        if (place === "introspection") assert.include(answer.body, "\"active\":true", kind)
      }
      assert.strictEqual((yield* scene.one.call(arranged.first.accessToken)).status, 401, "signed out everywhere")
      const shown = new Set(taken.map(([, kind]) => kind))
      const nowhere = Object.keys(kinds).filter((kind) => !shown.has(kind))
      assert.deepStrictEqual(nowhere, [
        "Okta's access token",
        "Okta's access token for this server",
        "Okta's ID token",
        "Okta's refresh token"
      ])
    }))

  it.effect("#17 #18 in native mode none but Okta's access token lets anybody in, whether or not Okta is asked", () =>
    Effect.gen(function*() {
      const scene = yield* NativeScene.make()
      const { okta, serve } = scene
      const { accessToken, idToken = "", refreshToken = "" } = yield* okta.signIn({
        redirectUri: "http://127.0.0.1:45678/callback",
        scopes: ["openid", "offline_access"]
      })
      const aud = okta.audience
      const times = { iat: now, exp: now + 300 }
      const bare = { ver: undefined, cid: undefined, uid: undefined, scp: undefined }
      const kinds = {
        "an ID token": idToken,
        "an ID token for this server": yield* okta.mint({ ...bare, nonce: "n", at_hash: "h" }),
        "a refresh token": refreshToken,
        "an ID-JAG": yield* okta.mint({ ...bare, ...times, resource: aud, client_id: "c" }, {
          typ: "oauth-id-jag+jwt"
        }),
        "a token of Universal Logout": yield* okta.mint(times, { typ: "global-token-revocation+jwt" }),
        "a logout token": yield* okta.mint({ ...times, events: { [Leaving.event]: {} } }, { typ: "logout+jwt" }),
        "a logout token without a type": yield* okta.mint({ ...times, events: { [Leaving.event]: {} } }),
        "a security event": yield* okta.mint({ ...times, events: {} }, { typ: "secevent+jwt" }),
        "a client assertion": yield* proofOf("agent"),
        "a DPoP proof": key.proof({ url: "https://mcp.example.com/whoami", iat: now })
      }
      const asking = { clientId: serviceClient.clientId, clientSecret: Redacted.make(serviceClient.clientSecret ?? "") }
      for (const mode of [undefined, "recheck", "only"] as const) {
        const server = yield* serve(mode === undefined ? {} : { introspection: { mode, ...asking } })
        assert.strictEqual((yield* server.ask(accessToken)).status, 200, mode)
        for (const [kind, text] of Object.entries(kinds)) {
          assert.isAtLeast(text.length, 20, kind)
          const { body, status } = yield* server.ask(text)
          assert.strictEqual(status, 401, `${kind}, ${mode}`)
          assert.include(JSON.stringify(body), "\"error\":\"invalid_token\"", kind)
        }
      }
    }))
})
