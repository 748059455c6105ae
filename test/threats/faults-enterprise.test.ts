import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import { TestClock } from "effect/testing"
import { ada, uidOf } from "../../src/demo/StandInDirectory.ts"
import { idJagScene } from "../support/IdJagScene.ts"
import * as Leaving from "../support/Leaving.ts"
import { undecided } from "../support/NativeScene.ts"
import { type Answer, assertRefused, asTimePasses } from "../support/ProxyScene.ts"

/** Asks again, second by second, for as long as the answer is 503: pauses after failures end one by one. */
const onceBack = <R>(ask: Effect.Effect<Answer, never, R>) =>
  Effect.gen(function*() {
    for (let seconds = 0; seconds < 60; seconds++) {
      const answer = yield* asTimePasses(ask)
      if (answer.status !== 503) return answer
      yield* TestClock.adjust("1 second")
    }
    return assert.fail("It is 503 for a minute, though Okta is back")
  })

const person = { sub_id: { format: "email", email: ada.login } }

describe("Okta's keys, for what it signs about people", () => {
  it.effect.each(undecided)(
    "F4 F5 F6 F7 F8 F11 while Okta %s: 503 for ID-JAGs and for what signs people out, each good afterwards",
    ([, handler]) =>
      Effect.gen(function*() {
        const scene = yield* idJagScene()
        const { one } = scene
        const { accessToken } = yield* scene.signIn()
        // Signed by a key that the server has not seen yet.
        yield* scene.okta.rotateKeys
        const idJag = yield* scene.idJag()
        const revocation = yield* Leaving.revocationToken(scene)
        const logout = yield* Leaving.logoutToken(scene, { sub: uidOf(ada) })
        yield* scene.okta.respond("keys", handler)
        for (
          const ask of [
            scene.bring(idJag),
            Leaving.revokeAll(one, revocation, person),
            Leaving.logOut(one, logout)
          ]
        ) assertRefused(yield* asTimePasses(ask), 503, "temporarily_unavailable")
        assert.strictEqual((yield* one.call(accessToken)).status, 200)

        yield* scene.okta.lift
        assert.strictEqual((yield* onceBack(scene.bring(idJag))).status, 200)
        assert.strictEqual((yield* Leaving.logOut(one, logout)).status, 200)
        assert.strictEqual((yield* one.call(accessToken)).status, 401)
        // Whoever comes later is signed out no more by what was asked before.
        yield* TestClock.adjust("1 second")
        const { accessToken: next } = yield* scene.signIn()
        assert.strictEqual((yield* Leaving.revokeAll(one, revocation, person)).status, 204)
        assert.strictEqual((yield* one.call(next)).status, 401)
      })
  )
})

describe("Okta's revocation endpoint, when something ends here", () => {
  it.effect.each(undecided)(
    "F4 F5 F6 F7 F8 F10 F11 while Okta %s: it ends here at once, and nobody is told of any trouble",
    ([, handler]) =>
      Effect.gen(function*() {
        const scene = yield* idJagScene()
        const { one } = scene
        const first = yield* scene.signIn()
        const second = yield* scene.signIn()
        yield* scene.okta.respond("revoke", handler)
        const form = { token: first.refreshToken, client_id: scene.clientId }
        const revoked = yield* asTimePasses(one.revoke(form))
        assert.deepStrictEqual([revoked.status, revoked.body], [200, ""])
        assert.strictEqual((yield* one.call(first.accessToken)).status, 401)
        assert.strictEqual((yield* one.call(second.accessToken)).status, 200)

        const token = yield* Leaving.revocationToken(scene)
        assert.strictEqual((yield* asTimePasses(Leaving.revokeAll(one, token, person))).status, 204)
        assert.strictEqual((yield* one.call(second.accessToken)).status, 401)
        assert.isAtLeast(yield* scene.okta.requests("revoke"), 1)
      })
  )
})
