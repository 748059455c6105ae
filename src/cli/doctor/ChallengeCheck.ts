import { Effect, Result } from "effect"
import { HttpClientRequest } from "effect/http"
import type { Answer } from "../../provider/OktaHttp.ts"
import { excerpt } from "../../provider/Quoted.ts"
import type { ProtectedResource } from "../../resource/ResourceMetadata.ts"
import type { Ask } from "./Ask.ts"
import { type Check, failed, ok, type Trouble } from "./Check.ts"
import { unreached } from "./Trouble.ts"

/** Asks for a protected path without a token, as clients do to find out where to sign in (RFC 9728 section 5). */
export const challenge = Effect.fnUntraced(function*(
  ask: Ask,
  { metadataUrl, resource }: ProtectedResource
): Effect.fn.Return<Check> {
  const check = { check: "challenge", tried: `POST ${resource} without a token` }
  const request = HttpClientRequest.post(resource, {
    accept: "application/json, text/event-stream",
    headers: { origin: new URL(resource).origin }
  }).pipe(HttpClientRequest.bodyJsonUnsafe({ jsonrpc: "2.0", id: 1, method: "ping" }))
  const asked = yield* Effect.result(ask(request))
  if (Result.isFailure(asked)) return failed({ ...check, ...unreached(resource, asked.failure, "this server") })
  const trouble = troubleIn(asked.success, metadataUrl)
  return trouble === undefined
    ? ok({ ...check, found: "401, which names the metadata" })
    : failed({ ...check, ...trouble })
})

const troubleIn = ({ headers, status }: Answer, metadataUrl: string): Trouble | undefined => {
  if (status >= 200 && status < 300) {
    return {
      found: `${status}, without a challenge`,
      meaning: "This path answers anybody, with or without a token.",
      mend: "Guard its routes with OktaAuth.guard, or let the reverse proxy lead to effect-okta serve and not past it."
    }
  }
  if (status === 404) {
    return {
      found: "404",
      meaning: "Nothing is served at this path.",
      mend: "Compare --path with the path that the server protects, and look whether the reverse proxy changes paths."
    }
  }
  if (status !== 401) {
    return {
      found: String(status),
      meaning: "Clients wait for 401 to learn where to sign in.",
      mend: "Look at the server's log, and at what the reverse proxy before it does with requests without credentials."
    }
  }
  const named = /\bresource_metadata="([^"]*)"/.exec(headers["www-authenticate"] ?? "")?.[1]
  if (named === undefined) {
    return {
      found: "401, which names no metadata",
      meaning: "Clients do not learn where to sign in; the challenge is somebody else's, or was taken away.",
      mend: "Set SERVER_URL for the server too, and let the reverse proxy leave WWW-Authenticate as it is."
    }
  }
  if (named !== metadataUrl) {
    return {
      found: `401, which names ${excerpt(named)}`,
      meaning: `Clients are led elsewhere than to ${metadataUrl}.`,
      mend: "Start the server with the same SERVER_URL and --path as this command."
    }
  }
  return /\bwww-authenticate\b|\*/i.test(headers["access-control-expose-headers"] ?? "") ? undefined : {
    found: "401, with headers that browsers keep to themselves",
    meaning:
      "Clients in a browser cannot read the challenge: Access-Control-Expose-Headers does not name WWW-Authenticate.",
    mend: "Let the reverse proxy leave the headers of CORS as they are."
  }
}
