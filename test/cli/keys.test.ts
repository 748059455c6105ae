import { assert, describe, it } from "@effect/vitest"
import { Effect, Layer, Redacted } from "effect"
import { SigningKeys } from "../../src/proxy/grant/SigningKeys.ts"
import { configLayer } from "../proxy/ProxyTest.ts"
import { run } from "./Command.ts"

const variable = (stdout: string, name: string): string => new RegExp(`^${name}='(.*)'$`, "m").exec(stdout)?.[1] ?? ""

const kidsIn = (ring: string) =>
  Effect.map(SigningKeys, ({ kids }) => kids()).pipe(
    Effect.provide(
      Layer.fresh(SigningKeys.layer.pipe(Layer.provide(configLayer({ signingKeys: Redacted.make(ring) }))))
    )
  )

describe("effect-okta keys", () => {
  for (const algorithm of ["ES256", "ES384", "RS256", "Ed25519"]) {
    it.live(`makes a key for ${algorithm} and a secret, which this server takes`, () =>
      Effect.gen(function*() {
        const { exitCode, stderr, stdout } = yield* run(["keys", `--algorithm=${algorithm}`])
        assert.strictEqual(exitCode, 0, stderr)
        const [kid = "", ...others] = yield* kidsIn(variable(stdout, "SIGNING_KEYS"))
        assert.deepStrictEqual(others, [])
        assert.strictEqual(Buffer.from(variable(stdout, "ENCRYPTION_SECRET"), "base64").length, 32)
        assert.include(stderr, `Keys: ${kid} signs.`)
        assert.notInclude(stderr, variable(stdout, "ENCRYPTION_SECRET"))
      }))
  }

  it.live("rotates in three steps, after each of which every older token is still good", () =>
    Effect.gen(function*() {
      let env: Record<string, string> = {}
      const kids: Array<ReadonlyArray<string>> = []
      for (const step of [["keys"], ["keys", "add"], ["keys", "promote"], ["keys", "retire", "--encryption-secret"]]) {
        const { exitCode, stderr, stdout } = yield* run(step, { env })
        assert.strictEqual(exitCode, 0, stderr)
        env = {
          SIGNING_KEYS: variable(stdout, "SIGNING_KEYS"),
          ENCRYPTION_SECRET: variable(stdout, "ENCRYPTION_SECRET")
        }
        assert.notInclude(stderr, String(env["ENCRYPTION_SECRET"]))
        kids.push(yield* kidsIn(env["SIGNING_KEYS"] ?? ""))
        assert.strictEqual(env["ENCRYPTION_SECRET"]?.split(",").length, kids.at(-1)?.length)
      }
      const [[old = ""] = [], [, next = ""] = []] = kids
      assert.notStrictEqual(old, next)
      assert.deepStrictEqual(kids, [[old], [old, next], [next, old], [next]])
    }))

  it.live("prints a Kubernetes secret, and JSON", () =>
    Effect.gen(function*() {
      const { stdout } = yield* run(["keys", "--format=kubernetes", "--name=mcp"])
      assert.match(stdout, /^apiVersion: v1\nkind: Secret\nmetadata:\n {2}name: mcp\ntype: Opaque\nstringData:\n/)
      const ring = /^ {2}SIGNING_KEYS: '(.*)'$/m.exec(stdout)?.[1] ?? ""
      assert.lengthOf(yield* kidsIn(ring), 1)
      const json: unknown = JSON.parse((yield* run(["keys", "--format=json"])).stdout)
      assert.deepStrictEqual(Object.keys(Object(json)), ["ENCRYPTION_SECRET", "SIGNING_KEYS"])
    }))

  it.live("says what is missing or wrong, and shows none of it", () =>
    Effect.gen(function*() {
      const missing = yield* run(["keys", "add"])
      assert.deepStrictEqual([missing.exitCode, missing.stdout], [2, ""])
      assert.include(missing.stderr, "SIGNING_KEYS is missing")
      const wrong = yield* run(["keys", "promote"], { env: { SIGNING_KEYS: "canary" } })
      assert.deepStrictEqual([wrong.exitCode, wrong.stdout], [2, ""])
      assert.include(wrong.stderr, "is not a key ring")
      assert.notInclude(wrong.stderr, "canary")
    }))
})
