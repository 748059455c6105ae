import { assert, describe, it } from "@effect/vitest"
import { Context, Duration, Effect, Fiber, Layer, Tracer } from "effect"
import { HttpClientRequest } from "effect/http"
import { TestClock } from "effect/testing"
import { gzipSync } from "node:zlib"
import { OktaHttp } from "../../src/provider/OktaHttp.ts"
import { type Answer, type Fault, make, until } from "../support/FaultyOkta.ts"

const maxBytes = 64 * 1024

const reach = Effect.fnUntraced(function*() {
  const okta = yield* make()
  const context = yield* Layer.build(Layer.provide(OktaHttp.layer, okta.client))
  const http = Context.get(context, OktaHttp)
  const url = `${okta.issuer}/.well-known/openid-configuration`
  return { okta, url, get: http.getJson(url, { maxBytes }) }
})

describe("A document", () => {
  it.effect("is asked for as JSON, with nothing about the app that asks", () =>
    Effect.gen(function*() {
      const { get, okta } = yield* reach()
      yield* get.pipe(Effect.withSpan("the app's own"), Effect.provideService(Tracer.DisablePropagation, false))
      const [headers] = okta.headers
      assert.strictEqual(headers?.accept, "application/json")
      assert.strictEqual(headers?.["accept-encoding"], "identity")
      for (const name of ["traceparent", "b3", "cookie", "authorization"]) assert.notProperty(headers, name)
    }))

  it.effect("may be kept for as long as Cache-Control says, or not at all", () =>
    Effect.gen(function*() {
      const { get, okta } = yield* reach()
      for (
        const [header, maxAge] of [
          ["max-age=60", 60_000],
          ["public, MAX-AGE=120, must-revalidate", 120_000],
          ["max-age=0", 0],
          ["no-cache", 0],
          ["no-store, max-age=600", 0],
          ["private", undefined],
          ["s-maxage=600", undefined],
          ["max-age=-1", undefined],
          ["max-age=soon", undefined]
        ] as const
      ) {
        okta.break({ status: 200, headers: { "cache-control": header }, body: "{}" })
        assert.strictEqual((yield* get).maxAge, maxAge, header)
      }
    }))

  it.effect("tells how far Okta's clock is from ours", () =>
    Effect.gen(function*() {
      const { get, okta } = yield* reach()
      yield* TestClock.setTime(1_800_000_000_000)
      okta.skew = 90_000
      assert.strictEqual((yield* get).clockSkew, 90_000)
      okta.skew = -3_600_000
      assert.strictEqual((yield* get).clockSkew, -3_600_000)
      okta.break({ status: 200, headers: { date: "a while ago" }, body: "{}" })
      assert.isUndefined((yield* get).clockSkew)
    }))
})

describe("An answer that is none", () => {
  const html = "<!doctype html><title>Maintenance</title>"
  for (
    const [what, answer, reason] of [
      ["404", { status: 404, body: "{}" }, /answered 404/],
      ["403", { status: 403 }, /answered 403/],
      ["429", { status: 429 }, /answered 429/],
      ["204", { status: 204 }, /answered 204/],
      ["301", { status: 301, headers: { location: "/elsewhere" } }, /redirects/],
      ["302", { status: 302, headers: { location: "/elsewhere" } }, /redirects/],
      ["307", { status: 307, headers: { location: "/elsewhere" } }, /redirects/],
      ["308 to another host", { status: 308, headers: { location: "http://other.invalid/" } }, /redirects/],
      ["a page of HTML", { status: 200, headers: { "content-type": "text/html" }, body: html }, /not JSON/],
      ["half of a document", { status: 200, body: "{\"issuer\":" }, /not JSON/],
      ["nothing", { status: 200, body: "" }, /nothing/],
      ["bytes that are not UTF-8", { status: 200, body: Buffer.of(0x22, 0xff, 0x22) }, /UTF-8/],
      ["half of a letter at the end", { status: 200, body: Buffer.of(0x31, 0xc3) }, /UTF-8/],
      ["65 KiB", { status: 200, body: JSON.stringify("x".repeat(65 * 1024)) }, /more than 64 KiB/],
      ["65 KiB, compressed", {
        status: 200,
        headers: { "content-encoding": "gzip" },
        body: gzipSync(JSON.stringify("x".repeat(65 * 1024)))
      }, /more than 64 KiB/]
    ] satisfies ReadonlyArray<readonly [string, Answer, RegExp]>
  ) {
    it.effect(`${what}: fails at once, after one request`, () =>
      Effect.gen(function*() {
        const { get, okta, url } = yield* reach()
        okta.break(answer)
        const error = yield* Effect.flip(get)
        assert.match(error.message, reason)
        assert.isTrue(error.message.startsWith(url))
        assert.deepStrictEqual(okta.log, [new URL(url).pathname])
        assert.isFalse(error.transient)
      }))
  }
})

describe("Trouble that may pass", () => {
  for (
    const [what, fault] of [
      ["500", { status: 500 }],
      ["502", { status: 502 }],
      ["503", { status: 503, body: "{}" }],
      ["a connection that is reset", "reset"],
      ["an answer that breaks off", "cut"]
    ] satisfies ReadonlyArray<readonly [string, Fault]>
  ) {
    it.effect(`${what}: 3 tries within 5 seconds, not all at once`, () =>
      Effect.gen(function*() {
        const { get, okta } = yield* reach()
        okta.break(fault)
        const { elapsed, value: error } = yield* okta.timed(Effect.flip(get))
        assert.strictEqual(okta.requests.metadata, 3)
        assert.isTrue(error.transient)
        assert.isAtLeast(elapsed, 300)
        assert.isAtMost(elapsed, 5000)
      }))

    it.effect(`${what}, once: the next try succeeds`, () =>
      Effect.gen(function*() {
        const { get, okta } = yield* reach()
        okta.break(fault)
        const fiber = yield* Effect.forkChild(get)
        yield* until("the first try came", () => okta.requests.metadata === 1)
        okta.mend()
        yield* okta.pass("1 second", "100 millis")
        assert.deepStrictEqual((yield* Fiber.join(fiber)).json, okta.metadata)
        assert.strictEqual(okta.requests.metadata, 2)
      }))
  }

  it.effect("nobody listening: fails and says so", () =>
    Effect.gen(function*() {
      const { get, okta } = yield* reach()
      yield* okta.leave
      assert.match((yield* okta.timed(Effect.flip(get))).value.message, /could not be reached \(.*ECONNREFUSED/)
      yield* okta.comeBack
    }))

  it.effect("an error whose page never ends: is not waited for", () =>
    Effect.gen(function*() {
      const { get, okta } = yield* reach()
      okta.break({ status: 404, body: "Not", unfinished: true })
      assert.match((yield* Effect.flip(get)).message, /answered 404/)
    }))
})

describe("Slowness", () => {
  for (
    const [what, fault] of [
      ["no answer", "silent"],
      ["an answer that trickles", "trickle"],
      ["an answer without an end", { status: 200, body: "{", unfinished: true }]
    ] satisfies ReadonlyArray<readonly [string, Fault]>
  ) {
    it.effect(`${what}: fails after 3 seconds, after one request`, () =>
      Effect.gen(function*() {
        const { get, okta } = yield* reach()
        okta.break(fault)
        const { elapsed, value: error } = yield* okta.timed(Effect.flip(get))
        assert.match(error.message, /no complete answer within 3s/)
        assert.strictEqual(elapsed, 3000)
        assert.strictEqual(okta.requests.metadata, 1)
      }))
  }

  it.effect("errors that take their time: 5 seconds in all", () =>
    Effect.gen(function*() {
      const { get, okta } = yield* reach()
      okta.break("silent")
      const fiber = yield* Effect.forkChild(Effect.flip(get))
      for (let tries = 1; tries <= 2; tries++) {
        yield* until("a try came", () => okta.requests.metadata === tries && okta.waiting() === 1)
        yield* TestClock.adjust("2 seconds")
        okta.release({ status: 500 })
        yield* okta.pass("500 millis", "100 millis")
      }
      yield* okta.pass("100 millis")
      assert.match((yield* Fiber.join(fiber)).message, /no complete answer within 5s/)
    }))

  it.effect("a caller who gives up ends the request", () =>
    Effect.gen(function*() {
      const { get, okta } = yield* reach()
      okta.break("silent")
      const fiber = yield* Effect.forkChild(get)
      yield* until("the request came", () => okta.waiting() === 1)
      yield* Fiber.interrupt(fiber)
      yield* until("the connection ended", () => okta.waiting() === 0)
    }))
})

describe("The wait that Okta asks for", () => {
  const now = Date.UTC(2027, 0, 15, 8, 0, 0)
  for (
    const [what, status, headers, retryAfter] of [
      ["seconds", 429, { "retry-after": "30" }, 30_000],
      ["none", 429, { "retry-after": "0" }, 0],
      ["a date", 503, { "retry-after": "Fri, 15 Jan 2027 08:00:20 GMT" }, 20_000],
      ["a date that is past", 503, { "retry-after": "Fri, 15 Jan 2027 07:00:00 GMT" }, 0],
      ["an hour, of which a minute is honoured", 429, { "retry-after": "3600" }, 60_000],
      ["a negative number", 429, { "retry-after": "-5" }, 0],
      ["words", 429, { "retry-after": "later" }, undefined],
      ["nothing", 429, {}, undefined],
      ["Okta's own header", 429, { "x-rate-limit-reset": String(now / 1000 + 15) }, 15_000],
      ["both, of which the standard one counts", 429, {
        "retry-after": "7",
        "x-rate-limit-reset": String(now / 1000 + 15)
      }, 7000],
      ["Okta's own header in another answer", 404, { "x-rate-limit-reset": String(now / 1000 + 15) }, undefined]
    ] as const
  ) {
    it.effect(what, () =>
      Effect.gen(function*() {
        const { get, okta } = yield* reach()
        yield* TestClock.setTime(now)
        okta.break({ status, headers })
        const error = yield* Effect.flip(get)
        assert.strictEqual(error.retryAfter, retryAfter)
        assert.strictEqual(okta.requests.metadata, 1)
      }))
  }
})

describe("Whatever is answered to somebody who looks for a fault", () => {
  const asking = Effect.fnUntraced(function*(fault?: Fault) {
    const okta = yield* make()
    const http = Context.get(yield* Layer.build(Layer.provide(OktaHttp.layer, okta.client)), OktaHttp)
    if (fault !== undefined) okta.break(fault)
    const request = HttpClientRequest.get(`${okta.issuer}/.well-known/openid-configuration`)
    return { okta, ask: http.ask(request, { maxBytes, deadline: Duration.seconds(1) }) }
  })

  it.effect("is told as it stands, after one request", () =>
    Effect.gen(function*() {
      yield* TestClock.setTime(1_800_000_000_000)
      const headers = { "content-type": "text/html", "retry-after": "7", location: "/elsewhere" }
      for (const status of [200, 302, 404, 503]) {
        const { ask, okta } = yield* asking({ status, headers, body: "<p>" })
        const answer = yield* ask
        assert.deepInclude(answer, { status, text: "<p>", clockSkew: 0, retryAfter: 7000 })
        assert.strictEqual(answer.headers["location"], "/elsewhere")
        assert.strictEqual(okta.log.length, 1)
      }
    }))

  it.effect("within the deadline that was given", () =>
    Effect.gen(function*() {
      const { ask, okta } = yield* asking("silent")
      const { elapsed, value } = yield* okta.timed(Effect.flip(ask))
      assert.strictEqual(elapsed, 1000)
      assert.strictEqual(value.code, "ETIMEDOUT")
      assert.match(value.reason, /gave no complete answer within 1s$/)
    }))

  it.effect("within the size that was given", () =>
    Effect.gen(function*() {
      const { ask } = yield* asking("flood")
      assert.match((yield* Effect.flip(ask)).reason, /more than 64 KiB$/)
    }))

  it.effect("is nothing where nobody listens, and the failure says so by its code", () =>
    Effect.gen(function*() {
      const { ask, okta } = yield* asking()
      yield* okta.leave
      assert.strictEqual((yield* Effect.flip(ask)).code, "ECONNREFUSED")
      yield* okta.comeBack
    }))
})
