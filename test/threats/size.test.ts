import { assert, layer } from "@effect/vitest"
import { Effect, Layer } from "effect"
import { vi } from "vitest"
import { parse } from "../../src/token/StrictJson.ts"
import { assertAccepted, assertRefused, assertTokenRefused, GuardedServer } from "../support/GuardedServer.ts"
import { encode, goodClaims, RawIssuer } from "../support/RawIssuer.ts"

/** What becomes of a token, and how many texts of its size were decoded or parsed on the way. */
const watched = <A, E, R>(longerThan: number, effect: Effect.Effect<A, E, R>) =>
  Effect.acquireUseRelease(
    Effect.sync(() => [vi.spyOn(Buffer, "from"), vi.spyOn(JSON, "parse")] as const),
    (spies) =>
      Effect.map(effect, (result) => {
        const inputs = spies.flatMap((spy): ReadonlyArray<unknown> => spy.mock.calls.map(([input]) => input))
        const decoded = inputs.filter((input) =>
          (typeof input === "string" || input instanceof Uint8Array) && input.length > longerThan
        )
        return { result, decoded: decoded.length }
      }),
    (spies) => Effect.sync(() => spies.forEach((spy) => spy.mockRestore()))
  )

const nested = (depth: number) => "[".repeat(depth) + "]".repeat(depth)

/** Claims of a good token and a further one, nested so deep as a whole. */
const deepClaims = (depth: number) => JSON.stringify(goodClaims()).replace(/\}$/, `,"deep":${nested(depth - 1)}}`)

const largeHeaders = { node: { maxHeaderSize: 1 << 20 } }

layer(GuardedServer.layer().pipe(Layer.provideMerge(RawIssuer.layer)))("B. Size and parser abuse", (it) => {
  it.effect("#25 Authorization header of 17 kB: 431 from Node", () =>
    Effect.gen(function*() {
      const issuer = yield* RawIssuer
      const server = yield* GuardedServer
      const good = issuer.token()
      for (const credentials of [`Bearer ${good}${"A".repeat(17_000 - good.length)}`, "Bearer ".padEnd(17_000, ".")]) {
        const answer = yield* server.raw(`GET /mcp HTTP/1.1\r\nHost: mcp\r\nAuthorization: ${credentials}\r\n\r\n`)
        assert.strictEqual(answer.status, 431)
        assert.strictEqual(answer.body, "")
      }
      assert.strictEqual(server.handled(), 0)
      yield* assertAccepted(good)
    }))

  it.effect("#26 token of 8 kB to 15 kB: 401 before base64 and JSON", () =>
    Effect.gen(function*() {
      const issuer = yield* RawIssuer
      // Two base64url characters at the least come with every byte more.
      const ofLength = (length: number) => {
        for (const space of ["", " ", "  ", "   "]) {
          const header = `{"alg":"RS256",${space}"kid":"rsa-1"}`
          const empty = issuer.token({ header, payload: goodClaims({ pad: "" }) }).length
          const pad = "x".repeat(Math.floor((length - empty) * 3 / 4))
          const token = issuer.token({ header, payload: goodClaims({ pad }) })
          if (token.length === length) return token
        }
        return assert.fail(`no token has ${length} characters`)
      }
      const longest = ofLength(8192)
      assert.isAbove((yield* watched(8192 / 3, assertAccepted(longest))).decoded, 0)
      for (const length of [8193, 8194, 9000, 12_000, 15_000]) {
        const token = ofLength(length)
        const { decoded, result } = yield* watched(8192 / 3, assertTokenRefused(token, "MalformedToken"))
        assert.include(result.message, "longer than 8192 characters")
        assert.strictEqual(decoded, 0)
      }
      yield* assertAccepted(issuer.token())
    }))

  it.effect("#27 1 MB token by a way other than a header, 1 M dots: rejected without looking at them", () =>
    Effect.gen(function*() {
      const issuer = yield* RawIssuer
      const server = yield* GuardedServer
      const large = issuer.token({ payload: goodClaims({ pad: "x".repeat(1 << 20) }) })
      for (
        const token of [large, ".".repeat(1_000_000), `${issuer.token()}${".".repeat(1_000_000)}`, "A".repeat(1 << 20)]
      ) {
        const { decoded, result } = yield* watched(1000, Effect.flip(server.verify(token)))
        assert.strictEqual(result._tag, "MalformedToken")
        assert.include(result.message, "longer than 8192 characters")
        assert.strictEqual(decoded, 0)
      }
      for (const dots of [".", "..", "...", ".".repeat(8192), "a.b.c.d", ".a.b", "a..b", "a.b."]) {
        const { decoded, result } = yield* watched(0, Effect.flip(server.verify(dots)))
        assert.include(result.message, "three parts")
        assert.strictEqual(decoded, 0)
      }
      yield* assertAccepted(issuer.token())
    }))

  it.effect("#32 payload that is an array, null, a string: 401", () =>
    Effect.gen(function*() {
      const issuer = yield* RawIssuer
      const good = JSON.stringify(goodClaims())
      const payloads = [
        `[${good}]`,
        "[]",
        "null",
        "true",
        "1",
        JSON.stringify(good),
        " ",
        "{",
        `${good}}`,
        `${good}${good}`,
        good.replace(/\}$/, ",}"),
        good.replaceAll("\"", "'"),
        `${good}//`,
        `${good}\u0000`,
        `\u00a0${good}`
      ]
      for (const payload of payloads) yield* assertTokenRefused(issuer.token({ payload }), "MalformedToken")
      yield* assertAccepted(issuer.token({ payload: ` \t\r\n${good}\n` }))
    }))

  it.effect("#32 header that is an array, null, a string: 401", () =>
    Effect.gen(function*() {
      const issuer = yield* RawIssuer
      const good = JSON.stringify({ alg: "RS256", kid: "rsa-1" })
      for (const header of [`[${good}]`, "null", JSON.stringify(good), "1", "{", `${good}x`, `\ufeff${good}`]) {
        yield* assertTokenRefused(issuer.token({ header }), "MalformedToken")
      }
      yield* assertAccepted(issuer.token({ header: good }))
    }))

  it.effect.each([
    ["iss", `"iss":"https://evil.example"`],
    ["iss, escaped", `"\\u0069ss":"https://evil.example"`],
    ["sub", `"sub":"root@example.com"`],
    ["sub, escaped", `"s\\u0075b":"root@example.com"`],
    ["aud", `"aud":"api://other"`],
    ["exp", `"exp":99999999999`],
    ["scp", `"scp":["admin"]`],
    ["the same value", `"cid":"0oa1client"`],
    ["further inside", `"ext":{"a":1,"a":1}`],
    ["in an array", `"ext":[[{"a":1,"b":{"c":1,"c":2}}]]`],
    ["__proto__", `"__proto__":{},"__proto__":{}`]
  ])("#29 duplicate member %s: 401", ([, member]) =>
    Effect.gen(function*() {
      const issuer = yield* RawIssuer
      const good = JSON.stringify(goodClaims())
      yield* assertTokenRefused(issuer.token({ payload: `{${member},${good.slice(1)}` }), "MalformedToken")
      yield* assertTokenRefused(issuer.token({ payload: good.replace(/\}$/, `,${member}}`) }), "MalformedToken")
      yield* assertAccepted(issuer.token({ payload: good.replace(/\}$/, `,"ext":{"sub":{"sub":"a:b,\\"sub\\":"}}}`) }))
    }))

  it.effect("#29 duplicate members in the header: 401", () =>
    Effect.gen(function*() {
      const issuer = yield* RawIssuer
      for (
        const header of [
          `{"alg":"none","alg":"RS256","kid":"rsa-1"}`,
          `{"alg":"RS256","kid":"rsa-1","alg":"none"}`,
          `{"alg":"RS256","kid":"stranger","kid":"rsa-1"}`,
          `{"alg":"RS256","kid":"rsa-1","\\u006bid":"rsa-1"}`
        ]
      ) {
        yield* assertTokenRefused(issuer.token({ header }), "MalformedToken")
      }
      yield* assertAccepted(issuer.token())
    }))

  it.effect("#33 __proto__ and constructor in the payload: inert, Object.prototype unchanged", () =>
    Effect.gen(function*() {
      const issuer = yield* RawIssuer
      const before = Object.getOwnPropertyNames(Object.prototype)
      const withMember = (member: string, claims = goodClaims()) => JSON.stringify(claims).replace(/\}$/, `,${member}}`)
      const root = `{"sub":"root@example.com","scp":["admin"],"groups":["admins"],"polluted":true}`

      const known = yield* assertAccepted(issuer.token())
      for (
        const member of [
          `"__proto__":${root}`,
          `"constructor":{"prototype":${root}}`,
          `"toString":1,"valueOf":null,"hasOwnProperty":false`
        ]
      ) {
        assert.deepStrictEqual(yield* assertAccepted(issuer.token({ payload: withMember(member) })), known)
      }
      for (const claim of ["sub", "exp", "aud", "iss"] as const) {
        const inherited = `"__proto__":${JSON.stringify(goodClaims())}`
        const token = issuer.token({ payload: withMember(inherited, goodClaims({ [claim]: undefined })) })
        yield* assertTokenRefused(
          token,
          claim === "iss" ? "InvalidIssuer" : claim === "aud" ? "InvalidAudience" : "InvalidClaim"
        )
      }
      yield* assertTokenRefused(
        issuer.token({ header: `{"__proto__":{"alg":"RS256","kid":"rsa-1"}}` }),
        "UnsupportedAlgorithm"
      )
      yield* assertTokenRefused(
        issuer.token({ header: `{"__proto__":{"kid":"rsa-1"},"alg":"RS256"}` }),
        "MalformedToken"
      )
      assert.deepStrictEqual(Object.getOwnPropertyNames(Object.prototype), before)
      assert.notProperty({}, "polluted")
    }))

  it.effect("#34 fullwidth and confusable aud and iss: 401, no normalisation", () =>
    Effect.gen(function*() {
      const issuer = yield* RawIssuer
      const audiences = [
        "ａｐｉ://default",
        "api://defаult",
        "api:\u2215/default",
        "api://default\u200b",
        "\u200eapi://default",
        "api://default\u0000",
        "api://default ",
        "api://de\u0301fault",
        "api://ﬁdefault",
        "api%3A//default"
      ]
      for (const aud of audiences) {
        yield* assertTokenRefused(issuer.token({ payload: goodClaims({ aud }) }), "InvalidAudience")
        yield* assertTokenRefused(issuer.token({ payload: goodClaims({ aud: [aud, aud] }) }), "InvalidAudience")
      }
      for (const iss of ["https://test.okta.com/oauth2/defаult", "https://test。okta.com/oauth2/default"]) {
        yield* assertTokenRefused(issuer.token({ payload: goodClaims({ iss }) }), "InvalidIssuer")
      }
      yield* assertAccepted(issuer.token())
    }))

  it.effect("#34 NFC and NFD of one sub: two people", () =>
    Effect.gen(function*() {
      const issuer = yield* RawIssuer
      const subjects = ["jos\u00e9@example.com", "jose\u0301@example.com", "\ufb01@example.com", "ﬀ@example.com"]
      const seen: Array<unknown> = []
      for (const sub of [...subjects, ...subjects]) {
        const principal = yield* assertAccepted(issuer.token({ payload: goodClaims({ sub }) }))
        seen.push(principal["subject"])
      }
      assert.deepStrictEqual(seen, [...subjects, ...subjects])
    }))

  it.effect("bytes that are not UTF-8, a byte order mark, lone surrogates: 401", () =>
    Effect.gen(function*() {
      const issuer = yield* RawIssuer
      const good = JSON.stringify(goodClaims())
      const bytes = (sub: ReadonlyArray<number>) => {
        const [before = "", after = ""] = good.split("ada@example.com")
        return Buffer.concat([Buffer.from(before), Buffer.from(sub), Buffer.from(after)])
      }
      const payloads = {
        "byte order mark": `\ufeff${good}`,
        "UTF-16": Buffer.from(good, "utf16le"),
        "UTF-16 with a mark": Buffer.from(`\ufeff${good}`, "utf16le"),
        "overlong slash": bytes([0xc0, 0xaf]),
        "lone continuation": bytes([0x80]),
        "cut off": bytes([0xe2, 0x82]),
        "surrogate in UTF-8": bytes([0xed, 0xa0, 0x80]),
        "beyond Unicode": bytes([0xf4, 0x90, 0x80, 0x80]),
        "escaped lone surrogate": good.replace("ada@", "\\ud800ada@"),
        "escaped lone surrogate as a name": good.replace(/\}$/, `,"\\udc00":1}`)
      }
      for (const payload of Object.values(payloads)) {
        yield* assertTokenRefused(issuer.token({ payload }), "MalformedToken")
      }
      const seen = yield* assertAccepted(issuer.token({ payload: good.replace("ada@", "\\ud83d\\ude00ada@") }))
      assert.propertyVal(seen, "subject", "😀ada@example.com")
    }))
})

layer(GuardedServer.layer({ maxTokenLength: 65_536 }, largeHeaders).pipe(Layer.provideMerge(RawIssuer.layer)))(
  "B. Size and parser abuse, long tokens allowed",
  (it) => {
    it.effect("#26 token of 8 kB to 15 kB, where the settings allow it: accepted", () =>
      Effect.gen(function*() {
        const issuer = yield* RawIssuer
        yield* assertAccepted(issuer.token({ payload: goodClaims({ pad: "x".repeat(11_000) }) }))
      }))

    it.effect("#11 a kid of 10 kB, where the settings allow so long a token: 401, never logged whole", () =>
      Effect.gen(function*() {
        const issuer = yield* RawIssuer
        const { logged } = yield* GuardedServer
        const already = logged.length
        const header = { alg: "RS256", kid: "k\u001b".repeat(5120) }
        const error = yield* assertTokenRefused(issuer.token({ header }), "UnknownKey")
        assert.isBelow(error.message.length, 1000)
        const lines = logged.slice(already).filter((line) => line.includes("Request refused"))
        assert.lengthOf(lines, 1)
        assert.notMatch(lines.join(), /\p{Cc}/u)
        assert.isBelow(lines.join().length, 1000)
        yield* assertAccepted(issuer.token())
      }))

    it.effect("#27 60,000 dots, where the settings allow them: 401 before base64 and JSON", () =>
      Effect.gen(function*() {
        const issuer = yield* RawIssuer
        const { decoded, result } = yield* watched(30_000, assertTokenRefused(".".repeat(60_000), "MalformedToken"))
        assert.include(result.message, "three parts")
        assert.strictEqual(decoded, 0)
        yield* assertTokenRefused(`${issuer.token()}.${".".repeat(60_000)}`, "MalformedToken")
        yield* assertAccepted(issuer.token())
      }))

    it.effect("#28 payload nested 100,000 deep: 401, no RangeError", () =>
      Effect.gen(function*() {
        const issuer = yield* RawIssuer
        const token = issuer.token({ payload: deepClaims(100_000) })
        yield* assertTokenRefused(token, "MalformedToken")
        for (const text of [deepClaims(100_000), nested(100_000), "[".repeat(100_000), `{"a":`.repeat(100_000)]) {
          assert.isUndefined(parse(Buffer.from(text)))
        }
        // As deep as a token can be that is looked at.
        for (const payload of [deepClaims(24_000), "[".repeat(48_000), `{"a":`.repeat(9_000)]) {
          const deep = issuer.token({ payload })
          assert.isBelow(deep.length, 65_536)
          yield* assertTokenRefused(deep, "MalformedToken")
        }
        yield* assertTokenRefused(`${encode(nested(20_000))}.${encode("{}")}.AAAA`, "MalformedToken")
        yield* assertAccepted(issuer.token())
      }))

    it.effect("#28 payload nested 32 deep: accepted, 33 deep: 401", () =>
      Effect.gen(function*() {
        const issuer = yield* RawIssuer
        yield* assertAccepted(issuer.token({ payload: deepClaims(32) }))
        yield* assertTokenRefused(issuer.token({ payload: deepClaims(33) }), "MalformedToken")
        const objects = (depth: number) => `${`{"a":`.repeat(depth)}1${"}".repeat(depth)}`
        const withObjects = (depth: number) =>
          JSON.stringify(goodClaims()).replace(/\}$/, `,"o":${objects(depth - 1)}}`)
        yield* assertAccepted(issuer.token({ payload: withObjects(32) }))
        yield* assertTokenRefused(issuer.token({ payload: withObjects(33) }), "MalformedToken")
        // Brackets in a text do not nest.
        yield* assertAccepted(issuer.token({ payload: goodClaims({ text: `\\"${"[{".repeat(100)}` }) }))
      }))

    it.effect("#29 2,500 members, one of them twice: 401", () =>
      Effect.gen(function*() {
        const issuer = yield* RawIssuer
        const many = Array.from({ length: 2_500 }, (_, i) => `"m${i}":${i}`).join()
        const good = JSON.stringify(goodClaims())
        yield* assertAccepted(issuer.token({ payload: good.replace(/\}$/, `,${many}}`) }))
        yield* assertTokenRefused(issuer.token({ payload: good.replace(/\}$/, `,${many},"m7":7}`) }), "MalformedToken")
      }))
  }
)

layer(GuardedServer.layer({ maxTokenLength: 256 }).pipe(Layer.provideMerge(RawIssuer.layer)))(
  "B. Size and parser abuse, only short tokens allowed",
  (it) => {
    it.effect("#26 a token above the setting: 401, though it be good", () =>
      Effect.gen(function*() {
        const issuer = yield* RawIssuer
        const server = yield* GuardedServer
        const error = yield* assertTokenRefused(issuer.token(), "MalformedToken")
        assert.include(error.message, "longer than 256 characters")
        assertRefused(yield* server.ask({ token: "A".repeat(257) }), "invalid_token")
      }))
  }
)
