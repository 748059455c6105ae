import { assert, layer } from "@effect/vitest"
import { Duration, Effect, Redacted } from "effect"
import { webClient } from "../../src/demo/StandInDirectory.ts"
import { basic } from "../support/Credentials.ts"
import { Laboratory, states } from "../support/Laboratory.ts"
import { enter, onTheWayBack } from "../support/LaboratoryState.ts"
import { assertRefused, tokensOf } from "../support/ProxyScene.ts"
import type { Handler } from "../support/StandInDoor.ts"

const secondSecret = "the-second-secret-of-this-web-application-1"

/** Okta, which takes a second secret as well. */
const takesBoth: Handler = (request, _, usual) => {
  if (request.headers.authorization === basic(webClient.clientId, secondSecret).authorization) {
    request.headers.authorization = basic(webClient.clientId, webClient.clientSecret ?? "").authorization
  }
  return usual()
}

layer(Laboratory.layer(), { timeout: 60_000 })("Faults: the laboratory, clocks and secrets", (it) => {
  it.effect.each(states)(
    "F17 the wall clock jumps by a day, and back: %s",
    (state) =>
      Effect.gen(function*() {
        const { as, lab, next, old, well } = yield* enter(state)
        const { okta } = lab.scene
        const { native, proxy } = yield* next
        const documents = Effect.all([okta.requests("keys"), okta.requests("discovery")])
        // What has to be fetched has been asked for by then.
        if (state === "cold") assert.strictEqual((yield* as(native.call(yield* okta.mint()))).status, 200)
        const asked = yield* documents
        const { refreshToken } = yield* lab.signIn(well)
        let token = refreshToken
        for (const days of [1, -1]) {
          yield* lab.growOld(Duration.days(days))
          yield* lab.quiet
          assert.strictEqual((yield* as(native.call(yield* okta.mint()))).status, 200)
          const next = tokensOf(yield* as(proxy.token(lab.scene.refreshment(token))))
          token = next.refreshToken
          assert.strictEqual((yield* as(proxy.call(next.accessToken))).status, 200)
          tokensOf(yield* as(proxy.token(lab.scene.refreshment((yield* old).refreshToken))))
          assert.isString(yield* lab.scene.code({}, lab.scene.browser(proxy)))
        }
        assert.deepStrictEqual(yield* documents, asked)
        yield* lab.assertHarmless
      }),
    60_000
  )

  it.effect.each(states)(
    "F30 Okta's client secret is replaced, and two overlap: %s",
    (state) =>
      Effect.gen(function*() {
        const settings = { clientSecret: Redacted.make(secondSecret) }
        const { as, lab, next, old, well } = yield* enter(state, { settings })
        const { scene } = lab
        yield* scene.okta.respond("token", takesBoth)
        yield* Effect.addFinalizer(() => scene.okta.lift)
        const young = yield* lab.signIn(well)
        const code = yield* scene.code({}, scene.browser(well.proxy))
        const back = yield* onTheWayBack(well)
        const page = yield* scene.browser(well.proxy).ask(scene.authorizeUrl())
        assert.strictEqual(page.status, 200)
        const { proxy } = yield* next
        assert.strictEqual((yield* as(proxy.call(young.accessToken))).status, 200)
        tokensOf(yield* as(proxy.token(scene.redemption(code))))
        assert.isTrue((yield* as(back.at(proxy))).location.searchParams.has("code"))
        tokensOf(yield* as(proxy.token(scene.refreshment(young.refreshToken))))
        const { refreshToken } = tokensOf(yield* as(proxy.token(scene.refreshment((yield* old).refreshToken))))
        // The old one goes on beside it, with what the new one has issued too.
        tokensOf(yield* as(well.proxy.token(scene.refreshment(refreshToken))))
        tokensOf(yield* as(well.proxy.token(scene.refreshment((yield* old).refreshToken))))

        // One that Okta does not know costs nobody a session.
        yield* lab.mend
        const wrong = yield* lab.start({ clientSecret: Redacted.make("a secret that Okta does not know") })
        const third = yield* old
        const refused = yield* lab.asTimePasses(wrong.proxy.token(scene.refreshment(third.refreshToken)))
        assertRefused(refused, 503, "temporarily_unavailable")
        tokensOf(yield* as(well.proxy.token(scene.refreshment(third.refreshToken))))
        assert.include(scene.watch.text, "OKTA_CLIENT_SECRET")
        yield* lab.assertHarmless
      }),
    60_000
  )
})
