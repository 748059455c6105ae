import { assert, describe, it } from "@effect/vitest"
import { Result } from "effect"
import { generateKeyPairSync, type KeyObject } from "node:crypto"
import { admit, readKeySet } from "../../src/provider/JsonWebKey.ts"

const pub = (pair: { readonly publicKey: KeyObject }) => pair.publicKey.export({ format: "jwk" })

const rsaPair = generateKeyPairSync("rsa", { modulusLength: 2048 })
const rsa = { ...pub(rsaPair), kid: "rsa" }
const otherRsa = { ...pub(generateKeyPairSync("rsa", { modulusLength: 2048 })), kid: "rsa" }
const ec = (namedCurve: string) => ({ ...pub(generateKeyPairSync("ec", { namedCurve })), kid: namedCurve })
const p256 = ec("P-256")
const ed25519 = { ...pub(generateKeyPairSync("ed25519")), kid: "ed" }

const without = (jwk: { readonly [member: string]: unknown }, member: string) =>
  Object.fromEntries(Object.entries(jwk).filter(([name]) => name !== member))

/** An RSA key of `bytes` length, its modulus odd and otherwise arbitrary. */
const modulus = (bytes: number) => Buffer.concat([Buffer.alloc(bytes - 1, 0xc5), Buffer.of(0x01)]).toString("base64url")

describe("Keys that are admitted", () => {
  for (
    const [what, jwk, algorithms] of [
      ["RSA without alg, for every RSA algorithm", rsa, ["RS256", "PS256", "PS384", "PS512"]],
      ["RSA for RS256, as Okta publishes it", { ...rsa, use: "sig", alg: "RS256" }, ["RS256"]],
      ["RSA for PS384", { ...rsa, alg: "PS384" }, ["PS384"]],
      ["P-256", p256, ["ES256"]],
      ["P-384", ec("P-384"), ["ES384"]],
      ["P-521", ec("P-521"), ["ES512"]],
      ["Ed25519, under both of its names", ed25519, ["EdDSA", "Ed25519"]],
      ["Ed25519 by its old name", { ...ed25519, alg: "EdDSA" }, ["EdDSA"]],
      ["with key_ops verify", { ...rsa, key_ops: ["verify"] }, ["RS256", "PS256", "PS384", "PS512"]],
      ["RSA of 4096 bits", { ...rsa, n: modulus(512) }, ["RS256", "PS256", "PS384", "PS512"]],
      ["RSA with a greater exponent", { ...rsa, e: "AQAD" }, ["RS256", "PS256", "PS384", "PS512"]],
      ["with members nobody knows", { ...rsa, x5c: ["%"], future: { a: 1 } }, ["RS256", "PS256", "PS384", "PS512"]]
    ] as const
  ) {
    it(what, () => {
      const key = Result.getOrThrow(admit(jwk))
      assert.strictEqual(key.kid, jwk.kid)
      assert.deepStrictEqual([...key.algorithms], [...algorithms])
      assert.strictEqual(key.key.type, "public")
    })
  }
})

describe("Keys that are refused", () => {
  for (
    const [what, jwk, reason] of [
      ["symmetric", { kty: "oct", kid: "a", k: "c2VjcmV0", alg: "HS256" }, /not an asymmetric key/],
      ["private RSA", { ...rsaPair.privateKey.export({ format: "jwk" }), kid: "a" }, /private/],
      ["private RSA with nothing but d", { ...rsa, d: "" }, /private/],
      [
        "private EC",
        { ...generateKeyPairSync("ec", { namedCurve: "P-256" }).privateKey.export({ format: "jwk" }), kid: "a" },
        /private/
      ],
      ["RSA of 1024 bits", { ...pub(generateKeyPairSync("rsa", { modulusLength: 1024 })), kid: "a" }, /1024 bits/],
      ["RSA of 2040 bits", { ...rsa, n: modulus(255) }, /2040 bits/],
      ["RSA of 2048 bits, most of them zero", { ...rsa, n: `AAAA${modulus(128)}` }, /1024 bits/],
      ["RSA with exponent 3", { ...rsa, e: "Aw" }, /exponent 3/],
      ["RSA with a huge exponent", { ...rsa, e: `AQ${"A".repeat(20)}E` }, /exponent of more than 64 bits/],
      ["RSA with exponent 1", { ...rsa, e: "AQ" }, /exponent 1|no key/],
      ["RSA with an even exponent", { ...rsa, e: "AQAC" }, /exponent 65538/],
      ["RSA without a modulus", without(rsa, "n"), /no key/],
      ["RSA without an exponent", without(rsa, "e"), /no key/],
      ["RSA for an EC algorithm", { ...rsa, alg: "ES256" }, /"ES256"/],
      ["RSA for a symmetric algorithm", { ...rsa, alg: "HS256" }, /"HS256"/],
      ["RSA for none", { ...rsa, alg: "none" }, /"none"/],
      ["RSA for an algorithm not offered", { ...rsa, alg: "RS512" }, /"RS512"/],
      ["RSA for encryption, by use", { ...rsa, use: "enc" }, /"enc"/],
      ["RSA for encryption, by alg", { ...rsa, alg: "RSA-OAEP" }, /"RSA-OAEP"/],
      ["RSA for something new, by use", { ...rsa, use: "tls" }, /"tls"/],
      ["RSA that only signs, by key_ops", { ...rsa, key_ops: ["sign"] }, /not for verifying/],
      ["RSA for nothing, by key_ops", { ...rsa, key_ops: [] }, /not for verifying/],
      ["P-256 for ES384", { ...p256, alg: "ES384" }, /"ES384"/],
      ["P-256 said to be P-384", { ...p256, crv: "P-384" }, /no key/],
      ["EC off the curve", { ...p256, y: p256.x }, /no key/],
      ["EC without y", without(p256, "y"), /no key/],
      ["EC without a curve", without(p256, "crv"), /curve undefined/],
      ["secp256k1", ec("secp256k1"), /"secp256k1"/],
      ["Ed448", { ...pub(generateKeyPairSync("ed448")), kid: "a" }, /"Ed448"/],
      ["X25519", { ...pub(generateKeyPairSync("x25519")), kid: "a" }, /"X25519"/],
      ["OKP on an EC curve", { ...ed25519, crv: "P-256" }, /no key|curve/],
      ["EC on an OKP curve", { ...p256, crv: "Ed25519" }, /no key|curve/],
      ["EC said to be RSA, by its curve", { ...p256, crv: "RSA" }, /curve/],
      ["a curve named like a member of every object", { ...p256, crv: "constructor", alg: "ES256" }, /"constructor"/],
      ["a curve named __proto__", { ...p256, crv: "__proto__", alg: "ES256" }, /"__proto__"/],
      ["Ed25519 of the wrong length", { ...ed25519, x: "AAAA" }, /no key/],
      ["of an unknown kind", { ...rsa, kty: "LATTICE" }, /not an asymmetric key/],
      ["of a kind in lower case", { ...rsa, kty: "rsa" }, /not an asymmetric key/],
      ["without a kid", without(rsa, "kid"), /with a kid/],
      ["with an empty kid", { ...rsa, kid: "" }, /with a kid/],
      ["with a number as kid", { ...rsa, kid: 7 }, /with a kid/],
      ["with a number as modulus", { ...rsa, n: 65537 }, /asymmetric/],
      ["a string", "key", /asymmetric/],
      ["null", null, /asymmetric/],
      ["an array", [rsa], /asymmetric/]
    ] as const
  ) {
    it(what, () => {
      assert.match(Result.getOrThrow(Result.flip(admit(jwk))), reason)
    })
  }
})

describe("Key sets", () => {
  const kids = (document: unknown) => [...Result.getOrThrow(readKeySet(document)).keys.keys()]

  it("pass over what is unusable and keep the rest", () => {
    const set = Result.getOrThrow(
      readKeySet({ keys: [{ kty: "oct", kid: "a", k: "AA" }, null, rsa, { ...p256, use: "enc" }, ed25519] })
    )
    assert.deepStrictEqual([...set.keys.keys()], ["rsa", "ed"])
    assert.strictEqual(set.skipped.length, 3)
  })

  it("pass over a kid that stands for several keys, in any order", () => {
    assert.deepStrictEqual(kids({ keys: [rsa, ed25519, otherRsa] }), ["ed"])
    assert.deepStrictEqual(kids({ keys: [rsa, otherRsa, rsa, ed25519] }), ["ed"])
    assert.isTrue(Result.isFailure(readKeySet({ keys: [rsa, otherRsa] })))
  })

  it("take a key that is published twice for one", () => {
    assert.deepStrictEqual(kids({ keys: [rsa, { ...rsa, use: "sig" }] }), ["rsa"])
  })

  it("keep a key whose kid an unusable entry has as well", () => {
    assert.deepStrictEqual(kids({ keys: [{ ...otherRsa, use: "enc" }, rsa] }), ["rsa"])
  })

  it("name the first few entries passed over, and how many more", () => {
    const junk = Array.from({ length: 120_000 }, () => ({}))
    const reason = Result.getOrThrow(Result.flip(readKeySet({ keys: junk })))
    assert.match(reason, /key 5 .*; and 119995 more\)$/)
    assert.isBelow(reason.length, 500)
    assert.strictEqual(Result.getOrThrow(readKeySet({ keys: [...junk, rsa] })).skipped.length, 6)
  })

  it("name what they pass over in short", () => {
    const kid = "k".repeat(10_000)
    const twins = [{ ...rsa, kid }, { ...otherRsa, kid }]
    assert.isBelow(Result.getOrThrow(Result.flip(readKeySet({ keys: twins }))).length, 200)
    const { skipped } = Result.getOrThrow(readKeySet({ keys: [{ ...rsa, use: `\u202e${kid}` }, rsa] }))
    assert.isBelow(skipped.join().length, 300)
    assert.include(skipped[0], "\\u{202e}")
  })

  it("know nothing of the members that every object has", () => {
    const { keys } = Result.getOrThrow(readKeySet({ keys: [{ ...rsa, kid: "__proto__" }, ed25519] }))
    assert.isFalse(keys.has("constructor"))
    assert.isTrue(keys.has("__proto__"))
  })

  for (
    const [what, document, reason] of [
      ["no keys", { keys: [] }, /no usable key/],
      ["no usable key", { keys: [{ kty: "oct", kid: "a", k: "AA" }] }, /no usable key \(key 1 /],
      ["keys as an object", { keys: { rsa } }, /not a JWK Set/],
      ["no member keys", { key: [rsa] }, /not a JWK Set/],
      ["a bare array", [rsa], /not a JWK Set/],
      ["null", null, /not a JWK Set/],
      ["text", "keys", /not a JWK Set/]
    ] as const
  ) {
    it(`are none with ${what}`, () => {
      assert.match(Result.getOrThrow(Result.flip(readKeySet(document))), reason)
    })
  }
})
