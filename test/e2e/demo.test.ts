import { NodeServices } from "@effect/platform-node"
import { assert, describe, it } from "@effect/vitest"
import { Effect, FileSystem } from "effect"
import type { Page } from "playwright-core"
import { start } from "../cli/Command.ts"
import * as Browser from "../support/Browser.ts"

/** The demo in a process of its own; gives the address of its page. */
const startDemo = Effect.gen(function*() {
  const fs = yield* FileSystem.FileSystem
  const folder = yield* fs.makeTempDirectoryScoped({ prefix: "demo-" })
  const free = ["--port=0", "--okta-port=0", "--demo-port=0"]
  const { printed } = yield* start(["demo", "--json", ...free, `--data-dir=${folder}`])
  const { page }: { readonly page: string } = JSON.parse(yield* printed)
  return page
})

/** The page as people see it: nothing beside its edges, nothing in the way of those who do not see it. */
const look = Effect.fnUntraced(function*(page: Page, name: string) {
  yield* Browser.picture(page, `demo-${name}`)
  yield* Browser.assertAccessible(page)
  const beyond = yield* Effect.promise(() =>
    page.evaluate<number>("document.documentElement.scrollWidth - window.innerWidth")
  )
  assert.isAtMost(beyond, 0, name)
})

const ways = [
  { colorScheme: "light", width: 1280 },
  { colorScheme: "dark", width: 1280 },
  { colorScheme: "light", width: 360 },
  { colorScheme: "dark", width: 360 }
] as const

describe.skipIf(!Browser.isThere)("effect-okta demo, in a real browser", () => {
  it.live.each(ways)(
    "leads a newcomer with nothing but a keyboard through it all: $colorScheme, $width pixels wide",
    ({ colorScheme, width }) =>
      Effect.gen(function*() {
        const url = yield* startDemo
        const page = yield* Browser.open(yield* Browser.launch, { colorScheme, viewport: { width, height: 800 } })
        const see = (name: string) => look(page, `${name}-${colorScheme}-${width}`)
        const press = (name: string) =>
          Effect.promise(() => page.getByRole("button", { name, exact: true }).press("Enter"))
        const heading = (name: string) => Effect.promise(() => page.getByRole("heading", { name }).first().waitFor())

        yield* Effect.promise(() => page.goto(url))
        yield* heading("Begin here")
        yield* see("start")
        yield* press("Sign in")
        yield* heading("Allow access")
        yield* press("Allow")
        yield* heading("Any of these people works")
        yield* see("sign-in")
        yield* Effect.promise(() => page.getByLabel("Password").fill("wrong"))
        yield* press("Sign in")
        yield* Effect.promise(() => page.getByRole("alert").waitFor())
        yield* see("sign-in-again")
        yield* Effect.promise(() => page.getByLabel("Password").fill("correct horse"))
        yield* press("Sign in")
        yield* heading("Signed in as ada@example.com")
        yield* see("signed-in")

        const claims = yield* Effect.promise(() =>
          page.getByRole("region", { name: "What the access token says" }).innerText()
        )
        for (const text of ["iss\nhttp://localhost:", "Which server it is for", "ada@example.com", "in 60 minutes"]) {
          assert.include(claims, text)
        }
        const session = yield* Effect.promise(() => page.getByRole("region", { name: "Signed in" }).innerText())
        assert.include(session, "\"username\": \"ada@example.com\"")

        const first = page.locator("details").first()
        yield* Effect.promise(() => first.locator("summary").press("Enter"))
        assert.include(yield* Effect.promise(() => first.innerText()), "www-authenticate: Bearer resource_metadata=")
        yield* Effect.promise(() => page.getByRole("link", { name: "Open all steps" }).press("Enter"))
        yield* Effect.promise(() => page.getByRole("link", { name: "Close the steps" }).waitFor())
        yield* see("all-steps")
        const text = yield* Effect.promise(() => page.getByRole("main").innerText())
        for (
          const shown of ["code_challenge_method = S256", "\"registration_endpoint\": ", "location: http://localhost:"]
        ) {
          assert.include(text, shown)
        }
        assert.notMatch(text, /eyJ[\w-]+\.eyJ[\w-]+\.[\w-]{20,}/)

        yield* press("Refresh the tokens")
        yield* heading("The tokens are renewed")
        yield* press("Call the tool again")
        yield* Effect.promise(() => page.getByRole("heading", { name: "The tool is called" }).nth(1).waitFor())
        yield* press("Sign out")
        yield* heading("Nobody is signed in")
        yield* see("signed-out")
        const steps = yield* Effect.promise(() => page.locator("summary").allInnerTexts())
        assert.deepStrictEqual(steps.map((step) => /\n(\d{3})\n/.exec(step)?.[1]), [
          ..."401 200 200 201".split(" "),
          ..."200 303 303 200 401 303 303 302 200 303".split(" "),
          ..."200 200".split(" "),
          ..."200 200".split(" "),
          ..."200 200 401".split(" ")
        ])
      }).pipe(Effect.scoped, Effect.provide(NodeServices.layer)),
    { timeout: 120_000 }
  )
})
