import { assert } from "@effect/vitest"
import { Effect } from "effect"
import type { OktaOptions } from "../../src/config/OktaConfig.ts"
import { Laboratory, type Servers, type State } from "./Laboratory.ts"
import type { Answer, Server, UserAgent } from "./ProxyScene.ts"

const documents = ["metadata", "keys"] as const

/** The moment at which a server says that it is ready. */
export const ready = (server: Server) =>
  Effect.repeat(Effect.map(server.ask("/readyz"), ({ status }) => status), { until: (status) => status === 200 })

export interface Entering {
  /** How many servers of each mode. */
  readonly count?: number
  /** Settings of those in proxy mode. */
  readonly settings?: Partial<OktaOptions>
}

/**
 * Brings servers into a state: what they know of Okta, and how long ago Okta was asked about `old`. Others are `well`: people
 * begin there what is to go on at the first ones.
 *
 * In the state `cold` each of Okta's documents takes a second to come, in the state `stale` they do not come any more, until
 * the laboratory is mended. Okta's token endpoint goes on.
 */
export const enter = Effect.fnUntraced(function*(state: State, { count = 1, settings = {} }: Entering = {}) {
  const lab = yield* Laboratory
  yield* Effect.addFinalizer(() => lab.mend)
  const well = yield* lab.start()
  const start = lab.start(settings)
  const early = state === "cold" ? [] : yield* Effect.replicateEffect(start, count)
  const used = [well, ...early]
  yield* Effect.forEach(used, ({ native, proxy }) => Effect.andThen(ready(native), ready(proxy)))
  const old = yield* Effect.replicateEffect(
    Effect.map(lab.signIn(well), (tokens) => ({ ...tokens, key: lab.store.keys("grant").at(-1) ?? "" })),
    6
  )
  const nextOld = old.values()
  if (state === "stale") {
    yield* lab.trouble({ kind: "silent" }, documents)
    const use = Effect.gen(function*() {
      const token = yield* lab.scene.okta.mint()
      for (const { native, proxy } of used) {
        assert.strictEqual((yield* native.call(token)).status, 200)
        assert.strictEqual((yield* proxy.ask("/readyz")).status, 200)
      }
    })
    yield* lab.pass("61 minutes", "5 minutes", use)
  } else {
    yield* lab.growOld("56 minutes")
    if (state === "cold") yield* lab.trouble({ kind: "slow", delay: "1 second" }, documents)
  }
  let given = 0

  return {
    lab,
    well,
    /** Has something done there, for which somebody may have to wait. */
    as: <A>(asking: Effect.Effect<A>) => state === "cold" ? lab.asTimePasses(asking) : asking,
    /** Servers in this state, others each time until there are no more. */
    next: Effect.suspend(() => {
      const servers = early[given++ % count]
      return servers === undefined ? start : Effect.succeed(servers)
    }),
    /** A grant about which Okta was asked long ago. */
    old: Effect.sync(() => {
      const { value } = nextOld.next()
      assert(value !== undefined)
      return value
    })
  }
})

/** A browser on its way back from Okta, at whichever server it arrives. */
export const onTheWayBack = Effect.fnUntraced(function*({ proxy }: Servers) {
  const { scene } = yield* Laboratory
  const browser: UserAgent = scene.browser(proxy)
  const url = yield* scene.comeBack(browser)
  return { at: (server: Server): Effect.Effect<Answer> => browser.ask(server.actual + url.pathname + url.search) }
})
