import { assert, describe, it, layer } from "@effect/vitest"
import { Effect, Layer, Redacted } from "effect"
import { HttpRouter, HttpServerResponse } from "effect/http"
import { TestClock } from "effect/testing"
import { createPublicKey, generateKeyPairSync } from "node:crypto"
import { request } from "node:http"
import type { OktaOptions } from "../../src/config/OktaConfig.ts"
import * as OktaAuth from "../../src/OktaAuth.ts"
import * as MemoryStore from "../../src/store/MemoryStore.ts"
import { Store, StoreUnavailable } from "../../src/store/Store.ts"
import { CurrentPrincipal } from "../../src/token/Principal.ts"
import { hash, type Otherwise, ProofKey } from "../support/Proofs.ts"
import { type Answer, now, serve, TestServer } from "./TestServer.ts"

const serverUrl = "https://mcp.example.com/base"
const settings = { serverUrl, protectedPaths: ["/mcp"] }
const url = `${serverUrl}/mcp`

const app = Layer.mergeAll(
  OktaAuth.routes,
  HttpRouter.add(
    "*",
    "/mcp",
    Effect.map(CurrentPrincipal, ({ subject }) => HttpServerResponse.text(subject))
  ).pipe(Layer.provide(OktaAuth.guard().layer))
)

const key = new ProofKey()
const algs = "RS256 PS256 PS384 PS512 ES256 ES384 ES512 EdDSA Ed25519"
const metadata = "resource_metadata=\"https://mcp.example.com/.well-known/oauth-protected-resource/base/mcp\""

/** A token that is bound to the key. */
const bound = Effect.flatMap(
  TestServer,
  ({ okta }) => Effect.map(okta.token({ claims: { cnf: { jkt: key.thumbprint } } }), Redacted.value)
)

const unbound = Effect.flatMap(TestServer, ({ okta }) => Effect.map(okta.token(), Redacted.value))

const send = (token: string, proof: string | undefined, { method = "GET", path = "/mcp", scheme = "DPoP" } = {}) =>
  Effect.flatMap(TestServer, ({ ask }) =>
    ask(path, {
      method,
      headers: { authorization: `${scheme} ${token}`, ...(proof === undefined ? undefined : { dpop: proof }) }
    }))

const proofFor = (token: string, otherwise?: Otherwise) => key.proof({ url, iat: now, token }, otherwise)

const assertRefused = (answer: Answer, error: string, what?: string) => {
  const description = {
    invalid_dpop_proof: "The DPoP proof is not good for this request.",
    invalid_token: "The access token was not sent in the way that it has to be."
  }[error]
  assert.strictEqual(answer.status, 401, what)
  assert.deepStrictEqual(JSON.parse(answer.body), { error, error_description: description }, what)
  return assert.strictEqual(
    answer.headers["www-authenticate"],
    `DPoP error="${error}", error_description="${description}", ${metadata}, algs="${algs}"`,
    what
  )
}

const rsa = generateKeyPairSync("rsa", { modulusLength: 1024 })
const p384 = generateKeyPairSync("ec", { namedCurve: "P-384" })
const { privateKey: otherKey } = generateKeyPairSync("ec", { namedCurve: "P-256" })
const publicJwk = (privateKey: Parameters<typeof createPublicKey>[0]) =>
  createPublicKey(privateKey).export({ format: "jwk" })

/** Every way in which a proof is not good, each of them otherwise in order. */
const bad: ReadonlyArray<readonly [what: string, otherwise: Otherwise]> = [
  ...[undefined, "DPoP+JWT", "jwt", "at+jwt", "application/dpop+jwt", 1, ["dpop+jwt"]].map((typ) =>
    [`typ ${JSON.stringify(typ)}`, { header: { typ } }] as const
  ),
  ...[undefined, "none", "HS256", "RS256", "ES384", "ES256K", "es256", 1, ["ES256"]].map((alg) =>
    [`alg ${JSON.stringify(alg)}`, { header: { alg } }] as const
  ),
  ...["crit", "b64", "jku", "x5u", "x5c", "x5t", "x5t#S256"].map((member) =>
    [`header member ${member}`, { header: { [member]: ["x"] } }] as const
  ),
  ["no jwk", { header: { jwk: undefined } }],
  ["a jwk that is null", { header: { jwk: null } }],
  ["a jwk that is text", { header: { jwk: JSON.stringify(key.jwk) } }],
  ["a jwk that is a list", { header: { jwk: [key.jwk] } }],
  ["a private jwk", { header: { jwk: key.privateKey.export({ format: "jwk" }) } }],
  ["a jwk with a member of private ones", { header: { jwk: { ...key.jwk, k: "AAAA" } } }],
  ["a symmetric jwk", { header: { alg: "HS256", jwk: { kty: "oct", k: "AAAA" } } }],
  ["a jwk for encryption", { header: { jwk: { ...key.jwk, use: "enc" } } }],
  ["a jwk for another algorithm", { header: { jwk: { ...key.jwk, alg: "ES384" } } }],
  ["a jwk of no point on the curve", { header: { jwk: { ...key.jwk, x: key.jwk["y"] } } }],
  ["another key", { header: { jwk: publicJwk(otherKey) }, signer: otherKey }],
  ["a key whose owner did not sign", { signer: otherKey }],
  ["a key of another curve", { header: { jwk: publicJwk(p384.privateKey) }, signer: p384.privateKey }],
  ["a weak key", { header: { alg: "RS256", jwk: publicJwk(rsa.privateKey) }, signer: rsa.privateKey }],
  ...["jti", "htm", "htu", "iat", "ath"].flatMap((claim) =>
    [undefined, null, 1.5, true, {}, [], ""].map((value) =>
      [`${claim} ${JSON.stringify(value)}`, { claims: { [claim]: value } }] as const
    )
  ),
  ["a nonce that is no text", { claims: { nonce: 1 } }],
  ["a long jti", { claims: { jti: "j".repeat(513) } }],
  ["iat as text", { claims: { iat: String(now) } }],
  ["an old proof", { claims: { iat: now - 61 } }],
  ["a proof from the future", { claims: { iat: now + 31 } }],
  ["another method", { claims: { htm: "POST" } }],
  ["the method in small letters", { claims: { htm: "get" } }],
  ...[
    "https://mcp.example.com/mcp",
    "https://mcp.example.com/base/mcp/",
    "https://mcp.example.com/base/MCP",
    "https://mcp.example.com/base/mcp?x",
    "https://mcp.example.com/base/mcp#x",
    "https://u:p@mcp.example.com/base/mcp",
    "https://mcp.example.com:444/base/mcp",
    "http://mcp.example.com/base/mcp",
    "https://mcp.example.com/base%2Fmcp",
    "https://evil.example/base/mcp",
    "https:\\\\mcp.example.com\\base\\mcp",
    " https://mcp.example.com/base/mcp",
    "//mcp.example.com/base/mcp",
    "/base/mcp",
    "127.0.0.1"
  ].map((htu) => [`the URL ${htu}`, { claims: { htu } }] as const),
  ["the hash of another token", { claims: { ath: hash("another") } }],
  ["claims that are a list", { payload: "[]" }],
  ["claims that are no JSON", { payload: "{" }],
  ["a claim twice", { payload: `{"jti":"a","jti":"b","htm":"GET","htu":"${url}","iat":${now},"ath":"x"}` }]
]

layer(TestServer.layer(app, settings))("a token that is bound to a key", (it) => {
  it.effect("lets its holder in, each time with another proof, a verdict remembered or not", () =>
    Effect.gen(function*() {
      const token = yield* bound
      for (const scheme of ["DPoP", "dpop", "DPOP", "DPoP "]) {
        const answer = yield* send(token, proofFor(token), { scheme })
        assert.deepStrictEqual([answer.status, answer.body], [200, "ada@example.com"], scheme)
        assert.isFalse("dpop-nonce" in answer.headers)
      }
    }))

  it.effect("comes with a proof of a minute, give or take what clocks may differ by", () =>
    Effect.gen(function*() {
      const token = yield* bound
      for (const iat of [now - 60, now + 30]) {
        assert.strictEqual((yield* send(token, proofFor(token, { claims: { iat } }))).status, 200)
      }
    }))

  it.effect("comes with a proof for the public URL, however it is spelt and whatever the request says of its host", () =>
    Effect.gen(function*() {
      const token = yield* bound
      for (
        const htu of [
          "HTTPS://MCP.example.com:443/base/mcp",
          "https://mcp.example.com/base/%6dcp",
          "https://mcp.example.com/base/./x/../mcp"
        ]
      ) {
        assert.strictEqual((yield* send(token, proofFor(token, { claims: { htu } }))).status, 200, htu)
      }
      const withQuery = yield* send(token, proofFor(token), { path: "/mcp?a=b" })
      assert.strictEqual(withQuery.status, 200)
      const { url: actual } = yield* TestServer
      const local = proofFor(token, { claims: { htu: `${actual}/mcp` } })
      assertRefused(yield* send(token, local), "invalid_dpop_proof")
    }))

  it.effect("is of no use by itself, as a bearer token, also while its verdict is remembered", () =>
    Effect.gen(function*() {
      const token = yield* bound
      for (const remembered of [false, true]) {
        for (const proof of [undefined, proofFor(token)]) {
          const { headers, status } = yield* send(token, proof, { scheme: "Bearer" })
          assert.strictEqual(status, 401, String(remembered))
          assert.match(headers["www-authenticate"] ?? "", /^Bearer error="invalid_token", .*, DPoP algs="RS256 [^"]*"$/)
        }
        assertRefused(yield* send(token, undefined), "invalid_dpop_proof")
        assert.strictEqual((yield* send(token, proofFor(token))).status, 200)
      }
    }))

  it.effect("and one that is not cannot take its place", () =>
    Effect.gen(function*() {
      const token = yield* unbound
      assertRefused(yield* send(token, proofFor(token)), "invalid_token")
      assert.strictEqual((yield* send(token, proofFor(token), { scheme: "Bearer" })).status, 200)
      const { okta } = yield* TestServer
      for (const cnf of [null, "x", [], {}, { jkt: 1 }, { "x5t#S256": "x" }]) {
        const strange = Redacted.value(yield* okta.token({ claims: { cnf } }))
        assertRefused(yield* send(strange, proofFor(strange)), "invalid_token", JSON.stringify(cnf))
        assert.strictEqual((yield* send(strange, undefined, { scheme: "Bearer" })).status, 401)
      }
    }))

  it.effect("is no proof, and a proof is no token", () =>
    Effect.gen(function*() {
      const token = yield* bound
      const proof = proofFor(token)
      assertRefused(yield* send(token, token), "invalid_dpop_proof")
      for (const scheme of ["Bearer", "DPoP"]) {
        const { headers, status } = yield* send(proof, proof, { scheme })
        assert.strictEqual(status, 401)
        assert.include(headers["www-authenticate"], "error=\"invalid_token\"")
      }
    }))

  for (const [what, otherwise] of bad) {
    it.effect(`is refused with a proof that is wrong: ${what}`, () =>
      Effect.gen(function*() {
        const token = yield* bound
        assertRefused(yield* send(token, proofFor(token, otherwise)), "invalid_dpop_proof")
      }))
  }

  it.effect("is refused with what is no proof at all, or a changed one", () =>
    Effect.gen(function*() {
      const token = yield* bound
      const proof = proofFor(token)
      const [header = "", claims = "", signature = ""] = proof.split(".")
      const texts = [
        "x",
        "..",
        `${header}.${claims}`,
        `${header}.${claims}.`,
        `${proof}.`,
        `${proof}=`,
        `${header}.${claims}.${signature.slice(0, -2)}`,
        `${header}.${claims}.${Buffer.alloc(64).toString("base64url")}`,
        `${proof}, ${proofFor(token)}`,
        proofFor(token, { claims: { x: "x".repeat(5000) } })
      ]
      for (const text of texts) assertRefused(yield* send(token, text), "invalid_dpop_proof", text.slice(0, 100))
      assert.strictEqual((yield* send(token, proof)).status, 200)
    }))

  it.effect("is refused with two proofs, each of them good", () =>
    Effect.gen(function*() {
      const { url: actual } = yield* TestServer
      const token = yield* bound
      const status = yield* Effect.callback<number | undefined>((resume) => {
        request(`${actual}/mcp`, {
          agent: false,
          headers: ["Host", "mcp", "Authorization", `DPoP ${token}`, "DPoP", proofFor(token), "dpop", proofFor(token)]
        }, (response) => {
          response.resume()
          response.on("end", () => resume(Effect.succeed(response.statusCode)))
        }).end()
      })
      assert.strictEqual(status, 401)
    }))

  it.effect("is refused with a proof that has been used before, until its time is over anyhow", () =>
    Effect.gen(function*() {
      const token = yield* bound
      const proof = proofFor(token)
      assert.strictEqual((yield* send(token, proof)).status, 200)
      assertRefused(yield* send(token, proof), "invalid_dpop_proof")
      // The same text with another signature is the same proof; another key's jti is another.
      const sameId = { claims: { jti: "the same" } }
      assert.strictEqual((yield* send(token, proofFor(token, sameId))).status, 200)
      assertRefused(yield* send(token, proofFor(token, sameId)), "invalid_dpop_proof")
      const both = yield* Effect.all(
        Array.from({ length: 20 }, () =>
          send(
            token,
            proofFor(token, {
              claims: { jti: "at once" }
            })
          )),
        { concurrency: "unbounded" }
      )
      assert.lengthOf(both.filter(({ status }) => status === 200), 1)
    }))
})

describe("tokens that are bound to keys", () => {
  const withSettings = (more: Partial<OktaOptions & OktaAuth.StartOptions>) => serve(app, { ...settings, ...more })
  const provided = <A, E>(server: TestServer["Service"], effect: Effect.Effect<A, E, TestServer>) =>
    Effect.provideService(effect, TestServer, server)

  it.effect("may be required", () =>
    Effect.gen(function*() {
      const server = yield* withSettings({ dpop: "require" })
      const token = yield* provided(server, unbound)
      assertRefused(yield* provided(server, send(token, undefined, { scheme: "Bearer" })), "invalid_token")
      const none = yield* server.ask("/mcp")
      assert.strictEqual(none.headers["www-authenticate"], `DPoP ${metadata}, algs="${algs}"`)
      const good = yield* provided(server, bound)
      assert.strictEqual((yield* provided(server, send(good, proofFor(good)))).status, 200)
      const document = JSON.parse((yield* server.ask("/.well-known/oauth-protected-resource/base/mcp")).body)
      assert.isTrue(document.dpop_bound_access_tokens_required)
      assert.deepStrictEqual(document.dpop_signing_alg_values_supported, algs.split(" "))
    }))

  it.effect("are refused where DPoP is off, or the server does not know its own URL", () =>
    Effect.gen(function*() {
      for (const off of [{ dpop: "off" }, { serverUrl: undefined }] as const) {
        const server = yield* withSettings(off)
        const token = yield* provided(server, bound)
        const asBearer = yield* provided(server, send(token, undefined, { scheme: "Bearer" }))
        assert.strictEqual(asBearer.status, 401)
        assert.notInclude(asBearer.headers["www-authenticate"], "DPoP")
        const withProof = yield* provided(server, send(token, proofFor(token)))
        assert.strictEqual(withProof.status, 401)
        assert.notInclude(withProof.headers["www-authenticate"], "error")
        assert.include(server.logged.join(), "cannot be checked: dpop is off, or there is no serverUrl")
      }
    }))

  it.effect("come with proofs for as long as the setting says", () =>
    Effect.gen(function*() {
      const server = yield* withSettings({ dpopProofLifetime: "5 minutes" })
      const token = yield* provided(server, bound)
      const old = proofFor(token, { claims: { iat: now - 300 } })
      assert.strictEqual((yield* provided(server, send(token, old))).status, 200)
      assertRefused(yield* provided(server, send(token, old)), "invalid_dpop_proof")
      yield* TestClock.adjust("10 seconds")
      const older = proofFor(token, { claims: { iat: now - 291 } })
      assertRefused(yield* provided(server, send(token, older)), "invalid_dpop_proof")
    }))

  it.effect("are good once at all servers that share a store, and 503 while it is away", () =>
    Effect.gen(function*() {
      yield* TestClock.setTime(now * 1000)
      const shared = yield* Effect.provide(Store, yield* Layer.build(MemoryStore.layer))
      let away = false
      const kept: Array<string> = []
      const store = Layer.succeed(Store, {
        ...shared,
        putIfAbsent: (key, value, ttl) =>
          Effect.suspend(() => {
            kept.push(key)
            return away
              ? Effect.fail(new StoreUnavailable({ operation: "putIfAbsent", reason: "it is away" }))
              : shared.putIfAbsent(key, value, ttl)
          })
      })
      const one = yield* withSettings({ store })
      const two = yield* withSettings({ store })
      const token = yield* provided(one, bound)
      const proof = proofFor(token, { claims: { jti: "canary" } })
      assert.strictEqual((yield* provided(one, send(token, proof))).status, 200)
      assertRefused(yield* provided(one, send(token, proof)), "invalid_dpop_proof")
      const { okta } = two
      const elsewhere = Redacted.value(yield* okta.token({ claims: { cnf: { jkt: key.thumbprint } } }))
      const again = proofFor(elsewhere, { claims: { jti: "canary" } })
      assertRefused(yield* provided(two, send(elsewhere, again)), "invalid_dpop_proof")
      assert.lengthOf(kept, 3)
      for (const name of kept) assert.match(name, /^dpop:[\w-]{43}$/)
      away = true
      const answer = yield* provided(one, send(token, proofFor(token)))
      assert.deepStrictEqual([answer.status, answer.headers["retry-after"]], [503, "5"])
      assert.strictEqual(JSON.parse(answer.body).error, "temporarily_unavailable")
      assert.isFalse("www-authenticate" in answer.headers)
      for (let turn = 0; turn < 5; turn++) yield* provided(one, send(token, proofFor(token)))
      const told = (level: string, words: string) =>
        one.logged.filter((line) => line.includes(`level=${level}`) && line.includes(words)).length
      assert.strictEqual(told("WARN", "has been used before cannot be told: it is away"), 1)
      away = false
      for (let turn = 0; turn < 5; turn++) yield* provided(one, send(token, proofFor(token)))
      for (const what of ["What is known of used DPoP proofs", "The store"]) {
        assert.strictEqual(told("INFO", `${what} is available again`), 1, what)
      }
      away = true
      const bearer = yield* provided(one, unbound)
      assert.strictEqual((yield* provided(one, send(bearer, undefined, { scheme: "Bearer" }))).status, 200)
    }))

  it.effect("take no place in a store that is the memory of the process, whoever named it", () =>
    Effect.gen(function*() {
      const server = yield* withSettings({ store: MemoryStore.layerOptions({ maxEntries: 3 }) })
      const token = yield* provided(server, bound)
      for (let times = 0; times < 10; times++) {
        const proof = proofFor(token)
        assert.strictEqual((yield* provided(server, send(token, proof))).status, 200)
        assertRefused(yield* provided(server, send(token, proof)), "invalid_dpop_proof")
      }
    }))

  it.effect("leave nothing of theirs in the log, which warns once of a memory that is not shared", () =>
    Effect.gen(function*() {
      const server = yield* withSettings({})
      const token = yield* provided(server, bound)
      const proof = proofFor(token, { claims: { jti: "canary", ath: hash(token) } })
      for (const _ of [1, 2, 3]) yield* provided(server, send(token, proof))
      yield* provided(server, send(token, proofFor(token, { claims: { ath: "canary" } })))
      const lines = server.logged.filter((line) => line.includes("level=WARN"))
      assert.lengthOf(lines.filter((line) => line.includes("memory of this process")), 1)
      assert.include(server.logged.join(), "ReplayDetected")
      assert.include(server.logged.join(), "The DPoP proof has been used before")
      assert.notInclude(server.logged.join(), "canary")
      assert.notInclude(server.logged.join(), proof.slice(-40))
    }))
})
