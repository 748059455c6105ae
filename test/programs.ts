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

/** For the tests of several servers. */
export const findRedis = (): string | undefined => find("redis-server")

const programs = [
  {
    package: "chromium",
    find: findChromium,
    without: "test/e2e/browser.test.ts and test/e2e/demo.test.ts are left out",
    isNeeded: true
  },
  { package: "redis-server", find: findRedis, without: "the tests of a store in Redis are left out", isNeeded: true },
  { package: "curl", find: findCurl, without: "test/e2e/guide.test.ts sends its requests by itself", isNeeded: false }
]

const isRoot = process.getuid?.() === 0

/** Installs what is missing, where that can be done. */
const install = (packages: ReadonlyArray<string>): void => {
  if (packages.length === 0 || !isRoot || find("apt-get") === undefined) return
  console.log(`${packages.join(", ")}: missing; installing.`)
  const environment = { ...process.env, DEBIAN_FRONTEND: "noninteractive" }
  for (const args of [["update"], ["install", "-y", "--no-install-recommends", ...packages]]) {
    const { status } = spawnSync("apt-get", args, { stdio: ["ignore", "ignore", "inherit"], env: environment })
    if (status !== 0) return
  }
}

if (import.meta.main) {
  const isMissing = ({ find }: (typeof programs)[number]) => find() === undefined
  install(programs.filter(isMissing).map((program) => program.package))
  for (const { isNeeded, package: name, without } of programs.filter(isMissing)) {
    console.error(`${name} is missing, so ${without}. Install it with: apt-get install ${name}`)
    if (isNeeded && process.env["CI"] === "true") process.exitCode = 1
  }
}
