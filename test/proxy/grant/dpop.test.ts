import { assert, describe, it } from "@effect/vitest"
import { Effect, Layer, Redacted } from "effect"
import { TestClock } from "effect/testing"
import * as fc from "fast-check"
import * as MemoryStore from "../../../src/store/MemoryStore.ts"
import { Store, StoreUnavailable } from "../../../src/store/Store.ts"
import { basic, tokenProof } from "../../support/Credentials.ts"
import { type Otherwise, ProofKey } from "../../support/Proofs.ts"
import {
  assertRefused,
  assertSentBack,
  claimsOf,
  make,
  membersOf,
  now,
  type ProxyScene,
  type SceneOptions,
  serverUrl,
  tokensOf
} from "../../support/ProxyScene.ts"

const key = new ProofKey()
const thief = new ProofKey()

/** Calls the guarded path with a bound token. */
const call = (scene: ProxyScene, token: string, otherwise?: Otherwise) =>
  scene.one.ask("/mcp", {
    headers: {
      authorization: `DPoP ${token}`,
      dpop: key.proof({ url: `${serverUrl}/mcp`, iat: now, token }, otherwise)
    }
  })

const secret = Redacted.make("s".repeat(32))
const confidential = {
  clientId: "confidential",
  redirectUris: ["https://client.example.com/callback?tenant=1"],
  clientSecrets: [secret],
  mayIntrospect: true
}
const { authorization } = basic("confidential", Redacted.value(secret))

describe("the token endpoint", () => {
  it.effect("binds tokens to the key of which a proof comes, and no others", () =>
    Effect.gen(function*() {
      const scene = yield* make()
      const plain = yield* scene.one.token(scene.redemption(yield* scene.code()))
      assert.strictEqual(membersOf(plain)["token_type"], "Bearer")
      assert.notProperty(claimsOf(tokensOf(plain).accessToken), "cnf")

      const bound = yield* scene.one.token(scene.redemption(yield* scene.code()), tokenProof(key))
      assert.strictEqual(membersOf(bound)["token_type"], "DPoP")
      const { accessToken, refreshToken } = tokensOf(bound)
      assert.deepStrictEqual(claimsOf(accessToken)["cnf"], { jkt: key.thumbprint })
      assert.strictEqual((yield* call(scene, accessToken)).status, 200)
      assert.strictEqual((yield* scene.one.call(accessToken)).status, 401)
      assertRefused(yield* scene.one.token(scene.refreshment(refreshToken)), 400, "invalid_grant")
      assertRefused(
        yield* scene.one.token(scene.refreshment(refreshToken), tokenProof(thief)),
        400,
        "invalid_grant"
      )
      const renewed = yield* scene.one.token(scene.refreshment(refreshToken), tokenProof(key))
      assert.deepStrictEqual(claimsOf(tokensOf(renewed).accessToken)["cnf"], { jkt: key.thumbprint })
      // Whoever has an old refresh token but not the key ends nothing.
      for (let i = 0; i < 2; i++) {
        assertRefused(
          yield* scene.one.token(scene.refreshment(refreshToken), tokenProof(thief)),
          400,
          "invalid_grant"
        )
      }
      assert.strictEqual((yield* call(scene, tokensOf(renewed).accessToken)).status, 200)
    }))

  it.effect("refuses proofs that are wrong, and leaves the code good; one is good once, at whichever server", () =>
    Effect.gen(function*() {
      const scene = yield* make()
      const two = yield* scene.start()
      const code = yield* scene.code()
      const wrong: ReadonlyArray<Otherwise> = [
        ...["jti", "htm", "htu", "iat"].flatMap((claim) =>
          [undefined, null, 1.5, true, {}, [], "", "x".repeat(513)]
            .map((value) => ({ claims: { [claim]: value } }))
        ),
        ...[undefined, "DPoP+JWT", "at+jwt", "oauth-id-jag+jwt", 1, ["dpop+jwt"]].map((typ) => ({ header: { typ } })),
        ...[undefined, "none", "HS256", "RS256", "ES384", 1].map((alg) => ({ header: { alg } })),
        { header: { jwk: undefined } },
        { header: { jwk: { ...key.jwk, use: "enc" } } },
        { header: { crit: ["x"] } },
        { claims: { ath: 1 } },
        { claims: { htm: "GET" } },
        { claims: { htu: `${serverUrl}/mcp` } },
        { claims: { htu: serverUrl } },
        { claims: { iat: now - 61 } },
        { claims: { iat: now + 31 } },
        { claims: { jti: undefined } },
        { header: { typ: "jwt" } },
        { header: { jwk: key.privateKey.export({ format: "jwk" }) } },
        { signer: thief.privateKey }
      ]
      for (const otherwise of wrong) {
        assertRefused(
          yield* scene.one.token(scene.redemption(code), tokenProof(key, otherwise)),
          400,
          "invalid_dpop_proof"
        )
      }
      for (const dpop of ["", "x", `${tokenProof(key).dpop}, ${tokenProof(key).dpop}`, "x".repeat(5000)]) {
        assertRefused(yield* scene.one.token(scene.redemption(code), { dpop }), 400, "invalid_dpop_proof")
      }
      const proof = tokenProof(key)
      const { accessToken, refreshToken } = tokensOf(yield* scene.one.token(scene.redemption(code), proof))
      assertRefused(yield* two.token(scene.refreshment(refreshToken), proof), 400, "invalid_dpop_proof")
      assertRefused(
        yield* two.token(scene.refreshment(refreshToken), { dpop: accessToken }),
        400,
        "invalid_dpop_proof"
      )
      assert.strictEqual((yield* two.token(scene.refreshment(refreshToken), tokenProof(key))).status, 200)
      assert.isTrue(scene.watch.events.some((event) => event._tag === "ReplayDetected" && event.what === "DPoP proof"))
    }))

  it.effect("gives tokens for a bound code to nobody but the holder of its key", () =>
    Effect.gen(function*() {
      const scene = yield* make()
      const bound = { dpop_jkt: key.thumbprint }
      const first = yield* scene.code(bound)
      assert.strictEqual((yield* scene.one.token(scene.redemption(first), tokenProof(key))).status, 200)
      for (const headers of [{}, tokenProof(thief)]) {
        const code = yield* scene.code(bound)
        assertRefused(yield* scene.one.token(scene.redemption(code), headers), 400, "invalid_grant")
        assertRefused(yield* scene.one.token(scene.redemption(code), tokenProof(key)), 400, "invalid_grant")
      }
      for (const dpop_jkt of ["x", "=".repeat(43), key.thumbprint.slice(1)]) {
        assertSentBack(yield* scene.browser().ask(scene.authorizeUrl({ dpop_jkt })), "invalid_request")
      }
    }))

  it.effect("leaves the refresh tokens of a client with a secret unbound, and tells of the binding at introspection", () =>
    Effect.gen(function*() {
      const scene = yield* make({ settings: { clients: [confidential] } })
      const agent = scene.browser()
      const toOkta = yield* agent.ask(scene.authorizeUrl({ client_id: "confidential" }))
      const { location } = yield* agent.ask(yield* Effect.orDie(scene.okta.authorize(toOkta.location)))
      const code = location.searchParams.get("code") ?? ""
      const own = { client_id: undefined }
      const first = yield* scene.one.token(scene.redemption(code, own), { authorization, ...tokenProof(key) })
      const { accessToken, refreshToken } = tokensOf(first)
      const told = membersOf(yield* scene.one.post("/oauth/introspect", { token: accessToken }, { authorization }))
      assert.strictEqual(told["token_type"], "DPoP")
      assert.deepStrictEqual(told["cnf"], { jkt: key.thumbprint })
      const renewed = yield* scene.one.token(
        scene.refreshment(refreshToken, own),
        { authorization, ...tokenProof(thief) }
      )
      assert.deepStrictEqual(claimsOf(tokensOf(renewed).accessToken)["cnf"], { jkt: thief.thumbprint })
    }))

  it.effect("binds the tokens of services as well", () =>
    Effect.gen(function*() {
      const scene = yield* make({ settings: { clients: [{ ...confidential, serviceScopes: ["mcp:read"] }] } })
      const form = { grant_type: "client_credentials", resource: `${serverUrl}/mcp` }
      const answer = yield* scene.one.token(form, { authorization, ...tokenProof(key) })
      assert.strictEqual(answer.status, 200, answer.body)
      const { access_token: token, token_type } = membersOf(answer)
      assert.strictEqual(token_type, "DPoP")
      assert.strictEqual((yield* call(scene, String(token))).status, 200)
      assert.strictEqual((yield* scene.one.call(String(token))).status, 401)
    }))

  it.effect("may be told to give bound tokens only, by the settings or by the client", () =>
    Effect.gen(function*() {
      const scene = yield* make({ client: { dpop_bound_access_tokens: true } })
      const code = yield* scene.code()
      assertRefused(yield* scene.one.token(scene.redemption(code)), 400, "invalid_dpop_proof")
      assert.strictEqual((yield* scene.one.token(scene.redemption(code), tokenProof(key))).status, 200)
      const strict = yield* scene.start({ dpop: "require" })
      const other = yield* scene.register({}, strict)
      const theirs = scene.redemption(yield* scene.code({ client_id: other.clientId }), { client_id: other.clientId })
      assertRefused(yield* strict.token(theirs), 400, "invalid_dpop_proof")
      assert.strictEqual((yield* strict.token(theirs, tokenProof(key))).status, 200)
      const registered = yield* strict.ask("/oauth/register", {
        headers: { "content-type": "application/json" },
        body: JSON.stringify({ redirect_uris: ["https://client.example.com/"], dpop_bound_access_tokens: "yes" })
      })
      assert.strictEqual(membersOf(registered)["error"], "invalid_client_metadata")
    }))

  it.effect("is told which algorithms proofs may have, where they are taken at all", () =>
    Effect.gen(function*() {
      const scene = yield* make()
      const path = "/.well-known/oauth-authorization-server"
      const { dpop_signing_alg_values_supported: listed } = membersOf(yield* scene.one.ask(path))
      assert.includeMembers(Array.isArray(listed) ? listed : [], ["ES256", "RS256", "EdDSA"])
      const off = yield* scene.start({ dpop: "off" })
      assert.notProperty(membersOf(yield* off.ask(path)), "dpop_signing_alg_values_supported")
      const plain = yield* off.token(scene.redemption(yield* scene.code()), { dpop: "x" })
      assert.strictEqual(membersOf(plain)["token_type"], "Bearer")
    }))

  it.effect("gives a nonce that is good at every server for five to ten minutes, and no other", () =>
    Effect.gen(function*() {
      const scene = yield* make({ settings: { dpopNonces: true } })
      const two = yield* scene.start({ dpopNonces: true })
      const code = yield* scene.code()
      const asked = yield* scene.one.token(scene.redemption(code), tokenProof(key))
      assertRefused(asked, 400, "use_dpop_nonce")
      const nonce = asked.headers.get("dpop-nonce") ?? ""
      assert.match(nonce, /^\d+\.[\w-]{43}$/)
      const [number = "", mac = ""] = nonce.split(".")
      for (const forged of ["", "x", `${Number(number) + 1}.${mac}`, `0${nonce}`, `${number}.${"A".repeat(43)}`]) {
        const answer = yield* two.token(scene.redemption(code), tokenProof(key, { claims: { nonce: forged } }))
        assertRefused(answer, 400, "use_dpop_nonce")
        assert.strictEqual(answer.headers.get("dpop-nonce"), nonce)
      }
      const { accessToken } = tokensOf(yield* two.token(scene.redemption(code), tokenProof(key, { claims: { nonce } })))
      const without = yield* call(scene, accessToken)
      assert.deepStrictEqual([without.status, membersOf(without)["error"]], [401, "use_dpop_nonce"])
      assert.strictEqual(without.headers.get("dpop-nonce"), nonce)
      assert.include(without.headers.get("www-authenticate"), "DPoP error=\"use_dpop_nonce\"")
      assert.include(without.headers.get("access-control-expose-headers"), "DPoP-Nonce")
      assert.strictEqual((yield* call(scene, accessToken, { claims: { nonce } })).status, 200)
      yield* TestClock.adjust("10 minutes")
      const late = yield* call(scene, accessToken, { claims: { nonce, iat: now + 600 } })
      assert.strictEqual(membersOf(late)["error"], "use_dpop_nonce")
      assert.notStrictEqual(late.headers.get("dpop-nonce"), nonce)
    }))

  it.effect("answers 503 while nobody can tell which proofs were used, and the code stays good", () =>
    Effect.gen(function*() {
      let away = false
      const failing: SceneOptions["store"] = Layer.effect(
        Store,
        Effect.map(Store, (store) => ({
          ...store,
          putIfAbsent: (name, value, ttl) =>
            Effect.suspend(() =>
              away && name.startsWith("dpop:")
                ? Effect.fail(new StoreUnavailable({ operation: "putIfAbsent", reason: "it is away" }))
                : store.putIfAbsent(name, value, ttl)
            )
        }))
      ).pipe(Layer.provide(MemoryStore.layer))
      const scene = yield* make({ store: failing })
      const code = yield* scene.code()
      away = true
      assertRefused(yield* scene.one.token(scene.redemption(code), tokenProof(key)), 503, "temporarily_unavailable")
      away = false
      assert.strictEqual((yield* scene.one.token(scene.redemption(code), tokenProof(key))).status, 200)
    }))

  it.effect("takes no made-up proof", () =>
    Effect.gen(function*() {
      const scene = yield* make()
      const code = yield* scene.code()
      const good = tokenProof(key).dpop
      const change = fc.tuple(fc.nat(good.length - 1), fc.string({ minLength: 0, maxLength: 3 }), fc.nat(3)).map((
        [at, text, cut]
      ) => good.slice(0, at) + text + good.slice(at + cut))
      const member = fc.constantFrom("typ", "alg", "jwk", "crit", "kid", "x5c")
      const header = fc.dictionary(member, fc.jsonValue(), { minKeys: 1 })
      const claims = fc.dictionary(fc.constantFrom("jti", "htm", "htu", "iat"), fc.jsonValue(), { minKeys: 1 })
      const texts = fc.sample(
        fc.oneof(
          change.filter((text) => text !== good),
          fc.string(),
          fc.record({ header, claims }).map((otherwise) => tokenProof(key, otherwise).dpop)
        ),
        { numRuns: 300, seed: 11 }
      )
      let tried = 0
      for (const dpop of texts) {
        if (!/^[\t\x20-\x7E]*$/.test(dpop)) continue
        tried++
        assertRefused(yield* scene.one.token(scene.redemption(code), { dpop }), 400, "invalid_dpop_proof")
      }
      assert.isAbove(tried, 150)
      assert.strictEqual((yield* scene.one.token(scene.redemption(code), { dpop: good })).status, 200)
    }))
})
