import { assert, describe, it } from "@effect/vitest"
import { ConfigProvider, Context, Duration, Effect, Layer, Option } from "effect"
import { RateLimiter } from "effect/persistence"
import * as Environment from "../../src/config/Environment.ts"
import type { OktaOptions } from "../../src/config/OktaConfig.ts"
import * as OktaAuth from "../../src/OktaAuth.ts"
import * as StoreChoice from "../../src/proxy/StoreChoice.ts"
import * as MemoryStore from "../../src/store/MemoryStore.ts"
import { StoreUnavailable } from "../../src/store/Store.ts"
import { Store } from "../../src/store/Store.ts"
import { OktaTest } from "../../src/testing/OktaTest.ts"
import { newFile } from "../store/StoreFile.ts"
import { ProofKey } from "../support/Proofs.ts"
import * as Scene from "../support/ProxyScene.ts"
import { build } from "./ProxyTest.ts"

const environment = (variables: Readonly<Record<string, string>>, store?: Layer.Layer<Store, StoreUnavailable>) =>
  StoreChoice.orMemory(StoreChoice.inEnvironment(store)).pipe(
    Layer.provide(ConfigProvider.layer(ConfigProvider.fromUnknown(variables)))
  )

const given = (store?: Layer.Layer<Store, StoreUnavailable>) => StoreChoice.orMemory(StoreChoice.inCode(store))

const broken = Layer.effect(Store, Effect.fail(new StoreUnavailable({ operation: "open", reason: "it is away" })))

describe("the store of proxy mode", () => {
  it.effect("is memory, with a warning, when nothing is said", () =>
    Effect.gen(function*() {
      for (const layer of [given(), environment({}), environment({ SQLITE_FILE: " " })]) {
        const { failure, warnings } = yield* build(layer)
        assert.isUndefined(failure)
        assert.lengthOf(warnings, 1)
        assert.include(warnings[0], "a restart signs everybody out")
      }
    }))

  it.effect("is the file, or the one given in code, without a warning", () =>
    Effect.gen(function*() {
      const file = environment({ SQLITE_FILE: yield* newFile }, broken)
      for (const layer of [file, environment({}, MemoryStore.layer), given(MemoryStore.layer)]) {
        assert.deepInclude(yield* build(layer), { failure: undefined, warnings: [] })
      }
    }))

  it.effect("is the Redis of the environment, though it be away, and requests are counted where the store is", () =>
    Effect.gen(function*() {
      const redis = environment({ REDIS_URL: "redis://127.0.0.1:1", SQLITE_FILE: " " }, broken)
      const error = yield* Effect.flip(
        Effect.gen(function*() {
          const limits = yield* RateLimiter.RateLimiterStore
          return yield* limits.fixedWindow({ key: "k", tokens: 1, refillRate: Duration.seconds(1), limit: 1 })
        }).pipe(Effect.provide(Layer.orDie(redis)))
      )
      assert(error.reason._tag === "RateLimitStoreError")
      assert.include(String(error.reason.cause), "nothing listens there")
    }))

  it.effect("is one only: mistakes are told with those of the settings, and no password with them", () =>
    Effect.gen(function*() {
      const mistakesOf = (variables: Readonly<Record<string, string>>) =>
        build(
          StoreChoice.checked(Environment.layerConfig()).pipe(
            Layer.provide(
              ConfigProvider.layer(ConfigProvider.fromUnknown({ OKTA_ISSUER: "http://acme.okta.com", ...variables }))
            )
          )
        )
      const { failure, problems } = yield* mistakesOf({ REDIS_URL: "canary", SQLITE_FILE: "a.sqlite" })
      const fields = problems.map(({ field }) => field)
      assert.includeMembers(fields, ["OKTA_ISSUER", "REDIS_URL", "SQLITE_FILE"])
      assert.notInclude(String(failure), "canary")
      assert.include(String(failure), "there can be one store only")
      const both = yield* mistakesOf({
        OKTA_ISSUER: "https://acme.okta.com/oauth2/default",
        OKTA_AUDIENCE: "api://default",
        REDIS_URL: "redis://:canary@127.0.0.1",
        SQLITE_FILE: "a.sqlite"
      })
      assert.deepStrictEqual(both.problems.map(({ field }) => field), ["SQLITE_FILE"])
    }))

  it.effect("has no effect in native mode without DPoP, which is said at the start", () =>
    Effect.gen(function*() {
      const native = {
        OKTA_ISSUER: "https://acme.okta.com/oauth2/default",
        OKTA_AUDIENCE: "api://default",
        SERVER_URL: "http://127.0.0.1:1"
      }
      const withoutDpop = { dpop: "off" } as const
      const start = (
        variables: Readonly<Record<string, string>>,
        options: OktaAuth.StartOptions & Partial<OktaOptions> = withoutDpop
      ) =>
        build(
          OktaAuth.layerConfig({ ...options, failFast: false }).pipe(
            Layer.provide(OktaTest.layer()),
            Layer.provide(ConfigProvider.layer(ConfigProvider.fromUnknown({ ...native, ...variables })))
          )
        )
      const both = yield* start({ SQLITE_FILE: "a.sqlite" }, { ...withoutDpop, store: broken })
      assert.include(both.warnings.join(), "in native mode, where store and SQLITE_FILE have no effect")
      const redis = yield* start({ REDIS_URL: "redis://:canary@127.0.0.1" })
      assert.include(redis.warnings.join(), "REDIS_URL has no effect")
      assert.notInclude(redis.warnings.join(), "canary")
      assert.notInclude((yield* start({ SQLITE_FILE: " " })).warnings.join(), "no effect")
      const used = yield* start({ SQLITE_FILE: yield* newFile }, { store: broken })
      assert.deepInclude(used, { failure: undefined, warnings: [] })
      assert.deepStrictEqual(
        (yield* start({}, { store: broken })).problems.map(({ field }) => field),
        ["store"]
      )
    }))

  it.effect("keeps nobody out in native mode: admit is a mistake there, told with all others, since it would let everybody in", () =>
    Effect.gen(function*() {
      const admit = { groups: "Engineering" }
      const layers = {
        admit: OktaAuth.layer({ issuer: OktaTest.issuer, audience: OktaTest.audience, admit }),
        "OKTA_AUDIENCE,admit": OktaAuth.layerConfig({ issuer: OktaTest.issuer, admit })
      }
      for (const [fields, layer] of Object.entries(layers)) {
        const { problems } = yield* build(layer.pipe(Layer.provide(OktaTest.layer())))
        assert.strictEqual(problems.map(({ field }) => field).join(), fields)
        assert.match(
          problems.at(-1)?.message ?? "",
          /^is a setting of proxy mode\. Give (clientId and clientSecret|OKTA_CLIENT_ID and OKTA_CLIENT_SECRET) too/
        )
      }
    }))

  it.effect("has its places for sign-ins if it is memory, and none for DPoP proofs", () =>
    Effect.gen(function*() {
      const most = 40
      const scene = yield* Scene.make({ store: MemoryStore.layerOptions({ maxEntries: most }) })
      const key = new ProofKey()
      const url = `${Scene.serverUrl}/mcp`
      const code = yield* scene.code()
      const proof = key.proof({ method: "POST", url: `${Scene.serverUrl}/oauth/token`, iat: Scene.now })
      const { accessToken: token } = Scene.tokensOf(yield* scene.one.token(scene.redemption(code), { dpop: proof }))
      for (let times = 0; times < most; times++) {
        const headers = { authorization: `DPoP ${token}`, dpop: key.proof({ url, iat: Scene.now, token }) }
        assert.strictEqual((yield* scene.one.ask("/mcp", { headers })).status, 200)
        if (times === 0) assert.strictEqual((yield* scene.one.ask("/mcp", { headers })).status, 401)
      }
      yield* scene.signIn()
    }))

  it.effect("is one for all servers of an app that are given the same", () =>
    Effect.gen(function*() {
      class One extends Context.Service<One, Store["Service"]>()("test/One") {}
      class Other extends Context.Service<Other, Store["Service"]>()("test/Other") {}
      const isShared = Effect.fnUntraced(function*(one: StoreChoice.Chosen, other: StoreChoice.Chosen) {
        const servers = Layer.mergeAll(
          Layer.provide(Layer.effect(One, Store), one),
          Layer.provide(Layer.effect(Other, Store), other)
        )
        const context = yield* Layer.build(servers)
        yield* Context.get(context, One).put("key", "value", Duration.minutes(1))
        return Option.isSome(yield* Context.get(context, Other).get("key"))
      })
      assert.isTrue(yield* isShared(given(MemoryStore.layer), given(MemoryStore.layer)))
      assert.isFalse(yield* isShared(given(MemoryStore.layerOptions()), given(MemoryStore.layerOptions())))
      // What is made for one that is given none is its own, as all that it is made of.
      assert.isFalse(yield* isShared(Layer.fresh(given()), Layer.fresh(given())))
      assert.isFalse(yield* isShared(Layer.fresh(given()), given(MemoryStore.layer)))
    }))

  it.effect("that cannot be opened is a mistake in the settings", () =>
    Effect.gen(function*() {
      const file = yield* build(environment({ SQLITE_FILE: "/does/not/exist/store.sqlite" }))
      assert.deepStrictEqual(file.problems.map(({ field }) => field), ["SQLITE_FILE"])
      for (const layer of [given(broken), environment({}, broken)]) {
        const { problems } = yield* build(layer)
        assert.deepStrictEqual(problems, [{ field: "store", message: "cannot be opened: it is away." }])
      }
    }))
})
