import { assert, describe, it, layer } from "@effect/vitest"
import { Effect } from "effect"
import * as Scene from "../../support/ProxyScene.ts"

const jkt = "k".repeat(43)

layer(Scene.Scene.layer())("what a client may ask for of a sign-in", (it) => {
  const refused: ReadonlyArray<readonly [what: string, wanted: Scene.Changes]> = [
    ["a max_age in words", { max_age: "x" }],
    ["an acr_values that is not ASCII", { acr_values: "phré" }],
    ["a dpop_jkt that is too short", { dpop_jkt: jkt.slice(1) }]
  ]
  it.effect.each(refused)("not %s", ([, wanted]) =>
    Effect.gen(function*() {
      const scene = yield* Scene.Scene
      Scene.assertSentBack(yield* scene.browser().ask(scene.authorizeUrl(wanted)), "invalid_request")
    }))

  const acr = `urn:x ${"a".repeat(494)}`
  const cases: ReadonlyArray<
    readonly [what: string, wanted: Scene.Changes, asked: Scene.Changes]
  > = [
    ["nothing more", {}, {}],
    ["a max_age of 0", { max_age: "0" }, { max_age: "0" }],
    ["a max_age of nine digits", { max_age: "999999999" }, { max_age: "999999999" }],
    ["an acr_values of 500 characters", { acr_values: acr }, { acr_values: acr }],
    ["another sign-in", { prompt: "login" }, { prompt: "login" }],
    ["another account", { prompt: "select_account" }, { prompt: "login" }],
    ["both and consent", { prompt: "consent login" }, { prompt: "login" }],
    ["consent", { prompt: "consent" }, {}],
    ["something that is not known", { prompt: "x", display: "page" }, {}]
  ]
  it.effect.each(cases)("%s, which Okta is then asked for", ([, wanted, asked]) =>
    Effect.gen(function*() {
      const scene = yield* Scene.Scene
      const { location } = yield* scene.allow(scene.browser(), wanted)
      assert.strictEqual(location.origin, scene.okta.origin)
      for (const name of ["prompt", "max_age", "acr_values", "display"]) {
        assert.strictEqual(location.searchParams.get(name) ?? undefined, asked[name], name)
      }
    }))

  it.effect("any scope once, and none means the required ones", () =>
    Effect.gen(function*() {
      const scene = yield* Scene.Scene
      for (
        const [scope, granted] of [
          ["mcp:write  mcp:read mcp:write email", "mcp:write mcp:read email"],
          ["", "mcp:read"],
          [" ", "mcp:read"],
          ["offline_access profile", "offline_access profile"]
        ] as const
      ) {
        const { body } = yield* scene.one.token(scene.redemption(yield* scene.code({ scope })))
        assert.strictEqual(JSON.parse(body).scope, granted, body)
      }
    }))

  it.effect("nothing at all where its request is not in order: the owner reads why, the client learns no more", () =>
    Effect.gen(function*() {
      const scene = yield* Scene.Scene
      const lines = scene.watch.lines.length
      yield* scene.browser().ask(scene.authorizeUrl({ redirect_uri: "https://evil.example.com" }))
      yield* scene.browser().ask(scene.authorizeUrl({ response_type: "token" }))
      const said = scene.watch.lines.slice(lines).join("\n")
      assert.include(said, "The redirect_uri is not one that the application has registered.")
      assert.include(said, "The response_type must be code.")
      assert.notInclude(said, "evil.example.com")
    }))
})

describe("what a client asks for", () => {
  it.effect("binds the code to the key that it names", () =>
    Effect.gen(function*() {
      const scene = yield* Scene.make()
      const code = yield* scene.code({ dpop_jkt: jkt })
      Scene.assertRefused(yield* scene.one.token(scene.redemption(code)), 400, "invalid_grant")
    }))

  it.effect("is heard of a key only where proofs are, and of consent also where it was given before", () =>
    Effect.gen(function*() {
      const scene = yield* Scene.make({ settings: { dpop: "off", rememberConsent: true } })
      const agent = scene.browser()
      for (const dpop_jkt of [jkt, "x"]) {
        Scene.tokensOf(yield* scene.one.token(scene.redemption(yield* scene.code({ dpop_jkt }, agent))))
      }
      for (
        const [prompt, status] of [[undefined, 302], ["login", 302], ["consent", 200], ["login consent", 200]] as const
      ) {
        const answer = yield* agent.ask(scene.authorizeUrl({ prompt }), { headers: { "sec-fetch-site": "none" } })
        assert.strictEqual(answer.status, status, prompt)
      }
    }))
})

it.effect("a sign-in at Okta is counted as begun, or as what kept it from that", () =>
  Effect.gen(function*() {
    const scene = yield* Scene.make()
    const count = (outcome: string) =>
      scene.watch.metrics.filter(({ attributes, id }) => id === "okta_sign_ins" && attributes?.["outcome"] === outcome)
        .map(({ state }) => "count" in state ? Number(state.count) : 0)
    yield* scene.allow(scene.browser())
    assert.deepStrictEqual([count("begun"), count("OktaUnavailable")], [[1], []])
    yield* scene.okta.outage("refuse")
    const cold = scene.browser(yield* scene.start())
    Scene.assertSentBack(yield* Scene.asTimePasses(scene.allow(cold)), "temporarily_unavailable")
    assert.deepStrictEqual([count("begun"), count("OktaUnavailable")], [[1], [1]])
    const errors = scene.watch.spans.filter(({ name }) => name === "okta.consent").map(({ attributes }) =>
      attributes.get("okta.error")
    )
    assert.include(errors, "OktaUnavailable")
  }))
