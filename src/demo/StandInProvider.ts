import { Effect, Predicate } from "effect"
import { IncomingMessage, type ServerResponse } from "node:http"
import { type Context, errors, interactionPolicy, Provider } from "oidc-provider"
import {
  type Client,
  type Person,
  profileOf,
  registrationOf,
  rotates,
  tokenExchange,
  uidOf
} from "./StandInDirectory.ts"
import { parameters as exchangeParameters } from "./StandInExchange.ts"
import type { SigningKey } from "./StandInKeys.ts"
import { type Endpoint, type Paths, standardScopes } from "./StandInMetadata.ts"
import { errorPage } from "./StandInPages.ts"
import { makeSignIn } from "./StandInSignIn.ts"
import { makeStorage, type Memory } from "./StandInStorage.ts"
import type { Tokens } from "./StandInTokens.ts"

/** Answers requests of Node. */
export type Answer = (request: IncomingMessage, response: ServerResponse) => Promise<void> | void

export const sendJson = (
  response: ServerResponse,
  status: number,
  body: unknown,
  headers: Readonly<Record<string, string>> = {}
): void => {
  response
    .writeHead(status, { "content-type": "application/json", "access-control-allow-origin": "*", ...headers })
    .end(JSON.stringify(body))
}

/** A request for people or for tokens, and its answer. */
export interface Seen {
  /** When it came, as `observe.begin` says. */
  readonly at: number
  readonly endpoint: Endpoint
  readonly origin: string
  readonly method: string
  readonly path: string
  readonly query: URLSearchParams
  readonly form: URLSearchParams
  readonly status: number
  readonly location: string | undefined
  readonly body: unknown
}

/** Looks on. */
export interface Observe {
  readonly begin: Effect.Effect<number>
  readonly end: (seen: Seen) => Effect.Effect<void>
}

export interface ProviderSettings {
  readonly issuer: string
  readonly paths: Paths
  readonly clients: ReadonlyArray<Client>
  readonly people: ReadonlyArray<Person>
  readonly filledIn: boolean
  /** Scopes an administrator added. */
  readonly scopes: ReadonlyArray<string>
  /** Granted when a request names none. */
  readonly defaultScopes: ReadonlyArray<string>
  readonly accessTokenLifetime: number
  /** Milliseconds. */
  readonly refreshGrace: number
  readonly tokens: Tokens
  /** Exchanges ID tokens for ID-JAGs. */
  readonly exchange: (ctx: Context) => Promise<void>
  /** Signs the ID tokens that nobody sees. */
  readonly innerKey: SigningKey
  readonly memory: Memory
  readonly observe: Observe | undefined
  readonly now: () => number
}

const week = 7 * 24 * 3600
const unknownScope = "One or more scopes are not configured for the authorization server resource."
const noScope =
  "The authorization server resource does not have any configured default scopes, 'scope' must be provided."

const scopesOf = (scope: unknown): ReadonlyArray<string> =>
  typeof scope === "string" ? scope.split(" ").filter((name) => name !== "") : []

/** `oidc-provider` with Okta's settings. Its own ID tokens are never seen: `Tokens` puts Okta's shape over them. */
const makeProvider = (settings: ProviderSettings): Provider => {
  const { clients, paths, people } = settings
  const supported = new Set([...standardScopes, ...settings.scopes])

  const policy = interactionPolicy.base()
  policy.get("login").checks.add(
    new interactionPolicy.Check("acr", "the session lacks the asked authentication context", ({ oidc }) => {
      const asked = scopesOf(oidc?.params["acr_values"])
      return asked.length > 0 && !asked.includes(oidc?.session?.acr ?? "")
    })
  )

  const provider = new Provider(settings.issuer, {
    adapter: makeStorage(settings.memory, settings.refreshGrace, settings.now),
    jwks: { keys: [settings.innerKey.privateKey.export({ format: "jwk" })] },
    clients: clients.map(registrationOf),
    clientDefaults: { id_token_signed_response_alg: "ES256" },
    clientBasedCORS: () => true,
    routes: {
      authorization: paths.endpoint("authorize"),
      token: paths.endpoint("token"),
      userinfo: paths.endpoint("userinfo"),
      introspection: paths.endpoint("introspect"),
      revocation: paths.endpoint("revoke"),
      end_session: paths.endpoint("logout")
    },
    features: {
      devInteractions: { enabled: false },
      dPoP: { enabled: true },
      pushedAuthorizationRequests: { enabled: false },
      // a custom server's audience is a setting; `resource` (RFC 8707) is taken and ignored
      resourceIndicators: { enabled: false },
      clientCredentials: { enabled: true },
      introspection: { enabled: true, allowedPolicy: () => true },
      revocation: {
        enabled: true,
        allowedPolicy: (_: Context, client: { readonly clientId: string }, token: { readonly clientId: string }) =>
          client.clientId === token.clientId
      },
      rpInitiatedLogout: {
        enabled: true,
        logoutSource: (ctx: Context, form: string) => {
          ctx.body = `${form}<input type="hidden" form="op.logoutForm" name="logout" value="yes"/>` +
            `<script>document.forms[0].submit()</script>`
        },
        postLogoutSuccessSource: (ctx: Context) => {
          ctx.body = "You have signed out."
        }
      }
    },
    scopes: [...supported],
    claims: {
      openid: ["sub"],
      profile: ["name", "preferred_username"],
      email: ["email", "email_verified"],
      groups: ["groups"]
    },
    conformIdTokenClaims: false,
    findAccount: (_: Context, uid: string) => {
      const person = people.find((person) => uidOf(person) === uid)
      return person && {
        accountId: uid,
        claims: (use: string) => {
          const { email_verified, ...rest } = profileOf(person)
          return use === "userinfo" ? { ...rest, email_verified } : rest
        }
      }
    },
    extraParams: {
      // called for every authorization request, after the redirect address was found good
      sessionToken: (ctx: Context) => {
        if (!ctx.oidc?.params["state"]) {
          throw new errors.InvalidRequest("The authentication request has an invalid 'state' parameter.")
        }
        const asked = scopesOf(ctx.query["scope"])
        if (asked.length === 0) throw new errors.InvalidScope(noScope)
        if (!asked.every((scope) => supported.has(scope))) throw new errors.InvalidScope(unknownScope)
      }
    },
    acrValues: ["urn:okta:loa:1fa:any", "urn:okta:loa:2fa:any"],
    interactions: {
      policy,
      url: (_: Context, { uid }: { readonly uid: string }) => `${paths.endpoint("signin")}/${uid}`
    },
    expiresWithSession: () => false,
    rotateRefreshToken: (ctx: Context) =>
      rotates(clients.find(({ clientId }) => clientId === ctx.oidc?.client?.clientId)),
    renderError: (ctx: Context, out: { readonly error: string; readonly error_description?: string }) => {
      const { headers, html } = errorPage(out.error, out.error_description)
      Object.entries(headers).forEach(([name, value]) => ctx.set(name, value))
      ctx.body = html
    },
    ttl: {
      AccessToken: settings.accessTokenLifetime,
      ClientCredentials: settings.accessTokenLifetime,
      AuthorizationCode: 60,
      IdToken: 3600,
      RefreshToken: week,
      Grant: 52 * week,
      Interaction: 3600,
      Session: 7200
    }
  })
  provider.registerGrantType(tokenExchange, settings.exchange, exchangeParameters)
  provider.on("server_error", (_, error) => process.emitWarning(error))
  return provider
}

/** What Okta does otherwise than `oidc-provider`, before and after it. */
const addQuirks = (provider: Provider, settings: ProviderSettings): void => {
  const { defaultScopes, observe, paths, people, tokens } = settings

  if (observe !== undefined) {
    provider.use(async (ctx, next) => {
      const { pathname: path, searchParams: query } = new URL(ctx.req.url ?? "/", settings.issuer)
      const at = await Effect.runPromise(observe.begin)
      await next()
      const form = Object.entries(ctx.oidc?.body ?? {}).filter((entry): entry is [string, string] =>
        typeof entry[1] === "string"
      )
      await Effect.runPromise(observe.end({
        at,
        endpoint: paths.find(path),
        origin: new URL(settings.issuer).origin,
        method: ctx.method,
        path,
        query,
        form: new URLSearchParams(form),
        status: ctx.status,
        location: ctx.response.get("location") || undefined,
        body: ctx.body
      }))
    })
  }

  provider.use(async (ctx, next) => {
    if (ctx.path !== paths.endpoint("authorize") && ctx.path !== paths.endpoint("logout")) return next()
    const query = { ...ctx.query }
    if (query["scope"] === undefined && defaultScopes.length > 0) query["scope"] = defaultScopes.join(" ")
    const prompt = query["prompt"]
    // unlike OpenID Connect Core section 11, Okta grants offline access without prompt=consent
    if (scopesOf(query["scope"]).includes("offline_access") && prompt !== "none" && !Array.isArray(prompt)) {
      query["prompt"] = [...new Set([...scopesOf(prompt), "consent"])].join(" ")
    }
    const hint = query["id_token_hint"]
    if (typeof hint === "string") query["id_token_hint"] = await Effect.runPromise(tokens.innerOf(hint))
    ctx.query = query
    await next()
  })

  provider.use(async (ctx, next) => {
    await next()
    const location = ctx.response.get("location")
    if (!ctx.path.startsWith(paths.endpoint("authorize")) || !URL.canParse(location)) return
    const url = new URL(location)
    // RFC 9207, which Okta does not do
    url.searchParams.delete("iss")
    url.hash = url.hash.replace(/&iss=[^&]*/, "")
    ctx.set("location", url.href)
  })

  provider.use(async (ctx, next) => {
    await next()
    const { body, oidc } = ctx
    if (ctx.path !== paths.endpoint("token") || !Predicate.isObject(body) || oidc === undefined) return
    const { access_token: inner, id_token: innerIdToken } = body
    if (typeof inner !== "string" || body["issued_token_type"] !== undefined) return
    if (oidc.entities.ClientCredentials !== undefined) {
      const asked = oidc.body?.["scope"] === undefined ? defaultScopes : scopesOf(oidc.body["scope"])
      if (asked.length === 0 || !asked.every((scope) => settings.scopes.includes(scope))) {
        ctx.status = 400
        ctx.body = { error: "invalid_scope", error_description: asked.length === 0 ? noScope : unknownScope }
        return
      }
    }
    const person = people.find((person) => uidOf(person) === oidc.entities.AccessToken?.accountId)
    const accessToken = await Effect.runPromise(tokens.accessToken(ctx, inner, person))
    const idToken = typeof innerIdToken === "string"
      ? { id_token: await Effect.runPromise(tokens.idToken(ctx, innerIdToken, accessToken)) }
      : {}
    ctx.body = { ...body, access_token: accessToken, ...idToken }
  })

  provider.use(async (ctx, next) => {
    await next()
    const { body, oidc } = ctx
    if (ctx.path !== paths.endpoint("introspect") || !Predicate.isObject(body)) return
    if (body["active"] !== true) return
    ctx.body = (await Effect.runPromise(tokens.introspection(oidc?.params["token"]))) ?? body
  })
}

const read = async (request: IncomingMessage): Promise<string> => {
  const chunks: Array<Buffer> = []
  for await (const chunk of request) chunks.push(Buffer.from(chunk))
  return Buffer.concat(chunks).toString()
}

/** The same request with another body. */
const withBody = (request: IncomingMessage, body: string): IncomingMessage => {
  const copy = new IncomingMessage(request.socket)
  copy.method = request.method ?? "POST"
  copy.url = request.url ?? "/"
  copy.headers = { ...request.headers, "content-length": String(Buffer.byteLength(body)) }
  copy.push(body)
  copy.push(null)
  copy.complete = true // otherwise its end would close the socket
  return copy
}

/** Everything of the authorization server but its documents: sign-in, tokens, introspection, revocation, logout. */
export const makeHandler = (settings: ProviderSettings): Answer => {
  const { observe, paths, people, tokens } = settings
  const provider = makeProvider(settings)
  addQuirks(provider, settings)
  const handle = provider.callback()
  const signIn = makeSignIn(provider, people, settings)

  return async (request, response) => {
    const url = new URL(request.url ?? "/", settings.issuer)
    switch (paths.find(url.pathname)) {
      case "signin": {
        const at = observe === undefined ? 0 : await Effect.runPromise(observe.begin)
        const form = request.method === "POST" ? await read(request) : ""
        await signIn(request, form, response)
        const location = response.getHeader("location")
        return observe && Effect.runPromise(observe.end({
          at,
          endpoint: "signin",
          origin: url.origin,
          method: request.method ?? "GET",
          path: url.pathname,
          query: url.searchParams,
          form: new URLSearchParams(form),
          status: response.statusCode,
          location: typeof location === "string" ? location : undefined,
          body: undefined
        }))
      }
      case "userinfo": {
        const [scheme, token] = request.headers.authorization?.split(" ") ?? []
        if (token !== undefined) {
          request.headers.authorization = `${scheme} ${await Effect.runPromise(tokens.innerOf(token))}`
        }
        return handle(request, response)
      }
      case "introspect":
      case "revoke": {
        const form = new URLSearchParams(await read(request))
        const token = await Effect.runPromise(tokens.innerOf(form.get("token") ?? ""))
        // to `oidc-provider` a foreign JWT is an error; to Okta it is a token that is not active
        if (form.has("token")) form.set("token", token.includes(".") ? "unknown" : token)
        return handle(withBody(request, form.toString()), response)
      }
      default:
        return handle(request, response)
    }
  }
}
