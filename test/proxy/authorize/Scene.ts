import { NodeHttpServer } from "@effect/platform-node"
import { assert } from "@effect/vitest"
import { Context, Effect, Fiber, Layer, Logger, Redacted, References, type Scope, Tracer } from "effect"
import { FetchHttpClient, HttpMiddleware, HttpRouter, HttpServer } from "effect/http"
import { RateLimiter } from "effect/persistence"
import { TestClock } from "effect/testing"
import { createHash } from "node:crypto"
import { inspect } from "node:util"
import type { OktaOptions } from "../../../src/config/OktaConfig.ts"
import { OktaConfig } from "../../../src/config/OktaConfig.ts"
import { webClient } from "../../../src/demo/StandInDirectory.ts"
import { Discovery } from "../../../src/provider/Discovery.ts"
import { Jwks } from "../../../src/provider/Jwks.ts"
import { OktaHttp } from "../../../src/provider/OktaHttp.ts"
import * as Authorize from "../../../src/proxy/authorize/Authorize.ts"
import * as Callback from "../../../src/proxy/authorize/Callback.ts"
import * as Consent from "../../../src/proxy/authorize/Consent.ts"
import { ClientRegistry } from "../../../src/proxy/client/ClientRegistry.ts"
import { Registration } from "../../../src/proxy/client/Registration.ts"
import { Grants } from "../../../src/proxy/grant/Grant.ts"
import { TokenIssuer } from "../../../src/proxy/grant/IssuedToken.ts"
import { SigningKeys } from "../../../src/proxy/grant/SigningKeys.ts"
import { OktaClient } from "../../../src/proxy/OktaClient.ts"
import { RateLimits } from "../../../src/proxy/RateLimits.ts"
import * as Redaction from "../../../src/proxy/Redaction.ts"
import { Sealed } from "../../../src/proxy/Sealed.ts"
import * as MemoryStore from "../../../src/store/MemoryStore.ts"
import { Store, StoreUnavailable } from "../../../src/store/Store.ts"
import { Signature } from "../../../src/token/Signature.ts"
import { OktaStandIn } from "../../support/OktaStandIn.ts"
import { patientServer } from "../../support/PatientServer.ts"
import { ec, ring } from "../grant/KeyRing.ts"
import { now, secret, serverUrl } from "../ProxyTest.ts"
import { type Answer, fieldsOf, UserAgent } from "./UserAgent.ts"

export { serverUrl }

export const redirectUri = "https://client.example.com/callback?tenant=1"
export const codeVerifier = "a".repeat(43)
export const codeChallenge = createHash("sha256").update(codeVerifier).digest("base64url")

export interface SceneOptions {
  readonly settings?: Partial<OktaOptions>
  readonly kind?: "custom" | "org"
  /** Okta is away from the start. */
  readonly outage?: boolean
  /** How much the store holds. */
  readonly maxEntries?: number
  /** What the client registers. */
  readonly client?: Readonly<Record<string, unknown>>
}

/** A proxy on a loopback socket behind its public name, Okta behind it, and one registered client. */
export interface Scene {
  readonly okta: OktaStandIn["Service"]
  /** The address behind the public name. */
  readonly actual: string
  readonly clientId: string
  readonly grants: Grants["Service"]
  readonly registration: Registration["Service"]
  readonly sealed: Sealed["Service"]
  /** What was done to the store. */
  readonly stored: Array<string>
  /** Lets the store fail from now on, or work again. */
  readonly breakStore: (broken: boolean, operation?: "put" | "take") => void
  readonly logged: ReadonlyArray<string>
  /** What the spans say. */
  readonly traced: () => string
  readonly browser: () => UserAgent
  /** An authorization request with everything in order; `undefined` takes a parameter away. */
  readonly authorizeUrl: (changes?: Readonly<Record<string, string | undefined>>) => URL
  /** From the request to Okta's address, in one browser. */
  readonly allow: (
    browser: UserAgent,
    changes?: Readonly<Record<string, string | undefined>>
  ) => Effect.Effect<Answer>
  /** Signs in at Okta: the address of the callback. */
  readonly signIn: (url: URL) => Effect.Effect<URL>
}

export const make = (options: SceneOptions = {}): Effect.Effect<Scene, never, Scope.Scope> =>
  Effect.gen(function*() {
    yield* TestClock.setTime(now * 1000)
    const okta = yield* OktaStandIn.make({
      ...options.kind === undefined ? {} : { kind: options.kind },
      clients: [{ ...webClient, redirectUris: [`${serverUrl}/oauth/callback`] }]
    })
    if (options.outage === true) yield* okta.outage("refuse")
    const logged: Array<string> = []
    const log = Layer.merge(
      Logger.layer([Logger.map(Logger.formatSimple, (line) => void logged.push(line))]),
      Layer.succeed(References.MinimumLogLevel, "All")
    )
    const spans: Array<Tracer.NativeSpan> = []
    const trace = Layer.mergeAll(
      Layer.succeed(
        Tracer.Tracer,
        Tracer.make({
          span: (options) => {
            const span = new Tracer.NativeSpan(options)
            spans.push(span)
            return span
          }
        })
      ),
      Layer.succeed(HttpMiddleware.TracerHeaderFilter, () => true),
      Redaction.layer
    )
    const stored: Array<string> = []
    let broken: (operation: string) => boolean = () => false
    const store = Layer.effect(
      Store,
      Effect.map(Store, (store) => {
        const spied = <A>(operation: "put" | "take", key: string, then: Effect.Effect<A, StoreUnavailable>) =>
          Effect.suspend(() => {
            stored.push(`${operation} ${key.split(":", 1)[0]}`)
            return broken(operation) ? Effect.fail(new StoreUnavailable({ operation, reason: "it is broken" })) : then
          })
        return Store.of({
          ...store,
          put: (key, value, ttl) => spied("put", key, store.put(key, value, ttl)),
          take: (key) => spied("take", key, store.take(key))
        })
      })
    ).pipe(
      Layer.provide(
        MemoryStore.layerOptions(options.maxEntries === undefined ? {} : { maxEntries: options.maxEntries })
      )
    )

    const config = OktaConfig.layer({
      issuer: okta.issuer,
      serverUrl,
      clientId: webClient.clientId,
      clientSecret: Redacted.make(webClient.clientSecret ?? ""),
      encryptionSecret: secret("a"),
      requestsPerMinute: 1_000_000,
      signingKeys: ring({ ...ec(), kid: "one" }),
      scopesSupported: ["mcp:read", "mcp:write"],
      requiredScopes: ["mcp:read"],
      protectedPaths: ["/mcp"],
      ...options.settings
    })
    const services = Grants.layer.pipe(
      Layer.provideMerge(TokenIssuer.layer),
      Layer.provideMerge(SigningKeys.layer),
      Layer.provideMerge(OktaClient.layer),
      Layer.provideMerge(Jwks.layer),
      Layer.provideMerge(Discovery.layer),
      Layer.provideMerge(OktaHttp.layer),
      Layer.provideMerge(Signature.layer),
      Layer.provideMerge(ClientRegistry.layer),
      Layer.provideMerge(
        Layer.merge(Registration.layer, Layer.provide(RateLimits.layer, RateLimiter.layerStoreMemory))
      ),
      Layer.provideMerge(Sealed.layer),
      Layer.provideMerge(Layer.mergeAll(config, store, FetchHttpClient.layer, trace))
    )
    const context = yield* Layer.build(
      HttpRouter.serve(Layer.mergeAll(Authorize.routes, Consent.routes, Callback.routes), {
        disableListenLog: true,
        disableLogger: true
      }).pipe(
        Layer.provideMerge(services),
        Layer.provideMerge(NodeHttpServer.layer(patientServer, { port: 0, host: "127.0.0.1" })),
        Layer.provide(Layer.merge(log, trace))
      )
    )
    const { address } = Context.get(context, HttpServer.HttpServer)
    assert(address._tag === "InetAddressV4")
    const actual = `http://127.0.0.1:${address.port}`
    const registration = Context.get(context, Registration)
    const { client_id: clientId } = yield* registration.register({
      redirect_uris: [redirectUri],
      client_name: "Example Assistant",
      token_endpoint_auth_method: "none",
      grant_types: ["authorization_code", "refresh_token"],
      ...options.client
    })
    const publicUrl = options.settings?.serverUrl ?? serverUrl

    const authorizeUrl: Scene["authorizeUrl"] = (changes = {}) => {
      const url = new URL(`${publicUrl}/oauth/authorize`)
      const parameters = {
        response_type: "code",
        client_id: clientId,
        redirect_uri: redirectUri,
        state: "client state",
        code_challenge: codeChallenge,
        code_challenge_method: "S256",
        resource: `${publicUrl}/mcp`,
        scope: "mcp:read openid",
        ...changes
      }
      for (const [name, value] of Object.entries(parameters)) {
        if (value !== undefined) url.searchParams.set(name, value)
      }
      return url
    }

    const scene: Scene = {
      okta,
      actual,
      clientId,
      grants: Context.get(context, Grants),
      registration,
      sealed: Context.get(context, Sealed),
      stored,
      breakStore: (isBroken, only) => {
        broken = (operation) => isBroken && (only ?? operation) === operation
      },
      logged,
      traced: () =>
        spans.map(({ attributes, events, name }) => inspect([name, attributes, events], { depth: 9 })).join("\n"),
      browser: () => new UserAgent(publicUrl, actual),
      authorizeUrl,
      allow: Effect.fnUntraced(function*(browser, changes) {
        const page = yield* browser.ask(authorizeUrl(changes))
        assert.strictEqual(page.status, 200, page.body)
        return yield* decide(browser, page, "allow")
      }),
      signIn: (url) => Effect.orDie(okta.authorize(url))
    }
    return scene
  }).pipe(Effect.orDie)

/** Presses a button of the consent page. */
export const decide = (browser: UserAgent, page: Answer, decision: "allow" | "deny") =>
  browser.ask("/oauth/consent", { body: new URLSearchParams({ ...fieldsOf(page), decision }) })

/** Lets the test's time run until something has come to its end, which it does not by itself. */
export const asTimePasses = <A, E, R>(effect: Effect.Effect<A, E, R>): Effect.Effect<A, E, R> =>
  Effect.gen(function*() {
    const fiber = yield* Effect.forkChild(effect)
    while (fiber.pollUnsafe() === undefined) {
      yield* Effect.promise(() => new Promise((resume) => setTimeout(resume, 5)))
      yield* TestClock.adjust("100 millis")
    }
    return yield* Fiber.join(fiber)
  })
