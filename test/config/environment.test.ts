import { assert, describe, it } from "@effect/vitest"
import { ConfigProvider, Duration, Effect, Layer, Redacted } from "effect"
import { introspection, layerConfig } from "../../src/config/Environment.ts"
import { OktaConfig, type OktaOptions } from "../../src/config/OktaConfig.ts"

interface Environment {
  readonly [name: string]: string
}

const settingsOf = (env: Environment, options?: Partial<OktaOptions>) =>
  Effect.provide(
    OktaConfig,
    layerConfig(options).pipe(Layer.provide(ConfigProvider.layer(ConfigProvider.fromEnv({ env }))))
  )

const mistakesIn = (env: Environment, options?: Partial<OktaOptions>) =>
  Effect.map(
    Effect.flip(settingsOf(env, options)),
    ({ problems }) => problems.map(({ field, message, value }) => [field, value, message])
  )

const native: Environment = { OKTA_ISSUER: "https://acme.okta.com/oauth2/default", OKTA_AUDIENCE: "api://default" }

describe("the settings from the environment", () => {
  it.effect("native mode", () =>
    Effect.gen(function*() {
      const settings = yield* settingsOf({
        ...native,
        OKTA_AUDIENCE: "api://default, 0oa1client ,api://other",
        SERVER_URL: "https://mcp.example.com",
        REQUIRED_SCOPES: "mcp:use files:read,files:write",
        PORT: "8080",
        REDIS_URL: "redis://localhost",
        SQLITE_FILE: "okta.db"
      })
      assert.strictEqual(settings.mode, "native")
      assert.strictEqual(settings.issuer, "https://acme.okta.com/oauth2/default")
      assert.deepStrictEqual(settings.audience, ["api://default", "0oa1client", "api://other"])
      assert.strictEqual(settings.serverUrl, "https://mcp.example.com")
      assert.deepStrictEqual(settings.requiredScopes, ["mcp:use", "files:read", "files:write"])
    }))

  it.effect("a mistake is told by the name under which it was made: the variable's, or the option's in code", () =>
    Effect.gen(function*() {
      const inCode = { issuer: "https://acme.okta.com/", serverUrl: "https://mcp.example.com/" }
      const mistakes = yield* mistakesIn({ SERVER_URL: "http://mcp.example.com", OKTA_CLIENT_SECRET: "canary" }, {
        ...inCode,
        clientKey: Redacted.make("canary"),
        redirectUris: " "
      })
      assert.deepStrictEqual(mistakes, [
        [
          "OKTA_CLIENT_ID",
          undefined,
          "is missing. Give the client id of the web application that you made for this server in Okta."
        ],
        ["clientKey", "<redacted>", "is given beside OKTA_CLIENT_SECRET. Remove one of them."],
        ["issuer", "https://acme.okta.com/", "ends with a slash. Use https://acme.okta.com"],
        [
          "SERVER_URL",
          "http://mcp.example.com",
          "is not https, which only loopback addresses may do without. Use https://mcp.example.com"
        ],
        ["clientKey", "<redacted>", "is not a private key. Give a private JWK as JSON, with its member d."],
        ["redirectUris", "\" \"", "is empty. Give a value."]
      ])
    }))

  it.effect("proxy mode, inferred from the credentials", () =>
    Effect.gen(function*() {
      const first = "a".repeat(32)
      const second = "b".repeat(32)
      const settings = yield* settingsOf({
        OKTA_ISSUER: "https://acme.okta.com",
        OKTA_CLIENT_ID: "0oa1client",
        OKTA_CLIENT_SECRET: "canary-secret",
        SERVER_URL: "https://mcp.example.com",
        OKTA_REDIRECT_URIS: "https://a.example/cb, cursor://cb",
        OKTA_SCOPES: "openid email",
        SIGNING_KEYS: "{\"keys\":[{\"kty\":\"EC\"}]}",
        ENCRYPTION_SECRET: `${first},${second}`,
        TRUSTED_PROXIES: "2"
      })
      if (settings.mode !== "proxy") return assert.fail(settings.mode)
      assert.strictEqual(settings.clientId, "0oa1client")
      assert.strictEqual(settings.clientSecret && Redacted.value(settings.clientSecret), "canary-secret")
      assert.deepStrictEqual(settings.redirectUris, ["https://a.example/cb", "cursor://cb"])
      assert.deepStrictEqual(settings.scopes, ["openid", "email"])
      assert.strictEqual(settings.trustedProxies, 2)
      assert.deepStrictEqual(settings.encryptionSecret?.map(Redacted.value), [first, second])
      assert.strictEqual(settings.signingKeys && Redacted.value(settings.signingKeys), "{\"keys\":[{\"kty\":\"EC\"}]}")
      assert.notInclude(JSON.stringify(settings), "canary")
    }))

  it.effect("Cross App Access: true, false or only", () =>
    Effect.gen(function*() {
      const environment = {
        OKTA_ISSUER: "https://acme.okta.com",
        OKTA_CLIENT_ID: "0oa1client",
        OKTA_CLIENT_SECRET: "canary-secret",
        SERVER_URL: "http://127.0.0.1:8080"
      }
      for (const [value, expected] of [["true", true], ["false", false], ["only", "only"], ["", false]] as const) {
        const settings = yield* settingsOf({ ...environment, OKTA_ENTERPRISE_MANAGED: value })
        assert.strictEqual(settings.mode === "proxy" ? settings.enterpriseManaged : undefined, expected)
      }
      assert.deepStrictEqual(yield* mistakesIn({ ...environment, OKTA_ENTERPRISE_MANAGED: "yes" }), [
        ["OKTA_ENTERPRISE_MANAGED", "yes", "is none of true, false and only. Give one of them."]
      ])
    }))

  it.effect("tokens that are bound to keys, in both modes", () =>
    Effect.gen(function*() {
      const settings = yield* settingsOf({
        ...native,
        SERVER_URL: "https://mcp.example.com",
        DPOP: "require",
        DPOP_PROOF_LIFETIME: "2 minutes"
      })
      assert.deepStrictEqual([settings.dpop, Duration.toSeconds(settings.dpopProofLifetime)], ["require", 120])
      const proxy = {
        OKTA_ISSUER: "https://acme.okta.com",
        OKTA_CLIENT_ID: "0oa1client",
        OKTA_CLIENT_SECRET: "canary-secret",
        SERVER_URL: "http://127.0.0.1:8080"
      }
      for (const [value, expected] of [["true", true], ["false", false], ["", false]] as const) {
        const settings = yield* settingsOf({ ...proxy, DPOP: "off", DPOP_NONCES: value })
        assert.deepStrictEqual(settings.mode === "proxy" && [settings.dpop, settings.dpopNonces], ["off", expected])
      }
      assert.deepStrictEqual(
        yield* mistakesIn({ ...proxy, DPOP: "yes", DPOP_PROOF_LIFETIME: "1 hour", DPOP_NONCES: "on" }),
        [
          ["DPOP", "yes", "is none of off, accept and require. Give one of them."],
          ["DPOP_PROOF_LIFETIME", "1 hour", "is not a usable length of time. Give one such as \"60 seconds\"."],
          ["DPOP_NONCES", "on", "is neither true nor false. Give one of them."]
        ]
      )
      assert.deepStrictEqual(yield* mistakesIn({ ...native, DPOP: "require", DPOP_NONCES: "true" }), [
        [
          "DPOP",
          undefined,
          "cannot be required without SERVER_URL, for which proofs are made. Give the public URL of this server."
        ],
        [
          "DPOP_NONCES",
          undefined,
          "is a setting of proxy mode. Give OKTA_CLIENT_ID and OKTA_CLIENT_SECRET too, or remove it."
        ]
      ])
    }))

  const key = "{\"kty\":\"EC\",\"d\":\"canary\"}"

  it.effect("how Okta is asked about tokens", () =>
    Effect.gen(function*() {
      const asking = (env: Environment, inCode?: object) =>
        settingsOf({ ...native, ...env }).pipe(
          Effect.andThen(Effect.provide(introspection(inCode), ConfigProvider.layer(ConfigProvider.fromEnv({ env }))))
        )
      assert.isUndefined(yield* asking({}))
      const secret = yield* asking({
        OKTA_INTROSPECTION: "recheck",
        OKTA_INTROSPECTION_CLIENT_ID: "0oa2asks",
        OKTA_INTROSPECTION_CLIENT_SECRET: "canary"
      })
      assert.deepStrictEqual([secret?.mode, secret?.clientId], ["recheck", "0oa2asks"])
      assert.strictEqual(secret?.clientSecret && Redacted.value(secret.clientSecret), "canary")
      const inCode = { mode: "recheck", clientId: "0oa3code", clientSecret: undefined, clientKey: Redacted.make(key) }
      const both = yield* asking({}, inCode)
      assert.deepStrictEqual(both && Object.keys(both), ["mode", "clientId", "clientKey"])
      assert.strictEqual(both?.clientId, "0oa3code")
      assert.notInclude(JSON.stringify([secret, both]), "canary")
    }))

  it.effect("every mistake in how Okta is asked, together with all others", () =>
    Effect.gen(function*() {
      assert.deepStrictEqual(
        yield* mistakesIn({
          OKTA_AUDIENCE: "api://default",
          OKTA_INTROSPECTION: "always",
          OKTA_INTROSPECTION_CLIENT_KEY: "canary"
        }),
        [
          [
            "OKTA_ISSUER",
            undefined,
            "is missing. Give the issuer of your Okta authorization server, such as https://acme.okta.com/oauth2/default"
          ],
          ["OKTA_INTROSPECTION", "always", "is neither recheck nor only. Give one of them."],
          [
            "OKTA_INTROSPECTION_CLIENT_ID",
            undefined,
            "is missing. Give the client id of an application in Okta that may ask about tokens."
          ],
          [
            "OKTA_INTROSPECTION_CLIENT_KEY",
            "<redacted>",
            "is not a private key. Give a private JWK as JSON, with its member d."
          ]
        ]
      )
      assert.deepStrictEqual(yield* mistakesIn({ ...native, OKTA_INTROSPECTION_CLIENT_ID: "0oa2asks" }), [
        ["OKTA_INTROSPECTION", undefined, "is missing. Give recheck or only, or remove the credentials."],
        [
          "OKTA_INTROSPECTION_CLIENT_SECRET",
          undefined,
          "is missing. Give the application's secret, or its private key in OKTA_INTROSPECTION_CLIENT_KEY."
        ]
      ])
      const credentials = { OKTA_INTROSPECTION_CLIENT_ID: "0oa2asks", OKTA_INTROSPECTION_CLIENT_SECRET: "canary" }
      assert.deepStrictEqual(
        yield* mistakesIn({
          ...native,
          ...credentials,
          OKTA_INTROSPECTION: "only",
          OKTA_INTROSPECTION_CLIENT_KEY: key
        }),
        [[
          "OKTA_INTROSPECTION_CLIENT_KEY",
          "<redacted>",
          "is given beside OKTA_INTROSPECTION_CLIENT_SECRET. Remove one of them."
        ]]
      )
      const proxy = {
        OKTA_ISSUER: "https://acme.okta.com",
        OKTA_CLIENT_ID: "0oa1client",
        OKTA_CLIENT_SECRET: "canary-secret",
        SERVER_URL: "http://127.0.0.1:8080/"
      }
      assert.deepStrictEqual(
        (yield* mistakesIn({ ...proxy, ...credentials, OKTA_INTROSPECTION: "recheck" })).map(([field]) => field),
        ["SERVER_URL", "OKTA_INTROSPECTION"]
      )
    }))

  const proxy = {
    OKTA_ISSUER: "https://acme.okta.com",
    OKTA_CLIENT_ID: "0oa1client",
    OKTA_CLIENT_SECRET: "canary-secret",
    SERVER_URL: "http://127.0.0.1:8080"
  }

  it.effect("configured clients, as JSON whose secrets nobody can print", () =>
    Effect.gen(function*() {
      const settings = yield* settingsOf({
        ...proxy,
        CLIENTS: JSON.stringify([
          { clientId: "nightly", clientSecrets: ["canary-of-thirty-two-characters-x"], serviceScopes: ["mcp:read"] },
          { clientId: "agent", name: "Agent", keys: [{ kty: "EC", crv: "P-256", x: "x", y: "y" }] }
        ])
      })
      assert(settings.mode === "proxy")
      assert.deepStrictEqual(settings.clients.map(({ clientId }) => clientId), ["nightly", "agent"])
      assert.deepStrictEqual(settings.clients[0]?.clientSecrets.map(Redacted.value), [
        "canary-of-thirty-two-characters-x"
      ])
      assert.deepStrictEqual(settings.clients[0]?.serviceScopes, ["mcp:read"])
      assert.notInclude(JSON.stringify(settings), "canary")
    }))

  it.effect("what is wrong with them is told by its place, and nothing of what might be secret", () =>
    Effect.gen(function*() {
      const problems = yield* mistakesIn({
        ...proxy,
        CLIENTS: JSON.stringify([
          { clientId: "a", clientSecrets: ["canary"] },
          { clientId: "b", keys: [{ kty: "EC", d: "canary" }] },
          { name: "c", clientSecrets: "canary-of-thirty-two-characters-x" },
          "canary",
          { clientId: "d", clientSecret: "canary", serviceScopes: "mcp:read" },
          { clientId: "e", password: "canary" }
        ])
      })
      assert.notInclude(JSON.stringify(problems), "canary")
      assert.deepStrictEqual(problems, [
        [
          "CLIENTS[0].clientSecrets",
          "<redacted>",
          "is shorter than 32 bytes. Make one with: openssl rand -base64 32"
        ],
        ["CLIENTS[1].keys", "<redacted>", "must be public JWKs, and at least one."],
        ["CLIENTS[2].clientId", undefined, "is missing. Give each client its clientId."],
        ["CLIENTS[2].clientSecrets", "<redacted>", "is not a list. Give one in brackets."],
        [
          "CLIENTS[3]",
          undefined,
          "is not a client. Give clientId, redirectUris, and clientSecrets or keys."
        ],
        [
          "CLIENTS[4].clientSecret",
          "<redacted>",
          "is not a setting of a client. Look for a slip in its name."
        ],
        ["CLIENTS[4].serviceScopes", "mcp:read", "is not a list. Give one in brackets."],
        ["CLIENTS[5].password", "<redacted>", "is not a setting of a client. Look for a slip in its name."]
      ])
      for (const CLIENTS of ["canary", "{\"clientId\":\"canary\"}", "[{\"clientId\":"]) {
        assert.deepStrictEqual(yield* mistakesIn({ ...proxy, CLIENTS }), [
          ["CLIENTS", "<redacted>", "is not a list. Give one in brackets."]
        ])
      }
      assert.deepStrictEqual(yield* mistakesIn({ ...native, CLIENTS: "[]" }), [
        [
          "CLIENTS",
          undefined,
          "is a setting of proxy mode. Give OKTA_CLIENT_ID and OKTA_CLIENT_SECRET too, or remove it."
        ]
      ])
    }))

  it.effect("proxy mode with a private key", () =>
    Effect.gen(function*() {
      const settings = yield* settingsOf({
        OKTA_ISSUER: "https://acme.okta.com",
        OKTA_CLIENT_ID: "0oa1client",
        OKTA_CLIENT_KEY: "{\"kty\":\"EC\",\"d\":\"canary\"}",
        SERVER_URL: "http://localhost:8080",
        OKTA_MODE: "proxy"
      })
      assert.strictEqual(settings.mode, "proxy")
      assert.notInclude(JSON.stringify(settings), "canary")
    }))

  it.effect("a variable that is empty, or blank, is not set", () =>
    Effect.gen(function*() {
      const settings = yield* settingsOf({
        ...native,
        OKTA_MODE: "",
        OKTA_CLIENT_ID: "",
        OKTA_CLIENT_SECRET: " ",
        SERVER_URL: "",
        REQUIRED_SCOPES: " "
      })
      assert.strictEqual(settings.mode, "native")
      assert.isUndefined(settings.serverUrl)
      assert.deepStrictEqual(settings.requiredScopes, [])
    }))

  it.effect("options in code stand in for variables that are not set, and for what has none", () =>
    Effect.gen(function*() {
      const settings = yield* settingsOf({ OKTA_AUDIENCE: "api://environment" }, {
        issuer: "https://acme.okta.com",
        audience: "api://code",
        protectedPaths: "/mcp",
        clockTolerance: "5 seconds"
      })
      assert.strictEqual(settings.issuer, "https://acme.okta.com")
      assert.deepStrictEqual(settings.audience, ["api://environment"])
      assert.deepStrictEqual(settings.protectedPaths, ["/mcp"])
    }))

  it.effect("a number of reverse proxies that is none is a mistake", () =>
    Effect.gen(function*() {
      const proxy = {
        OKTA_ISSUER: "https://acme.okta.com",
        OKTA_CLIENT_ID: "0oa1client",
        OKTA_CLIENT_SECRET: "secret",
        SERVER_URL: "http://localhost:8080"
      }
      assert.deepStrictEqual(yield* mistakesIn({ ...proxy, TRUSTED_PROXIES: "one" }), [
        ["TRUSTED_PROXIES", "one", "is not a number. Give one between 0 and 10."]
      ])
      assert.deepStrictEqual(yield* mistakesIn({ ...proxy, TRUSTED_PROXIES: "11" }), [
        ["TRUSTED_PROXIES", "11", "is not usable. Give a whole number between 0 and 10."]
      ])
    }))

  it.effect("mistakes are told by the names of the variables, all at once", () =>
    Effect.gen(function*() {
      assert.deepStrictEqual(yield* mistakesIn({}), [
        [
          "OKTA_ISSUER",
          undefined,
          "is missing. Give the issuer of your Okta authorization server, such as https://acme.okta.com/oauth2/default"
        ],
        [
          "OKTA_AUDIENCE",
          undefined,
          "is missing. Give the audience of your Okta authorization server, such as api://default"
        ]
      ])
      assert.deepStrictEqual(
        yield* mistakesIn({
          OKTA_ISSUER: "https://{yourOktaDomain}",
          OKTA_AUDIENCE: "api://default,",
          SERVER_URL: "https://mcp.example.com/",
          REQUIRED_SCOPES: "a\\b"
        }, { protectedPaths: "mcp" }),
        [
          [
            "OKTA_ISSUER",
            "https://{yourOktaDomain}",
            "still holds the placeholder {yourOktaDomain}. Put your own domain in its place."
          ],
          ["protectedPaths", "mcp", "is not a plain path. Write it like /mcp, with no slash at its end."],
          [
            "REQUIRED_SCOPES",
            "a\\b",
            "is not a scope. Give a list of names without spaces, quotation marks and backslashes."
          ],
          ["OKTA_AUDIENCE", "\"\"", "is empty. Give a value."],
          ["SERVER_URL", "https://mcp.example.com/", "ends with a slash. Use https://mcp.example.com"]
        ]
      )
    }))

  it.effect("those of proxy mode too, without their secrets", () =>
    Effect.gen(function*() {
      const problems = yield* mistakesIn({
        OKTA_ISSUER: "https://acme.okta.com",
        OKTA_CLIENT_KEY: "canary",
        ENCRYPTION_SECRET: "canary",
        SIGNING_KEYS: "canary"
      })
      assert.deepStrictEqual(problems, [
        ["SERVER_URL", undefined, "is missing. Give the public URL of this server, such as https://mcp.example.com"],
        [
          "OKTA_CLIENT_ID",
          undefined,
          "is missing. Give the client id of the web application that you made for this server in Okta."
        ],
        ["OKTA_CLIENT_KEY", "<redacted>", "is not a private key. Give a private JWK as JSON, with its member d."],
        [
          "SIGNING_KEYS",
          "<redacted>",
          "is not a key ring. Give a JWK Set of private keys as JSON, as npx effect-okta keys makes it."
        ],
        [
          "ENCRYPTION_SECRET",
          "<redacted>",
          "is shorter than 32 bytes. Make one with: openssl rand -base64 32"
        ]
      ])
      assert.deepStrictEqual(yield* mistakesIn({ OKTA_ISSUER: "https://acme.okta.com", OKTA_CLIENT_ID: "0oa1" }), [
        ["SERVER_URL", undefined, "is missing. Give the public URL of this server, such as https://mcp.example.com"],
        [
          "OKTA_CLIENT_SECRET",
          undefined,
          "is missing. Give the client's secret, or its private key in OKTA_CLIENT_KEY. For native mode remove OKTA_CLIENT_ID, which means proxy mode."
        ]
      ])
    }))

  it.effect("a mode that contradicts the credentials", () =>
    Effect.gen(function*() {
      const problems = yield* mistakesIn({
        ...native,
        OKTA_MODE: "native",
        OKTA_CLIENT_ID: "0oa1",
        OKTA_CLIENT_SECRET: "canary"
      })
      assert.deepStrictEqual(problems, [[
        "OKTA_MODE",
        "native",
        "contradicts OKTA_CLIENT_ID and OKTA_CLIENT_SECRET, which mean proxy. Remove one or the other."
      ]])
    }))

  it.effect("an environment that cannot be read is one mistake", () =>
    Effect.gen(function*() {
      const broken = ConfigProvider.make(() =>
        Effect.fail(new ConfigProvider.SourceError({ message: "the vault is sealed" }))
      )
      const error = yield* Effect.flip(
        Effect.provide(OktaConfig, layerConfig().pipe(Layer.provide(ConfigProvider.layer(broken))))
      )
      assert.deepStrictEqual(error.problems.map(({ field }) => field), ["environment"])
      assert.include(error.message, "the vault is sealed")
    }))
})
