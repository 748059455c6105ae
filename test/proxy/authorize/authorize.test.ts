import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import * as Scene from "./Scene.ts"
import type { Answer } from "./UserAgent.ts"

/** A page of this server's that says what is wrong, and sends nobody anywhere. */
const assertLocal = (answer: Answer, status: number, code = "invalid_request") => {
  assert.strictEqual(answer.status, status, answer.body)
  assert.isFalse(answer.headers.has("location"))
  assert.include(answer.headers.get("content-type"), "text/html")
  assert.include(answer.body, `<code>${code}</code>`)
  assert.isFalse(answer.headers.has("set-cookie"))
}

/** An error at the client's redirect URI. */
const assertSentBack = ({ body, location, status }: Answer, error: string, state = "client state") => {
  assert.include([302, 303], status, body)
  assert.isTrue(location.href.startsWith(Scene.redirectUri), location.href)
  assert.strictEqual(location.searchParams.get("error"), error, location.href)
  assert.strictEqual(location.searchParams.get("state"), state)
  assert.strictEqual(location.searchParams.get("iss"), Scene.serverUrl)
  assert.isFalse(location.searchParams.has("code"))
}

describe("an authorization request before its redirect URI is proven gets a page", () => {
  it.effect("109: a body of 10 MB", () =>
    Effect.gen(function*() {
      const scene = yield* Scene.make()
      const answer = yield* scene.browser().ask("/oauth/authorize", {
        body: "x".repeat(10_000_000),
        headers: { "content-type": "application/x-www-form-urlencoded" }
      })
      assertLocal(answer, 413)
    }))

  it.effect("a body that is no form, and other methods", () =>
    Effect.gen(function*() {
      const scene = yield* Scene.make()
      const browser = scene.browser()
      assertLocal(yield* browser.ask("/oauth/authorize", { body: "{}" }), 400)
      const answer = yield* browser.ask(scene.authorizeUrl(), { method: "PUT" })
      assertLocal(answer, 405)
      assert.strictEqual(answer.headers.get("allow"), "GET, HEAD, POST")
    }))
})

describe("what a request may leave out", () => {
  it.effect("a slash that a URL parser adds to this server's address", () =>
    Effect.gen(function*() {
      const scene = yield* Scene.make()
      assert.strictEqual(
        (yield* scene.browser().ask(scene.authorizeUrl({ resource: `${Scene.serverUrl}/` }))).status,
        200
      )
      const other = yield* scene.browser().ask(scene.authorizeUrl({ resource: `${Scene.serverUrl}/mcp/` }))
      assertSentBack(other, "invalid_target")
    }))

  it.effect("a state", () =>
    Effect.gen(function*() {
      const scene = yield* Scene.make()
      const { location } = yield* scene.browser().ask(scene.authorizeUrl({ state: undefined, prompt: "none" }))
      assert.sameMembers([...location.searchParams.keys()], ["tenant", "error", "error_description", "iss"])
    }))
})

it.effect("a server with a base path answers below it, and where that was removed on the way", () =>
  Effect.gen(function*() {
    const scene = yield* Scene.make({ settings: { serverUrl: `${Scene.serverUrl}/base` } })
    const { search } = scene.authorizeUrl()
    for (const path of ["/base/oauth/authorize", "/oauth/authorize"]) {
      const page = yield* scene.browser().ask(scene.actual + path + search)
      assert.strictEqual(page.status, 200, page.body)
      assert.include(page.body, `action="${Scene.serverUrl}/base/oauth/consent"`)
    }
  }))
