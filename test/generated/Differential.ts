import { assert } from "@effect/vitest"
import { JwtVerifier } from "aws-jwt-verify"
import { Effect } from "effect"
import type * as fc from "fast-check"
import { createLocalJWKSet, jwtVerify } from "jose"
import { vi } from "vitest"
import { type Algorithm, algorithms } from "../../src/config/Algorithm.ts"
import { asking, isAccepted, type Verdict } from "../token/Asking.ts"
import { audience, issuer, makeKey, now } from "../token/TestIssuer.ts"
import { generated, type plan } from "./plan.ts"

/** A key for every algorithm. */
export const keys = algorithms.map((algorithm) => makeKey(algorithm))

export const keyOf = (algorithm: Algorithm) => keys[algorithms.indexOf(algorithm)] ?? makeKey(algorithm)

/** Algorithms that aws-jwt-verify does not know. */
export const isUnknownToAws = (algorithm: unknown): boolean =>
  typeof algorithm === "string" && /^(?:PS|Ed25519$)/.test(algorithm)

const published = { keys: keys.map(({ published }) => published) }
const clockTolerance = 30
const keySet = createLocalJWKSet(published)

/** Whether jose accepts a token, by the same settings. */
export const joseAccepts = (token: string): Promise<boolean> =>
  jwtVerify(token, keySet, {
    issuer,
    audience,
    algorithms: [...algorithms],
    clockTolerance,
    requiredClaims: ["sub", "exp", "iat"],
    currentDate: new Date(now * 1000)
  }).then(() => true, () => false)

const aws = JwtVerifier.create({ issuer, audience, graceSeconds: clockTolerance, jwksUri: "https://nowhere.invalid/" })
aws.cacheJwks({
  keys: keys.filter(({ algorithm }) => !isUnknownToAws(algorithm)).map(({ published }) => ({
    ...published,
    kty: String(published.kty)
  }))
})

/** Whether aws-jwt-verify accepts a token, by the same settings. */
export const awsAccepts = (token: string): boolean => {
  try {
    aws.verifySync(token)
    return true
  } catch {
    return false
  }
}

/** Asks the verifier, which accepts every algorithm there is. It is the time of the tests for all three. */
export const ask = (use: (ask: (token: string) => Promise<Verdict>) => Promise<unknown>): Effect.Effect<void> =>
  Effect.acquireUseRelease(
    // aws-jwt-verify reads the clock of the machine.
    Effect.sync(() => vi.useFakeTimers({ toFake: ["Date"], now: now * 1000 })),
    () =>
      Effect.orDie(asking(published, { settings: { algorithms, clockTolerance: `${clockTolerance} seconds` } }, use)),
    () => Effect.sync(() => vi.useRealTimers())
  )

/** What is accepted here, both others accept; gives how much that was. */
export const hold = (name: keyof typeof plan, tokens: fc.Arbitrary<string>): Effect.Effect<number> => {
  let accepted = 0
  const holds = ask((ask) =>
    Effect.runPromise(generated(name, tokens, async (token) => {
      const verdict = await ask(token)
      if (!isAccepted(verdict)) {
        assert.notInclude(["DiscoveryFailed", "KeysUnavailable"], verdict._tag, "our own trouble, not the token's")
        return
      }
      accepted++
      assert.isTrue(await joseAccepts(token), "accepted here, refused by jose")
      const { alg } = JSON.parse(Buffer.from(token.split(".")[0] ?? "", "base64url").toString("utf8"))
      const { scope } = verdict.claims
      if (isUnknownToAws(alg) || scope !== undefined && typeof scope !== "string") return
      assert.isTrue(awsAccepts(token), "accepted here, refused by aws-jwt-verify")
    }))
  )
  return Effect.map(holds, () => accepted)
}
