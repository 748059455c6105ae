import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import { TestClock } from "effect/testing"
import { metrics } from "../../src/observe/Telemetry.ts"
import { documents, host, loopback } from "../support/DocumentHost.ts"
import { asTimePasses, decide, make, type ProxyScene, redirectUri, tokensOf } from "../support/ProxyScene.ts"
import { spansOf, valueOf } from "../support/Watch.ts"

describe("Telemetry of proxy mode", () => {
  it.effect(
    "a sign-in, a call, a refresh and a revocation: each step a span, with the steps within it",
    () =>
      Effect.gen(function*() {
        const scene = yield* make()
        const { watch } = scene
        const tokens = yield* scene.signIn()
        yield* scene.one.call(tokens.accessToken)
        yield* scene.one.call(tokens.accessToken)
        yield* TestClock.adjust("61 minutes")
        const next = tokensOf(yield* scene.one.token(scene.refreshment(tokens.refreshToken)))
        yield* scene.one.revoke({ client_id: scene.clientId, token: next.refreshToken })

        for (
          const [name, within] of [
            ["okta.discovery", undefined],
            ["okta.keys", undefined],
            ["okta.register", "POST"],
            ["okta.authorize", "GET"],
            ["okta.consent", "POST"],
            ["okta.callback", "GET"],
            ["okta.upstream.exchange", "okta.callback"],
            ["okta.token.redeem", "okta.token"],
            ["okta.verify", "GET"],
            ["okta.token.refresh", "okta.token"],
            ["okta.upstream.refresh", "okta.token.refresh"],
            ["okta.revoke", "POST"],
            ["okta.upstream.revoke", "okta.revoke"],
            ["okta.store.take", "okta.callback"],
            ["okta.store.compareAndSet", "okta.token.refresh"]
          ] as const
        ) {
          const found = spansOf(watch, name)
          assert.isTrue(found.some((span) => span.within === within), `${name}: ${JSON.stringify(found)}`)
          assert.isTrue(
            found.every(({ attributes }) => attributes["okta.outcome"] === "success"),
            JSON.stringify(found)
          )
        }
        assert.deepInclude(spansOf(watch, "okta.token")[0]?.attributes, { "http.response.status_code": 200 })
        assert.deepInclude(
          spansOf(watch, "okta.verify").map(({ attributes }) => attributes["okta.kid"]),
          "one"
        )
      }),
    30_000
  )

  it.effect("what is refused says why in its span, by the tag of the error", () =>
    Effect.gen(function*() {
      const scene = yield* make()
      const tokens = yield* scene.signIn()
      yield* scene.one.token(scene.refreshment("x"))
      yield* scene.one.call(`${tokens.accessToken}x`)
      yield* scene.one.ask("/oauth/authorize?client_id=x")
      yield* scene.one.ask("/oauth/callback?state=x&code=x")
      const errors = (name: string) => spansOf(scene.watch, name).map(({ attributes }) => attributes["okta.error"])
      assert.include(errors("okta.token"), "InvalidGrant")
      assert.include(errors("okta.authorize"), "UnprovenRequest")
      assert.include(errors("okta.callback"), "UnknownState")
      assert.include(
        spansOf(scene.watch, "okta.verify").map(({ attributes }) => attributes["okta.outcome"]),
        "MalformedToken"
      )
    }), 30_000)

  it.effect("each thing that happens is counted once, by how it ended", () =>
    Effect.gen(function*() {
      const scene: ProxyScene = yield* make()
      const value = (name: string, labels?: { readonly [label: string]: string }) => valueOf(scene.watch, name, labels)
      const tokens = yield* scene.signIn()
      for (let i = 0; i < 3; i++) yield* scene.one.call(tokens.accessToken)
      yield* scene.one.call("x")
      yield* scene.one.ask("/mcp")
      const browser = scene.browser()
      yield* decide(browser, yield* browser.ask(scene.authorizeUrl()), "deny")
      yield* scene.okta.outage("error")
      const agent = scene.browser()
      const { location } = yield* scene.allow(agent)
      const state = location.searchParams.get("state") ?? ""
      yield* asTimePasses(agent.ask(`/oauth/callback?code=x&state=${state}`))
      yield* scene.one.ask("/oauth/callback?code=x&state=x")
      yield* scene.one.token(scene.refreshment("x"))
      yield* scene.one.token({ grant_type: "password" })

      const token = { issuer: "https://mcp.example.com", token: "access_token" }
      assert.strictEqual(value("okta_token_verifications", { ...token, outcome: "success", remembered: "false" }), 1)
      assert.strictEqual(value("okta_token_verifications", { ...token, outcome: "success", remembered: "true" }), 2)
      assert.strictEqual(value("okta_token_verifications", { ...token, outcome: "MalformedToken" }), 1)
      assert.strictEqual(value("okta_token_verifications", { token: "id_token", outcome: "success" }), 1)
      assert.strictEqual(value("okta_requests_refused", { status: "401", reason: "MalformedToken" }), 1)
      assert.strictEqual(value("okta_requests_refused", { status: "401", reason: "NoCredentials" }), 1)
      assert.strictEqual(value("okta_client_registrations", { outcome: "success" }), 1)
      assert.strictEqual(value("okta_sign_ins", { outcome: "begun" }), 2)
      assert.strictEqual(value("okta_sign_ins", { outcome: "success" }), 1)
      assert.strictEqual(value("okta_sign_ins", { outcome: "OktaUnavailable" }), 1)
      assert.strictEqual(value("okta_sign_ins", { outcome: "UnknownState" }), 1)
      assert.strictEqual(value("okta_token_requests", { grant_type: "authorization_code", outcome: "success" }), 1)
      assert.strictEqual(value("okta_token_requests", { grant_type: "refresh_token", outcome: "InvalidGrant" }), 1)
      assert.strictEqual(value("okta_token_requests", { grant_type: "other" }), 1)
      assert.strictEqual(value("okta_call_duration_seconds", { operation: "exchange", outcome: "success" }), 1)
      assert.strictEqual(value("okta_call_duration_seconds", { operation: "exchange", outcome: "OktaUnavailable" }), 1)
      assert.strictEqual(value("okta_call_duration_seconds", { operation: "keys", outcome: "success" }), 1)
      assert.strictEqual(value("okta_key_set_fetches", { outcome: "success" }), 1)
      assert.strictEqual(value("okta_discovery_fetches", { outcome: "success" }), 1)
      assert.isAbove(value("okta_store_operation_duration_seconds", { operation: "get", outcome: "success" }), 3)
      assert.strictEqual(value("okta_endpoint_duration_seconds", { endpoint: "callback", status: "400" }), 1)

      // No label but those that are documented, and no value that could be one of many.
      const known = new Map<string, ReadonlyArray<string>>(metrics.map(({ labels, name }) => [name, labels]))
      for (const { attributes = {}, id } of scene.watch.metrics) {
        if (!id.startsWith("okta_")) continue
        const { unit: _, ...labels } = attributes
        assert.sameMembers(Object.keys(labels), [...known.get(id) ?? ["unknown"]], id)
        for (const text of Object.values(labels)) assert.isAtMost(text.length, 60)
      }
    }), 30_000)

  it.effect("documents of clients, and requests that are one too many", () =>
    Effect.gen(function*() {
      const scene = yield* make({
        settings: { clientMetadataDocuments: true, requestsPerMinute: 4 },
        environment: loopback
      })
      const { watch } = scene
      const origin = yield* documents({ redirect_uris: [redirectUri], client_name: "Described" })
      for (
        const [client_id, outcome] of [[`${origin}/client`, "success"], [`https://${host}:1/x`, "DocumentUnavailable"]]
      ) {
        yield* scene.browser().ask(scene.authorizeUrl({ client_id }))
        assert.strictEqual(valueOf(watch, "okta_document_fetch_duration_seconds", { outcome: outcome ?? "" }), 1)
        assert.deepInclude(spansOf(watch, "okta.document").map(({ attributes }) => attributes), {
          "server.address": host,
          "okta.outcome": outcome
        })
      }
      for (let i = 0; i < 6; i++) yield* scene.browser().ask(scene.authorizeUrl())
      assert.strictEqual(valueOf(watch, "okta_rate_limited", { endpoint: "authorize", by: "address" }), 4)
      assert.strictEqual(valueOf(watch, "okta_rate_limited"), 4)
      assert.strictEqual(valueOf(watch, "okta_endpoint_duration_seconds", { endpoint: "authorize", status: "429" }), 4)
      assert.include(
        spansOf(watch, "okta.authorize").map(({ attributes }) => attributes["okta.error"]),
        "TooManyRequests"
      )
    }), 30_000)
})
