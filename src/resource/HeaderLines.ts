import { Predicate } from "effect"
import { HttpServerResponse } from "effect/http"
import { readableAnswer } from "./Cors.ts"

/**
 * Whether a request has several lines of one header, whose name is given in lower case. Node keeps the first of several
 * `Authorization` or `Host` lines without a word, so the raw ones are counted.
 */
export const isRepeated = (source: object, header: string): boolean =>
  Predicate.hasProperty(source, "rawHeaders") && Array.isArray(source.rawHeaders) &&
  source.rawHeaders.filter((name, index) => index % 2 === 0 && String(name).toLowerCase() === header).length > 1

/** What a request with several `Host` lines gets, whatever it asks for (RFC 9112 section 3.2). */
export const severalHosts = HttpServerResponse.jsonUnsafe({
  error: "invalid_request",
  error_description: "Send exactly one Host header."
}, { status: 400, headers: { ...readableAnswer, "cache-control": "no-store" } })
