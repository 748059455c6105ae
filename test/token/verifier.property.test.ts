import { assert, describe, it } from "@effect/vitest"
import * as fc from "fast-check"
import { asking, isAccepted, type Verdict } from "./Asking.ts"
import { makeKey } from "./TestIssuer.ts"

const es256 = makeKey("ES256")
const rs256 = makeKey("RS256")
const published = { keys: [es256.published, rs256.published] }

const withVerifier = (use: (ask: (token: string) => Promise<Verdict>) => Promise<unknown>) =>
  asking(published, { settings: { algorithms: ["ES256", "RS256"], clockTolerance: "30 seconds" } }, use)

const base64url = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"

describe("good tokens", () => {
  it.effect("are accepted whatever further claims they have", () =>
    withVerifier((ask) =>
      fc.assert(
        fc.asyncProperty(
          fc.dictionary(fc.string({ unit: "grapheme", maxLength: 20 }).map((name) => `x_${name}`), fc.jsonValue(), {
            noNullPrototype: false
          }),
          async (claims) => {
            const verdict = await ask(es256.token(claims))
            assert.isTrue(isAccepted(verdict), JSON.stringify(verdict))
          }
        ),
        { numRuns: 300 }
      )
    ))

  for (const key of [es256, rs256]) {
    it.effect(`${key.algorithm}: every change of a single character is refused`, () =>
      withVerifier(async (ask) => {
        const token = key.token()
        assert.isTrue(isAccepted(await ask(token)))
        // An RSA token is longer and slower to check; each place gets its neighbours in the alphabet.
        const others = (at: number) => {
          const place = base64url.indexOf(token.charAt(at))
          const all = [...base64url, ".", "=", "+", "/", " ", "\n", "\0", "é"]
          return key === es256 ? all : [...all.slice(64), ...[1, 2, 32].map((n) => base64url.charAt((place ^ n) & 63))]
        }
        const wrong: Array<string> = []
        for (let at = 0; at < token.length; at++) {
          const candidates = others(at)
            .filter((character) => character !== token.charAt(at))
            .map((character) => token.slice(0, at) + character + token.slice(at + 1))
          const verdicts = await Promise.all([...candidates, token.slice(0, at) + token.slice(at + 1)].map(ask))
          if (verdicts.some(isAccepted)) wrong.push(`at ${at}`)
        }
        assert.deepStrictEqual(wrong, [])
      }))
  }
})
