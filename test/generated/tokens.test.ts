import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import * as fc from "fast-check"
import { audience, goodClaims, issuer, makeKey, now } from "../token/TestIssuer.ts"
import * as Differential from "./Differential.ts"
import { timeout } from "./plan.ts"

const base64url = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
const segment = fc.string({ unit: fc.constantFrom(...base64url), maxLength: 80 })
const encode = (text: string | Uint8Array) => Buffer.from(text).toString("base64url")

const anyText = fc.oneof(
  fc.string({ maxLength: 200 }),
  fc.string({ unit: "binary", maxLength: 200 }),
  fc.string({ unit: fc.constantFrom(...base64url, ".", ".", "="), maxLength: 200 }),
  fc.array(segment, { minLength: 2, maxLength: 6 }).map((parts) => parts.join(".")),
  fc.tuple(fc.json(), fc.json(), segment).map(([header, payload, signature]) =>
    [encode(header), encode(payload), signature].join(".")
  )
)

const es256 = Differential.keyOf("ES256")
const stranger = makeKey("ES256")
/** Two people's tokens by every key. */
const good = Differential.keys.flatMap((key) => [
  key.token(),
  key.token({ sub: "grace@example.com", scp: ["admin"], aud: [audience, "api://other"] })
])
const anyGood = fc.constantFrom(...good)
const place = fc.double({ min: 0, max: 1, noNaN: true, maxExcluded: true })
const at = (text: string | Uint8Array, place: number) => Math.floor(place * text.length)

/** Header members by which algorithm and key are made another's. */
const confusion = fc.record({
  alg: fc.constantFrom<unknown>(
    ...Differential.keys.map(({ algorithm }) => algorithm),
    "none",
    "None",
    "",
    "HS256",
    "HS512",
    "RS384",
    "RS512",
    "ES256K",
    "rs256",
    "RS256 ",
    null,
    0,
    ["RS256"]
  ),
  kid: fc.constantFrom<unknown>(...Differential.keys.map(({ kid }) => kid), "", "stranger", "__proto__", null, 0, [
    "RS256"
  ])
})

const changed = fc.oneof(
  // a bit flipped, in whichever part
  fc.record({ token: anyGood, part: fc.nat(2), place, bit: fc.nat(7) }).map(({ bit, part, place, token }) =>
    token.split(".").map((text, index) => {
      if (index !== part) return text
      const bytes = Buffer.from(text, "base64url")
      bytes[at(bytes, place)]! ^= 1 << bit
      return encode(bytes)
    }).join(".")
  ),
  // cut at either end, or in the middle
  fc.tuple(anyGood, place, place).map(([token, a, b]) => token.slice(0, at(token, a)) + token.slice(at(token, b))),
  fc.tuple(anyGood, place).map(([token, end]) => token.slice(0, at(token, end))),
  // spliced of two
  fc.tuple(anyGood, anyGood, place).map(([one, other, end]) => one.slice(0, at(one, end)) + other.slice(at(one, end))),
  fc.array(anyGood.chain((token) => fc.constantFrom(...token.split("."))), { minLength: 3, maxLength: 3 }).map((
    parts
  ) => parts.join(".")),
  // written over
  fc.record({ token: anyGood, place, remove: fc.nat(8), insert: fc.string({ maxLength: 8 }) }).map(
    ({ insert, place, remove, token }) =>
      token.slice(0, at(token, place)) + insert + token.slice(at(token, place) + remove)
  ),
  fc.record({
    token: anyGood,
    place,
    insert: fc.string({ unit: fc.constantFrom(...base64url, ".", "=", "+", "/", " "), minLength: 1, maxLength: 3 })
  }).map(({ insert, place, token }) =>
    token.slice(0, at(token, place)) + insert + token.slice(at(token, place) + insert.length)
  ),
  // another header before the same signature, and the signature of another key
  fc.tuple(anyGood, confusion).map(([token, header]) =>
    [encode(JSON.stringify(header)), ...token.split(".").slice(1)].join(".")
  ),
  confusion.map(({ alg, kid }) =>
    es256.signText(JSON.stringify({ alg, kid }), JSON.stringify({ ...goodClaims, jti: "AT.2" }))
  )
    .filter((token) => !token.startsWith(`${encode("{\"alg\":\"ES256\",\"kid\":\"ES256\"}")}.`)),
  fc.nat().map((n) => stranger.token({ jti: `AT.${n}` }, { kid: es256.kid })),
  // padded, or in lines
  fc.tuple(anyGood, fc.constantFrom("=", "==", "\n", " ", "\0", ".", "%3D")).map(([token, end]) => token + end)
).filter((token) => !good.includes(token))

/** JSON that a confused or an evil issuer might put in any place. */
const oddText = fc.oneof(
  fc.constantFrom(
    "null",
    "true",
    "0",
    "-0",
    "-1",
    "1.5",
    "1e999",
    "1e3",
    "9007199254740993",
    "\"\"",
    "\" \"",
    "[]",
    "{}",
    "[null]",
    "\"__proto__\"",
    "\"none\"",
    "\"HS256\"",
    "\"JWT\"",
    "\"at+jwt\"",
    "\"AT+JWT\"",
    "\"id-token\"",
    "\"\\ud800\"",
    ...[issuer, `${issuer}/`, issuer.toUpperCase(), audience, "Api://default", String(now)].map((text) =>
      JSON.stringify(text)
    ),
    ...[[audience], [[audience]], [audience, "api://other"], ["api://other"], [audience, 5]].map((list) =>
      JSON.stringify(list)
    ),
    "[".repeat(40) + "]".repeat(40)
  ),
  fc.integer({ min: -32, max: 32 }).map((seconds) => String(now + seconds)),
  fc.integer({ min: -4000, max: 100_000 }).map((seconds) => String(now + seconds)),
  fc.jsonValue({ maxDepth: 3 }).map((value) => JSON.stringify(value))
)

const claimNames = [
  ...Object.keys(goodClaims),
  "nbf",
  "nonce",
  "at_hash",
  "client_id",
  "scope",
  "groups",
  "email",
  "__proto__"
]
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

type Members = ReadonlyArray<readonly [name: string, json: string]>

/** The same value as another type. */
const retypes: ReadonlyArray<(json: string) => string> = [
  (json) => JSON.stringify(json),
  (json) => `[${json}]`,
  (json) => `{"value":${json}}`,
  (json) => JSON.stringify(Number.parseFloat(json.replace(/\D/g, "") || "1")),
  (json) => json.replace(/^"|"$/g, "") || "null"
]

/** Members added, removed, repeated, put elsewhere or of another type. */
const edit = (names: ReadonlyArray<string>): fc.Arbitrary<(members: Members) => Members> => {
  const name = fc.oneof({ weight: 6, arbitrary: fc.constantFrom(...names) }, { weight: 1, arbitrary: fc.string() })
  return fc.oneof(
    fc.tuple(name, oddText).map(
      ([name, json]) => (members: Members): Members => [...members.filter(([other]) => other !== name), [name, json]]
    ),
    fc.tuple(name, oddText, fc.boolean()).map(([name, json, first]) => (members: Members): Members =>
      first ? [[name, json], ...members] : [...members, [name, json]]
    ),
    name.map((name) => (members: Members): Members => [...members, ...members.filter(([other]) => other === name)]),
    name.map((name) => (members: Members): Members => members.filter(([other]) => other !== name)),
    fc.tuple(name, fc.constantFrom(...retypes)).map(([name, retype]) => (members: Members): Members =>
      members.map(([other, json]) => [other, other === name ? retype(json) : json])
    ),
    fc.constant((members: Members): Members => [...members].reverse())
  )
}

const edited = (good: object, names: ReadonlyArray<string>, most: number) =>
  fc.array(edit(names), { maxLength: most }).map((edits) => {
    const members = Object.entries(good).map(([name, value]): Members[number] => [name, JSON.stringify(value)])
    const changed = edits.reduce<Members>((members, edit) => edit(members), members)
    return `{${changed.map(([name, json]) => `${JSON.stringify(name)}:${json}`).join()}}`
  })

/** Mostly by keys that sign fast. */
const anyKey = fc.oneof(
  { weight: 12, arbitrary: fc.constantFrom(es256, Differential.keyOf("EdDSA"), Differential.keyOf("Ed25519")) },
  { weight: 2, arbitrary: fc.constantFrom(...Differential.keys) },
  { weight: 1, arbitrary: fc.constant(stranger) }
)

const signedMembers = anyKey.chain((key) =>
  fc.tuple(
    fc.oneof(
      { weight: 2, arbitrary: fc.constant(JSON.stringify({ alg: key.algorithm, kid: key.kid })) },
      { weight: 1, arbitrary: edited({ alg: key.algorithm, kid: key.kid }, headerNames, 2) }
    ),
    fc.oneof({ weight: 12, arbitrary: edited(goodClaims, claimNames, 3) }, { weight: 1, arbitrary: fc.json() })
  ).map(([header, payload]) => key.signText(header, payload))
)

const bytes = fc.uint8Array({ maxLength: 60 })
const signedBytes = fc.tuple(
  fc.oneof(fc.constant(Buffer.from(JSON.stringify({ alg: "ES256", kid: "ES256" }))), bytes),
  fc.oneof(
    bytes,
    fc.tuple(place, fc.uint8Array({ minLength: 1, maxLength: 4 })).map(([place, bytes]) => {
      const payload = Buffer.from(JSON.stringify(goodClaims))
      payload.set(bytes, at(payload.subarray(4), place))
      return payload
    })
  )
).map(([header, payload]) => es256.signText(header, payload))

describe("nothing is accepted that jose or aws-jwt-verify refuse", () => {
  it.effect("texts", () =>
    Effect.gen(function*() {
      assert.strictEqual(yield* Differential.hold("texts in place of tokens", anyText), 0)
    }), timeout)

  it.effect("good tokens, changed, which are refused altogether", () =>
    Effect.gen(function*() {
      assert.strictEqual(yield* Differential.hold("good tokens, changed", changed), 0)
    }), timeout)

  it.effect(
    "header and claims with members added, removed, repeated or of another type, signed",
    () =>
      Effect.gen(function*() {
        const accepted = yield* Differential.hold("tokens of edited members", signedMembers)
        assert.isAbove(accepted, 1000, "too few were accepted for this to say anything")
      }),
    timeout
  )

  it.effect(
    "any bytes as header and claims, signed",
    () => Differential.hold("tokens of any bytes", signedBytes),
    timeout
  )
})
