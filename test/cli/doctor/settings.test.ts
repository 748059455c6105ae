import { assert, describe, it } from "@effect/vitest"
import { Effect, Redacted, Result } from "effect"
import * as SettingsChecks from "../../../src/cli/doctor/SettingsChecks.ts"
import { decode, type OktaOptions } from "../../../src/config/OktaConfig.ts"
import { make } from "../../support/FaultyOkta.ts"
import { assertFine, assertSays, doctor, type Environment } from "./Patient.ts"

const custom = "https://acme.okta.com/oauth2/default"

describe("effect-okta doctor, of the settings", () => {
  for (
    const [what, environment, ...sentences] of [
      ["nothing is set", {}, "OKTA_ISSUER is missing."],
      ["no audience in native mode", { OKTA_ISSUER: custom }, "OKTA_AUDIENCE is missing.", "such as api://default"],
      ["a slash at the end", { OKTA_ISSUER: `${custom}/` }, "OKTA_ISSUER ends with a slash.", `Use ${custom}`],
      [
        "the address of the metadata",
        { OKTA_ISSUER: `${custom}/.well-known/openid-configuration` },
        "OKTA_ISSUER is the address of a document, not of the issuer.",
        `Use ${custom}`
      ],
      [
        "the domain of the Admin Console",
        { OKTA_ISSUER: "https://acme-admin.okta.com/oauth2/default" },
        "OKTA_ISSUER is on the domain of the Admin Console.",
        `Use ${custom}`
      ],
      [
        "the placeholder of Okta's documentation",
        { OKTA_ISSUER: "https://{yourOktaDomain}/oauth2/default" },
        "OKTA_ISSUER still holds the placeholder {yourOktaDomain}.",
        "Put your own domain in its place."
      ],
      [
        "the address of an endpoint",
        { OKTA_ISSUER: `${custom}/v1/authorize` },
        "OKTA_ISSUER is the address of an endpoint, not of the issuer.",
        `Use ${custom}`
      ],
      [
        "/oauth2 alone",
        { OKTA_ISSUER: "https://acme.okta.com/oauth2" },
        "OKTA_ISSUER ends where the id of an authorization server belongs.",
        `Use ${custom}`
      ],
      [
        "/oauth2/v1",
        { OKTA_ISSUER: "https://acme.okta.com/oauth2/v1" },
        "OKTA_ISSUER is the address of an endpoint, not of the issuer.",
        "Use https://acme.okta.com"
      ],
      ["http", { OKTA_ISSUER: "http://acme.okta.com" }, "OKTA_ISSUER is not https"],
      [
        "no SERVER_URL in proxy mode",
        { OKTA_ISSUER: custom, OKTA_CLIENT_ID: "0oa1", OKTA_CLIENT_SECRET: "canary-of-the-client" },
        "SERVER_URL is missing.",
        "Give the public URL of this server"
      ],
      [
        "a short secret",
        { OKTA_ISSUER: custom, OKTA_CLIENT_ID: "0oa1", ENCRYPTION_SECRET: "canary-too-short" },
        "ENCRYPTION_SECRET is shorter than 32 bytes."
      ],
      [
        "no secrets behind https",
        { OKTA_ISSUER: custom, OKTA_CLIENT_ID: "0oa1", SERVER_URL: "https://mcp.example.com" },
        "SIGNING_KEYS is missing.",
        "Make them with: npx effect-okta keys"
      ]
    ] satisfies ReadonlyArray<readonly [what: string, environment: Environment, ...sentences: Array<string>]>
  ) {
    it.effect(what, () =>
      Effect.gen(function*() {
        const okta = yield* make()
        const { OKTA_ISSUER: issuer = "", ...others } = environment as Environment
        // An issuer in order is one that could be asked, which is not to be on the network.
        const checks = yield* doctor({
          client: okta.client,
          environment: { ...others, OKTA_ISSUER: issuer === custom ? okta.issuer : issuer }
        })
        assertSays(checks, "settings", "failed", ...sentences)
        assert.notInclude(JSON.stringify(checks), "canary")
      }))
  }

  it.effect("all mistakes are told at once, and Okta is looked at all the same", () =>
    Effect.gen(function*() {
      const okta = yield* make({ org: true })
      const checks = yield* doctor({
        client: okta.client,
        environment: { OKTA_ISSUER: okta.issuer, SERVER_URL: "http://mcp.example.com", REQUIRED_SCOPES: "a\"b" }
      })
      assert.deepStrictEqual(
        checks.filter(({ check }) => check === "settings").map(({ tried }) => tried).sort(),
        ["OKTA_AUDIENCE", "REQUIRED_SCOPES", "SERVER_URL"]
      )
      assertSays(checks, "issuer", "failed", "Native mode can never work with an org server")
      assertSays(checks, "keys", "ok", "1 usable key (RS256)")
    }))
})

describe("effect-okta doctor, of issuer and audience", () => {
  const looked = Effect.fnUntraced(function*(environment: Environment, options: { readonly org?: boolean } = {}) {
    const okta = yield* make(options)
    return {
      okta,
      checks: yield* doctor({
        client: okta.client,
        environment: { OKTA_ISSUER: okta.issuer, OKTA_AUDIENCE: "api://default", ...environment }
      })
    }
  })

  it.effect("a custom server in native mode is in order", () =>
    Effect.gen(function*() {
      const { checks } = yield* looked({})
      assertFine(checks)
      assertSays(checks, "issuer", "ok", "a custom authorization server", "Native and proxy mode both work with it.")
      assertSays(checks, "audience", "ok", "api://default: can match", "Only a token shows whether it does match")
    }))

  it("Cross App Access needs the org server", () => {
    const settings = {
      issuer: custom,
      serverUrl: "https://mcp.example.com",
      clientId: "0oa1",
      clientSecret: Redacted.make("a secret"),
      encryptionSecret: Redacted.make("e".repeat(32)),
      signingKeys: Redacted.make("{\"keys\":[{}]}")
    }
    const look = (more: Partial<OktaOptions>) =>
      SettingsChecks.crossAppAccess(Result.getOrThrow(decode({ ...settings, ...more })))
    assert.deepStrictEqual(look({}), [])
    assertSays(
      look({ enterpriseManaged: "only" }),
      "cross-app-access",
      "failed",
      "those would be refused as of another issuer",
      "Set OKTA_ISSUER to https://acme.okta.com"
    )
    assertSays(
      look({ enterpriseManaged: true, issuer: "https://acme.okta.com" }),
      "cross-app-access",
      "ok",
      "needs https://mcp.example.com as Issuer URL and as Audience"
    )
  })

  it("Cross App Access needs clients that prove who they are", () => {
    const look = (clients: OktaOptions["clients"]) =>
      SettingsChecks.crossAppAccess(Result.getOrThrow(decode({
        issuer: "https://acme.okta.com",
        serverUrl: "http://127.0.0.1:8080",
        clientId: "0oa1",
        clientSecret: Redacted.make("a secret"),
        enterpriseManaged: true,
        clients
      })))
    const open = { clientId: "open", redirectUris: ["https://client.example.com/callback"] }
    for (const clients of [undefined, [open]]) {
      assertSays(
        look(clients),
        "cross-app-access",
        "skipped",
        "CLIENTS: no client with keys or secrets",
        "Name the calling"
      )
    }
    const agent = { clientId: "agent", keys: [{ kty: "EC", crv: "P-256", x: "x", y: "y" }] }
    const other = { clientId: "other", clientSecrets: [Redacted.make("s".repeat(32))] }
    assertSays(look([open, agent, other]), "cross-app-access", "ok", "CLIENTS: agent, other may bring them")
  })

  it.effect("an org server in native mode can never work", () =>
    Effect.gen(function*() {
      const { checks, okta } = yield* looked({}, { org: true })
      assertSays(
        checks,
        "issuer",
        "failed",
        "Native mode can never work with an org server: its access tokens are for Okta's own APIs",
        "nobody but Okta can verify them.",
        `such as ${okta.issuer}/oauth2/default, or proxy mode`
      )
      assertSays(
        checks,
        "audience",
        "failed",
        "can never match",
        "The access tokens of an org server are for Okta's own APIs"
      )
    }))

  it.effect("the client id as audience in native mode", () =>
    Effect.gen(function*() {
      const { checks } = yield* looked({ OKTA_AUDIENCE: "api://default,0oa1b2c3d4e5f6g7h8i9" })
      assertSays(
        checks,
        "audience",
        "failed",
        "It is a client id. Only ID tokens have the client id as audience",
        "use proxy mode"
      )
      assertSays(checks, "audience", "ok", "api://default: can match")
    }))

  it.effect("an address of Okta's as audience", () =>
    Effect.gen(function*() {
      const okta = yield* make()
      const checks = yield* doctor({
        client: okta.client,
        environment: { OKTA_ISSUER: okta.issuer, OKTA_AUDIENCE: okta.issuer }
      })
      assertSays(
        checks,
        "audience",
        "failed",
        "can never match",
        "It is an address of Okta's own",
        "such as api://default"
      )
    }))

  it.effect("an audience with a slash at its end", () =>
    Effect.gen(function*() {
      const { checks } = yield* looked({ OKTA_AUDIENCE: "https://api.example.com/" })
      assertSays(
        checks,
        "audience",
        "warning",
        "Audiences are compared byte for byte.",
        "set OKTA_AUDIENCE to https://api.example.com"
      )
    }))

  it.effect("another audience than the usual one of the server default", () =>
    Effect.gen(function*() {
      const { checks } = yield* looked({ OKTA_AUDIENCE: "api://mine" })
      assertSays(checks, "audience", "ok", "The server default has api://default unless its Audience was changed.")
    }))
})
