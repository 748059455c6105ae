import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import { spawn } from "node:child_process"
import { once } from "node:events"
import { fileURLToPath } from "node:url"
import * as Browser from "../support/Browser.ts"

/** The demo in a process of its own; gives the address of its page. */
const start = Effect.map(
  Effect.acquireRelease(
    Effect.promise(async () => {
      const main = fileURLToPath(new URL("../demo/main.ts", import.meta.url))
      const env = { ...process.env, PORT: "0", OKTA_PORT: "0", DEMO_PORT: "0" }
      const child = spawn(process.execPath, [main], { env, stdio: ["ignore", "pipe", "pipe"] })
      let printed = ""
      for await (const chunk of child.stdout) {
        printed += String(chunk)
        const [, url] = /Open this first +(\S+)/.exec(printed) ?? []
        if (url !== undefined) return { child, url }
      }
      return assert.fail(`The demo ended: ${printed}`)
    }),
    ({ child }) =>
      Effect.promise(async () => {
        const closed = once(child, "close")
        child.kill("SIGTERM")
        await closed
      })
  ),
  ({ url }) => url
)

describe.skipIf(!Browser.isThere)("npm start, in a real browser", () => {
  it.live(
    "leads a newcomer from a call without a token to a tool's result, to a refresh and out again",
    () =>
      Effect.gen(function*() {
        const url = yield* start
        const page = yield* Browser.open(yield* Browser.launch)
        const press = (name: string) => Effect.promise(() => page.getByRole("button", { name }).click())
        yield* Effect.promise(() => page.goto(url))
        yield* Browser.assertAccessible(page)
        yield* press("Sign in")
        yield* press("Allow")
        yield* press("Sign in")
        yield* Effect.promise(() => page.getByRole("heading", { name: "What the access token says" }).waitFor())
        yield* Browser.assertAccessible(page)
        yield* Browser.picture(page, "demo")
        const text = yield* Effect.promise(() => page.getByRole("main").innerText())
        assert.include(text, "\"username\": \"ada@example.com\"")
        assert.notMatch(text, /eyJ[\w-]+\.eyJ[\w-]+\.[\w-]{20,}/)
        yield* press("Refresh the tokens")
        yield* press("Call the tool again")
        yield* press("Sign out")
        const statuses = yield* Effect.promise(() => page.locator(".status").allInnerTexts())
        assert.deepStrictEqual(statuses, ["401", "200", "200", "201", "200", "200", "200", "200", "200", "401"])
      }).pipe(Effect.scoped),
    { timeout: 60_000 }
  )
})
