import { assert, layer } from "@effect/vitest"
import { Effect, Layer, Redacted } from "effect"
import * as fc from "fast-check"
import { randomUUID } from "node:crypto"
import { jwtBearer } from "../../src/proxy/grant/GrantTypes.ts"
import { Store } from "../../src/store/Store.ts"
import { basic } from "../support/Credentials.ts"
import { secretOfOther, typ } from "../support/IdJagScene.ts"
import { now, Scene, serverUrl } from "../support/ProxyScene.ts"
import { nasty, place } from "./Arbitraries.ts"
import { serve } from "./InProcess.ts"
import { generated, timeout } from "./plan.ts"

const scene = Scene.layer({
  okta: { algorithm: "ES256" },
  settings: {
    algorithms: "ES256",
    enterpriseManaged: true,
    clients: [{ clientId: "other", clientSecrets: [Redacted.make(secretOfOther)] }]
  }
})

/** What has to be there, each with a value that is in order. */
const good = {
  sub: "00u1ada",
  aud: serverUrl,
  client_id: "other",
  resource: `${serverUrl}/mcp`,
  jti: "",
  scope: "mcp:read",
  iat: now,
  exp: now + 300,
  ver: undefined,
  cid: undefined,
  uid: undefined,
  scp: undefined
}

const any = fc.oneof(nasty, fc.jsonValue({ maxDepth: 3 }), fc.constant(undefined))
const noText = any.filter((value) => typeof value !== "string" || value === "")
const isTime = (value: unknown) => typeof value === "number" && Number.isSafeInteger(value)

/** A claim, and a value with which no ID-JAG may be accepted. */
const bad = fc.oneof(
  ...["iss", "aud", "client_id", "resource"].map((claim) =>
    any.filter((value) => value !== `${serverUrl}/` && value !== serverUrl).map((value) => ({ [claim]: value }))
  ),
  ...["sub", "jti"].map((claim) => noText.map((value) => ({ [claim]: value }))),
  any.filter((value) => typeof value !== "string" && value !== undefined).map((scope) => ({ scope })),
  any.filter((value) => !isTime(value)).map((exp) => ({ exp })),
  any.filter((value) => !isTime(value)).map((iat) => ({ iat })),
  fc.integer({ max: now - 30 }).map((exp) => ({ exp })),
  fc.integer({ min: now + 301, max: Number.MAX_SAFE_INTEGER }).map((exp) => ({ exp })),
  fc.integer({ min: now + 31, max: Number.MAX_SAFE_INTEGER }).map((iat) => ({ iat })),
  fc.integer({ max: now - 1 }).map((iat) => ({ iat })),
  any.filter((value) => value !== undefined && !(isTime(value) && Number(value) <= now + 30)).map((nbf) => ({ nbf }))
)

/** A header member, and a value with which no ID-JAG may be accepted. */
const badHeader = fc.oneof(
  any.filter((value) => value !== typ).map((typ) => ({ typ })),
  any.filter((value) => value !== "ES256").map((alg) => ({ alg })),
  any.map((kid) => ({ kid })),
  fc.tuple(
    fc.constantFrom("crit", "b64", "jwk", "jku", "x5u", "x5c", "x5t#S256"),
    any.filter((value) => value !== undefined)
  )
    .map(([member, value]) => ({ [member]: value }))
)

/** What becomes of the text: characters taken out, put in or replaced. */
const spoiled = fc.record({ at: place, length: fc.integer({ min: 0, max: 3 }), by: fc.base64String({ maxLength: 6 }) })

layer(scene)("ID-JAGs that are made up", (it) => {
  const arrange = Effect.gen(function*() {
    const { auth, memory, okta } = yield* Scene
    const send = yield* serve(auth({ store: Layer.succeed(Store, memory) }), serverUrl)
    const bring = (assertion: string) =>
      send({
        method: "POST",
        path: "/oauth/token",
        headers: { "content-type": "application/x-www-form-urlencoded", ...basic("other", secretOfOther) },
        body: new URLSearchParams({ grant_type: jwtBearer, assertion: assertion.toWellFormed() }).toString()
      })
    const idJag = (claims = {}, header = {}) =>
      Effect.runPromise(okta.mint({ ...good, jti: randomUUID(), ...claims }, { typ, ...header }))
    const assertRefused = async (assertion: string) => {
      const got = await bring(assertion)
      assert.strictEqual(got?.status, 400, got?.body)
      assert.match(got?.body ?? "", /^\{"error":"invalid_(?:grant|request)","error_description":"[^"]+"\}$/)
    }
    const assertGood = async () => assert.strictEqual((await bring(await idJag()))?.status, 200)
    return { assertGood, assertRefused, idJag }
  })

  it.effect(
    "by Okta's own key, but with a claim or a header that is not in order: all are refused",
    () =>
      Effect.gen(function*() {
        const { assertGood, assertRefused, idJag } = yield* arrange
        yield* Effect.promise(assertGood)
        yield* generated(
          "ID-JAGs of edited members",
          fc.oneof(
            { weight: 3, arbitrary: fc.tuple(bad, fc.constant({})) },
            { weight: 1, arbitrary: fc.tuple(fc.constant({}), badHeader) },
            { weight: 1, arbitrary: fc.tuple(bad, badHeader) }
          ),
          async ([claims, header]) => assertRefused(await idJag(claims, header))
        )
        yield* Effect.promise(assertGood)
      }),
    timeout
  )

  it.effect("of a good one, changed on its way: all are refused", () =>
    Effect.gen(function*() {
      const { assertGood, assertRefused, idJag } = yield* arrange
      const assertion = yield* Effect.promise(() => idJag())
      yield* generated("good ID-JAGs, changed", spoiled, async ({ at, by, length }) => {
        const start = Math.floor(at * assertion.length)
        const text = assertion.slice(0, start) + by + assertion.slice(start + length)
        fc.pre(text !== assertion)
        await assertRefused(text)
      })
      yield* Effect.promise(assertGood)
    }), timeout)
})
