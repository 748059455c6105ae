import { Effect, Struct } from "effect"
import { HttpClient, HttpClientRequest } from "effect/http"
import { createHash, randomBytes } from "node:crypto"
import { membersOf, type Pairs, shownHeaders, shownJson, shownParameters } from "./Shown.ts"
import type { Step, Visit, Visits } from "./Visit.ts"

/** What is done, in words. */
interface Words {
  readonly phase: Step["phase"]
  readonly title: string
  readonly note: string
}

/** A visit without what its sign-in gave. */
export const signedOut: (visit: Visit) => Visit = Struct.omit(["accessToken", "answer", "refreshToken"])

const random = (bytes: number): string => randomBytes(bytes).toString("base64url")

/**
 * An MCP client of a few lines, which knows the URL of a server and nothing else. It does its work over HTTP, and adds each
 * exchange to the visit of the person it works for.
 */
export const make = Effect.fnUntraced(function*(visits: Visits, serverUrl: string, redirectUri: string) {
  const client = yield* HttpClient.HttpClient
  const resource = `${serverUrl}/mcp`

  /** Does one exchange, and adds it to the visit. */
  const exchange = Effect.fnUntraced(function*(
    id: string,
    words: Words,
    request: HttpClientRequest.HttpClientRequest,
    sent: { readonly json?: string; readonly form?: Readonly<Record<string, string>> } = {}
  ) {
    const at = yield* visits.time
    const response = yield* client.execute(request)
    const text = yield* response.text
    // An MCP server may answer with an event stream, of which the data is the answer.
    const body = /^data: (.*)$/m.exec(text)?.[1] ?? text
    const requestHeaders: Pairs = [
      ...(request.headers["authorization"] === undefined
        ? []
        : [["authorization", "Bearer (the access token)"] as const]),
      ...(sent.json === undefined ? [] : [["content-type", "application/json"] as const]),
      ...(sent.form === undefined ? [] : [["content-type", "application/x-www-form-urlencoded"] as const])
    ]
    yield* visits.add(id, {
      at,
      ...words,
      from: "client",
      to: "server",
      method: request.method,
      url: request.url,
      parameters: shownParameters(Object.entries(sent.form ?? {})),
      requestHeaders,
      requestBody: shownJson(sent.json ?? ""),
      status: response.status,
      responseHeaders: shownHeaders(response.headers),
      responseBody: shownJson(body)
    })
    return { body, status: response.status, members: membersOf(body) }
  })

  const postJson = (url: string, value: object) => {
    const json = JSON.stringify(value)
    return [HttpClientRequest.post(url).pipe(HttpClientRequest.bodyText(json, "application/json")), { json }] as const
  }

  const postForm = (path: string, form: Readonly<Record<string, string>>) =>
    [HttpClientRequest.post(serverUrl + path).pipe(HttpClientRequest.bodyUrlParams(form)), { form }] as const

  const tool = (id: string, accessToken: string | undefined, words: Words) => {
    const [request, sent] = postJson(resource, {
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
    return exchange(
      id,
      words,
      request.pipe(
        HttpClientRequest.setHeaders({
          accept: "application/json, text/event-stream",
          "mcp-protocol-version": "2026-07-28",
          "mcp-method": "tools/call",
          "mcp-name": "whoami"
        }),
        accessToken === undefined ? (same) => same : HttpClientRequest.bearerToken(accessToken)
      ),
      sent
    )
  }

  /** From nothing to the address to which the browser goes; the visit starts anew. */
  const begin = Effect.fnUntraced(function*(id: string) {
    yield* visits.put(id, { steps: [] })
    yield* tool(id, undefined, {
      phase: "discovery",
      title: "The client calls the tool, without a token",
      note: "It is refused with 401, and told where to read on, in the header WWW-Authenticate."
    })
    yield* exchange(id, {
      phase: "discovery",
      title: "The client reads who signs people in for this server",
      note: "Here it is the server itself, as always in proxy mode (RFC 9728)."
    }, HttpClientRequest.get(`${serverUrl}/.well-known/oauth-protected-resource/mcp`))
    yield* exchange(id, {
      phase: "discovery",
      title: "The client reads what the authorization server can do",
      note: "Among it: where to register, where to send people, and where to get tokens (RFC 8414)."
    }, HttpClientRequest.get(`${serverUrl}/.well-known/oauth-authorization-server`))
    const registration = postJson(`${serverUrl}/oauth/register`, {
      client_name: "The demo's client",
      redirect_uris: [redirectUri],
      token_endpoint_auth_method: "none",
      grant_types: ["authorization_code", "refresh_token"]
    })
    const { members } = yield* exchange(id, {
      phase: "discovery",
      title: "The client introduces itself",
      note:
        "The client id that it gets is the record of what it registered, sealed: the server stores nothing (RFC 7591)."
    }, ...registration)
    const clientId = String(members["client_id"])
    const codeVerifier = random(32)
    const state = random(16)
    yield* visits.change(id, (visit) => ({ ...visit, clientId, codeVerifier, state }))
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
    return url.href
  })

  /** Calls the tool as the person. */
  const call = Effect.fnUntraced(function*(id: string, visit: Visit) {
    const { body, status } = yield* tool(id, visit.accessToken, {
      phase: "call",
      title: "The client calls the tool, with its access token",
      note:
        "The server proves the token: its signature, who issued it, for whom, and until when. The tool knows who is calling."
    })
    yield* visits.change(
      id,
      (visit) =>
        status === 200 ? { ...visit, answer: body } : { ...signedOut(visit), problem: "The tool did not answer." }
    )
  })

  const tokens = Effect.fnUntraced(function*(
    id: string,
    visit: Visit,
    words: Words,
    form: Readonly<Record<string, string>>
  ) {
    const { members, status } = yield* exchange(
      id,
      words,
      ...postForm("/oauth/token", { client_id: visit.clientId ?? "", ...form })
    )
    const { access_token: accessToken, error, refresh_token: refreshToken } = members
    yield* visits.change(id, (visit) => {
      if (status === 200 && typeof accessToken === "string" && typeof refreshToken === "string") {
        return { ...visit, accessToken, refreshToken }
      }
      const problem = `The server gave no tokens: ${String(error)}.`
      // Nothing is lost while somebody is away.
      return status < 500 ? { ...signedOut(visit), problem } : { ...visit, problem }
    })
    return status === 200
  })

  /** From the answer that the browser brings to the tool's result. */
  const comeBack = Effect.fnUntraced(function*(id: string, visit: Visit, parameters: URLSearchParams) {
    const at = yield* visits.time
    const code = parameters.get("code")
    const isOurs = parameters.get("state") === visit.state && parameters.get("iss") === serverUrl
    yield* visits.add(id, {
      at,
      phase: "sign-in",
      from: "browser",
      to: "client",
      title: "The browser brings the answer to the client",
      note:
        "The client compares state and iss: this answer belongs to its own question, and comes from the server that it asked.",
      method: "GET",
      url: redirectUri,
      parameters: shownParameters(parameters),
      requestHeaders: [],
      requestBody: "",
      status: 303,
      responseHeaders: [["location", "/ (this page)"]],
      responseBody: ""
    })
    if (code === null || !isOurs) {
      const error = parameters.get("error")
      const problem = !isOurs || error === null
        ? "This answer belongs to another sign-in."
        : error === "access_denied"
        ? "Access was denied, and the client got nothing."
        : `The server answered ${error}.`
      return yield* visits.change(id, (visit) => ({ ...visit, problem }))
    }
    const succeeded = yield* tokens(id, visit, {
      phase: "tokens",
      title: "The client changes the code into tokens",
      note: "The code is good once, for 60 seconds, and only with the verifier of which the server has the hash (PKCE)."
    }, { grant_type: "authorization_code", code, redirect_uri: redirectUri, code_verifier: visit.codeVerifier ?? "" })
    const now = yield* visits.get(id)
    if (succeeded && now !== undefined) yield* call(id, now)
  })

  const refresh = (id: string, visit: Visit) =>
    tokens(id, visit, {
      phase: "refresh",
      title: "The client gets new tokens",
      note: "No person is needed. The refresh token is replaced with each use, so that a stolen one is noticed."
    }, { grant_type: "refresh_token", refresh_token: visit.refreshToken ?? "" })

  /** Ends the grant, and shows that the access token has ended with it. */
  const signOut = Effect.fnUntraced(function*(id: string, visit: Visit) {
    yield* exchange(id, {
      phase: "sign-out",
      title: "The client gives its access back",
      note: "The grant ends here, and the server ends its own at Okta (RFC 7009)."
    }, ...postForm("/oauth/revoke", { client_id: visit.clientId ?? "", token: visit.refreshToken ?? "" }))
    yield* tool(id, visit.accessToken, {
      phase: "sign-out",
      title: "The client tries the old access token once more",
      note: "It is refused at once, though its time is not over."
    })
    yield* visits.change(id, signedOut)
  })

  return { begin, comeBack, call, refresh, signOut }
})
