import { assert, describe, it } from "@effect/vitest"
import { Effect, Layer, Option, Redacted, Result } from "effect"
import { TestClock } from "effect/testing"
import * as fc from "fast-check"
import { createPublicKey } from "node:crypto"
import type { OktaOptions } from "../../../src/config/OktaConfig.ts"
import { readKeySet } from "../../../src/provider/JsonWebKey.ts"
import { type Client, hasRedirectUri, isConfidential, mayRefresh } from "../../../src/proxy/client/Client.ts"
import { Registration } from "../../../src/proxy/client/Registration.ts"
import { Sealed } from "../../../src/proxy/Sealed.ts"
import { ec, rsa } from "../grant/KeyRing.ts"
import { build, configLayer, nativeLayer, now, secret } from "../ProxyTest.ts"

const year = 365 * 24 * 3600

const layerOf = (settings: Partial<OktaOptions> = {}) =>
  Layer.provideMerge(Registration.layer, Sealed.layer).pipe(Layer.provide(configLayer(settings)))

const inTest = <A, E>(
  effect: Effect.Effect<A, E, Registration | Sealed>,
  settings?: Partial<OktaOptions>
) => Effect.andThen(TestClock.setTime(now * 1000), effect).pipe(Effect.provide(layerOf(settings)))

const register = (metadata: unknown) => Effect.flatMap(Registration, (registration) => registration.register(metadata))

const open = (clientId: string) =>
  Effect.map(Effect.flatMap(Registration, (registration) => registration.open(clientId)), Option.getOrUndefined)

const hasSecret = (clientId: string, clientSecret: string) =>
  Effect.flatMap(Registration, (registration) => registration.hasSecret(clientId, Redacted.make(clientSecret)))

/** What the MCP SDK's clients send. */
const inspector = {
  redirect_uris: ["http://localhost:6274/oauth/callback"],
  token_endpoint_auth_method: "none",
  grant_types: ["authorization_code", "refresh_token"],
  response_types: ["code"],
  client_name: "MCP Inspector",
  client_uri: "https://github.com/modelcontextprotocol/inspector",
  scope: "files:read files:write"
}

const web = { redirect_uris: ["https://app.example.com/cb"] }

const publicHalf = (jwk: ReturnType<typeof ec>) =>
  createPublicKey({ key: { ...jwk }, format: "jwk" }).export({ format: "jwk" })
const publicKey = { ...publicHalf(ec()), kid: "one" }
const publicRsa = { ...publicHalf(rsa()), kid: "two" }

describe("a registration (RFC 7591)", () => {
  it.effect("of a public client is answered with an id that is the record of it", () =>
    inTest(Effect.gen(function*() {
      const { client_id, ...response } = yield* register(inspector)
      assert.deepStrictEqual(response, {
        client_id_issued_at: now,
        redirect_uris: ["http://localhost:6274/oauth/callback"],
        token_endpoint_auth_method: "none",
        grant_types: ["authorization_code", "refresh_token"],
        application_type: "native",
        client_name: "MCP Inspector",
        client_uri: "https://github.com/modelcontextprotocol/inspector",
        response_types: ["code"]
      })
      const client = yield* open(client_id)
      assert.deepStrictEqual(client, {
        clientId: client_id,
        origin: "registered",
        issuedAt: now,
        metadata: {
          redirect_uris: ["http://localhost:6274/oauth/callback"],
          token_endpoint_auth_method: "none",
          grant_types: ["authorization_code", "refresh_token"],
          application_type: "native",
          client_name: "MCP Inspector",
          client_uri: "https://github.com/modelcontextprotocol/inspector"
        }
      })
      assert.isBelow(client_id.length, 800)
      assert.match(client_id, /^[\w.-]+$/)
    })))

  it.effect("fills in what RFC 7591 section 2 says", () =>
    inTest(Effect.gen(function*() {
      const response = yield* register(web)
      assert.deepInclude(response, {
        token_endpoint_auth_method: "client_secret_basic",
        // Both, where RFC 7591 has the first only: without the second everybody would sign in every hour.
        grant_types: ["authorization_code", "refresh_token"],
        response_types: ["code"],
        application_type: "web",
        client_secret_expires_at: now + year
      })
    })))

  it.effect("gives every client an id of its own", () =>
    inTest(Effect.gen(function*() {
      assert.notStrictEqual((yield* register(inspector)).client_id, (yield* register(inspector)).client_id)
    })))

  for (
    const [what, metadata, type] of [
      ["loopback", { redirect_uris: ["http://127.0.0.1/cb"] }, "native"],
      ["loopback and the web", { redirect_uris: ["https://vscode.dev/redirect", "http://127.0.0.1:33418/"] }, "native"],
      ["https on loopback", { redirect_uris: ["https://localhost/cb"] }, "native"],
      ["a private-use scheme", { redirect_uris: ["cursor://x/cb"] }, "native"],
      ["the web", web, "web"],
      ["the web, and says native", { ...web, application_type: "native" }, "native"],
      ["the web, and says so", { ...web, application_type: "web" }, "web"]
    ] as const
  ) {
    it.effect(`takes a client on ${what} for a ${type} application`, () =>
      inTest(
        Effect.gen(function*() {
          assert.strictEqual((yield* register(metadata)).application_type, type)
        }),
        { redirectUris: ["cursor://x/cb"] }
      ))
  }

  it.effect("ignores a software statement and what it does not understand, and fetches nothing (#169, #171)", () =>
    inTest(Effect.gen(function*() {
      const { client_id, ...response } = yield* register({
        ...inspector,
        software_statement: "eyJhbGciOiJub25lIn0.eyJjbGllbnRfbmFtZSI6Ik9rdGEifQ.",
        logo_uri: "http://169.254.169.254/logo.png",
        jwks_uri: "http://127.0.0.1:1/keys",
        sector_identifier_uri: "http://127.0.0.1:1/sector",
        client_id: "chosen",
        client_secret: "chosen",
        client_secret_expires_at: 0,
        "client_name#fr": "Inspecteur",
        constructor: "x",
        id_token_signed_response_alg: "none"
      })
      assert.deepStrictEqual(Object.keys(response).sort(), [
        "application_type",
        "client_id_issued_at",
        "client_name",
        "client_uri",
        "grant_types",
        "redirect_uris",
        "response_types",
        "token_endpoint_auth_method"
      ])
      assert.notStrictEqual(client_id, "chosen")
      assert.notInclude(JSON.stringify(yield* open(client_id)), "169.254")
    })))

  it.effect("keeps the public keys of a client, and nothing else of them", () =>
    inTest(Effect.gen(function*() {
      const { client_id, client_secret, jwks } = yield* register({
        ...web,
        token_endpoint_auth_method: "private_key_jwt",
        jwks: { keys: [{ ...publicKey, x5c: ["AA"], note: "x" }, publicRsa, { ...publicKey, kid: "es", alg: "ES256" }] }
      })
      assert.isUndefined(client_secret)
      assert.deepStrictEqual(jwks, {
        keys: [{ ...publicKey, alg: "ES256" }, publicRsa, { ...publicKey, kid: "es", alg: "ES256" }]
      })
      const client = yield* open(client_id)
      assert.deepStrictEqual(client?.metadata.jwks, jwks)
      assert.isTrue(readKeySet(client?.metadata.jwks)._tag === "Success")
    })))

  it.effect("keeps no keys of a client that does not use them", () =>
    inTest(Effect.gen(function*() {
      assert.notProperty(yield* register({ ...inspector, jwks: { keys: [publicKey] } }), "jwks")
    })))
})

describe("a client that was registered", () => {
  it.effect("is known to every replica, and after a restart", () =>
    Effect.gen(function*() {
      const { client_id } = yield* inTest(register(inspector))
      assert.strictEqual((yield* inTest(open(client_id)))?.clientId, client_id)
      assert.isUndefined(yield* inTest(open(client_id), { encryptionSecret: secret("b") }))
    }))

  it.effect("stays known, with its secret, while the encryption secret is replaced", () =>
    Effect.gen(function*() {
      const { client_id, client_secret = "" } = yield* inTest(register(web))
      const rotated = { encryptionSecret: [secret("b"), secret("a")] }
      assert.strictEqual((yield* inTest(open(client_id), rotated))?.clientId, client_id)
      assert.isTrue(yield* inTest(hasSecret(client_id, client_secret), rotated))
      assert.isFalse(yield* inTest(hasSecret(client_id, client_secret), { encryptionSecret: secret("b") }))
    }))

  for (
    const [what, settings, lifetime] of [
      ["a year", {}, year],
      ["as long as is set", { clientLifetime: "2 days" }, 2 * 24 * 3600]
    ] as const
  ) {
    it.effect(`is known for ${what} (#168)`, () =>
      inTest(
        Effect.gen(function*() {
          const { client_id, client_secret_expires_at } = yield* register(web)
          assert.strictEqual(client_secret_expires_at, now + lifetime)
          yield* TestClock.setTime((now + lifetime) * 1000 - 1)
          assert.isDefined(yield* open(client_id))
          yield* TestClock.setTime((now + lifetime) * 1000)
          assert.isUndefined(yield* open(client_id))
        }),
        settings
      ))
  }

  it.effect("is nobody when its id was changed, made up or sealed for something else (#91)", () =>
    inTest(Effect.gen(function*() {
      const { client_id } = yield* register(inspector)
      const sealed = yield* Sealed
      const record = Option.getOrThrow(yield* sealed.open("client", client_id))
      for (
        const wrong of [
          "",
          "0oa1client",
          "https://app.example.com/client",
          client_id.slice(0, -1),
          `${client_id}A`,
          client_id.toUpperCase(),
          client_id.replace("..", "."),
          "a".repeat(100_000),
          yield* sealed.seal("flow", record),
          yield* sealed.seal("client", "{}"),
          yield* sealed.seal("client", "null"),
          yield* sealed.seal("client", "{"),
          yield* sealed.seal("client", JSON.stringify({ ...JSON.parse(record), iat: "x" })),
          yield* sealed.seal("client", record.replace("\"none\"", "\"tls_client_auth\"")),
          yield* sealed.seal("client", record.replace("\"http://localhost:6274/oauth/callback\"", "")),
          yield* sealed.seal("client", record.replace("localhost", "app.example.com")),
          yield* sealed.seal("client", `${record}${" ".repeat(4000)}`)
        ]
      ) {
        assert.isUndefined(yield* open(wrong), wrong.slice(0, 60))
      }
    })))

  it.effect("loses a redirect URI that the owner takes off the list", () =>
    Effect.gen(function*() {
      const listed = { redirectUris: ["cursor://x/cb"] }
      const both = yield* inTest(register({ redirect_uris: ["cursor://x/cb", "http://127.0.0.1/cb"] }), listed)
      const alone = yield* inTest(register({ redirect_uris: ["cursor://x/cb"] }), listed)
      const urisOf = (client: Client | undefined) => client?.metadata.redirect_uris
      assert.deepStrictEqual(urisOf(yield* inTest(open(both.client_id), listed)), both.redirect_uris)
      assert.deepStrictEqual(urisOf(yield* inTest(open(both.client_id))), ["http://127.0.0.1/cb"])
      assert.isUndefined(yield* inTest(open(alone.client_id)))
    }))

  it.effect("may be sent back to its own redirect URIs only (#92, #94)", () =>
    inTest(Effect.gen(function*() {
      const { client_id } = yield* register({
        redirect_uris: ["http://127.0.0.1:1/cb", "https://vscode.dev/redirect"],
        grant_types: ["authorization_code"]
      })
      const client = yield* open(client_id)
      assert.isDefined(client)
      if (client === undefined) return
      assert.isTrue(hasRedirectUri(client, "http://127.0.0.1:5000/cb"))
      assert.isTrue(hasRedirectUri(client, "https://vscode.dev/redirect"))
      for (const uri of ["http://localhost:1/cb", "https://vscode.dev/redirect/", "https://vscode.dev", ""]) {
        assert.isFalse(hasRedirectUri(client, uri), uri)
      }
      assert.isTrue(isConfidential(client))
      assert.isFalse(mayRefresh(client))
      const other = yield* open((yield* register(inspector)).client_id)
      assert.deepStrictEqual([other && isConfidential(other), other && mayRefresh(other)], [false, true])
    })))
})

describe("the secret of a confidential client (#146, #170)", () => {
  for (const method of ["client_secret_basic", "client_secret_post"]) {
    it.effect(`with ${method} is its own, and no other's`, () =>
      inTest(Effect.gen(function*() {
        const one = yield* register({ ...web, token_endpoint_auth_method: method })
        const two = yield* register({ ...web, token_endpoint_auth_method: method })
        assert.match(one.client_secret ?? "", /^[\w-]{43}$/)
        assert.notStrictEqual(one.client_secret, two.client_secret)
        assert.strictEqual(one.client_secret_expires_at, now + year)
        assert.isTrue(yield* hasSecret(one.client_id, one.client_secret ?? ""))
        for (const wrong of ["", two.client_secret ?? "", `${one.client_secret} `, one.client_id]) {
          assert.isFalse(yield* hasSecret(one.client_id, wrong))
        }
      })))
  }

  for (const method of ["none", "private_key_jwt"]) {
    it.effect(`is not given with ${method}`, () =>
      inTest(Effect.gen(function*() {
        const response = yield* register({
          ...web,
          token_endpoint_auth_method: method,
          ...(method === "none" ? {} : { jwks: { keys: [publicKey] } })
        })
        assert.notProperty(response, "client_secret")
        assert.notProperty(response, "client_secret_expires_at")
      })))
  }
})

const uri = "invalid_redirect_uri"
const client = "invalid_client_metadata"

const keyless = { ...web, token_endpoint_auth_method: "private_key_jwt" }
const withKeys = (jwks: unknown, method = "private_key_jwt") => ({ ...web, token_endpoint_auth_method: method, jwks })

let nested: unknown = "x"
for (let depth = 0; depth < 10_000; depth++) nested = [nested]

const refused: ReadonlyArray<readonly [what: string, metadata: unknown, code: string, message: RegExp]> = [
  ["null (#164)", null, client, /^The client metadata is not a JSON object\.$/],
  ["text (#164)", "x", client, /not a JSON object/],
  ["a list (#164)", [inspector], client, /not a JSON object/],
  ["nothing (#164)", undefined, client, /not a JSON object/],
  ["a field that is nested deep (#164)", { ...web, client_name: nested }, client, /^client_name is not text\.$/],
  ["keys that are nested deep (#164)", withKeys({ keys: [nested] }), client, /^jwks holds a key that is no/],
  ["no redirect URIs (#165)", {}, uri, /^redirect_uris is missing\.$/],
  ["an empty list of redirect URIs (#165)", { redirect_uris: [] }, uri, /^redirect_uris is empty\.$/],
  ["text for redirect URIs (#165)", { redirect_uris: web.redirect_uris[0] }, uri, /^redirect_uris is not a list\.$/],
  ["null for redirect URIs (#165)", { redirect_uris: null }, uri, /^redirect_uris is not a list\.$/],
  ["11 redirect URIs", { redirect_uris: Array(11).fill("https://a.example/") }, uri, /^redirect_uris has more than 10/],
  [
    "10,000 redirect URIs (#165)",
    { redirect_uris: Array(10_000).fill("https://app.example.com/cb") },
    uri,
    /^redirect_uris has more than 10 entries\.$/
  ],
  [
    "ten bad redirect URIs",
    { redirect_uris: Array(10).fill("javascript:x") },
    uri,
    /^(redirect_uris\[\d\] has a scheme that is never allowed\. ?){5}$/
  ],
  [
    "11 contacts",
    { ...web, contacts: Array(11).fill("ada@example.com") },
    client,
    /^contacts has more than 10 entries/
  ],
  ["a number among them", { redirect_uris: ["https://a.example/", 7] }, uri, /^redirect_uris\[1\] is not text\.$/],
  ["http (#166)", { redirect_uris: ["http://app.example.com/"] }, uri, /^redirect_uris\[0\] is not https/],
  ["a wildcard (#166)", { redirect_uris: ["https://*.example.com/"] }, uri, /^redirect_uris\[0\] contains a wildcard/],
  ["a fragment (#166)", { redirect_uris: ["https://a.example/#a"] }, uri, /^redirect_uris\[0\] has a fragment/],
  ["a script (#96)", { redirect_uris: [" java\nscript:alert(1)"] }, uri, /^redirect_uris\[0\] contains white space/],
  ["an unlisted scheme", { redirect_uris: ["cursor://x/cb"] }, uri, /^redirect_uris\[0\] has a private-use scheme/],
  [
    "a redirect URI that is very long",
    { redirect_uris: [`https://a.example/${"x".repeat(2000)}`] },
    uri,
    /^redirect_uris\[0\] is longer than 2000 characters\.$/
  ],
  [
    "redirect URIs that are very long together",
    { redirect_uris: Array.from({ length: 3 }, (_, i) => `https://a.example/${i}${"x".repeat(1900)}`) },
    client,
    /^The client metadata is too long altogether\. Register fewer/
  ],
  [
    "web on loopback",
    { redirect_uris: ["http://127.0.0.1/cb"], application_type: "web" },
    uri,
    /^redirect_uris holds a URI that only the application_type native may have\.$/
  ],
  ["web on https loopback", { redirect_uris: ["https://localhost/"], application_type: "web" }, uri, /^redirect_uris/],
  ["an unknown application", { ...web, application_type: "tv" }, client, /^application_type is not supported\. Choose/],
  [
    "a mutual-TLS client (#167)",
    { ...web, token_endpoint_auth_method: "tls_client_auth" },
    client,
    /^token_endpoint_auth_method is not supported\. Choose among none, client_secret_basic/
  ],
  [
    "a symmetric JWT (#167)",
    { ...web, token_endpoint_auth_method: "client_secret_jwt" },
    client,
    /^token_endpoint_auth/
  ],
  ["no method", { ...web, token_endpoint_auth_method: null }, client, /^token_endpoint_auth_method is not supported/],
  [
    "the implicit grant",
    { ...web, grant_types: ["authorization_code", "implicit"] },
    client,
    /^grant_types\[1\] is not/
  ],
  ["the password grant", { ...web, grant_types: ["password"] }, client, /^grant_types\[0\] is not supported/],
  ["client credentials", { ...web, grant_types: ["client_credentials"] }, client, /^grant_types\[0\] is not supported/],
  ["refreshing alone", { ...web, grant_types: ["refresh_token"] }, client, /^grant_types does not hold authorization/],
  ["no grants", { ...web, grant_types: [] }, client, /^grant_types is empty/],
  ["text for grants", { ...web, grant_types: "authorization_code" }, client, /^grant_types is not a list/],
  [
    "the response type token",
    { ...web, response_types: ["code", "token"] },
    client,
    /^response_types\[1\] is not supp/
  ],
  ["no response types", { ...web, response_types: [] }, client, /^response_types is empty/],
  ["a number for a name", { ...web, client_name: 7 }, client, /^client_name is not text/],
  ["an empty name", { ...web, client_name: "  " }, client, /^client_name is empty/],
  ["a long name", { ...web, client_name: "x".repeat(201) }, client, /^client_name is longer than 200/],
  ["a name of two lines", { ...web, client_name: "Okta\nVerify" }, client, /^client_name contains control/],
  ["a name written backwards", { ...web, client_name: "\u202eatkO" }, client, /^client_name contains control/],
  ["half a character for a name", { ...web, client_name: "\ud800" }, client, /^client_name contains control/],
  ["a script for a page", { ...web, client_uri: "javascript:alert(1)" }, client, /^client_uri is not the URL of a web/],
  ["a data logo", { ...web, logo_uri: "data:image/png;base64,AA" }, client, /^logo_uri is not the URL/],
  ["terms with white space", { ...web, tos_uri: "https://a.example/ x" }, client, /^tos_uri is not the URL/],
  ["a policy that is no URL", { ...web, policy_uri: "https://" }, client, /^policy_uri is not the URL/],
  ["a scope of other characters", { ...web, scope: "a\"b" }, client, /^scope contains characters/],
  ["a list of scopes", { ...web, scope: ["a"] }, client, /^scope is not text/],
  ["contacts that are no texts", { ...web, contacts: [7] }, client, /^contacts\[0\] is not text/],
  ["a software id of another type", { ...web, software_id: {} }, client, /^software_id is not text/],
  ["a private_key_jwt client without keys", keyless, client, /^jwks is missing, which private_key_jwt/],
  [
    "a private_key_jwt client with keys elsewhere (#169)",
    { ...keyless, jwks_uri: "https://a.example/keys" },
    client,
    /^jwks is missing.*not fetched/
  ],
  [
    "keys twice",
    { ...withKeys({ keys: [publicKey] }), jwks_uri: "https://a.example/keys" },
    client,
    /^jwks_uri is given/
  ],
  ["no keys", withKeys({ keys: [] }), client, /^jwks is not a JWK Set with keys/],
  ["a bare key", withKeys(publicKey), client, /^jwks is not a JWK Set/],
  ["null for keys", withKeys(null), client, /^jwks is not a JWK Set/],
  ["a private key (#167)", withKeys({ keys: [publicKey, ec()] }), client, /^jwks holds a key that is not public/],
  [
    "a private RSA key (#167)",
    withKeys({ keys: [{ ...publicRsa, p: "AA" }] }),
    client,
    /^jwks holds a key that is not p/
  ],
  [
    "a private key for no use (#167)",
    withKeys({ keys: [ec()] }, "none"),
    client,
    /^jwks holds a key that is not public/
  ],
  ["a symmetric key (#167)", withKeys({ keys: [{ kty: "oct", k: "AA", kid: "a" }] }), client, /not public/],
  [
    "a key without a kid",
    withKeys({ keys: [{ ...publicKey, kid: undefined }] }),
    client,
    /^jwks holds a key that is no str/
  ],
  [
    "a weak key",
    withKeys({ keys: [{ ...publicHalf(rsa(1024)), kid: "a" }] }),
    client,
    /^jwks holds a key that is no str/
  ],
  ["an encryption key", withKeys({ keys: [{ ...publicKey, use: "enc" }] }), client, /^jwks holds a key that is no str/],
  [
    "two keys of one kid",
    withKeys({ keys: [publicKey, { ...publicRsa, kid: "one" }] }),
    client,
    /^jwks holds a key that is no str/
  ],
  ["six keys", withKeys({ keys: Array(6).fill(publicKey) }), client, /^jwks holds more than 5 keys/],
  [
    "several mistakes",
    { redirect_uris: ["x"], client_name: "", grant_types: ["x"] },
    uri,
    /^redirect_uris\[0\] is not an absolute URI\. grant_types\[0\] is not .*\. client_name is empty\.$/
  ]
]

describe("a registration that is refused says which field and why", () => {
  for (const [what, metadata, code, message] of refused) {
    it.effect(what, () =>
      inTest(Effect.gen(function*() {
        const error = yield* Effect.flip(register(metadata))
        assert.strictEqual(error.code, code)
        assert.match(error.message, message)
        // What RFC 6749 section 5.2 lets an error_description hold.
        assert.match(error.message, /^[\x20\x21\x23-\x5B\x5D-\x7E]{1,1000}$/)
      })))
  }

  it.effect("whatever it is", () =>
    inTest(Effect.gen(function*() {
      const names = Object.keys({ ...inspector, jwks: 1, jwks_uri: 1, application_type: 1, contacts: 1, logo_uri: 1 })
      const value = fc.oneof(
        fc.jsonValue(),
        fc.string(),
        fc.webUrl(),
        fc.array(fc.oneof(fc.webUrl(), fc.constant("https://app.example.com/cb"))),
        fc.constantFrom("none", "private_key_jwt", ["authorization_code"], ["code"], { keys: [publicKey] })
      )
      const changes = fc.dictionary(fc.constantFrom(...names), value, { noNullPrototype: true, maxKeys: 3 })
      const run = Effect.runPromiseWith(yield* Effect.context<Registration>())
      let accepted = 0
      yield* Effect.promise(() =>
        fc.assert(
          fc.asyncProperty(changes, async (changes) => {
            const result = await run(Effect.result(register({ ...inspector, ...changes })))
            if (Result.isFailure(result)) return assert.isNotEmpty(result.failure.problems)
            accepted++
            const client = await run(open(result.success.client_id))
            assert.deepStrictEqual(client?.metadata.redirect_uris, result.success.redirect_uris)
          }),
          { numRuns: 500 }
        )
      )
      assert.isAbove(accepted, 0)
    })))

  it.effect("and leaves every object as it was (#33)", () =>
    inTest(Effect.gen(function*() {
      const metadata: unknown = JSON.parse(
        "{\"redirect_uris\":[\"https://a.example/\"],\"__proto__\":{\"client_name\":\"x\"}}"
      )
      const response = yield* register(metadata)
      assert.notProperty(response, "client_name")
      assert.notProperty({}, "client_name")
    })))
})

describe("the owner's redirect URIs", () => {
  it.effect("are held to the same rules, at the start", () =>
    Effect.gen(function*() {
      const redirectUris = ["cursor://x/cb", "javascript:alert(1)", "https://app.example.com/cb", "http://ada:pw@x/"]
      const { problems } = yield* build(layerOf({ redirectUris }))
      assert.deepStrictEqual(problems, [
        { field: "redirectUris", value: "javascript:alert(1)", message: "has a scheme that is never allowed." },
        { field: "redirectUris", value: "http://<redacted>@x/", message: "contains a user name or password." }
      ])
    }))

  it.effect("are none in native mode", () =>
    Effect.gen(function*() {
      const sealed = Layer.provide(Sealed.layer, configLayer())
      const { problems } = yield* build(Registration.layer.pipe(Layer.provide(sealed), Layer.provide(nativeLayer)))
      assert.deepStrictEqual(problems.map(({ field }) => field), ["clientId"])
    }))
})
