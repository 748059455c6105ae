import { Context, Effect, Layer, type Option } from "effect"
import type { Client } from "./Client.ts"
import { Registration } from "./Registration.ts"

/** The clients that this server knows, however they became known to it. */
export class ClientRegistry extends Context.Service<ClientRegistry, {
  /** The client with this id. */
  readonly find: (clientId: string) => Effect.Effect<Option.Option<Client>>
}>()("effect-okta/proxy/client/ClientRegistry") {
  /** Those that have registered. */
  static readonly layer: Layer.Layer<ClientRegistry, never, Registration> = Layer.effect(
    ClientRegistry,
    Effect.map(Registration, ({ open }) => ClientRegistry.of({ find: open }))
  )
}
