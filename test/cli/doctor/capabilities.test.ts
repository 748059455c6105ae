import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import { FetchHttpClient } from "effect/http"
import { webClient } from "../../../src/demo/StandInDirectory.ts"
import { make } from "../../support/FaultyOkta.ts"
import { assertFine, assertSays, doctor, lineOf } from "./Patient.ts"
import { clientSecret, encryptionSecret, signingKeys } from "./ProxyPatient.ts"

const serverUrl = "https://mcp.example.com"

const proxy = {
  OKTA_AUDIENCE: undefined,
  OKTA_CLIENT_ID: webClient.clientId,
  OKTA_CLIENT_SECRET: clientSecret,
  SERVER_URL: serverUrl,
  ENCRYPTION_SECRET: encryptionSecret,
  SIGNING_KEYS: signingKeys
}

/** What is said of an Okta whose metadata says this besides what every server has to say. */
const look = Effect.fnUntraced(function*(
  mode: "native" | "proxy",
  more: (issuer: string) => object = () => ({}),
  org = false
) {
  const okta = yield* make({ org })
  okta.metadata = { ...okta.metadata, ...more(okta.issuer) }
  const environment = {
    OKTA_ISSUER: okta.issuer,
    OKTA_AUDIENCE: "api://default",
    ...(mode === "proxy" ? proxy : {})
  }
  const checks = yield* doctor({ client: FetchHttpClient.layer, environment })
  return { all: checks, checks: checks.filter(({ check }) => check === "capabilities"), issuer: okta.issuer }
})

const everything = (issuer: string) => ({
  grant_types_supported: ["authorization_code", "urn:ietf:params:oauth:grant-type:token-exchange"],
  acr_values_supported: ["urn:okta:loa:2fa:any"],
  dpop_signing_alg_values_supported: ["RS256", "ES256"],
  backchannel_logout_supported: true,
  introspection_endpoint: `${issuer}/v1/introspect`,
  revocation_endpoint: `${issuer}/v1/revoke`,
  end_session_endpoint: `${issuer}/v1/logout`
})

const native = [
  [
    "skipped",
    "token exchange, by grant_types_supported: not listed",
    "An app that does not use it misses nothing.",
    "allow the grant Token Exchange"
  ],
  [
    "skipped",
    "step-up, by acr_values_supported: not listed",
    "which it may take though it lists none.",
    "call something that such a policy guards"
  ],
  [
    "skipped",
    "introspection, by introspection_endpoint: not listed",
    "what depends on them is answered with 503.",
    "Leave them out, or use an authorization server that can be asked"
  ],
  [
    "skipped",
    "DPoP, by dpop_signing_alg_values_supported: not listed",
    "without it they ask for bearer tokens.",
    "Leave the option dpop at accept"
  ]
] as const

const proxied = [
  ...native.slice(0, 2),
  [
    "skipped",
    "back-channel logout, by backchannel_logout_supported: not listed",
    `Okta may send no logout tokens to ${serverUrl}/oauth/backchannel-logout`,
    `${serverUrl}/oauth/global-token-revocation`
  ],
  [
    "warning",
    "revocation, by revocation_endpoint: not listed",
    "Okta's own tokens of it go on until their end.",
    "Use the issuer that Okta shows"
  ],
  [
    "warning",
    "end of session, by end_session_endpoint: not listed",
    "Who signs out here stays signed in at Okta.",
    "Use the issuer that Okta shows"
  ]
] as const

describe("effect-okta doctor, of what Okta offers", () => {
  for (
    const [mode, listed] of [
      ["native", "token exchange, step-up, introspection, DPoP"],
      ["proxy", "token exchange, step-up, back-channel logout, revocation, end of session"]
    ] as const
  ) {
    it.effect(`everything that ${mode} mode can use, in one line`, () =>
      Effect.gen(function*() {
        const { checks } = yield* look(mode, everything)
        assert.deepStrictEqual(checks, [
          { check: "capabilities", outcome: "ok", tried: "Okta's metadata", found: `it lists ${listed}` }
        ])
      }))
  }

  for (const [mode, missing] of [["native", native], ["proxy", proxied]] as const) {
    it.effect(`nothing that ${mode} mode can use`, () =>
      Effect.gen(function*() {
        const { checks } = yield* look(mode)
        assert.strictEqual(checks.length, missing.length, checks.map(lineOf).join("\n"))
        for (const [outcome, ...sentences] of missing) assertSays(checks, "capabilities", outcome, ...sentences)
      }))
  }

  it.effect("nothing of it makes a native server wrong", () =>
    Effect.gen(function*() {
      assertFine((yield* look("native")).all)
    }))

  it.effect("token exchange at an org server needs a custom one", () =>
    Effect.gen(function*() {
      const { checks, issuer } = yield* look("proxy", undefined, true)
      assertSays(
        checks,
        "capabilities",
        "skipped",
        `take a custom authorization server, such as ${issuer}/oauth2/default`
      )
    }))

  it.effect("a member of another type, an empty list or false is none, and hides no other", () =>
    Effect.gen(function*() {
      const { all, checks } = yield* look("native", (issuer) => ({
        ...everything(issuer),
        grant_types_supported: "urn:ietf:params:oauth:grant-type:token-exchange",
        acr_values_supported: []
      }))
      assertSays(checks, "capabilities", "ok", "it lists introspection, DPoP")
      for (const [outcome, ...sentences] of native.slice(0, 2)) {
        assertSays(checks, "capabilities", outcome, ...sentences)
      }
      assertFine(all)
      for (const backchannel_logout_supported of [false, "true"]) {
        const { checks } = yield* look("proxy", (issuer) => ({ ...everything(issuer), backchannel_logout_supported }))
        assertSays(
          checks,
          "capabilities",
          "skipped",
          "back-channel logout, by backchannel_logout_supported: not listed"
        )
      }
    }))

  it.effect("without metadata nobody knows", () =>
    Effect.gen(function*() {
      const { checks } = yield* look("native", () => ({ issuer: "https://old.example" }))
      assert.strictEqual(checks.length, 1)
      assertSays(checks, "capabilities", "skipped", "Okta's metadata is needed first")
    }))
})
