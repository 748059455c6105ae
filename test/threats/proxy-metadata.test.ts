import { assert, describe, it, layer } from "@effect/vitest"
import { Effect, Redacted } from "effect"
import { exportJWK, generateKeyPair, SignJWT } from "jose"
import {
  type Answer,
  claimsOf,
  make,
  membersOf,
  now,
  type ProxyScene,
  redirectUri,
  Scene,
  serverUrl,
  tokensOf
} from "../support/ProxyScene.ts"

const serverMetadata = "/.well-known/oauth-authorization-server"
const resourceMetadata = "/.well-known/oauth-protected-resource"

describe("K. Metadata of the authorization server", () => {
  for (const url of [serverUrl, `${serverUrl}/base/path`]) {
    it.effect(`#187 issuer, authorization_servers[0] and iss are equal, byte for byte: ${url}`, () =>
      Effect.gen(function*() {
        const scene = yield* make({ settings: { serverUrl: url } })
        const { pathname } = new URL(url)
        const base = pathname === "/" ? "" : pathname
        const documents = [
          yield* scene.one.ask(serverMetadata + base),
          yield* scene.one.ask(`/.well-known/openid-configuration${base}`),
          yield* scene.one.ask(`${base}/.well-known/openid-configuration`)
        ]
        for (const answer of documents) {
          assert.strictEqual(answer.status, 200)
          assert.strictEqual(membersOf(answer)["issuer"], url)
          assert.include(answer.body, `"issuer":"${url}"`)
        }
        for (const path of ["", "/mcp"]) {
          const answer = yield* scene.one.ask(`${resourceMetadata}${base}${path}`)
          assert.deepStrictEqual(membersOf(answer)["authorization_servers"], [url], path)
        }
        const browser = scene.browser()
        const { location } = yield* browser.ask(yield* scene.comeBack(browser))
        assert.strictEqual(location.searchParams.get("iss"), url)
        assert.include(location.search, `iss=${encodeURIComponent(url)}`)
        const denied = yield* browser.ask(scene.authorizeUrl({ prompt: "none" }))
        assert.strictEqual(denied.location.searchParams.get("iss"), url)
        const code = location.searchParams.get("code") ?? ""
        const { accessToken } = tokensOf(yield* scene.one.token(scene.redemption(code)))
        assert.strictEqual(claimsOf(accessToken)["iss"], url)
      }))
  }
})

const text = (value: unknown) => {
  assert.isString(value)
  return String(value)
}

const listed = (value: unknown): ReadonlyArray<string> => {
  assert.isArray(value)
  return Array.isArray(value) ? value.map(String) : []
}

/** Asks an advertised endpoint, which is there. */
const reach = (scene: ProxyScene, url: unknown, method: "GET" | "POST") => {
  assert.isTrue(text(url).startsWith(`${serverUrl}/`), text(url))
  const body = method === "POST" ? { body: new URLSearchParams() } : {}
  return Effect.tap(
    scene.one.ask(text(url), body),
    ({ status }) => Effect.sync(() => assert.notInclude([404, 405, 500], status, text(url)))
  )
}

const exactly = (expected: unknown) => (_: ProxyScene, value: unknown) =>
  Effect.sync(() => assert.deepStrictEqual(value, expected))

const answersGet = (scene: ProxyScene, value: unknown) => reach(scene, value, "GET")
const answersPost = (scene: ProxyScene, value: unknown) => reach(scene, value, "POST")

/** Every method of client authentication that is advertised can be registered. */
const canBeUsed = (scene: ProxyScene, value: unknown) =>
  Effect.forEach(listed(value), (token_endpoint_auth_method) =>
    scene.register({
      token_endpoint_auth_method,
      ...token_endpoint_auth_method === "private_key_jwt" && {
        jwks: { keys: [{ kty: "OKP", crv: "Ed25519", kid: "k", x: "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo" }] }
      }
    }))

/** What each member of the document promises, tried. One that is not here is not to be there. */
const promises: Readonly<Record<string, (scene: ProxyScene, value: unknown) => Effect.Effect<unknown>>> = {
  issuer: exactly(serverUrl),
  authorization_endpoint: answersGet,
  token_endpoint: answersPost,
  registration_endpoint: answersPost,
  revocation_endpoint: answersPost,
  introspection_endpoint: answersPost,
  end_session_endpoint: answersGet,
  global_token_revocation_endpoint: Effect.fnUntraced(function*(scene, value) {
    assert.strictEqual((yield* reach(scene, value, "POST")).status, 401)
  }),
  jwks_uri: Effect.fnUntraced(function*(scene, value) {
    const { keys } = membersOf(yield* reach(scene, value, "GET"))
    assert.isArray(keys)
    for (const key of Array.isArray(keys) ? keys : []) {
      assert.sameMembers(Object.keys(key), ["kty", "crv", "x", "y", "kid", "alg", "use"])
    }
  }),
  scopes_supported: Effect.fnUntraced(function*(scene, value) {
    const page = yield* scene.browser().ask(scene.authorizeUrl({ scope: listed(value).join(" ") }))
    assert.strictEqual(page.status, 200, page.body)
  }),
  response_types_supported: exactly(["code"]),
  response_modes_supported: Effect.fnUntraced(function*(scene, value) {
    assert.deepStrictEqual(value, ["query"])
    const page = yield* scene.browser().ask(scene.authorizeUrl({ response_mode: "query" }))
    assert.strictEqual(page.status, 200, page.body)
  }),
  grant_types_supported: Effect.fnUntraced(function*(scene, value) {
    for (const grant_type of listed(value)) {
      const answer = yield* scene.one.token({ grant_type, client_id: scene.clientId })
      assert.strictEqual(membersOf(answer)["error"], "invalid_request", grant_type)
    }
  }),
  code_challenge_methods_supported: exactly(["S256"]),
  token_endpoint_auth_methods_supported: canBeUsed,
  revocation_endpoint_auth_methods_supported: canBeUsed,
  introspection_endpoint_auth_methods_supported: (_, value) =>
    Effect.sync(() => assert.notInclude(listed(value), "none")),
  token_endpoint_auth_signing_alg_values_supported: (_, value) =>
    Effect.sync(() => assert.notMatch(listed(value).join(), /HS|none/)),
  revocation_endpoint_auth_signing_alg_values_supported: (_, value) =>
    Effect.sync(() => assert.notMatch(listed(value).join(), /HS|none/)),
  introspection_endpoint_auth_signing_alg_values_supported: (_, value) =>
    Effect.sync(() => assert.notMatch(listed(value).join(), /HS|none/)),
  dpop_signing_alg_values_supported: Effect.fnUntraced(function*(scene, value) {
    for (const alg of listed(value)) {
      const dpop = yield* Effect.promise(async () => {
        const { privateKey, publicKey } = await generateKeyPair(alg)
        return new SignJWT({ jti: alg, htm: "POST", htu: `${serverUrl}/oauth/token`, iat: now })
          .setProtectedHeader({ typ: "dpop+jwt", alg, jwk: await exportJWK(publicKey) }).sign(privateKey)
      })
      const { error } = membersOf(yield* scene.one.token(scene.redemption("no code"), { dpop }))
      assert.strictEqual(error, "invalid_grant", alg)
    }
  }),
  authorization_response_iss_parameter_supported: Effect.fnUntraced(function*(scene, value) {
    assert.isTrue(value)
    const { location } = yield* scene.browser().ask(scene.authorizeUrl({ prompt: "none" }))
    assert.strictEqual(location.searchParams.get("iss"), serverUrl)
  }),
  client_id_metadata_document_supported: exactly(true)
}

const clients = [{
  clientId: "resource-server",
  clientSecrets: [Redacted.make("a secret of a resource server of ours")],
  redirectUris: [],
  mayIntrospect: true
}]

layer(Scene.layer({ settings: { clients } }))("K. Metadata of the authorization server", (it) => {
  it.effect("#188 code_challenge_methods_supported is S256 alone", () =>
    Effect.gen(function*() {
      const { one } = yield* Scene
      assert.deepStrictEqual(membersOf(yield* one.ask(serverMetadata))["code_challenge_methods_supported"], ["S256"])
    }))

  it.effect("#189 what is advertised is there, and what is not there is not advertised", () =>
    Effect.gen(function*() {
      const scene = yield* Scene
      const members = membersOf(yield* scene.one.ask(serverMetadata))
      assert.includeMembers(Object.keys(members), [
        "issuer",
        "authorization_endpoint",
        "token_endpoint",
        "registration_endpoint",
        "revocation_endpoint",
        "global_token_revocation_endpoint",
        "introspection_endpoint",
        "response_types_supported",
        "code_challenge_methods_supported"
      ])
      for (const [name, value] of Object.entries(members)) {
        const promise = promises[name]
        assert(promise !== undefined, `${name} is advertised`)
        yield* promise(scene, value)
      }
      for (const name of ["dynamic", "userinfo", "device_authorization", "pushed_authorization_request"]) {
        assert.notProperty(members, `${name}_endpoint`)
        assert.strictEqual((yield* scene.one.ask(`/oauth/${name}`)).status, 404)
      }
    }))

  it.effect("#191 clients in browsers may call what is for clients, without credentials; pages are nobody's to read", () =>
    Effect.gen(function*() {
      const scene = yield* Scene
      const headers = { origin: "https://app.example.com", cookie: "__Host-effect-okta=x" }
      const preflight = { ...headers, "access-control-request-method": "POST" }
      const forClients = ["/oauth/token", "/oauth/register", "/oauth/revoke", "/oauth/introspect"]
      const documents = [serverMetadata, resourceMetadata, `${resourceMetadata}/mcp`, "/.well-known/jwks.json"]
      const answers: Array<readonly [string, Answer]> = []
      for (const path of [...forClients, ...documents]) {
        const asked = yield* scene.one.ask(path, { method: "OPTIONS", headers: preflight })
        assert.strictEqual(asked.status, 204, path)
        answers.push([path, asked])
      }
      for (const path of forClients) {
        answers.push([path, yield* scene.one.ask(path, { headers, body: new URLSearchParams() })])
        answers.push([path, yield* scene.one.ask(path, { headers })])
      }
      for (const path of documents) answers.push([path, yield* scene.one.ask(path, { headers })])
      const registered = yield* scene.one.ask("/oauth/register", {
        headers: { ...headers, "content-type": "application/json" },
        body: JSON.stringify({ redirect_uris: [redirectUri] })
      })
      assert.strictEqual(registered.status, 201)
      answers.push(["registration", registered])
      for (const [path, answer] of answers) {
        assert.strictEqual(answer.headers.get("access-control-allow-origin"), "*", path)
        assert.isFalse(answer.headers.has("access-control-allow-credentials"), path)
        assert.isFalse(answer.headers.has("set-cookie"), path)
      }

      const browser = scene.browser()
      const back = yield* scene.comeBack(browser)
      const pages: Array<readonly [string, Answer]> = []
      for (const path of ["/oauth/authorize", "/oauth/consent", "/oauth/callback", "/oauth/logout"]) {
        for (const method of ["OPTIONS", "GET", "POST"]) {
          const body = method === "POST" ? { body: new URLSearchParams() } : {}
          pages.push([`${method} ${path}`, yield* scene.one.ask(path, { method, headers: preflight, ...body })])
        }
      }
      pages.push([
        "the consent page",
        yield* browser.ask(scene.authorizeUrl(), { headers: { origin: headers.origin } })
      ])
      pages.push(["the callback", yield* browser.ask(back, { headers: { origin: headers.origin } })])
      for (const [what, answer] of pages) {
        const names = [...answer.headers.keys()].filter((name) => name.startsWith("access-control-"))
        assert.deepStrictEqual(names, [], what)
      }
    }))
})
