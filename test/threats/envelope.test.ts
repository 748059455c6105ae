import { assert, layer } from "@effect/vitest"
import { Effect, Layer, Redacted } from "effect"
import { deflateRawSync } from "node:zlib"
import { OktaTest } from "../../src/testing/OktaTest.ts"
import type { TokenError } from "../../src/token/TokenError.ts"
import { assertAccepted, assertRefused, assertTokenRefused, GuardedServer } from "../support/GuardedServer.ts"
import { trap } from "../support/Listening.ts"
import { encode, goodClaims, goodHeader, published, RawIssuer } from "../support/RawIssuer.ts"

type Tokens = ReadonlyArray<readonly [what: string, token: string, reason: TokenError["_tag"]]>

/** Each is refused on both sides, and afterwards a good token is accepted still. */
const assertAllRefused = Effect.fnUntraced(function*(tokens: Tokens) {
  const issuer = yield* RawIssuer
  assert.isAbove(tokens.length, 0)
  for (const [what, token, reason] of tokens) {
    yield* assertTokenRefused(token, reason, what)
  }
  yield* assertAccepted(issuer.token())
})

/** A header as it is in a good token, with members on top. */
const header = (members: { readonly [member: string]: unknown }) => ({
  ...goodHeader("RS256", { kid: "rsa-1" }),
  ...members
})

/** Nothing was asked of anybody meanwhile: not of the issuer, and not of the trap. */
const withoutOutboundCalls = Effect.fnUntraced(function*<E, R>(attack: (url: string) => Effect.Effect<void, E, R>) {
  const issuer = yield* RawIssuer
  const { connections, url } = yield* trap
  yield* assertAccepted(issuer.token())
  const before = [...issuer.requests]
  assert.lengthOf(before, 2)
  yield* attack(url)
  yield* Effect.callback<void>((resume) => void setImmediate(() => resume(Effect.void)))
  assert.deepStrictEqual(issuer.requests, before)
  assert.strictEqual(connections(), 0)
})

layer(GuardedServer.layer().pipe(Layer.provideMerge(RawIssuer.layer)))("A. Token envelope", (it) => {
  it.effect("#1 alg none, empty signature: 401", () =>
    Effect.gen(function*() {
      const issuer = yield* RawIssuer
      const unsigned = issuer.token({ header: header({ alg: "none" }), alg: "none" })
      assert.isTrue(unsigned.endsWith("."))
      yield* assertAllRefused([
        ["empty signature", unsigned, "MalformedToken"],
        ["no third part", unsigned.slice(0, -1), "MalformedToken"],
        ["empty signature, alg as usual", issuer.token({ alg: "none" }), "MalformedToken"],
        ["some signature", issuer.token({ header: header({ alg: "none" }) }), "UnsupportedAlgorithm"]
      ])
    }))

  it.effect("#2 alg nOnE with a real RS256 signature: 401", () =>
    Effect.gen(function*() {
      const issuer = yield* RawIssuer
      yield* assertAllRefused(
        ["nOnE", "NONE", "None", "rs256", "RS256 ", ""].map((alg) =>
          [alg, issuer.token({ header: header({ alg }) }), "UnsupportedAlgorithm"] as const
        )
      )
    }))

  it.effect("#3 HS256 keyed with the issuer's RSA public PEM: 401", () =>
    Effect.gen(function*() {
      const issuer = yield* RawIssuer
      yield* assertAllRefused([
        ["HS256", issuer.token({ header: header({ alg: "HS256" }), alg: "HS256" }), "UnsupportedAlgorithm"],
        ["said to be RS256", issuer.token({ alg: "HS256", header: header({}) }), "InvalidSignature"]
      ])
    }))

  it.effect("#4 alg missing, number, array: 401, no exception escapes", () =>
    Effect.gen(function*() {
      const issuer = yield* RawIssuer
      yield* assertAllRefused(
        [undefined, null, 256, true, ["RS256"], { RS256: 1 }, "__proto__", "constructor"].map((alg) =>
          [String(alg), issuer.token({ header: header({ alg }) }), "UnsupportedAlgorithm"] as const
        )
      )
    }))

  it.effect("#5 RS256 signature relabelled RS512 or PS256: 401", () =>
    Effect.gen(function*() {
      const issuer = yield* RawIssuer
      yield* assertAllRefused([
        ["RS512", issuer.token({ header: header({ alg: "RS512" }) }), "UnsupportedAlgorithm"],
        ["PS256", issuer.token({ header: header({ alg: "PS256" }) }), "UnsupportedAlgorithm"],
        ["a real RS512", issuer.token({ header: header({ alg: "RS512" }), alg: "RS512" }), "UnsupportedAlgorithm"],
        ["RS512 relabelled RS256", issuer.token({ header: header({}), alg: "RS512" }), "InvalidSignature"]
      ])
    }))

  it.effect("#6 ES256 token valid under the same key set, RS256-only settings, JWK without alg: 401", () =>
    Effect.gen(function*() {
      const issuer = yield* RawIssuer
      assert.notProperty(published(issuer.ec), "alg")
      yield* assertAllRefused([
        ["ES256", issuer.token({ alg: "ES256", key: issuer.ec }), "UnsupportedAlgorithm"],
        [
          "ES256 said to be RS256",
          issuer.token({ alg: "ES256", key: issuer.ec, header: goodHeader("RS256", issuer.ec) }),
          "UnsupportedAlgorithm"
        ]
      ])
    }))

  it.effect("#8 attacker's jwk in the header, signed by the attacker: 401", () =>
    Effect.gen(function*() {
      const issuer = yield* RawIssuer
      const jwk = published(issuer.stranger)
      yield* assertAllRefused([
        ["own kid", issuer.token({ header: header({ jwk, kid: jwk["kid"] }), key: issuer.stranger }), "MalformedToken"],
        ["known kid", issuer.token({ header: header({ jwk }), key: issuer.stranger }), "MalformedToken"],
        ["no kid", issuer.token({ header: { alg: "RS256", jwk }, key: issuer.stranger }), "MalformedToken"],
        ["the issuer's own", issuer.token({ header: header({ jwk: published(issuer.key) }) }), "MalformedToken"],
        ["null", issuer.token({ header: header({ jwk: null }) }), "MalformedToken"],
        ["none, known kid", issuer.token({ header: header({}), key: issuer.stranger }), "InvalidSignature"]
      ])
    }))

  it.effect("#9 jku to the attacker's host: 401 and zero outbound calls", () =>
    withoutOutboundCalls(Effect.fnUntraced(function*(url) {
      const issuer = yield* RawIssuer
      yield* assertAllRefused([
        [
          "signed by the attacker",
          issuer.token({ header: header({ jku: `${url}/jwks` }), key: issuer.stranger }),
          "MalformedToken"
        ],
        ["signed by the issuer", issuer.token({ header: header({ jku: `${url}/jwks` }) }), "MalformedToken"],
        ["the issuer's own", issuer.token({ header: header({ jku: `${OktaTest.issuer}/v1/keys` }) }), "MalformedToken"],
        ["unknown kid", issuer.token({ header: header({ jku: url, kid: "no-such-key" }) }), "MalformedToken"]
      ])
    })))

  it.effect("#10 x5u, x5c header: 401, zero outbound calls", () =>
    withoutOutboundCalls(Effect.fnUntraced(function*(url) {
      const issuer = yield* RawIssuer
      yield* assertAllRefused(
        Object.entries({
          x5u: `${url}/chain.pem`,
          x5c: ["MIIB"],
          x5t: "dGh1bWJwcmludA",
          "x5t#S256": "dGh1bWJwcmludA"
        }).flatMap(([member, value]) =>
          [issuer.key, issuer.stranger].map((key) =>
            [member, issuer.token({ header: header({ [member]: value }), key }), "MalformedToken"] as const
          )
        )
      )
    })))

  it.effect.each(
    [
      ["a path", "../../dev/null", "UnknownKey"],
      ["SQL", "' OR 1=1--", "UnknownKey"],
      ["__proto__", "__proto__", "UnknownKey"],
      ["constructor", "constructor", "UnknownKey"],
      ["a forged log line", "x\r\nlevel=INFO message=\"signed in\"\u001b[2J", "UnknownKey"],
      ["terminal controls beyond ASCII", "x\u009b2J\u202e\u2028", "UnknownKey"],
      ["4 kB", "k".repeat(4096), "UnknownKey"],
      ["10 kB", "k".repeat(10_240), "MalformedToken"],
      ["empty", "", "MalformedToken"],
      ["a number", 1, "MalformedToken"],
      ["an array", ["rsa-1"], "MalformedToken"],
      ["null", null, "MalformedToken"]
    ] as const
  )("#11 kid %s: 401, never logged raw", ([, kid, reason]) =>
    Effect.gen(function*() {
      const issuer = yield* RawIssuer
      const { logged } = yield* GuardedServer
      const already = logged.length
      yield* assertTokenRefused(issuer.token({ header: header({ kid }) }), reason)
      const lines = logged.slice(already).filter((line) => line.includes("Request refused"))
      assert.lengthOf(lines, 1)
      for (const line of lines) {
        // Neither a line of its own, nor a command to the terminal, nor text that runs backwards.
        assert.notMatch(line, /[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]/u)
        assert.isBelow(line.length, 600)
      }
      yield* assertAccepted(issuer.token())
    }))

  it.effect("#13 kid absent: 401", () =>
    Effect.gen(function*() {
      const issuer = yield* RawIssuer
      yield* assertAllRefused([["no kid", issuer.token({ header: { alg: "RS256" } }), "MalformedToken"]])
    }))

  it.effect("#15 crit: 401", () =>
    Effect.gen(function*() {
      const issuer = yield* RawIssuer
      const critical = [["bork"], ["exp"], ["b64"], [], "bork", null, {}]
      yield* assertAllRefused([
        ...critical.map((crit) =>
          [JSON.stringify(crit), issuer.token({ header: header({ crit }) }), "MalformedToken"] as const
        ),
        ["b64", issuer.token({ header: header({ b64: false, crit: ["b64"] }) }), "MalformedToken"],
        ["b64 alone", issuer.token({ header: header({ b64: true }) }), "MalformedToken"]
      ])
    }))

  it.effect("#17 ID token with the API's audience: 401", () =>
    Effect.gen(function*() {
      const issuer = yield* RawIssuer
      yield* assertAllRefused(
        [{ nonce: "n-0S6" }, { at_hash: "77Qm" }, { c_hash: "LDkt" }, { nonce: null }, { nonce: "" }].map((claims) =>
          [JSON.stringify(claims), issuer.token({ payload: goodClaims(claims) }), "WrongTokenType"] as const
        )
      )
    }))

  it.effect("#18 typ of another kind of token: 401", () =>
    Effect.gen(function*() {
      const issuer = yield* RawIssuer
      const others = [
        "dpop+jwt",
        "logout+jwt",
        "secevent+jwt",
        "oauth-id-jag+jwt",
        "application/jwt",
        "rt+jwt",
        "at+jwt ",
        "at+jwt\n",
        "at+jwt;v=1",
        "JWS",
        "",
        null,
        1,
        ["at+jwt"]
      ]
      yield* assertAllRefused(
        others.map((typ) => [String(typ), issuer.token({ header: header({ typ }) }), "WrongTokenType"] as const)
      )
      for (const typ of ["JWT", "jwt", "at+jwt", "AT+JWT", "application/at+jwt", "Application/AT+jwt"]) {
        yield* assertAccepted(issuer.token({ header: header({ typ }) }))
      }
    }))

  it.effect("#21 JWE, PBES2 with p2c 2^31, zip DEF: 401 with no decryption work", () =>
    Effect.gen(function*() {
      const issuer = yield* RawIssuer
      const pbes2 = { alg: "PBES2-HS512+A256KW", enc: "A256GCM", p2c: 2 ** 31, p2s: "c2FsdA", kid: "rsa-1" }
      const jwe = (header: object) =>
        [encode({ ...header }), encode("key"), encode("iv".repeat(6)), encode("text"), encode("tag")].join(".")
      const bomb = deflateRawSync(Buffer.alloc(1 << 20, " "))
      yield* assertAllRefused([
        ["RSA-OAEP", jwe({ alg: "RSA-OAEP", enc: "A256GCM", kid: "rsa-1" }), "MalformedToken"],
        ["dir, no key part", jwe({ alg: "dir", enc: "A256GCM" }).replace(/\.[^.]+/, "."), "MalformedToken"],
        ["PBES2", jwe(pbes2), "MalformedToken"],
        ["PBES2 in three parts", issuer.token({ header: pbes2 }), "UnsupportedAlgorithm"],
        ["zip", jwe({ alg: "RSA-OAEP", enc: "A256GCM", zip: "DEF" }), "MalformedToken"],
        // Signed by the issuer, so that only the payload is at fault: it is not inflated.
        ["zip in a JWS", issuer.token({ header: header({ zip: "DEF" }), payload: bomb }), "MalformedToken"],
        [
          "zip in a JWS, good claims",
          issuer.token({ header: header({ zip: "DEF" }), payload: deflateRawSync(JSON.stringify(goodClaims())) }),
          "MalformedToken"
        ]
      ])
    }))

  it.effect("#22 JWS JSON serialization: 400, nested JWS: 401", () =>
    Effect.gen(function*() {
      const issuer = yield* RawIssuer
      const server = yield* GuardedServer
      const [head = "", payload = "", signature = ""] = issuer.token().split(".")
      for (
        const serialization of [
          { payload, protected: head, signature },
          { payload, signatures: [{ protected: head, signature }] }
        ].map((value) => JSON.stringify(value))
      ) {
        // No bearer token can look like this (RFC 6750 section 2.1), so it is no token that is refused.
        assertRefused(yield* server.ask({ token: serialization }), "invalid_request")
        assert.strictEqual((yield* Effect.flip(server.verify(serialization)))._tag, "MalformedToken")
      }
      yield* assertAllRefused([
        ["nested", issuer.token({ header: header({ cty: "JWT" }), payload: issuer.token() }), "MalformedToken"],
        [
          "nested, a JSON string",
          issuer.token({ header: header({ cty: "JWT" }), payload: JSON.stringify(issuer.token()) }),
          "MalformedToken"
        ]
      ])
    }))
})

layer(GuardedServer.layer({ algorithms: ["RS256", "PS256", "ES256"] }).pipe(Layer.provideMerge(RawIssuer.layer)))(
  "A. Token envelope, several algorithms",
  (it) => {
    it.effect("#5 RS256 signature relabelled PS256, and the other way round: 401", () =>
      Effect.gen(function*() {
        const issuer = yield* RawIssuer
        yield* assertAccepted(issuer.token({ alg: "PS256" }))
        yield* assertAllRefused([
          ["RS256 as PS256", issuer.token({ header: header({ alg: "PS256" }) }), "InvalidSignature"],
          ["PS256 as RS256", issuer.token({ header: header({}), alg: "PS256" }), "InvalidSignature"],
          ["RS256 as ES256", issuer.token({ header: header({ alg: "ES256" }) }), "UnsupportedAlgorithm"]
        ])
      }))

    it.effect("#7 ES256 signature of 64 zero bytes: 401", () =>
      Effect.gen(function*() {
        const issuer = yield* RawIssuer
        const good = issuer.token({ alg: "ES256", key: issuer.ec })
        yield* assertAccepted(good)
        const input = good.slice(0, good.lastIndexOf("."))
        const order = Buffer.from("ffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632551", "hex")
        const zero = Buffer.alloc(32)
        const one = Buffer.concat([Buffer.alloc(31), Buffer.of(1)])
        const signatures = {
          zeros: Buffer.alloc(64),
          "r = s = n": Buffer.concat([order, order]),
          "r = 0": Buffer.concat([zero, one]),
          "s = 0": Buffer.concat([one, zero]),
          "r = s = 1": Buffer.concat([one, one]),
          "DER of zeros": Buffer.of(0x30, 6, 2, 1, 0, 2, 1, 0),
          "one byte short": Buffer.alloc(63),
          "one byte long": Buffer.alloc(65)
        }
        yield* assertAllRefused(
          Object.entries(signatures).map(([what, signature]) =>
            [what, `${input}.${encode(signature)}`, "InvalidSignature"] as const
          )
        )
      }))
  }
)

const ambiguous = Layer.effectDiscard(Effect.gen(function*() {
  const issuer = yield* RawIssuer
  issuer.jwks = [
    { ...published(issuer.stranger), kid: "twin" },
    { ...published(issuer.other), kid: "twin" },
    published(issuer.key)
  ]
}))

layer(GuardedServer.layer().pipe(Layer.provide(ambiguous), Layer.provideMerge(RawIssuer.layer)))(
  "A. Token envelope, an ambiguous key set",
  (it) => {
    it.effect("#14 two JWKs with the same kid: 401, never 500", () =>
      Effect.gen(function*() {
        const issuer = yield* RawIssuer
        yield* assertAllRefused([
          ["the first", issuer.token({ header: header({ kid: "twin" }), key: issuer.stranger }), "UnknownKey"],
          ["the second", issuer.token({ header: header({ kid: "twin" }), key: issuer.other }), "UnknownKey"]
        ])
      }))
  }
)

const onlyTwins = Layer.effectDiscard(Effect.gen(function*() {
  const issuer = yield* RawIssuer
  issuer.jwks = [{ ...published(issuer.key), kid: "twin" }, { ...published(issuer.other), kid: "twin" }]
}))

layer(GuardedServer.layer().pipe(Layer.provide(onlyTwins), Layer.provideMerge(RawIssuer.layer)))(
  "A. Token envelope, nothing but an ambiguous kid in the key set",
  (it) => {
    it.effect("#14 two JWKs with the same kid and no other: no usable key, 503", () =>
      Effect.gen(function*() {
        const issuer = yield* RawIssuer
        const server = yield* GuardedServer
        const token = issuer.token({ header: header({ kid: "twin" }) })
        assertRefused(yield* server.ask({ token }), "temporarily_unavailable")
        assert.strictEqual((yield* Effect.flip(server.verify(token)))._tag, "KeysUnavailable")
      }))
  }
)

const onlyKey = Layer.effectDiscard(Effect.gen(function*() {
  const issuer = yield* RawIssuer
  issuer.jwks = [published(issuer.key)]
}))

layer(GuardedServer.layer().pipe(Layer.provide(onlyKey), Layer.provideMerge(RawIssuer.layer)))(
  "A. Token envelope, a single key",
  (it) => {
    it.effect("#13 kid absent, one key in the set: 401", () =>
      Effect.gen(function*() {
        const issuer = yield* RawIssuer
        yield* assertAllRefused([["no kid", issuer.token({ header: { alg: "RS256" } }), "MalformedToken"]])
      }))
  }
)

layer(GuardedServer.layer().pipe(Layer.provideMerge(OktaTest.layer())))(
  "A. Token envelope, a token of Okta's",
  (it) => {
    it.effect("#17 ID token, #18 typ, #8 jwk, made by the Okta in memory: 401", () =>
      Effect.gen(function*() {
        const okta = yield* OktaTest
        yield* assertAccepted(Redacted.value(yield* okta.token()))
        const before = yield* okta.requests
        const cases = [
          [{ defect: "id-token" }, "WrongTokenType"],
          [{ header: { typ: "dpop+jwt" } }, "WrongTokenType"],
          [{ header: { jwk: { kty: "oct", k: "AA" } } }, "MalformedToken"],
          [{ header: { kid: undefined } }, "MalformedToken"],
          [{ defect: "unsigned" }, "UnsupportedAlgorithm"],
          [{ defect: "bad-signature" }, "InvalidSignature"],
          [{ defect: "malformed" }, "MalformedToken"]
        ] as const
        for (const [options, reason] of cases) {
          yield* assertTokenRefused(Redacted.value(yield* okta.token(options)), reason)
        }
        assert.deepStrictEqual(yield* okta.requests, before)
        yield* assertAccepted(Redacted.value(yield* okta.token()))
      }))

    it.effect(
      "#24 every single-bit flip, every truncation, every one-character insert and delete: 401 for all",
      () =>
        Effect.gen(function*() {
          const okta = yield* OktaTest
          const server = yield* GuardedServer
          const good = Redacted.value(
            yield* okta.token({ claims: { uid: undefined, auth_time: undefined, ver: undefined } })
          )
          const changed = new Set<string>()
          for (let i = 0; i < good.length; i++) {
            for (let bit = 0; bit < 8; bit++) {
              changed.add(good.slice(0, i) + String.fromCharCode(good.charCodeAt(i) ^ 1 << bit) + good.slice(i + 1))
            }
            changed.add(good.slice(0, i))
            changed.add(good.slice(i))
            changed.add(good.slice(0, i) + good.slice(i + 1))
          }
          changed.delete(good)
          const inserted = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_.=+/ \n\u0000é"
          for (let i = 0; i <= good.length; i++) {
            for (const character of inserted) {
              changed.add(good.slice(0, i) + character + good.slice(i))
            }
          }
          assert.isAbove(changed.size, good.length * 70)
          assert.isFalse(changed.has(good))
          const accepted: Array<string> = []
          const reasons = new Set<string>()
          yield* Effect.forEach(changed, (token) =>
            Effect.match(server.verify(token), {
              onFailure: ({ _tag }) => reasons.add(_tag),
              onSuccess: () => accepted.push(token)
            }), { concurrency: 16, discard: true })
          assert.deepStrictEqual(accepted, [])
          assert.notInclude([...reasons], "KeysUnavailable")
          assert.includeMembers([...reasons], ["MalformedToken", "InvalidSignature", "UnknownKey"])
          assert.strictEqual((yield* okta.requests).keys, 2)

          // A sample over HTTP, of those that fit into a header line.
          const sample = [...changed].filter((token) => /^[A-Za-z0-9._~+/=-]+$/.test(token)).filter((_, i) =>
            i % 997 === 0
          )
          assert.isAbove(sample.length, 40)
          for (const token of sample) assertRefused(yield* server.ask({ token }), "invalid_token")
          yield* assertAccepted(good)
        }),
      60_000
    )
  }
)
