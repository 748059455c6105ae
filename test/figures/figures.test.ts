import { NodeServices } from "@effect/platform-node"
import { assert, layer } from "@effect/vitest"
import { Effect, Schema } from "effect"
import { run } from "../support/Program.ts"

/** How much of each is made here: enough to go past every bound. `npm run test:figures` makes all of it. */
const parts = { keys: 1, metadata: 1, tokens: 0.02, flows: 0.011 }

const Figures = Schema.fromJsonString(
  Schema.Array(
    Schema.Struct({
      what: Schema.String,
      value: Schema.FiniteFromString,
      atMost: Schema.Finite,
      unit: Schema.String
    })
  )
)

layer(NodeServices.layer)("Figures, a part of them", (it) => {
  it.effect.each(Object.entries(parts))("%s: within their limits", ([name, part]) =>
    Effect.gen(function*() {
      const { output, status } = yield* run(["node", "test/figures/one.ts", name, String(part)])
      assert.strictEqual(status, 0, output)
      const measured = yield* Schema.decodeEffect(Figures)(output.trimEnd().split("\n").at(-1) ?? "")
      assert.isAbove(measured.length, 0)
      for (const { atMost, value, what } of measured) assert.isAtMost(value, atMost, what)
      // What is remembered, and who is on the way, has been there to be counted.
      if (part < 1) assert.isAbove(measured[0]?.value ?? 0, 1)
    }), 120_000)
})
