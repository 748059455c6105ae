import { assert, layer } from "@effect/vitest"
import { Effect, Layer } from "effect"
import * as fc from "fast-check"
import { ada, uidOf } from "../../src/demo/StandInDirectory.ts"
import { Store } from "../../src/store/Store.ts"
import * as Leaving from "../support/Leaving.ts"
import { Scene, serverUrl } from "../support/ProxyScene.ts"
import { change, changed, nasty } from "./Arbitraries.ts"
import { serve } from "./InProcess.ts"
import { generated, timeout } from "./plan.ts"

const kind = fc.constantFrom("revocation" as const, "logout" as const)

/** A text in which something is not as it was, or what Okta would have signed with something else in it. */
const bad = fc.oneof(
  { weight: 3, arbitrary: fc.record({ kind, text: change }) },
  { weight: 1, arbitrary: fc.record({ kind, header: fc.constantFrom("alg", "kid", "typ"), by: nasty }) },
  { weight: 2, arbitrary: fc.record({ kind, claim: fc.constantFrom("iss", "aud", "iat", "exp"), by: fc.jsonValue() }) },
  { weight: 1, arbitrary: fc.record({ kind, body: fc.oneof(nasty, fc.json()) }) }
)

layer(Scene.layer())("what signs people out", (it) => {
  it.effect("#18 with anything wrong it signs nobody out", () =>
    Effect.gen(function*() {
      const scene = yield* Scene
      const { accessToken } = yield* scene.signIn()
      const send = yield* serve(scene.auth({ store: Layer.succeed(Store, scene.memory) }), serverUrl)
      const make = (kind: "revocation" | "logout", claims = {}, header = {}) =>
        kind === "revocation"
          ? Leaving.revocationToken(scene, claims, header)
          : Leaving.logoutToken(scene, { sub: uidOf(ada), ...claims }, header)
      const good = { revocation: yield* make("revocation"), logout: yield* make("logout") }
      const run = Effect.runPromiseWith(yield* Effect.context<never>())

      const tokenOf = async (value: typeof bad extends fc.Arbitrary<infer A> ? A : never): Promise<string> => {
        if ("text" in value) {
          const [token = ""] = changed(good[value.kind], value.text)
          fc.pre(token !== good[value.kind])
          return token
        }
        return run(
          "header" in value
            ? make(value.kind, {}, { [value.header]: value.by })
            : "claim" in value
            ? make(value.kind, { [value.claim]: value.by })
            : make(value.kind, { aud: "nobody" })
        )
      }
      yield* generated("tokens that sign people out", bad, async (value) => {
        const token = await tokenOf(value)
        const body = "body" in value ? value.body : JSON.stringify({ sub_id: { format: "email", email: ada.login } })
        const got = value.kind === "revocation"
          ? await send({
            method: "POST",
            path: "/oauth/global-token-revocation",
            headers: { "content-type": "application/json", authorization: `Bearer ${token.replace(/[^!-~]/g, "?")}` },
            body
          })
          : await send({
            method: "POST",
            path: "/oauth/backchannel-logout",
            headers: { "content-type": "application/x-www-form-urlencoded" },
            body: "body" in value ? value.body : new URLSearchParams({ logout_token: token }).toString()
          })
        assert(got !== undefined)
        assert.include(value.kind === "revocation" ? [400, 401] : [400], got.status, got.body)
        assert.match(got.body, /^\{"error":"[a-z_]+","error_description":"[^"]+"\}$/)
      })
      assert.strictEqual((yield* scene.one.call(accessToken)).status, 200)
    }), timeout)
})
