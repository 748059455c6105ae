import { assert, describe, it } from "@effect/vitest"
import { Effect, Schedule } from "effect"
import { TestClock } from "effect/testing"
import { webClient } from "../../../src/demo/StandInDirectory.ts"
import { sendJson } from "../../../src/demo/StandInProvider.ts"
import { answering } from "../../support/NativeScene.ts"
import * as Scene from "../../support/ProxyScene.ts"

/** Okta gives each refresh token once, and takes an old one for a theft after 30 seconds. */
const arrange = Effect.fnUntraced(function*() {
  const scene = yield* Scene.make({
    okta: {
      clients: [{ ...webClient, redirectUris: [`${Scene.serverUrl}/oauth/callback`], refreshTokens: "rotating" }]
    }
  })
  const tokens = yield* scene.signIn()
  yield* TestClock.adjust("61 minutes")
  return { scene, tokens, form: scene.refreshment(tokens.refreshToken) }
})

/** The refresh tokens that Okta was sent, and those that it was told to end. */
const sent = ({ oktaForms }: Scene.ProxyScene) =>
  oktaForms.map((form) => new URLSearchParams(form)).flatMap((form) => form.get("refresh_token") ?? [])
const revoked = ({ oktaForms }: Scene.ProxyScene) =>
  oktaForms.map((form) => new URLSearchParams(form)).flatMap((form) =>
    form.has("grant_type") ? [] : form.get("token") ?? []
  )

describe("a refresh token that Okta has replaced", () => {
  it.effect("F3 is kept though Okta's keys are away: 503, and then the next attempt succeeds", () =>
    Effect.gen(function*() {
      const { form, scene } = yield* arrange()
      yield* scene.okta.respond("keys", answering(503, "{}"))
      const cold = yield* scene.start()
      for (let attempt = 0; attempt < 2; attempt++) {
        const answer = yield* Scene.asTimePasses(cold.token(form))
        Scene.assertRefused(answer, 503, "temporarily_unavailable")
        yield* TestClock.adjust("1 minute")
      }
      yield* scene.okta.lift
      const healed = Effect.repeat(cold.token(form), {
        until: ({ status }) => status === 200,
        schedule: Schedule.spaced("31 seconds"),
        times: 5
      })
      const second = Scene.tokensOf(yield* Scene.asTimePasses(healed))
      assert.strictEqual((yield* scene.one.call(second.accessToken)).status, 200)
      // Each was another one.
      assert.isAtLeast(new Set(sent(scene)).size, 3)
      assert.lengthOf(new Set(sent(scene)), sent(scene).length)
      yield* TestClock.adjust("61 minutes")
      Scene.tokensOf(yield* scene.one.token(scene.refreshment(second.refreshToken)))
    }))

  const unacceptable: ReadonlyArray<readonly [name: string, idToken: string | undefined]> = [
    ["without an ID token", undefined],
    ["with an ID token that is none", "x.y.z"]
  ]
  it.effect.each(unacceptable)("is kept though it came %s", ([, idToken]) =>
    Effect.gen(function*() {
      const { form, scene } = yield* arrange()
      const answer = { access_token: "a", token_type: "Bearer", expires_in: 3600, refresh_token: "replacement" }
      yield* scene.okta.respond("token", (_, response) => sendJson(response, 200, { ...answer, id_token: idToken }))
      Scene.assertRefused(yield* scene.one.token(form), 503, "temporarily_unavailable")
      Scene.assertRefused(yield* scene.one.token(form), 503, "temporarily_unavailable")
      assert.strictEqual(sent(scene).at(-1), "replacement")
      assert.isEmpty(revoked(scene))
    }))

  it.effect("is ended at Okta when the grant has ended meanwhile", () =>
    Effect.gen(function*() {
      const { form, scene } = yield* arrange()
      const answer = { access_token: "a", token_type: "Bearer", expires_in: 3600, refresh_token: "replacement" }
      yield* scene.okta.respond("token", async (_, response) => {
        await Effect.runPromise(scene.one.revoke({ client_id: scene.clientId, token: form["refresh_token"] }))
        sendJson(response, 200, { ...answer, id_token: "x.y.z" })
      })
      Scene.assertRefused(yield* scene.one.token(form), 503, "temporarily_unavailable")
      assert.include(revoked(scene), "replacement")
      Scene.assertRefused(yield* scene.one.token(form), 400, "invalid_grant")
    }))
})
