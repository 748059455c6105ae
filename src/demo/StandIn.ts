import { Clock, Effect } from "effect"
import { ada, bob, type Client, nativeClient, type Person, serviceClient, webClient } from "./StandInDirectory.ts"
import { exchange } from "./StandInExchange.ts"
import { type Algorithm, keptKey, KeyRing } from "./StandInKeys.ts"
import { discoveryDocument, makePaths, oktaError, type Paths, standardScopes } from "./StandInMetadata.ts"
import { type Answer, makeHandler, type Observe, sendJson } from "./StandInProvider.ts"
import type { Memory } from "./StandInStorage.ts"
import { makeTokens, type Tokens, type TokenSettings } from "./StandInTokens.ts"

/** What kind of Okta it is, and who is known there. */
export interface StandInOptions {
  /** `custom` (the default): issuer `http://127.0.0.1:PORT/oauth2/default`. `org`: `http://127.0.0.1:PORT`. */
  readonly kind?: "custom" | "org"
  /** The last part of a custom server's issuer. Default `default`. */
  readonly serverId?: string
  /** The `aud` of access tokens. Default `api://default`; the issuer for an org server. */
  readonly audience?: string
  readonly algorithm?: Algorithm
  /** Default: `nativeClient`, `webClient`, `serviceClient`. */
  readonly clients?: ReadonlyArray<Client>
  /** Default: `ada`, `bob`. */
  readonly people?: ReadonlyArray<Person>
  /** Fills in the first person's user name and password on the sign-in page: for a demonstration. Default `false`. */
  readonly filledIn?: boolean
  /** Scopes an administrator added. Default `mcp:read`, `mcp:write`. */
  readonly scopes?: ReadonlyArray<string>
  /** Granted when a request names no scope; without them, as by default, such a request is refused. */
  readonly defaultScopes?: ReadonlyArray<string>
  /** Claims an administrator added to access tokens; they can overwrite and, with `undefined`, remove others. */
  readonly claims?: TokenSettings["claims"]
  /** Seconds. Default 3600. */
  readonly accessTokenLifetime?: number
  /** Whether ID tokens name the person's session (`sid`), as they do where an administrator turned logout on. Default `false`. */
  readonly sessionIds?: boolean
  /** How long a rotated refresh token still works, in seconds. Default 30. */
  readonly refreshGrace?: number
  /** `max-age` of the key set, in seconds. Default 3600. */
  readonly keysMaxAge?: number
  /** Sees each request of people and for tokens, with its answer. */
  readonly observe?: Observe
}

/** An Okta without a server: it answers requests that come to its origin. */
export interface StandIn {
  readonly issuer: string
  readonly audience: string
  readonly clients: ReadonlyArray<Client>
  readonly people: ReadonlyArray<Person>
  readonly scopes: ReadonlyArray<string>
  readonly paths: Paths
  readonly keys: KeyRing
  readonly tokens: Tokens
  readonly answer: Answer
}

/**
 * A real authorization server, made of the certified `oidc-provider` and shaped as Okta's. What it knows is in
 * its memory: where that outlives the process, a restart signs nobody out. Times in tokens come from the `Clock`.
 */
export const make = Effect.fnUntraced(function*(
  origin: string,
  memory: Memory,
  options: StandInOptions = {}
): Effect.fn.Return<StandIn> {
  const {
    accessTokenLifetime = 3600,
    algorithm = "RS256",
    clients = [nativeClient, webClient, serviceClient],
    kind = "custom",
    people = [ada, bob],
    scopes = ["mcp:read", "mcp:write"]
  } = options
  const clock = yield* Clock.Clock
  const now = () => clock.currentTimeMillisUnsafe()
  const keys = new KeyRing(yield* keptKey(memory, "signing", algorithm))
  const unpublished = kind === "org" ? yield* keptKey(memory, "unpublished", algorithm) : undefined

  const paths = makePaths(kind, options.serverId ?? "default")
  const issuer = origin + paths.issuer
  const audience = options.audience ?? (kind === "org" ? issuer : "api://default")
  const document = discoveryDocument(origin, paths, algorithm, [...standardScopes, ...scopes])
  const tokens = makeTokens({
    issuer,
    audience,
    accessTokenLifetime,
    sessionIds: options.sessionIds ?? false,
    claims: options.claims ?? (() => ({})),
    keys,
    accessTokenKey: () => unpublished ?? keys.signing,
    now,
    memory
  })
  const provider = makeHandler({
    issuer,
    paths,
    clients,
    people,
    filledIn: options.filledIn ?? false,
    scopes,
    defaultScopes: options.defaultScopes ?? [],
    accessTokenLifetime,
    refreshGrace: (options.refreshGrace ?? 30) * 1000,
    tokens,
    exchange: exchange({ issuer, clients, people, keys, memory, accessTokenLifetime, now }),
    innerKey: yield* keptKey(memory, "inner", "ES256"),
    memory,
    observe: options.observe,
    now
  })

  const answer: Answer = (request, response) => {
    const path = new URL(request.url ?? "/", origin).pathname
    switch (paths.find(path)) {
      case "discovery":
        return sendJson(response, 200, document, { "cache-control": "max-age=86400, must-revalidate" })
      case "keys":
        return sendJson(response, 200, keys.jwks, {
          "cache-control": `max-age=${options.keysMaxAge ?? 3600}, must-revalidate`
        })
      case "register":
        return sendJson(response, 401, oktaError("E0000005", "Invalid session"))
      case "other":
        return sendJson(response, 404, oktaError("E0000007", `Not found: Resource not found: ${path}`))
      default:
        return provider(request, response)
    }
  }

  return { issuer, audience, clients, people, scopes, paths, keys, tokens, answer }
})
