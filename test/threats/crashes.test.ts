import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import { make, type Moment } from "../support/CrashScene.ts"
import * as CrashStore from "../support/CrashStore.ts"
import { type Answer, codeChallenge, codeVerifier, fieldsOf, membersOf, UserAgent } from "../support/ProxyScene.ts"
import { isMissing } from "../support/RedisServer.ts"
import type { Handler } from "../support/StandInDoor.ts"

const everything = ["callback", "redemption", "refresh"] as const

/** When the server is killed, and what it is at work on by then. */
type Round = readonly [Moment, work: ReadonlyArray<(typeof everything)[number]>]

const stepsOf = (...steps: ReadonlyArray<number>): ReadonlyArray<Round> =>
  steps.map((step) => [{ steps: step }, everything])

/** The moments that every run tries, and those of the long run (`npm run test:crashes`). */
const usual: ReadonlyArray<Round> = [
  [{ okta: "answered" }, ["callback", "redemption"]],
  [{ answers: 1 }, everything],
  [{ okta: "asked" }, ["redemption", "refresh"]],
  [{ answers: 3 }, everything]
]
const thorough: ReadonlyArray<Round> = [
  [{ okta: "asked" }, ["callback", "redemption"]],
  [{ okta: "answered" }, ["refresh"]],
  [{ answers: 2 }, everything],
  ...stepsOf(...Array.from({ length: 30 }, (_, index) => index + 1))
]
const isThorough = process.env["CRASH_ROUNDS"] !== undefined

/** More rounds, at moments that nobody has chosen. */
const further = Array.from(
  { length: Number(process.env["CRASH_ROUNDS"] ?? 0) },
  (): Round => [{ after: Math.random() * 60 }, everything]
)

const redirect_uri = "http://127.0.0.1:45678/callback"

/** Okta's word lasts 20 seconds only; the body keeps its length. */
const briefly: Handler = (_, response, usual) => {
  const { end } = response
  Object.assign(response, {
    end: (body: unknown) =>
      end.call(response, String(body).replace("\"expires_in\":3600", "\"expires_in\":20  "), "utf8", () => {})
  })
  return usual()
}

const stores = [
  { name: "a SQLite file", store: CrashStore.sqlite, steps: [1, 3, 5] },
  { name: "Redis", store: CrashStore.redis, steps: [2, 8, 14] }
].filter(({ name }) => name !== "Redis" || !isMissing)

describe.each(stores)("Faults: the server is killed, with its store in $name", ({ steps, store }) => {
  const rounds = [...stepsOf(...steps), ...usual, ...(isThorough ? [...thorough, ...further] : [])]
  it.live(
    "F21 F22 at any moment of a callback, a redemption and a refresh: nothing is good twice, nothing is lost",
    () =>
      Effect.gen(function*() {
        const scene = yield* make(yield* store)
        const { url } = scene
        const ask = (path: string, form: Readonly<Record<string, string>>) =>
          new UserAgent(url, url).ask(path, { body: new URLSearchParams(form) })
        yield* scene.start
        const registered = yield* new UserAgent(url, url).ask("/oauth/register", {
          headers: { "content-type": "application/json" },
          body: JSON.stringify({
            redirect_uris: [redirect_uri],
            token_endpoint_auth_method: "none",
            grant_types: ["authorization_code", "refresh_token"]
          })
        })
        const client_id = String(membersOf(registered)["client_id"])
        const comeBack = Effect.fnUntraced(function*(browser: UserAgent, state: string) {
          const parameters = { client_id, redirect_uri, state, code_challenge: codeChallenge }
          const fixed = { response_type: "code", code_challenge_method: "S256" }
          const page = yield* browser.ask(`/oauth/authorize?${new URLSearchParams({ ...parameters, ...fixed })}`)
          assert.strictEqual(page.status, 200, page.body)
          const body = new URLSearchParams({ ...fieldsOf(page), decision: "allow" })
          const { location } = yield* browser.ask("/oauth/consent", { body })
          return yield* Effect.orDie(scene.okta.authorize(location))
        })
        const codeIn = ({ location }: Answer) => location.searchParams.get("code") ?? ""
        const redeem = (code: string) =>
          ask("/oauth/token", {
            grant_type: "authorization_code",
            client_id,
            code,
            redirect_uri,
            code_verifier: codeVerifier
          })
        // As clients do: what is answered 503 is asked for again, a few times.
        const refresh = (refresh_token: string) =>
          Effect.repeat(ask("/oauth/token", { grant_type: "refresh_token", client_id, refresh_token }), {
            until: ({ status }) => status !== 503,
            times: 4
          })
        const call = (accessToken: string) =>
          new UserAgent(url, url).ask("/mcp", {
            method: "POST",
            body: "{}",
            headers: { authorization: `Bearer ${accessToken}` }
          })
        const newCode = Effect.suspend(() => {
          const browser = new UserAgent(url, url)
          return Effect.map(Effect.flatMap(comeBack(browser, "s"), (back) => browser.ask(back)), codeIn)
        })
        const granted = (answer: Answer) => {
          assert.strictEqual(answer.status, 200, answer.body)
          return String(membersOf(answer)["refresh_token"])
        }
        const assertInvalid = (answer: Answer) =>
          assert.deepStrictEqual([answer.status, membersOf(answer)["error"]], [400, "invalid_grant"])
        /** A session of which Okta is to be asked again by the next process. */
        const brief = Effect.gen(function*() {
          yield* scene.okta.respond("token", briefly)
          const refreshToken = granted(yield* redeem(yield* newCode))
          yield* scene.okta.lift
          return refreshToken
        })

        // Each session is refreshed by the process after the one that began it.
        let next = yield* brief
        yield* scene.stop
        yield* scene.start
        const seen = { callback: 0, redemption: 0, refresh: 0 }
        for (const [round, [moment, work]] of rounds.entries()) {
          const session = next
          next = yield* brief
          const browser = new UserAgent(url, url)
          const back = yield* comeBack(browser, `state-${round}`)
          const code = yield* newCode
          const requests = { callback: browser.ask(back), redemption: redeem(code), refresh: refresh(session) }
          const { answered, isOktaAsked } = yield* scene.crash(
            moment,
            Effect.forEach(work, (one) => Effect.exit(requests[one]), { concurrency: "unbounded" })
          )
          yield* scene.start
          const what = `${JSON.stringify(moment)}, at work on ${work.join()}, in round ${round}`

          // The callback: the state is used up as soon as Okta may have been asked.
          const lost = new RegExp(`[?&]code=([\\w-]{43})&state=state-${round}`).exec(answered)?.[1]
          const again = yield* browser.ask(back)
          if (lost !== undefined || isOktaAsked && !work.includes("refresh")) {
            assert.strictEqual(again.status, 400, what)
          } else assert.include([302, 400], again.status, what)
          if (lost !== undefined) {
            seen.callback++
            granted(yield* redeem(lost))
            assertInvalid(yield* redeem(lost))
          }
          if (again.status === 302) {
            assert.notStrictEqual(codeIn(again), "", again.location.href)
            assert.strictEqual((yield* browser.ask(back)).status, 400)
          }

          // The redemption: once at most, and what nobody got is good for nothing.
          const bodies = [...answered.matchAll(/\{"access_token":"([^"]+)".*?"refresh_token":"([^"]+)"/g)]
          const [, accessToken, refreshToken] = bodies.find(([, , token]) => token?.split(".")[1] === "1") ?? []
          const redeemed = yield* redeem(code)
          if (accessToken !== undefined && refreshToken !== undefined) {
            seen.redemption++
            assertInvalid(redeemed)
            assert.strictEqual((yield* call(accessToken)).status, 401)
            assertInvalid(yield* refresh(refreshToken))
          } else if (redeemed.status === 200) {
            const first = String(membersOf(redeemed)["access_token"])
            assertInvalid(yield* redeem(code))
            assert.strictEqual((yield* call(first)).status, 401)
          } else {
            assertInvalid(redeemed)
          }

          // The refresh: the same successor, until that is used.
          const successor = granted(yield* refresh(session))
          const [, , answer] = bodies.find(([, , token]) => token?.split(".")[0] === session.split(".")[0]) ?? []
          if (answer !== undefined) {
            seen.refresh++
            assert.strictEqual(successor, answer, what)
          }
          assert.strictEqual(granted(yield* refresh(session)), successor, what)
          const last = granted(yield* refresh(successor))
          assertInvalid(yield* refresh(session))
          assertInvalid(yield* refresh(last))

          yield* scene.check
        }
        // Each of them was killed at least once with its answer on its way.
        assert.isAbove(Math.min(seen.callback, seen.redemption, seen.refresh), 0, JSON.stringify(seen))
      }),
    60_000 + rounds.length * 30_000
  )
})
