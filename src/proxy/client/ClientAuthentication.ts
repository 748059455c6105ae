import { Array, Context, Effect, Layer, Option, Redacted, Result, Schema } from "effect"
import type { HttpServerRequest } from "effect/http"
import type { InvalidConfiguration } from "../../config/InvalidConfiguration.ts"
import type { OktaConfig } from "../../config/OktaConfig.ts"
import { isRepeated } from "../../resource/HeaderLines.ts"
import { Store, type StoreUnavailable } from "../../store/Store.ts"
import * as Audit from "../Audit.ts"
import { type Form, MalformedRequest } from "../FormRequest.ts"
import { proxySettings } from "../ProxySettings.ts"
import { Sealed } from "../Sealed.ts"
import type { Client } from "./Client.ts"
import * as ClientAssertion from "./ClientAssertion.ts"
import { ClientRegistry } from "./ClientRegistry.ts"
import type { DocumentUnavailable } from "./DocumentFetch.ts"

/** Nobody knows this client, or it did not prove that it is the one (RFC 6749 section 5.2). */
export class InvalidClient extends Schema.TaggedError<InvalidClient>()("InvalidClient", {
  /** What is wrong; never a secret. */
  reason: Schema.String,
  /** Whether the client used the `Authorization` header, so that the answer must name a scheme. */
  basic: Schema.Boolean
}) {
  override get message() {
    return `The client was refused: ${this.reason}.`
  }
}

/** By what a client wants to be known. */
type Credentials =
  | { readonly _tag: "Public"; readonly clientId: string }
  | {
    readonly _tag: "Secret"
    readonly clientId: string
    readonly secret: Redacted.Redacted<string>
    readonly basic: boolean
  }
  | { readonly _tag: "Assertion"; readonly clientId: string; readonly assertion: string }

/**
 * Finds out which client is asking, by the one method that it was registered with.
 *
 * @see https://www.rfc-editor.org/rfc/rfc6749.html#section-2.3
 * @see https://www.rfc-editor.org/rfc/rfc7523.html#section-2.2
 */
export class ClientAuthentication extends Context.Service<ClientAuthentication, {
  /** The client that sent the request. */
  readonly authenticate: (
    request: Pick<HttpServerRequest.HttpServerRequest, "headers" | "source">,
    form: Form
  ) => Effect.Effect<Client, MalformedRequest | InvalidClient | StoreUnavailable | DocumentUnavailable>
}>()("effect-okta/proxy/client/ClientAuthentication") {
  static readonly layer: Layer.Layer<
    ClientAuthentication,
    InvalidConfiguration,
    OktaConfig | ClientRegistry | Store | Sealed
  > = Layer.effect(
    ClientAuthentication,
    Effect.gen(function*() {
      const settings = yield* proxySettings
      const registry = yield* ClientRegistry
      const verifyAssertion = ClientAssertion.verifier(settings, {
        audit: yield* Audit.make,
        store: yield* Store,
        sealed: yield* Sealed
      })

      return ClientAuthentication.of({
        authenticate: Effect.fnUntraced(function*({ headers, source }, form) {
          if (isRepeated(source, "authorization")) return yield* Effect.fromResult(twice())
          const credentials = yield* Effect.fromResult(read(headers["authorization"], form))
          const basic = credentials._tag === "Secret" && credentials.basic
          const refused = (reason: string) => Effect.fail(new InvalidClient({ reason, basic }))

          const found = yield* registry.find(credentials.clientId)
          if (Option.isNone(found)) return yield* refused("nobody knows it, or its registration has ended")
          const client = found.value
          const method = client.metadata.token_endpoint_auth_method
          switch (credentials._tag) {
            case "Public":
              return method === "none" ? client : yield* refused(`it has to authenticate by ${method}`)
            case "Secret":
              if (method !== "client_secret_basic" && method !== "client_secret_post") {
                return yield* refused(`it has no secret, but authenticates by ${method}`)
              }
              return (yield* registry.hasSecret(client, credentials.secret))
                ? client
                : yield* refused("its secret is wrong")
            case "Assertion": {
              if (method !== "private_key_jwt") return yield* refused(`it has no key, but authenticates by ${method}`)
              const problem = yield* verifyAssertion(client, yield* registry.keysOf(client), credentials.assertion)
              return problem === undefined ? client : yield* refused(problem)
            }
          }
        })
      })
    })
  )
}

const twice = () => Result.fail(new MalformedRequest({ reason: "the client authenticates in more than one way" }))

/** What a request says of its client, by one method only (RFC 6749 section 2.3). */
const read = (
  authorization: string | undefined,
  form: Form
): Result.Result<Credentials, MalformedRequest | InvalidClient> => {
  const clientId = form.get("client_id")
  const secret = form.get("client_secret")
  const assertion = form.get("client_assertion")
  const assertionType = form.get("client_assertion_type")
  if (Array.getSomes([authorization, secret, assertion].map(Option.fromUndefinedOr)).length > 1) return twice()
  if (authorization !== undefined) {
    const basic = readBasic(authorization)
    if (basic === undefined) {
      return Result.fail(
        new InvalidClient({ reason: "its Authorization header is not a proper Basic one", basic: true })
      )
    }
    return clientId === undefined || clientId === basic.clientId ? Result.succeed(basic) : twice()
  }
  if (assertion !== undefined || assertionType !== undefined) {
    if (assertion === undefined || assertionType !== ClientAssertion.type) {
      return Result.fail(new MalformedRequest({ reason: `the client_assertion_type is not ${ClientAssertion.type}` }))
    }
    const subject = clientId ?? ClientAssertion.claimedSubject(assertion)
    return subject === undefined
      ? Result.fail(new InvalidClient({ reason: "its assertion does not name it", basic: false }))
      : Result.succeed({ _tag: "Assertion", clientId: subject, assertion })
  }
  if (clientId === undefined) {
    return Result.fail(new InvalidClient({ reason: "it does not say who it is", basic: false }))
  }
  return Result.succeed(
    secret === undefined
      ? { _tag: "Public", clientId }
      : { _tag: "Secret", clientId, secret: Redacted.make(secret), basic: false }
  )
}

/** Id and secret are form-encoded before they are put together (RFC 6749 section 2.3.1). */
const readBasic = (header: string): Extract<Credentials, { readonly _tag: "Secret" }> | undefined => {
  const [, encoded] = /^basic +([A-Za-z0-9+/]+={0,2})$/i.exec(header) ?? []
  if (encoded === undefined) return undefined
  const text = Buffer.from(encoded, "base64").toString("utf8")
  const colon = text.indexOf(":")
  const clientId = formDecoded(text.slice(0, Math.max(0, colon)))
  const secret = formDecoded(text.slice(colon + 1))
  return clientId === undefined || secret === undefined || clientId === ""
    ? undefined
    : { _tag: "Secret", clientId, secret: Redacted.make(secret), basic: true }
}

const formDecoded = (text: string): string | undefined =>
  Result.getOrUndefined(Result.try(() => decodeURIComponent(text.replaceAll("+", " "))))
