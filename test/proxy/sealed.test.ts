import { assert, describe, it } from "@effect/vitest"
import { Effect, Layer, Option } from "effect"
import { TestClock } from "effect/testing"
import { compactDecrypt, CompactEncrypt } from "jose"
import { hkdfSync } from "node:crypto"
import { inspect } from "node:util"
import { type Purpose, purposes, Sealed } from "../../src/proxy/Sealed.ts"
import { build, configLayer, loopbackUrl, nativeLayer, secret } from "./ProxyTest.ts"

const sealedBy = (...letters: ReadonlyArray<string>) =>
  Layer.provide(Sealed.layer, configLayer({ encryptionSecret: letters.map(secret) }))

const inTest = <A, E>(effect: Effect.Effect<A, E, Sealed>, ...letters: ReadonlyArray<string>) =>
  Effect.provide(effect, sealedBy(...letters))

const seal = (purpose: Purpose, value: string, expiresAt?: number) =>
  Effect.flatMap(Sealed, (sealed) => sealed.seal(purpose, value, expiresAt))

const open = (purpose: Purpose, text: string) =>
  Effect.map(Effect.flatMap(Sealed, (sealed) => sealed.open(purpose, text)), Option.getOrUndefined)

/** Sealed by the secret `a`, without end, by the first version of this library. */
const golden =
  "eyJhbGciOiJkaXIiLCJlbmMiOiJBMjU2R0NNIiwia2lkIjoidlFGZFVzQWlUMF85In0..AYVOJmGlMOU98Ydv.fQHc_iSxmNH283Ufq_ciYA.lOkQm6l1eCdj4be7HWr3JA"

/** How the key of a purpose is derived; a change of it would end everything sealed so far. */
const keyOf = (purpose: string) =>
  new Uint8Array(hkdfSync("sha256", "a".repeat(32), "", `effect-okta/seal/${purpose}`, 32))

describe("sealed texts", () => {
  it.effect("open to what was sealed, whatever it was", () =>
    Effect.gen(function*() {
      for (const value of ["", "x", "\n", "line\nline", "{\"a\":1}", "żółć 🔑", "x".repeat(100_000)]) {
        for (const expiresAt of [undefined, 1]) {
          const text = yield* seal("flow", value, expiresAt)
          assert.strictEqual(yield* open("flow", text), value)
          assert.match(text, /^[\w-]+\.\.[\w-]{16}\.[\w-]+\.[\w-]{22}$/)
        }
      }
      assert.notStrictEqual(yield* seal("flow", "x"), yield* seal("flow", "x"))
    }).pipe((effect) => inTest(effect, "a")))

  it.effect("mean nothing for any other purpose: all pairs (#20)", () =>
    Effect.gen(function*() {
      for (const purpose of purposes) {
        const text = yield* seal(purpose, "value")
        for (const other of purposes) {
          assert.strictEqual(
            yield* open(other, text),
            other === purpose ? "value" : undefined,
            `${purpose} as ${other}`
          )
        }
      }
    }).pipe((effect) => inTest(effect, "a")))

  it.effect("end at their time by Effect's clock, whatever the wall clock says", () =>
    Effect.gen(function*() {
      for (const start of [0, 1_700_000_000_000, 32_503_680_000_000]) {
        yield* TestClock.setTime(start)
        const text = yield* seal("code", "value", start + 60_000)
        const endless = yield* seal("code", "value")
        yield* TestClock.setTime(start + 59_999)
        assert.strictEqual(yield* open("code", text), "value")
        yield* TestClock.setTime(start + 60_000)
        assert.isUndefined(yield* open("code", text))
        assert.strictEqual(yield* open("code", endless), "value")
      }
    }).pipe((effect) => inTest(effect, "a")))

  it.effect("open under every secret of the list, and are sealed with the first", () =>
    Effect.gen(function*() {
      const old = yield* inTest(seal("refresh", "value"), "a")
      const rotated = yield* inTest(seal("refresh", "value"), "b", "a")
      assert.strictEqual(yield* inTest(open("refresh", old), "b", "a"), "value")
      assert.strictEqual(yield* inTest(open("refresh", old), "c", "b", "a"), "value")
      assert.isUndefined(yield* inTest(open("refresh", old), "b"))
      assert.strictEqual(yield* inTest(open("refresh", rotated), "b"), "value")
      assert.isUndefined(yield* inTest(open("refresh", rotated), "a"))
      assert.isUndefined(yield* inTest(open("client", old), "b", "a"))
    }))

  it.effect("survive a new version of this library", () =>
    Effect.gen(function*() {
      assert.strictEqual(yield* open("client", golden), "kept for a year")
    }).pipe((effect) => inTest(effect, "a")))

  it.effect("are JWEs that another implementation reads with the purpose's key", () =>
    Effect.gen(function*() {
      const text = yield* seal("upstream", "value", 5)
      const { plaintext, protectedHeader } = yield* Effect.promise(() => compactDecrypt(text, keyOf("upstream")))
      assert.strictEqual(Buffer.from(plaintext).toString(), "5\nvalue")
      assert.deepStrictEqual(Object.keys(protectedHeader), ["alg", "enc", "kid"])
      assert.deepInclude(protectedHeader, { alg: "dir", enc: "A256GCM" })
    }).pipe((effect) => inTest(effect, "a")))
})

describe("texts that do not open", () => {
  it.effect("changed in any way: every character taken out, doubled or replaced, every truncation (#24)", () =>
    Effect.gen(function*() {
      const text = yield* seal("binding", "v")
      const changed = new Set<string>()
      for (let i = 0; i < text.length; i++) {
        const [before, at, after] = [text.slice(0, i), text.charAt(i), text.slice(i + 1)]
        changed.add(before + after).add(before + at + at + after).add(before)
        for (const other of ["A", "B", "Q", "g", "w", "-", "_", "+", "/", "=", ".", " ", "\n", "é"]) {
          changed.add(before + other + after).add(before + other + at + after)
        }
      }
      changed.add(`${text}=`).add(`${text}.`).add(`.${text}`).add(`${text}\n`).add(`${text}\0`)
      changed.delete(text)
      for (const wrong of changed) assert.isUndefined(yield* open("binding", wrong), wrong)
    }).pipe((effect) => inTest(effect, "a")))

  it.effect("with stray bits at the end of a part, which many decoders overlook", () =>
    Effect.gen(function*() {
      const text = yield* seal("binding", "v")
      const alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
      const last = alphabet.indexOf(text.charAt(text.length - 1))
      for (let bits = 1; bits < 16; bits++) {
        const same = text.slice(0, -1) + alphabet.charAt(last + bits)
        assert.deepStrictEqual(
          Buffer.from(same.split(".")[4] ?? "", "base64url"),
          Buffer.from(text.split(".")[4] ?? "", "base64url")
        )
        assert.isUndefined(yield* open("binding", same))
      }
    }).pipe((effect) => inTest(effect, "a")))

  const kid = Buffer.from(hkdfSync("sha256", "a".repeat(32), "", "effect-okta/kid", 9)).toString("base64url")
  const password = new Uint8Array(32)
  for (
    const [what, header, key] of [
      ["compressed", { alg: "dir", enc: "A256GCM", kid, zip: "DEF" }, keyOf("client")],
      ["by a header in another order", { kid, enc: "A256GCM", alg: "dir" }, keyOf("client")],
      ["without a kid", { alg: "dir", enc: "A256GCM" }, keyOf("client")],
      ["with a type of its own", { alg: "dir", enc: "A256GCM", kid, typ: "JWT" }, keyOf("client")],
      ["by a key wrapped in the key", { alg: "A256KW", enc: "A256GCM", kid }, keyOf("client")],
      ["by a password, with work to do (#21)", { alg: "PBES2-HS256+A128KW", enc: "A256GCM", kid, p2c: 9999 }, password],
      ["by the key of nothing", { alg: "dir", enc: "A256GCM", kid }, password]
    ] as const
  ) {
    it.effect(what, () =>
      Effect.gen(function*() {
        const text = yield* Effect.promise(() =>
          new CompactEncrypt(Buffer.from("\nvalue")).setProtectedHeader(header).encrypt(key)
        )
        assert.isUndefined(yield* open("client", text))
      }).pipe((effect) => inTest(effect, "a")))
  }

  it.effect("no sealed text at all", () =>
    Effect.gen(function*() {
      for (const text of ["", ".", "....", "a.b.c", "a..b.c.d", ".".repeat(1_000_000), "\0", "undefined"]) {
        assert.isUndefined(yield* open("client", text))
      }
    }).pipe((effect) => inTest(effect, "a")))
})

describe("hashes", () => {
  const hash = (purpose: Purpose, text: string) => Effect.flatMap(Sealed, (sealed) => sealed.hash(purpose, text))
  const confirms = (purpose: Purpose, text: string, hash: string) =>
    Effect.flatMap(Sealed, (sealed) => sealed.confirms(purpose, text, hash))

  it.effect("name a text for one purpose and under one secret", () =>
    Effect.gen(function*() {
      const names = new Set<string>()
      for (const purpose of purposes) {
        for (const letter of ["a", "b"]) {
          for (const text of ["x", "y", ""]) {
            const name = yield* inTest(hash(purpose, text), letter)
            assert.match(name, /^[\w-]{43}$/)
            assert.strictEqual(yield* inTest(hash(purpose, text), letter), name)
            names.add(name)
          }
        }
      }
      assert.strictEqual(names.size, purposes.length * 6)
    }))

  it.effect("are confirmed for their own text and purpose only", () =>
    Effect.gen(function*() {
      const name = yield* hash("client-secret", "x")
      assert.isTrue(yield* confirms("client-secret", "x", name))
      for (const purpose of purposes) {
        assert.strictEqual(yield* confirms(purpose, "x", name), purpose === "client-secret")
      }
      for (const wrong of ["", "x", `${name}=`, name.slice(1), name.toLowerCase(), `${name}${name}`, "ü".repeat(43)]) {
        assert.isFalse(yield* confirms("client-secret", "x", wrong), wrong)
      }
      assert.isFalse(yield* confirms("client-secret", "y", name))
    }).pipe((effect) => inTest(effect, "a")))

  it.effect("stay good while the secret is replaced", () =>
    Effect.gen(function*() {
      const old = yield* inTest(hash("store-key", "x"), "a")
      const names = yield* inTest(Effect.flatMap(Sealed, (sealed) => sealed.hashes("store-key", "x")), "b", "a")
      assert.deepStrictEqual(names, [yield* inTest(hash("store-key", "x"), "b"), old])
      assert.strictEqual(yield* inTest(hash("store-key", "x"), "b", "a"), names[0])
      assert.isTrue(yield* inTest(confirms("store-key", "x", old), "b", "a"))
      assert.isFalse(yield* inTest(confirms("store-key", "x", old), "b"))
    }))
})

describe("without a secret (#196)", () => {
  const ephemeral = (url: string) =>
    Layer.provide(Sealed.layer, configLayer({ serverUrl: url, encryptionSecret: undefined }))

  for (const url of [loopbackUrl, "http://localhost:8080", "http://[::1]:8080"]) {
    it.effect(`a server at ${url} makes one up and says what that costs`, () =>
      Effect.gen(function*() {
        const { failure, warnings } = yield* build(ephemeral(url))
        assert.isUndefined(failure)
        assert.lengthOf(warnings, 1)
        assert.match(
          warnings[0] ?? "",
          /encryptionSecret \(ENCRYPTION_SECRET\) is not set.*restart.*npx effect-okta keys/
        )
      }))
  }

  it.effect("what one process seals is nothing to the next", () =>
    Effect.gen(function*() {
      const text = yield* Effect.provide(seal("client", "value"), Layer.fresh(ephemeral(loopbackUrl)))
      assert.isUndefined(yield* Effect.provide(open("client", text), Layer.fresh(ephemeral(loopbackUrl))))
      const both = Effect.flatMap(seal("client", "value"), (text) => open("client", text))
      assert.strictEqual(yield* Effect.provide(both, ephemeral(loopbackUrl)), "value")
    }))

  it.effect("a server behind https does not start", () =>
    Effect.gen(function*() {
      for (const url of ["https://mcp.example.com", "https://localhost:8443"]) {
        const { problems, warnings } = yield* build(ephemeral(url))
        assert.deepStrictEqual(problems.map(({ field }) => field), ["encryptionSecret"])
        assert.match(problems[0]?.message ?? "", /^is missing\. .*effect-okta keys$/)
        assert.lengthOf(warnings, 0)
      }
    }))

  it.effect("with one there is nothing to warn of", () =>
    Effect.gen(function*() {
      assert.deepStrictEqual(yield* build(sealedBy("a")), { warnings: [], failure: undefined, problems: [] })
    }))

  it.effect("and in native mode there is nothing to seal", () =>
    Effect.gen(function*() {
      const { problems } = yield* build(Layer.provide(Sealed.layer, nativeLayer))
      assert.deepStrictEqual(problems.map(({ field }) => field), ["clientId"])
    }))
})

describe("the secret", () => {
  it.effect("is not to be seen in the service or in what it makes (#192)", () =>
    Effect.gen(function*() {
      const sealed = yield* Sealed
      const text = yield* sealed.seal("client", "canary")
      const all = [
        inspect(sealed, { depth: 10, showHidden: true }),
        JSON.stringify(sealed),
        text,
        Buffer.from(text.replaceAll(".", ""), "base64url").toString("latin1"),
        yield* sealed.hash("client", "canary")
      ]
      for (const one of all) {
        assert.notInclude(one, "a".repeat(32))
        assert.notInclude(one, "canary")
      }
    }).pipe((effect) => inTest(effect, "a")))
})
