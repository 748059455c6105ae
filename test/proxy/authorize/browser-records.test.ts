import { assert, describe, it } from "@effect/vitest"
import { Context, Duration, Effect, Layer, Ref } from "effect"
import { HttpServerRequest, HttpServerResponse } from "effect/http"
import { TestClock } from "effect/testing"
import { type OktaOptions } from "../../../src/config/OktaConfig.ts"
import type { ApprovedRequest } from "../../../src/proxy/authorize/AuthorizationRequest.ts"
import * as BrowserBinding from "../../../src/proxy/authorize/BrowserBinding.ts"
import * as BrowserSession from "../../../src/proxy/authorize/BrowserSession.ts"
import * as RememberedConsent from "../../../src/proxy/authorize/RememberedConsent.ts"
import { proxySettings } from "../../../src/proxy/ProxySettings.ts"
import { Sealed } from "../../../src/proxy/Sealed.ts"
import * as MemoryStore from "../../../src/store/MemoryStore.ts"
import { Store, StoreUnavailable } from "../../../src/store/Store.ts"
import { recorder } from "../../support/FaultScene.ts"
import { configLayer, loopbackUrl, now, secret } from "../ProxyTest.ts"

/** What it takes to know a browser, with a store of its own. */
const parts = Effect.fnUntraced(function*(options: Partial<OktaOptions> = {}) {
  yield* TestClock.setTime(now * 1000)
  const context = yield* Layer.build(
    Layer.mergeAll(Sealed.layer, Layer.fresh(MemoryStore.layer)).pipe(Layer.provideMerge(configLayer(options)))
  ).pipe(Effect.orDie)
  const settings = yield* Effect.orDie(Effect.provideContext(proxySettings, context))
  return { settings, sealed: Context.get(context, Sealed), store: Context.get(context, Store) }
})

const request = (headers: Readonly<Record<string, string>> = {}) =>
  HttpServerRequest.fromWeb(new Request("https://mcp.example.com/", { headers }))

/** A browser with this cookie. */
const withCookie = (name: string, value: string) => request({ cookie: `other=1; ${name}=${value}` })

/** The cookie that a browser is given. */
const given = Effect.fnUntraced(function*(
  browsers: BrowserBinding.BrowserBinding,
  from: HttpServerRequest.HttpServerRequest = request()
) {
  const { mark, remember } = yield* browsers.get(from)
  const [cookie, ...more] = Object.values(remember(HttpServerResponse.empty()).cookies.cookies)
  assert.deepStrictEqual(more, [])
  assert(cookie !== undefined)
  return { mark, cookie }
})

describe("the cookie of a browser", () => {
  it.effect("is the host's own, read by no script, and lasts for 30 days", () =>
    Effect.gen(function*() {
      const { sealed, settings } = yield* parts()
      const { cookie } = yield* given(BrowserBinding.make(settings, sealed))
      assert.strictEqual(cookie.name, "__Host-effect-okta")
      assert.match(cookie.value, /^[\w-]{43}\.[\w-]{43}$/)
      assert.deepStrictEqual(cookie.options, {
        path: "/",
        httpOnly: true,
        secure: true,
        sameSite: "lax",
        maxAge: Duration.days(30)
      })
      const local = yield* parts({ serverUrl: loopbackUrl })
      const plain = yield* given(BrowserBinding.make(local.settings, local.sealed))
      assert.strictEqual(plain.cookie.name, "effect-okta")
      assert.isFalse(plain.cookie.options?.secure)
    }))

  it.effect("names the browser again, by a mark that does not tell its name", () =>
    Effect.gen(function*() {
      const { sealed, settings } = yield* parts()
      const browsers = BrowserBinding.make(settings, sealed)
      const one = yield* given(browsers)
      const other = yield* given(browsers)
      assert.notStrictEqual(one.mark, other.mark)
      assert.notInclude(one.cookie.value, one.mark)
      const same = withCookie(one.cookie.name, one.cookie.value)
      assert.deepStrictEqual(yield* given(browsers, same), one)
      assert.isTrue(yield* browsers.isKnown(same))
      assert.isTrue(yield* browsers.isMarked(same, one.mark))
      for (const mark of [other.mark, "", `${one.mark}x`, one.mark.slice(1), one.mark.toLowerCase()]) {
        assert.isFalse(yield* browsers.isMarked(same, mark), mark)
      }
      assert.isFalse(yield* browsers.isKnown(request()))
      assert.isFalse(yield* browsers.isMarked(request(), one.mark))
    }))

  it.effect("that was not made here, or was changed, is as none", () =>
    Effect.gen(function*() {
      const { sealed, settings } = yield* parts()
      const browsers = BrowserBinding.make(settings, sealed)
      const { cookie: { name, value }, mark } = yield* given(browsers)
      const [id = "", signature = ""] = value.split(".")
      const others = yield* parts({ encryptionSecret: secret("b") })
      const foreign = yield* given(BrowserBinding.make(others.settings, others.sealed))
      const wrong = [
        "",
        id,
        `${id}.`,
        `.${signature}`,
        `x${value}`,
        `${value}x`,
        `${value}.x`,
        `${id}x.${signature}`,
        `${id}.${signature.slice(1)}`,
        `${id}.${id}`,
        `${id}${signature}`,
        `${id}!${signature}`,
        `${signature}.${id}`,
        "a".repeat(43),
        `${"a".repeat(43)}.${signature}`,
        foreign.cookie.value
      ]
      for (const changed of wrong) {
        const from = withCookie(name, changed)
        assert.isFalse(yield* browsers.isKnown(from), changed)
        assert.isFalse(yield* browsers.isMarked(from, mark), changed)
        assert.notInclude((yield* given(browsers, from)).cookie.value, id)
      }
      for (const elsewhere of ["effect-okta", `${name}2`, name.toLowerCase(), `__Secure-${name}`]) {
        assert.isFalse(yield* browsers.isKnown(withCookie(elsewhere, value)), elsewhere)
      }
    }))

  it.effect("of something short has a name and an end of its own", () =>
    Effect.gen(function*() {
      const { sealed, settings } = yield* parts()
      const short = BrowserBinding.make(settings, sealed, { suffix: "-short", lifetime: Duration.minutes(10) })
      const { cookie } = yield* given(short)
      assert.strictEqual(cookie.name, "__Host-effect-okta-short")
      assert.deepStrictEqual(cookie.options?.maxAge, Duration.minutes(10))
      const lasting = BrowserBinding.make(settings, sealed)
      assert.isFalse(yield* lasting.isKnown(withCookie(cookie.name, cookie.value)))
    }))

  it.effect("stays good, with its mark, while the secret is replaced", () =>
    Effect.gen(function*() {
      const old = yield* parts()
      const { cookie, mark } = yield* given(BrowserBinding.make(old.settings, old.sealed))
      const next = yield* parts({ encryptionSecret: [secret("b"), secret("a")] })
      const browsers = BrowserBinding.make(next.settings, next.sealed)
      const renewed = yield* given(browsers, withCookie(cookie.name, cookie.value))
      assert.strictEqual(renewed.mark, mark)
      assert.notStrictEqual(renewed.cookie.value, cookie.value)
      const last = yield* parts({ encryptionSecret: secret("b") })
      const after = BrowserBinding.make(last.settings, last.sealed)
      assert.isTrue(yield* after.isMarked(withCookie(cookie.name, renewed.cookie.value), mark))
      assert.isFalse(yield* after.isKnown(withCookie(cookie.name, cookie.value)))
    }))
})

describe("a consent that is remembered", () => {
  const asked: ApprovedRequest = {
    clientId: "client",
    redirectUri: "https://client.example.com/cb",
    scopes: ["read", "write"],
    resource: "https://mcp.example.com/mcp",
    codeChallenge: "x".repeat(43)
  }
  const own = request({ "sec-fetch-site": "none" })

  it.effect("covers what was asked and less, for the same client, place, resource and browser", () =>
    Effect.gen(function*() {
      const { settings, ...keeping } = yield* parts({ rememberConsent: true })
      const consents = RememberedConsent.make(settings, keeping)
      assert.isFalse(yield* consents.covers(asked, "browser", own))
      yield* consents.remember(asked, "browser")
      const cases: ReadonlyArray<readonly [changes: Partial<ApprovedRequest>, covered: boolean, browser?: string]> = [
        [{}, true],
        [{ state: "another", codeChallenge: "y".repeat(43) }, true],
        [{ scopes: ["write"] }, true],
        [{ scopes: [] }, true],
        [{ asksAgain: false }, true],
        [{ asksAgain: true }, false],
        [{ scopes: ["read", "write", "more"] }, false],
        [{ scopes: ["more"] }, false],
        [{ clientId: "another" }, false],
        [{ redirectUri: `${asked.redirectUri}/` }, false],
        [{ resource: "https://mcp.example.com" }, false],
        [{}, false, "another"]
      ]
      for (const [changes, covered, browser = "browser"] of cases) {
        const answer = yield* consents.covers({ ...asked, ...changes }, browser, own)
        assert.strictEqual(answer, covered, JSON.stringify([changes, browser]))
      }
      for (const site of ["same-origin", "none"]) {
        assert.isTrue(yield* consents.covers(asked, "browser", request({ "sec-fetch-site": site })), site)
      }
      for (const site of ["cross-site", "same-site", "", "None"]) {
        assert.isFalse(yield* consents.covers(asked, "browser", request({ "sec-fetch-site": site })), site)
      }
      assert.isFalse(yield* consents.covers(asked, "browser", request()))
    }))

  it.effect("lasts for 30 days", () =>
    Effect.gen(function*() {
      const { settings, ...keeping } = yield* parts({ rememberConsent: true })
      const consents = RememberedConsent.make(settings, keeping)
      yield* consents.remember(asked, "browser")
      yield* TestClock.adjust(Duration.subtract(Duration.days(30), Duration.millis(1)))
      assert.isTrue(yield* consents.covers(asked, "browser", own))
      yield* TestClock.adjust("1 milli")
      assert.isFalse(yield* consents.covers(asked, "browser", own))
    }))

  it.effect("is neither kept nor looked for where the owner does not want that", () =>
    Effect.gen(function*() {
      const remembering = yield* parts({ rememberConsent: true })
      const { settings } = yield* parts()
      const kept = RememberedConsent.make(remembering.settings, remembering)
      const forgetful = RememberedConsent.make(settings, remembering)
      yield* forgetful.remember(asked, "browser")
      assert.isFalse(yield* kept.covers(asked, "browser", own))
      yield* kept.remember(asked, "browser")
      assert.isTrue(yield* kept.covers(asked, "browser", own))
      assert.isFalse(yield* forgetful.covers(asked, "browser", own))
    }))

  it.effect("counts for nothing if it was given before revokedBefore", () =>
    Effect.gen(function*() {
      const { settings, ...keeping } = yield* parts({ rememberConsent: true })
      yield* RememberedConsent.make(settings, keeping).remember(asked, "browser")
      for (const [revokedBefore, covered] of [[now - 1, true], [now, true], [now + 1, false]] as const) {
        const consents = RememberedConsent.make({ ...settings, revokedBefore }, keeping)
        assert.strictEqual(yield* consents.covers(asked, "browser", own), covered, String(revokedBefore))
      }
    }))
})

describe("the grants of a browser", () => {
  const ended = Effect.fnUntraced(function*(sessions: BrowserSession.BrowserSessions, browser: string) {
    const ids = yield* Ref.make<ReadonlyArray<string>>([])
    yield* sessions.end(browser, (id) => Ref.update(ids, (before) => [...before, id]))
    return yield* Ref.get(ids)
  })

  it.effect("are ended with it, the latest last, and then forgotten; those of others are not", () =>
    Effect.gen(function*() {
      const sessions = BrowserSession.make(yield* parts())
      for (const id of ["a", "b", "c"]) yield* sessions.add("one", id)
      yield* sessions.add("two", "d")
      assert.deepStrictEqual(yield* ended(sessions, "one"), ["a", "b", "c"])
      assert.deepStrictEqual(yield* ended(sessions, "one"), [])
      yield* sessions.add("one", "e")
      assert.deepStrictEqual(yield* ended(sessions, "one"), ["e"])
      assert.deepStrictEqual(yield* ended(sessions, "two"), ["d"])
      assert.deepStrictEqual(yield* ended(sessions, "three"), [])
    }))

  it.effect("are known for 30 days after the last, the latest hundred", () =>
    Effect.gen(function*() {
      const sessions = BrowserSession.make(yield* parts())
      for (let id = 0; id < 101; id++) yield* sessions.add("one", String(id))
      yield* TestClock.adjust("29 days")
      yield* sessions.add("one", "last")
      yield* TestClock.adjust("29 days")
      const ids = yield* ended(sessions, "one")
      assert.deepStrictEqual([ids.length, ids[0], ids.at(-1)], [100, "2", "last"])
      yield* sessions.add("one", "more")
      yield* TestClock.adjust("30 days")
      assert.deepStrictEqual(yield* ended(sessions, "one"), [])
    }))

  it.effect("that could not be ended stay known, to be ended when it is tried again", () =>
    Effect.gen(function*() {
      const sessions = BrowserSession.make(yield* parts())
      yield* sessions.add("one", "a")
      yield* sessions.add("one", "b")
      assert.strictEqual(
        yield* Effect.flip(sessions.end("one", (id) => id === "b" ? Effect.fail("away") : Effect.void)),
        "away"
      )
      assert.deepStrictEqual(yield* ended(sessions, "one"), ["a", "b"])
    }))

  it.effect("are all kept when several tabs come back at once, or it is said that they are not", () =>
    Effect.gen(function*() {
      const { sealed, store } = yield* parts()
      // All of them have looked before one of them writes.
      const get: typeof store.get = (key) => Effect.tap(store.get(key), Effect.yieldNow)
      const sessions = BrowserSession.make({ sealed, store: { ...store, get } })
      yield* sessions.add("one", "a")
      for (const [browser, before] of [["one", ["a"]], ["new", []]] as const) {
        yield* Effect.forEach(["b", "c", "d"], (id) => sessions.add(browser, id), { concurrency: "unbounded" })
        assert.sameMembers([...yield* ended(sessions, browser)], [...before, "b", "c", "d"])
      }
      let tries = 0
      const busy = BrowserSession.make({
        sealed,
        store: { ...store, compareAndSet: () => Effect.sync(() => ++tries > 100) }
      })
      yield* busy.add("two", "a")
      const { layer, lines } = recorder()
      const failure = yield* Effect.flip(Effect.provide(busy.add("two", "b"), layer))
      assert.instanceOf(failure, StoreUnavailable)
      assert.strictEqual(tries, 6)
      // The store is there, so that nobody else would say it.
      assert.deepStrictEqual(lines, [`Error: ${failure.message}`])
    }))

  it.effect("are not tried again where the store is away", () =>
    Effect.gen(function*() {
      const { sealed, store } = yield* parts()
      let tries = 0
      const away = new StoreUnavailable({ operation: "get", reason: "it is away" })
      const get = () => Effect.suspend(() => Effect.fail((tries++, away)))
      const sessions = BrowserSession.make({ sealed, store: { ...store, get } })
      assert.strictEqual(yield* Effect.flip(sessions.add("one", "a")), away)
      assert.strictEqual(tries, 1)
    }))

  it.effect("that come while the others are ended are ended as well", () =>
    Effect.gen(function*() {
      const sessions = BrowserSession.make(yield* parts())
      yield* sessions.add("one", "a")
      const ids: Array<string> = []
      yield* sessions.end("one", (id) =>
        Effect.suspend(() => ids.push(id) === 1 ? sessions.add("one", "b") : Effect.void))
      assert.deepStrictEqual(ids, ["a", "a", "b"])
    }))

  it.effect("are ended though nobody can be told that they were", () =>
    Effect.gen(function*() {
      const { sealed, store } = yield* parts()
      yield* BrowserSession.make({ sealed, store }).add("one", "a")
      const away = new StoreUnavailable({ operation: "compareAndSet", reason: "it is away" })
      const sessions = BrowserSession.make({ sealed, store: { ...store, compareAndSet: () => Effect.fail(away) } })
      assert.deepStrictEqual(yield* ended(sessions, "one"), ["a"])
    }))
})
