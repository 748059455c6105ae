import { assert } from "@effect/vitest"
import { Cause, Effect, Exit, Layer, Logger } from "effect"
import { HttpClient, HttpClientResponse } from "effect/http"
import { TestClock } from "effect/testing"
import * as fc from "fast-check"
import { issuer, now } from "../token/TestIssuer.ts"
import { nasty } from "./Arbitraries.ts"

/** An answer of Okta's, sent as it stands; what it has to wait for is not tried again before. */
export interface Answer {
  readonly status: number
  readonly body: string | Uint8Array<ArrayBuffer>
  readonly headers?: Readonly<Record<string, string>>
}

export const json = (value: unknown): Answer => ({ status: 200, body: JSON.stringify(value) })

/** An Okta that says what it is told to say, and keeps the addresses that it was asked at. */
export const lying = (answers: { readonly metadata: Answer; readonly keys: Answer; readonly token?: Answer }) => {
  const asked: Array<string> = []
  const client = HttpClient.make((request, url) =>
    Effect.sync(() => {
      asked.push(url.origin)
      const { body, headers, status } = url.pathname.includes("/.well-known/")
        ? answers.metadata
        : request.method === "POST"
        ? answers.token ?? { status: 404, body: "" }
        : answers.keys
      const bare = status === 204 || status === 304
      return HttpClientResponse.fromWeb(
        request,
        new Response(bare ? null : body, { status, ...headers && { headers } })
      )
    })
  )
  return { client, asked }
}

/** What a server that tells the truth says of itself. */
export const metadata = { issuer, jwks_uri: `${issuer}/v1/keys`, token_endpoint: `${issuer}/v1/token` }

/** Runs a case in a time of its own; gives what came of it, which is no defect. */
export const outcome = async <A, E extends { readonly _tag: string }>(effect: Effect.Effect<A, E>) => {
  const exit = await Effect.runPromiseExit(
    Effect.andThen(TestClock.setTime(now * 1000), effect).pipe(
      Effect.provide(Layer.merge(TestClock.layer(), Logger.layer([])))
    )
  )
  if (Exit.isSuccess(exit)) return "accepted"
  const [reason, ...others] = exit.cause.reasons
  assert(reason !== undefined && others.length === 0 && Cause.isFailReason(reason), Cause.pretty(exit.cause))
  return reason.error._tag
}

/** Values that are seldom what was asked for. */
export const odd = fc.oneof(
  fc.jsonValue({ maxDepth: 2 }),
  nasty,
  fc.constantFrom<unknown>(
    `${issuer}/`,
    issuer.toUpperCase(),
    "https://evil.example/keys",
    "http://test.okta.com/keys",
    "https://test.okta.com:8443/keys",
    "https://test.okta.com@evil.example/",
    "//test.okta.com/keys",
    "file:///etc/passwd",
    null,
    [issuer],
    {}
  )
)

/** Bodies and statuses that are no document. */
export const noDocument: fc.Arbitrary<Answer> = fc.oneof(
  fc.record({
    status: fc.constantFrom(200, 203, 204, 206, 301, 302, 304, 307, 400, 401, 403, 404, 410),
    body: fc.oneof(
      nasty.map((text) => text.toWellFormed()),
      fc.uint8Array({ maxLength: 100 }).map((bytes) => Uint8Array.from(bytes)),
      fc.json(),
      fc.constantFrom(
        "[".repeat(20_000),
        " ".repeat(70_000),
        `{"issuer":"${issuer}"`,
        "<!doctype html><title>Sign in</title>"
      )
    ),
    headers: fc.constant({ location: "https://evil.example/" })
  }),
  fc.record({
    status: fc.constantFrom(429, 500, 502, 503, 504),
    body: fc.constantFrom("", JSON.stringify(metadata), "{\"error\":\"invalid_grant\"}"),
    headers: fc.constantFrom({ "retry-after": "30" }, { "retry-after": "999999999" }, {
      "retry-after": "Wed, 21 Oct 2065 07:28:00 GMT"
    })
  })
)

/** Members of an object replaced or taken away. */
export const edited = (good: object, names: ReadonlyArray<string>) =>
  fc.tuple(
    fc.dictionary(fc.constantFrom(...names), odd, { minKeys: 1, maxKeys: 3 }),
    fc.subarray([...names], { maxLength: 1 })
  )
    .map(([changes, gone]) =>
      Object.fromEntries(Object.entries({ ...good, ...changes }).filter(([name]) => !gone.includes(name)))
    )
