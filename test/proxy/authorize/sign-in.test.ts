import { assert, describe, it } from "@effect/vitest"
import { Effect, Option, Redacted } from "effect"
import { ada, uidOf } from "../../../src/demo/StandInDirectory.ts"
import * as Scene from "./Scene.ts"

describe("a person signs in for a client", () => {
  for (const kind of ["custom", "org"] as const) {
    it.effect(`from the request to the code, with Okta's ${kind} server`, () =>
      Effect.gen(function*() {
        const scene = yield* Scene.make({ kind })
        const browser = scene.browser()

        const page = yield* browser.ask(scene.authorizeUrl())
        assert.strictEqual(page.status, 200, page.body)
        assert.deepStrictEqual(scene.stored, [])

        const toOkta = yield* Scene.decide(browser, page, "allow")
        assert.strictEqual(toOkta.status, 303, toOkta.body)
        assert.strictEqual(toOkta.location.origin, scene.okta.origin)
        assert.deepStrictEqual(scene.stored, ["put flow"])
        const asked = toOkta.location.searchParams
        assert.strictEqual(asked.get("redirect_uri"), `${Scene.serverUrl}/oauth/callback`)
        assert.strictEqual(asked.get("scope"), "openid profile email offline_access")
        assert.strictEqual(asked.get("code_challenge_method"), "S256")
        assert.isFalse(asked.has("resource"))
        assert.notStrictEqual(asked.get("code_challenge"), Scene.codeChallenge)

        const back = yield* scene.signIn(toOkta.location)
        const answer = yield* browser.ask(back)
        assert.strictEqual(answer.status, 302, answer.body)
        const { location } = answer
        assert.isTrue(location.href.startsWith(`${Scene.redirectUri}&`), location.href)
        assert.sameMembers([...location.searchParams.keys()], ["tenant", "code", "state", "iss"])
        assert.strictEqual(location.searchParams.get("state"), "client state")
        assert.strictEqual(location.searchParams.get("iss"), Scene.serverUrl)

        const client = Option.getOrThrow(yield* scene.registration.open(scene.clientId))
        const tokens = yield* scene.grants.redeem(client, {
          code: Redacted.make(location.searchParams.get("code") ?? ""),
          redirectUri: Scene.redirectUri,
          codeVerifier: Redacted.make(Scene.codeVerifier),
          resource: `${Scene.serverUrl}/mcp`
        })
        assert.deepStrictEqual(tokens.scopes, ["mcp:read", "openid"])
        const payload = JSON.parse(
          Buffer.from(Redacted.value(tokens.accessToken).split(".")[1] ?? "", "base64url").toString()
        )
        assert.strictEqual(payload.sub, uidOf(ada))
        assert.isDefined(tokens.refreshToken)
      }))
  }
})

it.effect("a client that sends no state gets none back", () =>
  Effect.gen(function*() {
    const scene = yield* Scene.make()
    const browser = scene.browser()
    const { location } = yield* scene.allow(browser, { state: undefined })
    const answer = yield* browser.ask(yield* scene.signIn(location))
    assert.sameMembers([...answer.location.searchParams.keys()], ["tenant", "code", "iss"], answer.body)
  }))
