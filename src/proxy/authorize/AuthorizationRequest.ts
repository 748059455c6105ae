import { Effect, Option, Result, Schema } from "effect"
import { quoted } from "../../provider/Quoted.ts"
import { isOffered } from "../../token/DpopProof.ts"
import { type Client, hasRedirectUri } from "../client/Client.ts"
import type { DocumentUnavailable } from "../client/DocumentFetch.ts"
import { type AuthorizationErrorCode, AuthorizationRefused } from "../OAuthError.ts"
import type { ProxySettings } from "../ProxySettings.ts"
import { resourceNamed } from "../ResourceIndicator.ts"
import type { Parameters } from "./Parameters.ts"

/** What a client asks for, with everything in order, and what the person is asked to approve. */
export const ApprovedRequest = Schema.Struct({
  clientId: Schema.String,
  /** What the client calls itself. */
  clientName: Schema.optionalKey(Schema.String),
  /** Byte for byte as it was asked for. */
  redirectUri: Schema.String,
  /** The client's own, to be given back. */
  state: Schema.optional(Schema.String),
  scopes: Schema.Array(Schema.String),
  /** The resource that tokens will be for (RFC 8707). */
  resource: Schema.String,
  /** Of the client's PKCE, by S256 (RFC 7636). */
  codeChallenge: Schema.String,
  /** The thumbprint of the key that the code will be bound to (RFC 9449 section 10). */
  dpopKey: Schema.optionalKey(Schema.String),
  /** Whether the person is to be asked for consent once more (`prompt=consent`). */
  asksAgain: Schema.optionalKey(Schema.Boolean),
  /** What Okta is to do though the person has signed in before: ask again (`prompt=login`). */
  prompt: Schema.optionalKey(Schema.Literal("login")),
  /** The longest time since the person signed in at Okta, in seconds. */
  maxAge: Schema.optionalKey(Schema.Int),
  /** How strongly Okta is to make sure of the person, by preference (OpenID Connect Core section 3.1.2.1). */
  acrValues: Schema.optionalKey(Schema.String)
})

/** The parameters that count here. */
export const parameters: ReadonlyArray<string> = [
  "response_type",
  "response_mode",
  "client_id",
  "redirect_uri",
  "state",
  "scope",
  "resource",
  "code_challenge",
  "code_challenge_method",
  "dpop_jkt",
  "prompt",
  "max_age",
  "acr_values"
]

/** What a client asks for, with everything in order. */
export type ApprovedRequest = typeof ApprovedRequest.Type

/** Where the answer to a request goes. */
export type ReturnAddress = Pick<ApprovedRequest, "redirectUri" | "state">

/** The request cannot be answered at any redirect URI, because none is proven: the person is told instead. */
export class UnprovenRequest extends Schema.TaggedError<UnprovenRequest>()("UnprovenRequest", {
  /** For the client's developer. */
  code: Schema.Literals(["invalid_request", "invalid_client"]),
  /** What is wrong, as a sentence that repeats nothing of the request. */
  reason: Schema.String
}) {
  override get message() {
    return this.reason
  }
}

/** Longest `state`, in characters: it travels through two URLs more. */
const longestState = 2048

/** Whoever sends these twice could mean two clients or two places, so that no answer is safe. */
const decisive = ["client_id", "redirect_uri", "state", "response_mode"]

const unproven = (reason: string, code: UnprovenRequest["code"] = "invalid_request") =>
  Effect.fail(new UnprovenRequest({ code, reason }))

/** The client that asks, and where its answer goes: proven to be a redirect URI of that client's, or else refused. */
export const prove = Effect.fnUntraced(function*(
  { all, first }: Parameters,
  find: (clientId: string) => Effect.Effect<Option.Option<Client>, DocumentUnavailable>
): Effect.fn.Return<
  { readonly client: Client; readonly address: ReturnAddress },
  UnprovenRequest | DocumentUnavailable
> {
  const repeated = decisive.find((name) => all(name).length > 1)
  if (repeated !== undefined) return yield* unproven(`The parameter ${repeated} is there more than once.`)
  const clientId = first("client_id")
  if (clientId === undefined) return yield* unproven("The parameter client_id is missing.")
  const client = Option.getOrUndefined(yield* find(clientId))
  if (client === undefined) {
    return yield* unproven(
      "The client_id is not known here, or its registration has expired. The application has to register again.",
      "invalid_client"
    )
  }
  const redirectUri = first("redirect_uri")
  if (redirectUri === undefined) return yield* unproven("The parameter redirect_uri is missing.")
  if (!hasRedirectUri(client, redirectUri)) {
    return yield* unproven("The redirect_uri is not one that the application has registered.")
  }
  const state = first("state")
  if (state !== undefined && state.length > longestState) {
    return yield* unproven(`The parameter state is longer than ${longestState} characters.`)
  }
  return { client, address: { redirectUri, state } }
})

const refused = (code: AuthorizationErrorCode, description: string, hint?: string) =>
  Result.fail(new AuthorizationRefused({ code, description, ...(hint === undefined ? undefined : { hint }) }))

/** Everything else of the request, once its client and redirect URI are proven (RFC 6749 section 4.1.1). */
export const read = (
  { all, first, repeated }: Parameters,
  { address, client }: { readonly address: ReturnAddress; readonly client: Client },
  settings: ProxySettings
): Result.Result<ApprovedRequest, AuthorizationRefused> => {
  if (repeated.some((name) => name !== "resource")) {
    return refused("invalid_request", "A parameter is there more than once.")
  }
  if (first("request") !== undefined) return refused("request_not_supported", "Send the parameters themselves.")
  if (first("request_uri") !== undefined) return refused("request_uri_not_supported", "Send the parameters themselves.")
  if (first("response_type") !== "code") return refused("unsupported_response_type", "The response_type must be code.")
  if ((first("response_mode") ?? "query") !== "query") {
    return refused("invalid_request", "The response_mode must be query.")
  }
  const codeChallenge = first("code_challenge")
  if (codeChallenge === undefined) return refused("invalid_request", "The code_challenge (PKCE) is missing.")
  if (first("code_challenge_method") !== "S256") {
    return refused("invalid_request", "The code_challenge_method must be S256.")
  }
  if (!/^[A-Za-z0-9_-]{43}$/.test(codeChallenge)) {
    return refused("invalid_request", "The code_challenge must have 43 characters of base64url.")
  }
  const dpopKey = isOffered(settings) ? first("dpop_jkt") : undefined
  if (dpopKey !== undefined && !/^[A-Za-z0-9_-]{43}$/.test(dpopKey)) {
    return refused("invalid_request", "The dpop_jkt must have 43 characters of base64url.")
  }
  const resource = resourceOf(all("resource"), settings)
  if (resource === undefined) {
    return refused("invalid_target", "The resource must be one, and one of this server's.")
  }
  const scopes = scopesOf(first("scope"), settings)
  const known = knownScopes(settings)
  const unknown = scopes.filter((scope) => !known.has(scope))
  if (unknown.length > 0) {
    return refused(
      "invalid_scope",
      "A scope is not known to this server.",
      `It is ${quoted(unknown.join(" "))}; name in scopesSupported what clients may have.`
    )
  }
  const prompts = first("prompt")?.split(" ") ?? []
  if (prompts.includes("none")) {
    return refused("consent_required", "The person has to be asked, so prompt=none is not possible.")
  }
  const maxAge = first("max_age")
  if (maxAge !== undefined && !/^\d{1,9}$/.test(maxAge)) {
    return refused("invalid_request", "The max_age must be a number of seconds.")
  }
  const acrValues = first("acr_values")
  if (acrValues !== undefined && !/^[\x21-\x7E][\x20-\x7E]{0,499}$/.test(acrValues)) {
    return refused("invalid_request", "The acr_values must be names in ASCII, 500 characters at most.")
  }
  return Result.succeed({
    clientId: client.clientId,
    ...(client.metadata.client_name === undefined ? undefined : { clientName: client.metadata.client_name }),
    ...address,
    scopes,
    resource,
    codeChallenge,
    ...(dpopKey === undefined ? undefined : { dpopKey }),
    ...(prompts.includes("consent") ? { asksAgain: true } : undefined),
    // Okta has no account chooser of its own: who signs in again may do so as somebody else.
    ...(prompts.includes("login") || prompts.includes("select_account") ? { prompt: "login" } : undefined),
    ...(maxAge === undefined ? undefined : { maxAge: Number(maxAge) }),
    ...(acrValues === undefined ? undefined : { acrValues })
  })
}

/** The resource that is asked for; without one it is this server as a whole. */
const resourceOf = (asked: ReadonlyArray<string>, settings: ProxySettings): string | undefined => {
  return asked.length > 1 ? undefined : resourceNamed(settings, asked[0])
}

/** Scopes that clients ask for as a matter of course; what they are for at Okta, this server asks for itself. */
const customary = ["openid", "profile", "email", "offline_access"]

/** The scopes that mean something to this server. */
export const knownScopes = ({ requiredScopes, scopesSupported }: ProxySettings): ReadonlySet<string> =>
  new Set([...scopesSupported, ...requiredScopes, ...customary])

/** The scopes that are asked for, each once; without any they are the required ones. */
const scopesOf = (asked: string | undefined, settings: ProxySettings): ReadonlyArray<string> => {
  const scopes = [...new Set((asked ?? "").split(" ").filter((scope) => scope !== ""))]
  return scopes.length === 0 ? settings.requiredScopes : scopes
}
