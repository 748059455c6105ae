import { assert, describe, it } from "@effect/vitest"
import * as StrictJson from "../../src/token/StrictJson.ts"

const parse = (text: string | Uint8Array) => StrictJson.parse(Buffer.from(text))
const nested = (depth: number, open: string, close: string) => `${open.repeat(depth)}${close.repeat(depth)}`

const accepted: ReadonlyArray<readonly [text: string, value: unknown]> = [
  ["{}", {}],
  ["[]", []],
  ["null", null],
  ["\"text\"", "text"],
  [" { \"a\" : [ 1 , 2.5 , -3e2 , true , false , null ] }\r\n", { a: [1, 2.5, -300, true, false, null] }],
  ["{\"a\":{\"a\":{\"a\":1}},\"b\":[{\"a\":1},{\"a\":2}]}", { a: { a: { a: 1 } }, b: [{ a: 1 }, { a: 2 }] }],
  ["{\"a\":\"{:[,]}\",\"b\":\"\\\"a\\\":1\"}", { a: "{:[,]}", b: "\"a\":1" }],
  ["{\"\\\\\":1,\"\\\"\":2,\":\":3}", { "\\": 1, "\"": 2, ":": 3 }],
  ["{\"a\\\\\":1,\"b\":\"\\\\\\\\\"}", { "a\\": 1, b: "\\\\" }],
  ["{\"a\":\"\\\"b:\"}", { a: "\"b:" }],
  ["{\"a\":1,\"A\":2,\"ä\":3,\"a\u0308\":4}", { a: 1, A: 2, "ä": 3, "a\u0308": 4 }],
  ["{\"emoji\":\"\\ud83d\\ude00😀\"}", { emoji: "😀😀" }],
  ["{\"\":0}", { "": 0 }],
  ["{\"\\u0061\":[1,null,true,{}]}", { a: [1, null, true, {}] }],
  // Whoever needs an integer looks for one; see the verifier's tests.
  ["{\"exp\":1e999}", { exp: Infinity }]
]

const refused: ReadonlyArray<readonly [what: string, text: string | Uint8Array]> = [
  ["nothing", ""],
  ["white space", " "],
  ["two values", "{}{}"],
  ["a comma at the end", "{\"a\":1,}"],
  ["a comment", "{/**/}"],
  ["single quotation marks", "{'a':1}"],
  ["an unclosed object", "{\"a\":1"],
  ["an unclosed string", "{\"a"],
  ["an unclosed string and nothing else", "\"a"],
  ["an escape that is none", "\"\\uzzzz\""],
  ["a closing bracket too many", "{}]"],
  ["a control character in a string", "{\"a\":\"\n\"}"],
  ["NaN", "{\"a\":NaN}"],
  ["a member twice", "{\"iss\":\"evil\",\"iss\":\"good\"}"],
  ["a member twice, equal", "{\"iss\":\"good\",\"iss\":\"good\"}"],
  ["a member twice, once escaped", "{\"iss\":\"evil\",\"\\u0069ss\":\"good\"}"],
  ["a member twice, escaped in two ways", "{\"\\u002f\":1,\"\\/\":2}"],
  ["a member twice, with a quotation mark in it", "{\"\\\"\":1,\"\\u0022\":2}"],
  ["a member twice, deep inside", "{\"a\":[{\"b\":{\"c\":1,\"c\":2}}]}"],
  ["__proto__ twice", "{\"__proto__\":{},\"__proto__\":{}}"],
  ["__proto__ twice, once escaped", "{\"__proto__\":1,\"__pr\\u006fto__\":2}"],
  ["an empty name twice", "{\"\":1,\"\":2}"],
  ["a member twice, with colons about to hide it", "{\"a\":\":\",\"a\":\"\"}"],
  ["33 arrays inside each other", nested(33, "[", "]")],
  ["33 objects inside each other", `${"{\"a\":".repeat(32)}{}${"}".repeat(32)}`],
  ["objects and arrays, 34 deep", `${"[{\"a\":".repeat(17)}1${"}]".repeat(17)}`],
  ["100 000 arrays inside each other", nested(100_000, "[", "]")],
  ["100 000 opened arrays", "[".repeat(100_000)],
  ["a byte order mark", "\uFEFF{}"],
  ["UTF-16", Buffer.from("{}", "utf16le")],
  ["a lone byte of a longer character", Uint8Array.of(0x22, 0x80, 0x22)],
  ["an unfinished character", Uint8Array.of(0x22, 0xc3, 0x22)],
  ["an overlong slash", Uint8Array.of(0x22, 0xc0, 0xaf, 0x22)],
  ["a surrogate as UTF-8", Uint8Array.of(0x22, 0xed, 0xa0, 0x80, 0x22)],
  ["a character beyond Unicode", Uint8Array.of(0x22, 0xf4, 0x90, 0x80, 0x80, 0x22)],
  ["an escaped lone high surrogate", "{\"a\":\"\\ud800\"}"],
  ["an escaped lone low surrogate", "[\"\\uDC00\"]"],
  ["surrogates the wrong way round", "\"\\ude00\\ud83d\""],
  ["a lone surrogate in a name", "{\"\\ud800\":1}"],
  ["a lone surrogate behind what is in order", "{\"a\":1,\"b\":[\"c\",\"\\ud800\"]}"],
  ["a lone surrogate in a name behind one in order", "{\"a\":1,\"\\ud800\":1}"],
  ["a lone surrogate deep inside", "{\"a\":[{\"b\":[\"\\udfff\"]}]}"]
]

describe("the JSON of a token", () => {
  for (const [text, value] of accepted) {
    it(`${JSON.stringify(text)} has one meaning`, () => assert.deepStrictEqual(parse(text), value))
  }

  for (const [what, text] of refused) it(`${what} has none`, () => assert.isUndefined(parse(text)))

  it("32 levels are allowed, however many values there are", () => {
    assert.isDefined(parse(nested(32, "[", "]")))
    assert.isDefined(parse(`${"{\"a\":".repeat(31)}{}${"}".repeat(31)}`))
    assert.isDefined(parse(`[${Array.from({ length: 1000 }, () => "[[]]").join()}]`))
    assert.isDefined(parse(JSON.stringify("[".repeat(1000))))
  })

  it("lone surrogates are let through where they may be", () => {
    for (const text of ["\"\\ud800\"", "{\"\\udc00\":1}"]) {
      assert.deepStrictEqual<unknown>(
        StrictJson.parse(Buffer.from(text), { deepest: 32, loneSurrogates: true }),
        JSON.parse(text)
      )
    }
  })

  it("members named like those of Object.prototype are mere data", () => {
    const value = parse("{\"__proto__\":{\"admin\":true},\"constructor\":1,\"hasOwnProperty\":2,\"toString\":3}")
    assert.isTrue(typeof value === "object" && value !== null)
    if (typeof value !== "object" || value === null) return
    assert.deepStrictEqual(Object.keys(value), ["__proto__", "constructor", "hasOwnProperty", "toString"])
    assert.strictEqual(Object.getPrototypeOf(value), Object.prototype)
    assert.isFalse("admin" in value)
    assert.isFalse("admin" in {})
  })
})
