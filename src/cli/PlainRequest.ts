import { Effect, Option, Schema } from "effect"
import { Headers, HttpRouter, HttpServerRequest } from "effect/http"

/** The MCP revision that knows no sessions. */
const version = "2026-07-28"

/** A request of JSON-RPC, which wants an answer. */
const Call = Schema.StructWithRest(
  Schema.Struct({
    jsonrpc: Schema.Literal("2.0"),
    id: Schema.Union([Schema.String, Schema.Number]),
    method: Schema.String,
    params: Schema.optionalKey(
      Schema.StructWithRest(
        Schema.Struct({ _meta: Schema.optionalKey(Schema.Record(Schema.String, Schema.Unknown)) }),
        [Schema.Record(Schema.String, Schema.Unknown)]
      )
    )
  }),
  [Schema.Record(Schema.String, Schema.Unknown)]
)

const decode = Schema.decodeOption(Schema.fromJsonString(Call))

/** Without `Accept`, or with a range of everything in it, a client takes JSON and event streams alike (RFC 9110 section 12.5.1). */
const takesAnything = (accept: string | undefined): boolean =>
  accept === undefined ||
  accept.split(",").some((range) => /^\s*\*\/\*\s*(?:;(?!\s*q=0(?:\.0*)?\s*$).*)?$/i.test(range))

/** What may stand in a header as it is. */
const isPlain = (text: unknown): text is string => typeof text === "string" && /^[\x21-\x7E]{1,200}$/.test(text)

/** Headers and body by which a call is one of the revision without sessions. */
const withoutSession = (
  { params = {}, ...call }: typeof Call.Type
): { readonly headers: Headers.Input; readonly body: string } => {
  const name = params["name"] ?? params["uri"]
  const meta = {
    "io.modelcontextprotocol/protocolVersion": version,
    "io.modelcontextprotocol/clientCapabilities": {},
    ...params._meta
  }
  return {
    headers: {
      "mcp-protocol-version": version,
      ...(isPlain(call.method) ? { "mcp-method": call.method } : undefined),
      ...(isPlain(name) ? { "mcp-name": name } : undefined)
    },
    body: JSON.stringify({ ...call, params: { ...params, _meta: meta } })
  }
}

/** Only the first request of a session has none yet, and only that one names no revision. */
const beginsSession = ({ method }: typeof Call.Type): boolean => method === "initialize" || method === "ping"

/**
 * Lets a person call a tool by one plain request, as with `curl -d`, where MCP clients would say which revision they speak,
 * what they accept and which session they belong to. Requests that say any of it stay as they are.
 */
export const middleware = HttpRouter.middleware((httpEffect) =>
  Effect.gen(function*() {
    const request = yield* HttpServerRequest.HttpServerRequest
    const { headers } = request
    if (request.method !== "POST" || !takesAnything(headers["accept"])) return yield* httpEffect
    const accepting = request.modify({
      headers: Headers.set(headers, "accept", "application/json, text/event-stream")
    })
    const isBare = headers["mcp-session-id"] === undefined && headers["mcp-protocol-version"] === undefined
    const text = isBare ? yield* Effect.option(accepting.text) : Option.none()
    const call = Option.filter(Option.flatMap(text, decode), (call) => !beginsSession(call))
    if (Option.isNone(call)) {
      return yield* Effect.provideService(httpEffect, HttpServerRequest.HttpServerRequest, accepting)
    }
    const plain = withoutSession(call.value)
    const rewritten = HttpServerRequest.fromWeb(
      new Request("http://localhost", { method: "POST", body: plain.body })
    ).modify({ headers: Headers.setAll(Headers.remove(accepting.headers, "content-length"), plain.headers) })
    return yield* Effect.provideService(httpEffect, HttpServerRequest.HttpServerRequest, rewritten)
  })
)
