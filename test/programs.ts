/**
 * The programs that tests need besides Node: found, installed where that can be done, or else named with the tests that are left
 * out. Run first by `npm test`; with `CI=true` a missing one is a failure.
 */
import { spawnSync } from "node:child_process"
import { existsSync } from "node:fs"
import { delimiter, join } from "node:path"

const find = (...names: ReadonlyArray<string>): string | undefined =>
  (process.env["PATH"] ?? "").split(delimiter).concat("/usr/bin", "/usr/local/bin")
    .flatMap((folder) => names.map((name) => join(folder, name)))
    .find((path) => existsSync(path))

/** A browser, for the tests in which people sign in. */
export const findChromium = (): string | undefined => find("chromium", "chromium-browser", "google-chrome")

/** The program of the guide's examples. */
export const findCurl = (): string | undefined => find("curl")

const isRoot = process.getuid?.() === 0

const install = (packages: ReadonlyArray<string>): void => {
  const environment = { ...process.env, DEBIAN_FRONTEND: "noninteractive" }
  for (const args of [["update"], ["install", "-y", "--no-install-recommends", ...packages]]) {
    const { status } = spawnSync("apt-get", args, { stdio: ["ignore", "ignore", "inherit"], env: environment })
    if (status !== 0) return
  }
}

/** Installs what is missing, where that can be done. */
const provide = (names: ReadonlyArray<string>): void => {
  if (names.length === 0 || !isRoot || find("apt-get") === undefined) return
  console.log(`${names.join(", ")}: missing; installing.`)
  install(names)
}

if (import.meta.main) {
  provide([
    ...(findChromium() === undefined ? ["chromium"] : []),
    ...(findCurl() === undefined ? ["curl"] : [])
  ])
  if (findCurl() === undefined) {
    console.error(
      "curl is missing, so test/e2e/guide.test.ts sends its requests by itself. Install it with: apt-get install curl"
    )
  }
  if (findChromium() === undefined) {
    console.error(
      "Chromium is missing, so test/e2e/browser.test.ts and test/e2e/demo.test.ts are left out. Install it with: apt-get install chromium"
    )
    if (process.env["CI"] === "true") process.exitCode = 1
  }
}
