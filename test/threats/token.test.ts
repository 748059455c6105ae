import { assert, describe, it, layer } from "@effect/vitest"
import { Effect } from "effect"
import { TestClock } from "effect/testing"
import { basic } from "../support/Credentials.ts"
import {
  assertRefused,
  assertUncached,
  type Changes,
  claimsOf,
  codeVerifier,
  formOf,
  make,
  membersOf,
  type ProxyScene,
  redirectUri,
  Scene,
  serverUrl,
  type Tokens,
  tokensOf
} from "../support/ProxyScene.ts"

const together = { concurrency: "unbounded" } as const
const markup = "https://evil.example/\"><script>"

/** Everything that came of a grant is good for nothing. */
const assertEnded = Effect.fnUntraced(function*(scene: ProxyScene, { accessToken, refreshToken }: Tokens) {
  assert.strictEqual((yield* scene.one.call(accessToken)).status, 401)
  assertRefused(yield* scene.one.token(scene.refreshment(refreshToken)), 400, "invalid_grant")
})

const assertAlive = Effect.fnUntraced(function*(scene: ProxyScene, { accessToken, refreshToken }: Tokens) {
  assert.strictEqual((yield* scene.one.call(accessToken)).status, 200)
  return tokensOf(yield* scene.one.token(scene.refreshment(refreshToken)))
})

layer(Scene.layer())("I. /token: a code", (it) => {
  it.effect("#160 #163 gets tokens of ours and nothing else, kept by nobody", () =>
    Effect.gen(function*() {
      const scene = yield* Scene
      const answer = yield* scene.one.token(scene.redemption(yield* scene.code()))
      assert.strictEqual(answer.status, 200)
      assertUncached(answer)
      const { access_token, refresh_token, ...rest } = membersOf(answer)
      assert.deepStrictEqual(rest, { token_type: "Bearer", expires_in: 3600, scope: "mcp:read openid" })
      const { aud, client_id, iss } = claimsOf(String(access_token))
      assert.deepStrictEqual([iss, aud, client_id], [serverUrl, `${serverUrl}/mcp`, scene.clientId])
      assert.strictEqual((yield* scene.one.call(String(access_token))).status, 200)
      assert.isString(refresh_token)
    }))

  it.effect("#137 used twice is refused, and ends the grant, here and at Okta", () =>
    Effect.gen(function*() {
      const scene = yield* Scene
      for (const pause of ["0 seconds", "59 seconds", "2 minutes"] as const) {
        const form = scene.redemption(yield* scene.code())
        const tokens = tokensOf(yield* scene.one.token(form))
        const revoked = yield* scene.okta.requests("revoke")
        yield* TestClock.adjust(pause)
        assertRefused(yield* scene.one.token(form), 400, "invalid_grant")
        yield* assertEnded(scene, tokens)
        assert.strictEqual(yield* scene.okta.requests("revoke"), revoked + 1)
      }
    }))

  const burning: ReadonlyArray<readonly [string, Changes]> = [
    ["#139 with a wrong verifier", { code_verifier: "w".repeat(43) }],
    ["#139 with a verifier that is too short", { code_verifier: "v".repeat(42) }],
    ["#139 with a verifier that is too long", { code_verifier: "v".repeat(129) }],
    ["#139 with the challenge for a verifier", { code_verifier: "ungWv48Bz-pBQUDeXa4iI7ADYaOWF3qctBD_YfIAFa0" }],
    ["#139 with a verifier of other characters", { code_verifier: `${codeVerifier}!` }],
    ["#143 with another redirect URI", { redirect_uri: "https://client.example.com/other" }],
    ["#143 with a slash after the redirect URI", { redirect_uri: `${redirectUri}/` }],
    ["#143 with the redirect URI's case changed", { redirect_uri: redirectUri.replace("client", "CLIENT") }]
  ]
  it.effect.each(burning)("%s is refused, and used up: nobody has a second try", ([, wrong]) =>
    Effect.gen(function*() {
      const scene = yield* Scene
      const form = scene.redemption(yield* scene.code())
      const revoked = yield* scene.okta.requests("revoke")
      assertRefused(yield* scene.one.token({ ...form, ...wrong }), 400, "invalid_grant")
      assertRefused(yield* scene.one.token(form), 400, "invalid_grant")
      assert.strictEqual(yield* scene.okta.requests("revoke"), revoked + 1)
    }))

  it.effect("#143 that belongs to a loopback redirect URI is bound to its port too", () =>
    Effect.gen(function*() {
      const scene = yield* Scene
      const { clientId: client_id } = yield* scene.register({ redirect_uris: ["http://127.0.0.1:1/callback"] })
      const redirect_uri = "http://127.0.0.1:2/callback"
      for (const [at, status] of [["http://127.0.0.1:1/callback", 400], [redirect_uri, 200]] as const) {
        const code = yield* scene.code({ client_id, redirect_uri })
        const form = scene.redemption(code, { client_id, redirect_uri: at })
        assert.strictEqual((yield* scene.one.token(form)).status, status)
      }
    }))

  it.effect("#142 of client A by client B is refused, and nothing happens to the grant", () =>
    Effect.gen(function*() {
      const scene = yield* Scene
      const { clientId: client_id } = yield* scene.register({ client_name: "Other" })
      const code = yield* scene.code()
      const others = scene.redemption(code, { client_id })
      assertRefused(yield* scene.one.token(others), 400, "invalid_grant")
      assertRefused(yield* scene.one.token({ ...others, code_verifier: "w".repeat(43) }), 400, "invalid_grant")
      const tokens = tokensOf(yield* scene.one.token(scene.redemption(code)))
      assertRefused(yield* scene.one.token(others), 400, "invalid_grant")
      yield* TestClock.adjust("2 minutes")
      assertRefused(yield* scene.one.token(others), 400, "invalid_grant")
      yield* assertAlive(scene, tokens)
    }))

  it.effect("#144 older than a minute is refused", () =>
    Effect.gen(function*() {
      const scene = yield* Scene
      const [early, late] = [scene.redemption(yield* scene.code()), scene.redemption(yield* scene.code())]
      yield* TestClock.adjust("59 seconds")
      assert.strictEqual((yield* scene.one.token(early)).status, 200)
      yield* TestClock.adjust("1 second")
      assertRefused(yield* scene.one.token(late), 400, "invalid_grant")
    }))

  it.effect("#157 for another resource is refused, and stays good", () =>
    Effect.gen(function*() {
      const scene = yield* Scene
      const form = scene.redemption(yield* scene.code())
      for (const resource of [serverUrl, `${serverUrl}/mcp/`, `${serverUrl}/mcp#x`, markup]) {
        const answer = yield* scene.one.token({ ...form, resource })
        assertRefused(answer, 400, "invalid_target")
        assert.notInclude(answer.body, "evil")
      }
      assert.strictEqual((yield* scene.one.token({ ...form, resource: `${serverUrl}/mcp` })).status, 200)
    }))
})

for (const store of ["memory", "sqlite"] as const) {
  layer(Scene.layer({ store }))(`I. /token, with the store in ${store}`, (it) => {
    it.effect("#138 a code redeemed by 50 at once on one server and on two succeeds once", () =>
      Effect.gen(function*() {
        const scene = yield* Scene
        const other = yield* scene.start()
        for (let round = 0; round < 4; round++) {
          const form = scene.redemption(yield* scene.code())
          const answers = yield* Effect.forEach(
            Array.from({ length: 50 }, (_, index) => round > 1 || index % 2 === 0 ? scene.one : other),
            ({ token }) => token(form),
            together
          )
          const granted = answers.filter(({ status }) => status === 200)
          assert.lengthOf(granted, 1)
          for (const answer of answers) if (answer.status !== 200) assertRefused(answer, 400, "invalid_grant")
          for (const answer of granted) yield* assertEnded(scene, tokensOf(answer))
        }
      }))
  })
}

layer(Scene.layer({ client: { token_endpoint_auth_method: "client_secret_basic" } }))(
  "I. /token: a client with a secret",
  (it) => {
    it.effect("#145 in header and body at once is refused, and the code stays good", () =>
      Effect.gen(function*() {
        const scene = yield* Scene
        const { clientId: id, clientSecret: secret } = scene
        const form = scene.redemption(yield* scene.code(), { client_id: undefined })
        const header = basic(id, secret)
        const twice = [
          { client_secret: secret },
          { client_id: id, client_secret: secret },
          { client_id: "another" },
          { client_assertion: "x" }
        ]
        for (const more of twice) {
          assertRefused(yield* scene.one.token({ ...form, ...more }, header), 400, "invalid_request")
        }
        assert.strictEqual((yield* scene.one.token({ ...form, client_id: id }, header)).status, 200)
      }))

    it.effect("#145 #146 that is wrong in any way is refused in one way, and the code stays good", () =>
      Effect.gen(function*() {
        const scene = yield* Scene
        const { clientId: id, clientSecret: secret } = scene
        const challenge = "Basic realm=\"oauth\", charset=\"UTF-8\""
        const form = scene.redemption(yield* scene.code(), { client_id: undefined })
        const last = secret.slice(0, -1) + (secret.endsWith("A") ? "B" : "A")
        const first = (secret.startsWith("A") ? "B" : "A") + secret.slice(1)
        const bodies = new Set<string>()
        for (const wrong of ["", "x", first, last, secret.slice(0, -1), `${secret}A`, secret.toUpperCase(), id]) {
          const header = yield* scene.one.token(form, basic(id, wrong))
          assertRefused(header, 401, "invalid_client")
          assert.strictEqual(header.headers.get("www-authenticate"), challenge)
          const body = yield* scene.one.token({ ...form, client_id: id, client_secret: wrong })
          assertRefused(body, 401, "invalid_client")
          assert.isFalse(body.headers.has("www-authenticate"))
          bodies.add(header.body).add(body.body)
        }
        for (const authorization of ["Basic", "Basic !", "Basic eA==", "Basic Og==", "Bearer x", "Basic JSU6eA=="]) {
          const answer = yield* scene.one.token(form, { authorization })
          assertRefused(answer, 401, "invalid_client")
          assert.strictEqual(answer.headers.get("www-authenticate"), challenge)
          bodies.add(answer.body)
        }
        bodies.add((yield* scene.one.token(form, basic("nobody", secret))).body)
        bodies.add((yield* scene.one.token({ ...form, client_id: id })).body)
        assert.strictEqual(bodies.size, 1)
        assert.strictEqual((yield* scene.one.token(form, basic(id, secret))).status, 200)
      }))
  }
)

layer(Scene.layer())("I. /token and /revoke: requests", (it) => {
  it.effect("#147 repeated or missing parameters, and bodies that are no form", () =>
    Effect.gen(function*() {
      const scene = yield* Scene
      const form = scene.redemption(yield* scene.code())
      for (const [name, value = ""] of Object.entries(form)) {
        for (const again of [value, "another"]) {
          const repeated = formOf(form)
          repeated.append(name, again)
          assertRefused(yield* scene.one.token(repeated), 400, "invalid_request")
        }
      }
      for (const name of ["grant_type", "code", "redirect_uri", "code_verifier"]) {
        for (const none of [undefined, ""]) {
          assertRefused(yield* scene.one.token({ ...form, [name]: none }), 400, "invalid_request")
        }
      }
      assertRefused(yield* scene.one.token({ ...form, client_id: undefined }), 401, "invalid_client")
      for (const type of ["application/json", "multipart/form-data; boundary=x", "text/plain"]) {
        assertRefused(yield* scene.one.token(form, { "content-type": type }), 400, "invalid_request")
      }
      assertRefused(yield* scene.one.token(form, { "content-encoding": "gzip" }), 400, "invalid_request")
      assert.strictEqual((yield* scene.one.token(form)).status, 200)
    }))

  it.effect("#149 GET /token, and every other method: 405, also with all parameters in the query", () =>
    Effect.gen(function*() {
      const scene = yield* Scene
      const code = yield* scene.code()
      const query = formOf(scene.redemption(code))
      for (const path of ["/oauth/token", "/oauth/revoke"]) {
        for (const method of ["GET", "HEAD", "PUT", "DELETE", "PATCH"]) {
          const { headers, status } = yield* scene.one.ask(`${path}?${query}`, { method })
          assert.deepStrictEqual([status, headers.get("allow")], [405, "POST, OPTIONS"])
        }
        const { status } = yield* scene.one.ask(`${path}?${query}`, { body: new URLSearchParams() })
        assert.strictEqual(status, 400)
      }
      assert.strictEqual((yield* scene.one.token(scene.redemption(code))).status, 200)
    }))

  it.effect("#158 password, client_credentials and unknown grants", () =>
    Effect.gen(function*() {
      const scene = yield* Scene
      for (
        const grant_type of [
          "password",
          "client_credentials",
          "implicit",
          "urn:ietf:params:oauth:grant-type:token-exchange",
          "urn:ietf:params:oauth:grant-type:device_code",
          "Authorization_Code",
          "__proto__",
          markup
        ]
      ) {
        const answer = yield* scene.one.token({
          grant_type,
          client_id: scene.clientId,
          username: "ada@example.com",
          password: "correct horse"
        })
        assertRefused(answer, 400, "unsupported_grant_type")
        assert.notInclude(answer.body, "evil")
      }
    }))

  it.effect("#159 revoking what is unknown or another client's: 200, and nothing happens", () =>
    Effect.gen(function*() {
      const scene = yield* Scene
      const tokens = yield* scene.signIn()
      const { clientId: client_id } = yield* scene.register({ client_name: "Other" })
      const { accessToken, refreshToken } = tokens
      const revoked = yield* scene.okta.requests("revoke")
      const strange = [accessToken.slice(0, -4), `${refreshToken}x`, "x", "a.b.c", "é", "x".repeat(10_000)]
      for (const token of [accessToken, refreshToken, ...strange]) {
        const answer = yield* scene.one.revoke({ client_id, token })
        assert.deepStrictEqual([answer.status, answer.body], [200, ""])
        assertUncached(answer)
      }
      for (const token of strange) {
        assert.strictEqual((yield* scene.one.revoke({ client_id: scene.clientId, token })).status, 200)
      }
      assert.strictEqual(yield* scene.okta.requests("revoke"), revoked)
      yield* assertAlive(scene, tokens)
    }))
})

describe("I. /token: what is answered", () => {
  it.effect("#160 no answer is kept by anybody, whatever it says", () =>
    Effect.gen(function*() {
      const scene = yield* make()
      const { refreshToken } = yield* scene.signIn()
      const answers = [
        yield* scene.one.token({}),
        yield* scene.one.token({ grant_type: "x" }),
        yield* scene.one.token(scene.redemption("x")),
        yield* scene.one.token(scene.redemption("x", { client_id: "x" })),
        yield* scene.one.token({ grant_type: "x".repeat(70_000) }),
        yield* scene.one.token(scene.refreshment(refreshToken)),
        yield* scene.one.token(scene.refreshment(refreshToken, { scope: "more" })),
        yield* scene.one.token(scene.refreshment(refreshToken, { resource: "x" })),
        yield* scene.one.revoke({}),
        yield* scene.one.revoke({ client_id: scene.clientId, token: refreshToken })
      ]
      for (const answer of answers) assertUncached(answer)
      assert.deepStrictEqual(answers.map(({ status }) => status), [400, 400, 400, 401, 413, 200, 400, 400, 400, 200])
    }))
})
