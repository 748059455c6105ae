import { assert, describe, it } from "@effect/vitest"
import * as fc from "fast-check"
import { isLoopback, isWeb, matches, problem } from "../../../src/proxy/authorize/RedirectUri.ts"

const listed = ["cursor://anysphere.cursor-mcp/oauth/callback", "com.example.app:/callback", "vscode://x?windowId=_"]

const good: ReadonlyArray<readonly [uri: string, kind: "web" | "loopback" | "private"]> = [
  ["https://app.example.com/callback", "web"],
  ["https://app.example.com", "web"],
  ["https://app.example.com/", "web"],
  ["https://app.example.com:8443/callback?a=1&b=%2Fx&c[]=d", "web"],
  ["https://app.example.com:443/callback", "web"],
  ["https://my_app.example.com/~me/cb;v=1,2(3)!$'", "web"],
  ["https://xn--bcher-kva.example/cb", "web"],
  ["https://203.0.113.7/cb", "web"],
  ["https://localhost.example.com/cb", "web"],
  ["https://app.example.com/?a=http://127.0.0.1:80/cb", "web"],
  [`https://app.example.com/${"a".repeat(1976)}`, "web"],
  ["http://127.0.0.1/callback", "loopback"],
  ["http://127.0.0.1:33418", "loopback"],
  ["http://127.0.0.1:33418/", "loopback"],
  ["http://127.0.0.1?a=b", "loopback"],
  ["http://localhost:6274/oauth/callback/debug", "loopback"],
  ["http://[::1]:3000/callback", "loopback"],
  ["https://localhost:3000/callback", "loopback"],
  ["http://127.0.0.1:80/callback", "loopback"],
  ["http://127.0.0.1:65535/callback", "loopback"],
  ...listed.map((uri) => [uri, "private"] as const)
]

describe("redirect URIs that may be registered", () => {
  for (const [uri, kind] of good) {
    it(uri, () => {
      assert.isUndefined(problem(uri, { listed }))
      assert.strictEqual(isLoopback(uri), kind === "loopback")
      assert.strictEqual(isWeb(uri), kind === "web")
      assert.isTrue(matches(uri, uri))
    })
  }
})

const bad: ReadonlyArray<readonly [what: string, uris: ReadonlyArray<string>, reason: RegExp]> = [
  ["none", ["", "callback", "/callback", "//app.example.com/callback", "?a", ":", "1http://x"], /absolute URI/],
  [
    "that run or read what is in them (#96)",
    [
      "javascript:alert(1)",
      "JavaScript:alert(1)",
      "javascript://127.0.0.1/%61lert(1)",
      "data:text/html,x",
      "DATA:text/html,x",
      "vbscript:x",
      "file:///etc/passwd",
      "blob:https://app.example.com/1",
      "filesystem:https://app.example.com/1",
      "about:blank",
      "view-source:https://app.example.com/",
      "ftp://app.example.com/",
      "ws://app.example.com/",
      "wss://app.example.com/"
    ],
    /never allowed/
  ],
  [
    "that white space would turn into others (#96)",
    [
      " javascript:alert(1)",
      "java\nscript:alert(1)",
      " java\nscript:alert(1)",
      "java\tscript:alert(1)",
      "\u0001javascript:alert(1)",
      "https://app.example.com/call back",
      "https://app.example.com/callback ",
      "https://app.example.com/callback\n",
      "https://app.example.com/\tcallback",
      "https://app.example.com/\u00a0",
      "https://app.example.com/\u2028",
      "https://app.example.com/\0",
      "https://app.example.com/\x7f",
      "https://app\n.example.com/"
    ],
    /white space or control/
  ],
  [
    "that hide control characters",
    ["https://app.example.com/%0d%0aset-cookie:a", "https://app.example.com/?a=%00", "https://a.example/%7F"],
    /encoded control/
  ],
  [
    "with broken encoding",
    ["https://app.example.com/%", "https://app.example.com/%4", "https://app.example.com/%zz"],
    /percent sign/
  ],
  [
    "with a backslash, which browsers take for a slash",
    ["https:\\\\app.example.com\\cb", "https://app.example.com\\@evil.example/", "https://a.example/\\evil.example"],
    /backslash/
  ],
  [
    "with other characters",
    ["https://bücher.example/cb", "https://app.example.com/<b>", "https://app.example.com/\"", "https://ap℀.example/"],
    /cannot hold/
  ],
  [
    "with a fragment (#166)",
    ["https://app.example.com/callback#", "https://app.example.com/callback#a", "http://127.0.0.1/#", "#"],
    /fragment/
  ],
  [
    "with a wildcard (#166)",
    ["https://*.example.com/callback", "https://app.example.com/*", "http://127.0.0.1:*/callback", "*"],
    /wildcard/
  ],
  [
    "with a user name",
    [
      "https://ada@app.example.com/",
      "https://app.example.com:443@evil.example/",
      "http://127.0.0.1:80@evil.example/",
      "http://localhost@evil.example/",
      "https://@app.example.com/",
      "cursor://ada@x/callback"
    ],
    /user name/
  ],
  [
    "http elsewhere than on loopback (#166)",
    [
      "http://app.example.com/callback",
      "http://192.168.1.1/callback",
      "http://127.0.0.2/callback",
      "http://0.0.0.0/callback",
      "http://localhost.evil.example/callback",
      "http://127.0.0.1.evil.example/callback",
      "http://localhostevil/callback"
    ],
    /not https/
  ],
  [
    "with an address in an odd form",
    [
      "http://2130706433/callback",
      "http://0x7f000001/callback",
      "http://0x7f.0.0.1/callback",
      "http://0177.0.0.1/callback",
      "http://017700000001/callback",
      "http://127.1/callback",
      "http://127.0.1/callback",
      "http://127.0.0.01/callback",
      "http://127.000.000.001/callback",
      "http://127.0.0.1./callback",
      "http://[0:0:0:0:0:0:0:1]/callback",
      "http://[::0001]/callback",
      "http://[::127.0.0.1]/callback",
      "http://[::ffff:127.0.0.1]/callback",
      "https://3405803783/callback",
      "https://203.0.113/callback",
      "https://app.example.com./callback",
      "https://.app.example.com/callback",
      "https://app..example.com/callback"
    ],
    /normal form/
  ],
  [
    "with an IPv6 address",
    [
      "http://[::]/callback",
      "http://[::ffff:7f00:1]/callback",
      "https://[2001:db8::1]/callback",
      "https://[64:ff9b::7f00:1]/callback"
    ],
    /IPv6/
  ],
  [
    "without a proper host and port",
    [
      "https://",
      "https:///callback",
      "https:callback",
      "https:/callback",
      "https:app.example.com",
      "https://?a",
      "http://:80/",
      "http://127.0.0.1:/callback",
      "http://127.0.0.1:0/callback",
      "http://127.0.0.1:080/callback",
      "http://127.0.0.1:65536/callback",
      "http://127.0.0.1:99999/callback",
      "http://127.0.0.1:1:2/callback",
      "http://127.0.0.1:a/callback",
      "https://App.example.com/callback",
      "http://LOCALHOST/callback",
      "http://%6cocalhost/callback",
      "http://[::1/callback",
      "http://::1/callback",
      "http://[fe80::1%25eth0]/callback"
    ],
    /host and port/
  ],
  ["with a host that is no host", ["https://256.256.256.256/", "https://1.2.3.4.5/", "https://[:::]/"], /not a URL/],
  [
    "with a path that leads elsewhere",
    ["https://app.example.com/a/../b", "https://app.example.com/.", "https://app.example.com/a/%2e%2E/b"],
    /path that is not written in its normal form/
  ],
  ["with a scheme in upper case", ["HTTPS://app.example.com/", "Http://127.0.0.1/", "Cursor://x/y"], /upper case/],
  [
    "with a private-use scheme that is not listed",
    [
      "cursor://anysphere.cursor-mcp/oauth/callback/",
      "cursor://anysphere.cursor-mcp/oauth/callback?a",
      "cursor://anysphere.cursor-mcp/OAuth/callback",
      "cursor:",
      "com.example.app:/other",
      "vscode://x",
      "mailto:ada@example.com",
      "urn:ietf:wg:oauth:2.0:oob"
    ],
    /private-use|user name/
  ],
  ["that are very long", [`https://app.example.com/${"a".repeat(1977)}`], /longer than 2000/]
]

describe("redirect URIs that may not be registered", () => {
  for (const [what, uris, reason] of bad) {
    describe(what, () => {
      for (const uri of uris) {
        it(JSON.stringify(uri).slice(0, 80), () => {
          assert.match(problem(uri, { listed }) ?? "accepted", reason)
        })
      }
    })
  }

  it("are not made good by being listed, unless their scheme is an application's own", () => {
    for (const uri of bad.filter(([what]) => !what.includes("private-use")).flatMap(([, uris]) => uris)) {
      assert.isDefined(problem(uri, { listed: [uri] }), uri)
    }
    assert.isUndefined(problem("urn:ietf:wg:oauth:2.0:oob", { listed: ["urn:ietf:wg:oauth:2.0:oob"] }))
  })

  it("nor in any way that the parser of a browser would read as another URI", () => {
    const piece = fc.constantFrom(
      ..."htps:/@.#?&%[]*\\ \t\n0x17",
      "https://",
      "http://",
      "127.0.0.1",
      "localhost",
      "[::1]",
      "a.example",
      "..",
      "%2e",
      "java",
      "script:"
    )
    fc.assert(
      fc.property(fc.array(piece, { maxLength: 12 }), (pieces) => {
        const uri = pieces.join("")
        if (problem(uri, { listed: [] }) !== undefined) return
        const { hash, hostname, password, protocol, username } = new URL(uri)
        assert.deepStrictEqual([hash, username, password], ["", "", ""])
        assert.isTrue(uri.startsWith(`${protocol}//${hostname}`), uri)
        assert.isTrue(protocol === "https:" || ["127.0.0.1", "[::1]", "localhost"].includes(hostname), uri)
      }),
      { numRuns: 5000 }
    )
  })
})

describe("the redirect URI of a request", () => {
  for (
    const [what, registered, requested, same] of [
      ["is the registered one", "https://app.example.com/cb", "https://app.example.com/cb", true],
      ["may have another port on loopback (#94)", "http://127.0.0.1:1/cb", "http://127.0.0.1:50000/cb", true],
      ["may have a port on loopback (#94)", "http://localhost/cb", "http://localhost:50000/cb", true],
      ["may have none on loopback (#94)", "http://[::1]:1/cb?a=b", "http://[::1]/cb?a=b", true],
      ["may have the highest port", "http://127.0.0.1:1/cb", "http://127.0.0.1:65535/cb", true],
      ["may have another port without a path", "http://127.0.0.1:1", "http://127.0.0.1:2", true],
      ["may not have another loopback host (#94)", "http://localhost/cb", "http://127.0.0.1/cb", false],
      ["may not have another loopback host (#94)", "http://127.0.0.1/cb", "http://[::1]/cb", false],
      ["may not have another path (#94)", "http://127.0.0.1/cb", "http://127.0.0.1:1/cb/", false],
      ["may not have another query", "http://127.0.0.1/cb?a=1", "http://127.0.0.1:1/cb?a=2", false],
      ["may not have a slash more", "http://127.0.0.1", "http://127.0.0.1:1/", false],
      ["may not have another scheme", "http://127.0.0.1/cb", "https://127.0.0.1/cb", false],
      [
        "may not have another port on the web (#92)",
        "https://app.example.com/cb",
        "https://app.example.com:8443/cb",
        false
      ],
      ["may not have the default port in words", "https://app.example.com/cb", "https://app.example.com:443/cb", false],
      ["may not have another port on https", "https://localhost:1/cb", "https://localhost:2/cb", false],
      ["may not have another case (#92)", "https://app.example.com/cb", "https://app.example.com/CB", false],
      ["may not have more path (#92)", "https://app.example.com/cb", "https://app.example.com/cb/x", false],
      [
        "may not have another host (#92)",
        "https://app.example.com/cb",
        "https://app.example.com.evil.example/cb",
        false
      ],
      ["may not have a fragment", "http://127.0.0.1/cb", "http://127.0.0.1:1/cb#x", false],
      ["may not have a user name", "http://127.0.0.1/cb", "http://127.0.0.1:80@evil.example/cb", false],
      ["may not have a user name", "http://127.0.0.1/cb", "http://x@127.0.0.1:80/cb", false],
      ["may not have an odd port", "http://127.0.0.1/cb", "http://127.0.0.1:080/cb", false],
      ["may not have an odd port", "http://127.0.0.1/cb", "http://127.0.0.1:0/cb", false],
      ["may not have an odd port", "http://127.0.0.1/cb", "http://127.0.0.1:/cb", false],
      ["may not have an odd port", "http://127.0.0.1/cb", "http://127.0.0.1:65536/cb", false],
      ["may not have an odd port", "http://127.0.0.1/cb", "http://127.0.0.1: 80/cb", false],
      ["may not have an odd port", "http://127.0.0.1/cb", "http://127.0.0.1:\n80/cb", false],
      ["may not have an odd host", "http://127.0.0.1/cb", "http://127.1:80/cb", false],
      ["may not have more host", "http://localhost", "http://localhost:80.evil.example", false],
      ["may not have a line more", "http://127.0.0.1/cb", "http://127.0.0.1/cb\n", false],
      ["may not be another of a private-use scheme", "cursor://x/cb", "cursor://x:1/cb", false]
    ] as const
  ) {
    it(`${what}: ${JSON.stringify(requested)} for ${registered}`, () => {
      assert.strictEqual(matches(registered, requested), same)
    })
  }

  it("leads where the registered one does, whatever it is", () => {
    const uris = ["http://127.0.0.1/cb", "http://localhost:1/cb?a", "http://[::1]", "https://app.example.com/cb"]
    const piece = fc.constantFrom(
      ...":/@.#?%[]\\ \n0189",
      "http",
      "127.0.0.1",
      "localhost",
      "[::1]",
      "cb",
      "evil.example"
    )
    fc.assert(
      fc.property(fc.constantFrom(...uris), fc.nat(30), fc.array(piece, { maxLength: 4 }), (registered, at, pieces) => {
        const requested = registered.slice(0, at) + pieces.join("") + registered.slice(at)
        if (!matches(registered, requested)) return
        const [a, b] = [new URL(registered), new URL(requested)]
        assert.deepStrictEqual(
          [b.protocol, b.hostname, b.pathname, b.search, b.hash, b.username, b.password],
          [a.protocol, a.hostname, a.pathname, a.search, "", "", ""]
        )
        assert.isUndefined(problem(requested, { listed: [] }))
      }),
      { numRuns: 5000 }
    )
  })
})
