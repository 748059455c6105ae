import { Clock, Duration, Effect, Layer } from "effect"
import type { InvalidConfiguration } from "../config/InvalidConfiguration.ts"
import type { OktaConfig } from "../config/OktaConfig.ts"
import { Memory, Store } from "../store/Store.ts"
import { DpopProofsUnavailable } from "../token/DpopError.ts"
import { type Nonces, ProofNonces } from "../token/DpopProofs.ts"
import * as ProofReplays from "../token/ProofReplays.ts"
import { proxySettings } from "./ProxySettings.ts"
import { Sealed } from "./Sealed.ts"

/** Which proofs have been used, for all servers that share the store. */
const shared: Layer.Layer<never, never, Store> = Layer.effect(
  ProofReplays.ProofReplays,
  Effect.map(Store, (store) => ({
    isFirst: (name, seconds) =>
      Effect.mapError(
        store.putIfAbsent(`dpop:${name}`, "used", Duration.seconds(seconds)),
        ({ reason }) => new DpopProofsUnavailable({ reason })
      )
  }))
)

/** Which proofs have been used, by the store in memory beside which that is kept. */
const remembered = new WeakMap<object, ProofReplays.Replays>()

/** The same for all who share a store in memory, but not in it: they would take the places of sign-ins. */
const beside = (memory: object): Layer.Layer<never> =>
  Layer.sync(ProofReplays.ProofReplays, () => {
    const replays = remembered.get(memory) ?? ProofReplays.inMemory()
    remembered.set(memory, replays)
    return replays
  })

/** Which proofs have been used: known to all who share the store of the sign-ins. */
export const replays: Layer.Layer<never, never, Store> = Layer.unwrap(
  Effect.map(Memory, (memory) => memory === undefined ? shared : beside(memory))
)

/** How long a nonce is given out, in milliseconds. It is good for as long again. */
const nonceLifetime = Duration.toMillis("5 minutes")

const form = /^([1-9]\d{0,11})\.([\w-]{43})$/

/**
 * The nonces that proofs must have, if the settings ask for them (RFC 9449 section 8): an authenticated number of the time
 * that it is, so that nothing is kept of them and every server knows those of the others.
 */
export const nonces: Layer.Layer<never, InvalidConfiguration, OktaConfig | Sealed> = Layer.effect(
  ProofNonces,
  Effect.gen(function*() {
    const { dpopNonces } = yield* proxySettings
    const sealed = yield* Sealed
    const period = Effect.map(Clock.currentTimeMillis, (now) => Math.floor(now / nonceLifetime))
    const nonces: Nonces = {
      current: Effect.gen(function*() {
        const number = String(yield* period)
        return `${number}.${yield* sealed.hash("dpop-nonce", number)}`
      }),
      isGood: Effect.fnUntraced(function*(nonce) {
        const [, number, mac] = form.exec(nonce) ?? []
        if (number === undefined || mac === undefined) return false
        const age = (yield* period) - Number(number)
        return (age === 0 || age === 1) && (yield* sealed.confirms("dpop-nonce", number, mac))
      })
    }
    return dpopNonces ? nonces : undefined
  })
)
