import { ByteSize, Effect } from "effect"
import { HttpIncomingMessage, type HttpServerRequest } from "effect/http"
import { BodyTooLarge, MalformedRequest } from "../FormRequest.ts"

/** The parameters of a request from a browser. One without a value is as one that is not there (RFC 6749 section 3.1). */
export interface Parameters {
  /** Every value of a parameter. */
  readonly all: (name: string) => ReadonlyArray<string>
  /** The value of a parameter; of several the first. */
  readonly first: (name: string) => string | undefined
  /** The parameters that are there more than once. */
  readonly repeated: ReadonlyArray<string>
  /** Every parameter with every value. */
  readonly entries: ReadonlyArray<readonly [name: string, value: string]>
}

/** The parameters in `application/x-www-form-urlencoded` text. */
export const parse = (text: string): Parameters => {
  const values = new Map<string, Array<string>>()
  for (const [name, value] of new URLSearchParams(text)) {
    if (value === "") continue
    const others = values.get(name)
    if (others === undefined) values.set(name, [value])
    else others.push(value)
  }
  return {
    all: (name) => values.get(name) ?? [],
    first: (name) => values.get(name)?.[0],
    repeated: [...values].filter(([, values]) => values.length > 1).map(([name]) => name),
    entries: [...values].flatMap(([name, values]) => values.map((value) => [name, value] as const))
  }
}

/** The parameters of a request's query. */
export const fromQuery = ({ url }: HttpServerRequest.HttpServerRequest): Parameters => {
  const start = url.indexOf("?")
  return parse(start < 0 ? "" : url.slice(start + 1))
}

/** The address at which a request is made by GET that was made by a form, with those of its parameters that count. */
export const addressOf = (
  url: string,
  { entries }: Parameters,
  names: ReadonlyArray<string>
): string => {
  const counting = new URLSearchParams()
  for (const [name, value] of entries) {
    if (names.includes(name)) counting.append(name, value)
  }
  return `${url}?${counting.toString()}`
}

const limit = ByteSize.kibibytes(64)
const tooLarge = new BodyTooLarge({ limit: ByteSize.toNumberUnsafe(limit) })

/** The parameters of a request's body, a form of 64 KiB at most; those of its query do not count. */
export const fromBody = Effect.fnUntraced(function*(
  request: HttpServerRequest.HttpServerRequest
): Effect.fn.Return<Parameters, MalformedRequest | BodyTooLarge> {
  const { "content-length": length, "content-type": type = "" } = request.headers
  if (Number(length) > tooLarge.limit) return yield* tooLarge
  if (!/^application\/x-www-form-urlencoded\s*(?:;|$)/i.test(type)) {
    return yield* new MalformedRequest({ reason: "its body is not a form" })
  }
  return parse(
    yield* request.text.pipe(
      Effect.provideService(HttpIncomingMessage.MaxBodySize, limit),
      Effect.mapError(({ reason }) =>
        reason._tag === "RequestParseError" && reason.reason === "BodyTooLarge"
          ? tooLarge
          : new MalformedRequest({ reason: "its body could not be read" })
      )
    )
  )
})
