import { Clock, Context, Duration, Effect, Layer } from "effect"
import { createHash } from "node:crypto"
import type { Settings } from "../config/OktaConfig.ts"
import { ReplayDetected } from "../observe/AuditEvent.ts"
import { AuditLog, record } from "../observe/AuditLog.ts"
import * as Outage from "../observe/Outage.ts"
import { count, dpopProofs, outcomeOf } from "../observe/Telemetry.ts"
import { type DpopError, DpopNonceRequired, InvalidDpopProof } from "./DpopError.ts"
import { type DpopProof, mistake, type ProvenRequest, type Prover, read } from "./DpopProof.ts"
import { ProofReplays } from "./ProofReplays.ts"
import { make as makeSignature, Signature } from "./Signature.ts"
import * as VerdictCache from "./VerdictCache.ts"

/** Nonces of this server's, without which it takes no proof. */
export interface Nonces {
  readonly current: Effect.Effect<string>
  readonly isGood: (nonce: string) => Effect.Effect<boolean>
}

/** The nonces that proofs must have: none, unless the settings ask for them. */
export const ProofNonces = Context.Reference<Nonces | undefined>("effect-okta/token/ProofNonces", {
  defaultValue: () => undefined
})

/** What is asked of a proof besides being in order. */
export interface Proving extends ProvenRequest {
  /** The thumbprint of the key that it has to be by. */
  readonly thumbprint?: string | undefined
}

/** Checks proofs that whoever sends a token has its key. */
export interface Checker {
  /**
   * The thumbprint of the key that a proof is by, to whoever is the first to use it. Several proofs in one request, or none, are
   * no proof.
   */
  readonly check: (
    proof: string | undefined,
    proving: Proving,
    settings: Pick<Settings, "clockTolerance" | "dpopProofLifetime">
  ) => Effect.Effect<string, DpopError>
}

/** Of so many keys it is remembered what they are, with the proof that told it first: 4 KiB each at most. */
const mostProvers = 1000

const invalid = (reason: string) => Effect.fail(new InvalidDpopProof({ reason }))

const make = Effect.gen(function*() {
  const replays = yield* ProofReplays
  const nonces = yield* ProofNonces
  const audit = yield* AuditLog
  const watching = Outage.make("What is known of used DPoP proofs")
  return (signature: Signature["Service"]): Checker => {
    // By their thumbprints, and only those that a good token is bound to: whoever makes up keys has none.
    const provers = VerdictCache.make<Prover>(mostProvers, (thumbprint) => thumbprint)

    const useUp = Effect.fnUntraced(function*({ by: { thumbprint }, claims }: DpopProof, until: number, now: number) {
      const name = createHash("sha256").update(`${thumbprint} ${claims.jti}`).digest("base64url")
      if (yield* watching(replays.isFirst(name, Math.ceil(until - now) + 1), () => true)) return
      yield* record(audit, (at) => new ReplayDetected({ at, what: "DPoP proof" }))
      return yield* invalid("has been used before")
    })

    const checkNonce = Effect.fnUntraced(function*({ claims }: DpopProof, { current, isGood }: Nonces) {
      if (claims.nonce !== undefined && (yield* isGood(claims.nonce))) return
      return yield* new DpopNonceRequired({ nonce: yield* current })
    })

    const check: Checker["check"] = Effect.fnUntraced(
      function*(text, proving, { clockTolerance, dpopProofLifetime }) {
        if (text === undefined) return yield* invalid("is missing, or there is more than one")
        const bound = proving.thumbprint
        const proof = read(text, bound === undefined ? undefined : provers.get(bound, 0))
        if (typeof proof === "string") return yield* invalid(proof)
        const { by, claims, jws } = proof
        const { algorithm, key, thumbprint } = by
        if (bound !== undefined && thumbprint !== bound) {
          return yield* invalid("is by another key than that of the token")
        }
        const now = (yield* Clock.currentTimeMillis) / 1000
        const lifetime = Duration.toSeconds(dpopProofLifetime)
        const tolerance = Duration.toSeconds(clockTolerance)
        const wrong = mistake(proof, proving, { lifetime, tolerance }, now)
        if (wrong !== undefined) return yield* invalid(wrong)
        if (!(yield* signature.verify(algorithm, key, jws.signingInput, jws.signature))) {
          return yield* invalid("has a signature that does not fit its key")
        }
        if (nonces !== undefined) yield* checkNonce(proof, nonces)
        // A replica whose clock is behind takes it for good for so much longer.
        yield* useUp(proof, claims.iat + lifetime + tolerance, now)
        if (bound !== undefined) provers.set(bound, by, Infinity, now)
        return thumbprint
      },
      (self) => Effect.onExit(self, (exit) => count(dpopProofs.of({ outcome: outcomeOf(exit) })))
    )
    return { check }
  }
})

/**
 * The checks of DPoP proofs, by one memory of those that were used.
 *
 * @see https://www.rfc-editor.org/rfc/rfc9449.html#section-4.3
 */
export const DpopProofs = Context.Reference<Checker>("effect-okta/token/DpopProofs", {
  defaultValue: () => Effect.runSync(make)(makeSignature())
})

/** The same, with the threads of the other signatures. */
export const layer: Layer.Layer<never, never, Signature> = Layer.effect(
  DpopProofs,
  Effect.gen(function*() {
    return (yield* make)(yield* Signature)
  })
)
