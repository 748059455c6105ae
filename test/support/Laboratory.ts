import { NodeHttpClient } from "@effect/platform-node"
import { assert } from "@effect/vitest"
import { Clock, Context, Duration, Effect, Exit, Fiber, Layer, Scope } from "effect"
import { HttpClient } from "effect/http"
import { TestClock } from "effect/testing"
import { randomBytes } from "node:crypto"
import type { OktaOptions } from "../../src/config/OktaConfig.ts"
import { jumpingClock } from "./FaultScene.ts"
import { until } from "./FaultyOkta.ts"
import * as Relay from "./OktaRelay.ts"
import { type Answer, decide, make as makeScene, membersOf, now, type Server, tokensOf } from "./ProxyScene.ts"
import * as TroubledStore from "./TroubledStore.ts"

/**
 * What servers know when a trouble begins. Cold: they have fetched nothing yet. Warm: they have keys that are fresh, and grants
 * that need nothing of Okta's. Stale: their metadata and keys are past their age, and so is what Okta last said of grants.
 */
export const states = ["cold", "warm", "stale"] as const
export type State = (typeof states)[number]

/** The documents and endpoints of Okta's that a server asks. */
export const places = ["metadata", "keys", "token"] as const
export type Place = (typeof places)[number]

const isAt: { readonly [place in Place]: (path: string) => boolean } = {
  metadata: (path) => path.includes("/.well-known/"),
  keys: (path) => path.endsWith("/keys"),
  token: (path) => path.endsWith("/token")
}

/** What can be wrong between this server and Okta. */
export type Trouble =
  | Relay.RelayFault
  /** Nobody listens. */
  | { readonly kind: "absent" }
  /** The name is not found; or only every other time. */
  | { readonly kind: "unresolved"; readonly everyOther?: boolean }

/** A server in native mode and one in proxy mode. */
export interface Servers {
  readonly native: Server
  readonly proxy: Server
  /** Theirs to the store. */
  readonly ways: ReadonlyArray<TroubledStore.Way>
  readonly stop: Effect.Effect<void>
}

/** How something came out, and after how many milliseconds of the test's clock. */
export interface Outcome {
  readonly is: string
  readonly elapsed: number
  /** What a client is told to wait, in seconds. */
  readonly retryAfter: string | null
}

export interface Options {
  /** Where servers keep what is going on; default: in memory. */
  readonly store?: TroubledStore.Kind
}

const make = Effect.fnUntraced(function*(options: Options) {
  const { ahead, clock } = yield* jumpingClock
  const relay = yield* Effect.provideService(Relay.make, Clock.Clock, clock)
  let inFlight = 0
  const attempts = { metadata: 0, keys: 0, token: 0 }
  let lookups = 0
  let unresolved: ((nth: number) => boolean) | undefined
  // The platform's services wait for the end of the terminal's input, those of each server, of which there are many here.
  process.stdin.setMaxListeners(0)
  const rejections: Array<unknown> = []
  const witness = (reason: unknown) => void rejections.push(reason)
  yield* Effect.acquireRelease(
    Effect.sync(() => {
      for (const event of ["unhandledRejection", "uncaughtExceptionMonitor", "warning"]) process.on(event, witness)
    }),
    () =>
      Effect.sync(() => {
        for (const event of ["unhandledRejection", "uncaughtExceptionMonitor", "warning"]) process.off(event, witness)
      })
  )

  /** By the client that `effect-okta serve` uses. */
  const client = Layer.effect(
    HttpClient.HttpClient,
    Effect.map(
      HttpClient.HttpClient,
      (client) =>
        HttpClient.transform(client, (answer, { url }) =>
          Effect.suspend(() => {
            inFlight++
            for (const place of places) if (isAt[place](new URL(url).pathname)) attempts[place]++
            return Effect.ensuring(answer, Effect.sync(() => inFlight--))
          }))
    )
  ).pipe(Layer.provide(NodeHttpClient.layerUndiciOptions({
    connect: {
      lookup: (host, { all }, found) =>
        unresolved?.(lookups++) === true
          ? found(Object.assign(new Error(`getaddrinfo ENOTFOUND ${host}`), { code: "ENOTFOUND" }), "", 4)
          : all === true
          ? found(null, [{ address: "127.0.0.1", family: 4 }])
          : found(null, "127.0.0.1", 4)
    }
  })))

  // Before anything sleeps, which would be woken for all the time until then.
  yield* TestClock.setTime(now * 1000)
  const store = yield* Effect.provideService(TroubledStore.make(options.store ?? "memory"), Clock.Clock, clock)

  const scene = yield* makeScene({
    httpClient: client,
    okta: { through: relay.to, keysMaxAge: 300 },
    store: store.layer
  }).pipe(Effect.provideService(Clock.Clock, clock))
  yield* scene.one.stop

  const running = new Set<Server>()
  const start = Effect.fnUntraced(function*(settings: Partial<OktaOptions> = {}) {
    const seen = store.ways.length
    const scope = yield* Scope.fork(yield* Effect.scope)
    const [proxy, native] = yield* Effect.all([
      scene.start(settings),
      scene.start({
        mode: "native",
        audience: scene.okta.audience,
        clientId: undefined,
        clientSecret: undefined,
        encryptionSecret: undefined,
        signingKeys: undefined,
        requestsPerMinute: undefined,
        clientMetadataDocuments: undefined
      })
    ]).pipe(Scope.provide(scope), Effect.provideService(Clock.Clock, clock))
    running.add(native).add(proxy)
    yield* Scope.addFinalizer(scope, Effect.sync(() => running.delete(native) && running.delete(proxy)))
    return { native, proxy, ways: store.ways.slice(seen), stop: Scope.close(scope, Exit.void) }
  })

  /** Waits until nothing is on its way to Okta or the store but what waits for the clock. */
  const settled = Effect.suspend(() => {
    let turns = 0
    return until("all requests were answered", () => {
      turns = inFlight <= relay.held() && store.busy() === 0 ? turns + 1 : 0
      return turns > 30
    })
  })

  const random = Effect.callback<void>((resume) => randomBytes(16, () => resume(Effect.void)))

  /**
   * The same, and everything has begun that was asked of the servers before: what is asked of them now, and of Node's other
   * threads, has had its turn.
   */
  const quiet = Effect.gen(function*() {
    for (let round = 0; round < 3; round++) {
      yield* Effect.forEach(running, ({ ask }) => ask("/healthz"), { concurrency: "unbounded" })
      yield* Effect.all(Array.from({ length: 8 }, () => random), { concurrency: "unbounded" })
      yield* settled
    }
  })

  /** Lets time pass, and what is on its way arrive after each step of it. */
  const pass = Effect.fnUntraced(function*(
    duration: Duration.Input,
    step: Duration.Input,
    each: Effect.Effect<unknown> = Effect.void
  ) {
    const length = Duration.toMillis(Duration.fromInputUnsafe(step))
    for (let left = Duration.toMillis(Duration.fromInputUnsafe(duration)); left > 0; left -= length) {
      yield* settled
      yield* TestClock.adjust(Math.min(left, length))
      yield* settled
      yield* each
    }
  })

  /** Lets time pass until an effect ends. */
  const asTimePasses = Effect.fnUntraced(function*<A>(effect: Effect.Effect<A>) {
    const fiber = yield* Effect.forkChild(effect)
    yield* quiet
    for (const step of [1000, 1000, 900, ...Array<number>(100).fill(100)]) {
      if (fiber.pollUnsafe() !== undefined) break
      yield* TestClock.adjust(step)
      yield* quiet
    }
    assert.isDefined(fiber.pollUnsafe(), "it takes longer than 12 seconds")
    return yield* Fiber.join(fiber)
  })

  const outcome = (asking: Effect.Effect<Answer>): Effect.Effect<Outcome> =>
    Effect.gen(function*() {
      const began = yield* Clock.currentTimeMillis
      const answer = yield* asking
      const elapsed = (yield* Clock.currentTimeMillis) - began
      return { is: told(answer), elapsed, retryAfter: answer.headers.get("retry-after") }
    })

  /** What the person who is sent back, or the client, is told; or the status alone where there is nothing to tell. */
  const told = (answer: Answer): string => {
    const { location, status } = answer
    if (status === 302 || status === 303) {
      return location.origin === scene.okta.origin ? "sent to Okta" : `sent back: ${location.searchParams.get("error")}`
    }
    const isJson = answer.headers.get("content-type")?.startsWith("application/json") === true
    const error = isJson ? membersOf(answer)["error"] : undefined
    return error === undefined ? String(status) : `${status} ${String(error)}`
  }

  return {
    relay,
    scene,
    /** Where all servers keep what is going on. */
    store,
    /** Starts servers; the settings on top are those of the one in proxy mode. */
    start,
    quiet,
    /** How often servers have asked there, whatever came of it. */
    attempts: (place: Place) => attempts[place],
    /** Puts the wall clock ahead, by which grants grow old, and leaves what is known of Okta as fresh as it is. */
    growOld: (duration: Duration.Input) =>
      Effect.sync(() => {
        ahead.wall += Duration.toMillis(Duration.fromInputUnsafe(duration))
      }),
    pass,
    asTimePasses,
    outcome,
    /** Requests and what became of them that nobody may ever see. */
    assertHarmless: Effect.sync(() => {
      assert.deepStrictEqual(rejections, [])
      const broken = scene.answers.splice(0).filter(({ status }) => status >= 500 && status !== 503)
      assert.deepStrictEqual(broken.map(told), [])
    }),
    /** Everything that a client and a person need, from now on. */
    signIn: Effect.fnUntraced(function*({ proxy }: Servers) {
      const code = yield* scene.code({}, scene.browser(proxy))
      return tokensOf(yield* proxy.token(scene.redemption(code)))
    }),
    /** From the consent page on the way to Okta. */
    begin: (proxy: Server) =>
      Effect.gen(function*() {
        const browser = scene.browser(proxy)
        return yield* decide(browser, yield* browser.ask(scene.authorizeUrl()), "allow")
      }),
    /** Brings the trouble about at these places, until `mend`, which may be done more than once. */
    trouble: (trouble: Trouble, at: ReadonlyArray<Place> = places) => {
      const isFor = (path: string) => at.some((place) => isAt[place](path))
      if (trouble.kind === "absent") return relay.leave
      return Effect.sync(() => {
        if (trouble.kind !== "unresolved") return relay.fail(trouble, isFor)
        unresolved = (nth) => trouble.everyOther !== true || nth % 2 === 0
      })
    },
    mend: Effect.suspend(() => {
      unresolved = undefined
      relay.mend()
      return relay.comeBack
    })
  }
})

/** A certified authorization server behind a relay that can do to it what the world does, and servers of ours. */
export class Laboratory extends Context.Service<Laboratory, Effect.Success<ReturnType<typeof make>>>()(
  "test/support/Laboratory"
) {
  static readonly layer = (options: Options = {}): Layer.Layer<Laboratory> => Layer.effect(Laboratory, make(options))
}
