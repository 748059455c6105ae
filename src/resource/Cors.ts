import { HttpServerResponse } from "effect/http"

/** Answers of ours carry no cookies and no secrets, so any origin may read them. */
export const readableAnswer = {
  "access-control-allow-origin": "*",
  "access-control-expose-headers": "WWW-Authenticate, DPoP-Nonce, Retry-After"
} as const

/** Metadata is public: browser clients read it from anywhere. */
export const metadataCors = {
  ...readableAnswer,
  "access-control-allow-methods": "GET, HEAD, OPTIONS",
  "access-control-allow-headers": "*"
} as const

/** The request of which a preflight asks leave (Fetch standard, CORS-preflight request). */
export interface PreflightRequest {
  readonly method: string
  readonly headers: { readonly [name: string]: string | undefined }
}

/** Whether a request is a browser's preflight, which never carries credentials. */
export const isPreflight = ({ headers, method }: PreflightRequest): boolean =>
  method === "OPTIONS" && headers["origin"] !== undefined && headers["access-control-request-method"] !== undefined

/**
 * Lets the browser send the request itself, token included. `Authorization` is not covered by a wildcard, so the headers
 * asked for are named.
 */
export const preflightAnswer = ({ headers }: PreflightRequest): HttpServerResponse.HttpServerResponse => {
  const asked = headers["access-control-request-headers"] ?? ""
  return HttpServerResponse.empty({
    status: 204,
    headers: {
      ...readableAnswer,
      "access-control-allow-methods": "GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS",
      "access-control-allow-headers": /^[\w!#$%&'*+.^`|~-]+(?: ?, ?[\w!#$%&'*+.^`|~-]+)*$/.test(asked)
        ? asked
        : "authorization, content-type, dpop",
      "access-control-max-age": "600",
      vary: "access-control-request-headers"
    }
  })
}
