import { Array, Clock, Context, Duration, Effect, Layer, Option, Redacted, Schema } from "effect"
import { InvalidConfiguration } from "../../config/InvalidConfiguration.ts"
import type { OktaConfig } from "../../config/OktaConfig.ts"
import { withoutUserinfo } from "../../config/PublicUrl.ts"
import { problem } from "../authorize/RedirectUri.ts"
import { proxySettings } from "../ProxySettings.ts"
import { Sealed } from "../Sealed.ts"
import type { Client } from "./Client.ts"
import { ClientMetadata } from "./ClientMetadata.ts"
import { reader, RegistrationError } from "./RegistrationRequest.ts"

/** What a client is told that has been registered (RFC 7591 section 3.2.1). Times are in seconds since 1970. */
export interface RegistrationResponse extends ClientMetadata {
  readonly client_id: string
  readonly client_id_issued_at: number
  readonly client_secret?: string
  readonly client_secret_expires_at?: number
  readonly response_types: readonly ["code"]
}

/** The longest `client_id`: it travels in URLs, which servers and proxies cut off at 8 KiB. */
const longestId = 4096

/** What a `client_id` is, once opened. */
const Registered = Schema.fromJsonString(Schema.Struct({ iat: Schema.Int, metadata: ClientMetadata }))

const encode = Schema.encodeEffect(Registered)
const decode = Schema.decodeOption(Registered)

/**
 * Registers clients without keeping anything of them: what was registered is sealed in the `client_id`, and a
 * confidential client's secret is derived from that (RFC 7591).
 *
 * **Details**
 *
 * So a flood of registrations fills no store, and every replica knows every client.
 *
 * @see https://www.rfc-editor.org/rfc/rfc7591.html
 */
export class Registration extends Context.Service<Registration, {
  /** Registers the client that sent this metadata. */
  readonly register: (metadata: unknown) => Effect.Effect<RegistrationResponse, RegistrationError>
  /** The client that was registered under this id, while its registration lasts. */
  readonly open: (clientId: string) => Effect.Effect<Option.Option<Client>>
  /** Whether this is the secret that was given to the client; takes as long whether it is or not. */
  readonly hasSecret: (clientId: string, secret: Redacted.Redacted<string>) => Effect.Effect<boolean>
}>()("effect-okta/proxy/client/Registration") {
  static readonly layer: Layer.Layer<Registration, InvalidConfiguration, OktaConfig | Sealed> = Layer.effect(
    Registration,
    Effect.gen(function*() {
      const { clientLifetime, redirectUris: listed } = yield* proxySettings
      yield* checkListed(listed)
      const sealed = yield* Sealed
      const read = reader(listed)
      const lifetime = Duration.toSeconds(clientLifetime)

      return Registration.of({
        register: Effect.fnUntraced(function*(input) {
          const metadata = yield* Effect.fromResult(read(input))
          const issuedAt = Math.floor((yield* Clock.currentTimeMillis) / 1000)
          const expiresAt = Math.floor(issuedAt + lifetime)
          const record = yield* Effect.orDie(encode({ iat: issuedAt, metadata }))
          const clientId = yield* sealed.seal("client", record, expiresAt * 1000)
          if (clientId.length > longestId) return yield* tooLong()
          const secret = usesSecret(metadata)
            ? {
              client_secret: yield* sealed.hash("client-secret", clientId),
              client_secret_expires_at: expiresAt
            }
            : undefined
          return {
            client_id: clientId,
            client_id_issued_at: issuedAt,
            ...secret,
            ...metadata,
            response_types: ["code"] as const
          }
        }),
        open: (clientId) =>
          clientId.length > longestId ? Effect.succeedNone : Effect.map(
            sealed.open("client", clientId),
            Option.flatMap((record) =>
              Option.flatMap(
                decode(record),
                ({ iat, metadata }) =>
                  Option.map(stillAllowed(metadata, listed), (metadata): Client => ({
                    clientId,
                    origin: "registered",
                    metadata,
                    issuedAt: iat
                  }))
              )
            )
          ),
        hasSecret: (clientId, secret) => sealed.confirms("client-secret", clientId, Redacted.value(secret))
      })
    })
  )
}

const usesSecret = ({ token_endpoint_auth_method: method }: ClientMetadata): boolean =>
  method === "client_secret_basic" || method === "client_secret_post"

const tooLong = () =>
  new RegistrationError({
    code: "invalid_client_metadata",
    problems: [{
      field: "The client metadata",
      problem: "is too long altogether. Register fewer or shorter redirect_uris"
    }]
  })

/** The metadata without the redirect URIs that the owner of this server has since taken off the list. */
const stillAllowed = (
  metadata: ClientMetadata,
  listed: ReadonlyArray<string>
): Option.Option<ClientMetadata> => {
  const redirect_uris = metadata.redirect_uris.filter((uri) => problem(uri, { listed }) === undefined)
  return Array.isReadonlyArrayNonEmpty(redirect_uris) ? Option.some({ ...metadata, redirect_uris }) : Option.none()
}

const checkListed = (listed: ReadonlyArray<string>): Effect.Effect<void, InvalidConfiguration> => {
  const problems = listed.flatMap((uri) => {
    const wrong = problem(uri, { listed })
    return wrong === undefined ? [] : [{ field: "redirectUris", value: withoutUserinfo(uri), message: `${wrong}.` }]
  })
  return problems.length === 0 ? Effect.void : Effect.fail(new InvalidConfiguration({ problems }))
}
