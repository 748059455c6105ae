import { assert, describe, it } from "@effect/vitest"
import { Effect, Logger, References } from "effect"
import { TestClock } from "effect/testing"
import type { OktaOptions } from "../../src/config/OktaConfig.ts"
import { ProofKey } from "../support/Proofs.ts"
import { type Asked, make, now, type ProxyScene, serverUrl, tokensOf } from "../support/ProxyScene.ts"

interface Line {
  readonly level: string
  readonly message: string
  readonly withheld: unknown
}

/** A server, and what it logs about requests. */
const start = Effect.fnUntraced(function*(settings: Partial<OktaOptions> = {}) {
  const lines: Array<Line> = []
  const logger = Logger.make(({ fiber, logLevel, message }) => {
    const { withheld } = fiber.getRef(References.CurrentLogAnnotations)
    const text = [message].flat().map(String).join(" ")
    if (!text.startsWith("Sent HTTP")) lines.push({ level: logLevel, message: text, withheld })
  })
  const scene = yield* make({ environment: Logger.layer([logger]), settings })
  const loud = () => lines.filter(({ level }) => level !== "Debug")
  return { scene, lines, loud }
})

const post = (form: Readonly<Record<string, string>>): Asked => ({ body: new URLSearchParams(form) })
const unguarded = "u".repeat(43)

/** What anybody can send as often as they want, and how many lines of the log it may be in a minute. */
const floods: ReadonlyArray<
  readonly [what: string, most: number, send: (scene: ProxyScene, nth: number) => Effect.Effect<unknown>]
> = [
  ["tokens that are none", 10, ({ one }, nth) => one.call(`a.b.${nth}`)],
  ["malformed credentials", 10, ({ one }) => one.ask("/mcp", { headers: { authorization: "Bearer a b" } })],
  [
    "unknown clients at the token endpoint",
    10,
    ({ one }, nth) => one.token({ grant_type: "refresh_token", client_id: `${nth}` })
  ],
  [
    "refresh tokens that are none",
    10,
    ({ clientId, one, refreshment }, nth) => one.token(refreshment(`${nth}`, { client_id: clientId }))
  ],
  [
    "unknown clients at the authorization endpoint",
    10,
    ({ authorizeUrl, browser }) => browser().ask(authorizeUrl({ client_id: "nobody" }))
  ],
  [
    "clients at a URL that is not looked up",
    20,
    ({ authorizeUrl, browser }, nth) => browser().ask(authorizeUrl({ client_id: `https://x.example/${nth}` }))
  ],
  [
    "authorization requests that are not in order",
    10,
    ({ authorizeUrl, browser }) => browser().ask(authorizeUrl({ scope: "everything" }))
  ],
  [
    "returns that belong to no sign-in",
    100,
    ({ browser }) => browser().ask(`/oauth/callback?state=${unguarded}&code=x`)
  ],
  ["logout tokens that are none", 10, ({ one }) => one.ask("/oauth/backchannel-logout", post({ logout_token: "x" }))],
  [
    "Universal Logout by nobody",
    10,
    ({ one }) => one.ask("/oauth/global-token-revocation", { ...post({}), headers: { authorization: "Bearer x" } })
  ]
]

describe("whoever sends without end", () => {
  for (const [what, most, send] of floods) {
    it.effect(`${what} fills no log: ${most} lines a minute, and how many more there were`, () =>
      Effect.gen(function*() {
        const { lines, loud, scene } = yield* start()
        lines.length = 0
        const sent = most + 7
        for (let nth = 0; nth < sent; nth++) yield* send(scene, nth)
        const first = loud()
        assert.isAtLeast(first.length, 10)
        assert.isAtMost(first.length, most)
        assert.deepStrictEqual(first.filter(({ withheld }) => withheld !== undefined), [])
        // Whoever wants to see all of them can.
        const kinds = lines.length / sent
        assert.isTrue(Number.isInteger(kinds), `${lines.length} lines of ${sent}`)
        yield* TestClock.adjust("1 minute")
        yield* send(scene, sent)
        const [next, ...more] = loud().slice(first.length)
        assert.strictEqual(next?.withheld, sent - first.length / kinds)
        assert.lengthOf(more, kinds - 1)
        yield* TestClock.adjust("1 minute")
        yield* send(scene, sent + 1)
        assert.isUndefined(loud().at(-1)?.withheld)
      }))
  }

  it.effect("a proof that its holder brings again and again fills no log, though a guarded route has no limit", () =>
    Effect.gen(function*() {
      const { lines, loud, scene } = yield* start()
      const key = new ProofKey()
      const proof = key.proof({ method: "POST", url: `${serverUrl}/oauth/token`, iat: now })
      const { accessToken: token } = tokensOf(
        yield* scene.one.token(scene.redemption(yield* scene.code()), { dpop: proof })
      )
      const headers = { authorization: `DPoP ${token}`, dpop: key.proof({ url: `${serverUrl}/mcp`, iat: now, token }) }
      lines.length = 0
      const statuses = yield* Effect.replicateEffect(
        Effect.map(scene.one.ask("/mcp", { headers }), ({ status }) => status),
        151
      )
      assert.deepStrictEqual(statuses, [200, ...Array<number>(150).fill(401)])
      assert.lengthOf(loud().filter(({ message }) => message === "Audit: ReplayDetected"), 100)
      assert.lengthOf(loud().filter(({ message }) => message.startsWith("Request refused")), 10)
      assert.lengthOf(lines.filter(({ message }) => message === "Audit: ReplayDetected"), 150)
    }))

  it.effect("a code that is presented again and again is a warning ten times a minute", () =>
    Effect.gen(function*() {
      const { loud, scene } = yield* start()
      const code = yield* scene.code()
      for (let times = 0; times <= 15; times++) yield* scene.one.token(scene.redemption(code))
      const replays = loud().filter(({ message }) => message.startsWith("An authorization code was presented again"))
      assert.deepStrictEqual(replays.map(({ level }) => level), Array.from({ length: 10 }, () => "Warn"))
    }))

  it.effect("a refresh token that is presented again is a warning", () =>
    Effect.gen(function*() {
      const { loud, scene } = yield* start()
      const refresh = (token: string) => scene.one.token(scene.refreshment(token))
      const { refreshToken } = yield* scene.signIn()
      yield* refresh(tokensOf(yield* refresh(refreshToken)).refreshToken)
      yield* refresh(refreshToken)
      const replays = loud().filter(({ message }) =>
        message.startsWith("A refresh token was presented whose successor")
      )
      assert.deepStrictEqual(replays.map(({ level }) => level), ["Warn"])
    }))

  it.effect("what is let in and has to be accounted for is a line each", () =>
    Effect.gen(function*() {
      const { loud, scene } = yield* start({ requestsPerMinute: 200 })
      const registered = () => loud().filter(({ message }) => message === "Audit: ClientRegistered").length
      const before = registered()
      for (let times = 0; times < 150; times++) yield* scene.register()
      assert.strictEqual(registered() - before, 150)
    }))

  it.effect("more than is let in is told once a minute, at each endpoint", () =>
    Effect.gen(function*() {
      const { lines, loud, scene } = yield* start({ requestsPerMinute: 5 })
      lines.length = 0
      const { authorizeUrl, browser, one, refreshment } = scene
      const registration: Asked = { headers: { "content-type": "application/json" }, body: "{}" }
      for (let minute = 1; minute <= 2; minute++) {
        for (let times = 0; times < 20; times++) {
          yield* one.token(refreshment("x"))
          yield* browser().ask(authorizeUrl({ client_id: "nobody" }))
          yield* one.ask("/oauth/register", registration)
          yield* one.ask("/oauth/logout")
        }
        const limits = loud().filter(({ message }) => message.startsWith("There are too many requests"))
        assert.lengthOf(limits, 4 * minute)
        assert.deepStrictEqual(limits.filter(({ level }) => level !== "Warn"), [])
        yield* TestClock.adjust("1 minute")
      }
    }))
})
