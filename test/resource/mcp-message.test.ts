import { assert, describe, it } from "@effect/vitest"
import { type Target, targetsOf } from "../../src/resource/McpMessage.ts"

const plain = { "content-type": "application/json" }

const read = (body: string | Buffer, headers: Readonly<Record<string, string>> = {}) =>
  targetsOf(typeof body === "string" ? Buffer.from(body) : body, { ...plain, ...headers })

const message = (method: string, params?: unknown, id: unknown = 1) => ({ jsonrpc: "2.0", id, method, params })

const call = (name: unknown) => message("tools/call", { name, arguments: {} })

describe("what a message asks for", () => {
  const cases: ReadonlyArray<readonly [value: unknown, targets: ReadonlyArray<Target>]> = [
    [call("delete"), [{ kind: "tools", name: "delete" }]],
    [call("\u{1f600} löschen"), [{ kind: "tools", name: "\u{1f600} löschen" }]],
    [message("tools/call", { name: "delete" }, "x"), [{ kind: "tools", name: "delete" }]],
    [{ method: "tools/call", params: { name: "delete" } }, [{ kind: "tools", name: "delete" }]],
    [message("prompts/get", { name: "review" }), [{ kind: "prompts", name: "review" }]],
    [message("resources/read", { uri: "file:///a" }), [{ kind: "resources", name: "file:///a" }]],
    [message("resources/subscribe", { uri: "file:///a" }), [{ kind: "resources", name: "file:///a" }]],
    [message("completion/complete", { ref: { type: "ref/prompt", name: "p" } }), [{ kind: "prompts", name: "p" }]],
    [message("completion/complete", { ref: { type: "ref/resource", uri: "f:{x}" } }), [{
      kind: "resources",
      name: "f:{x}"
    }]],
    [[call("a"), message("ping"), call("b")], [{ kind: "tools", name: "a" }, { kind: "tools", name: "b" }]],
    [message("tools/call", { name: "delete", arguments: { text: "cut \ud83d" } }), [{ kind: "tools", name: "delete" }]],
    [message("initialize", { name: "delete" }), []],
    [message("tools/list"), []],
    [
      message("subscriptions/listen", { notifications: { resourceSubscriptions: ["f:a", "f:b"] } }),
      [{ kind: "resources", name: "f:a" }, { kind: "resources", name: "f:b" }]
    ],
    [message("subscriptions/listen", { notifications: { toolsListChanged: true } }), []],
    [message("TOOLS/CALL", { name: "delete" }), []],
    [{ jsonrpc: "2.0", id: 1, result: { name: "delete" } }, []],
    [[], []]
  ]
  it.each(cases)("%j", (value, targets) => {
    assert.deepStrictEqual(read(JSON.stringify(value)), targets)
  })

  it("whatever the arguments hold, 250 objects deep", () => {
    const deep = `{"a":`.repeat(250) + "1" + "}".repeat(250)
    const body = `{"method":"tools/call","params":{"name":"x","arguments":${deep}}}`
    assert.deepStrictEqual(read(body), [{ kind: "tools", name: "x" }])
  })

  it("with the headers that agree with it", () => {
    for (const [name, header] of [["a tool", "a tool"], ["löschen", "=?base64?bMO2c2NoZW4=?="]] as const) {
      const headers = { "mcp-method": "tools/call", "mcp-name": header }
      assert.deepStrictEqual(read(JSON.stringify(call(name)), headers), [{ kind: "tools", name }])
    }
  })
})

describe("a body is unclear", () => {
  const good = JSON.stringify(call("x"))
  const parseErrors: ReadonlyArray<
    readonly [what: string, body: string | Buffer, headers?: Readonly<Record<string, string>>]
  > = [
    ["when it is empty", ""],
    ["when it is no JSON", "{"],
    ["when there is text behind it", `${good}x`],
    ["when it begins with a byte order mark", `\ufeff${good}`],
    ["when it is in UTF-16", Buffer.from(good, "utf16le")],
    ["when it is not UTF-8", Buffer.from([...Buffer.from("\""), 0xff, ...Buffer.from("\"")])],
    ["when a name is there twice", `{"method":"tools/call","params":{"name":"x","name":"delete"}}`],
    [
      "when a method is there twice, once escaped",
      `{"method":"ping","\\u006dethod":"tools/call","params":{"name":"x"}}`
    ],
    ["when it is nested very deep", "[".repeat(300) + "]".repeat(300)],
    ["when it is compressed", good, { "content-encoding": "gzip" }],
    ["when it says that it is in UTF-7", good, { "content-type": "application/json; charset=utf-7" }],
    ["when it says two things about that", good, {
      "content-type": "application/json; charset=utf-8; charset=\"utf-7\""
    }]
  ]
  for (const [what, body, headers] of parseErrors) {
    it(what, () => {
      assert.deepInclude(read(body, headers), { _tag: "UnclearMessage", code: "parse error" })
    })
  }

  const invalid: ReadonlyArray<readonly [what: string, value: unknown, headers?: Readonly<Record<string, string>>]> = [
    ["when it is no object", "tools/call"],
    ["when a message in a batch is none", [call("x"), [call("delete")]]],
    ["when its method is a list", { method: ["tools/call"], params: { name: "delete" } }],
    ["when its name is a list", call(["delete"])],
    ["when its name is a number", call(1)],
    ["when its parameters go by their places", { ...call("x"), params: ["delete", {}] }],
    [
      "when it listens to what is no list of texts",
      message("subscriptions/listen", { notifications: { resourceSubscriptions: [1] } })
    ],
    ["when its name is no text at all", { ...call("x"), params: undefined }],
    ["when its name is inherited", JSON.parse(`{"method":"tools/call","params":{"__proto__":{"name":"delete"}}}`)],
    ["when its name is cut in the middle of a character", call("x\ud83d")],
    ["when the header names another method", call("delete"), { "mcp-method": "tools/list" }],
    ["when the header names another tool", call("delete"), { "mcp-name": "list" }],
    ["when the header is another tool's name, encoded", call("=?base64?ZGVsZXRl?="), {
      "mcp-name": "=?base64?ZGVsZXRl?="
    }],
    ["when the header comes twice", call("delete"), { "mcp-name": "delete, list" }],
    ["when a header speaks of one message in several", [call("a"), call("b")], { "mcp-method": "tools/call" }]
  ]
  for (const [what, value, headers] of invalid) {
    it(what, () => {
      const body = JSON.stringify(value)
      assert.deepInclude(read(body, headers), { _tag: "UnclearMessage", code: "invalid request" })
    })
  }
})
