import { assert } from "@effect/vitest"
import axe from "axe-core"
import { Effect, type Scope } from "effect"
import { mkdirSync } from "node:fs"
import { fileURLToPath } from "node:url"
import { type Browser, type BrowserContextOptions, chromium, type Page } from "playwright-core"
import { findChromium } from "../programs.ts"

/** Whether there is a browser to be had. */
export const isThere = findChromium() !== undefined

/** Chromium, which ends with the scope. */
export const launch: Effect.Effect<Browser, never, Scope.Scope> = Effect.acquireRelease(
  Effect.promise(() => chromium.launch({ executablePath: findChromium() ?? "", args: ["--no-sandbox"] })),
  (browser) => Effect.promise(() => browser.close())
)

/** A window of a person who has never been anywhere. */
export const open = (
  browser: Browser,
  options: BrowserContextOptions = {}
): Effect.Effect<Page, never, Scope.Scope> =>
  Effect.map(
    Effect.acquireRelease(
      Effect.promise(() => browser.newContext({ bypassCSP: true, ...options })),
      (context) => Effect.promise(() => context.close())
    ),
    (context) => context
  ).pipe(Effect.flatMap((context) => Effect.promise(() => context.newPage())))

const folder = new URL("../.tmp/screenshots/", import.meta.url)

/** Keeps a picture of the page under test/.tmp/screenshots. */
export const picture = (page: Page, name: string): Effect.Effect<void> =>
  Effect.promise(async () => {
    mkdirSync(folder, { recursive: true })
    await page.screenshot({ path: fileURLToPath(new URL(`${name}.png`, folder)), fullPage: true })
  })

/** What axe finds wrong with the page for people who cannot see it, or not well. */
export const assertAccessible = (page: Page): Effect.Effect<void> =>
  Effect.promise(async () => {
    await page.evaluate(axe.source)
    const violations = await page.evaluate(`axe.run().then(({ violations }) =>
      violations.map(({ help, id, nodes }) => id + ": " + help + ": " + nodes.map(({ html }) => html).join(" ")))`)
    assert.deepStrictEqual(violations, [])
  })
