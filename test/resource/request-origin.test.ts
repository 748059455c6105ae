import { assert, describe, it } from "@effect/vitest"
import { Result } from "effect"
import { decode } from "../../src/config/OktaConfig.ts"
import { originCheck } from "../../src/resource/RequestOrigin.ts"

const checkFor = (options: Parameters<typeof decode>[0]) => {
  const settings = decode({ issuer: "https://acme.okta.com", audience: "api://default", ...options })
  return Result.isSuccess(settings) ? originCheck(settings.success) : assert.fail(settings.failure.message)
}

interface Case {
  readonly options: Parameters<typeof decode>[0]
  readonly allowed: ReadonlyArray<{ readonly host?: string; readonly origin?: string }>
  readonly forbidden: ReadonlyArray<readonly ["host" | "origin", { readonly host?: string; readonly origin?: string }]>
}

const loopbackHosts = [
  "localhost",
  "localhost:8080",
  "LOCALHOST:1",
  "127.0.0.1",
  "127.0.0.1:8080",
  "[::1]",
  "[::1]:8080"
]
const foreignHosts = [
  "example.com",
  "localhost.example.com",
  "127.0.0.1.example.com",
  "10.0.0.1",
  "0.0.0.0",
  "[::2]",
  ""
]
const loopbackOrigins = ["http://localhost", "http://localhost:6274", "http://127.0.0.1:1", "https://[::1]:8443"]
const foreignOrigins = [
  "https://example.com",
  "http://localhost.example.com",
  "http://127.0.0.1.example.com",
  "null",
  "",
  "localhost"
]
const host = "localhost:8080"

const onLoopback = {
  allowed: [...loopbackHosts.map((host) => ({ host })), ...loopbackOrigins.map((origin) => ({ host, origin }))],
  forbidden: [
    ...foreignHosts.map((host) => ["host", { host }] as const),
    ["host", {}] as const,
    ["host", { host: "example.com", origin: "http://localhost" }] as const,
    ...foreignOrigins.map((origin) => ["origin", { host, origin }] as const)
  ]
}

const cases: { readonly [what: string]: Case } = {
  "a public server asks neither": {
    options: { serverUrl: "https://mcp.example.com" },
    allowed: [{ host: "mcp.example.com" }, { host: "10.0.0.1" }, { host: "x", origin: "https://other.example" }, {}],
    forbidden: []
  },
  "a server of unknown address asks neither": {
    options: {},
    allowed: [{ host: "anything", origin: "https://other.example" }],
    forbidden: []
  },
  "a public server with named origins asks for one of them, or for its own": {
    options: {
      serverUrl: "https://mcp.example.com/base",
      allowedOrigins: ["https://app.example.com", "http://a.example:81"]
    },
    allowed: [
      { host: "whatever" },
      { origin: "https://app.example.com" },
      { origin: "http://a.example:81" },
      { origin: "https://mcp.example.com" }
    ],
    forbidden: [
      ...foreignOrigins,
      ...loopbackOrigins,
      "https://app.example.com:444",
      "http://app.example.com",
      "https://APP.example.com",
      "https://app.example.com.evil.example",
      "https://app.example.com/",
      "https://mcp.example.com/base"
    ].map((origin) => ["origin", { host: "mcp.example.com", origin }])
  },
  "a public server with no origins named but an empty list is for its own pages only": {
    options: { serverUrl: "https://mcp.example.com", allowedOrigins: [] },
    allowed: [{}, { origin: "https://mcp.example.com" }],
    forbidden: [["origin", { origin: "https://other.example" }]]
  },
  "a loopback server asks for loopback names": { options: { serverUrl: "http://localhost:8080" }, ...onLoopback },
  "a server that says it is on loopback does too": { options: { loopbackOnly: true }, ...onLoopback },
  "a loopback server with named origins takes these only": {
    options: { serverUrl: "http://127.0.0.1:8080", allowedOrigins: "https://app.example.com" },
    allowed: [{ host }, { host, origin: "https://app.example.com" }, { host, origin: "http://127.0.0.1:8080" }],
    forbidden: [
      ["origin", { host, origin: "http://localhost:6274" }],
      ["host", { host: "app.example.com", origin: "https://app.example.com" }]
    ]
  },
  "a public address wins over what is said of loopback": {
    options: { serverUrl: "https://mcp.example.com", loopbackOnly: true },
    allowed: [{ host: "mcp.example.com", origin: "https://other.example" }],
    forbidden: []
  }
}

describe("where a request may come from", () => {
  for (const [what, { allowed, forbidden, options }] of Object.entries(cases)) {
    it(what, () => {
      const check = checkFor(options)
      for (const headers of allowed) assert.isUndefined(check?.(headers), JSON.stringify(headers))
      for (const [header, headers] of forbidden) {
        const refusal = check?.(headers)
        assert.strictEqual(refusal?.header, header, JSON.stringify(headers))
        assert.strictEqual(refusal?.actual, headers[header] ?? "absent")
      }
    })
  }

  it("the refusal says how to allow it", () => {
    const check = checkFor({ serverUrl: "http://localhost:8080" })
    assert.strictEqual(
      check?.({ host: "mcp.local" })?.message,
      "The request's host is \"mcp.local\". If that is meant to be, put this host into `serverUrl` (SERVER_URL)."
    )
    assert.strictEqual(
      check?.({ host, origin: "https://app.example.com" })?.message,
      "The request's origin is \"https://app.example.com\". If that is meant to be, name it in `allowedOrigins`."
    )
  })
})
