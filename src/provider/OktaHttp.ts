import { Clock, Context, Duration, Effect, Layer, Schedule, Schema, Stream } from "effect"
import {
  FetchHttpClient,
  type Headers,
  HttpClient,
  HttpClientRequest,
  type HttpClientResponse,
  type UrlParams
} from "effect/http"

/** Longest time for one request, its body included. */
export const requestDeadline = Duration.seconds(3)

/** Longest time for all tries at one document. */
export const roundDeadline = Duration.seconds(5)
const retries = 2
const longestRetryAfter = 60_000

/** A document of Okta's, read but not yet checked. */
export interface FetchedDocument {
  /** Its content, of whatever shape. */
  readonly json: unknown
  /** Time that Okta allows the document to be kept, in milliseconds (`Cache-Control: max-age`). */
  readonly maxAge: number | undefined
  /** Okta's clock minus ours in milliseconds (`Date`), as exact as a second allows. */
  readonly clockSkew: number | undefined
}

/** What Okta decided about a form: yes with 200, no with a status from 400 on. */
export interface FormAnswer {
  readonly status: number
  /** Its content, of whatever shape; `undefined` when there is none. */
  readonly json: unknown
}

/** A form for one of Okta's endpoints. */
export interface Form {
  readonly fields: UrlParams.Input
  readonly headers?: { readonly [name: string]: string } | undefined
  /** The largest answer, in bytes. */
  readonly maxBytes: number
}

/** An answer as it stands, whatever it says. */
export interface Answer {
  readonly status: number
  readonly headers: Headers.Headers
  readonly text: string
  /** The clock over there minus ours in milliseconds (`Date`), as exact as a second allows. */
  readonly clockSkew: number | undefined
  /** Time that we were asked to wait, in milliseconds, one minute at most. */
  readonly retryAfter: number | undefined
}

/**
 * A document could not be fetched from Okta.
 *
 * @example
 * ```ts
 * import { type FetchFailed, OktaHttp } from "effect-okta"
 * import { Effect } from "effect"
 *
 * const advice = ({ code }: FetchFailed) => code === "ENOTFOUND" ? "Look at DNS." : "Try again later."
 *
 * export const check = Effect.gen(function*() {
 *   const okta = yield* OktaHttp
 *   yield* okta.getJson("https://acme.okta.com/oauth2/default/v1/keys", { maxBytes: 262_144 })
 *   return "Okta answers."
 * }).pipe(Effect.catchTag("FetchFailed", (error) => Effect.succeed(advice(error))))
 * ```
 */
export class FetchFailed extends Schema.TaggedError<FetchFailed>()("FetchFailed", {
  /** Why, as a sentence that begins with the address. */
  reason: Schema.String,
  /** Whether trying again at once may help. */
  transient: Schema.Boolean,
  /** HTTP status, when an answer came. */
  status: Schema.optionalKey(Schema.Int),
  /** Time that Okta asked us to wait, in milliseconds, one minute at most. */
  retryAfter: Schema.optionalKey(Schema.Number),
  /** Node's code for what kept an answer from coming: `ENOTFOUND`, `CERT_HAS_EXPIRED`; `ETIMEDOUT` past the deadline. */
  code: Schema.optionalKey(Schema.String)
}) {
  override get message() {
    return this.reason
  }
}

const RetryAfter = Schema.FiniteFromString
const HttpDate = Schema.DateTimeUtcFromString
const ReadJson = Schema.decodeEffect(Schema.fromJsonString(Schema.Unknown))

/**
 * The one way in which anything is fetched from Okta: bounded in time and size, tried again when that may help, never
 * redirected.
 *
 * @example
 * ```ts
 * import { OktaHttp } from "effect-okta"
 * import { Effect } from "effect"
 * import { FetchHttpClient } from "effect/http"
 *
 * export const metadata = Effect.gen(function*() {
 *   const okta = yield* OktaHttp
 *   const address = "https://acme.okta.com/.well-known/openid-configuration"
 *   return (yield* okta.getJson(address, { maxBytes: 65_536 })).json
 * }).pipe(Effect.provide(OktaHttp.layer), Effect.provide(FetchHttpClient.layer))
 * ```
 */
export class OktaHttp extends Context.Service<OktaHttp, {
  /**
   * The JSON document at `url`; fails with `FetchFailed` when it is not there within 5 seconds, larger than `maxBytes`
   * bytes, or no JSON.
   */
  readonly getJson: (url: string, options: { readonly maxBytes: number }) => Effect.Effect<FetchedDocument, FetchFailed>
  /**
   * What Okta decided about a form, asked once; fails with `FetchFailed` when nothing was decided: no complete answer within
   * 3 seconds, a server error, a refusal that is no JSON, or one of too many requests.
   */
  readonly postForm: (url: string, form: Form) => Effect.Effect<FormAnswer, FetchFailed>
  /**
   * Whatever is answered to a request, asked once, for those who look for a fault; fails with `FetchFailed` when no complete
   * answer came by the deadline (3 seconds), or one larger than `maxBytes` bytes.
   */
  readonly ask: (
    request: HttpClientRequest.HttpClientRequest,
    options: { readonly maxBytes: number; readonly deadline?: Duration.Duration }
  ) => Effect.Effect<Answer, FetchFailed>
}>()("effect-okta/provider/OktaHttp") {
  /** By the `HttpClient` of the application. */
  static readonly layer: Layer.Layer<OktaHttp, never, HttpClient.HttpClient> = Layer.effect(
    OktaHttp,
    Effect.gen(function*() {
      // The end of an attempt ends its request, so that no answer is waited for that nobody reads.
      const client = HttpClient.withScope(yield* HttpClient.HttpClient)

      const attempt = <A>(
        request: HttpClientRequest.HttpClientRequest,
        read: (response: HttpClientResponse.HttpClientResponse) => Effect.Effect<A, FetchFailed>,
        deadline = requestDeadline
      ) => {
        const { url } = request
        return client.execute(HttpClientRequest.setHeader(request, "accept-encoding", "identity")).pipe(
          Effect.mapError((error) => broken(`${url} could not be reached`, error)),
          Effect.flatMap(read),
          Effect.scoped,
          Effect.timeoutOrElse({ duration: deadline, orElse: () => tooLate(url, deadline) }),
          // No trace header of the user's app leaves for Okta, and no redirect is followed by any client.
          Effect.provideService(HttpClient.TracerPropagationEnabled, false),
          Effect.provideService(FetchHttpClient.RequestInit, { redirect: "manual" })
        )
      }

      return OktaHttp.of({
        getJson: (url, { maxBytes }) =>
          attempt(HttpClientRequest.get(url, { acceptJson: true }), (response) => readDocument(url, response, maxBytes))
            .pipe(
              Effect.retry({
                times: retries,
                schedule: Schedule.exponential("200 millis").pipe(Schedule.jittered),
                while: (error) => error.transient && error.retryAfter === undefined
              }),
              Effect.timeoutOrElse({ duration: roundDeadline, orElse: () => tooLate(url, roundDeadline) })
            ),
        postForm: (url, { fields, headers, maxBytes }) =>
          attempt(
            HttpClientRequest.post(url, { acceptJson: true, headers }).pipe(HttpClientRequest.bodyUrlParams(fields)),
            (response) => readAnswer(url, response, maxBytes)
          ),
        ask: (request, { deadline, maxBytes }) =>
          attempt(request, (response) => readAll(request.url, response, maxBytes), deadline)
      })
    })
  )
}

/** Who has kept us waiting once is not asked again at once. */
const tooLate = (url: string, deadline: Duration.Duration) =>
  new FetchFailed({
    reason: `${url} gave no complete answer within ${Duration.format(deadline)}`,
    transient: false,
    code: "ETIMEDOUT"
  })

const broken = (what: string, error: { readonly reason: { readonly _tag: string; readonly cause?: unknown } }) => {
  const { code, message } = innermost("cause" in error.reason ? error.reason.cause : undefined)
  return new FetchFailed({
    reason: `${what}${message === undefined ? "" : ` (${message})`}`,
    transient: true,
    ...(code === undefined ? undefined : { code })
  })
}

/** The message and the code that name the trouble: `fetch` wraps it in an error that only says "fetch failed". */
const innermost = (cause: unknown) => {
  let message: string | undefined
  let code: string | undefined
  for (let error = cause; error instanceof Error; error = error.cause) {
    if (error.message !== "") message = error.message
    if ("code" in error && typeof error.code === "string") code = error.code
  }
  return { code, message }
}

const failure =
  (url: string, { status }: HttpClientResponse.HttpClientResponse) =>
  (reason: string, more: { transient?: boolean; retryAfter?: number } = {}) =>
    new FetchFailed({ reason: `${url} ${reason}`, transient: false, status, ...more })

/** The failure that an answer is by its status. */
const refused = Effect.fnUntraced(function*(url: string, response: HttpClientResponse.HttpClientResponse, now: number) {
  const failed = failure(url, response)
  if (response.status >= 300 && response.status < 400) return failed("redirects, which is not followed")
  const retryAfter = yield* askedToWait(response, now)
  return failed(`answered ${response.status}`, {
    transient: response.status >= 500,
    ...(retryAfter === undefined ? {} : { retryAfter })
  })
})

const readDocument = Effect.fnUntraced(function*(
  url: string,
  response: HttpClientResponse.HttpClientResponse,
  maxBytes: number
): Effect.fn.Return<FetchedDocument, FetchFailed> {
  const now = yield* Clock.currentTimeMillis
  if (response.status !== 200) return yield* yield* refused(url, response, now)
  const json = yield* readJson(url, response, maxBytes)
  if (json === undefined) return yield* failure(url, response)("answered with nothing")
  return { json, maxAge: maxAge(response.headers["cache-control"]), clockSkew: yield* clockSkew(response, now) }
})

const clockSkew = (response: HttpClientResponse.HttpClientResponse, now: number) =>
  Effect.match(Schema.decodeUnknownEffect(HttpDate)(response.headers["date"]), {
    onFailure: () => undefined,
    onSuccess: (date) => date.epochMilliseconds - now
  })

const readAll = Effect.fnUntraced(function*(
  url: string,
  response: HttpClientResponse.HttpClientResponse,
  maxBytes: number
): Effect.fn.Return<Answer, FetchFailed> {
  const { headers, status } = response
  const now = yield* Clock.currentTimeMillis
  return {
    status,
    headers,
    text: new TextDecoder().decode(yield* readBytes(url, response, maxBytes)),
    clockSkew: yield* clockSkew(response, now),
    retryAfter: yield* askedToWait(response, now)
  }
})

const readAnswer = Effect.fnUntraced(function*(
  url: string,
  response: HttpClientResponse.HttpClientResponse,
  maxBytes: number
): Effect.fn.Return<FormAnswer, FetchFailed> {
  const { status } = response
  if (status !== 200 && (status < 400 || status >= 500 || status === 429)) {
    return yield* yield* refused(url, response, yield* Clock.currentTimeMillis)
  }
  return { status, json: yield* readJson(url, response, maxBytes) }
})

/** The content of an answer; `undefined` when it is empty. */
const readJson = Effect.fnUntraced(function*(
  url: string,
  response: HttpClientResponse.HttpClientResponse,
  maxBytes: number
): Effect.fn.Return<unknown, FetchFailed> {
  const failed = failure(url, response)
  const bytes = yield* readBytes(url, response, maxBytes)
  if (bytes.length === 0) return undefined
  const text = yield* Effect.try({
    try: () => new TextDecoder("utf-8", { fatal: true }).decode(bytes),
    catch: () => failed("answered with text that is not UTF-8")
  })
  return yield* Effect.mapError(ReadJson(text), () => failed("answered with something that is not JSON"))
})

const readBytes = Effect.fnUntraced(function*(
  url: string,
  response: HttpClientResponse.HttpClientResponse,
  maxBytes: number
): Effect.fn.Return<Buffer, FetchFailed> {
  const failed = failure(url, response)
  const chunks: Array<Uint8Array> = []
  let size = 0
  yield* Stream.runForEach(response.stream, (chunk) => {
    size += chunk.length
    if (size > maxBytes) return failed(`answered with more than ${maxBytes / 1024} KiB`)
    chunks.push(chunk)
    return Effect.void
  }).pipe(Effect.catchTag("HttpClientError", (error) => broken(`${url} broke off its answer`, error)))
  return Buffer.concat(chunks)
})

/** `Retry-After` in seconds or as a date (RFC 9110 section 10.2.3), or Okta's own `X-Rate-Limit-Reset`. */
const askedToWait = Effect.fnUntraced(function*(response: HttpClientResponse.HttpClientResponse, now: number) {
  const header = response.headers["retry-after"]
  const seconds = yield* Effect.option(Schema.decodeUnknownEffect(RetryAfter)(header))
  const date = yield* Effect.option(Schema.decodeUnknownEffect(HttpDate)(header))
  const reset = yield* Effect.option(Schema.decodeUnknownEffect(RetryAfter)(response.headers["x-rate-limit-reset"]))
  const wait = seconds._tag === "Some"
    ? seconds.value * 1000
    : date._tag === "Some"
    ? date.value.epochMilliseconds - now
    : reset._tag === "Some" && response.status === 429
    ? reset.value * 1000 - now
    : undefined
  return wait === undefined ? undefined : Math.min(Math.max(wait, 0), longestRetryAfter)
})

const maxAge = (cacheControl: string | undefined): number | undefined => {
  if (cacheControl === undefined) return undefined
  if (/(?:^|[\s,])no-(?:cache|store)\b/i.test(cacheControl)) return 0
  const seconds = /(?:^|[\s,])max-age=(\d{1,9})/i.exec(cacheControl)?.[1]
  return seconds === undefined ? undefined : Number(seconds) * 1000
}
