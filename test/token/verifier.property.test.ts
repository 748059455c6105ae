import { assert, describe, it } from "@effect/vitest"
import { Cause, Effect, Exit, Redacted, Schema } from "effect"
import { TestClock } from "effect/testing"
import * as fc from "fast-check"
import { createLocalJWKSet, jwtVerify } from "jose"
import { TokenError } from "../../src/token/TokenError.ts"
import { TokenVerifier, type VerifiedToken } from "../../src/token/TokenVerifier.ts"
import { audience, goodClaims, issuer, makeKey, now, verifierLayer } from "./TestIssuer.ts"

const es256 = makeKey("ES256")
const rs256 = makeKey("RS256")
const stranger = makeKey("ES256")
const published = { keys: [es256.published, rs256.published] }
const keySet = createLocalJWKSet(published)
const settings = { algorithms: ["ES256", "RS256"], clockTolerance: "30 seconds" } as const

const joseAccepts = (token: string): Promise<boolean> =>
  jwtVerify(token, keySet, {
    issuer,
    audience,
    algorithms: [...settings.algorithms],
    clockTolerance: 30,
    requiredClaims: ["sub", "exp", "iat"],
    currentDate: new Date(now * 1000)
  }).then(() => true, () => false)

const isTokenError = Schema.is(TokenError)

/** Runs a property with a way to ask the verifier; fails when anything but a verdict comes out of it. */
const withVerifier = (
  property: (
    ask: (token: string) => Promise<VerifiedToken | TokenError>
  ) => Promise<unknown>
) =>
  Effect.gen(function*() {
    yield* TestClock.setTime(now * 1000)
    yield* Effect.gen(function*() {
      const verifier = yield* TokenVerifier
      const run = Effect.runPromiseExitWith(yield* Effect.context<never>())
      yield* Effect.promise(() =>
        property(async (token) => {
          const exit = await run(verifier.verify(Redacted.make(token)))
          if (Exit.isSuccess(exit)) return exit.value
          const [reason, ...others] = exit.cause.reasons
          if (reason === undefined || others.length > 0 || !Cause.isFailReason(reason) || !isTokenError(reason.error)) {
            throw new Error(`neither accepted nor refused: ${Cause.pretty(exit.cause)}`)
          }
          const { message } = reason.error
          if (token.length > 20 && message.includes(token)) throw new Error("the error gives the token away")
          return reason.error
        })
      )
    }).pipe(Effect.provide(verifierLayer(published, { settings, cacheSize: 0 })))
  })

const isAccepted = (verdict: VerifiedToken | TokenError): verdict is VerifiedToken => "principal" in verdict

/** Accepted here means accepted by jose, whose settings are the same. Returns how many were accepted. */
const neverLaxer = <A>(arbitrary: fc.Arbitrary<A>, tokenOf: (value: A) => string, numRuns: number) => {
  let accepted = 0
  return Effect.as(
    withVerifier((ask) =>
      fc.assert(
        fc.asyncProperty(arbitrary, async (value) => {
          const token = tokenOf(value)
          if (!isAccepted(await ask(token))) return
          accepted++
          assert.isTrue(await joseAccepts(token), "accepted here, refused by jose")
        }),
        { numRuns }
      )
    ),
    () => accepted
  )
}

const base64url = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"

const segment = fc.string({ unit: fc.constantFrom(...base64url), maxLength: 80 })

const anyText = fc.oneof(
  fc.string({ maxLength: 200 }),
  fc.string({ unit: "binary", maxLength: 200 }),
  fc.string({ unit: fc.constantFrom(...base64url, ".", ".", "="), maxLength: 200 }),
  fc.array(segment, { minLength: 2, maxLength: 6 }).map((parts) => parts.join(".")),
  fc.tuple(fc.json(), fc.json(), segment).map(([header, payload, signature]) =>
    [header, payload].map((part) => Buffer.from(part).toString("base64url")).concat(signature).join(".")
  )
)

/** Values that a confused or an evil issuer might put in any place. */
const oddValue: fc.Arbitrary<unknown> = fc.oneof(
  fc.constantFrom<unknown>(
    null,
    true,
    false,
    0,
    -1,
    1.5,
    1e308,
    "",
    " ",
    String(now),
    [],
    {},
    [null],
    [[audience]],
    issuer,
    `${issuer}/`,
    issuer.toUpperCase(),
    audience,
    [audience],
    [audience, "api://other"],
    ["api://other"],
    [audience, 5],
    "Api://default",
    "__proto__",
    "ES256",
    "RS256",
    "HS256",
    "none",
    "JWT",
    "at+jwt"
  ),
  fc.integer({ min: -32, max: 32 }).map((seconds) => now + seconds),
  fc.integer({ min: -4000, max: 100_000 }).map((seconds) => now + seconds),
  fc.jsonValue({ maxDepth: 3 })
)

const changed = (good: object, names: ReadonlyArray<string>) =>
  fc.dictionary(
    fc.oneof({ weight: 4, arbitrary: fc.constantFrom(...names) }, { weight: 1, arbitrary: fc.string() }),
    oddValue,
    {
      maxKeys: 3,
      noNullPrototype: false
    }
  ).chain((changes) =>
    fc.subarray(names.slice(), { maxLength: 1 }).map((removed) =>
      JSON.stringify(
        Object.fromEntries(Object.entries({ ...good, ...changes }).filter(([name]) => !removed.includes(name)))
      )
    )
  )

const claimNames = [...Object.keys(goodClaims), "nbf", "nonce", "at_hash", "client_id", "scope", "groups", "email"]
const headerNames = [
  "alg",
  "kid",
  "typ",
  "crit",
  "b64",
  "jwk",
  "jku",
  "x5u",
  "x5c",
  "x5t",
  "x5t#S256",
  "cty",
  "zip",
  "enc"
]

const usually = <A>(usual: fc.Arbitrary<A>, other: fc.Arbitrary<A>) =>
  fc.oneof({ weight: 3, arbitrary: usual }, { weight: 1, arbitrary: other })

const signedJson = fc.constantFrom(es256, es256, es256, stranger, rs256).chain((key) => {
  const good = { alg: key.algorithm, kid: key.kid }
  return fc.record({
    key: fc.constant(key),
    header: usually(fc.constant(JSON.stringify(good)), usually(changed(good, headerNames), fc.json())),
    payload: usually(changed(goodClaims, claimNames), fc.json())
  })
})

const good = es256.token()
const goodToo = es256.token({ sub: "grace@example.com", scp: ["admin"] })

const mutation = fc.oneof(
  fc.record({ at: fc.nat(good.length), remove: fc.nat(8), insert: fc.string({ maxLength: 8 }) }).map(
    ({ at, insert, remove }) => good.slice(0, at) + insert + good.slice(at + remove)
  ),
  fc.record({
    at: fc.nat(good.length),
    insert: fc.string({ unit: fc.constantFrom(...base64url, ".", "="), maxLength: 3 })
  })
    .map(({ at, insert }) => good.slice(0, at) + insert + good.slice(at + insert.length)),
  fc.tuple(fc.nat(good.length), fc.nat(good.length)).map(([a, b]) => good.slice(0, a) + good.slice(b)),
  fc.tuple(fc.nat(good.length), fc.nat(goodToo.length)).map(([a, b]) => good.slice(0, a) + goodToo.slice(b)),
  fc.array(fc.constantFrom(...good.split("."), ...goodToo.split(".")), { minLength: 3, maxLength: 3 }).map((parts) =>
    parts.join(".")
  ),
  fc.shuffledSubarray([...good], { minLength: good.length - 1 }).map((characters) => characters.join("")),
  fc.record({
    part: fc.nat(2),
    byte: fc.nat(1000),
    bit: fc.nat(7)
  }).map(({ bit, byte, part }) =>
    good.split(".").map((text, index) => {
      if (index !== part) return text
      const bytes = Buffer.from(text, "base64url")
      bytes[byte % bytes.length]! ^= 1 << bit
      return bytes.toString("base64url")
    }).join(".")
  )
).filter((token) => token !== good && token !== goodToo)

describe("nothing is accepted that jose refuses", () => {
  it.effect("random texts", () =>
    Effect.gen(function*() {
      const accepted = yield* neverLaxer(anyText, (text) => text, 2000)
      assert.strictEqual(accepted(), 0)
    }))

  it.effect("random JSON as header and claims, signed with a real key", () =>
    Effect.gen(function*() {
      const accepted = yield* neverLaxer(signedJson, ({ header, key, payload }) => key.signText(header, payload), 4000)
      assert.isAbove(accepted(), 100, "too few were accepted for this to say anything")
    }))

  it.effect("random bytes as header and claims, signed with a real key", () =>
    neverLaxer(
      fc.tuple(
        fc.oneof(fc.constant(Buffer.from("{\"alg\":\"ES256\",\"kid\":\"ES256\"}")), fc.uint8Array({ maxLength: 60 })),
        fc.oneof(
          fc.uint8Array({ maxLength: 60 }),
          fc.tuple(fc.nat(200), fc.uint8Array({ minLength: 1, maxLength: 4 })).map(([at, bytes]) => {
            const payload = Buffer.from(JSON.stringify(goodClaims))
            payload.set(bytes, at % (payload.length - 4))
            return payload
          })
        )
      ),
      ([header, payload]) => es256.signText(header, payload),
      1500
    ))

  it.effect("changed good tokens, which are refused altogether", () =>
    Effect.gen(function*() {
      const accepted = yield* neverLaxer(mutation, (token) => token, 3000)
      assert.strictEqual(accepted(), 0)
    }))
})

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
