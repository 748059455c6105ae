import { NodeHttpServer } from "@effect/platform-node"
import { assert } from "@effect/vitest"
import { Context, Deferred, Effect, Layer, Logger, Option, Redacted, References, Semaphore } from "effect"
import { HttpRouter, HttpServer } from "effect/http"
import { RateLimiter } from "effect/persistence"
import { TestClock } from "effect/testing"
import { createHash, randomUUID } from "node:crypto"
import { request as httpRequest } from "node:http"
import type { OktaOptions } from "../../../src/config/OktaConfig.ts"
import type { ApprovedRequest } from "../../../src/proxy/authorize/AuthorizationRequest.ts"
import { ClientAuthentication } from "../../../src/proxy/client/ClientAuthentication.ts"
import { ClientRegistry } from "../../../src/proxy/client/ClientRegistry.ts"
import { Registration } from "../../../src/proxy/client/Registration.ts"
import { Grants } from "../../../src/proxy/grant/Grant.ts"
import * as Introspection from "../../../src/proxy/grant/Introspection.ts"
import { TokenIssuer } from "../../../src/proxy/grant/IssuedToken.ts"
import * as Revocation from "../../../src/proxy/grant/Revocation.ts"
import { SigningKeys } from "../../../src/proxy/grant/SigningKeys.ts"
import * as TokenEndpoint from "../../../src/proxy/grant/TokenEndpoint.ts"
import type { IdJag } from "../../../src/proxy/IdJag.ts"
import { OktaTokenRefused } from "../../../src/proxy/IdToken.ts"
import { OktaClient, OktaRefused, type OktaSession, OktaUnavailable } from "../../../src/proxy/OktaClient.ts"
import { RateLimits } from "../../../src/proxy/RateLimits.ts"
import { Sealed } from "../../../src/proxy/Sealed.ts"
import * as MemoryStore from "../../../src/store/MemoryStore.ts"
import { Store, StoreUnavailable } from "../../../src/store/Store.ts"
import { isJsonObject } from "../../../src/token/CompactJws.ts"
import { open as openRedis } from "../../store/RedisReplicas.ts"
import { newFile, open } from "../../store/StoreFile.ts"
import { patientServer } from "../../support/PatientServer.ts"
import type { RedisServer } from "../../support/RedisServer.ts"
import type { Watch } from "../../support/Watch.ts"
import { configLayer, now, serverUrl } from "../ProxyTest.ts"
import { ec, ring } from "./KeyRing.ts"

export const redirectUri = "http://127.0.0.1:3333/callback"
export const verifier = "v".repeat(43)
export const codeChallenge = createHash("sha256").update(verifier).digest("base64url")

/** What an endpoint answered. */
export interface Answer {
  readonly status: number
  readonly headers: { readonly [name: string]: string | undefined }
  readonly body: { readonly [member: string]: unknown }
  readonly text: string
}

export type Form = { readonly [name: string]: string | undefined } | ReadonlyArray<readonly [string, string]>

/** A store that can be away, and that tells what was written to it. */
export const fallible = (store: Store["Service"]) => {
  const state = {
    down: false as
      | boolean
      | StoreUnavailable["operation"]
      | ((operation: StoreUnavailable["operation"], key: string) => boolean),
    /** How often it fails before it is back. */
    failures: Infinity,
    /** How often something was looked up. */
    reads: 0,
    written: new Map<string, string>(),
    /** What happens just before something is done. */
    before: (_operation: StoreUnavailable["operation"], _key: string): Effect.Effect<unknown> => Effect.void
  }
  const guarded = <Args extends ReadonlyArray<never> | ReadonlyArray<unknown>, A>(
    operation: StoreUnavailable["operation"],
    run: (...args: Args) => Effect.Effect<A, StoreUnavailable>
  ) =>
  (...args: Args): Effect.Effect<A, StoreUnavailable> =>
    Effect.suspend(() => {
      const { down } = state
      const isDown = typeof down === "function" ? down(operation, String(args[0])) : down === true || down === operation
      if (isDown && state.failures-- > 0) {
        return Effect.fail(new StoreUnavailable({ operation, reason: "it is away" }))
      }
      if (operation === "get") state.reads++
      if (operation === "put" || operation === "putIfAbsent") state.written.set(String(args[0]), String(args[1]))
      if (operation === "compareAndSet") state.written.set(String(args[0]), String(args[2]))
      return Effect.andThen(state.before(operation, String(args[0])), run(...args))
    })
  const service = Store.of({
    put: guarded("put", store.put),
    get: guarded("get", store.get),
    take: guarded("take", store.take),
    putIfAbsent: guarded("putIfAbsent", store.putIfAbsent),
    compareAndSet: guarded("compareAndSet", store.compareAndSet),
    remove: guarded("remove", store.remove)
  })
  return { state, service }
}

type Refusal = OktaRefused | OktaTokenRefused | OktaUnavailable

/** An Okta that answers as it is told to. */
export const fakeOkta = () => {
  const asked = Deferred.makeUnsafe<void>()
  const state = {
    /** Done once Okta has been asked. */
    waiting: Deferred.await(asked),
    answer: "yes" as "yes" | "no" | "away" | "misconfigured" | OktaRefused | OktaTokenRefused,
    subject: "00u1ada",
    rotates: true,
    /** Whether it refuses a refresh token that was used before. */
    once: false,
    /** Whether it gives refresh tokens. */
    offline: true,
    lifetime: 3600,
    /** What its access tokens allow, and its session, where it says so. */
    scopes: undefined as ReadonlyArray<string> | undefined,
    sessionId: undefined as string | undefined,
    email: "ada@example.com",
    /** What an ID-JAG says. */
    idJag: undefined as IdJag | OktaTokenRefused | undefined,
    /** What it says of how the person signed in. */
    signIn: { amr: ["pwd"] } as Pick<OktaSession["user"], "acr" | "amr" | "authTime">,
    /** Held by a test that wants Okta to take its time. */
    gate: Semaphore.makeUnsafe(1),
    refreshed: [] as Array<string>,
    revoked: [] as Array<string>
  }
  const session = (time: number): OktaSession => ({
    user: {
      _tag: "User",
      subject: state.subject,
      uid: state.subject,
      username: state.email,
      email: state.email,
      emailVerified: true,
      groups: ["Everyone"],
      scopes: [],
      ...state.signIn
    },
    tokens: {
      accessToken: Redacted.make(`okta-access-${state.refreshed.length}`),
      idToken: Redacted.make(`okta-id-${state.refreshed.length}`),
      ...(state.offline
        ? { refreshToken: Redacted.make(`okta-refresh-${state.rotates ? state.refreshed.length : 0}`) }
        : undefined),
      ...(state.scopes === undefined ? undefined : { scopes: state.scopes }),
      expiresAt: time + state.lifetime
    },
    ...(state.sessionId === undefined ? undefined : { sessionId: state.sessionId })
  })
  const away = Effect.fail(new OktaUnavailable({ reason: "it is away" }))
  const service = OktaClient.of({
    authorizationUrl: () => away,
    endSessionUrl: () => away,
    exchange: () => away,
    idJag: () =>
      Effect.suspend((): Effect.Effect<IdJag, OktaTokenRefused | OktaUnavailable> =>
        state.idJag === undefined
          ? away
          : state.idJag instanceof OktaTokenRefused
          ? Effect.fail(state.idJag)
          : Effect.succeed(state.idJag)
      ),
    refresh: (token, replaced) =>
      Effect.andThen(
        Deferred.succeed(asked, undefined),
        state.gate.withPermits(1)(Effect.suspend((): Effect.Effect<OktaSession, Refusal> => {
          if (state.answer === "away") return away
          if (state.once && state.refreshed.includes(Redacted.value(token))) {
            return Effect.fail(new OktaRefused({ error: "invalid_grant" }))
          }
          state.refreshed.push(Redacted.value(token))
          if (typeof state.answer !== "string") return Effect.fail(state.answer)
          if (state.answer === "no") return Effect.fail(new OktaRefused({ error: "invalid_grant" }))
          if (state.answer === "misconfigured") return Effect.fail(new OktaRefused({ error: "invalid_client" }))
          return Effect.map(TestClock.testClockWith((clock) => clock.currentTimeMillis), (time) => session(time / 1000))
        }))
      ).pipe(
        Effect.tap(({ tokens: { refreshToken } }) =>
          refreshToken === undefined || !state.rotates ? Effect.void : replaced(refreshToken)
        )
      ),
    revoke: (token) =>
      state.answer === "away" ? away : Effect.sync(() => void state.revoked.push(Redacted.value(token)))
  })
  return { state, session, service }
}

/** How servers are set up. */
export interface Setup {
  readonly settings?: Partial<OktaOptions>
  /** Of the second server, on top. */
  readonly settingsOfOther?: Partial<OktaOptions>
  readonly store?: "memory" | "sqlite" | RedisServer
  /** Sees what the servers tell, in place of `logged`. */
  readonly watch?: Watch
  /** What else the servers run with. */
  readonly environment?: Layer.Layer<never>
}

const send = (port: number, path: string, method: string, body: string, headers: { readonly [name: string]: string }) =>
  Effect.callback<Answer>((resume) => {
    const request = httpRequest({ host: "127.0.0.1", port, method, path, agent: false, headers }, (response) => {
      const chunks: Array<Buffer> = []
      response.on("data", (chunk: Buffer) => chunks.push(chunk))
      response.on("end", () => {
        const text = Buffer.concat(chunks).toString("utf8")
        const json: unknown = text === "" ? {} : JSON.parse(text)
        const headers = Object.fromEntries(
          Object.entries(response.headers).map(([name, value]) => [name, value === undefined ? value : String(value)])
        )
        resume(
          Effect.succeed({ status: response.statusCode ?? 0, headers, body: isJsonObject(json) ? json : {}, text })
        )
      })
    })
    request.on("error", (error) => resume(Effect.die(error)))
    request.end(body)
    return Effect.sync(() => request.destroy())
  })

const encode = (form: Form) =>
  new URLSearchParams(
    Array.isArray(form)
      ? form.map(([name, value]): [string, string] => [name, value])
      : Object.entries(form).flatMap(([name, value]): Array<[string, string]> =>
        typeof value === "string" ? [[name, value]] : []
      )
  ).toString()

/** Servers over one store and one Okta, on loopback sockets; closed with the scope. Starts the test's clock at `now`. */
export const tokenServers = Effect.fnUntraced(function*(setup: Setup = {}) {
  const { environment = Layer.empty, settings, settingsOfOther, store = "memory", watch } = setup
  yield* TestClock.setTime(now * 1000)
  const okta = fakeOkta()
  const logged: Array<string> = []
  const log = watch?.layer ?? Layer.merge(
    Logger.layer([Logger.map(Logger.formatSimple, (line) => void logged.push(line))]),
    Layer.succeed(References.MinimumLogLevel, "All")
  )
  const signingKeys = ring({ ...ec(), kid: "one" })
  const file = yield* newFile
  // Several may share a Redis.
  const prefix = `${randomUUID()}:`
  const memory = Context.get(yield* Layer.build(Layer.fresh(MemoryStore.layer)), Store)

  const start = Effect.fnUntraced(function*(more: Partial<OktaOptions> = {}) {
    const { service, state } = fallible(
      store === "memory" ? memory : store === "sqlite" ? yield* open(file) : yield* openRedis(store.url, { prefix })
    )
    const services = yield* Layer.build(
      ClientAuthentication.layer.pipe(
        Layer.provideMerge(Layer.mergeAll(Grants.layer, ClientRegistry.layer)),
        Layer.provideMerge(Layer.mergeAll(TokenIssuer.layer, Registration.layer, RateLimits.layer)),
        Layer.provideMerge(Layer.mergeAll(SigningKeys.layer, Sealed.layer, RateLimiter.layerStoreMemory)),
        Layer.provideMerge(Layer.succeed(Store, service)),
        Layer.provideMerge(Layer.succeed(OktaClient, okta.service)),
        Layer.provideMerge(
          configLayer({ signingKeys, requestsPerMinute: 1_000_000, protectedPaths: ["/mcp"], ...settings, ...more })
        ),
        Layer.provideMerge(Layer.merge(log, environment))
      )
    )
    const served = HttpRouter.serve(Layer.mergeAll(TokenEndpoint.routes, Revocation.routes, Introspection.routes), {
      disableListenLog: true,
      disableLogger: true
    }).pipe(
      Layer.provideMerge(NodeHttpServer.layer(patientServer, { port: 0, host: "127.0.0.1" })),
      Layer.provide(Layer.succeedContext(services)),
      Layer.provide(log)
    )
    const { address } = Context.get(yield* Layer.build(served), HttpServer.HttpServer)
    assert(address._tag === "InetAddressV4")
    const { port } = address
    const ask = (
      path: string,
      { body = "", headers = {}, method = "POST" }: {
        readonly method?: string
        readonly headers?: { readonly [name: string]: string }
        readonly body?: string
      } = {}
    ) => send(port, path, method, body, headers)
    const post = (path: string, form: Form, headers: { readonly [name: string]: string } = {}) =>
      ask(path, { headers: { "content-type": "application/x-www-form-urlencoded", ...headers }, body: encode(form) })
    return {
      store: state,
      grants: Context.get(services, Grants),
      sealed: Context.get(services, Sealed),
      registration: Context.get(services, Registration),
      ask,
      token: (form: Form, headers?: { readonly [name: string]: string }) => post("/oauth/token", form, headers),
      revoke: (form: Form, headers?: { readonly [name: string]: string }) => post("/oauth/revoke", form, headers),
      introspect: (form: Form, headers?: { readonly [name: string]: string }) =>
        post("/oauth/introspect", form, headers)
    }
  })

  const one = yield* start()
  const other = yield* start(settingsOfOther)

  const register = (metadata: { readonly [member: string]: unknown } = {}) =>
    one.registration.register({
      redirect_uris: [redirectUri],
      token_endpoint_auth_method: "none",
      grant_types: ["authorization_code", "refresh_token"],
      ...metadata
    })
  const approve = (clientId: string, request: Partial<ApprovedRequest> = {}) =>
    Effect.flatMap(TestClock.testClockWith((clock) => clock.currentTimeMillis), (time) =>
      Effect.map(
        one.grants.create(okta.session(time / 1000), {
          clientId,
          redirectUri,
          state: undefined,
          scopes: ["files:read", "files:write"],
          resource: serverUrl,
          codeChallenge,
          ...request
        }),
        ({ code }) => code
      ))
  const redemption = (clientId: string, code: string): { readonly [name: string]: string } => ({
    grant_type: "authorization_code",
    client_id: clientId,
    code,
    redirect_uri: redirectUri,
    code_verifier: verifier
  })
  const refreshment = (clientId: string, refreshToken: unknown): { readonly [name: string]: string } => ({
    grant_type: "refresh_token",
    client_id: clientId,
    refresh_token: String(refreshToken)
  })
  /** A public client with tokens. */
  const signIn = Effect.gen(function*() {
    const { client_id: clientId } = yield* register()
    const { body } = yield* one.token(redemption(clientId, yield* approve(clientId)))
    assert.isString(body["refresh_token"])
    return { clientId, accessToken: String(body["access_token"]), refreshToken: String(body["refresh_token"]) }
  })
  return { one, other, raw: memory, okta: okta.state, logged, register, approve, redemption, refreshment, signIn }
})

/** What an access token says, nothing in it verified. */
export const claimsOf = (token: unknown): { readonly [claim: string]: unknown } => {
  const claims: unknown = JSON.parse(Buffer.from(String(token).split(".")[1] ?? "", "base64url").toString("utf8"))
  return isJsonObject(claims) ? claims : {}
}

/** Holds an answer against the refusal that it should be, with the headers that each of them has. */
export const assertRefused = (answer: Answer, status: number, error: string) => {
  assert.deepStrictEqual([answer.status, answer.body["error"]], [status, error], answer.text)
  assert.deepStrictEqual(Object.keys(answer.body).sort(), ["error", "error_description"])
  assertUncached(answer)
  assert.strictEqual(answer.headers["retry-after"] !== undefined, status === 503)
}

/** #160 */
export const assertUncached = ({ headers }: Answer) => {
  assert.strictEqual(headers["cache-control"], "no-store")
  assert.strictEqual(headers["pragma"], "no-cache")
  assert.strictEqual(headers["access-control-allow-origin"], "*")
  assert.isUndefined(headers["access-control-allow-credentials"])
}

export const isAlive = (grants: Grants["Service"], accessToken: unknown) =>
  Effect.map(grants.get(String(claimsOf(accessToken)["sid"])), Option.isSome)
