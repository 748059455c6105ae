import { assert, describe, it } from "@effect/vitest"
import { Effect, Logger, References } from "effect"
import { HttpServerResponse } from "effect/http"
import { InvalidClient } from "../../../src/proxy/client/ClientAuthentication.ts"
import { DocumentUnavailable } from "../../../src/proxy/client/DocumentFetch.ts"
import { BodyTooLarge, MalformedRequest } from "../../../src/proxy/FormRequest.ts"
import * as GrantError from "../../../src/proxy/grant/GrantError.ts"
import { refusal, refuse, type TokenRefusal } from "../../../src/proxy/grant/TokenAnswer.ts"
import { OktaUnavailable } from "../../../src/proxy/OktaClient.ts"
import { TooManyRequests } from "../../../src/proxy/RateLimits.ts"
import { StoreUnavailable } from "../../../src/store/Store.ts"
import { DpopNonceRequired, DpopProofsUnavailable, InvalidDpopProof } from "../../../src/token/DpopError.ts"

/** Part of every reason, and of no answer. */
const canary = "canary"

const away = "temporarily_unavailable"
const basic = { "www-authenticate": "Basic realm=\"oauth\", charset=\"UTF-8\"" }

/** Each refusal, with its status, its code (RFC 6749 section 5.2), and headers that only it has. */
const table: ReadonlyArray<readonly [TokenRefusal, number, string, Readonly<Record<string, string>>?]> = [
  [new MalformedRequest({ reason: canary }), 400, "invalid_request"],
  [new BodyTooLarge({ limit: 1 }), 413, "invalid_request", { connection: "close" }],
  [new InvalidClient({ reason: canary, basic: false }), 401, "invalid_client"],
  [new InvalidClient({ reason: canary, basic: true }), 401, "invalid_client", basic],
  [new GrantError.UnsupportedGrantType({ grantType: canary }), 400, "unsupported_grant_type"],
  [new GrantError.GrantTypeNotAllowed({ grantType: canary }), 400, "unauthorized_client"],
  [new GrantError.IntrospectionNotAllowed({}), 403, "unauthorized_client"],
  [new GrantError.InvalidGrant({ reason: canary }), 400, "invalid_grant"],
  [new GrantError.InvalidTarget({ expected: canary, actual: canary }), 400, "invalid_target"],
  [new GrantError.ScopesNotGranted({ granted: [canary], asked: [canary] }), 400, "invalid_scope"],
  [new GrantError.TokenNotRevocable({}), 400, "unsupported_token_type"],
  [new InvalidDpopProof({ reason: canary }), 400, "invalid_dpop_proof"],
  [new DpopNonceRequired({ nonce: "1.x" }), 400, "use_dpop_nonce", { "dpop-nonce": "1.x" }],
  [new DocumentUnavailable({ url: "https://x.example/", reason: canary }), 503, away, { "retry-after": "5" }],
  [new DpopProofsUnavailable({ reason: canary }), 503, away, { "retry-after": "5" }],
  [new StoreUnavailable({ operation: "get", reason: canary }), 503, away, { "retry-after": "5" }],
  [new OktaUnavailable({ reason: canary }), 503, away, { "retry-after": "5" }],
  [new OktaUnavailable({ reason: canary, retryAfter: 0 }), 503, away, { "retry-after": "1" }],
  [new OktaUnavailable({ reason: canary, retryAfter: 1001 }), 503, away, { "retry-after": "2" }],
  [new OktaUnavailable({ reason: canary, retryAfter: 60_000 }), 503, away, { "retry-after": "60" }],
  [new TooManyRequests({ what: canary, retryAfter: 30_000 }), 429, away, { "retry-after": "30" }]
]

describe("a client that gets no tokens", () => {
  it.effect.each(table)("is told %s", ([error, status, code, more = {}]) =>
    Effect.gen(function*() {
      const answer = HttpServerResponse.toWeb(refusal(error))
      assert.strictEqual(answer.status, status)
      const { "content-length": _, ...headers } = Object.fromEntries(answer.headers)
      assert.deepStrictEqual(headers, {
        "access-control-allow-origin": "*",
        "access-control-expose-headers": "WWW-Authenticate, DPoP-Nonce, Retry-After",
        "cache-control": "no-store",
        "content-type": "application/json",
        pragma: "no-cache",
        ...more
      })
      const text = yield* Effect.promise(() => answer.text())
      assert.notInclude(text, canary)
      const { error_description, ...rest } = JSON.parse(text)
      assert.deepStrictEqual(rest, { error: code })
      assert.match(error_description, /^[A-Z][^"\\]{10,}\.$/)
    }))

  it.effect("is told in the log why: as a warning where something is away, unless that is told elsewhere", () =>
    Effect.gen(function*() {
      const told = ["StoreUnavailable", "DpopProofsUnavailable", "OktaUnavailable", "TooManyRequests"]
      for (const [error, status] of table) {
        const entries: Array<readonly [string, string, unknown]> = []
        const logger = Logger.make(({ fiber, logLevel, message }) => {
          entries.push([logLevel, String(message), fiber.getRef(References.CurrentLogAnnotations)["error"]])
        })
        const answer = yield* refuse(error).pipe(
          Effect.provide(Logger.layer([logger])),
          Effect.provideService(References.MinimumLogLevel, "Debug")
        )
        assert.strictEqual(answer.status, status)
        assert.lengthOf(entries, 1)
        const [level, message, tag] = entries[0] ?? []
        const expected = told.includes(error._tag) ? "Debug" : status === 503 ? "Warn" : "Info"
        assert.deepStrictEqual([level, tag], [expected, error._tag])
        assert.include(message, error.message)
      }
    }))
})

describe("a log line about what a client sent", () => {
  it("shows it in few letters of ASCII, with nothing that would command a terminal", () => {
    const sent = `\u001b[31m"\u009b\u202eé\n${"x".repeat(1000)}`
    const shown = `"\\u001b[31m\\"???\\n${"x".repeat(190)}"`
    const { InvalidTarget, ScopesNotGranted, UnsupportedGrantType } = GrantError
    assert.include(new UnsupportedGrantType({ grantType: sent }).message, ` ${shown},`)
    const target = new InvalidTarget({ expected: "https://a.example", actual: sent }).message
    for (const part of [` ${shown},`, " https://a.example."]) assert.include(target, part)
    const scopes = new ScopesNotGranted({ granted: ["a", "b"], asked: ["b", "c"] }).message
    for (const part of [" \"b c\",", " \"a b\"."]) assert.include(scopes, part)
    assert.include(new ScopesNotGranted({ granted: [], asked: [sent] }).message, ` ${shown},`)
  })

  it("says what has to be done by whom, where it is not the client's mistake", () => {
    const { GrantTypeNotAllowed, IntrospectionNotAllowed, TokenNotRevocable } = GrantError
    assert.include(new GrantTypeNotAllowed({ grantType: "refresh_token" }).message, " refresh_token, for which")
    assert.include(new IntrospectionNotAllowed({}).message, " configured with mayIntrospect.")
    assert.include(new TokenNotRevocable({}).message, " set revokedBefore.")
  })

  it("is a sentence, whether or not the reason in it is one", () => {
    for (const reason of ["it is. too old", "it is. too old."]) {
      assert.match(new GrantError.InvalidGrant({ reason }).message, /[^.]: it is\. too old\.$/)
    }
  })
})
