import { assert, describe, it } from "@effect/vitest"
import { Effect, Exit, Fiber, Layer, Result } from "effect"
import { TestClock } from "effect/testing"
import { fromDocument } from "../../src/provider/ServerMetadata.ts"
import { type Answer, type Fault, make, until } from "../support/FaultyOkta.ts"

const notFound: Answer = { status: 404, body: "{\"errorCode\":\"E0000007\",\"errorSummary\":\"Not found\"}" }

describe("Metadata", () => {
  it.effect("of a custom server is found under its path", () =>
    Effect.gen(function*() {
      const okta = yield* make()
      const { discovery } = yield* okta.start()
      assert.strictEqual((yield* discovery.metadata).jwks_uri, `${okta.issuer}/v1/keys`)
      yield* okta.settled
      assert.deepStrictEqual(okta.log, [
        "/oauth2/default/.well-known/openid-configuration",
        "/oauth2/default/v1/keys"
      ])
    }))

  it.effect("of the org server is found at its root, the keys where it says", () =>
    Effect.gen(function*() {
      const okta = yield* make({ org: true })
      const { discovery } = yield* okta.start()
      assert.strictEqual((yield* discovery.metadata).issuer, okta.issuer)
      yield* okta.settled
      assert.deepStrictEqual(okta.log, ["/.well-known/openid-configuration", "/oauth2/v1/keys"])
    }))

  for (
    const [what, answer] of [
      ["is not found", notFound],
      ["is forbidden", { status: 403 }],
      ["redirects", { status: 302, headers: { location: "/" } }],
      ["is a page", { status: 200, body: "<!doctype html>" }]
    ] satisfies ReadonlyArray<readonly [string, Answer]>
  ) {
    it.effect(`comes from RFC 8414's place when OpenID Connect's ${what}`, () =>
      Effect.gen(function*() {
        const okta = yield* make()
        okta.break(answer, ["metadata"])
        const { discovery } = yield* okta.start()
        assert.strictEqual((yield* discovery.metadata).issuer, okta.issuer)
        assert.deepStrictEqual(okta.log.slice(0, 2), [
          "/oauth2/default/.well-known/openid-configuration",
          "/.well-known/oauth-authorization-server/oauth2/default"
        ])
      }))
  }

  it.effect("of the org server comes from RFC 8414's place without a path", () =>
    Effect.gen(function*() {
      const okta = yield* make({ org: true })
      okta.break(notFound, ["metadata"])
      const { discovery } = yield* okta.start()
      yield* discovery.metadata
      assert.strictEqual(okta.log[1], "/.well-known/oauth-authorization-server")
    }))

  it.effect("that is nowhere fails, and the error names both places", () =>
    Effect.gen(function*() {
      const okta = yield* make()
      okta.break(notFound)
      const { discovery } = yield* okta.start()
      const error = yield* Effect.flip(discovery.metadata)
      assert.strictEqual(error._tag, "DiscoveryFailed")
      assert.include(error.message, "/.well-known/openid-configuration answered 404")
      assert.include(error.message, "/.well-known/oauth-authorization-server/oauth2/default answered 404")
      assert.include(error.message, "Check that the issuer is the one shown in Okta")
    }))

  for (
    const [what, fault] of [
      ["is overloaded", { status: 503 }],
      ["limits requests", { status: 429 }],
      ["limits requests and says how long", { status: 429, headers: { "retry-after": "20" } }],
      ["does not answer", "silent"],
      ["resets the connection", "reset"]
    ] satisfies ReadonlyArray<readonly [string, Fault]>
  ) {
    it.effect(`is not looked for elsewhere when Okta ${what}`, () =>
      Effect.gen(function*() {
        const okta = yield* make()
        okta.break(fault)
        const { discovery } = yield* okta.start()
        const fiber = yield* Effect.forkChild(Effect.flip(discovery.metadata))
        yield* okta.pass("3100 millis", "100 millis")
        assert.strictEqual((yield* Fiber.join(fiber))._tag, "DiscoveryFailed")
        assert.strictEqual(okta.requests.oauth, 0)
      }))
  }

  it.effect("of another issuer is refused without looking elsewhere, and no key is fetched", () =>
    Effect.gen(function*() {
      const okta = yield* make()
      okta.metadata = { ...okta.metadata, issuer: `${okta.issuer}/` }
      const { discovery } = yield* okta.start()
      assert.match((yield* Effect.flip(discovery.metadata)).message, /differ only in the slash at the end/)
      assert.deepStrictEqual([okta.requests.oauth, okta.requests.keys], [0, 0])
    }))

  it.effect("is fetched once for all who wait, and again after an hour", () =>
    Effect.gen(function*() {
      const okta = yield* make()
      const { discovery } = yield* okta.start()
      yield* Effect.all(Array.from({ length: 1000 }, () => discovery.metadata), { concurrency: "unbounded" })
      yield* okta.pass("59 minutes", "1 minute")
      assert.strictEqual(okta.requests.metadata, 1)
      yield* okta.pass("1 minute")
      assert.strictEqual(okta.requests.metadata, 2)
    }))

  it.effect("is fetched at once by a reload, whose failure leaves the last good one", () =>
    Effect.gen(function*() {
      const okta = yield* make()
      const { discovery } = yield* okta.start()
      yield* discovery.metadata
      okta.metadata = { ...okta.metadata, token_endpoint: `${okta.issuer}/v2/token` }
      yield* discovery.reload
      assert.strictEqual((yield* discovery.metadata).token_endpoint, `${okta.issuer}/v2/token`)
      okta.break(notFound)
      assert.isTrue(Exit.isFailure(yield* Effect.exit(discovery.reload)))
      assert.strictEqual((yield* discovery.metadata).token_endpoint, `${okta.issuer}/v2/token`)
    }))

  it.effect("that failed is fetched again in the background until it is there", () =>
    Effect.gen(function*() {
      const okta = yield* make()
      okta.break({ status: 503 })
      const { discovery, jwks } = yield* okta.start()
      yield* okta.pass("1 minute")
      yield* okta.timed(Effect.flip(discovery.metadata))
      okta.mend()
      yield* okta.pass("32 seconds")
      assert.strictEqual((yield* discovery.metadata).issuer, okta.issuer)
      assert.isTrue(yield* jwks.usable)
    }))
})

describe("With failFast", () => {
  for (
    const [what, fault, documents, tag] of [
      ["no metadata", notFound, ["metadata", "oauth"], "DiscoveryFailed"],
      ["silence", "silent", ["metadata"], "DiscoveryFailed"],
      ["no keys", notFound, ["keys"], "KeysUnavailable"],
      ["an empty key set", { status: 200, body: "{\"keys\":[]}" }, ["keys"], "KeysUnavailable"],
      ["silence about keys", "silent", ["keys"], "KeysUnavailable"]
    ] as const
  ) {
    it.effect(`${what} is the layer's ${tag}`, () =>
      Effect.gen(function*() {
        const okta = yield* make()
        okta.break(fault, documents)
        const fiber = yield* Effect.forkChild(Effect.flip(Layer.build(okta.layer({ failFast: true }))))
        yield* okta.pass("3100 millis", "100 millis")
        assert.strictEqual((yield* Fiber.join(fiber))._tag, tag)
        // Nothing goes on behind it.
        const { ...requests } = okta.requests
        yield* okta.pass("1 minute")
        assert.deepStrictEqual(okta.requests, requests)
      }))
  }

  it.effect("a healthy Okta lets the layer be built", () =>
    Effect.gen(function*() {
      const okta = yield* make()
      const { jwks } = yield* okta.start({ failFast: true })
      assert.isTrue(yield* jwks.usable)
    }))
})

describe("A metadata document", () => {
  const issuer = "https://acme.okta.com/oauth2/default"
  const good = { issuer, jwks_uri: `${issuer}/v1/keys` }
  const read = (document: unknown, configured = issuer, foreignEndpoints = false) =>
    fromDocument(document, { issuer: configured, foreignEndpoints })

  it("is read when it is the issuer's own", () => {
    assert.deepStrictEqual(Result.getOrThrow(read({ ...good, scopes_supported: ["openid"] })), good)
  })

  it("may name a port that is the scheme's own", () => {
    assert.isTrue(Result.isSuccess(read({ ...good, jwks_uri: "https://acme.okta.com:443/keys" })))
  })

  it("may name loopback endpoints without https, as the issuer itself may", () => {
    const issuer = "http://127.0.0.1:8080"
    assert.isTrue(Result.isSuccess(read({ issuer, jwks_uri: `${issuer}/keys` }, issuer)))
  })

  for (
    const [what, document, reason] of [
      [
        "names another issuer",
        { ...good, issuer: "https://evil.example" },
        /names the issuer "https:\/\/evil.example"/
      ],
      ["names it with a slash", { ...good, issuer: `${issuer}/` }, /differ only in the slash/],
      ["names it in another case", { ...good, issuer: issuer.toUpperCase() }, /differ only in upper and lower case/],
      ["names the org server", { ...good, issuer: "https://acme.okta.com" }, /names the issuer/],
      ["names no issuer", { jwks_uri: good.jwks_uri }, /not metadata/],
      ["names a list of issuers", { ...good, issuer: [issuer] }, /not metadata/],
      ["names no keys", { issuer }, /not metadata/],
      ["has keys that are no URL", { ...good, jwks_uri: "keys" }, /jwks_uri as "keys", which is not a URL/],
      ["has keys without https", { ...good, jwks_uri: "http://acme.okta.com/keys" }, /not https/],
      ["has keys in a file", { ...good, jwks_uri: "file:///etc/passwd" }, /not https/],
      ["has keys in itself", { ...good, jwks_uri: "data:application/json,{}" }, /not https/],
      ["has keys elsewhere", { ...good, jwks_uri: "https://evil.example/keys" }, /another origin/],
      ["has keys on another port", { ...good, jwks_uri: "https://acme.okta.com:8443/keys" }, /another origin/],
      ["has keys on this machine", { ...good, jwks_uri: "http://127.0.0.1/keys" }, /another origin/],
      ["has keys behind a user name", { ...good, jwks_uri: "https://acme.okta.com@evil.example/" }, /another origin/],
      ["has its tokens elsewhere", { ...good, token_endpoint: "https://evil.example/t" }, /token_endpoint as/],
      ["is a list", [good], /not metadata/],
      ["is nothing", null, /not metadata/]
    ] as const
  ) {
    it(`is refused when it ${what}`, () => {
      assert.match(Result.getOrThrow(Result.flip(read(document))), reason)
    })
  }

  for (const member of ["issuer", "jwks_uri", "token_endpoint"] as const) {
    for (const scheme of ["", "http://evil.example/", "https://evil.example/"]) {
      it(`is refused in short, with nothing that a terminal obeys: ${member} ${scheme}`, () => {
        const document = { ...good, [member]: `${scheme}\u001b[2J\u202e\u0085\n${"x".repeat(20_000)}` }
        const reason = Result.getOrThrow(Result.flip(read(document)))
        assert.notMatch(reason, /[\p{Cc}\p{Cf}]/u)
        assert.isBelow(reason.length, 500)
      })
    }
  }

  it("may have its keys elsewhere when that is allowed, but never without https", () => {
    const keysAt = (jwks_uri: string) => read({ ...good, jwks_uri }, issuer, true)
    assert.isTrue(Result.isSuccess(keysAt("https://keys.example/keys")))
    assert.match(Result.getOrThrow(Result.flip(keysAt("http://keys.example/keys"))), /not https/)
  })
})

it.effect("Looking in both places ends after 5 seconds in all", () =>
  Effect.gen(function*() {
    const okta = yield* make()
    okta.break("silent")
    yield* okta.start()
    yield* until("the first place was asked", () => okta.waiting() === 1)
    yield* TestClock.adjust("2900 millis")
    okta.release(notFound)
    yield* until("the second place was asked", () => okta.requests.oauth === 1 && okta.waiting() === 1)
    yield* TestClock.adjust("2 seconds")
    assert.strictEqual(okta.waiting(), 1)
    yield* TestClock.adjust("100 millis")
    yield* until("it was given up", () => okta.waiting() === 0)
  }))

it.effect("A cold request is answered within 3.1 seconds though discovery and keys are both slow", () =>
  Effect.gen(function*() {
    const okta = yield* make()
    okta.break("silent")
    const { verify } = yield* okta.start()
    const fiber = yield* Effect.forkChild(Effect.flip(verify(okta.token())))
    yield* until("the metadata were asked for", () => okta.waiting() === 1)
    yield* TestClock.adjust("2500 millis")
    okta.release()
    yield* until("the keys were asked for", () => okta.requests.keys === 1)
    yield* TestClock.adjust("600 millis")
    assert.strictEqual((yield* Fiber.join(fiber))._tag, "KeysUnavailable")
  }))
