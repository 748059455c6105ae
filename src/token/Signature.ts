import { Context, Effect, Layer } from "effect"
import { constants, type KeyObject, verify as nativeVerify, type VerifyKeyObjectInput } from "node:crypto"
import type { Algorithm } from "../config/Algorithm.ts"

/**
 * Whether a signature is by a key, on whichever thread answers soonest.
 *
 * **Details**
 *
 * A lone verification runs where it is asked for, since a trip to a thread costs more than checking an RSA signature.
 * Verifications that overlap go to Node's thread pool, which uses every core and leaves the event loop free.
 *
 * **Gotchas**
 *
 * The bytes must not change until the answer is there. The thread pool's size is Node's `UV_THREADPOOL_SIZE`.
 */
export class Signature extends Context.Service<Signature, {
  /** Anything but a correct signature is `false`: of the wrong length, by another kind of key, or refused natively. */
  readonly verify: (
    algorithm: Algorithm,
    key: KeyObject,
    signingInput: Uint8Array,
    signature: Uint8Array
  ) => Effect.Effect<boolean>
}>()("effect-okta/token/Signature") {
  static readonly layer: Layer.Layer<Signature> = Layer.sync(Signature, () => Signature.of({ verify: makeVerify() }))
}

/** How an algorithm is computed with `node:crypto`. */
interface Method {
  /** Must be the key's own type: an EC key would otherwise turn RS256 into ECDSA. */
  readonly keyType: "rsa" | "ec" | "ed25519"
  /** `null` where the algorithm brings its own (RFC 8032 section 5.1). */
  readonly digest: string | null
  /** In bytes; an RSA signature is as long as its key's modulus, which the native call checks. */
  readonly length?: number
  readonly input: (key: KeyObject) => KeyObject | VerifyKeyObjectInput
  /** The share of an event-loop turn that it uses up: RSA verifies about five times faster than the curves. */
  readonly cost: number
}

// Bare, because naming the padding, though it is the default, makes the native call slower by half.
const pkcs1 = (key: KeyObject) => key

// The salt is exactly as long as the digest (RFC 7518 section 3.5).
const pss = (key: KeyObject) => ({
  key,
  padding: constants.RSA_PKCS1_PSS_PADDING,
  saltLength: constants.RSA_PSS_SALTLEN_DIGEST
})

// R and S side by side, each of full length, rather than DER (RFC 7518 section 3.4).
const concatenated = (key: KeyObject) => ({ key, dsaEncoding: "ieee-p1363" as const })

const turnBudget = 4
const rsa = { keyType: "rsa", cost: 1 } as const
const ec = { keyType: "ec", input: concatenated, cost: turnBudget } as const
const ed25519 = {
  keyType: "ed25519",
  digest: null,
  length: 64,
  input: (key: KeyObject) => key,
  cost: turnBudget
} as const

const methods: { readonly [algorithm in Algorithm]: Method } = {
  RS256: { ...rsa, digest: "sha256", input: pkcs1 },
  PS256: { ...rsa, digest: "sha256", input: pss },
  PS384: { ...rsa, digest: "sha384", input: pss },
  PS512: { ...rsa, digest: "sha512", input: pss },
  ES256: { ...ec, digest: "sha256", length: 64 },
  ES384: { ...ec, digest: "sha384", length: 96 },
  ES512: { ...ec, digest: "sha512", length: 132 },
  EdDSA: ed25519,
  Ed25519: ed25519
}

interface Verification {
  readonly method: Method
  readonly key: KeyObject
  readonly signingInput: Uint8Array
  readonly signature: Uint8Array
}

interface Waiting extends Verification {
  readonly resume: (answer: Effect.Effect<boolean>) => void
}

const valid = Effect.succeed(true)
const invalid = Effect.succeed(false)

// Native calls throw, for instance where a digest is not available. Outside of a fiber, nobody else would catch it.
const verifyHere = ({ key, method, signature, signingInput }: Verification): Effect.Effect<boolean> => {
  try {
    return nativeVerify(method.digest, signingInput, method.input(key), signature) ? valid : invalid
  } catch {
    return invalid
  }
}

const makeVerify = (): Signature["Service"]["verify"] => {
  let inPool = 0
  let spent = 0
  let turnEnds = false
  let waiting: Array<Waiting> = []

  const verifyInPool = ({ key, method, resume, signature, signingInput }: Waiting) => {
    inPool++
    try {
      nativeVerify(method.digest, signingInput, method.input(key), signature, (error, correct) => {
        inPool--
        resume(error === null && correct ? valid : invalid)
      })
    } catch {
      inPool--
      resume(invalid)
    }
  }

  // `setImmediate` runs after all the I/O of a turn, so requests that arrive together are seen together. A microtask
  // would find each of them alone.
  const endTurn = () => {
    const [first, ...others] = waiting
    waiting = []
    turnEnds = false
    spent = 0
    if (first === undefined) return
    if (others.length === 0 && inPool === 0) {
      spent = first.method.cost
      first.resume(verifyHere(first))
    } else {
      verifyInPool(first)
      others.forEach(verifyInPool)
    }
  }

  return (algorithm, key, signingInput, signature) => {
    const method = methods[algorithm]
    if (
      key.asymmetricKeyType !== method.keyType || method.length !== undefined && signature.length !== method.length
    ) {
      return invalid
    }
    return Effect.suspend(() => {
      // Callers overlap already.
      if (inPool > 0) {
        return Effect.callback<boolean>((resume) => verifyInPool({ method, key, signingInput, signature, resume }))
      }
      if (!turnEnds) {
        turnEnds = true
        setImmediate(endTurn)
      }
      // The budget bounds how long a turn is held up, by one caller that never lets go of it or by many that arrive at
      // once; who exceeds it waits for the end of the turn to see whether there is company.
      if (spent < turnBudget) {
        spent += method.cost
        return verifyHere({ method, key, signingInput, signature })
      }
      return Effect.callback<boolean>((resume) => {
        waiting.push({ method, key, signingInput, signature, resume })
      })
    })
  }
}
