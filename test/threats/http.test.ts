import { assert, layer } from "@effect/vitest"
import { Deferred, Effect, Layer, Redacted } from "effect"
import { HttpRouter, HttpServerRequest, HttpServerResponse } from "effect/http"
import * as OktaAuth from "../../src/OktaAuth.ts"
import { OktaTest } from "../../src/testing/OktaTest.ts"
import { CurrentPrincipal, type Principal } from "../../src/token/Principal.ts"
import { forged } from "../support/Forged.ts"
import { assertAccepted, assertRefused, GuardedServer, serverUrl } from "../support/GuardedServer.ts"
import { dpopMetadata } from "../support/Proofs.ts"
import { assertAnswer, assertRawAnswer, mint, text } from "../support/Refusals.ts"

layer(GuardedServer.layer().pipe(Layer.provideMerge(OktaTest.layer())))("D. Bearer extraction", (it) => {
  it.effect("#59 no Authorization: 401 with a bare challenge", () =>
    Effect.gen(function*() {
      yield* assertAnswer({}, "no credentials")
      yield* assertAnswer({ method: "POST", body: "{}" }, "no credentials")
      yield* assertAnswer({ path: "/files" }, "no credentials", { resource: "/files", scope: "files:read files:write" })
      yield* assertAnswer({ path: "/any" }, "no credentials", { resource: "" })
      yield* assertAccepted(yield* mint())
    }))

  it.effect("#60 bearer and BEARER: accepted", () =>
    Effect.gen(function*() {
      const server = yield* GuardedServer
      const token = yield* mint()
      for (const scheme of ["Bearer", "bearer", "BEARER", "bEaReR", "Bearer "]) {
        const answer = yield* server.ask({ headers: { authorization: `${scheme} ${token}` } })
        assert.strictEqual(answer.status, 200, scheme)
      }
    }))

  it.effect("#61 two tokens, or none, behind Bearer: 400", () =>
    Effect.gen(function*() {
      const token = yield* mint()
      const other = yield* mint({ sub: "bob@example.com" })
      for (
        const authorization of [
          `Bearer ${token} ${other}`,
          `Bearer ${token} x`,
          `Bearer ${token}, Bearer ${other}`,
          `Bearer ${token},Bearer ${other}`,
          `Bearer ${token},${token}`,
          `Bearer ,${token}`,
          `Bearer realm="x", ${token}`,
          "Bearer",
          "bearer",
          "Bearer ",
          "Bearer   "
        ]
      ) {
        yield* assertAnswer({ headers: { authorization } }, "invalid_request")
      }
      yield* assertAccepted(token)
    }))

  it.effect("#61 two Authorization lines: 400, whichever comes first", () =>
    Effect.gen(function*() {
      const good = `Authorization: Bearer ${yield* mint()}`
      const pairs = [
        [good, good],
        [good, "authorization: Bearer x"],
        ["AUTHORIZATION: Bearer x", good],
        [good, "Authorization: Basic YTpi"],
        ["Authorization: Basic YTpi", good],
        ["Authorization:", good],
        [good, "Authorization:"]
      ]
      for (const pair of pairs) {
        yield* assertRawAnswer(text(["Host: mcp.example.com", ...pair]), "invalid_request")
        yield* assertRawAnswer(text([pair[0] ?? "", "Host: mcp.example.com", pair[1] ?? ""]), "invalid_request")
      }
      const server = yield* GuardedServer
      assert.strictEqual((yield* server.raw(text(["Host: mcp.example.com", good]))).status, 200)
    }))

  it.effect("#61 what is no bearer token: 401, and no header of another name counts", () =>
    Effect.gen(function*() {
      const token = yield* mint()
      for (
        const authorization of [
          `Bearer\t${token}`,
          `Bearer${token}`,
          `Bearer=${token}`,
          `Bearer:${token}`,
          token,
          "",
          ` `
        ]
      ) {
        yield* assertAnswer({ headers: { authorization } }, "no credentials")
      }
      for (
        const authorization of [
          `Bearer "${token}"`,
          `Bearer ${token}=`,
          `Bearer ${token};`,
          `Bearer \u00a0${token}`,
          `Bearer ${token}\t.`
        ]
      ) {
        yield* assertAnswer({ headers: { authorization } }, "invalid_token")
      }
      for (
        const name of [
          "proxy-authorization",
          "x-authorization",
          "authentication",
          "x-forwarded-authorization",
          "cookie"
        ]
      ) {
        yield* assertAnswer({ headers: { [name]: `Bearer ${token}` } }, "no credentials")
      }
      yield* assertAccepted(token)
    }))

  it.effect("#63 token in header, query and body: 400 invalid_request", () =>
    Effect.gen(function*() {
      const token = yield* mint()
      const form = { "content-type": "application/x-www-form-urlencoded" }
      const body = `access_token=${token}`
      for (
        const query of [`access_token=${token}`, `a=1&access_token=${token}`, "access_token=", "access_token=x&b=2"]
      ) {
        yield* assertAnswer({ method: "POST", path: `/mcp?${query}`, token, headers: form, body }, "invalid_request")
        yield* assertAnswer({ path: `/mcp?${query}`, token }, "invalid_request")
      }
      // The body is the handler's: nothing in it is taken for credentials.
      const server = yield* GuardedServer
      assert.strictEqual((yield* server.ask({ method: "POST", token, headers: form, body })).status, 200)
      assert.strictEqual((yield* server.ask({ path: "/mcp?my_access_token=1&q=access_token", token })).status, 200)
    }))

  it.effect("#64 ?access_token= alone: ignored, 401", () =>
    Effect.gen(function*() {
      const token = yield* mint()
      yield* assertAnswer({ path: `/mcp?access_token=${token}` }, "no credentials")
      yield* assertAnswer({ path: `/mcp?authorization=Bearer%20${token}` }, "no credentials")
      yield* assertAnswer({
        method: "POST",
        headers: { "content-type": "application/x-www-form-urlencoded" },
        body: `access_token=${token}`
      }, "no credentials")
      yield* assertAnswer({ headers: { cookie: `access_token=${token}` } }, "no credentials")
      yield* assertAccepted(token)
    }))

  it.effect("#65 Basic on the resource: 401, value never logged", () =>
    Effect.gen(function*() {
      const { logged } = yield* GuardedServer
      for (
        const authorization of [
          "Basic YWRhOmNhbmFyeQ==",
          "Digest username=YWRhOmNhbmFyeQ",
          "GNAP YWRhOmNhbmFyeQ",
          "YWRhOmNhbmFyeQ"
        ]
      ) {
        yield* assertAnswer({ headers: { authorization } }, "no credentials")
      }
      assert.include(logged.join("\n"), "Request without credentials")
      assert.notInclude(logged.join("\n"), "YWRhOmNhbmFyeQ")
      assert.notInclude(logged.join("\n"), "canary")
    }))

  it.effect("#69 quotation marks, line breaks, non-ASCII in what is refused: constant text, still 401 or 403", () =>
    Effect.gen(function*() {
      const okta = yield* OktaTest
      const ugly = `"\r\nSet-Cookie: a=b\r\n\r\n<script>é\u0000\u{1f600}\\`
      const refused = [
        { claims: { iss: ugly } },
        { claims: { aud: ugly } },
        { claims: { sub: { [ugly]: ugly } } },
        { claims: { exp: ugly } },
        { header: { kid: ugly } },
        { header: { typ: ugly } },
        { header: { [ugly]: ugly, typ: ugly } }
      ]
      for (const options of refused) {
        yield* assertAnswer({ token: Redacted.value(yield* okta.token(options)) }, "invalid_token")
      }
      const token = yield* mint({ scp: [ugly, "files:read"] })
      yield* assertAnswer({ path: "/files", token }, "insufficient_scope", {
        resource: "/files",
        scope: "files:read files:write"
      })
      yield* assertAccepted(token)
    }))
})

layer(GuardedServer.layer().pipe(Layer.provideMerge(OktaTest.layer())))("D. Request handling", (it) => {
  it.effect("#66 no Host, two Host lines: 400", () =>
    Effect.gen(function*() {
      const server = yield* GuardedServer
      const token = yield* mint()
      const credentials = `Authorization: Bearer ${token}`
      const withoutHost = yield* server.raw(text([credentials]))
      assert.strictEqual(withoutHost.status, 400)
      assert.strictEqual(withoutHost.body.replaceAll(/[\r\n0]/g, ""), "")
      for (const second of ["mcp.example.com", "evil.example", ""]) {
        for (const hosts of [["mcp.example.com", second], [second, "mcp.example.com"]]) {
          const lines = hosts.map((host) => `Host: ${host}`)
          yield* assertRawAnswer(text([...lines, credentials]), "invalid_request")
          yield* assertRawAnswer(text([lines[0] ?? "", credentials, lines[1] ?? ""]), "invalid_request")
          yield* assertRawAnswer(text(lines), "invalid_request")
          for (const method of ["GET", "HEAD", "OPTIONS", "POST"]) {
            const target = "/.well-known/oauth-protected-resource/mcp"
            const answer = yield* server.raw(text(lines, { method, target }))
            assert.strictEqual(answer.status, 400)
            assert.notInclude(answer.body, "resource")
          }
        }
      }
      yield* assertAccepted(token)
    }))

  it.effect("#67, #68 Host and X-Forwarded-* of an attacker: every URL is the configured one", () =>
    Effect.gen(function*() {
      const server = yield* GuardedServer
      const token = yield* mint()
      const headers = { host: "evil.example", ...forged }
      yield* assertAnswer({ headers }, "no credentials")
      yield* assertAnswer({ headers, token: "x" }, "invalid_token")
      yield* assertAnswer({ headers, path: "/files", token }, "insufficient_scope", {
        resource: "/files",
        scope: "files:read files:write"
      })
      yield* assertAnswer({ headers, method: "DELETE" }, "no credentials")
      for (const suffix of ["", "/mcp", "/files"]) {
        const document = yield* server.ask({ headers, path: `/.well-known/oauth-protected-resource${suffix}` })
        assert.strictEqual(document.status, 200)
        assert.deepStrictEqual(JSON.parse(document.body), {
          resource: `${serverUrl}${suffix}`,
          authorization_servers: [OktaTest.issuer],
          bearer_methods_supported: ["header"],
          ...dpopMetadata
        })
      }
      const absolute = yield* server.raw(text(["Host: evil.example"], { target: "http://evil.example/mcp" }))
      assertRefused(absolute, "no credentials")
      yield* assertAccepted(token)
    }))

  it.effect.each(
    [
      ["Content-Length and Transfer-Encoding", ["Content-Length: 5", "Transfer-Encoding: chunked"], "0\r\n\r\n"],
      ["Transfer-Encoding and Content-Length", ["Transfer-Encoding: chunked", "Content-Length: 5"], "0\r\n\r\n"],
      ["two Content-Lengths", ["Content-Length: 5", "Content-Length: 6"], "hello!"],
      ["Transfer-Encoding that does not end chunked", ["Transfer-Encoding: chunked, identity"], "0\r\n\r\n"],
      ["white space before the colon", ["Transfer-Encoding : chunked"], "0\r\n\r\n"],
      ["a line break in a header", ["X-A: b\rAuthorization: x"], ""],
      ["a folded line", ["X-A: b", " c"], ""]
    ] as const
  )("#70 %s: 400", ([, lines, body]) =>
    Effect.gen(function*() {
      const server = yield* GuardedServer
      const token = yield* mint()
      const before = server.handled()
      const smuggled = `GET /any HTTP/1.1\r\nHost: mcp\r\nAuthorization: Bearer ${token}\r\n\r\n`
      const answer = yield* server.raw(text(["Host: mcp", ...lines], { method: "POST", body: body + smuggled }))
      assert.strictEqual(answer.status, 400)
      assert.strictEqual(server.handled(), before)
      yield* assertAccepted(token)
    }))

  it.effect("#70 a chunk size that is no number: what follows is never taken for a request", () =>
    Effect.gen(function*() {
      const server = yield* GuardedServer
      const token = yield* mint()
      const before = server.handled()
      const smuggled = `GET /any HTTP/1.1\r\nHost: mcp\r\nAuthorization: Bearer ${token}\r\n\r\n`
      for (const size of ["0x5", "5;", "-5", "5 ", "ffffffffffffffffff", ""]) {
        const body = `${size}\r\nhello\r\n0\r\n\r\n${smuggled}`
        yield* server.raw(text(["Host: mcp", "Transfer-Encoding: chunked"], { method: "POST", body }))
        assert.strictEqual(server.handled(), before, size)
      }
      yield* assertAccepted(token)
    }))
})

const allowedOrigins = "https://app.example.com"

layer(
  GuardedServer.layer({ serverUrl: "http://localhost:8080" }).pipe(Layer.provideMerge(OktaTest.layer()))
)("D. A server on localhost", (it) => {
  const local = { server: "http://localhost:8080" }

  it.effect("#71 Host of another name: 403", () =>
    Effect.gen(function*() {
      const token = yield* mint()
      for (
        const host of [
          "evil.com",
          "evil.com:8080",
          "localhost.evil.com",
          "127.0.0.1.evil.com",
          "evil.com:127.0.0.1",
          "localhost:8080@evil.com",
          "0.0.0.0",
          "[::]",
          "127.0.0.1.nip.io",
          "10.0.0.1"
        ]
      ) {
        for (const credentials of [{}, { token }, { token: "x" }]) {
          yield* assertAnswer({ ...credentials, headers: { host } }, "access_denied")
        }
        yield* assertAnswer({ method: "DELETE", headers: { host }, token }, "access_denied")
      }
      yield* assertRawAnswer(text([`Authorization: Bearer ${token}`], { version: "1.0" }), "access_denied")
      yield* assertRawAnswer(text(["Host:", `Authorization: Bearer ${token}`]), "access_denied")
      yield* assertRawAnswer(
        text(["Host: localhost", `Authorization: Bearer ${token}`], { target: "http://evil.com/mcp" }),
        "access_denied"
      )
      const server = yield* GuardedServer
      for (
        const host of ["localhost", "LOCALHOST:1", "127.0.0.1", "127.0.0.1:9999", "[::1]", "[::1]:8080", "127.8.9.10"]
      ) {
        assert.strictEqual((yield* server.ask({ token, headers: { host } })).status, 200, host)
      }
    }))

  it.effect("#71 Origin of another site: 403", () =>
    Effect.gen(function*() {
      const token = yield* mint()
      for (
        const origin of [
          "https://evil",
          "https://evil.com",
          "http://localhost.evil.com",
          "http://localhost@evil.com",
          "null",
          "",
          "file://",
          "https://localhost:8080.evil.com"
        ]
      ) {
        yield* assertAnswer({ token, headers: { origin } }, "access_denied")
        yield* assertAnswer({ headers: { origin } }, "access_denied")
        yield* assertAnswer({
          method: "OPTIONS",
          headers: { origin, "access-control-request-method": "POST" }
        }, "access_denied")
      }
      const server = yield* GuardedServer
      for (
        const origin of ["http://localhost:8080", "http://localhost:6274", "http://127.0.0.1:3000", "http://[::1]:3000"]
      ) {
        assert.strictEqual((yield* server.ask({ token, headers: { origin } })).status, 200, origin)
      }
      yield* assertAnswer({}, "no credentials", local)
    }))

  it.effect("#71 a forged Host or Origin shows in the log escaped", () =>
    Effect.gen(function*() {
      const { logged } = yield* GuardedServer
      const already = logged.length
      const control = Buffer.from([0x9b]).toString("latin1")
      yield* assertAnswer({ headers: { origin: `https://evil${control}2J` } }, "access_denied")
      yield* assertAnswer({ headers: { host: `evil${control}2J` } }, "access_denied")
      const lines = logged.slice(already).filter((line) => line.includes("Request refused"))
      assert.lengthOf(lines, 2)
      for (const line of lines) {
        assert.include(line, "evil")
        assert.notMatch(line, /[\p{Cc}\p{Cf}]/u)
      }
    }))
})

layer(GuardedServer.layer({ allowedOrigins }).pipe(Layer.provideMerge(OktaTest.layer())))(
  "D. A server with named origins",
  (it) => {
    it.effect("#71 Origin that is not named: 403", () =>
      Effect.gen(function*() {
        const server = yield* GuardedServer
        const token = yield* mint()
        for (
          const origin of [
            "https://evil",
            "null",
            "http://localhost:3000",
            "https://APP.example.com",
            "https://app.example.com:443",
            "https://app.example.com/"
          ]
        ) {
          yield* assertAnswer({ token, headers: { origin } }, "access_denied")
        }
        for (const origin of [allowedOrigins, serverUrl]) {
          assert.strictEqual((yield* server.ask({ token, headers: { origin } })).status, 200, origin)
        }
        yield* assertAccepted(token)
      }))
  }
)

const users = 100

/** Answers only when as many requests as there are users wait in their handlers. */
const together = Layer.unwrap(Effect.sync(() => {
  let waiting: Array<Deferred.Deferred<void>> = []
  const meet = Effect.suspend(() => {
    const turn = Deferred.makeUnsafe<void>()
    waiting.push(turn)
    if (waiting.length === users) {
      waiting.toReversed().forEach((one) => Deferred.doneUnsafe(one, Effect.void))
      waiting = []
    }
    return Deferred.await(turn)
  })
  const subject = (principal: Principal) => principal._tag === "User" ? principal.subject : ""
  return HttpRouter.add(
    "GET",
    "/together",
    Effect.gen(function*() {
      const before = yield* CurrentPrincipal
      yield* meet
      const after = yield* CurrentPrincipal
      const request = yield* HttpServerRequest.HttpServerRequest
      return HttpServerResponse.jsonUnsafe([request.headers["x-user"], subject(before), subject(after)])
    })
  ).pipe(Layer.provide(OktaAuth.guard().layer))
}))

layer(GuardedServer.layer({}, { routes: together }).pipe(Layer.provideMerge(OktaTest.layer())))(
  "D. Many at once",
  (it) => {
    it.effect(
      "#74 1,000 interleaved requests of 100 users: each handler sees its own subject",
      () =>
        Effect.gen(function*() {
          const server = yield* GuardedServer
          const names = Array.from({ length: users }, (_, i) => `user-${i}@example.com`)
          const tokens = yield* Effect.forEach(names, (sub) => mint({ sub }))
          const requests = Array.from({ length: 1000 }, (_, i) => (i * 7 + Math.floor(i / users)) % users)
          const seen = yield* Effect.forEach(requests, (i) =>
            Effect.gen(function*() {
              const user = names[i] ?? ""
              const answer = yield* server.ask({
                path: "/together",
                token: tokens[i] ?? "",
                headers: { "x-user": user }
              })
              assert.strictEqual(answer.status, 200)
              assert.deepStrictEqual(JSON.parse(answer.body), [user, user, user])
              return user
            }), { concurrency: users })
          assert.lengthOf(seen, 1000)
          assert.strictEqual(new Set(seen).size, users)
        }),
      30_000
    )
  }
)
