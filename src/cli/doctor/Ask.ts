import { type Duration, Effect, Result, Schema } from "effect"
import { HttpClientRequest } from "effect/http"
import { type Answer, type FetchFailed, OktaHttp } from "../../provider/OktaHttp.ts"
import type { Trouble } from "./Check.ts"
import { refused, unreached } from "./Trouble.ts"

/** Asks once, by the rules of everything that is fetched. */
export type Ask = (
  request: HttpClientRequest.HttpClientRequest,
  maxBytes?: number
) => Effect.Effect<Answer, FetchFailed>

const usualBytes = 64 * 1024

/** Asks with a deadline. */
export const make = (deadline: Duration.Duration): Effect.Effect<Ask, never, OktaHttp> =>
  Effect.map(OktaHttp, (http) => (request, maxBytes = usualBytes) => http.ask(request, { maxBytes, deadline }))

/** A document of Okta's, or why there is none. */
export interface Document {
  readonly json: unknown
  readonly clockSkew: number | undefined
}

/** The JSON of an answer, whatever it says. */
export const readJson = Schema.decodeUnknownResult(Schema.fromJsonString(Schema.Unknown))

/** The JSON document at an address of Okta's. */
export const document = Effect.fnUntraced(function*(
  ask: Ask,
  url: string,
  maxBytes?: number
): Effect.fn.Return<Result.Result<Document, Trouble>> {
  const asked = yield* Effect.result(ask(HttpClientRequest.get(url, { acceptJson: true }), maxBytes))
  if (Result.isFailure(asked)) return Result.fail(unreached(url, asked.failure, "Okta"))
  const answer = asked.success
  const json = readJson(answer.text)
  return answer.status === 200 && Result.isSuccess(json)
    ? Result.succeed({ json: json.success, clockSkew: answer.clockSkew })
    : Result.fail(yield* refused(url, answer))
})
