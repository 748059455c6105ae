import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import { createPublicKey, generateKeyPairSync, type KeyObject } from "node:crypto"
import { OktaConfig, type OktaOptions } from "../../src/config/OktaConfig.ts"
import * as CompactJws from "../../src/token/CompactJws.ts"
import * as DpopProof from "../../src/token/DpopProof.ts"
import { configLayer, nativeLayer } from "../proxy/ProxyTest.ts"
import { hash, type Otherwise, ProofKey } from "../support/Proofs.ts"
import { makeKey, now } from "./TestIssuer.ts"

const url = "https://mcp.example.com/mcp"
const token = "the token"
const times = { lifetime: 60, tolerance: 30 }
const key = new ProofKey()
const other = new ProofKey()

const proof = (otherwise?: Otherwise) => key.proof({ url, iat: now, token }, otherwise)

const taken = (text: string, earlier?: DpopProof.Prover) => {
  const read = DpopProof.read(text, earlier)
  assert(typeof read !== "string", String(read))
  return read
}

/** What is wrong with a proof, whether it cannot be read or is for something else. */
const wrong = (otherwise: Otherwise, request: Partial<DpopProof.ProvenRequest> = {}, at = now) => {
  const read = DpopProof.read(proof(otherwise))
  return typeof read === "string"
    ? read
    : DpopProof.mistake(read, { method: "GET", url, accessToken: token, ...request }, times, at)
}

const publicJwk = (privateKey: KeyObject) => createPublicKey(privateKey).export({ format: "jwk" })
const rsa = generateKeyPairSync("rsa", { modulusLength: 1024 }).privateKey
const p384 = generateKeyPairSync("ec", { namedCurve: "P-384" }).privateKey

describe("a DPoP proof, taken apart", () => {
  it("says by which key and algorithm it is", () => {
    const { by, claims } = taken(proof({ claims: { jti: "id", nonce: "nonce" } }))
    assert.deepInclude(by, { algorithm: "ES256", thumbprint: key.thumbprint })
    assert.deepStrictEqual(by.key.export({ format: "jwk" }), createPublicKey(key.privateKey).export({ format: "jwk" }))
    assert.deepStrictEqual(claims, {
      jti: "id",
      htm: "GET",
      htu: url,
      iat: now,
      ath: hash(token),
      nonce: "nonce"
    })
  })

  it("takes what is known of a header from an earlier proof, if it is the very same header", () => {
    const { by } = taken(proof())
    assert.strictEqual(taken(proof(), by).by, by)
    assert.notStrictEqual(taken(proof()).by, by)
    const others = taken(other.proof({ url, iat: now }), by)
    assert.strictEqual(others.by.thumbprint, other.thumbprint)
    assert.isString(DpopProof.read(proof({ header: { typ: "jwt" } }), by))
    assert.isString(DpopProof.read(proof({ payload: "[]" }), by))
  })

  it("has a header of its own, which takes no place among those of tokens that are remembered", () => {
    const headerOf = (token: string) => {
      const jws = CompactJws.read(token)
      return typeof jws === "string" ? assert.fail(jws) : jws.header
    }
    const token = makeKey("ES256").token()
    const before = headerOf(token)
    for (let n = 0; n < 100; n++) taken(proof({ header: { n } }))
    assert.strictEqual(headerOf(token), before)
  })

  const header: ReadonlyArray<readonly [Otherwise, RegExp]> = [
    [{ header: { typ: "JWT" } }, /^is of the type "JWT", and not dpop\+jwt$/],
    [{ header: { typ: undefined } }, /^is of the type absent/],
    [{ header: { alg: "none" } }, /^is signed by the algorithm "none"$/],
    [{ header: { alg: "HS256", jwk: { kty: "oct", k: "AA" } } }, /^is signed by the algorithm "HS256"$/],
    [{ header: { alg: "ES384" } }, /^is signed by the algorithm ES384, which does not fit its key$/],
    [{ header: { crit: ["x"] } }, /^has the header member crit$/],
    [{ header: { jku: "https://x" } }, /^has the header member jku$/],
    [{ header: { jwk: undefined } }, /^has no key \(jwk\) in its header$/],
    [{ header: { jwk: key.privateKey.export({ format: "jwk" }) } }, /^has a key that is not public$/],
    [{ header: { jwk: { ...key.jwk, k: "AA" } } }, /^has a key that is not public$/],
    [{ header: { jwk: "x" } }, /^has a key that /],
    [{ header: { jwk: { ...key.jwk, use: "enc" } } }, /^has a key that is for use "enc"$/],
    [{ header: { alg: "RS256", jwk: publicJwk(rsa) }, signer: rsa }, /^has a key that has only 1024 bits$/],
    [{ header: { jwk: publicJwk(p384) }, signer: p384 }, /^is signed by the algorithm ES256, which does not fit/]
  ]
  it("is none with such a header", () => {
    for (const [otherwise, reason] of header) assert.match(String(wrong(otherwise)), reason)
  })

  it("is none with claims that are missing or of another type", () => {
    const claims: ReadonlyArray<Otherwise> = [
      { payload: "{" },
      { payload: "[]" },
      { payload: "null" },
      ...["jti", "htm", "htu", "iat"].map((name) => ({ claims: { [name]: undefined } })),
      ...["jti", "htm", "htu", "ath", "nonce"].map((name) => ({ claims: { [name]: 1 } })),
      ...[String(now), now + 0.5, null].map((iat) => ({ claims: { iat } })),
      { claims: { jti: "" } },
      { claims: { jti: "j".repeat(513) } },
      { payload: `{"jti":"a","jti":"b","htm":"GET","htu":"${url}","iat":${now}}` }
    ]
    for (const otherwise of claims) assert.match(String(wrong(otherwise)), /^lacks one of the claims /)
    assert.isUndefined(wrong({ claims: { jti: "j".repeat(512) } }))
    assert.isUndefined(wrong({ claims: { more: "x", nonce: undefined } }))
  })

  it("is none that is no JWS, or longer than 4096 characters", () => {
    for (const text of ["", "x", "a.b", "...", `${proof()}=`, `${proof()}.`]) {
      assert.match(String(DpopProof.read(text)), /^cannot be read: ./)
    }
    const padded = (header: number, claims: number) =>
      proof({ header: { pad: "p".repeat(header) }, claims: { jti: "x", pad: "p".repeat(claims) } })
    const room = Math.floor((4096 - padded(0, 0).length) * 3 / 4)
    const texts = [0, 1, 2, 3].flatMap((header) => [-3, -2, -1, 0, 1].map((claims) => padded(header, room + claims)))
    const sized = (size: number) => texts.find(({ length }) => length === size) ?? ""
    assert.isObject(DpopProof.read(sized(4096)))
    assert.strictEqual(DpopProof.read(sized(4097)), "is longer than 4096 characters")
  })
})

describe("a DPoP proof, held against a request", () => {
  it("is for its method, its time and its token", () => {
    const cases: ReadonlyArray<readonly [Otherwise, string | undefined]> = [
      [{}, undefined],
      [{ claims: { htm: "POST" } }, "is for the method \"POST\""],
      [{ claims: { htm: "get" } }, "is for the method \"get\""],
      [{ claims: { iat: now - 60 } }, undefined],
      [{ claims: { iat: now - 61 } }, "is older than 60 seconds"],
      [{ claims: { iat: now + 30 } }, undefined],
      [{ claims: { iat: now + 31 } }, "is of 31 seconds from now"],
      [{ claims: { ath: undefined } }, "is not made for the token (ath)"],
      [{ claims: { ath: hash("another") } }, "is not made for the token (ath)"],
      [{ claims: { ath: "" } }, "is not made for the token (ath)"]
    ]
    for (const [otherwise, reason] of cases) assert.strictEqual(wrong(otherwise), reason)
    assert.strictEqual(wrong({ claims: { iat: now + 31 } }, {}, now + 0.5), "is of 31 seconds from now")
    assert.strictEqual(wrong({ claims: { iat: now - 60 } }, {}, now + 0.5), "is older than 60 seconds")
    assert.isUndefined(wrong({ claims: { ath: undefined } }, { accessToken: undefined }))
    assert.isUndefined(wrong({ claims: { ath: "x" } }, { accessToken: undefined }))
    assert.isUndefined(wrong({ claims: { htm: "POST" } }, { method: "POST" }))
  })

  it("is for its URL, by whatever spelling means the same, and no other", () => {
    const same = [
      url,
      "HTTPS://MCP.EXAMPLE.COM/mcp",
      "https://mcp.example.com:443/mcp",
      "https://mcp.example.com/%6Dcp",
      "https://mcp.example.com/%6dcp",
      "https://mcp.example.com/x/../mcp",
      "https://mcp.example.com/./mcp"
    ]
    const different = [
      "https://mcp.example.com/mcp/",
      "https://mcp.example.com/MCP",
      "https://mcp.example.com/mcp?x",
      "https://mcp.example.com/mcp#x",
      "https://mcp.example.com//mcp",
      "https://mcp.example.com/m%63p%20",
      "https://mcp.example.com:8443/mcp",
      "http://mcp.example.com/mcp",
      "ftp://mcp.example.com/mcp",
      "https://user@mcp.example.com/mcp",
      "https://:password@mcp.example.com/mcp",
      "https:\\\\mcp.example.com\\mcp",
      " https://mcp.example.com/mcp",
      "https://mcp.example.com/mcp ",
      "https://mcp.example.com/m\tcp",
      "https://mcp.example.com/mçp",
      "https://mcp.example.com:99999/mcp",
      `https://mcp.example.com/${"x".repeat(1000)}/../mcp?`,
      "//mcp.example.com/mcp",
      "/mcp",
      ""
    ]
    for (const htu of same) assert.isUndefined(wrong({ claims: { htu } }), htu)
    for (const htu of different) {
      const reason = `is for ${JSON.stringify(htu).slice(0, 200)}, and not for ${url}`
      assert.strictEqual(wrong({ claims: { htu } }), reason)
    }
  })

  it("is for no URL with dots in its path, where a router and a parser may differ", () => {
    for (
      const path of ["/./mcp", "/x/../mcp", "/mcp/.", "/mcp/..", "/%2e/mcp", "/x/%2E%2e/mcp", "/x/.%2E/mcp", "/mcp/%2e"]
    ) {
      const at = `https://mcp.example.com${path}`
      assert.match(String(wrong({ claims: { htu: at } }, { url: at })), /^is for /, path)
    }
    for (const path of ["/.well-known/x", "/a.b", "/...", "/x/.../y", "/a./b", "/%2e%2e%2e", "/%2ex"]) {
      const at = `https://mcp.example.com${path}`
      assert.isUndefined(wrong({ claims: { htu: at } }, { url: at }), path)
    }
  })

  it("is for no request whose URL cannot be compared", () => {
    const strange = `${url}\\x`
    for (const htu of [strange, "", url]) {
      assert.match(String(wrong({ claims: { htu } }, { url: strange })), /^is for ".*", and not for /)
    }
  })
})

describe("a URL in the form in which it is compared (RFC 3986 section 6.2.2)", () => {
  it("has small letters in its host, no port that goes without saying, and as little encoded as may be", () => {
    const cases = [
      ["https://A.example", "https://a.example/"],
      ["http://a.example:80/x", "http://a.example/x"],
      ["http://127.0.0.1:8080/x", "http://127.0.0.1:8080/x"],
      ["https://a.example/%7euser/%41%2d%5f%2E%7E%30", "https://a.example/~user/A-_.~0"],
      ["https://a.example/a%2fb%3f%c3%a9%20", "https://a.example/a%2Fb%3F%C3%A9%20"],
      ["https://a.example/%zz%4", "https://a.example/%zz%4"],
      ["https://a.example/!$&'()*+,;=:@[]", "https://a.example/!$&'()*+,;=:@[]"],
      [`https://a.example/${"x".repeat(4078)}`, `https://a.example/${"x".repeat(4078)}`],
      [`https://a.example/${"x".repeat(4079)}`, undefined],
      ["https://a.example/\"", "https://a.example/%22"],
      ["https://a.example/ ", undefined],
      ["https://a.example/\\", undefined],
      ["https://a.example/#", undefined],
      ["https://a.example/?", undefined],
      ["https://a.example/\u007f", undefined],
      ["https://u:p@a.example/", undefined],
      ["https://u@a.example/", undefined],
      ["https://:p@a.example/", undefined],
      ["https://a.example:x/", undefined],
      ["https:///", undefined],
      ["https://", undefined],
      ["httpss://a.example/", undefined],
      ["x https://a.example/", undefined]
    ] as const
    for (const [text, form] of cases) assert.strictEqual(DpopProof.normalized(text), form, text.slice(0, 60))
  })
})

describe("what a token is bound to (RFC 9449 section 6.1)", () => {
  it("is a key by its thumbprint, nothing, or what is not known here", () => {
    assert.strictEqual(DpopProof.boundKey({}), "unbound")
    assert.strictEqual(DpopProof.boundKey({ cnf: undefined }), "unbound")
    assert.deepStrictEqual(DpopProof.boundKey({ cnf: { jkt: "x", more: 1 } }), { thumbprint: "x" })
    for (const cnf of [null, "x", [], {}, { jkt: 1 }, { "x5t#S256": "x" }]) {
      assert.strictEqual(DpopProof.boundKey({ cnf }), "unknown")
    }
  })
})

describe("whether proofs are taken", () => {
  it.effect("depends on the setting, on a public URL, and on whose tokens clients hold", () =>
    Effect.gen(function*() {
      const offered = (settings: Partial<OktaOptions>) =>
        Effect.map(Effect.provide(OktaConfig, configLayer(settings)), DpopProof.isOffered)
      assert.isTrue(yield* offered({}))
      assert.isTrue(yield* offered({ dpop: "require" }))
      assert.isFalse(yield* offered({ dpop: "off" }))
      const issuer = "https://acme.okta.com/oauth2/default"
      assert.isFalse(yield* offered({ issuer, audience: "api://default", passThrough: true }))
      assert.isFalse(DpopProof.isOffered(yield* Effect.provide(OktaConfig, nativeLayer)))
      const native = OktaConfig.layer({ issuer, audience: "api://default", serverUrl: "https://mcp.example.com" })
      assert.isTrue(DpopProof.isOffered(yield* Effect.provide(OktaConfig, native)))
    }))
})
