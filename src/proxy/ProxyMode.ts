import { Context, Effect, Layer } from "effect"
import type { OktaConfig } from "../config/OktaConfig.ts"
import * as Health from "../resource/Health.ts"
import type { Policy } from "../resource/Policy.ts"
import * as PolicyDemands from "../resource/PolicyDemands.ts"
import { coverageOf } from "../resource/ScopeHierarchy.ts"
import { Store } from "../store/Store.ts"
import * as DpopProofs from "../token/DpopProofs.ts"
import type { User } from "../token/Principal.ts"
import type { VerifierOptions } from "../token/TokenVerifier.ts"
import * as Admission from "./Admission.ts"
import { knownScopes } from "./authorize/AuthorizationRequest.ts"
import { Endpoints } from "./Endpoints.ts"
import { SigningKeys } from "./grant/SigningKeys.ts"
import * as GrantServices from "./GrantServices.ts"
import * as ProofGuards from "./ProofGuards.ts"
import * as Proxy from "./Proxy.ts"
import { proxySettings } from "./ProxySettings.ts"
import * as Redaction from "./Redaction.ts"

const endpoints = Layer.effect(
  Endpoints,
  Effect.contextWith((context: Context.Context<OktaConfig | Store | Proxy.Services>) => {
    const { kids, reload } = Context.get(context, SigningKeys)
    return Effect.succeed(Endpoints.of({
      // The settings are those of proxy mode, which is all that these routes could find wrong.
      routes: Proxy.routes.pipe(Layer.provide(Layer.succeedContext(context)), Layer.orDie),
      reloadSigningKeys: (signingKeys) => Effect.map(reload(signingKeys), kids)
    }))
  })
)

/** Ready while the store answers, whatever it says of a key that nobody has put there. */
const readiness = Layer.unwrap(
  Effect.map(
    Store,
    (store) =>
      Health.Readiness.layer({
        store: Effect.match(store.get("ready:?"), { onFailure: () => false, onSuccess: () => true })
      })
  )
)

/** What policies ask of clients, which have what they may ask for, or as services what is written beside them. */
const demands = Layer.unwrap(Effect.gen(function*() {
  const settings = yield* proxySettings
  const ofServices = settings.clients.flatMap(({ serviceScopes = [] }) => serviceScopes)
  const granted = [...knownScopes(settings), ...ofServices]
  return PolicyDemands.layer((scope) => coverageOf(scope, settings.scopeHierarchy)(granted))
}))

/** Our own tokens are verified here, and this server is where clients sign in. */
export const layer = (
  { admit, ...options }: Pick<VerifierOptions, "cacheSize"> & { readonly admit?: Policy<User> | undefined }
) =>
  Layer.mergeAll(Proxy.verifier(options), endpoints, readiness, GrantServices.upstreamTokens, GrantServices.grants)
    .pipe(
      Layer.provideMerge(DpopProofs.layer.pipe(Layer.provide(ProofGuards.nonces))),
      Layer.provide(Proxy.services),
      Layer.provide(admit === undefined ? Layer.empty : Admission.layer(admit)),
      Layer.provideMerge(demands),
      Layer.merge(Redaction.layer)
    )
