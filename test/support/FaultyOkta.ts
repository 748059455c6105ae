import { Clock, Context, Duration, Effect, Fiber, Layer, Redacted, type Scope } from "effect"
import { FetchHttpClient, type HttpClient } from "effect/http"
import { TestClock } from "effect/testing"
import { generateKeyPairSync, type KeyObject, sign } from "node:crypto"
import { createServer, type IncomingMessage, type ServerResponse } from "node:http"
import { createServer as createTlsServer } from "node:https"
import type { AddressInfo } from "node:net"
import type { OktaOptions } from "../../src/config/OktaConfig.ts"
import * as OktaAuth from "../../src/OktaAuth.ts"
import { Discovery } from "../../src/provider/Discovery.ts"
import { Jwks } from "../../src/provider/Jwks.ts"
import { TokenVerifier } from "../../src/token/TokenVerifier.ts"

/** The documents that are fetched from Okta: OpenID Connect's metadata, RFC 8414's, and the key set. */
export type Document = "metadata" | "oauth" | "keys"

/** An HTTP answer, sent as it stands. */
export interface Answer {
  readonly status: number
  readonly headers?: { readonly [name: string]: string }
  readonly body?: string | Buffer
  /** More of the body is announced, and never comes. */
  readonly unfinished?: boolean
}

/** What becomes of a request in place of the document. */
export type Fault =
  /** It is taken, and answered only by `release`. */
  | "silent"
  /** Headers come, and then a space each millisecond. */
  | "trickle"
  /** The connection is reset. */
  | "reset"
  /** The connection ends in the middle of the body. */
  | "cut"
  /** 200 MB are sent. */
  | "flood"
  /** Bytes are sent for as long as anybody takes them. */
  | "endless"
  | Answer

/** A key that Okta signs with. */
export interface LabKey {
  readonly kid: string
  readonly privateKey: KeyObject
  readonly jwk: { readonly [member: string]: unknown }
}

/** What a token says, where it differs from a good one. */
export interface LabToken {
  readonly key?: LabKey
  readonly kid?: string
  readonly header?: { readonly [member: string]: unknown }
  readonly claims?: { readonly [claim: string]: unknown }
}

/** How the laboratory is set up. */
export interface LabOptions {
  /** The org server's shape, without a path, in place of a custom server's. */
  readonly org?: boolean
  /** Serve https with this certificate. */
  readonly tls?: { readonly key: string; readonly cert: string }
}

const pairs: Array<ReturnType<typeof makePair>> = []
const makePair = () => generateKeyPairSync("rsa", { modulusLength: 2048 })

/** Making RSA keys takes long, so that all laboratories of a file use the same ones. */
const pair = (index: number) => pairs[index] ??= makePair()

const megabyte = Buffer.alloc(1024 * 1024, " ")
const encode = (value: unknown) => Buffer.from(JSON.stringify(value)).toString("base64url")

/** Lets the event loop turn until a condition holds, for 10 seconds at most. */
export const until = (what: string, condition: () => boolean): Effect.Effect<void> =>
  Effect.callback((resume) => {
    const end = performance.now() + 10_000
    const turn = () => {
      if (condition()) resume(Effect.void)
      else if (performance.now() > end) resume(Effect.die(new Error(`It never came about that ${what}`)))
      else setImmediate(turn)
    }
    turn()
  })

/**
 * An Okta on a loopback socket that fails in every way that a server can fail, and a library that talks to it.
 *
 * Requests go through `fetch` and a real socket; time is the test's. `pass` moves both on.
 */
export const make = Effect.fnUntraced(function*(options: LabOptions = {}): Effect.fn.Return<
  FaultyOkta,
  never,
  Scope.Scope
> {
  const clock = yield* Clock.Clock
  const secure = options.tls === undefined ? undefined : createTlsServer(options.tls)
  const server = secure ?? createServer()
  const listen = (port: number) =>
    Effect.callback<void>((resume) => {
      server.listen(port, "127.0.0.1", () => resume(Effect.void))
    })
  const leave = Effect.callback<void>((resume) => {
    server.close(() => resume(Effect.void))
    server.closeAllConnections()
  })
  yield* Effect.acquireRelease(listen(0), () => leave)

  const { port } = server.address() as AddressInfo
  const origin = `http${options.tls === undefined ? "" : "s"}://127.0.0.1:${port}`
  const path = options.org === true ? "" : "/oauth2/default"
  const issuer = `${origin}${path}`
  const base = `${issuer}${options.org === true ? "/oauth2" : ""}/v1`
  const places: { readonly [path: string]: Document } = {
    [`${path}/.well-known/openid-configuration`]: "metadata",
    [`/.well-known/oauth-authorization-server${path}`]: "oauth",
    [new URL(`${base}/keys`).pathname]: "keys"
  }

  const faults = new Map<Document, Fault>()
  const waiting = new Map<ServerResponse, Document>()
  let inFlight = 0
  let generation = 0

  const generate = (): LabKey => {
    const { privateKey, publicKey } = pair(generation++)
    const kid = `key-${generation}`
    return { kid, privateKey, jwk: { ...publicKey.export({ format: "jwk" }), kid, use: "sig", alg: "RS256" } }
  }

  const document = (kind: Document): Answer => ({
    status: 200,
    headers: {
      "content-type": "application/json",
      ...(kind === "keys" && okta.cacheControl !== undefined ? { "cache-control": okta.cacheControl } : undefined)
    },
    body: JSON.stringify(kind === "keys" ? { keys: okta.published } : { ...okta.metadata })
  })

  const answer = (response: ServerResponse, { body, headers, status, unfinished }: Answer) => {
    const date = new Date(clock.currentTimeMillisUnsafe() + okta.skew).toUTCString()
    response.writeHead(status, { date, ...headers })
    return unfinished === true ? response.write(body) : response.end(body)
  }

  const fail = (response: ServerResponse, kind: Document, fault: Fault) => {
    switch (fault) {
      case "silent":
        waiting.set(response, kind)
        response.once("close", () => waiting.delete(response))
        return
      case "trickle": {
        response.writeHead(200, { "content-type": "application/json" }).flushHeaders()
        const drip = setInterval(() => response.write(" "), 1)
        response.once("close", () => clearInterval(drip))
        return
      }
      case "reset":
        response.socket?.resetAndDestroy()
        return
      case "cut":
        response.writeHead(200, { "content-type": "application/json", "content-length": "1000" }).write("{", () => {
          response.socket?.end()
        })
        return
      case "flood":
      case "endless": {
        response.writeHead(200, { "content-type": "application/json" })
        let left = fault === "flood" ? 200 : Infinity
        const more = () => {
          while (left-- > 0) {
            okta.flooded += megabyte.length
            okta.onFlood()
            if (!response.write(megabyte)) return response.once("drain", more)
          }
          return response.end()
        }
        more()
        return
      }
      default:
        answer(response, fault)
    }
  }

  server.on("request", (request: IncomingMessage, response: ServerResponse) => {
    const kind = places[request.url ?? ""]
    okta.log.push(request.url ?? "")
    if (kind === undefined) {
      return answer(response, { status: 404, body: "{\"errorCode\":\"E0000007\",\"errorSummary\":\"Not found\"}" })
    }
    okta.requests[kind]++
    okta.headers.push(request.headers)
    const fault = faults.get(kind)
    return fault === undefined ? answer(response, document(kind)) : fail(response, kind, fault)
  })

  // Counts what has been asked and not answered, so that a test knows when nothing more is on its way.
  const countingFetch: typeof globalThis.fetch = (input, init) => {
    inFlight++
    return okta.fetch(input, init).finally(() => inFlight--)
  }
  const client = Layer.provide(FetchHttpClient.layer, Layer.succeed(FetchHttpClient.Fetch, countingFetch))

  const settled = Effect.suspend(() => {
    let idle = 0
    return until("all requests were answered", () => {
      idle = inFlight <= waiting.size ? idle + 1 : 0
      return idle > 30
    })
  })

  const pass = Effect.fnUntraced(function*(duration: Duration.Input, step: Duration.Input = "1 second") {
    const length = Duration.toMillis(Duration.fromInputUnsafe(step))
    yield* settled
    for (let left = Duration.toMillis(Duration.fromInputUnsafe(duration)); left > 0; left -= length) {
      yield* TestClock.adjust(Math.min(left, length))
      yield* settled
    }
  })

  const first = generate()
  const okta: FaultyOkta = {
    issuer,
    audience: "api://default",
    client,
    settled,
    fetch: globalThis.fetch,
    metadata: {
      issuer,
      jwks_uri: `${base}/keys`,
      authorization_endpoint: `${base}/authorize`,
      token_endpoint: `${base}/token`
    },
    key: first,
    published: [first.jwk],
    cacheControl: undefined,
    skew: 0,
    requests: { metadata: 0, oauth: 0, keys: 0 },
    log: [],
    headers: [],
    flooded: 0,
    onFlood: () => {},
    waiting: () => waiting.size,
    break: (fault, documents = ["metadata", "oauth", "keys"]) => documents.forEach((kind) => faults.set(kind, fault)),
    mend: () => faults.clear(),
    release: (as) => waiting.forEach((kind, response) => answer(response, as ?? document(kind))),
    leave,
    comeBack: listen(port),
    recertify: (tls) => {
      secure?.setSecureContext(tls)
      server.closeAllConnections()
    },
    generate,
    rotate: () => {
      okta.key = generate()
      okta.published.push(okta.key.jwk)
    },
    withdraw: (kid) => {
      okta.published = okta.published.filter((jwk) => jwk["kid"] !== kid)
    },
    token: ({ claims, header, key = okta.key, kid = key.kid } = {}) => {
      const now = Math.floor((clock.currentTimeMillisUnsafe() + okta.skew) / 1000)
      const input = `${encode({ alg: "RS256", kid, ...header })}.${
        encode({
          ver: 1,
          jti: `AT.${now}`,
          iss: issuer,
          aud: "api://default",
          iat: now,
          exp: now + 24 * 3600,
          cid: "0oa1client",
          uid: "00u1ada",
          scp: ["profile"],
          sub: "ada@example.com",
          ...claims
        })
      }`
      return Redacted.make(`${input}.${sign("sha256", Buffer.from(input), key.privateKey).toString("base64url")}`)
    },
    layer: (settings) => OktaAuth.layer({ issuer, audience: "api://default", ...settings }).pipe(Layer.provide(client)),
    start: (settings) =>
      Effect.map(Layer.build(Layer.orDie(okta.layer(settings))), (context) => {
        const verifier = Context.get(context, TokenVerifier)
        return {
          jwks: Context.get(context, Jwks),
          discovery: Context.get(context, Discovery),
          verify: (token: Redacted.Redacted<string>) => verifier.verify(token)
        }
      }),
    pass,
    timed: Effect.fnUntraced(function*(effect) {
      const fiber = yield* Effect.forkChild(effect)
      let elapsed = 0
      yield* settled
      for (; fiber.pollUnsafe() === undefined && elapsed < 10_000; elapsed += 100) yield* pass("100 millis")
      return { value: yield* Fiber.join(fiber), elapsed }
    })
  }
  return okta
})

/** An Okta that fails on demand. */
export interface FaultyOkta {
  readonly issuer: string
  readonly audience: string
  /** Reaches it with `fetch`. */
  readonly client: Layer.Layer<HttpClient.HttpClient>
  /** What that client calls. */
  fetch: typeof globalThis.fetch
  /** The metadata document. */
  metadata: { readonly [member: string]: unknown }
  /** The key that tokens are signed with. */
  key: LabKey
  /** The published keys. */
  published: Array<{ readonly [member: string]: unknown }>
  /** `Cache-Control` of the key set. */
  cacheControl: string | undefined
  /** Okta's clock minus ours, in milliseconds. */
  skew: number
  /** How often each document was asked for. */
  readonly requests: { [document in Document]: number }
  /** The paths asked for. */
  readonly log: Array<string>
  readonly headers: Array<IncomingMessage["headers"]>
  /** Bytes written by the faults `flood` and `endless`. */
  flooded: number
  /** Told before each megabyte of them. */
  onFlood: () => void
  /** How many requests hang. */
  readonly waiting: () => number
  /** Fails requests in this way, for all documents or some, until `mend`. */
  readonly break: (fault: Fault, documents?: ReadonlyArray<Document>) => void
  readonly mend: () => void
  /** Answers the requests that hang, with their document unless told otherwise. */
  readonly release: (as?: Answer) => void
  /** Nobody listens on the port any more. */
  readonly leave: Effect.Effect<void>
  readonly comeBack: Effect.Effect<void>
  /** Serves https with another certificate from now on. */
  readonly recertify: (tls: { readonly key: string; readonly cert: string }) => void
  /** A key that is not published. */
  readonly generate: () => LabKey
  /** Publishes a new key and signs with it. */
  readonly rotate: () => void
  /** Publishes a key no longer. */
  readonly withdraw: (kid: string) => void
  /** A token that is good for 24 hours, or differs from one. */
  readonly token: (token?: LabToken) => Redacted.Redacted<string>
  /** The library, talking to it. */
  readonly layer: (
    settings?: Settings
  ) => ReturnType<typeof OktaAuth.layer> extends Layer.Layer<infer A, infer E, infer _> ? Layer.Layer<A, E> : never
  /** Starts the library; it ends with the test. */
  readonly start: (settings?: Settings) => Effect.Effect<Started, never, Scope.Scope>
  /** Waits until nothing is on its way. */
  readonly settled: Effect.Effect<void>
  /** Lets time pass, and what is on its way arrive after each step of it. */
  readonly pass: (duration: Duration.Input, step?: Duration.Input) => Effect.Effect<void>
  /** Lets time pass until an effect ends, 10 seconds at most, and tells how long it took, in milliseconds. */
  readonly timed: <A, E>(
    effect: Effect.Effect<A, E>
  ) => Effect.Effect<{ readonly value: A; readonly elapsed: number }, E>
}

type Settings = Partial<OktaOptions & OktaAuth.StartOptions>

/** The library under test. */
export interface Started {
  readonly jwks: Jwks["Service"]
  readonly discovery: Discovery["Service"]
  readonly verify: TokenVerifier["Service"]["verify"]
}
