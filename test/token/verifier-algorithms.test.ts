import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import { algorithms } from "../../src/config/Algorithm.ts"
import { inTest, makeKey, verify } from "./TestIssuer.ts"

describe("algorithms", () => {
  const keys = algorithms.map((algorithm) => makeKey(algorithm))
  const published = keys.map(({ published }) => published)

  for (const key of keys) {
    it.effect(`${key.algorithm} is accepted when it is asked for, and only then`, () =>
      Effect.gen(function*() {
        yield* inTest(Effect.asVoid(verify(key.token())), { settings: { algorithms: [key.algorithm] } }, published)
        const rest = algorithms.filter((algorithm) => algorithm !== key.algorithm)
        const error = yield* inTest(Effect.flip(verify(key.token())), { settings: { algorithms: rest } }, published)
        assert.strictEqual(error._tag, "UnsupportedAlgorithm")
      }))

    it.effect(`${key.algorithm}: its key takes no token that names another algorithm`, () =>
      inTest(
        Effect.gen(function*() {
          for (const alg of algorithms.filter((algorithm) => algorithm !== key.algorithm)) {
            const error = yield* Effect.flip(verify(key.token({}, { alg })))
            assert.strictEqual(error._tag, "UnsupportedAlgorithm", alg)
          }
        }),
        { settings: { algorithms } },
        published
      ))
  }

  const anyRsa = makeKey("RS256", "any")
  const { alg: _, ...forAnyAlgorithm } = anyRsa.published

  it.effect("a key published for no particular algorithm fits those of its kind", () =>
    inTest(
      Effect.gen(function*() {
        yield* verify(anyRsa.token())
        const relabelled = yield* Effect.flip(verify(anyRsa.token({}, { alg: "PS256" })))
        assert.strictEqual(relabelled._tag, "InvalidSignature")
        const foreign = yield* Effect.flip(verify(anyRsa.token({}, { alg: "ES256" })))
        assert.strictEqual(foreign._tag, "UnsupportedAlgorithm")
      }),
      { settings: { algorithms } },
      [forAnyAlgorithm]
    ))

  it.effect("RS256 alone is accepted unless the settings say otherwise", () =>
    inTest(
      Effect.gen(function*() {
        for (const key of keys) {
          const tag = yield* Effect.match(verify(key.token()), {
            onFailure: ({ _tag }) => _tag,
            onSuccess: () => "accepted"
          })
          assert.strictEqual(tag, key.algorithm === "RS256" ? "accepted" : "UnsupportedAlgorithm", key.algorithm)
        }
      }),
      { settings: { algorithms: undefined } },
      published
    ))
})
