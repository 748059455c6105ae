import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import { TestClock } from "effect/testing"
import type { StartOptions } from "../../src/OktaAuth.ts"
import { recorder } from "../support/FaultScene.ts"
import { answering } from "../support/NativeScene.ts"
import { callbackUrl, make, now } from "../support/ProxyScene.ts"

/** A server with a client that is signed in, whose refreshes need Okta by now, and what it logs. */
const start = Effect.fnUntraced(function*(settings: StartOptions = {}) {
  yield* TestClock.setTime(now * 1000)
  const { layer, lines } = recorder()
  const scene = yield* make({ environment: layer, settings })
  const { refreshToken } = yield* scene.signIn()
  yield* TestClock.adjust("1 hour")
  lines.length = 0
  return {
    scene,
    refresh: Effect.map(scene.one.token(scene.refreshment(refreshToken)), ({ status }) => status),
    /** What is logged above the level Debug, but for each answer and for audit events. */
    logged: () => lines.filter((line) => /^(?:Info|Warn|Error): (?!Sent HTTP|Audit)/.test(line))
  }
})

const away = answering(503, "{}")
const back = "Info: Okta, which is asked for tokens, is available again"

describe("an Okta that is away", () => {
  it.effect("is told at once, once a minute, and when it is back, however many refreshes fail for it", () =>
    Effect.gen(function*() {
      const { logged, refresh, scene } = yield* start()
      yield* scene.okta.respond("token", away)
      const minutes = 10
      for (let minute = 0; minute < minutes; minute++) {
        for (let times = 0; times < 4; times++) {
          assert.deepStrictEqual(yield* Effect.all([refresh, refresh]), [503, 503])
          assert.lengthOf(logged(), minute + 1)
          yield* TestClock.adjust("15 seconds")
        }
      }
      for (const line of logged()) assert.match(line, /^Warn: Okta is not available: .*\/token .*503/)
      yield* scene.okta.lift
      assert.strictEqual(yield* refresh, 200)
      assert.deepStrictEqual(logged().slice(minutes), [back])
    }))

  it.effect("is told anew where it is away for another reason, and the same for sign-ins", () =>
    Effect.gen(function*() {
      const { logged, refresh, scene } = yield* start()
      const { okta } = scene
      const signIn = Effect.gen(function*() {
        const browser = scene.browser()
        const { location } = yield* browser.ask(yield* scene.comeBack(browser))
        return location.searchParams.get("error")
      })
      for (const times of [1, 2]) {
        yield* okta.respond("token", away)
        for (let turn = 0; turn < 3; turn++) {
          assert.deepStrictEqual([yield* refresh, yield* signIn], [503, "temporarily_unavailable"])
        }
        yield* okta.respond("token", (_, response) => void response.destroy())
        for (let turn = 0; turn < 3; turn++) assert.strictEqual(yield* refresh, 503)
        yield* okta.respond("token", answering(200, "<html></html>", { "content-type": "text/html" }))
        for (let turn = 0; turn < 3; turn++) assert.strictEqual(yield* refresh, 503)
        // Within one minute each is told once, though it comes again.
        assert.lengthOf(logged(), 3, `${times}: ${logged().join("\n")}`)
      }
      assert.strictEqual(new Set(logged()).size, 3)
    }))

  it.effect("is told once a minute where it refuses this server, as an error, with what it says", () =>
    Effect.gen(function*() {
      const { logged, refresh, scene } = yield* start()
      yield* scene.okta.respond("token", answering(401, "{\"error\":\"invalid_client\"}"))
      for (let minute = 1; minute <= 3; minute++) {
        for (let times = 0; times < 4; times++) assert.strictEqual(yield* refresh, 503)
        assert.deepStrictEqual(logged(), Array(minute).fill("Error: Okta refused to renew a grant with invalid_client"))
        yield* TestClock.adjust("1 minute")
      }
      // Whether it would still refuse cannot be told.
      yield* scene.okta.respond("token", away)
      assert.strictEqual(yield* refresh, 503)
      assert.match(logged().slice(3).join(), /^Warn: Okta is not available/)
      yield* scene.okta.lift
      assert.strictEqual(yield* refresh, 200)
      assert.sameMembers(logged().slice(4), [
        back,
        "Info: Okta's renewal of grants is available again"
      ])
    }))

  it.effect("is told once a minute of the grants that end here alone", () =>
    Effect.gen(function*() {
      const { logged, scene } = yield* start()
      yield* scene.okta.respond("revoke", away)
      const tokens = yield* Effect.forEach([1, 2, 3, 4], () => scene.signIn())
      for (const { refreshToken } of tokens) {
        const { status } = yield* scene.one.revoke({ client_id: scene.clientId, token: refreshToken })
        assert.strictEqual(status, 200)
      }
      assert.lengthOf(logged(), 1, logged().join("\n"))
      assert.match(logged()[0] ?? "", /^Warn: A grant has ended here, but could not be revoked at Okta: .*503/)
      yield* scene.okta.respond("revoke", (_, response) => void response.destroy())
      yield* scene.one.revoke({ client_id: scene.clientId, token: (yield* scene.signIn()).refreshToken })
      assert.lengthOf(logged(), 2, "another reason is told at once")
    }))
})

describe("a check of admit that fails", () => {
  it.effect("is told at once, once a minute and when it answers again, at renewals and sign-ins together", () =>
    Effect.gen(function*() {
      let trouble: Error | undefined
      const isEmployee = () => Effect.suspend(() => trouble === undefined ? Effect.succeed(true) : Effect.fail(trouble))
      const { logged, refresh, scene } = yield* start({ admit: { check: isEmployee } })
      trouble = new Error("the directory is away")
      const browser = scene.browser()
      for (let minute = 1; minute <= 3; minute++) {
        for (let times = 0; times < 3; times++) {
          assert.strictEqual(yield* refresh, 503)
          const { location } = yield* browser.ask(yield* scene.comeBack(browser))
          assert.strictEqual(location.searchParams.get("error"), "temporarily_unavailable")
        }
        assert.lengthOf(logged(), minute, logged().join("\n"))
        yield* TestClock.adjust("1 minute")
      }
      for (const line of logged()) {
        assert.strictEqual(line, "Error: The check isEmployee of a policy has failed the directory is away")
      }
      trouble = undefined
      assert.strictEqual(yield* refresh, 200)
      assert.deepStrictEqual(logged().slice(3), ["Info: The check isEmployee of a policy is available again"])
    }))
})

describe("what people bring back from Okta in vain", () => {
  it.effect("is told ten times a minute, and then how often it was not", () =>
    Effect.gen(function*() {
      const { logged, scene } = yield* start()
      const deny = Effect.gen(function*() {
        const browser = scene.browser()
        const toOkta = yield* scene.allow(browser)
        yield* browser.ask(callbackUrl(toOkta, { error: "access_denied" }))
      })
      for (let times = 0; times < 15; times++) yield* deny
      assert.lengthOf(logged(), 10)
      yield* TestClock.adjust("1 minute")
      yield* deny
      assert.lengthOf(logged(), 11)
    }))
})
