import { assert } from "@effect/vitest"
import { Effect } from "effect"
import * as fc from "fast-check"
import { collect } from "../support/Garbage.ts"

/** How many bad tokens, requests, documents and records an ordinary run makes up, by what they are. */
export const plan = {
  "texts in place of tokens": 10_000,
  "good tokens, changed": 20_000,
  "tokens of edited members": 9_000,
  "tokens of any bytes": 4_000,
  "Authorization headers": 10_000,
  "guarded requests": 6_000,
  "guarded requests, byte by byte": 1_500,
  "authorization requests": 6_000,
  "bodies of any bytes": 5_000,
  "answers to the consent page": 5_000,
  "answers of Okta's to the browser": 4_000,
  "token requests": 7_000,
  "token requests of services": 2_000,
  "revocations, introspections and sign-outs": 5_000,
  "tokens that sign people out": 3_000,
  "registrations": 8_000,
  "client metadata documents": 6_000,
  "documents of any server": 300,
  "metadata of a lying Okta": 3_000,
  "key sets of a lying Okta": 2_000,
  "token answers of a lying Okta": 1_000,
  "introspection answers of a lying Okta": 1_000,
  "exchange answers of a lying Okta": 1_000,
  "ID-JAGs of edited members": 4_000,
  "good ID-JAGs, changed": 6_000,
  "DPoP proofs at the resource": 3_000,
  "DPoP proofs at the token endpoint": 2_000,
  "records in the store": 4_000
} as const

/** By how much more is made up than that. */
export const factor = Number(process.env["GENERATED_FACTOR"] ?? 1)

/** For tests that make up so much. */
export const timeout = 120_000 * factor

/** What is in memory and in use, in MB. */
const inUse = (): number => {
  collect()
  return process.memoryUsage().heapUsed / 1e6
}

/**
 * Holds what is made up against a property, as often as is planned; what `holds` discards by `fc.pre` does not count. Whatever comes
 * in, no more than 32 MB may stay of it.
 */
export const generated = <A>(
  name: keyof typeof plan,
  arbitrary: fc.Arbitrary<A>,
  holds: (value: A) => unknown
): Effect.Effect<void> =>
  Effect.promise(async () => {
    let checked = 0
    const before = inUse()
    const property = fc.asyncProperty(arbitrary, async (value) => {
      await holds(value)
      checked++
    })
    await fc.assert(property, { numRuns: plan[name] * factor })
    assert.isAtLeast(checked, plan[name] * factor, `${name}: too few were checked`)
    assert.isBelow(inUse() - before, 32, `${name}: memory has grown by more MB`)
  })
