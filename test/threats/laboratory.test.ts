import { assert, layer } from "@effect/vitest"
import { Effect } from "effect"
import {
  Laboratory,
  type Outcome,
  type Place,
  places,
  type Servers,
  type State,
  states,
  type Trouble
} from "../support/Laboratory.ts"
import { answering } from "../support/OktaRelay.ts"

interface Fault {
  readonly title: string
  readonly trouble: Trouble
  /** What a client is told to wait, where Okta has said it, in seconds. */
  readonly retryAfter?: string
  /** Whether everybody is served all the same. */
  readonly harmless?: boolean
  /** What may come to nothing once, because it must not be tried twice. */
  readonly once?: string
}

const html = "<!doctype html><title>Maintenance</title>"
const web = { "content-type": "text/html" }

const faults: ReadonlyArray<Fault> = [
  { title: "F1 F2 F3 Okta is away", trouble: { kind: "absent" } },
  { title: "F4 Okta accepts and never answers", trouble: { kind: "silent" } },
  { title: "F5 headers come, then a trickle", trouble: { kind: "trickle" } },
  { title: "F5 headers of a refusal come, then a trickle", trouble: { kind: "trickle", status: 400 } },
  {
    title: "F5 half an answer comes, then nothing",
    trouble: { kind: "bytes", bytes: "HTTP/1.1 200 OK\r\ncontent-length: 1000\r\n\r\n{\"issuer\":", keptOpen: true }
  },
  { title: "F6 the connection is reset", trouble: { kind: "reset" } },
  {
    title: "F6 the connection ends in the middle of an answer",
    trouble: { kind: "bytes", bytes: "HTTP/1.1 200 OK\r\ncontent-length: 1000\r\n\r\n{\"issuer\":" }
  },
  { title: "F6 500", trouble: answering(500, "{\"errorCode\":\"E0000009\"}") },
  { title: "F6 502", trouble: answering(502, html, web) },
  { title: "F6 503", trouble: answering(503, "") },
  {
    title: "F7 429 with Retry-After",
    trouble: answering(429, "{\"errorCode\":\"E0000047\"}", { "retry-after": "25" }),
    retryAfter: "25"
  },
  { title: "F8 a page of HTML", trouble: answering(200, html, web) },
  { title: "F8 invalid JSON", trouble: answering(200, "{\"keys\":[") },
  { title: "F8 JSON of another kind", trouble: answering(200, "[\"keys\"]") },
  { title: "F8 something that is not HTTP", trouble: { kind: "bytes", bytes: "SSH-2.0-OpenSSH_9.9\r\n" } },
  {
    title: "F8 bytes that are said to be compressed",
    trouble: answering(200, html, { "content-type": "application/json", "content-encoding": "gzip" })
  },
  { title: "F9 200 with no keys in it", trouble: answering(200, "{\"keys\":[]}") },
  { title: "F10 200 MB", trouble: { kind: "huge" } },
  { title: "F10 200 MB in a compressed answer of 200 kB", trouble: { kind: "huge", packed: true } },
  { title: "F11 a redirect", trouble: answering(307, "", { location: "/oauth2/default/v1/keys" }) },
  { title: "F26 DNS fails", trouble: { kind: "unresolved" } },
  {
    title: "F26 DNS flaps",
    trouble: { kind: "unresolved", everyOther: true },
    harmless: true,
    once: "a refresh that needs Okta"
  },
  { title: "F4 Okta takes a second for each answer", trouble: { kind: "slow", delay: "1 second" }, harmless: true },
  { title: "F16 Okta's clock is an hour ahead", trouble: { kind: "clock", ahead: 3_600_000 }, harmless: true },
  { title: "F16 Okta's clock is an hour behind", trouble: { kind: "clock", ahead: -3_600_000 }, harmless: true }
]

/** Faults that come alone at each of the places, one of each kind. */
const single = /^(?:F4 Okta accepts|F6 500|F7|F8 a page|F11)/

type Expected = { readonly [probe: string]: string }

const away = "503 temporarily_unavailable"

/** What everybody is told, by what is in trouble. */
const expected = (state: State, at: ReadonlyArray<Place>): Expected => {
  const isCold = state === "cold"
  const [metadata, keys, token] = places.map((place) => at.includes(place))
  const noKeys = isCold && (metadata || keys)
  return {
    "no token": "401",
    "no token, proxy": "401",
    "a token by a known key": noKeys ? away : "200",
    "a token by a known key, never seen": noKeys ? away : "200",
    "a token by a new key": noKeys || keys ? away : "200",
    "a token with a wrong signature": noKeys ? away : "401 invalid_token",
    "a token of the proxy's": "200",
    "a code": state === "stale" ? "400 invalid_grant" : "200",
    "a refresh that needs nothing of Okta's": "200",
    "a refresh that needs Okta": token || keys || isCold && metadata ? away : "200",
    "a sign-in": isCold && metadata ? "sent back: temporarily_unavailable" : "sent to Okta",
    "readiness": noKeys ? "503" : "200"
  }
}

/** Longest time until everybody is answered, in milliseconds of the test's clock. */
const longest = 3100

/** Longest pause between two attempts at what fails again and again, in seconds. */
const longestPause = 30

const statuses = (outcomes: { readonly [probe: string]: Outcome }): Expected =>
  Object.fromEntries(Object.entries(outcomes).map(([probe, { is }]) => [probe, is]))

/** Everything that can be asked of two servers. */
const probes = Effect.fnUntraced(function*(
  { native, proxy }: Servers,
  tokens: Readonly<Record<"remembered" | "known" | "fresh" | "own" | "code" | "young" | "old", string>>
) {
  const { begin, scene } = yield* Laboratory
  return {
    "no token": native.ask("/mcp"),
    "no token, proxy": proxy.ask("/mcp"),
    "a token by a known key": native.call(tokens.remembered),
    "a token by a known key, never seen": native.call(tokens.known),
    "a token by a new key": native.call(tokens.fresh),
    "a token with a wrong signature": native.call(tokens.known.replace(/\.[^.]*$/, `.${"A".repeat(342)}`)),
    "a token of the proxy's": proxy.call(tokens.own),
    "a code": proxy.token(scene.redemption(tokens.code)),
    "a refresh that needs nothing of Okta's": proxy.token(scene.refreshment(tokens.young)),
    "a refresh that needs Okta": proxy.token(scene.refreshment(tokens.old)),
    "a sign-in": begin(proxy),
    "readiness": native.ask("/readyz")
  }
})

layer(Laboratory.layer(), { timeout: 60_000 })("Faults: the laboratory", (it) => {
  const cases = faults.flatMap((fault) =>
    [places, ...single.test(fault.title) ? places.map((place) => [place]) : []].map((at) =>
      [fault.title, at.join(", "), at, fault] as const
    )
  )
  it.effect.each(cases)(
    "%s, at %s: cold, warm and stale",
    ([, , at, { harmless, once, retryAfter, trouble }]) =>
      Effect.gen(function*() {
        const lab = yield* Laboratory
        const { code, okta } = lab.scene
        const servers = yield* lab.start()
        const old = yield* Effect.replicateEffect(lab.signIn(servers), 4)
        // By then the metadata, whose life is an hour, have a few minutes left.
        yield* lab.pass("56 minutes", "1 minute", servers.native.ask("/readyz"))
        const young = yield* lab.signIn(servers)
        const codes = yield* Effect.replicateEffect(code({}, lab.scene.browser(servers.proxy)), 2)
        const remembered = yield* okta.mint({ jti: "remembered" })
        assert.strictEqual((yield* servers.native.call(remembered)).status, 200)

        yield* Effect.acquireRelease(lab.trouble(trouble, at), () => lab.mend)
        const known = yield* okta.mint()
        yield* okta.rotateKeys
        const fresh = yield* okta.mint()
        const ask = (asked: Servers, nth: number) =>
          probes(asked, {
            remembered,
            known,
            fresh,
            own: young.accessToken,
            code: codes[nth] ?? "used",
            young: young.refreshToken,
            old: String(old[nth]?.refreshToken)
          })

        const observe = Effect.fnUntraced(function*(asked: Servers, state: State) {
          const { readiness, ...all } = yield* ask(asked, states.indexOf(state))
          const atOnce = Object.fromEntries(Object.entries(all).map(([name, probe]) => [name, lab.outcome(probe)]))
          const outcomes = {
            ...yield* lab.asTimePasses(Effect.all(atOnce, { concurrency: "unbounded" })),
            readiness: yield* lab.asTimePasses(lab.outcome(readiness))
          }
          const wanted = expected(state, harmless === true ? [] : at)
          const excused = once !== undefined && statuses(outcomes)[once] === away ? { [once]: away } : {}
          assert.deepStrictEqual(statuses(outcomes), { ...wanted, ...excused }, state)
          for (const [probe, { elapsed, is, retryAfter: told }] of Object.entries(outcomes)) {
            assert.isAtMost(elapsed, longest, probe)
            if (is !== away) continue
            assert.match(told ?? "", /^(?:[1-9]|[1-5]\d|60)$/, probe)
            // After several failures it may be our own pause, which is the longer one.
            const wait = Math.max(Number(retryAfter), state === "stale" ? longestPause : 0)
            if (retryAfter !== undefined) assert.isAtMost(Number(told), wait, probe)
          }
        })

        const started = yield* lab.start()
        yield* observe(started, "cold")
        yield* started.stop
        yield* observe(servers, "warm")
        const before = lab.attempts("metadata")
        yield* lab.pass("6 minutes", "20 seconds", servers.native.call(remembered))
        assert.isAbove(lab.attempts("metadata"), before, "the metadata are past their age")
        yield* observe(servers, "stale")

        // It passes, and all is well without anybody's doing.
        yield* lab.mend
        yield* lab.pass("35 seconds", "1 second")
        const { "a code": _, ...others } = yield* ask(servers, 3)
        for (const [name, probe] of Object.entries(others)) {
          const { is } = yield* lab.asTimePasses(lab.outcome(probe))
          assert.strictEqual(is, expected("warm", [])[name], `${name}, afterwards`)
        }
        yield* servers.stop
        yield* lab.assertHarmless
      })
  )

  it.effect("F14 F15 a key comes and another goes, while the keys are fresh, due or not there yet", () =>
    Effect.gen(function*() {
      const lab = yield* Laboratory
      const { okta } = lab.scene
      const servers = yield* lab.start()
      const call = (asked: Servers, token: string) =>
        Effect.map(lab.asTimePasses(lab.outcome(asked.native.call(token))), ({ is }) => is)
      const [kid, old] = [yield* okta.signingKey, yield* okta.mint()]
      assert.strictEqual(yield* call(servers, old), "200")
      yield* okta.rotateKeys
      yield* okta.withdrawKey(kid)
      const withdrawn = yield* okta.mint({ jti: "of the key that is gone" }, { kid })
      const fresh = yield* okta.mint()

      // Warm: nobody has asked yet, so the old key is as good as before. The first token by the new one brings the new set.
      assert.strictEqual(yield* call(servers, old), "200")
      const keys = yield* okta.requests("keys")
      assert.strictEqual(yield* call(servers, fresh), "200")
      assert.strictEqual(yield* okta.requests("keys"), keys + 1)
      for (const token of [old, withdrawn]) assert.strictEqual(yield* call(servers, token), "401 invalid_token")

      // Cold: it was never there.
      const started = yield* lab.start()
      assert.strictEqual(yield* call(started, old), "401 invalid_token")
      assert.strictEqual(yield* call(started, fresh), "200")
      yield* started.stop

      // Stale: it goes with the first set that lacks it, though nobody uses a new one.
      const last = yield* okta.signingKey
      yield* okta.rotateKeys
      yield* okta.withdrawKey(last)
      yield* lab.pass("290 seconds", "10 seconds", servers.native.call(fresh))
      yield* lab.pass("20 seconds", "1 second", servers.native.call(fresh))
      assert.strictEqual(yield* call(servers, fresh), "401 invalid_token")
      yield* servers.stop
      yield* lab.assertHarmless
    }))
})
