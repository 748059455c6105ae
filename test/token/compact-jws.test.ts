import { assert, describe, it } from "@effect/vitest"
import * as CompactJws from "../../src/token/CompactJws.ts"

const joe = "eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ"
const joeText = "{\"iss\":\"joe\",\r\n \"exp\":1300819380,\r\n \"http://example.com/is_root\":true}"

const printed = [
  [
    "RFC 7515 A.2",
    "eyJhbGciOiJSUzI1NiJ9",
    { alg: "RS256" },
    "cC4hiUPoj9Eetdgtv3hF80EGrhuB__dzERat0XF9g2VtQgr9PJbu3XOiZj5RZmh7AAuHIm4Bh-0Qc_lF5YKt_O8W2Fp5jujGbds9" +
    "uJdbF9CUAr7t1dnZcAcQjbKBYNX4BAynRFdiuB--f_nZLgrnbyTyWzO75vRK5h6xBArLIARNPvkSjtQBMHlb1L07Qe7K0GarZRmB" +
    "_eSN9383LcOLn6_dO--xi12jzDwusC-eOkHWEsqtFZESc6BfI7noOPqvhJ1phCnvWh6IeYI2w9QOYEUipUTI8np6LbgGY9Fs98rq" +
    "Vt5AXLIhWkWywlVmtVrBp0igcN_IoypGlUPQGe77Rw",
    256
  ],
  [
    "RFC 7515 A.3",
    "eyJhbGciOiJFUzI1NiJ9",
    { alg: "ES256" },
    "DtEhU3ljbEg8L38VWAfUAqOyKAM6-Xx-F4GawxaepmXFCgfTjDxw5djxLa8ISlSApmWQxfKTUJqPP3-Kg6NU1Q",
    64
  ]
] as const

const header = "eyJhbGciOiJSUzI1NiJ9"
const parts = "it does not have three parts separated by dots"
const encoding = "a part is not canonical base64url"
const object = "its header is not a JSON object"
const encoded = (text: string | Uint8Array) => Buffer.from(text).toString("base64url")

const malformed: ReadonlyArray<readonly [what: string, token: string, reason: CompactJws.Malformation]> = [
  ["nothing", "", parts],
  ["one part", header, parts],
  ["two parts", `${header}.${joe}`, parts],
  ["four parts", `${header}.${joe}.AAAA.AAAA`, parts],
  ["five parts, an encrypted token", `${header}.AAAA.AAAA.AAAA.AAAA`, parts],
  ["two dots and nothing else", "..", parts],
  ["a million dots", ".".repeat(1_000_000), parts],
  ["an empty header", `.${joe}.AAAA`, parts],
  ["an empty payload", `${header}..AAAA`, parts],
  ["an empty signature", `${header}.${joe}.`, parts],
  ["a dot in front", `.${header}.${joe}`, parts],
  ["the JSON serialization", `{"payload":"${joe}","protected":"${header}","signature":"AAAA"}`, parts],
  ["padding in the header", `${encoded("{\"alg\":\"RS256\" }")}==.${joe}.AAAA`, encoding],
  ["padding in the payload", `${header}.${joe}=.AAAA`, encoding],
  ["padding in the signature", `${header}.${joe}.AA==`, encoding],
  ["the alphabet of plain base64", `${header}.${joe}.AA+/`, encoding],
  ["a plus sign alone", `${header}.${joe}.AA+A`, encoding],
  ["a slash alone", `${header}.${joe}.AA/A`, encoding],
  ["a space", `${header}.${joe}.AA AA`, encoding],
  ["a space in front", ` ${header}.${joe}.AAAA`, encoding],
  ["a line break at the end", `${header}.${joe}.AAAA\n`, encoding],
  ["a null character", `${header}.${joe}.AAA\0`, encoding],
  ["a letter of another script", `${header}.${joe}.AAAА`, encoding],
  ["a letter of another script that a decoder takes for A", `${header}.${joe}.AAAс`, encoding],
  ["a single character, which encodes no byte", `${header}.${joe}.A`, encoding],
  ["a character too many", `${header}.${joe}.AAAAA`, encoding],
  ["a stray bit after one byte", `${header}.${joe}.AB`, encoding],
  ["a stray bit after two bytes", `${header}.${joe}.AAB`, encoding],
  ["a header of text", `${encoded("RS256")}.${joe}.AAAA`, object],
  ["a header of null", `${encoded("null")}.${joe}.AAAA`, object],
  ["a header of an array", `${encoded("[{}]")}.${joe}.AAAA`, object],
  ["a header of a string", `${encoded("\"alg\"")}.${joe}.AAAA`, object],
  ["a header with a member twice", `${encoded("{\"alg\":\"none\",\"alg\":\"RS256\"}")}.${joe}.AAAA`, object],
  ["a header that is no UTF-8", `${encoded(Uint8Array.of(0x7b, 0xff, 0x7d))}.${joe}.AAAA`, object],
  ["a header with a byte order mark", `${encoded("\uFEFF{}")}.${joe}.AAAA`, object]
]

const readOrFail = (token: string) => {
  const jws = CompactJws.read(token)
  return typeof jws === "string" ? assert.fail(jws) : jws
}

describe("a compact JWS", () => {
  for (const [source, header, members, signature, length] of printed) {
    it(`${source} is taken apart`, () => {
      const jws = readOrFail(`${header}.${joe}.${signature}`)
      assert.deepStrictEqual<object>(jws.header, members)
      assert.strictEqual(jws.payload.toString(), joeText)
      assert.strictEqual(jws.signature.length, length)
      assert.strictEqual(jws.signature.toString("base64url"), signature)
      assert.strictEqual(jws.signingInput.toString(), `${header}.${joe}`)
    })
  }

  for (const [what, token, reason] of malformed) {
    it(`${what}: ${reason}`, () => assert.strictEqual(CompactJws.read(token), reason))
  }

  it("the last character may be any that leaves no stray bit", () => {
    const alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
    const accepted = (rest: string) =>
      [...alphabet].filter((last) => typeof CompactJws.read(`${header}.${joe}.${rest}${last}`) !== "string").join("")
    assert.strictEqual(accepted("A"), "AQgw")
    assert.strictEqual(accepted("AA"), "AEIMQUYcgkosw048")
    assert.strictEqual(accepted("AAA"), alphabet)
  })

  it("a payload may be any bytes here", () => {
    const payload = Uint8Array.of(0xff, 0xfe, 0x00)
    assert.deepStrictEqual([...readOrFail(`${header}.${encoded(payload)}.AAAA`).payload], [...payload])
  })

  it("the header that one caller gets cannot be changed for the next", () => {
    const first = readOrFail(`${header}.${joe}.AAAA`)
    assert.throws(() => Object.assign(first.header, { alg: "none" }))
    assert.deepStrictEqual<object>(readOrFail(`${header}.AAAA.BBBB`).header, { alg: "RS256" })
  })

  it("more headers than are remembered are read as well as the first ones", () => {
    for (const round of [1, 2]) {
      for (let n = 0; n < 200; n++) {
        const jws = readOrFail(`${encoded(JSON.stringify({ n, filler: "x".repeat(n * 4) }))}.AAAA.AAAA`)
        assert.strictEqual(jws.header["n"], n, `round ${round}`)
      }
    }
  })

  describe("is remembered by its header", () => {
    let made = 0
    const another = (length = 0) => {
      const token = `${encoded(JSON.stringify({ made: ++made }).padEnd(length))}.AAAA.AAAA`
      return { token, header: readOrFail(token).header }
    }
    const isHeld = ({ header, token }: ReturnType<typeof another>) => readOrFail(token).header === header

    it("up to 64 of them, and then others", () => {
      const first = another()
      let last = another()
      for (let n = 0; n < 1000 && isHeld(first); n++) last = another()
      // Of what was before, only the last one and the first, read again, are left.
      const fill = [last, ...Array.from({ length: 62 }, () => another())]
      assert.isTrue(fill.every(isHeld))
      another()
      assert.isFalse(fill.some(isHeld))
    })

    it("of 512 characters at most", () => {
      assert.deepStrictEqual([384, 385].map((bytes) => isHeld(another(bytes))), [true, false])
    })

    it("unless it is not to be", () => {
      const token = `${encoded(JSON.stringify({ made: ++made }))}.AAAA.AAAA`
      const passing = CompactJws.read(token, false)
      assert.isTrue(typeof passing !== "string" && passing.header !== readOrFail(token).header)
    })
  })

  it("a JSON object is neither null nor a list nor anything plain", () => {
    assert.deepStrictEqual([{}, { a: 1 }, null, [], [{}], "{}", 1, undefined].map(CompactJws.isJsonObject), [
      true,
      true,
      ...Array.from({ length: 6 }, () => false)
    ])
  })
})
