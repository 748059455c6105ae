import { assert, layer } from "@effect/vitest"
import { Effect } from "effect"
import { TestClock } from "effect/testing"
import { sendJson } from "../../src/demo/StandInProvider.ts"
import {
  assertRefused,
  asTimePasses,
  claimsOf,
  membersOf,
  now,
  type ProxyScene,
  Scene,
  serverUrl,
  tokensOf
} from "../support/ProxyScene.ts"

const together = { concurrency: "unbounded" } as const
const hour = 3600

/** The client's next tokens. */
const refresh = (scene: ProxyScene, refreshToken: string) =>
  Effect.map(scene.one.token(scene.refreshment(refreshToken)), tokensOf)

layer(Scene.layer())("I. /token: a refresh token", (it) => {
  it.effect("#150 again when its successor has been used: refused, and the family ends, here and at Okta", () =>
    Effect.gen(function*() {
      const scene = yield* Scene
      const first = yield* scene.signIn()
      const second = yield* refresh(scene, first.refreshToken)
      // A client that did not get the answer gets the same one again, as long as nobody has used it.
      const again = yield* refresh(scene, first.refreshToken)
      assert.strictEqual(again.refreshToken, second.refreshToken)
      const third = yield* refresh(scene, second.refreshToken)
      const revoked = yield* scene.okta.requests("revoke")
      assertRefused(yield* scene.one.token(scene.refreshment(first.refreshToken)), 400, "invalid_grant")
      for (const { accessToken, refreshToken } of [first, second, again, third]) {
        assert.strictEqual((yield* scene.one.call(accessToken)).status, 401)
        assertRefused(yield* scene.one.token(scene.refreshment(refreshToken)), 400, "invalid_grant")
      }
      assert.strictEqual(yield* scene.okta.requests("revoke"), revoked + 1)
    }))

  it.effect("#151 the first after the third, the fourth or the sixth: refused, and the family ends", () =>
    Effect.gen(function*() {
      const scene = yield* Scene
      for (const turns of [2, 3, 5]) {
        const first = yield* scene.signIn()
        let current = first
        for (let turn = 0; turn < turns; turn++) current = yield* refresh(scene, current.refreshToken)
        assertRefused(yield* scene.one.token(scene.refreshment(first.refreshToken)), 400, "invalid_grant")
        assertRefused(yield* scene.one.token(scene.refreshment(current.refreshToken)), 400, "invalid_grant")
        assert.strictEqual((yield* scene.one.call(current.accessToken)).status, 401)
      }
    }))

  it.effect("#153 gives fewer scopes where asked to, never more", () =>
    Effect.gen(function*() {
      const scene = yield* Scene
      const { refreshToken } = yield* scene.signIn({ scope: "mcp:read" })
      const form = scene.refreshment(refreshToken)
      for (const scope of ["mcp:read mcp:write", "mcp:write", "openid", "mcp:read\tmcp:write", "MCP:READ"]) {
        assertRefused(yield* scene.one.token({ ...form, scope }), 400, "invalid_scope")
      }
      const both = yield* scene.signIn({ scope: "mcp:read mcp:write" })
      const narrow = yield* scene.one.token(scene.refreshment(both.refreshToken, { scope: "mcp:read" }))
      assert.strictEqual(membersOf(narrow)["scope"], "mcp:read")
      assert.strictEqual(claimsOf(tokensOf(narrow).accessToken)["scope"], "mcp:read")
      const wide = yield* scene.one.token(scene.refreshment(tokensOf(narrow).refreshToken))
      assert.strictEqual(membersOf(wide)["scope"], "mcp:read mcp:write")
    }))

  it.effect("#154 of another client is refused, and nothing happens to the grant", () =>
    Effect.gen(function*() {
      const scene = yield* Scene
      const { refreshToken } = yield* scene.signIn()
      const { clientId: client_id } = yield* scene.register({ client_name: "Other" })
      const others = scene.refreshment(refreshToken, { client_id })
      assertRefused(yield* scene.one.token(others), 400, "invalid_grant")
      const second = yield* refresh(scene, refreshToken)
      const third = yield* refresh(scene, second.refreshToken)
      // Old enough to end the family, if it were its own.
      assertRefused(yield* scene.one.token(others), 400, "invalid_grant")
      yield* refresh(scene, third.refreshToken)
    }))

  it.effect("#157 for another resource is refused, and stays good", () =>
    Effect.gen(function*() {
      const scene = yield* Scene
      const { refreshToken } = yield* scene.signIn()
      for (const resource of [serverUrl, `${serverUrl}/mcp/`, "https://evil.example"]) {
        assertRefused(yield* scene.one.token(scene.refreshment(refreshToken, { resource })), 400, "invalid_target")
      }
      const { refreshToken: next } = tokensOf(
        yield* scene.one.token(scene.refreshment(refreshToken, { resource: `${serverUrl}/mcp` }))
      )
      assert.strictEqual(next.split(".")[1], "2")
    }))

  it.effect("#155 when Okta says invalid_grant: refused, and the family ends", () =>
    Effect.gen(function*() {
      const scene = yield* Scene
      const { refreshToken } = yield* scene.signIn()
      const second = yield* refresh(scene, refreshToken)
      yield* TestClock.adjust("55 minutes")
      const last = yield* scene.signIn()
      yield* scene.okta.respond("token", (_, response) =>
        sendJson(response, 400, { error: "invalid_grant", error_description: "The session of Ada has ended" }))
      const answer = yield* scene.one.token(scene.refreshment(second.refreshToken))
      assertRefused(answer, 400, "invalid_grant")
      assert.notInclude(answer.body, "Ada")
      assert.strictEqual((yield* scene.one.call(second.accessToken)).status, 401)
      yield* scene.okta.lift
      assertRefused(yield* scene.one.token(scene.refreshment(second.refreshToken)), 400, "invalid_grant")
      yield* refresh(scene, last.refreshToken)
    }))

  it.effect("#156 while Okta is away or at odds with us: 503 with Retry-After, and it stays good", () =>
    Effect.gen(function*() {
      const scene = yield* Scene
      const { accessToken, refreshToken } = yield* scene.signIn()
      yield* TestClock.adjust("61 minutes")
      const form = scene.refreshment(refreshToken)
      for (const outage of ["refuse", "error", "hang"] as const) {
        yield* scene.okta.outage(outage)
        assertRefused(yield* asTimePasses(scene.one.token(form)), 503, "temporarily_unavailable")
        yield* scene.okta.lift
      }
      for (const error of ["invalid_client", "unauthorized_client", "server_error", "invalid_request", "x"]) {
        yield* scene.okta.respond("token", (_, response) => sendJson(response, 400, { error }))
        assertRefused(yield* scene.one.token(form), 503, "temporarily_unavailable")
      }
      yield* scene.okta.lift
      const answer = yield* scene.one.token(form)
      assert.deepInclude(membersOf(answer), { expires_in: hour })
      assert.strictEqual((yield* scene.one.call(accessToken)).status, 401)
      assert.strictEqual((yield* scene.one.call(tokensOf(answer).accessToken)).status, 200)
    }))
})

for (const store of ["memory", "sqlite"] as const) {
  layer(Scene.layer({ store }))(`I. /token, with the store in ${store}`, (it) => {
    it.effect("#152 a refresh token used by 50 at once on two servers makes one successor, and asks Okta once", () =>
      Effect.gen(function*() {
        const scene = yield* Scene
        const other = yield* scene.start()
        let { accessToken, refreshToken } = yield* scene.signIn()
        for (let round = 1; round <= 4; round++) {
          if (round % 2 === 0) yield* TestClock.adjust("1 hour")
          const asked = yield* scene.okta.requests("token")
          const form = scene.refreshment(refreshToken)
          const answers = yield* asTimePasses(Effect.forEach(
            Array.from({ length: 50 }, (_, index) => index % 2 === 0 ? scene.one : other),
            ({ token }) => token(form),
            together
          ))
          const successors = [...new Set(answers.map((answer) => tokensOf(answer).refreshToken))]
          assert.lengthOf(successors, 1)
          assert.strictEqual(successors[0]?.split(".")[1], String(round + 1))
          assert.strictEqual((yield* scene.okta.requests("token")) - asked, round % 2 === 0 ? 1 : 0)
          refreshToken = String(successors[0])
          accessToken = tokensOf(answers[0]!).accessToken
          assert.strictEqual((yield* other.call(accessToken)).status, 200)
        }
        assert.isAtLeast(Number(claimsOf(accessToken)["iat"]), now + 2 * hour)
      }))
  })
}
