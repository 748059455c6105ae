import { assert } from "@effect/vitest"
import { Effect, Redacted } from "effect"
import { OktaTest } from "../../src/testing/OktaTest.ts"
import { type Ask, assertRefused, GuardedServer, type Refused } from "./GuardedServer.ts"

/** A token of the Okta in memory. */
export const mint = Effect.fnUntraced(function*(claims: { readonly [claim: string]: unknown } = {}) {
  const okta = yield* OktaTest
  return Redacted.value(yield* okta.token({ claims }))
})

/** A request as text, `Connection: close` and all. */
export const text = (
  lines: ReadonlyArray<string>,
  { body = "", target = "/mcp", method = "GET", version = "1.1" } = {}
) => `${[`${method} ${target} HTTP/${version}`, ...lines, "Connection: close"].join("\r\n")}\r\n\r\n${body}`

/** Refused, and nothing came through to a handler. */
export const assertAnswer = Effect.fnUntraced(
  function*(ask: Ask, as: Refused, operation?: Parameters<typeof assertRefused>[2]) {
    const server = yield* GuardedServer
    const handled = server.handled()
    assertRefused(yield* server.ask(ask), as, operation)
    assert.strictEqual(server.handled(), handled)
  }
)

/** The same for bytes as they stand. */
export const assertRawAnswer = Effect.fnUntraced(function*(
  request: string,
  as: Refused,
  operation?: Parameters<typeof assertRefused>[2]
) {
  const server = yield* GuardedServer
  const handled = server.handled()
  assertRefused(yield* server.raw(request), as, operation)
  assert.strictEqual(server.handled(), handled)
})
