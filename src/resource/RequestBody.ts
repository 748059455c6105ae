import { ByteSize, Effect, Stream } from "effect"
import { HttpServerRequest } from "effect/http"

/** The longest body that is read ahead of the handler, where the app has not said (`HttpServerRequest.MaxBodySize`). */
const longest = ByteSize.mebibytes(4)

/** A body that has been read, and the request with it, for whoever comes after. */
export interface ReadBody {
  readonly body: Buffer
  readonly request: HttpServerRequest.HttpServerRequest
}

/** A body that does not come to its end, or is longer than it may be. */
export interface UnreadableBody {
  readonly _tag: "UnreadableBody"
  readonly isTooLong: boolean
}

/** Reads the body of a request once; a handler may read it again, in whatever way. */
export const read = (
  request: HttpServerRequest.HttpServerRequest
): Effect.Effect<ReadBody, UnreadableBody> =>
  Effect.flatMap(HttpServerRequest.MaxBodySize, (size) =>
    request.arrayBuffer.pipe(
      Effect.provideService(HttpServerRequest.MaxBodySize, size ?? longest),
      Effect.mapError(({ reason }) => ({
        _tag: "UnreadableBody" as const,
        isTooLong: reason._tag === "RequestParseError" && reason.reason === "BodyTooLarge"
      })),
      Effect.map((bytes) => ({ body: Buffer.from(bytes), request: withBody(request, bytes) }))
    ))

/** A platform's request gives its stream only once, and `modify` forgets what was read: this one has its body for good. */
const withBody = (
  request: HttpServerRequest.HttpServerRequest,
  bytes: ArrayBuffer
): HttpServerRequest.HttpServerRequest =>
  Object.create(request, {
    arrayBuffer: { value: Effect.succeed(bytes) },
    text: { value: Effect.sync(() => new TextDecoder().decode(bytes)) },
    stream: { value: Stream.make(new Uint8Array(bytes)) },
    modify: {
      value: (changes: Parameters<typeof request.modify>[0]) => withBody(request.modify(changes), bytes)
    }
  })
