import { assert, it } from "@effect/vitest"
import { Effect } from "effect"
import * as Scene from "../../support/ProxyScene.ts"

it.effect("where all come with Okta's word, whoever wants to sign in is told so, whatever is asked and how", () =>
  Effect.gen(function*() {
    const scene = yield* Scene.make()
    const only = yield* scene.start({ enterpriseManaged: "only" })
    const { search, searchParams } = scene.authorizeUrl()
    for (const path of ["authorize", "consent", "callback", "connections"].map((name) => `/oauth/${name}`)) {
      for (const asked of [{}, { body: searchParams }]) {
        const answer = yield* only.ask(path + search, asked)
        Scene.assertLocal(answer, 403, "access_denied")
        assert.include(answer.body, "Nobody signs in here")
      }
      assert.strictEqual((yield* only.ask(path, { method: "HEAD" })).status, 403)
      const other = yield* only.ask(path, { method: "PUT" })
      assert.deepStrictEqual([other.status, other.headers.get("allow")], [405, "GET, HEAD, POST"])
    }
  }))
