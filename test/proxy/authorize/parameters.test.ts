import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import { HttpServerRequest } from "effect/http"
import { answer, answerUrl, sendTo } from "../../../src/proxy/authorize/AuthorizationResponse.ts"
import * as Flow from "../../../src/proxy/authorize/Flow.ts"
import * as Parameters from "../../../src/proxy/authorize/Parameters.ts"
import { AuthorizationRefused } from "../../../src/proxy/OAuthError.ts"
import { proxySettings } from "../../../src/proxy/ProxySettings.ts"
import { configLayer, serverUrl } from "../ProxyTest.ts"

describe("the parameters of a request", () => {
  it("are as many as there are, in the order of their names' first coming, without the empty ones", () => {
    const { all, entries, first, repeated } = Parameters.parse("a=1&b=2&a=3&c=&b=&d=ü+%26&a=1&e")
    assert.deepStrictEqual(all("a"), ["1", "3", "1"])
    assert.deepStrictEqual([all("b"), all("c"), all("e"), all("x")], [["2"], [], [], []])
    assert.deepStrictEqual([first("a"), first("b"), first("c"), first("d"), first("e")], [
      "1",
      "2",
      undefined,
      "ü &",
      undefined
    ])
    assert.deepStrictEqual(repeated, ["a"])
    assert.deepStrictEqual(entries, [["a", "1"], ["a", "3"], ["a", "1"], ["b", "2"], ["d", "ü &"]])
    assert.deepStrictEqual(Parameters.parse("").entries, [])
  })

  it("are those of the query, which begins at the first question mark", () => {
    const of = (url: string) => Parameters.fromQuery(HttpServerRequest.fromWeb(new Request(url))).entries
    assert.deepStrictEqual(of("https://x.example/path?a=1&b=?2"), [["a", "1"], ["b", "?2"]])
    assert.deepStrictEqual(of("https://x.example/path?"), [])
    assert.deepStrictEqual(of("https://x.example/a=1"), [])
  })

  it("go along to the same address by GET, those that count", () => {
    const given = Parameters.parse("state=ü%20%26&x=1&resource=a&resource=b")
    assert.strictEqual(
      Parameters.addressOf("https://x.example/a", given, ["resource", "state", "none"]),
      "https://x.example/a?state=%C3%BC+%26&resource=a&resource=b"
    )
  })

  const read = (body: string, headers: Readonly<Record<string, string>>) =>
    Parameters.fromBody(
      HttpServerRequest.fromWeb(new Request("https://x.example/?q=1", { method: "POST", body, headers }))
    )
  const form = "application/x-www-form-urlencoded"

  it.effect("of a form are those of its body, and none of its address", () =>
    Effect.gen(function*() {
      for (const type of [form, form.toUpperCase(), `${form};charset=utf-8`, `${form} ; charset=utf-8`, `${form}  `]) {
        assert.deepStrictEqual((yield* read("a=1&b=%20", { "content-type": type })).entries, [["a", "1"], ["b", " "]])
      }
    }))

  it.effect("are not looked for in a body that is no form, or too long, by its own word or in truth", () =>
    Effect.gen(function*() {
      for (
        const type of [
          "application/json",
          `${form}2`,
          `text/${form}`,
          `x ${form}`,
          `${form}\t2`,
          "multipart/form-data",
          ""
        ]
      ) {
        assert.strictEqual((yield* Effect.flip(read("a=1", { "content-type": type })))._tag, "MalformedRequest", type)
      }
      const untyped = new Request("https://x.example/", { method: "POST", body: new TextEncoder().encode("a=1") })
      assert.strictEqual(
        (yield* Effect.flip(Parameters.fromBody(HttpServerRequest.fromWeb(untyped))))._tag,
        "MalformedRequest"
      )
      const limit = 64 * 1024
      const ask = (length: number, more = {}) => read("a=".padEnd(length, "x"), { "content-type": form, ...more })
      assert.lengthOf((yield* ask(limit)).first("a") ?? "", limit - 2)
      assert.lengthOf((yield* ask(limit, { "content-length": String(limit) })).entries, 1)
      for (const failure of [ask(limit + 1), ask(3, { "content-length": String(limit + 1) })]) {
        assert.deepInclude({ ...(yield* Effect.flip(failure)) }, { limit })
      }
    }))

  it.effect("are not in a body that breaks off", () =>
    Effect.gen(function*() {
      const body = new ReadableStream({ pull: (controller) => controller.error(new Error("gone")) })
      const request = new Request("https://x.example/", {
        method: "POST",
        body,
        duplex: "half",
        headers: { "content-type": form }
      })
      const failure = yield* Effect.flip(Parameters.fromBody(HttpServerRequest.fromWeb(request)))
      assert.strictEqual(failure._tag, "MalformedRequest")
      assert.include(failure.message, "could not be read")
    }))
})

describe("the answer to an authorization request", () => {
  const settings = Effect.provide(proxySettings, configLayer())
  const iss = `iss=${encodeURIComponent(serverUrl)}`

  it.effect("is added to the redirect URI as it stands, whatever it has for a query", () =>
    Effect.gen(function*() {
      const cases = [
        ["https://a.example/cb", "?"],
        ["https://a.example/cb?", ""],
        ["https://a.example/cb?x=%2f&y", "&"],
        ["https://a.example/cb?x&", ""],
        ["cursor://x/cb", "?"]
      ] as const
      for (const [redirectUri, joint] of cases) {
        assert.strictEqual(
          answerUrl({ redirectUri, state: undefined }, yield* settings, { code: "c d" }),
          `${redirectUri}${joint}code=c+d&${iss}`
        )
      }
      const refusal = new AuthorizationRefused({ code: "access_denied", description: "No." })
      assert.strictEqual(
        answerUrl({ redirectUri: "https://a.example/", state: "a&b=é" }, yield* settings, refusal),
        `https://a.example/?error=access_denied&error_description=No.&state=a%26b%3D%C3%A9&${iss}`
      )
    }))

  it.effect("sends the form of nobody on", () =>
    Effect.gen(function*() {
      const address = { redirectUri: "https://a.example/", state: undefined }
      for (const [method, status] of [["GET", 302], ["HEAD", 302], ["POST", 303]] as const) {
        const response = answer(address, yield* settings, method, { code: "x" })
        assert.strictEqual(response.status, status)
        assert.strictEqual(response.headers["location"], `https://a.example/?code=x&${iss}`)
        assert.strictEqual(response.headers["cache-control"], "no-store")
        assert.strictEqual(response.headers["referrer-policy"], "no-referrer")
        assert.strictEqual(sendTo("https://b.example/", method).status, status)
      }
    }))
})

it("what is no handle of a sign-in need not be looked up", () => {
  assert.isTrue(Flow.isHandle("aZ09-_".padEnd(43, "x")))
  for (
    const text of [
      "",
      "x".repeat(42),
      "x".repeat(44),
      `${"x".repeat(42)}.`,
      `${"x".repeat(43)}\n`,
      ` ${"x".repeat(43)}`
    ]
  ) {
    assert.isFalse(Flow.isHandle(text), JSON.stringify(text))
  }
})
