import { Context, Effect, Layer, Option, type Redacted } from "effect"
import type { InvalidConfiguration } from "../../config/InvalidConfiguration.ts"
import type { OktaConfig } from "../../config/OktaConfig.ts"
import { sparingly } from "../../observe/Sparingly.ts"
import { proxySettings } from "../ProxySettings.ts"
import type { Client } from "./Client.ts"
import type { ClientMetadata } from "./ClientMetadata.ts"
import * as ConfiguredClients from "./ConfiguredClients.ts"
import * as DocumentCache from "./DocumentCache.ts"
import { DocumentFetch, type DocumentUnavailable } from "./DocumentFetch.ts"
import * as DocumentTurns from "./DocumentTurns.ts"
import * as MetadataDocument from "./MetadataDocument.ts"
import { Registration } from "./Registration.ts"

/** The clients that this server knows, however they became known to it. */
export class ClientRegistry extends Context.Service<ClientRegistry, {
  /** The client with this id: configured, registered, or described by a document at the URL that is its id. */
  readonly find: (clientId: string) => Effect.Effect<Option.Option<Client>, DocumentUnavailable>
  /** Whether a secret is the client's; takes as long whether it is or not. */
  readonly hasSecret: (client: Client, secret: Redacted.Redacted<string>) => Effect.Effect<boolean>
  /** The public keys of a client that authenticates with one. */
  readonly keysOf: (client: Client) => Effect.Effect<ClientMetadata["jwks"], DocumentUnavailable>
}>()("effect-okta/proxy/client/ClientRegistry") {
  static readonly layer: Layer.Layer<
    ClientRegistry,
    InvalidConfiguration,
    OktaConfig | Registration
  > = Layer.effect(
    ClientRegistry,
    Effect.gen(function*() {
      const settings = yield* proxySettings
      const { clientMetadataDocuments, clientMetadataHosts, clients, redirectUris } = settings
      const wrong = ConfiguredClients.problems(settings)
      if (wrong !== undefined) return yield* wrong
      const configured = ConfiguredClients.make(clients)
      const registration = yield* Registration
      const fetching = { fetch: yield* DocumentFetch, turns: yield* DocumentTurns.make }
      const documents = yield* DocumentCache.make({ ...fetching, read: MetadataDocument.documentReader(redirectUris) })
      const keySets = yield* DocumentCache.make({ ...fetching, read: MetadataDocument.readKeys })

      /** A document that is refused is as one that is not there, and the log says why. */
      const fetched = <A>(from: DocumentCache.DocumentCache<A>, url: string) => {
        const problem = clientMetadataDocuments
          ? MetadataDocument.problem(url)
          : "is a URL, and documents are not allowed"
        if (problem !== undefined) return refused(`a client id ${problem}`)
        return MetadataDocument.isAllowedHost(new URL(url).hostname, clientMetadataHosts)
          ? Effect.catchTag(Effect.asSome(from(url)), "DocumentRefused", ({ message }) => refused(message))
          : refused(`the host of ${url} is not among clientMetadataHosts`)
      }

      return ClientRegistry.of({
        find: Effect.fnUntraced(function*(clientId) {
          const known = configured.find(clientId)
          if (known !== undefined) return Option.some(known)
          return MetadataDocument.isDocumentUrl(clientId)
            ? yield* fetched(documents, clientId)
            : yield* registration.open(clientId)
        }),
        hasSecret: ({ clientId, origin }, secret) =>
          origin === "registered"
            ? registration.hasSecret(clientId, secret)
            : Effect.sync(() => configured.hasSecret(clientId, secret)),
        keysOf: Effect.fnUntraced(function*({ metadata: { jwks, jwks_uri } }) {
          if (jwks_uri === undefined) return jwks
          return Option.getOrUndefined(yield* fetched(keySets, jwks_uri))
        })
      })
    })
  ).pipe(Layer.provide(DocumentFetch.layer))
}

const refused = (reason: string): Effect.Effect<Option.Option<never>> =>
  Effect.as(sparingly("Info", "unknown client", `A client is not known: ${reason.replace(/\.$/, "")}.`), Option.none())
