import { assert, layer } from "@effect/vitest"
import { Effect, Layer, Result } from "effect"
import * as fc from "fast-check"
import { isLoopbackHost } from "../../src/config/PublicUrl.ts"
import { DocumentFetch } from "../../src/proxy/client/DocumentFetch.ts"
import * as MetadataDocument from "../../src/proxy/client/MetadataDocument.ts"
import { Store } from "../../src/store/Store.ts"
import * as DocumentHost from "../support/DocumentHost.ts"
import { redirectUri, Scene, serverUrl } from "../support/ProxyScene.ts"
import { makeKey } from "../token/TestIssuer.ts"
import { nasty } from "./Arbitraries.ts"
import { serve } from "./InProcess.ts"
import { generated, timeout } from "./plan.ts"

const listed = "cursor://anysphere.cursor-retrieval/oauth/callback"
const key = makeKey("ES256")

const uri = fc.oneof(
  nasty,
  fc.webUrl({ withFragments: true, withQueryParameters: true }),
  fc.constantFrom(
    redirectUri,
    listed,
    "http://127.0.0.1/cb",
    "http://127.0.0.1:8080/cb",
    "http://[::1]/cb",
    "http://localhost/cb",
    "http://client.example/cb",
    "http://127.1/cb",
    "http://0x7f000001/cb",
    "http://2130706433/cb",
    "https://*.example/cb",
    "https://ada@client.example/cb",
    "https://client.example/cb#x",
    "https://client.example\\@evil.example/",
    "javascript:alert(1)",
    " javascript:alert(1)",
    "java\nscript:alert(1)",
    "data:text/html,x",
    "file:///etc/passwd",
    "blob:https://a.example/1",
    "vbscript:x",
    "other://app/cb",
    "https:///cb",
    "https://",
    "https://client.example:0/cb"
  )
)

const odd: fc.Arbitrary<unknown> = fc.oneof(
  fc.jsonValue({ maxDepth: 3 }),
  nasty,
  uri,
  fc.array(uri, { maxLength: 12 }),
  fc.constantFrom<unknown>(
    "none",
    "client_secret_basic",
    "client_secret_post",
    "private_key_jwt",
    "client_secret_jwt",
    "tls_client_auth",
    "web",
    "native",
    "x".repeat(201),
    ["authorization_code"],
    ["refresh_token"],
    ["authorization_code", "implicit"],
    ["code"],
    ["token"],
    [],
    { keys: [key.published] },
    { keys: [{ ...key.published, d: "x" }] },
    { keys: [] },
    {
      keys: [{ kty: "oct", k: "x" }]
    }
  )
)

const good = { redirect_uris: [redirectUri], client_name: "A client", token_endpoint_auth_method: "none" }

const names = [
  "redirect_uris",
  "redirect_uris",
  "redirect_uris",
  "post_logout_redirect_uris",
  "token_endpoint_auth_method",
  "grant_types",
  "response_types",
  "application_type",
  "client_name",
  "client_uri",
  "logo_uri",
  "tos_uri",
  "scope",
  "contacts",
  "jwks",
  "jwks_uri",
  "software_id",
  "software_statement",
  "client_secret",
  "__proto__"
]

/** Metadata of which some is odd, or that is none. */
const metadata: fc.Arbitrary<unknown> = fc.oneof(
  {
    weight: 9,
    arbitrary: fc.dictionary(fc.constantFrom(...names), odd, { minKeys: 1, maxKeys: 4 }).map((changes) => ({
      ...good,
      ...changes
    }))
  },
  { weight: 1, arbitrary: fc.jsonValue() }
)

/** By the rules of RFC 8252 section 7 and what this server adds to them: https, http to this machine, or listed. */
const isSafe = (uri: unknown): boolean => {
  if (typeof uri !== "string") return false
  if (uri === listed) return true
  if (!URL.canParse(uri) || /[\s#\\*]/.test(uri.replace(/\?.*/s, "")) || uri.includes("#")) return false
  if (/^[^/]*\/\/[^/?]*@/.test(uri)) return false
  const { hostname, protocol } = new URL(uri)
  return protocol === "https:" ||
    protocol === "http:" && isLoopbackHost(hostname) && uri.startsWith(`http://${hostname}`)
}

/** What holds for metadata that was accepted. */
const assertSafe = (accepted: Readonly<Record<string, unknown>>) => {
  const { jwks, post_logout_redirect_uris = [], redirect_uris, token_endpoint_auth_method: method } = accepted
  assert(Array.isArray(redirect_uris) && Array.isArray(post_logout_redirect_uris))
  assert.isTrue(redirect_uris.length > 0 && redirect_uris.length <= 10)
  assert.deepStrictEqual([...redirect_uris, ...post_logout_redirect_uris].filter((uri) => !isSafe(uri)), [])
  assert.include(["none", "client_secret_basic", "client_secret_post", "private_key_jwt"], method)
  assert.notMatch(JSON.stringify(jwks ?? {}), /"(?:d|p|q|k)":/)
  assert.notMatch(String(accepted["client_name"] ?? ""), /[\p{Cc}\u202e]/u)
}

layer(
  Layer.merge(
    Scene.layer({ settings: { redirectUris: [listed] } }),
    DocumentFetch.layer.pipe(Layer.provide(DocumentHost.loopback))
  )
)(
  "generated metadata",
  (it) => {
    it.effect(
      "#164 #165 #166 #167 of a client that registers: refused in OAuth JSON, or safe",
      () =>
        Effect.gen(function*() {
          const { auth, memory } = yield* Scene
          const send = yield* serve(auth({ store: Layer.succeed(Store, memory) }), serverUrl)
          const headers = { "content-type": "application/json" }
          yield* generated("registrations", metadata, async (metadata) => {
            const got = await send({ method: "POST", path: "/oauth/register", headers, body: JSON.stringify(metadata) })
            assert(got !== undefined)
            assert.strictEqual(got.headers.get("cache-control"), "no-store")
            const answer = JSON.parse(got.body)
            if (got.status === 201) {
              assertSafe(answer)
              assert.strictEqual(
                "client_secret" in answer,
                answer.token_endpoint_auth_method.startsWith("client_secret")
              )
            }
            fc.pre(got.status !== 201)
            assert.strictEqual(got.status, 400)
            assert.include(["invalid_redirect_uri", "invalid_client_metadata"], answer.error)
            assert.deepStrictEqual(Object.keys(answer), ["error", "error_description"])
          })
        }),
      timeout
    )

    it.effect("#172 #181 of a client that has a document: refused, or safe and its own", () => {
      const read = MetadataDocument.documentReader([listed])
      const ids = fc.oneof(uri, fc.constantFrom("https://client.example/id.json", "https://client.example/a?b=c"))
      const documents = fc.tuple(ids, metadata, fc.oneof(fc.constant(undefined), odd))
      return generated("client metadata documents", documents, ([id, metadata, claimed]) => {
        const wrong = MetadataDocument.problem(id)
        const document = typeof metadata === "object" && metadata !== null && !Array.isArray(metadata)
          ? { ...metadata, client_id: claimed === undefined ? id : claimed }
          : metadata
        const client = read(id, document)
        const isAccepted = MetadataDocument.isDocumentUrl(id) && wrong === undefined && Result.isSuccess(client)
        if (isAccepted) {
          assertSafe({ ...client.success.metadata })
          assert.strictEqual(client.success.clientId, id)
          assert.match(id, /^https:\/\/[^/@#\\]+\/[^#]+$/)
          assert.include(["none", "private_key_jwt"], client.success.metadata.token_endpoint_auth_method)
        } else if (Result.isFailure(client)) assert.notStrictEqual(client.failure, "")
        fc.pre(!isAccepted)
      })
    }, timeout)

    it.effect(
      "#176 #178 of a server that answers with anything at all: no document, and no defect",
      () =>
        Effect.gen(function*() {
          const { getJson } = yield* DocumentFetch
          let answer: { readonly status: number; readonly headers: Record<string, string>; readonly body: Uint8Array }
          const origin = yield* DocumentHost.serve((_, response) => {
            response.writeHead(answer.status, answer.headers).end(answer.body)
          })
          const answers = fc.record({
            status: fc.constantFrom(200, 200, 200, 204, 301, 302, 304, 400, 401, 404, 410, 429, 500, 503),
            headers: fc.record({
              "content-type": fc.constantFrom(
                "application/json",
                "application/json",
                "text/html",
                "application/x+json",
                "*/*"
              ),
              "cache-control": fc.constantFrom(
                "max-age=1",
                "no-store",
                "max-age=99999999999999999999",
                "max-age=-1",
                ""
              ),
              location: fc.constantFrom(`${origin}/other`, "http://127.0.0.1/")
            }),
            body: fc.oneof(
              fc.uint8Array({ maxLength: 200 }),
              fc.json().map((text) => Buffer.from(text)),
              fc.constantFrom(Buffer.alloc(6000, " "), Buffer.from("{\"a\":1,\"a\":2}"), Buffer.from("\ufeff{}"))
            )
          })
          const run = Effect.runPromiseWith(yield* Effect.context<never>())
          yield* generated("documents of any server", answers, async (next) => {
            answer = next
            const outcome = await run(Effect.result(getJson(`${origin}/id.json`)))
            if (Result.isSuccess(outcome)) {
              assert.strictEqual(next.status, 200)
              assert.match(String(next.headers["content-type"]), /json/)
              assert.deepStrictEqual(outcome.success.json, JSON.parse(Buffer.from(next.body).toString("utf8")))
            }
            fc.pre(Result.isFailure(outcome))
          })
        }),
      timeout
    )
  }
)
