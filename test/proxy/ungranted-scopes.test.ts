/** Scopes of policies that clients are told of, and could never be granted. */
import { assert, describe, it } from "@effect/vitest"
import { Effect, Layer, Redacted } from "effect"
import { type Guard, OktaAuth, type OktaOptions, Policy, ToolPolicy } from "effect-okta"
import { OktaTest } from "effect-okta/testing"
import { Tool, Toolkit } from "effect/ai"
import { HttpRouter, HttpServerResponse } from "effect/http"
import { build, loopbackUrl, secret } from "./ProxyTest.ts"

const proxy = {
  issuer: OktaTest.issuer,
  serverUrl: loopbackUrl,
  clientId: "0oa1client",
  clientSecret: Redacted.make("client secret at Okta")
}

const route = (guard: Guard, index: number) =>
  HttpRouter.add("GET", `/${index}`, HttpServerResponse.text("done")).pipe(Layer.provide(guard.layer))

/** What is warned of scopes when a server with these guards starts. */
const warningsOf = (
  settings: Partial<OktaOptions & Omit<OktaAuth.StartOptions, "failFast">>,
  ...guards: ReadonlyArray<Guard>
) =>
  build(
    Layer.mergeAll(Layer.empty, ...guards.map(route)).pipe(
      Layer.provide(OktaAuth.layer({ ...proxy, ...settings })),
      Layer.provide([OktaTest.layer(), HttpRouter.layer])
    )
  ).pipe(Effect.map(({ failure, warnings }) => {
    assert.isUndefined(failure)
    return warnings.filter((line) => line.includes("scopesSupported"))
  }))

const about = (scopes: string) =>
  `A policy needs the scopes ${scopes}, which no client can be granted: who asks for them is told invalid_scope. ` +
  "Name them in scopesSupported."

describe("scopes that no client can be granted", () => {
  it.effect("are warned of at the start, each once: in guards of routes and tools, and in admit", () =>
    Effect.gen(function*() {
      const write = OktaAuth.guard({ scopes: ["mcp:read", "mcp:write"] })
      const tools = Toolkit.make(Tool.make("remove").annotate(ToolPolicy, { scopes: ["mcp:write", "mcp:admin"] }))
      const settings = { scopesSupported: "mcp:read", admit: Policy.all([{ scopes: "mcp:in" }]) }
      assert.sameMembers(yield* warningsOf(settings, write, write, OktaAuth.mcpGuard({ tools })), [
        about("\"mcp:in\""),
        about("\"mcp:write\""),
        about("\"mcp:admin\"")
      ])
    }))

  it.effect("are not those that clients or services may have, by their names or by others above them", () =>
    Effect.gen(function*() {
      const settings = {
        scopesSupported: ["mcp:read", "files:*", "editor"],
        requiredScopes: "mcp:use",
        scopeHierarchy: { editor: ["pages:write"] },
        clients: [{ clientId: "nightly", clientSecrets: [secret("n")], serviceScopes: ["reports:make"] }]
      }
      const scopes = ["mcp:read", "mcp:use", "openid", "files:read", "pages:write", "reports:make"]
      assert.deepStrictEqual(yield* warningsOf(settings, OktaAuth.guard({ scopes })), [])
      // The challenge names the first of alternatives.
      const either = OktaAuth.guard({ anyOfScopes: ["mcp:read", "mcp:admin"] })
      assert.deepStrictEqual(yield* warningsOf(settings, either), [])
    }))

  it.effect("are Okta's affair in native mode", () =>
    Effect.gen(function*() {
      const native = { clientId: undefined, clientSecret: undefined, audience: OktaTest.audience }
      assert.deepStrictEqual(yield* warningsOf(native, OktaAuth.guard({ scopes: "mcp:write" })), [])
    }))
})
