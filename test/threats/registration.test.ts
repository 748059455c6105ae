import { assert, describe, it, layer } from "@effect/vitest"
import { Effect } from "effect"
import { TestClock } from "effect/testing"
import { request as httpRequest } from "node:http"
import * as DocumentHost from "../support/DocumentHost.ts"
import { trap } from "../support/Listening.ts"
import {
  assertLocal,
  assertRefused,
  assertUncached,
  make,
  membersOf,
  redirectUri,
  Scene
} from "../support/ProxyScene.ts"

const web = { redirect_uris: [redirectUri], client_name: "A web client" }

const send = Effect.fnUntraced(function*(body: string) {
  const { one } = yield* Scene
  return yield* one.ask("/oauth/register", { headers: { "content-type": "application/json" }, body })
})

const register = (metadata: unknown) => send(JSON.stringify(metadata))

/** Refused, with nothing kept, and not for want of anything else. */
const assertInvalid = Effect.fnUntraced(function*(body: string, code: string, what: string) {
  const { writes } = yield* Scene
  const before = writes.length
  const answer = yield* send(body)
  assert.deepStrictEqual([answer.status, membersOf(answer)["error"]], [400, code], what)
  assertUncached(answer)
  assert.isBelow(answer.body.length, 2000, what)
  assert.strictEqual(writes.length, before)
})

/** A body without `Content-Length`, of as many bytes as are taken. */
const flood = (actual: string, path: string, type: string): Effect.Effect<{ status: number; sent: number }> =>
  Effect.callback((resume) => {
    const chunk = Buffer.alloc(64 * 1024, "x")
    let sent = 0
    const request = httpRequest(actual + path, { method: "POST", agent: false, headers: { "content-type": type } })
    request.on("response", (response) => {
      resume(Effect.succeed({ status: response.statusCode ?? 0, sent }))
      request.destroy()
    })
    request.on("error", () => {})
    const more = () => {
      while (sent < 10_000_000 && !request.destroyed) {
        sent += chunk.length
        if (!request.write(chunk)) return request.once("drain", more)
      }
      return request.end()
    }
    more()
  })

layer(Scene.layer())("J. Registration: what is not in order", (it) => {
  it.effect("#96 a redirect URI with a scheme that runs, shows or reads something", () =>
    Effect.gen(function*() {
      const schemes = ["javascript", "data", "vbscript", "file", "blob", "view-source", "about", "filesystem"]
      const uris = schemes.flatMap((scheme) => [
        `${scheme}:alert(1)`,
        `${scheme}://client.example.com/callback`,
        `${scheme.toUpperCase()}:alert(1)`,
        ` ${scheme}:alert(1)`,
        `${scheme.slice(0, 4)}\n${scheme.slice(4)}:alert(1)`,
        `${scheme.slice(0, 4)}\t${scheme.slice(4)}:alert(1)`,
        `\u0001${scheme}:alert(1)`
      ])
      for (const uri of [...uris, "blob:https://client.example.com/1", "//client.example.com/callback", "/callback"]) {
        for (const redirect_uris of [[uri], [redirectUri, uri]]) {
          yield* assertInvalid(JSON.stringify({ ...web, redirect_uris }), "invalid_redirect_uri", uri)
        }
        yield* assertInvalid(JSON.stringify({ ...web, client_uri: uri }), "invalid_client_metadata", uri)
      }
    }))

  it.effect("#164 a body that is deep, no object, no JSON, or ambiguous", () =>
    Effect.gen(function*() {
      const good = JSON.stringify(web)
      const nested = (depth: number) => "[".repeat(depth) + "]".repeat(depth)
      const bodies = {
        "deep": good.replace(/\}$/, `,"deep":${nested(30_000)}}`),
        "deep, and not closed": "[".repeat(60_000),
        "deep objects": `{"a":`.repeat(10_000),
        "a deep redirect URI": `{"redirect_uris":${nested(20_000)}}`,
        "a list of lists": `{"redirect_uris":${nested(20)}}`,
        "a list": "[]",
        "null": "null",
        "a number": "1e999",
        "a text": JSON.stringify(good),
        "nothing": "",
        "no JSON": "{",
        "a member twice": good.replace(/\}$/, `,"client_name":"Another"}`),
        "a form": "redirect_uris=https%3A%2F%2Fclient.example.com%2Fcb",
        "a byte order mark": `\ufeff${good}`,
        "another object's": `{"__proto__":${good}}`
      }
      for (const [what, body] of Object.entries(bodies)) {
        const isList = what === "a list of lists" || what === "another object's"
        yield* assertInvalid(body, isList ? "invalid_redirect_uri" : "invalid_client_metadata", what)
      }
      assert.strictEqual((yield* send(good)).status, 201)
      assert.notProperty({}, "redirect_uris")
    }))

  it.effect("#165 10,000 redirect URIs", () =>
    Effect.gen(function*() {
      const many = (uri: string) => JSON.stringify({ ...web, redirect_uris: Array(10_000).fill(uri) })
      yield* assertInvalid(many(""), "invalid_redirect_uri", "as many as fit")
      assert.strictEqual((yield* send(many(redirectUri))).status, 413)
      for (const redirect_uris of [null, {}, 1, [1], [null], [[redirectUri]], ["", redirectUri]]) {
        const what = JSON.stringify(redirect_uris)
        yield* assertInvalid(JSON.stringify({ ...web, redirect_uris }), "invalid_redirect_uri", what)
      }
    }))

  it.effect("#109 #164 a body of 10 MB that does not say how long it is: 413, and most of it is never sent", () =>
    Effect.gen(function*() {
      const { one } = yield* Scene
      const form = "application/x-www-form-urlencoded"
      for (const path of ["authorize", "consent", "token", "revoke", "logout"]) {
        const { sent, status } = yield* flood(one.actual, `/oauth/${path}`, form)
        assert.strictEqual(status, 413, path)
        assert.isBelow(sent, 10_000_000, path)
      }
      const { status } = yield* flood(one.actual, "/oauth/register", "application/json")
      assert.strictEqual(status, 413)
    }))

  it.effect("#168 a registration ends after the time that it was good for", () =>
    Effect.gen(function*() {
      const scene = yield* Scene
      const answer = yield* register({ ...web, token_endpoint_auth_method: "none" })
      const client_id = String(membersOf(answer)["client_id"])
      const url = scene.authorizeUrl({ client_id })
      yield* TestClock.adjust("364 days")
      assert.strictEqual((yield* scene.browser().ask(url)).status, 200)
      yield* TestClock.adjust("1 day")
      assertLocal(yield* scene.browser().ask(url), 400, "invalid_client")
      assertRefused(yield* scene.one.token(scene.redemption("x", { client_id })), 401, "invalid_client")
    }))
})

describe("J. Registration: what a client points to", () => {
  it.effect("#169 is connected to by nobody, at no step, not for a client that authenticates by key either", () =>
    Effect.gen(function*() {
      const { connections, port } = yield* trap
      const scene = yield* make({
        settings: { clientMetadataDocuments: true },
        environment: DocumentHost.loopback
      })
      for (const origin of [`http://127.0.0.1:${port}`, `https://${DocumentHost.host}:${port}`]) {
        const pointers = Object.fromEntries(
          ["jwks_uri", "logo_uri", "tos_uri", "policy_uri", "client_uri", "sector_identifier_uri", "initiate_login_uri"]
            .map((name) => [name, `${origin}/${name}`])
        )
        for (const token_endpoint_auth_method of ["none", "client_secret_post", "private_key_jwt"]) {
          const answer = yield* scene.one.ask("/oauth/register", {
            headers: { "content-type": "application/json" },
            body: JSON.stringify({ ...web, ...pointers, token_endpoint_auth_method })
          })
          if (token_endpoint_auth_method === "private_key_jwt") {
            assert.deepStrictEqual([answer.status, membersOf(answer)["error"]], [400, "invalid_client_metadata"])
            continue
          }
          assert.strictEqual(answer.status, 201, answer.body)
          const { client_id, client_secret } = membersOf(answer)
          const credentials = {
            client_id: String(client_id),
            ...client_secret === undefined ? {} : { client_secret: String(client_secret) }
          }
          const code = yield* scene.code({ client_id: credentials.client_id })
          assert.strictEqual((yield* scene.one.token(scene.redemption(code, credentials))).status, 200)
          const assertion = {
            client_id: credentials.client_id,
            client_assertion: `e30.${Buffer.from(JSON.stringify({ sub: client_id })).toString("base64url")}.x`,
            client_assertion_type: "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
          }
          assertRefused(yield* scene.one.token(scene.redemption("x", assertion)), 401, "invalid_client")
        }
      }
      assert.strictEqual(connections(), 0)
    }))
})
