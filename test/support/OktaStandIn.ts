import { Clock, Context, Effect, Layer, type Scope } from "effect"
import { createHash, randomBytes } from "node:crypto"
import * as StandIn from "../../src/demo/StandIn.ts"
import { type Client, type Person, tokenExchange } from "../../src/demo/StandInDirectory.ts"
import { sign } from "../../src/demo/StandInKeys.ts"
import type { Endpoint } from "../../src/demo/StandInMetadata.ts"
import type { Memory } from "../../src/demo/StandInStorage.ts"
import { Browser, type Credentials, OktaRefused } from "./StandInBrowser.ts"
import { type Handler, listen, type Outage } from "./StandInDoor.ts"

export interface Options extends StandIn.StandInOptions {
  /** Default: a free one. */
  readonly port?: number
  /** Something in front of it: given its own origin, the one that it is known by. */
  readonly through?: (origin: string) => string
}

export interface SignIn {
  /** Default: the first client that people can use. */
  readonly clientId?: string
  /** Default: the client's first. Needs a port added when it is a loopback address without one. */
  readonly redirectUri?: string
  /** Default `openid profile email offline_access`. */
  readonly scopes?: ReadonlyArray<string>
  /** Default: the first person. */
  readonly login?: string
  readonly password?: string
  /** What the second factor shows. Default: the right code. */
  readonly code?: string
  /** Added to the authorization request: `nonce`, `resource`, `acr_values`, … */
  readonly parameters?: Readonly<Record<string, string>>
  /** Default: a browser that is signed in nowhere. */
  readonly browser?: Browser
}

export interface TokenResponse {
  readonly accessToken: string
  readonly idToken: string | undefined
  readonly refreshToken: string | undefined
  readonly expiresIn: number
  readonly scope: string
}

/**
 * Okta for tests and for the demonstration: a real authorization server on 127.0.0.1, made of the certified
 * `oidc-provider` and shaped as Okta's. Times in tokens come from the `Clock`.
 */
export class OktaStandIn extends Context.Service<OktaStandIn, {
  readonly issuer: string
  /** `http://127.0.0.1:PORT`. */
  readonly origin: string
  readonly audience: string
  readonly clients: ReadonlyArray<Client>
  readonly people: ReadonlyArray<Person>

  /** The published key set. */
  readonly keys: Effect.Effect<{ readonly keys: ReadonlyArray<{ readonly kid: string }> }>
  /** The `kid` that signs now. */
  readonly signingKey: Effect.Effect<string>
  /** Publishes the next key ahead of its use; its `kid`. */
  readonly publishKey: Effect.Effect<string>
  /** Signs with the next key from now on; its `kid`. Old keys stay published. */
  readonly rotateKeys: Effect.Effect<string>
  readonly withdrawKey: (kid: string) => Effect.Effect<void>
  /**
   * A token of the first person, changed by `claims` and `header` (`undefined` removes a member), or with text of your
   * own as payload. Always signed by the current key, whatever the header says.
   */
  readonly mint: (
    claims?: Readonly<Record<string, unknown>> | string,
    header?: Readonly<Record<string, unknown>>
  ) => Effect.Effect<string>

  /** How often an endpoint was asked, or all of them; requests that failed by `outage` or `respond` count. */
  readonly requests: (endpoint?: Endpoint) => Effect.Effect<number>
  /** Answers in Okta's place at one endpoint, until `lift`. */
  readonly respond: (endpoint: Endpoint, handler: Handler) => Effect.Effect<void>
  /** Fails every request until `lift`. Default `error`. */
  readonly outage: (kind?: Outage) => Effect.Effect<void>
  /** Ends `outage` and every `respond`. */
  readonly lift: Effect.Effect<void>

  /** Walks any client's authorization URL through the sign-in page; the redirect that the client would get. */
  readonly authorize: (
    url: URL | string,
    as?: Partial<Credentials> & { readonly browser?: Browser }
  ) => Effect.Effect<URL, OktaRefused>
  /** Authorization code flow with PKCE from the first redirect to the tokens. */
  readonly signIn: (options?: SignIn) => Effect.Effect<TokenResponse, OktaRefused>
  readonly refresh: (
    refreshToken: string,
    options?: { readonly clientId?: string; readonly scopes?: ReadonlyArray<string> }
  ) => Effect.Effect<TokenResponse, OktaRefused>
  /** Exchanges a person's ID token for an ID-JAG. */
  readonly idJag: (options: {
    readonly clientId: string
    readonly idToken: string
    readonly audience: string
    readonly resource: string
    readonly scope?: string | undefined
  }) => Effect.Effect<string, OktaRefused>
  /** Default: the first service client, and all scopes an administrator added. */
  readonly clientCredentials: (
    options?: { readonly clientId?: string; readonly scopes?: ReadonlyArray<string> }
  ) => Effect.Effect<TokenResponse, OktaRefused>
}>()("test/support/OktaStandIn") {
  static make(options: Options = {}): Effect.Effect<OktaStandIn["Service"], never, Scope.Scope> {
    return make(options)
  }

  static layer(options: Options = {}): Layer.Layer<OktaStandIn> {
    return Layer.effect(OktaStandIn, make(options))
  }
}

/** As it would be in a file, without one, and without a time at which anything goes. */
const makeMemory = (): Memory => {
  const kept = new Map<string, string>()
  return {
    get: (kind, name) =>
      Effect.sync(() => {
        const text = kept.get(`${kind} ${name}`)
        return text === undefined ? undefined : JSON.parse(text)
      }),
    put: (kind, name, value) => Effect.sync(() => void kept.set(`${kind} ${name}`, JSON.stringify(value))),
    remove: (kind, name) => Effect.sync(() => void kept.delete(`${kind} ${name}`))
  }
}

const make = Effect.fnUntraced(
  function*(options: Options): Effect.fn.Return<OktaStandIn["Service"], never, Scope.Scope> {
    const door = yield* listen(options.port ?? 0)
    const origin = options.through?.(door.origin) ?? door.origin
    const standIn = yield* StandIn.make(origin, makeMemory(), options)
    const { audience, clients, issuer, keys: ring, paths, people, scopes, tokens } = standIn
    const clock = yield* Clock.Clock
    door.open(paths, standIn.answer)

    const clientOf = (clientId: string | undefined, type: (client: Client) => boolean): Client => {
      const client = clients.find((client) => clientId === undefined ? type(client) : client.clientId === clientId)
      if (client === undefined) throw new Error(`no such client: ${clientId ?? "of the wanted type"}`)
      return client
    }

    /** Asks the token endpoint as this client (RFC 6749 section 3.2). */
    const exchange = (client: Client, form: Readonly<Record<string, string>>) =>
      Effect.promise(async () => {
        const url = origin + paths.endpoint("token")
        const credentials = Buffer.from(`${client.clientId}:${client.clientSecret}`).toString("base64")
        const response = await fetch(url, {
          method: "POST",
          headers: client.clientSecret === undefined ? {} : { authorization: `Basic ${credentials}` },
          body: new URLSearchParams(client.clientSecret === undefined ? { ...form, client_id: client.clientId } : form)
        })
        const body = await response.text()
        if (!response.ok) return new OktaRefused({ url, status: response.status, body })
        const answer: Record<string, string | undefined> = JSON.parse(body)
        return {
          accessToken: answer["access_token"] ?? "",
          idToken: answer["id_token"],
          refreshToken: answer["refresh_token"],
          expiresIn: Number(answer["expires_in"]),
          scope: answer["scope"] ?? ""
        }
      }).pipe(Effect.flatMap((end) => end instanceof OktaRefused ? Effect.fail(end) : Effect.succeed(end)))

    const authorize: OktaStandIn["Service"]["authorize"] = (url, as = {}) =>
      (as.browser ?? new Browser()).authorize(url, {
        login: as.login ?? people[0]?.login ?? "",
        code: as.code,
        password: as.password ?? people.find(({ login }) => login === (as.login ?? people[0]?.login))?.password
      })

    return OktaStandIn.of({
      issuer,
      origin,
      audience,
      clients,
      people,

      keys: Effect.sync(() => ring.jwks),
      signingKey: Effect.sync(() => ring.signing.kid),
      publishKey: Effect.suspend(() => ring.publishNext),
      rotateKeys: Effect.suspend(() => ring.rotate),
      withdrawKey: (kid) => Effect.sync(() => ring.withdraw(kid)),
      mint: (claims = {}, header = {}) =>
        Effect.sync(() => {
          const { algorithm: alg, kid } = ring.signing
          const usual = tokens.claims({
            person: people[0],
            clientId: clients[0]?.clientId ?? "",
            scopes: ["openid", ...scopes],
            authTime: Math.floor(clock.currentTimeMillisUnsafe() / 1000),
            acr: undefined
          })
          return sign(
            ring.signing,
            { kid, alg, ...header },
            typeof claims === "string" ? claims : { ...usual, ...claims }
          )
        }),

      requests: (endpoint) => Effect.sync(() => door.requests(endpoint)),
      respond: (endpoint, handler) => Effect.sync(() => door.respond(endpoint, handler)),
      outage: (kind = "error") => Effect.sync(() => door.fail(kind)),
      lift: Effect.sync(() => door.lift()),

      authorize,
      signIn: Effect.fnUntraced(function*(options: SignIn = {}) {
        const client = clientOf(options.clientId, ({ type }) => type !== "service")
        const verifier = randomBytes(32).toString("base64url")
        const redirectUri = options.redirectUri ?? client.redirectUris?.[0] ?? ""
        const url = new URL(origin + paths.endpoint("authorize"))
        url.search = new URLSearchParams({
          response_type: "code",
          client_id: client.clientId,
          redirect_uri: redirectUri,
          scope: (options.scopes ?? ["openid", "profile", "email", "offline_access"]).join(" "),
          state: randomBytes(16).toString("base64url"),
          code_challenge: createHash("sha256").update(verifier).digest("base64url"),
          code_challenge_method: "S256",
          ...options.parameters
        }).toString()
        const back = yield* authorize(url, options)
        const code = back.searchParams.get("code")
        if (code === null) return yield* new OktaRefused({ url: url.href, status: 302, body: back.href })
        return yield* exchange(client, {
          grant_type: "authorization_code",
          code,
          redirect_uri: redirectUri,
          code_verifier: verifier
        })
      }),
      refresh: (refreshToken, options = {}) =>
        exchange(clientOf(options.clientId, ({ type }) => type !== "service"), {
          grant_type: "refresh_token",
          refresh_token: refreshToken,
          ...options.scopes && { scope: options.scopes.join(" ") }
        }),
      idJag: ({ audience, clientId, idToken, resource, scope = "" }) =>
        Effect.map(
          exchange(clientOf(clientId, () => true), {
            grant_type: tokenExchange,
            requested_token_type: "urn:ietf:params:oauth:token-type:id-jag",
            subject_token_type: "urn:ietf:params:oauth:token-type:id_token",
            subject_token: idToken,
            audience,
            resource,
            scope
          }),
          ({ accessToken }) => accessToken
        ),
      clientCredentials: (options = {}) =>
        exchange(clientOf(options.clientId, ({ type }) => type === "service"), {
          grant_type: "client_credentials",
          scope: (options.scopes ?? scopes).join(" ")
        })
    })
  }
)
