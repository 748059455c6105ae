import { assert, describe, it } from "@effect/vitest"
import {
  discoverAuthorizationServerMetadata,
  exchangeAuthorization,
  refreshAuthorization,
  startAuthorization
} from "@modelcontextprotocol/sdk/client/auth.js"
import { Effect } from "effect"
import { TestClock } from "effect/testing"
import { createLocalJWKSet, decodeJwt, decodeProtectedHeader, type JSONWebKeySet, jwtVerify } from "jose"
import { ada, bob, nativeClient, serviceClient, uidOf, webClient } from "../../src/demo/StandInDirectory.ts"
import { basic } from "./Credentials.ts"
import { OktaStandIn, type TokenResponse } from "./OktaStandIn.ts"
import { Browser } from "./StandInBrowser.ts"

const get = (url: string, init?: RequestInit) => Effect.promise(() => fetch(url, { redirect: "manual", ...init }))

const read = async <A = Record<string, unknown>>(response: Response): Promise<A> => JSON.parse(await response.text())

const json = (url: string, init?: RequestInit) =>
  Effect.flatMap(get(url, init), (response) => Effect.promise(() => read(response)))

/** Verified by jose against the key set that the discovery document names. */
const verify = (okta: OktaStandIn["Service"], token: string, audience: string) =>
  Effect.promise(async () => {
    const document = await fetch(`${okta.issuer}/.well-known/openid-configuration`)
      .then(read<{ readonly jwks_uri: string }>)
    const keys = await fetch(document.jwks_uri).then(read<JSONWebKeySet>)
    return jwtVerify(token, createLocalJWKSet(keys), {
      issuer: okta.issuer,
      audience,
      currentDate: new Date(decodeJwt(token).iat! * 1000)
    })
  })

const post = (okta: OktaStandIn["Service"], path: string, form: Record<string, string>, client = webClient) =>
  get(`${okta.issuer}/v1/${path}`, {
    method: "POST",
    headers: basic(client.clientId, client.clientSecret ?? ""),
    body: new URLSearchParams(form)
  })

const introspect = (okta: OktaStandIn["Service"], token: string) =>
  post(okta, "introspect", { token }).pipe(
    Effect.flatMap((response) => Effect.promise(() => read(response)))
  )

const authorizationUrl = (okta: OktaStandIn["Service"], parameters: Record<string, string | undefined> = {}) => {
  const url = new URL(`${okta.issuer}/v1/authorize`)
  const all = {
    response_type: "code",
    client_id: nativeClient.clientId,
    redirect_uri: "http://127.0.0.1:9/callback",
    scope: "openid",
    state: "a state",
    code_challenge: "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM",
    code_challenge_method: "S256",
    ...parameters
  }
  for (const [name, value] of Object.entries(all)) if (value !== undefined) url.searchParams.set(name, value)
  return url
}

const present = (token: string | undefined): string => {
  if (token === undefined) throw new Error("no such token in the answer")
  return token
}

describe("documents", () => {
  it.effect("a custom server describes itself at the three places, as Okta does", () =>
    Effect.gen(function*() {
      const okta = yield* OktaStandIn.make()
      assert.strictEqual(okta.issuer, `${okta.origin}/oauth2/default`)
      const document = yield* json(`${okta.issuer}/.well-known/openid-configuration`)
      assert.deepStrictEqual(yield* json(`${okta.issuer}/.well-known/oauth-authorization-server`), document)
      assert.deepStrictEqual(
        yield* json(`${okta.origin}/.well-known/oauth-authorization-server/oauth2/default`),
        document
      )
      assert.deepInclude(document, {
        issuer: okta.issuer,
        authorization_endpoint: `${okta.issuer}/v1/authorize`,
        token_endpoint: `${okta.issuer}/v1/token`,
        userinfo_endpoint: `${okta.issuer}/v1/userinfo`,
        jwks_uri: `${okta.issuer}/v1/keys`,
        introspection_endpoint: `${okta.issuer}/v1/introspect`,
        revocation_endpoint: `${okta.issuer}/v1/revoke`,
        end_session_endpoint: `${okta.issuer}/v1/logout`,
        registration_endpoint: `${okta.origin}/oauth2/v1/clients`,
        code_challenge_methods_supported: ["S256"]
      })
      assert.notProperty(document, "authorization_response_iss_parameter_supported")
      assert.notProperty(document, "client_id_metadata_document_supported")
      assert.strictEqual(yield* okta.requests("discovery"), 3)
    }))

  it.effect("an org server has its endpoints under /oauth2/v1", () =>
    Effect.gen(function*() {
      const okta = yield* OktaStandIn.make({ kind: "org" })
      assert.strictEqual(okta.issuer, okta.origin)
      const document = yield* json(`${okta.issuer}/.well-known/oauth-authorization-server`)
      assert.strictEqual(document["issuer"], okta.origin)
      assert.strictEqual(document["token_endpoint"], `${okta.origin}/oauth2/v1/token`)
      assert.strictEqual((yield* get(`${okta.origin}/oauth2/v1/keys`)).status, 200)
    }))

  it.effect("registration needs an administrator, and an unknown server is not there", () =>
    Effect.gen(function*() {
      const okta = yield* OktaStandIn.make()
      assert.strictEqual((yield* get(`${okta.origin}/oauth2/v1/clients`, { method: "POST" })).status, 401)
      const missing = `${okta.origin}/oauth2/other/.well-known/openid-configuration`
      assert.strictEqual((yield* get(missing)).status, 404)
      assert.strictEqual((yield* json(missing))["errorCode"], "E0000007")
      assert.strictEqual((yield* get(`${okta.issuer}/.well-known/openid-configuration/`)).status, 404)
    }))

  it.effect("the key set says for how long it may be kept", () =>
    Effect.gen(function*() {
      const okta = yield* OktaStandIn.make({ keysMaxAge: 600 })
      const response = yield* get(`${okta.issuer}/v1/keys`)
      assert.strictEqual(response.headers.get("cache-control"), "max-age=600, must-revalidate")
      const { keys } = yield* Effect.promise(() => read<JSONWebKeySet>(response))
      assert.lengthOf(keys, 1)
      assert.deepInclude(keys[0], { kty: "RSA", alg: "RS256", use: "sig", kid: yield* okta.signingKey })
      assert.notProperty(keys[0], "d")
    }))
})

describe("signing in", () => {
  it.effect("gives an access token shaped as Okta's", () =>
    Effect.gen(function*() {
      const okta = yield* OktaStandIn.make()
      yield* TestClock.setTime(Date.UTC(2030, 0, 1))
      const { accessToken, expiresIn, scope } = yield* okta.signIn({ scopes: ["openid", "groups", "mcp:read"] })
      const { payload } = yield* verify(okta, accessToken, "api://default")
      assert.deepStrictEqual(decodeProtectedHeader(accessToken), { kid: yield* okta.signingKey, alg: "RS256" })
      assert.deepStrictEqual({ ...payload, jti: payload.jti?.slice(0, 3) }, {
        ver: 1,
        jti: "AT.",
        iss: okta.issuer,
        aud: "api://default",
        iat: Date.UTC(2030, 0, 1) / 1000,
        exp: Date.UTC(2030, 0, 1) / 1000 + 3600,
        cid: nativeClient.clientId,
        uid: uidOf(ada),
        scp: ["openid", "groups", "mcp:read"],
        auth_time: Date.UTC(2030, 0, 1) / 1000,
        sub: "ada@example.com",
        groups: ["Everyone", "Engineering"]
      })
      assert.strictEqual(expiresIn, 3600)
      assert.strictEqual(scope, "openid groups mcp:read")
    }))

  it.effect("gives an ID token for the client, with the hash of the access token", () =>
    Effect.gen(function*() {
      const okta = yield* OktaStandIn.make()
      const { accessToken, idToken } = yield* okta.signIn({ login: bob.login, parameters: { nonce: "n-1" } })
      const { payload } = yield* verify(okta, present(idToken), nativeClient.clientId)
      const hash = yield* Effect.promise(() => crypto.subtle.digest("SHA-256", Buffer.from(accessToken)))
      assert.deepInclude(payload, {
        sub: uidOf(bob),
        name: "Bob Noyce",
        preferred_username: bob.login,
        email: bob.login,
        ver: 1,
        amr: ["pwd"],
        nonce: "n-1",
        at_hash: Buffer.from(hash).subarray(0, 16).toString("base64url")
      })
      assert.isTrue(payload.jti?.startsWith("ID."))
      assert.hasAnyKeys(payload, ["idp"])
      assert.doesNotHaveAnyKeys(payload, ["sid", "groups"])
    }))

  it.effect("works for a client with a secret, and a single-page app gets tokens without one", () =>
    Effect.gen(function*() {
      const spa = {
        clientId: "0oa4singlePageApp777",
        type: "browser",
        redirectUris: ["http://localhost:3000/cb"]
      } as const
      const okta = yield* OktaStandIn.make({ clients: [webClient, spa], algorithm: "ES256" })
      const web = yield* okta.signIn()
      assert.strictEqual((yield* verify(okta, web.accessToken, okta.audience)).payload["cid"], webClient.clientId)
      const single = yield* okta.signIn({ clientId: spa.clientId })
      assert.strictEqual(decodeProtectedHeader(single.accessToken).alg, "ES256")
    }))

  it.effect("shows a form to a person, and refuses a wrong password", () =>
    Effect.gen(function*() {
      const okta = yield* OktaStandIn.make()
      const refused = yield* Effect.flip(okta.authorize(authorizationUrl(okta), { password: "wrong" }))
      assert.strictEqual(refused.status, 401)
      assert.include(refused.body, "<form method=\"post\">")
      assert.include(refused.body, "Unable to sign in")
    }))

  it.effect("is remembered by the browser", () =>
    Effect.gen(function*() {
      const okta = yield* OktaStandIn.make()
      const browser = new Browser()
      yield* okta.signIn({ browser })
      const again = yield* okta.signIn({ browser, password: "not even asked for", clientId: webClient.clientId })
      assert.strictEqual(decodeJwt(again.accessToken).sub, ada.login)
      const stronger = yield* Effect.flip(okta.signIn({
        browser,
        password: "wrong",
        parameters: { acr_values: "urn:okta:loa:2fa:any" }
      }))
      assert.strictEqual(stronger.status, 401)
      const { accessToken } = yield* okta.signIn({ browser, parameters: { acr_values: "urn:okta:loa:2fa:any" } })
      assert.strictEqual(decodeJwt(accessToken)["acr"], "urn:okta:loa:2fa:any")
      const withoutFactor = yield* Effect.flip(okta.signIn({ code: "000000", parameters: { acr_values: "phr" } }))
      assert.strictEqual(withoutFactor.status, 401)
      assert.include(withoutFactor.body, "The code is not right")
    }))

  it.effect("returns the state and no iss to a loopback address on any port", () =>
    Effect.gen(function*() {
      const okta = yield* OktaStandIn.make()
      const back = yield* okta.authorize(authorizationUrl(okta, { redirect_uri: "http://localhost:54321/callback" }))
      assert.strictEqual(back.origin + back.pathname, "http://localhost:54321/callback")
      assert.deepStrictEqual([...back.searchParams.keys()].sort(), ["code", "state"])
      assert.strictEqual(back.searchParams.get("state"), "a state")
    }))

  it.effect("ignores what resource a client names", () =>
    Effect.gen(function*() {
      const okta = yield* OktaStandIn.make({ audience: "https://api.example.com" })
      const resource = "http://127.0.0.1:8080/mcp"
      const { accessToken, refreshToken } = yield* okta.signIn({ parameters: { resource } })
      assert.strictEqual(decodeJwt(accessToken).aud, "https://api.example.com")
      const response = yield* get(`${okta.issuer}/v1/token`, {
        method: "POST",
        body: new URLSearchParams({
          grant_type: "refresh_token",
          refresh_token: present(refreshToken),
          client_id: nativeClient.clientId,
          resource
        })
      })
      const { access_token } = yield* Effect.promise(() => read<{ readonly access_token: string }>(response))
      assert.strictEqual(decodeJwt(access_token).aud, "https://api.example.com")
    }))

  it.effect.each([
    { name: "no state", parameters: { state: undefined }, error: "invalid_request" },
    { name: "no scope", parameters: { scope: undefined }, error: "invalid_scope" },
    { name: "a scope nobody set up", parameters: { scope: "openid nobody:knows" }, error: "invalid_scope" },
    { name: "no PKCE from a public client", parameters: { code_challenge: undefined }, error: "invalid_request" },
    { name: "an implicit flow", parameters: { response_type: "token" }, error: "unsupported_response_type" }
  ])("sends $name back to the client as an error", ({ error, parameters }) =>
    Effect.gen(function*() {
      const okta = yield* OktaStandIn.make()
      const back = yield* okta.authorize(authorizationUrl(okta, parameters))
      const answer = new URLSearchParams(back.search || back.hash.slice(1))
      assert.strictEqual(answer.get("error"), error)
      assert.isFalse(answer.has("iss"))
    }))

  it.effect.each([
    { name: "a redirect address nobody registered", parameters: { redirect_uri: "https://evil.example/callback" } },
    { name: "another path on loopback", parameters: { redirect_uri: "http://127.0.0.1:9/elsewhere" } },
    { name: "an unknown client", parameters: { client_id: "0oaNobody" } }
  ])("keeps the person at Okta for $name", ({ parameters }) =>
    Effect.gen(function*() {
      const okta = yield* OktaStandIn.make()
      const refused = yield* Effect.flip(okta.authorize(authorizationUrl(okta, parameters)))
      assert.strictEqual(refused.status, 400)
    }))
})

describe("a client of the MCP SDK", () => {
  it.effect("signs in with the SDK's own code, and refreshes", () =>
    Effect.gen(function*() {
      const okta = yield* OktaStandIn.make()
      const metadata = yield* Effect.promise(() => discoverAuthorizationServerMetadata(okta.issuer))
      assert.strictEqual(metadata?.issuer, okta.issuer)
      const about = {
        metadata: metadata!,
        clientInformation: { client_id: nativeClient.clientId },
        resource: new URL("http://127.0.0.1:8080/mcp")
      }
      const redirectUri = "http://127.0.0.1:45678/oauth/callback"
      const { authorizationUrl, codeVerifier } = yield* Effect.promise(() =>
        startAuthorization(okta.issuer, {
          ...about,
          redirectUrl: redirectUri,
          scope: "openid offline_access mcp:read",
          state: "s"
        })
      )
      const back = yield* okta.authorize(authorizationUrl, { login: bob.login })
      const tokens = yield* Effect.promise(() =>
        exchangeAuthorization(okta.issuer, {
          ...about,
          authorizationCode: back.searchParams.get("code")!,
          codeVerifier,
          redirectUri
        })
      )
      assert.strictEqual((yield* verify(okta, tokens.access_token, okta.audience)).payload.sub, bob.login)
      const refreshed = yield* Effect.promise(() =>
        refreshAuthorization(okta.issuer, { ...about, refreshToken: tokens.refresh_token! })
      )
      assert.deepStrictEqual(decodeJwt(refreshed.access_token)["scp"], ["openid", "offline_access", "mcp:read"])
    }))
})

describe("refreshing", () => {
  const use = (okta: OktaStandIn["Service"], { refreshToken }: TokenResponse) => okta.refresh(present(refreshToken))

  it.effect("needs offline_access", () =>
    Effect.gen(function*() {
      const okta = yield* OktaStandIn.make()
      const { refreshToken } = yield* okta.signIn({ scopes: ["openid"] })
      assert.isUndefined(refreshToken)
    }))

  it.effect("can happen twice at once", () =>
    Effect.gen(function*() {
      const okta = yield* OktaStandIn.make()
      const first = yield* okta.signIn()
      const [one, two] = yield* Effect.all([use(okta, first), use(okta, first)], { concurrency: 2 })
      yield* Effect.all([use(okta, one), use(okta, two)])
    }))

  it.effect("keeps the refresh token of a web client", () =>
    Effect.gen(function*() {
      const okta = yield* OktaStandIn.make({ clients: [webClient] })
      const first = yield* okta.signIn()
      const second = yield* use(okta, first)
      assert.strictEqual(second.refreshToken, first.refreshToken)
      assert.notStrictEqual(second.accessToken, first.accessToken)
      yield* verify(okta, second.accessToken, okta.audience)
    }))

  it.effect("rotates with 30 seconds of grace, and revokes everything when an old one comes later", () =>
    Effect.gen(function*() {
      const okta = yield* OktaStandIn.make()
      const first = yield* okta.signIn()
      const second = yield* use(okta, first)
      assert.notStrictEqual(second.refreshToken, first.refreshToken)
      yield* TestClock.adjust("29 seconds")
      yield* use(okta, first)
      yield* TestClock.adjust("1 second")
      assert.include((yield* Effect.flip(use(okta, first))).body, "invalid_grant")
      assert.include((yield* Effect.flip(use(okta, second))).body, "invalid_grant")
      assert.deepStrictEqual(yield* introspect(okta, second.accessToken), { active: false })
    }))
})

describe("client credentials", () => {
  it.effect("give a token without a person", () =>
    Effect.gen(function*() {
      const okta = yield* OktaStandIn.make()
      const { accessToken, refreshToken } = yield* okta.clientCredentials({ scopes: ["mcp:write"] })
      const { payload } = yield* verify(okta, accessToken, okta.audience)
      assert.deepInclude(payload, { cid: serviceClient.clientId, sub: serviceClient.clientId, scp: ["mcp:write"] })
      assert.doesNotHaveAnyKeys(payload, ["uid", "auth_time", "groups"])
      assert.isUndefined(refreshToken)
    }))

  it.effect("are for the scopes an administrator added", () =>
    Effect.gen(function*() {
      const okta = yield* OktaStandIn.make()
      assert.include((yield* Effect.flip(okta.clientCredentials({ scopes: ["openid"] }))).body, "invalid_scope")
      assert.include((yield* Effect.flip(okta.clientCredentials({ scopes: [] }))).body, "invalid_scope")
    }))
})

describe("what becomes of a token", () => {
  it.effect("introspection tells Okta's words, until it expires", () =>
    Effect.gen(function*() {
      const okta = yield* OktaStandIn.make({ accessTokenLifetime: 300 })
      const { accessToken } = yield* okta.signIn()
      assert.deepInclude(yield* introspect(okta, accessToken), {
        active: true,
        token_type: "Bearer",
        client_id: nativeClient.clientId,
        username: ada.login,
        uid: uidOf(ada),
        scope: "openid profile email offline_access"
      })
      assert.deepStrictEqual(yield* introspect(okta, accessToken.slice(0, -4) + "AAAA"), { active: false })
      yield* TestClock.adjust("5 minutes")
      assert.deepStrictEqual(yield* introspect(okta, accessToken), { active: false })
    }))

  it.effect("revocation ends it", () =>
    Effect.gen(function*() {
      const okta = yield* OktaStandIn.make({ clients: [webClient] })
      const { accessToken } = yield* okta.signIn()
      assert.strictEqual((yield* post(okta, "revoke", { token: accessToken })).status, 200)
      assert.deepStrictEqual(yield* introspect(okta, accessToken), { active: false })
    }))

  it.effect("userinfo takes it", () =>
    Effect.gen(function*() {
      const okta = yield* OktaStandIn.make()
      const { accessToken } = yield* okta.signIn()
      const headers = { authorization: `Bearer ${accessToken}` }
      assert.deepStrictEqual(yield* json(`${okta.issuer}/v1/userinfo`, { headers }), {
        sub: uidOf(ada),
        name: "Ada Lovelace",
        preferred_username: ada.login,
        email: ada.login,
        email_verified: true
      })
    }))

  it.effect("an ID token ends the session at logout", () =>
    Effect.gen(function*() {
      const okta = yield* OktaStandIn.make()
      const { idToken } = yield* okta.signIn()
      const response = yield* get(`${okta.issuer}/v1/logout?id_token_hint=${present(idToken)}`)
      assert.strictEqual(response.status, 200)
      const altered = present(idToken).slice(0, -4) + "AAAA"
      assert.strictEqual((yield* get(`${okta.issuer}/v1/logout?id_token_hint=${altered}`)).status, 400)
    }))

  it.effect("of an org server nobody else can verify it, but the ID token everybody can", () =>
    Effect.gen(function*() {
      const okta = yield* OktaStandIn.make({ kind: "org" })
      const { accessToken, idToken } = yield* okta.signIn()
      yield* verify(okta, present(idToken), nativeClient.clientId)
      const { keys } = yield* okta.keys
      assert.notInclude(keys.map(({ kid }) => kid), decodeProtectedHeader(accessToken).kid)
      assert.strictEqual(decodeJwt(accessToken).aud, okta.issuer)
    }))
})

describe("keys", () => {
  it.effect("rotate while sessions and refresh tokens go on", () =>
    Effect.gen(function*() {
      const okta = yield* OktaStandIn.make()
      const old = yield* okta.signingKey
      const before = yield* okta.signIn()

      const next = yield* okta.publishKey
      assert.deepStrictEqual((yield* okta.keys).keys.map(({ kid }) => kid), [old, next])
      assert.strictEqual(yield* okta.signingKey, old)

      assert.strictEqual(yield* okta.rotateKeys, next)
      const after = yield* okta.refresh(present(before.refreshToken))
      assert.strictEqual(decodeProtectedHeader(after.accessToken).kid, next)
      assert.strictEqual(decodeProtectedHeader(present(after.idToken)).kid, next)
      yield* verify(okta, before.accessToken, okta.audience)
      yield* verify(okta, after.accessToken, okta.audience)

      yield* okta.withdrawKey(old)
      assert.deepStrictEqual((yield* okta.keys).keys.map(({ kid }) => kid), [next])
      assert.notStrictEqual(yield* okta.rotateKeys, next)
    }))

  it.effect("sign whatever a test makes up", () =>
    Effect.gen(function*() {
      const okta = yield* OktaStandIn.make()
      const { payload } = yield* verify(okta, yield* okta.mint({ sub: "mallory", uid: undefined }), okta.audience)
      assert.strictEqual(payload.sub, "mallory")
      assert.notProperty(payload, "uid")
      const header = decodeProtectedHeader(yield* okta.mint({}, { alg: "none", kid: undefined }))
      assert.deepStrictEqual(header, { alg: "none" })
      const [, text = ""] = (yield* okta.mint("{\"sub\":1,\"sub\":2}")).split(".")
      assert.strictEqual(Buffer.from(text, "base64url").toString(), "{\"sub\":1,\"sub\":2}")
    }))
})

describe("faults", () => {
  it.effect("an outage fails every request until it is lifted", () =>
    Effect.gen(function*() {
      const okta = yield* OktaStandIn.make()
      const keys = `${okta.issuer}/v1/keys`
      yield* okta.outage()
      assert.strictEqual((yield* get(keys)).status, 503)
      yield* okta.outage("refuse")
      assert.isTrue(yield* Effect.promise(() => fetch(keys).then(() => false, () => true)))
      yield* okta.outage("hang")
      const abort = new AbortController()
      const pending = fetch(keys, { signal: abort.signal }).then(() => "answered", () => "gone")
      while ((yield* okta.requests("keys")) < 3) yield* Effect.promise(() => new Promise(setImmediate))
      yield* okta.lift
      assert.strictEqual(yield* Effect.promise(() => pending), "gone")
      assert.strictEqual((yield* get(keys)).status, 200)
      assert.strictEqual(yield* okta.requests(), 4)
    }))

  it.effect("one endpoint answers as a test wants", () =>
    Effect.gen(function*() {
      const okta = yield* OktaStandIn.make()
      yield* okta.respond("keys", (_, response) => void response.writeHead(200).end("{\"keys\":[]}"))
      assert.deepStrictEqual(yield* json(`${okta.issuer}/v1/keys`), { keys: [] })
      assert.strictEqual((yield* get(`${okta.issuer}/.well-known/openid-configuration`)).status, 200)
      yield* okta.lift
      assert.notDeepEqual(yield* json(`${okta.issuer}/v1/keys`), { keys: [] })
    }))
})
