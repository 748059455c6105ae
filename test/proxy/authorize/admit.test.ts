import { assert, describe, it } from "@effect/vitest"
import { Effect, Layer } from "effect"
import { OktaConfig, type Policy, type User } from "effect-okta"
import { OktaTest } from "effect-okta/testing"
import { TestClock } from "effect/testing"
import * as Admission from "../../../src/proxy/Admission.ts"
import * as Scene from "../../support/ProxyScene.ts"

const comeBack = Effect.fnUntraced(function*(admit: Policy<User>) {
  const scene = yield* Scene.make({
    settings: { admit, scopes: ["openid", "profile", "email", "offline_access", "groups"] }
  })
  const browser = scene.browser()
  return { scene, answer: yield* browser.ask(yield* scene.comeBack(browser)) }
})

describe("who may come in at all", () => {
  const admitted: ReadonlyArray<readonly [what: string, admit: Policy<User>]> = [
    ["by a group", { groups: ["Nobody", "Everyone"] }],
    ["by the domain of the email address", { emailDomains: "example.com" }],
    ["by an alternative", { any: [{ groups: "Admins of something" }, { emailDomains: "example.com" }] }],
    ["by the scopes that its client was granted", {
      scopes: "mcp:read",
      check: ({ clientId }) => Effect.succeed(clientId !== undefined)
    }],
    ["by a check", { check: ({ email }) => Effect.succeed(email === "ada@example.com") }]
  ]
  for (const [what, admit] of admitted) {
    it.effect(`is let in ${what}`, () =>
      Effect.gen(function*() {
        const { answer } = yield* comeBack(admit)
        assert.isNotNull(answer.location.searchParams.get("code"), answer.body)
      }))
  }

  const refused: ReadonlyArray<readonly [what: string, admit: Policy<User>, reason: string]> = [
    ["for want of a group", { groups: "Admins of something" }, "is in none of the groups"],
    ["for another domain", { emailDomains: "ample.com" }, "has no email address at ample.com"],
    ["for a weak sign-in", { acr: "urn:okta:loa:2fa:any" }, "did not sign in by \"urn:okta:loa:2fa:any\""],
    ["for its client", { clients: "another" }, "not one of \"another\""],
    ["for scopes that its client did not ask for", { scopes: "mcp:admin" }, "lacks the scopes \"mcp:admin\""],
    ["by a check", { check: () => Effect.succeed(false) }, "did not pass the check"],
    ["for an email address that nobody says is verified", { emailVerified: true }, "email_verified"],
    ["when one of several does not hold", { groups: "Everyone", emailDomains: "other.example" }, "other.example"]
  ]
  for (const [what, admit, reason] of refused) {
    it.effect(`is refused ${what}, with a page, and the client is told access_denied`, () =>
      Effect.gen(function*() {
        const { answer, scene } = yield* comeBack(admit)
        assert.strictEqual(answer.status, 403)
        assert.include(answer.body, "You may not use this server")
        const [, href = ""] = /<a href="([^"]+)">Go back/.exec(answer.body) ?? []
        const url = new URL(href.replaceAll("&amp;", "&"))
        assert.isTrue(url.href.startsWith(Scene.redirectUri))
        assert.strictEqual(url.searchParams.get("error"), "access_denied")
        assert.strictEqual(url.searchParams.get("state"), Scene.clientState)
        assert.strictEqual(url.searchParams.get("iss"), Scene.serverUrl)
        assert.strictEqual(answer.headers.get("refresh"), `20; url=${url.href}`)
        assert.include(scene.watch.lines.join("\n"), reason)
        assert.notInclude(scene.writes.join(), "put grant")
      }))
  }

  it.effect("must be a policy in order", () =>
    Effect.gen(function*() {
      const settings = OktaConfig.layer({ issuer: OktaTest.issuer, audience: OktaTest.audience })
      const admission = Admission.layer({ any: [{ groups: [] }] }).pipe(Layer.provide(settings))
      const { message } = yield* Effect.flip(Layer.build(admission))
      assert.include(message, "admit")
      assert.include(message, "any[0].groups is [], which nobody can meet")
    }))

  it.effect("is unknown while the check fails: the client is asked to come back", () =>
    Effect.gen(function*() {
      const { answer } = yield* comeBack({ check: () => Effect.fail("the directory is away") })
      Scene.assertSentBack(answer, "temporarily_unavailable")
    }))

  it.effect("is unknown when the check never ends, at the sign-in and at a renewal, and ends nothing", () =>
    Effect.gen(function*() {
      let answer: Effect.Effect<boolean> = Effect.never
      const scene = yield* Scene.make({ settings: { admit: { check: () => answer } } })
      const browser = scene.browser()
      const back = yield* scene.comeBack(browser)
      Scene.assertSentBack(yield* Scene.asTimePasses(browser.ask(back)), "temporarily_unavailable")
      answer = Effect.succeed(true)
      const { refreshToken } = yield* scene.signIn()
      answer = Effect.never
      yield* TestClock.adjust("1 hour")
      const { elapsed, value: away } = yield* Scene.timed(scene.one.token(scene.refreshment(refreshToken)))
      Scene.assertRefused(away, 503, "temporarily_unavailable")
      assert.isAtMost(elapsed, 12_000)
      answer = Effect.succeed(true)
      Scene.tokensOf(yield* scene.one.token(scene.refreshment(refreshToken)))
    }))

  it.effect("is asked again with each renewal: who is not admitted any more loses the grant, an outage ends nothing", () =>
    Effect.gen(function*() {
      let answer: Effect.Effect<boolean, string> = Effect.succeed(true)
      const scene = yield* Scene.make({ settings: { admit: { check: () => answer } } })
      const { accessToken, refreshToken } = yield* scene.signIn()
      answer = Effect.fail("the directory is away")
      yield* TestClock.adjust("1 hour")
      const away = yield* scene.one.token(scene.refreshment(refreshToken))
      Scene.assertRefused(away, 503, "temporarily_unavailable")
      const again = yield* scene.one.token(scene.refreshment(refreshToken))
      Scene.assertRefused(again, 503, "temporarily_unavailable")
      answer = Effect.succeed(true)
      const renewed = Scene.tokensOf(yield* scene.one.token(scene.refreshment(refreshToken)))
      answer = Effect.succeed(false)
      yield* TestClock.adjust("1 hour")
      Scene.assertRefused(yield* scene.one.token(scene.refreshment(renewed.refreshToken)), 400, "invalid_grant")
      assert.strictEqual((yield* scene.one.call(accessToken)).status, 401)
    }))
})
