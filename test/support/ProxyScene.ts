import { NodeHttpServer } from "@effect/platform-node"
import { assert } from "@effect/vitest"
import { Context, Effect, Exit, Fiber, Layer, Redacted, Schema, Scope } from "effect"
import {
  FetchHttpClient,
  type HttpClient,
  HttpRouter,
  HttpServer,
  HttpServerRequest,
  HttpServerResponse
} from "effect/http"
import { TestClock } from "effect/testing"
import { createHash } from "node:crypto"
import type { OktaOptions } from "../../src/config/OktaConfig.ts"
import { webClient } from "../../src/demo/StandInDirectory.ts"
import * as OktaAuth from "../../src/OktaAuth.ts"
import { UpstreamTokens } from "../../src/proxy/UpstreamTokens.ts"
import * as MemoryStore from "../../src/store/MemoryStore.ts"
import * as SqliteStore from "../../src/store/SqliteStore.ts"
import { Store, type StoreUnavailable } from "../../src/store/Store.ts"
import { CurrentPrincipal } from "../../src/token/Principal.ts"
import { type Answer, type Asked, fieldsOf, UserAgent } from "../proxy/authorize/UserAgent.ts"
import { ec, ring } from "../proxy/grant/KeyRing.ts"
import { now, secret, serverUrl } from "../proxy/ProxyTest.ts"
import { newFile } from "../store/StoreFile.ts"
import { basic } from "./Credentials.ts"
import { OktaStandIn, type Options as OktaShape } from "./OktaStandIn.ts"
import { patientServer } from "./PatientServer.ts"
import { Watch } from "./Watch.ts"

export { type Answer, type Asked, fieldsOf, now, serverUrl, UserAgent }

export const redirectUri = "https://client.example.com/callback?tenant=1"

/** A store in memory, in which something else is done in place of some records that are written for the first time. */
export const storeWriting = (
  instead: (key: string) => Effect.Effect<void, StoreUnavailable> | undefined
): Layer.Layer<Store> =>
  Layer.effect(
    Store,
    Effect.map(Store, (store) =>
      Store.of({
        ...store,
        put: (key, value, ttl) => instead(key) ?? store.put(key, value, ttl),
        putIfAbsent: (key, value, ttl) => {
          const done = instead(key)
          return done === undefined ? store.putIfAbsent(key, value, ttl) : Effect.as(done, true)
        }
      }))
  ).pipe(Layer.provide(MemoryStore.layer))

export const codeVerifier = "v".repeat(43)
export const codeChallenge = createHash("sha256").update(codeVerifier).digest("base64url")
export const clientState = "the client's own state"

/** Parameters of a request; `undefined` takes one away. */
export type Changes = Readonly<Record<string, string | undefined>>

export interface SceneOptions {
  readonly settings?: Partial<OktaOptions & OktaAuth.StartOptions>
  readonly okta?: OktaShape
  readonly store?: "memory" | "sqlite" | Layer.Layer<Store, StoreUnavailable>
  /** What the client registers. */
  readonly client?: Readonly<Record<string, unknown>>
  /** A second client secret that Okta takes as well. */
  readonly secondSecret?: string
  /** What else the servers run with. */
  readonly environment?: Layer.Layer<never>
  /** How Okta is reached, by `fetch` unless told otherwise; only by that are its answers kept. */
  readonly httpClient?: Layer.Layer<HttpClient.HttpClient>
}

/** A server that an app would be: everything that proxy mode mounts, and `/mcp` behind the guard. */
export interface Server {
  /** Its address behind the public name. */
  readonly actual: string
  /** Asks without any cookie. */
  readonly ask: (path: string, asked?: Asked) => Effect.Effect<Answer>
  readonly post: (path: string, form: Changes | URLSearchParams, headers?: Asked["headers"]) => Effect.Effect<Answer>
  readonly token: (form: Changes | URLSearchParams, headers?: Asked["headers"]) => Effect.Effect<Answer>
  readonly revoke: (form: Changes, headers?: Asked["headers"]) => Effect.Effect<Answer>
  /** Shows an access token at the guarded path. */
  readonly call: (accessToken: string) => Effect.Effect<Answer>
  readonly stop: Effect.Effect<void>
}

/** What a client got. */
export interface Tokens {
  readonly accessToken: string
  readonly refreshToken: string
}

const TokenAnswer = Schema.fromJsonString(Schema.Record(Schema.String, Schema.Unknown))

/** The members of a JSON body. */
export const membersOf = ({ body }: Answer): Readonly<Record<string, unknown>> =>
  Schema.decodeUnknownSync(TokenAnswer)(body)

export const tokensOf = (answer: Answer): Tokens => {
  assert.strictEqual(answer.status, 200, answer.body)
  const { access_token, refresh_token } = membersOf(answer)
  return { accessToken: String(access_token), refreshToken: String(refresh_token) }
}

/** What an access token says, nothing in it verified. */
export const claimsOf = (token: string): Readonly<Record<string, unknown>> =>
  Schema.decodeUnknownSync(TokenAnswer)(Buffer.from(token.split(".")[1] ?? "", "base64url").toString("utf8"))

/** The parameters of a form. */
export const formOf = (fields: Changes | URLSearchParams): URLSearchParams =>
  fields instanceof URLSearchParams ? fields : new URLSearchParams(
    Object.entries(fields).flatMap(([name, value]): Array<[string, string]> =>
      value === undefined ? [] : [[name, value]]
    )
  )

/** Okta's access token of who is calling, as a handler gets it; only the test may show it. */
const upstream = HttpRouter.add(
  "GET",
  "/upstream",
  UpstreamTokens.pipe(
    Effect.flatMap(({ get }) => get),
    Effect.match({
      onFailure: ({ _tag }) => HttpServerResponse.jsonUnsafe({ _tag }),
      onSuccess: ({ accessToken }) => HttpServerResponse.jsonUnsafe({ accessToken: Redacted.value(accessToken) })
    })
  )
).pipe(Layer.provide(OktaAuth.guard().layer))

/** Puts another ring of keys in place. */
const reload = HttpRouter.add(
  "POST",
  "/reload",
  Effect.flatMap(HttpServerRequest.HttpServerRequest, ({ text }) => text).pipe(
    Effect.flatMap((text) => OktaAuth.reloadSigningKeys(Redacted.make(text))),
    Effect.match({
      onFailure: ({ message }) => HttpServerResponse.text(message, { status: 400 }),
      onSuccess: (kids) => HttpServerResponse.jsonUnsafe({ kids })
    })
  )
)

const whoami = HttpRouter.add(
  "*",
  "/mcp",
  Effect.map(CurrentPrincipal, (principal) => HttpServerResponse.jsonUnsafe(principal))
).pipe(Layer.provide(OktaAuth.guard().layer))

/** Okta, one store, and servers before them that are known by one public name; everything ends with the scope. */
export const make = (options: SceneOptions = {}) =>
  Effect.gen(function*() {
    yield* TestClock.setTime(now * 1000)
    const publicUrl = options.settings?.serverUrl ?? serverUrl
    const okta = yield* OktaStandIn.make({
      clients: [{ ...webClient, redirectUris: [`${publicUrl}/oauth/callback`] }],
      ...options.okta
    })
    const watch = new Watch()
    /** Every answer that anybody got, with all of its headers. */
    const answers: Array<Answer> = []
    /** Every form that Okta was sent, and every answer of its token endpoint. */
    const oktaForms: Array<string> = []
    const oktaAnswers: Array<string> = []
    const fetchAndKeep: typeof globalThis.fetch = async (input, init) => {
      const headers = new Headers(init?.headers)
      if (headers.get("authorization") === basic(webClient.clientId, options.secondSecret ?? "").authorization) {
        headers.set("authorization", basic(webClient.clientId, webClient.clientSecret ?? "").authorization)
      }
      if (init?.body instanceof Uint8Array) oktaForms.push(Buffer.from(init.body).toString("utf8"))
      const response = await fetch(input, { ...init, headers })
      if (init?.method !== "POST" || response.status !== 200 || response.body === null) return response
      const chunks: Array<Uint8Array> = []
      const kept = new TransformStream<Uint8Array, Uint8Array>({
        transform: (chunk, onward) => {
          chunks.push(chunk)
          onward.enqueue(chunk)
        },
        flush: () => void oktaAnswers.push(Buffer.concat(chunks).toString("utf8"))
      })
      return new Response(response.body.pipeThrough(kept), response)
    }
    const client = options.httpClient ??
      Layer.provide(FetchHttpClient.layer, Layer.succeed(FetchHttpClient.Fetch, fetchAndKeep))

    const file = yield* newFile
    const memory = Context.get(yield* Layer.build(Layer.fresh(MemoryStore.layer)), Store)
    const writes: Array<string> = []
    const values = new Set<string>()
    const inMemory = Layer.succeed(Store, {
      ...memory,
      put: (key, value, ttl) => Effect.andThen(noted("put", key, value), memory.put(key, value, ttl)),
      take: (key) => Effect.andThen(noted("take", key), memory.take(key)),
      putIfAbsent: (key, value, ttl) =>
        Effect.andThen(noted("putIfAbsent", key, value), memory.putIfAbsent(key, value, ttl)),
      compareAndSet: (key, expected, value, ttl) =>
        Effect.andThen(noted("compareAndSet", key, value), memory.compareAndSet(key, expected, value, ttl))
    })
    const { store: kind = "memory" } = options
    const store = kind === "memory" ? inMemory : kind === "sqlite" ? SqliteStore.layer({ file }) : kind
    const noted = (operation: string, key: string, value = "") =>
      Effect.sync(() => {
        writes.push(`${operation} ${key.split(":", 1)[0]}`)
        values.add(key).add(value)
      })
    const signingKeys = ring({ ...ec(), kid: "one" })

    class Witnessed extends UserAgent {
      override ask(url: string | URL, asked?: Asked) {
        return Effect.tap(super.ask(url, asked), (answer) => Effect.sync(() => answers.push(answer)))
      }
    }

    /** Whatever answers at an address. */
    const at = (actual: string, stop: Effect.Effect<void> = Effect.void): Server => {
      const ask: Server["ask"] = (path, asked) => new Witnessed(new URL(publicUrl).origin, actual).ask(path, asked)
      const post: Server["post"] = (path, fields, headers = {}) => ask(path, { body: formOf(fields), headers })
      return {
        actual,
        ask,
        post,
        token: (fields, headers) => post("/oauth/token", fields, headers),
        revoke: (fields, headers) => post("/oauth/revoke", fields, headers),
        call: (accessToken) => ask("/mcp", { headers: { authorization: `Bearer ${accessToken}` } }),
        stop
      }
    }

    /** What a server of this scene is guarded by; the settings on top are its own. */
    const auth = (settings: Partial<OktaOptions & OktaAuth.StartOptions> = {}) =>
      OktaAuth.layer({
        issuer: okta.issuer,
        serverUrl,
        clientId: webClient.clientId,
        clientSecret: Redacted.make(webClient.clientSecret ?? ""),
        encryptionSecret: secret("a"),
        signingKeys,
        scopesSupported: ["mcp:read", "mcp:write"],
        requiredScopes: ["mcp:read"],
        protectedPaths: ["/mcp"],
        requestsPerMinute: 1_000_000,
        // Nobody is asked on the internet.
        clientMetadataDocuments: false,
        store,
        ...options.settings,
        ...settings
      }).pipe(Layer.provide(client))

    /** Starts one more server on the same store; the settings on top are its own. */
    const start = Effect.fnUntraced(function*(settings: Partial<OktaOptions> = {}): Effect.fn.Return<
      Server,
      never,
      Scope.Scope
    > {
      const scope = yield* Effect.acquireRelease(Scope.make(), (scope) => Scope.close(scope, Exit.void))
      const served = HttpRouter.serve(Layer.mergeAll(whoami, upstream, reload, OktaAuth.routes, OktaAuth.health), {
        disableListenLog: true
      })
      const context = yield* Layer.build(served.pipe(
        Layer.provide(auth(settings)),
        Layer.provideMerge(NodeHttpServer.layer(patientServer, { port: 0, host: "127.0.0.1" })),
        Layer.provide(options.environment ?? Layer.empty),
        Layer.provide(watch.layer)
      )).pipe(Effect.provideService(Scope.Scope, scope), Effect.orDie)
      const { address } = Context.get(context, HttpServer.HttpServer)
      assert(address._tag === "InetAddressV4")
      return at(`http://127.0.0.1:${address.port}`, Scope.close(scope, Exit.void))
    })

    const one = yield* start()

    const register = Effect.fnUntraced(
      function*(metadata: Readonly<Record<string, unknown>> = {}, server: Server = one) {
        const answer = yield* server.ask("/oauth/register", {
          headers: { "content-type": "application/json" },
          body: JSON.stringify({
            redirect_uris: [redirectUri],
            client_name: "Example Assistant",
            token_endpoint_auth_method: "none",
            grant_types: ["authorization_code", "refresh_token"],
            ...metadata
          })
        })
        assert.strictEqual(answer.status, 201, answer.body)
        const { client_id, client_secret } = membersOf(answer)
        return { clientId: String(client_id), clientSecret: client_secret === undefined ? "" : String(client_secret) }
      }
    )
    const { clientId, clientSecret } = yield* register(options.client)

    /** An authorization request with everything in order, but for the changes. */
    const authorizeUrl = (changes: Changes = {}) => {
      const url = new URL(`${publicUrl}/oauth/authorize`)
      url.search = formOf({
        response_type: "code",
        client_id: clientId,
        redirect_uri: redirectUri,
        state: clientState,
        code_challenge: codeChallenge,
        code_challenge_method: "S256",
        resource: `${publicUrl}/mcp`,
        scope: "mcp:read openid",
        ...changes
      }).toString()
      return url
    }

    /** A browser in front of a server, or of whichever is there by then. */
    const browser = (server: Server = one) => new Witnessed(new URL(publicUrl).origin, server.actual)

    /** From the request to Okta's address. */
    const allow = Effect.fnUntraced(function*(agent: UserAgent, changes?: Changes) {
      const page = yield* agent.ask(authorizeUrl(changes))
      assert.strictEqual(page.status, 200, page.body)
      return yield* decide(agent, page, "allow")
    })

    /** From the request through Okta's sign-in page to the address of the callback. */
    const comeBack = Effect.fnUntraced(function*(agent: UserAgent, changes?: Changes) {
      const { location } = yield* allow(agent, changes)
      return yield* Effect.orDie(okta.authorize(location))
    })

    /** The code that the client gets in the end. */
    const code = Effect.fnUntraced(function*(changes?: Changes, agent: UserAgent = browser()) {
      const { body, location } = yield* agent.ask(yield* comeBack(agent, changes))
      const code = location.searchParams.get("code")
      assert(code !== null, `${location} ${body}`)
      return code
    })

    const redemption = (code: string, changes: Changes = {}): Changes => ({
      grant_type: "authorization_code",
      client_id: clientId,
      code,
      redirect_uri: redirectUri,
      code_verifier: codeVerifier,
      ...changes
    })
    const refreshment = (refreshToken: string, changes: Changes = {}): Changes => ({
      grant_type: "refresh_token",
      client_id: clientId,
      refresh_token: refreshToken,
      ...changes
    })
    /** A client with tokens. */
    const signIn = Effect.fnUntraced(function*(changes?: Changes) {
      return tokensOf(yield* one.token(redemption(yield* code(changes))))
    })

    return {
      okta,
      one,
      start,
      auth,
      client,
      at,
      /** The store in memory. */
      memory,
      /** What was done to it, and every key and value it was given. */
      writes,
      values,
      /** Where the store of SQLite is. */
      file,
      watch,
      answers,
      oktaForms,
      oktaAnswers,
      clientId,
      clientSecret,
      register,
      authorizeUrl,
      browser,
      allow,
      comeBack,
      code,
      redemption,
      refreshment,
      signIn
    }
  })

/** See `make`. */
export type ProxyScene = Effect.Success<ReturnType<typeof make>>

/** One scene for several tests, each of which leaves it as good as it was. */
export class Scene extends Context.Service<Scene, ProxyScene>()("test/support/ProxyScene") {
  static readonly layer = (options?: SceneOptions): Layer.Layer<Scene> => Layer.effect(Scene, make(options))
}

/** Presses a button of the consent page. */
export const decide = (agent: UserAgent, page: Answer, decision: "allow" | "deny", headers: Asked["headers"] = {}) =>
  agent.ask("/oauth/consent", { body: new URLSearchParams({ ...fieldsOf(page), decision }), headers })

/** The callback as Okta would call it, with an answer made up by the test. */
export const callbackUrl = (toOkta: Answer, parameters: Readonly<Record<string, string>>) => {
  const url = new URL(`${serverUrl}/oauth/callback`)
  url.searchParams.set("state", toOkta.location.searchParams.get("state") ?? "")
  for (const [name, value] of Object.entries(parameters)) url.searchParams.set(name, value)
  return url
}

/** Lets the test's time run until something has come to its end, and tells how much has run, in milliseconds. */
export const timed = <A, E, R>(effect: Effect.Effect<A, E, R>) =>
  Effect.gen(function*() {
    const fiber = yield* Effect.forkChild(effect)
    let elapsed = 0
    while (fiber.pollUnsafe() === undefined) {
      yield* Effect.promise(() => new Promise((resume) => setTimeout(resume, 5)))
      yield* TestClock.adjust("100 millis")
      elapsed += 100
    }
    return { value: yield* Fiber.join(fiber), elapsed }
  })

/** The same without telling. */
export const asTimePasses = <A, E, R>(effect: Effect.Effect<A, E, R>): Effect.Effect<A, E, R> =>
  Effect.map(timed(effect), ({ value }) => value)

/** A page of this server's that says what is wrong, and sends nobody anywhere. */
export const assertLocal = (answer: Answer, status: number, code = "invalid_request") => {
  assert.strictEqual(answer.status, status, answer.body)
  assert.isFalse(answer.headers.has("location"))
  assert.include(answer.headers.get("content-type"), "text/html")
  assert.include(answer.body, `<code>${code}</code>`)
  assert.isFalse(answer.headers.has("set-cookie"))
}

/** An error at the client's redirect URI, which may be an unusual one. */
export const assertSentBack = (
  { body, headers, location, status }: Answer,
  error: string,
  { redirect = redirectUri, state = clientState }: { readonly redirect?: string; readonly state?: string } = {}
) => {
  assert.include([302, 303], status, body)
  assert.isTrue(location.href.startsWith(redirect), location.href)
  assert.strictEqual(location.searchParams.get("error"), error, location.href)
  assert.strictEqual(location.searchParams.get("state"), state)
  assert.strictEqual(location.searchParams.get("iss"), serverUrl)
  assert.isFalse(location.searchParams.has("code"))
  assert.strictEqual(headers.get("cache-control"), "no-store")
}

/** Readable by a client in any browser, and kept by nobody. */
export const assertUncached = ({ headers }: Answer) => {
  assert.strictEqual(headers.get("cache-control"), "no-store")
  assert.strictEqual(headers.get("pragma"), "no-cache")
  assert.strictEqual(headers.get("access-control-allow-origin"), "*")
  assert.isFalse(headers.has("access-control-allow-credentials"))
}

/** A refusal of the token endpoint or its neighbours: OAuth JSON and nothing else. */
export const assertRefused = (answer: Answer, status: number, error: string) => {
  const members = membersOf(answer)
  assert.deepStrictEqual([answer.status, members["error"]], [status, error], answer.body)
  assert.deepStrictEqual(Object.keys(members).sort(), ["error", "error_description"])
  assertUncached(answer)
  assert.strictEqual(answer.headers.has("retry-after"), status === 503)
}
