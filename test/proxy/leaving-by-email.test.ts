import { assert, describe, it } from "@effect/vitest"
import { Context, Effect, Layer } from "effect"
import { TestClock } from "effect/testing"
import { ada, bob, uidOf } from "../../src/demo/StandInDirectory.ts"
import { Grants } from "../../src/proxy/Grants.ts"
import { idJagScene } from "../support/IdJagScene.ts"
import * as Leaving from "../support/Leaving.ts"
import * as Scene from "../support/ProxyScene.ts"

const grantsOf = (scene: Scene.ProxyScene) =>
  Effect.map(Layer.build(scene.auth()), (context) => Context.get(context, Grants)).pipe(Effect.orDie)

const { signIn } = Leaving

const statuses = (servers: ReadonlyArray<Scene.Server>, { accessToken }: Pick<Scene.Tokens, "accessToken">) =>
  Effect.forEach(servers, (server) => Effect.map(server.call(accessToken), ({ status }) => status))

/** Okta has everything ended of whoever has an address, or of a person by the id. */
const revoke = Effect.fnUntraced(function*(scene: Scene.ProxyScene, subject: object) {
  return (yield* Leaving.revokeAll(scene.one, yield* Leaving.revocationToken(scene), { sub_id: subject })).status
})

const byEmail = (email: string) => ({ format: "email", email })

describe("a person who is signed out by email address", () => {
  for (const way of ["Okta", "an operator"] as const) {
    it.effect(`F23 loses what was granted under an earlier address too, also what the lists have lost: by ${way}`, () =>
      Effect.gen(function*() {
        const people = [ada, bob]
        const scene = yield* Scene.make({ okta: { people } })
        const servers = [scene.one, yield* scene.start()]
        const grants = yield* grantsOf(scene)
        const lost = yield* signIn(scene, ada)
        for (const key of [...scene.values].filter((key) => key.startsWith("grants:"))) yield* scene.memory.remove(key)
        const earlier = yield* signIn(scene, ada)
        people[0] = { ...ada, email: "Lovelace@example.com" }
        const latest = yield* signIn(scene, ada)
        const bobs = yield* signIn(scene, bob)
        yield* TestClock.adjust("1 second")
        const done = way === "Okta"
          ? revoke(scene, byEmail("lovelace@example.com"))
          : grants.endAll({ person: "lovelace@example.com" })
        assert.strictEqual(yield* done, way === "Okta" ? 204 : 2)
        for (const ended of [lost, earlier, latest]) {
          assert.deepStrictEqual(yield* statuses(servers, ended), [401, 401])
          Scene.assertRefused(yield* scene.one.token(scene.refreshment(ended.refreshToken)), 400, "invalid_grant")
        }
        assert.deepStrictEqual(yield* statuses(servers, bobs), [200, 200])
      }))
  }

  it.effect("is nobody whose address Okta says has not been checked", () =>
    Effect.gen(function*() {
      const scene = yield* idJagScene()
      const grants = yield* grantsOf(scene)
      const mallory = { sub: "00u1mallory", email: ada.login, email_verified: false }
      const accessToken = String(
        Scene.membersOf(yield* scene.bring(yield* scene.idJag(mallory)))["access_token"]
      )
      yield* TestClock.adjust("1 second")
      assert.strictEqual(yield* revoke(scene, byEmail(ada.login)), 404)
      assert.deepStrictEqual(yield* grants.list({ person: ada.login }), [])
      yield* TestClock.adjust("1 second")
      const adas = yield* signIn(scene, ada)
      const listed = yield* grants.list({ person: ada.login })
      assert.deepStrictEqual(listed.map(({ subject }) => subject), [uidOf(ada)])
      yield* TestClock.adjust("1 second")
      assert.strictEqual(yield* revoke(scene, byEmail(ada.login)), 204)
      assert.deepStrictEqual(yield* statuses([scene.one], adas), [401])
      assert.deepStrictEqual(yield* statuses([scene.one], { accessToken }), [200])

      assert.lengthOf(yield* grants.list({ person: mallory.sub }), 1)
      assert.strictEqual(yield* revoke(scene, { format: "iss_sub", iss: scene.okta.issuer, sub: mallory.sub }), 204)
      assert.deepStrictEqual(yield* statuses([scene.one], { accessToken }), [401])
    }))

  it.effect("may have an heir of the address, who loses nothing that was begun afterwards", () =>
    Effect.gen(function*() {
      const people = [ada, bob]
      const scene = yield* Scene.make({ okta: { people } })
      const servers = [scene.one, yield* scene.start()]
      const adas = yield* signIn(scene, ada)
      const bobsBefore = yield* signIn(scene, bob)
      yield* TestClock.adjust("1 second")
      assert.strictEqual(yield* revoke(scene, byEmail(ada.login)), 204)
      assert.deepStrictEqual(yield* statuses(servers, adas), [401, 401])
      assert.deepStrictEqual(yield* statuses(servers, bobsBefore), [200, 200])

      yield* TestClock.adjust("1 second")
      people.splice(0, 2, { ...bob, email: ada.login })
      const bobsAfter = yield* signIn(scene, bob)
      assert.deepStrictEqual(yield* statuses(servers, bobsAfter), [200, 200])
      yield* TestClock.adjust("55 minutes")
      const renewed = Scene.tokensOf(yield* scene.one.token(scene.refreshment(bobsAfter.refreshToken)))
      assert.strictEqual(Scene.claimsOf(renewed.accessToken)["email"], ada.login)
      assert.deepStrictEqual(yield* statuses(servers, renewed), [200, 200])

      // Nobody can tell since when the address is whose: what is older than the mark ends, once Okta has said it has the address.
      yield* scene.one.token(scene.refreshment(bobsBefore.refreshToken))
      Scene.assertRefused(yield* scene.one.token(scene.refreshment(bobsBefore.refreshToken)), 400, "invalid_grant")
    }))
})
