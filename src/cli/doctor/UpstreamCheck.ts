import * as NodeHttpClient from "@effect/platform-node/NodeHttpClient"
import { type Duration, Effect, Layer, Result } from "effect"
import { HttpClientRequest } from "effect/http"
import { OktaHttp } from "../../provider/OktaHttp.ts"
import * as Ask from "./Ask.ts"
import { type Check, failed, ok, warning } from "./Check.ts"
import { unreached } from "./Trouble.ts"

// Another than the one for Okta, which may go by a proxy of the environment: the gateway does not.
const directly = Layer.provide(Layer.fresh(OktaHttp.layer), NodeHttpClient.layerUndici)

/** Whether the server behind is there. What it says to a request that asks for nothing is its own affair. */
export const look = Effect.fnUntraced(function*(
  { href }: URL,
  deadline: Duration.Duration
): Effect.fn.Return<Check, never, OktaHttp> {
  const check = { check: "upstream", tried: `OPTIONS ${href}` }
  const ask = yield* Ask.make(deadline)
  const asked = yield* Effect.result(ask(HttpClientRequest.options(href)))
  if (Result.isFailure(asked)) return failed({ ...check, ...unreached(href, asked.failure, "the upstream") })
  const { status } = asked.success
  return status < 500 || status === 501 ? ok({ ...check, found: `it answers (${status})` }) : warning({
    ...check,
    found: `${status}`,
    meaning: "The server behind this one has trouble of its own.",
    mend: "Look at its log."
  })
}, Effect.provide(directly))
