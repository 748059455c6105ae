import { assert, describe, layer } from "@effect/vitest"
import { Client } from "@modelcontextprotocol/sdk/client/index.js"
import { StreamableHTTPClientTransport } from "@modelcontextprotocol/sdk/client/streamableHttp.js"
import { McpServer } from "@modelcontextprotocol/sdk/server/mcp.js"
import { StreamableHTTPServerTransport } from "@modelcontextprotocol/sdk/server/streamableHttp.js"
import { Effect, Exit, Fiber, Logger, Scope } from "effect"
import { TestClock } from "effect/testing"
import type { IncomingMessage, RequestListener } from "node:http"
import { connect } from "node:net"
import { PassThrough, Readable } from "node:stream"
import { text } from "node:stream/consumers"
import { gunzipSync, gzipSync } from "node:zlib"
import { nativeClient, serviceClient } from "../../src/demo/StandInDirectory.ts"
import { OktaStandIn } from "../support/OktaStandIn.ts"
import { begin, exchange, front, httpServer, once, type Sent, serve } from "./Serving.ts"

interface Received {
  readonly method: string
  readonly url: string
  readonly headers: IncomingMessage["headers"]
  readonly rawHeaders: ReadonlyArray<string>
  readonly body: string
}

/** A gateway in front of a server of Node's, and what a signed-in client needs to go through it. */
const gateway = Effect.fnUntraced(function*(handler: RequestListener, path = "") {
  const okta = yield* OktaStandIn
  const upstream = yield* httpServer(handler)
  const url = yield* serve(okta, { upstream: upstream + path })
  const authorization = `Bearer ${yield* okta.mint()}`
  const signedIn = ({ headers, ...sent }: Sent): Sent => ({ ...sent, headers: { authorization, ...headers } })
  return {
    url,
    upstream,
    authorization,
    begin: (sent: Sent = {}) => begin(url, signedIn(sent)),
    exchange: (sent: Sent = {}) => exchange(url, signedIn(sent))
  }
})

/** A gateway whose upstream answers 200 to everything, and remembers it. */
const recording = Effect.fnUntraced(function*(path?: string) {
  const received: Array<Received> = []
  const through = yield* gateway(async (request, response) => {
    const { headers, method = "", rawHeaders, url = "" } = request
    received.push({ method, url, headers, rawHeaders, body: await text(request) })
    response.end("answered")
  }, path)
  return { ...through, received }
})

const readUntil = (stream: Readable, wanted: string): Effect.Effect<void> =>
  Effect.callback((resume) => {
    let seen = ""
    const read = (chunk: Buffer) => {
      seen += chunk.toString()
      if (!seen.includes(wanted)) return
      stream.off("data", read)
      resume(Effect.void)
    }
    stream.on("data", read)
  })

layer(OktaStandIn.layer())("gateway", (it) => {
  describe("streaming", () => {
    it.effect("an answer's headers and each of its chunks arrive before it ends", () =>
      Effect.gen(function*() {
        const headersSeen = once()
        const firstSeen = once()
        const { begin } = yield* gateway(async (_, response) => {
          response.writeHead(200, { "content-type": "text/event-stream" }).flushHeaders()
          await Effect.runPromise(headersSeen.happened)
          response.write("data: first\n\n")
          await Effect.runPromise(firstSeen.happened)
          response.end("data: second\n\n")
        })
        const { answer } = yield* begin()
        const response = yield* answer
        assert.strictEqual(response.headers["content-type"], "text/event-stream")
        headersSeen.happens()
        yield* readUntil(response, "data: first\n\n")
        firstSeen.happens()
        assert.strictEqual(yield* Effect.promise(() => text(response)), "data: second\n\n")
      }))

    it.effect("a request's chunks arrive one by one, while the answer is under way", () =>
      Effect.gen(function*() {
        const { begin } = yield* gateway((request, response) => {
          response.flushHeaders()
          request.on("data", (chunk: Buffer) => response.write(`got ${chunk.toString()};`))
          request.on("end", () => response.end("got all"))
        })
        const body = new PassThrough()
        const { answer } = yield* begin({ method: "POST", body })
        body.write("one")
        const response = yield* answer
        yield* readUntil(response, "got one;")
        body.write("two")
        yield* readUntil(response, "got two;")
        body.end()
        assert.strictEqual(yield* Effect.promise(() => text(response)), "got all")
      }))

    it.effect("the upstream may answer before it has read the request", () =>
      Effect.gen(function*() {
        const { begin, exchange } = yield* gateway((request, response) => {
          if (request.method === "POST") response.writeHead(413).end("too large")
          else response.end("still there")
        })
        const body = new PassThrough()
        const { answer } = yield* begin({ method: "POST", body })
        body.write("the first of very much")
        const response = yield* answer
        assert.strictEqual(response.statusCode, 413)
        assert.strictEqual(yield* Effect.promise(() => text(response)), "too large")
        assert.strictEqual((yield* exchange()).body.toString(), "still there")
      }))

    it.effect("a client that asks whether to go on is told to", () =>
      Effect.gen(function*() {
        const { begin, received } = yield* recording()
        const body = new PassThrough()
        const { answer, sent } = yield* begin({ method: "POST", headers: { expect: "100-continue" }, body })
        yield* Effect.callback<void>((resume) => {
          sent.on("continue", () => resume(Effect.void)).flushHeaders()
        })
        body.end("all of it")
        assert.strictEqual((yield* answer).statusCode, 200)
        assert.deepStrictEqual(received.map(({ body, headers }) => [body, headers["expect"]]), [[
          "all of it",
          undefined
        ]])
      }))

    const size = 192 * 1024 * 1024
    const bounded = 48 * 1024 * 1024

    /** Bytes as they are asked for, and how many were. */
    const source = () => {
      const chunk = Buffer.alloc(64 * 1024, "x")
      let given = 0
      const stream = new Readable({
        read() {
          given += chunk.length
          this.push(given > size ? null : chunk)
        }
      })
      return { stream, given: () => given }
    }

    /** Waits until no more bytes are taken, however many other requests have gone through meanwhile. */
    const standstill = Effect.fnUntraced(
      function*(given: () => number, exchange: (sent: Sent) => Effect.Effect<unknown>) {
        for (let still = 0, last = -1; still < 20; still = given() === last ? still + 1 : 0) {
          last = given()
          yield* exchange({ path: "/mcp/other" })
        }
      }
    )

    it.effect("a large answer waits for a client that does not read", () =>
      Effect.gen(function*() {
        const { given, stream } = source()
        const { begin, exchange } = yield* gateway((request, response) => {
          if (request.url === "/mcp/other") response.end()
          else stream.pipe(response)
        })
        const { answer } = yield* begin()
        const response = yield* answer
        yield* standstill(given, exchange)
        assert.isBelow(given(), bounded)
        let read = 0
        yield* Effect.promise(async () => {
          for await (const chunk of response) read += chunk.length
        })
        assert.strictEqual(read, size)
      }))

    it.effect("a large request waits for an upstream that does not read", () =>
      Effect.gen(function*() {
        const { given, stream } = source()
        const mayRead = once()
        const { begin, exchange } = yield* gateway(async (request, response) => {
          if (request.url === "/mcp/other") return void response.end()
          await Effect.runPromise(mayRead.happened)
          let read = 0
          for await (const chunk of request) read += chunk.length
          response.end(String(read))
        })
        const { answer } = yield* begin({ method: "POST", body: stream })
        yield* standstill(given, exchange)
        assert.isBelow(given(), bounded)
        mayRead.happens()
        const response = yield* answer
        assert.strictEqual(yield* Effect.promise(() => text(response)), String(size))
      }))
  })

  describe("what is forwarded", () => {
    it.effect("the request as it is, but for headers of the connection and the caller's credentials", () =>
      Effect.gen(function*() {
        const { exchange, received, upstream } = yield* recording()
        yield* exchange({
          method: "POST",
          path: "/mcp/messages",
          body: "{\"jsonrpc\":\"2.0\"}",
          headers: {
            "connection": "close, X-Hop, x-okta-email",
            "x-hop": "1",
            "keep-alive": "timeout=5",
            "te": "trailers",
            "trailer": "x-checksum",
            "proxy-connection": "keep-alive",
            "proxy-authorization": "Basic c2VjcmV0",
            "cookie": "session=secret",
            "content-type": "application/json",
            "accept": "application/json, text/event-stream",
            "accept-encoding": "br, gzip",
            "mcp-session-id": "abc",
            "x-forwarded-for": "192.0.2.1",
            "x-forwarded-host": "evil.example",
            "x_forwarded_proto": "https",
            "x-forwarded": "for=192.0.2.1",
            "forwarded": "for=192.0.2.1",
            "x-twice": ["one", "two"]
          }
        })
        const [request] = received
        assert.isDefined(request)
        const { connection, "x-okta-client-id": _, "x-okta-groups": __, "x-okta-subject": ___, ...headers } =
          request.headers
        assert.strictEqual(connection, "keep-alive")
        assert.deepStrictEqual(headers, {
          "host": new URL(upstream).host,
          "transfer-encoding": "chunked",
          "content-type": "application/json",
          "accept": "application/json, text/event-stream",
          "accept-encoding": "br, gzip",
          "mcp-session-id": "abc",
          "x-twice": "one, two",
          "x-okta-scopes": "openid mcp:read mcp:write"
        })
        assert.strictEqual(request.url, "/mcp/messages")
        assert.strictEqual(request.body, "{\"jsonrpc\":\"2.0\"}")
      }))

    it.effect.each([
      { method: "GET", body: undefined },
      { method: "HEAD", body: undefined },
      { method: "OPTIONS", body: undefined },
      { method: "DELETE", body: undefined },
      { method: "DELETE", body: "why" },
      { method: "POST", body: undefined },
      { method: "PUT", body: "all" },
      { method: "PATCH", body: "part" },
      { method: "QUERY", body: "select" },
      { method: "PROPFIND", body: "<propfind/>" }
    ])("$method with the body $body", ({ body, method }) =>
      Effect.gen(function*() {
        const { exchange, received } = yield* recording()
        const { body: answer, status } = yield* exchange({
          method,
          ...body !== undefined && { body, headers: { "content-length": String(body.length) } }
        })
        assert.strictEqual(status, 200)
        assert.strictEqual(answer.toString(), method === "HEAD" ? "" : "answered")
        assert.deepStrictEqual(
          received.map(({ body, headers, method }) => [method, body, headers["transfer-encoding"]]),
          [[method, body ?? "", undefined]]
        )
      }))

    it.effect.each([
      "?",
      "?a=1&a=2&b",
      "?q=%20+%2B%2f%2F&x=%C3%A9",
      "?broken=%zz&=&&==?",
      "?quotes='a'\"b\"<c>|{d}^`e`\\",
      "?up=../../etc&to=http://127.0.0.1/"
    ])("the query %s, byte for byte", (query) =>
      Effect.gen(function*() {
        const { exchange, received } = yield* recording()
        yield* exchange({ path: `/mcp/a%20b${query}` })
        assert.deepStrictEqual(received.map(({ url }) => url), [`/mcp/a%20b${query}`])
      }))

    it.effect("long paths", () =>
      Effect.gen(function*() {
        const { exchange, received } = yield* recording()
        const path = `/mcp/${"long".repeat(500)}/${"deep/".repeat(100)}end`
        yield* exchange({ path })
        assert.deepStrictEqual(received.map(({ url }) => url), [path])
      }))

    it.effect.each([
      { base: "", asked: "/mcp", got: "/mcp" },
      { base: "/", asked: "/mcp/", got: "/mcp/" },
      { base: "/api/v1", asked: "/mcp", got: "/api/v1" },
      { base: "/api/v1", asked: "/mcp?x=1", got: "/api/v1?x=1" },
      { base: "/api/v1/", asked: "/mcp/users?x=1", got: "/api/v1/users?x=1" }
    ])("$asked as $got to an upstream with the path \"$base\"", ({ asked, base, got }) =>
      Effect.gen(function*() {
        const { exchange, received } = yield* recording(base)
        yield* exchange({ path: asked })
        assert.deepStrictEqual(received.map(({ url }) => url), [got])
      }))
  })

  describe("the path cannot be left", () => {
    it.effect.each([
      "/mcp/../admin",
      "/mcp/..",
      "/mcp/x/../../admin",
      "/mcp/./x",
      "/mcp/%2e%2e/admin",
      "/mcp/%2E./admin",
      "/mcp/.%2e",
      "/mcp/..%2fadmin",
      "/mcp%2f..%2fadmin",
      "/mcp/..\\admin",
      "/mcp\\..\\admin",
      "/mcp/%5c../admin",
      "/mcp/..;/admin",
      "/mcp/..;a=b/admin",
      "/mcp;/../admin",
      "/mcp;admin",
      "/mcp#/../admin",
      "/mcp/x#y",
      "//mcp/../admin",
      "/admin/../mcp",
      "/./mcp",
      "/mcpx",
      "/%6dcp/x",
      "/admin",
      "/",
      "*",
      "http://127.0.0.1/admin",
      "http://127.0.0.1/mcp/%2e%2e/admin"
    ])("%s", (path) =>
      Effect.gen(function*() {
        const { exchange, received } = yield* recording("/public")
        const { status } = yield* exchange({ path })
        assert.oneOf(status, [400, 404])
        assert.deepStrictEqual(received, [])
      }))

    it.effect.each([
      { asked: "//mcp//x", got: "/mcp/x" },
      { asked: "/MCP/X", got: "/mcp/X" },
      { asked: "/mcp/..x/...", got: "/mcp/..x/..." },
      { asked: "/mcp/a..b/%2e%2ec", got: "/mcp/a..b/%2e%2ec" },
      { asked: "http://127.0.0.1/mcp/x?y", got: "/mcp/x?y" }
    ])("$asked is inside", ({ asked, got }) =>
      Effect.gen(function*() {
        const { exchange, received } = yield* recording()
        assert.strictEqual((yield* exchange({ path: asked })).status, 200)
        assert.deepStrictEqual(received.map(({ url }) => url), [got])
      }))
  })

  describe("who is calling", () => {
    const identityOf = (headers: IncomingMessage["headers"]) =>
      Object.fromEntries(Object.entries(headers).filter(([name]) => /^x.okta/.test(name)))

    it.effect.each([
      {
        who: "a person",
        claims: {
          sub: "ada@example.com",
          email: "ada@example.com",
          groups: ["Everyone", "Engineering"],
          scp: ["a", "b"]
        },
        headers: {
          "x-okta-subject": "ada@example.com",
          "x-okta-client-id": nativeClient.clientId,
          "x-okta-scopes": "a b",
          "x-okta-email": "ada@example.com",
          "x-okta-groups": "Everyone,Engineering"
        }
      },
      {
        who: "a person without email and groups",
        claims: { sub: "ada", groups: undefined, scp: [] },
        headers: { "x-okta-subject": "ada", "x-okta-client-id": nativeClient.clientId, "x-okta-scopes": "" }
      },
      {
        who: "a person with a name beyond ASCII, in groups with odd names",
        claims: {
          sub: "Zażółć\r\nX-Okta-Groups: Admins",
          email: "100%\u{1f600}@example.com",
          groups: ["Sales, EMEA", "R&D", " Admins", "Ops ", "a,b%2Cc"],
          scp: ["a"]
        },
        headers: {
          "x-okta-subject": "Za%C5%BC%C3%B3%C5%82%C4%87%0D%0AX-Okta-Groups: Admins",
          "x-okta-client-id": nativeClient.clientId,
          "x-okta-scopes": "a",
          "x-okta-email": "100%25%F0%9F%98%80@example.com",
          "x-okta-groups": "Sales%2C EMEA,R&D,%20Admins,Ops%20,a%2Cb%252Cc"
        }
      },
      {
        who: "a service",
        claims: {
          sub: serviceClient.clientId,
          cid: serviceClient.clientId,
          uid: undefined,
          groups: undefined,
          scp: ["a"]
        },
        headers: {
          "x-okta-subject": serviceClient.clientId,
          "x-okta-client-id": serviceClient.clientId,
          "x-okta-scopes": "a"
        }
      }
    ])("$who", ({ claims, headers }) =>
      Effect.gen(function*() {
        const okta = yield* OktaStandIn
        const { exchange, received } = yield* recording()
        yield* exchange({ headers: { authorization: `Bearer ${yield* okta.mint(claims)}` } })
        assert.deepStrictEqual(received.map(({ headers }) => identityOf(headers)), [headers])
      }))

    it.effect("cannot be pretended", () =>
      Effect.gen(function*() {
        const okta = yield* OktaStandIn
        const { exchange, received } = yield* recording()
        yield* exchange({
          headers: {
            "authorization": `Bearer ${yield* okta.mint({ sub: "ada", groups: undefined, scp: ["a"] })}`,
            "X-Okta-Subject": "root",
            "x-okta-groups": "Admins",
            "x-okta-anything": "1",
            "X_Okta_Email": "root@example.com",
            "x-okta_subject": "root",
            "x.okta.subject": "root"
          }
        })
        assert.deepStrictEqual(received.map(({ headers }) => identityOf(headers)), [{
          "x-okta-subject": "ada",
          "x-okta-client-id": nativeClient.clientId,
          "x-okta-scopes": "a"
        }])
      }))

    it.effect.each([
      { what: "no token", authorization: {}, status: 401 },
      { what: "a bad token", authorization: { authorization: "Bearer a.b.c" }, status: 401 },
      { what: "two tokens", authorization: { authorization: ["Bearer a.b.c", "Bearer a.b.c"] }, status: 400 }
    ])("$what does not reach the upstream", ({ authorization, status }) =>
      Effect.gen(function*() {
        const { received, url } = yield* recording()
        for (const method of ["GET", "POST", "DELETE", "QUERY", "PROPFIND"]) {
          const answer = yield* exchange(url, { method, headers: authorization })
          assert.strictEqual(answer.status, status)
          assert.match(answer.headers["www-authenticate"] ?? "", /^Bearer/)
        }
        assert.deepStrictEqual(received, [])
      }))
  })

  it.effect.each([
    { host: "evil.example" },
    { origin: "https://evil.example" },
    { origin: "null" }
  ])("a web page that got hold of a token does not reach the upstream: %j", (headers) =>
    Effect.gen(function*() {
      const { exchange, received } = yield* recording()
      assert.strictEqual((yield* exchange({ method: "POST", headers })).status, 403)
      assert.deepStrictEqual(received, [])
    }))

  describe("what comes back", () => {
    it.effect("status, headers and body as they are, but for headers of the connection", () =>
      Effect.gen(function*() {
        const zipped = gzipSync("a secret of the upstream")
        const { exchange } = yield* gateway((_, response) => {
          response.writeHead(
            418,
            [
              ["Connection", "close, X-Hop"],
              ["X-Hop", "1"],
              ["Keep-Alive", "timeout=77"],
              ["Proxy-Authenticate", "Basic"],
              ["Date", "Tue, 15 Nov 1994 08:12:31 GMT"],
              ["Content-Type", "text/plain; charset=ISO-8859-1"],
              ["Content-Encoding", "gzip"],
              ["Content-Length", String(zipped.length)],
              ["Mcp-Session-Id", "abc"],
              ["Vary", "Origin"],
              ["Vary", "Accept"],
              ["X-Caf\u00e9".replace("\u00e9", "e"), "caf\u00e9"],
              ["WWW-Authenticate", "Bearer realm=\"upstream\""],
              ["Set-Cookie", "a=1; Path=/one; Expires=Tue, 15 Nov 1994 08:12:31 GMT; SameSite=Lax; Unheard=of"],
              ["Set-Cookie", "a=2; Path=/two"],
              ["Set-Cookie", "not really a cookie"]
            ].flat()
          ).end(zipped)
        })
        const { body, headers, status } = yield* exchange()
        assert.strictEqual(status, 418)
        assert.strictEqual(gunzipSync(body).toString(), "a secret of the upstream")
        assert.deepStrictEqual(headers, {
          "connection": "close",
          "date": "Tue, 15 Nov 1994 08:12:31 GMT",
          "content-type": "text/plain; charset=ISO-8859-1",
          "content-encoding": "gzip",
          "content-length": String(zipped.length),
          "mcp-session-id": "abc",
          "vary": "Origin, Accept",
          "x-cafe": "caf\u00e9",
          "www-authenticate": "Bearer realm=\"upstream\"",
          "set-cookie": [
            "a=1; Path=/one; Expires=Tue, 15 Nov 1994 08:12:31 GMT; SameSite=Lax; Unheard=of",
            "a=2; Path=/two",
            "not really a cookie"
          ]
        })
      }))

    it.effect.each([
      { status: 302, headers: { location: "http://elsewhere.example/%7Ex?a='b'" } },
      { status: 308, headers: { location: "../other" } },
      { status: 304, headers: { etag: "\"1\"", "content-length": "5" } },
      { status: 204, headers: {} },
      { status: 401, headers: { "www-authenticate": "Bearer error=\"invalid_token\"" } },
      { status: 503, headers: { "retry-after": "7" } }
    ])("$status is the client's to deal with", ({ headers, status }) =>
      Effect.gen(function*() {
        const asked: Array<string | undefined> = []
        const { exchange } = yield* gateway((request, response) => {
          asked.push(request.url)
          response.writeHead(status, headers).end()
        })
        const answer = yield* exchange({ path: "/mcp/here" })
        assert.strictEqual(answer.status, status)
        assert.deepInclude(answer.headers, headers)
        assert.notProperty(answer.headers, "content-type")
        assert.deepStrictEqual(asked, ["/mcp/here"])
      }))

    it.effect("HEAD tells the length and sends nothing", () =>
      Effect.gen(function*() {
        const { exchange } = yield* gateway((_, response) =>
          void response.writeHead(200, { "content-length": 9 }).end()
        )
        const { body, headers } = yield* exchange({ method: "HEAD" })
        assert.strictEqual(headers["content-length"], "9")
        assert.strictEqual(body.length, 0)
      }))
  })

  describe("trouble", () => {
    it.effect("an upstream that is down is 502", () =>
      Effect.gen(function*() {
        const okta = yield* OktaStandIn
        const gone = yield* Effect.scoped(httpServer(() => {}))
        const url = yield* serve(okta, { upstream: gone })
        const { body, headers, status } = yield* exchange(url, {
          method: "POST",
          body: "a request",
          headers: { authorization: `Bearer ${yield* okta.mint()}` }
        })
        assert.strictEqual(status, 502)
        assert.strictEqual(headers["cache-control"], "no-store")
        assert.deepStrictEqual(JSON.parse(body.toString()), {
          error: "bad_gateway",
          error_description: "The server behind this one cannot be reached."
        })
      }))

    it.effect("an upstream that fails is told at once, once a minute and when it is back, each way of failing by itself", () => {
      const logged: Array<string> = []
      return Effect.gen(function*() {
        let [isAway, isSlow] = [true, false]
        const arrived = once()
        const { begin, exchange } = yield* gateway((request, response) => {
          if (isAway) return void request.socket.destroy()
          if (!isSlow) return void response.end("fine")
          arrived.happens()
        })
        const ask = Effect.map(exchange(), ({ status }) => status)
        const crowd = Effect.replicateEffect(ask, 5)
        for (let minute = 1; minute <= 3; minute++) {
          assert.deepStrictEqual(yield* crowd, [502, 502, 502, 502, 502])
          assert.lengthOf(logged, minute)
          assert.match(logged[minute - 1] ?? "", /^Warn: The upstream cannot be reached: /)
          yield* TestClock.adjust("1 minute")
        }
        yield* ask
        isAway = false
        isSlow = true
        const { answer } = yield* begin()
        yield* arrived.happened
        yield* TestClock.adjust("60 seconds")
        assert.strictEqual((yield* answer).statusCode, 504)
        assert.match(logged[4] ?? "", /^Warn: The upstream did not begin to answer in time/)
        isSlow = false
        assert.deepStrictEqual(yield* crowd, [200, 200, 200, 200, 200])
        assert.deepStrictEqual(logged.slice(5), ["Info: The upstream is available again"])
      }).pipe(
        Effect.provide(Logger.layer([Logger.make(({ logLevel, message }) => {
          if (String(message).includes("pstream")) logged.push(`${logLevel}: ${String(message)}`)
        })]))
      )
    })

    it.effect("an upstream that hangs up without an answer, or answers something else than HTTP, is 502", () =>
      Effect.gen(function*() {
        const { exchange } = yield* gateway((request, response) => {
          if (request.url === "/mcp/silent") request.socket.destroy()
          else response.socket?.end("SSH-2.0-OpenSSH\r\n")
        })
        assert.strictEqual((yield* exchange({ path: "/mcp/silent" })).status, 502)
        assert.strictEqual((yield* exchange({ path: "/mcp/other" })).status, 502)
      }))

    it.effect("an upstream that is slow to answer is 504, and is told that nobody waits any longer", () =>
      Effect.gen(function*() {
        const arrived = once()
        const abandoned = once()
        const { begin } = yield* gateway((_, response) => {
          response.on("close", abandoned.happens)
          arrived.happens()
        })
        const { answer } = yield* begin({ method: "POST", body: new PassThrough().end("all there is") })
        yield* arrived.happened
        yield* TestClock.adjust("60 seconds")
        const response = yield* answer
        assert.strictEqual(response.statusCode, 504)
        assert.strictEqual(JSON.parse(yield* Effect.promise(() => text(response))).error, "gateway_timeout")
        yield* abandoned.happened
      }))

    it.effect("an answer that has begun may take as long as it likes", () =>
      Effect.gen(function*() {
        const late = once()
        const { begin } = yield* gateway(async (_, response) => {
          response.write("early, ")
          await Effect.runPromise(late.happened)
          response.end("late")
        })
        const { answer } = yield* begin()
        const response = yield* answer
        yield* TestClock.adjust("3 hours")
        late.happens()
        assert.strictEqual(yield* Effect.promise(() => text(response)), "early, late")
      }))

    it.effect("an answer that breaks off does not look whole", () =>
      Effect.gen(function*() {
        const begun = once()
        const { begin } = yield* gateway(async (_, response) => {
          response.write("the first half")
          await Effect.runPromise(begun.happened)
          response.socket?.destroy()
        })
        const { answer } = yield* begin()
        const response = yield* answer
        yield* readUntil(response, "the first half")
        begun.happens()
        const end = yield* Effect.promise(() => text(response).then(() => "whole", () => "broken"))
        assert.strictEqual(end, "broken")
      }))

    it.effect.each([
      { when: "before the answer", method: "GET", begins: false },
      { when: "in the middle of the answer", method: "GET", begins: true },
      { when: "in the middle of the request", method: "POST", begins: false }
    ])("a client that goes away $when ends the upstream's request, without a word in the log", ({ begins, method }) => {
      const logged: Array<unknown> = []
      return Effect.gen(function*() {
        const arrived = once()
        const gone = once()
        const { begin, exchange } = yield* gateway((request, response) => {
          if (request.url === "/mcp/other") return void response.end("fine")
          request.on("error", () => {})
          response.on("close", gone.happens)
          if (begins) response.write("data: first\n\n")
          arrived.happens()
        })
        const body = new PassThrough()
        const { answer, sent } = yield* begin({ method, ...method === "POST" && { body } })
        body.write("the first half")
        yield* arrived.happened
        if (begins) yield* readUntil(yield* answer, "data: first\n\n")
        sent.destroy()
        yield* gone.happened
        assert.strictEqual((yield* exchange({ path: "/mcp/other" })).body.toString(), "fine")
        assert.deepStrictEqual(logged, [])
      }).pipe(
        Effect.provide(Logger.layer([Logger.make(({ message }) => {
          if (!String(message).includes("SERVER_URL")) logged.push(message)
        })]))
      )
    })
  })

  it.effect("when the server stops, an answer without an end is cut after 20 seconds", () =>
    Effect.gen(function*() {
      const scope = yield* Scope.make()
      const { begin } = yield* Scope.provide(gateway((_, response) => void response.write("data: first\n\n")), scope)
      const { answer } = yield* begin()
      const response = yield* answer
      yield* readUntil(response, "data: first\n\n")
      const stopping = yield* Effect.forkChild(Scope.close(scope, Exit.void), { startImmediately: true })
      yield* TestClock.adjust("19 seconds")
      assert.isFalse(response.destroyed)
      yield* TestClock.adjust("1 second")
      yield* Fiber.join(stopping)
      assert.strictEqual(yield* Effect.promise(() => text(response).then(() => "whole", () => "broken")), "broken")
    }))

  it.effect("an upgrade is not forwarded: the upstream sees a plain request, the client a plain answer", () =>
    Effect.gen(function*() {
      const { authorization, received, url } = yield* recording()
      const upgrade = (...headers: ReadonlyArray<string>) =>
        Effect.callback<string>((resume) => {
          const { hostname, port } = new URL(url)
          const socket = connect(Number(port), hostname)
          let answer = ""
          socket.on("data", (chunk) => {
            answer += chunk.toString()
          }).on("close", () => resume(Effect.succeed(answer)))
          socket.write([
            "GET /mcp HTTP/1.1",
            `Host: ${hostname}:${port}`,
            "Connection: Upgrade",
            "Upgrade: websocket",
            "Sec-WebSocket-Version: 13",
            "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
            ...headers,
            "\r\n"
          ].join("\r\n"))
          return Effect.sync(() => socket.destroy())
        })
      assert.match(yield* upgrade(), /^HTTP\/1.1 401 /)
      assert.deepStrictEqual(received, [])
      const answer = yield* upgrade(`Authorization: ${authorization}`)
      assert.match(answer, /^HTTP\/1.1 200 OK\r\n/)
      assert.include(answer, "answered")
      assert.deepStrictEqual(received.map(({ headers }) => [headers["upgrade"], headers["connection"]]), [
        [undefined, "keep-alive"]
      ])
    }))

  it.effect("metadata, health and challenges are the gateway's own", () =>
    Effect.gen(function*() {
      const okta = yield* OktaStandIn
      const received: Array<string | undefined> = []
      const upstream = yield* httpServer(({ url }, response) => {
        received.push(url)
        response.end()
      })
      let target = ""
      const serverUrl = yield* front(() => target)
      target = yield* serve(okta, { upstream }, { SERVER_URL: serverUrl })
      const metadataUrl = `${serverUrl}/.well-known/oauth-protected-resource/mcp`
      const { headers } = yield* exchange(`${serverUrl}/mcp/anything`)
      assert.include(headers["www-authenticate"], `resource_metadata="${metadataUrl}"`)
      const { body } = yield* exchange(metadataUrl)
      assert.deepInclude(JSON.parse(body.toString()), {
        resource: `${serverUrl}/mcp`,
        authorization_servers: [okta.issuer]
      })
      assert.strictEqual((yield* exchange(`${serverUrl}/healthz`)).status, 200)
      assert.strictEqual((yield* exchange(`${serverUrl}/readyz`)).status, 200)
      assert.deepStrictEqual(received, [])
    }))

  it.effect("an MCP server of the SDK behind it tells a client of the SDK who it is", () =>
    Effect.gen(function*() {
      const { authorization, url } = yield* gateway(async (request, response) => {
        const server = new McpServer({ name: "behind", version: "1.0.0" })
        server.registerTool("whoami", { description: "Who the gateway says is calling" }, ({ requestInfo }) => ({
          content: [{ type: "text", text: String(requestInfo?.headers["x-okta-subject"]) }]
        }))
        const transport = new StreamableHTTPServerTransport({})
        response.on("close", () => void server.close())
        await server.connect(transport)
        await transport.handleRequest(request, response)
      })
      const client = new Client({ name: "test", version: "1.0.0" })
      const transport = new StreamableHTTPClientTransport(new URL(url), { requestInit: { headers: { authorization } } })
      yield* Effect.acquireRelease(
        Effect.promise(() => client.connect(transport)),
        () => Effect.promise(() => client.close())
      )
      assert.deepStrictEqual((yield* Effect.promise(() => client.listTools())).tools.map(({ name }) => name), [
        "whoami"
      ])
      const { content } = yield* Effect.promise(() => client.callTool({ name: "whoami" }))
      assert.deepStrictEqual(content, [{ type: "text", text: "ada@example.com" }])
    }))
})
