import { assert, describe, it } from "@effect/vitest"
import { issuerKind, wellKnownUrls } from "../../src/config/IssuerUrl.ts"
import { isLoopbackHost, withoutUserinfo } from "../../src/config/PublicUrl.ts"

describe("an issuer's URL", () => {
  const issuers = [
    ["https://acme.okta.com", "org", "https://acme.okta.com/.well-known/oauth-authorization-server"],
    [
      "https://acme.okta.com/oauth2/default",
      "custom",
      "https://acme.okta.com/.well-known/oauth-authorization-server/oauth2/default"
    ],
    [
      "https://login.acme.example/oauth2/aus1Ab2C",
      "custom",
      "https://login.acme.example/.well-known/oauth-authorization-server/oauth2/aus1Ab2C"
    ],
    ["http://localhost:8080", "org", "http://localhost:8080/.well-known/oauth-authorization-server"]
  ] as const
  for (const [issuer, kind, oauth] of issuers) {
    it(`${issuer} is of an ${kind} server, with its documents by OpenID Connect Discovery and RFC 8414`, () => {
      assert.strictEqual(issuerKind(issuer), kind)
      assert.deepStrictEqual(wellKnownUrls(issuer), [`${issuer}/.well-known/openid-configuration`, oauth])
    })
  }

  it("http is for loopback hosts only", () => {
    for (const host of ["localhost", "127.0.0.1", "127.255.0.9", "[::1]"]) assert.isTrue(isLoopbackHost(host), host)
    const others = [
      "",
      "localhost.",
      "localhost.example.com",
      "127.0.0.1.example.com",
      "1127.0.0.1",
      "[::2]",
      "::1",
      "0.0.0.0"
    ]
    for (const host of others) assert.isFalse(isLoopbackHost(host), host)
  })

  it("is shown without user name and password, in whatever text it stands", () => {
    assert.strictEqual(withoutUserinfo("https://ada:secret@acme.okta.com"), "https://<redacted>@acme.okta.com")
    assert.strictEqual(withoutUserinfo("https://ada:s/ec@ret@acme.okta.com/x"), "https://<redacted>@acme.okta.com/x")
    assert.strictEqual(withoutUserinfo("https://acme.okta.com/oauth2"), "https://acme.okta.com/oauth2")
  })
})
