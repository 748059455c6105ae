import { Effect, Result } from "effect"
import { HttpClientRequest } from "effect/http"
import type { Ask } from "./Ask.ts"
import { type Check, failed, ok, warning } from "./Check.ts"
import { unreached } from "./Trouble.ts"

/** Whether the server behind is there. What it says to a request that asks for nothing is its own affair. */
export const look = Effect.fnUntraced(function*(ask: Ask, { href }: URL): Effect.fn.Return<Check> {
  const check = { check: "upstream", tried: `OPTIONS ${href}` }
  const asked = yield* Effect.result(ask(HttpClientRequest.options(href)))
  if (Result.isFailure(asked)) return failed({ ...check, ...unreached(href, asked.failure, "the upstream") })
  const { status } = asked.success
  return status < 500 || status === 501 ? ok({ ...check, found: `it answers (${status})` }) : warning({
    ...check,
    found: `${status}`,
    meaning: "The server behind this one has trouble of its own.",
    mend: "Look at its log."
  })
})
