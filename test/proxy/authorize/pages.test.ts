import { assert, describe, it } from "@effect/vitest"
import { DateTime, Effect, Logger, References } from "effect"
import { HttpServerRequest, HttpServerResponse } from "effect/http"
import { createHash } from "node:crypto"
import type { OktaOptions } from "../../../src/config/OktaConfig.ts"
import type { ApprovedRequest } from "../../../src/proxy/authorize/AuthorizationRequest.ts"
import { connectionsPage, donePage, questionPage } from "../../../src/proxy/authorize/ConnectionsPage.ts"
import { consentPage } from "../../../src/proxy/authorize/ConsentPage.ts"
import { html, pagesOf } from "../../../src/proxy/authorize/Html.ts"
import * as Page from "../../../src/proxy/authorize/Page.ts"
import * as Trouble from "../../../src/proxy/authorize/Trouble.ts"
import type { Client } from "../../../src/proxy/client/Client.ts"
import { DocumentUnavailable } from "../../../src/proxy/client/DocumentFetch.ts"
import { BodyTooLarge, MalformedRequest } from "../../../src/proxy/FormRequest.ts"
import type { GrantSummary } from "../../../src/proxy/Grants.ts"
import { proxySettings } from "../../../src/proxy/ProxySettings.ts"
import { TooManyRequests } from "../../../src/proxy/RateLimits.ts"
import { StoreUnavailable } from "../../../src/store/Store.ts"
import { configLayer, now, serverUrl } from "../ProxyTest.ts"

const settingsOf = (options: Partial<OktaOptions> = {}) =>
  Effect.orDie(Effect.provide(proxySettings, configLayer(options)))

/** A page as a browser gets it: what is said without the markup, and all of it. */
const shown = Effect.fnUntraced(function*(response: HttpServerResponse.HttpServerResponse) {
  const web = HttpServerResponse.toWeb(response)
  const source = yield* Effect.promise(() => web.text())
  const [, main = ""] = /<main>([^]*)<\/main>/.exec(source) ?? []
  const text = main.replace(/<\/?(?:a|b|bdi|code|strong|time)\b[^>]*>/g, "").replace(/<[^>]+>/g, " ").replace(
    /\s+/g,
    " "
  ).trim()
  return { status: web.status, headers: web.headers, source, main, text }
})

describe("text from outside", () => {
  it("is text in whatever place of a page, and does not turn around or hide what stands beside it", () => {
    assert.strictEqual(
      html`<a title="${"\"'<&>"}">${"</a>"}</a>`.source,
      "<a title=\"&quot;&#39;&lt;&amp;&gt;\">&lt;/a&gt;</a>"
    )
    const hidden = [
      0x00,
      0x07,
      0x0a,
      0x1b,
      0x7f,
      0x9f,
      0x61c,
      0x200b,
      0x200f,
      0x2028,
      0x2029,
      0x202a,
      0x202e,
      0x2060,
      0x2069,
      0xfeff
    ]
    const text = `a${String.fromCodePoint(...hidden)}\uD800b`
    assert.strictEqual(html`${text}`.source, "ab")
    assert.strictEqual(html`${"żółć 🔑 – ‐\u200a\u2030\u205f\u206a"}`.source, "żółć 🔑 – ‐\u200a\u2030\u205f\u206a")
  })

  it("stands beside pieces of a page, many of them or none", () => {
    const items = ["<1>", "2"].map((text) => html`<li>${text}</li>`)
    assert.strictEqual(html`<ul>${items}</ul>${undefined}${[]}.`.source, "<ul><li>&lt;1&gt;</li><li>2</li></ul>.")
  })

  it("comes in a whole page, whose style is the only one that counts", () => {
    const style = "p > a { color: red }"
    const { headers, page } = pagesOf(style)
    const source = page("<T>", html`<p>${"&"}</p>`)
    assert.match(source, /^<!doctype html>\n<html lang="en">/)
    for (const part of ["<title>&lt;T&gt;</title>", `<style>${style}</style>`, "<main>\n<p>&amp;</p>\n</main>"]) {
      assert.include(source, part)
    }
    assert.deepStrictEqual(headers, {
      "cache-control": "no-store",
      "content-security-policy": `default-src 'none'; style-src 'sha256-${
        createHash("sha256").update(style).digest("base64")
      }'; base-uri 'none'; frame-ancestors 'none'`,
      "referrer-policy": "no-referrer",
      "x-content-type-options": "nosniff",
      "x-frame-options": "DENY"
    })
  })
})

describe("a page that says what is wrong", () => {
  it.effect("says it to the person, and in a code to the application's developer", () =>
    Effect.gen(function*() {
      const plain = yield* shown(Page.problem({ status: 418, title: "<T>", words: "W.", code: "c" }))
      assert.strictEqual(plain.status, 418)
      assert.strictEqual(plain.text, "&lt;T&gt; W. For the application’s developer: c")
      assert.strictEqual(plain.headers.get("content-type"), "text/html; charset=utf-8")
      assert.strictEqual(plain.headers.get("x-frame-options"), "DENY")
      const more = yield* shown(Page.problem({
        status: 400,
        title: "T",
        words: html`<b>W</b>`,
        code: "c",
        detail: "D.",
        headers: { "retry-after": "9", "cache-control": "private" },
        again: html`<p>again</p>`
      }))
      assert.strictEqual(more.text, "T W again For the application’s developer: c – D.")
      assert.include(more.main, "<b>W</b>")
      assert.deepStrictEqual([more.headers.get("retry-after"), more.headers.get("cache-control")], ["9", "private"])
      assert.strictEqual((yield* shown(Page.page("T", html`x`))).status, 200)
    }))

  it.effect("has the status that fits", () =>
    Effect.gen(function*() {
      const malformed = yield* shown(Page.unreadable(new MalformedRequest({ reason: "its body is not a form" })))
      const large = yield* shown(Page.unreadable(new BodyTooLarge({ limit: 1024 })))
      assert.deepStrictEqual([malformed.status, large.status], [400, 413])
      for (const { text } of [malformed, large]) assert.include(text, "invalid_request – ")
      assert.include(malformed.text, "its body is not a form")
    }))

  it.effect("says of trouble that passes when to try again, and how; the owner of the server reads what it is", () =>
    Effect.gen(function*() {
      const store = new StoreUnavailable({ operation: "get", reason: "it is away" })
      const many = (retryAfter: number) => new TooManyRequests({ what: "people", retryAfter })
      const document = new DocumentUnavailable({ url: "https://x.example/c", reason: "it is away" })
      const cases = [
        [store, 503, "5"],
        [many(0), 429, "1"],
        [many(1000), 429, "1"],
        [many(1001), 429, "2"],
        [document, 503, "10"]
      ] as const
      for (const [trouble, status, retryAfter] of cases) {
        const page = yield* shown(yield* Trouble.tell(Trouble.link("/x?a=1&b=2"))(trouble))
        assert.strictEqual(page.status, status)
        assert.strictEqual(page.headers.get("retry-after"), retryAfter)
        assert.include(page.text, "temporarily_unavailable")
        assert.include(page.main, "<a class=\"button\" href=\"/x?a=1&amp;b=2\">Try again</a>")
        assert.notInclude(page.text, "it is away")
      }
      for (const [trouble, level] of [[store, "Debug"], [many(0), "Debug"], [document, "Warn"]] as const) {
        const entries: Array<readonly [string, string]> = []
        const logger = Logger.make(({ logLevel, message }) => void entries.push([logLevel, String(message)]))
        yield* Trouble.tell(undefined)(trouble).pipe(
          Effect.provide(Logger.layer([logger])),
          Effect.provideService(References.MinimumLogLevel, "Debug")
        )
        assert.deepStrictEqual(entries, [[level, trouble.message]])
      }
      assert.include(Trouble.link()?.source, "href=\"\"")
      const bare = yield* shown(yield* Trouble.tell(undefined)(store))
      assert.notInclude(bare.text, "Try again")
    }))

  it.effect("sends a form once more as it was, if it was one", () =>
    Effect.gen(function*() {
      const request = (body: string, type: string) =>
        HttpServerRequest.fromWeb(
          new Request("https://x.example/", { method: "POST", body, headers: { "content-type": type } })
        )
      const post = (body: string, type: string) => Trouble.form(request(body, type))
      const form = yield* post("a=1&b=%3C&a=2", "application/x-www-form-urlencoded")
      assert.match(
        form?.source ?? "",
        /^<form method="post"><input type="hidden" name="a" value="1"><input type="hidden" name="a" value="2"><input type="hidden" name="b" value="&lt;">\n<button/
      )
      assert.isUndefined(yield* post("{}", "application/json"))
      const store = new StoreUnavailable({ operation: "get", reason: "it is away" })
      const told = yield* Trouble.tellOfForm(request("c=3", "application/x-www-form-urlencoded"))(store)
      const { main, status } = yield* shown(told)
      assert.strictEqual(status, 503)
      assert.include(main, "<form method=\"post\"><input type=\"hidden\" name=\"c\" value=\"3\">")
    }))
})

describe("the page that asks for consent", () => {
  const client: Client = {
    clientId: "client",
    origin: "registered",
    metadata: {
      redirect_uris: ["https://client.example.com/cb"],
      client_name: "Example",
      token_endpoint_auth_method: "none",
      grant_types: ["authorization_code"],
      application_type: "web"
    }
  }
  const request: ApprovedRequest = {
    clientId: "client",
    redirectUri: "https://client.example.com:8443/cb?x=1",
    scopes: ["openid", "mcp:read"],
    resource: `${serverUrl}/mcp`,
    codeChallenge: "c".repeat(43)
  }
  const ask = Effect.fnUntraced(function*(
    { by = client, options = {}, ...changes }: Partial<ApprovedRequest> & {
      readonly by?: Client
      readonly options?: Partial<OktaOptions>
    } = {}
  ) {
    const settings = yield* settingsOf(options)
    return yield* shown(consentPage({ client: by, request: { ...request, ...changes }, sealed: "sealed" }, settings))
  })

  it.effect("says where the person will be sent, who asks, for what, and what happens next, in this order", () =>
    Effect.gen(function*() {
      const { main, source, status, text } = yield* ask()
      assert.strictEqual(status, 200)
      assert.include(source, "<title>Allow access for Example?</title>")
      const said = [
        "be sent to client.example.com:8443",
        "An application that calls itself Example",
        "use mcp.example.com/mcp",
        "know who you are",
        "use mcp:read",
        "take it back at any time at mcp.example.com/oauth/connections",
        "with Okta, at acme.okta.com",
        "sent to https://client.example.com:8443/cb?x=1"
      ]
      const places = said.map((words) => text.indexOf(words))
      assert.isTrue(places.every((place, index) => place > (places[index - 1] ?? -1)), JSON.stringify(places))
      for (const words of ["computer", "device", "described at", "not asked again"]) assert.notInclude(text, words)
      assert.include(main, `<form method="post" action="${serverUrl}/oauth/consent">`)
      assert.include(main, "<input type=\"hidden\" name=\"request\" value=\"sealed\">")
      assert.match(main, /name="decision" value="allow">Allow<[^]*name="decision" value="deny">Deny</)
    }))

  it.effect("says so of a client without a name, and of a request without scopes", () =>
    Effect.gen(function*() {
      const { client_name: _, ...metadata } = client.metadata
      const { source, text } = yield* ask({ by: { ...client, metadata }, scopes: [] })
      assert.include(source, "<title>Allow access for client.example.com:8443?</title>")
      assert.include(text, "An application that gives no name wants to use")
      assert.include(text, "use mcp.example.com/mcp as you")
      const named = yield* ask({ scopes: [], options: { resourceName: "Tools" } })
      assert.include(named.text, "use Tools as you")
      const local = yield* ask({ scopes: [], resource: "http://127.0.0.1:9/mcp" })
      assert.include(local.text, "use 127.0.0.1:9/mcp as you")
      assert.notInclude(named.text, "mcp.example.com/mcp")
    }))

  it.effect("has words for scopes that everybody has, and shows others as they are", () =>
    Effect.gen(function*() {
      const { text } = yield* ask({ scopes: ["profile", "email", "offline_access", "toString"] })
      for (const words of ["see your name", "see your email address", "keep this access", "use toString"]) {
        assert.include(text, words)
      }
    }))

  it.effect("says how long a consent is remembered, where it is", () =>
    Effect.gen(function*() {
      assert.include((yield* ask({ options: { rememberConsent: true } })).text, "in this browser for 30 days")
    }))

  const local = "http://127.0.0.1:9/cb"
  const document: Client = { ...client, clientId: "https://described.example/client", origin: "document" }
  const at = (by: Client, ...redirect_uris: ReadonlyArray<string>): Client => ({
    ...by,
    metadata: { ...by.metadata, redirect_uris }
  })
  const cases: ReadonlyArray<readonly [redirectUri: string, by: Client, says: ReadonlyArray<string>]> = [
    [request.redirectUri, client, []],
    [request.redirectUri, document, ["described at described.example."]],
    [local, at(client, local), ["be sent to 127.0.0.1:9", "own computer"]],
    [local, at(document, local), ["own computer", "described at", "pass itself off as the one that described.example"]],
    [local, at(document, local, request.redirectUri), ["own computer", "described at"]],
    ["cursor://x.y/cb", client, ["be sent to cursor://x.y", "opens an application on your device"]]
  ]
  it.effect("warns of what is on the person's own device, and of documents that say little", () =>
    Effect.gen(function*() {
      const warnings = ["own computer", "opens an application", "described at", "pass itself off"]
      for (const [redirectUri, by, says] of cases) {
        const { text } = yield* ask({ redirectUri, by })
        for (const words of says) assert.include(text, words)
        for (const warning of warnings) {
          assert.strictEqual(
            text.includes(warning),
            says.some((words) => words.includes(warning)),
            `${redirectUri} ${warning}`
          )
        }
      }
    }))
})

describe("the page of connected clients", () => {
  const visitor = { subject: "00u1", username: "ada@example.com", formToken: "token" }
  const summary: GrantSummary = {
    grant: "grant",
    subject: "00u1",
    username: "ada@example.com",
    clientId: "client",
    clientName: "Example",
    redirectHost: "client.example.com",
    scopes: ["mcp:read", "openid"],
    resource: serverUrl,
    createdAt: DateTime.makeUnsafe(now * 1000),
    usedAt: DateTime.makeUnsafe((now + 86_400 * 40) * 1000)
  }
  const show = (...summaries: ReadonlyArray<GrantSummary>) =>
    Effect.flatMap(settingsOf(), (settings) => shown(connectionsPage(settings, visitor, summaries)))

  it.effect("tells of each what it is, what it may do, and since when", () =>
    Effect.gen(function*() {
      const { main, source, text } = yield* show(summary)
      assert.include(source, "<title>Connected applications</title>")
      for (
        const words of [
          "signed in as ada@example.com. These applications can act for you",
          "Example Sends you to client.example.com Is able to use mcp:read know who you are",
          "Connected 14 November 2023 Last used 24 December 2023 Disconnect"
        ]
      ) {
        assert.include(text, words)
      }
      assert.include(main, "<time datetime=\"2023-11-14T22:13:20.000Z\">")
      assert.include(main, `<form method="post" action="${serverUrl}/oauth/connections">`)
      assert.include(main, "name=\"form\" value=\"token\"")
      assert.include(main, "name=\"grant\" value=\"grant\"")
      assert.include(main, "aria-label=\"Disconnect Example, connected 14 November 2023\"")
    }))

  it.effect("says so of what is not known of a client", () =>
    Effect.gen(function*() {
      const { clientName: _, redirectHost: __, usedAt: ___, ...bare } = summary
      const { text } = yield* show({ ...bare, scopes: [] })
      assert.include(
        text,
        "An application that gives no name Is able to act as you Connected 14 November 2023 Last used never"
      )
      assert.notInclude(text, "Sends you to")
    }))

  it.effect("offers to disconnect all where there is more than one", () =>
    Effect.gen(function*() {
      assert.include((yield* show()).text, "No application can act for you at this server.")
      assert.notInclude((yield* show()).main, "<form")
      assert.notInclude((yield* show(summary)).text, "Disconnect all")
      const two = yield* show(summary, { ...summary, grant: "other", clientName: "Other" })
      assert.match(two.text, /Example[^]*Other[^]*Disconnect all/)
      assert.include(two.main, "name=\"all\" value=\"yes\"")
    }))

  it.effect("asks before it disconnects, and tells when it has", () =>
    Effect.gen(function*() {
      const settings = yield* settingsOf()
      const one = yield* shown(questionPage(settings, visitor, summary))
      assert.include(one.source, "<title>Disconnect Example?</title>")
      assert.match(one.text, /^Disconnect Example\? It will not be able/)
      assert.include(one.main, "name=\"grant\" value=\"grant\"")
      const all = yield* shown(questionPage(settings, visitor, "all"))
      assert.match(all.text, /^Disconnect all applications\? None of them will be able/)
      assert.include(all.main, "name=\"all\" value=\"yes\"")
      for (const { main } of [one, all]) {
        assert.include(main, "name=\"confirmed\" value=\"yes\"")
        assert.include(main, "name=\"form\" value=\"token\"")
        assert.include(main, `<a class="button other" href="${serverUrl}/oauth/connections">Keep</a>`)
      }
      const done = yield* shown(donePage(settings, "Example"))
      assert.include(done.source, "<title>Disconnected</title>")
      assert.include(done.text, "Example cannot act for you any more.")
      assert.include(done.main, `href="${serverUrl}/oauth/connections"`)
      assert.include(
        (yield* shown(donePage(settings, "all"))).text,
        "No application can act for you at this server any more."
      )
    }))
})
