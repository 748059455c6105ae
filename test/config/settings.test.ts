import { assert, describe, it } from "@effect/vitest"
import { Duration, Redacted, Result } from "effect"
import { decode } from "../../src/config/OktaConfig.ts"
import { type Given, native, problemsOf, proxy } from "./Given.ts"

const settingsOf = (options: Given) => {
  const decoded = decode(options)
  return Result.isSuccess(decoded) ? decoded.success : assert.fail(decoded.failure.message)
}

describe("the settings", () => {
  it("have defaults for everything but issuer and audience", () => {
    const { clockTolerance, dpopProofLifetime, maxTokenLifetime, ...others } = settingsOf(native)
    assert.deepStrictEqual(others, {
      mode: "native",
      issuer: "https://acme.okta.com/oauth2/default",
      audience: ["api://default"],
      protectedPaths: [],
      maxTokenLength: 8192,
      requiredScopes: [],
      scopesSupported: [],
      scopeHierarchy: {},
      algorithms: ["RS256"],
      dpop: "accept",
      loopbackOnly: false,
      foreignEndpoints: false
    })
    assert.strictEqual(Duration.toSeconds(clockTolerance), 30)
    assert.strictEqual(Duration.toSeconds(dpopProofLifetime), 60)
    assert.strictEqual(Duration.toHours(maxTokenLifetime), 24)
  })

  it("take one value or a list", () => {
    const lists = [
      "audience",
      "protectedPaths",
      "allowedOrigins",
      "requiredScopes",
      "scopesSupported",
      "allowedClients"
    ]
    const values: { readonly [name: string]: string } = { protectedPaths: "/mcp", allowedOrigins: "https://a.example" }
    for (const name of lists) {
      const value = values[name] ?? "one"
      const one = settingsOf({ ...native, [name]: value })
      assert.deepStrictEqual(Object.entries(one).find(([key]) => key === name)?.[1], [value], name)
      assert.deepStrictEqual(settingsOf({ ...native, [name]: [value] }), one)
    }
    assert.deepStrictEqual(settingsOf({ ...native, algorithms: ["PS256", "ES512"] }).algorithms, ["PS256", "ES512"])
    assert.deepStrictEqual(settingsOf({ ...native, audience: ["api://a", "api://b"] }).audience, ["api://a", "api://b"])
  })

  it("take lengths of time as durations, text and milliseconds", () => {
    for (const clockTolerance of [Duration.minutes(1), "1 minute", 60_000]) {
      assert.strictEqual(Duration.toSeconds(settingsOf({ ...native, clockTolerance }).clockTolerance), 60)
    }
    assert.strictEqual(Duration.toMillis(settingsOf({ ...native, clockTolerance: 0 }).clockTolerance), 0)
    const most = settingsOf({ ...native, clockTolerance: "10 minutes", maxTokenLifetime: "30 days" })
    assert.strictEqual(Duration.toMinutes(most.clockTolerance), 10)
    assert.strictEqual(Duration.toDays(most.maxTokenLifetime), 30)
  })

  it("accept every signature algorithm that is not symmetric", () => {
    for (const algorithm of ["RS256", "ES256", "ES384", "ES512", "PS256", "PS384", "PS512", "EdDSA", "Ed25519"]) {
      assert.deepStrictEqual<ReadonlyArray<string>>(settingsOf({ ...native, algorithms: algorithm }).algorithms, [
        algorithm
      ])
    }
  })

  it("accept http on loopback, for issuers and servers", () => {
    for (
      const origin of [
        "http://localhost",
        "http://localhost:8080",
        "http://127.0.0.1:3000",
        "http://127.9.8.7",
        "http://[::1]:8080"
      ]
    ) {
      assert.deepStrictEqual(problemsOf({ ...native, issuer: origin, serverUrl: origin }), [], origin)
      assert.deepStrictEqual(
        problemsOf({ ...native, issuer: `${origin}/oauth2/default`, serverUrl: `${origin}/base` }),
        []
      )
    }
  })

  it("accept a server URL with a path", () => {
    const settings = settingsOf({ ...native, serverUrl: "https://example.com/services/mcp-1_a.b~c" })
    assert.strictEqual(settings.serverUrl, "https://example.com/services/mcp-1_a.b~c")
  })

  it("change nothing in an issuer, its host's case included: it is compared byte for byte", () => {
    for (
      const issuer of [
        "https://Acme.okta.com",
        "https://login.acme.example/oauth2/aus1Ab2C",
        "https://acme.okta-emea.com"
      ]
    ) {
      assert.strictEqual(settingsOf({ ...native, issuer }).issuer, issuer)
    }
  })

  it("are of proxy mode when client credentials are present, named or not", () => {
    const key = Redacted.make("{\"kty\":\"EC\",\"crv\":\"P-256\",\"x\":\"x\",\"y\":\"y\",\"d\":\"d\"}")
    for (
      const options of [
        proxy,
        { ...proxy, mode: "proxy" },
        { ...proxy, clientSecret: undefined, clientKey: key },
        { ...proxy, mode: undefined }
      ]
    ) {
      const settings = settingsOf(options)
      assert.strictEqual(settings.mode, "proxy")
      if (settings.mode === "proxy") {
        assert.deepStrictEqual(settings.scopes, ["openid", "profile", "email", "offline_access"])
        assert.deepStrictEqual(settings.redirectUris, [])
        assert.isFalse(settings.passThrough)
      }
    }
    assert.strictEqual(settingsOf({ ...native, mode: "native" }).mode, "native")
  })
})

// As Okta's guides print them, ellipses included.
describe("the settings as guides print them", () => {
  const examples: ReadonlyArray<readonly [string, Given, "native" | "proxy"]> = [
    ["native", { issuer: "https://yourcompany.okta.com", audience: "api://your-mcp-server" }, "native"],
    ["client id as audience", { issuer: "https://yourcompany.okta.com", audience: "0oa..." }, "native"],
    ["custom audience", { issuer: "https://yourcompany.okta.com", audience: "api://my-server" }, "native"],
    ["proxy", {
      issuer: "https://yourcompany.okta.com",
      audience: "api://your-mcp-server",
      clientId: "0oa...",
      clientSecret: Redacted.make("secret-from-okta"),
      serverUrl: "https://your-mcp-server.com",
      redirectUris: "https://your-mcp-server.com/oauth/callback",
      // What the guide knows nothing of: a server that the world can reach does not start without them.
      encryptionSecret: proxy["encryptionSecret"],
      signingKeys: proxy["signingKeys"]
    }, "proxy"]
  ]
  for (const [what, given, mode] of examples) {
    it(what, () => {
      const settings = settingsOf(given)
      assert.strictEqual(settings.mode, mode)
      assert.strictEqual(settings.issuer, "https://yourcompany.okta.com")
      assert.deepStrictEqual<ReadonlyArray<unknown> | undefined>(settings.audience, [given["audience"]])
    })
  }
})
