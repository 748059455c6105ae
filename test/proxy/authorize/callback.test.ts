import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import * as Scene from "./Scene.ts"
import type { Answer } from "./UserAgent.ts"

const assertSentBack = ({ body, location, status }: Answer, error: string) => {
  assert.strictEqual(status, 302, body)
  assert.strictEqual(location.searchParams.get("error"), error, location.href)
  assert.strictEqual(location.searchParams.get("state"), "client state")
  assert.strictEqual(location.searchParams.get("iss"), Scene.serverUrl)
  assert.isFalse(location.searchParams.has("code"))
}

describe("the callback", () => {
  it.effect("F18: says so on a page when the store is away, because nobody else can be told", () =>
    Effect.gen(function*() {
      const scene = yield* Scene.make()
      const browser = scene.browser()
      const back = yield* scene.signIn((yield* scene.allow(browser)).location)
      scene.breakStore(true)
      const answer = yield* browser.ask(back)
      assert.strictEqual(answer.status, 503)
      assert.strictEqual(answer.headers.get("retry-after"), "5")
    }))
})

it.effect("F18: what Okta gave is ended there when it cannot be kept here", () =>
  Effect.gen(function*() {
    const scene = yield* Scene.make()
    const browser = scene.browser()
    const back = yield* scene.signIn((yield* scene.allow(browser)).location)
    scene.breakStore(true, "put")
    assertSentBack(yield* browser.ask(back), "temporarily_unavailable")
    assert.strictEqual(yield* scene.okta.requests("revoke"), 1)
  }))
