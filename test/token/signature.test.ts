import { assert, describe, it, layer } from "@effect/vitest"
import { Effect, Fiber } from "effect"
import {
  constants,
  createECDH,
  createHash,
  createPublicKey,
  generateKeyPairSync,
  type JsonWebKey,
  KeyObject,
  sign,
  verify as nativeVerify
} from "node:crypto"
import type { Algorithm } from "../../src/config/Algorithm.ts"
import { Signature } from "../../src/token/Signature.ts"

const verify = (algorithm: Algorithm, key: KeyObject, text: string, signature: Uint8Array) =>
  Effect.flatMap(Signature, (service) => service.verify(algorithm, key, Buffer.from(text), signature))

const publicKey = (key: JsonWebKey) => createPublicKey({ key, format: "jwk" })

const rsa7515 = publicKey({
  kty: "RSA",
  n: "ofgWCuLjybRlzo0tZWJjNiuSfb4p4fAkd_wWJcyQoTbji9k0l8W26mPddxHmfHQp-Vaw-4qPCJrcS2mJPMEzP1Pt0Bm4d4QlL-yR" +
    "T-SFd2lZS-pCgNMsD1W_YpRPEwOWvG6b32690r2jZ47soMZo9wGzjb_7OMg0LOL-bSf63kpaSHSXndS5z5rexMdbBYUsLA9e-KXB" +
    "dQOS-UTo7WTBEMa2R2CapHg665xsmtdVMTBQY4uDZlxvb3qCo5ZwKh9kG4LT6_I5IhlJH7aGhyxXFvUK-DWNmoudF8NAco9_h9ia" +
    "GNj8q2ethFkMLs91kzk2PAcDTW9gb54h4FRWyuXpoQ",
  e: "AQAB"
})
const rsa7520 = publicKey({
  kty: "RSA",
  n: "n4EPtAOCc9AlkeQHPzHStgAbgs7bTZLwUBZdR8_KuKPEHLd4rHVTeT-O-XV2jRojdNhxJWTDvNd7nqQ0VEiZQHz_AJmSCpMaJMRB" +
    "SFKrKb2wqVwGU_NsYOYL-QtiWN2lbzcEe6XC0dApr5ydQLrHqkHHig3RBordaZ6Aj-oBHqFEHYpPe7Tpe-OfVfHd1E6cS6M1FZcD" +
    "1NNLYD5lFHpPI9bTwJlsde3uhGqC0ZCuEHg8lhzwOHrtIQbS0FVbb9k3-tVTU4fg_3L_vniUFAKwuCLqKnS2BYwdq_mzSnbLY7h_" +
    "qixoR7jig3__kRhuaxwUkRz5iaiQkqgc5gHdrNP5zw",
  e: "AQAB"
})
const p256 = publicKey({
  kty: "EC",
  crv: "P-256",
  x: "f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU",
  y: "x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0"
})
const p521 = publicKey({
  kty: "EC",
  crv: "P-521",
  x: "AekpBQ8ST8a8VcfVOTNl353vSrDCLLJXmPk06wTjxrrjcBpXp5EOnYG_NjFZ6OvLFV1jSfS9tsz4qUxcWceqwQGk",
  y: "ADSmRA43Z1DSNx_RvcLI87cdL07l6jQyyBXMoxVg_l2Th-x3S1WDhjDly79ajL4Kkd0AZMaZmh9ubmf63e3kyMj2"
})
const ed25519 = publicKey({ kty: "OKP", crv: "Ed25519", x: "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo" })

const joe = "eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ"
const frodo = "SXTigJlzIGEgZGFuZ2Vyb3VzIGJ1c2luZXNzLCBGcm9kbywgZ29pbmcgb3V0IHlvdXIgZG9vci4gWW91IHN0ZXAgb250byB0aGUg" +
  "cm9hZCwgYW5kIGlmIHlvdSBkb24ndCBrZWVwIHlvdXIgZmVldCwgdGhlcmXigJlzIG5vIGtub3dpbmcgd2hlcmUgeW91IG1pZ2h0" +
  "IGJlIHN3ZXB0IG9mZiB0by4"

// The signatures that the RFCs print, over the text that they print.
const printed: ReadonlyArray<readonly [source: string, Algorithm, KeyObject, text: string, signature: string]> = [
  [
    "RFC 7515 A.2",
    "RS256",
    rsa7515,
    `eyJhbGciOiJSUzI1NiJ9.${joe}`,
    "cC4hiUPoj9Eetdgtv3hF80EGrhuB__dzERat0XF9g2VtQgr9PJbu3XOiZj5RZmh7AAuHIm4Bh-0Qc_lF5YKt_O8W2Fp5jujGbds9" +
    "uJdbF9CUAr7t1dnZcAcQjbKBYNX4BAynRFdiuB--f_nZLgrnbyTyWzO75vRK5h6xBArLIARNPvkSjtQBMHlb1L07Qe7K0GarZRmB" +
    "_eSN9383LcOLn6_dO--xi12jzDwusC-eOkHWEsqtFZESc6BfI7noOPqvhJ1phCnvWh6IeYI2w9QOYEUipUTI8np6LbgGY9Fs98rq" +
    "Vt5AXLIhWkWywlVmtVrBp0igcN_IoypGlUPQGe77Rw"
  ],
  [
    "RFC 7515 A.3",
    "ES256",
    p256,
    `eyJhbGciOiJFUzI1NiJ9.${joe}`,
    "DtEhU3ljbEg8L38VWAfUAqOyKAM6-Xx-F4GawxaepmXFCgfTjDxw5djxLa8ISlSApmWQxfKTUJqPP3-Kg6NU1Q"
  ],
  [
    "RFC 7515 A.4",
    "ES512",
    p521,
    "eyJhbGciOiJFUzUxMiJ9.UGF5bG9hZA",
    "AdwMgeerwtHoh-l192l60hp9wAHZFVJbLfD_UxMi70cwnZOYaRI1bKPWROc-mZZqwqT2SI-KGDKB34XO0aw_7XdtAG8GaSwFKdCA" +
    "PZgoXD2YBJZCPEX3xKpRwcdOO8KpEHwJjyqOgzDO7iKvU8vcnwNrmxYbSW9ERBXukOXolLzeO_Jn"
  ],
  [
    "RFC 7520 4.1",
    "RS256",
    rsa7520,
    `eyJhbGciOiJSUzI1NiIsImtpZCI6ImJpbGJvLmJhZ2dpbnNAaG9iYml0b24uZXhhbXBsZSJ9.${frodo}`,
    "MRjdkly7_-oTPTS3AXP41iQIGKa80A0ZmTuV5MEaHoxnW2e5CZ5NlKtainoFmKZopdHM1O2U4mwzJdQx996ivp83xuglII7PNDi8" +
    "4wnB-BDkoBwA78185hX-Es4JIwmDLJK3lfWRa-XtL0RnltuYv746iYTh_qHRD68BNt1uSNCrUCTJDt5aAE6x8wW1Kt9eRo4QPocS" +
    "adnHXFxnt8Is9UzpERV0ePPQdLuW3IS_de3xyIrDaLGdjluPxUAhb6L2aXic1U12podGU0KLUQSE_oI-ZnmKJ3F4uOZDnd6QZWJu" +
    "shZ41Axf_fcIe8u9ipH84ogoree7vjbU5y18kDquDg"
  ],
  [
    "RFC 7520 4.2",
    "PS384",
    rsa7520,
    `eyJhbGciOiJQUzM4NCIsImtpZCI6ImJpbGJvLmJhZ2dpbnNAaG9iYml0b24uZXhhbXBsZSJ9.${frodo}`,
    "cu22eBqkYDKgIlTpzDXGvaFfz6WGoz7fUDcfT0kkOy42miAh2qyBzk1xEsnk2IpN6-tPid6VrklHkqsGqDqHCdP6O8TTB5dDDItl" +
    "lVo6_1OLPpcbUrhiUSMxbbXUvdvWXzg-UD8biiReQFlfz28zGWVsdiNAUf8ZnyPEgVFn442ZdNqiVJRmBqrYRXe8P_ijQ7p8Vdz0" +
    "TTrxUeT3lm8d9shnr2lfJT8ImUjvAA2Xez2Mlp8cBE5awDzT0qI0n6uiP1aCN_2_jLAeQTlqRHtfa64QQSUmFAAjVKPbByi7xho0" +
    "uTOcbH510a6GYmJUAfmWjwZ6oD4ifKo8DYM-X72Eaw"
  ],
  [
    "RFC 8037 A.4",
    "EdDSA",
    ed25519,
    "eyJhbGciOiJFZERTQSJ9.RXhhbXBsZSBvZiBFZDI1NTE5IHNpZ25pbmc",
    "hgyY0il_MGCjP0JzlnLWG1PPOt7-09PGcvMg3AIbQR6dWbhijcNR4ki4iylGjg5BhVsPt9g7sVvpAr_MuM0KAg"
  ]
]

const text = "what is signed"
const pss = { padding: constants.RSA_PKCS1_PSS_PADDING, saltLength: constants.RSA_PSS_SALTLEN_DIGEST }
const p1363 = { dsaEncoding: "ieee-p1363" } as const
const rsa = generateKeyPairSync("rsa", { modulusLength: 2048 })
const ec = (namedCurve: string) => generateKeyPairSync("ec", { namedCurve })
const ed = generateKeyPairSync("ed25519")

const curves = [
  ["ES256", "sha256", "P-256", 32, 300],
  ["ES384", "sha384", "P-384", 48, 20],
  ["ES512", "sha512", "P-521", 66, 20]
] as const

interface Signed {
  readonly algorithm: Algorithm
  readonly key: KeyObject
  readonly foreign: KeyObject
  readonly signature: Buffer
}

const signed = (
  algorithm: Algorithm,
  digest: string | null,
  pair: { readonly publicKey: KeyObject; readonly privateKey: KeyObject },
  foreign: KeyObject,
  options: { readonly padding?: number; readonly saltLength?: number; readonly dsaEncoding?: "der" | "ieee-p1363" } = {}
): Signed => ({
  algorithm,
  key: pair.publicKey,
  foreign,
  signature: sign(digest, Buffer.from(text), { key: pair.privateKey, ...options })
})

const every: ReadonlyArray<Signed> = [
  signed("RS256", "sha256", rsa, rsa7515),
  signed("PS256", "sha256", rsa, rsa7515, pss),
  signed("PS384", "sha384", rsa, rsa7515, pss),
  signed("PS512", "sha512", rsa, rsa7515, pss),
  signed("ES256", "sha256", ec("P-256"), p256, p1363),
  signed("ES384", "sha384", ec("P-384"), ec("P-384").publicKey, p1363),
  signed("ES512", "sha512", ec("P-521"), p521, p1363),
  signed("EdDSA", null, ed, ed25519),
  signed("Ed25519", null, ed, ed25519)
]

const orders: { readonly [curve: string]: readonly [node: string, order: bigint] } = {
  "P-256": ["prime256v1", 0xffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632551n],
  "P-521": [
    "secp521r1",
    2n ** 521n - 0x5ae79787c40d069948033feb708f65a2fc44a36477663b851449048e16ec79bf7n
  ]
}

const power = (base: bigint, exponent: bigint, modulus: bigint): bigint => {
  if (exponent === 0n) return 1n
  const half = power(base * base % modulus, exponent / 2n, modulus)
  return exponent % 2n === 0n ? half : half * base % modulus
}

/** A signature with this very S, and the key that makes it one: whoever chooses the key can have any. */
const withS = (curve: string, digest: string, half: number, s: bigint) => {
  const [name, order] = orders[curve] ?? assert.fail(curve)
  const bytes = (value: bigint) => Buffer.from(value.toString(16).padStart(2 * half, "0"), "hex")
  const number = (value: Buffer) => BigInt(`0x${value.toString("hex")}`)
  const pointOf = (scalar: bigint) => {
    const ecdh = createECDH(name)
    ecdh.setPrivateKey(bytes(scalar))
    const point = ecdh.getPublicKey()
    return { x: point.subarray(1, 1 + half), y: point.subarray(1 + half) }
  }
  const nonce = 7n
  const r = number(pointOf(nonce).x) % order
  const hash = number(createHash(digest).update(text).digest())
  const scalar = ((s * nonce - hash) % order + order) * power(r, order - 2n, order) % order
  const { x, y } = pointOf(scalar)
  const key = publicKey({ kty: "EC", crv: curve, x: x.toString("base64url"), y: y.toString("base64url") })
  return { key, signature: Buffer.concat([bytes(r), bytes(s)]) }
}

layer(Signature.layer)("Signature", (it) => {
  for (const [source, algorithm, key, text, signature] of printed) {
    it.effect(`accepts the ${algorithm} signature of ${source}, and no other text under it`, () =>
      Effect.gen(function*() {
        const bytes = Buffer.from(signature, "base64url")
        assert.isTrue(yield* verify(algorithm, key, text, bytes))
        assert.isFalse(yield* verify(algorithm, key, `${text}A`, bytes))
      }))
  }

  for (const { algorithm, foreign, key, signature } of every) {
    it.effect(`${algorithm}: only the whole signature by the right key`, () =>
      Effect.gen(function*() {
        assert.isTrue(yield* verify(algorithm, key, text, signature))
        assert.isFalse(yield* verify(algorithm, foreign, text, signature), "another key")
        const flipped = Buffer.from(signature)
        flipped[flipped.length - 1]! ^= 1
        const wrong: ReadonlyArray<readonly [string, Uint8Array]> = [
          ["a flipped bit", flipped],
          ["empty", new Uint8Array(0)],
          ["truncated", signature.subarray(0, -1)],
          ["a byte too many", Buffer.concat([signature, Buffer.alloc(1)])],
          ["a zero in front", Buffer.concat([Buffer.alloc(1), signature])],
          ["nothing but zeros", new Uint8Array(signature.length)],
          ["nothing but ones", new Uint8Array(signature.length).fill(255)]
        ]
        for (const [what, bytes] of wrong) {
          assert.isFalse(yield* verify(algorithm, key, text, bytes), what)
        }
      }))
  }

  it.effect("refuses each algorithm's signature under every other, except one algorithm's two names", () =>
    Effect.gen(function*() {
      const family = (algorithm: Algorithm) => algorithm === "EdDSA" ? "Ed25519" : algorithm
      for (const { algorithm, key, signature } of every) {
        for (const other of every) {
          const expected = family(algorithm) === family(other.algorithm)
          assert.strictEqual(yield* verify(other.algorithm, key, text, signature), expected, other.algorithm)
        }
      }
    }))

  it.effect("refuses encodings and parameters that JOSE does not use", () =>
    Effect.gen(function*() {
      const curve = ec("P-256")
      const der = signed("ES256", "sha256", curve, p256, { dsaEncoding: "der" })
      assert.isFalse(yield* verify("ES256", der.key, text, der.signature), "DER")
      assert.isFalse(yield* verify("RS256", der.key, text, der.signature), "ECDSA called RS256")
      const zeros = Buffer.alloc(1)
      const [r, s] = [every[4]!.signature.subarray(0, 32), every[4]!.signature.subarray(32)]
      assert.isFalse(yield* verify("ES256", every[4]!.key, text, Buffer.concat([zeros, r, zeros, s])), "leading zeros")
      const shortSalt = signed("PS256", "sha256", rsa, rsa7515, { ...pss, saltLength: 20 })
      assert.isFalse(yield* verify("PS256", shortSalt.key, text, shortSalt.signature), "a shorter salt")
      const sha1 = signed("RS256", "sha1", rsa, rsa7515)
      assert.isFalse(yield* verify("RS256", sha1.key, text, sha1.signature), "SHA-1")
    }))

  it.effect("agrees with the native reading of R and S, leading zeros and impossible values among them", () =>
    Effect.gen(function*() {
      for (const [algorithm, digest, curve, half, count] of curves) {
        const { privateKey, publicKey: key } = ec(curve)
        const sound = Array.from(
          { length: count },
          () => sign(digest, Buffer.from(text), { key: privateKey, ...p1363 })
        )
        const [first] = sound
        const zero = Buffer.alloc(half)
        const impossible = [
          Buffer.concat([zero, first!.subarray(half)]),
          Buffer.concat([first!.subarray(0, half), zero]),
          Buffer.concat([Buffer.alloc(half, 255), first!.subarray(half)]),
          Buffer.concat([first!.subarray(half), first!.subarray(0, half)])
        ]
        for (const signature of [...sound, ...impossible]) {
          assert.strictEqual(
            yield* verify(algorithm, key, text, signature),
            nativeVerify(digest, Buffer.from(text), { key, ...p1363 }, signature),
            signature.toString("hex")
          )
        }
      }
    }))

  it.effect("accepts any S that there can be, as short and as high as it may be", () =>
    Effect.gen(function*() {
      const sizes = [
        ["ES256", "sha256", "P-256", 32, [1, 31]],
        // With these the length of the whole becomes one that takes two bytes in DER.
        ["ES512", "sha512", "P-521", 66, [1, 56, 57, 58, 59, 60, 65]]
      ] as const
      for (const [algorithm, digest, curve, half, lengths] of sizes) {
        for (
          const s of lengths.flatMap((size) => [0x01, 0x7f, 0x80].map((first) => BigInt(first) << BigInt(8 * size - 8)))
        ) {
          const { key, signature } = withS(curve, digest, half, s)
          assert.isTrue(yield* verify(algorithm, key, text, signature), `${algorithm} ${s.toString(16)}`)
        }
      }
    }))

  it.effect("answers false, not with a defect, where the native call throws", () =>
    Effect.gen(function*() {
      const broken: KeyObject = Object.create(KeyObject.prototype, { asymmetricKeyType: { value: "rsa" } })
      const questions = Array.from({ length: 32 }, () => verify("RS256", broken, text, new Uint8Array(256)))
      const answers = yield* Effect.all(questions, { concurrency: "unbounded" })
      assert.isTrue(answers.every((valid) => !valid))
      assert.isTrue(yield* verify("RS256", rsa.publicKey, text, every[0]!.signature), "and works afterwards")
    }))

  it.effect("gives each of many callers at once the answer to its own question", () =>
    Effect.gen(function*() {
      const questions = Array.from({ length: 20 }, () => every).flat().flatMap((one) => [
        { ...one, text, expected: true },
        { ...one, text: "something else", expected: false }
      ])
      const answers = yield* Effect.forEach(
        questions,
        ({ algorithm, key, signature, text }) => verify(algorithm, key, text, signature),
        { concurrency: 32 }
      )
      assert.deepStrictEqual(answers, questions.map(({ expected }) => expected))
    }))

  it.effect("a caller who gives up disturbs no other", () =>
    Effect.gen(function*() {
      const { algorithm, key, signature } = every[0]!
      const callers = yield* Effect.forEach(
        Array.from({ length: 32 }),
        () => Effect.forkChild(verify(algorithm, key, text, signature), { startImmediately: true })
      )
      yield* Effect.forEach(callers.slice(8, 24), Fiber.interrupt, { discard: true })
      const others = yield* Effect.forEach([...callers.slice(0, 8), ...callers.slice(24)], Fiber.join)
      assert.isTrue(others.every((valid) => valid))
      assert.isTrue(yield* verify(algorithm, key, text, signature))
    }))

  it.effect("answers at once only while nobody else is being served", () =>
    Effect.gen(function*() {
      const { verifyNow } = yield* Signature
      const { algorithm, key, signature } = every[4]!
      const ask = (signature: Uint8Array) => verifyNow(algorithm, key, Buffer.from(text), signature)
      const callers = yield* Effect.forEach(
        Array.from({ length: 64 }),
        () => Effect.forkChild(verify(algorithm, key, text, signature), { startImmediately: true })
      )
      assert.isUndefined(ask(signature))
      assert.isFalse(ask(signature.subarray(1)))
      assert.isTrue(yield* verify(algorithm, key, text, signature))
      yield* Effect.forEach(callers, Fiber.join)
      yield* Effect.callback<void>((resume) => {
        setImmediate(() => resume(Effect.void))
      })
      assert.isTrue(ask(signature))
    }))

  it.effect("leaves the event loop its turns under one caller who never pauses", () =>
    Effect.gen(function*() {
      const { algorithm, key, signature } = every[0]!
      let turns = 0
      let running = true
      const count = () => {
        turns++
        if (running) setImmediate(count)
      }
      setImmediate(count)
      for (let i = 0; i < 100; i++) yield* verify(algorithm, key, text, signature)
      running = false
      assert.isAtLeast(turns, 5)
    }))
})

describe("Signature", () => {
  it.effect("works again in every layer that is built", () =>
    verify("ES256", every[4]!.key, text, every[4]!.signature).pipe(
      Effect.provide(Signature.layer),
      Effect.map((valid) => assert.isTrue(valid))
    ))
})
