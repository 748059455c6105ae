import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import * as oauth from "oauth4webapi"
import { nativeClient } from "../../src/demo/StandInDirectory.ts"
import { front, serve } from "../cli/Serving.ts"
import { OktaStandIn } from "../support/OktaStandIn.ts"
import * as Scene from "../support/ProxyScene.ts"

/** What the library hands to `fetch`, without members that have no value. */
const initOf = (
  { body, headers, method }: oauth.CustomFetchOptions<string, oauth.ProtectedResourceRequestBody>
): RequestInit => ({ method, headers, ...(body === undefined || body === null ? undefined : { body }) })

/** What proves that a client has its key: made by a library of others. */
const prover = (client: oauth.Client) =>
  Effect.promise(async () => {
    const dpop = oauth.DPoP(client, await oauth.generateKeyPair("ES256"))
    return { dpop, thumbprint: await dpop.calculateThumbprint() }
  })

/** Once more with the nonce, if that is what is asked for. */
const withNonce = async <A>(ask: () => Promise<A>): Promise<{ readonly value: A; readonly nonces: number }> => {
  try {
    return { value: await ask(), nonces: 0 }
  } catch (error) {
    if (!oauth.isDPoPNonceError(error)) throw error
    return { value: await ask(), nonces: 1 }
  }
}

/** Sends the very request of before once more, to whichever server. */
const repeat = (url: string, sent: RequestInit | undefined) => Effect.promise(() => fetch(url, sent))

describe("a client whose tokens are bound to its key", () => {
  for (const dpopNonces of [false, true]) {
    it.effect(`gets, uses and renews them in proxy mode, with nonces ${dpopNonces ? "" : "not "}demanded`, () =>
      Effect.gen(function*() {
        const scene = yield* Scene.make({ settings: { dpopNonces } })
        const two = yield* scene.start()
        let at = scene.one.actual
        let last: RequestInit | undefined
        const toServer = (
          url: string,
          options: oauth.CustomFetchOptions<string, oauth.ProtectedResourceRequestBody>
        ) => {
          last = initOf(options)
          return fetch(url.replace(Scene.serverUrl, at), last)
        }
        const reach = { [oauth.customFetch]: toServer }
        const client: oauth.Client = {
          client_id: scene.clientId,
          [oauth.clockSkew]: Scene.now - Math.floor(performance.timeOrigin / 1000 + performance.now() / 1000)
        }
        const issuer = new URL(Scene.serverUrl)
        const server = yield* Effect.promise(async () =>
          oauth.processDiscoveryResponse(
            issuer,
            await oauth.discoveryRequest(issuer, { algorithm: "oauth2", ...reach })
          )
        )
        assert.isTrue(server.dpop_signing_alg_values_supported?.includes("ES256"))
        const { dpop, thumbprint } = yield* prover(client)
        const other = yield* prover(client)

        const answer = (code: string) =>
          oauth.validateAuthResponse(
            server,
            client,
            new URLSearchParams({ code, state: Scene.clientState, iss: Scene.serverUrl }),
            Scene.clientState
          )
        const redeem = (code: string, DPoP: oauth.DPoPHandle) =>
          Effect.promise(() =>
            withNonce(async () =>
              oauth.processAuthorizationCodeResponse(
                server,
                client,
                await oauth.authorizationCodeGrantRequest(
                  server,
                  client,
                  oauth.None(),
                  answer(code),
                  Scene.redirectUri,
                  Scene.codeVerifier,
                  { DPoP, ...reach }
                )
              )
            )
          )
        const renew = (refreshToken: string, DPoP?: oauth.DPoPHandle) =>
          Effect.promise(() =>
            withNonce(async () =>
              oauth.processRefreshTokenResponse(
                server,
                client,
                await oauth.refreshTokenGrantRequest(server, client, oauth.None(), refreshToken, {
                  ...(DPoP === undefined ? undefined : { DPoP }),
                  ...reach
                })
              )
            )
          )
        const use = (token: string, DPoP?: oauth.DPoPHandle) =>
          Effect.promise(() =>
            withNonce(() =>
              oauth.protectedResourceRequest(
                token,
                "GET",
                new URL(`${Scene.serverUrl}/mcp`),
                undefined,
                undefined,
                { ...(DPoP === undefined ? undefined : { DPoP }), ...reach }
              )
            )
          )

        const { nonces, value: tokens } = yield* redeem(yield* scene.code({ dpop_jkt: thumbprint }), dpop)
        assert.strictEqual(nonces, dpopNonces ? 1 : 0)
        assert.strictEqual(tokens.token_type, "dpop")
        assert.deepInclude(Scene.claimsOf(tokens.access_token), { cnf: { jkt: thumbprint } })

        const { nonces: more, value: used } = yield* use(tokens.access_token, dpop)
        assert.deepStrictEqual([more, used.status], [0, 200])
        const replayed = yield* repeat(`${scene.one.actual}/mcp`, last)
        assert.strictEqual(replayed.status, 401)
        const elsewhere = yield* repeat(`${two.actual}/mcp`, last)
        assert.strictEqual(elsewhere.status, 401)
        assert.include(elsewhere.headers.get("www-authenticate"), "DPoP error=\"invalid_dpop_proof\"")

        at = two.actual
        assert.strictEqual((yield* use(tokens.access_token, dpop)).value.status, 200)
        const failed = yield* Effect.exit(use(tokens.access_token))
        assert.include(String(failed), "WWW-Authenticate")
        assert.include(String(yield* Effect.exit(use(tokens.access_token, other.dpop))), "WWW-Authenticate")

        const { refresh_token: refreshToken = "" } = tokens
        for (const stolen of [undefined, other.dpop]) {
          assert.include(String(yield* Effect.exit(renew(refreshToken, stolen))), "ResponseBodyError")
        }
        const { value: renewed } = yield* renew(refreshToken, dpop)
        assert.strictEqual(renewed.token_type, "dpop")
        at = scene.one.actual
        assert.strictEqual((yield* use(renewed.access_token, dpop)).value.status, 200)
      }))
  }

  it.live("uses in native mode those that Okta has bound", () =>
    Effect.gen(function*() {
      let target = ""
      const serverUrl = yield* front(() => target)
      const okta = yield* OktaStandIn.make()
      target = yield* serve(okta, {}, { SERVER_URL: serverUrl, REQUIRED_SCOPES: "mcp:read" })
      const client: oauth.Client = { client_id: nativeClient.clientId }
      const insecure = { [oauth.allowInsecureRequests]: true }
      const issuer = new URL(okta.issuer)
      const server = yield* Effect.promise(async () =>
        oauth.processDiscoveryResponse(issuer, await oauth.discoveryRequest(issuer, insecure))
      )
      const { dpop, thumbprint } = yield* prover(client)
      const verifier = oauth.generateRandomCodeVerifier()
      const redirectUri = nativeClient.redirectUris?.[0] ?? ""
      const url = new URL(server.authorization_endpoint ?? "")
      url.search = new URLSearchParams({
        response_type: "code",
        client_id: client.client_id,
        redirect_uri: redirectUri,
        scope: "openid offline_access mcp:read",
        state: "a state",
        code_challenge: yield* Effect.promise(() => oauth.calculatePKCECodeChallenge(verifier)),
        code_challenge_method: "S256",
        dpop_jkt: thumbprint
      }).toString()
      const parameters = oauth.validateAuthResponse(server, client, yield* okta.authorize(url), "a state")
      const tokens = yield* Effect.promise(async () =>
        oauth.processAuthorizationCodeResponse(
          server,
          client,
          await oauth.authorizationCodeGrantRequest(
            server,
            client,
            oauth.None(),
            parameters,
            redirectUri,
            verifier,
            { DPoP: dpop, ...insecure }
          )
        )
      )
      assert.strictEqual(tokens.token_type, "dpop")

      let last: RequestInit | undefined
      const list = (DPoP?: oauth.DPoPHandle) =>
        Effect.promise(() =>
          oauth.protectedResourceRequest(
            tokens.access_token,
            "POST",
            new URL(`${serverUrl}/mcp`),
            new Headers({ "content-type": "application/json" }),
            JSON.stringify({ jsonrpc: "2.0", id: 1, method: "tools/list", params: {} }),
            {
              ...(DPoP === undefined ? undefined : { DPoP }),
              ...insecure,
              [oauth.customFetch]: (url, options) => {
                last = initOf(options)
                return fetch(url, last)
              }
            }
          )
        )
      const answer = yield* list(dpop)
      assert.strictEqual(answer.status, 200)
      assert.include(yield* Effect.promise(() => answer.text()), "whoami")
      const again = yield* repeat(`${serverUrl}/mcp`, last)
      assert.deepStrictEqual([again.status, yield* Effect.promise(() => again.json())], [401, {
        error: "invalid_dpop_proof",
        error_description: "The DPoP proof is not good for this request."
      }])
      assert.include(String(yield* Effect.exit(list())), "WWW-Authenticate")
      assert.include(String(yield* Effect.exit(list((yield* prover(client)).dpop))), "WWW-Authenticate")
    }))
})
