import { assert, layer } from "@effect/vitest"
import { Effect, Redacted } from "effect"
import crypto from "node:crypto"
import { syncBuiltinESMExports } from "node:module"
import { vi } from "vitest"
import { assertRefused, decide, Scene } from "../support/ProxyScene.ts"

/** What was compared in constant time meanwhile: whether any pair had equal lengths and other bytes. */
const compared = <A, E, R>(effect: Effect.Effect<A, E, R>) =>
  Effect.acquireUseRelease(
    Effect.sync(() => {
      const spy = vi.spyOn(crypto, "timingSafeEqual")
      syncBuiltinESMExports()
      return spy
    }),
    (spy) =>
      Effect.map(effect, (value) => {
        const isDifferent = spy.mock.results.some(({ value }) => value === false)
        return { value, isDifferent }
      }),
    (spy) =>
      Effect.sync(() => {
        spy.mockRestore()
        syncBuiltinESMExports()
      })
  )

/** The same text but for its first or its last character. */
const near = (text: string): ReadonlyArray<string> => [
  (text.startsWith("A") ? "B" : "A") + text.slice(1),
  // The last character of base64url may have bits that mean nothing: the last but one has none.
  text.slice(0, -2) + (text.at(-2) === "A" ? "B" : "A") + text.slice(-1)
]

const configuredSecret = "a secret of a client that the owner knows"
const clients = [{
  clientId: "configured",
  clientSecrets: [Redacted.make(configuredSecret)],
  redirectUris: ["https://client.example.com/callback"]
}]

layer(Scene.layer({ settings: { clients }, client: { token_endpoint_auth_method: "client_secret_post" } }))(
  "I. What is compared with a secret",
  (it) => {
    it.effect("#146 a client's secret, configured or registered, is compared in constant time", () =>
      Effect.gen(function*() {
        const scene = yield* Scene
        for (
          const [client_id, secret] of [[scene.clientId, scene.clientSecret], ["configured", configuredSecret]] as const
        ) {
          for (const client_secret of near(secret)) {
            const { isDifferent, value } = yield* compared(scene.one.revoke({ client_id, client_secret, token: "x" }))
            assertRefused(value, 401, "invalid_client")
            assert.isTrue(isDifferent)
          }
          const right = yield* compared(scene.one.revoke({ client_id, client_secret: secret, token: "x" }))
          assert.deepStrictEqual([right.value.status, right.isDifferent], [200, false])
        }
      }))

    it.effect("#146 a code verifier, a refresh token and a cookie are, too", () =>
      Effect.gen(function*() {
        const scene = yield* Scene
        const client_secret = scene.clientSecret
        for (const code_verifier of near("v".repeat(43))) {
          const form = scene.redemption(yield* scene.code(), { code_verifier, client_secret })
          const { isDifferent, value } = yield* compared(scene.one.token(form))
          assertRefused(value, 400, "invalid_grant")
          assert.isTrue(isDifferent)
        }

        const granted = yield* scene.one.token(scene.redemption(yield* scene.code(), { client_secret }))
        const refreshToken = String(JSON.parse(granted.body).refresh_token)
        for (const wrong of near(refreshToken).slice(1)) {
          const { isDifferent, value } = yield* compared(
            scene.one.token(scene.refreshment(wrong, { client_secret }))
          )
          assertRefused(value, 400, "invalid_grant")
          assert.isTrue(isDifferent)
        }

        const browser = scene.browser()
        const page = yield* browser.ask(scene.authorizeUrl())
        const [[name = "", cookie] = []] = [...browser.cookies]
        assert(cookie !== undefined)
        for (const value of near(cookie.value)) {
          browser.cookies.set(name, { ...cookie, value })
          const { isDifferent, value: answer } = yield* compared(decide(browser, page, "allow"))
          assert.strictEqual(answer.status, 403)
          assert.isTrue(isDifferent)
        }
      }))
  }
)
