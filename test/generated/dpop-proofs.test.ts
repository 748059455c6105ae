import { assert, describe, layer } from "@effect/vitest"
import { Effect, Layer } from "effect"
import { TestClock } from "effect/testing"
import * as fc from "fast-check"
import * as OktaAuth from "../../src/OktaAuth.ts"
import { Store } from "../../src/store/Store.ts"
import { OktaTest } from "../../src/testing/OktaTest.ts"
import { serverUrl as resourceUrl, startedAt } from "../support/GuardedServer.ts"
import { hash, type Otherwise, ProofKey } from "../support/Proofs.ts"
import { now, Scene, serverUrl, tokensOf } from "../support/ProxyScene.ts"
import { goodClaims, RawIssuer } from "../support/RawIssuer.ts"
import { nasty, place } from "./Arbitraries.ts"
import { serve } from "./InProcess.ts"
import { generated, timeout } from "./plan.ts"

const key = new ProofKey()
const thief = new ProofKey()
const lifetime = 60
const tolerance = 30

const any = fc.oneof(nasty, fc.jsonValue({ maxDepth: 3 }), fc.constant(undefined))
const isTime = (value: unknown) => typeof value === "number" && Number.isSafeInteger(value)

/** The request that proofs are for; without a token where there is none to be bound to. */
interface Request {
  readonly method: string
  readonly url: string
  readonly now: number
  readonly token?: string
}

/** Whether a text may mean the URL, by looser rules than those of the server: such a one is no bad proof. */
const mayMean = (text: unknown, url: string): boolean => {
  if (typeof text !== "string" || !URL.canParse(text)) return false
  const [one, other] = [new URL(text), new URL(url)]
  return one.origin === other.origin && one.pathname.toLowerCase().includes(other.pathname.slice(-4))
}

/** A claim, and a value with which no proof may be taken for this request. */
const badClaim = ({ method, now, token, url }: Request): fc.Arbitrary<Otherwise> =>
  fc.oneof(
    any.filter((value) => value !== method).map((htm) => ({ htm })),
    fc.oneof(any, nasty.map((text) => url + text), nasty.map((text) => text + url), fc.webUrl())
      .filter((value) => !mayMean(value, url)).map((htu) => ({ htu })),
    fc.constantFrom(
      `${url}?x=1`,
      `${url}#x`,
      `${url}/`,
      `${url}/../x`,
      url.replace("https:", "http:"),
      url.toUpperCase()
    )
      .map((htu) => ({ htu })),
    any.filter((value) => !isTime(value)).map((iat) => ({ iat })),
    fc.integer({ max: now - lifetime - 1 }).map((iat) => ({ iat })),
    fc.integer({ min: now + tolerance + 1, max: Number.MAX_SAFE_INTEGER }).map((iat) => ({ iat })),
    any.filter((value) => typeof value !== "string" || value === "" || value.length > 512).map((jti) => ({ jti })),
    any.filter((value) => value !== undefined && typeof value !== "string").map((nonce) => ({ nonce })),
    token === undefined
      ? any.filter((value) => value !== undefined && typeof value !== "string").map((ath) => ({ ath }))
      : fc.oneof(any, nasty.map(hash)).filter((value) => value !== hash(token)).map((ath) => ({ ath }))
  ).map((claims) => ({ claims }))

/** A member of the header, or of the key in it, with which no proof may be taken. */
const badHeader: fc.Arbitrary<Otherwise> = fc.oneof(
  any.filter((value) => value !== "dpop+jwt").map((typ) => ({ typ })),
  any.filter((value) => value !== "ES256").map((alg) => ({ alg })),
  any.map((jwk) => ({ jwk })),
  fc.tuple(fc.constantFrom("kty", "crv", "x", "y"), any).filter(([member, value]) => value !== key.jwk[member])
    .map(([member, value]) => ({ jwk: { ...key.jwk, [member]: value } })),
  fc.tuple(fc.constantFrom("d", "p", "q", "dp", "dq", "qi", "oth", "k"), any.filter((value) => value !== undefined))
    .map(([member, value]) => ({ jwk: { ...key.jwk, [member]: value } })),
  fc.constantFrom({ use: "enc" }, { alg: "ES384" }, { key_ops: ["sign"] }, { key_ops: [] }).map((more) => ({
    jwk: { ...key.jwk, ...more }
  })),
  fc.tuple(
    fc.constantFrom("crit", "b64", "jku", "x5u", "x5c", "x5t", "x5t#S256"),
    any.filter((value) => value !== undefined)
  ).map(([member, value]) => ({ [member]: value }))
).map((header) => ({ header }))

/** By somebody else, who says that it is the client. */
const badSigner: fc.Arbitrary<Otherwise> = fc.constant({ signer: thief.privateKey })

/** Claims that are no object, or not to be read in one way. */
const badPayload: fc.Arbitrary<Otherwise> = fc.oneof(
  fc.jsonValue({ maxDepth: 2 }).map((value) => JSON.stringify(value)),
  nasty.map((text) => text.toWellFormed()),
  fc.constantFrom("[", "{}", "[]", "null", "{\"jti\":1,\"jti\":\"a\"}", "[".repeat(100))
).filter((payload) => payload !== "").map((payload) => ({ payload }))

/** Characters taken out of a good proof, put in or replaced. */
const spoiled = fc.record({ at: place, length: fc.integer({ min: 0, max: 3 }), by: fc.base64String({ maxLength: 6 }) })

const visible = nasty.map((text) => text.replace(/[^!-~]/g, "")).filter((text) => text !== "")

/** What is no proof for this request, of every kind. */
const badProof = (request: Request): fc.Arbitrary<() => string> => {
  const proof = (otherwise?: Otherwise) => key.proof({ ...request, iat: request.now }, otherwise)
  const good = proof()
  const made = fc.oneof(
    { weight: 8, arbitrary: badClaim(request) },
    { weight: 5, arbitrary: badHeader },
    { weight: 1, arbitrary: badSigner },
    { weight: 1, arbitrary: badPayload },
    {
      weight: 2,
      arbitrary: fc.tuple(badClaim(request), badHeader).map(([one, other]) => ({ ...one, ...other }))
    }
  )
  return fc.oneof(
    { weight: 6, arbitrary: made.map((otherwise) => () => proof(otherwise)) },
    {
      weight: 3,
      arbitrary: spoiled.map(({ at, by, length }) => {
        const start = Math.floor(at * good.length)
        return good.slice(0, start) + by + good.slice(start + length)
      }).filter((text) => text !== good).map((text) => () => text)
    },
    {
      weight: 1,
      arbitrary: fc.oneof(visible, fc.constantFrom(`${good},${good}`, `${good}.`, request.token ?? "x")).map(
        (text) => () => text
      )
    }
  )
}

describe("proofs that are made up", () => {
  layer(RawIssuer.layer)((it) => {
    it.effect("at the resource: nobody is let in by one, and the token stays good", () =>
      Effect.gen(function*() {
        yield* TestClock.setTime(startedAt * 1000)
        const { issuer, audience } = OktaTest
        const send = yield* serve(
          OktaAuth.layer({ issuer, audience, serverUrl: resourceUrl, protectedPaths: "/mcp" }),
          resourceUrl
        )
        const token = (yield* RawIssuer).token({ payload: goodClaims({ cnf: { jkt: key.thumbprint } }) })
        const request = { method: "GET", url: `${resourceUrl}/mcp`, now: startedAt, token }
        const call = (dpop: string) => send({ path: "/mcp", headers: { authorization: `DPoP ${token}`, dpop } })
        const good = () => key.proof({ ...request, iat: startedAt })
        const once = good()
        assert.strictEqual((yield* Effect.promise(() => call(once)))?.status, 200)
        const bad = fc.oneof(
          { weight: 9, arbitrary: badProof(request) },
          // In order, but of somebody else, or used before.
          { weight: 1, arbitrary: fc.constantFrom(() => thief.proof({ ...request, iat: startedAt }), () => once) }
        )
        yield* generated("DPoP proofs at the resource", bad, async (proof) => {
          const got = await call(proof())
          assert.strictEqual(got?.status, 401, got?.body)
          assert.match(got?.headers.get("www-authenticate") ?? "", /^DPoP error="invalid_dpop_proof", /)
        })
        assert.strictEqual((yield* Effect.promise(() => call(good())))?.status, 200)
      }), timeout)
  })

  layer(Scene.layer())((it) => {
    it.effect(
      "at the token endpoint: no tokens for one, and the refresh token stays good",
      () =>
        Effect.gen(function*() {
          const scene = yield* Scene
          const send = yield* serve(scene.auth({ store: Layer.succeed(Store, scene.memory) }), serverUrl)
          const request = { method: "POST", url: `${serverUrl}/oauth/token`, now }
          const good = () => ({ dpop: key.proof({ ...request, iat: now }) })
          const redeemed = yield* scene.one.token(scene.redemption(yield* scene.code()), good())
          const { refreshToken } = tokensOf(redeemed)
          const refresh = new URLSearchParams({
            grant_type: "refresh_token",
            client_id: scene.clientId,
            refresh_token: refreshToken
          }).toString()
          yield* generated("DPoP proofs at the token endpoint", badProof(request), async (proof) => {
            const got = await send({
              method: "POST",
              path: "/oauth/token",
              headers: { "content-type": "application/x-www-form-urlencoded", dpop: proof() },
              body: refresh
            })
            assert.strictEqual(got?.status, 400, got?.body)
            assert.match(got?.body ?? "", /^\{"error":"invalid_dpop_proof","error_description":"[^"]+"\}$/)
          })
          assert.strictEqual((yield* scene.one.token(scene.refreshment(refreshToken), good())).status, 200)
        }),
      timeout
    )
  })
})
