import { Predicate } from "effect"
import * as StrictJson from "../token/StrictJson.ts"

/** What a message asks an MCP server for by name. */
export interface Target {
  readonly kind: "tools" | "prompts" | "resources"
  /** A tool's or prompt's name, or a resource's URI. */
  readonly name: string
}

/** A request body that could mean one thing to us and another to the server, or nothing at all. */
export interface UnclearMessage {
  readonly _tag: "UnclearMessage"
  /** Whether it is no JSON, or JSON that is no message (JSON-RPC 2.0 section 5.1). */
  readonly code: "parse error" | "invalid request"
  readonly reason: string
}

/** Arguments of tools may nest deeper than tokens do, and hold a text that was cut in the middle of a character. */
const ofMessages: StrictJson.Strictness = { deepest: 256, loneSurrogates: true }

const unclear = (code: UnclearMessage["code"], reason: string): UnclearMessage => ({
  _tag: "UnclearMessage",
  code,
  reason
})

/**
 * What the messages in a request body ask for: one message, or several in a batch. The server behind must not be able to
 * read anything else in them, so that whatever is ambiguous is refused: duplicate members, another encoding than UTF-8,
 * names that are not texts, and headers that disagree with the body.
 *
 * @see https://www.jsonrpc.org/specification
 * @see https://modelcontextprotocol.io/specification/2025-11-25/server/tools#calling-tools
 */
export const targetsOf = (
  body: Buffer,
  headers: { readonly [name: string]: string | undefined }
): ReadonlyArray<Target> | UnclearMessage => {
  if (!isPlain(headers)) return unclear("parse error", "it is encoded, or in another character set than UTF-8")
  const value = StrictJson.parse(body, ofMessages)
  if (value === undefined) return unclear("parse error", "it is not JSON of distinct members in UTF-8")
  const messages: ReadonlyArray<unknown> = Array.isArray(value) ? value : [value]
  const targets: Array<Target> = []
  for (const message of messages) {
    const found = targetsIn(message)
    if ("reason" in found) return found
    targets.push(...found)
  }
  const method = headers["mcp-method"]
  if (method !== undefined && !(messages.length === 1 && memberOf(messages[0], "method") === method)) {
    return unclear("invalid request", "its method is not that of the header Mcp-Method")
  }
  const name = headers["mcp-name"]
  if (name !== undefined && targets.some((target) => !isInHeader(target.name, name))) {
    return unclear("invalid request", "its name is not that of the header Mcp-Name")
  }
  return targets
}

/** Whether the bytes are the text: neither compressed nor in another character set. */
const isPlain = (headers: { readonly [name: string]: string | undefined }): boolean =>
  (headers["content-encoding"] ?? "identity").toLowerCase() === "identity" &&
  [...(headers["content-type"] ?? "").matchAll(/charset\s*=\s*"?([^";,\s]*)/gi)]
    .every(([, charset = ""]) => /^utf-?8$/i.test(charset))

const memberOf = (value: unknown, name: string): unknown =>
  Predicate.isObject(value) && Object.hasOwn(value, name) ? Reflect.get(value, name) : undefined

const targetsIn = (message: unknown): ReadonlyArray<Target> | UnclearMessage => {
  if (!Predicate.isObject(message)) return unclear("invalid request", "a message in it is not an object")
  const method = memberOf(message, "method")
  // Without a method it is an answer of the client's.
  if (method === undefined) return []
  if (typeof method !== "string") return unclear("invalid request", "a method in it is not text")
  const params = memberOf(message, "params")
  switch (method) {
    case "tools/call":
      return named("tools", memberOf(params, "name"))
    case "prompts/get":
      return named("prompts", memberOf(params, "name"))
    case "resources/read":
    case "resources/subscribe":
    case "resources/unsubscribe":
      return named("resources", memberOf(params, "uri"))
    case "completion/complete": {
      const ref = memberOf(params, "ref")
      return memberOf(ref, "type") === "ref/prompt"
        ? named("prompts", memberOf(ref, "name"))
        : named("resources", memberOf(ref, "uri"))
    }
    case "subscriptions/listen": {
      const uris = memberOf(memberOf(params, "notifications"), "resourceSubscriptions") ?? []
      return named("resources", ...Array.isArray(uris) ? uris : [uris])
    }
    default:
      return []
  }
}

const named = (kind: Target["kind"], ...names: ReadonlyArray<unknown>): ReadonlyArray<Target> | UnclearMessage =>
  names.every(isName)
    ? names.map((name) => ({ kind, name }))
    : unclear("invalid request", "it does not say by a text what it asks for")

const isName = (name: unknown): name is string => typeof name === "string" && name.isWellFormed()

/**
 * Whether a header says a name: as it is, unless that looks encoded, or encoded, as one has to be that is not plain ASCII
 * (MCP 2026-07-28, Streamable HTTP).
 */
const isInHeader = (name: string, header: string): boolean =>
  header === `=?base64?${Buffer.from(name, "utf8").toString("base64")}?=` ||
  header === name && !/^=\?base64\?.*\?=$/i.test(name)
