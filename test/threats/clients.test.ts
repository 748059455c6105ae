import * as NodeServices from "@effect/platform-node/NodeServices"
import { assert, describe, it } from "@effect/vitest"
import { Effect, Layer, Option } from "effect"
import { TestClock } from "effect/testing"
import { exportJWK, generateKeyPair, SignJWT } from "jose"
import { DocumentFetch, DocumentNetwork, type Network } from "../../src/proxy/client/DocumentFetch.ts"
import * as MetadataDocument from "../../src/proxy/client/MetadataDocument.ts"
import * as PublicAddress from "../../src/proxy/client/PublicAddress.ts"
import { httpServer } from "../cli/Serving.ts"
import * as DocumentHost from "../support/DocumentHost.ts"
import { project, run } from "../support/Program.ts"
import * as Scene from "../support/ProxyScene.ts"

const withDocuments = { settings: { clientMetadataDocuments: true }, environment: DocumentHost.loopback } as const

const web = { redirect_uris: [Scene.redirectUri], client_name: "A web client" }

/** Whether the client with this id is shown to a person. */
const isKnown = (scene: Scene.ProxyScene, client_id: string) =>
  Effect.map(scene.browser().ask(scene.authorizeUrl({ client_id })), ({ status }) => status === 200)

const register = (scene: Scene.ProxyScene, metadata: unknown) =>
  scene.one.ask("/oauth/register", { headers: { "content-type": "application/json" }, body: JSON.stringify(metadata) })

describe("J. Registration", () => {
  const refused: ReadonlyArray<readonly [title: string, metadata: unknown, code: string]> = [
    ["#164 a list", [], "invalid_client_metadata"],
    ["#164 text", "x", "invalid_client_metadata"],
    ["#165 no redirect URIs", {}, "invalid_redirect_uri"],
    ["#165 an empty list of redirect URIs", { redirect_uris: [] }, "invalid_redirect_uri"],
    ["#165 one redirect URI that is no list", { redirect_uris: Scene.redirectUri }, "invalid_redirect_uri"],
    [
      "#165 thousands of redirect URIs",
      { redirect_uris: Array.from({ length: 3000 }, () => "https://a.b/") },
      "invalid_redirect_uri"
    ],
    ["#166 http elsewhere than on loopback", { redirect_uris: ["http://client.example/cb"] }, "invalid_redirect_uri"],
    ["#166 a wildcard", { redirect_uris: ["https://*.client.example/cb"] }, "invalid_redirect_uri"],
    ["#166 a fragment", { redirect_uris: ["https://client.example/cb#x"] }, "invalid_redirect_uri"],
    [
      "#167 a client by mutual TLS",
      { ...web, token_endpoint_auth_method: "tls_client_auth" },
      "invalid_client_metadata"
    ],
    [
      "#167 a key that is not public",
      {
        ...web,
        token_endpoint_auth_method: "private_key_jwt",
        jwks: { keys: [{ kty: "EC", crv: "P-256", x: "x", y: "y", d: "d", kid: "a" }] }
      },
      "invalid_client_metadata"
    ]
  ]
  for (const [title, metadata, code] of refused) {
    it.effect(`${title} is refused, with the field and the reason`, () =>
      Effect.gen(function*() {
        const scene = yield* Scene.make()
        const answer = yield* register(scene, metadata)
        assert.deepStrictEqual([answer.status, Scene.membersOf(answer)["error"]], [400, code])
        assert.match(String(Scene.membersOf(answer)["error_description"]), /^[\w[\]]+( client metadata)? .+\.$/)
        Scene.assertUncached(answer)
      }))
  }

  it.effect("#169 #171 fetches nothing that it points to, and takes nothing from a software statement", () =>
    Effect.gen(function*() {
      const asked: Array<string> = []
      const origin = yield* DocumentHost.serve((request, response) => {
        asked.push(String(request.url))
        response.end()
      })
      const scene = yield* Scene.make(withDocuments)
      const answer = yield* register(scene, {
        ...web,
        jwks_uri: `${origin}/keys`,
        logo_uri: `${origin}/logo`,
        tos_uri: `${origin}/tos`,
        policy_uri: `${origin}/policy`,
        sector_identifier_uri: `${origin}/sector`,
        software_statement: "eyJhbGciOiJub25lIn0.eyJjbGllbnRfbmFtZSI6Ik9rdGEifQ."
      })
      assert.strictEqual(answer.status, 201)
      assert.isTrue(yield* isKnown(scene, String(Scene.membersOf(answer)["client_id"])))
      assert.strictEqual(Scene.membersOf(answer)["client_name"], web.client_name)
      assert.deepStrictEqual(asked, [])
    }))

  it.effect("#170 tells a secret once, to be kept by nobody on the way, and until when it is good", () =>
    Effect.gen(function*() {
      const scene = yield* Scene.make()
      const answer = yield* register(scene, { ...web, token_endpoint_auth_method: "client_secret_post" })
      const { client_secret, client_secret_expires_at } = Scene.membersOf(answer)
      assert.match(String(client_secret), /^[\w-]{43}$/)
      assert.strictEqual(client_secret_expires_at, Scene.now + 365 * 24 * 3600)
      Scene.assertUncached(answer)
    }))
})

describe("J. The URL of a metadata document", () => {
  const refused = [
    ["http://client.example/c", "without TLS"],
    ["https://client.example", "without a path"],
    ["https://client.example/", "with an empty path"],
    ["https://ada:pw@client.example/c", "with a user name"],
    ["https://@client.example/c", "with an empty user name"],
    ["https://client.example/c#x", "with a fragment"],
    ["https://client.example/c#", "with an empty fragment"],
    ["https://client.example/a/../c", "with dot segments"],
    ["https://client.example/a/%2e%2e/c", "with encoded dot segments"],
    ["https://CLIENT.example/c", "in upper case"],
    ["https://client.example:443/c", "with the usual port"],
    ["https://client.example\\c", "with a backslash"],
    ["https:client.example/c", "without slashes"],
    [`https://client.example/${"c".repeat(1000)}`, "that is too long"]
  ] as const
  for (const [url, what] of refused) {
    it.effect(`#172 ${what} names nobody, and nothing is fetched`, () =>
      Effect.gen(function*() {
        assert.notStrictEqual(MetadataDocument.problem(url), undefined)
        let lookups = 0
        const network: Network = {
          resolve: () => Effect.sync(() => [{ address: "127.0.0.1", family: 4, nth: lookups++ }]),
          isAllowed: () => true
        }
        const scene = yield* Scene.make({ ...withDocuments, environment: Layer.succeed(DocumentNetwork, network) })
        Scene.assertLocal(yield* scene.browser().ask(scene.authorizeUrl({ client_id: url })), 400, "invalid_client")
        assert.strictEqual(lookups, 0)
      }))
  }

  it("#172 with a path, port and query is one", () => {
    for (const url of ["https://client.example/c", "https://client.example:8443/oauth/client.json?v=1"]) {
      assert.isUndefined(MetadataDocument.problem(url))
    }
  })
})

describe("J. Where documents are fetched", () => {
  const inner = (
    "0.0.0.0 10.1.2.3 100.64.0.1 127.0.0.1 127.9.9.9 169.254.169.254 172.16.0.1 172.31.255.255 192.0.0.1 192.0.2.1 " +
    "192.88.99.1 192.168.1.1 198.18.0.1 198.51.100.7 203.0.113.7 224.0.0.1 240.0.0.1 255.255.255.255 :: ::1 " +
    "::ffff:127.0.0.1 ::ffff:8.8.8.8 ::127.0.0.1 64:ff9b::7f00:1 64:ff9b:1::1 100::1 2001::1 2001:db8::1 2002:7f00:1:: " +
    "3fff::1 fc00::1 fd12::1 fe80::1 fe80::1%eth0 fec0::1 ff02::1 localhost 1.1.1 0x7f000001"
  ).split(" ")
  it("#173 no address is public that leads inside, or that is none", () => {
    assert.deepStrictEqual(inner.filter(PublicAddress.isPublic), [])
    const outer = [
      "1.1.1.1",
      "8.8.8.8",
      "100.128.0.1",
      "172.32.0.1",
      "193.0.0.1",
      "2606:4700::1111",
      "2a00:1450:4001::1"
    ]
    assert.deepStrictEqual(outer.filter(PublicAddress.isPublic), outer)
  })

  const getFrom = (network: Network, url: string) =>
    Effect.flatMap(DocumentFetch, ({ getJson }) => Effect.flip(getJson(url))).pipe(
      Effect.provide(Layer.fresh(DocumentFetch.layer)),
      Effect.provideService(DocumentNetwork, network)
    )

  it.effect("#173 a name that leads inside, be it with one address of several, is refused before a connection is made", () =>
    Effect.gen(function*() {
      let connections = 0
      const origin = yield* DocumentHost.serve(() => connections++)
      const port = new URL(origin).port
      for (const addresses of [["127.0.0.1"], ["8.8.8.8", "127.0.0.1"], ["::ffff:127.0.0.1"], []]) {
        const resolve = () =>
          Effect.succeed(addresses.map((address) => ({ address, family: address.includes(":") ? 6 : 4 })))
        const error = yield* getFrom({ resolve, isAllowed: PublicAddress.isPublic }, `${origin}/c`)
        assert.strictEqual(error._tag, "DocumentRefused")
      }
      for (const host of ["127.0.0.1", "[::1]", "[::ffff:127.0.0.1]", "2130706433", "0x7f.1", "127.1"]) {
        const { href } = new URL(`https://${host}:${port}/c`)
        const error = yield* getFrom({ resolve: () => Effect.die("asked"), isAllowed: PublicAddress.isPublic }, href)
        assert.strictEqual(error._tag, "DocumentRefused", host)
      }
      assert.strictEqual(connections, 0)
    }))

  it.effect("#175 the address that was checked is the one connected to, however the name is answered afterwards", () =>
    Effect.gen(function*() {
      const names: Array<string> = []
      const origin = yield* DocumentHost.serve((request, response) => {
        names.push(String(request.headers.host), String(Reflect.get(request.socket, "servername")))
        response.writeHead(200, { "content-type": "application/json" }).end("{}")
      })
      let asked = 0
      const { getJson } = yield* DocumentFetch.pipe(
        Effect.provide(Layer.fresh(DocumentFetch.layer)),
        Effect.provide(
          Layer.effect(
            DocumentNetwork,
            Effect.map(DocumentNetwork, (network) => ({
              ...network,
              resolve: () => Effect.sync(() => [{ address: asked++ === 0 ? "127.0.0.1" : "127.0.0.2", family: 4 }])
            }))
          ).pipe(Layer.provide(DocumentHost.loopback))
        )
      )
      assert.deepStrictEqual((yield* getJson(`${origin}/c`)).json, {})
      assert.deepStrictEqual([asked, names], [1, [new URL(origin).host, DocumentHost.host]])
    }))

  it.effect("#176 a redirect is not followed, and other answers are no documents", () =>
    Effect.gen(function*() {
      let visited = 0
      const answers: Readonly<Record<string, readonly [number, Record<string, string>, string]>> = {
        "/redirect": [302, { location: "/there" }, ""],
        "/permanent": [308, { location: "/there" }, ""],
        "/gone": [404, {}, "{}"],
        "/html": [200, { "content-type": "text/html" }, "{}"],
        "/text": [200, { "content-type": "application/json" }, "not JSON"],
        "/twice": [200, { "content-type": "application/json" }, "{\"a\":1,\"a\":2}"],
        "/large": [200, { "content-type": "application/json" }, JSON.stringify({ a: "x".repeat(6000) })],
        "/packed": [200, { "content-type": "application/json", "content-encoding": "gzip" }, "{}"]
      }
      const origin = yield* DocumentHost.serve((request, response) => {
        const [status, headers, body] = answers[String(request.url)] ??
          [200, { "content-type": "application/json" }, "{}"]
        if (request.url === "/there") visited++
        response.writeHead(status, headers).end(body)
      })
      const { getJson } = yield* DocumentFetch.pipe(
        Effect.provide(Layer.fresh(DocumentFetch.layer)),
        Effect.provide(DocumentHost.loopback)
      )
      for (const path of Object.keys(answers)) {
        assert.strictEqual((yield* Effect.flip(getJson(origin + path)))._tag, "DocumentRefused", path)
      }
      assert.strictEqual(visited, 0)
    }))

  it.effect("#178 a document that comes a byte at a time is given up after 10 seconds", () =>
    Effect.gen(function*() {
      const origin = yield* DocumentHost.serve((_, response) => {
        response.writeHead(200, { "content-type": "application/json" })
        const drip = setInterval(() => response.write(" "), 1)
        response.once("close", () => clearInterval(drip))
      })
      const { getJson } = yield* DocumentFetch.pipe(
        Effect.provide(Layer.fresh(DocumentFetch.layer)),
        Effect.provide(DocumentHost.loopback)
      )
      const { elapsed, value } = yield* Scene.timed(Effect.flip(getJson(`${origin}/c`)))
      assert.strictEqual(value._tag, "DocumentUnavailable")
      assert.isAtLeast(elapsed, 9900)
      assert.isAtMost(elapsed, 10_200)
    }))

  it.effect("a certificate that nobody has to trust is trusted by nobody", () =>
    Effect.gen(function*() {
      const origin = yield* DocumentHost.documents(web)
      const network = { resolve: () => Effect.succeed([{ address: "127.0.0.1", family: 4 }]), isAllowed: () => true }
      assert.strictEqual((yield* getFrom(network, `${origin}/c`))._tag, "DocumentUnavailable")
    }))

  it.live("#185 a proxy of the environment is not used: nothing goes out by a way that nobody has checked", () =>
    Effect.gen(function*() {
      const asked: Array<string> = []
      const proxy = yield* httpServer((request, response) => {
        asked.push(String(request.url))
        response.writeHead(502).end()
      })
      const origin = yield* DocumentHost.documents(web)
      // Node reads the last of them when it starts.
      const variables = ["HTTPS_PROXY", "https_proxy", "HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"]
      const { output, status } = yield* run(["node", `${project}/test/support/FetchDocument.ts`, `${origin}/c`], {
        env: { ...Object.fromEntries(variables.map((name) => [name, proxy])), NODE_USE_ENV_PROXY: "1" }
      })
      assert.strictEqual(status, 0, output)
      assert.include(output, `"client_id":"${origin}/c"`)
      assert.deepStrictEqual(asked, [])
    }).pipe(Effect.provide(NodeServices.layer)))
})

describe("J. A client that is known by a metadata document", () => {
  it.effect("signs a person in, gets tokens and refreshes them, with its URL for an id", () =>
    Effect.gen(function*() {
      const scene = yield* Scene.make(withDocuments)
      const client_id = `${yield* DocumentHost.documents(web)}/client.json`
      const code = yield* scene.code({ client_id })
      const tokens = Scene.tokensOf(yield* scene.one.token(scene.redemption(code, { client_id })))
      assert.strictEqual(Scene.claimsOf(tokens.accessToken)["client_id"], client_id)
      assert.strictEqual((yield* scene.one.call(tokens.accessToken)).status, 200)
      Scene.tokensOf(yield* scene.one.token(scene.refreshment(tokens.refreshToken, { client_id })))
      assert.strictEqual(
        Scene.membersOf(
          yield* scene.one.ask("/.well-known/oauth-authorization-server")
        )["client_id_metadata_document_supported"],
        true
      )
    }))

  const documents: ReadonlyArray<readonly [what: string, metadata: Readonly<Record<string, unknown>>]> = [
    ["is of another client", { ...web, client_id: "https://other.example/c" }],
    ["has no redirect URIs", { client_name: "x" }],
    ["has a redirect URI that nobody may have", { redirect_uris: ["javascript:alert(1)"] }],
    ["has a secret", { ...web, client_secret: "secret" }],
    ["wants to authenticate with a secret", { ...web, token_endpoint_auth_method: "client_secret_basic" }],
    ["has a private key", {
      ...web,
      token_endpoint_auth_method: "private_key_jwt",
      jwks: { keys: [{ kty: "EC", crv: "P-256", x: "x", y: "y", d: "d", kid: "a" }] }
    }]
  ]
  for (const [what, metadata] of documents) {
    it.effect(`#181 whose document ${what} is nobody for a minute, however long it may be kept`, () =>
      Effect.gen(function*() {
        let current = metadata
        let asked = 0
        const origin = yield* DocumentHost.serve((request, response) => {
          asked++
          const headers = { "content-type": "application/json", "cache-control": "max-age=86400" }
          response.writeHead(200, headers).end(
            JSON.stringify({ client_id: `https://${request.headers.host}${request.url}`, ...current })
          )
        })
        const scene = yield* Scene.make(withDocuments)
        const url = scene.authorizeUrl({ client_id: `${origin}/c` })
        Scene.assertLocal(yield* scene.browser().ask(url), 400, "invalid_client")
        current = web
        yield* TestClock.adjust("59 seconds")
        Scene.assertLocal(yield* scene.browser().ask(url), 400, "invalid_client")
        yield* TestClock.adjust("1 second")
        assert.strictEqual((yield* scene.browser().ask(url)).status, 200)
        assert.strictEqual(asked, 2)
      }))
  }

  it.effect("#181 whose redirect URIs change while a person decides cannot have the person sent to the old one", () =>
    Effect.gen(function*() {
      let redirect_uris = [Scene.redirectUri]
      const origin = yield* DocumentHost.serve((request, response) => {
        response.writeHead(200, { "content-type": "application/json", "cache-control": "no-store" }).end(
          JSON.stringify({ client_id: `https://${request.headers.host}${request.url}`, redirect_uris })
        )
      })
      const scene = yield* Scene.make(withDocuments)
      const browser = scene.browser()
      const page = yield* browser.ask(scene.authorizeUrl({ client_id: `${origin}/c` }))
      assert.strictEqual(page.status, 200)
      redirect_uris = ["https://client.example.com/elsewhere"]
      Scene.assertLocal(yield* Scene.decide(browser, page, "allow"), 400)
    }))

  it.effect("whose server is away stays known for a day, and an unknown one is asked to come back", () =>
    Effect.gen(function*() {
      let away = false
      const origin = yield* DocumentHost.serve((request, response) => {
        response.writeHead(away ? 503 : 200, { "content-type": "application/json" }).end(
          JSON.stringify({ client_id: `https://${request.headers.host}${request.url}`, ...web })
        )
      })
      const scene = yield* Scene.make(withDocuments)
      const client_id = `${origin}/c`
      const { refreshToken } = yield* Effect.flatMap(
        scene.code({ client_id }),
        (code) => Effect.map(scene.one.token(scene.redemption(code, { client_id })), Scene.tokensOf)
      )
      away = true
      yield* TestClock.adjust("2 hours")
      const next = Scene.tokensOf(yield* scene.one.token(scene.refreshment(refreshToken, { client_id })))
      const unknown = yield* scene.browser().ask(scene.authorizeUrl({ client_id: `${origin}/other` }))
      Scene.assertLocal(unknown, 503, "temporarily_unavailable")
      yield* TestClock.adjust("25 hours")
      const answer = yield* scene.one.token(scene.refreshment(next.refreshToken, { client_id }))
      Scene.assertRefused(answer, 503, "temporarily_unavailable")
      away = false
      yield* TestClock.adjust("2 minutes")
      Scene.tokensOf(yield* scene.one.token(scene.refreshment(next.refreshToken, { client_id })))
    }))

  it.effect("#182 #183 proves itself by keys at another URL, held to the same rules, once with each assertion, at any replica", () =>
    Effect.gen(function*() {
      const { privateKey, publicKey } = yield* Effect.promise(() => generateKeyPair("ES256"))
      const jwks = { keys: [{ ...(yield* Effect.promise(() => exportJWK(publicKey))), kid: "one", alg: "ES256" }] }
      let jwksUri = ""
      let published: unknown = jwks
      const origin = yield* DocumentHost.serve((request, response) => {
        const document = {
          client_id: `https://${request.headers.host}${request.url}`,
          ...web,
          token_endpoint_auth_method: "private_key_jwt",
          jwks_uri: jwksUri
        }
        const kept = request.url === "/kept" ? "max-age=86400" : "no-store"
        response.writeHead(200, { "content-type": "application/json", "cache-control": kept })
          .end(JSON.stringify(request.url === "/client.json" ? document : published))
      })
      jwksUri = `${origin}/keys`
      const client_id = `${origin}/client.json`
      const scene = yield* Scene.make(withDocuments)
      const other = yield* scene.start()
      const assertion = (jti: string) =>
        Effect.promise(() =>
          new SignJWT({ jti }).setProtectedHeader({ alg: "ES256", kid: "one" }).setIssuer(client_id).setSubject(
            client_id
          )
            .setAudience(Scene.serverUrl).setIssuedAt(Scene.now).setExpirationTime(Scene.now + 60).sign(privateKey)
        )
      const proof = (client_assertion: string) => ({
        client_id: undefined,
        client_assertion,
        client_assertion_type: "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
      })
      const code = yield* scene.code({ client_id })
      const first = yield* assertion("first")
      const tokens = Scene.tokensOf(yield* scene.one.token({ ...scene.redemption(code), ...proof(first) }))
      const replayed = yield* other.token({ ...scene.refreshment(tokens.refreshToken), ...proof(first) })
      Scene.assertRefused(replayed, 401, "invalid_client")
      Scene.tokensOf(
        yield* other.token({ ...scene.refreshment(tokens.refreshToken), ...proof(yield* assertion("second")) })
      )

      for (const uri of ["http://127.0.0.1/keys", "https://127.0.0.1/", "https://x.example/a/../keys"]) {
        jwksUri = uri
        const answer = yield* scene.one.token({ ...scene.refreshment("x"), ...proof(yield* assertion(uri)) })
        Scene.assertRefused(answer, 401, "invalid_client")
      }

      // Keys that are not in order are asked for again after a minute, however long they may be kept.
      jwksUri = `${origin}/kept`
      published = { keys: [] }
      const askOnce = Effect.fnUntraced(function*(jti: string) {
        const answer = yield* scene.one.token({ ...scene.refreshment("x"), ...proof(yield* assertion(jti)) })
        return Scene.membersOf(answer)["error"]
      })
      assert.strictEqual(yield* askOnce("third"), "invalid_client")
      published = jwks
      assert.strictEqual(yield* askOnce("fourth"), "invalid_client")
      yield* TestClock.adjust("1 minute")
      assert.strictEqual(yield* askOnce("fifth"), "invalid_grant")
    }))

  it.effect(
    "#184 of whom there are thousands, is fetched at most 16 at a time, and each once",
    () =>
      Effect.gen(function*() {
        let now = 0
        let most = 0
        let asked = 0
        const origin = yield* DocumentHost.serve((_, response) => {
          asked++
          most = Math.max(most, ++now)
          setTimeout(() => {
            now--
            response.writeHead(404).end()
          }, 1)
        })
        const scene = yield* Scene.make(withDocuments)
        const ask = (nth: number) => isKnown(scene, `${origin}/${nth}`)
        const all = Array.from({ length: 300 }, (_, nth) => nth)
        for (let round = 0; round < 2; round++) {
          const known = yield* Effect.forEach(all, ask, { concurrency: 100 })
          assert.isFalse(known.includes(true))
        }
        assert.isAtMost(most, 16)
        assert.strictEqual(asked, 300)
      }),
    { timeout: 60_000 }
  )

  it.effect("is nobody where the owner does not want any, or not from its host", () =>
    Effect.gen(function*() {
      const client_id = `${yield* DocumentHost.documents(web)}/c`
      for (
        const [settings, expected] of [
          [{ clientMetadataDocuments: false }, false],
          [{ clientMetadataDocuments: true, clientMetadataHosts: ["client.example"] }, false],
          [{ clientMetadataDocuments: true, clientMetadataHosts: ["*.other.example"] }, false],
          [{ clientMetadataDocuments: true, clientMetadataHosts: ["*.example"] }, true],
          [{ clientMetadataDocuments: true, clientMetadataHosts: DocumentHost.host }, true]
        ] as const
      ) {
        const scene = yield* Scene.make({ settings, environment: DocumentHost.loopback })
        assert.strictEqual(yield* isKnown(scene, client_id), expected, JSON.stringify(settings))
      }
    }))
})

it("none of the network of tests can be reached from the package", () =>
  import("effect-okta").then((names) => {
    assert.isTrue(Option.isNone(Option.fromUndefinedOr(Reflect.get(names, "DocumentNetwork"))))
  }))
