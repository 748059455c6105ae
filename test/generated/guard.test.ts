import { assert, layer } from "@effect/vitest"
import { Effect, Layer } from "effect"
import { TestClock } from "effect/testing"
import * as fc from "fast-check"
import { connect } from "node:net"
import * as OktaAuth from "../../src/OktaAuth.ts"
import { OktaTest } from "../../src/testing/OktaTest.ts"
import { GuardedServer, serverUrl, startedAt } from "../support/GuardedServer.ts"
import { goodClaims, RawIssuer } from "../support/RawIssuer.ts"
import { nasty, place } from "./Arbitraries.ts"
import { type Got, serve } from "./InProcess.ts"
import { generated, timeout } from "./plan.ts"

/** Guarded routes without sockets, and a token that opens them. */
const served = Effect.gen(function*() {
  yield* TestClock.setTime(startedAt * 1000)
  const auth = OktaAuth.layer({
    issuer: OktaTest.issuer,
    audience: OktaTest.audience,
    serverUrl,
    protectedPaths: ["/mcp", "/files"]
  })
  const issuer = yield* RawIssuer
  return { send: yield* serve(auth, serverUrl), good: issuer.token(), bad: badOf(issuer) }
})

/** Tokens that are no good, of every kind. */
const badOf = (issuer: RawIssuer["Service"]) => {
  const good = issuer.token()
  return fc.oneof(
    fc.tuple(place, place).map(([from, to]) =>
      good.slice(0, Math.floor(from * good.length)) + good.slice(Math.floor(to * good.length))
    ).filter((token) => token !== good && token !== ""),
    fc.constantFrom(
      issuer.token({ key: issuer.stranger, header: { alg: "RS256", kid: issuer.key.kid } }),
      issuer.token({ key: issuer.stranger }),
      issuer.token({ key: issuer.ec, alg: "ES256" }),
      issuer.token({ alg: "none" }),
      issuer.token({ alg: "HS256" }),
      ...[{ exp: startedAt - 3600 }, { aud: "api://other" }, { iss: `${OktaTest.issuer}/` }, { sub: "" }, {
        nonce: "n"
      }].map(
        (claims) => issuer.token({ payload: goodClaims(claims) })
      )
    )
  )
}

const visible = nasty.map((text) => text.replace(/[^\t -~]/g, ""))

/** A refusal as RFC 6750 and RFC 9449 have it: JSON, and one header of challenges, the first of which says the same. */
const assertRefusal = ({ body, headers, status }: Got, expected: number, error: string | undefined) => {
  assert.strictEqual(status, expected, body)
  const text = error === undefined ? "" : `"error":"${error}",`
  assert.match(body, new RegExp(`^\\{${text}"error_description":"[^"]+"\\}$`))
  assert.strictEqual(headers.get("cache-control"), "no-store")
  const challenge = headers.get("www-authenticate") ?? ""
  assert.match(challenge, /^(?:(?:Bearer|DPoP) (?:\w+="[^"]*"(?:, (?=\w)|$))+){1,2}$/)
  assert.strictEqual(/[ ]error="(\w+)"/.exec(challenge)?.[1], error)
}

layer(RawIssuer.layer)("the guard", (it) => {
  it.effect("#60 #61 #65 answers every Authorization header as RFC 6750 says", () =>
    Effect.gen(function*() {
      const { bad, good, send } = yield* served
      const credentials = fc.oneof(
        bad,
        visible,
        fc.constantFrom(
          good,
          `${good},${good}`,
          `${good} x`,
          `token="${good}"`,
          `Bearer ${good}`,
          `"${good}"`,
          `${good}=`
        )
      )
      const header = fc.tuple(
        fc.constantFrom("Bearer", "bearer", "BEARER", "bEaReR", "Bear", "Bearers", "Basic", "DPoP", "Bearer:", ""),
        fc.constantFrom(" ", " ", " ", "  ", "   ", "\t", "", ",", " , ", "="),
        credentials
      ).map((parts) => parts.join(""))
      yield* generated("Authorization headers", header, async (authorization) => {
        const sent = authorization.trim()
        const [, scheme, token] = /^(bearer|dpop)(?: +(.*))?$/i.exec(sent) ?? []
        fc.pre(token !== good || scheme === "DPoP")
        const got = await send({ path: "/any", headers: { authorization } })
        assert(got !== undefined)
        if (!/^(?:bearer|dpop)(?: |$)/i.test(sent)) assertRefusal(got, 401, undefined)
        else if (token === undefined || /[ ,]/.test(token)) assertRefusal(got, 400, "invalid_request")
        else assertRefusal(got, 401, "invalid_token")
      })
    }), timeout)

  it.effect(
    "#64 #68 #72 #73 lets nobody in without a token that is good, by whatever method, path and headers",
    () =>
      Effect.gen(function*() {
        const { bad, good, send } = yield* served
        const path = fc.tuple(
          fc.constantFrom(
            "/mcp",
            "/mcp/",
            "//mcp",
            "/MCP",
            "/%6dcp",
            "/mcp%2F",
            "/mcp%00",
            "/./mcp",
            "/x/../mcp",
            "/any",
            "/files"
          ),
          fc.oneof(
            { weight: 2, arbitrary: fc.constant("") },
            visible.map((text) => `/${text}`),
            visible.map((text) => `?${text}`),
            fc.constant(`?access_token=${good}`),
            fc.constant(`?x=1&access_token=${good}`)
          )
        ).map((parts) => parts.join(""))
        const headers = fc.dictionary(
          fc.constantFrom(
            "host",
            "origin",
            "cookie",
            "x-forwarded-host",
            "x-forwarded-uri",
            "x-forwarded-user",
            "x-original-url",
            "x-http-method-override",
            "x-okta-subject",
            "proxy-authorization",
            "x-authorization",
            "access-control-request-headers"
          ),
          fc.oneof(visible, fc.constantFrom(`Bearer ${good}`, "https://evil.example", "mcp.example.com")),
          { maxKeys: 3, noNullPrototype: true }
        )
        const method = fc.constantFrom("GET", "POST", "PUT", "DELETE", "PATCH", "HEAD", "OPTIONS", "PURGE", "get")
        const credentials = fc.option(bad, { nil: undefined })
        yield* generated("guarded requests", fc.tuple(method, path, headers, credentials), async (value) => {
          const [method, path, headers, token] = value
          const authorization = token === undefined ? {} : { authorization: `Bearer ${token}` }
          const got = await send({ method, path, headers: { ...headers, ...authorization } })
          fc.pre(got !== undefined)
          assert.include([204, 400, 401, 403, 404, 405], got?.status, got?.body)
          if (/^\/(?:mcp|any|files)(?:\?|$)/.test(path) && method !== "OPTIONS") {
            assert.include([400, 401], got?.status)
          }
          assert.notInclude(got?.body, goodClaims().sub)
        })
      }),
    timeout
  )
})

/** What comes back for bytes that are all that anybody sends: statuses of the answers. */
const exchange = (port: number, bytes: string): Promise<ReadonlyArray<number>> =>
  new Promise((resolve) => {
    const chunks: Array<Buffer> = []
    const socket = connect(port, "127.0.0.1")
    socket.on("data", (chunk) => chunks.push(chunk)).on("error", () => {}).on("close", () => {
      const text = Buffer.concat(chunks).toString("latin1")
      resolve([...text.matchAll(/^HTTP\/1\.1 (\d{3}) /gm)].map(([, status]) => Number(status)))
    })
    socket.end(bytes, "latin1")
  })

layer(Layer.provideMerge(GuardedServer.layer({}, { halfOpen: true }), RawIssuer.layer))(
  "the guard over sockets",
  (it) => {
    it.effect("#66 #70 lets nobody in for bytes that are nearly a good request", () =>
      Effect.gen(function*() {
        const server = yield* GuardedServer
        const issuer = yield* RawIssuer
        const good = issuer.token()
        const lines = [
          "GET /any HTTP/1.1",
          "Host: mcp.example.com",
          `Authorization: Bearer ${good}`,
          "Connection: close"
        ]
        const request = (lines: ReadonlyArray<string>, end = "\r\n") => lines.join(end) + end + end
        /** Without its token, or with a bad one, however it is sent. */
        const changed = fc.oneof(
          fc.record({
            line: fc.nat(3),
            text: fc.string({ unit: "binary-ascii", maxLength: 40 }),
            insert: fc.boolean(),
            end: fc.constantFrom("\r\n", "\r\n", "\n", "\r", "\n\r", "\r\n ")
          }).map(({ end, insert, line, text }) => request(lines.toSpliced(line, insert ? 0 : 1, text), end)),
          fc.record({ place, remove: fc.nat(6), text: fc.string({ unit: "binary-ascii", maxLength: 6 }) }).map(
            ({ place, remove, text }) => {
              const whole = request(lines)
              const at = Math.floor(place * whole.length)
              return whole.slice(0, at) + text + whole.slice(at + remove)
            }
          ),
          fc.constantFrom(
            "Authorization: Basic eA==",
            "Content-Length: 5",
            "Content-Length: -1",
            "Content-Length: 5\r\nContent-Length: 6",
            "Transfer-Encoding: chunked",
            "Transfer-Encoding: chunked\r\nContent-Length: 5",
            "Transfer-Encoding: identity, chunked",
            "Host: evil.example",
            "Expect: 100-continue",
            "Expect: x",
            "Upgrade: websocket\r\nConnection: upgrade",
            " folded"
          ).map((line) => request([...lines, line])),
          fc.uint8Array({ maxLength: 200 }).map((bytes) => Buffer.from(bytes).toString("latin1"))
        )
        const unproven = fc.tuple(changed, badOf(issuer), fc.nat(2)).map(([text, bad, how]) =>
          how === 0 ? text : text.replaceAll(good, how === 1 ? bad : "")
        )
        yield* generated("guarded requests, byte by byte", unproven, async (bytes) => {
          // Whatever still holds the whole token may be as good as the request it is made of.
          fc.pre(!bytes.includes(good))
          const handled = server.handled()
          for (const status of await exchange(server.port, bytes)) {
            assert.include([100, 400, 401, 404, 408, 413, 417, 431, 505], status)
          }
          assert.strictEqual(server.handled(), handled)
        })
        assert.deepStrictEqual(yield* Effect.promise(() => exchange(server.port, request(lines))), [200])
      }), timeout)
  }
)
