import { assert, describe, it } from "@effect/vitest"
import { Effect, Layer, Redacted } from "effect"
import { calculateJwkThumbprint, CompactSign, compactVerify, importJWK } from "jose"
import { createPrivateKey, generateKeyPairSync } from "node:crypto"
import { inspect } from "node:util"
import { InvalidConfiguration } from "../../../src/config/InvalidConfiguration.ts"
import type { AuditEvent } from "../../../src/observe/AuditEvent.ts"
import { AuditLog } from "../../../src/observe/AuditLog.ts"
import { Jwks } from "../../../src/provider/Jwks.ts"
import { SigningKeys } from "../../../src/proxy/grant/SigningKeys.ts"
import { build, configLayer, loopbackUrl, nativeLayer, serverUrl } from "../ProxyTest.ts"
import { ec, ed25519, ring, rsa } from "./KeyRing.ts"

const layerOf = (signingKeys: Redacted.Redacted<string> | undefined, url = serverUrl) =>
  Layer.provideMerge(SigningKeys.jwks, SigningKeys.layer).pipe(
    Layer.provide(configLayer({ serverUrl: url, signingKeys }))
  )

const one = { ...ec(), kid: "one" }
const two = { ...ec(), kid: "two" }
const publicHalf = ({ crv, kty, x, y }: ReturnType<typeof ec>) => ({ crv, kty, x, y })

const secretMembers = ["d", "p", "q", "dp", "dq", "qi", "oth", "k"]

describe("a key ring", () => {
  for (
    const [what, jwk, algorithm] of [
      ["P-256", ec(), "ES256"],
      ["P-384", ec("P-384"), "ES384"],
      ["P-521", ec("P-521"), "ES512"],
      ["RSA", rsa(), "RS256"],
      ["RSA for PS256", { ...rsa(), alg: "PS256" }, "PS256"],
      ["RSA for PS384", { ...rsa(), alg: "PS384" }, "PS384"],
      ["RSA for PS512", { ...rsa(), alg: "PS512" }, "PS512"],
      ["Ed25519", ed25519(), "EdDSA"],
      ["Ed25519 by its newer name", { ...ed25519(), alg: "Ed25519" }, "Ed25519"],
      ["P-256, marked for signing", { ...ec(), use: "sig", key_ops: ["sign"], alg: "ES256" }, "ES256"]
    ] as const
  ) {
    it.effect(`signs with ${what}, and publishes its public half`, () =>
      Effect.gen(function*() {
        const keys = yield* SigningKeys
        const current = yield* keys.current
        const { keys: [published, ...others] } = yield* keys.published
        assert.isDefined(published)
        if (published === undefined) return
        assert.lengthOf(others, 0)
        assert.deepInclude(published, {
          kid: yield* Effect.promise(() =>
            calculateJwkThumbprint(createPrivateKey({ key: { ...jwk }, format: "jwk" }))
          ),
          alg: algorithm
        })
        for (const member of secretMembers) assert.notProperty(published, member)
        assert.strictEqual(published.use, "sig")
        assert.strictEqual(current.algorithm, algorithm)
        assert.deepStrictEqual(keys.peek(published.kid)?.algorithms, [algorithm])
        const signed = yield* Effect.promise(() =>
          new CompactSign(Buffer.from("x")).setProtectedHeader({ alg: algorithm }).sign(current.privateKey)
        )
        const imported = yield* Effect.promise(() => importJWK({ ...published }))
        yield* Effect.promise(() => compactVerify(signed, imported, { algorithms: [algorithm] }))
      }).pipe(Effect.provide(layerOf(ring(jwk)))))
  }

  it.effect("signs with its first key, and publishes all in their order, by the kid they have", () =>
    Effect.gen(function*() {
      const keys = yield* SigningKeys
      assert.strictEqual((yield* keys.current).kid, "one")
      assert.deepStrictEqual(yield* keys.published, {
        keys: [
          { ...publicHalf(one), kid: "one", alg: "ES256", use: "sig" },
          { ...publicHalf(two), kid: "two", alg: "ES256", use: "sig" }
        ]
      })
    }).pipe(Effect.provide(layerOf(ring(one, two)))))

  it.effect("hides what is secret of it (#192)", () =>
    Effect.gen(function*() {
      const keys = yield* SigningKeys
      for (const value of [keys, yield* keys.current]) {
        for (const shown of [inspect(value, { depth: 10, showHidden: true }), JSON.stringify(value)]) {
          assert.notInclude(shown, one.d ?? "")
        }
      }
    }).pipe(Effect.provide(layerOf(ring(one)))))
})

describe("a key ring that cannot be used (#196)", () => {
  for (
    const [what, signingKeys, reasons] of [
      ["symmetric", ring({ kty: "oct", k: "c2VjcmV0".repeat(8), kid: "a" }), [/key 1 is not an asymmetric private/]],
      ["symmetric, said to have d", ring({ kty: "oct", k: "AA", d: "AA" }), [/key 1 is not an asymmetric private/]],
      ["public", ring({ ...publicHalf(one), kid: "a" }), [/key 1 is not an asymmetric private/]],
      ["RSA of 1024 bits", ring(rsa(1024)), [/key 1 has only 1024 bits/]],
      ["RSA with exponent 3", ring(rsa(2048, 3)), [/key 1 has the exponent 3/]],
      ["for encryption, by use", ring({ ...ec(), use: "enc" }), [/key 1 is for use "enc"/]],
      ["for verifying only", ring({ ...ec(), key_ops: ["verify"] }), [/key 1 is not for signing/]],
      ["for another algorithm", ring({ ...ec(), alg: "ES384" }), [/key 1 is for the algorithm "ES384"/]],
      ["for none", ring({ ...ec(), alg: "none" }), [/key 1 is for the algorithm "none"/]],
      ["for HMAC", ring({ ...rsa(), alg: "HS256" }), [/key 1 is for the algorithm "HS256"/]],
      ["for RSA with SHA-512", ring({ ...rsa(), alg: "RS512" }), [/key 1 is for the algorithm "RS512"/]],
      ["with another key's public half", ring({ ...one, ...publicHalf(two) }), [/key 1 has (?:a private and|members)/]],
      [
        "RSA with another key's modulus",
        ring({ ...rsa(), n: rsa().n }),
        [/key 1 has a private and a public half that do not belong together/]
      ],
      ["with a private half that is none", ring({ ...one, d: "AAAA" }), [/key 1 has (?:a private and|members)/]],
      ["without its public half", ring({ ...one, x: undefined }), [/key 1 has members that are no private key/]],
      ["on a curve of its own", ring(ec("secp256k1")), [/key 1 has the unsupported curve "secp256k1"/]],
      [
        "for key agreement",
        ring(generateKeyPairSync("x25519").privateKey.export({ format: "jwk" })),
        [/key 1 has the unsupported curve "X25519"/]
      ],
      ["with a number for kid", ring({ ...ec(), kid: 7 }), [/key 1 is not an asymmetric private/]],
      ["with an empty kid", ring({ ...ec(), kid: "" }), [/key 1 is not an asymmetric private/]],
      ["two of one kid", ring(one, { ...two, kid: "one" }), [/has the kid "one" more than once/]],
      ["one twice", ring(ed25519(), one, one), [/has the kid "one" more than once/]],
      ["no objects", Redacted.make("{\"keys\":[null,\"x\"]}"), [/key 1 is not an/, /key 2 is not an/]],
      ["good beside several bad", ring(one, rsa(1024), two, { ...ec(), use: "enc" }), [
        /key 2 has only/,
        /key 4 is for/
      ]]
    ] as const
  ) {
    it.effect(`is refused with every mistake, and nothing of its secret: ${what}`, () =>
      Effect.gen(function*() {
        const { failure, problems } = yield* build(layerOf(signingKeys))
        assert.instanceOf(failure, InvalidConfiguration)
        assert.lengthOf(problems, reasons.length)
        reasons.forEach((reason, index) => assert.match(problems[index]?.message ?? "", reason))
        for (const problem of problems) {
          assert.strictEqual(problem.field, "signingKeys")
          assert.match(problem.message, /effect-okta keys$/)
        }
        for (const secret of Redacted.value(signingKeys).match(/"(?:d|k)":"[^"]{4,}"/g) ?? []) {
          assert.notInclude(JSON.stringify(problems), secret.slice(5, -1))
        }
      }))
  }
})

describe("without a key ring (#196)", () => {
  it.effect("a server on loopback makes up a key of ES256 and says what that costs", () =>
    Effect.gen(function*() {
      const layer = layerOf(undefined, loopbackUrl)
      const { failure, warnings } = yield* build(layer)
      assert.isUndefined(failure)
      assert.lengthOf(warnings, 1)
      assert.match(warnings[0] ?? "", /signingKeys \(SIGNING_KEYS\) is not set.*restart.*effect-okta keys/)
      const kidOf = Effect.flatMap(SigningKeys, (keys) => keys.current).pipe(
        Effect.map(({ algorithm, kid }) => {
          assert.strictEqual(algorithm, "ES256")
          return kid
        }),
        Effect.provide(Layer.fresh(layer))
      )
      assert.notStrictEqual(yield* kidOf, yield* kidOf)
    }))

  it.effect("a server behind https does not start", () =>
    Effect.gen(function*() {
      const { problems, warnings } = yield* build(layerOf(undefined))
      assert.deepStrictEqual(problems.map(({ field }) => field), ["signingKeys"])
      assert.match(problems[0]?.message ?? "", /^is missing\. .*effect-okta keys$/)
      assert.lengthOf(warnings, 0)
    }))

  it.effect("in native mode there is nothing to sign", () =>
    Effect.gen(function*() {
      const { problems } = yield* build(Layer.provide(SigningKeys.layer, nativeLayer))
      assert.deepStrictEqual(problems.map(({ field }) => field), ["clientId"])
    }))
})

describe("another key ring, without a restart", () => {
  it.effect("signs and verifies from now on; a key that stays is the same", () =>
    Effect.gen(function*() {
      const keys = yield* SigningKeys
      const jwks = yield* Jwks
      const first = yield* jwks.key("one")
      assert.isUndefined(jwks.peek("two"))
      yield* keys.reload(ring(two, one))
      assert.strictEqual((yield* keys.current).kid, "two")
      assert.deepStrictEqual((yield* keys.published).keys.map(({ kid }) => kid), ["two", "one"])
      assert.strictEqual(yield* jwks.key("one"), first)
      assert.isTrue(jwks.holds(first))
      yield* keys.reload(ring(two))
      assert.isFalse(jwks.holds(first))
      const unknown = yield* Effect.flip(jwks.key("one"))
      assert.strictEqual(unknown._tag, "UnknownKey")
      if (unknown._tag !== "UnknownKey") return
      assert.deepStrictEqual([unknown.issuer, unknown.kid, unknown.known], [serverUrl, "one", ["two"]])
    }).pipe(Effect.provide(layerOf(ring(one)))))

  it.effect("of another key or algorithm under the same kid is another key", () =>
    Effect.gen(function*() {
      const keys = yield* SigningKeys
      const jwks = yield* Jwks
      const first = yield* jwks.key("one")
      yield* keys.reload(ring({ ...two, kid: "one" }))
      assert.isFalse(jwks.holds(first))
      const rsaKey = rsa()
      yield* keys.reload(ring({ ...rsaKey, kid: "one" }))
      const second = yield* jwks.key("one")
      yield* keys.reload(ring({ ...rsaKey, kid: "one", alg: "PS256" }))
      assert.isFalse(jwks.holds(second))
    }).pipe(Effect.provide(layerOf(ring(one)))))

  it.effect("changes nothing when it cannot be used", () =>
    Effect.gen(function*() {
      const keys = yield* SigningKeys
      const before = yield* keys.current
      for (
        const wrong of [
          Redacted.make(""),
          Redacted.make("{"),
          Redacted.make("[]"),
          Redacted.make("{\"keys\":[]}"),
          Redacted.make("{\"keys\":{}}"),
          ring(two, rsa(1024))
        ]
      ) {
        const error = yield* Effect.flip(keys.reload(wrong))
        assert.strictEqual(error._tag, "InvalidConfiguration")
        assert.match(error.problems[0]?.message ?? "", /\. Make keys with: npx effect-okta keys$/)
      }
      assert.strictEqual(yield* keys.current, before)
      assert.deepStrictEqual(keys.kids(), ["one"])
    }).pipe(Effect.provide(layerOf(ring(one)))))

  it.effect("is told of with the keys that came and went, and not when none did", () =>
    Effect.gen(function*() {
      const events: Array<AuditEvent> = []
      const log = Layer.succeed(AuditLog, (event) => Effect.sync(() => void events.push(event)))
      const keys = yield* Effect.provide(SigningKeys, Layer.provide(layerOf(ring(one)), log))
      const rotations = Effect.gen(function*() {
        yield* keys.reload(ring(one))
        assert.deepStrictEqual(events, [])
        yield* keys.reload(ring(two, one))
        yield* keys.reload(ring(one, two))
        yield* keys.reload(ring(two))
        yield* keys.reload(ring(one))
      })
      yield* rotations
      const told = events.map((event) => event._tag === "KeysRotated" && [event.issuer, event.added, event.removed])
      assert.deepStrictEqual(told, [
        [serverUrl, ["two"], []],
        [serverUrl, [], ["one"]],
        [serverUrl, ["one"], ["two"]]
      ])
    }))

  it.effect("does not know what others signed, and says so in few words", () =>
    Effect.gen(function*() {
      const jwks = yield* Jwks
      const unknown = yield* Effect.flip(jwks.key("x".repeat(1000)))
      assert(unknown._tag === "UnknownKey")
      assert.deepStrictEqual([unknown.kid, unknown.known, unknown.ownToken], ["x".repeat(100), ["one"], true])
      assert.isFalse(jwks.holds({ ...(yield* jwks.key("one")) }))
    }).pipe(Effect.provide(layerOf(ring(one)))))

  it.effect("is always ready as a key set", () =>
    Effect.gen(function*() {
      const jwks = yield* Jwks
      yield* jwks.ready
      yield* jwks.reload
      assert.isTrue(yield* jwks.usable)
      assert.isUndefined(jwks.clockSkew())
    }).pipe(Effect.provide(layerOf(ring(one)))))
})
