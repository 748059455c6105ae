import { Context, Effect, Layer } from "effect"
import {
  constants,
  createVerify,
  type KeyObject,
  verify as verifyOneShot,
  type VerifyKeyObjectInput
} from "node:crypto"
import type { Algorithm } from "../config/Algorithm.ts"

/**
 * Whether a signature is by a key, on whichever thread answers soonest.
 *
 * **Details**
 *
 * A lone verification runs where it is asked for, since a trip to a thread costs more than checking an RSA signature.
 * Verifications that overlap go to Node's thread pool, which uses every core and leaves the event loop free.
 *
 * Anything but a correct signature is `false`: of the wrong length, by another kind of key, or refused natively.
 *
 * **Gotchas**
 *
 * The bytes must not change until the answer is there. The thread pool's size is Node's `UV_THREADPOOL_SIZE`.
 *
 * @example
 * ```ts
 * import { Signature } from "effect-okta"
 * import { Effect } from "effect"
 * import type { KeyObject } from "node:crypto"
 *
 * // Whether somebody signed a text of another kind than a token.
 * export const isSignedBy = (key: KeyObject, text: string, signature: Uint8Array) =>
 *   Effect.flatMap(Signature, ({ verify }) => verify("RS256", key, new TextEncoder().encode(text), signature)).pipe(
 *     Effect.provide(Signature.layer)
 *   )
 * ```
 */
export class Signature extends Context.Service<Signature, {
  /** The answer, from wherever it comes soonest. */
  readonly verify: (
    algorithm: Algorithm,
    key: KeyObject,
    signingInput: Uint8Array,
    signature: Uint8Array
  ) => Effect.Effect<boolean>
  /** The answer, if here and now is the place for it; otherwise `undefined`, and `verify` gives it. */
  readonly verifyNow: (
    algorithm: Algorithm,
    key: KeyObject,
    signingInput: Uint8Array,
    signature: Uint8Array
  ) => boolean | undefined
}>()("effect-okta/token/Signature") {
  /** Needs nothing. Verifications overlap with those of the same layer only. */
  static readonly layer: Layer.Layer<Signature> = Layer.sync(Signature, () => Signature.of(make()))
}

/** How an algorithm is computed with `node:crypto`. */
interface Method {
  /** Must be the key's own type: an EC key would otherwise turn RS256 into ECDSA. */
  readonly keyType: "rsa" | "ec" | "ed25519"
  /** `null` where the algorithm brings its own (RFC 8032 section 5.1). */
  readonly digest: string | null
  /** In bytes; an RSA signature is as long as its key's modulus, which the native call checks. */
  readonly length?: number
  /** The share of an event-loop turn that it uses up: RSA verifies several times faster than the curves. */
  readonly cost: number
  /** The key as the native call wants it: by itself where possible, since an object around it costs half an RSA. */
  readonly input: (key: KeyObject) => KeyObject | VerifyKeyObjectInput
  readonly encoded: (signature: Uint8Array) => Uint8Array
}

const same = <A>(a: A) => a

// The salt is exactly as long as the digest (RFC 7518 section 3.5).
const pss = (key: KeyObject) => ({
  key,
  padding: constants.RSA_PKCS1_PSS_PADDING,
  saltLength: constants.RSA_PSS_SALTLEN_DIGEST
})

/** JOSE puts R and S side by side (RFC 7518 section 3.4); rewritten in DER here, it verifies in two thirds of the time. */
const der = (signature: Uint8Array): Uint8Array => {
  const half = signature.length / 2
  const integers = [...derInteger(signature.subarray(0, half)), ...derInteger(signature.subarray(half))]
  const length = integers.reduce((sum, { length }) => sum + length, 0)
  return Buffer.concat([Uint8Array.of(0x30, ...length < 0x80 ? [length] : [0x81, length]), ...integers])
}

const derInteger = (bytes: Uint8Array): ReadonlyArray<Uint8Array> => {
  let start = 0
  while (start < bytes.length - 1 && bytes[start] === 0) start++
  const magnitude = bytes.subarray(start)
  // A leading bit would mean a negative number.
  return (magnitude[0] ?? 0) < 0x80
    ? [Uint8Array.of(0x02, magnitude.length), magnitude]
    : [Uint8Array.of(0x02, magnitude.length + 1, 0x00), magnitude]
}

const rsa = { keyType: "rsa", cost: 1, encoded: same } as const
const ec = { keyType: "ec", cost: 4, encoded: der, input: same } as const
const ed25519 = { keyType: "ed25519", digest: null, length: 64, cost: 4, encoded: same, input: same } as const

const methods: { readonly [algorithm in Algorithm]: Method } = {
  RS256: { ...rsa, digest: "RSA-SHA256", input: same },
  PS256: { ...rsa, digest: "RSA-SHA256", input: pss },
  PS384: { ...rsa, digest: "RSA-SHA384", input: pss },
  PS512: { ...rsa, digest: "RSA-SHA512", input: pss },
  ES256: { ...ec, digest: "sha256", length: 64 },
  ES384: { ...ec, digest: "sha384", length: 96 },
  ES512: { ...ec, digest: "sha512", length: 132 },
  EdDSA: ed25519,
  Ed25519: ed25519
}

/** How much may be spent in a turn: by a caller known to be alone, at first, and by callers known to be many. */
const budgets = { alone: 16, unknown: 4, many: 1 }

/** With so many in the thread pool it is busy for a while, so that this thread does better to help than to add to them. */
const crowd = 8

interface Waiting {
  readonly method: Method
  readonly key: KeyObject
  readonly signingInput: Uint8Array
  readonly signature: Uint8Array
  readonly resume: (answer: Effect.Effect<boolean>) => void
}

const valid = Effect.succeed(true)
const invalid = Effect.succeed(false)

// Native calls throw, for instance where a digest is not available; outside of a fiber, nobody else would catch it.
const verifyHere = (method: Method, key: KeyObject, signingInput: Uint8Array, signature: Uint8Array): boolean => {
  try {
    const encoded = method.encoded(signature)
    return method.digest === null
      ? verifyOneShot(null, signingInput, method.input(key), encoded)
      : createVerify(method.digest).update(signingInput).verify(method.input(key), encoded)
  } catch {
    return false
  }
}

/** One that shares its threads with no other. */
export const make = (): Signature["Service"] => {
  let inPool = 0
  let budget = budgets.unknown
  let spent = 0
  let turnEnds = false
  let waiting: Array<Waiting> = []

  const verifyInPool = ({ key, method, resume, signature, signingInput }: Waiting) => {
    inPool++
    try {
      verifyOneShot(method.digest, signingInput, method.input(key), method.encoded(signature), (error, correct) => {
        inPool--
        resume(error === null && correct ? valid : invalid)
      })
    } catch {
      inPool--
      resume(invalid)
    }
  }

  // `setImmediate` runs after all the I/O of a turn, so requests that arrive together are seen together; a microtask
  // would find each of them alone.
  const endTurn = () => {
    const [first, ...others] = waiting
    waiting = []
    turnEnds = false
    spent = 0
    if (first === undefined) return
    if (others.length === 0) {
      budget = budgets.alone
      spent = first.method.cost
      first.resume(verifyHere(first.method, first.key, first.signingInput, first.signature) ? valid : invalid)
    } else {
      budget = budgets.many
      verifyInPool(first)
      others.forEach(verifyInPool)
    }
  }

  const verifyNow: Signature["Service"]["verifyNow"] = (algorithm, key, signingInput, signature) => {
    const method = methods[algorithm]
    if (
      key.asymmetricKeyType !== method.keyType || method.length !== undefined && signature.length !== method.length
    ) {
      return false
    }
    // Callers overlap already, and the pool has room.
    if (inPool > 0 && inPool < crowd) return undefined
    if (!turnEnds) {
      turnEnds = true
      setImmediate(endTurn)
    }
    // The budget bounds how long a turn is held up, by one caller that never lets go of it or by many that arrive at
    // once; who exceeds it waits for the end of the turn to see whether there is company.
    if (spent >= budget) return undefined
    spent += method.cost
    return verifyHere(method, key, signingInput, signature)
  }

  return {
    verifyNow,
    verify: (algorithm, key, signingInput, signature) =>
      Effect.suspend(() => {
        const now = verifyNow(algorithm, key, signingInput, signature)
        if (now !== undefined) return now ? valid : invalid
        return Effect.callback<boolean>((resume) => {
          const verification = { method: methods[algorithm], key, signingInput, signature, resume }
          if (inPool > 0) verifyInPool(verification)
          else waiting.push(verification)
        })
      })
  }
}
