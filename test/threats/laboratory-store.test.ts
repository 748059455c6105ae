import { assert, layer } from "@effect/vitest"
import { Effect } from "effect"
import { Laboratory, type Servers, states } from "../support/Laboratory.ts"
import { enter, onTheWayBack, ready } from "../support/LaboratoryState.ts"
import { decide, redirectUri } from "../support/ProxyScene.ts"
import * as TroubledStore from "../support/TroubledStore.ts"

type Expected = Readonly<Record<string, string>>

const registration = {
  headers: { "content-type": "application/json" },
  body: JSON.stringify({ redirect_uris: [redirectUri], token_endpoint_auth_method: "none" })
}

const away = "503 temporarily_unavailable"

/** What everybody is told while the store does nothing. */
const nothing: Expected = {
  "no token": "401",
  "a token of Okta's": "200",
  "a token of this server's": "200",
  "a code": away,
  "a refresh that needs nothing of Okta's": away,
  "a refresh that needs Okta": away,
  "a sign-in": "503",
  "a return from Okta": "503",
  "a registration": away,
  "readiness": "503"
}

/** What needs only to be read goes on; the requests are counted elsewhere here. */
const readable: Expected = { ...nothing, "a registration": "201", "readiness": "200" }

const whole: Expected = {
  ...nothing,
  "a code": "200",
  "a refresh that needs nothing of Okta's": "200",
  "a refresh that needs Okta": "200",
  "a sign-in": "sent to Okta",
  "a return from Okta": "sent back: null",
  "a registration": "201",
  "readiness": "200"
}

/** The state was taken, and may not count again. */
const taken: Expected = { ...whole, "a return from Okta": "400" }
const lost = { "a return from Okta": "sent back: temporarily_unavailable" }

const troubles = ["leave", "slow", "fill"] as const

/** What is expected of each store that can have the trouble: meanwhile, and afterwards. */
const expected: {
  readonly [trouble in (typeof troubles)[number]]: {
    readonly [kind in TroubledStore.Kind]?: readonly [meanwhile: Expected, afterwards: Expected]
  }
} = {
  leave: { "a SQLite file": [nothing, whole], Redis: [nothing, whole] },
  slow: { "a SQLite file": [readable, whole], Redis: [nothing, taken] },
  fill: {
    memory: [{ ...readable, ...lost, "a refresh that needs nothing of Okta's": "200" }, taken],
    "a SQLite file": [readable, whole],
    Redis: [{ ...readable, ...lost }, taken]
  }
}

/** Everything that is asked of a store by way of a server, begun at others. */
const probes = Effect.fnUntraced(function*(well: Servers, old: string) {
  const { scene, signIn } = yield* Laboratory
  const young = yield* signIn(well)
  const code = yield* scene.code({}, scene.browser(well.proxy))
  const back = yield* onTheWayBack(well)
  const token = yield* scene.okta.mint()
  return ({ native, proxy }: Servers) => ({
    "no token": proxy.ask("/mcp"),
    "a token of Okta's": native.call(token),
    "a token of this server's": proxy.call(young.accessToken),
    "a code": proxy.token(scene.redemption(code)),
    "a refresh that needs nothing of Okta's": proxy.token(scene.refreshment(young.refreshToken)),
    "a refresh that needs Okta": proxy.token(scene.refreshment(old)),
    "a sign-in": Effect.gen(function*() {
      const browser = scene.browser(proxy)
      const page = yield* browser.ask(scene.authorizeUrl())
      return page.status === 200 ? yield* decide(browser, page, "allow") : page
    }),
    "a return from Okta": back.at(proxy),
    "a registration": proxy.ask("/oauth/register", registration),
    "readiness": proxy.ask("/readyz")
  })
})

for (const kind of TroubledStore.all) {
  layer(Laboratory.layer({ store: kind }), { timeout: 60_000 })(
    `Faults: the laboratory, with the store in ${kind}`,
    (it) => {
      it.effect.each(states)(
        "F18 F19 F20 the store is away, slow, full: %s",
        (state) =>
          Effect.gen(function*() {
            const { lab, next, old, well } = yield* enter(state)
            const { store } = lab
            for (const trouble of troubles) {
              const wanted = expected[trouble][kind]
              if (wanted === undefined) continue
              const ask = yield* probes(well, (yield* old).refreshToken)
              const servers = yield* next
              const begin = store[trouble]
              assert(begin !== undefined)
              const observe = Effect.fnUntraced(function*(expected: Expected, leftOut = /^$/) {
                const { readiness, ...others } = ask(servers)
                const named = Object.entries(others).filter(([probe]) => !leftOut.test(probe))
                const atOnce = Effect.forEach(named, ([, probe]) => lab.outcome(probe), { concurrency: "unbounded" })
                const outcomes = [...yield* lab.asTimePasses(atOnce), yield* lab.asTimePasses(lab.outcome(readiness))]
                const names = [...named.map(([probe]) => probe), "readiness"]
                const found = Object.fromEntries(names.map((probe, index) => [probe, outcomes[index]?.is]))
                assert.deepStrictEqual(
                  found,
                  Object.fromEntries(names.map((probe) => [probe, expected[probe]])),
                  trouble
                )
                for (const [index, { elapsed, is, retryAfter }] of outcomes.slice(0, -1).entries()) {
                  assert.isAtMost(elapsed, 3100, names[index])
                  if (is.startsWith("503")) assert.match(retryAfter ?? "", /^[1-9]\d?$/, names[index])
                }
              })
              const done = () => servers.ways.reduce((sum, way) => sum + way.done(), 0)
              const before = done()
              yield* begin
              // Whoever writes to a file waits for it in real time, and everybody with him.
              yield* observe(wanted[0], trouble === "slow" && kind === "a SQLite file" ? /sign-in|refresh/ : undefined)
              // No operation is tried again and again.
              assert.isBelow(done() - before, 60, trouble)
              yield* store.mend
              yield* Effect.forEach([servers, well], ({ proxy }) => ready(proxy))
              yield* observe(wanted[1])
            }
            yield* lab.assertHarmless
          }),
        60_000
      )
    }
  )
}
