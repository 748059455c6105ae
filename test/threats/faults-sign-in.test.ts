import { assert, layer } from "@effect/vitest"
import { Effect } from "effect"
import { TestClock } from "effect/testing"
import {
  assertLocal,
  assertRefused,
  assertSentBack,
  assertUncached,
  asTimePasses,
  membersOf,
  Scene,
  timed,
  tokensOf
} from "../support/ProxyScene.ts"
import type { Handler } from "../support/StandInDoor.ts"

const answering =
  (status: number, body: string, headers: Readonly<Record<string, string>> = {}): Handler => (_, response) =>
    void response.writeHead(status, { "content-type": "application/json", ...headers }).end(body)

const trickle = (status: number): Handler => (_, response) => {
  response.writeHead(status, { "content-type": "application/json" }).flushHeaders()
  const drip = setInterval(() => response.write(" "), 1)
  response.once("close", () => clearInterval(drip))
}

const megabyte = Buffer.alloc(1 << 20, " ")
let flooded = 0
const flood: Handler = (_, response) => {
  response.writeHead(200, { "content-type": "application/json" })
  const more = (): unknown => {
    while (flooded < 200) {
      flooded++
      if (!response.write(megabyte)) return response.once("drain", more)
    }
    return response.end()
  }
  more()
}

const html = "<!doctype html><title>Maintenance</title><p>Okta is being maintained</p>"
const limited =
  "{\"errorCode\":\"E0000047\",\"errorSummary\":\"API call exceeded rate limit due to too many requests.\"}"

interface Fault {
  readonly name: string
  readonly handler: Handler
  /** What the client is told to wait, in seconds; 5 where Okta has said nothing. */
  readonly wait?: string
  /** Longest time until there is an answer, in milliseconds of the test's clock. */
  readonly within?: number
}

const late = 3100
const faults: ReadonlyArray<Fault> = [
  { name: "F4 accepts and never answers", handler: () => {}, within: late },
  { name: "F5 sends headers, then a trickle", handler: trickle(200), within: late },
  { name: "F5 sends headers of a refusal, then a trickle", handler: trickle(400), within: late },
  {
    name: "F5 breaks off in the middle",
    handler: (_, response) =>
      void response.writeHead(200, { "content-length": "1000" }).write("{", () => response.socket?.end())
  },
  { name: "F6 answers 500", handler: answering(500, "{\"errorCode\":\"E0000009\"}") },
  { name: "F6 answers 502", handler: answering(502, html, { "content-type": "text/html" }) },
  { name: "F6 answers 503", handler: answering(503, "") },
  { name: "F6 answers 503 with a time", handler: answering(503, "", { "retry-after": "12" }), wait: "12" },
  { name: "F6 answers 500 as if the token were at fault", handler: answering(500, "{\"error\":\"invalid_grant\"}") },
  { name: "F7 answers 429 with Retry-After", handler: answering(429, limited, { "retry-after": "7" }), wait: "7" },
  { name: "F7 answers 429 with a day", handler: answering(429, limited, { "retry-after": "86400" }), wait: "60" },
  { name: "F7 answers 429 as if the token were at fault", handler: answering(429, "{\"error\":\"invalid_grant\"}") },
  { name: "F8 answers an HTML page", handler: answering(200, html, { "content-type": "text/html" }) },
  { name: "F8 answers an HTML error page", handler: answering(400, html, { "content-type": "text/html" }) },
  { name: "F8 answers invalid JSON", handler: answering(200, "{\"access_token\":") },
  { name: "F8 answers JSON of another kind", handler: answering(200, "[\"access_token\"]") },
  { name: "F8 answers nothing", handler: answering(200, "") },
  { name: "F8 refuses in Okta's own form", handler: answering(400, "{\"errorCode\":\"E0000003\"}") },
  { name: "F8 refuses with an error that is none", handler: answering(400, "{\"error\":{}}") },
  { name: "F10 answers 200 MB", handler: flood },
  { name: "F11 redirects", handler: answering(307, "", { location: "/oauth2/default/v1/authorize" }) }
]

layer(Scene.layer())("Faults of Okta's token endpoint at the callback", (it) => {
  it.effect.each(faults.map((fault) => [fault.name, fault] as const))(
    "%s: temporarily_unavailable, asked once, nothing kept, and the state is used up",
    ([, { handler, within = 1000 }]) =>
      Effect.gen(function*() {
        const scene = yield* Scene
        const browser = scene.browser()
        const back = yield* scene.comeBack(browser)
        const asked = yield* scene.okta.requests()
        const writes = scene.writes.length
        flooded = 0
        yield* scene.okta.respond("token", handler)
        const { elapsed, value: answer } = yield* timed(browser.ask(back))
        assertSentBack(answer, "temporarily_unavailable")
        assert.isAtMost(elapsed, within)
        assertLocal(yield* browser.ask(back), 400)
        assert.strictEqual(yield* scene.okta.requests(), asked + 1)
        // Looked for as a sign-in of a client's, and the second time as one of this server's own page too.
        assert.deepStrictEqual(scene.writes.slice(writes), ["take flow", "take flow", "take visit"])
        yield* scene.okta.lift
        yield* TestClock.adjust("1 minute")
        assert.isString(yield* scene.code({}, browser))
        assert.isBelow(flooded, 100)
      })
  )
})

layer(Scene.layer())("Faults of Okta's token endpoint at a refresh", (it) => {
  it.effect.each(faults.map((fault) => [fault.name, fault] as const))(
    "%s: 503 with Retry-After, asked once for all who wait, and the refresh token stays good",
    ([, { handler, wait = "5", within = 1000 }]) =>
      Effect.gen(function*() {
        const scene = yield* Scene
        const { accessToken, refreshToken } = yield* scene.signIn()
        yield* TestClock.adjust("56 minutes")
        const form = scene.refreshment(refreshToken)
        const other = yield* scene.signIn()
        const asked = yield* scene.okta.requests()
        flooded = 0
        yield* scene.okta.respond("token", handler)
        const { elapsed, value: answers } = yield* timed(
          Effect.all(Array.from({ length: 5 }, () => scene.one.token(form)), { concurrency: "unbounded" })
        )
        for (const answer of answers) {
          assertRefused(answer, 503, "temporarily_unavailable")
          assert.strictEqual(answer.headers.get("retry-after"), wait)
        }
        assert.isAtMost(elapsed, within)
        // They came one after the other, or waited for the same answer.
        const tries = (yield* scene.okta.requests()) - asked
        assert.isAtMost(tries, within === late ? 1 : 5)
        // Nobody else is the worse for it, and nobody is signed out.
        assert.strictEqual((yield* scene.one.call(accessToken)).status, 200)
        assert.strictEqual((yield* scene.one.token(scene.refreshment(other.refreshToken))).status, 200)
        yield* scene.okta.lift
        yield* TestClock.adjust("1 minute")
        const answer = yield* scene.one.token(form)
        assertUncached(answer)
        assert.strictEqual(membersOf(answer)["expires_in"], 3600)
        assert.strictEqual(tokensOf(answer).refreshToken.split(".")[1], "2")
        assert.strictEqual((yield* scene.one.call(tokensOf(answer).accessToken)).status, 200)
        assert.isBelow(flooded, 100)
      })
  )
})

layer(Scene.layer())("Faults of Okta's token endpoint: too many requests", (it) => {
  it.effect("F7 it is not asked again before the time it named, and clients are told what is left of that", () =>
    Effect.gen(function*() {
      const scene = yield* Scene
      const [one, other] = [yield* scene.signIn(), yield* scene.signIn()]
      yield* TestClock.adjust("56 minutes")
      const browser = scene.browser()
      const back = yield* scene.comeBack(browser)
      yield* scene.okta.respond("token", answering(429, limited, { "retry-after": "30" }))
      assertRefused(yield* scene.one.token(scene.refreshment(one.refreshToken)), 503, "temporarily_unavailable")
      yield* scene.okta.lift
      const asked = yield* scene.okta.requests()
      yield* TestClock.adjust("20 seconds")
      const answer = yield* scene.one.token(scene.refreshment(other.refreshToken))
      assertRefused(answer, 503, "temporarily_unavailable")
      assert.strictEqual(answer.headers.get("retry-after"), "10")
      assertSentBack(yield* browser.ask(back), "temporarily_unavailable")
      assert.strictEqual(yield* scene.okta.requests(), asked)
      // What does not need that endpoint goes on.
      assert.strictEqual((yield* scene.one.call(one.accessToken)).status, 200)
      assert.strictEqual((yield* scene.one.revoke({ client_id: scene.clientId, token: one.refreshToken })).status, 200)
      assert.strictEqual(yield* scene.okta.requests("revoke"), 1)
      yield* TestClock.adjust("10 seconds")
      tokensOf(yield* scene.one.token(scene.refreshment(other.refreshToken)))
    }))
})

layer(Scene.layer())("Faults of Okta's key set when it signs with a new key", (it) => {
  const away = faults.filter(({ name }) => /^F(?:6|8) answers (?:500|503$|an HTML page|invalid)/.test(name))
  it.effect.each(away.map((fault) => [fault.name, fault] as const))(
    "%s: an ID token that cannot be verified is nobody's fault, and the refresh token stays good",
    ([, { handler }]) =>
      Effect.gen(function*() {
        const scene = yield* Scene
        const { refreshToken } = yield* scene.signIn()
        yield* TestClock.adjust("61 minutes")
        yield* scene.okta.rotateKeys
        yield* scene.okta.respond("keys", handler)
        const browser = scene.browser()
        const back = yield* scene.comeBack(browser)
        assertSentBack(yield* asTimePasses(browser.ask(back)), "temporarily_unavailable")
        const answer = yield* asTimePasses(scene.one.token(scene.refreshment(refreshToken)))
        assertRefused(answer, 503, "temporarily_unavailable")
        yield* scene.okta.lift
        const refresh = scene.one.token(scene.refreshment(refreshToken))
        const healed = Effect.repeat(refresh, { until: ({ status }) => status === 200, times: 1000 })
        tokensOf(yield* asTimePasses(healed))
        assert.isString(yield* scene.code({}, browser))
      })
  )
})

layer(Scene.layer())("Okta's keys when it changes them without a word", (it) => {
  it.effect("a new one is found however lately another was, in a sign-in and in a refresh", () =>
    Effect.gen(function*() {
      const scene = yield* Scene
      for (let time = 0; time < 3; time++) {
        yield* scene.okta.rotateKeys
        yield* scene.signIn()
      }
      const { refreshToken } = yield* scene.signIn()
      yield* TestClock.adjust("61 minutes")
      yield* scene.okta.rotateKeys
      yield* scene.signIn()
      yield* scene.okta.rotateKeys
      tokensOf(yield* scene.one.token(scene.refreshment(refreshToken)))
    }))

  it.effect("one that is nowhere to be found is asked for at every sign-in, and none comes of it", () =>
    Effect.gen(function*() {
      const scene = yield* Scene
      yield* scene.signIn()
      yield* scene.okta.withdrawKey(yield* scene.okta.rotateKeys)
      const browser = scene.browser()
      for (let time = 0; time < 3; time++) {
        const asked = yield* scene.okta.requests("keys")
        assertSentBack(yield* browser.ask(yield* scene.comeBack(browser)), "server_error")
        assert.isAbove(yield* scene.okta.requests("keys"), asked)
      }
    }))
})
