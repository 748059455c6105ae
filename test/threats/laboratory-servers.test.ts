import { assert, layer } from "@effect/vitest"
import { Effect, Fiber, type Scope } from "effect"
import { until } from "../support/FaultyOkta.ts"
import { Laboratory, type Servers } from "../support/Laboratory.ts"
import { enter, onTheWayBack } from "../support/LaboratoryState.ts"
import { type Answer, assertLocal, assertRefused, fieldsOf, type Server, tokensOf } from "../support/ProxyScene.ts"
import * as TroubledStore from "../support/TroubledStore.ts"

type Entered = Effect.Success<ReturnType<typeof enter>>
type Part = (entered: Entered) => Effect.Effect<void, never, Laboratory | Scope.Scope>

const codeIn = ({ body, location }: Answer): string => {
  const code = location.searchParams.get("code")
  assert(code !== null, `${location} ${body}`)
  return code
}

const assertGone = (answer: Answer) => assertRefused(answer, 400, "invalid_grant")

/** Any step of a flow at either of two servers, and each once at both together. */
const twoReplicas: Part = ({ as, lab, next, well }) =>
  Effect.gen(function*() {
    const { scene } = lab
    const [{ proxy: a }, { proxy: b }] = [yield* next, yield* next]
    const browser = scene.browser(a)
    const page = yield* as(browser.ask(scene.authorizeUrl()))
    const { location } = yield* as(browser.ask(`${b.actual}/oauth/consent`, {
      body: new URLSearchParams({ ...fieldsOf(page), decision: "allow" })
    }))
    const back = yield* Effect.orDie(scene.okta.authorize(location))
    const form = scene.redemption(codeIn(yield* as(browser.ask(a.actual + back.pathname + back.search))))
    const first = tokensOf(yield* as(b.token(form)))
    const second = tokensOf(yield* as(a.token(scene.refreshment(first.refreshToken))))
    assert.strictEqual((yield* as(b.call(second.accessToken))).status, 200)
    assertLocal(yield* as(browser.ask(b.actual + back.pathname + back.search)), 400)
    assertGone(yield* as(a.token(form)))
    for (const server of [a, b, well.proxy]) {
      assert.strictEqual((yield* as(server.call(second.accessToken))).status, 401)
      assertGone(yield* as(server.token(scene.refreshment(second.refreshToken))))
    }
  })

/** Clients that go away at some moment of whatever is done for them. */
const goneClients = (turns: number): Part => ({ lab, next, old, well }) =>
  Effect.gen(function*() {
    const { scene } = lab
    const { native, proxy } = yield* next
    // Whoever comes again may wait for what was begun.
    const as = (asking: Effect.Effect<Answer>) => lab.asTimePasses(asking)
    const code = scene.redemption(yield* scene.code({}, scene.browser(well.proxy)))
    const back = yield* onTheWayBack(well)
    const requests = {
      call: native.call(yield* scene.okta.mint()),
      code: proxy.token(code),
      back: back.at(proxy),
      young: proxy.token(scene.refreshment((yield* lab.signIn(well)).refreshToken)),
      asked: proxy.token(scene.refreshment((yield* old).refreshToken))
    }
    const leaving = yield* Effect.forEach(Object.values(requests), (request) => Effect.forkChild(request))
    for (let turn = 0; turn < turns; turn++) yield* Effect.promise(() => new Promise(setImmediate))
    yield* Fiber.interruptAll(leaving)
    // Used up, or not at all.
    const redeemed = yield* as(requests.code)
    if (redeemed.status !== 200) assertGone(redeemed)
    assertGone(yield* as(requests.code))
    const returned = yield* as(requests.back)
    if (returned.status === 400) assertLocal(returned, 400)
    else tokensOf(yield* as(proxy.token(scene.redemption(codeIn(returned)))))
    // Given again, and the same.
    for (const request of [requests.young, requests.asked]) {
      const { refreshToken } = tokensOf(yield* as(request))
      assert.strictEqual(tokensOf(yield* as(request)).refreshToken, refreshToken)
    }
    assert.strictEqual((yield* as(requests.call)).status, 200)
  })

/** Records that somebody has changed. */
const damagedRecords: Part = ({ as, lab, next, old, well }) =>
  Effect.gen(function*() {
    const { scene, store } = lab
    const { proxy } = yield* next
    const damaged = (key: string | undefined) =>
      Effect.gen(function*() {
        const value = yield* store.get(key ?? "")
        const at = value.length >> 1
        yield* store.set(key ?? "", `${value.slice(0, at)}${value[at] === "A" ? "B" : "A"}${value.slice(at + 1)}`)
        scene.watch.lines.length = 0
      })
    const latest = (kind: string) => Effect.suspend(() => damaged(store.keys(kind).at(-1)))
    const assertAlarm = (what: string) =>
      assert.isTrue(scene.watch.lines.some((line) => /level=WARN.*counts as absent/.test(line)), what)

    const bystander = yield* lab.signIn(well)
    const back = yield* onTheWayBack(well)
    yield* latest("flow")
    assertLocal(yield* as(back.at(proxy)), 400)
    assertAlarm("flow")
    const code = yield* scene.code({}, scene.browser(well.proxy))
    yield* latest("code")
    assertGone(yield* as(proxy.token(scene.redemption(code))))
    assertAlarm("code")
    const young = yield* lab.signIn(well)
    yield* latest("grant")
    assert.strictEqual((yield* as(proxy.call(young.accessToken))).status, 401)
    assertGone(yield* as(proxy.token(scene.refreshment(young.refreshToken))))
    assertAlarm("grant")
    const { key, refreshToken } = yield* old
    yield* damaged(key)
    const asked = yield* scene.okta.requests("token")
    assertGone(yield* as(proxy.token(scene.refreshment(refreshToken))))
    assertAlarm("a grant of long ago")
    assert.strictEqual(yield* scene.okta.requests("token"), asked)
    tokensOf(yield* as(proxy.token(scene.refreshment(bystander.refreshToken))))
  })

/** Servers that are killed: the last thing that they do is a write of which they hear nothing more. */
const killed: Part = ({ lab, next, old, well }) =>
  Effect.gen(function*() {
    const { scene } = lab
    const dead: Array<Servers> = []
    const done = () => well.ways.reduce((sum, way) => sum + way.done(), 0)
    /** How many operations something is. */
    const counted = Effect.fnUntraced(function*(request: Effect.Effect<Answer>) {
      const before = done()
      yield* request
      return done() - before
    })
    /** Has a request done by a server that dies with the nth operation for it. */
    const dying = Effect.fnUntraced(function*(nth: number, request: (server: Server) => Effect.Effect<Answer>) {
      const servers = yield* next
      const { proxy, ways } = servers
      dead.push(servers)
      for (const way of ways) way.dieAt(nth)
      const unheard = yield* Effect.forkChild(request(proxy))
      yield* lab.asTimePasses(until("the server died", () => ways.some((way) => way.isDead())))
      yield* Fiber.interrupt(unheard)
    })
    const code = Effect.suspend(() => scene.code({}, scene.browser(well.proxy)))
    const redeem = (code: string) => (server: Server) => server.token(scene.redemption(code))
    const refresh = (token: string) => (server: Server) => server.token(scene.refreshment(token))

    // Between Okta's answer and ours: the state is used up, and so is the code; what nobody has got is good for nothing.
    const back = yield* onTheWayBack(well)
    yield* dying(2, back.at)
    assertLocal(yield* back.at(well.proxy), 400)
    const whole = yield* counted(redeem(yield* code)(well.proxy))
    const used = yield* code
    yield* dying(whole, redeem(used))
    assertGone(yield* redeem(used)(well.proxy))

    // Between the rotation and our answer: the same refresh token gives the same successor, until that is used.
    const rotation = yield* counted(refresh((yield* old).refreshToken)(well.proxy))
    const { refreshToken } = yield* old
    const asked = yield* scene.okta.requests("token")
    yield* dying(rotation, refresh(refreshToken))
    assert.strictEqual(yield* scene.okta.requests("token"), asked + 1)
    const successor = tokensOf(yield* refresh(refreshToken)(well.proxy)).refreshToken
    assert.strictEqual(tokensOf(yield* refresh(refreshToken)(well.proxy)).refreshToken, successor)
    assert.strictEqual(yield* scene.okta.requests("token"), asked + 1)
    tokensOf(yield* refresh(successor)(well.proxy))
    assertGone(yield* refresh(refreshToken)(well.proxy))
    tokensOf(yield* redeem(yield* code)(well.proxy))

    // What the dead would still have done fails now, so that they can be stopped, after the time that a server waits for requests.
    for (const { ways } of dead) for (const way of ways) yield* way.bury
    const stopping = yield* Effect.forEach(dead, ({ stop }) => Effect.forkChild(stop))
    yield* lab.pass("25 seconds", "1 second")
    yield* Fiber.joinAll(stopping)
  })

for (const kind of TroubledStore.all) {
  layer(Laboratory.layer({ store: kind }), { timeout: 60_000 })(
    `Faults: the laboratory, servers with their store in ${kind}`,
    (it) => {
      it.effect.each([["cold", 2], ["warm", 5], ["stale", 9]] as const)(
        "F21 F22 F23 F25 F29 two replicas, clients that go away, damaged records, servers that are killed: %s",
        ([state, turns]) =>
          Effect.gen(function*() {
            const entered = yield* enter(state, { count: 3 })
            for (const part of [twoReplicas, goneClients(turns), damagedRecords, killed]) yield* part(entered)
            yield* entered.lab.assertHarmless
          }),
        60_000
      )
    }
  )
}
