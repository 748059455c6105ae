import { Effect, Schema } from "effect"
import { createHash, randomBytes } from "node:crypto"

/** One exchange over HTTP, as it happened. */
export interface Exchange {
  readonly title: string
  /** What it is for, in a sentence. */
  readonly note: string
  readonly request: string
  readonly status: number
  /** Headers that matter, one a line. */
  readonly headers: string
  readonly body: string
}

/** Where a visitor is on the way. */
export interface Visit {
  readonly exchanges: ReadonlyArray<Exchange>
  readonly clientId?: string
  readonly state?: string
  readonly codeVerifier?: string
  readonly accessToken?: string
  readonly refreshToken?: string
  readonly problem?: string
}

const Members = Schema.fromJsonString(Schema.Record(Schema.String, Schema.Unknown))
const readMembers = Schema.decodeUnknownOption(Members)

const membersOf = (text: string): Readonly<Record<string, unknown>> => {
  const members = readMembers(text)
  return members._tag === "Some" ? members.value : {}
}

/** Tokens in a text, without the part that makes them work. */
export const shortened = (text: string): string =>
  text
    .replace(/(eyJ[\w-]{10})[\w-]*\.([\w-]{6})[\w-]*\.[\w-]+/g, "$1….$2….(signature left out)")
    .replace(/[\w-]{120,}(?:\.[\w-]+){0,4}/g, (long) => `${long.slice(0, 24)}… (${long.length} characters)`)
    .replace(/("(?:refresh_token|code|code_verifier)": ?")([\w.-]{8})[\w.-]+/g, "$1$2…")
    .replace(/\b((?:refresh_token|code|code_verifier|token)=[\w-]{8})[\w.%-]+/g, "$1…")

const pretty = (text: string): string => {
  const members = membersOf(text)
  return Object.keys(members).length === 0 ? text : JSON.stringify(members, null, 2)
}

const shownHeaders = ["www-authenticate", "location", "cache-control", "content-type", "retry-after"]

/** Does one exchange, and adds it to the visit. */
const exchange = (
  visit: Visit,
  { init = {}, note, title, url }: {
    readonly title: string
    readonly note: string
    readonly url: string
    readonly init?: RequestInit
  }
) =>
  Effect.promise(async () => {
    const response = await fetch(url, { redirect: "manual", ...init })
    const text = await response.text()
    // An MCP server may answer with an event stream, of which the data is the answer.
    const body = /^data: (.*)$/m.exec(text)?.[1] ?? text
    const sent = typeof init.body === "string" ? pretty(init.body) : init.body === undefined ? "" : String(init.body)
    const authorization = new Headers(init.headers).has("authorization")
      ? "\nauthorization: Bearer (the access token)"
      : ""
    const next: Visit = {
      ...visit,
      exchanges: [...visit.exchanges, {
        title,
        note,
        request: shortened(`${init.method ?? "GET"} ${url}${authorization}${sent === "" ? "" : `\n\n${sent}`}`),
        status: response.status,
        headers: shownHeaders.flatMap((name) => {
          const value = response.headers.get(name)
          return value === null ? [] : [`${name}: ${value}`]
        }).join("\n"),
        body: shortened(pretty(body))
      }]
    }
    return { visit: next, members: membersOf(body), status: response.status }
  })

const post = (form: Readonly<Record<string, string>>): RequestInit => ({
  method: "POST",
  body: new URLSearchParams(form)
})

/** An MCP client of a few lines, which knows the URL of the server and nothing else. */
export const make = (serverUrl: string, redirectUri: string) => {
  const resource = `${serverUrl}/mcp`

  const toolCall = (accessToken: string | undefined): RequestInit => ({
    method: "POST",
    headers: {
      "content-type": "application/json",
      accept: "application/json, text/event-stream",
      "mcp-protocol-version": "2026-07-28",
      "mcp-method": "tools/call",
      "mcp-name": "whoami",
      ...(accessToken === undefined ? undefined : { authorization: `Bearer ${accessToken}` })
    },
    body: JSON.stringify({
      jsonrpc: "2.0",
      id: 1,
      method: "tools/call",
      params: {
        name: "whoami",
        arguments: {},
        _meta: {
          "io.modelcontextprotocol/protocolVersion": "2026-07-28",
          "io.modelcontextprotocol/clientInfo": { name: "demo", version: "1" },
          "io.modelcontextprotocol/clientCapabilities": {}
        }
      }
    })
  })

  /** From nothing to the page on which the person is asked. */
  const begin = Effect.gen(function*() {
    let { visit } = yield* exchange({ exchanges: [] }, {
      title: "The tool is called without a token",
      note: "The answer is 401, and names the place where the client finds out what to do.",
      url: resource,
      init: toolCall(undefined)
    })
    ;({ visit } = yield* exchange(visit, {
      title: "The resource tells who signs people in for it",
      note: "In proxy mode that is this server itself (RFC 9728).",
      url: `${serverUrl}/.well-known/oauth-protected-resource/mcp`
    }))
    ;({ visit } = yield* exchange(visit, {
      title: "The authorization server tells what it does",
      note: "Where to register, to authorize and to get tokens (RFC 8414).",
      url: `${serverUrl}/.well-known/oauth-authorization-server`
    }))
    const registered = yield* exchange(visit, {
      title: "The client registers",
      note: "Nobody has told it a client id. The one it gets is the record of what it registered, sealed (RFC 7591).",
      url: `${serverUrl}/oauth/register`,
      init: {
        method: "POST",
        headers: { "content-type": "application/json" },
        body: JSON.stringify({
          client_name: "The demo's client",
          redirect_uris: [redirectUri],
          token_endpoint_auth_method: "none",
          grant_types: ["authorization_code", "refresh_token"]
        })
      }
    })
    const codeVerifier = randomBytes(32).toString("base64url")
    const state = randomBytes(16).toString("base64url")
    const clientId = String(registered.members["client_id"])
    const url = new URL(`${serverUrl}/oauth/authorize`)
    url.search = new URLSearchParams({
      response_type: "code",
      client_id: clientId,
      redirect_uri: redirectUri,
      scope: "openid profile email offline_access",
      state,
      resource,
      code_challenge: createHash("sha256").update(codeVerifier).digest("base64url"),
      code_challenge_method: "S256"
    }).toString()
    return { visit: { ...registered.visit, clientId, state, codeVerifier }, url: url.href }
  })

  const callTool = (visit: Visit) =>
    Effect.map(
      exchange(visit, {
        title: "The tool is called with the access token",
        note: "The guard has verified the token; the tool reads who is calling.",
        url: resource,
        init: toolCall(visit.accessToken)
      }),
      ({ visit }) => visit
    )

  const tokens = (visit: Visit, title: string, note: string, form: Readonly<Record<string, string>>) =>
    Effect.map(
      exchange(visit, {
        title,
        note,
        url: `${serverUrl}/oauth/token`,
        init: post({ client_id: visit.clientId ?? "", ...form })
      }),
      ({ members, status, visit }): Visit => {
        const { accessToken: _, refreshToken: __, ...rest } = visit
        return status !== 200 ? rest : {
          ...rest,
          accessToken: String(members["access_token"]),
          refreshToken: String(members["refresh_token"])
        }
      }
    )

  /** From the code to the tool. */
  const comeBack = Effect.fnUntraced(function*(visit: Visit, parameters: URLSearchParams) {
    const code = parameters.get("code")
    if (code === null || parameters.get("state") !== visit.state || parameters.get("iss") !== serverUrl) {
      const error = parameters.get("error")
      return {
        ...visit,
        problem: error === null ? "This answer belongs to another sign-in." : `The answer was ${error}.`
      }
    }
    return yield* callTool(
      yield* tokens(
        visit,
        "The code becomes tokens",
        "The code is good once, for 60 seconds, and only with the verifier that belongs to the request (PKCE).",
        { grant_type: "authorization_code", code, redirect_uri: redirectUri, code_verifier: visit.codeVerifier ?? "" }
      )
    )
  })

  const refresh = (visit: Visit) =>
    tokens(visit, "The tokens are refreshed", "The refresh token is replaced with each use.", {
      grant_type: "refresh_token",
      refresh_token: visit.refreshToken ?? ""
    })

  /** The grant ends, and with it the access token. */
  const revoke = Effect.fnUntraced(function*(visit: Visit) {
    const revoked = yield* exchange(visit, {
      title: "The client gives its access back",
      note: "The grant ends here and at Okta (RFC 7009).",
      url: `${serverUrl}/oauth/revoke`,
      init: post({ client_id: visit.clientId ?? "", token: visit.refreshToken ?? "" })
    })
    const { accessToken: _, refreshToken: __, ...ended } = yield* callTool(revoked.visit)
    return ended
  })

  return { begin, comeBack, callTool, refresh, revoke }
}

/** What a token says, for people to read. */
export const claimsOf = (token: string): string =>
  pretty(Buffer.from(token.split(".")[1] ?? "", "base64url").toString("utf8"))
