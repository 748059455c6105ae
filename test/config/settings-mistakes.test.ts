import { NodeServices } from "@effect/platform-node"
import { assert, describe, it } from "@effect/vitest"
import { Effect, Redacted, Result } from "effect"
import { InvalidConfiguration } from "../../src/config/InvalidConfiguration.ts"
import { decode, OktaConfig, type OktaOptions } from "../../src/config/OktaConfig.ts"
import { run } from "../support/Program.ts"
import { type Given, native, problemsOf, proxy } from "./Given.ts"

const strong = Redacted.make("0123456789abcdef0123456789abcdef")
const weak = Redacted.make("0123456789abcdef0123456789abcde")

/** What is given beside good options, and the mistakes that are told: `[field, value, sentence]`. */
type Mistake = readonly [field: string, value: string | undefined, message: string]
type Case = readonly [what: string, given: Given, ...mistakes: ReadonlyArray<Mistake>]

const issuer = (value: string, ...messages: ReadonlyArray<string>): Case => [
  `issuer ${JSON.stringify(value)}`,
  { ...native, issuer: value },
  ...messages.map((message): Mistake => ["issuer", value, message])
]

const issuerShown = (value: unknown, shown: string, message: string): Case => [
  `issuer ${JSON.stringify(value)}`,
  { ...native, issuer: value },
  ["issuer", shown, message]
]

const serverUrl = (value: string, ...messages: ReadonlyArray<string>): Case => [
  `serverUrl ${JSON.stringify(value)}`,
  { ...native, serverUrl: value },
  ...messages.map((message): Mistake => ["serverUrl", value, message])
]

const field = (name: keyof OktaOptions, value: unknown, shown: string | undefined, message: string): Case => [
  `${name} ${shown}`,
  { ...(name in proxy || proxyOnly.includes(name) ? proxy : native), [name]: value },
  [name, shown, message]
]

const notHttps = "is not https, which only loopback addresses may do without."
const noScheme = "does not begin with https://."
const placeholder = (text: string) => `still holds the placeholder ${text}. Put your own domain in its place.`
const document = "is the address of a document, not of the issuer."
const endpoint = "is the address of an endpoint, not of the issuer."
const serverless = "ends where the id of an authorization server belongs."
const admin = "is on the domain of the Admin Console."
const slash = "ends with a slash."
const unknownAlgorithm = "is not an algorithm that can be accepted. Choose among RS256, PS256, PS384, PS512, ES256, " +
  "ES384, ES512, EdDSA, Ed25519."
const notPath = "is not a plain path. Write it like /mcp, with no slash at its end."
const notScope = "is not a scope. Give a list of names without spaces, quotation marks and backslashes."
const notLength = "is not a usable number of characters. Give a whole number between 256 and 65536."
const notTime = "is not a usable length of time. Give one such as \"30 seconds\"."
const notLifetime = "is not a usable length of time. Give one such as \"24 hours\"."
const notOrigin = "is not an origin. Write scheme, host and port only, such as https://app.example.com; leave it out " +
  "for any origin."
const missingIssuer = "is missing. Give the issuer of your Okta authorization server, such as " +
  "https://acme.okta.com/oauth2/default"
const missingAudience = "is missing. Give the audience of your Okta authorization server, such as api://default"
const proxyOnly = ["encryptionSecret", "signingKeys", "clientMetadataHosts"]
const notHost =
  "is not a host name. Write it in small letters, without scheme, port and path, such as clients.example.com, or " +
  "*.example.com for all below it."
const missingServerUrl = "is missing. Give the public URL of this server, such as https://mcp.example.com"
const missingClientId = "is missing. Give the client id of the web application that you made for this server in Okta."
const missingSecret = "is missing. Give the client's secret, or its private key in clientKey."
const ofProxy = "is a setting of proxy mode. Give clientId and clientSecret too, or remove it."
const notAMode = "is neither native nor proxy. Remove it: the mode follows from the other settings."

const cases: ReadonlyArray<Case> = [
  // The issuer, byte for byte as Okta shows it
  issuer("http://acme.okta.com", `${notHttps} Use https://acme.okta.com`),
  issuer("http://localhost.example.com", `${notHttps} Use https://localhost.example.com`),
  issuer("http://0.0.0.0:8080", `${notHttps} Use https://0.0.0.0:8080`),
  issuer("http://10.0.0.1", `${notHttps} Use https://10.0.0.1`),
  issuer("http://128.0.0.1", `${notHttps} Use https://128.0.0.1`),
  issuer("ftp://acme.okta.com", `${noScheme} Use https://acme.okta.com`),
  issuer("acme.okta.com", `${noScheme} Use https://acme.okta.com`),
  issuer("acme.okta.com/oauth2/default", `${noScheme} Use https://acme.okta.com/oauth2/default`),
  issuer("//acme.okta.com", `${noScheme} Use https://acme.okta.com`),
  issuer("https:/acme.okta.com", `${noScheme} Use https://acme.okta.com`),
  issuer("localhost:8080", `${noScheme} Use http://localhost:8080`),
  issuer("javascript:alert(1)", "is not a URL. Give a URL such as https://acme.okta.com/oauth2/default"),
  issuer("https://", "is not a URL. Give a URL such as https://acme.okta.com/oauth2/default"),
  issuer("https://acme.okta.com/", `${slash} Use https://acme.okta.com`),
  issuer("https://acme.okta.com/oauth2/default/", `${slash} Use https://acme.okta.com/oauth2/default`),
  issuer("https://acme.okta.com//", `${slash} Use https://acme.okta.com`),
  issuer("https://acme-admin.okta.com", `${admin} Use https://acme.okta.com`),
  issuer(
    "https://acme-admin.oktapreview.com/oauth2/default",
    `${admin} Use https://acme.oktapreview.com/oauth2/default`
  ),
  issuer("https://dev-123456-admin.okta.com/admin/oauth2/as", `${admin} Use https://dev-123456.okta.com`),
  issuer("https://acme-admin.okta.com/", `${admin} Use https://acme.okta.com`, `${slash} Use https://acme.okta.com`),
  issuer(
    "http://acme-admin.okta.com/oauth2/default/",
    `${admin} Use https://acme.okta.com/oauth2/default`,
    `${notHttps} Use https://acme.okta.com/oauth2/default`,
    `${slash} Use https://acme.okta.com/oauth2/default`
  ),
  issuer("https://{yourOktaDomain}", placeholder("{yourOktaDomain}")),
  issuer("https://{yourOktaDomain}/oauth2/default", placeholder("{yourOktaDomain}")),
  issuer("https://${yourOktaDomain}/oauth2/default", placeholder("${yourOktaDomain}")),
  issuer("{{OKTA_ISSUER}}", placeholder("{{OKTA_ISSUER}}")),
  issuer("https://<your-domain>.okta.com", placeholder("<your-domain>")),
  issuer("https://acme.okta.com/.well-known/openid-configuration", `${document} Use https://acme.okta.com`),
  issuer(
    "https://acme.okta.com/oauth2/default/.well-known/openid-configuration",
    `${document} Use https://acme.okta.com/oauth2/default`
  ),
  issuer(
    "https://acme.okta.com/oauth2/default/.well-known/oauth-authorization-server?client_id=0oa1",
    `${document} Use https://acme.okta.com/oauth2/default`
  ),
  issuer(
    "https://acme.okta.com/.well-known/oauth-authorization-server/oauth2/default",
    `${document} Use https://acme.okta.com/oauth2/default`
  ),
  issuer("https://acme.okta.com/oauth2/default/v1/authorize", `${endpoint} Use https://acme.okta.com/oauth2/default`),
  issuer("https://acme.okta.com/oauth2/default/v1", `${endpoint} Use https://acme.okta.com/oauth2/default`),
  issuer("https://acme.okta.com/oauth2/v1", `${endpoint} Use https://acme.okta.com`),
  issuer("https://acme.okta.com/oauth2", `${serverless} Use https://acme.okta.com/oauth2/default`),
  issuer(
    "https://acme-admin.okta.com/oauth2/",
    `${admin} Use https://acme.okta.com/oauth2/default`,
    `${serverless} Use https://acme.okta.com/oauth2/default`
  ),
  issuer("https://acme.okta.com/oauth2/v1/keys", `${endpoint} Use https://acme.okta.com`),
  issuer("https://acme.okta.com/oauth2/v1/token?x=1", `${endpoint} Use https://acme.okta.com`),
  issuer("https://acme.okta.com?x=1", "has a query or fragment. Use https://acme.okta.com"),
  issuer("https://acme.okta.com#top", "has a query or fragment. Use https://acme.okta.com"),
  issuer("https://acme.okta.com:443", "is not written in its normal form. Use https://acme.okta.com"),
  issuer("https://acme.okta.com/oauth2/../x", "is not written in its normal form. Use https://acme.okta.com/x"),
  issuer("http://127.1:8080", "is not written in its normal form. Use http://127.0.0.1:8080"),
  issuerShown("", "\"\"", "is empty. Give a URL such as https://acme.okta.com/oauth2/default"),
  issuerShown("  ", "\"  \"", "is empty. Give a URL such as https://acme.okta.com/oauth2/default"),
  issuerShown(
    "https://acme.okta.com/oauth2/default\n",
    "\"https://acme.okta.com/oauth2/default\\n\"",
    "contains white space. Use https://acme.okta.com/oauth2/default"
  ),
  issuerShown(
    "https://ada:canary@acme.okta.com",
    "https://<redacted>@acme.okta.com",
    "contains a user name or password. Use https://acme.okta.com"
  ),
  issuerShown(5, "5", "is not text. Give a string."),
  issuerShown(null, "null", "is not text. Give a string."),

  // This server's own URL
  serverUrl("https://mcp.example.com/", `${slash} Use https://mcp.example.com`),
  serverUrl("https://mcp.example.com/base/", `${slash} Use https://mcp.example.com/base`),
  serverUrl("https://mcp.example.com?x", "has a query or fragment. Use https://mcp.example.com"),
  serverUrl(
    "https://mcp.example.com/#x",
    "has a query or fragment. Use https://mcp.example.com",
    `${slash} Use https://mcp.example.com`
  ),
  serverUrl("http://mcp.example.com", `${notHttps} Use https://mcp.example.com`),
  serverUrl("mcp.example.com", `${noScheme} Use https://mcp.example.com`),
  serverUrl("https://MCP.example.com", "has upper case letters in its host. Use https://mcp.example.com"),
  serverUrl("https://mcp.example.com:443/a", "is not written in its normal form. Use https://mcp.example.com/a"),
  serverUrl("https://mcp.example.com/a/../b", "is not written in its normal form. Use https://mcp.example.com/b"),
  serverUrl("https://mcp.example.com/a*", "has an unusual path. Write it like https://mcp.example.com/base"),
  serverUrl("https://mcp.example.com/%zz", "has an unusual path. Write it like https://mcp.example.com/base"),
  serverUrl("https://mcp.example.com/.well-known", "has an unusual path. Write it like https://mcp.example.com/base"),
  serverUrl(
    "https://mcp.example.com/a/.Well%2Dknown/b",
    "has an unusual path. Write it like https://mcp.example.com/base"
  ),
  serverUrl("https://{host}/mcp", placeholder("{host}")),

  // Audience
  field("audience", "", "\"\"", "is empty. Give a value."),
  field("audience", [], "[]", "is empty. Give at least one."),
  field("audience", ["api://a", ""], "\"\"", "is empty. Give a value."),
  field("audience", "api://a ", "\"api://a \"", "has spaces around it. Use api://a"),
  field("audience", ["api://a", 5], "5", "is not text. Give a string."),

  // The others
  field("algorithms", "HS256", "HS256", unknownAlgorithm),
  field("algorithms", ["RS256", "none"], "none", unknownAlgorithm),
  field("algorithms", ["rs256"], "rs256", unknownAlgorithm),
  field("algorithms", [], "[]", "is empty. Give at least one."),
  field("protectedPaths", "mcp", "mcp", notPath),
  field("protectedPaths", ["/mcp", "/mcp/"], "/mcp/", notPath),
  field("protectedPaths", "/", "/", notPath),
  field("protectedPaths", "/a/../b", "/a/../b", notPath),
  field("protectedPaths", "/a/*", "/a/*", notPath),
  field("protectedPaths", "/a?b", "/a?b", notPath),
  field("protectedPaths", "/%zz", "/%zz", notPath),
  field("protectedPaths", "/a/%2e%2e/b", "/a/%2e%2e/b", notPath),
  field("protectedPaths", "/.well-known/x", "/.well-known/x", notPath),
  field("requiredScopes", "files:read files:write", "files:read files:write", notScope),
  field("requiredScopes", ["a\"b"], "a\"b", notScope),
  field("scopesSupported", ["", "a"], "\"\"", notScope),
  field("scopesSupported", "a\\b", "a\\b", notScope),
  field("maxTokenLength", 255, "255", notLength),
  field("maxTokenLength", 65_537, "65537", notLength),
  field("maxTokenLength", 1000.5, "1000.5", notLength),
  field("maxTokenLength", Number.NaN, "NaN", notLength),
  field("maxTokenLength", "8192", "8192", "is not a number. Give one between 256 and 65536."),
  field("clockTolerance", "soon", "soon", notTime),
  field("clockTolerance", -1, "-1", notTime),
  field("clockTolerance", "-1 seconds", "-1 seconds", notTime),
  field("clockTolerance", "Infinity", "Infinity", notTime),
  field("clockTolerance", Number.NaN, "NaN", notTime),
  field("clockTolerance", 5n, "5n", notTime),
  field("clockTolerance", "601 seconds", "601 seconds", notTime),
  field("maxTokenLifetime", 0, "0", notLifetime),
  field("maxTokenLifetime", "31 days", "31 days", notLifetime),
  ...[-1, 0.5, Number.NaN, Number.POSITIVE_INFINITY, 1_000_001, "10"].map((cacheSize): Case => [
    `cacheSize ${cacheSize}`,
    { ...native, cacheSize },
    ["cacheSize", String(cacheSize), "is not a usable number of tokens. Give a whole number between 0 and 1000000."]
  ]),
  ["accept", { ...native, accept: "id_token" }, [
    "accept",
    "id_token",
    "is neither access-token nor id-token. Give one of them."
  ]],
  field("allowedClients", [], "[]", "is empty. Give at least one."),
  field("allowedClients", " 0oa1", "\" 0oa1\"", "has spaces around it. Use 0oa1"),
  field("resourceName", "", "\"\"", "is empty. Give a value."),
  field("allowedOrigins", "https://app.example.com/", "https://app.example.com/", notOrigin),
  field("allowedOrigins", ["https://app.example.com", "*"], "*", notOrigin),
  field("allowedOrigins", "null", "null", notOrigin),
  ...[
    "https://clients.example.com",
    "clients.example.com:443",
    "Clients.example.com",
    "clients.example.com/",
    "*",
    "*example.com",
    "a.*.com",
    "a..com",
    "clients.example.com.",
    "-a.com"
  ].map((
    host
  ) => field("clientMetadataHosts", ["clients.example.com", "*.example.com", host], host, notHost)),
  field("foreignEndpoints", "yes", "yes", "is neither true nor false. Give one of them."),
  ["a slip in a name", { ...native, issur: "https://canary" }, [
    "issur",
    undefined,
    "is not a setting. Look for a slip in its name."
  ]],

  // What must be there
  ["nothing at all", {}, ["issuer", undefined, missingIssuer], ["audience", undefined, missingAudience]],
  ["nothing but undefined", { issuer: undefined, audience: undefined }, ["issuer", undefined, missingIssuer], [
    "audience",
    undefined,
    missingAudience
  ]],
  [
    "proxy mode by name alone",
    { mode: "proxy", issuer: "https://acme.okta.com" },
    [
      "serverUrl",
      undefined,
      missingServerUrl
    ],
    ["clientId", undefined, missingClientId],
    ["clientSecret", undefined, missingSecret]
  ],
  ["a client id alone", { issuer: "https://acme.okta.com", clientId: "0oa1" }, [
    "serverUrl",
    undefined,
    missingServerUrl
  ], ["clientSecret", undefined, `${missingSecret} For native mode remove clientId, which means proxy mode.`]],
  ["a client secret alone", { ...native, serverUrl: "https://mcp.example.com", clientSecret: strong }, [
    "encryptionSecret",
    undefined,
    "is missing. Without it nothing that is sealed outlives a restart. Make one with: npx effect-okta keys"
  ], [
    "signingKeys",
    undefined,
    "is missing. Without them no token outlives a restart. Make them with: npx effect-okta keys"
  ], [
    "clientId",
    undefined,
    missingClientId
  ]],
  ["passThrough without an audience", { ...proxy, issuer: native["issuer"], passThrough: true }, [
    "audience",
    undefined,
    missingAudience
  ]],
  ["passThrough at an org server", { ...proxy, audience: "api://default", passThrough: true }, [
    "passThrough",
    undefined,
    "cannot be had with an Okta org server, whose access tokens nobody but Okta can verify. Use a custom authorization " +
    "server, such as the one under /oauth2/default, or remove it."
  ]],

  // The mode
  ["an unknown mode", { ...native, mode: "Native" }, ["mode", "Native", notAMode]],
  ["a mode of another type", { ...native, mode: 1 }, ["mode", "1", notAMode]],
  ["native with a client id", { ...native, mode: "native", clientId: "0oa1" }, [
    "mode",
    "native",
    "contradicts clientId, which means proxy. Remove one or the other."
  ]],
  ["native with credentials", { ...native, ...proxy, mode: "native" }, [
    "mode",
    "native",
    "contradicts clientId and clientSecret, which mean proxy. Remove one or the other."
  ]],
  ["a proxy's setting in native mode", { ...native, redirectUris: "https://a.example/cb" }, [
    "redirectUris",
    undefined,
    ofProxy
  ]],
  ["a proxy's secret in native mode", { ...native, encryptionSecret: strong }, [
    "encryptionSecret",
    undefined,
    ofProxy
  ]],

  // Secrets
  field("encryptionSecret", weak, "<redacted>", "is shorter than 32 bytes. Make one with: openssl rand -base64 32"),
  field(
    "encryptionSecret",
    [strong, weak],
    "<redacted>",
    "is shorter than 32 bytes. Make one with: openssl rand -base64 32"
  ),
  field("encryptionSecret", [], "<redacted>", "is empty. Give at least one."),
  field("encryptionSecret", "canary", "<redacted>", "is readable. Wrap it with Redacted.make."),
  field("clientSecret", "canary", "<redacted>", "is readable. Wrap it with Redacted.make."),
  field("clientSecret", Redacted.make(""), "<redacted>", "is empty. Give the secret."),
  field(
    "signingKeys",
    Redacted.make("{\"keys\":[]}"),
    "<redacted>",
    "is not a key ring. Give a JWK Set of private keys as JSON, as npx effect-okta keys makes it."
  ),
  ["a public client key", { ...proxy, clientSecret: undefined, clientKey: Redacted.make("{\"kty\":\"EC\"}") }, [
    "clientKey",
    "<redacted>",
    "is not a private key. Give a private JWK as JSON, with its member d."
  ]],
  ["a secret and a key", { ...proxy, clientKey: Redacted.make("{\"kty\":\"EC\",\"d\":\"x\"}") }, [
    "clientKey",
    "<redacted>",
    "is given beside clientSecret. Remove one of them."
  ]],

  // All at once
  [
    "many mistakes",
    {
      issuer: "https://acme-admin.okta.com",
      audience: "",
      serverUrl: "http://mcp.example.com/",
      algorithms: ["HS256", "RS256", "HS512"],
      clockTolerance: "soon",
      colour: "red"
    },
    ["issuer", "https://acme-admin.okta.com", `${admin} Use https://acme.okta.com`],
    [
      "audience",
      "\"\"",
      "is empty. Give a value."
    ],
    ["serverUrl", "http://mcp.example.com/", `${notHttps} Use https://mcp.example.com`],
    [
      "serverUrl",
      "http://mcp.example.com/",
      `${slash} Use https://mcp.example.com`
    ],
    ["algorithms", "HS256", unknownAlgorithm],
    ["algorithms", "HS512", unknownAlgorithm],
    [
      "clockTolerance",
      "soon",
      notTime
    ],
    ["colour", undefined, "is not a setting. Look for a slip in its name."]
  ]
]

describe("the mistakes in the settings", () => {
  for (const [what, given, ...mistakes] of cases) {
    it(what, () => {
      const sorted = (problems: ReadonlyArray<{ field: string; value?: string; message: string }>) =>
        problems.map(({ field, message, value }) => `${field} (${value}) ${message}`).sort()
      assert.deepStrictEqual(
        sorted(problemsOf(given)),
        sorted(
          mistakes.map(([field, value, message]) => ({ field, message, ...(value === undefined ? {} : { value }) }))
        )
      )
    })
  }

  it("every corrected URL is one that is accepted", () => {
    for (const [, given] of cases) {
      for (const { field, message } of problemsOf(given)) {
        const corrected = /Use (http\S+)$/.exec(message)?.[1]
        if (corrected === undefined || field !== "issuer" && field !== "serverUrl") continue
        assert.deepStrictEqual(problemsOf({ ...native, [field]: corrected }), [], corrected)
      }
    }
  })

  it("the error lists them all, a line each", () => {
    const decoded = decode({ issuer: "https://acme.okta.com/", serverUrl: "" })
    assert.isTrue(Result.isFailure(decoded))
    if (Result.isFailure(decoded)) {
      assert.instanceOf(decoded.failure, InvalidConfiguration)
      assert.strictEqual(
        decoded.failure.message,
        "There are 3 mistakes in the settings:\n" +
          `  audience ${missingAudience}\n` +
          "  issuer (https://acme.okta.com/) ends with a slash. Use https://acme.okta.com\n" +
          "  serverUrl (\"\") is empty. Give a URL such as https://mcp.example.com"
      )
    }
  })

  it("values that cannot be shown as JSON are shown nevertheless, and long ones cut", () => {
    const circular: { self?: unknown } = {}
    circular.self = circular
    assert.strictEqual(problemsOf({ ...native, issuer: circular })[0]?.value, "{\"self\":[Circular]}")
    assert.strictEqual(problemsOf({ ...native, issuer: "x".repeat(5000) })[0]?.value, `${"x".repeat(200)}…`)
  })

  it("nothing in the error commands a terminal, breaks its lines or turns them around", () => {
    const unsafe = /(?!\n)[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]/u
    for (const character of ["\u009b", "\u202e", "\u2028", "\u2029", "\u007f", "\u001b", "\n", "\u200b"]) {
      const decoded = decode({ ...native, issuer: `https://{${character}}`, audience: character, [character]: 1 })
      assert.isTrue(Result.isFailure(decoded))
      if (Result.isSuccess(decoded)) continue
      assert.notMatch(decoded.failure.message, unsafe)
      assert.lengthOf(decoded.failure.message.split("\n"), decoded.failure.problems.length + 1)
      for (const { message, value } of decoded.failure.problems) {
        assert.notMatch(`${value}${message}`, /\n|[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]/u)
      }
    }
  })

  it.effect("the layer fails with them", () =>
    Effect.gen(function*() {
      const error = yield* Effect.flip(
        Effect.provide(OktaConfig, OktaConfig.layer({ issuer: "https://acme.okta.com/" }))
      )
      assert.strictEqual(error._tag, "InvalidConfiguration")
      assert.deepStrictEqual(error.problems.map(({ field }) => field), ["audience", "issuer"])
    }))
})

const program = `
import { NodeHttpServer, NodeRuntime } from "@effect/platform-node"
import { Layer } from "effect"
import { FetchHttpClient, HttpRouter } from "effect/http"
import { createServer } from "node:http"
import { OktaAuth } from "./src/index.ts"

HttpRouter.serve(OktaAuth.routes).pipe(
  Layer.provide(OktaAuth.layer({ issuer: "https://acme-admin.okta.com", audience: "" })),
  Layer.provide(FetchHttpClient.layer),
  Layer.provide(NodeHttpServer.layer(createServer, { port: 0 })),
  Layer.launch,
  NodeRuntime.runMain
)
`

it.live("an app prints the list of them, and nothing below it", () =>
  Effect.gen(function*() {
    const { output, status } = yield* run(["node", "--input-type=module", "--eval", program])
    assert.strictEqual(status, 1)
    assert.deepStrictEqual(output.replace(/^\[[^\]]*\] /, "").split("\n"), [
      "ERROR (#2): InvalidConfiguration: There are 2 mistakes in the settings:",
      `  issuer (https://acme-admin.okta.com) ${admin} Use https://acme.okta.com`,
      "  audience (\"\") is empty. Give a value.",
      ""
    ])
  }).pipe(Effect.provide(NodeServices.layer)))
