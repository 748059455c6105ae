import { ByteSize, Effect, Option, Schema } from "effect"
import { HttpIncomingMessage, type HttpServerError, type HttpServerRequest } from "effect/http"

/** The request itself is not as it should be (RFC 6749 section 5.2). */
export class MalformedRequest extends Schema.TaggedError<MalformedRequest>()("MalformedRequest", {
  /** What is wrong with it; never a value that was sent. */
  reason: Schema.String
}) {
  override get message() {
    return `The request was refused: ${this.reason}.`
  }
}

/** The request has a larger body than is read. */
export class BodyTooLarge extends Schema.TaggedError<BodyTooLarge>()("BodyTooLarge", {
  /** In bytes. */
  limit: Schema.Number
}) {
  override get message() {
    return `The request was refused: its body is larger than ${this.limit} bytes.`
  }
}

/** The parameters in a form's body: each once, and none that is empty (RFC 6749 section 3.2). */
export interface Form {
  readonly get: (name: string) => string | undefined
  /** The parameter, without which the request fails. */
  readonly require: (name: string) => Effect.Effect<string, MalformedRequest>
}

const limit = ByteSize.kibibytes(64)

const malformed = (reason: string) => Effect.fail(new MalformedRequest({ reason }))

const unread = ({ reason }: HttpServerError.HttpServerError): MalformedRequest | BodyTooLarge =>
  reason._tag === "RequestParseError" && reason.reason === "BodyTooLarge"
    ? new BodyTooLarge({ limit: ByteSize.toNumberUnsafe(limit) })
    : new MalformedRequest({ reason: "its body could not be read" })

/** Reads a body of `application/x-www-form-urlencoded`, of 64 KiB at most. Parameters of the query do not count. */
export const read = Effect.fnUntraced(function*(
  request: HttpServerRequest.HttpServerRequest
): Effect.fn.Return<Form, MalformedRequest | BodyTooLarge> {
  const { "content-encoding": encoding, "content-length": length, "content-type": type = "" } = request.headers
  if (Number(length) > ByteSize.toNumberUnsafe(limit)) {
    return yield* new BodyTooLarge({ limit: ByteSize.toNumberUnsafe(limit) })
  }
  if (!/^application\/x-www-form-urlencoded\s*(?:;|$)/i.test(type) || encoding !== undefined) {
    return yield* malformed("its body is not a plain application/x-www-form-urlencoded one")
  }
  const body = yield* request.text.pipe(
    Effect.provideService(HttpIncomingMessage.MaxBodySize, limit),
    Effect.mapError(unread)
  )
  const parameters = new Map<string, string>()
  const seen = new Set<string>()
  for (const [name, value] of new URLSearchParams(body)) {
    if (seen.has(name)) return yield* malformed("it has a parameter more than once")
    seen.add(name)
    if (value !== "") parameters.set(name, value)
  }
  return {
    get: (name) => parameters.get(name),
    require: (name) =>
      Option.match(Option.fromUndefinedOr(parameters.get(name)), {
        onNone: () => malformed(`the parameter ${name} is missing`),
        onSome: Effect.succeed
      })
  }
})
