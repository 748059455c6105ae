import { Array, Effect, Predicate, Result, Schema, SchemaIssue } from "effect"
import { isSecret, readKeySet } from "../../provider/JsonWebKey.ts"
import { isWeb, longest, problem } from "../authorize/RedirectUri.ts"
import { jwtBearer } from "../grant/GrantTypes.ts"
import { ApplicationType, AuthenticationMethod, type ClientMetadata, GrantType } from "./ClientMetadata.ts"

/** The metadata that a client wants to register cannot be accepted (RFC 7591 section 3.2.2). */
export class RegistrationError extends Schema.TaggedError<RegistrationError>()("RegistrationError", {
  code: Schema.Literals(["invalid_redirect_uri", "invalid_client_metadata"]),
  problems: Schema.Array(Schema.Struct({ field: Schema.String, problem: Schema.String }))
}) {
  override get message() {
    return this.problems.map(({ field, problem }) => `${field} ${problem}.`).join(" ")
  }
}

// Every message continues a sentence that begins with the name of the field, and repeats nothing of what was sent.

const text = (limit: number) =>
  Schema.String.annotate({ message: "is not text" }).check(
    Schema.makeFilter((value: string) => value.length <= limit || `is longer than ${limit} characters`)
  )

/** A control character, one that turns the direction of writing, or half of a character. */
const misleading = /[\p{Cc}\p{Cs}\u2028\u2029\u061C\u200E\u200F\u202A-\u202E\u2066-\u2069]/u

const Name = text(200).check(
  Schema.makeFilter((name: string) =>
    name.trim() === "" ? "is empty" : !misleading.test(name) || "contains control characters"
  )
)

/** An address for people; nothing is fetched from it. */
const WebPage = text(longest).check(
  Schema.makeFilter((uri: string) =>
    /^https?:\/\/[^\s\p{Cc}\\]+$/u.test(uri) && URL.canParse(uri) || "is not the URL of a web page"
  )
)

const ScopeText = text(1000).check(
  Schema.makeFilter((scope: string) =>
    /^[\x20\x21\x23-\x5B\x5D-\x7E]*$/.test(scope) || "contains characters that a scope cannot hold"
  )
)

const supported = (literals: ReadonlyArray<string>) => ({
  message: `is not supported. Choose among ${literals.join(", ")}`
})

const listOf = <S extends Schema.Constraint>(item: S) =>
  Schema.Array(item).annotate({ message: "is not a list" }).check(
    Schema.makeFilter((items: ReadonlyArray<unknown>) => items.length > 0 || "is empty")
  )

const keyProblem = (jwks: unknown): string | undefined => {
  const keys = Predicate.hasProperty(jwks, "keys") ? jwks.keys : undefined
  if (!Array.isArray(keys) || keys.length === 0) return "is not a JWK Set with keys in it"
  if (keys.length > 5) return "holds more than 5 keys"
  if (keys.some(isSecret)) return "holds a key that is not public"
  const set = readKeySet(jwks)
  return Result.isSuccess(set) && set.success.skipped.length === 0
    ? undefined
    : "holds a key that is no strong asymmetric signing key with a kid of its own"
}

/** By which way metadata comes, and whether of a client that only brings ID-JAGs, so that nobody is sent to it. */
type Kind = "registration" | "document" | "without people"

const grantTypes: { readonly [kind in Kind]: ReadonlyArray<typeof GrantType.Type> } = {
  registration: ["authorization_code", "refresh_token"],
  document: GrantType.literals,
  "without people": GrantType.literals
}

const hasNoPeople = ({ grant_types: types }: { readonly grant_types?: unknown }): boolean =>
  globalThis.Array.isArray(types) && types.includes(jwtBearer) && !types.includes("authorization_code")

/** What a client sends: the fields that are understood here. */
const sent = (listed: ReadonlyArray<string>, kind: Kind) => {
  const redirectUri = Schema.String.annotate({ message: "is not text" }).check(
    Schema.makeFilter((uri: string) => problem(uri, { listed }))
  )
  const redirectUris = listOf(redirectUri)
  return Schema.Struct({
    redirect_uris: kind === "without people"
      ? Schema.Array(redirectUri).pipe(Schema.withDecodingDefaultTypeKey(Effect.succeed([])))
      : redirectUris.pipe(Schema.annotateKey({ messageMissingKey: "is missing" })),
    post_logout_redirect_uris: Schema.optionalKey(redirectUris),
    token_endpoint_auth_method: Schema.optionalKey(
      AuthenticationMethod.annotate(supported(AuthenticationMethod.literals))
    ),
    grant_types: Schema.optionalKey(
      listOf(Schema.Literals(grantTypes[kind]).annotate(supported(grantTypes[kind]))).check(
        Schema.makeFilter((types: ReadonlyArray<string>) =>
          kind === "without people" || types.includes("authorization_code") || "does not hold authorization_code"
        )
      )
    ),
    response_types: Schema.optionalKey(listOf(Schema.Literal("code").annotate(supported(["code"])))),
    application_type: Schema.optionalKey(ApplicationType.annotate(supported(ApplicationType.literals))),
    client_name: Schema.optionalKey(Name),
    client_uri: Schema.optionalKey(WebPage),
    logo_uri: Schema.optionalKey(WebPage),
    tos_uri: Schema.optionalKey(WebPage),
    policy_uri: Schema.optionalKey(WebPage),
    scope: Schema.optionalKey(ScopeText),
    contacts: Schema.optionalKey(Schema.Array(text(320)).annotate({ message: "is not a list" })),
    jwks: Schema.optionalKey(Schema.Unknown.check(Schema.makeFilter(keyProblem))),
    jwks_uri: Schema.optionalKey(WebPage),
    dpop_bound_access_tokens: Schema.optionalKey(
      Schema.Boolean.annotate({ message: "is neither true nor false" })
    ),
    software_id: Schema.optionalKey(text(200)),
    software_version: Schema.optionalKey(text(200))
  })
}

type Sent = ReturnType<typeof sent>["Type"]

/** Found out before their entries are looked at, since anybody may send many. */
const isLong = (value: unknown): boolean => Array.isArray(value) && value.length > 10

type Problem = (typeof RegistrationError)["Type"]["problems"][number]

const refusal = (problems: ReadonlyArray<Problem>): RegistrationError =>
  new RegistrationError({
    code: problems.some(({ field }) => field.startsWith("redirect_uris"))
      ? "invalid_redirect_uri"
      : "invalid_client_metadata",
    problems: problems.slice(0, 5)
  })

const standardIssues = SchemaIssue.makeFormatterStandardSchemaV1()

const problemsOf = (error: Schema.SchemaError): ReadonlyArray<Problem> =>
  standardIssues(error.issue).issues.map(({ message, path }) => ({
    field: (path ?? []).map((step, index) => index === 0 ? String(step) : `[${String(step)}]`).join(""),
    problem: message
  }))

/** What no field gets wrong by itself. */
const contradiction = (
  request: Sent,
  redirectUris: ReadonlyArray<string>,
  { fetchesKeys }: ReadingOptions
): Problem | undefined => {
  if (request.application_type === "web" && !redirectUris.every(isWeb)) {
    return { field: "redirect_uris", problem: "holds a URI that only the application_type native may have" }
  }
  if (request.jwks !== undefined && request.jwks_uri !== undefined) {
    return { field: "jwks_uri", problem: "is given beside jwks" }
  }
  if (request.token_endpoint_auth_method !== "private_key_jwt" || request.jwks !== undefined) return undefined
  if (!fetchesKeys) {
    return { field: "jwks", problem: "is missing, which private_key_jwt needs. Keys are not fetched from a jwks_uri" }
  }
  if (request.jwks_uri === undefined) return { field: "jwks", problem: "is missing, and so is jwks_uri" }
  return undefined
}

const definedUri = ({ jwks_uri }: Sent): Pick<ClientMetadata, "jwks_uri"> | undefined =>
  jwks_uri === undefined ? undefined : { jwks_uri }

/** The public members of a client's keys. */
export const publicKeys = (jwks: unknown): Pick<ClientMetadata, "jwks"> | undefined =>
  Result.match(readKeySet(jwks), {
    onFailure: () => undefined,
    onSuccess: ({ keys }) => ({
      jwks: {
        keys: Array.fromIterable(keys.values()).map(({ algorithms, key, kid }) => ({
          ...key.export({ format: "jwk" }),
          kid,
          ...(algorithms.length === 1 ? { alg: algorithms[0] } : undefined)
        }))
      }
    })
  })

/** How metadata is read that comes by another way. */
export interface ReadingOptions {
  /** How a client authenticates that does not say. */
  readonly defaultMethod: AuthenticationMethod
  /** Whether keys may be fetched from a `jwks_uri`. */
  readonly fetchesKeys: boolean
}

/**
 * Reads the metadata that clients send to be registered, and fills in what they leave out (RFC 7591 section 2). `listed`
 * holds the redirect URIs that the owner of this server has allowed besides.
 *
 * **Details**
 *
 * A `software_statement` is ignored, as is every field that is not understood here (RFC 7591 section 2 and 3.1.1). Nothing
 * that a field points to is fetched. A client that does not name its grants is given both, since this server has no other use
 * for it than to call for longer than an hour. A client that does not say where it runs is taken for a native application when one
 * of its redirect URIs is one. A client with a document that only brings ID-JAGs needs no redirect URIs.
 */
export const reader = (
  listed: ReadonlyArray<string>,
  options: ReadingOptions = { defaultMethod: "client_secret_basic", fetchesKeys: false }
): (input: unknown) => Result.Result<ClientMetadata, RegistrationError> => {
  const decoder = (kind: Kind) => Schema.decodeUnknownResult(sent(listed, kind), { errors: "all" })
  const decode = decoder(options.fetchesKeys ? "document" : "registration")
  const decodeWithoutPeople = decoder("without people")
  return (input) => {
    if (!Predicate.isObject(input)) {
      return Result.fail(refusal([{ field: "The client metadata", problem: "is not a JSON object" }]))
    }
    const long = ["redirect_uris", "post_logout_redirect_uris", "grant_types", "response_types", "contacts"].filter((
      field
    ) => isLong(input[field]))
    if (long.length > 0) {
      return Result.fail(refusal(long.map((field) => ({ field, problem: "has more than 10 entries" }))))
    }
    const decoded = (options.fetchesKeys && hasNoPeople(input) ? decodeWithoutPeople : decode)(input)
    if (Result.isFailure(decoded)) return Result.fail(refusal(problemsOf(decoded.failure)))
    const request = decoded.success
    const { client_name, client_uri, jwks, post_logout_redirect_uris, redirect_uris } = request
    const wrong = contradiction(request, redirect_uris, options)
    if (wrong !== undefined) return Result.fail(refusal([wrong]))
    const method = request.token_endpoint_auth_method ?? options.defaultMethod
    return Result.succeed({
      redirect_uris,
      ...(post_logout_redirect_uris === undefined ? undefined : { post_logout_redirect_uris }),
      token_endpoint_auth_method: method,
      grant_types: request.grant_types ?? ["authorization_code", "refresh_token"],
      application_type: request.application_type ?? (redirect_uris.every(isWeb) ? "web" : "native"),
      ...(client_name === undefined ? undefined : { client_name }),
      ...(client_uri === undefined ? undefined : { client_uri }),
      ...(request.dpop_bound_access_tokens === true ? { dpop_bound_access_tokens: true } : undefined),
      ...(method !== "private_key_jwt" ? undefined : jwks === undefined ? definedUri(request) : publicKeys(jwks))
    })
  }
}
