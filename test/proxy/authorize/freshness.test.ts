import { assert, describe, it } from "@effect/vitest"
import { Clock, Effect } from "effect"
import { TestClock } from "effect/testing"
import * as Scene from "../../support/ProxyScene.ts"

/** Back from Okta, where the person has signed in at some time before or after being sent there, in seconds. */
const comeBack = Effect.fnUntraced(function*(
  scene: Scene.ProxyScene,
  agent: Scene.UserAgent,
  wanted: Scene.Changes,
  signedInAfter: number
) {
  const { location } = yield* scene.allow(agent, wanted)
  const sentAt = yield* Clock.currentTimeMillis
  yield* TestClock.setTime(sentAt + signedInAfter * 1000)
  const back = yield* Effect.orDie(scene.okta.authorize(location))
  // A second factor and whatever else Okta wants.
  yield* TestClock.setTime(sentAt + Math.max(0, signedInAfter) * 1000)
  return back
})

describe("a client that wants the person to have signed in lately", () => {
  it.effect("gets a code however long the person and Okta take", () =>
    Effect.gen(function*() {
      const scene = yield* Scene.make()
      const agent = scene.browser()
      const cases: ReadonlyArray<readonly [Scene.Changes, number]> = [
        [{ max_age: "0" }, 5],
        [{ max_age: "0" }, -30],
        [{ prompt: "login" }, 5],
        [{ prompt: "login" }, -30],
        [{ max_age: "20" }, -50],
        [{ max_age: "9999", prompt: "consent" }, -50]
      ]
      for (const [wanted, signedInAfter] of cases) {
        const back = yield* comeBack(scene, agent, wanted, signedInAfter)
        if (signedInAfter > 0) yield* TestClock.adjust("55 seconds")
        const { location } = yield* agent.ask(back)
        assert.isTrue(location.searchParams.has("code"), `${JSON.stringify(wanted)} ${location.href}`)
      }
    }))

  it.effect("gets none where Okta did not ask again, and nothing of it is left at Okta", () =>
    Effect.gen(function*() {
      const scene = yield* Scene.make()
      const agent = scene.browser()
      const cases: ReadonlyArray<readonly [Scene.Changes, number]> = [
        [{ max_age: "0" }, -31],
        [{ max_age: "20" }, -51],
        [{ prompt: "login" }, -31],
        [{ prompt: "select_account" }, -31],
        [{ prompt: "login", max_age: "9999" }, -31]
      ]
      for (const [wanted, signedInAfter] of cases) {
        const back = yield* comeBack(scene, agent, wanted, signedInAfter)
        Scene.assertSentBack(yield* agent.ask(back), "unmet_authentication_requirements")
      }
      assert.strictEqual(yield* scene.okta.requests("revoke"), cases.length)
    }))
})

describe("a client that wants a stronger sign-in", () => {
  const acr = "urn:okta:loa:2fa:any"
  /** Back from Okta, where the person has changed what Okta is asked for. */
  const comeBackWith = Effect.fnUntraced(function*(scene: Scene.ProxyScene, asked: string, atOkta: string | undefined) {
    const agent = scene.browser()
    const { location } = yield* scene.allow(agent, { acr_values: asked })
    assert.strictEqual(location.searchParams.get("acr_values"), asked)
    if (atOkta === undefined) location.searchParams.delete("acr_values")
    else location.searchParams.set("acr_values", atOkta)
    return yield* agent.ask(yield* Effect.orDie(scene.okta.authorize(location)))
  })

  it.effect("gets a code when the person has signed in in one of the ways that it asked for", () =>
    Effect.gen(function*() {
      const scene = yield* Scene.make()
      const cases: ReadonlyArray<readonly [asked: string, atOkta: string | undefined]> = [
        [acr, acr],
        [`phr  ${acr}`, acr],
        [`${acr} phr`, "phr"],
        ["urn:okta:loa:1fa:any", "urn:okta:loa:1fa:any"],
        [`${acr}:ifpossible`, undefined]
      ]
      for (const [asked, atOkta] of cases) {
        const { location } = yield* comeBackWith(scene, asked, atOkta)
        assert.isTrue(location.searchParams.has("code"), `${asked} ${location.href}`)
      }
    }))

  it.effect("gets none when the person has changed what Okta is asked for, and nothing of it is left at Okta", () =>
    Effect.gen(function*() {
      const scene = yield* Scene.make()
      const cases: ReadonlyArray<readonly [asked: string, atOkta: string | undefined]> = [
        [acr, undefined],
        [acr, "urn:okta:loa:1fa:any"],
        [acr, `${acr}x`],
        [`phr ${acr}`, "urn:okta:loa:1fa:any"],
        [acr, `phr ${acr}`]
      ]
      for (const [asked, atOkta] of cases) {
        Scene.assertSentBack(yield* comeBackWith(scene, asked, atOkta), "unmet_authentication_requirements")
      }
      assert.strictEqual(yield* scene.okta.requests("revoke"), cases.length)
    }))
})

describe("how the person signed in", () => {
  it.effect("is in the tokens, now and after a renewal that does not repeat it", () =>
    Effect.gen(function*() {
      const scene = yield* Scene.make()
      const acr = "urn:okta:loa:2fa:any"
      const code = yield* scene.code({ acr_values: acr })
      const tokens = Scene.tokensOf(yield* scene.one.token(scene.redemption(code)))
      const { amr, auth_time } = Scene.claimsOf(tokens.accessToken)
      assert.deepInclude(Scene.claimsOf(tokens.accessToken), { acr, amr: ["pwd", "otp", "mfa"], auth_time: Scene.now })
      yield* TestClock.adjust("1 hour")
      const renewed = Scene.tokensOf(yield* scene.one.token(scene.refreshment(tokens.refreshToken)))
      assert.deepInclude(Scene.claimsOf(renewed.accessToken), { acr, amr, auth_time })
    }))
})
