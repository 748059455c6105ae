import { assert, describe, it } from "@effect/vitest"
import { Effect, Redacted } from "effect"
import { TestClock } from "effect/testing"
import { webClient } from "../../support/StandInDirectory.ts"
import { sendJson } from "../../support/StandInDoor.ts"
import { now } from "../ProxyTest.ts"
import * as Scene from "./Scene.ts"
import type { Answer, UserAgent } from "./UserAgent.ts"

const assertSentBack = ({ body, location, status }: Answer, error: string) => {
  assert.strictEqual(status, 302, body)
  assert.strictEqual(location.searchParams.get("error"), error, location.href)
  assert.strictEqual(location.searchParams.get("state"), "client state")
  assert.strictEqual(location.searchParams.get("iss"), Scene.serverUrl)
  assert.isFalse(location.searchParams.has("code"))
}

/** The callback as Okta would call it, with an answer made up by the test. */
const callbackUrl = (toOkta: Answer, parameters: Readonly<Record<string, string>>) => {
  const url = new URL(`${Scene.serverUrl}/oauth/callback`)
  url.searchParams.set("state", toOkta.location.searchParams.get("state") ?? "")
  for (const [name, value] of Object.entries(parameters)) url.searchParams.set(name, value)
  return url
}

describe("the callback", () => {
  it.effect("125: refuses a state that is missing, unknown, garbage or expired, without asking Okta", () =>
    Effect.gen(function*() {
      const scene = yield* Scene.make()
      const browser = scene.browser()
      const toOkta = yield* scene.allow(browser)
      const back = yield* scene.signIn(toOkta.location)
      const asked = yield* scene.okta.requests("token")
      for (const state of ["", "x", "x".repeat(43), "\u0000".repeat(43), "🔑", `${back.searchParams.get("state")}x`]) {
        const url = new URL(back)
        url.searchParams.set("state", state)
        const answer = yield* browser.ask(url)
        assert.strictEqual(answer.status, 400)
        assert.isFalse(answer.headers.has("location"))
      }
      const twice = new URL(back)
      twice.searchParams.append("state", back.searchParams.get("state") ?? "")
      assert.strictEqual((yield* browser.ask(twice)).status, 400)
      assert.strictEqual((yield* browser.ask("/oauth/callback")).status, 400)
      yield* TestClock.adjust("10 minutes")
      assert.strictEqual((yield* browser.ask(back)).status, 400)
      assert.strictEqual(yield* scene.okta.requests("token"), asked)
    }))

  it.effect("126: takes a state once, also when it comes many times at once", () =>
    Effect.gen(function*() {
      const scene = yield* Scene.make()
      const browser = scene.browser()
      const { location } = yield* scene.allow(browser)
      const back = yield* scene.signIn(location)
      const answers = yield* Effect.all(Array.from({ length: 20 }, () => browser.ask(back)), { concurrency: 20 })
      assert.strictEqual(answers.filter(({ status }) => status === 302).length, 1)
      assert.strictEqual(answers.filter(({ status }) => status === 400).length, 19)
      assert.strictEqual(yield* scene.okta.requests("token"), 1)
      assert.strictEqual((yield* browser.ask(back)).status, 400)
    }))

  it.effect("111: refuses a sign-in at Okta that another browser had begun", () =>
    Effect.gen(function*() {
      const scene = yield* Scene.make()
      const { location } = yield* scene.allow(scene.browser())
      const victim = scene.browser()
      const back = yield* scene.signIn(location)
      const asked = yield* scene.okta.requests("token")
      const answer = yield* victim.ask(back)
      assert.strictEqual(answer.status, 403)
      assert.isFalse(answer.headers.has("location"))
      assert.strictEqual(yield* scene.okta.requests("token"), asked)
      assert.deepStrictEqual(scene.stored, ["put flow", "take flow"])
    }))

  it.effect("128: refuses the attacker's code in the victim's browser, though it has a cookie of its own", () =>
    Effect.gen(function*() {
      const scene = yield* Scene.make()
      const attackers = yield* scene.signIn((yield* scene.allow(scene.browser())).location)
      const victim = scene.browser()
      const own = yield* scene.allow(victim)
      assert.strictEqual((yield* victim.ask(attackers)).status, 403)
      const mixed = callbackUrl(own, { code: attackers.searchParams.get("code") ?? "" })
      assertSentBack(yield* victim.ask(mixed), "server_error")
    }))

  it.effect("129: passes on Okta's errors, in words of its own", () =>
    Effect.gen(function*() {
      const scene = yield* Scene.make()
      const cases = [
        ["access_denied", "access_denied"],
        ["temporarily_unavailable", "temporarily_unavailable"],
        ["server_error", "server_error"],
        ["login_required", "server_error"],
        ["invalid_scope", "server_error"],
        ["<script>", "server_error"]
      ] as const
      for (const [error, expected] of cases) {
        const browser = scene.browser()
        const toOkta = yield* scene.allow(browser)
        const answer = yield* browser.ask(
          callbackUrl(toOkta, { error, error_description: "Ada is on the list\r\n\u001b[2J" })
        )
        assertSentBack(answer, expected)
        assert.notInclude(answer.location.href, "Ada")
      }
      assert.strictEqual(yield* scene.okta.requests("token"), 0)
      const lines = scene.logged.filter((line) => line.includes("Ada is on the list"))
      assert.strictEqual(lines.length, cases.length)
      assert.notInclude(scene.logged.join(""), "\u001b[2J")
    }))

  it.effect("130: refuses another issuer's answer", () =>
    Effect.gen(function*() {
      const scene = yield* Scene.make()
      const browser = scene.browser()
      const wrong = yield* scene.signIn((yield* scene.allow(browser)).location)
      wrong.searchParams.set("iss", "https://evil.example.com")
      const answer = yield* browser.ask(wrong)
      assert.strictEqual(answer.status, 400)
      assert.isFalse(answer.headers.has("location"))
      assert.strictEqual(yield* scene.okta.requests("token"), 0)
      const right = yield* scene.signIn((yield* scene.allow(browser)).location)
      right.searchParams.set("iss", scene.okta.issuer)
      assert.isTrue((yield* browser.ask(right)).location.searchParams.has("code"))
    }))

  it.effect("132: repeats nothing of an answer on a page", () =>
    Effect.gen(function*() {
      const scene = yield* Scene.make()
      const { body } = yield* scene.browser().ask(
        "/oauth/callback?state=x&error=%3Cscript%3E&error_description=%3Cscript%3Ealert(1)%3C/script%3E"
      )
      assert.notInclude(body, "<script")
      assert.notInclude(body, "alert")
    }))

  it.effect("136: has no other method", () =>
    Effect.gen(function*() {
      const scene = yield* Scene.make()
      const browser = scene.browser()
      const back = yield* scene.signIn((yield* scene.allow(browser)).location)
      for (const method of ["POST", "PUT", "DELETE", "HEAD", "OPTIONS"]) {
        const answer = yield* browser.ask(back, { method })
        assert.strictEqual(answer.status, 405, method)
        assert.strictEqual(answer.headers.get("allow"), "GET")
      }
      assert.strictEqual((yield* browser.ask(back)).status, 302)
    }))

  it.effect("F18: says so on a page when the store is away, because nobody else can be told", () =>
    Effect.gen(function*() {
      const scene = yield* Scene.make()
      const browser = scene.browser()
      const back = yield* scene.signIn((yield* scene.allow(browser)).location)
      scene.breakStore(true)
      const answer = yield* browser.ask(back)
      assert.strictEqual(answer.status, 503)
      assert.strictEqual(answer.headers.get("retry-after"), "5")
    }))
})

it.effect("F18: what Okta gave is ended there when it cannot be kept here", () =>
  Effect.gen(function*() {
    const scene = yield* Scene.make()
    const browser = scene.browser()
    const back = yield* scene.signIn((yield* scene.allow(browser)).location)
    scene.breakStore(true, "put")
    assertSentBack(yield* browser.ask(back), "temporarily_unavailable")
    assert.strictEqual(yield* scene.okta.requests("revoke"), 1)
  }))

describe("Okta's answer to the code", () => {
  /** The callback, where Okta's token endpoint answers as the test says. */
  const answered = (
    { browser, scene }: { readonly scene: Scene.Scene; readonly browser: UserAgent },
    claims: Readonly<Record<string, unknown>>,
    answer: Readonly<Record<string, unknown>> = {}
  ) =>
    Effect.gen(function*() {
      const toOkta = yield* scene.allow(browser)
      const nonce = toOkta.location.searchParams.get("nonce")
      const id_token = yield* scene.okta.mint({
        cid: undefined,
        scp: undefined,
        aud: webClient.clientId,
        sub: "00u1",
        nonce,
        ...claims
      })
      yield* scene.okta.respond("token", (_, response) =>
        sendJson(response, 200, {
          token_type: "Bearer",
          expires_in: 3600,
          access_token: "opaque",
          id_token,
          ...answer
        }))
      return yield* browser.ask(callbackUrl(toOkta, { code: "code" }))
    })

  it.effect("133: is believed only by an ID token that belongs to it", () =>
    Effect.gen(function*() {
      const scene = yield* Scene.make()
      const parties = { scene, browser: scene.browser() }
      assert.isTrue((yield* answered(parties, {})).location.searchParams.has("code"))
      const before = scene.stored.filter((entry) => entry.startsWith("put") && entry !== "put flow").length
      for (
        const claims of [
          { nonce: "another" },
          { nonce: undefined },
          { aud: "another" },
          { aud: [webClient.clientId, "another"] },
          { iss: "https://evil.example.com" },
          { azp: "another" },
          { at_hash: "another" },
          { exp: now - 3600 },
          { sub: undefined }
        ]
      ) {
        assertSentBack(yield* answered(parties, claims), "server_error")
      }
      assertSentBack(yield* answered(parties, {}, { id_token: undefined }), "server_error")
      assertSentBack(yield* answered(parties, {}, { id_token: "e30.e30.e30" }), "server_error")
      const after = scene.stored.filter((entry) => entry.startsWith("put") && entry !== "put flow").length
      assert.strictEqual(after, before)
    }))

  it.effect("135: is a server error, too many requests, an error page, nonsense or no answer", () =>
    Effect.gen(function*() {
      const scene = yield* Scene.make()
      const parties = { scene, browser: scene.browser() }
      for (const status of [500, 503, 429, 302, 404]) {
        const toOkta = yield* scene.allow(parties.browser)
        yield* scene.okta.respond("token", (_, response) => void response.writeHead(status).end("<html>"))
        const before = yield* scene.okta.requests("token")
        assertSentBack(
          yield* parties.browser.ask(callbackUrl(toOkta, { code: "code" })),
          "temporarily_unavailable"
        )
        assert.strictEqual(yield* scene.okta.requests("token"), before + 1)
      }
      assertSentBack(yield* answered(parties, {}, { access_token: 1 }), "temporarily_unavailable")
      const toOkta = yield* scene.allow(parties.browser)
      yield* scene.okta.outage("refuse")
      assertSentBack(yield* parties.browser.ask(callbackUrl(toOkta, { code: "code" })), "temporarily_unavailable")
      yield* scene.okta.lift
      const waiting = yield* scene.allow(parties.browser)
      yield* scene.okta.outage("hang")
      const answer = yield* Scene.asTimePasses(parties.browser.ask(callbackUrl(waiting, { code: "code" })))
      assertSentBack(answer, "temporarily_unavailable")
    }))

  it.effect("F30: is that it does not know our secret", () =>
    Effect.gen(function*() {
      const scene = yield* Scene.make({ settings: { clientSecret: Redacted.make("an old secret") } })
      const browser = scene.browser()
      const back = yield* scene.signIn((yield* scene.allow(browser)).location)
      assertSentBack(yield* browser.ask(back), "server_error")
      assert.include(scene.logged.join("\n"), "OKTA_CLIENT_SECRET")
    }))

  it.effect("192: leaves no secret in a log or a span", () =>
    Effect.gen(function*() {
      const scene = yield* Scene.make()
      const browser = scene.browser()
      const toOkta = yield* scene.allow(browser)
      const back = yield* scene.signIn(toOkta.location)
      const { location } = yield* browser.ask(back)
      yield* browser.ask(back)
      const secrets = [
        back.searchParams.get("code"),
        back.searchParams.get("state"),
        toOkta.location.searchParams.get("nonce"),
        location.searchParams.get("code"),
        webClient.clientSecret,
        ...[...browser.cookies.values()].map(({ value }) => value)
      ]
      const said = [...scene.logged, scene.traced()].join("\n")
      assert.include(said, "/oauth/callback")
      for (const secret of secrets) {
        assert(secret !== undefined && secret !== null && secret.length >= 16)
        assert.notInclude(said, secret)
      }
    }))
})
