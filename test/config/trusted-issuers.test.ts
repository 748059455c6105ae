import { assert, describe, it } from "@effect/vitest"
import { ConfigProvider, Effect, Layer, Redacted, Result } from "effect"
import { OktaAuth } from "effect-okta"
import { FetchHttpClient } from "effect/http"
import { decode } from "../../src/config/OktaConfig.ts"
import { settingsOf } from "../../src/config/TrustedIssuers.ts"

const acme = { issuer: "https://acme.okta.com/oauth2/default", audience: "api://acme" }
const globex = { issuer: "https://globex.okta.com", audience: "0oaGlobex", accept: "id-token" }

const problemsOf = (options: { readonly [field: string]: unknown }) => {
  const decoded = decode(options)
  return Result.isFailure(decoded)
    ? decoded.failure.problems.map(({ field, message, value }) => [field, value, message])
    : []
}

describe("several issuers in the settings", () => {
  it("are each as one would be, with what is not theirs from the server's", () => {
    const settings = Result.getOrThrow(
      decode({ issuers: [acme, { ...globex, algorithms: "ES256", allowedClients: ["a", "b"] }], allowedClients: "c" })
    )
    assert(settings.mode === "native" && settings.issuers !== undefined)
    assert.strictEqual(settings.issuer, acme.issuer)
    const [one, other] = settings.issuers.map((issuer) => settingsOf(settings, issuer))
    assert.deepInclude(one, {
      issuer: acme.issuer,
      audience: ["api://acme"],
      algorithms: ["RS256"],
      allowedClients: ["c"]
    })
    assert.deepInclude(other, {
      issuer: globex.issuer,
      audience: ["0oaGlobex"],
      algorithms: ["ES256"],
      allowedClients: ["a", "b"]
    })
  })

  const proxy = { clientId: "0oa", clientSecret: Redacted.make("x"), serverUrl: "http://localhost:3000" }
  const cases: ReadonlyArray<
    readonly [what: string, given: { readonly [field: string]: unknown }, ...mistakes: ReadonlyArray<unknown>]
  > = [
    [
      "all at once, each where it is",
      {
        issuers: [
          { issuer: "https://acme-admin.okta.com", audience: "" },
          { issuer: "https://globex.okta.com/", audience: ["a", " b"], algorithms: ["HS256"], accept: "refresh-token" },
          { audience: "x", audiences: "y" }
        ],
        maxTokenLength: 1
      },
      [
        "issuers[0].issuer",
        "https://acme-admin.okta.com",
        "is on the domain of the Admin Console. Use https://acme.okta.com"
      ],
      ["issuers[0].audience", "\"\"", "is empty. Give a value."],
      ["issuers[1].issuer", "https://globex.okta.com/", "ends with a slash. Use https://globex.okta.com"],
      ["issuers[1].audience", "\" b\"", "has spaces around it. Use b"],
      [
        "issuers[1].algorithms",
        "HS256",
        "is not an algorithm that can be accepted. Choose among RS256, PS256, PS384, PS512, ES256, ES384, ES512, EdDSA, Ed25519."
      ],
      ["issuers[1].accept", "refresh-token", "is neither access-token nor id-token. Give one of them."],
      ["issuers[2].issuer", undefined, "is missing. Give each issuer its issuer and its audience."],
      ["issuers[2].audiences", "y", "is not a setting of an issuer. Look for a slip in its name."],
      ["maxTokenLength", "1", "is not a usable number of characters. Give a whole number between 256 and 65536."]
    ],
    ["when there are none", { issuers: [] }, ["issuers", "[]", "is empty. Give at least one."]],
    [
      "when it is no list",
      { issuers: acme.issuer },
      ["issuers", acme.issuer, "is no list of issuers. Give issuer and audience of each."]
    ],
    [
      "when one is no issuer",
      { issuers: [acme.issuer] },
      ["issuers[0]", acme.issuer, "is not an issuer. Give issuer and audience."]
    ],
    [
      "when one is there twice",
      { issuers: [acme, { ...acme, audience: "other" }] },
      [
        "issuers",
        `[{"issuer":"${acme.issuer}","audience":["api://acme"]},{"issuer":"${acme.issuer}","audience":["other"]}]`,
        `has ${acme.issuer} twice. Give each issuer once, with all its audiences.`
      ]
    ],
    [
      "when there is a single one beside them",
      { issuers: [acme, globex], ...acme },
      ["issuer", acme.issuer, "is given beside issuers, each of which has its own. Remove one or the other."],
      ["audience", "[\"api://acme\"]", "is given beside issuers, each of which has its own. Remove one or the other."]
    ],
    [
      "in proxy mode",
      { ...proxy, issuer: acme.issuer, issuers: [acme, globex] },
      ["issuers", undefined, "is a setting of native mode. In proxy mode people sign in at one: give it as issuer."]
    ]
  ]
  for (const [what, given, ...mistakes] of cases) {
    it(`are told their mistakes ${what}`, () => {
      assert.sameDeepMembers([...problemsOf(given)], [...mistakes])
    })
  }

  it.effect("are not mixed with an issuer of the environment", () =>
    Effect.gen(function*() {
      const okta = OktaAuth.layerConfig({ issuers: [{ issuer: acme.issuer, audience: acme.audience }] }).pipe(
        Layer.provide(FetchHttpClient.layer),
        Layer.provide(ConfigProvider.layer(ConfigProvider.fromUnknown({ OKTA_ISSUER: globex.issuer })))
      )
      const { message } = yield* Effect.flip(Effect.scoped(Layer.build(okta)))
      assert.include(message, "OKTA_ISSUER")
      assert.include(message, "is given beside issuers")
    }))
})
